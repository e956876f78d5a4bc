"""Files that grow and can be taken back to where they were.

Principal type: `AppendFile`. After a crash the file is cut to the length that its owner knows to be
complete. Used for JSON lines that a follower appends to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from typing import Any

from metricsieve.exceptions import SinkError
from metricsieve.sinks._atomic import sink_errors, sync_directory

_TAIL_BYTES = 256


class AppendFile:
    """A file that is appended to.

    Args:
        path: the file; made when it does not exist.
        mark: how it was when it was known to be complete; None begins a new file.
        must_be_empty: with no mark, refuse content instead of throwing it away.

    Raises:
        SinkError: the file cannot be opened, or is not as the mark says.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.jsonl")
        >>> file = AppendFile(str(path), None)
        >>> file.write(b"one\\n"); file.flush(); mark = file.mark(); file.write(b"two\\n")
        >>> file = AppendFile(str(path), mark)  # as after a crash
        >>> file.write(b"three\\n"); file.commit()
        >>> path.read_text()
        'one\\nthree\\n'
    """

    def __init__(
        self, path: str, mark: Mapping[str, Any] | None, *, must_be_empty: bool = False
    ) -> None:
        self.path = path
        self._descriptor: int | None = None
        with sink_errors(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            is_new = not os.path.exists(path)
            self._descriptor = os.open(path, flags, 0o666)
            size = os.fstat(self._descriptor).st_size
        length = 0 if mark is None else int(mark["bytes"])
        hint = "restore the file, or remove it and start over with --reset (reset=True)"
        try:
            if mark is not None and (size < length or self._tail(length) != mark["tail"]):
                raise SinkError("it is not the file that the state knows", path, hint)
            if mark is None and must_be_empty and size:
                raise SinkError("it has content that the state knows nothing of", path, "remove it")
            with sink_errors(path):
                os.ftruncate(self._descriptor, length)
                if is_new:  # or a power loss could take the file from under a state that knows it
                    sync_directory(os.path.dirname(path))
        except BaseException:
            with contextlib.suppress(SinkError):
                self.close()
            raise
        self._length = self._complete = length

    def _open(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"the output {self.path} is closed")
        return self._descriptor

    def _tail(self, length: int) -> str:
        count = min(_TAIL_BYTES, length)
        data = os.pread(self._open(), count, length - count)
        return hashlib.sha256(data).hexdigest()

    def write(self, data: bytes) -> None:
        """Append all of `data`."""
        view = memoryview(data)
        with sink_errors(self.path):
            while view:
                count = os.pwrite(self._open(), view, self._length)
                self._length += count
                view = view[count:]

    def flush(self) -> None:
        """Wait until everything is on the disk; from now on it is kept."""
        with sink_errors(self.path):
            os.fsync(self._open())
        self._complete = self._length

    def mark(self) -> dict[str, Any]:
        """How the file is: what `mark` takes to go on from here."""
        return {"bytes": self._complete, "tail": self._tail(self._complete)}

    def commit(self) -> None:
        """Flush and close."""
        self.flush()
        self.close()

    def abort(self) -> None:
        """Take back what was not flushed, and close."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._complete)
            with contextlib.suppress(SinkError):
                self.close()

    def close(self) -> None:
        """Close the file.

        Raises:
            SinkError: the system reports only now that something could not be written.
        """
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with sink_errors(self.path):
                os.close(descriptor)
