"""Points with steps to SageMaker's BatchPutMetrics, as a server of ours sees them."""

import json
import math
import time
from datetime import UTC, datetime, timedelta

import metricsieve as ms
import pytest
from metricsieve.exceptions import SinkError, SinkWarning
from metricsieve.sinks import open_sink
from test_tensorboard_sink import table

NOW = datetime.now(UTC).replace(microsecond=0)


class Wire:
    """Accepts BatchPutMetrics within its limits; `failing` says which points not, and with what.

    `refused` says which points have their whole request refused.
    """

    def __init__(self, server, failing=lambda point: None, status=200, refused=lambda point: False):
        self.refused = refused
        self.points = []
        self.requests = 0
        self.failing = failing
        self.status = status
        server.answer = self.answer

    def answer(self, request):
        """One request."""
        self.requests += 1
        if self.status != 200:
            body = json.dumps({"message": "no"}).encode()
            return request.send(self.status, body, x_amzn_ErrorType="AccessDeniedException")
        asked = json.loads(request.body)
        data = asked["MetricData"]
        failed = []
        if not 1 <= len(data) <= 10 or not request.path.endswith("/BatchPutMetrics"):
            return request.send(400, b"{}")
        if any(map(self.refused, data)):
            body = json.dumps({"message": "no"}).encode()
            return request.send(400, body, x_amzn_ErrorType="ValidationException")
        for index, one in enumerate(data):
            code = self.failing(one)
            if code is not None:
                failed.append({"Code": code, "MetricIndex": index})
            else:
                point = (asked["TrialComponentName"], one["MetricName"], one["Step"])
                self.points.append((*point, one["Value"], one["Timestamp"]))
        return request.send(200, json.dumps({"Errors": failed}).encode())


def write(rows, options=""):
    """All of them, and the end."""
    points = table(rows)
    sink = open_sink(f"sagemaker-metrics:{options}", points.schema)
    for batch in points.to_batches(max_chunksize=7):
        sink.write(batch)
    sink.close()
    return sink


def test_every_point_arrives_with_its_step_and_time(service):
    """Ten a request, in the trial component of its job."""
    rows = [
        ("loss", n / 7, NOW - timedelta(seconds=n), ("Job-A", "b")[n % 2], n) for n in range(47)
    ]
    wire = Wire(service)
    write(rows)
    told = [
        (f"{job.lower()}-aws-training-job", metric, step, value, time.timestamp())
        for metric, value, time, job, step in rows
    ]
    assert sorted(wire.points) == sorted(told)
    assert wire.requests == 6


def test_s6_single_points_that_fail_are_sent_again_or_kept(service, tmp_path):
    """By what the answer says of each."""
    rows = [("loss", float(n), NOW, "a", n) for n in range(20)]
    left = {3: 2, 4: 1}

    def failing(point):
        step = point["Step"]
        if step == 7:
            return "CONFLICT_ERROR"
        left[step] = left.get(step, 0) - 1
        return "INTERNAL_ERROR" if left[step] >= 0 else None

    wire = Wire(service, failing)
    letters = tmp_path / "dead.jsonl"
    sink = write(rows, f"?dead-letters={letters}")
    assert sorted(step for _, _, step, *_ in wire.points) == [n for n in range(20) if n != 7]
    (kept,) = [json.loads(line) for line in letters.read_text().splitlines()]
    assert (kept["step"], kept["reason"]) == (7, "refused by SageMaker (CONFLICT_ERROR)")
    assert sink.notes == [
        "SageMaker: 1 point not sent, refused by SageMaker (CONFLICT_ERROR) (first: loss)"
    ]


def test_s2_one_bad_point_never_fails_its_neighbours(service, tmp_path):
    """It is found by halving, and kept as a dead letter."""
    rows = [("loss", float(n), NOW, "a", n) for n in range(40)]
    wire = Wire(service, refused=lambda point: point["Step"] in (17, 18, 31))
    letters = tmp_path / "dead.jsonl"
    sink = write(rows, f"?dead-letters={letters}")
    left = [n for n in range(40) if n not in (17, 18, 31)]
    assert sorted(step for _, _, step, *_ in wire.points) == left
    kept = [json.loads(line) for line in letters.read_text().splitlines()]
    assert sorted(one["step"] for one in kept) == [17, 18, 31]
    assert sink.notes == [
        "SageMaker: 3 points not sent, refused by SageMaker (ValidationException) (first: loss)"
    ]


def test_a_component_that_is_refused_is_an_error(service):
    """After a few requests, however many points it has."""
    wire = Wire(service, refused=lambda point: True)
    with pytest.raises(SinkError, match="all of 50 items that were sent alone were refused"):
        write([("loss", float(n), NOW, "a", n) for n in range(1000)])
    assert wire.requests <= 55


def test_names_are_looked_at_before_anything_is_sent(service):
    """Those with line feeds and control characters are none; others may be of any language."""
    wire = Wire(service)
    names = ["loss", "verlust é", "a\nb", "a\x07", "\u2028", "x" * 255, "x" * 256]
    sink = write([(name, float(n), NOW, "a", n) for n, name in enumerate(names)])
    assert [point[1] for point in wire.points] == ["loss", "verlust é", "x" * 255]
    assert sink.notes[0].startswith("SageMaker: 4 points not sent, its name is empty, longer")


def test_runs_that_share_a_component_are_told(service):
    """Its name is in lower case, so their steps are in one."""
    Wire(service)
    rows = [("loss", 1.0, NOW, job, 1) for job in ("Job-A", "job-a", "b")]
    sink = write(rows, "?component={job}")
    assert sink.notes == ["SageMaker: Job-A and job-a share the component job-a"]


def test_what_sagemaker_does_not_take_is_counted(service):
    """And never sent."""
    wire = Wire(service)
    odd = [
        ("loss", math.nan, NOW, "a", 1),
        ("loss", math.inf, NOW, "a", 2),
        ("loss", 1.0, None, "a", 3),
        ("loss", 1.0, NOW - timedelta(days=15), "a", 4),
        ("loss", 1.0, NOW, "a", -1),
        ("loss", 1.0, NOW, "no/name", 5),
    ]
    sink = write([*odd, ("loss", 2.0, NOW, "a", 9)])
    assert [point[3] for point in wire.points] == [2.0]
    assert sum(int(note.split()[1]) for note in sink.notes) == len(odd)


def test_points_without_a_time_may_be_sent_as_of_now(service):
    """To a component that is named."""
    wire = Wire(service)
    write([("loss", 1.0, None, None, 3)], "?undated=now&component=mine&tag=x-{metric}")
    ((component, tag, step, value, at),) = wire.points
    assert (component, tag, step, value) == ("mine", "x-loss", 3, 1.0)
    assert abs(at - time.time()) < 60


def test_what_is_refused_for_good_is_an_error(service):
    """At once."""
    wire = Wire(service, status=403)
    with pytest.raises(SinkError, match="sagemaker-metrics:"):
        write([("loss", 1.0, NOW, "a", 3)])
    assert wire.requests == 1


def test_a_follower_with_a_state_needs_a_step(service, tmp_path):
    """A restart would number other points from 0 again; it is said before anything is read."""
    wire = Wire(service)
    log = tmp_path / "a.log"
    log.write_text("loss=1\nstep 7 loss=2\n")
    url = "sagemaker-metrics:?component=mine&undated=now"

    def follow(url, **options):
        definitions = {"loss": r"loss=(\d)"}
        ms.follow(str(log), definitions, sinks=[url], until=0.1, poll=0.05, **options).run()

    with pytest.raises(ValueError, match=r"^sagemaker-metrics: .*-c \(context=\).*step=line"):
        follow(url, state=tmp_path / "state")
    assert wire.requests == 0
    follow(url)
    follow(f"{url}&step=line", state=tmp_path / "line")
    with pytest.warns(SinkWarning, match="1 points have no step"):
        follow(url, state=tmp_path / "step", context={"step": r"step (\d)"})
    assert [step for _, _, step, *_ in wire.points] == [0, 1, 1, 2, 7]


@pytest.mark.parametrize(
    "url",
    [
        "sagemaker-metrics:x",
        "sagemaker-metrics:?undated=x",
        "sagemaker-metrics:?endpoint=user:canary@host",
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url):
    """Before anything is read."""
    with pytest.raises(ValueError, match=r"component=|can be now or refuse|is no URL") as failed:
        open_sink(url, table([("loss", 1.0, NOW, "a", 3)]).schema)
    assert "canary" not in str(failed.value)


@pytest.mark.parametrize("left", ["metric", "value"])
def test_points_without_a_metric_or_a_value_are_refused(left):
    """By a message that says which column is missing."""
    schema = table([("loss", 1.0, NOW, "a", 3)]).select([left, "timestamp", "job"]).schema
    with pytest.raises(ValueError, match="sagemaker-metrics: needs the columns metric and value"):
        open_sink("sagemaker-metrics:", schema)
