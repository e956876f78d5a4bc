"""Get what `run.py` measures against: Python packages, the peers in Rust, ripgrep.

Nothing here is needed: what cannot be had is said once, and its column stays empty.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
BIN = HERE / ".bin"


def _run(what: str, command: list[str]) -> None:
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"without {what}: {error}", file=sys.stderr)


def _is_installed(requirement: str) -> bool:
    name = re.split(r"[^A-Za-z0-9_.-]", requirement)[0]
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def python_packages() -> None:
    """One at a time, so that one that cannot be built does not cost the others."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    for requirement in project["optional-dependencies"]["bench"]:
        if not _is_installed(requirement):
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
            _run(requirement, [*pip, "--disable-pip-version-check", requirement])


def rust_peers() -> None:
    manifest = HERE / "peers" / "Cargo.toml"
    build = ["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", str(manifest)]
    _run("the peers in Rust", [*build, "--target-dir", str(HERE / "target")])


def ripgrep() -> None:
    if shutil.which("rg") or (BIN / "bin" / "rg").exists():
        return
    print("installing ripgrep into benches/.bin; this takes some minutes", file=sys.stderr)
    _run("ripgrep", ["cargo", "install", "--quiet", "--locked", "ripgrep", "--root", str(BIN)])


if __name__ == "__main__":
    python_packages()
    rust_peers()
    ripgrep()
