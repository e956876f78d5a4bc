"""Embedded metrics to CloudWatch Logs by PutLogEvents: `emf:cloudwatch-logs:GROUP`.

Principal type: `EmfLogsSink`, opened by `emf`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Unpack

from metricsieve.sinks._embedded import EmbeddedOptions, Event, Events
from metricsieve.sinks._series import LATEST, NOT_TAKEN, OLDEST
from metricsieve.sinks._service import Client, Halving, service_errors
from metricsieve.sources._aws import RefusedError, Service
from metricsieve.sources._remote import NotFoundError, attempts

if TYPE_CHECKING:
    import pyarrow as pa

LOGS = "cloudwatch-logs:"
STREAM = "metricsieve"
# Of PutLogEvents, by its documentation: a request has at most 1,048,576 bytes, an event counting 26
# more than its message in UTF-8, and its times are at most 24 hours apart, two weeks ago and two
# hours ahead. Its 10,000 events of at most 1 MB are never reached: ours have 150 bytes to 400 KB.
MAX_BYTES = 1_048_576
EVENT_BYTES = 26
MAX_SPAN = 86_400_000
_GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
_STREAM = re.compile(r"[^:*]{1,512}")
# How long a stream that was made may still be unknown.
_AGAIN_SECONDS = 60.0
_CALLS_A_SECOND = 100.0


def check_names(group: str, stream: str) -> None:
    """Refuse names that CloudWatch Logs would refuse.

    Raises:
        ValueError: the message says which, and what they can be.
    """
    if not _GROUP.fullmatch(group):
        raise ValueError(
            f"{group!r} is no name of a log group: up to 512 letters, digits and . - _ / #"
        )
    if not _STREAM.fullmatch(stream):
        raise ValueError(
            f"{stream!r} is no name of a log stream: up to 512 characters, no colon or asterisk"
        )


class EmfLogsSink:
    """Sends points to a log group as events with embedded metrics.

    `guarantee`: at least once. A request that was accepted and whose answer was lost is sent again:
    at most one request is doubled for each such fault.

    The rules are those of `CloudWatchSink`; a metric cannot have the name of a dimension. Events
    that the service rejects in an answer that takes the others, or that have a request refused, are
    counted in `notes` and kept as dead letters. A group and a stream that do not exist are made; a
    group that was made is told in `notes`, since what it holds never expires.

    Args:
        group: name of the log group.
        schema: of the batches.
        stream: name of the log stream.
        client: how boto3 makes its client.
        options: see `EmbeddedOptions`.

    Raises:
        ValueError: a name or a dimension that makes no sense, or a column is missing.

    Example:
        >>> import metricsieve as ms
        >>> scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
        >>> sink = EmfLogsSink("mine", scan.schema, client={"region_name": "us-east-1"})
        >>> scan.write(sink).points  # a point without a time is not sent
        1
        >>> sink.notes
        ['EMF: 1 point not sent, no time (first: loss at <bytes:0>:1)']
    """

    guarantee = "at least once"

    def __init__(
        self,
        group: str,
        schema: pa.Schema,
        *,
        stream: str = STREAM,
        client: Client | None = None,
        **options: Unpack[EmbeddedOptions],
    ) -> None:
        check_names(group, stream)
        self.path = f"emf:{LOGS}{group}"
        self._place = {"logGroupName": group, "logStreamName": stream}
        self._events = Events(schema, self.path, of_any_age=False, **options)
        self._service = Service("logs", rate=_CALLS_A_SECOND, **(client or {}))
        self._halving = Halving(self._send, self._refuse_for)
        self._made: list[str] = []

    @property
    def notes(self) -> list[str]:
        """What was not sent, and why; the group, if it was made."""
        return [*self._events.letters.notes, *self._made]

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points; sends when there are many.

        Raises:
            SinkError: CloudWatch Logs refuses or fails for five minutes, or the dead letters cannot
                be written.
        """
        if self._events.add(batch):
            self.flush()

    def flush(self) -> None:
        """Send everything; returns when CloudWatch Logs has accepted it."""
        now = time.time()
        events = []
        for event in self._events.take():
            if -LATEST <= now - event.millis / 1000 <= OLDEST:
                events.append(event)
            else:  # a minute may begin earlier than its points
                self._refuse(event, NOT_TAKEN)
        events.sort(key=lambda event: event.millis)
        with service_errors(self.path):
            for request in _requests(events):
                self._halving.deliver(request)
        self._events.letters.flush()

    def close(self) -> None:
        """Send what is left."""
        self.flush()
        self._events.letters.close()

    def abort(self) -> None:
        """Drop what was not sent."""
        self._events.abort()

    def _send(self, events: Sequence[Event]) -> None:
        answer = self._put([{"timestamp": one.millis, "message": one.message} for one in events])
        rejected = answer.get("rejectedLogEventsInfo") or {}
        too_old = rejected.get("tooOldLogEventEndIndex", 0)
        expired = rejected.get("expiredLogEventEndIndex", 0)
        too_new = rejected.get("tooNewLogEventStartIndex", len(events))
        for index, event in enumerate(events):
            if index < too_old:
                self._refuse(event, "rejected by CloudWatch Logs as too old")
            elif index < expired:
                self._refuse(event, "rejected by CloudWatch Logs as older than the group keeps")
            elif index >= too_new:
                self._refuse(event, "rejected by CloudWatch Logs as too new")

    def _put(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        """One request; the group and the stream are made when they are missing."""
        missing = NotFoundError()
        for _ in attempts(_AGAIN_SECONDS):
            try:
                return self._service.call("put_log_events", **self._place, logEvents=events)
            except NotFoundError as error:
                missing = error
                self._make_place()
        raise missing

    def _make_place(self) -> None:
        group = self._place["logGroupName"]
        try:
            self._make("create_log_stream", **self._place)
        except NotFoundError:
            if self._make("create_log_group", logGroupName=group):
                self._made.append(
                    f"EMF: the log group {group} did not exist and was made; its events never "
                    "expire unless you set a retention"
                )
            self._make("create_log_stream", **self._place)

    def _make(self, operation: str, **names: str) -> bool:
        """Make something; gives whether it was not there before."""
        try:
            self._service.call(operation, **names)
        except RefusedError as error:
            if error.code != "ResourceAlreadyExistsException":
                raise
            return False
        return True

    def _refuse_for(self, event: Event, code: str) -> None:
        self._refuse(event, f"refused by CloudWatch Logs ({code})")

    def _refuse(self, event: Event, reason: str) -> None:
        moment = datetime.fromtimestamp(event.millis / 1000, UTC).isoformat()
        for metric, values in event.values.items():
            row: dict[str, Any] = {"metric": metric, "timestamp": moment, "values": values}
            row["dimensions"] = dict(event.dimensions)
            self._events.letters.add(reason, row, len(values))


def _requests(events: list[Event]) -> Iterator[list[Event]]:
    """As many events in a request as it may have; they come in the order of time."""
    request: list[Event] = []
    size = 0
    for event in events:
        more = len(event.message) + EVENT_BYTES
        span = event.millis - request[0].millis if request else 0
        if request and (size + more > MAX_BYTES or span > MAX_SPAN):
            yield request
            request, size = [], 0
        request.append(event)
        size += more
    if request:
        yield request
