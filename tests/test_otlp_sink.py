"""Points by OTLP, as a server sees them that reads the protocol's own messages."""

import gzip
import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import metricsieve as ms
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metricsieve.exceptions import SinkError
from metricsieve.sinks import open_sink
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from program import run
from test_line_sinks import ROWS, START, table

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PROTOBUF = "application/x-protobuf"
NO_ATTRIBUTES = {"metric", "value", "timestamp", "line", "offset", "step"}


class Collector:
    """Accepts metrics, unless a fault of `faults` comes first: a function of the request.

    What it gives is sent instead: a status, a status and headers, or `accept` and `reset`, after
    which the connection is closed.
    """

    def __init__(self, server, *faults, answer=None, most_bytes=1_000_000):
        self.found = Counter()
        self.sizes = []
        self.faults = list(faults)
        self.response = answer or ExportMetricsServiceResponse()
        self.most_bytes = most_bytes
        server.answer = self.answer

    def answer(self, request):
        """One request."""
        assert request.headers["Content-Type"] == PROTOBUF
        assert request.headers["Content-Encoding"] == "gzip"
        body = gzip.decompress(request.body)
        fault = self.faults.pop(0) if self.faults else None
        if len(body) > self.most_bytes:
            fault = 413
        if fault in (None, "accept"):
            self.sizes.append(len(body))
            self.found += points(ExportMetricsServiceRequest.FromString(body))
        if fault in ("accept", "reset"):
            request.close_connection = True
        elif fault is None:
            request.send(200, self.response.SerializeToString(), Content_Type=PROTOBUF)
        else:
            status, given = fault if isinstance(fault, tuple) else (fault, {})
            request.send(status, b"not now", **given)


def points(request):
    """How often each (service, metric, attributes, nanoseconds, value) is in a request."""
    found = Counter()
    for resource in request.resource_metrics:
        ((name, service),) = attributes(resource.resource)
        assert name == "service.name"
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                assert metric.WhichOneof("data") == "gauge"
                for one in metric.gauge.data_points:
                    key = (service, metric.name, attributes(one), one.time_unix_nano)
                    found[(*key, repr(one.as_double))] += 1
    return found


def attributes(message):
    """Attributes as pairs of names and values."""
    return frozenset(
        (one.key, getattr(one.value, one.value.WhichOneof("value"))) for one in message.attributes
    )


def expected(found):
    """The same of a scan's table."""
    told = Counter()
    for row in found.to_pylist():
        if row["value"] is None or row["timestamp"] is None:
            continue
        kept = frozenset(
            (name, cell)
            for name, cell in row.items()
            if name not in NO_ATTRIBUTES and cell is not None
        )
        service = row["source"] if row["job"] is None else row["job"] or "metricsieve"
        nanos = (row["timestamp"] - EPOCH) // timedelta(microseconds=1) * 1000
        told[service, row["metric"], kept, nanos, repr(row["value"])] += 1
    return told


def write(url, rows, size=7):
    """All of them, and the end."""
    found = rows if hasattr(rows, "to_batches") else table(rows)
    sink = open_sink(url, found.schema)
    for batch in found.to_batches(max_chunksize=size):
        sink.write(batch)
    sink.close()
    return sink


def seconds(count):
    """A point a second."""
    return [
        ("loss", float(n), START + timedelta(seconds=n), "a", None, None, None)
        for n in range(count)
    ]


def test_a_collector_has_the_points_of_a_scan(fault_server):
    """Of past times, with NaN and infinities, labels and ranks; those without a time are not."""
    collector = Collector(fault_server)
    logs = {
        name: "\n".join(
            f"2021-03-04T05:06:{n % 60:02}.{n:06}Z [{rank}]: step {n} {phase} loss={value}"
            for n, (rank, phase, value) in enumerate(
                [("1", "train", "0.5"), ("2", "eval", "nan"), ("3", "eval", "-inf")] * 20
            )
        ).encode()
        for name in ("a", "b é")
    }
    logs["c"] = b"step 1 train loss=1"
    scan = ms.scan(
        logs,
        {"x:loss": r"(?P<phase>train|eval) loss=(?P<value>\S+)"},
        context={"step": r"step (\d+)"},
    )
    found = scan.read_all()
    sink = write(f"otlp:{fault_server.url}", found)
    assert collector.found == expected(found)
    assert collector.found.total() == 120
    assert [request.path for request in fault_server.requests] == ["/v1/metrics"]
    assert sink.notes == [
        "OTLP: 1 point not sent, no time (first: x:loss at c:1); undated=now sends them as of now"
    ]


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(ROWS, min_size=1, max_size=20))
def test_every_point_arrives_whatever_it_holds(fault_server, rows):
    """Each once, in the resource of its job, with a rank that is a number."""
    collector = Collector(fault_server)
    sink = write(f"otlp:{fault_server.url}/here", rows)
    assert collector.found == expected(table(rows))
    assert collector.found.total() + refused(sink) == len(rows)
    assert {request.path for request in fault_server.requests} <= {"/here"}


def refused(sink):
    """Points that its notes count."""
    return sum(int(note.split()[1].replace(",", "")) for note in sink.notes)


def test_many_points_are_sent_in_requests_below_a_megabyte(fault_server):
    """And nearly as large."""
    times = [START + timedelta(microseconds=n) for n in range(30_000)]
    rows = [
        ("m" * (n % 50 + 1), n / 7, at, f"job-{n % 3}", n, n, "é" * 9) for n, at in enumerate(times)
    ]
    collector = Collector(fault_server)
    sink = write(f"otlp:{fault_server.url}", rows, size=10_000)
    assert collector.found == expected(table(rows))
    assert sum(collector.sizes) > 3_000_000
    assert sink.requests == len(collector.sizes) <= sum(collector.sizes) // 700_000 + 1


@pytest.mark.parametrize(
    ("fault", "doubled"),
    [
        (429, False),
        (502, False),
        (503, False),
        (504, False),
        ((503, {"Retry_After": "0"}), False),
        ((429, {"Retry_After": "Thu, 26 Nov 2020 00:00:00 GMT"}), False),
        ("reset", False),
        ("accept", True),
    ],
)
def test_s1_s3_s8_what_passes_is_tried_again(fault_server, fault, doubled):
    """No point is lost; only a request whose answer was lost comes twice."""
    collector = Collector(fault_server, fault)
    write(f"otlp:{fault_server.url}", seconds(10))
    wanted = expected(table(seconds(10)))
    assert collector.found == Counter(dict.fromkeys(wanted, 1 + doubled))
    assert len(fault_server.requests) == 2


@pytest.mark.parametrize("asked", ["100000", "Fri, 26 Nov 2199 00:00:00 GMT"])
def test_s1_a_server_that_asks_for_more_patience_than_there_is(fault_server, asked):
    """Ends at once; what it says is in the error."""
    Collector(fault_server, (503, {"Retry_After": asked}))
    with pytest.raises(SinkError, match="503 Service Unavailable: not now"):
        write(f"otlp:{fault_server.url}", seconds(10))
    assert len(fault_server.requests) == 1


def test_s6_points_that_the_answer_rejects_are_counted(fault_server, tmp_path):
    """Nothing is sent again; the dead letters tell what they were among."""
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = 3
    answer.partial_success.error_message = "too  odd"
    collector = Collector(fault_server, answer=answer)
    letters = tmp_path / "dead.jsonl"
    sink = write(f"otlp:{fault_server.url}?dead-letters={letters}", seconds(10))
    assert collector.found == expected(table(seconds(10)))
    assert sink.notes == ["OTLP: 3 points not sent, rejected by the server (too odd) (first: loss)"]
    (kept,) = [json.loads(line) for line in letters.read_text().splitlines()]
    assert kept == {
        "reason": "rejected by the server (too odd)",
        "metric": "loss",
        "points": 10,
        "from": "2026-11-25T10:00:00+00:00",
        "to": "2026-11-25T10:00:09+00:00",
    }


def test_a_warning_in_the_answer_is_shown(fault_server):
    """Once, although nothing was rejected."""
    answer = ExportMetricsServiceResponse()
    answer.partial_success.error_message = "this is deprecated"
    Collector(fault_server, answer=answer)
    sink = write(f"otlp:{fault_server.url}", seconds(10))
    assert sink.notes == ["OTLP: the server says: this is deprecated"]


def test_s2_a_server_that_takes_less_gets_less(fault_server, tmp_path):
    """Requests are halved until they fit; what never does is kept."""
    rows = [*seconds(300), ("x" * 3000, 1.0, START, "a", None, None, None)]
    collector = Collector(fault_server, most_bytes=2000)
    letters = tmp_path / "dead.jsonl"
    sink = write(f"otlp:{fault_server.url}?dead-letters={letters}", rows)
    assert collector.found == expected(table(seconds(300)))
    assert max(collector.sizes) <= 2000
    (kept,) = [json.loads(line) for line in letters.read_text().splitlines()]
    assert (kept["reason"], len(kept["metric"])) == ("larger than the server takes", 3000)
    assert refused(sink) == 1


@pytest.mark.parametrize(
    ("status", "given", "message"),
    [
        (400, {}, "400 Bad Request: not now"),
        (401, {}, "401 Unauthorized"),
        (500, {}, "500 Internal"),
        (307, {"Location": "http://me:canary@other/x?canary"}, "redirects to, http://other/x"),
        (302, {"Location": "/other"}, "redirects to, /other"),
        (200, {"Content_Type": "text/html"}, "answers a page"),
    ],
)
def test_what_is_refused_for_good_is_an_error(fault_server, monkeypatch, status, given, message):
    """At once, and with no secret in it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer canary")
    Collector(fault_server, (status, given))
    with pytest.raises(SinkError, match=message) as failed:
        write(f"otlp:{fault_server.url}", seconds(10))
    assert len(fault_server.requests) == 1
    assert "canary" not in str(failed.value)


def test_opentelemetrys_variables_say_where_and_with_what(fault_server, monkeypatch):
    """The one of metrics before the one of all signals."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{fault_server.url}/all/")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20a,x-b=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-b=2")
    collector = Collector(fault_server)
    write("otlp:", seconds(1))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{fault_server.url}/mine")
    write("otlp:?service={metric}-of-{job}", seconds(1))
    assert [request.path for request in fault_server.requests] == ["/all/v1/metrics", "/mine"]
    for request in fault_server.requests:
        assert (request.headers["Authorization"], request.headers["X-B"]) == ("Bearer a", "2")
    assert {key[0] for key in collector.found} == {"a", "loss-of-a"}


def test_points_without_a_time_may_be_sent_as_of_now(fault_server):
    """Those before 1970 never are: their times do not fit."""
    collector = Collector(fault_server)
    rows = [
        ("loss", 1.0, None, "a", None, None, None),
        ("loss", 2.0, EPOCH - timedelta(days=1), "a", None, None, None),
    ]
    sink = write(f"otlp:{fault_server.url}?undated=now", rows)
    ((_, _, _, nanos, value),) = collector.found
    assert value == "1.0"
    assert abs(nanos / 1e9 - time.time()) < 60
    assert [note.partition(" (")[0] for note in sink.notes] == [
        "OTLP: 1 point not sent, before 1970"
    ]


def test_what_nanoseconds_do_not_reach_is_kept(fault_server, tmp_path):
    """The others are sent: the protocol's times end in July of 2554."""
    times = [datetime(year, 6, 1, tzinfo=UTC) for year in (1500, 1971, 2554, 2555, 9999, 2026)]
    rows = [("loss", float(n), at, "a", None, None, None) for n, at in enumerate(times)]
    collector = Collector(fault_server)
    letters = tmp_path / "dead.jsonl"
    sink = write(f"otlp:{fault_server.url}?dead-letters={letters}", rows)
    assert collector.found == expected(table([rows[n] for n in (1, 2, 5)]))
    kept = [json.loads(line) for line in letters.read_text().splitlines()]
    assert [one["reason"] for one in kept] == ["before 1970", "after 2554", "after 2554"]
    assert refused(sink) == 3


@pytest.mark.parametrize("left", ["metric", "value"])
def test_points_without_a_metric_or_a_value_are_refused(left):
    """By a message that says which column is missing."""
    scan = ms.scan(b"loss=1", {"loss": "loss=(.)"}, columns=[left, "timestamp"])
    with pytest.raises(ValueError, match="otlp: needs the columns metric and value"):
        scan.write("otlp:http://localhost:1")


@pytest.mark.parametrize(
    ("url", "environment", "message"),
    [
        ("otlp:localhost:4318", {}, "is no URL such as http://localhost:4318"),
        ("otlp:http://", {}, "is no URL"),
        ("otlp:http://me:canary@host", {}, "credentials belong into headers"),
        ("otlp:http://host/a b", {}, "percent-encoded"),
        ("otlp:http://host?headers=a", {}, "has no option headers=; it can be service="),
        ("otlp:http://host?undated=x", {}, "can be now or refuse"),
        ("otlp:http://host:70000", {}, "is no URL"),
        ("otlp:http://host:x", {}, "is no URL"),
        ("otlp:user:canary@host", {}, "'host' is no URL"),
        ("otlp:http://host?service={line}", {}, "no column 'line'"),
        ("otlp:", {"ENDPOINT": "ftp://host"}, "is no URL"),
        ("otlp:", {"HEADERS": "canary"}, "OTLP_HEADERS is no list of NAME=VALUE"),
        ("otlp:", {"HEADERS": "a=canary%0Ab: c"}, "OTLP_HEADERS is no list of NAME=VALUE"),
        ("otlp:", {"METRICS_HEADERS": "a=canary é"}, "the value of a is not ASCII"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused(monkeypatch, url, environment, message):
    """Before anything is read, and with no secret in the message."""
    for name, value in environment.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    with pytest.raises(ValueError, match=message) as failed:
        ms.scan(b"loss=1", {"loss": "loss=(.)"}).write(url)
    assert "canary" not in str(failed.value)


def test_the_command_goes_on_with_a_state(fault_server, tmp_path):
    """Each point was sent when the state says so."""
    log = tmp_path / "a.log"
    log.write_text("2026-11-25T10:00:00Z loss=1\n2026-11-25T10:00:01Z loss=2\n")
    collector = Collector(fault_server)
    state = ["--state", tmp_path / "state", "--until-idle", "0.1", "--poll", "0.05"]
    for count in (1, 2):
        done = run("follow", log, "-m", r"loss=loss=(\d)", "-o", f"otlp:{fault_server.url}", *state)
        assert done.returncode == 0, done.stderr
        assert collector.found == expected(ms.scan(log, {"loss": r"loss=(\d)"}).read_all()), count
