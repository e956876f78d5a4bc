"""Dated records of runs, below benches/record: machine, versions, every raw rate."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from entries import grep_program
from measure import CORES
from metricsieve import _engine

HERE = Path(__file__).parent
PACKAGES = ("pyarrow", "google-re2", "hyperscan", "polars", "duckdb", "pandas")


def machine() -> dict[str, Any]:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": len(CORES),
        "kernel": platform.release(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
    }


def commit() -> str:
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def _crates() -> dict[str, str]:
    """Versions of the crates that the peers in Rust stand for."""
    lock = (HERE / "peers" / "Cargo.lock").read_text()
    named = re.findall(r'name = "(.*)"\nversion = "(.*)"', lock)
    return {name: version for name, version in named if name in ("regex", "memchr", "zlib-rs")}


def versions() -> dict[str, str]:
    known = {
        "metricsieve": _engine.native_version,
        "commit": commit(),
        "build": _engine.build_profile,
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if program := grep_program():
        known["ripgrep"] = subprocess.check_output([program, "--version"], text=True).split()[1]
    return known | _crates()


def write(content: dict[str, Any]) -> Path:
    """Adds date, machine and versions to `content`, and keeps it."""
    now = datetime.datetime.now(datetime.UTC)
    head = {"date": now.isoformat(timespec="seconds"), "machine": machine(), "versions": versions()}
    target = HERE / "record" / f"{now:%Y-%m-%d-%H%M%S}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(head | content, indent=1) + "\n")
    return target
