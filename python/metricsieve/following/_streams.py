"""Bytes that come once: pipes, standard input, file objects, iterables.

Principal type: `StreamWatch`, its own only feed. What belongs to a record that may go on is kept
here, at most a record's length. Nothing of it survives the process, so the state keeps nothing.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterator
from typing import Any

from metricsieve._positions import Position, beginning
from metricsieve.following._feed import End, Feed, check_readable

_READ_BYTES = 1 << 20


class StreamWatch:
    """A stream; read when it is ready where it has a descriptor, else as fast as it gives.

    Args:
        label: what the `source` column says.
        read: gives the next bytes, none at the end; may block where there is no descriptor.
        descriptor: tells when there is something to read.
        is_fifo: whether having no writer is no end before the first one came.
    """

    def __init__(
        self,
        label: str,
        read: Callable[[int], bytes],
        descriptor: int | None = None,
        *,
        is_fifo: bool = False,
        close: Callable[[], object] | None = None,
    ) -> None:
        self.label = self.path = label
        self.generation = 0
        self.position: Position = beginning()
        self.part_start = 0
        self.written: int | None = None
        self.end: End = "open"
        self.over = False
        self.rotated = self.truncated = 0
        self.changed = False
        self.error: str | None = None
        self.lost: list[str] = []
        self._read = read
        self._descriptor = descriptor
        self._is_fifo = is_fifo
        self._close = close
        self._tail = b""
        self._finishing = False

    def poll(self) -> Iterator[Feed]:
        """Itself, when a read would not wait."""
        if not self.over and (self._finishing or self._is_ready()):
            yield self

    def _is_ready(self) -> bool:
        if self._descriptor is None:
            return True
        poll = select.poll()  # a descriptor may be larger than `select.select` takes
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def open_feeds(self) -> list[Feed]:
        """Itself, while there may be more."""
        return [] if self.over else [self]

    @property
    def has_more(self) -> bool:
        """Whether to read on at once: where nothing tells when there is more."""
        return not self.over and self._descriptor is None

    def replaced(self, feed: Feed) -> None:
        """Never: what a stream gave cannot be taken back."""

    def fail(self, feed: Feed, reason: str) -> None:
        """Read no more of it: it cannot be opened again."""
        self.refuse(feed, reason)

    def refuse(self, feed: Feed, reason: str) -> None:
        """Read no more of it."""
        self.error, self.over, self._tail = reason, True, b""
        self.close()

    def settle(self) -> None:
        """Nothing to do."""

    def descriptors(self) -> list[int]:
        """What tells that there is more."""
        return [] if self.over or self._descriptor is None else [self._descriptor]

    def read(self, limit: int) -> bytes:
        """What was held back and what came, or none where nothing came."""
        if self._finishing:
            self.end = "end"
            return self._tail
        try:
            fresh = self._read(min(limit, _READ_BYTES))
        except BlockingIOError:
            return b""
        except OSError as error:
            self.error = error.strerror or str(error)
            self.end = "cut"
            return self._tail
        if not fresh:
            if self._is_fifo and not self._tail and not self.position["offset"]:
                return b""  # no writer came yet
            self.end = "end"
        self._tail += fresh
        if not self.position["offset"]:
            check_readable(self._tail)
        return self._tail

    def held(self) -> bytes:
        """The bytes from the position on that were read already."""
        return self._tail

    @property
    def held_back(self) -> int:
        """Bytes that came and belong to a record which may go on."""
        return len(self._tail)

    def advance(self, position: Position) -> None:
        """Forget the bytes before the position."""
        self._tail = self._tail[int(position["offset"]) - int(self.position["offset"]) :]
        self.position = position
        if self.end != "open":
            self.over = True
            self.close()

    def finish(self) -> None:
        """Say that no more will come."""
        self._finishing = True

    def restore(self, saved: dict[str, Any]) -> None:
        """Nothing: an earlier run's stream is gone."""

    def entries(self) -> list[dict[str, Any]]:
        """Nothing either."""
        return []

    def describe(self) -> None:
        """Nothing: a stream cannot be read again."""

    def begin(self) -> None:
        """Nothing: it is open."""

    def stop(self) -> None:
        """Nothing: the loop waits for it."""

    @property
    def labels(self) -> list[str]:
        """Its own."""
        return [self.label]

    def close(self) -> None:
        """Let go of the stream."""
        close, self._close = self._close, None
        if close is not None:
            close()


def of_descriptor(label: str, descriptor: int, *, owned: bool = False) -> StreamWatch:
    """The stream behind a file descriptor.

    Example:
        >>> reader, writer = os.pipe()
        >>> _ = os.write(writer, b"loss=1"); os.close(writer)
        >>> stream = of_descriptor("a", reader, owned=True)
        >>> stream.read(100), stream.end, stream.read(100), stream.end
        (b'loss=1', 'open', b'loss=1', 'end')
        >>> stream.close()
    """
    is_fifo = owned and stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    close = (lambda: os.close(descriptor)) if owned else None
    return StreamWatch(
        label, lambda n: os.read(descriptor, n), descriptor, is_fifo=is_fifo, close=close
    )


def of_object(label: str, given: Any) -> StreamWatch:
    """The stream behind a binary file object, or an iterator of bytes."""
    if not callable(getattr(given, "read", None)):
        return StreamWatch(label, lambda _: next((one for one in given if one), b""))
    try:
        descriptor = given.fileno()
    except (AttributeError, OSError, ValueError):
        return StreamWatch(label, given.read)
    read = getattr(given, "read1", given.read)  # what is there, not so many bytes
    return StreamWatch(label, read, descriptor)
