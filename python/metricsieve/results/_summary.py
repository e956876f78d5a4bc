"""A line a metric and group: `summary`; and groups ranked by one metric: `objective`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from metricsieve.results._final import no_metric, rank
from metricsieve.results._groups import GroupColumn, group_columns, only_group, result_type
from metricsieve.results._rows import Rows, open_rows, step_metadata
from metricsieve.results._tally import Place, tally

_PLACES = ("source", "line")


def summary(x: Any, by: str | Sequence[str] = ("job",), *, group: object = None) -> pa.Table:
    """One row for each metric of each group: how many points, and which.

    The table has the columns of `by`, then `metric`; `count`, the points; `nan`, those that are
    NaN; `first` and `last`, in the order of the rows; `min`, `max`, `mean` and `std`, without
    NaN; and where the lowest and the highest value stand for the first time: `min_step`,
    `min_source`, `min_line`, `max_step`, `max_source` and `max_line`, as far as the result has a
    step axis, sources and lines. The step axis is the column that the schema's metadata names,
    else the first of `step`, `global_step`, `iteration`, `epoch` and `round`.

    `std` is that of a sample (n - 1), null below two points. An infinite value makes the mean
    infinite and `std` NaN. Rows without a value are left out. Mean and `std` have some 14 digits
    of the largest value; `std` for values between 1e-150 and 1e150, whose squares are numbers.

    Args:
        x: a `Scan`, an Arrow table or stream, or a result file; read batch by batch, in memory
            bounded by the number of rows of the summary.
        by: columns that tell groups apart. `"job"` is the job where it is known, else the source;
            `"step"` the step axis. `()` is one group.
        group: only the group with this value, or this text (`"a, b"` of two columns).

    Returns:
        Groups in the order in which they appear, and in each the metrics likewise.

    Raises:
        ValueError: a column of `by` is not there, or has a name of the summary; there is no such
            group, the message names those that are.
        TypeError: `x` is no result.
        SourceError: a file could not be read to its end.

    Example:
        >>> loss, value = ["loss"] * 3, [0.5, 0.25, 0.75]
        >>> points = pa.table({"metric": loss, "value": value, "step": [1, 2, 3]})
        >>> table = summary(points, by=())
        >>> table.select(["metric", "count", "min", "min_step", "mean", "std"]).to_pylist()
        [{'metric': 'loss', 'count': 3, 'min': 0.25, 'min_step': 2, 'mean': 0.5, 'std': 0.25}]
    """
    rows = open_rows(x)
    axis = rows.step()
    if group is not None:
        rows = only_group(rows, by, group, axis)
    columns = group_columns(rows, by, step=axis)
    places = _places(rows, axis)
    found = tally(rows, columns, places)
    of_all = [(key, name, one) for key, all_ in found.groups.items() for name, one in all_.items()]
    table = _Table(columns, [key for key, _, _ in of_all])
    table.add("metric", pa.string(), (name for _, name, _ in of_all))
    tallies = [one for _, _, one in of_all]
    table.add("count", pa.int64(), (one.count for one in tallies))
    table.add("nan", pa.int64(), (one.nan for one in tallies))
    table.add("first", pa.float64(), (one.first for one in tallies))
    table.add("last", pa.float64(), (one.last for one in tallies))
    table.add("min", pa.float64(), (one.low for one in tallies))
    table.add("max", pa.float64(), (one.high for one in tallies))
    table.add("mean", pa.float64(), (one.average() for one in tallies))
    table.add("std", pa.float64(), (one.deviation() for one in tallies))
    table.add_places("min", rows, places, axis, [one.low_at for one in tallies])
    table.add_places("max", rows, places, axis, [one.high_at for one in tallies])
    return table.table(axis)


def objective(
    x: Any, name: str, *, maximize: bool = False, by: str | Sequence[str] = "job"
) -> pa.Table:
    """Groups ranked by one metric, the best first, as a tuning job ranks its training jobs.

    A tuning job compares the latest value of its objective, not the best one. So does this: the
    column `value` is the last one, in the order of the rows. Beside it are `points`, how many
    there are, and the best value ever with its place: `best`, `best_step`, `best_source` and
    `best_line`, the last three as in `summary`. Groups whose last value is NaN come last; equals
    stay in the order in which they appear. A group without a point of the metric is not there.

    Args:
        x: a `Scan`, an Arrow table or stream, or a result file.
        name: the metric.
        maximize: whether the highest value is the best one, or the lowest.
        by: as in `summary`.

    Raises:
        ValueError: the metric has no point; the message names those that have. Or as `summary`.
        TypeError: `x` is no result.
        SourceError: a file could not be read to its end.

    Example:
        >>> job, value = ["a", "a", "b"], [0.25, 0.75, 0.5]
        >>> points = pa.table({"metric": ["loss"] * 3, "value": value, "job": job})
        >>> objective(points, "loss").to_pydict()
        {'job': ['b', 'a'], 'value': [0.5, 0.75], 'points': [1, 2], 'best': [0.5, 0.25]}
    """
    rows = open_rows(x)
    axis = rows.step()
    columns = group_columns(rows, by, step=axis)
    places = _places(rows, axis)
    found = tally(rows, columns, places, only=name)
    if not found.groups:
        raise ValueError(no_metric(name, set(found.metrics)))
    ranked = sorted(
        ((key, metrics[name]) for key, metrics in found.groups.items()),
        key=lambda one: rank(one[1].last, maximize),
    )
    tallies = [one for _, one in ranked]
    table = _Table(columns, [key for key, _ in ranked])
    table.add("value", pa.float64(), (one.last for one in tallies))
    table.add("points", pa.int64(), (one.count for one in tallies))
    table.add("best", pa.float64(), (one.high if maximize else one.low for one in tallies))
    best_at = [one.high_at if maximize else one.low_at for one in tallies]
    table.add_places("best", rows, places, axis, best_at)
    return table.table(axis)


def _places(rows: Rows, axis: str | None) -> list[str]:
    """The columns that tell where a point is, as far as they are there."""
    return [name for name in dict.fromkeys((axis, *_PLACES)) if name is not None and name in rows]


class _Table:
    """A table that is made column by column, group columns first."""

    def __init__(self, columns: Sequence[GroupColumn], keys: Sequence[tuple[Any, ...]]) -> None:
        self._fields: list[pa.Field[Any]] = []
        self._arrays: list[Any] = []
        for number, column in enumerate(columns):
            self.add(column.name, column.type, (key[number] for key in keys))

    def add(self, name: str, kind: Any, cells: Iterable[Any]) -> None:
        if any(field.name == name for field in self._fields):
            raise ValueError(f"cannot group by {name!r}: the result has a column of that name")
        self._fields.append(pa.field(name, kind))
        self._arrays.append(pa.array(list(cells), kind))

    def add_places(
        self,
        prefix: str,
        rows: Rows,
        names: Sequence[str],
        axis: str | None,
        places: Sequence[Place | None],
    ) -> None:
        """A column for each part of a place; the step axis is called `step`, whatever its name."""
        for number, name in enumerate(names):
            kind = result_type(rows.schema.field(name).type)
            cells = (None if place is None else place[number] for place in places)
            self.add(f"{prefix}_{'step' if name == axis else name}", kind, cells)

    def table(self, axis: str | None) -> pa.Table:
        schema = pa.schema(self._fields, metadata=step_metadata(axis))
        return pa.Table.from_arrays(self._arrays, schema=schema)
