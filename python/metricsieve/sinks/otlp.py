"""OpenTelemetry by OTLP over HTTP: `otlp:URL` and `otlp:`.

Principal type: `OtlpSink`. Instruments of OpenTelemetry's SDK know no past, but its protocol does:
each point is a data point of a gauge, with its own time.
"""

from __future__ import annotations

import os
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from metricsieve._text import shorten
from metricsieve.exceptions import SinkError, SourceError
from metricsieve.sinks._points import Point, Points
from metricsieve.sinks._post import Answer, Poster, url_of
from metricsieve.sinks._refused import DeadLetters
from metricsieve.sinks._template import Template
from metricsieve.sources._aws import RefusedError
from metricsieve.sources._remote import without_secrets

if TYPE_CHECKING:
    import pyarrow as pa
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    from metricsieve.sinks._targets import Target

# Of the protocol's specification: where metrics go, and the names of variables.
PATH = "/v1/metrics"
DEFAULT = "http://localhost:4318"
_VARIABLE = "OTEL_EXPORTER_OTLP_"
# Less than 1 MB, which is the smallest limit of a request that services are known to have.
_REQUEST_BYTES = 900_000
# At most, beside the texts: of a data point, of an attribute, of a gauge with its resource.
_POINT_BYTES, _ATTRIBUTE_BYTES, _GAUGE_BYTES = 24, 12, 80
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SERVICE = "metricsieve"
# Microseconds since 1970: the protocol has nanoseconds of 64 bits without a sign.
_LATEST = (2**64 - 1) // 1000
_OPTIONS = ("service", "undated", "dead-letters")


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    if target.rest:
        url_of(target.rest, PATH)
    target.only(*_OPTIONS)
    target.choice("undated", "refuse", ("now", "refuse"))
    endpoint(target.rest)
    headers()


def open_url(target: Target, schema: pa.Schema) -> OtlpSink:
    """The sink of a URL."""
    return OtlpSink(
        target.rest or None,
        schema,
        service=target.one("service"),
        undated=target.text("undated", "refuse"),
        dead_letters=target.one("dead-letters"),
    )


def endpoint(url: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Where metrics are sent.

    Args:
        url: what the user named, if anything.
        environment: OpenTelemetry's variables say it otherwise.

    Raises:
        ValueError: it is no URL.

    Example:
        >>> endpoint(None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://host/otlp/"})
        'https://host/otlp/v1/metrics'
        >>> endpoint("http://host:4318", {}), endpoint("http://host/here", {})
        ('http://host:4318/v1/metrics', 'http://host/here')
    """
    if url:
        return url_of(url, PATH)
    whole = environment.get(f"{_VARIABLE}METRICS_ENDPOINT")
    if whole:
        return url_of(whole, "/")
    base = environment.get(f"{_VARIABLE}ENDPOINT") or DEFAULT
    return url_of(base.rstrip("/") + PATH, PATH)


def headers(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Headers of each request, which OpenTelemetry's variables say.

    Raises:
        ValueError: a header that is none; the message does not show its value.

    Example:
        >>> headers({"OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b, Other = c"})
        {'api-key': 'a b', 'other': 'c'}
    """
    found = {}
    for variable in (f"{_VARIABLE}HEADERS", f"{_VARIABLE}METRICS_HEADERS"):
        for part in filter(str.strip, environment.get(variable, "").split(",")):
            name, equals, value = (urllib.parse.unquote(one).strip() for one in part.partition("="))
            if not equals or not _HEADER.fullmatch(name) or not (value + " ").isprintable():
                raise ValueError(f"{variable} is no list of NAME=VALUE with commas between them")
            if not value.isascii():
                raise ValueError(f"{variable}: the value of {name} is not ASCII")
            found[name.lower()] = value
    return found


class _Sent(NamedTuple):
    """A point with its `service.name`."""

    service: str
    point: Point


class OtlpSink:
    """Sends each point as a data point of a gauge, with its own time.

    `guarantee`: at least once. A request that was accepted and whose answer was lost is sent again.

    Rules: a gauge has the metric's name. Attributes of a data point are job, host, stream, rank (a
    number), source, the columns of named groups and the context columns that are texts: each value
    of one is a series. Context columns that are numbers are not sent. The resource has
    `service.name`. NaN and infinities are sent. Points without a time are not, unless `undated` is
    `now`, nor are those before 1970 or after 2554. Points that share a series and a time are all
    sent; a server may keep one of them.

    Points that the server rejects while it takes the others are counted in `notes`; it does not say
    which they are, so the dead letters tell what they were among.

    Args:
        url: of the server; without a path `/v1/metrics` is added. None for what OpenTelemetry's
            variables say (OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT), else
            `http://localhost:4318`. OTEL_EXPORTER_OTLP_HEADERS are sent in any case.
        schema: of the batches.
        service: template of `service.name`, of the metric, labels and context columns; by default
            the job, else the source. `metricsieve` where it is empty.
        undated: `refuse`, or `now` to send points without a time as of the time of sending.
        dead_letters: a file that what cannot be sent is appended to as JSON lines.

    Raises:
        ValueError: a column is missing, or something that is no URL.
        ImportError: the protocol's messages are missing.

    Example:
        >>> import metricsieve as ms
        >>> scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
        >>> sink = OtlpSink("http://localhost:4318", scan.schema)
        >>> scan.write(sink).points  # a point without a time is not sent
        1
        >>> sink.notes
        ['OTLP: 1 point not sent, no time (first: loss at <bytes:0>:1); undated=now sends them \
as of now']
    """

    guarantee = "at least once"

    def __init__(
        self,
        url: str | None,
        schema: pa.Schema,
        *,
        service: str | None = None,
        undated: str = "refuse",
        dead_letters: str | None = None,
    ) -> None:
        try:
            from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
        except ImportError:
            raise ImportError(
                "OTLP needs opentelemetry-proto: pip install 'metricsieve[otlp]'"
            ) from None
        self._messages = metrics_service_pb2
        named = endpoint(url)
        self.path = f"otlp:{without_secrets(named)}"
        self._poster = Poster(named, {"Content-Type": "application/x-protobuf", **headers()})
        usual = "{job}" if {"job", "source"} & set(schema.names) else _SERVICE
        self._undated = undated
        self._letters = DeadLetters(dead_letters, "OTLP")
        self._points = Points(schema, self._letters, "otlp")
        # Each value of another column, such as the line, would be a service of its own.
        known = ["metric", *self._points.tags, *self._points.fields]
        self._service = Template(service or usual, known, "service")
        self._waiting: list[_Sent] = []
        self._gauges: set[tuple[str, str]] = set()
        self._bytes = 0
        self._said: dict[str, None] = {}
        self.requests = 0

    @property
    def notes(self) -> list[str]:
        """What was not sent, and why; what the server says."""
        hint = "; undated=now sends them as of now"
        found = [note + hint * ("no time" in note) for note in self._letters.notes]
        return [*found, *(f"OTLP: the server says: {text}" for text in self._said)]

    def write(self, batch: pa.RecordBatch) -> None:
        """Take points; sends as many as a request may have.

        Raises:
            SinkError: the server refuses or fails for five minutes, or the dead letters cannot be
                written.
        """
        now = time.time_ns() // 1000 if self._undated == "now" else None
        for point in self._points.of(batch, undated=now):
            if not 0 < point.micros <= _LATEST:  # 0 means that the time is not known
                reason = "before 1970" if point.micros <= 0 else "after 2554"
                self._letters.add(reason, point.row)
                continue
            sent = _Sent(self._service.of(point.row) or _SERVICE, point)
            size = self._size(sent)
            if self._bytes + size > _REQUEST_BYTES:
                self._send_waiting()
                size = self._size(sent)
            self._waiting.append(sent)
            self._gauges.add((sent.service, point.metric))
            self._bytes += size

    def flush(self) -> None:
        """Send everything; returns when the server has accepted it."""
        self._send_waiting()
        self._letters.flush()

    def close(self) -> None:
        """Send what is left."""
        self.flush()
        self._letters.close()

    def abort(self) -> None:
        """Drop what was not sent."""
        self._waiting = []
        self._letters.abort()

    def _size(self, sent: _Sent) -> int:
        """What a point adds to the request, at most."""
        point = sent.point
        texts = [text for pair in point.tags for text in pair]
        size = _POINT_BYTES + len(point.tags) * _ATTRIBUTE_BYTES
        gauge = (sent.service, point.metric)
        if gauge not in self._gauges:
            size += _GAUGE_BYTES
            texts += gauge
        return size + len("".join(texts).encode())

    def _send_waiting(self) -> None:
        points, self._waiting, self._bytes = self._waiting, [], 0
        self._gauges.clear()
        if not points:
            return
        try:
            self._send(points)
        except RefusedError as error:
            hint = "docs/sinks.md says what is sent, and where"
            raise SinkError(str(error), self.path, hint) from None
        except SourceError as error:
            raise SinkError(str(error), self.path, "what was not accepted was not sent") from None

    def _send(self, points: Sequence[_Sent]) -> None:
        """One request, or as many as it takes where the server's limit is lower than ours."""
        try:
            answer = self._poster.send(self._request(points).SerializeToString())
        except RefusedError as error:
            if error.code != "413":
                raise
            if len(points) == 1:
                self._letters.add("larger than the server takes", points[0].point.row)
                return
            middle = len(points) // 2
            self._send(points[:middle])
            self._send(points[middle:])
            return
        self.requests += 1
        self._note(answer, points)

    def _request(self, points: Sequence[_Sent]) -> ExportMetricsServiceRequest:
        request = self._messages.ExportMetricsServiceRequest()
        gauges: dict[tuple[str, str], Callable[..., Any]] = {}
        scopes: dict[str, Any] = {}
        for service, point in points:
            add = gauges.get((service, point.metric))
            if add is None:
                if service not in scopes:
                    resource = request.resource_metrics.add()
                    _attribute(resource.resource.attributes.add(), "service.name", service)
                    scopes[service] = resource.scope_metrics.add()
                    scopes[service].scope.name = "metricsieve"
                gauge = scopes[service].metrics.add(name=point.metric).gauge
                add = gauges[service, point.metric] = gauge.data_points.add
            added = add(time_unix_nano=point.micros * 1000, as_double=point.value)
            for name, text in point.tags:
                _attribute(added.attributes.add(), name, int(text) if name == "rank" else text)
        return request

    def _note(self, answer: Answer, points: Sequence[_Sent]) -> None:
        """What the server says of points that it did not take."""
        if answer.kind == "text/html":
            problem = "the server answers a page, and not as OTLP asks for"
            raise SinkError(problem, self.path, "check the URL")
        if answer.kind != "application/x-protobuf":
            return
        from google.protobuf.message import DecodeError

        response = self._messages.ExportMetricsServiceResponse()
        try:
            response.ParseFromString(answer.body)
        except DecodeError:
            self._said["something that is no answer of OTLP's"] = None
            return
        partial = response.partial_success
        said = shorten(" ".join(partial.error_message.split()), 300)
        if not partial.rejected_data_points:
            if said:
                self._said[said] = None
            return
        times = [datetime.fromtimestamp(point.micros / 1e6, UTC) for _, point in points]
        among = {
            "metric": ", ".join(sorted({point.metric for _, point in points})),
            "points": len(points),
            "from": min(times).isoformat(),
            "to": max(times).isoformat(),
        }
        reason = f"rejected by the server ({said})"
        self._letters.add(reason, among, partial.rejected_data_points)


def _attribute(pair: Any, name: str, value: str | int) -> None:
    pair.key = name
    if isinstance(value, str):
        pair.value.string_value = value
    else:
        pair.value.int_value = value
