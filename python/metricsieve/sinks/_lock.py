"""Directories that one process at a time writes to.

Principal type: `Lock`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os

from metricsieve.exceptions import StateError


class Lock:
    """A directory that one process at a time may use.

    Args:
        directory: must exist.
        name: of the file that is locked, and says who holds it.

    Raises:
        StateError: another process holds it, and the message says which; or it cannot be locked.
    """

    def __init__(self, directory: str, name: str) -> None:
        path = os.path.join(directory, name)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(path, flags, 0o600)
            self._take(self._descriptor, directory)
        except BaseException as error:
            self.release()
            if isinstance(error, OSError):
                raise StateError(error.strerror or str(error), directory) from error
            raise

    def _take(self, descriptor: int, directory: str) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            raise StateError(
                f"it is in use by process {holder or 'unknown'}",
                directory,
                "stop that one first, or name another directory",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have it; the file stays, so that nobody locks one that is being removed."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # nothing depends on what is in it
                os.close(descriptor)
