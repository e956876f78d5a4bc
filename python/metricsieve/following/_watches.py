"""From what a user calls a source to what is watched.

Principal functions: `open_watches`, and `Directory`, which looks again and again for the files of a
glob or a directory. Fed by `_follow`. Unlike a scan's, sources may appear later.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from metricsieve import _sources
from metricsieve.following._feed import Feed, Watch
from metricsieve.following._file_watch import FileWatch
from metricsieve.following._known import Registry
from metricsieve.following._log_watch import LogWatch
from metricsieve.following._rotation import base_of
from metricsieve.following._streams import of_descriptor, of_object
from metricsieve.sources._remote import RemoteSources
from metricsieve.sources._urls import is_remote, remote_source


class Watches:
    """Everything that is followed.

    Args:
        sources: as `follow` takes them.
        rotate_wait: see `FileWatch`.

    Raises:
        TypeError: something that is no source.
        ValueError: something that does not grow.
        FileNotFoundError: a file or a job that does not exist.
        SourceError: a service refuses to describe a job.
    """

    def __init__(self, sources: Any, *, rotate_wait: float) -> None:
        self._registry = Registry()
        self._rotate_wait = rotate_wait
        self._fixed: list[Watch] = []
        self._finders: list[Callable[[], Iterable[str]]] = []
        self._files: dict[str, FileWatch] = {}
        self._streams = 0
        self._looked = self._restored = False
        if isinstance(sources, Mapping):
            for label, source in sources.items():
                if not isinstance(label, str):
                    raise TypeError(f"a source's label must be text, not {type(label).__name__}")
                self._add(source, label)
        else:
            self._add(sources, None)

    def _add(self, source: Any, label: str | None) -> None:
        if isinstance(source, (list, tuple)):
            for number, one in enumerate(source):
                self._add(one, label if label is None or len(source) == 1 else f"{label}/{number}")
        elif isinstance(source, (str, os.PathLike)):
            self._add_path(os.fsdecode(os.fspath(source)), label)
        elif isinstance(source, RemoteSources):
            self._add_remote(source, label)
        elif isinstance(source, (bytes, bytearray, memoryview)):
            raise TypeError("bytes do not grow: scan them; to follow a file, give its path as text")
        else:
            resolved = _sources.resolve([source])[0]
            self._fixed.append(of_object(label or f"<stream:{self._streams}>", resolved.object))
            self._streams += 1

    def _add_remote(self, sources: RemoteSources, label: str | None) -> None:
        watch = LogWatch(sources, label, wait=self._rotate_wait)
        if watch.path not in {getattr(one, "path", None) for one in self._fixed}:
            self._fixed.append(watch)

    def _add_path(self, path: str, label: str | None) -> None:
        if path == "-":
            if sys.stdin is None:
                raise FileNotFoundError(2, "standard input is closed", "-")
            if not any(watch.label == "-" for watch in self._fixed):
                self._fixed.append(of_descriptor(label or "-", sys.stdin.fileno()))
            return
        if "\0" in path:
            raise ValueError(f"a path cannot hold a NUL character: {path!r}")
        if is_remote(path) and not os.path.exists(path):
            self._add_remote(remote_source(path), label)
            return
        try:
            mode = os.stat(path).st_mode
        except OSError:
            mode = 0
        if stat.S_ISDIR(mode) or path.endswith("/"):
            self._finders.append(lambda: _sources._walk(path) if os.path.isdir(path) else ())
        elif not mode and _sources._MAGIC.search(path):
            self._finders.append(lambda: sorted(set(_sources._glob(path)), key=os.fsencode))
        elif mode and not stat.S_ISREG(mode):
            # Without O_NONBLOCK a FIFO would wait here for its writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            name = label or _sources._label(path)
            self._fixed.append(of_descriptor(name, descriptor, owned=True))
        else:
            self._file(path, label, must_exist=True)

    def _file(self, path: str, label: str | None, *, must_exist: bool) -> FileWatch:
        if path not in self._files:
            name = label or _sources._label(path)
            self._files[path] = FileWatch(
                path, name, self._registry, rotate_wait=self._rotate_wait, must_exist=must_exist
            )
        return self._files[path]

    def __iter__(self) -> Iterator[Watch]:
        return iter([*self._fixed, *self._files.values()])

    @property
    def over(self) -> bool:
        """Whether nothing will ever come again."""
        return not self._finders and not self._files and all(one.over for one in self._fixed)

    def poll(self) -> Iterator[tuple[Watch, Feed]]:
        """Every feed that may have something to read, with its watch."""
        for watch in list(self):  # those that are known first: what they opened is no new log
            for feed in watch.poll():
                yield watch, feed
        for found in self._find():
            for feed in found.poll():
                yield found, feed

    def begin(self) -> None:
        """Find what is there now, without reading it."""
        for file in self._files.values():
            file.find_saved()
        self._find()
        for watch in self:
            watch.begin()

    def _find(self) -> list[FileWatch]:
        known = set(self._files)
        found = []
        for finder in self._finders:
            for path in finder():
                if path in self._files:
                    continue
                # A rotated log belongs to the name that it had, unless it was there at the start.
                bases = known if self._looked or self._restored else set()
                if any(base in bases for base in base_of(path)):
                    continue
                try:
                    status = os.stat(path)
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode) and not self._registry.is_taken(path, status):
                    found.append(self._file(path, None, must_exist=False))
        self._looked = True
        return found

    def restore(self, saved: list[dict[str, Any]]) -> None:
        """Go on from what `entries` gave in an earlier run.

        Raises:
            KeyError: it is not complete.
        """
        for one in saved:
            path = one["path"]
            groups = [watch for watch in self._fixed if watch.path == one.get("group", path)]
            if groups:
                groups[0].restore(one)
            elif path in self._files or self._finders:
                self._file(path, one["label"], must_exist=False).restore(one)
                self._restored = True

    def number_streams(self, next_generation: Callable[[str], int]) -> None:
        """Give streams generations of their own: none of them goes on with an earlier one."""
        for watch in self._fixed:
            for feed in watch.open_feeds():
                feed.generation = next_generation(feed.label)

    def entries(self) -> list[dict[str, Any]]:
        """What the state keeps."""
        return [one for watch in self for one in watch.entries()]

    def descriptors(self) -> list[int]:
        """What tells that there is more."""
        return [one for watch in self for one in watch.descriptors()]

    def stop(self) -> None:
        """End waits for services; for signal handlers and other threads, too."""
        for watch in self._fixed:
            watch.stop()

    def close(self) -> None:
        """Let go of everything that is open."""
        for watch in self:
            watch.close()
