"""Measure metricsieve and its peers on the workloads of `workloads.py`.

Entries of one workload are measured in turn, `--rounds` times; every entry asserts its number of
points, so that a fast wrong answer is a failure. Figures are medians over the rounds, ratios are
medians of the ratios within a round. See README.md for what is measured and its biases.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import metricsieve as ms
import pyarrow
from metricsieve import _engine
from metricsieve._scan import Scan
from rich.console import Console
from rich.table import Table
from workloads import MIB, WORKLOADS, Workload, make

HERE = Path(__file__).parent
LOAD_LIMIT = 0.10
CORES = sorted(os.sched_getaffinity(0))
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
ESCAPES = {"#011": "\t", "#015": "\r", "#010": "\x08", "#033": "\x1b"}


@dataclass(slots=True)
class Entry:
    """Something to measure: runs over `workload` and returns its number of points."""

    name: str
    workload: Workload
    run: Callable[[], int]
    expected: int | None
    cores: int = 1
    rates: list[float] = field(default_factory=list)


class Load:
    """Share of the machine's CPU time that other processes took since the last look."""

    def __init__(self) -> None:
        self._before = self._read()

    @staticmethod
    def _read() -> tuple[float, float]:
        line = Path("/proc/stat").read_text().split("\n")[0]
        fields = [int(text) for text in line.split()[1:9]]
        busy = sum(fields) - fields[3] - fields[4]
        own = sum(os.times()[:4])
        return busy / os.sysconf("SC_CLK_TCK") - own, time.monotonic()

    def since(self) -> float:
        (other, then), self._before = self._before, self._read()
        elapsed = self._before[1] - then
        return max(0.0, (self._before[0] - other) / (elapsed * (os.cpu_count() or 1)))


def native(workload: Workload, threads: int, strategy: str | None) -> Callable[[], int]:
    """A scan to Arrow batches by the engine.

    The definitions are checked outside of the time. The scanner is made inside of it, since its
    threads may begin to read at once; `run.build` tells how long that took.
    """
    checked = ms.DefinitionSet(workload.definitions)

    def scanner() -> Scan:
        native_scanner = _engine.Scanner(
            [(d.name, d.regex, d.group, d.matches, d.number, d.engine) for d in checked],
            [(str(path), "path", str(path)) for path in workload.paths],
            normalize="terminal",
            number="trim",
            on_reject="count",
            line_numbers=True,
            columns=None,
            strings="dictionary",
            ordered=True,
            threads=threads,
            batch_rows=65536,
            max_record_bytes=MIB,
            strategy=strategy,
        )
        return Scan(native_scanner, checked, raise_source_errors=True, progress=None)

    def run() -> int:
        begin = time.perf_counter()
        scan = scanner()
        run.build = time.perf_counter() - begin
        points = sum(batch.num_rows for batch in scan)
        run.seconds = time.perf_counter() - begin
        return points

    return run


def python_loop(workload: Workload) -> Callable[[], int]:
    """The loop that people write; with their normalising where the text needs it."""
    patterns = [
        (d["Name"], re.compile(d["Regex"].replace("#011", r"\t"))) for d in workload.definitions
    ]

    def plain(text: str) -> Iterable[str]:
        for raw, char in ESCAPES.items():
            text = text.replace(raw, char)
        return re.split(r"[\r\n]|\x08+", CONTROL.sub("", text))

    def run() -> int:
        import gzip

        rows = []
        for path in workload.paths:
            opened = gzip.open if path.suffix == ".gz" else open
            with opened(path, "rt", encoding="utf-8", errors="replace") as file:
                for line in file:
                    for record in plain(line) if workload.terminal else (line,):
                        for name, pattern in patterns:
                            found = pattern.search(record)
                            if found:
                                rows.append((name, float(found.group(1))))
        return len(rows)

    return run


def read_only(workload: Workload, threads: int) -> Callable[[], int]:
    """read(2) of everything into one buffer a thread, as the ceiling; no points."""

    def part(offset: int, step: int) -> None:
        buffer = bytearray(MIB)
        if len(workload.paths) > 1:
            for path in workload.paths[offset::step]:
                with path.open("rb", buffering=0) as file:
                    while file.readinto(buffer):
                        pass
            return
        size = workload.paths[0].stat().st_size // step
        with workload.paths[0].open("rb", buffering=0) as file:
            file.seek(size * offset)
            left = size
            while left > 0 and (got := file.readinto(buffer)):
                left -= got

    def run() -> int:
        workers = [threading.Thread(target=part, args=(i, threads)) for i in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return 0

    return run


def decompress_only(workload: Workload) -> Callable[[], int]:
    """zlib alone, file by file."""

    def run() -> int:
        size = 0
        for path in workload.paths:
            size += len(zlib.decompress(path.read_bytes(), wbits=31))
        assert size == workload.text_bytes
        return 0

    return run


def ripgrep(workload: Workload, flags: list[str], home: Path) -> Callable[[], int]:
    """ripgrep's texts, written to a file in the page cache and counted after the time."""
    patterns = home / "rg-patterns.txt"
    patterns.write_text("".join(d["Regex"] + "\n" for d in workload.definitions))
    command = ["rg", "--no-config", "-a", "--no-filename", "--color", "never", *flags]
    # Large sets do not fit the default limits; the work is the same.
    command += ["--regex-size-limit", "2G", "--dfa-size-limit", "2G", "-f", str(patterns)]

    def run() -> int:
        with (home / "rg-output.txt").open("wb+") as out:
            begin = time.perf_counter()
            done = subprocess.run([*command, *map(str, workload.paths)], stdout=out, check=False)
            run.seconds = time.perf_counter() - begin
            if done.returncode not in (0, 1):
                raise RuntimeError(f"rg failed with {done.returncode}")
            out.seek(0)
            return sum(chunk.count(b"\n") for chunk in iter(lambda: out.read(MIB), b""))

    return run


def entries(name: str, options: argparse.Namespace) -> list[Entry]:
    """Everything that is measured on one workload."""
    data = options.data
    whole = make(name, data, options.mb)
    count = len(whole.definitions)
    slow = make(name, data, min(options.mb, max(0.02, min(8, 400 / count))))
    loop = make(name, data, min(options.mb, max(0.02, min(2, 16 / count))))
    found = [
        Entry("one", whole, native(whole, 1, None), whole.points),
        Entry("two", whole, native(whole, 2, None), whole.points, cores=2),
        Entry("read", whole, read_only(whole, 1), None),
        Entry("read two", whole, read_only(whole, 2), None, cores=2),
    ]
    if not options.quick:
        found += [
            Entry("exhaustive", slow, native(slow, 1, "exhaustive"), slow.points),
            Entry("python", loop, python_loop(loop), loop.points),
        ]
    if whole.paths[0].suffix == ".gz":
        found.append(Entry("zlib", whole, decompress_only(whole), None))
    if whole.grep is not None and shutil.which("rg") and len(whole.paths) == 1 and count < 5000:
        for flags in (["-on", "-b"], ["-oN"]):
            run = ripgrep(whole, [*flags, "-j1"], data)
            found.append(Entry(f"rg {' '.join(flags)}", whole, run, whole.grep))
    return found


def measure(entry: Entry) -> None:
    os.sched_setaffinity(0, CORES[: entry.cores])
    try:
        begin = time.perf_counter()
        points = entry.run()
        seconds = getattr(entry.run, "seconds", None) or time.perf_counter() - begin
    finally:
        os.sched_setaffinity(0, CORES)
    if entry.expected is not None and points != entry.expected:
        raise AssertionError(f"{entry.name} found {points:,} points, not {entry.expected:,}")
    entry.rates.append(entry.workload.text_bytes / 1e6 / seconds)


def ratio(top: Entry | None, bottom: Entry | None) -> float | None:
    """Median of the ratios within a round."""
    if top is None or bottom is None or not top.rates or not bottom.rates:
        return None
    return statistics.median(a / b for a, b in zip(top.rates, bottom.rates, strict=True))


def run_workload(name: str, options: argparse.Namespace) -> dict[str, Any]:
    measured = entries(name, options)
    whole = measured[0].workload
    for path in whole.paths:  # into the page cache
        path.read_bytes()
    load, failure = Load(), None
    try:
        for _ in range(options.rounds):
            for entry in measured:
                measure(entry)
    except (AssertionError, RuntimeError, OSError, ms.MetricsieveError) as error:
        failure = f"{entry.name}: {error}"
        for entry in measured:
            entry.rates = entry.rates[: min(len(other.rates) for other in measured)]
    others = load.since()
    by_name = {entry.name: entry for entry in measured}
    one, two = by_name["one"], by_name["two"]
    scaling, ceiling = ratio(two, one), ratio(by_name["read two"], by_name["read"])
    return {
        "workload": name,
        "bytes": whole.text_bytes,
        "files": len(whole.paths),
        "definitions": len(whole.definitions),
        "points": whole.points,
        "failure": failure,
        "build_seconds": round(getattr(one.run, "build", 0.0), 4),
        "load": round(others, 3),
        "mb_per_second": {
            e.name: round(statistics.median(e.rates), 5) for e in measured if e.rates
        },
        "rates": {e.name: [round(rate, 5) for rate in e.rates] for e in measured},
        "ratios": {
            "one / read": ratio(one, by_name["read"]),
            "one / exhaustive": ratio(one, by_name.get("exhaustive")),
            "one / python": ratio(one, by_name.get("python")),
            "one / rg -on -b": ratio(one, by_name.get("rg -on -b")),
            "one / rg -oN": ratio(one, by_name.get("rg -oN")),
            "one / zlib": ratio(one, by_name.get("zlib")),
            "two / one": scaling,
            "scaling / read's": scaling / ceiling if scaling and ceiling else None,
        },
    }


def cell(number: float | None, suffix: str = "") -> str:
    if number is None:
        return "-"
    return f"{number:,.0f}{suffix}" if number >= 100 else f"{number:,.2f}{suffix}"


def show(results: list[dict[str, Any]], console: Console) -> None:
    table = Table(title="MB of text a second; x: ratio of one thread to the peer")
    table.add_column("workload")
    rates = ["one", "two", "read", "exhaustive", "python", "zlib", "rg -on -b", "rg -oN"]
    shown = ["one / python", "one / rg -on -b", "one / rg -oN", "two / one"]
    for column in ["build ms", *rates, *(name.replace("one / ", "x ") for name in shown), "load"]:
        table.add_column(column, justify="right")
    for result in results:
        row = [cell(result["build_seconds"] * 1000)]
        row += [cell(result["mb_per_second"].get(name)) for name in rates]
        row += [cell(result["ratios"][name]) for name in shown]
        row.append(f"{result['load']:.0%}" + (" (!)" if result["load"] > LOAD_LIMIT else ""))
        table.add_row(result["workload"], *row)
    console.print(table)
    for result in results:
        if result["failure"]:
            console.print(f"[red]FAILED[/] {result['workload']}: {result['failure']}")


def machine() -> dict[str, Any]:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": len(CORES),
        "kernel": platform.release(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
    }


def versions() -> dict[str, str]:
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    known = {
        "metricsieve": _engine.native_version,
        "commit": commit,
        "build": _engine.build_profile,
        "python": platform.python_version(),
        "pyarrow": pyarrow.__version__,
    }
    if shutil.which("rg"):
        text = subprocess.check_output(["rg", "--version"], text=True)
        known["ripgrep"] = text.split()[1]
    return known


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workloads", nargs="*", help="names or prefixes; all without any")
    parser.add_argument("--mb", type=float, default=64, help="MiB of text each; full runs take 512")
    parser.add_argument("--rounds", type=int, default=3, help="paired runs; the median counts")
    parser.add_argument("--data", type=Path, default=HERE / ".data", help="where files are kept")
    parser.add_argument("--quick", action="store_true", help="leave the slow peers out")
    parser.add_argument("--record", action="store_true", help="write benches/record/DATE.json")
    parser.add_argument("--force", action="store_true", help="record although busy")
    options = parser.parse_args()
    chosen = [
        name
        for name in WORKLOADS
        if not options.workloads or any(name.startswith(wanted) for wanted in options.workloads)
    ]
    if not chosen:
        parser.error(f"no workload has this name; there are {', '.join(WORKLOADS)}")
    if options.rounds < 1 or options.mb <= 0:
        parser.error("--rounds and --mb must be positive")
    options.data.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", ms.exceptions.MetricsieveWarning)
    wide = shutil.get_terminal_size((160, 24)).columns
    console = Console(width=max(150, wide))
    if _engine.build_profile == "debug":
        console.print("[red]a debug build is not worth measuring: maturin develop --release")
        return 2
    load = Load()
    time.sleep(0.5)
    busy = load.since()
    if busy > LOAD_LIMIT:
        console.print(f"[yellow]other processes use {busy:.0%} of the CPUs: figures are noise")
    results = []
    try:
        for name in chosen:
            results.append(run_workload(name, options))
            rates = results[-1]["mb_per_second"].items()
            text = ", ".join(f"{entry} {cell(rate)}" for entry, rate in rates)
            print(f"{name}: {text} MB/s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        options.record = False  # a part is shown, never recorded
    if not results:
        return 130
    show(results, console)
    busy = max(busy, *(result["load"] for result in results))
    if busy > LOAD_LIMIT:
        console.print(f"[yellow]other processes used up to {busy:.0%} of the CPUs in a workload")
    failed = any(result["failure"] for result in results)
    if options.record:
        if (busy > LOAD_LIMIT and not options.force) or failed:
            console.print("[red]not recorded: the machine was busy or an entry failed (--force?)")
            return 1
        now = datetime.datetime.now(datetime.UTC)
        record = {
            "date": now.isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": versions(),
            "options": {"mb": options.mb, "rounds": options.rounds, "forced": options.force},
            "results": results,
        }
        target = HERE / "record" / f"{now:%Y-%m-%d-%H%M%S}.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(record, indent=1) + "\n")
        console.print(f"recorded in {target.relative_to(HERE.parent)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
