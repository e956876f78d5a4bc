"""Embedded metrics to a log group: moto keeps them, and a fault server sees what is on the wire."""

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import metricsieve as ms
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metricsieve.exceptions import SinkError, SinkWarning
from metricsieve.sinks import open_sink
from program import run
from servers import SPACE, Wire
from test_cloudwatch_sink import METRICS, NOW, NUMBERS, TIMES, expected, table, write

URL = "emf:cloudwatch-logs:my/metrics"


def points(messages):
    """How often each (metric, job, minute, value) is in events of the format."""
    found = Counter()
    for message in messages:
        event = json.loads(message)
        (directive,) = event["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == SPACE
        for metric in directive["Metrics"]:
            for value in event[metric["Name"]]:
                seconds = event["_aws"]["Timestamp"] // 1000
                found[metric["Name"], event["TrainingJobName"], seconds, value] += 1
    return found


class Events(Wire):
    """Accepts PutLogEvents, where group and stream were made.

    `rejected` is what its answers say of events; with `raced` somebody else makes the group and the
    stream in the same moment.
    """

    def __init__(self, server, *faults, rejected=None, raced=False):
        super().__init__(server, *faults)
        self.made = []
        self.raced = raced
        self.messages = []
        self.rejected = rejected

    def answer(self, request):
        """One request; only those for events count."""
        operation = request.headers["X-Amz-Target"].partition(".")[2]
        if operation == "PutLogEvents" and "CreateLogStream" in self.made:
            return super().answer(request)
        if operation in ("CreateLogGroup", "CreateLogStream"):
            asked = json.loads(request.body)
            assert asked.pop("logGroupName") == "my/metrics"
            assert asked in ({}, {"logStreamName": "metricsieve"})
            if operation == "CreateLogGroup" or "CreateLogGroup" in self.made:
                self.made.append(operation)
                if self.raced:
                    code = "ResourceAlreadyExistsException"
                    return self.reply(request, 400, {"__type": code, "message": "it is there"})
                return self.reply(request, 200, {})
        return self.reply(request, 400, {"__type": "ResourceNotFoundException", "message": "no"})

    def check(self, asked, body):
        """Limits of PutLogEvents' documentation."""
        assert (asked["logGroupName"], asked["logStreamName"]) == ("my/metrics", "metricsieve")
        events = asked["logEvents"]
        assert 1 <= len(events) <= 10_000
        sizes = [len(event["message"].encode()) for event in events]
        assert max(sizes) <= 1_000_000
        assert sum(sizes) + 26 * len(events) <= 1_048_576
        times = [event["timestamp"] for event in events]
        assert times == sorted(times)
        assert times[-1] - times[0] <= 86_400_000
        for moment in (times[0], times[-1]):
            assert -2 * 3600 <= time.time() - moment / 1000 <= 14 * 86_400
        for event in events:
            assert json.loads(event["message"])["_aws"]["Timestamp"] == event["timestamp"]

    def take(self, asked):
        """Keep the events that are not rejected."""
        rejected, events = self.rejected or {}, asked["logEvents"]
        first = max(rejected.get(f"{one}LogEventEndIndex", 0) for one in ("tooOld", "expired"))
        taken = events[first : rejected.get("tooNewLogEventStartIndex")]
        self.messages += [event["message"] for event in taken]
        return {"rejectedLogEventsInfo": rejected} if rejected else {}


def minutes(count, metric="loss"):
    """A point a minute, the oldest first."""
    return [
        (metric, float(n), NOW - timedelta(minutes=count - n), "a", "x.log") for n in range(count)
    ]


def test_moto_has_the_points_of_a_log(aws, tmp_path):
    """In a group and a stream that were not there; a group that was made is told, once."""
    log = tmp_path / "a.log"
    stamps = [NOW - timedelta(hours=9 * n, seconds=n) for n in range(30)]
    lines = [f"{at:%Y-%m-%dT%H:%M:%SZ} loss={n}.5" for n, at in enumerate(stamps)]
    log.write_text("\n".join([*lines, "loss=7"]))
    scan = ms.scan(log, {"loss": "loss=(.*)"})
    with pytest.warns(SinkWarning) as warned:
        scan.write(f"{URL}?stream=mine&undated=now")
    assert [str(one.message) for one in warned] == [
        "EMF: the log group my/metrics did not exist and was made; its events never expire unless "
        "you set a retention"
    ]
    found = aws("logs").get_log_events(
        logGroupName="my/metrics", logStreamName="mine", startFromHead=True
    )["events"]
    rows = [("loss", n + 0.5, at, None, str(log)) for n, at in enumerate(stamps)]
    sent = points(event["message"] for event in found)
    now = sent - expected(rows)
    assert expected(rows) <= sent
    ((metric, _, at, value),) = now
    assert (metric, value) == ("loss", 7)
    assert abs(at - time.time()) < 60
    ms.scan(log, {"loss": "loss=(.*)"}).write(f"{URL}?stream=other&undated=now")
    streams = aws("logs").describe_log_streams(logGroupName="my/metrics")["logStreams"]
    assert [one["logStreamName"] for one in streams] == ["mine", "other"]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.tuples(METRICS, NUMBERS, TIMES, st.sampled_from(["a", None]), st.just("x.log")),
        min_size=1,
        max_size=60,
    ),
    resolution=st.sampled_from([1, 60]),
)
def test_s5_every_point_arrives_once_within_the_limits(service, rows, resolution):
    """However they fall together."""
    wire = Events(service)
    sink = open_sink(f"{URL}?resolution={resolution}", table(rows).schema)
    write(sink, rows)
    assert points(wire.messages) == expected(rows, resolution)
    assert wire.made == ["CreateLogGroup", "CreateLogStream"]


def test_s5_many_points_are_packed_densely(service):
    """In requests of nearly 1 MB, whatever the size of an event."""
    rows = [
        (f"m{n % 110}", n / 7, NOW - timedelta(seconds=n % 70_000), f"job-{n % 3}", "x.log")
        for n in range(60_000)
    ]
    wire = Events(service)
    sink = open_sink(URL, table(rows).schema)
    sink.write(table(rows).to_batches()[0])
    sink.close()
    assert points(wire.messages) == expected(rows)
    total = sum(len(message) + 26 for message in wire.messages)
    assert total > 3 << 20
    assert wire.requests <= total / 1_000_000 + 1


@pytest.mark.parametrize(
    ("fault", "doubled"),
    [
        ("ThrottlingException", False),
        ("ServiceUnavailableException", False),
        ("ExpiredTokenException", False),
        ("reset", False),
        ("drip", False),
        ("accept", True),
    ],
)
def test_s1_s3_s4_s8_what_passes_is_tried_again(service, fault, doubled):
    """No point is lost; only a request whose answer was lost comes twice."""
    rows = minutes(10)
    wire = Events(service, lambda _: fault)
    write(open_sink(URL, table(rows).schema), rows)
    assert points(wire.messages) == Counter(dict.fromkeys(expected(rows), 1 + doubled))


def test_s6_events_that_the_answer_rejects_are_kept(service, tmp_path):
    """By what it says of their places; none is sent again."""
    rejected = {
        "tooOldLogEventEndIndex": 2,
        "expiredLogEventEndIndex": 3,
        "tooNewLogEventStartIndex": 8,
    }
    rows = minutes(10)
    wire = Events(service, rejected=rejected)
    letters = tmp_path / "dead.jsonl"
    sink = open_sink(f"{URL}?dead-letters={letters}", table(rows).schema)
    write(sink, rows)
    assert points(wire.messages) == expected(rows[3:8])
    assert wire.requests == 1
    kept = [json.loads(line) for line in letters.read_text().splitlines()]
    assert [one["values"] for one in kept] == [[0.0], [1.0], [2.0], [8.0], [9.0]]
    assert sink.notes[:3] == [
        "EMF: 2 points not sent, rejected by CloudWatch Logs as too old (first: loss)",
        "EMF: 1 point not sent, rejected by CloudWatch Logs as older than the group keeps (first: "
        "loss)",
        "EMF: 2 points not sent, rejected by CloudWatch Logs as too new (first: loss)",
    ]


def test_s2_one_bad_event_never_fails_its_neighbours(service, tmp_path):
    """It is found by halving, and kept as a dead letter."""
    rows = minutes(200)

    def refuse(asked):
        values = [json.loads(event["message"])["loss"] for event in asked["logEvents"]]
        return "InvalidParameterException" if [17.0] in values or [150.0] in values else None

    wire = Events(service, *[refuse] * 100)
    letters = tmp_path / "dead.jsonl"
    sink = open_sink(f"{URL}?dead-letters={letters}", table(rows).schema)
    write(sink, rows)
    assert points(wire.messages) == expected([row for row in rows if row[1] not in (17, 150)])
    kept = [json.loads(line) for line in letters.read_text().splitlines()]
    assert [one["values"] for one in kept] == [[17.0], [150.0]]
    assert sink.notes[0] == (
        "EMF: 2 points not sent, refused by CloudWatch Logs (InvalidParameterException) "
        "(first: loss)"
    )


def test_a_group_that_another_makes_in_the_same_moment_is_used(service):
    """And is not told as ours."""
    wire = Events(service, raced=True)
    sink = open_sink(URL, table(minutes(3)).schema)
    write(sink, minutes(3))
    assert points(wire.messages) == expected(minutes(3))
    assert sink.notes == []


def test_what_is_too_old_or_ahead_is_never_sent(service):
    """Nor a point whose minute begins more than two weeks ago."""
    ages = [timedelta(days=15), timedelta(hours=-3), timedelta(days=14, seconds=-1)]
    rows = [("loss", float(n), NOW - age, "a", "x.log") for n, age in enumerate(ages)]
    good = ("loss", 9.0, NOW, "a", "x.log")
    wire = Events(service)
    sink = open_sink(URL, table(rows).schema)
    write(sink, [*rows, good])
    assert points(wire.messages) == expected([good])
    assert "3 points not sent, older than two weeks, or more than two hours ahead" in sink.notes[0]


@pytest.mark.parametrize("code", ["AccessDeniedException", "UnrecognizedClientException"])
def test_what_is_refused_for_good_is_an_error(service, code):
    """At once; nothing is halved."""
    rows = minutes(10)
    wire = Events(service, *[lambda _: code] * 9)
    with pytest.raises(SinkError, match="emf:cloudwatch-logs:my/metrics"):
        write(open_sink(URL, table(rows).schema), rows)
    assert wire.requests == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("emf:cloudwatch-logs:", "'' is no name of a log group"),
        ("emf:cloudwatch-logs:a b", "letters, digits and"),
        ("emf:cloudwatch-logs:a?stream=b:c", "no colon or asterisk"),
        ("emf:cloudwatch-logs:a?time=b", "has no option time=; it can be .*stream=, region="),
        ("emf:a.emf?stream=b", "has no option stream="),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_before_anything_is_read(url, message):
    """With what it could be."""
    scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
    with pytest.raises(ValueError, match=message):
        scan.write(url)


def test_the_command_goes_on_with_a_state(service, tmp_path):
    """Each point was sent when the state says so."""
    stamp = datetime.now(UTC).replace(second=0, microsecond=0)
    log = tmp_path / "a.log"
    log.write_text(f"{stamp:%Y-%m-%dT%H:%M:%SZ} loss=1\n{stamp:%Y-%m-%dT%H:%M:%SZ} loss=2\n")
    wire = Events(service)
    state = ["--state", tmp_path / "state", "--until-idle", "0.1", "--poll", "0.05"]
    for _ in range(2):
        done = run("follow", log, "-m", r"loss=loss=(\d)", "-o", URL, *state)
        assert done.returncode == 0, done.stderr
        rows = [("loss", value, stamp, None, str(log)) for value in (1.0, 2.0)]
        assert points(wire.messages) == expected(rows)
    log.write_text(log.read_text() + "loss=3\n")
    done = run("follow", log, "-m", r"loss=loss=(\d)", "-o", URL, *state)
    assert "1 point not sent, no time" in done.stderr
