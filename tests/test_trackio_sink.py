"""Runs of trackio, read back by trackio's own storage and its command."""

import importlib.util
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta

import metricsieve as ms
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metricsieve.exceptions import SinkError, SinkWarning
from metricsieve.sinks import open_sink
from program import run
from tracked import (
    EPOCH,
    LOSSES,
    METRICS,
    ROWS,
    START,
    expected_runs,
    follow_twice,
    table,
    write_points,
)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("trackio") is None, reason="trackio is not installed"
)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """The directory of trackio's files, which it looks up once, when it is imported."""
    path = tmp_path_factory.mktemp("trackio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(path))
        from trackio.utils import TRACKIO_DIR

        assert path == TRACKIO_DIR
        yield path


@pytest.fixture
def project(request):
    """A project of the test's own."""
    return "".join(one for one in request.node.name if one.isalnum())


def read(project):
    """`{run: {name: [(step, time, value)]}}`, each in trackio's order."""
    from trackio.sqlite_storage import SQLiteStorage

    found = {}
    for name in SQLiteStorage.get_runs(project):
        assert name not in found, "a run is there once"
        found[name] = {}
        for row in SQLiteStorage.get_logs(project, name):
            step, time = row.pop("step"), datetime.fromisoformat(row.pop("timestamp"))
            ((metric, value),) = row.items()
            found[name].setdefault(metric, []).append((step, time, repr(value)))
    return found


def expected(rows):
    """What the rules say; each metric by time, as trackio reads it."""
    found = {}
    for name, points in expected_runs(rows).items():
        metrics = {}
        for metric, step, value, time in points:
            metrics.setdefault(metric, []).append((step, time or EPOCH, repr(float(value))))
        found[name] = {
            metric: sorted(points, key=lambda point: point[1]) for metric, points in metrics.items()
        }
    return found


NUMBER = iter(range(1_000_000))


@settings(deadline=None, max_examples=20)
@given(rows=st.lists(ROWS, min_size=1, max_size=30))
def test_each_run_has_its_points_once(rows):
    """Whatever their order, however often they are written; NaN and infinities as they are."""
    project = f"property{next(NUMBER)}"
    for _ in range(2):
        write_points(f"trackio:{project}", table(rows))
        assert read(project) == expected(rows)


def test_a_run_equals_the_scans_table(project, tmp_path, home):
    """Every point of a log with times, by both commands."""
    log = tmp_path / "a.log"
    times = [(START + timedelta(milliseconds=250 * n)).isoformat() for n in range(500)]
    lines = [f"{time} algo-1 step {n}: loss={1 / (n + 3)!r}" for n, time in enumerate(times)]
    log.write_text("\n".join(lines) + "\n")
    points = ms.scan(str(log), {"loss": r"loss=(\S+)"}, context={"step": r"step (\d+)"})
    rows = points.read_all().to_pylist()
    told = [(row["step"], row["timestamp"], row["value"]) for row in rows]
    assert len(told) == 500 and not any(None in row for row in told)
    arguments = ["scan", str(log), "-m", r"loss=loss=(\S+)", "-c", r"step=step (\d+)"]
    for _ in range(2):
        done = run(*arguments, "-o", f"trackio:{project}?run=first")
        assert done.returncode == 0, done.stderr
    command = [os.path.join(os.path.dirname(sys.executable), "trackio"), "get", "metric"]
    command += ["--project", project, "--run", "first", "--metric", "loss", "--json"]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert told == [
        (one["step"], datetime.fromisoformat(one["timestamp"]), one["value"])
        for one in shown["values"]
    ]
    assert (home / f"{project}.db").exists()


def test_a_run_is_tagged_and_more_points_join_it(project):
    """With what they are of."""
    import trackio

    rows = [("loss", float(n), START + timedelta(seconds=n), "a", n) for n in range(10)]
    write_points(f"trackio:{project}", table(rows[:7]))
    write_points(f"trackio:{project}", table(rows))
    assert read(project) == expected(rows)
    (found,) = trackio.Api().runs(project)
    assert found.config["metricsieve"]["run"] == "a"


def test_points_that_differ_in_their_times_alone_are_two(project):
    """As those of two attempts at a job; without a time they are one, whatever came before."""
    times = (START, START + timedelta(days=1))
    for time in times:
        write_points(
            f"trackio:{project}", table([("loss", 1.0, time, "a", 0), ("acc", 2.0, None, "a", 0)])
        )
    assert read(project) == {
        "a": {"loss": [(0, time, "1.0") for time in times], "acc": [(0, START, "2.0")]}
    }


def test_names_of_trackio_are_changed_and_told(project):
    """Each to the same one, whichever others there are."""
    rows = [(name, 1.0, START, "a", 0) for name in ("step", "__step", "train/loss é")]
    write_points(f"trackio:{project}", table(rows[1:]))
    sink = write_points(f"trackio:{project}", table(rows))
    point = [(0, START, "1.0")]
    assert read(project) == {"a": {"__step": point, "____step": point, "train/loss é": point}}
    assert sink.notes == [
        "trackio: 2 names changed, it does not take them as they are: step is __step"
    ]


def test_follow_logs_at_each_commit_and_goes_on_after_a_restart(project, tmp_path):
    """What a crash would have sent again is passed over."""
    log, state = tmp_path / "a.log", tmp_path / "state"
    arguments = ["follow", str(log), "-m", r"loss=loss=(\d)", "-c", r"step=step (\d+)"]
    arguments += ["-o", f"trackio:{project}?run=mine", "--until-idle", "0.2", "--poll", "0.05"]
    arguments += ["--commit-every", "0"]
    for start in (0, 5):
        with open(log, "a") as file:
            file.write("".join(f"step {n} loss={n}\n" for n in range(start, start + 5)))
        done = run(*arguments, "--state", str(state))
        assert done.returncode == 0, done.stderr
    assert run(*arguments, "--state", str(tmp_path / "other")).returncode == 0
    assert read(project)["mine"]["loss"] == [(n, EPOCH, repr(float(n))) for n in range(10)]


def test_a_follower_without_steps_goes_on_behind_what_there_is(project, tmp_path):
    """Points that equal earlier ones are others; written again as a whole they are known."""
    log = tmp_path / "a.log"
    output = f"trackio:{project}?run=mine"
    follow_twice(log, output, tmp_path / "state")
    assert ms.scan(str(log), METRICS).write(output).points == 7
    told = {"loss": [(n, START, repr(float(value))) for n, value in enumerate(LOSSES)]}
    told["%"] = [(n, START, "7.0") for n in range(2)]
    assert read(project)["mine"] == told


def test_a_file_that_is_no_database_is_a_sink_error(project, home):
    """And stays as it is."""
    (home / f"{project}.db").write_text("something else")
    points = table([("loss", 1.0, START, "a", 0)])
    sink = open_sink(f"trackio:{project}", points.schema)
    sink.write(points.to_batches()[0])
    with pytest.raises(SinkError, match=f"{project}.db"):
        sink.close()
    sink.abort()
    assert (home / f"{project}.db").read_text() == "something else"


def test_what_makes_no_sense_says_what_does():
    """Before anything is read, or with what trackio says."""
    scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
    for url, message in (
        ("trackio:x?name=1", "has no option name="),
        ("trackio:some/where", "TRACKIO_DIR"),
        ("trackio:x?step=metric", "holds no numbers"),
        ("trackio:x_configs", "not allowed"),
    ):
        with pytest.raises(ValueError, match=message):
            open_sink(url, scan.schema)


def test_points_without_a_step_are_left_out_and_counted(project):
    """A row before the first epoch."""
    scan = ms.scan(b"loss=1\nEpoch 2\nloss=2", {"loss": "loss=(.)"}, context={"epoch": "h (.)"})
    with pytest.warns(SinkWarning, match="trackio: 1 points have no epoch"):
        scan.write(f"trackio:{project}")
    assert read(project) == {"<bytes:0>": {"loss": [(2, EPOCH, "2.0")]}}
