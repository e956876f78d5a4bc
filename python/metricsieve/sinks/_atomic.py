"""Files that appear whole or not at all.

Principal type: `AtomicFile`, used by every sink that writes a file. The order is what a power loss
demands: write, check, fsync, rename, fsync of the directory. Without the first fsync a rename can
survive whose data did not; without the second the name itself can be lost.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from metricsieve.exceptions import SinkError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_REMEDIES = {
    errno.ENOSPC: "free some space or write to another file system",
    errno.EIO: "the device has failed: check it, or write to another file system",
    errno.EDQUOT: "your quota is used up: free some space or write elsewhere",
    errno.EFBIG: "the file grew past the limit of the process or file system (see ulimit -f)",
    errno.EACCES: "check the permissions of the directory",
    errno.EPERM: "check the permissions of the directory",
    errno.EROFS: "the file system is read-only: write elsewhere",
    errno.ENOENT: "create the directory first",
    errno.ENOTDIR: "a part of the path is a file: check the path",
    errno.EISDIR: "name a file, not a directory",
    errno.EEXIST: "another process writes there: stop it, or write elsewhere",
    errno.ENAMETOOLONG: "choose a shorter name",
}
# How SQLite and DuckDB call some of them.
_WORDS = {
    "disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "fsync failed": errno.EIO,
}


@contextlib.contextmanager
def sink_errors(path: str) -> Iterator[None]:
    """Turn any `OSError` of the block into a `SinkError` that names the output and a remedy."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        hint = _REMEDIES.get(error.errno or 0, "check the path and try again")
        raise SinkError(reason, path, hint) from error


def remedy_of(message: str, default: str) -> str:
    """What to do about a library's error, of which there is only text.

    Example:
        >>> remedy_of("IO Error: No space left on device", "try again")
        'free some space or write to another file system'
    """
    words = [*_WORDS.items(), *((os.strerror(number), number) for number in _REMEDIES)]
    return next((_REMEDIES[number] for word, number in words if word in message), default)


def temporary_name(path: str) -> str:
    """A name beside a target that nobody else has.

    The target's own name is left out: with it this one could exceed NAME_MAX.
    """
    name = f".metricsieve-{os.getpid()}-{secrets.token_hex(8)}.tmp"
    return os.path.join(os.path.dirname(path), name)


def publish(temporary: str, path: str, *, replace: bool) -> None:
    """Give a file that is on the disk its name, for good.

    Raises:
        OSError: it has not got it, or it is not certain that it keeps it after a power loss.
    """
    if replace:
        os.rename(temporary, path)
    else:
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP) or os.path.lexists(path):
                raise
            os.rename(temporary, path)  # on a file system without links
        else:
            os.unlink(temporary)
    sync_directory(os.path.dirname(path))


def make_directory(path: str, mode: int = 0o777) -> None:
    """Make a directory, and those above it that are missing, for good."""
    made = []
    above = os.path.abspath(path)
    while not os.path.isdir(above):
        above = os.path.dirname(above)
        made.append(above)
    try:
        os.makedirs(path, mode, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
    for directory in made:
        sync_directory(directory)


def sync_directory(path: str) -> None:
    """Wait until the names in a directory are on the disk."""
    directory = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(directory)
    finally:
        os.close(directory)


def sync(descriptor: int) -> None:
    """The same for anything that can be synced: pipes and some network file systems cannot."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


# So many bytes are given to the disk at a time while a file is written.
_BEGIN_BYTES = 8 << 20


class AtomicFile(io.RawIOBase):
    """A file under a temporary name beside its target until `commit`.

    The temporary file is created with O_EXCL and O_NOFOLLOW, readable by its owner alone, and gets
    the usual mode at `commit`. A link at the target is replaced, not followed. A target that is no
    regular file (`/dev/null`, a FIFO) is written in place, since a rename would replace the device.

    Args:
        path: the target.

    Raises:
        SinkError: from the constructor, `write` and `commit`.

    Example:
        >>> import pathlib, tempfile
        >>> target = pathlib.Path(tempfile.mkdtemp(), "a.txt")
        >>> file = AtomicFile(target)
        >>> file.write(b"whole"), target.exists()
        (5, False)
        >>> file.commit(); target.read_text()
        'whole'
    """

    def __init__(self, path: str | os.PathLike[str], *, replace: bool = True) -> None:
        self.path = os.fspath(path)
        self._replace = replace
        self._temporary: str | None = None
        self._file: io.BufferedWriter | None = None
        self._sealed = False
        self._written = self._begun = 0
        with sink_errors(self.path):
            self._file = open(self._open(), "wb")  # noqa: SIM115 - lives as long as the sink

    def _open(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(self.path).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
            if not stat.S_ISREG(mode):
                return os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        temporary = temporary_name(self.path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        self._temporary = temporary
        return descriptor

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        """Bytes written so far; Arrow's writers ask for it."""
        return self._open_file().tell() if self._temporary else 0

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of `data`; unlike a raw file never a part of it."""
        with sink_errors(self.path):
            written = self._open_file().write(data)
            self._written += written
            if self._written - self._begun >= _BEGIN_BYTES:
                self._begin_syncing()
            return written

    def _begin_syncing(self) -> None:
        """Let the disk begin with what it has not; else everything waits for it at the end."""
        begun, self._begun = self._begun, self._written
        if hasattr(os, "posix_fadvise") and self._temporary is not None:
            # Pages that are not on the disk yet are not forgotten by this, but written.
            length, advice = self._written - begun, os.POSIX_FADV_DONTNEED
            os.posix_fadvise(self._open_file().fileno(), begun, length, advice)

    def flush(self) -> None:
        if self._file is not None and not self._file.closed:
            with sink_errors(self.path):
                self._file.flush()

    def seal(self) -> None:
        """Flush, fsync and close; `commit` only renames then. Many sealed files cost no handles."""
        file = self._open_file()
        try:
            with sink_errors(self.path):
                file.flush()
                if self._temporary is not None:
                    os.fchmod(file.fileno(), 0o666 & ~_umask())
                    os.fsync(file.fileno())
                file.close()
        except BaseException:
            self.abort()
            raise
        self._file = None
        self._sealed = True

    def commit(self, name: str | None = None) -> None:
        """Seal, and rename to the target; on an error nothing is left behind.

        Args:
            name: the target's, in the same directory, where it was not known before.
        """
        if name is not None:
            self.path = os.path.join(os.path.dirname(self.path), name)
        if not self._sealed:
            self.seal()
        try:
            with sink_errors(self.path):
                if self._temporary is not None:
                    publish(self._temporary, self.path, replace=self._replace)
        except BaseException:
            self.abort()
            raise
        self._temporary, self._sealed = None, False

    def abort(self) -> None:
        """Remove the temporary file; does nothing after `commit`."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def close(self) -> None:
        """Leave the data where it is: Arrow's writers close what they write to before `commit`."""

    def _open_file(self) -> io.BufferedWriter:
        if self._file is None:
            raise ValueError(f"the output {self.path} is closed")
        return self._file

    def __del__(self) -> None:
        self.abort()


def _umask() -> int:
    # os.umask can only be read by setting it, which other threads would see; Linux tells it.
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace a file by other content, or leave it as it is.

    Raises:
        SinkError: it could not be written.
    """
    file = AtomicFile(path)
    try:
        file.write(content)
        file.commit()
    except BaseException:
        file.abort()
        raise
