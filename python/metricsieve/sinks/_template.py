"""Texts with columns in braces: `{job}`, `{metric}/{phase}`.

Principal type: `Template`. Dimensions, runs and tags are spelt so in the options of sinks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_FIELD = re.compile(r"\{([^{}]*)\}")


class Template:
    """A text in which `{column}` stands for a column's value.

    Args:
        text: the template.
        columns: those that there are. `job` may stand in any template: the source stands for a job
            that is not known.
        what: what the template is of, for the message.

    Raises:
        ValueError: there is no such column.

    Example:
        >>> template = Template("{job}/{phase}", ["source", "phase"], "run")
        >>> template.of({"source": "a.log", "phase": "eval"})
        'a.log/eval'
        >>> template.of({"source": "a.log", "phase": None}) is None
        True
    """

    def __init__(self, text: str, columns: Sequence[str], what: str) -> None:
        self._pieces = _FIELD.split(text)  # texts and names in turn
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
