"""Rows that a sink cannot deliver: counted, told, and kept in a file if there is one.

Principal type: `DeadLetters`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import IO, Any

from metricsieve._json_floats import json_float
from metricsieve.exceptions import SinkError
from metricsieve.sinks._atomic import sink_errors, sync

_BUFFER_BYTES = 1 << 16


class DeadLetters:
    """Counts refused rows by their reason.

    Args:
        path: a file of JSON lines that they are appended to; None keeps none of them.
        what: what refuses them, for the notes.

    Raises:
        ValueError: the path is none.
        SinkError: the file could not be written.

    Example:
        >>> letters = DeadLetters(None, "CloudWatch")
        >>> letters.add("no time", {"metric": "loss", "source": "a.log", "line": 3})
        >>> letters.notes
        ['CloudWatch: 1 point not sent, no time (first: loss at a.log:3)']
    """

    def __init__(self, path: str | None, what: str) -> None:
        if path is not None:
            _check(path)
        self._path = path
        self._what = what
        self._counts: dict[str, int] = {}
        self._first: dict[str, dict[str, Any]] = {}
        self._file: IO[bytes] | None = None
        self._lines: list[bytes] = []
        self._bytes = 0

    def add(self, reason: str, row: dict[str, Any], count: int = 1) -> None:
        """Take a row, or a datum that stands for so many.

        Raises:
            SinkError: the file cannot be written: nothing is dropped unseen.
        """
        self._counts[reason] = self._counts.get(reason, 0) + count
        self._first.setdefault(reason, row)
        if self._path is None:
            return
        if self._file is None:
            with sink_errors(self._path):
                self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115
        told = {name: _plain(cell) for name, cell in row.items()}
        line = json.dumps({"reason": reason, **told}, ensure_ascii=False).encode() + b"\n"
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Put what was taken on the disk, in whole lines.

        Raises:
            SinkError: it cannot be written; the file is as it was.
        """
        if self._file is None or self._path is None or not self._lines:
            return
        lines, self._lines, self._bytes = b"".join(self._lines), [], 0
        with sink_errors(self._path):
            before = os.fstat(self._file.fileno()).st_size
            written = 0
            try:
                while written < len(lines):
                    written += self._file.write(lines[written:])
                sync(self._file.fileno())
            except OSError:
                with contextlib.suppress(OSError):  # a pipe cannot be cut
                    # Unless another process has added lines of its own.
                    if os.fstat(self._file.fileno()).st_size == before + written:
                        self._file.truncate(before)
                raise

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
        """Put the rest on the disk, and close the file.

        Raises:
            SinkError: it cannot be written.
        """
        self.flush()
        file, self._file = self._file, None
        if file is not None and self._path is not None:
            with sink_errors(self._path):
                file.close()

    def abort(self) -> None:
        """The same after an error, which is the one to be told: never raises."""
        with contextlib.suppress(SinkError):
            self.close()
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


def _check(path: str) -> None:
    """See that a file can be appended to, without making it: it may stay empty."""
    if "\0" in path:
        raise ValueError("dead-letters= names no file: it has a NUL")
    with sink_errors(path):
        if os.path.isdir(path):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        place = path if os.path.exists(path) else os.path.dirname(path) or "."
        os.stat(place)
        if not os.access(place, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def _plain(cell: object) -> object:
    return json_float(cell) if isinstance(cell, float) else cell
