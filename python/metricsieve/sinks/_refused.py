"""Rows that a sink cannot deliver: counted, told, and kept in a file if there is one.

Principal type: `DeadLetters`.
"""

from __future__ import annotations

import json
from typing import IO, Any

from metricsieve._json_floats import json_float
from metricsieve.sinks._atomic import sink_errors


class DeadLetters:
    """Counts refused rows by their reason.

    Args:
        path: a file of JSON lines that they are appended to; None keeps none of them.
        what: what refuses them, for the notes.

    Example:
        >>> letters = DeadLetters(None, "CloudWatch")
        >>> letters.add("no time", {"metric": "loss", "source": "a.log", "line": 3})
        >>> letters.notes
        ['CloudWatch: 1 point not sent, no time (first: loss at a.log:3)']
    """

    def __init__(self, path: str | None, what: str) -> None:
        self._path = path
        self._what = what
        self._counts: dict[str, int] = {}
        self._first: dict[str, dict[str, Any]] = {}
        self._file: IO[str] | None = None

    def add(self, reason: str, row: dict[str, Any], count: int = 1) -> None:
        """Take a row, or a datum that stands for so many.

        Raises:
            SinkError: the file cannot be written: nothing is dropped unseen.
        """
        self._counts[reason] = self._counts.get(reason, 0) + count
        self._first.setdefault(reason, row)
        if self._path is None:
            return
        with sink_errors(self._path):
            if self._file is None:
                self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115
            told = {name: _plain(cell) for name, cell in row.items()}
            self._file.write(json.dumps({"reason": reason, **told}, ensure_ascii=False) + "\n")

    def flush(self) -> None:
        """Hand what was taken to the system."""
        if self._file is not None and self._path is not None:
            with sink_errors(self._path):
                self._file.flush()

    @property
    def notes(self) -> list[str]:
        """A sentence for each reason."""
        found = []
        for reason, count in self._counts.items():
            points = f"{count:,} point{'' if count == 1 else 's'}"
            row = self._first[reason]
            place = ""
            if "source" in row:
                place = f" at {row['source']}" + (f":{row['line']}" if row.get("line") else "")
            found.append(
                f"{self._what}: {points} not sent, {reason} (first: {row['metric']}{place})"
            )
        return found

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None and self._path is not None:
            with sink_errors(self._path):
                file.close()


def _plain(cell: object) -> object:
    return json_float(cell) if isinstance(cell, float) else cell
