"""The command `plot`: the real program on real logs and results."""

import json
import os
import pty
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import metricsieve as ms
import pyarrow.parquet as pq
import pytest
from program import PROGRAM, run

LOGS = Path(__file__).parents[1] / "examples" / "logs"
LOSS = ["-m", "loss=loss=([^ ]+)"]


def texts_of(picture):
    """Every text of an SVG."""
    root = ET.parse(picture).getroot()
    found = root.iter("{http://www.w3.org/2000/svg}text")
    return {"".join(one.itertext()).strip() for one in found}


@pytest.fixture
def log(tmp_path):
    """Three points, the second of which is the best."""
    path = tmp_path / "train.log"
    path.write_text("loss=4\nloss=2\nloss=3\n")
    return path


def test_a_curve_in_the_terminal(log):
    """Without -o; in a pipe as well, without colours; the report is on stderr."""
    done = run("plot", log, *LOSS, env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0
    assert "best 2 at point 2" in done.stdout
    assert "★" in done.stdout
    assert "\x1b" not in done.stdout
    assert "3 points in 3 of 3 records" in done.stderr


def test_a_terminal_sees_colours(log):
    """And a curve as wide as it is."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    command = [*PROGRAM, "plot", str(log), *LOSS]
    process = subprocess.Popen(command, stdout=follower, stderr=subprocess.DEVNULL, env=environment)
    os.close(follower)
    seen = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # EIO: the other side is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(leader)
    assert process.wait(60) == 0
    assert b"\x1b[" in seen
    assert "─" * 50 in seen.decode()
    assert "─" * 60 not in seen.decode()


@pytest.mark.parametrize("option, encoding", [("--ascii", "utf-8"), ("--quiet", "ascii")])
def test_plain_ascii_where_asked_for_or_needed(log, option, encoding):
    """An output that cannot say more gets no question marks."""
    done = run("plot", log, *LOSS, option, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "@" in done.stdout


def test_a_picture_of_a_log(tmp_path):
    """With a preset; only what was asked for, over the column that was named."""
    target = tmp_path / "curve.svg"
    arguments = ["-p", "xgboost", "--only", "error", "--step", "line", "-o", target]
    done = run("plot", LOGS / "xgboost.log", *arguments)
    assert (done.returncode, done.stdout) == (0, "")
    texts = texts_of(target)
    assert {"error", "line", "train:error", "validation:error"} <= texts
    assert "auc" not in texts


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "jsonl"])
def test_a_result_is_drawn_without_definitions(log, tmp_path, suffix):
    """As it was written; no report, since nothing is scanned."""
    result = tmp_path / f"points.{suffix}"
    assert run("scan", log, *LOSS, "-o", result).returncode == 0
    done = run("plot", result, "--ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "best 2 at point 2" in done.stdout


def test_a_directory_of_parts_is_a_result(log, tmp_path):
    """As follow leaves it."""
    parts = tmp_path / "parts"
    parts.mkdir()
    table = ms.scan(log, {"loss": "loss=(.+)"}).read_all()
    pq.write_table(table.slice(0, 1), parts / "part-1.parquet")
    pq.write_table(table.slice(1), parts / "part-2.parquet")
    done = run("plot", parts, "--ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "best 2 at point 2" in done.stdout


def test_with_definitions_a_log_may_be_called_like_a_result(tmp_path):
    """JSON lines are logs too."""
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"message": f"loss={n}"}) + "\n" for n in (4, 2, 3)))
    done = run("plot", path, "--envelope", "json:message", *LOSS, "--ascii")
    assert done.returncode == 0
    assert "best 2 at point 2" in done.stdout


def test_what_is_better_and_the_scale_can_be_said(log):
    """The options reach the chart."""
    assert "best 4 at point 1" in run("plot", log, *LOSS, "--maximize", "loss").stdout
    assert "loss, log scale" in run("plot", log, *LOSS, "--log", "--ascii").stdout


def test_notes_are_on_stderr(tmp_path):
    """What is not drawn is told, unless nothing is to be told."""
    path = tmp_path / "a.log"
    path.write_text("loss=1\nloss=nan\n")
    assert "note: loss: 1 of 2 points are NaN" in run("plot", path, *LOSS).stderr
    assert run("plot", path, *LOSS, "-q").stderr == ""


@pytest.mark.parametrize(
    "arguments, code, told",
    [
        (["LOG"], 2, "name definitions"),
        (["LOG", *LOSS, "-o", "a.gif"], 2, ".png, .svg, .pdf"),
        (["LOG", *LOSS, "--only", "los"], 2, "did you mean 'loss'"),
        (["LOG", *LOSS, "--step", "epoch"], 2, "'epoch'"),
        (["LOG", "-m", "loss=loss=(x)(", "-o", "a.svg"], 2, "loss"),
        (["missing.log", *LOSS], 3, "missing.log"),
        (["missing.parquet"], 3, "missing.parquet"),
        (["DAMAGED"], 3, "damaged.parquet"),
        (["LOG", *LOSS, "-o", "missing/a.svg"], 4, "create the directory"),
        (["LOG", "-m", "acc=acc=(.*)", "-o", "a.svg"], 1, "no point to draw"),
        (["LOG", *LOSS, "-m", "acc=acc=(.*)", "--strict"], 1, "acc"),
    ],
)
def test_exit_codes(log, tmp_path, arguments, code, told):
    """Those of the other commands; no file where there is no curve."""
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 nonsense")
    names = {"LOG": log, "DAMAGED": tmp_path / "damaged.parquet"}
    done = run("plot", *(names.get(one, one) for one in arguments), cwd=tmp_path)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    assert not (tmp_path / "a.svg").exists()


def test_a_source_that_breaks_off_is_exit_3_and_the_rest_is_drawn(log, tmp_path):
    """As for scan."""
    import gzip

    broken = tmp_path / "b.log.gz"
    broken.write_bytes(gzip.compress(b"loss=1\n" * 9)[:-6])
    done = run("plot", log, broken, *LOSS, "-o", tmp_path / "a.svg")
    assert done.returncode == 3
    assert "b.log.gz" in done.stderr
    assert (tmp_path / "a.svg").exists()


def test_a_missing_matplotlib_is_told_before_anything_is_read(log, tmp_path):
    """With the command that installs it; the terminal does without."""
    program = (
        "import sys; sys.modules['matplotlib'] = None; sys.argv[0] = 'metricsieve'; "
        "from metricsieve.cli import main; main()"
    )

    def without(*arguments):
        command = [sys.executable, "-c", program, "plot", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    done = without("missing.log", *LOSS, "-o", tmp_path / "a.png")
    assert done.returncode == 2
    assert "pip install 'metricsieve[plot]'" in done.stderr
    assert without(log, *LOSS, "--ascii").returncode == 0


def test_the_docs_show_what_the_program_draws(tmp_path):
    """The picture and the curve of docs/plot.md, by its own commands."""
    root = LOGS.parents[1]
    page = (root / "docs" / "plot.md").read_text()
    command = re.search(r"^metricsieve (plot .*) -o curve.svg$", page, re.MULTILINE)[1]
    assert run(*command.split(), "-o", tmp_path / "a.svg", cwd=root).returncode == 0
    drawn, shown = texts_of(tmp_path / "a.svg"), texts_of(root / "docs" / "plot.svg")
    assert {one for one in drawn if not one[:1].isdigit()} <= shown
    command, curve = re.search(
        r"^\$ metricsieve (plot .*)\n((?s:.*?))^```", page, re.MULTILINE
    ).groups()
    environment = {**os.environ, "COLUMNS": "78", "PYTHONIOENCODING": "utf-8"}
    assert run(*command.split(), cwd=root, env=environment).stdout == curve


def test_the_example_of_the_help_works():
    """As it stands."""
    example = run("plot", "--help").stdout.split("Example: ")[1]
    command = " ".join(example.split()).replace("metricsieve", " ".join(PROGRAM), 1)
    done = subprocess.run(command, shell=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert b"loss" in done.stdout
