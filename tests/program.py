"""The real program, run as a person or a script runs it."""

import subprocess
import sys

PROGRAM = [sys.executable, "-m", "metricsieve"]


def run(*arguments, **options):
    """Runs `metricsieve` to its end; gives its exit code and what it wrote, as text."""
    options = {"capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run([*PROGRAM, *map(str, arguments)], check=False, **options)
