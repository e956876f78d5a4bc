"""Text as a sink's output: a file that appears when it is whole, or stdout.

Principal type: `TextSink`, the base of every sink that writes lines: it opens, writes, publishes
and throws away; a format only makes the text.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, BinaryIO

from metricsieve.exceptions import SinkError
from metricsieve.sinks._atomic import AtomicFile, sink_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metricsieve.sinks._append import AppendFile
    from metricsieve.sinks._targets import Target

_PIPE_BYTES = 64 * 1024


class TextSink:
    """What sinks of text have in common; one that has more to do calls these methods as well.

    Args:
        path: the target file, or `-` for stdout.
        file: takes the place of the file at `path`.

    Raises:
        SinkError: the output cannot be opened or written.
        BrokenPipeError: only on stdout: its reader went away, which is for the caller to judge.
    """

    def __init__(self, path: str, file: AppendFile | None = None) -> None:
        self._file: AtomicFile | AppendFile | Stdout | None = file
        if file is None:
            self._file = Stdout() if path == "-" else AtomicFile(path)

    def put(self, text: str) -> None:
        """Write lines."""
        if self._file is None:
            raise ValueError("the output is closed")
        self._file.write(text.encode())

    def close(self) -> None:
        """Flush, check, and give the file its name."""
        file, self._file = self._file, None
        if file is not None:
            file.commit()

    def abort(self) -> None:
        """Leave no file behind; what went to stdout stays there."""
        file, self._file = self._file, None
        if file is not None:
            file.abort()


class Stdout:
    """Standard output as a file of a sink."""

    def __init__(self) -> None:
        if sys.stdout is None:
            raise SinkError("standard output is closed", "-", "use -o FILE")
        self._stream: BinaryIO = sys.stdout.buffer

    def write(self, data: bytes) -> None:
        """Hand bytes to the system."""
        try:
            with sink_errors("-"):
                # In pieces of a pipe's capacity: some kernels report one large write as done
                # although the reader went away in the middle of it.
                for start in range(0, len(data), _PIPE_BYTES):
                    self._stream.write(data[start : start + _PIPE_BYTES])
                self._stream.flush()
        except SinkError as error:
            self.abort()
            if isinstance(error.__cause__, BrokenPipeError):
                raise error.__cause__ from None
            raise

    def commit(self) -> None:
        """See that the last bytes arrived."""
        self.write(b"")

    def abort(self) -> None:
        """After an error: keep Python's flush at exit from failing once more."""
        if sys.exc_info()[1] is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


def check_file(target: Target, *options: str, many: Sequence[str] = ()) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    target.only("dead-letters", *options, many=many)
    if not target.rest:
        raise ValueError(f"{target.scheme}: needs a file, or {target.scheme}:- for stdout")
    if "\0" in target.rest:
        raise ValueError(f"{target.scheme}: the name of a file has no NUL")
