"""What the SageMaker SDK shows of a training job: averages by period, x in seconds."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve.exceptions import MetricsieveWarning
from metricsieve.results._groups import Groups, Key, choose, group_columns, source_columns
from metricsieve.results._rows import open_rows

_LONGEST = 10**9  # seconds, of a period
_LIMIT = 2.0**360  # CloudWatch takes values from -2^360 to 2^360, no NaN and no infinity
_LEFT_OUT = b"metricsieve.left_out"

# Of one metric: sum and count of the values in each period, by its number since 1970.
Periods = dict[int, tuple[float, int]]


def analytics(x: Any, *, period: int = 60, by: str = "job", group: object = None) -> pa.Table:
    """The table of the SageMaker SDK's `TrainingJobAnalytics`, from the points themselves.

    CloudWatch keeps averages by period, and the SDK counts seconds from the first period of each
    metric, so that the metrics of a job do not begin together. Periods begin at whole multiples
    of their length since 1970 in UTC, as CloudWatch's do: with 60 seconds at each full minute. A
    period without a point has no row.

    Points without a timestamp are left out, and so are those that CloudWatch refuses: NaN,
    infinities, and values beyond 2^360. A warning says how many, and so does the metadata of the
    table's schema, under `metricsieve.left_out`: a JSON object with `timestamp` and `value`.

    Args:
        x: a `Scan`, an Arrow table or stream, or a result file; read batch by batch, in memory
            bounded by the number of rows of the table.
        period: seconds that are averaged.
        by: the column that tells jobs apart. `"job"` is the job where it is known, else the
            source.
        group: the job to take; without it there may be only one.

    Returns:
        `timestamp`, the seconds; `metric_name`; `value`, the average. By metric in the order of
        their first points, then by time.

    Raises:
        ValueError: the result has no column `timestamp`; there are several jobs and none was
            chosen, or the chosen one is not there; `period` is below 1 or above 10^9.
        TypeError: `x` is no result, or `period` no whole number.
        SourceError: a file could not be read to its end.

    Example:
        >>> import datetime
        >>> start = datetime.datetime(2024, 1, 1, 12, 0, 50, tzinfo=datetime.UTC)
        >>> times = [start + datetime.timedelta(seconds=n) for n in (0, 20, 40)]
        >>> loss, value = ["loss"] * 3, [3.0, 2.0, 1.0]
        >>> points = pa.table({"metric": loss, "value": value, "timestamp": times})
        >>> analytics(points).to_pydict()
        {'timestamp': [0.0, 60.0], 'metric_name': ['loss', 'loss'], 'value': [3.0, 1.5]}
    """
    if isinstance(period, bool) or not isinstance(period, int):
        raise TypeError(f"period must be a whole number of seconds, not {period!r}")
    if not 1 <= period <= _LONGEST:
        raise ValueError(f"period must be 1 to {_LONGEST:,} seconds, not {period:,}")
    rows = open_rows(x)
    if "timestamp" not in rows:
        raise ValueError("there is no column 'timestamp': averages by time need one")
    columns = group_columns(rows, by)
    found: dict[Key | None, dict[str, Periods]] = {}
    left_out: dict[Key | None, list[int]] = {}
    for batch in rows.points([*source_columns(columns), "timestamp"]):
        arrays = [one.of(batch) for one in columns]
        value, time = batch.column("value"), batch.column("timestamp")
        timed = time.is_valid()
        taken = pc.less_equal(pc.abs(value), pa.scalar(_LIMIT))  # false for NaN
        _count(left_out, arrays, timed, taken)
        kept = pc.and_(timed, taken)
        micros = time.cast(pa.int64()).filter(kept)
        keys = [array.filter(kept) for array in (*arrays, batch.column("metric"))]
        groups = Groups([*keys, _floor(micros, period * 1_000_000)])
        values = value.filter(kept)
        told = groups.aggregate(sum=(values, "sum"), count=(values, "count"))
        sums, counts = told["sum"].to_pylist(), told["count"].to_pylist()
        for (*key, metric, number), total, count in zip(groups.keys(), sums, counts, strict=True):
            periods = found.setdefault(tuple(key), {}).setdefault(metric, {})
            before = periods.get(number, (0.0, 0))
            periods[number] = (before[0] + total, before[1] + count)
    chosen = choose(left_out, group, by)
    untimed, refused = left_out.get(chosen, [0, 0])
    _warn(untimed, refused)
    return _table(found.get(chosen, {}), period, {"timestamp": untimed, "value": refused})


def _count(
    left_out: dict[Key | None, list[int]], arrays: list[Any], timed: Any, taken: Any
) -> None:
    """Counts what is left out of each group, in the order in which the groups appear."""
    groups = Groups(arrays)
    told = groups.aggregate(
        untimed=(pc.invert(timed).cast(pa.int64()), "sum"),
        refused=(pc.and_not(timed, taken).cast(pa.int64()), "sum"),
    )
    counts = zip(told["untimed"].to_pylist(), told["refused"].to_pylist(), strict=True)
    for key, (untimed, refused) in zip(groups.keys(), counts, strict=True):
        so_far = left_out.setdefault(key, [0, 0])
        so_far[0] += untimed
        so_far[1] += refused


def _floor(numbers: Any, unit: int) -> Any:
    """Whole multiples of `unit` in each number, rounded down; Arrow rounds towards zero."""
    whole = pc.divide(numbers, unit)
    below = pc.less(numbers, pc.multiply(whole, unit))
    return pc.subtract(whole, below.cast(pa.int64()))


def _warn(untimed: int, refused: int) -> None:
    for count, why in (
        (untimed, "have no timestamp"),
        (refused, "are NaN, infinite or beyond 2^360, which CloudWatch refuses"),
    ):
        if count:
            warnings.warn(
                f"{count:,} points {why}, and are left out", MetricsieveWarning, stacklevel=3
            )


def _table(found: dict[str, Periods], period: int, left_out: dict[str, int]) -> pa.Table:
    seconds, names, values = [], [], []
    for name, periods in found.items():
        first = min(periods)
        for number in sorted(periods):
            total, count = periods[number]
            seconds.append(float((number - first) * period))
            names.append(name)
            values.append(total / count)
    columns: dict[str, Any] = {
        "timestamp": pa.array(seconds, pa.float64()),
        "metric_name": pa.array(names, pa.string()),
        "value": pa.array(values, pa.float64()),
    }
    return pa.table(columns, metadata={_LEFT_OUT: json.dumps(left_out).encode()})
