"""TensorBoard event files, read back by TensorBoard's own reader and by tbparse."""

import math
import os
import struct

import metricsieve as ms
import numpy
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metricsieve.exceptions import SinkWarning
from metricsieve.sinks import open_sink
from program import run
from tracked import (
    LOSSES,
    METRICS,
    ROWS,
    START,
    expected_runs,
    follow_twice,
    table,
    write_points,
)


def single(value):
    """The value as a float32."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def read(directory):
    """`{run: {tag: [(step, seconds, value)]}}` by TensorBoard's reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for name in sorted(os.listdir(directory)):
        reader = EventAccumulator(os.path.join(directory, name), size_guidance={"scalars": 0})
        reader.Reload()
        found[name] = {
            tag: [(event.step, event.wall_time, repr(event.value)) for event in reader.Scalars(tag)]
            for tag in reader.Tags()["scalars"]
        }
    return found


def expected(rows):
    """What the rules say."""
    found = {}
    for name, points in expected_runs(rows).items():
        found[name] = {}
        for metric, step, value, time in points:
            seconds = 0.0 if time is None else time.timestamp()
            found[name].setdefault(metric, []).append((step, seconds, repr(single(value))))
    return found


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(ROWS, min_size=1, max_size=30))
def test_each_run_has_its_points_by_step(tmp_path_factory, rows):
    """Whatever their order; of doubled steps the last one, NaN and infinities as they are."""
    directory = tmp_path_factory.mktemp("runs")
    write_points(f"tensorboard:{directory}", table(rows))
    names = {"b/c": "b%2Fc", ".d": "%2Ed"}
    told = {names.get(name, name): tags for name, tags in expected(rows).items()}
    assert read(directory) == told


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # tbparse's
def test_tbparse_reads_what_a_scan_found(tmp_path):
    """Every point of a real log of the repository."""
    from tbparse import SummaryReader

    log = "examples/logs/xgboost.log"
    definitions = ms.DefinitionSet.preset("xgboost")
    points = ms.scan(log, definitions).read_all()
    ms.scan(log, definitions).write(f"tensorboard:{tmp_path}")
    frame = SummaryReader(str(tmp_path)).scalars
    found = sorted(zip(frame["tag"], frame["step"], frame["value"], strict=True))
    rows = points.select(["metric", "round", "value"]).to_pylist()
    assert found == sorted((row["metric"], row["round"], single(row["value"])) for row in rows)
    assert len(found) == 360


def test_writing_again_doubles_nothing(tmp_path):
    """The file of a run has one name."""
    rows = [("loss", float(n), START, "a", n) for n in range(10)]
    write_points(f"tensorboard:{tmp_path}", table(rows))
    write_points(f"tensorboard:{tmp_path}", table(rows[:7]))
    assert read(tmp_path) == expected(rows[:7])
    assert len(os.listdir(tmp_path / "a")) == 1


def test_steps_without_a_column_are_numbers_and_fractions_are_thousandths(tmp_path):
    """And it is said."""
    rows = [("loss", 1.0, START, "a", 0.5), ("loss", 2.0, START, "a", 1.25)]
    sink = write_points(f"tensorboard:{tmp_path}/fractions", table(rows, pa.float64()))
    assert [step for step, *_ in read(tmp_path / "fractions")["a"]["loss"]] == [500, 1250]
    assert sink.notes == ["TensorBoard: step is no whole number: steps are thousandths of it"]
    write_points(f"tensorboard:{tmp_path}/numbers", table(rows).drop_columns(["step"]))
    assert [step for step, *_ in read(tmp_path / "numbers")["a"]["loss"]] == [0, 1]


def test_templates_make_runs_and_tags(tmp_path):
    """Of any column."""
    scan = ms.scan(
        {"s": b"eval loss=1 epoch=3 n=7\ntrain loss=2 epoch=4 n=8"},
        {"loss": r"(?P<phase>\w+) loss=(?P<value>\d)"},
        context={"epoch": r"epoch=(\d)", "n": r"n=(\d)"},
    )
    scan.write(f"tensorboard:{tmp_path}?run={{source}}-{{n}}&tag={{metric}}/{{phase}}&step=n")
    found = read(tmp_path)
    steps = {name: {tag: e[0][0] for tag, e in tags.items()} for name, tags in found.items()}
    assert steps == {"s-7": {"loss/eval": 7}, "s-8": {"loss/train": 8}}


def test_a_failure_leaves_the_run_as_it_was(tmp_path):
    """And no half of a file."""
    rows = [("loss", 1.0, START, "a", 0)]
    write_points(f"tensorboard:{tmp_path}", table(rows))
    sink = open_sink(f"tensorboard:{tmp_path}", table(rows).schema)
    sink.write(table([("loss", 9.0, START, "a", 0)]).to_batches()[0])
    sink.abort()
    assert read(tmp_path) == expected(rows)
    assert len(os.listdir(tmp_path / "a")) == 1


def test_follow_writes_for_those_who_watch(tmp_path):
    """At each commit; a restart goes on beside what is there."""
    log, runs = tmp_path / "a.log", tmp_path / "runs"
    arguments = ["follow", str(log), "-m", r"loss=loss=(\d)", "-c", r"step=step (\d+)"]
    arguments += ["-o", f"tensorboard:{runs}?run=mine", "--state", str(tmp_path / "state")]
    arguments += ["--until-idle", "0.2", "--poll", "0.05", "--commit-every", "0"]
    for start in (0, 5):
        with open(log, "a") as file:
            file.write("".join(f"step {n} loss={n}\n" for n in range(start, start + 5)))
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
    found = [(step, value) for step, _, value in read(runs)["mine"]["loss"]]
    assert found == [(n, repr(float(n))) for n in range(10)]


def test_a_follower_without_steps_goes_on_behind_what_there_is(tmp_path):
    """Also of a file that a crash has cut; a whole write of the run replaces all of it."""
    log, runs = tmp_path / "a.log", tmp_path / "runs"
    output = f"tensorboard:{runs}?run=mine"
    follow_twice(log, output, tmp_path / "state")
    at = START.timestamp()
    told = {"loss": [(n, at, repr(float(value))) for n, value in enumerate(LOSSES)]}
    told["%"] = [(n, at, "7.0") for n in range(2)]
    assert read(runs)["mine"] == told
    first, second = sorted((runs / "mine").iterdir())
    whole = second.read_bytes()
    for content, step in ((whole[:-1], 4), (whole + b"\xff" * 12, 5)):
        second.write_bytes(content)
        sink = open_sink(output, ms.scan(b"", METRICS).schema)
        for batch in ms.scan(b"loss=9", METRICS):
            sink.write(batch)
        sink.flush()
        sink.close()
        (newest,) = set((runs / "mine").iterdir()) - {first, second}
        assert newest.name == second.name[:-1] + "2"
        assert read(runs)["mine"]["loss"][-1] == (step, at, "9.0")
        newest.unlink()
    second.rename(f"{second}"[:-1] + "7")
    sink = open_sink(output, ms.scan(b"", METRICS).schema)
    for batch in ms.scan(b"loss=9", METRICS):
        sink.write(batch)
    sink.flush()
    sink.abort()
    assert sorted(one.name[-1] for one in (runs / "mine").iterdir()) == ["0", "7", "8"]
    assert ms.scan(str(log), METRICS).write(output).points == 7
    assert read(runs)["mine"] == told
    assert len(os.listdir(runs / "mine")) == 1


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_values_near_the_largest_float32_are_rounded_to_it(tmp_path):
    """As numpy does; what rounds beyond it is infinite."""
    bound = 2.0**128 - 2.0**103
    values = [3.4028235e38, -3.4028235e38, math.nextafter(bound, 0), bound, -bound, 3.40282e38]
    write_points(
        f"tensorboard:{tmp_path}",
        table([("loss", value, START, "a", n) for n, value in enumerate(values)]),
    )
    found = [float(value) for *_, value in read(tmp_path)["a"]["loss"]]
    assert found == [float(numpy.float32(value)) for value in values]


def test_what_makes_no_sense_says_what_does(tmp_path):
    """Before anything is read, or with the columns that there are."""
    scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
    for url, message in (
        ("tensorboard:", "needs a directory"),
        ("tensorboard:x?runs=1", "has no option runs="),
        (f"tensorboard:{tmp_path}?step=line&tag={{phase}}", "no column 'phase'"),
        (f"tensorboard:{tmp_path}?step=metric", "holds no numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            open_sink(url, scan.schema)


def test_points_without_a_step_are_left_out_and_counted(tmp_path):
    """A row before the first epoch."""
    scan = ms.scan(b"loss=1\nEpoch 2\nloss=2", {"loss": "loss=(.)"}, context={"epoch": "h (.)"})
    with pytest.warns(SinkWarning, match="1 points have no epoch"):
        scan.write(f"tensorboard:{tmp_path}")
    assert [step for step, *_ in read(tmp_path)["%3Cbytes%3A0%3E"]["loss"]] == [2]
