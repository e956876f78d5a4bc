"""Rows as points of series, for what has tags and times instead of columns.

Principal types: `Points`, which makes them of batches, and `Point`: a metric, tags that tell its
series from others, fields beside the value, a time. Used by the text formats of time series
databases (`_lines`) and by `otlp`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from metricsieve._point_columns import is_number
from metricsieve.sinks._cells import cells

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from metricsieve.sinks._refused import DeadLetters

# Columns that say where a row stands: neither tags nor fields.
_PLACES = {"metric", "value", "timestamp", "line", "offset", "definition", "match", "text"}


class Point(NamedTuple):
    """A row as a point of a series.

    Attributes:
        metric: its name.
        value: its value.
        micros: its time in microseconds since 1970.
        tags: texts by column, those that are not null: job, host, stream, rank, source, labels, and
            context columns that are texts, which a schema does not tell from labels.
        fields: numbers by column, those that are not null: other context columns.
    """

    metric: str
    value: float
    micros: int
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, float | int], ...]

    @property
    def row(self) -> dict[str, object]:
        """The point as dead letters keep it."""
        found = {"metric": self.metric, "value": self.value, "timestamp": self.micros}
        return {**found, **dict(self.tags), **dict(self.fields)}


class Points:
    """Points of batches.

    Args:
        schema: of the batches.
        letters: take the rows that are none.
        what: the sink's name, for messages.

    Attributes:
        tags: the columns that are tags.
        fields: the columns that are fields.

    Raises:
        ValueError: a point has no metric or no value.
    """

    def __init__(self, schema: pa.Schema, letters: DeadLetters, what: str) -> None:
        import pyarrow as pa

        need_columns(schema, what)
        self.tags: list[str] = []
        self.fields: list[str] = []
        for field in schema:
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            if field.name in _PLACES:
                continue
            is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
            if is_text or field.name == "rank":
                self.tags.append(field.name)
            elif is_number(kind):
                self.fields.append(field.name)
        self._letters = letters

    def of(
        self, batch: pa.RecordBatch, *, finite: bool = False, undated: int | None = None
    ) -> Iterator[Point]:
        """The rows that have a value and a time; others are refused.

        Args:
            batch: of the schema.
            finite: refuse NaN and infinities, too.
            undated: the time of rows without one, in microseconds since 1970.
        """
        names = [name for name in batch.schema.names if name not in ("offset", "text")]
        columns = [cells(batch.column(name)) for name in names]
        for values in zip(*columns, strict=True):
            row = dict(zip(names, values, strict=True))
            value, time = row["value"], row.get("timestamp")
            time = undated if time is None else time
            if value is None or time is None:
                self._letters.add("no value" if value is None else "no time", row)
            elif finite and not abs(value) < float("inf"):
                self._letters.add("NaN or infinite", row)
            else:
                tags = tuple((n, str(row[n])) for n in self.tags if row[n] is not None)
                fields = tuple((n, row[n]) for n in self.fields if row[n] is not None)
                yield Point(row["metric"], value, time, tags, fields)


def need_columns(schema: pa.Schema, what: str) -> None:
    """Refuse points without what every time series database asks for.

    Raises:
        ValueError: the message says which columns are missing.

    Example:
        >>> import pyarrow as pa
        >>> need_columns(pa.schema({"metric": pa.string()}), "influx")
        Traceback (most recent call last):
        ValueError: influx: needs the columns metric and value; there is no value, only metric
    """
    missing = [name for name in ("metric", "value") if name not in schema.names]
    if missing:
        raise ValueError(
            f"{what}: needs the columns metric and value; there is no {' and no '.join(missing)}, "
            f"only {', '.join(schema.names)}"
        )
