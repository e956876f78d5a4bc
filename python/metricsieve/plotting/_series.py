"""From rows to series: the points of each metric of each run, as slices of one Arrow table.

Principal type: `Series`, made by `read_series`, consumed by `chart`. Nothing here runs per point.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve._context import STEPS
from metricsieve._point_columns import STEP_KEY, check_metric, check_value, is_number
from metricsieve._result_files import read_result

_KEYS = ("metric", "job", "source", "host", "rank")


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one metric in one run, in the order of the rows.

    Attributes:
        metric: its name.
        run: the job, else the source; with the host or rank where the run has several.
        rows: columns `value` and those of `SeriesSet.axes` and `timestamp`.
        start: when the run's first point was, in seconds since 1970; None where no time is known.
    """

    metric: str
    run: str
    rows: pa.Table
    start: float | None


@dataclass(frozen=True, slots=True)
class SeriesSet:
    """Everything that was read.

    Attributes:
        series: by metric, in the order in which metrics come; then by run.
        axes: columns that can be the axis, the likeliest first.
        nulls: rows without a value, which are in no series.
        units: of metrics, where the schema tells.
    """

    series: tuple[Series, ...]
    axes: tuple[str, ...]
    nulls: int
    units: dict[str, str]


def read_series(x: Any, step: str | None = None) -> SeriesSet:
    """Read points and sort them by metric and run.

    Args:
        x: a table, a scan, anything with `__arrow_c_stream__`, or a file of points.
        step: the column that is the axis, to be read as well.

    Raises:
        TypeError: x is none of these.
        ValueError: a column is missing, or cannot be an axis.

    Example:
        >>> table = pa.table({"metric": ["b", "a", "b"], "value": [1.0, 2.0, 3.0]})
        >>> [(one.metric, one.rows["value"].to_pylist()) for one in read_series(table).series]
        [('b', [1.0, 3.0]), ('a', [2.0])]
    """
    schema, batches = _batches(x)
    for name in ("metric", "value"):
        if name not in schema.names:
            raise ValueError(f"there is no column {name!r}: points have metric and value")
    check_value(schema)
    axes = _axes(schema, step)
    wanted = [*dict.fromkeys((*_KEYS, "value", "timestamp", *axes))]
    wanted = [name for name in wanted if name in schema.names]
    kept = pa.schema([schema.field(name) for name in wanted])
    table = pa.Table.from_batches((batch.select(wanted) for batch in batches), schema=kept)
    for place, name in enumerate(wanted):
        if name == "value" or name in _KEYS:
            table = table.set_column(place, name, _plain(table[name], name))
    check_metric(table["metric"])
    known = table.filter(pc.is_valid(table["value"]))
    units = _units(schema.metadata)
    return SeriesSet(tuple(_split(known)), axes, table.num_rows - known.num_rows, units)


def _batches(x: Any) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    """The schema and the batches of whatever holds points."""
    if isinstance(x, str | os.PathLike):
        x = read_result(x)
    if isinstance(x, pa.Table):
        return x.schema, x.to_batches()
    schema = getattr(x, "schema", None)
    if isinstance(schema, pa.Schema) and hasattr(x, "__next__"):  # errors stay what they are
        return schema, x
    if hasattr(x, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(x)
        return reader.schema, reader
    if isinstance(x, pa.RecordBatch):
        return x.schema, [x]
    raise TypeError(
        f"points come from a table, a scan or a file of points, not from {type(x).__name__}"
    )


def _axes(schema: pa.Schema, step: str | None) -> tuple[str, ...]:
    """Columns that can be the axis."""
    if step is not None:
        if step not in schema.names:
            known = [name for name in schema.names if _is_axis(schema.field(name).type)]
            raise ValueError(
                f"there is no column {step!r} for the axis: numbers and times are in "
                f"{', '.join(known)}; 'point' counts the points"
            )
        if not _is_axis(schema.field(step).type):
            raise ValueError(f"column {step!r} holds {schema.field(step).type}, not numbers")
        return (step,)
    told = (schema.metadata or {}).get(STEP_KEY, b"").decode()
    names = dict.fromkeys((told, *STEPS))
    return tuple(
        name for name in names if name in schema.names and _is_axis(schema.field(name).type)
    )


def _is_axis(kind: pa.DataType) -> bool:
    return is_number(kind) or pa.types.is_timestamp(kind)


def _units(metadata: dict[bytes, bytes] | None) -> dict[str, str]:
    units: dict[str, str] = json.loads((metadata or {}).get(b"metricsieve.units", b"{}"))
    return units


def _plain(column: Any, name: str) -> Any:
    """A column of one type, whatever library it is from; dictionaries stay, which saves memory."""
    if name == "value":
        return column.cast(pa.float64(), safe=False)
    kind = column.type
    if pa.types.is_dictionary(kind):
        texts: Any = pa.dictionary(kind.index_type, pa.large_string())
        chunks: list[Any] = [
            pa.DictionaryArray.from_arrays(one.indices, one.dictionary.cast(pa.large_string()))
            for one in column.chunks
        ]
        return pa.chunked_array(chunks, texts)
    return column.cast(pa.large_string())


def seconds(column: pa.ChunkedArray[Any]) -> list[float | None]:
    """Times as seconds since 1970.

    Example:
        >>> seconds(pa.chunked_array([pa.array([1500], pa.timestamp("ms"))]))
        [1.5]
    """
    micros = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
    return [None if one is None else one / 1e6 for one in micros.cast(pa.int64()).to_pylist()]


def _split(table: pa.Table) -> Iterator[Series]:
    """The table in pieces, by metric and run; rows keep their order."""
    key: Any
    metrics, metric = _codes(table, "metric")
    runs, run = _runs(table)
    hosts, host = _codes(table, "host")
    ranks, rank = _codes(table, "rank")
    host = _where_several(run, host, len(hosts))
    rank = _where_several(run, rank, len(ranks))
    starts = _starts(table, run)
    key = metric
    for codes, size in ((run, len(runs)), (host, len(hosts) + 1), (rank, len(ranks) + 1)):
        key = pc.add(pc.multiply(key, max(size, 1)), codes)
    order = pc.sort_indices(key)  # stable
    columns = table.drop_columns([name for name in _KEYS if name in table.column_names])
    columns = columns.take(order)
    start = 0
    for count in key.take(order).value_counts().field("counts").to_pylist():
        end = start + count
        row = order[start].as_py()
        parts = [runs[run[row].as_py()]]
        parts += [f"{hosts[host[row].as_py() - 1]}"] if host[row].as_py() else []
        parts += [f"rank {ranks[rank[row].as_py() - 1]}"] if rank[row].as_py() else []
        yield Series(
            metrics[metric[row].as_py() - 1] or "",
            " · ".join(part for part in parts if part),
            columns.slice(start, end - start),
            starts.get(run[row].as_py()),
        )
        start = end


def _codes(table: pa.Table, name: str) -> tuple[list[Any], Any]:
    """The texts of a column, and for each row the number of its text: 0 is none."""
    if name not in table.column_names:
        return [], pa.repeat(pa.scalar(0, pa.int64()), table.num_rows)
    column: Any = table[name]
    encoded = column.unify_dictionaries().combine_chunks().dictionary_encode()
    if len(set(encoded.dictionary.to_pylist())) < len(encoded.dictionary):  # a text twice
        encoded = encoded.cast(pa.large_string()).dictionary_encode()
    codes: Any = pc.add(encoded.indices.cast(pa.int64()), 1)
    return encoded.dictionary.to_pylist(), pc.fill_null(codes, 0)


def _runs(table: pa.Table) -> tuple[list[str], Any]:
    """The jobs, else sources, and for each row the number of its run: 0 is nameless."""
    jobs, job = _codes(table, "job")
    sources, source = _codes(table, "source")
    other = pc.if_else(pc.equal(source, pa.scalar(0)), 0, pc.add(source, len(jobs)))
    return ["", *jobs, *sources], pc.if_else(pc.equal(job, pa.scalar(0)), other, job)


def _where_several(run: Any, codes: Any, size: int) -> Any:
    """The codes of runs with more than one, 0 in all others."""
    pairs = pc.unique(pc.add(pc.multiply(run, size + 1), codes)).to_pylist()
    owners = Counter(pair // (size + 1) for pair in pairs if pair % (size + 1))
    several = [owner for owner, count in owners.items() if count > 1]
    inside = pc.is_in(run, value_set=pa.array(several, pa.int64()))
    return pc.if_else(inside, codes, 0)


def _starts(table: pa.Table, run: Any) -> dict[int, float]:
    """When each run's first point was."""
    if "timestamp" not in table.column_names or not pa.types.is_timestamp(table["timestamp"].type):
        return {}
    times = pa.Table.from_arrays([run, table["timestamp"]], names=["run", "time"])
    found = times.group_by("run").aggregate([("time", "min")])
    owners: list[Any] = found["run"].to_pylist()
    pairs = zip(owners, seconds(found["time_min"]), strict=True)
    return {owner: start for owner, start in pairs if start is not None}
