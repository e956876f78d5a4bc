"""Log streams of CloudWatch Logs.

Principal type: `CloudWatchLogs`, which `_urls` makes of `cloudwatch-logs:GROUP?...` and users make
with a session of their own. Each stream is one source. Following a group is `cloudwatch_tail`.
"""

from __future__ import annotations

import copy
import errno
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from metricsieve.sources._aws import Service
from metricsieve.sources._remote import (
    PIECE_BYTES,
    WHOLE_BYTES,
    Content,
    Live,
    NotFoundError,
    Remote,
    RemoteSources,
    source_errors,
)
from metricsieve.sources._times import Time, milliseconds

if TYPE_CHECKING:
    from metricsieve.sources.cloudwatch_tail import LogTail

# GetLogEvents a second: the quota of an account and region in the CloudWatch Logs guide. Regions
# differ and others use it too, so calls that are throttled all the same are tried again.
CALLS_A_SECOND = 10.0


def encode_events(events: Iterable[Mapping[str, Any]]) -> bytes:
    r"""A page of events as the bytes that the engine reads: JSON lines, one an event.

    Example:
        >>> encode_events([{"timestamp": 1684530426123, "message": "loss=1", "ingestionTime": 0}])
        b'{"timestamp": 1684530426123, "message": "loss=1"}\n'
    """
    lines = []
    for event in events:
        kept = {key: event[key] for key in ("timestamp", "message") if key in event}
        # What JSON escapes to half a character stays damaged: it is read as U+FFFD.
        text = json.dumps(kept, ensure_ascii=False).encode("utf-8", "surrogatepass")
        lines.append(text.decode("utf-8", "replace").encode() + b"\n")
    return b"".join(lines)


class CloudWatchLogs(RemoteSources):
    """Streams of one log group, in the order of their names.

    Args:
        group: name of the log group, or its ARN for one of another account.
        stream_prefix: only the streams whose names begin so.
        streams: only these streams, in this order.
        start: only events from then on: a datetime, a timedelta before now, or text such as
            `"2026-11-25T10:00:00Z"` or `"2h"`. Without a zone it is UTC.
        end: only events before then.
        session: a `boto3.Session`; by default one of the environment.
        region_name: replaces the session's region.
        endpoint_url: replaces the usual address.
        profile_name: a profile of the AWS configuration.

    Raises:
        ValueError: a time that is none, or both streams and a prefix.

    Example:
        >>> logs = CloudWatchLogs("/aws/sagemaker/TrainingJobs", stream_prefix="my-job/")
        >>> table = ms.scan(logs, {"loss": "loss=(.*)"}).read_all()  # doctest: +SKIP
    """

    def __init__(
        self,
        group: str,
        *,
        stream_prefix: str | None = None,
        streams: Sequence[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        session: Any = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        profile_name: str | None = None,
    ) -> None:
        if not group:
            raise ValueError("the name of the log group is empty")
        if streams is not None and stream_prefix is not None:
            raise ValueError("give streams or a stream_prefix, not both")
        if isinstance(streams, str):
            raise TypeError("streams must be a list of names")
        self._group = group
        self._prefix = stream_prefix
        self._streams = None if streams is None else list(streams)
        self._range: dict[str, int] = {}
        if start is not None:
            self._range["startTime"] = milliseconds(start)
        if end is not None:
            self._range["endTime"] = milliseconds(end)
        if len(self._range) == 2 and self._range["startTime"] >= self._range["endTime"]:
            raise ValueError("the end of the time range is not behind its start")
        self._service = Service(
            "logs",
            session=session,
            region_name=region_name,
            endpoint_url=endpoint_url,
            profile_name=profile_name,
            rate=CALLS_A_SECOND,
        )

    def __repr__(self) -> str:
        """The group and what is taken of it."""
        return f"<CloudWatchLogs {self._group} {self._prefix or self._streams or ''}>"

    def find(self) -> Iterator[Remote]:
        """The streams by name; those that were asked for in their order.

        Raises:
            FileNotFoundError: no such group or stream.
            SourceError: the service refuses, or fails for longer than five minutes.
        """
        try:
            with source_errors():
                names = self._names()
        except NotFoundError:
            text = f"no such log group in {self._service.region}; check its name and the region"
            raise FileNotFoundError(errno.ENOENT, text, self._group) from None
        for name in names:
            yield LogStream(self._service, self._group, name, self._range)

    def tail(
        self, *, position: Mapping[str, Any] | None = None, late_seconds: float = 300.0
    ) -> LogTail:
        """What becomes new in these streams, by the same client.

        Args:
            position: where to go on, as for `LogTail`.
            late_seconds: how late events may become visible.

        Raises:
            ValueError: streams were named one by one, or the time range has an end.
        """
        from metricsieve.sources.cloudwatch_tail import LogTail

        if self._streams is not None or "endTime" in self._range:
            raise ValueError("only a group or a prefix without an end can be followed")
        start = self._range.get("startTime")
        return LogTail(
            self._group,
            stream_prefix=self._prefix,
            start=None if start is None else datetime.fromtimestamp(start / 1000, UTC),
            position=position,
            late_seconds=late_seconds,
            service=self._service,
        )

    @property
    def place(self) -> str:
        """The group with what is taken of it and where it is, as far as that was said."""
        where = f"?stream-prefix={self._prefix}" if self._prefix else ""
        return f"cloudwatch-logs:{self._group}{where}{self._service.place}"

    def live(self) -> tuple[list[Live], bool]:
        """Itself; new streams are found by the tail."""
        return [Live("", self, False)], False

    def of(self, prefix: str) -> Iterator[Remote]:
        """The streams with another prefix, by the same client; raises what `find` does."""
        other = copy.copy(self)
        other._prefix = prefix
        return other.find()

    def _names(self) -> list[str]:
        if self._streams is None:
            names = list(stream_names(self._service, self._group, self._prefix))
            if not names:
                which = f" whose name begins with {self._prefix!r}" if self._prefix else ""
                raise FileNotFoundError(errno.ENOENT, f"no log stream{which}", self._group)
            return names
        for name in self._streams:
            # A stream comes before those whose names go on where its name ends.
            if next(stream_names(self._service, self._group, name), None) != name:
                raise FileNotFoundError(errno.ENOENT, f"no log stream {name!r}", self._group)
        return self._streams


def group_parameter(group: str) -> dict[str, str]:
    """How a group is named in a call: by name, or by ARN."""
    if group.startswith("arn:"):
        return {"logGroupIdentifier": group.removesuffix(":*")}
    return {"logGroupName": group}


def stream_names(service: Service, group: str, prefix: str | None) -> Iterator[str]:
    """The names of a group's streams, in order."""
    parameters: dict[str, Any] = {**group_parameter(group), "orderBy": "LogStreamName"}
    if prefix:
        parameters["logStreamNamePrefix"] = prefix
    while True:
        page = service.call("describe_log_streams", **parameters)
        for stream in page["logStreams"]:
            yield stream["logStreamName"]
        token = page.get("nextToken")
        if token is None or token == parameters.get("nextToken"):
            return
        parameters["nextToken"] = token


class LogStream(Remote):
    """One stream, or what a time range leaves of it."""

    __slots__ = ("_group", "_name", "_range", "_service")

    def __init__(self, service: Service, group: str, name: str, between: dict[str, int]) -> None:
        self._service = service
        self._group = group
        self._name = name
        self._range = between

    @property
    def label(self) -> str:
        """The stream's name."""
        return self._name

    @property
    def envelope(self) -> str:
        """That of `encode_events`."""
        return "events"

    @property
    def identity(self) -> str:
        """The stream in its group, with the time range."""
        return f"{self._service.identity}\0{self._group}\0{self._name}\0{self._range}"

    @property
    def size(self) -> None:
        """Not known: the service no longer tells what a stream holds."""

    def fetch(self) -> Content:
        """The whole stream if it is small, or its beginning and calls for the rest."""
        pages = _Pages(self._service, {**group_parameter(self._group), **self._range}, self._name)
        first = pages.read(WHOLE_BYTES)
        return Content(first, None if pages.ended else pages.calls())


class _Pages:
    """The events of a stream from its oldest on, a page a call."""

    def __init__(self, service: Service, parameters: dict[str, Any], stream: str) -> None:
        self._service = service
        self._parameters = {**parameters, "logStreamName": stream, "startFromHead": True}
        self.ended = False

    def calls(self) -> Iterator[Callable[[], bytes]]:
        """Reads, each to be made when the one before has ended."""
        while not self.ended:
            yield lambda: self.read(PIECE_BYTES)

    def read(self, count: int) -> bytes:
        """Pages until there are so many bytes, or the end."""
        taken = bytearray()
        while len(taken) < count and not self.ended:
            try:
                page = self._service.call("get_log_events", **self._parameters)
            except NotFoundError:
                raise FileNotFoundError(
                    errno.ENOENT, "the log stream was deleted", self._parameters["logStreamName"]
                ) from None
            taken += encode_events(page["events"])
            # A page may be empty before the end; only the token tells.
            token = page.get("nextForwardToken")
            self.ended = token is None or token == self._parameters.get("nextToken")
            self._parameters["nextToken"] = token
        return bytes(taken)
