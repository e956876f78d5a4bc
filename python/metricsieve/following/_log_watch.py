"""Log groups of CloudWatch and SageMaker jobs that are followed.

Principal types: `LogWatch`, what a user names, and `LogFeed`, one log stream of it. `LogTail` of
`sources.cloudwatch_tail` finds the new events, each once; here they become the bytes of feeds.
Where to go on in a stream is a place in the text of its messages, so that `line` and `offset` are
those that `scan` gives where events came in order; which events were seen is the tail's to know.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from metricsieve._positions import Position, beginning, read_position
from metricsieve.exceptions import SourceError
from metricsieve.following._feed import End, Feed
from metricsieve.sources._remote import RemoteSources, pauses_end_at
from metricsieve.sources.cloudwatch_logs import encode_events

if TYPE_CHECKING:
    from metricsieve.sources._remote import Live
    from metricsieve.sources.cloudwatch_tail import LogTail

# DescribeTrainingJob is asked so often; as SageMaker's own SDK does.
_STATUS_SECONDS = 30.0
# A service that failed, after it was tried for `RETRY_SECONDS`, is asked again after so long.
_FAILED_SECONDS = 30.0
# The logs of a job that has ended are complete when nothing came for so many `rotate_wait`: events
# become visible some seconds after they were written.
_END_WAITS = 3


class LogFeed:
    """The events of one stream.

    Args:
        group: the path of the watch.
        label: what the `source` column says.
        stream: the stream's name.
    """

    generation = 0
    end: End = "open"
    has_more = False
    held_back = 0
    written = None  # events bring their times

    def __init__(self, group: str, label: str, stream: str) -> None:
        self.path = f"{group}#{stream}"
        self.label = label
        self.position: Position = {**beginning(), "envelope": "events"}
        self.part_start = 0
        self._group, self._stream = group, stream
        self._data = b""

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on where an earlier run ended."""
        self.position = read_position(saved["position"])
        self.part_start = saved["part_start"]

    def add(self, events: list[dict[str, Any]]) -> None:
        """Take new events, which the next read gives."""
        self._data += encode_events(events)

    def read(self, limit: int) -> bytes:
        """The new events: a page of them, never a part of one."""
        return self._data

    def held(self) -> bytes:
        """The same."""
        return self._data

    def advance(self, position: Position) -> None:
        """Forget what was read."""
        self._data = b""
        self.position = position

    def finish(self) -> None:
        """Nothing: no event is held back."""

    def describe(self) -> dict[str, Any]:
        """What the state and parts keep of it."""
        return {
            "generation": self.generation,
            "part_start": self.part_start,
            "position": self.position,
            "again": True,
        }

    def entry(self) -> dict[str, Any]:
        """The state's entry for it."""
        return {
            "path": self.path,
            "label": self.label,
            "next": 1,
            "since": None,
            "files": [self.describe()],
            "group": self._group,
            "stream": self._stream,
        }


class _Tail:
    """What is followed of one job, or of the group.

    Attributes:
        done: whether all of it was read.
    """

    def __init__(self, live: Live, position: dict[str, Any] | None) -> None:
        self.tail: LogTail = live.logs.tail(position=position)
        self.has_ended = live.has_ended
        self.quiet_since = time.monotonic()
        self.done = False


class LogWatch:
    """A log group, what a prefix leaves of it, or the logs of a job until it ends.

    Args:
        sources: what grows.
        label: what the labels of its streams begin with, if not with themselves.
        wait: the logs of a job that has ended are read until nothing came for some times as many
            seconds.

    """

    rotated = truncated = 0
    changed = False

    def __init__(self, sources: RemoteSources, label: str | None, *, wait: float) -> None:
        self.path = sources.place
        self.label = label or self.path
        self.over = False
        self.error: str | None = None
        self.lost: list[str] = []
        self._sources = sources
        self._labels = label
        self._wait = wait * _END_WAITS
        self._feeds: dict[str, LogFeed] = {}
        self._tails: dict[str, _Tail] = {}
        self._positions: dict[str, dict[str, Any]] = {}  # of tails, by an earlier run
        self._look_at = self._poll_at = 0.0
        self._has_ended = self._answers = False
        self._stop = threading.Event()

    # What the loop asks

    def begin(self) -> None:
        """See what there is, without reading it.

        Raises:
            ValueError: it does not grow, or its time range has an end.
            FileNotFoundError: there is no such job.
            SourceError: the service refuses.
        """
        self._look()

    def poll(self) -> Iterator[Feed]:
        """The streams with new events; of each the loop reads all before the next one comes."""
        if time.monotonic() < self._poll_at or self.over:
            return
        try:
            self._look()
            for tail in self._tails.values():
                if not tail.done:
                    yield from self._new(tail)
        except SourceError as error:
            if self._stop.is_set():
                return
            if not self._answers:
                raise
            self.error = str(error)
            self._poll_at = time.monotonic() + _FAILED_SECONDS
            return
        self.error = None
        self._answers = True
        self.over = self._has_ended and all(tail.done for tail in self._tails.values())

    def _look(self) -> None:
        """See which jobs there are, and which of them have ended."""
        if self._has_ended or time.monotonic() < self._look_at:
            return
        with pauses_end_at(self._stop):
            found, self._has_ended = self._sources.live()
        for live in found:
            tail = self._tails.get(live.key)
            if tail is None:
                self._tails[live.key] = _Tail(live, self._positions.pop(live.key, None))
            elif live.has_ended and not tail.has_ended:
                tail.has_ended, tail.quiet_since = True, time.monotonic()
        self._look_at = time.monotonic() + _STATUS_SECONDS

    def _new(self, tail: _Tail) -> Iterator[Feed]:
        begun = time.monotonic()
        is_last = tail.has_ended and begun - tail.quiet_since >= self._wait
        events = tail.tail.poll(thorough=is_last)
        while True:
            with pauses_end_at(self._stop):
                new = next(events, None)
            if new is None:
                break
            tail.quiet_since, is_last = begun, False
            feed = self._feed(new.stream)
            feed.add(new.events)
            yield feed
        tail.done = is_last

    def _feed(self, stream: str) -> LogFeed:
        if stream not in self._feeds:
            label = stream if self._labels is None else f"{self._labels}/{stream}"
            self._feeds[stream] = LogFeed(self.path, label, stream)
        return self._feeds[stream]

    @property
    def labels(self) -> list[str]:
        """The streams that are known."""
        return [feed.label for feed in self._feeds.values()]

    def stop(self) -> None:
        """End a wait for the service."""
        self._stop.set()

    def descriptors(self) -> list[int]:
        """None: only polling helps."""
        return []

    def open_feeds(self) -> list[Feed]:
        """All streams: any may go on."""
        return list(self._feeds.values())

    # What the state keeps

    def entries(self) -> list[dict[str, Any]]:
        """The positions of the tails, and of each stream."""
        tails = {key: tail.tail.position for key, tail in self._tails.items()}
        group = {
            "path": self.path,
            "label": self.label,
            "next": 0,
            "since": None,
            "files": [],
            "group": self.path,
            "tails": {**self._positions, **tails},
        }
        return [group, *(feed.entry() for feed in self._feeds.values())]

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on with one of the entries of an earlier run."""
        if "tails" in saved:
            self._positions = dict(saved["tails"])
        else:
            self._feed(saved["stream"]).restore(saved["files"][0])

    # What does not happen to streams

    def replaced(self, feed: Feed) -> None:
        """Never: events are not taken back."""

    def fail(self, feed: Feed, reason: str) -> None:
        """Never: a feed holds what it gives."""

    def refuse(self, feed: Feed, reason: str) -> None:
        """Never: events are text."""

    def settle(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing is open."""
