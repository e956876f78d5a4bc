"""What belongs together: group columns, and numbers for the groups of a batch.

Principal types: `GroupColumn`, which says where the value of a group comes from, and `Groups`, the
groups of some rows. Used by everything in this package; the work is done by Arrow, a column at a
time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve._text import shorten, visible
from metricsieve.results._rows import Rows, row_numbers, unknown_column

MAX_NAMED = 10  # groups that an error names
_NAN = float("nan")  # one object, so that tuples with it are equal

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class GroupColumn:
    """A column that rows are grouped by.

    Attributes:
        name: what it is called in the result.
        columns: where its value comes from: the first of these that is not null. None of them
            means that all rows are alike.
        type: of its values in the result.
    """

    name: str
    columns: tuple[str, ...]
    type: Any

    def of(self, batch: pa.RecordBatch) -> Any:
        """Its values in the rows of a batch."""
        if not self.columns:
            return pa.nulls(batch.num_rows, self.type)
        first, *others = (batch.column(name) for name in self.columns)
        for other in others:
            if first.null_count == len(first):
                first = other
            elif first.null_count:
                first = pc.coalesce(_decoded(first), _decoded(other))
        if pa.types.is_floating(first.type):
            zero: Any = pa.scalar(0, first.type)
            first = pc.add(first, zero)  # -0.0 and 0.0 are one group
        return first


def group_columns(
    rows: Rows, by: str | Sequence[str], *, step: str | None = None
) -> tuple[GroupColumn, ...]:
    """The columns that `by` names.

    Args:
        rows: whose columns they are.
        by: one name or several. `"job"` is the job where it is known, else the source.
        step: the column that the name `"step"` means.

    Raises:
        ValueError: there is no such column, or it is named twice.
        TypeError: something that is no name.
    """
    names = [by] if isinstance(by, str) else list(by)
    found = []
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a column is named by text, not by {name!r}")
        if name == "step" and step is not None:
            name = step
        columns: tuple[str, ...] = (name,)
        if name in ("job", "source"):
            columns = tuple(c for c in dict.fromkeys((name, "source")) if c in rows)
        elif name not in rows:
            raise ValueError(unknown_column(name, rows.schema))
        elif name in ("metric", "value"):
            raise ValueError(f"{name!r} is no column to group by")
        kind: Any = pa.string() if not columns else rows.schema.field(columns[0]).type
        found.append(GroupColumn(name, columns, result_type(kind)))
    twice = {one.name for one in found if [other.name for other in found].count(one.name) > 1}
    if twice:
        raise ValueError(f"the column {min(twice)!r} is named twice")
    return tuple(found)


def source_columns(columns: Iterable[GroupColumn]) -> list[str]:
    """The columns that have to be read for some group columns."""
    return [name for one in columns for name in one.columns]


class Groups:
    """The groups of some rows, numbered from 0 in the order in which they appear.

    Args:
        columns: what rows of one group have in common, at least one, all of the same length.

    Attributes:
        ids: the number of each row's group.
        firsts: the first row of each group.

    Example:
        >>> groups = Groups([pa.array(["a", "b", "a"]), pa.array([1, 1, 1])])
        >>> groups.ids.to_pylist(), groups.keys(), len(groups)
        ([0, 1, 0], [('a', 1), ('b', 1)], 2)
    """

    def __init__(self, columns: Sequence[Any]) -> None:
        self._columns = columns
        self.ids = _codes(_codes(columns[0])[0])[0]  # twice: not every code need have a row
        for column in columns[1:]:
            codes, count = _codes(column)
            self.ids = _codes(pc.add(pc.multiply(self.ids, count), codes))[0]
        self.firsts = self.extreme("min", row_numbers(len(self.ids)))

    def __len__(self) -> int:
        return len(self.firsts)

    def keys(self) -> list[Key]:
        """What the rows of each group have in common."""
        parts = [_decoded(column.take(self.firsts)).to_pylist() for column in self._columns]
        return [tuple(map(_same_nan, key)) for key in zip(*parts, strict=True)]

    def aggregate(self, **columns: tuple[Any, str]) -> dict[str, Any]:
        """One value a group of each column, by the name of one of Arrow's functions.

        Example:
            >>> groups = Groups([pa.array(["a", "b", "a"])])
            >>> groups.aggregate(high=(pa.array([1, 2, 3]), "max"))["high"].to_pylist()
            [3, 2]
        """
        arrays = {name: column for name, (column, _) in columns.items()}
        table = pa.table({"": self.ids, **arrays})
        # Without threads groups come in the order in which they appear: that of their numbers.
        wanted: Any = [(name, function) for name, (_, function) in columns.items()]
        found = table.group_by("", use_threads=False).aggregate(wanted)
        return {
            name: one_array(found.column(f"{name}_{function}"))
            for name, (_, function) in columns.items()
        }

    def extreme(self, function: str, column: Any) -> Any:
        """The `"min"` or `"max"` of a column in each group."""
        return self.aggregate(x=(column, function))["x"]


def one_array(column: Any) -> Any:
    """A column in one piece."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # more text than one piece can hold
            column = pa.concat_arrays([chunk.dictionary_encode() for chunk in column.chunks])
    return column


def choose(found: Iterable[Key | None], group: object, by: str) -> Key | None:
    """The group that is meant; None where there is none at all.

    Args:
        found: all groups.
        group: the wanted one's value or its text; None is for a result that has but one.
        by: what they are groups of.

    Raises:
        ValueError: it is not there, or there are several, of all or of its name; the message names
            them.
    """
    keys = [key for key in found if key is not None]
    if group is not None:
        wanted = [key for key in keys if _is(key, group)]
        if not wanted:
            raise ValueError(f"there is no {by} {str(group)!r}: {named(keys) or 'no point at all'}")
        if len(wanted) > 1:
            told = ", ".join(map(repr, wanted[:MAX_NAMED]))
            raise ValueError(f"{len(wanted)} groups by {by} are called {str(group)!r}: {told}")
        return wanted[0]
    if len(keys) > 1:
        raise ValueError(
            f"there are several groups by {by}: {named(keys)}. Choose one with group=... "
            "(--group), or group by another column with by=... (--by)"
        )
    return keys[0] if keys else None


def only_group(rows: Rows, by: str | Sequence[str], group: object, step: str | None = None) -> Rows:
    """The rows of one group.

    Args:
        rows: of all groups.
        by: as for `group_columns`.
        group: the wanted one's value or its text: of several columns that of all of them, with
            `", "` in between.
        step: as for `group_columns`.

    Raises:
        ValueError: there is no such column, or none is named; or, when all rows have been read, no
            such group, or several of that name.
    """
    columns = group_columns(rows, by, step=step)
    if not columns:
        raise ValueError("without a column to group by there is no group to choose")
    seen: dict[Key, bool] = {}

    def choose_rows(batch: Any) -> Any:
        if batch is None:
            choose(seen, group, ", ".join(one.name for one in columns))
            return None
        groups = Groups([one.of(batch) for one in columns])
        keys = groups.keys()
        seen.update((key, _is(key, group)) for key in keys)
        return pa.array([seen[key] for key in keys], pa.bool_()).take(groups.ids)

    return rows.only(source_columns(columns), choose_rows)


def _is(key: Key, group: object) -> bool:
    return (len(key) == 1 and key[0] == group) or group_text(key) == str(group)


def named(keys: Sequence[Key]) -> str:
    """Some groups or names, as an error lists them.

    Example:
        >>> named([("a",), ("b",)])
        "'a', 'b'"
    """
    shown = ", ".join(repr(visible(shorten(group_text(key), 80))) for key in keys[:MAX_NAMED])
    more = len(keys) - MAX_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown


def group_text(key: Key) -> str:
    """A group as one text."""
    return ", ".join("" if part is None else str(part) for part in key)


def _codes(column: Any) -> tuple[Any, int]:
    """A whole number for each distinct value, null being one; and how many there may be.

    Where the column is no dictionary and has no null, they count up as the values appear.
    """
    if pa.types.is_dictionary(column.type):
        # A dictionary may have values that no row has, or the same one twice.
        distinct = column.dictionary.dictionary_encode()
        codes = distinct.indices.take(column.indices)
    else:
        distinct = column.dictionary_encode()
        codes = distinct.indices
    count = len(distinct.dictionary)
    return pc.fill_null(codes.cast(pa.int64()), count), count + 1


def _decoded(column: Any) -> Any:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _same_nan(value: Any) -> Any:
    return _NAN if isinstance(value, float) and math.isnan(value) else value


def result_type(kind: Any) -> Any:
    """The type that a column's values have in a result: text is a string."""
    if pa.types.is_dictionary(kind):
        return result_type(kind.value_type)
    if pa.types.is_large_string(kind) or kind == pa.string_view() or pa.types.is_null(kind):
        return pa.string()
    return pa.timestamp("us", "UTC") if pa.types.is_timestamp(kind) else kind
