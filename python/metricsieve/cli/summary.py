"""The command `summary`: a line a metric and job."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from metricsieve.cli import options
from metricsieve.cli.common import exit_codes, is_terminal
from metricsieve.cli.results import Sources, names, opened, print_tables

if TYPE_CHECKING:
    import pyarrow as pa

# What is on a terminal; files have everything.
_SHOWN = ("metric", "count", "nan", "first", "last", "min", "min_step", "max", "max_step", "mean")


def summary(
    sources: Sources,
    definitions: options.Definitions = None,
    metric: options.Metric = None,
    preset: options.Preset = None,
    context: options.Context = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Columns that tell groups apart; job is the source where none is known.",
        ),
    ] = "job",
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="FILE.parquet, .arrow, .csv or .jsonl; - is JSON lines on stdout.",
        ),
    ] = None,
    normalize: options.Normalize = "terminal",
    envelope: options.Envelope = "auto",
    timezone: options.Timezone = "UTC",
    threads: options.Threads = None,
    strict: options.Strict = False,
    quiet: options.Quiet = False,
    report: options.ReportFile = None,
) -> None:
    """Give count, first, last, lowest, highest value and mean of each metric of each job.

    Without -o: a table on a terminal, JSON lines in a pipe.
    """
    with exit_codes():
        from metricsieve.results import summary as summarise
        from metricsieve.sinks import check_target, deliver

        targets = output or ([] if is_terminal(sys.stdout) else ["-"])
        for target in targets:
            check_target(target)
        with opened(
            sources,
            definitions=definitions,
            metric=metric,
            preset=preset,
            context=context,
            quiet=quiet,
            normalize=normalize,
            envelope=envelope,
            timezone=timezone,
            threads=threads,
        ) as found:
            table = summarise(found.result, names(by))
        deliver(table.to_batches(), targets, table.schema)
        if not targets:
            _show(table, table.column_names[: len(names(by))])
        raise typer.Exit(found.finish(strict=strict, quiet=quiet, report_file=report))


def _show(table: pa.Table, groups: list[str]) -> None:
    wanted = [name for name in _SHOWN if name in table.column_names]
    if not any(table.column("nan").to_pylist()):
        wanted.remove("nan")
    listed: dict[str, list[list[object]]] = {}
    for row in table.to_pylist():
        names_of = [row[name] for name in groups if row[name] is not None]
        if row["mean"] is not None:
            row["mean"] = float(f"{row['mean']:.6g}")
        listed.setdefault(", ".join(map(str, names_of)), []).append([row[one] for one in wanted])
    print_tables(wanted, listed)
