"""Points to CloudWatch: moto takes them, and a fault server sees what is on the wire."""

import json
import math
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import metricsieve as ms
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metricsieve.exceptions import SinkError, SinkWarning
from metricsieve.sinks import open_sink
from metricsieve.sinks.cloudwatch import CloudWatchSink
from program import run
from servers import SPACE, Wire

NOW = datetime.now(UTC).replace(microsecond=0)


def table(rows):
    """Rows `(metric, value, timestamp, job, source)` in several batches."""
    names = ["metric", "value", "timestamp", "job", "source"]
    kinds = [pa.string(), pa.float64(), pa.timestamp("us", "UTC"), pa.string(), pa.string()]
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    columns = [
        pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def write(sink, rows):
    """All of them, and the end."""
    for batch in table(rows).to_batches(max_chunksize=7):
        sink.write(batch)
    sink.close()


def minute(time, seconds=60):
    """The beginning of a time's minute, in seconds since 1970."""
    return int(time.timestamp()) // seconds * seconds


class Metrics(Wire):
    """Accepts PutMetricData."""

    def __init__(self, server, *faults):
        super().__init__(server, *faults)
        self.data = []

    def take(self, asked):
        """Keep the data."""
        self.data += asked["MetricData"]
        return {}

    def check(self, asked, body):
        """Limits of PutMetricData's documentation."""
        assert len(body) <= 1_000_000
        assert asked["Namespace"] == SPACE
        assert 1 <= len(asked["MetricData"]) <= 1000
        for datum in asked["MetricData"]:
            assert 1 <= len(datum["MetricName"]) <= 255
            assert datum["MetricName"].isascii()
            assert datum["MetricName"].strip()
            assert 1 <= len(datum["Values"]) == len(datum["Counts"]) <= 150
            assert len(set(datum["Values"])) == len(datum["Values"])
            assert all(abs(value) <= 2**360 for value in datum["Values"])
            assert len(datum["Dimensions"]) <= 30
            for dimension in datum["Dimensions"]:
                assert 1 <= len(dimension["Value"]) <= 1024
                assert dimension["Value"].isascii()
            age = time.time() - datum["Timestamp"]
            assert -2 * 3600 <= age <= 14 * 86_400
            assert datum["StorageResolution"] in (1, 60)

    def points(self):
        """How often each (metric, job, minute, value) came."""
        found = Counter()
        for datum in self.data:
            (job,) = [one["Value"] for one in datum["Dimensions"]]
            for value, count in zip(datum["Values"], datum["Counts"], strict=True):
                found[datum["MetricName"], job, int(datum["Timestamp"]), value] += int(count)
        return found


def expected(rows, seconds=60):
    """The same of the rows that can be sent."""
    return Counter(
        (metric, job or source, minute(time, seconds), value)
        for metric, value, time, job, source in rows
    )


def test_moto_has_the_statistics_of_the_points(aws):
    """Of each minute, for SageMaker's namespace and dimension; a second job beside it."""
    rows = [
        ("train:loss", 0.5 + n % 3, NOW - timedelta(seconds=10 * n), ("a", "b")[n % 2], "x.log")
        for n in range(100)
    ]
    write(open_sink("cloudwatch:", table(rows).schema), rows)
    client = aws("cloudwatch")
    for job in "ab":
        found = client.get_metric_statistics(
            Namespace=SPACE,
            MetricName="train:loss",
            Dimensions=[{"Name": "TrainingJobName", "Value": job}],
            StartTime=NOW - timedelta(hours=1),
            EndTime=NOW + timedelta(hours=1),
            Period=60,
            Statistics=["SampleCount", "Sum", "Minimum", "Maximum"],
        )["Datapoints"]
        mine = [(minute(at), value) for _, value, at, of, _ in rows if of == job]
        for one in found:
            values = [value for at, value in mine if at == minute(one["Timestamp"])]
            assert one["SampleCount"] == len(values)
            assert math.isclose(one["Sum"], sum(values))
            assert (one["Minimum"], one["Maximum"]) == (min(values), max(values))
        assert sum(one["SampleCount"] for one in found) == len(mine) == 50


METRICS = st.sampled_from(["loss", "train:acc", "x" * 255])
NUMBERS = st.one_of(st.floats(-(2.0**360), 2.0**360), st.sampled_from([0.0, -0.0, 1.0, 5e-324]))
TIMES = st.integers(-13 * 86_400, 3_600).map(lambda s: NOW + timedelta(seconds=s))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
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
    wire = Metrics(service)
    write(open_sink(f"cloudwatch:?resolution={resolution}", table(rows).schema), rows)
    assert wire.points() == expected(rows, resolution)


def test_s5_many_points_are_packed_densely(service):
    """300,000 of them in a few requests, each within the limits."""
    rows = [
        (f"m{n % 20}", n / 7, NOW - timedelta(seconds=n % 5_000), "a", "x.log")
        for n in range(300_000)
    ]
    wire = Metrics(service)
    sink = open_sink("cloudwatch:", table(rows).schema)
    sink.write(table(rows).to_batches()[0])
    sink.close()
    assert wire.points() == expected(rows)
    assert wire.requests < 40


@pytest.mark.parametrize(
    ("fault", "doubled"),
    [
        ("Throttling", False),
        ("ThrottlingException", False),
        ("RequestLimitExceeded", False),
        ("ExpiredToken", False),
        ("reset", False),
        ("drip", False),
        ("accept", True),
    ],
)
def test_s1_s3_s4_s8_what_passes_is_tried_again(service, fault, doubled):
    """No point is lost; only a request whose answer was lost comes twice."""
    rows = [("loss", float(n), NOW, "a", "x.log") for n in range(10)]
    wire = Metrics(service, lambda _: fault)
    write(open_sink("cloudwatch:", table(rows).schema), rows)
    assert wire.points() == Counter(dict.fromkeys(expected(rows), 1 + doubled))


def test_s2_one_bad_datum_never_fails_its_neighbours(service, tmp_path):
    """It is found by halving, and kept as a dead letter."""
    rows = [(f"m{n}", float(n), NOW, "a", "x.log") for n in range(200)]
    bad = {"m17", "m18", "m150"}

    def refuse(asked):
        names = {one["MetricName"] for one in asked["MetricData"]}
        return "InvalidParameterValue" if bad & names else None

    wire = Metrics(service, *[refuse] * 100)
    letters = tmp_path / "dead.jsonl"
    sink = open_sink(f"cloudwatch:?dead-letters={letters}", table(rows).schema)
    write(sink, rows)
    assert wire.points() == expected([row for row in rows if row[0] not in bad])
    kept = [json.loads(line) for line in letters.read_text().splitlines()]
    assert {one["metric"] for one in kept} == bad
    assert sink.notes == [
        "CloudWatch: 3 points not sent, refused by CloudWatch (InvalidParameterValue) (first: m17)"
    ]


def test_s2_many_bad_data_in_a_row_do_not_fail_the_others(service):
    """Nor those that are here and there."""
    rows = [(f"m{n}", float(n), NOW, "a", "x.log") for n in range(120)]
    bad = {row[0] for n, row in enumerate(rows) if n < 55 or n % 16 == 0}

    def refuse(asked):
        names = {one["MetricName"] for one in asked["MetricData"]}
        return "InvalidParameterValue" if bad & names else None

    wire = Metrics(service, *[refuse] * 400)
    sink = open_sink("cloudwatch:", table(rows).schema)
    write(sink, rows)
    assert wire.points() == expected([row for row in rows if row[0] not in bad])
    assert sink.notes[0].startswith(f"CloudWatch: {len(bad)} points not sent, refused")


@pytest.mark.parametrize("count", [1, 200])
def test_what_is_refused_with_everything_in_it_is_an_error(service, tmp_path, count):
    """After a few requests, also where each has little in it; those are dead letters."""
    letters = tmp_path / "dead.jsonl"
    wire = Metrics(service, *[lambda _: "InvalidParameterValue"] * 5000)
    times = [NOW - timedelta(minutes=n) for n in range(4000)]
    rows = [("loss", n / 7, at, "a", "x.log") for n, at in enumerate(times)]
    sink = open_sink(f"cloudwatch:?dead-letters={letters}", table(rows).schema)

    def send():
        for batch in table(rows).to_batches(max_chunksize=count):
            sink.write(batch)
            sink.flush()

    with pytest.raises(SinkError, match="all of 50 items that were sent alone were refused"):
        send()
    sink.abort()
    assert wire.requests <= 51
    assert len(letters.read_text().splitlines()) == 50


def test_what_becomes_too_old_with_its_minute_is_kept(service):
    """A minute may begin more than two weeks ago, and a point of it not."""
    ages = [timedelta(days=14, seconds=-n) for n in range(60)]
    rows = [("loss", float(n), NOW - age, "a", "x.log") for n, age in enumerate(ages)]
    wire = Metrics(service)  # refuses what is too old
    sink = open_sink("cloudwatch:", table(rows).schema)
    write(sink, rows)
    (note,) = sink.notes
    assert "not sent, older than two weeks" in note
    assert wire.points().total() + int(note.split()[1]) == len(rows)


def test_what_cloudwatch_does_not_take_is_counted_and_kept(service, tmp_path):
    """Each kind with its reason; the others arrive."""
    good = ("loss", 1.0, NOW, "a", "x.log")
    odd = [
        ("loss", math.nan, NOW, "a", "x.log"),
        ("loss", -math.inf, NOW, "a", "x.log"),
        ("loss", 2.0**361, NOW, "a", "x.log"),
        ("loss", 1.0, None, "a", "x.log"),
        ("loss", 1.0, NOW - timedelta(days=15), "a", "x.log"),
        ("loss", 1.0, NOW + timedelta(hours=3), "a", "x.log"),
        ("verlust é", 1.0, NOW, "a", "x.log"),
        ("loss", 1.0, NOW, "jöb", "x.log"),
        ("loss", None, NOW, "a", "x.log"),
    ]
    wire = Metrics(service)
    letters = tmp_path / "dead.jsonl"
    sink = open_sink(f"cloudwatch:?dead-letters={letters}", table([good]).schema)
    write(sink, [good, *odd, good])
    assert wire.points() == expected([good, good])
    reasons = [json.loads(line)["reason"] for line in letters.read_text().splitlines()]
    assert len(reasons) == len(odd)
    assert len(set(reasons)) == 7
    assert sum(int(note.split()[1]) for note in sink.notes) == len(odd)
    assert "undated=now" in " ".join(sink.notes)


def test_points_without_a_time_may_be_sent_as_of_now(service):
    """If that is asked for."""
    wire = Metrics(service)
    rows = [("loss", 1.0, None, "a", "x.log")]
    write(open_sink("cloudwatch:?undated=now", table(rows).schema), rows)
    (datum,) = wire.data
    assert abs(datum["Timestamp"] - time.time()) < 60


def test_dimensions_are_templates_of_columns(service):
    """A column that is null leaves its dimension out."""
    wire = Metrics(service)
    scan = ms.scan(
        {"a": b"2026-11-25T10:00:00Z loss=1 p=x", "b": b"2026-11-25T10:00:00Z loss=2"},
        {"loss": r"loss=(?P<value>\d)(?: p=(?P<phase>\w))?"},
    )
    columns = {"timestamp": pa.array([NOW] * 2, pa.timestamp("us", "UTC"))}
    found = scan.read_all()
    place = found.schema.get_field_index("timestamp")
    found = found.set_column(place, found.schema.field(place), columns["timestamp"])
    url = "cloudwatch:?dimension=Phase={phase}&dimension=Where=of {source}&dimension=Stage=prod"
    sink = open_sink(url, found.schema)
    for batch in found.to_batches():
        sink.write(batch)
    sink.close()
    dimensions = [{d["Name"]: d["Value"] for d in datum["Dimensions"]} for datum in wire.data]
    assert dimensions == [
        {"Phase": "x", "Where": "of a", "Stage": "prod"},
        {"Where": "of b", "Stage": "prod"},
    ]


def test_too_many_series_are_an_error(service):
    """Each costs money."""
    rows = [(f"m{n}", 1.0, NOW, "a", "x.log") for n in range(11)]
    Metrics(service)
    with pytest.raises(SinkError, match=r"more than 10 metrics.*max-series="):
        write(open_sink("cloudwatch:?max-series=10", table(rows).schema), rows)


@pytest.mark.parametrize("code", ["AccessDeniedException", "UnrecognizedClientException"])
def test_what_is_refused_for_good_is_an_error(service, code):
    """At once; nothing is halved."""
    wire = Metrics(service, *[lambda _: code] * 9)
    rows = [("loss", 1.0, NOW, "a", "x.log")]
    with pytest.raises(SinkError, match="cloudwatch:/aws"):
        write(open_sink("cloudwatch:", table(rows).schema), rows)
    assert wire.requests == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("cloudwatch::x", "the first no colon"),
        ("cloudwatch:x?resolution=5", "resolution=5 can be 1 or 60"),
        ("cloudwatch:x?when=now", "has no option when="),
        ("cloudwatch:x?undated", "is no NAME=VALUE"),
        ("cloudwatch:x?undated=now&undated=now", "stands twice"),
        ("cloudwatch:AWS/EC2", "does not begin with AWS/"),
        ("cloudwatch: ", "' ' is no namespace"),
        ("cloudwatch:a\x01", "printable ASCII"),
        ("emf:x?namespace=AWS/EC2", "does not begin with AWS/"),
        ("emf:x?namespace=%09", "printable ASCII"),
        ("cloudwatch:x?max-series=many", "is no number"),
        ("cloudwatch:x?max-series=²", "is no number"),
        ("emf:x?max-series=0", "is no number from 1 on"),
        ("cloudwatch:x?dimension=A=x&dimension=A=y", "the dimension A stands twice"),
        ("cloudwatch:x?dimension=:A=x", "the first no colon"),
        ("emf:x?dimension=_aws=x", "no dimension can be called _aws"),
        ("cloudwatch:x?endpoint=user:canary@host", "the endpoint 'host' is no URL"),
        ("cloudwatch:x?endpoint=https://user:canary@host:99999", "is no URL"),
        ("cloudwatch:x?endpoint=https://user:canary@host", "holds a user"),
        ("emf:cloudwatch-logs:a?endpoint=host", "the endpoint 'host' is no URL"),
        ("emf:a\0b", "has no NUL"),
        ("emf:", "needs a file"),
        ("emf:a?region=x", "has no option region="),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_before_anything_is_read(url, message):
    """With what it could be."""
    scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
    with pytest.raises(ValueError, match=message) as failed:
        scan.write(url)
    assert "canary" not in str(failed.value)
    assert scan.read_all().num_rows == 1, "the scan can still be used"


def test_a_dimension_that_makes_no_sense_names_the_columns():
    """And what is a dimension at all."""
    schema = pa.schema({"metric": pa.string(), "value": pa.float64(), "source": pa.string()})
    for texts, message in (
        (["Host={hots}"], "no column 'hots'"),
        (["Host"], "no NAME=VALUE"),
        (["A=x", "A=y"], "A stands twice"),
    ):
        with pytest.raises(ValueError, match=message):
            CloudWatchSink(schema, dimensions=texts, region_name="us-east-1")


@pytest.mark.parametrize("url", ["cloudwatch:X", "emf:a.emf", "emf:cloudwatch-logs:a"])
@pytest.mark.parametrize("left", ["metric", "value"])
def test_points_without_a_metric_or_a_value_are_refused(url, left):
    """By a message that says which column is missing."""
    scan = ms.scan(b"loss=1", {"loss": "loss=(.)"}, columns=[left, "timestamp"])
    with pytest.raises(ValueError, match=f"{url}: needs the columns metric and value"):
        scan.write(url)


@pytest.mark.parametrize("url", ["user:canary@host", "http://user:canary@host:x"])
def test_an_address_of_the_environment_that_is_none_is_an_error(aws, monkeypatch, url):
    """Of the sink, without its credentials."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    rows = [("loss", 1.0, NOW, "a", "x.log")]
    with pytest.raises(SinkError, match=r"AWS_ENDPOINT_URL|Port could not") as failed:
        write(open_sink("cloudwatch:", table(rows).schema), rows)
    assert "canary" not in str(failed.value)


def test_the_command_sends_and_warns(service, tmp_path):
    """`scan` and `follow` alike; beside a file."""
    stamp = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    log = tmp_path / "a.log"
    log.write_text(f"{stamp} loss=1\n{stamp} loss=2\nloss=3\n")
    wire = Metrics(service)
    common = [str(log), "-m", r"loss=loss=(\d)", "-o", "cloudwatch:"]
    done = run("scan", *common, "-o", str(tmp_path / "a.jsonl"))
    assert done.returncode == 0, done.stderr
    assert "1 point not sent, no time" in done.stderr
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 3
    key = ("loss", str(log), minute(NOW))
    assert wire.points() == Counter({(*key, 1.0): 1, (*key, 2.0): 1})
    state = ["--state", str(tmp_path / "state"), "--until-idle", "0.1", "--poll", "0.05"]
    done = run("follow", *common, *state)
    assert done.returncode == 0, done.stderr
    assert wire.points() == Counter({(*key, 1.0): 2, (*key, 2.0): 2})
    assert run("follow", *common, *state).returncode == 0
    assert wire.points() == Counter({(*key, 1.0): 2, (*key, 2.0): 2})
    assert run("scan", *common, "--strict").returncode == 1


def test_emf_lines_hold_what_cloudwatch_makes_metrics_of(tmp_path):
    """Every point, in arrays of at most 100, of at most 100 metrics a line."""
    rows = [
        (f"m{n % 130}", float(n % 211), NOW - timedelta(days=n % 40), ("a", "b")[n % 2], "x.log")
        for n in range(30_000)
    ]
    path = tmp_path / "a.emf"
    write(open_sink(f"emf:{path}?namespace=My/Space", table(rows).schema), rows)
    found = Counter()
    for line in path.read_text().splitlines():
        event = json.loads(line)
        assert len(line) < 256 * 1024
        head = event["_aws"]
        (directive,) = head["CloudWatchMetrics"]
        assert directive["Namespace"] == "My/Space"
        assert directive["Dimensions"] == [["TrainingJobName"]]
        assert len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert metric["StorageResolution"] == 60
            assert len(event[metric["Name"]]) <= 100
            for value in event[metric["Name"]]:
                key = (metric["Name"], event["TrainingJobName"], head["Timestamp"] // 1000, value)
                found[key] += 1
    assert found == expected(rows)


def test_emf_of_many_equal_values_is_written_as_they_come(tmp_path, monkeypatch):
    """Each has a place in an event, so they are not held until the end."""
    monkeypatch.setattr("metricsieve.sinks._embedded._MOST_POINTS", 20_000)
    rows = [("loss", 0.5, NOW, "a", "x.log"), ("acc", 0.25, NOW, "a", "x.log")] * 5_000
    path = tmp_path / "a.emf"
    (batch,) = table(rows).to_batches()
    sink = open_sink(f"emf:{path}", batch.schema)
    for _ in range(5):
        sink.write(batch)
    (unfinished,) = tmp_path.iterdir()
    assert unfinished.stat().st_size > 100_000
    sink.close()
    found = Counter()
    for line in path.read_text().splitlines():
        event = json.loads(line)
        for name in ("loss", "acc"):
            assert len(event[name]) == 100
            found[name] += 100
    assert found == {"loss": 25_000, "acc": 25_000}


def test_emf_has_no_times_before_1970(tmp_path):
    """And says so; later ones may be of any age."""
    times = [datetime(1969, 12, 31, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), NOW]
    times.append(datetime(9999, 1, 1, tzinfo=UTC))
    rows = [("loss", float(n), at, "a", "x.log") for n, at in enumerate(times)]
    sink = open_sink(f"emf:{tmp_path / 'a.emf'}", table(rows).schema)
    write(sink, rows)
    found = [json.loads(line)["loss"] for line in (tmp_path / "a.emf").read_text().splitlines()]
    assert found == [[1.0], [2.0], [3.0]]
    assert sink.notes == ["EMF: 1 point not sent, before 1970 (first: loss at x.log)"]


def test_a_metric_cannot_have_the_name_of_a_dimension_in_emf(tmp_path):
    """It would hide the dimension."""
    rows = [("TrainingJobName", 1.0, NOW, "a", "x.log"), ("loss", 2.0, NOW, "a", "x.log")]
    sink = open_sink(f"emf:{tmp_path / 'a.emf'}", table(rows).schema)
    write(sink, rows)
    assert len((tmp_path / "a.emf").read_text().splitlines()) == 1
    assert "that of a dimension" in sink.notes[0]


def test_sinks_of_other_packages_are_found_by_their_entry_point(tmp_path, monkeypatch):
    """By the scheme that is its name."""
    package = tmp_path / "other"
    package.mkdir()
    (package / "other_sink.py").write_text(
        "class Sink:\n"
        "    guarantee = 'none'\n"
        "    notes = ['two rows were odd']\n"
        "    def __init__(self, target, schema):\n"
        "        self.file = open(target.rest + target.one('suffix', ''), 'w')\n"
        "    def write(self, batch): self.file.write(str(batch.num_rows))\n"
        "    def close(self): self.file.close()\n"
        "    def abort(self): self.file.close()\n"
    )
    info = package / "other_sink-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-sink\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[metricsieve.sinks]\nother = other_sink:Sink\n")
    monkeypatch.syspath_prepend(str(package))
    out = tmp_path / "out"
    with pytest.warns(SinkWarning, match="two rows were odd"):
        ms.scan(b"loss=1\nloss=2", {"loss": "loss=(.)"}).write(f"other:{out}?suffix=.txt")
    assert (tmp_path / "out.txt").read_text() == "2"
