"""Columns of batches as sinks write them: times are microseconds since 1970."""

from __future__ import annotations

from typing import Any


def plain(column: Any) -> Any:
    """A column with times as numbers."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    return column


def cells(column: Any) -> list[Any]:
    """The same as Python values."""
    return list(plain(column).to_pylist())
