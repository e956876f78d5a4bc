"""Measure metricsieve and its peers on the workloads, and say how the goals stand.

Entries of one workload are measured in turn, `--rounds` times; every entry asserts its number of
points, so that a fast wrong answer is a failure. Figures are medians over the rounds, ratios are
medians of the ratios within a round. See README.md for what is measured and its biases.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import metricsieve as ms
import record
import table
from costs import costs
from entries import derive, entries, missing
from goals import standing
from measure import LOAD_LIMIT, Load, Series, measure, median, warm
from metricsieve import _engine
from rich.console import Console
from workloads import names

HERE = Path(__file__).parent


def run_workload(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measures one workload; everything that a record keeps of it."""
    measured = entries(name, options.data, options.mb, options.quick)
    whole = measured[0].workload
    for entry in measured:
        warm(entry.workload.paths)
    load = measure(measured, options.rounds)
    failed = [entry for entry in measured if entry.failure]
    series = derive(measured)
    return {
        "workload": name,
        "bytes": whole.text_bytes,
        "files": len(whole.paths),
        "definitions": len(whole.definitions),
        "points": whole.points,
        "failures": [f"{entry.name}: {entry.failure}" for entry in failed],
        # A peer that does not run is a pity; a wrong count, or an engine that fails, is a fault.
        "wrong": any(entry.wrong or entry in measured[:2] for entry in failed),
        "load": round(load, 3),
        "series": {key: [round(value, 5) for value in values] for key, values in series.items()},
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workloads", nargs="*", help="names or prefixes; all without any")
    parser.add_argument("--mb", type=float, default=64, help="MiB of text each; full runs take 512")
    parser.add_argument("--rounds", type=int, default=3, help="paired runs; the median counts")
    parser.add_argument("--data", type=Path, default=HERE / ".data", help="where files are kept")
    parser.add_argument("--quick", action="store_true", help="leave the slow peers out")
    parser.add_argument("--costs", action="store_true", help="memory and start-up; with all anyway")
    parser.add_argument("--record", action="store_true", help="write benches/record/DATE.json")
    parser.add_argument("--against", type=Path, help="a record to show the change from")
    parser.add_argument("--force", action="store_true", help="record although busy")
    options = parser.parse_args()
    known = names()
    options.chosen = [
        name
        for name in known
        if any(name.startswith(wanted) for wanted in options.workloads)
        or not (options.workloads or options.costs)
    ]
    if not options.chosen and not options.costs:
        parser.error(f"no workload has this name; there are {', '.join(known)}")
    options.costs = options.costs or not options.workloads
    if options.rounds < 1 or options.mb <= 0:
        parser.error("--rounds and --mb must be positive")
    options.data.mkdir(parents=True, exist_ok=True)
    return options


@dataclass(slots=True)
class Measured:
    """What a run found; `busy` is the greatest load of other processes in any part of it."""

    results: list[dict[str, Any]] = field(default_factory=list)
    costs: Series = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    busy: float = 0.0

    @property
    def failed(self) -> bool:
        return bool(self.failures) or any(result["wrong"] for result in self.results)


def measure_all(options: argparse.Namespace, measured: Measured) -> None:
    """Fills `measured`. An interrupt ends it: what is there is shown, never recorded."""
    try:
        for name in options.chosen:
            result = run_workload(name, options)
            measured.results.append(result)
            measured.busy = max(measured.busy, result["load"])
            one, two = (median(result["series"].get(entry)) for entry in ("one", "two"))
            text = f"{name}: {table.cell(one)} MB/s, two CPUs {table.cell(two)}"
            print(text, *result["failures"], sep="; ", file=sys.stderr, flush=True)
        if options.costs:
            load = Load()
            found, failures = costs(options.data, options.mb, options.rounds)
            measured.costs, measured.busy = found, max(measured.busy, load.since())
            measured.failures += failures
    except KeyboardInterrupt:
        measured.failures.append("interrupted")


def keep(options: argparse.Namespace, console: Console, measured: Measured, rows: list) -> bool:
    """Record the run, unless it is worthless."""
    if measured.failed:
        console.print("[red]not recorded: not everything was measured, or not rightly")
        return False
    if measured.busy > LOAD_LIMIT and not options.force:
        console.print("[red]not recorded: other processes kept the machine busy (--force?)")
        return False
    content = {
        "options": {"mb": options.mb, "rounds": options.rounds, "forced": options.force},
        "busy": round(measured.busy, 3),
        "goals": rows,
        "costs": measured.costs,
        "results": measured.results,
    }
    target = record.write(content)
    console.print(f"recorded in {target.relative_to(HERE.parent)}")
    return True


def main() -> int:
    options = arguments()
    warnings.simplefilter("ignore", ms.exceptions.MetricsieveWarning)
    console = Console(width=max(200, shutil.get_terminal_size((200, 24)).columns))
    if _engine.build_profile == "debug":
        console.print("[red]a debug build is not worth measuring: maturin develop --release")
        return 2
    load = Load()
    time.sleep(0.5)
    measured = Measured(busy=load.since())
    if measured.busy > LOAD_LIMIT:
        console.print(f"[yellow]other processes use {measured.busy:.0%} of the CPUs: only noise")
    measure_all(options, measured)
    series = {result["workload"]: result["series"] for result in measured.results}
    rows = list(standing(series, measured.costs))
    table.show(console, measured.results, rows, missing)
    if options.against:
        console.print(table.changes(measured.results, json.loads(options.against.read_text())))
    for failure in measured.failures:
        console.print(f"[red]FAILED[/] {failure}")
    if measured.busy > LOAD_LIMIT:
        console.print(f"[yellow]other processes used up to {measured.busy:.0%} of the CPUs")
    recorded = keep(options, console, measured, rows) if options.record else True
    return 0 if recorded and not measured.failed else 1


if __name__ == "__main__":
    sys.exit(main())
