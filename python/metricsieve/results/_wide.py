"""One column a metric: points side by side that belong to the same step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve.results._groups import (
    Groups,
    group_columns,
    one_array,
    result_type,
    source_columns,
)
from metricsieve.results._rows import Rows, open_rows, row_numbers, step_metadata

_COLLISIONS = b"metricsieve.collisions"


def wide(x: Any, index: Sequence[str] = ("job", "step")) -> pa.Table:
    """One row for each value of the index, one column for each metric.

    Where several points of a metric have the same index, the last one in the order of the rows
    stays; how many gave way is in the metadata of the table's schema, as the text of a number
    under `metricsieve.collisions`. Rows without a value are left out; a metric without a point at
    an index is null there. A metric with the name of an index column gets `metric:` in front.

    Args:
        x: a `Scan`, an Arrow table or stream, or a result file. The columns of the index, metrics
            and values are held in memory.
        index: columns, in this order. `"job"` is the job where it is known, else the source.
            `"step"` is the step axis, which keeps its name: the column that the schema's metadata
            names, else the first of `step`, `global_step`, `iteration`, `epoch` and `round`.

    Returns:
        The index columns, then the metrics in the order in which they appear. Rows in the order
        in which their index without the step appears, and in each by step, nulls last.

    Raises:
        ValueError: there is no step axis, or no such column; the message says what to do.
        TypeError: `x` is no result.
        SourceError: a file could not be read to its end.

    Example:
        >>> points = pa.table({
        ...     "metric": ["loss", "accuracy", "loss"],
        ...     "value": [0.5, 0.75, 0.25],
        ...     "epoch": [1, 1, 2],
        ... })
        >>> wide(points, index=("step",)).to_pydict()
        {'epoch': [1, 2], 'loss': [0.5, 0.25], 'accuracy': [0.75, None]}
    """
    rows = open_rows(x)
    names = [index] if isinstance(index, str) else list(index)
    axis = rows.needed_step() if "step" in names else rows.step()
    columns = group_columns(rows, names, step=axis)
    if not columns:
        raise ValueError("the index needs at least one column")
    batch = _read(rows, source_columns(columns))
    arrays = [one.of(batch) for one in columns]
    groups = Groups(arrays)
    metrics = Groups([batch.column("metric")])
    cells = Groups([groups.ids, metrics.ids])
    last = cells.extreme("max", row_numbers(batch.num_rows))

    steps = [array for one, array in zip(columns, arrays, strict=True) if one.name == axis]
    others = [array for one, array in zip(columns, arrays, strict=True) if one.name != axis]
    order = _order(groups, steps, others)
    taken = groups.firsts.take(order)
    fields = [pa.field(one.name, one.type) for one in columns]
    result = [array.take(taken).cast(one.type) for one, array in zip(columns, arrays, strict=True)]
    group_of, metric_of = groups.ids.take(last), metrics.ids.take(last)
    used = {one.name for one in columns}
    for number, (metric,) in enumerate(metrics.keys()):
        while metric in used:
            metric = f"metric:{metric}"
        used.add(metric)
        mask = pc.equal(metric_of, pa.scalar(number))
        place = pc.index_in(order, value_set=group_of.filter(mask))
        result.append(batch.column("value").take(last.filter(mask).take(place)))
        fields.append(pa.field(metric, pa.float64()))
    metadata = step_metadata(axis)
    metadata[_COLLISIONS] = str(batch.num_rows - len(cells)).encode()
    schema = pa.schema(fields, metadata=metadata)
    return pa.Table.from_arrays(result, schema=schema)


def _read(rows: Rows, columns: Sequence[str]) -> Any:
    """All points in one batch; texts are dictionaries, which stay small."""
    batches = []
    for batch in rows.points(columns):
        arrays = [
            column.dictionary_encode() if pa.types.is_string(column.type) else column
            for column in batch.columns
        ]
        batches.append(pa.RecordBatch.from_arrays(arrays, names=batch.schema.names))
    if not batches:
        return _empty(rows, columns)
    table = pa.Table.from_batches(batches).unify_dictionaries()
    return pa.RecordBatch.from_arrays(
        [one_array(column) for column in table.columns], names=table.column_names
    )


def _empty(rows: Rows, columns: Sequence[str]) -> pa.RecordBatch:
    """No row of these columns and of `metric` and `value`."""
    names = list(dict.fromkeys(("metric", "value", *columns)))
    kinds = [result_type(rows.schema.field(name).type) for name in names]
    return pa.RecordBatch.from_arrays([pa.array([], kind) for kind in kinds], names=names)


def _order(groups: Groups, steps: Sequence[Any], others: Sequence[Any]) -> Any:
    """The numbers of the groups, in the order of the rows of the result."""
    keys = {}
    if others:  # in the order in which they appear
        keys["outer"] = Groups(others).ids.take(groups.firsts)
    if steps:
        keys["step"] = steps[0].take(groups.firsts)
        if pa.types.is_dictionary(steps[0].type):
            keys["step"] = keys["step"].dictionary_decode()
    return pc.sort_indices(pa.table(keys), [(name, "ascending") for name in keys])
