"""Files that grow, and the runs of bytes that a name stands for as logs are rotated.

Principal type: `FileFeed`, one generation of a log: a file from its first byte to its last,
whatever its name by now. `_file_watch` finds them and says when one has ended; the loop reads them.
"""

from __future__ import annotations

import os
import time
from typing import Any, BinaryIO

from metricsieve._positions import Position, beginning, read_position
from metricsieve.following._feed import End, Replaced, check_readable
from metricsieve.following._identity import ANCHOR_BYTES, HEAD_BYTES, Identity, digest
from metricsieve.following._packed import BROKEN


class FileFeed:
    """One generation of a log, in a file that is open or was read to its end.

    Args:
        path: the watched name.
        label: what the `source` column says.
        generation: its number among those of the label.
        descriptor: of the open file; the feed closes it.

    Attributes:
        gone: whether its bytes are nowhere any more, so that no file is it.
        end_when_retired: `cut` for a copy that may end in the middle of a line.
        retired: when the name went to another file (a monotonic time); None while it has it.
    """

    def __init__(self, path: str, label: str, generation: int, descriptor: int | None) -> None:
        self.path = path
        self.label = label
        self.generation = generation
        self.position: Position = beginning()
        self.part_start = 0
        self.end: End = "open"
        self.finished = False
        self.gone = False
        self.retired: float | None = None
        self.end_when_retired: End = "end"
        self._descriptor = descriptor
        self._finishing: End = "open"
        self._head = b""
        self._anchor = b""
        self._data = b""  # of the last read, until the position moves
        self._seen = 0  # bytes of it that a read has given, some of them again later
        self._status: os.stat_result | None = None
        self._identity: Identity | None = None
        if descriptor is not None:
            self._status = os.fstat(descriptor)

    @classmethod
    def saved(cls, path: str, label: str, saved: dict[str, Any]) -> FileFeed:
        """A generation that an earlier run knew; it has no open file yet.

        Raises:
            KeyError: what was saved is not complete.
        """
        feed = cls(path, label, saved["generation"], None)
        feed.position = read_position(saved["position"])
        feed.part_start = saved["part_start"]
        feed.finished, feed.gone = saved["finished"], saved["gone"]
        feed._identity = Identity.read(saved)
        feed._seen = feed._identity.offset
        return feed

    def describe(self) -> dict[str, Any]:
        """What the state keeps of it."""
        identity = self.identity()
        return {
            "generation": self.generation,
            "finished": self.finished,
            "gone": self.gone,
            "part_start": self.part_start,
            **{name: getattr(identity, name) for name in Identity.__dataclass_fields__},
            "position": self.position,
        }

    def identity(self) -> Identity:
        """What tells this file from others."""
        if self._identity is not None:  # not open: as it was saved, or read last
            return self._identity
        assert self._status is not None
        return Identity(
            dev=self._status.st_dev,
            ino=self._status.st_ino,
            mtime_ns=self._status.st_mtime_ns,
            head_len=len(self._head),
            head=digest(self._head),
            anchor_len=len(self._anchor),
            anchor=digest(self._anchor),
            offset=self.position["offset"],
        )

    @property
    def is_open(self) -> bool:
        """Whether there is a file to read."""
        return self._descriptor is not None

    @property
    def held_back(self) -> int:
        """Bytes that came and belong to a record which may go on."""
        return 0 if self.finished else max(0, self._seen - int(self.position["offset"]))

    def attach(self, descriptor: int) -> None:
        """Go on in an open file that holds the same bytes: where it was saved, or a copy of it."""
        identity = self.identity()
        self._head = os.pread(descriptor, HEAD_BYTES, 0)
        start = identity.offset - identity.anchor_len
        self._anchor = os.pread(descriptor, identity.anchor_len, start)
        self._close()
        self._descriptor = descriptor
        self._identity = None
        self._status = os.fstat(descriptor)
        self._seen = identity.offset

    def revive(self, descriptor: int) -> None:
        """Go on with a rotated log that got its name back."""
        self.finished, self.end, self._finishing, self.retired = False, "open", "open", None
        self.attach(descriptor)

    def read(self, limit: int) -> bytes:
        """Bytes from the position on, or none where nothing came since the last call.

        Raises:
            Replaced: the file was truncated.
            Unreadable: it is compressed, or UTF-16.
        """
        if self._descriptor is None:
            return b""
        offset = int(self.position["offset"])
        status = os.fstat(self._descriptor)
        known = self._status
        if status.st_size < self._seen:
            raise Replaced
        unchanged = known is not None and known.st_mtime_ns == status.st_mtime_ns
        if unchanged and status.st_size == self._seen and self._finishing == "open":
            self._status = status
            return b""
        # The bytes before the offset come with the same read: what a truncation and a writer do in
        # between cannot be seen by looking before or after.
        data = os.pread(self._descriptor, limit + len(self._anchor), offset - len(self._anchor))
        head = os.pread(self._descriptor, HEAD_BYTES, 0)
        if not data.startswith(self._anchor) or not head.startswith(self._head):
            raise Replaced
        self._status = status
        if not offset:
            check_readable(head)
        self._head = head
        data = self._data = data[len(self._anchor) :]
        grown = offset + len(data) > self._seen
        if grown and self.retired is not None:
            self.retired = time.monotonic()  # still written to, under whatever name
        self._seen = offset + len(data)
        if self._finishing != "open":
            # Nothing writes to it any more; what is read in one go to its last byte is the end.
            self.end = self._finishing if self._seen >= status.st_size else "open"
            return data
        if not grown:
            self._data = b""
        return self._data

    def held(self) -> bytes:
        """The bytes from the position on that were read already."""
        if self._descriptor is None:
            return b""
        offset = int(self.position["offset"])
        self._data = os.pread(self._descriptor, self._seen - offset, offset)
        return self._data

    @property
    def written(self) -> int | None:
        """When the file was written to, before what was read last: a year is told by it."""
        return None if self._status is None else self._status.st_mtime_ns // 1000

    @property
    def has_more(self) -> bool:
        """Whether the file held more than the last read took."""
        return self._status is not None and self.is_open and self._status.st_size > self._seen

    def is_replaced(self) -> bool:
        """Whether the file was truncated since it was read."""
        if self._descriptor is None:
            return False
        size = os.fstat(self._descriptor).st_size
        head = os.pread(self._descriptor, HEAD_BYTES, 0)
        return size < self._seen or not head.startswith(self._head)

    def begins_with(self, descriptor: int) -> bool:
        """Whether another open file has the first bytes of this one and no others."""
        if self._descriptor is None:
            return False
        size = os.fstat(descriptor).st_size
        count = min(ANCHOR_BYTES, size)
        return all(
            os.pread(descriptor, count, start) == os.pread(self._descriptor, count, start)
            for start in (0, size - count)
        )

    def advance(self, position: Position) -> None:
        """Go on from there; after the end let go of the file."""
        moved = int(position["offset"]) - int(self.position["offset"])
        self._anchor = (self._anchor + self._data[:moved])[-ANCHOR_BYTES:]
        self._data = b""
        self.position = position
        if self.end != "open":
            self.finished = True
            self.close()

    def finish(self, end: End = "end") -> None:
        """Say that no more will come: the next reads go to the end of what is there."""
        self._finishing = end

    def is_finishing(self) -> bool:
        """Whether its end was said."""
        return self._finishing != "open"

    def give_up(self) -> None:
        """Its bytes are gone: nothing of it will ever be read again."""
        self.finished = self.gone = True
        self.end = "cut"
        self.close()

    def close(self) -> None:
        """Close the file; what tells it from others stays."""
        if self._descriptor is not None:
            self._identity = self.identity()
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class PackedFeed(FileFeed):
    """A generation that was rotated and compressed before it was read to its end."""

    def __init__(
        self, path: str, label: str, generation: int, descriptor: int, content: BinaryIO
    ) -> None:
        super().__init__(path, label, generation, descriptor)
        self._content: BinaryIO = content
        self._tail = b""
        self._at = 0
        self._broken: int | None = None  # size of the file when it ended too early

    def attach_saved(self, saved: FileFeed) -> None:
        """Go on where the file was before it was compressed."""
        identity = saved.identity()
        self.position, self.part_start = saved.position, saved.part_start
        self._content.seek(identity.offset - identity.anchor_len)
        self._anchor = self._content.read(identity.anchor_len)
        self._at = self._seen = identity.offset
        self._content.seek(0)
        self._head = self._content.read(HEAD_BYTES)
        self._content.seek(self._at)

    def is_replaced(self) -> bool:
        """Never: nothing writes to it."""
        return False

    def begins_with(self, descriptor: int) -> bool:
        """Never: its bytes are not the log's."""
        return False

    def read(self, limit: int) -> bytes:
        """Bytes from the position on; none while the file is still being compressed."""
        assert self._descriptor is not None
        size = os.fstat(self._descriptor).st_size
        if self._broken == size:
            # Nobody went on with it: what came of it is what there is.
            self.end = "open" if self._finishing == "open" else "cut"
            return b"" if self.end == "open" else self._tail
        try:
            self._content.seek(self._at)
            fresh = self._content.read(max(1, limit - len(self._tail)))
        except BROKEN:  # it ends too early: its writer may not be through
            self._broken = size
            return b""
        if self._at == 0:
            self._head = fresh[:HEAD_BYTES]
        self._at += len(fresh)
        self._tail += fresh
        self._seen = self._at
        if not fresh:
            self.end = "end" if self._finishing == "open" else self._finishing
        return self._tail

    @property
    def has_more(self) -> bool:
        """Whether it was not read to its end."""
        return not self.finished and self._broken is None

    def advance(self, position: Position) -> None:
        """Go on from there, or let go of the file."""
        moved = int(position["offset"]) - int(self.position["offset"])
        self._anchor = (self._anchor + self._tail[:moved])[-ANCHOR_BYTES:]
        self._tail = self._tail[moved:]
        self.position = position
        if self.end != "open":
            self.finished = True
            self.close()

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._content.close()
