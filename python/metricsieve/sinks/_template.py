"""Texts with columns in braces: `{job}`, `{metric}/{phase}`.

Principal types: `Template`, in which dimensions, runs and tags are spelt in the options of sinks,
and `Labels`, what a template gives for the rows of batches.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metricsieve.sinks._cells import plain

if TYPE_CHECKING:
    import pyarrow as pa

_FIELD = re.compile(r"\{([^{}]*)\}")


class Template:
    """A text in which `{column}` stands for a column's value.

    Args:
        text: the template.
        columns: those that there are. `job` may stand in any template: the source stands for a job
            that is not known.
        what: what the template is of, for the message.

    Raises:
        ValueError: there is no such column, or a brace stands alone.

    Example:
        >>> template = Template("{job}/{phase}", ["source", "phase"], "run")
        >>> template.of({"source": "a.log", "phase": "eval"})
        'a.log/eval'
        >>> template.of({"source": "a.log", "phase": None}) is None
        True
    """

    def __init__(self, text: str, columns: Sequence[str], what: str) -> None:
        self._pieces = _FIELD.split(text)  # texts and names in turn
        if any(brace in piece for piece in self._pieces[::2] for brace in "{}"):
            raise ValueError(f"{what} {text!r}: a brace stands alone, a column is {{job}}")
        for name in self._pieces[1::2]:
            if name not in columns and not (name == "job" and "source" in columns):
                known = ", ".join(columns)
                raise ValueError(f"{what} {text!r}: there is no column {name!r}, only {known}")
        named = {*self._pieces[1::2]} | ({"source"} if "job" in self._pieces[1::2] else set())
        self.columns = [name for name in columns if name in named]

    def of(self, row: Mapping[str, Any]) -> str | None:
        """The text for a row; None where a column of it is null."""
        parts = []
        for number, piece in enumerate(self._pieces):
            if number % 2 == 0:
                parts.append(piece)
                continue
            value = row.get(piece)
            if value is None and piece == "job":
                value = row.get("source")
            if value is None:
                return None
            parts.append(str(value))
        return "".join(parts)


class Labels:
    """What a template gives for rows, as numbers; rows that are alike are looked at once.

    Args:
        template: of the texts.

    Attributes:
        texts: the texts so far, by number.

    Example:
        >>> import pyarrow as pa
        >>> labels = Labels(Template("{job}/{phase}", ["job", "phase"], "run"))
        >>> batch = pa.record_batch({"job": ["a", "b", "a"], "phase": ["x", None, "x"]})
        >>> labels.of(batch).to_pylist(), labels.texts
        ([0, None, 0], ['a/x'])
    """

    def __init__(self, template: Template) -> None:
        self._template = template
        self._numbers: dict[str, int] = {}
        self.texts: list[str] = []

    def of(self, batch: pa.RecordBatch) -> Any:
        """A number for each row (int32); null where a column of the template is null."""
        import pyarrow as pa
        import pyarrow.compute as pc

        columns = {name: plain(batch.column(name)) for name in self._template.columns}
        alike: Any = pa.repeat(pa.scalar(0, pa.int64()), batch.num_rows)
        for column in columns.values():
            is_encoded = pa.types.is_dictionary(column.type)
            encoded = column if is_encoded else column.dictionary_encode()
            codes = pc.add(pc.fill_null(encoded.indices.cast(pa.int64()), -1), 1)
            alike = pc.add(pc.multiply(alike, len(encoded.dictionary) + 1), codes)
            alike = alike.dictionary_encode().indices.cast(pa.int64())
        rows = pa.table({"alike": alike, "row": pa.array(range(batch.num_rows), pa.int64())})
        firsts = rows.group_by("alike", use_threads=False).aggregate([("row", "min")])
        numbers: dict[int, int | None] = {}
        kinds: Any = zip(firsts["alike"].to_pylist(), firsts["row_min"].to_pylist(), strict=True)
        for kind, row in kinds:
            cells = {name: column[row].as_py() for name, column in columns.items()}
            numbers[kind] = self._number(self._template.of(cells))
        found = pa.array([numbers[kind] for kind in range(len(numbers))], pa.int32())
        return found.take(alike)

    def _number(self, text: str | None) -> int | None:
        if text is None:
            return None
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]
