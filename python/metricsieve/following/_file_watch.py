"""A watched name: the log that it is now, and those that it was.

Principal type: `FileWatch`. Polling is the mechanism, because network file systems tell nothing: a
look compares the name's inode with that of the open file. When they differ the old file is read
to its end through its descriptor, and rotated logs that came and went in between are found among
the siblings. Fed by `_watches`; the loop reads the feeds.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from typing import Any

from metricsieve.following._feed import Feed
from metricsieve.following._files import FileFeed, PackedFeed
from metricsieve.following._identity import Identity
from metricsieve.following._known import Registry, is_copy, is_packed_copy, is_same
from metricsieve.following._packed import MAGIC_BYTES, kind_of, open_packed
from metricsieve.following._rotation import Sibling, siblings

KEPT_GENERATIONS = 200
_LOOKS = 3  # a file of an earlier run that so many do not find is gone
_POSTPONED = 60.0  # seconds that the search goes on for what cannot be told yet


class FileWatch:
    """The generations of one log, found under one name.

    Args:
        path: the name.
        label: what the `source` column says.
        registry: shared by all watches.
        rotate_wait: a log that was rotated has ended when it did not grow for so many seconds.
        must_exist: whether a name that never exists is an error.

    Attributes:
        rotated: generations whose name went to another file.
        truncated: generations that were cut off by a truncation.
        lost: what could not be read, in words.
        changed: whether the state should know of it before anything more is read: a log that is
            rotated away after a crash is only looked for when it was known before.
    """

    def __init__(
        self, path: str, label: str, registry: Registry, *, rotate_wait: float, must_exist: bool
    ) -> None:
        self.path, self.label = path, label
        self.rotated = self.truncated = 0
        self.lost: list[str] = []
        self.changed = False
        self._registry = registry
        self._rotate_wait = rotate_wait
        self._must_exist = must_exist
        self._current: FileFeed | None = None
        self._old: list[FileFeed] = []  # to be read to their end
        self._saved: list[FileFeed] = []  # of an earlier run, not found yet
        self._done: list[FileFeed] = []  # read to their end; told from new ones while they exist
        self._next = 0
        # Set from a rotation on until it is certain that no generation was missed: what was written
        # before that time was not.
        self._since: int | None = None
        self._search_until = 0.0
        self._cut: list[Identity] = []  # truncated with nothing but a part of a line known
        self._give_up_at = 0.0
        self._looks_left = _LOOKS
        self._error: str | None = None
        self._found_once = False
        self._refused: tuple[int, int] | None = None

    # What the loop asks for

    @property
    def error(self) -> str | None:
        """Why the name cannot be read."""
        if self._error is None and self._must_exist and not self._found_once:
            return "there is no such file yet"
        return self._error

    @property
    def over(self) -> bool:
        """Never: a file may come again."""
        return False

    def descriptors(self) -> list[int]:
        """None: only polling helps."""
        return []

    def open_feeds(self) -> list[FileFeed]:
        """The generations that are being read."""
        return [*self._old, *([self._current] if self._current else [])]

    def begin(self) -> None:
        """Find what is under the name now, without reading it; after `find_saved` of all others."""
        if not self._saved and self._current is None:
            self._look()

    def find_saved(self) -> None:
        """Find the files of an earlier run, under whatever name they are now."""
        if self._saved:
            self._find_saved()

    def _all(self) -> list[FileFeed]:
        return [*self._done, *self._saved, *self.open_feeds()]

    def poll(self) -> Iterator[Feed]:
        """Look at the name; the generations that may have something to read."""
        now = time.monotonic()
        if self._since is not None and not self._search_until:  # of an earlier run
            self._search_until = now + self._rotate_wait
        if self._saved:
            self._find_saved()
        self._look()
        if self._since is not None:
            # A rotation renames one file after the other, so one look may find some under no name.
            self._find_missed(self._since)
            if self._current is not None and not self._saved and now >= self._search_until:
                self._since = None
        for feed in list(self._old):
            yield feed
            if feed.finished:
                self._finish(feed)
            elif self._has_ended(feed, now):
                feed.finish(feed.end_when_retired)
                yield feed
                if feed.finished:
                    self._finish(feed)
        if self._current is not None:
            yield self._current

    def _has_ended(self, feed: FileFeed, now: float) -> bool:
        """Whether a rotated log did not grow for so long that nobody writes to it any more."""
        waited = feed.retired is not None and now - feed.retired >= self._rotate_wait
        return waited and not feed.has_more and not feed.is_finishing()

    def replaced(self, feed: Feed) -> None:
        """A generation was truncated: the rest of it may be in a copy, the file is a new one."""
        assert isinstance(feed, FileFeed)
        self.truncated += 1
        was_current = feed is self._current
        since = feed.identity().mtime_ns
        if was_current:
            self._current = None
            self._old.append(feed)
        feed.close()
        self._registry.release(feed)
        copy = self._find_copy(feed)
        rest = None if copy is None else self._attach(feed, copy)
        if rest is None:
            unread = feed.held_back
            if unread:
                self._lose(f"{unread:,} bytes of a last line that a truncation cut off")
            if not feed.identity().offset:
                self._cut = [*self._cut[-7:], feed.identity()]
            feed.give_up()
            self._finish(feed)
        else:
            rest.finish("cut")
        if was_current:
            self._search_since(since)
            self._find_missed(since)
            self._look()

    def fail(self, feed: Feed, reason: str) -> None:
        """The system gave up a file (a stale handle for one): find it again as after a restart."""
        assert isinstance(feed, FileFeed)
        feed.close()
        self._registry.release(feed)
        if feed is self._current:
            self._current = None
        else:
            self._old.remove(feed)
        feed.retired = None
        self._saved.append(feed)
        self._saved.sort(key=lambda one: one.generation)
        self._give_up_at, self._looks_left = 0.0, _LOOKS
        self._error = reason

    def refuse(self, feed: Feed, reason: str) -> None:
        """Leave a file alone that holds no plain text, until another one has its name."""
        assert isinstance(feed, FileFeed)
        identity = feed.identity()
        feed.finished = True
        feed.close()
        self._registry.release(feed)
        if feed is self._current:
            self._current, self._refused = None, (identity.dev, identity.ino)
            self._next = feed.generation
        if self._must_exist:
            self._error = reason
        else:
            self._lose(f"{self.path}: {reason}")

    # Finding files

    def _look(self) -> None:
        try:
            status = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            self._lose_name()
            if not self._found_once and self._since is None:
                # It may come and be rotated away before the next look; what is there now is older.
                times = [sibling.status.st_mtime_ns + 1 for sibling in siblings(self.path)]
                self._search_since(max(times, default=0))
            return
        except OSError as error:
            self._error = error.strerror or str(error)
            return
        current = self._current
        if current is not None and current.identity().is_same_inode(status):
            self._error = None
            known = current.identity()
            if not known.offset and status.st_mtime_ns != known.mtime_ns:
                # Too little is known of it to see whether it was copied and truncated meanwhile.
                self._search_since(known.mtime_ns)
            return
        if (status.st_dev, status.st_ino) == self._refused:
            return
        if not stat.S_ISREG(status.st_mode):
            self._error = "is no regular file any more"
            return
        if self._registry.is_taken(self.path, status, self):
            self._lose_name()  # another log was rotated to this name
            return
        self._lose_name()
        self._open_current()

    def _lose_name(self) -> None:
        """The name is another file's, or nobody's: its file goes on among the old ones."""
        current, self._current = self._current, None
        if current is not None:
            self.rotated += 1
            current.retired = time.monotonic()
            self._old.append(current)
            self._search_since(current.identity().mtime_ns)

    def _search_since(self, since: int) -> None:
        if self._since is None:
            self._since, self.changed = since, True
        self._search_until = time.monotonic() + self._rotate_wait

    def _open_current(self) -> None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        except OSError as error:
            self._error = error.strerror or str(error)
            return
        self._found_once, self._error = True, None
        status = os.fstat(descriptor)
        candidates = [
            *(one for one in self._done if is_same(one, descriptor, status)),
            *(one for one in self._old if one.identity().is_same_inode(status)),
        ]
        known = candidates[0] if candidates else None
        if known is not None:  # a rotated log got its name back
            self._registry.forget(known)
            (self._done if known.finished else self._old).remove(known)
            known.revive(descriptor)
            self._current = known
        elif self._registry.take(status, self):
            self._current = self._new(descriptor)
            self._next += 1
            self.changed = True
        else:
            os.close(descriptor)
        if self._current is not None:
            self._registry.take(status, self)

    def _new(self, descriptor: int) -> FileFeed:
        return FileFeed(self.path, self.label, self._next, descriptor)

    def _find_missed(self, since: int) -> None:
        """Generations that were rotated away before anyone saw them under the name."""
        for sibling in siblings(self.path):
            early = sibling.status.st_mtime_ns < since
            if early or self._registry.is_taken(sibling.path, sibling.status, self):
                continue
            with contextlib.suppress(OSError):
                descriptor = os.open(sibling.path, os.O_RDONLY | os.O_CLOEXEC)
                if not self._add_missed(sibling, descriptor):
                    os.close(descriptor)

    def _add_missed(self, sibling: Sibling, descriptor: int) -> bool:
        status = os.fstat(descriptor)
        known = self._all()
        if not status.st_size or any(is_same(one, descriptor, status) for one in known):
            return False
        kind = kind_of(os.pread(descriptor, MAGIC_BYTES, 0))
        if kind is None:
            copies = (is_copy(one, descriptor) for one in known)
        else:
            copies = (is_packed_copy(one, sibling.path, kind) for one in known)
        for copy in copies:
            if copy is None:  # it is being made, or what it may be a copy of was just truncated
                self._search_until = max(self._search_until, time.monotonic() + _POSTPONED)
            if copy is not False:
                return False
        feed = self._new(descriptor)
        if kind is not None:
            content = open_packed(sibling.path, kind)
            if content is None:
                self._lose(f"{sibling.path}, which is compressed with {kind}: scan it")
                return False
            feed = PackedFeed(self.path, self.label, feed.generation, descriptor, content)
        elif any(one.is_plain_file(descriptor) for one in self._cut):
            feed.end_when_retired = "cut"
        self._next += 1
        feed.retired = time.monotonic()
        self.rotated += 1
        self._registry.take(status, self)
        self._old.append(feed)
        self.changed = True
        return True

    def _lose(self, what: str) -> None:
        if what not in self.lost:
            self.lost.append(what)

    def _find_copy(self, feed: FileFeed) -> str | None:
        """A sibling with the bytes of a generation that are no longer under its inode."""
        identity = feed.identity()
        if not identity.offset:
            # Too little is known of it, and nothing of it became a row: it is read as a missed one.
            return None
        for sibling in reversed(siblings(self.path)):
            if self._registry.is_taken(sibling.path, sibling.status, self):
                continue
            with contextlib.suppress(OSError), open(sibling.path, "rb", buffering=0) as file:
                kind = kind_of(os.pread(file.fileno(), MAGIC_BYTES, 0))
                if kind is not None:
                    if is_packed_copy(feed, sibling.path, kind):
                        return sibling.path
                elif identity.is_plain_file(file.fileno()) and not self._is_anothers(
                    feed, file.fileno()
                ):
                    return sibling.path
        return None

    def _is_anothers(self, feed: FileFeed, descriptor: int) -> bool:
        """Whether an open file is, or may be, that of a generation of which more is known."""
        status = os.fstat(descriptor)
        for one in self._all():
            if one is feed:
                continue
            identity = one.identity()
            if one.is_open or one.finished:
                if is_same(one, descriptor, status) or is_copy(one, descriptor) is not False:
                    return True
            elif identity.offset > feed.identity().offset and identity.is_plain_file(descriptor):
                return True
        return False

    def _attach(self, feed: FileFeed, path: str) -> FileFeed | None:
        """Go on with a generation in another file; None when that went away meanwhile."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        kind = kind_of(os.pread(descriptor, MAGIC_BYTES, 0))
        if kind is not None:
            content = open_packed(path, kind)
            if content is None:
                os.close(descriptor)
                return None
            packed = PackedFeed(self.path, self.label, feed.generation, descriptor, content)
            packed.attach_saved(feed)
            self._old[self._old.index(feed)] = packed
            feed = packed
        else:
            if not feed.identity().is_plain_file(descriptor):
                os.close(descriptor)
                return None
            feed.attach(descriptor)
        feed.retired = time.monotonic()
        self._registry.take(os.fstat(descriptor), self)
        return feed

    # Going on after a restart

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what `describe` said in an earlier run.

        Raises:
            KeyError: it is not complete.
        """
        feeds = [FileFeed.saved(self.path, self.label, one) for one in saved["files"]]
        self._next = max([saved["next"], *(feed.generation + 1 for feed in feeds)])
        self._done = [feed for feed in feeds if feed.finished]
        self._saved = [feed for feed in feeds if not feed.finished]
        for feed in self._done:
            self._registry.finish(feed)
        self._since = saved["since"]
        self._found_once = bool(feeds)

    def _find_saved(self) -> None:
        """Find the files of generations that were not read to their end, under whatever name."""
        newest = self._saved[-1].identity()
        now = time.monotonic()
        self._give_up_at = self._give_up_at or now + self._rotate_wait
        self._looks_left -= 1
        for feed in list(self._saved):
            path = self._find_by_inode(feed)
            if path is not None:
                self._go_on(feed, path)
        # The others only now: a copy that seems to be of one may be the file of another.
        for feed in list(self._saved):
            truncated = self._has_inode_of(feed)
            copy = self._find_copy(feed)
            rest = None if copy is None else self._go_on(feed, copy)
            if rest is not None:
                if truncated:
                    self.truncated += 1
                    rest.finish("cut")
            elif now >= self._give_up_at and self._looks_left <= 0:
                # It is not just on its way to another name, when a listing may lack it.
                self._saved.remove(feed)
                self._old.append(feed)
                self._lose(f"the rest of generation {feed.generation}, whose file is gone")
                feed.give_up()
                self._finish(feed)
        if self._current is None:
            self._search_since(newest.mtime_ns)

    def _go_on(self, saved: FileFeed, path: str) -> FileFeed | None:
        """Go on with a saved generation in a file that was found; None when that is gone again."""
        if not saved.identity().offset:
            self._search_since(saved.identity().mtime_ns)  # as in `_look`, for the same reason
        self._saved.remove(saved)
        self._old.append(saved)
        feed = self._attach(saved, path)
        if feed is None:
            self._old.remove(saved)
            self._saved.append(saved)
        elif path == self.path and self._current is None:
            self._old.remove(feed)
            self._current, feed.retired, self._found_once = feed, None, True
        return feed

    def _has_inode_of(self, feed: FileFeed) -> bool:
        with contextlib.suppress(OSError):
            return feed.identity().is_same_inode(os.stat(self.path))
        return False

    def _find_by_inode(self, feed: FileFeed) -> str | None:
        """The file itself, wherever in its directory it is by now."""
        identity = feed.identity()
        directory = os.path.dirname(self.path)
        paths = [self.path]
        with contextlib.suppress(OSError), os.scandir(directory or ".") as entries:
            found = (entry.name for entry in entries if entry.inode() == identity.ino)
            paths += [os.path.join(directory, name) for name in found]
        for path in paths:
            with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
                if not is_same(feed, file.fileno(), os.fstat(file.fileno())):
                    continue
                # An inode is used again, and of a log without a record too little is known.
                if identity.offset or not self._is_anothers(feed, file.fileno()):
                    return path
        return None

    def entries(self) -> list[dict[str, Any]]:
        """What the state keeps: one of it."""
        feeds = sorted(self._all(), key=lambda feed: feed.generation)
        entry = {
            "path": self.path,
            "label": self.label,
            "next": self._next,
            "since": self._since,
            "files": [feed.describe() for feed in feeds],
        }
        return [entry]

    def stop(self) -> None:
        """Nothing: it never waits."""

    @property
    def labels(self) -> list[str]:
        """Its own."""
        return [self.label]

    def _finish(self, feed: FileFeed) -> None:
        if feed not in self._old:
            return
        self._old.remove(feed)
        self._registry.finish(feed)
        self._done.append(feed)
        if len(self._done) > KEPT_GENERATIONS:
            forgotten = self._done.pop(0)
            self._registry.forget(forgotten)
            if self._since is not None:
                # Where logs are rotated without a rest, the search has no end: what is not known
                # any more would be taken for a generation that was missed.
                self._since = max(self._since, forgotten.identity().mtime_ns + 1)

    def settle(self) -> None:
        """Put generations that were read to their end away, whoever read them."""
        if self._current is not None and self._current.finished:
            self._old.append(self._current)
            self._current = None
        for feed in [one for one in self._old if one.finished]:
            self._finish(feed)

    def close(self) -> None:
        """Close every file."""
        for feed in self.open_feeds():
            feed.close()
