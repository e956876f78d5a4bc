"""The command `attempts`: the points of jobs that were restarted, with the attempt of each."""

from __future__ import annotations

from typing import Annotated

import typer

from metricsieve.cli import options
from metricsieve.cli.input import InputOptions, reads_points
from metricsieve.cli.results import MAX_ROWS, names, outputs, print_tables


@reads_points
def attempts(
    given: InputOptions,
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
) -> int:
    """Give all points with one more column, attempt, which counts restarts from 0.

    Holds all points in memory. Without -o: a table on a terminal, JSON lines in a pipe.
    """
    from metricsieve import results

    targets = outputs(output, given.sources, has_points=True)
    with given.opened() as found:
        numbered = results.last_attempt if last_attempt else results.attempts
        table = numbered(found.result, step, None if by is None else names(by))
    found.give(table, targets)
    if not targets:
        empty = [n for n in table.column_names if 0 < table[n].null_count == len(table)]
        shown = table.drop_columns(empty)
        rows = [list(row.values()) for row in shown.slice(0, MAX_ROWS).to_pylist()]
        print_tables(shown.column_names, [("", rows)], keys=2, rows=len(table))
    return found.finish()
