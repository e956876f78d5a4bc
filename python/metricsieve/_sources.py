"""From what a user calls a source to what the engine opens.

Principal functions: `resolve` (anything -> a list of `Source`s) and `iter_sources`, the same one at
a time. Fed by `_scan`; what is found goes to the native scanner as it is, remote logs by way of a
prefetcher. Files are found here and opened there. A million files are normal, so nothing here holds
more of them than one directory.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import functools
import io
import itertools
import os
import re
import stat
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from metricsieve.sources._lookups import looked_up
from metricsieve.sources._remote import Remote, RemoteSources
from metricsieve.sources._urls import is_remote, remote_source

Kind = Literal["path", "section", "bytes", "reader", "chunks", "remote"]
_PIECE_BYTES = 1 << 20
_MAGIC = re.compile(r"[*?\[]")


class Source(NamedTuple):
    """One thing to read.

    Attributes:
        label: what the `source` column says.
        kind: how to read `object`: a path to open, or a path, the position at which to begin and
            the offset at which to end (either may be None); bytes, something with `read(n)`, an
            iterator of bytes, or a `Remote`.
        object: the thing itself.
    """

    label: str
    kind: Kind
    object: Any


def resolve(sources: Any) -> list[Source]:
    """Find every source before any is opened.

    Args:
        sources: a path, glob pattern, directory, URL, `RemoteSources`, bytes-like object, binary
            file object, iterable of bytes, `"-"` (stdin), a list or tuple of these, or a mapping
            label -> any of these.

    Returns:
        The sources in the order given; directories and globs sorted by path bytes, the same
        regular file once (a mapping's labels each keep theirs). What cannot be looked at, such as
        a directory without permission, is in the list, so that the scan reports it.

    Raises:
        FileNotFoundError: a path does not exist, or a glob or directory has no regular file.
        TypeError: a text file object, or something that is no source.
        ValueError: a URL of a kind that is not known.
        SourceError: a store cannot be asked what it holds.
        ImportError: the library for a URL is missing.

    Example:
        >>> [source.label for source in resolve([b"loss=1", [b"loss=2"]])]
        ['<bytes:0>', '<bytes:1>']
    """
    return list(iter_sources(sources))


def iter_sources(sources: Any) -> Iterator[Source]:
    """The sources that `resolve` gives, found while they are asked for; the same errors."""
    if isinstance(sources, Prepared):
        yield from sources.sources
        return
    if not isinstance(sources, Mapping):
        yield from _Resolver().resolve(sources)
        return
    for label, value in sources.items():
        if not isinstance(label, str):
            raise TypeError(f"a source's label must be text, not {type(label).__name__}")
        inner = list(_Resolver().resolve(value))
        if len(inner) == 1:
            yield inner[0]._replace(label=_label(label))
        else:
            for one in inner:
                yield one._replace(label=_label(f"{label}/{one.label}"))


class Prepared:
    """Sources that were found already, given one at a time; their scan tells how far it came.

    Args:
        sources: gives them.
        mark_bytes: it tells about once in so many bytes of a plain file; None: as it likes.
    """

    def __init__(self, sources: Iterable[Source], mark_bytes: int | None = None) -> None:
        self.sources = sources
        self.mark_bytes = mark_bytes


class _Resolver:
    """Numbers unnamed sources and remembers which files were seen."""

    def __init__(self) -> None:
        self._bytes = itertools.count()
        self._streams = itertools.count()
        self._seen: defaultdict[int, set[int]] = defaultdict(set)  # device -> inodes
        self._seen_remote: set[str] | None = None  # where more than one thing is named
        self._stdin = False

    def resolve(self, source: Any) -> Iterator[Source]:
        if isinstance(source, (list, tuple)) and not isinstance(source, _Found):
            if self._seen_remote is None:
                self._seen_remote = set()
            for one in _looked_up(source):
                yield from self.resolve(one)
        elif isinstance(source, _Found):
            yield from self._remote(source.remotes)
        elif isinstance(source, RemoteSources):
            yield from self._remote(next(looked_up([lambda: source])))
        elif isinstance(source, (str, os.PathLike)):
            yield from self._resolve_path(source)
        elif isinstance(source, Mapping):
            raise TypeError("a mapping of sources cannot stand inside a list or another mapping")
        else:
            yield self._resolve_object(source)

    def _resolve_object(self, source: Any) -> Source:
        if _is_text_file(source):
            raise TypeError(
                "a log is read as bytes, but this file object gives text: open it with mode 'rb', "
                "or pass its '.buffer'"
            )
        if isinstance(source, bytes):
            return Source(f"<bytes:{next(self._bytes)}>", "bytes", source)
        view = _buffer(source)
        if view is not None:
            return Source(f"<bytes:{next(self._bytes)}>", "chunks", _pieces(view))
        if callable(getattr(source, "read", None)):
            return Source(f"<stream:{next(self._streams)}>", "reader", source)
        if isinstance(source, Iterable):
            return Source(f"<stream:{next(self._streams)}>", "chunks", iter(source))
        raise TypeError(
            f"{type(source).__name__} is no source: expected a path, bytes, a binary file object, "
            "an iterable of bytes, or a list or mapping of these"
        )

    def _resolve_path(self, given: str | os.PathLike[Any]) -> Iterator[Source]:
        path = os.fspath(given)
        if path == "-":
            yield from self._resolve_stdin()
            return
        text = os.fsdecode(path)
        if "\0" in text:
            raise ValueError(f"a path cannot hold a NUL character: {text!r}")
        try:
            mode = os.stat(text).st_mode
        except (FileNotFoundError, NotADirectoryError):
            yield from self._resolve_missing(text)
            return
        except OSError:
            yield Source(_label(text), "path", text)  # the scan will fail to open it and say so
            return
        if not stat.S_ISDIR(mode):
            yield from self._file(text)
            return
        yield from self._files(_walk(text), text, "no regular file in the directory")

    def _resolve_missing(self, text: str) -> Iterator[Source]:
        if is_remote(text):
            yield from self._remote(next(looked_up([lambda: remote_source(text)])))
            return
        if not _MAGIC.search(text):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), text)
        paths = sorted(set(_glob(text)), key=os.fsencode)
        yield from self._files(paths, text, "no regular file matches the pattern")

    def _remote(self, found: Iterable[Remote]) -> Iterator[Source]:
        for remote in found:
            if self._seen_remote is not None:
                if remote.identity in self._seen_remote:
                    continue
                self._seen_remote.add(remote.identity)
            yield Source(_label(remote.label), "remote", remote)

    def _resolve_stdin(self) -> Iterator[Source]:
        if sys.stdin is None:
            raise FileNotFoundError(errno.ENOENT, "standard input is closed", "-")
        if not self._stdin:
            self._stdin = True
            yield Source("-", "reader", sys.stdin.buffer)

    def _files(self, paths: Iterable[str], given: str, nothing: str) -> Iterator[Source]:
        some = False
        for path in paths:
            some = True
            yield from self._file(path)
        if not some:
            raise FileNotFoundError(errno.ENOENT, nothing, given)

    def _file(self, path: str) -> Iterator[Source]:
        try:
            status = os.stat(path)
        except OSError:
            pass  # vanished or unreadable since it was listed: the scan reports it
        else:
            if stat.S_ISREG(status.st_mode):
                seen = self._seen[status.st_dev]
                if status.st_ino in seen:
                    return
                seen.add(status.st_ino)
        yield Source(_label(path), "path", path)


class _Found(NamedTuple):
    """What a text that was looked up with others stands for."""

    remotes: list[Remote]


def _looked_up(given: Iterable[Any]) -> Iterator[Any]:
    """The same sources; all that are spelt like remote ones are looked up at once."""
    remote = [isinstance(one, str) and is_remote(one) and not os.path.exists(one) for one in given]
    texts = [one for one, apart in zip(given, remote, strict=True) if apart]
    found = looked_up([functools.partial(remote_source, text) for text in texts])
    with contextlib.closing(found):
        for one, apart in zip(given, remote, strict=True):
            yield _Found(next(found)) if apart else one


def _label(path: str) -> str:
    if path.isascii():
        return path  # the scanner keeps one copy of a label that is the path
    # Bytes of a path that are no UTF-8 become \udc.. in Python, which no Arrow text can hold.
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _is_text_file(source: Any) -> bool:
    wrapped = getattr(source, "file", None)  # tempfile's wrappers
    return isinstance(source, io.TextIOBase) or isinstance(wrapped, io.TextIOBase)


def _buffer(source: Any) -> memoryview | None:
    try:
        view = memoryview(source)
    except TypeError:
        return None
    if not view.c_contiguous:
        raise ValueError("a bytes-like source must be contiguous")
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def _pieces(view: memoryview) -> Iterator[bytes]:
    # The engine shares `bytes`, which nobody can change, and copies the rest: a piece at a time,
    # so that a mapped file of many gigabytes is not in memory twice.
    for start in range(0, len(view), _PIECE_BYTES):
        yield bytes(view[start : start + _PIECE_BYTES])


def _walk(top: str) -> Iterator[str]:
    """Regular files below a directory in the order of their paths' bytes.

    No dot names, links to directories not followed. A directory that cannot be listed is given
    itself: the scan reports it.
    """
    levels = [("", [os.path.join(top, "")])]
    while levels:
        directory, names = levels[-1]
        if not names:
            levels.pop()
            continue
        path = directory + names.pop()
        if not path.endswith("/"):
            yield path
            continue
        try:
            levels.append((path, _listing(path)))
        except OSError:
            yield path.rstrip("/") or path


def _listing(directory: str) -> list[str]:
    """Names in a directory, last one first; directories with the slash that they sort by."""
    names = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                names.append(f"{entry.name}/")
            elif _is_regular(entry):
                names.append(entry.name)
    names.sort(key=None if all(map(str.isascii, names)) else os.fsencode, reverse=True)
    return names


def _is_regular(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _glob(pattern: str) -> Iterator[str]:
    """Regular files that a pattern matches.

    Not `glob.glob`: its `**` follows links to directories, and two links that point upwards make
    it walk 2^40 paths.
    """
    parts = [part for part in pattern.split("/") if part]
    return _expand("/" if pattern.startswith("/") else "", _collapse(parts))


def _collapse(parts: list[str]) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if not (part == "**" and kept and kept[-1] == "**"):
            kept.append(part)
    return kept


def _expand(base: str, parts: list[str]) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    if not _MAGIC.search(part):
        path = os.path.join(base, part)
        if rest and os.path.isdir(path):
            yield from _expand(path, rest)
        elif not rest and os.path.isfile(path):
            yield path
        return
    try:
        with os.scandir(base or ".") as found:
            entries = list(found)
    except OSError as error:
        if isinstance(error, PermissionError):
            yield base or "."  # the scan reports it
        return
    if part == "**":
        if rest:
            yield from _expand(base, rest)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _expand(os.path.join(base, entry.name), parts)
            elif not rest and _is_regular(entry):
                yield os.path.join(base, entry.name)
        return
    for entry in entries:
        hidden = entry.name.startswith(".") and not part.startswith(".")
        if hidden or not fnmatch.fnmatchcase(entry.name, part):
            continue
        path = os.path.join(base, entry.name)
        if rest and entry.is_dir():
            yield from _expand(path, rest)
        elif not rest and _is_regular(entry):
            yield path


def refuse_streams(sources: object, reader: str) -> None:
    """Refuse what can be read only once.

    Raises:
        TypeError: a stream; the message names `reader`, who reads more than once.

    Example:
        >>> refuse_streams(iter([b""]), "suggest")
        Traceback (most recent call last):
        TypeError: suggest reads the logs more than once, so a stream is no source for it
    """
    if hasattr(sources, "read") or hasattr(sources, "__next__"):
        raise TypeError(f"{reader} reads the logs more than once, so a stream is no source for it")
