"""The command `analytics`: averages by the minute, as the SageMaker SDK gives them of a job."""

from __future__ import annotations

from typing import Annotated

import typer

from metricsieve.cli import options
from metricsieve.cli.input import InputOptions, reads_points
from metricsieve.cli.results import MAX_ROWS, outputs, print_tables


@reads_points
def analytics(
    given: InputOptions,
    by: options.ByOne = "job",
    group: options.Group = None,
    period: Annotated[
        int, typer.Option(metavar="SECONDS", help="Average values over so long.")
    ] = 60,
    output: options.TableOutput = None,
) -> int:
    """Give the averages that CloudWatch keeps of one job, as the SDK's TrainingJobAnalytics.

    timestamp counts seconds from the first period of each metric. Without -o: a table on a
    terminal, JSON lines in a pipe.
    """
    from metricsieve import results

    targets = outputs(output, given.sources)
    with given.opened() as found:
        table = results.analytics(found.result, period=period, by=by, group=group)
    found.give(table, targets)
    if not targets:
        rows = [list(row.values()) for row in table.slice(0, MAX_ROWS).to_pylist()]
        print_tables(table.column_names, [("", rows)], keys=2, rows=table.num_rows)
    return found.finish()
