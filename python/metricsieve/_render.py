"""What people see of a scan on a terminal: the summary table, the first points, the report.

Fed by `cli`; everything that came from a log or a definition passes through `visible`.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from metricsieve._text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from metricsieve._report import DefinitionReport, Report

MAX_WARNINGS = 20


def number(value: float | None) -> str:
    """A value as short as it can be read back."""
    return "" if value is None else repr(float(value)).removesuffix(".0")


def print_summary(report: Report) -> None:
    """One line a definition on stdout."""
    table = Table(box=None, pad_edge=False)
    table.add_column("metric", overflow="fold")
    for heading in ("points", "sources", "first", "last", "min", "max"):
        table.add_column(heading, justify="right")
    table.add_column("note", overflow="fold")
    shown = [one for one in report.definitions if one.points or any(one.rejects.values())]
    if not report.silent_is_normal or not shown:
        shown = list(report.definitions)
    for entry in shown:
        table.add_row(
            Text(visible(entry.name)),
            f"{entry.points:,}",
            f"{entry.sources_with_points:,}/{report.sources.total:,}",
            *(number(value) for value in (entry.first, entry.last, entry.min, entry.max)),
            Text(visible(_note(entry))),
        )
    console = Console(file=sys.stdout, highlight=False)
    console.print(table)
    silent = len(report.definitions) - len(shown)
    if silent:
        console.print(f"{silent:,} of {len(report.definitions):,} definitions found nothing")


def _note(entry: DefinitionReport) -> str:
    notes = [f"{count:,} {reason}" for reason, count in entry.rejects.items() if count]
    for key in ("truncated", "trimmed", "underflow", "over_budget"):
        counted = getattr(entry, key)
        if counted.get("count"):
            notes.append(f"{counted['count']:,} {key.replace('_', ' ')}")
    return ", ".join(notes) if notes or entry.points else "no match"


def print_points(batches: Iterable[pa.RecordBatch], limit: int | None, total: int) -> None:
    """The first points on stdout, one a line: where, which, how much."""
    rows = (row for batch in batches for row in _rows(batch))
    table = Table(box=None, pad_edge=False)
    shown = 0
    names: list[str] = []
    for row in itertools.islice(rows, limit):
        if not names:
            names = list(row)
            for name in names:
                table.add_column(name, justify="right" if name == "value" else "left")
        table.add_row(*(Text(cell(value)) for value in row.values()))
        shown += 1
    if not shown:
        return
    console = Console(file=sys.stdout, highlight=False)
    console.print()
    console.print(table)
    if shown < total:
        console.print(f"… {total - shown:,} more points (--all shows them, -o FILE keeps them)")


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    wanted = [
        name
        for name in batch.schema.names
        if name in ("metric", "value") or batch.column(name).null_count < batch.num_rows
    ]
    rows: list[dict[str, Any]] = batch.select(wanted).to_pylist()
    return rows


def cell(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return "" if value is None else visible(str(value))


def print_report(report: Report, warnings: list[str]) -> None:
    """The report on stderr: a line of totals, then what is worth a look."""
    seconds = report.elapsed_seconds
    rate = f", {report.bytes / seconds / 1e6:,.0f} MB/s" if seconds > 0 else ""
    complete = f"{report.sources.complete:,} of {report.sources.total:,} sources"
    lines = [
        f"{report.points:,} points in {report.matched:,} of {report.records:,} records; "
        f"{complete}, {report.bytes:,} bytes in {seconds:.2f} s{rate}"
    ]
    lines += [f"warning: {line}" for line in warnings[:MAX_WARNINGS]]
    if len(warnings) > MAX_WARNINGS:
        lines.append(f"warning: {len(warnings) - MAX_WARNINGS:,} more (--report FILE has all)")
    sys.stderr.write("\n".join(lines) + "\n")
