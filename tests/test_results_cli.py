"""The commands that make something of points: `final`, `summary`, `wide` and their like."""

import io
import json
import math
import os
import pty
import subprocess

import metricsieve as ms
import pandas as pd
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
    """What the program shows on a terminal; a dumb one is 80 columns wide."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "dumb"},
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
    done = run("final", "-", *LOSS, "-q", "--table", input="nothing\n")
    assert done.stdout.split() == ["metric", "value", "timestamp"]
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


EPOCH = ["-c", r"epoch=epoch (\d)"]
RESTARTED = """\
2024-03-01T12:00:00Z epoch 1 loss=4
2024-03-01T12:00:20Z epoch 2 loss=3
2024-03-01T12:00:40Z epoch 3 loss=1
2024-03-01T12:01:20Z epoch 2 loss=3.5
2024-03-01T12:01:40Z epoch 3 loss=2.5
"""


def rows_of(*arguments):
    """The values of the JSON lines in a pipe."""
    done = run(*arguments, "-q")
    assert (done.returncode, done.stderr) == (0, "")
    return [list(json.loads(line).values()) for line in done.stdout.splitlines()]


def test_wide_has_a_column_for_each_metric(logs):
    """From logs or a result; in a pipe as in files; what gave way is told, and is strict's."""
    log, long = logs / "a.log", logs / "p.parquet"
    log.write_text(LOG + "epoch 3 loss=7\n")
    definitions = {"loss": r"loss=(\S+)", "[b]lr[/b]": r"lr=(\S+)"}
    ms.scan(log, definitions, context={"epoch": r"h (\d)"}).write(long)
    files = {logs / "w.csv": pd.read_csv, logs / "w.parquet": pd.read_parquet}
    given = [part for file in [*files, "-"] for part in ("-o", file)]
    for source, code in (([log, *LOSS, *EPOCH], 0), ([long, "--strict"], 1)):
        done = run("wide", *source, *given)
        told = "warning: 1 point came again with the same job, epoch: the last one counts"
        assert (done.returncode, told in done.stderr) == (code, True)
        frames = [read(file) for file, read in files.items()]
        for frame in (*frames, pd.read_json(io.StringIO(done.stdout), lines=True)):
            assert frame.columns.tolist() == ["job", "epoch", "loss", "[b]lr[/b]"]
            assert frame.fillna(-1).to_numpy().tolist() == [
                [str(log), 1, 0.5, 0.25],
                [str(log), 2, 0.1, -1],
                [str(log), 3, 7, -1],
            ]
        for file in files:
            file.unlink()


def test_wide_by_other_columns(logs):
    """One group, several, another axis, none; with wrong ones the error says which there are."""
    given = ["wide", logs, *LOSS]
    one = [*given, *EPOCH, "--group", f"{logs}/b.log"]
    for by, columns in (([], 1), (["--by", ""], 0)):
        assert [row[columns:] for row in rows_of(*one, *by)] == [[1, 0.75], [2, 0.625]]
    for more in (["--by", ""], ["--group", "c.log"]):
        done = run(*given, *EPOCH, *more)
        assert done.returncode == 2
        assert f"'{logs}/a.log', '{logs}/b.log'" in done.stderr
    by = ["--by", "host,source", "--step", "line"]
    assert [row[0:3:2] for row in rows_of(*given, *by)] == [[None, n] for n in (1, 2, 3, 1, 2)]
    assert [row[1:3] for row in rows_of(*given, "--step", "point")][3:] == [[1, 0.75], [2, 0.625]]
    for more, why in (([], "--step point"), (["--step", "steps"], "no column 'steps'")):
        done = run(*given, *more)
        assert (done.returncode, why in done.stderr) == (2, True)


def test_wide_fits_the_terminal(tmp_path):
    """Metrics go on below the others, with the axis again; those of other jobs are not there."""
    (tmp_path / "a.log").write_text("".join(f"m{n:02}=0.123456\n" for n in range(40)))
    (tmp_path / "b.log").write_text("other=1\n")
    metrics = [part for n in range(40) for part in ("-m", rf"m{n:02}=m{n:02}=(\S+)")]
    arguments = ["wide", tmp_path, *metrics, "-m", "other=other=(.)", "--step", "point", "-q"]
    code, shown = on_terminal(*arguments)
    lines = shown.splitlines()
    assert (code, max(map(len, lines)) <= 80) == (0, True)  # which a terminal that can nothing has
    *headings, last = [line.split() for line in lines if "point" in line]
    assert {line[0] for line in headings} == {"point"}
    assert [name for line in headings for name in line[1:]] == [f"m{n:02}" for n in range(40)]
    assert (last, lines[-1].split()) == (["point", "other"], ["1", "1"])


def test_a_summary_of_one_job(logs):
    """It is chosen by its name; an error names those that there are."""
    rows = rows_of("summary", logs, *LOSS, "--group", f"{logs}/b.log")
    assert [row[:3] for row in rows] == [[f"{logs}/b.log", "loss", 2]]
    rows = rows_of("summary", logs, *LOSS, *EPOCH, "--attempts", "--group", f"{logs}/b.log")
    assert [row[:4] for row in rows] == [[f"{logs}/b.log", 0, "loss", 2]]
    done = run("summary", logs, *LOSS, "--group", "c.log")
    assert (done.returncode, f"'{logs}/a.log', '{logs}/b.log'" in done.stderr) == (2, True)
    done = run("summary", logs, *LOSS, "--group", "c.log", "--objective", "loss")
    assert (done.returncode, "--group takes one" in done.stderr) == (2, True)


def test_a_tuning_jobs_order(logs):
    """By the last value, NaN behind all others; a ranking beside the final values of the best."""
    ranked = rows_of("summary", logs, *LOSS, *EPOCH, "--objective", "loss")
    assert [row[:5] for row in ranked] == [
        [f"{logs}/b.log", 0.625, 2, 0.625, 2],
        [f"{logs}/a.log", "NaN", 3, 0.1, 2],
    ]
    ranked = rows_of("summary", logs, *LOSS, "--objective", "loss", "--maximize", "--by", "host")
    assert [row[:4] for row in ranked] == [[None, 0.625, 5, 0.75]]
    assert run("summary", logs, *LOSS, "--maximize").returncode == 2
    code, shown = on_terminal("summary", logs, *LOSS, *EPOCH, "--objective", "loss", "-q")
    headings = [line.split() for line in shown.splitlines() if line.startswith("job ")]
    names = [name for line in headings for name in line if name != "job"]
    assert (code, names) == (0, ["value", "points", "best", "best_step"])


def test_analytics_are_averages_by_the_minute(logs):
    """Of one job; what CloudWatch would not have taken is told, of a result as of logs."""
    assert rows_of("analytics", logs / "a.log", *LOSS, "--period", "2") == [
        [0.0, "loss", pytest.approx(0.3)],
        [0.0, "[b]lr[/b]", 0.25],
    ]
    ms.scan(logs / "a.log", {"loss": r"loss=(\S+)"}).write(logs / "p.parquet")
    done = run("analytics", logs / "p.parquet", "--strict")
    assert json.loads(done.stdout) == {"timestamp": 0.0, "metric_name": "loss", "value": 0.3}
    assert done.returncode == 1
    assert done.stderr.startswith("warning: 1 points are NaN, infinite or beyond 2^360")
    done = run("analytics", logs, *LOSS)
    assert (done.returncode, "--group" in done.stderr) == (2, True)
    code, shown = on_terminal("analytics", logs / "p.parquet", "-q")
    assert (code, shown.split()) == (0, ["timestamp", "metric_name", "value", "0", "loss", "0.3"])


def test_attempts_of_a_restarted_job(logs):
    """As a column of their own, or the last one alone: of points, summaries, tables and curves."""
    log = logs / "r.log"
    log.write_text(RESTARTED)
    given = [log, *LOSS[:2], *EPOCH]
    points = rows_of("attempts", *given)
    assert [row[1:2] + row[-2:] for row in points] == [
        [4.0, 1, 0],
        [3.0, 2, 0],
        [1.0, 3, 0],
        [3.5, 2, 1],
        [2.5, 3, 1],
    ]
    assert rows_of("attempts", *given, "--last-attempt") == [points[n] for n in (0, 3, 4)]
    assert [row[-1] for row in rows_of("attempts", *given, "--step", "line")] == [0] * 5
    summed = rows_of("summary", *given, "--attempts")
    assert [row[1:4] + row[5:9] for row in summed] == [
        [0, "loss", 3, 4.0, 1.0, 1.0, 4.0],
        [1, "loss", 2, 3.5, 2.5, 2.5, 3.5],
    ]
    assert rows_of("summary", *given, "--last-attempt")[0][2:8] == [3, 0, 4.0, 2.5, 2.5, 4.0]
    assert [row[1:] for row in rows_of("wide", *given, "--attempts")] == [
        [0, 1, 4.0],
        [0, 2, 3.0],
        [0, 3, 1.0],
        [1, 2, 3.5],
        [1, 3, 2.5],
    ]
    code, shown = on_terminal("wide", *given, "--attempts", "-q")
    assert (code, shown.count("attempt 0"), shown.count("attempt 1")) == (0, 1, 1)
    curve = run("plot", *given, "--ascii", "--step", "point", "--last-attempt").stdout
    assert "best 2.5 at point 3" in curve  # and not 1, which was done again
    run("attempts", *given, "-q", "-o", logs / "p.parquet")
    assert rows_of("summary", logs / "p.parquet", "--by", "job,attempt") == summed
    done = run("summary", logs / "p.parquet", "--attempts")
    assert (done.returncode, "--by job,attempt" in done.stderr) == (2, True)
    assert run("summary", *given, "--attempts", "--last-attempt").returncode == 2
    assert "no step axis" in run("summary", *given[:3], "--last-attempt").stderr


@pytest.mark.parametrize("command", ["final", "summary", "wide", "analytics", "attempts"])
def test_the_example_of_the_help_works(command, tmp_path):
    """As it stands there, in a shell."""
    shown = " ".join(run(command, "--help", env={**os.environ, "COLUMNS": "300"}).stdout.split())
    example = shown.partition("Example: ")[2].replace("metricsieve", " ".join(PROGRAM))
    done = subprocess.run(
        example, shell=True, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True
    )
    assert '"a"' in done.stdout
    assert "0.25" in done.stdout


def test_no_number_is_folded_on_a_terminal(tmp_path):
    """A part of it would read as another one: what does not fit goes on below."""
    rows = 3
    table = pa.table(
        {
            "metric": ["train_loss"] * rows,
            "value": [1.2345678901234567e-12] * rows,
            "timestamp": pa.array([1704110430123456] * rows, pa.timestamp("us", "UTC")),
            "source": ["a/long/path/of/a/log.txt"] * rows,
            "line": pa.array([2**40] * rows, pa.uint64()),
            "step": [1, 2, 1],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    for command in ("attempts", "final", "analytics"):
        code, shown = on_terminal(command, tmp_path / "a.parquet")
        assert code == 0
        assert "1.2345678901234567e-12" in shown
        assert all(len(line) <= 80 for line in shown.splitlines())


def test_groups_of_several_columns_are_told_apart(tmp_path):
    """Where one of them is empty, the other says what it is."""
    columns = {"host": ["x", None, "x"], "stream": [None, "x", "y"], "step": [1, 1, 1]}
    table = pa.table({"metric": ["a"] * 3, "value": [1.0, 2.0, 3.0], **columns})
    pq.write_table(table, tmp_path / "a.parquet")
    for command in ("summary", "wide"):
        _, shown = on_terminal(command, tmp_path / "a.parquet", "--by", "host,stream")
        lines = [line.rstrip() for line in shown.splitlines()]
        assert [one for one in lines if "x" in one and "max" not in one] == [
            "x",
            "stream x",
            "x, stream y",
        ]


@pytest.mark.parametrize(
    "option",
    [
        ["--report", "r.json"],
        ["-c", "epoch=(.)"],
        ["--envelope", "nosuch"],
        ["--threads", "-5"],
        ["--timezone", "Nowhere/X"],
        ["--number", "strict"],
        ["--normalize", "none"],
    ],
)
def test_options_of_logs_are_refused_with_a_result(logs, option):
    """They would do nothing."""
    result = logs / "points.parquet"
    run("scan", logs / "a.log", *LOSS, "-o", result)
    done = run("summary", result, *option, cwd=logs)
    assert done.returncode == 2
    assert "is a result; for logs alone there is --" in done.stderr


@pytest.mark.parametrize("output", ["cloudwatch:X", "emf:out", "tensorboard:out", "influx:out"])
def test_a_table_without_points_goes_to_no_sink_of_points(logs, output):
    """Before anything is read or made; that of attempts has points."""
    result = logs / "points.parquet"
    run("scan", logs / "a.log", *LOSS, "-c", r"epoch=epoch (\d+)", "-o", result)
    done = run("summary", result, "-o", output, cwd=logs)
    assert done.returncode == 2
    assert "takes points, and this table has none" in done.stderr
    assert not (logs / "out").exists()
    assert run("attempts", result, "-o", "influx:out", cwd=logs).returncode == 0
    assert "loss" in (logs / "out").read_text()
    assert run("summary", result, "-o", "duckdb:a.db", cwd=logs).returncode == 0


@pytest.mark.parametrize("command", [["final"], ["final", "--table"], ["plot"], ["summary"]])
def test_standard_output_that_fails_is_exit_4(logs, command):
    """Full, with and without a buffer, or closed."""
    result = logs / "points.parquet"
    run("scan", logs / "a.log", *LOSS, "-o", result)
    for unbuffered in ("", "1"):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [*PROGRAM, *command, str(result)],
                check=False,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            )
        assert (done.returncode, "No space left" in done.stderr) == (4, True), done.stderr
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *PROGRAM, *command, str(result)],
        check=False,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 4
    assert "standard output is closed" in done.stderr
