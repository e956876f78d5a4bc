"""Offline runs of Weights & Biases, read back by W&B's own reader, which is a program in Go."""

import gzip
import json
import math
import os
import resource
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import metricsieve as ms
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metricsieve.exceptions import SinkError, SinkWarning
from metricsieve.sinks import open_sink
from program import run
from servers import FaultServer
from tracked import (
    EPOCH,
    LOSSES,
    ROWS,
    START,
    digits,
    expected_runs,
    follow_twice,
    table,
    write_points,
)

wandb_util = pytest.importorskip("wandb.util")


def inspect(file):
    """The records of a file as `wandb leet inspect --json` prints them."""
    command = [wandb_util.get_core_path(), "leet", "inspect", "--json", "--no-observability"]
    command += ["--run-file", str(file), str(file.parent.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    # Of -0.0 the reader makes -0, which is no int.
    return [json.loads(line, parse_int=float) for line in done.stdout.splitlines()]


def read(directory):
    """`{run: {step: (microseconds, {name: value})}}`, and the records of each run."""
    found, records = {}, {}
    for file in sorted(Path(directory).glob("offline-run-*/*.wandb")):
        lines = inspect(file)
        about = next(line["run"] for line in lines if line["type"] == "run")
        name = about["display_name"]
        assert name not in found, "a run is there once"
        assert file.parent.name.endswith(f"-{about['run_id']}")
        assert file.name == f"run-{about['run_id']}.wandb"
        found[name], records[name] = {}, lines
        for line in lines:
            if line["type"] == "history":
                items = line["history"]["item"]
                step = items.pop("_step")
                assert step == line["history"]["step"].get("num", 0)
                assert step > max(found[name], default=-1), "steps rise"
                micros = round(items.pop("_timestamp") * 1e6)
                items.pop("_runtime")
                values = {key: repr(float(value)) for key, value in items.items()}
                found[name][step] = (micros, values)
    return found, records


def micros(time):
    """Microseconds since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1)


def expected(rows):
    """What the rules say."""
    found = {}
    for name, points in expected_runs(rows).items():
        steps = found[name] = {}
        for metric, step, value, time in points:
            _, values = steps.get(step, (0, {}))
            last = 0 if time is None else micros(time)
            steps[step] = (last, values | {metric: repr(float(value))})
    return found


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(ROWS, min_size=1, max_size=30))
def test_each_run_has_its_points_by_step(tmp_path_factory, rows):
    """Whatever their order; NaN, infinities and times as they are."""
    directory = tmp_path_factory.mktemp("runs")
    write_points(f"wandb:{directory}", table(rows))
    assert read(directory)[0] == expected(rows)


def test_an_offline_run_equals_the_scans_table(tmp_path):
    """Every point of a log with times, written by the command."""
    log, runs = tmp_path / "a.log", tmp_path / "runs"
    times = [(START + timedelta(milliseconds=250 * n)).isoformat() for n in range(2_000)]
    lines = [
        f"{time} algo-1 step {n}: loss={1 / (n + 3)!r}" + f" acc={n / 7!r}" * (n % 10 == 0)
        for n, time in enumerate(times)
    ]
    log.write_text("\n".join(lines) + "\n")
    definitions = {"train:loss": r"loss=(\S+)", "acc": r"acc=(\S+)"}
    points = ms.scan(str(log), definitions, context={"step": r"step (\d+)"}).read_all().to_pylist()
    names = ("metric", "value", "timestamp", "source", "step")
    rows = [tuple(row[name] for name in names) for row in points]
    assert len(rows) == 2_200 and not any(None in row for row in rows)
    arguments = [one for pair in definitions.items() for one in ("-m", "=".join(pair))]
    output = f"wandb:{runs}?project=mine&entity=me"
    done = run("scan", str(log), *arguments, "-c", r"step=step (\d+)", "-o", output)
    assert done.returncode == 0, done.stderr
    found, records = read(runs)
    assert found == expected(rows)
    ((name, (_, about, *_, summary, end)),) = records.items()
    about = about["run"]
    assert (about["project"], about["entity"], about["tags"]) == ("mine", "me", ["metricsieve"])
    assert about["start_time"] == "2026-11-25T10:00:00Z"
    assert about["config"]["update"]["metricsieve"]["run"] == name == rows[0][3]
    last = {name: value for name, value, *_ in rows}
    values = summary["summary"]["update"]
    assert {name: values[name] for name in last} == last
    assert (values["_step"], values["_runtime"]) == (1999, 1999 / 4)
    assert (end["type"], end["exit"]) == ("exit", {"exit_code": 0, "runtime": 499})
    (home,) = runs.iterdir()
    assert home.name.startswith("offline-run-20261125_100000-")


def sync(server, directory, home):
    """What `wandb sync` says, and the rows of history that it uploads, by their number."""
    bucket = {"id": "x", "project": {"name": "metricsieve", "entity": {"name": "me"}}}
    answer = json.dumps({"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}})
    rows = {}

    def take(request):
        if request.path.endswith("/file_stream"):
            is_packed = request.headers.get("Content-Encoding") == "gzip"
            body = json.loads(gzip.decompress(request.body) if is_packed else request.body)
            history = body.get("files", {}).get("wandb-history.jsonl", {"content": []})
            for number, line in enumerate(history["content"], history.get("offset", 0)):
                rows[number] = json.loads(line)
        request.send(200, answer.encode())

    server.answer = take
    environment = os.environ | {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "0" * 40}
    environment |= {"WANDB_ERROR_REPORTING": "false", "HOME": str(home)}
    command = [sys.executable, "-m", "wandb", "sync", str(directory)]
    done = subprocess.run(
        command, env=environment, cwd=home, capture_output=True, text=True, check=True
    )
    return done.stderr, rows


def test_wandb_uploads_what_is_there_and_again_what_changed(tmp_path):
    """W&B's own client, to a server that takes everything; from the first row each time."""
    runs = tmp_path / "runs"
    points = [("loss", n / 7, START + timedelta(seconds=n), "a", 2 * n) for n in range(50)]
    with FaultServer() as server:
        for count in (50, 40):
            write_points(f"wandb:{runs}", table(points[:count]))
            told, rows = sync(server, runs, tmp_path)
            assert "Finished syncing" in told
            assert rows == {
                number: {
                    "_step": step,
                    "_timestamp": micros(time) / 1e6,
                    "_runtime": float(number),
                    "loss": value,
                }
                for number, (_, value, time, _, step) in enumerate(points[:count])
            }
        write_points(f"wandb:{runs}", table(points[:40]))
        told, rows = sync(server, runs, tmp_path)
        assert "Skipped 1 synced run(s)" in told and rows == {}


def test_writing_again_replaces_the_run_and_the_same_points_leave_it(tmp_path):
    """Also those with an earlier time; W&B's mark of an upload stays where nothing changed."""
    rows = [("loss", float(n), START + timedelta(seconds=n), "a", n) for n in range(3_000)]
    write_points(f"wandb:{tmp_path}", table(rows))
    (file,) = tmp_path.glob("*/*.wandb")
    mark, before = Path(f"{file}.synced"), (file.stat().st_ino, file.stat().st_mtime_ns)
    mark.touch()
    write_points(f"wandb:{tmp_path}", table(rows[::-1]))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == before and mark.exists()
    earlier = [("loss", 1.5, START - timedelta(days=1), "a", 0), *rows[7:]]
    write_points(f"wandb:{tmp_path}", table(earlier))
    assert read(tmp_path)[0] == expected(earlier)
    assert list(tmp_path.glob("*/*")) == [file]


def test_records_of_any_length_are_read(tmp_path):
    """Around the blocks of 32 KiB, and over several of them."""
    rows = [("x" * length, 0.5, START, f"run{length}", 0) for length in range(32_400, 32_700, 7)]
    rows += [(f"{n}" * 997, float(n), START, "wide", 0) for n in range(200)]
    write_points(f"wandb:{tmp_path}", table(rows))
    assert read(tmp_path)[0] == expected(rows)


def test_times_of_a_step_names_of_wandb_and_steps_below_0(tmp_path):
    """What a row cannot hold is told."""
    rows = [
        ("_step", 1.0, START, "a", 0),
        ("metric_step", 2.0, START + timedelta(seconds=9), "a", 0),
        ("loss", 3.0, None, "a", 0),
        ("loss", 4.0, START, "a", -1),
        ("_own", math.nan, None, "b/\u00e9", 2),
    ]
    sink = write_points(f"wandb:{tmp_path}", table(rows))
    at = micros(START) + 9_000_000
    changed = f"metric_step_{digits('_step')}"
    assert read(tmp_path)[0] == {
        "a": {0: (at, {changed: "1.0", "metric_step": "2.0", "loss": "3.0"})},
        "b/\u00e9": {2: (0, {"_own": "nan"})},
    }
    assert sink.notes == [
        f"W&B: 1 name changed, it does not take them as they are: _step is {changed}",
        "W&B: 1 points have a step below 0 and were left out",
        "W&B: 1 points have the time of the last one of their step, as a row has one",
    ]


def test_a_failure_leaves_the_runs_as_they_were(tmp_path):
    """And no half of a file, nor its directory."""
    rows = [("loss", 1.0, START, "a", 0)]
    write_points(f"wandb:{tmp_path}", table(rows))
    before = sorted(tmp_path.rglob("*"))
    more = table([("loss", 9.0, START, name, 0) for name in ("a", "b", "c")])
    sink = open_sink(f"wandb:{tmp_path}", more.schema)
    sink.write(more.to_batches()[0])
    sink.abort()
    assert sorted(tmp_path.rglob("*")) == before
    sink = open_sink(f"wandb:{tmp_path}", more.schema)
    sink.write(more.to_batches()[0])
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        with pytest.raises(SinkError, match="File too large"):
            sink.close()
        sink.abort()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert sorted(tmp_path.rglob("*")) == before
    assert read(tmp_path)[0] == expected(rows)


def test_every_new_directory_is_on_the_disk(tmp_path, monkeypatch):
    """Else a power loss could take the whole file with the name of its directory."""
    synced, fsync = set(), os.fsync

    def record(descriptor):
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    write_points(f"wandb:{tmp_path}/new/runs", table([("loss", 1.0, START, "a", 0)]))
    (file,) = tmp_path.glob("new/runs/*/*.wandb")
    assert {str(one) for one in file.parents[:4]} <= synced


@pytest.mark.parametrize("has_steps", [True, False])
def test_follow_writes_at_each_commit_and_goes_on_after_a_restart(tmp_path, has_steps):
    """With what the file of the run has; without steps, behind it."""
    log, runs = tmp_path / "a.log", tmp_path / "runs"
    arguments = ["follow", str(log), "-m", r"loss=loss=(\d)", "-m", r"acc=acc=(\d)"]
    arguments += ["-c", r"step=step (\d+)"] * has_steps
    arguments += ["-o", f"wandb:{runs}?run=mine", "--state", str(tmp_path / "state")]
    arguments += ["--until-idle", "0.2", "--poll", "0.05", "--commit-every", "0"]
    for start in (0, 5):
        with open(log, "a") as file:
            file.write("".join(f"step {n} loss={n}\n" for n in range(start, start + 5)))
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
    with open(log, "a") as file:
        file.write("step 9 acc=1\n")
    assert run(*arguments).returncode == 0
    told = {n: {"loss": repr(float(n))} for n in range(10)}
    told[9 if has_steps else 0]["acc"] = "1.0"
    found = {step: values for step, (_, values) in read(runs)[0]["mine"].items()}
    assert found == told


def test_a_follower_goes_on_with_the_last_time_and_the_same_names(tmp_path):
    """Also where the other metric of a name comes after the restart alone."""
    log, runs = tmp_path / "a.log", tmp_path / "runs"
    follow_twice(log, f"wandb:{runs}?run=mine", tmp_path / "state")
    told = {n: {"loss": repr(float(value))} for n, value in enumerate(LOSSES)}
    for n in range(2):
        told[n]["%"] = "7.0"
    assert read(runs)[0]["mine"] == {n: (micros(START), row) for n, row in told.items()}
    own = table([("metric_step", 1.0, START, "a", 0), ("_step", 2.0, None, "a", 1)])
    for start in range(2):
        sink = open_sink(f"wandb:{runs}", own.schema)
        sink.write(own.slice(start, 1).to_batches()[0])
        sink.flush()
        sink.close()
    assert read(runs)[0]["a"] == {
        0: (micros(START), {"metric_step": "1.0"}),
        1: (micros(START), {f"metric_step_{digits('_step')}": "2.0"}),
    }


def test_a_follower_does_not_go_on_with_a_damaged_file(tmp_path):
    """It says what to do, and leaves the file."""
    points = table([("loss", float(n), START, "a", n) for n in range(9)])
    write_points(f"wandb:{tmp_path}", points)
    (file,) = tmp_path.glob("*/*.wandb")
    whole = file.read_bytes()
    for broken in (whole[:-1], whole[:90] + b"\0" + whole[91:], b"text"):
        file.write_bytes(broken)
        sink = open_sink(f"wandb:{tmp_path}", points.schema)
        sink.write(points.to_batches()[0])
        with pytest.raises(SinkError, match="move it away"):
            sink.flush()
        sink.abort()
        assert file.read_bytes() == broken


def test_what_makes_no_sense_says_what_does(tmp_path):
    """Before anything is read."""
    scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
    for url, message in (
        ("wandb:", "needs a directory"),
        ("wandb:x?name=1", "has no option name="),
        ("wandb:x?project=a/b", "in the name of a project"),
        (f"wandb:{tmp_path}?step=metric", "holds no numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            open_sink(url, scan.schema)
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="a part of the path is a file"):
        open_sink(f"wandb:{tmp_path / 'file'}", scan.schema)


def test_points_without_a_step_are_left_out_and_counted(tmp_path):
    """A row before the first epoch."""
    scan = ms.scan(b"loss=1\nEpoch 2\nloss=2", {"loss": "loss=(.)"}, context={"epoch": "h (.)"})
    with pytest.warns(SinkWarning, match="W&B: 1 points have no epoch"):
        scan.write(f"wandb:{tmp_path}")
    assert read(tmp_path)[0] == {"<bytes:0>": {2: (0, {"loss": "2.0"})}}
