"""The command `summary`: a line a metric and job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from metricsieve.cli import options
from metricsieve.cli.input import InputOptions, reads_points
from metricsieve.cli.results import (
    check_objective,
    group_name,
    names,
    of_group,
    outputs,
    print_tables,
)

if TYPE_CHECKING:
    import pyarrow as pa

# What is on a terminal, and what of a ranking is not; files have everything.
_SHOWN = ("metric", "count", "nan", "first", "last", "min", "min_step", "max", "max_step", "mean")
_HIDDEN = ("best_source", "best_line")


@reads_points
def summary(
    given: InputOptions,
    by: options.By = "job",
    group: options.Group = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC",
            help="Instead rank the jobs by the last value of this metric, the lowest first.",
        ),
    ] = None,
    maximize: options.Maximize = False,
    attempts: options.Attempts = False,
    last_attempt: options.LastAttempt = False,
    output: options.TableOutput = None,
) -> int:
    """Give count, first, last, lowest, highest value and mean of each metric of each job.

    With --objective the jobs, the best first, as a tuning job ranks them. Without -o: a table on a
    terminal, JSON lines in a pipe.
    """
    from metricsieve import results

    check_objective(objective, maximize)
    if objective is not None and group is not None:
        raise typer.BadParameter("--objective ranks all jobs, --group takes one")
    targets = outputs(output, given.sources)
    groups = [*names(by), *["attempt"] * attempts]
    with given.opened() as found:
        points = found.points(attempts=attempts, last_attempt=last_attempt)
        if objective is None:
            chosen = points if group is None else of_group(points, names(by), group)
            table = results.summary(chosen, groups)
        else:
            table = results.objective(points, objective, maximize=maximize, by=groups)
    found.give(table, targets)
    if not targets and objective is None:
        _show(table, table.column_names[: len(groups)])
    elif not targets:
        wanted = [name for name in table.column_names if name not in _HIDDEN]
        rows = [list(row.values()) for row in table.select(wanted).to_pylist()]
        print_tables(wanted, [("", rows)], keys=max(1, len(groups)))
    return found.finish()


def _show(table: pa.Table, groups: list[str]) -> None:
    wanted = [name for name in _SHOWN if name in table.column_names]
    if not any(table.column("nan").to_pylist()):
        wanted.remove("nan")
    listed: dict[tuple[object, ...], list[list[object]]] = {}
    for row in table.to_pylist():
        if row["mean"] is not None:
            row["mean"] = float(f"{row['mean']:.6g}")
        key = tuple(row[one] for one in groups)
        listed.setdefault(key, []).append([row[one] for one in wanted])
    print_tables(wanted, [(group_name(groups, key), rows) for key, rows in listed.items()])
