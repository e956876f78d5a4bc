"""What columns points have, wherever they are from: what is refused, and which is the step axis.

Used by `results`, `plotting`, `_result_files` and the sinks that know steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from metricsieve._context import step_column
from metricsieve._text import visible

STEP_KEY = b"metricsieve.step"  # of a schema's metadata: the name of the step axis


def check_names(names: Sequence[str]) -> None:
    """Refuse columns that cannot be told apart.

    Raises:
        ValueError: two have the same name.
    """
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(
                f"{count} columns are called {visible(name)!r}: give each a name of its own"
            )


def check_value(schema: pa.Schema) -> None:
    """Refuse a column `value` that holds no numbers.

    Raises:
        ValueError: it has another type.
    """
    kind: Any = schema.field("value").type
    if not (is_number(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
        raise ValueError(f"the column 'value' must hold numbers, not {kind}")


def check_metric(column: Any) -> None:
    """Refuse points without a metric's name.

    Args:
        column: an array or a chunked one; a null may stand in a dictionary, too.

    Raises:
        ValueError: there is one.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    if any(map(_has_null, chunks)):
        raise ValueError("a row without a metric's name is no point")


def _has_null(array: Any) -> bool:
    if array.null_count or not pa.types.is_dictionary(array.type):
        return bool(array.null_count)
    return bool(array.dictionary.null_count and array.dictionary_decode().null_count)


def is_number(kind: Any) -> bool:
    """Whether a type is one of whole or of floating numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def step_axis(schema: pa.Schema) -> str | None:
    """The step axis: the column that the metadata names, else the first usual one; of numbers.

    Example:
        >>> step_axis(pa.schema({"step": pa.string(), "epoch": pa.int64()}))
        'epoch'
    """
    numbers = [field.name for field in schema if is_number(field.type)]
    told = (schema.metadata or {}).get(STEP_KEY, b"").decode(errors="replace")
    return told if told in numbers else step_column(numbers)
