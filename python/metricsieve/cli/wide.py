"""The command `wide`: a line a job and step, a column a metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from metricsieve.cli import options
from metricsieve.cli.input import InputOptions, reads_points
from metricsieve.cli.results import (
    MAX_ROWS,
    group_name,
    names,
    of_group,
    outputs,
    print_tables,
)

if TYPE_CHECKING:
    import pyarrow as pa


@reads_points
def wide(
    given: InputOptions,
    by: options.By = "job",
    group: options.Group = None,
    step: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The step axis; point counts the points of each metric."
        ),
    ] = None,
    attempts: options.Attempts = False,
    output: options.TableOutput = None,
) -> int:
    """Put metrics side by side: a row for each step of each job, a column for each metric.

    Of several values of a metric at one step the last one counts, so that of a job that was
    restarted the last attempt wins. Without -o: a table on a terminal, JSON lines in a pipe.
    """
    from metricsieve.results._wide import pivoted

    targets = outputs(output, given.sources)
    groups = [*names(by), *["attempt"] * attempts]
    with given.opened() as found:
        points = found.points(attempts=attempts, step=step)
        if group is not None:
            points = of_group(points, names(by), group)
        table, notes = pivoted(points, [*groups, "step"], step)
        found.warn(notes)
    found.give(table, targets)
    if not targets:
        _show(table, len(groups))
    return found.finish()


def _show(table: pa.Table, groups: int) -> None:
    """The metrics of each group under its name, without those that it does not have."""
    names, headings = table.column_names[:groups], table.column_names[groups:]
    columns = [column.to_pylist() for column in table.slice(0, MAX_ROWS).columns]
    listed: dict[tuple[object, ...], list[Sequence[object]]] = {}
    for row in zip(*columns, strict=True):
        listed.setdefault(row[:groups], []).append(row[groups:])
    named = [(group_name(names, key), rows) for key, rows in listed.items()]
    print_tables(headings, named, rows=table.num_rows)
