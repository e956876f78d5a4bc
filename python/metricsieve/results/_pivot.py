"""Points side by side that belong to the same step: fed batch by batch, a table at the end.

Principal type: `Pivot`. `_wide` and the sink `wide:` feed it. What it holds is the last point of
each cell of the table, and up to as many points again that came since it last looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve.results._groups import (
    GroupColumn,
    Groups,
    group_columns,
    named,
    one_array,
    source_columns,
)
from metricsieve.results._rows import Rows, row_numbers, step_metadata

COUNTED = "point"  # the axis that counts the points of each metric
_REMEDY = "name a column, or count the points with step='point' (--step point)"
_COLLISIONS = b"metricsieve.collisions"
_METRIC, _VALUE = "metric", "value"
_ROWS = 1 << 20  # so many are held before the first look for those that were replaced
_BATCHES = 1024  # so many small ones become one


class Pivot:
    """Gathers points; makes a row of each value of the index, a column of each metric.

    Args:
        rows: whose points they will be.
        index: names of columns, as `wide` takes them.
        step: the step axis; None is the usual one, `point` counts the points of each metric in
            what the other columns of the index have in common, from 1.
        mixes: whether points of several jobs may give way to each other, where nothing of the index
            tells them apart.

    Attributes:
        columns: those that batches must have, beside `metric` and `value`.
        axis: the step axis, None where there is none.
        replaced: points that gave way to a later one of their cell, after `table`.
        without_step: points whose step is null.
        renamed: new names of metrics that are called like a column of the index, after `table`.

    Raises:
        ValueError: there is no step axis, or no such column; the index is empty. From `table`:
            points of several jobs are in one cell.
    """

    def __init__(
        self, rows: Rows, index: Sequence[str], step: str | None = None, *, mixes: bool = False
    ) -> None:
        names = [index] if isinstance(index, str) else list(index)
        self._counts = step == COUNTED and COUNTED not in rows
        if self._counts:
            self.axis: str | None = COUNTED
            place = names.index("step") if "step" in names else len(names)
            names = [name for name in names if name != "step"]
            found = list(group_columns(rows, names))
            found.insert(place, GroupColumn(COUNTED, (), pa.int64()))
            self._columns = tuple(found)
        else:
            self.axis = rows.needed_step(step, _REMEDY) if "step" in names else rows.step(step)
            self._columns = group_columns(rows, names, step=self.axis)
        if not self._columns:
            raise ValueError("the index needs at least one column")
        told_apart = [one for one in self._columns if one.name not in (self.axis, "attempt")]
        is_alone = not self._counts and not told_apart
        self._jobs = group_columns(rows, "job") if is_alone and not mixes else ()
        self.columns = tuple(source_columns((*self._columns, *self._jobs)))
        self.replaced = self.without_step = 0
        self.renamed: dict[str, str] = {}
        self._held: list[Any] = []
        self._rows = self._kept = 0

    def add(self, batch: Any) -> None:
        """Take a batch in the form that `Rows.points` gives."""
        arrays = [one.of(batch) for one in self._columns]
        if not self._counts:
            steps = [a for a, one in zip(arrays, self._columns, strict=True) if self._is_axis(one)]
            self.without_step += sum(array.null_count for array in steps)
        arrays += [one.of(batch) for one in self._jobs]
        arrays += [batch.column(_METRIC), batch.column(_VALUE)]
        arrays = [a.dictionary_encode() if pa.types.is_string(a.type) else a for a in arrays]
        self._held.append(
            pa.RecordBatch.from_arrays(arrays, names=list(map(str, range(len(arrays)))))
        )
        self._rows += batch.num_rows
        if self._rows >= 2 * max(_ROWS, self._kept) and not self._counts:
            self._drop_replaced()
        elif len(self._held) >= _BATCHES:
            self._held = [self._joined()]

    def table(self) -> pa.Table:
        """The table; afterwards there is nothing left to add to."""
        if not self._held:
            return self._empty()
        if self._counts:
            self._number()
        self._drop_replaced()
        (batch,), self._held = self._held, []
        *arrays, metric, value = batch.columns
        if self._jobs:
            self._check_jobs(arrays.pop(), [*arrays, metric])
        groups, metrics = Groups(arrays), Groups([metric])
        order = self._order(groups, arrays)
        taken = groups.firsts.take(order)
        columns = [
            array.take(taken).cast(one.type)
            for one, array in zip(self._columns, arrays, strict=True)
        ]
        by_metric = pc.sort_indices(metrics.ids)
        sizes = metrics.aggregate(size=(metrics.ids, "count"))["size"].to_pylist()
        start = 0
        for size in sizes:
            cells = by_metric.slice(start, size)
            place = pc.index_in(order, value_set=groups.ids.take(cells))
            columns.append(value.take(cells).take(place))
            start += size
        return pa.Table.from_arrays(columns, schema=self._schema(metrics))

    def notes(self) -> list[str]:
        """What was done with some points, as sentences; after `table`."""
        index = ", ".join(one.name for one in self._columns)
        found = []
        if self.replaced:
            found.append(
                f"{_points(self.replaced)} came again with the same {index}: the last one counts"
            )
        if self.without_step:
            found.append(f"{_points(self.without_step)} without {self.axis}: in rows without one")
        for old, new in self.renamed.items():
            found.append(
                f"the metric {old!r} is the column {new!r}: there is one of its name already"
            )
        return found

    def _check_jobs(self, job: Any, cell: Sequence[Any]) -> None:
        """Refuse points of several jobs in one cell: which one counts would be by chance."""
        if len(Groups(cell)) < len(job):
            raise ValueError(
                f"points of several jobs have the same {self.axis}: "
                f"{named(Groups([job]).keys())}. Choose one with group=... (--group), or put what "
                "tells them apart into the index (--by)"
            )

    def _is_axis(self, column: GroupColumn) -> bool:
        return column.name == self.axis

    def _joined(self) -> Any:
        """Everything that is held, in one batch."""
        table = pa.Table.from_batches(self._held).unify_dictionaries()
        return pa.RecordBatch.from_arrays(
            [one_array(column) for column in table.columns], names=table.column_names
        )

    def _drop_replaced(self) -> None:
        """Keep the last point of each cell, at the place of its first one: see `_order`."""
        batch = self._joined()
        cells = Groups(batch.columns[:-1])
        last = cells.extreme("max", row_numbers(batch.num_rows))
        self.replaced += batch.num_rows - len(last)
        self._held = [batch if len(last) == batch.num_rows else batch.take(last)]
        self._rows = self._kept = len(last)

    def _number(self) -> None:
        """Fill the column that counts the points of each metric."""
        batch = self._joined()
        *arrays, metric, _ = batch.columns
        names = list(batch.schema.names)
        others = [a for a, one in zip(arrays, self._columns, strict=True) if not self._is_axis(one)]
        series = Groups([*others, metric])
        order = pc.array_sort_indices(series.ids)  # stable
        rows = row_numbers(batch.num_rows)
        at = rows.take(pc.array_sort_indices(order))  # the place of each row in this order
        first = series.extreme("min", at).take(series.ids)
        place = next(n for n, one in enumerate(self._columns) if self._is_axis(one))
        arrays[place] = pc.add(pc.subtract(at, first), 1)
        self._held = [pa.RecordBatch.from_arrays([*arrays, *batch.columns[-2:]], names=names)]

    def _order(self, groups: Groups, arrays: Sequence[Any]) -> Any:
        """The numbers of the groups, in the order of the rows of the table.

        By the index without the step in the order in which it appears, then by step. Points that
        gave way do not count less: the last one of a cell stands where its first one was.
        """
        steps = [a for a, one in zip(arrays, self._columns, strict=True) if self._is_axis(one)]
        others = [a for a, one in zip(arrays, self._columns, strict=True) if not self._is_axis(one)]
        keys = {}
        if others:
            keys["outer"] = Groups(others).ids.take(groups.firsts)
        if steps:
            step = steps[0].take(groups.firsts)
            keys["step"] = step.dictionary_decode() if pa.types.is_dictionary(step.type) else step
        return pc.sort_indices(pa.table(keys), [(name, "ascending") for name in keys])

    def _schema(self, metrics: Groups | None) -> pa.Schema:
        fields = [pa.field(one.name, one.type) for one in self._columns]
        used = {one.name for one in self._columns}
        for (metric,) in metrics.keys() if metrics is not None else ():
            name = metric
            while name in used:
                name = f"metric:{name}"
            if name != metric:
                self.renamed[metric] = name
            used.add(name)
            fields.append(pa.field(name, pa.float64()))
        metadata = step_metadata(None if self._counts else self.axis)
        metadata[_COLLISIONS] = str(self.replaced).encode()
        return pa.schema(fields, metadata=metadata)

    def _empty(self) -> pa.Table:
        schema = self._schema(None)
        return schema.empty_table()


def _points(count: int) -> str:
    return f"{count:,} point{'' if count == 1 else 's'}"
