"""The command `final`: the last value of each metric, as SageMaker describes a job."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from metricsieve._json_floats import json_float
from metricsieve.cli import options
from metricsieve.cli.common import is_terminal, open_stdout
from metricsieve.cli.input import InputOptions, reads_points
from metricsieve.cli.results import check_objective, print_tables


@reads_points
def final(
    given: InputOptions,
    by: options.ByOne = "job",
    group: options.Group = None,
    float32: Annotated[
        bool, typer.Option("--float32", help="Round to 32 bits, as SageMaker does.")
    ] = False,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC", help="Take the job whose last value of this metric is the lowest."
        ),
    ] = None,
    maximize: options.Maximize = False,
    table: Annotated[
        bool, typer.Option("--table", help="A table, also if stdout is no terminal.")
    ] = False,
) -> int:
    """Give the last value of each metric of one job, like SageMaker's FinalMetricDataList.

    A table on a terminal, JSON in a pipe. --objective takes the job that a tuning job would.
    """
    check_objective(objective, maximize)
    from metricsieve.results import final_metrics

    with given.opened() as found:
        entries = final_metrics(
            found.result,
            by,
            group=group,
            float32=float32,
            objective=objective,
            maximize=maximize,
        )
    if table or is_terminal(sys.stdout):
        rows = [(e["MetricName"], e["Value"], _time(e.get("Timestamp"))) for e in entries]
        print_tables(("metric", "value", "timestamp"), [("", rows)])
    else:
        lines = ",\n".join(f"  {json.dumps(_json(e), ensure_ascii=False)}" for e in entries)
        open_stdout().write(f"[\n{lines}\n]\n" if lines else "[]\n")
        sys.stdout.flush()
    return found.finish()


def _json(entry: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN, no infinity and no time: these are texts, as in JSON lines."""
    told = {**entry, "Value": json_float(entry["Value"])}
    if "Timestamp" in told:
        told["Timestamp"] = _time(told["Timestamp"])
    return told


def _time(time: datetime | None) -> str:
    return "" if time is None else time.isoformat()
