"""The command `follow`: the real program, real signals, a real terminal."""

import json
import os
import pty
import re
import signal
import subprocess
import time

import pyarrow.dataset
import pytest
from program import PROGRAM, run

LOSS = ["-m", r"loss=loss=(\S+)"]
FAST = ["--poll", "0.02", "--rotate-wait", "0.05"]
DEADLINE = 30


def wait_for(condition):
    """Polls until something is so."""
    end = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return found


def start(*arguments, **options):
    """The program, running."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([*PROGRAM, *map(str, arguments)], **options)


def test_backfill_live_and_end_in_one_command(tmp_path):
    """JSON lines in a pipe; --until-idle ends it; the report goes to stderr and to a file."""
    log = tmp_path / "a.log"
    log.write_bytes(b"loss=1\nloss=2\n")
    told = tmp_path / "report.json"
    done = run("follow", log, *LOSS, *FAST, "--until-idle", "0.1", "--report", told)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [1, 2]
    assert "2 points in 2 of 2 records" in done.stderr
    assert json.loads(told.read_text())["follow"]["keeps_state"] is False


def test_s9_sigterm_ends_in_order(tmp_path):
    """Rows and state are there; the next run goes on."""
    log, parts = tmp_path / "a.log", tmp_path / "parts"
    log.write_bytes(b"loss=1\nloss=2\nlo")
    options = ["follow", log, *LOSS, *FAST, "-o", f"{parts}/", "--commit-every", "3600"]
    live = start(*options)
    # The commit at the start makes the state; the rows are read right after it.
    wait_for((parts / ".metricsieve-state" / "state.json").exists)
    live.send_signal(signal.SIGTERM)
    _, err = live.communicate(timeout=DEADLINE)
    assert live.returncode == 0, err
    with log.open("ab") as file:
        file.write(b"ss=3\n")
    done = run(*options, "--until-idle", "0.1")
    assert done.returncode == 0, done.stderr
    table = pyarrow.dataset.dataset(str(parts), format="parquet").to_table()
    assert sorted(table["value"].to_pylist()) == [1, 2, 3]


def test_ctrl_c_ends_in_order_with_its_code(tmp_path):
    """130, and the rows were committed."""
    log, lines = tmp_path / "a.log", tmp_path / "a.jsonl"
    log.write_bytes(b"loss=1\n")
    live = start("follow", log, *LOSS, *FAST, "-o", lines, "--state", tmp_path / "s")
    wait_for(lambda: lines.exists() and lines.read_text())
    live.send_signal(signal.SIGINT)
    _, err = live.communicate(timeout=DEADLINE)
    assert live.returncode == 130, err
    assert json.loads(lines.read_text())["value"] == 1


def test_stdin_ends_with_its_writer():
    """A pipe's last line needs no end."""
    done = run("follow", "-", *LOSS, "-q", input="loss=1\nloss=2")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [1, 2]


def test_f17_the_reader_of_stdout_goes_away(tmp_path):
    """Quietly, with code 0."""
    log = tmp_path / "a.log"
    log.write_bytes(b"loss=1\n" * 100_000)
    live = start("follow", log, *LOSS)
    live.stdout.readline()
    live.stdout.close()
    assert live.wait(DEADLINE) == 0, live.stderr.read()
    live.stderr.close()


def test_f15_the_second_process_is_told_who_was_first(tmp_path):
    """Exit 4 with the holder's process id."""
    log = tmp_path / "a.log"
    log.write_bytes(b"loss=1\n")
    first = start("follow", log, *LOSS, "--state", tmp_path / "s")
    wait_for((tmp_path / "s" / "state.json").exists)
    second = run("follow", log, *LOSS, "--state", tmp_path / "s", "--until-idle", "0")
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=DEADLINE)
    assert second.returncode == 4
    assert f"in use by process {first.pid}" in second.stderr


def test_f7_f11_f16_exit_codes(tmp_path):
    """2 for usage, 3 for a source, 4 for an output or a state, each with the remedy."""
    log = tmp_path / "a.log"
    log.write_bytes(b"loss=1\n")
    end = ["--until-idle", "0", *FAST]
    done = run("follow", tmp_path / "none.log", *LOSS, *end)
    assert (done.returncode, "no such file yet" in done.stderr) == (3, True)
    done = run("follow", log, *LOSS, *end, "-o", tmp_path / "no" / "a.jsonl")
    assert (done.returncode, "create the directory" in done.stderr) == (4, True)
    done = run("follow", log, *LOSS, *end, "-o", "/dev/full", "-o", tmp_path / "x.csv")
    assert done.returncode == 2
    done = run("follow", log, *LOSS, *end, "--state", tmp_path / "s", "-o", tmp_path / "x.csv")
    assert (done.returncode, "written whole" in done.stderr) == (2, True)
    (tmp_path / "s").mkdir(exist_ok=True)
    (tmp_path / "s" / "state.json").write_text("{}")
    done = run("follow", log, *LOSS, *end, "--state", tmp_path / "s")
    assert (done.returncode, "--reset" in done.stderr) == (4, True)
    done = run("follow", log, *LOSS, *end, "--state", tmp_path / "s", "--reset", "-q")
    assert (done.returncode, json.loads(done.stdout)["value"]) == (0, 1.0)


@pytest.mark.parametrize(
    ("condition", "line", "told"),
    [
        ("loss is nan", "loss=nan", "loss is nan at "),
        ("loss > 100", "loss=1e3", "loss is 1000.0 at "),
        ("loss is not finite", "loss=inf", "loss is inf at "),
        ("no progress for 0.2s", "nothing", "no point for "),
        ("loss no progress for 0.2s", "acc=1", "no point for "),
    ],
)
def test_fail_if_ends_with_1(tmp_path, condition, line, told):
    """A loss that is not a number, a threshold, silence: the condition and the place are told."""
    log = tmp_path / "a.log"
    log.write_text(f"loss=1\n{line}\n")
    done = run("follow", log, *LOSS, "-m", "acc=acc=(.)", *FAST, "--fail-if", condition)
    assert done.returncode == 1, done.stderr
    assert f"failed: '{condition}': {told}" in done.stderr


def test_fail_if_that_does_not_hold_or_makes_no_sense(tmp_path):
    """0, or 2 with what there is."""
    log = tmp_path / "a.log"
    log.write_text("loss=1\n")
    end = [*FAST, "--until-idle", "0.1"]
    done = run("follow", log, *LOSS, *end, "--fail-if", "loss is nan", "--fail-if", "loss < 0")
    assert done.returncode == 0, done.stderr
    for condition, told in (("loss ~ 3", "is no condition"), ("los is nan", "there are 'loss'")):
        done = run("follow", log, *LOSS, *end, "--fail-if", condition)
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr


def test_a_terminal_gets_a_live_table(tmp_path):
    """With the last value and a trend of each metric; no rows."""
    log = tmp_path / "a.log"
    log.write_text("".join(f"loss={n}\n" for n in (8, 4, 2, 1)))
    ours, theirs = pty.openpty()
    arguments = ["follow", log, *LOSS, *FAST, "--until-idle", "0.2"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    live = start(*arguments, stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    _, err = live.communicate(timeout=DEADLINE)
    assert live.returncode == 0, err
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"loss +4 +1 +1 +8 +█▄▂▁", text), text
    assert '"metric"' not in text
