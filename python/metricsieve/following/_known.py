"""What is known already: a rotated log must be read once, whatever its name and however packed.

Principal type: `Registry`; `is_same`, `is_copy` and `is_packed_copy` compare a file with a
generation. Used by `_file_watch` and `_watches`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from metricsieve.following._identity import HEAD_BYTES, digest
from metricsieve.following._packed import BROKEN, open_packed

if TYPE_CHECKING:
    from metricsieve.following._file_watch import FileWatch
    from metricsieve.following._files import FileFeed


class Registry:
    """Which files some watch reads or has read: to a glob, a rotated log is no new one."""

    def __init__(self) -> None:
        self._owners: dict[tuple[int, int], FileWatch] = {}
        self._done: dict[tuple[int, int], FileFeed] = {}

    def take(self, status: os.stat_result, watch: FileWatch) -> bool:
        """Claim an open file; whether it is the watch's now."""
        key = (status.st_dev, status.st_ino)
        return self._owners.setdefault(key, watch) is watch

    def is_taken(self, path: str, status: os.stat_result, but: FileWatch | None = None) -> bool:
        """Whether another watch has the file open, or has read it to its end."""
        key = (status.st_dev, status.st_ino)
        owner, done = self._owners.get(key), self._done.get(key)
        if owner is not None:
            return owner is not but
        if done is None or (but is not None and done.path == but.path):
            return False
        try:
            with open(path, "rb", buffering=0) as file:
                return is_same(done, file.fileno(), os.fstat(file.fileno()))
        except OSError:
            return False

    def release(self, feed: FileFeed) -> None:
        """A file was closed; its inode may be used again."""
        identity = feed.identity()
        self._owners.pop((identity.dev, identity.ino), None)

    def finish(self, feed: FileFeed) -> None:
        """A file was read to its end."""
        self.release(feed)
        identity = feed.identity()
        self._done[identity.dev, identity.ino] = feed

    def forget(self, feed: FileFeed) -> None:
        """A file that was read to its end is of no interest any more."""
        identity = feed.identity()
        if self._done.get((identity.dev, identity.ino)) is feed:
            del self._done[identity.dev, identity.ino]


def is_same(feed: FileFeed, descriptor: int, status: os.stat_result) -> bool:
    """Whether an open file is a known one: inodes are used again, so its bytes are compared."""
    identity = feed.identity()
    if feed.gone or (feed.finished and not identity.head_len and status.st_size):
        return False  # its file was truncated, or ended empty
    return identity.is_same_inode(status) and identity.is_plain_file(descriptor)


def is_copy(feed: FileFeed, descriptor: int) -> bool | None:
    """Whether an open file is a copy of a generation, or becomes one; None when it cannot be told.

    Logs may begin alike, so it is not enough to hold what was read: of a generation that has ended
    a copy has the same end, and of one that is open it is a beginning.
    """
    if feed.gone:
        return False
    if feed.finished:
        identity = feed.identity()
        return os.fstat(descriptor).st_size == identity.offset and identity.is_plain_file(
            descriptor
        )
    if not feed.is_open or feed.is_replaced():
        return None
    return feed.begins_with(descriptor)


def is_packed_copy(feed: FileFeed, path: str, kind: str) -> bool | None:
    """Whether a compressed file holds a generation; None while it is not complete."""
    identity = feed.identity()
    content = open_packed(path, kind)
    if content is None or feed.gone or not identity.head_len:
        return False
    with content:
        try:
            head = content.read(HEAD_BYTES)
            if digest(head[: identity.head_len]) != identity.head:
                return False  # without decompressing all of it
            content.seek(identity.offset - identity.anchor_len)
            anchor = content.read(identity.anchor_len)
            same = identity.is_content_of(head, anchor, None)
            return same and not (feed.finished and content.read(1))
        except BROKEN:
            return None
