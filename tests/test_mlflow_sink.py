"""MLflow runs, in a real store on SQLite, read back by MLflow's client."""

import math
import os
import shutil
from datetime import timedelta

import metricsieve as ms
import pytest
from metricsieve.exceptions import SinkError, SinkWarning
from metricsieve.sinks import open_sink
from program import run
from tracked import EPOCH, LOSSES, METRICS, START, digits, follow_twice, table, write_points

# MLflow's and SQLAlchemy's own.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database that MLflow has set up, which takes it some seconds."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(empty_store, tmp_path):
    """The address of an empty store."""
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_store, path)
    return f"sqlite:///{path}"


def read(store, experiment="metricsieve"):
    """`{run: {key: [(step, milliseconds, value)]}}`, each in the order of the steps."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=store)
    found = {}
    for one in client.search_runs([client.get_experiment_by_name(experiment).experiment_id]):
        assert one.info.run_name not in found, "a run is there once"
        assert one.info.status == "FINISHED"
        found[one.info.run_name] = {
            key: sorted(
                (m.step, m.timestamp, repr(m.value))
                for m in client.get_metric_history(one.info.run_id, key)
            )
            for key in one.data.metrics
        }
    return found


def millis(time):
    """Milliseconds since 1970."""
    return round(time.timestamp() * 1000)


def test_each_run_has_its_points_and_writing_again_doubles_nothing(store):
    """More than a request holds; original times and steps, whatever their order."""
    rows = [
        (
            ("loss", "train:acc")[n % 2],
            n / 7,
            START + timedelta(seconds=n),
            ("a", None)[n % 3 == 0],
            9999 - n,
        )
        for n in range(5_000)
    ]
    told = {}
    for metric, value, time, job, step in rows:
        points = told.setdefault(job or "x.log", {}).setdefault(metric, [])
        points.append((step, millis(time), repr(value)))
    told = {
        name: {key: sorted(points) for key, points in keys.items()} for name, keys in told.items()
    }
    assert write_points(f"mlflow:{store}", table(rows)).logged == 5_000
    assert read(store) == told
    again = write_points(f"mlflow:{store}", table(rows))
    assert (again.logged, again.known) == (0, 5_000)
    assert read(store) == told
    more = [("loss", 1.5, START, "a", 20_000)]
    assert write_points(f"mlflow:{store}", table(rows[:100] + more)).logged == 1
    told["a"]["loss"].append((20_000, millis(START), "1.5"))
    assert read(store) == told


def test_nan_and_infinities_and_points_without_a_time(store):
    """As MLflow keeps them: an infinity is the largest float."""
    rows = [
        ("loss", 1.0, None, "a", 0),
        ("loss", math.nan, START, "a", 1),
        ("loss", math.inf, None, "a", 2),
        ("loss", -math.inf, None, "a", 3),
        ("loss", None, None, "a", 4),
    ]
    largest = 1.7976931348623157e308
    at = millis(START)
    for _ in range(2):
        write_points(f"mlflow:{store}", table(rows))
        found = read(store)["a"]["loss"]
        assert found == [
            (0, 0, "1.0"),
            (1, at, "nan"),
            (2, at, repr(largest)),
            (3, at, repr(-largest)),
        ]


def test_names_that_mlflow_does_not_take_are_changed_and_told(store):
    """Each to one of its own, whichever comes first and whichever others there are."""
    rows = [(name, 1.0, START, 'it\'s "a" %', 0) for name in ("acc%", "acc#", "acc_", "ok:/ -._")]
    assert write_points(f"mlflow:{store}", table(rows[2:])).notes == []
    sink = write_points(f"mlflow:{store}", table(rows))
    changed = [f"acc__{digits(name)}" for name in ("acc%", "acc#")]
    assert read(store) == {
        'it\'s "a" %': {key: [(0, millis(START), "1.0")] for key in (*changed, "acc_", "ok:/ -._")}
    }
    assert sink.notes == [
        f"MLflow: 2 names changed, it does not take them as they are: acc% is {changed[0]}"
    ]
    assert write_points(f"mlflow:{store}", table(rows[::-1])).logged == 0


def test_names_that_are_no_path_are_changed_too(store):
    """MLflow may keep a metric in a file of its name."""
    odd = ["val/", "/loss", "a//b", "..", "../x", "...", ".", "a/./b", "x" * 251, "a\nb"]
    rows = [(name, float(n), START, "a", 0) for n, name in enumerate(odd)]
    write_points(f"mlflow:{store}", table(rows))
    found = {key[-9:]: points for key, points in read(store)["a"].items()}
    assert found == {
        f"_{digits(name)}": [(0, millis(START), repr(value))] for name, value, *_ in rows
    }


def test_points_without_a_time_are_known_whatever_came_before_them(store):
    """The time that they borrow depends on other points."""
    rows = [
        ("loss", 1.0, START, "a", 1),
        ("acc", 0.5, START + timedelta(seconds=5), "a", 1),
        ("loss", 2.0, None, "a", 2),
    ]
    write_points(f"mlflow:{store}", table([rows[0], rows[2]]))
    assert write_points(f"mlflow:{store}", table(rows)).logged == 1
    at = millis(START)
    told = {"loss": [(1, at, "1.0"), (2, at, "2.0")], "acc": [(1, at + 5000, "0.5")]}
    assert read(store) == {"a": told}


def test_points_of_before_1970_are_left_out_and_counted(store):
    """MLflow refuses them, and with them others of their request."""
    rows = [("loss", float(n), START, "a", n) for n in range(1_500)]
    rows[700] = ("loss", 700.0, EPOCH - timedelta(microseconds=1), "a", 700)
    rows[701] = ("loss", 701.0, None, "a", 701)
    sink = write_points(f"mlflow:{store}", table(rows))
    told = [(n, millis(START), repr(float(n))) for n in range(1_500) if n != 700]
    told[700] = (701, 0, "701.0")
    assert read(store) == {"a": {"loss": told}}
    assert sink.notes == ["MLflow: 1 points are of before 1970 and were left out"]


def test_the_points_of_a_real_log_are_all_there(store):
    """By the command, in an experiment of its own."""
    log = "examples/logs/xgboost.log"
    done = run("scan", log, "-p", "xgboost", "-o", f"mlflow:{store}?experiment=mine&run=first")
    assert done.returncode == 0, done.stderr
    points = ms.scan(log, ms.DefinitionSet.preset("xgboost")).read_all().to_pylist()
    told = {}
    for row in points:
        told.setdefault(row["metric"], []).append((row["round"], 0, repr(row["value"])))
    assert read(store, "mine") == {"first": {key: sorted(rows) for key, rows in told.items()}}


def test_follow_logs_at_each_commit_and_goes_on_after_a_restart(store, tmp_path):
    """What a crash would have sent again is told by the history."""
    log, state = tmp_path / "a.log", tmp_path / "state"
    arguments = ["follow", str(log), "-m", r"loss=loss=(\d)", "-c", r"step=step (\d+)"]
    arguments += ["-o", f"mlflow:{store}?run=mine", "--until-idle", "0.2", "--poll", "0.05"]
    arguments += ["--commit-every", "0"]
    for start in (0, 5):
        with open(log, "a") as file:
            file.write("".join(f"step {n} loss={n}\n" for n in range(start, start + 5)))
        done = run(*arguments, "--state", str(state))
        assert done.returncode == 0, done.stderr
    assert run(*arguments, "--state", str(tmp_path / "other")).returncode == 0
    assert read(store)["mine"]["loss"] == [(n, 0, repr(float(n))) for n in range(10)]


def test_a_follower_without_steps_goes_on_behind_what_there_is(store, tmp_path):
    """Points that equal earlier ones are others; written again as a whole they are known."""
    log = tmp_path / "a.log"
    output = f"mlflow:{store}?run=mine"
    follow_twice(log, output, tmp_path / "state")
    at = millis(START)
    told = {"loss": [(n, at, repr(float(value))) for n, value in enumerate(LOSSES)]}
    told["%"] = [(n, at, "7.0") for n in range(2)]
    assert ms.scan(str(log), METRICS).write(output).points == 7
    found = read(store)["mine"]
    found["%"] = found.pop(f"__{digits('%')}")
    assert found == told


def test_a_store_that_cannot_be_used_is_a_sink_error(monkeypatch):
    """With its name and without its password."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    schema = table([("loss", 1.0, START, "a", 0)]).schema
    for url in ("mlflow:http://me:secret@127.0.0.1:9", "mlflow:sqlite:////proc/no/such.db"):
        with pytest.raises(SinkError, match="mlflow:") as failed:
            open_sink(url, schema)
        assert "secret" not in str(failed.value)
    with pytest.raises(ValueError, match="has no option name="):
        open_sink("mlflow:?name=x", schema)


def test_what_was_left_out_is_a_warning(store):
    """A point before the first step."""
    scan = ms.scan(b"loss=1\nEpoch 2\nloss=2", {"loss": "loss=(.)"}, context={"epoch": "h (.)"})
    with pytest.warns(SinkWarning, match="1 points have no epoch"):
        scan.write(f"mlflow:{store}")
    assert os.path.exists(store.removeprefix("sqlite:///"))
    assert read(store) == {"<bytes:0>": {"loss": [(2, 0, "2.0")]}}
