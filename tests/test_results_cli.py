"""The commands `final` and `summary`."""

import json
import math
import os
import pty
import subprocess

import metricsieve as ms
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from program import PROGRAM, run

LOSS = ["-m", r"loss=loss=(\S+)", "-m", r"[b]lr[/b]=lr=(\S+)"]
LOG = """\
2024-03-01T12:00:00Z epoch 1 loss=0.5 lr=0.25
2024-03-01T12:00:01Z epoch 2 loss=0.1
2024-03-01T12:00:02Z epoch 3 loss=nan
"""
OTHER = "epoch 1 loss=0.75\nepoch 2 loss=0.625\n"


@pytest.fixture
def logs(tmp_path):
    """Two jobs; the first one ends in NaN."""
    (tmp_path / "a.log").write_text(LOG)
    (tmp_path / "b.log").write_text(OTHER)
    return tmp_path


def on_terminal(*arguments):
    """What the program shows on a terminal that is wide enough."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200", "TERM": "dumb"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the terminal is gone with the program
            data = b""
        if not data:
            break
        shown += data
    os.close(ours)
    program.communicate(timeout=60)
    return program.returncode, shown.decode()


def test_final_is_what_sagemaker_describes(logs):
    """A JSON list in a pipe: names, last values, times; NaN is a text."""
    done = run("final", logs / "a.log", *LOSS)
    assert (done.returncode, "4 points in 3 of 3 records" in done.stderr) == (0, True)
    assert json.loads(done.stdout) == [
        {"MetricName": "loss", "Value": "NaN", "Timestamp": "2024-03-01T12:00:02+00:00"},
        {"MetricName": "[b]lr[/b]", "Value": 0.25, "Timestamp": "2024-03-01T12:00:00+00:00"},
    ]
    done = run("final", "-", *LOSS, "-q", input="loss=1.19876\n")
    assert (done.stdout, done.stderr) == ('[\n  {"MetricName": "loss", "Value": 1.19876}\n]\n', "")
    done = run("final", "-", *LOSS, "-q", "--float32", input="loss=1.19876\n")
    assert json.loads(done.stdout)[0]["Value"] == 1.1987600326538086
    assert run("final", "-", *LOSS, "-q", input="nothing\n").stdout == "[]\n"


def test_final_needs_one_job(logs):
    """Several are an error that names them; a name or an objective chooses one."""
    done = run("final", logs, *LOSS, "-q")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"several groups by job: '{logs}/a.log', '{logs}/b.log'" in done.stderr
    assert "--group" in done.stderr
    for more in (["--group", logs / "b.log"], ["--objective", "loss"]):
        done = run("final", logs, *LOSS, "-q", *more)
        assert json.loads(done.stdout) == [{"MetricName": "loss", "Value": 0.625}]
    assert run("final", logs, *LOSS, "--maximize").returncode == 2
    done = run("final", logs, *LOSS, "--objective", "acc")
    assert (done.returncode, "'acc' has no point: '[b]lr[/b]', 'loss'" in done.stderr) == (2, True)


def test_a_table_shows_names_as_they_are(logs):
    """Brackets in a name are no markup, escape sequences no commands."""
    done = run("final", logs / "a.log", *LOSS, "-q", "--table")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["metric", "value", "timestamp"],
        ["loss", "nan", "2024-03-01T12:00:02+00:00"],
        ["[b]lr[/b]", "0.25", "2024-03-01T12:00:00+00:00"],
    ]
    points = pa.table({"metric": ["a\x1b]0;b\x07"], "value": [1.0], "source": ["[red]x\x1b[2J"]})
    pq.write_table(points, logs / "points.parquet")
    for command in ("final", "summary"):
        code, shown = on_terminal(command, logs / "points.parquet")
        assert code == 0
        assert r"a\x1b]0;b\x07" in shown
        assert "\x1b]" not in shown and "\x1b[2J" not in shown
    assert r"[red]x\x1b[2J" in shown


def test_a_summary_is_json_lines_in_a_pipe(logs):
    """Every column; groups by any of them."""
    done = run("summary", logs, *LOSS, "-c", r"epoch=epoch (\d)")
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["job"], row["metric"], row["count"], row["nan"]) for row in rows] == [
        (f"{logs}/a.log", "loss", 3, 1),
        (f"{logs}/a.log", "[b]lr[/b]", 1, 0),
        (f"{logs}/b.log", "loss", 2, 0),
    ]
    assert (rows[0]["min"], rows[0]["min_step"], rows[0]["min_line"]) == (0.1, 2, 2)
    assert (rows[0]["last"], rows[0]["mean"], rows[1]["std"]) == ("NaN", pytest.approx(0.3), None)
    done = run("summary", logs, *LOSS, "-c", r"epoch=epoch (\d)", "--by", "step, source", "-q")
    assert len(done.stdout.splitlines()) == 6
    assert run("summary", logs, *LOSS, "--by", "hots").returncode == 2


def test_a_summary_is_a_table_on_a_terminal(logs):
    """Under the name of each job; NaN counted where there is any."""
    code, shown = on_terminal("summary", logs, *LOSS, "-c", r"epoch=epoch (\d)", "-q")
    lines = [line.split() for line in shown.splitlines()]
    heading = [
        "metric",
        "count",
        "nan",
        "first",
        "last",
        "min",
        "min_step",
        "max",
        "max_step",
        "mean",
    ]
    assert code == 0
    assert lines == [
        [f"{logs}/a.log"],
        heading,
        ["loss", "3", "1", "0.5", "nan", "0.1", "2", "0.5", "1", "0.3"],
        ["[b]lr[/b]", "1", "0", "0.25", "0.25", "0.25", "1", "0.25", "1", "0.25"],
        [f"{logs}/b.log"],
        heading,
        ["loss", "2", "0", "0.75", "0.625", "0.625", "2", "0.75", "1", "0.6875"],
    ]


@pytest.mark.parametrize("name", ["s.parquet", "s.arrow", "s.csv", "s.jsonl"])
def test_a_summary_goes_into_files(logs, name):
    """Of every kind that points go into."""
    done = run("summary", logs, *LOSS, "-q", "-o", logs / name, "-o", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 3
    assert (logs / name).stat().st_size > 0
    if name == "s.parquet":
        table = pq.read_table(logs / name)
        assert table.column("max").to_pylist() == [0.5, 0.25, 0.75]
        assert math.isnan(table.column("last").to_pylist()[0])
    missing = run("summary", logs, *LOSS, "-q", "-o", logs / "no" / name)
    assert missing.returncode == 4


@pytest.mark.parametrize("name", ["p.parquet", "p.arrow", "p.feather", "p.csv", "p.jsonl", "parts"])
def test_a_result_is_read_as_it_is(logs, name):
    """A file that scan wrote, or a directory of parts; the same as from the logs."""
    path = logs / name
    scan = ms.scan(logs / "a.log", {"loss": r"loss=(\S+)", "[b]lr[/b]": r"lr=(\S+)"})
    if name == "parts":
        path.mkdir()
        scan.write(path / "part-0.parquet")
    else:
        scan.write(path)
    for command in ("final", "summary"):
        done = run(command, path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == run(command, logs / "a.log", *LOSS, "-q").stdout


def test_what_is_read_must_be_clear(logs):
    """Definitions are for logs; results come alone; logs need definitions."""
    ms.scan(logs / "a.log", {"loss": r"loss=(\S+)"}).write(logs / "p.parquet")
    for arguments, why in (
        ([logs / "p.parquet", *LOSS], "is a result, not a log"),
        ([logs / "p.parquet", logs / "a.log"], "is a result, not a log"),
        ([logs / "a.log"], "name definitions with -d"),
        ([logs / "x.csv", logs / "y.csv"], "name one result"),
    ):
        done = run("final", *arguments)
        assert done.returncode == 2
        assert why in " ".join(done.stderr.split())
    # With definitions a name that could be a result's is a log's.
    (logs / "log.jsonl").write_text("loss=0.5\n")
    assert json.loads(run("final", logs / "log.jsonl", *LOSS, "-q").stdout)[0]["Value"] == 0.5


def test_exit_codes_are_those_of_scan(logs):
    """Warnings with --strict, missing and damaged inputs, a broken log."""
    assert run("final", logs / "gone.parquet").returncode == 3
    assert run("final", logs / "gone.log", *LOSS).returncode == 3
    (logs / "bad.parquet").write_text("nothing")
    done = run("summary", logs / "bad.parquet")
    assert (done.returncode, "bad.parquet" in done.stderr) == (3, True)
    assert run("final", logs / "b.log", *LOSS, "-q").returncode == 0
    done = run("final", logs / "b.log", *LOSS, "--strict", "--report", logs / "report.json")
    assert done.returncode == 1
    assert "'[b]lr[/b]' has no point" in done.stderr
    assert json.loads((logs / "report.json").read_text())["records"] == 2
    (logs / "cut.gz").write_bytes(b"\x1f\x8b\x08\x00")
    assert run("summary", logs / "a.log", logs / "cut.gz", *LOSS, "-q").returncode == 3


@pytest.mark.parametrize("command", ["final", "summary"])
def test_the_example_of_the_help_works(command, tmp_path):
    """As it stands there, in a shell."""
    shown = " ".join(run(command, "--help", env={**os.environ, "COLUMNS": "300"}).stdout.split())
    example = shown.partition("Example: ")[2].replace("metricsieve", " ".join(PROGRAM))
    done = subprocess.run(
        example, shell=True, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True
    )
    assert '"a"' in done.stdout
    assert "0.25" in done.stdout
