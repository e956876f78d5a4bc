"""Logs of jobs that were restarted: which attempt a row is of, and the last one's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve.results._groups import Groups, group_columns, one_array, source_columns
from metricsieve.results._rows import Rows, open_rows

_COLUMN = "attempt"
_ORIGIN = ("job", "host", "rank", "source")


def attempts(x: Any, step: str | None = None, by: str | Sequence[str] | None = None) -> pa.Table:
    """All rows, with a column `attempt` that counts restarts from 0.

    A job that goes on from a checkpoint repeats steps. A restart is where the step of a metric
    falls below the last step of the same metric in the same group. From this row on, all rows of
    the group are of the next attempt, and the last steps of all its metrics are forgotten: so the
    other metrics, which fall too, count as the same restart.

    The limits of this rule:

    - a row before the first step that falls is of the attempt before, also if the job restarted
      already: a metric that is there for the first time, or that stays at its step or rises;
    - a restart at the very step where a metric ended does not show, as steps must fall;
    - a step that begins again by itself, such as the batch within an epoch, is no step axis here:
      each epoch would be an attempt. Name another with `step`;
    - rows without a step (null or NaN) are of the attempt of the row before them;
    - rows are taken in their order, so one log must be one group, or its parts follow each other.

    Args:
        x: a `Scan`, an Arrow table or stream, or a result file; held in memory.
        step: the step axis; None is the column that the schema's metadata names, else the first
            of `step`, `global_step`, `iteration`, `epoch` and `round`.
        by: columns that tell groups apart. `"job"` is the job where it is known, else the source.
            None is what one process wrote: one job, host and rank, as far as they are known, and
            one source unless job and host are both known. So the log streams that SageMaker
            begins when it restarts a job are one group. Without these columns all rows are one.

    Returns:
        The rows as they are, with the column `attempt` (int32) at the end.

    Raises:
        ValueError: there is no step axis, it holds no numbers, or a column `attempt` is there
            already.
        TypeError: `x` is no result.
        SourceError: a file could not be read to its end.

    Example:
        >>> loss, value = ["loss"] * 4, [4.0, 3, 3, 2]
        >>> points = pa.table({"metric": loss, "value": value, "step": [1, 2, 2, 1]})
        >>> attempts(points)["attempt"].to_pylist()
        [0, 0, 0, 1]
    """
    rows = open_rows(x)
    if _COLUMN in rows:
        raise ValueError(
            "there is a column 'attempt' already: group by it, with by=('job', 'attempt') or "
            "--by job,attempt"
        )
    return _numbered(rows, step, by)[0]


def last_attempt(
    x: Any, step: str | None = None, by: str | Sequence[str] | None = None
) -> pa.Table:
    """The rows that no later attempt repeats.

    For each group, metric and step the rows of the last attempt that has a value stay, all of
    them, in their order. Steps that a later attempt did not log stay as the earlier one has them:
    where it logs other steps than the one before, rows of both are mixed. Rows without a step stay.

    Args:
        x: as for `attempts`; a whole-number column `attempt` that is there already is used.
        step: as for `attempts`.
        by: as for `attempts`.

    Returns:
        The rows that stay, with the column `attempt`.

    Raises:
        ValueError: as `attempts`, or the column `attempt` holds no whole numbers.
        TypeError: `x` is no result.
        SourceError: a file could not be read to its end.

    Example:
        >>> loss, value = ["loss"] * 5, [4.0, 3, 2, 3.5, 2.5]
        >>> points = pa.table({"metric": loss, "value": value, "step": [1, 2, 3, 2, 3]})
        >>> last_attempt(points).select(["value", "step", "attempt"]).to_pydict()
        {'value': [4.0, 3.5, 2.5], 'step': [1, 2, 3], 'attempt': [0, 1, 1]}
    """
    table, groups, steps = _numbered(open_rows(x), step, by)
    attempt = one_array(table.column(_COLUMN))
    cells = Groups([groups.ids, steps])
    # A text that was no number has no value, and takes no other's place.
    valued = pc.if_else(one_array(table.column("value")).is_valid(), attempt, None)
    latest = pc.coalesce(cells.extreme("max", valued), cells.extreme("max", attempt))
    stays = pc.greater_equal(attempt, latest.take(cells.ids))
    return table.filter(pc.or_(stays, steps.is_null()))


def _numbered(
    rows: Rows, step: str | None, by: str | Sequence[str] | None
) -> tuple[pa.Table, Groups, Any]:
    """The rows with their attempts, the groups of one metric each, and the steps."""
    axis = rows.needed_step(step)
    kind: Any = rows.schema.field(axis).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ValueError(f"the step axis {axis!r} holds {kind}, not numbers: name another column")
    columns = () if by is None else group_columns(rows, by, step=axis)
    names = [name for name in _ORIGIN if name in rows] if by is None else source_columns(columns)
    table = rows.table()
    names = [*dict.fromkeys([*names, "metric"])]
    batch = pa.RecordBatch.from_arrays(
        [one_array(table.column(name).unify_dictionaries()) for name in names], names=names
    )
    steps = one_array(table.column(axis))
    if pa.types.is_floating(kind):
        steps = pc.if_else(pc.is_nan(steps), pa.scalar(None, kind), pc.add(steps, 0.0))  # not -0.0
    outer = _processes(batch) if by is None else [one.of(batch) for one in columns]
    groups = Groups([*outer, batch.column("metric")])
    outer_ids = Groups(outer).ids if outer else pa.repeat(pa.scalar(0, pa.int64()), len(steps))
    if _COLUMN not in rows:
        found = pa.chunked_array([_attempts(outer_ids, groups.ids, steps)])
        table = table.append_column(_COLUMN, found)
    elif not pa.types.is_integer(rows.schema.field(_COLUMN).type):
        raise ValueError("the column 'attempt' holds no whole numbers: rename it")
    return table, groups, steps


def _processes(batch: Any) -> list[Any]:
    """What the rows of one process have in common."""
    found = {name: batch.column(name) for name in _ORIGIN if name in batch.schema.names}
    if found.keys() >= {"job", "host", "source"}:
        known = pc.and_(found["job"].is_valid(), found["host"].is_valid())
        sources = Groups([found["source"]]).ids
        found["source"] = pc.if_else(known, pa.scalar(None, pa.int64()), sources)
    return list(found.values())


def _attempts(outer: Any, series: Any, steps: Any) -> Any:
    """The attempt of each row.

    Args:
        outer: the number of its group.
        series: the number of its group and metric.
        steps: where null is no step.
    """
    zeros = pa.repeat(pa.scalar(0, pa.int32()), len(steps))
    known = pa.table({"outer": outer, "series": series, "step": steps}).filter(steps.is_valid())
    ordered = known.take(pc.sort_indices(known, [("series", "ascending")]))  # stable
    before, after = ordered.slice(0, max(0, len(ordered) - 1)), ordered.slice(1)
    falls = pc.and_(
        pc.equal(before["series"], after["series"]), pc.less(after["step"], before["step"])
    )
    restarted = one_array(after["outer"].filter(falls)).unique()
    if not len(restarted):
        return zeros
    # A restart forgets what came before it, which no function of Arrow can. Most logs have none.
    mask = pc.is_in(outer, value_set=restarted)
    now: dict[int, int] = {}
    last: dict[int, dict[int, Any]] = {}
    numbers = []
    for group, one, step in zip(
        *(column.filter(mask).to_pylist() for column in (outer, series, steps)), strict=True
    ):
        seen = last.setdefault(group, {})
        if step is not None:
            if one in seen and step < seen[one]:
                now[group] = now.get(group, 0) + 1
                seen.clear()
            seen[one] = step
        numbers.append(now.get(group, 0))
    return pc.replace_with_mask(zeros, mask, pa.array(numbers, pa.int32()))
