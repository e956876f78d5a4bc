"""Text formats of time series databases: what their sinks share.

Principal types: `LineSink`, their base, and `Point`, a row as such formats see it: a metric, tags
that tell its series from others, fields beside the value, a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from metricsieve.sinks._refused import DeadLetters
from metricsieve.sinks._series import plain
from metricsieve.sinks._text_sink import TextSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

# Columns that say where a row stands: neither tags nor fields.
_PLACES = {"metric", "value", "timestamp", "line", "offset", "definition", "match", "text"}


class Point(NamedTuple):
    """A row as a point of a series.

    Attributes:
        metric: its name.
        value: its value.
        micros: its time in microseconds since 1970.
        tags: texts by column, those that are not null: job, host, stream, rank, source, labels.
        fields: numbers by column, those that are not null: context columns.
    """

    metric: str
    value: float
    micros: int
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, float | int], ...]


class LineSink(TextSink):
    """A file or stdout with the points that have a value and a time.

    Args:
        path: the file, or `-`.
        schema: of the batches.
        what: the format's name, for notes.
        dead_letters: a file that rows are appended to which the format cannot hold.

    Raises:
        SinkError: the file cannot be opened.
    """

    guarantee = "whole at the end"

    def __init__(self, path: str, schema: pa.Schema, what: str, dead_letters: str | None) -> None:
        import pyarrow as pa

        super().__init__(path)
        self._tags: list[str] = []
        self._fields: list[str] = []
        for field in schema:
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            if field.name in _PLACES:
                continue
            is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
            (self._tags if is_text or field.name == "rank" else self._fields).append(field.name)
        self._letters = DeadLetters(dead_letters, what)

    @property
    def notes(self) -> list[str]:
        """What was not written, and why."""
        return self._letters.notes

    def points(self, batch: pa.RecordBatch, *, finite: bool) -> Iterator[Point]:
        """The rows that have a value and a time; others are refused, and NaN where `finite`."""
        names = [name for name in batch.schema.names if name not in ("offset", "text")]
        columns = [plain(batch.column(name)) for name in names]
        for cells in zip(*columns, strict=True):
            row = dict(zip(names, cells, strict=True))
            value, time = row["value"], row.get("timestamp")
            if value is None or time is None:
                self._letters.add("no value" if value is None else "no time", row)
            elif finite and not abs(value) < float("inf"):
                self._letters.add("NaN or infinite", row)
            else:
                tags = tuple((n, str(row[n])) for n in self._tags if row[n] is not None)
                fields = tuple((n, row[n]) for n in self._fields if row[n] is not None)
                yield Point(row["metric"], value, time, tags, fields)

    def close(self) -> None:
        """Give the file its name."""
        self._letters.close()
        super().close()
