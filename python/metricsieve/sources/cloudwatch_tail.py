"""What is new in a log group, poll after poll, for whoever follows it.

Principal type: `LogTail`. FilterLogEvents rather than StartLiveTail, which drops events when there
are many, and rather than GetLogEvents, which names no events and has to be asked stream by stream.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from metricsieve.sources._aws import Service
from metricsieve.sources._remote import NotFoundError, source_errors
from metricsieve.sources._times import Time, milliseconds
from metricsieve.sources.cloudwatch_logs import group_parameter

# FilterLogEvents a second: the quota of an account and region in the CloudWatch Logs guide.
CALLS_A_SECOND = 5.0
# How far behind the newest event a poll begins, in milliseconds, if it is no thorough one.
OVERLAP = 10_000
_VERSION = 1


class NewEvents(NamedTuple):
    """Events of one stream that were not given before.

    Attributes:
        stream: the stream's name.
        events: with `timestamp` (milliseconds since 1970), `message`, `ingestionTime`, `eventId`,
            by time within one poll; late ones come in a later poll.
        token: time of the newest of them, in milliseconds since 1970.
    """

    stream: str
    events: list[dict[str, Any]]
    token: int


class LogTail:
    """The new events of a group's streams, each once, those of new streams too.

    Events become visible out of order: hosts deliver late, and their clocks differ. Every poll
    therefore begins `OVERLAP` before the newest event, and, as often as twice in `late_seconds`,
    that long before it; what was given already is told by its id. Nothing is lost that becomes
    visible less than `late_seconds` behind the newest event of the group. What comes later than
    that is not seen.

    Args:
        group: name of the log group, or its ARN.
        stream_prefix: only the streams whose names begin so.
        start: where to begin without a position, as for `CloudWatchLogs`; None is the oldest event.
        position: what `position` gave earlier, to go on from there.
        late_seconds: how late events may become visible. Its cost: each event is read some three
            times, and the ids of the events within it are held and stored.
        service: a `Service` for `logs`; by default boto3's usual.

    Raises:
        ValueError: a position that is none, or of another group or prefix.

    Example:
        >>> tail = LogTail("/aws/sagemaker/TrainingJobs", stream_prefix="my-job/")
        >>> for stream, events, _ in tail.poll():  # doctest: +SKIP
        ...     print(stream, len(events))
    """

    def __init__(
        self,
        group: str,
        *,
        stream_prefix: str | None = None,
        start: Time | None = None,
        position: Mapping[str, Any] | None = None,
        late_seconds: float = 300.0,
        service: Service | None = None,
    ) -> None:
        self._group = group
        self._prefix = stream_prefix or ""
        self._late = int(late_seconds * 1000)
        self._service = service or Service("logs", rate=CALLS_A_SECOND)
        self._start = 0 if start is None else milliseconds(start)
        self._newest = self._start
        self._seen: dict[str, int] = {}  # ids of events, with their times
        self._thorough_at: float | None = None  # by the clock of `time.monotonic`
        if position is not None:
            self._resume(position)

    def _resume(self, position: Mapping[str, Any]) -> None:
        if position.get("version") != _VERSION:
            raise ValueError(f"no position of a log group: {str(position)[:100]}")
        for key, value in (("group", self._group), ("prefix", self._prefix)):
            if position.get(key) != value:
                raise ValueError(
                    f"the position is one of the {key} {position.get(key)!r}, not of {value!r}"
                )
        self._newest = int(position["newest"])
        self._start = int(position["start"])
        self._seen = {str(name): int(at) for name, at in position["seen"].items()}

    @property
    def position(self) -> dict[str, Any]:
        """Where to go on after everything that `poll` has given so far; JSON takes it.

        Store it when what was given is stored: an event is given again after a restart from an
        earlier position, and none is left out.
        """
        return {
            "version": _VERSION,
            "group": self._group,
            "prefix": self._prefix,
            "start": self._start,
            "newest": self._newest,
            "seen": dict(self._seen),
        }

    def poll(self, *, thorough: bool = False) -> Iterator[NewEvents]:
        """What became visible since the last poll; ends when there is nothing more.

        A group or stream that does not exist yet has no events.

        Args:
            thorough: look as far back as events may be late, as the last poll of a job should.

        Raises:
            SourceError: the service refuses, or fails for longer than five minutes.
        """
        now = time.monotonic()
        due = self._thorough_at is None or now - self._thorough_at >= self._late / 2000
        back = self._late if thorough or due else min(OVERLAP, self._late)
        parameters: dict[str, Any] = {
            **group_parameter(self._group),
            # Older than the start is nobody's business, however late it came.
            "startTime": max(self._start, self._newest - back),
            "interleaved": True,
        }
        if self._prefix:
            parameters["logStreamNamePrefix"] = self._prefix
        while True:
            try:
                with source_errors():
                    page = self._service.call("filter_log_events", **parameters)
            except NotFoundError:
                return
            yield from self._new(page.get("events", []))
            # A page may be empty before the end; only the token tells.
            token = page.get("nextToken")
            if token is None or token == parameters.get("nextToken"):
                break
            parameters["nextToken"] = token
        if back == self._late:
            self._thorough_at = now
        oldest = self._newest - self._late
        self._seen = {name: at for name, at in self._seen.items() if at >= oldest}

    def _new(self, events: list[dict[str, Any]]) -> Iterator[NewEvents]:
        by_stream: dict[str, list[dict[str, Any]]] = {}
        events = [one for one in events if one["logStreamName"].startswith(self._prefix)]
        for event in events:
            if event["eventId"] not in self._seen:
                by_stream.setdefault(event["logStreamName"], []).append(event)
        for stream, new in by_stream.items():
            newest = max(event["timestamp"] for event in new)
            self._seen.update((event["eventId"], event["timestamp"]) for event in new)
            yield NewEvents(stream, new, newest)
        # Pages come by time: what is before this one's newest was given, or is late. A host whose
        # clock is ahead must not make those of all others late.
        now = int(time.time() * 1000)
        self._newest = max([self._newest, *(min(now, one["timestamp"]) for one in events)])
        if len(self._seen) > 2 * len(events) + 100_000:  # the first poll of a long history
            oldest = self._newest - self._late
            self._seen = {name: at for name, at in self._seen.items() if at >= oldest}
