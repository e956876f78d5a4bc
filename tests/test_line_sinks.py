"""InfluxDB's line protocol and OpenMetrics, read back by what reads them."""

import json
import math
import re
from datetime import UTC, datetime, timedelta

import metricsieve as ms
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metricsieve.sinks import open_sink
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
    """The parts between separators that no backslash stands before, with their backslashes."""
    parts, escaped = [""], False
    for character in text:
        if character == separator and not escaped:
            parts.append("")
        else:
            parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts


def unescaped(text):
    """A tag without the backslashes that the protocol wants."""
    return re.sub(r"\\([,= \\])", r"\1", text)


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
    good = [row for row in rows if row[1] is not None and row[2] and math.isfinite(row[1])]
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
        if any("\r" in text for _, text in kept):
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


@pytest.mark.parametrize("url", ["influx:", "openmetrics:", "openmetrics:x?measurement=y"])
def test_a_url_that_makes_no_sense_is_refused(url):
    """Before anything is read."""
    with pytest.raises(ValueError, match=r"needs a file|has no option"):
        ms.scan(b"loss=1", {"loss": "loss=(.)"}).write(url)
