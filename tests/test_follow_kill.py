"""kill -9 at random moments while logs are rotated: no row lost, none twice.

METRICSIEVE_KILLS chooses how often: 8 times without it, 200 for acceptance; `pytest -s` prints the
figures.
"""

import json
import os
import random
import subprocess
import threading
import time
from collections import Counter

import pyarrow.dataset
import pytest
from program import PROGRAM, run

KILLS = int(os.environ.get("METRICSIEVE_KILLS", "8"))


class Writer(threading.Thread):
    """Writes numbered lines to some logs, in pieces of any size, and rotates them."""

    def __init__(self, directory, seed):
        super().__init__()
        self.random = random.Random(seed)
        self.logs = [directory / "a.log", directory / "b.log"]
        self.stopping = threading.Event()
        self.written = 0
        self.rotations = 0

    def run(self):
        """Until it is stopped."""
        files = [open(log, "ab", buffering=0) for log in self.logs]  # noqa: SIM115
        while not self.stopping.wait(self.random.random() * 0.004):
            which = self.random.randrange(2)
            text = b""
            for _ in range(self.random.randrange(1, 40)):
                text += b"step %d loss=%d.5\r\n" % (self.written, self.written)
                self.written += 1
            cut = self.random.randrange(len(text))
            files[which].write(text[:cut])
            rotates = self.random.random() < 0.02
            if rotates:  # the writer keeps its file and ends its line there
                self.rotate(which)
            files[which].write(text[cut:])
            if rotates:
                files[which].close()
                files[which] = open(self.logs[which], "ab", buffering=0)  # noqa: SIM115
        for file in files:
            file.close()

    def rotate(self, which):
        """The one by numbers, the other by dates."""
        log = self.logs[which]
        self.rotations += 1
        if which:
            os.rename(log, f"{log}-{20240000 + self.rotations}")
            return
        numbers = sorted(int(path.suffix[1:]) for path in log.parent.glob(f"{log.name}.*"))
        for number in reversed(numbers):
            os.rename(f"{log}.{number}", f"{log}.{number + 1}")
        os.rename(log, f"{log}.1")


def command(directory, output, commit_every):
    """The follower."""
    arguments = ["follow", directory / "a.log", directory / "b.log", "-m", r"loss=loss=(\S+)"]
    arguments += ["-c", r"step=step (\d+)", "--poll", "0.01", "--rotate-wait", "0.5"]
    return [*map(str, arguments), *output, "--commit-every", str(commit_every)]


def count(output):
    """How often each value is there."""
    if output.suffix == ".jsonl":
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    else:
        rows = pyarrow.dataset.dataset(str(output), format="parquet").to_table().to_pylist()
    assert all(int(row["value"]) == row["step"] for row in rows)
    return Counter(int(row["value"]) for row in rows)


@pytest.mark.timeout(300 + 5 * KILLS)
@pytest.mark.parametrize("name", ["parts", "a.jsonl"])
def test_f13_g3_kill_9_during_follow_loses_and_doubles_nothing(tmp_path, name):
    """With rotation going on, at random moments; then the follower runs to the end once."""
    kills = KILLS if name == "parts" else max(4, KILLS // 10)
    moments = random.Random(7)
    writer = Writer(tmp_path, 11)
    target = tmp_path / name
    output = ["-o", f"{target}/"] if name == "parts" else ["-o", str(target)]
    state = tmp_path / "state"
    output += ["--state", str(state)]
    progress = 0
    try:
        for _ in range(kills):
            before = (state / "state.json").stat().st_mtime_ns if state.exists() else 0
            arguments = [*PROGRAM, *command(tmp_path, output, moments.choice([0, 0.05, 0.3]))]
            live = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            end = time.monotonic() + 30
            while time.monotonic() < end and live.poll() is None:  # until it has begun to work
                file = state / "state.json"
                if file.exists() and file.stat().st_mtime_ns != before:
                    break
            if not writer.is_alive():  # logs rotated before the first start are nobody's
                writer.start()
            time.sleep(moments.random() * 0.4)  # the moment is what is tested
            assert live.poll() is None, live.stderr.read()
            live.kill()
            live.wait()
            live.stderr.close()
            progress += 1
    finally:
        writer.stopping.set()
        writer.join()
    done = run(*command(tmp_path, output, 0.1), "--until-idle", "1.5", timeout=120)
    assert done.returncode == 0, done.stderr
    found = count(target)
    lost = writer.written - len(found)
    doubled = sum(found.values()) - len(found)
    print(
        f"\n{name}: {progress} kills, {writer.rotations} rotations, {writer.written:,} rows "
        f"written, {lost} lost, {doubled} doubled"
    )
    assert (lost, doubled) == (0, 0), done.stderr
    assert progress == kills
