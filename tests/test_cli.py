"""The real program: exit codes, what goes to which stream, and what a terminal sees."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
from program import PROGRAM, run

LOSS = "loss=loss=([^ ]+)"


@pytest.fixture
def log(tmp_path):
    """Two points, and nothing to warn of."""
    path = tmp_path / "train.log"
    path.write_text("loss=0.5\nstep\nloss=0.25\n")
    return path


def values(text):
    return [json.loads(line)["value"] for line in text.splitlines()]


def on_terminal(*arguments):
    """Run with stdout on a pseudo-terminal; returns what it saw."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": "200", "TERM": "xterm"}
    process = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    os.close(follower)
    seen = b""
    while select.select([leader], [], [], 60)[0]:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # EIO: the other side is closed
            break
        seen += chunk
    os.close(leader)
    assert process.wait(60) == 0
    return seen.decode()


def test_a_pipe_gets_json_lines_and_stderr_the_report(log):
    """Data and messages do not mix."""
    done = run("scan", log, "-m", LOSS)
    assert done.returncode == 0
    assert values(done.stdout) == [0.5, 0.25]
    assert "2 points in 2 of 3 records" in done.stderr


def test_quiet_says_nothing(log):
    """Not even a warning."""
    done = run("scan", log, "-m", LOSS, "-m", "x=x(.)", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")


def test_stdin_is_a_source():
    """The example of --help."""
    done = run("scan", "-", "-m", LOSS, input="loss=1\n")
    assert json.loads(done.stdout)["source"] == "-"


def test_outputs_and_report_are_files(log, tmp_path):
    """Several -o are one pass; nothing goes to stdout then."""
    outputs = [tmp_path / "a.parquet", tmp_path / "a.csv"]
    report = tmp_path / "r.json"
    done = run("scan", log, "-m", LOSS, "-o", outputs[0], "-o", outputs[1], "--report", report)
    assert (done.returncode, done.stdout) == (0, "")
    assert pq.read_table(outputs[0])["value"].to_pylist() == [0.5, 0.25]
    assert len(outputs[1].read_text().splitlines()) == 3
    assert json.loads(report.read_text())["points"] == 2


def test_columns_are_chosen_in_order(log):
    """--columns A,B."""
    done = run("scan", log, "-m", LOSS, "--columns", "value,metric")
    assert done.stdout.splitlines()[0] == '{"value": 0.5, "metric": "loss"}'


@pytest.mark.parametrize(
    "extra", [["-m", "none=zzz(.)"], ["-m", "rejected=l(oss)"]], ids=["no point", "reject"]
)
def test_exit_1_with_strict_on_a_warning(log, extra):
    """Without --strict the same is 0."""
    assert run("scan", log, "-m", LOSS, *extra).returncode == 0
    assert run("scan", log, "-m", LOSS, *extra, "--strict").returncode == 1
    assert run("scan", log, "-m", LOSS, "--strict").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-m", "a=("],
        ["-m", "no equals sign"],
        ["-d", "missing.json"],
        ["-m", LOSS, "-o", "a.xlsx"],
        ["-m", LOSS, "--number", "loose"],
        ["-m", LOSS, "--columns", "nothing"],
        ["-m", LOSS, "--threads", "0"],
        ["-m", LOSS, "--no-such-option"],
    ],
    ids=lambda arguments: " ".join(arguments) or "no definitions",
)
def test_r12_exit_2_on_bad_definitions_or_usage_before_reading(tmp_path, arguments):
    """The source is a FIFO without a writer: opening it would hang."""
    os.mkfifo(tmp_path / "pipe.log")
    done = run("scan", "pipe.log", *arguments, cwd=tmp_path, timeout=30)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_r12_the_sdk_example_is_reported_with_its_place(log, tmp_path):
    """A missing quote in SageMaker's own documentation."""
    path = tmp_path / "d.json"
    path.write_text("[{'Name': 'validation:error, 'Regex': '.*error=(.*)'}]")
    done = run("scan", log, "-d", path)
    assert done.returncode == 2
    assert f"{path}:1:3: not JSON" in done.stderr


def test_r12_all_errors_of_all_arguments_are_shown(log):
    """With carets."""
    done = run("scan", log, "-m", "a=(", "-m", "b", "-m", "c=[0-9]+")
    assert done.returncode == 2
    assert done.stderr.count("definition ") >= 3
    assert "^^^^^^" in done.stderr


def test_exit_3_when_an_input_is_missing(log):
    """Before any row."""
    done = run("scan", log, "gone.log", "-m", LOSS)
    assert (done.returncode, done.stdout) == (3, "")
    assert "gone.log" in done.stderr


def test_f7_exit_3_when_an_input_cannot_be_read_and_the_others_are_delivered(log, tmp_path):
    """A dangling link in a directory."""
    (tmp_path / "z.log").symlink_to("nowhere")
    done = run("scan", tmp_path, "-m", LOSS, "--strict")
    assert done.returncode == 3
    assert values(done.stdout) == [0.5, 0.25]
    assert "z.log" in done.stderr


def test_f11_exit_4_when_an_output_is_full_and_no_other_is_published(log, tmp_path):
    """One failed output fails them all."""
    (tmp_path / "full.csv").symlink_to("/dev/full")
    done = run("scan", log, "-m", LOSS, "-o", tmp_path / "full.csv", "-o", tmp_path / "a.parquet")
    assert done.returncode == 4
    assert "space" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.csv", "train.log"]


def test_f17_full_stdout_is_exit_4(log):
    """In a pipe and in --help alike nothing pretends to have worked."""
    with open("/dev/full", "w") as full:
        done = run("scan", log, "-m", LOSS, capture_output=False, stdout=full, stderr=-1)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


def test_f17_a_reader_that_goes_away_is_a_quiet_0(tmp_path):
    """`| head -1` on more than a pipe holds."""
    path = tmp_path / "long.log"
    path.write_text("loss=0.5\n" * 20_000)
    process = subprocess.Popen(
        [*PROGRAM, "scan", str(path), "-m", LOSS], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_exit_130_when_interrupted_and_no_output_is_left(tmp_path):
    """Ctrl-C while a FIFO has nothing to say."""
    fifo = tmp_path / "pipe.log"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [*PROGRAM, "scan", str(fifo), "-m", LOSS, "-o", str(tmp_path / "a.csv")],
        stderr=subprocess.PIPE,
        # A shell's background job ignores SIGINT, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with open(fifo, "wb"):  # opens when the program has opened its side
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".metricsieve-*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.log"]


def test_a_terminal_sees_a_summary_and_the_first_ten_points(tmp_path):
    """--all shows the rest."""
    path = tmp_path / "a.log"
    path.write_text("".join(f"loss={i}.5\n" for i in range(12)))
    seen = on_terminal("scan", path, "-m", LOSS, "-m", "none=zzz(.)")
    assert "no match" in seen
    assert "9.5" in seen
    assert "10.5" not in seen
    assert "2 more points" in seen
    assert "10.5" in on_terminal("scan", path, "-m", LOSS, "--all")


def test_x4_control_characters_are_made_visible_on_a_terminal(tmp_path):
    """OSC 52 would write to the clipboard."""
    path = tmp_path / "a\x1b]0;b\x07.log"
    path.write_text("loss=1\n")
    seen = on_terminal("scan", path, "-m", "a\x1b]52;c;eA\x07=loss=(.)")
    assert "\x1b]" not in seen
    assert "\\x1b]52" in seen
    assert "\\x1b]0" in seen


@pytest.mark.parametrize("arguments", [["--help"], ["scan", "--help"]])
def test_help_needs_neither_pyarrow_nor_rich_nor_the_engine(arguments):
    """They are what would make it slow."""
    code = (
        "import sys; from metricsieve.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit: pass\n"
        "loaded = {'pyarrow', 'rich', 'metricsieve._native'} & set(sys.modules)\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_version():
    """One line on stdout."""
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("metricsieve ")
