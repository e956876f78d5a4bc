"""Points gathered as runs, against the rules in plain Python."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metricsieve.sinks._names import Names
from metricsieve.sinks._runs import Runs

NAMES = pa.dictionary(pa.int32(), pa.string())
WHOLE = st.integers(-3, 6) | st.sampled_from([2**62, -(2**63)])
STEPS = {
    pa.int64(): WHOLE,
    pa.uint64(): st.integers(0, 6) | st.sampled_from([2**63 - 1, 2**63, 2**64 - 1]),
    pa.float64(): st.sampled_from([0.0, 0.0005, 0.0015, -1.25, 1.0, 1e17, math.nan, math.inf]),
}


@st.composite
def points(draw):
    """Batches of rows: the type of their steps, and rows as they come."""
    kind = draw(st.sampled_from([None, *STEPS]))
    row = st.fixed_dictionaries(
        {
            "metric": st.sampled_from(["loss", "acc"]),
            "value": st.none() | st.floats(),
            "timestamp": st.none() | st.integers(0, 10**15),
            "source": st.sampled_from(["a.log", "b.log"]),
            "job": st.sampled_from([None, "job", "a.log"]),
            "phase": st.sampled_from([None, "train", "eval"]),
            "step": st.none() | (WHOLE if kind is None else STEPS[kind]),
        }
    )
    return kind, draw(st.lists(st.lists(row, max_size=30), max_size=4))


def schema(kind):
    fields = {
        "metric": NAMES,
        "value": pa.float64(),
        "timestamp": pa.timestamp("us", "UTC"),
        "source": NAMES,
        "job": NAMES,
        "phase": pa.string(),
    }
    return pa.schema(fields | ({} if kind is None else {"step": kind}))


def whole(step):
    """A step as a whole number; those that no tracker can hold are none."""
    if step is None or not math.isfinite(step):
        return None
    found = round(step * 1000) if isinstance(step, float) else step
    return found if -(2**63) <= found < 2**63 else None


def oracle(rows, has_steps, phases, numbers):
    """Each run's points, and how many have no step and gave way to others."""
    runs, without, doubled = {}, 0, 0
    for row in rows:
        run = row["source"] if row["job"] is None else row["job"]
        tag = row["metric"]
        if phases:
            tag = None if row["phase"] is None else f"{tag}/{row['phase']}"
        if tag is None or row["value"] is None:
            continue
        if has_steps:
            step = whole(row["step"])
            if step is None:
                without += 1
                continue
        else:
            step = numbers.get((run, tag), 0)
            numbers[run, tag] = step + 1
        kept = runs.setdefault(run, {})
        doubled += kept.pop((tag, step), None) is not None
        kept[tag, step] = (tag, step, row["timestamp"], row["value"])
    sorted_ = {run: sorted(kept.values(), key=lambda one: one[1]) for run, kept in runs.items()}
    return sorted_, without, doubled


@settings(deadline=None, max_examples=300)
@given(points(), st.booleans(), st.booleans())
def test_runs_are_those_of_the_rules(given, phases, flushes):
    """However rows are cut into batches, and taken at once or batch by batch."""
    kind, parts = given
    runs = Runs(schema(kind), tag="{metric}/{phase}" if phases else "{metric}")
    numbers, without, doubled = {}, 0, 0
    takes = [[part] for part in parts] if flushes else [parts]
    for take in takes:
        for part in take:
            columns = {name: [row[name] for row in part] for name in schema(kind).names}
            arrays = [pa.array(cells, schema(kind).field(n).type) for n, cells in columns.items()]
            runs.add(pa.record_batch(arrays, schema=schema(kind)))
        rows = [row for part in take for row in part]
        expected, more, again = oracle(rows, kind is not None, phases, numbers)
        without, doubled = without + more, doubled + again
        found = {run: repr([tuple(point) for point in points]) for run, points in runs.take()}
        assert found == {run: repr(points) for run, points in expected.items()}
    assert (runs.without_step, runs.doubled) == (without, doubled)
    assert list(runs.take()) == []


def test_points_may_be_read_twice():
    """The sinks look for the first time before they write."""
    runs = Runs(pa.schema({"metric": pa.string(), "value": pa.float64()}))
    rows = 20_000
    runs.add(pa.record_batch({"metric": ["loss"] * rows, "value": [n / 3 for n in range(rows)]}))
    ((run, points),) = runs.take()
    assert (run, len(points)) == ("points", rows)
    assert list(points) == list(points)
    assert [point.step for point in points] == list(range(rows))


def test_a_column_that_does_not_exist_is_refused():
    """By the template that names it."""
    for options in ({"run": "{hots}"}, {"tag": "{metrik}"}, {"step": "stepp"}):
        with pytest.raises(ValueError, match="there is no column"):
            Runs(schema(pa.int64()), **options)


def test_an_unclosed_brace_is_refused():
    """It would make one run of all."""
    for options in ({"run": "{job"}, {"run": "job}"}, {"tag": "{metric}/{phase"}):
        with pytest.raises(ValueError, match="a brace stands alone"):
            Runs(schema(pa.int64()), **options)


def test_a_column_of_texts_is_the_step_axis_only_where_it_is_named():
    """Then the error offers those that can be."""
    texts = schema(pa.string())
    assert Runs(texts).step is None
    told = texts.with_metadata({"metricsieve.step": "step"})
    assert Runs(told.append(pa.field("round", pa.uint32()))).step == "round"
    assert Runs(schema(pa.float64())).step == "step"
    with pytest.raises(ValueError, match=r"'step' holds no numbers.*\(line\).*-c"):
        Runs(texts.append(pa.field("line", pa.uint64())), step="step")


def test_points_are_numbered_behind_those_that_a_tracker_has():
    """Each metric behind its own last one, by the tracker's name; with a step column not at all."""
    for step in (None, "step"):
        runs = Runs(schema(step and pa.int64()), names=Names(str.upper))
        runs.go_on("a.log", {"LOSS": 4}, 7)
        for start in (0, 2):
            rows = [("loss", start), ("acc", start), ("loss", start + 1), ("acc", start + 1)]
            given = {"metric": [metric for metric, _ in rows], "value": [0.5] * 4}
            given |= {"timestamp": [None] * 4, "source": ["a.log"] * 4}
            given |= {"job": [None] * 4, "phase": [None] * 4}
            given |= {} if step is None else {"step": [number for _, number in rows]}
            arrays = [
                pa.array(cells, schema(step and pa.int64()).field(name).type)
                for name, cells in given.items()
            ]
            runs.add(pa.record_batch(arrays, names=list(given)))
            ((run, points),) = runs.take()
            found = sorted((name, number, at) for name, number, at, _ in runs.dated(run, points))
            behind = 0 if step else 5
            assert found == [
                ("ACC", start, 7),
                ("ACC", start + 1, 7),
                ("LOSS", start + behind, 7),
                ("LOSS", start + 1 + behind, 7),
            ]
