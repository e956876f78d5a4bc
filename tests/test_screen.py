"""The screen of `preview`, driven as a person would, and what it shows."""

import asyncio
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from metricsieve.explaining.trying import read_records, try_pattern

RECORDS = ["step 1 loss=0.5 lr=4e-05", "nothing", "step 2 loss=high lr=3e-05"]


@pytest.mark.parametrize(
    "regex", [r"loss=(\S+)", r"lr=([0-9.]+)", r"step (\d+) loss=0(?:.*)", r"(x)?step", r"^(\w+)$"]
)
def test_places_are_those_of_re(regex):
    """Match and group, record by record."""
    tried = try_pattern(regex, RECORDS)
    for line, text in zip(tried.lines, RECORDS, strict=True):
        found = re.search(regex, text)
        assert line.text == text
        assert line.match == (found.span() if found else None)
        wanted = found.span(1) if found and found.group(1) is not None else None
        assert line.group == wanted
        assert (line.value is not None) == bool(wanted and re.fullmatch(r"[0-9.]+", found.group(1)))
        assert (line.reason is not None) == bool(found and line.value is None)


def test_a_half_written_pattern_keeps_the_lines():
    """There is an error to show, and nothing is raised."""
    regex = r"'loss': ([-+0-9.e]+)\s*$"
    for end in range(len(regex) + 1):
        tried = try_pattern(regex[:end], RECORDS)
        assert [line.text for line in tried.lines] == RECORDS


def test_records_are_those_of_the_engine(tmp_path):
    """Escapes undone, colours out, redraws apart; not more than asked for."""
    log = tmp_path / "train.log"
    log.write_bytes(b"a#011b\n\n  \n\x1b[32mgreen\x1b[0m\r50%\r60%\n")
    assert read_records(log) == ["a\tb", "green", "50%", "60%"]
    assert read_records(log, limit=3) == ["a\tb", "green"]


def test_the_screen_follows_the_keys():
    """Typing changes what is found; the suggestion can be taken; leaving gives the pattern."""
    textual = pytest.importorskip("textual.widgets")
    from metricsieve.explaining.screen import PatternApp

    async def drive():
        app = PatternApp(RECORDS, r"lr=([0-9.]+)")
        async with app.run_test(size=(80, 24)) as pilot:
            shown = app.query_one("#status", textual.Static)
            assert "2 of 3 lines match, 2 points" in str(shown.content)
            assert "4.67e-05 is read as 4.67" in str(shown.content)
            await pilot.press("ctrl+t")
            await pilot.pause()
            assert "cannot hold" not in str(shown.content)
            assert [line.value for line in app._tried.lines] == [4e-05, None, 3e-05]
            await pilot.press("ctrl+o")
            lines = str(app.query_one("#lines", textual.Static).content)
            assert "nothing" not in lines
            app.query_one(textual.Input).value = "("
            await pilot.pause()
            assert "unterminated group" in str(shown.content)
            app.query_one(textual.Input).value = r"loss=(\S+)"
            await pilot.pause()
            await pilot.press("escape")
        return app.return_value

    assert asyncio.run(drive()) == r"loss=(\S+)"


def test_the_command_on_a_terminal(tmp_path):
    """The real program on a pseudo-terminal: it draws, and prints the pattern at the end."""
    pytest.importorskip("textual")
    log = tmp_path / "train.log"
    log.write_text("".join(f"{one}\n" for one in RECORDS))
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "metricsieve", "preview", "--screen", "--log", str(log)]
    environment = {**os.environ, "COLUMNS": "100", "LINES": "30", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [*command, "-m", r"lr=lr=(\S+)"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
    )
    os.close(follower)
    seen, sent, until = b"", False, time.monotonic() + 60
    while time.monotonic() < until:
        if select.select([leader], [], [], 0.1)[0]:
            try:
                seen += os.read(leader, 65536)
            except OSError:  # EIO: the other side is closed
                break
        if not sent and b"lines match" in seen:
            os.write(leader, b"\x1b")
            sent = True
    os.close(leader)
    assert process.wait(60) == 0
    assert b"2 of 3 lines match" in seen
    assert seen.rstrip().endswith(rb"lr=(\S+)")


def test_the_screen_needs_a_terminal():
    """In a pipe there is none."""
    command = [sys.executable, "-m", "metricsieve", "preview", "--screen", "a=1", "-m", "a=a=(.)"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs a terminal" in done.stderr
