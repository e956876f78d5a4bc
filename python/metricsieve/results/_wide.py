"""One column a metric: points side by side that belong to the same step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from metricsieve.results._groups import only_group
from metricsieve.results._pivot import COUNTED, Pivot
from metricsieve.results._rows import open_rows


def wide(
    x: Any,
    index: Sequence[str] = ("job", "step"),
    *,
    step: str | None = None,
    group: object = None,
) -> pa.Table:
    """One row for each value of the index, one column for each metric.

    Where several points of a metric have the same index, the last one in the order of the rows
    stays; how many gave way is in the metadata of the table's schema, as the text of a number
    under `metricsieve.collisions`. Rows without a value are left out; a metric without a point at
    an index is null there. A metric with the name of an index column gets `metric:` in front.

    Args:
        x: a `Scan`, an Arrow table or stream, or a result file; read batch by batch. Held in
            memory are the points of the table, at most twice, and the table.
        index: columns, in this order. `"job"` is the job where it is known, else the source.
            `"step"` is the step axis, which keeps its name.
        step: the step axis; None is the column that the schema's metadata names, else the first
            of `step`, `global_step`, `iteration`, `epoch` and `round`. `"point"`, where there is
            no column of that name, counts the points of each metric in what the rest of the index
            has in common, from 1.

        group: only the group with this value, or this text, of the index columns that are not the
            step; of the job, where there is no other.

    Returns:
        The index columns, then the metrics in the order in which they appear. Rows in the order
        in which their index without the step appears, and in each by step, nulls last.

    Raises:
        ValueError: there is no step axis, or no such column or group; or the index is the step
            alone, and points of several jobs have the same one. The message says what to do.
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
    return pivoted(x, index, step, group)[0]


def pivoted(
    x: Any, index: Sequence[str], step: str | None, group: object = None
) -> tuple[pa.Table, list[str]]:
    """The same, and sentences about what was done with some points."""
    rows = open_rows(x)
    if group is not None:
        names = [index] if isinstance(index, str) else list(index)
        axis = step if step == COUNTED else rows.step(step)
        by = [name for name in names if name not in ("step", axis)]
        rows = only_group(rows, by or "job", group)
    pivot = Pivot(rows, index, step)
    for batch in rows.points(pivot.columns):
        pivot.add(batch)
    table = pivot.table()
    return table, pivot.notes()
