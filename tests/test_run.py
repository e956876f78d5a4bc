"""The command `run`: output, exit codes, signals and terminals are those of the command alone."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

import pyarrow.parquet
import pytest
from program import PROGRAM, run

LOSS = ["-m", r"loss=loss=([0-9.]+)"]
DEADLINE = 30


def python(code):
    """A command that runs some Python."""
    return ["--", sys.executable, "-c", code]


def test_output_passes_unchanged_and_points_are_found(tmp_path):
    """Both streams byte for byte, also what is no text and has no line end."""
    lines = tmp_path / "a.jsonl"
    code = r"import os; os.write(1, b'loss=1\n\xff\0\r\nloss=2'); os.write(2, b'loss=3\nno end')"
    done = run("run", *LOSS, "-q", "-o", lines, *python(code), text=False)
    assert (done.returncode, done.stdout) == (0, b"loss=1\n\xff\x00\r\nloss=2")
    assert done.stderr == b"loss=3\nno end"
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    found = sorted((row["source"], row["line"], row["value"]) for row in found)
    assert found == [("stderr", 1, 3), ("stdout", 1, 1), ("stdout", 3, 2)]


def test_much_output_passes_whole(tmp_path):
    """More than any pipe holds; the file has every point."""
    target = tmp_path / "a.parquet"
    code = "import sys; [sys.stdout.write(f'loss={n}\\n') for n in range(300_000)]"
    done = run("run", *LOSS, "-q", "-o", target, *python(code))
    assert done.stdout == "".join(f"loss={n}\n" for n in range(300_000))
    values = pyarrow.parquet.read_table(target)["value"].to_pylist()
    assert values == [float(n) for n in range(300_000)]


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_the_commands(code):
    """Whatever was found."""
    assert run("run", *LOSS, *python(f"raise SystemExit({code})")).returncode == code


def test_a_signal_that_ends_the_command_ends_us():
    """Our parent sees the same as without us."""
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        done = run("run", *LOSS, *python(f"import os; os.kill(os.getpid(), {int(number)})"))
        assert done.returncode == -number


def test_commands_that_cannot_run_and_usage(tmp_path):
    """127, 126 and 2, as shells and we say it; nothing is started after a mistake."""
    assert run("run", *LOSS, "--", tmp_path / "none").returncode == 127
    (tmp_path / "plain").write_text("x")
    assert run("run", *LOSS, "--", tmp_path / "plain").returncode == 126
    marker = tmp_path / "ran"
    for wrong in (["-m", "loss=("], ["-m", "loss=(.)", "-o", "-"]):
        assert run("run", *wrong, "--", "touch", marker).returncode == 2
    assert not marker.exists()


def read_until(descriptor, text):
    """What comes, until it holds some text."""
    seen, end = b"", time.monotonic() + DEADLINE
    while text not in seen:
        assert time.monotonic() < end, seen
        if select.select([descriptor], [], [], 0.1)[0]:
            seen += os.read(descriptor, 4096)
    return seen


TRAP = """
import signal, sys
def caught(number, frame):
    print("got", number, flush=True)
    sys.exit(7)
for one in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(one, caught)
print("ready loss=1", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_s9_signals_go_to_the_command(number):
    """It decides what becomes of them; we end with it."""
    arguments = [*PROGRAM, "run", *LOSS, "-q", *python(TRAP)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as live:
        assert live.stdout.readline() == b"ready loss=1\n"
        live.send_signal(number)
        assert live.stdout.read() == f"got {int(number)}\n".encode()
        assert live.wait(DEADLINE) == 7


def test_f17_the_reader_of_our_output_goes_away():
    """The command gets the signal that it would get without us."""
    code = "import sys\nwhile True: sys.stdout.write('loss=1\\n' * 1000)"
    with subprocess.Popen(
        [*PROGRAM, "run", *LOSS, "-q", *python(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as live:
        live.stdout.readline()
        live.stdout.close()
        assert live.wait(DEADLINE) == 1
        assert b"BrokenPipeError" in live.stderr.read()


def test_f11_an_output_that_fails_does_not_hurt_the_command(tmp_path):
    """All of its output passes; then 4, or its own code."""
    code = "import sys; [print(f'loss={n}') for n in range(200_000)]; sys.exit(%d)"
    for own, expected in ((0, 4), (9, 9)):
        done = run("run", *LOSS, "-o", "/dev/full", "-o", tmp_path / "a.jsonl", *python(code % own))
        if done.returncode == 2:  # /dev/full has no suffix: through a link it has one
            os.symlink("/dev/full", tmp_path / f"full{own}.csv")
            done = run("run", *LOSS, "-o", tmp_path / f"full{own}.csv", *python(code % own))
        assert (done.returncode, done.stdout.count("\n")) == (expected, 200_000)
        assert "cannot write" in done.stderr


def test_fail_if_ends_the_command(tmp_path):
    """With exit code 1 and the reason; what was found before is kept."""
    code = "import time\nprint('loss=1\\nloss=1e9', flush=True)\ntime.sleep(600)"
    target = tmp_path / "a.csv"
    definition = ["-m", r"loss=loss=(\S+)"]
    done = run("run", *definition, "-o", target, "--fail-if", "loss > 1e6", *python(code))
    assert done.returncode == 1
    assert "failed: 'loss > 1e6': loss is 1000000000.0 at stdout:2" in done.stderr
    assert len(target.read_text().splitlines()) == 3
    quiet = "import time; time.sleep(600)"
    done = run("run", *definition, "--fail-if", "no progress for 0.3s", *python(quiet))
    assert done.returncode == 1


TERMINAL = """
import os, signal, sys
def size(*_):
    print(*os.get_terminal_size(), flush=True)
signal.signal(signal.SIGWINCH, size)
print([os.isatty(n) for n in range(3)], "loss=1", flush=True)
size()
print("read", repr(sys.stdin.readline()), flush=True)
while True:
    signal.pause()
"""


def test_on_a_terminal_the_command_has_a_terminal(tmp_path):
    """Its size and what becomes of it, what is typed, Ctrl-C; ours is as before at the end."""
    lines = tmp_path / "a.jsonl"
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (33, 111))
    before = termios.tcgetattr(theirs)
    arguments = [*PROGRAM, "run", *LOSS, "-q", "-o", lines, *python(TERMINAL)]
    options = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    with subprocess.Popen(arguments, **options) as live:
        try:
            assert b"[True, True, True] loss=1\r\n" in read_until(ours, b"111 33")
            termios.tcsetwinsize(ours, (44, 122))
            live.send_signal(signal.SIGWINCH)  # the kernel tells the terminal's own session only
            read_until(ours, b"122 44")
            os.write(ours, b"typed\r")
            read_until(ours, b"read 'typed\\n'\r\n")
            os.write(ours, b"\x03")
            read_until(ours, b"KeyboardInterrupt")
            assert live.wait(DEADLINE) in (1, -signal.SIGINT)
        finally:
            live.terminate()
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
    assert json.loads(lines.read_text())["value"] == 1
