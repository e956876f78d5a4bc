"""Rotation, truncation, deletion, crashes and restarts in any order, against a model of the files.

METRICSIEVE_ROTATION_SEQUENCES chooses the number of sequences: 50 without it, 2,000 for acceptance.
"""

import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

import metricsieve as ms
import pyarrow.dataset
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

SEQUENCES = int(os.environ.get("METRICSIEVE_ROTATION_SEQUENCES", "50"))
NUMBER = {"n": r"n=([0-9]+)#"}


class Crash(Exception):
    """What ends a follower without a commit."""


class Live:
    """A follower in a thread that looks when it is told to."""

    def __init__(self, log, parts, commit_every, rotate_wait):
        self.go, self.looked = threading.Semaphore(0), threading.Semaphore(0)
        self.order, self.error = "look", None
        options = {"poll": 0, "commit_every": commit_every, "until": self.until}
        options["rotate_wait"] = rotate_wait
        self.follow = ms.follow(str(log), NUMBER, sinks=f"{parts}/", **options)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        assert self.looked.acquire(timeout=60)

    def until(self, live):
        """After each look: wait for what to do next."""
        self.looked.release()
        assert self.go.acquire(timeout=60)
        if self.order == "crash":
            raise Crash
        return self.order == "end"

    def run(self):
        """The thread."""
        try:
            with self.follow:
                self.follow.run()
        except Crash:
            pass
        except BaseException as error:
            self.error = error
        self.looked.release()

    def do(self, order):
        """Look again, end, or crash; waits until it is done."""
        self.order = order
        self.go.release()
        assert self.looked.acquire(timeout=60)
        if order != "look":
            self.thread.join(60)
        if self.error is not None:
            raise self.error


class Rotation(RuleBasedStateMachine):
    """Files, what was written to them, and what must come out of them."""

    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.log, self.parts = self.directory / "a.log", self.directory / "parts"
        self.live = None
        self.written, self.may_be_lost = set(), set()
        self.next = 0
        self.partial = None  # rest of a line, and the open file that it goes to
        self.rotate_wait = 0
        self.moved = False  # whether the name of that file is another by now

    @initialize(commit_every=st.sampled_from([0, 3600]), rotate_wait=st.sampled_from([0, 1000]))
    def start(self, commit_every, rotate_wait):
        """The first run."""
        self.rotate_wait = rotate_wait
        self.live = Live(self.log, self.parts, commit_every, rotate_wait)

    def numbers(self, path):
        """The whole records of a file."""
        return {int(one) for one in re.findall(rb"n=(\d+)#\n", path.read_bytes())}

    def is_there(self):
        """Whether the log exists."""
        return self.log.exists()

    def finish_partial(self):
        """The writer ends its line where it began it, whatever the name by now."""
        if self.partial is not None:
            rest, file = self.partial
            self.partial, self.moved = None, False
            with file:
                file.write(rest)

    @rule(count=st.integers(1, 5))
    def write(self, count):
        """Whole lines; creates the log where there is none."""
        self.finish_partial()
        with open(self.log, "ab", buffering=0) as file:
            for _ in range(count):
                file.write(b"n=%d#\n" % self.next)
                self.written.add(self.next)
                self.next += 1

    @precondition(lambda self: self.partial is None)
    @rule(cut=st.integers(1, 3))
    def write_partially(self, cut):
        """A line without its end."""
        line = b"n=%d#\n" % self.next
        self.written.add(self.next)
        self.next += 1
        file = open(self.log, "ab", buffering=0)  # noqa: SIM115 - the rest of the line goes there
        file.write(line[:cut])
        self.partial = (line[cut:], file)

    @rule()
    def end_line(self):
        """The rest of it."""
        self.finish_partial()

    def shift(self):
        """Makes room for a `.1`."""
        numbers = sorted(int(path.suffix[1:]) for path in self.directory.glob("a.log.*"))
        for number in reversed(numbers):
            os.rename(f"{self.log}.{number}", f"{self.log}.{number + 1}")

    @precondition(is_there)
    @rule(create=st.booleans())
    def rename(self, create):
        """As logrotate does."""
        self.shift()
        os.rename(self.log, f"{self.log}.1")
        self.moved = self.partial is not None
        if create:
            self.log.touch()

    def too_late(self):
        """A rotated log has ended when it does not grow for `rotate_wait`."""
        if self.moved and not self.rotate_wait:
            self.may_be_lost.add(self.next - 1)

    def drop_partial(self):
        """A line that a truncation cut through: its rest begins the new content."""
        if self.partial is not None:
            self.may_be_lost.add(self.next - 1)
            self.finish_partial()

    @precondition(is_there)
    @rule()
    def copytruncate(self):
        """As logrotate does where the writer cannot be told."""
        self.shift()
        shutil.copy(self.log, f"{self.log}.1")
        os.truncate(self.log, 0)
        self.drop_partial()

    @precondition(is_there)
    @rule()
    def truncate(self):
        """What was not read, or not committed before a crash, is gone."""
        self.may_be_lost |= self.numbers(self.log)
        os.truncate(self.log, 0)
        self.drop_partial()

    @precondition(is_there)
    @rule()
    def delete(self):
        """The same."""
        self.may_be_lost |= self.numbers(self.log)
        self.drop_partial()
        os.unlink(self.log)

    @rule()
    def look(self):
        """The follower looks at the files."""
        self.too_late()
        self.live.do("look")

    @rule(how=st.sampled_from(["end", "crash"]), commit_every=st.sampled_from([0, 3600]))
    def restart(self, how, commit_every):
        """In order, or without a commit."""
        self.too_late()
        self.live.do(how)
        self.live = Live(self.log, self.parts, commit_every, self.rotate_wait)

    def teardown(self):
        """In the end everything is there once, but what nobody could read any more."""
        if self.live is None:
            return
        try:
            self.finish_partial()
            self.live.do("look")
            self.live.do("end")
            again = Live(self.log, self.parts, 0, 0)
            for _ in range(3):
                again.do("look")
            again.do("end")
            found = []
            if any(self.parts.glob("part-*")):
                table = pyarrow.dataset.dataset(str(self.parts), format="parquet").to_table()
                found = [int(value) for value in table["value"].to_pylist()]
            assert len(found) == len(set(found)), "doubled"
            assert set(found) <= self.written, "made up"
            assert self.written - self.may_be_lost <= set(found), "lost"
        finally:
            shutil.rmtree(self.directory)


TestRotationF2F3F4F5F13 = pytest.mark.timeout(300 + SEQUENCES)(Rotation.TestCase)
TestRotationF2F3F4F5F13.settings = settings(
    max_examples=SEQUENCES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
