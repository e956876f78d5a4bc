"""The command `analytics`: averages by the minute, as the SageMaker SDK gives them of a job."""

from __future__ import annotations

from typing import Annotated

import typer

from metricsieve.cli import options
from metricsieve.cli.common import exit_codes
from metricsieve.cli.results import MAX_ROWS, Sources, opened, outputs, print_tables


def analytics(
    sources: Sources,
    definitions: options.Definitions = None,
    metric: options.Metric = None,
    preset: options.Preset = None,
    context: options.Context = None,
    by: options.ByOne = "job",
    group: options.Group = None,
    period: Annotated[
        int, typer.Option(metavar="SECONDS", help="Average values over so long.")
    ] = 60,
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
    """Give the averages that CloudWatch keeps of one job, as the SDK's TrainingJobAnalytics.

    timestamp counts seconds from the first period of each metric. Without -o: a table on a
    terminal, JSON lines in a pipe.
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
            table = results.analytics(found.result, period=period, by=by, group=group)
        found.give(table, targets)
        if not targets:
            rows = [list(row.values()) for row in table.slice(0, MAX_ROWS).to_pylist()]
            print_tables(table.column_names, {"": rows}, rows=table.num_rows)
        raise typer.Exit(found.finish(strict=strict, quiet=quiet, report_file=report))
