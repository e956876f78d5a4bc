"""What does not depend on a text's size: starting up, building, memory. `run.py` has it measured.

Every figure is the list of its repetitions, so that medians and ranges are as for rates. Each
repetition is a fresh process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import memory
from measure import Series
from workloads import make

SCRIPT = Path(sys.executable).with_name("metricsieve")
BUILD = """
import json, sys, time, warnings
import metricsieve as ms
import memory
warnings.simplefilter("ignore")
definitions = json.load(sys.stdin)
before, begin = memory.peak_rss(), time.perf_counter()
rows = ms.scan(b"nothing", ms.DefinitionSet(definitions), threads=1).read_all().num_rows
print(json.dumps([time.perf_counter() - begin, memory.peak_rss() - before]))
"""
PEAK = """
import json, sys, warnings
import metricsieve as ms
import memory
warnings.simplefilter("ignore")
paths, definitions = json.load(sys.stdin)
points = sum(batch.num_rows for batch in ms.scan(paths, definitions, threads=2))
print(json.dumps([memory.peak_rss(), points]))
"""


def _milliseconds(*command: str) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begin) * 1000


def _child(code: str, given: object) -> list[float]:
    command = [sys.executable, "-c", code]
    here = Path(__file__).parent
    out = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, check=True, cwd=here
    ).stdout
    return json.loads(out)


def start_up(times: int) -> Series:
    """The import beyond what Python itself takes, and the help of the command."""
    python = sys.executable
    imported = [
        _milliseconds(python, "-c", "import metricsieve") - _milliseconds(python, "-c", "pass")
        for _ in range(times)
    ]
    command = [str(SCRIPT)] if SCRIPT.exists() else [python, "-m", "metricsieve"]
    helped = [_milliseconds(*command, "--help") for _ in range(times)]
    return {"import ms": imported, "help ms": helped}


def building(data: Path, rounds: int) -> Series:
    """Time and memory of making a scan with 10,000 definitions, in Python and in the engine."""
    definitions = make("many-10000", data, 0.1).definitions
    pairs = [_child(BUILD, definitions) for _ in range(rounds)]
    return {
        "10,000 definitions s": [seconds for seconds, _ in pairs],
        "10,000 definitions MB": [size / 1e6 for _, size in pairs],
    }


def peaks(data: Path, mb: float, rounds: int) -> Series:
    """Peak resident memory while iterating: a file of 100 MB, one of 1 GB; many small ones.

    With a small `mb` the files are smaller; `memory.py` takes larger ones.

    Raises:
        AssertionError: a scan found a wrong number of points.
    """
    found: Series = {}
    for name in ("sparse-8", "dense-8"):
        for size, megabytes in (("small", min(100, 2 * mb)), ("large", min(1000, 16 * mb))):
            path, expected = memory.repeated(name, data, round(megabytes * 1e6))
            for threads in (1, 2):
                key = f"{name}, {size} file, {threads} threads MB"
                found[key] = []
                for _ in range(rounds):
                    told = memory.measured(name, path, threads)
                    assert told.points == expected, f"{key}: {told.points:,} != {expected:,} points"
                    found[key].append(told.peak / 1e6)
            path.unlink()
    tiny = make("tiny", data, mb)
    found["tiny MB"] = []
    for _ in range(rounds):
        peak, points = _child(PEAK, [[str(path) for path in tiny.paths], tiny.definitions])
        assert points == tiny.points, f"tiny: {points:,} points, not {tiny.points:,}"
        found["tiny MB"].append(peak / 1e6)
    return found


def costs(data: Path, mb: float, rounds: int) -> tuple[Series, list[str]]:
    """All of them, and the failures."""
    series: Series = {}
    failures = []
    parts: list[Callable[[], Series]] = [
        lambda: start_up(10 * rounds),
        lambda: building(data, rounds),
        lambda: peaks(data, mb, rounds),
    ]
    for part in parts:
        try:
            series |= part()
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failures.append(f"costs: {error}")
    return series, failures
