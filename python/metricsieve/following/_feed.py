"""Where the bytes of a live source come from: the protocols that the loop reads through.

Principal types: `Feed`, one continuous run of bytes (a generation of a file, a pipe), and `Watch`,
what a user names, which finds feeds. `_files`, `_streams` and `_log_watch` implement them; another
kind of source is one more module that does. The loop of `_follow` reads feeds in turns and asks
watches for new ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Protocol

from metricsieve._positions import Position
from metricsieve.following._packed import kind_of

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
End = Literal["open", "end", "cut"]
Turn = Literal["open", "rest", "end", "cut"]


class Replaced(Exception):
    """The bytes that a feed was reading are gone: its file was truncated."""


class Unreadable(Exception):
    """What a feed holds cannot be followed; the message says why and what to do."""


def check_readable(head: bytes) -> None:
    """Refuse what the first bytes show to be no plain text.

    Raises:
        Unreadable: compressed or UTF-16.
    """
    kind = "UTF-16" if head.startswith(_UTF_16) else kind_of(head)
    if kind is not None:
        raise Unreadable(f"{kind} cannot be followed: read it with scan when it is complete")


class Feed(Protocol):
    """One continuous run of bytes, read from its position on.

    Attributes:
        label: what the `source` column says.
        path: the name it was found under.
        generation: which of the runs of that label, from 0: a rotated log is the next one.
        position: where to read on, as the engine gave it.
        part_start: offset behind the last finished part of it; see `_parts`.
    """

    label: str
    path: str
    generation: int
    position: Position
    part_start: int

    @property
    def written(self) -> int | None:
        """When it was last written to, in microseconds since 1970, where it is known."""

    def read(self, limit: int) -> bytes:
        """Bytes from the position on, or none where nothing came since the last call.

        Raises:
            Replaced: they are gone.
            Unreadable: they are no plain text.
        """

    def held(self) -> bytes:
        """The bytes from the position on that were read already."""

    @property
    def has_more(self) -> bool:
        """Whether more is there than the last read took."""

    @property
    def end(self) -> End:
        """Whether what was read last is all there will ever be; `cut` where it broke off."""

    @property
    def held_back(self) -> int:
        """Bytes that came and belong to a record which may go on."""

    def advance(self, position: Position) -> None:
        """Go on from there with the next read; after the end, let go of everything."""

    def finish(self) -> None:
        """Say that no more will come: the next read reaches the end."""

    def describe(self) -> dict[str, Any] | None:
        """What the state keeps of it; None for what cannot be read again."""


class Watch(Protocol):
    """What a user named: finds feeds, now and later.

    Attributes:
        label: what the `source` column says; of several sources what an error is told of.
        path: what the state calls it.
        labels: of the sources that are known.
        rotated: feeds whose name went to another file.
        truncated: feeds that were cut off by a truncation.
        changed: whether the state should know of it before anything more is read.
    """

    label: str
    path: str
    rotated: int
    truncated: int
    changed: bool

    @property
    def labels(self) -> list[str]: ...

    def begin(self) -> None:
        """Find what is there now, without reading it; after `restore`."""

    def poll(self) -> Iterable[Feed]:
        """The feeds that may have something to read."""

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a part of what `entries` gave in an earlier run; before the first `poll`."""

    def entries(self) -> list[dict[str, Any]]:
        """What the state keeps; nothing where there is nothing to go on from."""

    def stop(self) -> None:
        """End a wait, if there is one."""

    def descriptors(self) -> list[int]:
        """File descriptors that tell when there is more; none where only polling helps."""

    @property
    def over(self) -> bool:
        """Whether nothing will ever come again."""

    @property
    def error(self) -> str | None:
        """Why it cannot be read, for the report."""

    @property
    def lost(self) -> list[str]:
        """What could not be read, in words."""

    def replaced(self, feed: Feed) -> None:
        """Do what is to be done about a `Replaced` feed."""

    def fail(self, feed: Feed, reason: str) -> None:
        """Read a feed that the system refused again later, from another descriptor."""

    def refuse(self, feed: Feed, reason: str) -> None:
        """Leave an `Unreadable` feed alone from now on."""

    def settle(self) -> None:
        """Put feeds that came to their end away."""

    def open_feeds(self) -> Iterable[Feed]:
        """The feeds that did not come to their end."""

    def close(self) -> None:
        """Let go of what is open."""
