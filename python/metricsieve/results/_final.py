"""The last value of each metric, as SageMaker describes a job that has ended."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve.results._groups import (
    Groups,
    Key,
    choose,
    group_columns,
    named,
    source_columns,
)
from metricsieve.results._rows import Rows, open_rows, row_numbers

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

# Of one metric: its last value, and the microseconds since 1970 where they are known.
Last = tuple[float, int | None]


def final_metrics(
    x: Any,
    by: str = "job",
    *,
    group: object = None,
    float32: bool = False,
    objective: str | None = None,
    maximize: bool = False,
) -> list[dict[str, Any]]:
    """The last value of each metric of one job, in the shape of `FinalMetricDataList`.

    The last value is that of the last row, in the order of the rows: by sources in the order in
    which they were given, then by place. Where a job has several hosts, that is the last value of
    the last host's log, not the latest in time. Rows without a value are left out; NaN is a value.

    Args:
        x: a `Scan`, an Arrow table or stream, or a result file.
        by: the column that tells jobs apart. `"job"` is the job where it is known, else the
            source.
        group: the job to take. Without it there may be only one, unless `objective` chooses.
        float32: round as SageMaker does, which stores 32 bits; a value beyond them is infinite.
        objective: take the job whose last value of this metric is the best, as a tuning job does.
        maximize: whether the highest objective is the best one, or the lowest.

    Returns:
        A dict a metric, in the order of their first points: `MetricName`, `Value`, and where it
        is known `Timestamp`, in UTC.

    Raises:
        ValueError: there are several jobs and none was chosen, or the chosen one, the objective
            or the column `by` is not there.
        TypeError: `x` is no result.
        SourceError: a file could not be read to its end.

    Example:
        >>> points = pa.table({"metric": ["loss", "loss"], "value": [0.5, 0.1]})
        >>> final_metrics(points)
        [{'MetricName': 'loss', 'Value': 0.1}]
        >>> final_metrics(points, float32=True)
        [{'MetricName': 'loss', 'Value': 0.10000000149011612}]
    """
    if group is not None and objective is not None:
        raise ValueError("group and objective both choose a job: give one of them")
    found = _last_values(open_rows(x), by)
    chosen = choose(found, group, by) if objective is None else _best(found, objective, maximize)
    return [
        _entry(name, value, time, float32) for name, (value, time) in found.get(chosen, {}).items()
    ]


def _last_values(rows: Rows, by: str) -> dict[Key | None, dict[str, Last]]:
    """The last value of each metric in each group, in the order in which they appear."""
    columns = group_columns(rows, by)
    found: dict[Key | None, dict[str, Last]] = {}
    for batch in rows.points([*source_columns(columns), "timestamp"]):
        groups = Groups([*(one.of(batch) for one in columns), batch.column("metric")])
        last = groups.extreme("max", row_numbers(batch.num_rows))
        values = batch.column("value").take(last).to_pylist()
        times: list[Any] = [None] * len(groups)
        if "timestamp" in rows:
            times = batch.column("timestamp").take(last).cast(pa.int64()).to_pylist()
        for (*key, metric), value, time in zip(groups.keys(), values, times, strict=True):
            found.setdefault(tuple(key), {})[metric] = (value, time)
    return found


def _best(found: dict[Key | None, dict[str, Last]], objective: str, maximize: bool) -> Key | None:
    last = {key: metrics[objective][0] for key, metrics in found.items() if objective in metrics}
    if not last:
        raise ValueError(no_metric(objective, {m for metrics in found.values() for m in metrics}))
    return min(last, key=lambda key: rank(last[key], maximize))


def rank(value: float, maximize: bool) -> tuple[bool, float]:
    """What values are sorted by so that the best is first and NaN last."""
    nan = value != value
    return nan, 0.0 if nan else -value if maximize else value


def no_metric(name: str, metrics: set[str]) -> str:
    """What to say of a metric without a point."""
    there = named([(one,) for one in sorted(metrics)])
    return f"the metric {name!r} has no point: {there or 'there is no point at all'}"


def _entry(name: str, value: float, time: int | None, float32: bool) -> dict[str, Any]:
    if float32:
        value = pc.cast(pa.scalar(value, pa.float64()), pa.float32()).as_py()
    entry: dict[str, Any] = {"MetricName": name, "Value": value}
    if time is not None:
        try:
            entry["Timestamp"] = _EPOCH + datetime.timedelta(microseconds=time)
        except OverflowError:
            raise ValueError(
                f"the time of {name!r} is not in the years 1 to 9999, which a datetime holds"
            ) from None
    return entry
