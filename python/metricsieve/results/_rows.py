"""Rows of points, wherever they are: a scan, an Arrow table or stream, a result file.

Principal type: `Rows`, made by `open_rows`. Everything in this package reads through it, a batch
at a time and only the columns that are needed. Files are read by `_result_files`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve import _result_files
from metricsieve._context import STEPS
from metricsieve._point_columns import (
    STEP_KEY,
    check_metric,
    check_names,
    check_value,
    step_axis,
)
from metricsieve._scan import Scan

MICROSECONDS = pa.timestamp("us", "UTC")
_TO_MICROSECONDS = pc.CastOptions(MICROSECONDS, allow_time_truncate=True)
_REQUIRED = ("metric", "value")


class Rows:
    """The rows of one result, to be read once.

    Args:
        schema: of all columns.
        read: gives the batches; it is told which columns are wanted, and may give more.

    Raises:
        ValueError: there is no column `metric` or `value`, `value` holds no numbers, or two columns
            have the same name.
    """

    def __init__(
        self, schema: pa.Schema, read: Callable[[list[str]], Iterator[pa.RecordBatch]]
    ) -> None:
        self.schema = schema
        self._read = read
        check_names(schema.names)
        for name in _REQUIRED:
            if schema.get_field_index(name) < 0:
                raise ValueError(
                    f"there is no column {name!r}: a result has metric and value, and perhaps "
                    f"others; these are {', '.join(map(repr, schema.names)) or 'none'}"
                )
        check_value(schema)

    def __contains__(self, column: str) -> bool:
        return self.schema.get_field_index(column) >= 0

    def points(self, columns: Sequence[str]) -> Iterator[Any]:
        """Batches of the rows that have a value, of these columns and of `metric` and `value`.

        Values are float64, timestamps microseconds in UTC, and texts strings or dictionaries of
        strings, whatever types they had. (The stubs of pyarrow know too little of its columns to
        say more than Any.)

        Raises:
            ValueError: a row has no metric.
        """
        for batch in self._read(self._wanted(columns)):
            plain = self.points_of(batch, columns)
            if plain.num_rows:
                yield plain

    def points_of(self, batch: Any, columns: Sequence[str]) -> Any:
        """The same of one batch of the schema; it may have no rows."""
        wanted = self._wanted(columns)
        plain = pa.RecordBatch.from_arrays(
            [_usual(name, batch.column(name)) for name in wanted], names=wanted
        )
        check_metric(plain.column("metric"))
        if plain.column("value").null_count:
            plain = plain.filter(plain.column("value").is_valid())
        return plain

    def _wanted(self, columns: Sequence[str]) -> list[str]:
        return [name for name in dict.fromkeys((*_REQUIRED, *columns)) if name in self]

    def only(self, columns: Sequence[str], choose: Callable[[Any], Any]) -> Rows:
        """The rows that are chosen, from now on instead of these.

        Args:
            columns: what the choice needs.
            choose: gives a mask for a batch with these columns, in the form that `points` gives;
                at the end it is called with None, and may raise.
        """

        def read(wanted: list[str]) -> Iterator[pa.RecordBatch]:
            for batch in self._read(list(dict.fromkeys((*wanted, "metric", *columns)))):
                # Without any column a batch would have no rows.
                plain = {name: _usual(name, batch.column(name)) for name in ("metric", *columns)}
                yield batch.filter(choose(pa.record_batch(plain)))
            choose(None)

        return Rows(self.schema, read)

    def table(self) -> pa.Table:
        """All rows and columns, as they are."""
        return pa.Table.from_batches(self._read(self.schema.names), schema=self.schema)

    def step(self, given: str | None = None) -> str | None:
        """The column that is the step axis, if there is one: one of numbers, unless it was named.

        Args:
            given: the column that a user named.

        Raises:
            ValueError: there is no such column.
        """
        if given is not None:
            if given not in self:
                raise ValueError(unknown_column(given, self.schema))
            return given
        return step_axis(self.schema)

    def needed_step(self, given: str | None = None, remedy: str = "name a column") -> str:
        """As `step`, where one is needed.

        Args:
            given: the column that a user named.
            remedy: what else can be done where there is none.

        Raises:
            ValueError: there is none; the message says how to get one.
        """
        axis = self.step(given)
        if axis is None:
            raise ValueError(
                "there is no step axis: none of the columns is called "
                f"{', '.join(STEPS)}. Scan with a context column, for example "
                r"context={'epoch': r'Epoch (\d+)'} or -c 'epoch=Epoch (\d+)', or " + remedy
            )
        return axis


def step_metadata(axis: str | None) -> dict[bytes | str, bytes | str]:
    """What a table's metadata says of its step axis."""
    return {} if axis is None else {STEP_KEY: axis.encode()}


def open_rows(x: Any) -> Rows:
    """The rows of a scan, table, batch, stream or file.

    Args:
        x: a `Scan`, which is used up; a pyarrow table, record batch or reader; anything else
            with the Arrow PyCapsule interface; a path ending in `.parquet`, `.arrow`,
            `.feather`, `.csv`, `.jsonl` or `.ndjson`; a directory of Parquet files.

    Raises:
        FileNotFoundError: the file does not exist.
        SourceError: the file is damaged, or not what its name says.
        TypeError: something else.
        ValueError: a path with another suffix, or columns that are no result's.
    """
    if isinstance(x, Rows):
        return x
    if isinstance(x, Scan):
        return Rows(x.schema, lambda columns: _closing(x))
    if isinstance(x, (str, os.PathLike)):
        return Rows(*_result_files.open_file(os.fspath(x)))
    if isinstance(x, pa.Table):
        return Rows(x.schema, lambda columns: iter(x.select(columns).to_batches()))
    if isinstance(x, pa.RecordBatch):
        return Rows(x.schema, lambda columns: iter([x]))
    if not isinstance(x, pa.RecordBatchReader):
        if hasattr(x, "__arrow_c_stream__"):
            x = pa.RecordBatchReader.from_stream(x)
        elif hasattr(x, "__arrow_c_array__"):
            return open_rows(pa.record_batch(x))
        else:
            raise TypeError(
                f"a {type(x).__name__} is no result: give a Scan, an Arrow table or stream, or "
                "the path of a result file"
            )
    return Rows(x.schema, lambda columns: iter(x))


def _closing(scan: Scan) -> Iterator[pa.RecordBatch]:
    with scan:
        yield from scan


def unknown_column(name: str, schema: pa.Schema) -> str:
    """What to say of a column that is not there."""
    import difflib

    close = difflib.get_close_matches(name, schema.names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"there is no column {name!r}: there are {', '.join(map(repr, schema.names))}{hint}"


def _usual(name: str, column: Any) -> Any:
    """A column in the type that the rest of the package knows."""
    kind = column.type
    if name == "value":
        return column if kind == pa.float64() else column.cast(pa.float64(), safe=False)
    if pa.types.is_timestamp(kind):
        return column if kind == MICROSECONDS else column.cast(options=_TO_MICROSECONDS)
    if name == "timestamp" and not pa.types.is_null(kind):
        raise ValueError(
            f"the column 'timestamp' holds {kind}, not times: make it a timestamp, or leave it out"
        )
    if pa.types.is_dictionary(kind):
        if kind == pa.dictionary(pa.int32(), pa.string()):
            return column
        return _usual(name, column.dictionary).take(column.indices)
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return column.cast(pa.string())
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    return column


def row_numbers(count: int) -> Any:
    """0, 1, 2 and so on."""
    ones = pa.repeat(pa.scalar(1, pa.int64()), count)
    return pc.subtract(pc.cumulative_sum(ones), 1)
