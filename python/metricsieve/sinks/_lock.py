"""Directories that one process at a time writes to.

Principal type: `Lock`.
"""

from __future__ import annotations

import fcntl
import os

from metricsieve.exceptions import StateError


class Lock:
    """A directory that one process at a time may use.

    Args:
        directory: must exist.
        name: of the file that is locked, and says who holds it.

    Raises:
        StateError: another process holds it; the message says which.
    """

    def __init__(self, directory: str, name: str) -> None:
        path = os.path.join(directory, name)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor: int | None = os.open(path, flags, 0o600)
        except OSError as error:
            raise StateError(error.strerror or str(error), directory) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            self.release()
            raise StateError(
                f"it is in use by process {holder or 'unknown'}",
                directory,
                "stop that one first, or name another directory",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have it; the file stays, so that nobody locks one that is being removed."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
