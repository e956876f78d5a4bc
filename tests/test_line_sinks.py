"""InfluxDB's line protocol and OpenMetrics, read back by what reads them."""

import hashlib
import itertools
import json
import math
import re
from datetime import UTC, datetime, timedelta

import metricsieve as ms
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metricsieve.exceptions import SinkError, SinkWarning
from metricsieve.sinks import open_sink
from metricsieve.sinks.influx import Moments
from program import run
from prometheus_client.openmetrics.parser import text_string_to_metric_families

START = datetime(2026, 11, 25, 10, tzinfo=UTC)
TEXTS = st.one_of(
    st.none(), st.text(st.characters(codec="utf-8"), max_size=6), st.sampled_from(['a\\"=, ', "\r"])
)
ROWS = st.tuples(
    st.sampled_from(["loss", "train:acc", "x-é y", "0a", 'q"\\']),
    st.one_of(st.none(), st.floats()),
    st.one_of(st.none(), st.integers(0, 3).map(lambda n: START + timedelta(microseconds=700 * n))),
    TEXTS,
    st.one_of(st.none(), st.integers(0, 5)),
    st.one_of(st.none(), st.integers(-9, 9)),
    TEXTS,
)


def table(rows):
    """Rows `(metric, value, timestamp, job, rank, step, phase)`, all of one source."""
    kinds = {
        "metric": pa.string(),
        "value": pa.float64(),
        "timestamp": pa.timestamp("us", "UTC"),
        "job": pa.string(),
        "rank": pa.int32(),
        "step": pa.int64(),
        "phase": pa.string(),
        "source": pa.string(),
    }
    columns = list(zip(*[(*row, "x y.log") for row in rows], strict=True))
    arrays = [pa.array(c, kind) for c, kind in zip(columns, kinds.values(), strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(kinds.items())))


def written(url, rows):
    """What a sink wrote, and its notes."""
    path = url.partition(":")[2].partition("?")[0]
    points = table(rows)
    sink = open_sink(url, points.schema)
    for batch in points.to_batches(max_chunksize=4):
        sink.write(batch)
    sink.close()
    with open(path, encoding="utf-8", newline="") as file:
        return file.read(), sink.notes


def split(text, separator):
    """The parts between separators that no backslash stands before, as InfluxDB looks for them.

    Its `scanTagsValue` asks for the byte before; whatever stands before that does not matter.
    """
    return re.split(rf"(?<!\\){separator}", text)


def unescaped(text):
    """A tag as InfluxDB's `unescapeTag` and Telegraf have it: other backslashes stay."""
    return text.replace("\\,", ",").replace("\\ ", " ").replace("\\=", "=")


def parse_line(line):
    """Measurement, tags, fields and nanoseconds of a line."""
    head, fields, nanos = split(line, " ")
    measurement, *tags = split(head, ",")
    return (
        measurement,
        dict(tuple(map(unescaped, split(tag, "="))) for tag in tags),
        dict(one.split("=") for one in fields.split(",")),
        int(nanos),
    )


def lines_of(path):
    """Every line of a file, parsed."""
    with open(path, encoding="utf-8", newline="\n") as file:
        return [parse_line(line.removesuffix("\n")) for line in file]


NO_LINE_FEED = st.one_of(st.none(), st.text("abcé,= \\", max_size=6))
INFLUX_ROWS = ROWS.flatmap(
    lambda row: st.tuples(NO_LINE_FEED, NO_LINE_FEED).map(
        lambda texts: (*row[:3], texts[0], *row[4:6], texts[1])
    )
)


@settings(deadline=None, max_examples=80)
@given(rows=st.lists(INFLUX_ROWS, min_size=1, max_size=12))
def test_every_point_is_a_line_of_its_own(tmp_path_factory, rows):
    """With its tags and fields; points of one time and series are told apart."""
    path = tmp_path_factory.mktemp("influx") / "a.lp"
    text, notes = written(f"influx:{path}", rows)
    good = [
        row
        for row in rows
        if row[1] is not None and row[2] and math.isfinite(row[1])
        # No line can hold a tag that ends so.
        if not any((row[at] or "").endswith("\\") for at in (0, 3, 6))
    ]
    lines = [parse_line(line) for line in text.split("\n")[:-1]]
    assert len(lines) == len(good)
    for (measurement, tags, fields, nanos), row in zip(lines, good, strict=True):
        metric, value, time, job, rank, step, phase = row
        rank = None if rank is None else str(rank)
        told = {"metric": metric, "job": job, "rank": rank, "phase": phase, "source": "x y.log"}
        assert measurement == "metricsieve"
        assert tags == {name: text for name, text in told.items() if text}
        assert repr(float(fields["value"])) == repr(value)
        assert fields.get("step") == (None if step is None else f"{step}i")
        micros = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        assert micros * 1000 <= nanos < micros * 1000 + len(rows)
    keys = [(str(sorted(tags.items())), nanos) for _, tags, _, nanos in lines]
    assert len(set(keys)) == len(keys)
    assert sum(int(note.split()[1]) for note in notes) == len(rows) - len(good)


SECOND = "2026-11-25T10:00:%02dZ loss=%d\n"


@pytest.mark.parametrize(
    "log",
    [
        "".join(SECOND % (second, n) for n, second in enumerate([7, 8, 7])),
        "".join(SECOND % (n % 30, n) for n in range(90)),  # a clock that is set back
        "".join(SECOND % (7 * n % 30, n) for n in range(90)),
        "".join(
            f"2026-11-25T10:00:00.00000{micro}Z loss={n}\n"
            for micro in (1, 3, 2, 1, 4, 2)
            for n in range(1002)
        ),
    ],
)
def test_no_point_takes_the_place_of_another(tmp_path, log):
    """Wherever time goes: each has the first nanosecond that was left."""
    path = tmp_path / "a.lp"
    scan = ms.scan({"s": log.encode()}, {"loss": r"loss=(\S+)"})
    rows = scan.read_all().to_pylist()
    ms.scan({"s": log.encode()}, {"loss": r"loss=(\S+)"}).write(f"influx:{path}")
    taken = set()
    for (_, _, fields, nanos), row in zip(lines_of(path), rows, strict=True):
        assert float(fields["value"]) == row["value"]
        wanted = (row["timestamp"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        wanted *= 1000
        while wanted in taken:
            wanted += 1
        assert nanos == wanted
        taken.add(nanos)


@settings(deadline=None)
@given(times=st.lists(st.integers(0, 30), max_size=200))
def test_moments_are_the_first_that_are_left(times):
    """As a set of all of them says."""
    moments, taken = Moments(), set()
    for nanos in times:
        wanted = next(one for one in itertools.count(nanos) if one not in taken)
        assert moments.take(nanos) == wanted
        taken.add(wanted)


def test_what_influxdb_cannot_hold_is_counted(tmp_path):
    """Times that nanoseconds of 64 bits do not reach, and numbers of context columns."""
    years = (1500, 1677, 1678, 2261, 2263, 9999)
    log = "".join(f"{year}-06-01T00:00:00Z loss={year} lr=0.1\n" for year in years)
    log += "".join(
        SECOND.replace("\n", f" lr={lr}\n") % (n, n) for n, lr in enumerate(["nan", "-inf"])
    )
    path = tmp_path / "a.lp"
    context = {"lr": (r"lr=(\S+)", "float64")}
    with pytest.warns(SinkWarning) as warned:
        ms.scan(log.encode(), {"loss": r"loss=(\S+)"}, context=context).write(f"influx:{path}")
    found = [fields for _, _, fields, _ in lines_of(path)]
    assert [float(fields["value"]) for fields in found] == [1678, 2261, 0, 1]
    assert [fields.get("lr") for fields in found] == ["0.1", "0.1", None, None]
    assert [str(one.message).partition(" (")[0] for one in warned] == [
        "Influx: 4 points not sent, before 1677 or after 2262",
        "Influx: 2 numbers of context columns left out of their points, which the protocol cannot "
        "hold: NaN, infinite or too large",
    ]


def test_tags_are_what_they_were(tmp_path):
    """With their backslashes; one at the end would make the next comma a part of the tag."""
    texts = ["C:\\logs", "a\\,b", "a\\ b", "a\\=b", "a\\\\b", 'q"\\"', "\\", "C:\\", "é\\\\"]
    rows = [("loss", float(n), START, text, None, None, None) for n, text in enumerate(texts)]
    path = tmp_path / "a.lp"
    _, notes = written(f"influx:{path}", rows)
    assert [tags["job"] for _, tags, _, _ in lines_of(path)] == texts[:6]
    assert notes == [
        "Influx: 3 points not sent, a tag ends with a backslash (first: loss at x y.log)"
    ]


def test_names_that_influxdb_keeps_for_itself_are_changed(tmp_path):
    """It would leave a tag or a field that is called time out, or refuse the point."""
    path = tmp_path / "a.lp"
    scan = ms.scan(
        b"2026-11-25T10:00:07Z time=x lr=1 loss=1",
        {"loss": r"time=(?P<time>\S+).*loss=(?P<value>\S+)"},
        context={"time_": r"lr=(\d)", "a\\": r"lr=(\d)"},
    )
    with pytest.warns(SinkWarning, match="Influx: 2 names changed"):
        scan.write(f"influx:{path}")
    ((_, tags, fields, _),) = lines_of(path)
    time, odd = (hashlib.sha256(name.encode()).hexdigest()[:8] for name in ("time", "a\\"))
    assert sorted(tags) == ["metric", "source", f"time__{time}"]
    assert fields == {"value": "1.0", "time_": "1i", f"a__{odd}": "1i"}


@pytest.mark.parametrize("scheme", ["influx", "openmetrics"])
@pytest.mark.parametrize("left", ["metric", "value"])
def test_points_without_a_metric_or_a_value_are_refused(tmp_path, scheme, left):
    """By a message that says which column is missing."""
    scan = ms.scan(b"loss=1", {"loss": "loss=(.)"}, columns=[left, "timestamp"])
    with pytest.raises(ValueError, match=f"{scheme}: needs the columns metric and value"):
        scan.write(f"{scheme}:{tmp_path / 'a'}")
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None, max_examples=80)
@given(rows=st.lists(ROWS, min_size=1, max_size=12))
def test_prometheus_reads_every_point(tmp_path_factory, rows):
    """By its own client's parser, which demands order; the last of a millisecond."""
    path = tmp_path_factory.mktemp("openmetrics") / "a.om"
    text, _ = written(f"openmetrics:{path}", rows)
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (*sorted(sample.labels.items()), round(float(sample.timestamp) * 1000))
            assert key not in found
            found[key] = repr(sample.value)
    told = {}
    for metric, value, time, job, rank, _, phase in rows:
        if value is None or time is None:
            continue
        labels = {"metric": metric, "job": job, "rank": rank, "phase": phase, "source": "x y.log"}
        kept = sorted((name, str(text)) for name, text in labels.items() if text not in (None, ""))
        if any("\r" in text or "\0" in text for _, text in kept):
            continue
        millis = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        told[(*kept, millis)] = repr(value)
    assert found == told


def test_the_command_writes_them_beside_each_other(tmp_path):
    """Points of a log without times are told, and kept as dead letters."""
    log = tmp_path / "a.log"
    log.write_text("2026-11-25T10:00:00Z loss=1\n2026-11-25T10:00:01Z loss=2\n")
    influx, metrics = tmp_path / "a.lp", tmp_path / "a.om"
    common = ["scan", str(log), "-m", r"loss=loss=(\d)"]
    done = run(*common, "-o", f"influx:{influx}?measurement=mine", "-o", f"openmetrics:{metrics}")
    assert done.returncode == 0, done.stderr
    assert [line.split(",")[0] for line in influx.read_text().splitlines()] == ["mine", "mine"]
    assert metrics.read_text().endswith("# EOF\n")
    log.write_text("loss=1\n")
    letters = tmp_path / "dead.jsonl"
    done = run(*common, "-o", f"influx:{influx}?dead-letters={letters}", "--strict")
    assert done.returncode == 1
    assert "Influx: 1 point not sent, no time" in done.stderr
    assert '"no time"' in letters.read_text()
    assert influx.read_text() == ""
    log.write_text("2026-11-25T10:00:00Z loss=nan\n")
    done = run(*common[:-1], r"loss=loss=(\S+)", "-o", f"influx:{influx}?dead-letters={letters}")
    last = json.loads(letters.read_text().splitlines()[-1], parse_constant=pytest.fail)
    assert (last["reason"], last["value"]) == ("NaN or infinite", "NaN")


@pytest.mark.parametrize(
    "url",
    [
        "influx:",
        "openmetrics:",
        "openmetrics:x?measurement=y",
        "influx:x?measurement=#y",
        "influx:x?measurement=y\\",
        "influx:x?measurement=%0A",
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url):
    """Before anything is read."""
    with pytest.raises(ValueError, match=r"needs a file|has no option|is no name"):
        ms.scan(b"loss=1", {"loss": "loss=(.)"}).write(url)


def test_dead_letters_that_cannot_be_written_are_told_at_the_beginning(tmp_path):
    """Before a point is; nothing is made where there are none."""
    log, out = b"2026-11-25T10:00:07Z loss=1", tmp_path / "a.lp"
    for path, message in (
        (tmp_path / "none" / "dead.jsonl", "No such file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(SinkError, match=message):
            ms.scan(log, {"loss": "loss=(.)"}).write(f"influx:{out}?dead-letters={path}")
    with pytest.raises(ValueError, match="NUL"):
        ms.scan(log, {"loss": "loss=(.)"}).write(f"influx:{out}?dead-letters=a%00")
    assert list(tmp_path.iterdir()) == []
    letters = tmp_path / "dead.jsonl"
    ms.scan(log, {"loss": "loss=(.)"}).write(f"influx:{out}?dead-letters={letters}")
    assert list(tmp_path.iterdir()) == [out]


def test_dead_letters_stay_after_an_error(tmp_path):
    """Of a sink that is thrown away."""
    letters = tmp_path / "dead.jsonl"
    rows = table([("loss", 1.0, None, "a", None, None, None)])
    sink = open_sink(f"influx:{tmp_path / 'a.lp'}?dead-letters={letters}", rows.schema)
    sink.write(rows.to_batches()[0])
    sink.abort()
    assert [json.loads(line)["reason"] for line in letters.read_text().splitlines()] == ["no time"]
    assert list(tmp_path.iterdir()) == [letters]
