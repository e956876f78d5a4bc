"""The command `attempts`: the points of jobs that were restarted, with the attempt of each."""

from __future__ import annotations

from typing import Annotated

import typer

from metricsieve.cli import options
from metricsieve.cli.common import exit_codes
from metricsieve.cli.results import MAX_ROWS, Sources, names, opened, outputs, print_tables


def attempts(
    sources: Sources,
    definitions: options.Definitions = None,
    metric: options.Metric = None,
    preset: options.Preset = None,
    context: options.Context = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Count in groups of these columns; default: what one process wrote.",
        ),
    ] = None,
    step: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="A restart is where this falls.")
    ] = None,
    last_attempt: options.LastAttempt = False,
    output: options.TableOutput = None,
    normalize: options.Normalize = "terminal",
    number: options.Number = "trim",
    envelope: options.Envelope = "auto",
    timezone: options.Timezone = "UTC",
    threads: options.Threads = None,
    strict: options.Strict = False,
    quiet: options.Quiet = False,
    report: options.ReportFile = None,
) -> None:
    """Give all points with one more column, attempt, which counts restarts from 0.

    Holds all points in memory. Without -o: a table on a terminal, JSON lines in a pipe.
    """
    with exit_codes():
        from metricsieve import results

        targets = outputs(output)
        with opened(
            sources,
            definitions=definitions,
            metric=metric,
            preset=preset,
            context=context,
            quiet=quiet,
            normalize=normalize,
            number=number,
            envelope=envelope,
            timezone=timezone,
            threads=threads,
        ) as found:
            numbered = results.last_attempt if last_attempt else results.attempts
            table = numbered(found.result, step, None if by is None else names(by))
        found.give(table, targets)
        if not targets:
            empty = [n for n in table.column_names if 0 < table[n].null_count == len(table)]
            shown = table.drop_columns(empty)
            rows = [list(row.values()) for row in shown.slice(0, MAX_ROWS).to_pylist()]
            print_tables(shown.column_names, {"": rows}, rows=len(table))
        raise typer.Exit(found.finish(strict=strict, quiet=quiet, report_file=report))
