"""How far `metricsieve follow` lags behind fast writers, and whether its memory stays flat.

Writes RATE MB/s to LOGS logs, rotates each every few seconds and follows them into Parquet parts in
another process. Every few seconds, and at the end: the lag (how long ago the byte that was read
last had been written) and the resident memory of the follower.

    python benches/follow.py --seconds 600 --rate 100
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PIECE = 1 << 20


class Writer(threading.Thread):
    """Writes a piece of a log at a time, at a given rate over all logs, and rotates."""

    def __init__(self, directory: Path, logs: int, rate: float, rotate: float) -> None:
        super().__init__(daemon=True)
        self.logs = [directory / f"rank{number}.log" for number in range(logs)]
        self.rate, self.rotate = rate, rotate
        self.written = 0
        self.rotations = 0
        self.points = 0
        self.times: list[tuple[float, int]] = []
        self.stopping = threading.Event()
        noise = b"2024-01-31 12:00:00,000 INFO trainer.py:123 shard 17 of 512 loaded in 0.0123 s\n"
        record = b"2024-01-31 12:00:00,000 INFO step 1000 loss=0.4375 lr=1e-4\n"
        block = noise * 60 + record
        self.piece = block * (PIECE // len(block))
        self.per_piece = self.piece.count(b"loss=")

    def run(self) -> None:
        """Until it is stopped."""
        files = [open(log, "ab", buffering=0) for log in self.logs]  # noqa: SIM115
        begun = time.monotonic()
        rotated = [begun + self.rotate * n / len(files) for n in range(len(files))]
        which = 0
        while not self.stopping.is_set():
            files[which].write(self.piece)
            self.written += len(self.piece)
            self.points += self.per_piece
            now = time.monotonic()
            self.times.append((now, self.written))
            if now - rotated[which] > self.rotate:
                rotated[which] = now
                self.rotations += 1
                log = self.logs[which]
                oldest = Path(f"{log}.3")
                oldest.unlink(missing_ok=True)
                for number in (2, 1):
                    if os.path.exists(f"{log}.{number}"):
                        os.rename(f"{log}.{number}", f"{log}.{number + 1}")
                os.rename(log, f"{log}.1")
                files[which].close()
                files[which] = open(log, "ab", buffering=0)  # noqa: SIM115
            which = (which + 1) % len(files)
            ahead = self.written / (self.rate * 1e6) - (time.monotonic() - begun)
            if ahead > 0:
                time.sleep(ahead)


def resident(pid: int) -> float:
    """Resident memory in MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024


FOLLOWER = """
import sys, time, threading
import metricsieve as ms
definitions = {"loss": r"loss=(\\S+)", "lr": r"lr=(\\S+)"}
live = ms.follow(sys.argv[1:-1], definitions, sinks=sys.argv[-1], poll=0.25, rotate_wait=1.0)
threading.Thread(target=lambda: (sys.stdin.read(), live.stop()), daemon=True).start()
last = 0.0
for _ in live:
    if time.monotonic() - last > 0.2:
        last = time.monotonic()
        print(last, live.report.bytes, flush=True)
final = live.report
print("end", final.bytes, final.points, final.follow, flush=True)
"""


def main() -> None:
    """Measures, and prints a table and a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=100, help="MB/s over all logs")
    parser.add_argument("--logs", type=int, default=10)
    parser.add_argument("--rotate", type=float, default=10, help="seconds between rotations")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp())
    writer = Writer(directory, options.logs, options.rate, options.rotate)
    command = [sys.executable, "-c", FOLLOWER, *map(str, writer.logs), f"{directory}/parts/"]
    live = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lags: list[float] = []
    memory: list[tuple[float, float]] = []
    try:
        writer.start()
        begun = shown = time.monotonic()
        for line in live.stdout:
            if line.startswith("end"):
                print(line.strip())
                break
            now, done = float(line.split()[0]), int(line.split()[1])
            # The lag: how long ago what was read last had been written.
            while writer.times and writer.times[0][1] <= done:
                writer.times.pop(0)
            lag = max(0.0, now - writer.times[0][0]) if writer.times else 0.0
            lags.append(lag)
            memory.append((now - begun, resident(live.pid)))
            if now - shown > 5:
                shown = now
                print(
                    f"{now - begun:6.0f} s {done / 1e6:9,.0f} MB lag {lag:5.2f} s "
                    f"{memory[-1][1]:6.0f} MiB",
                    flush=True,
                )
            if now - begun > options.seconds and not writer.stopping.is_set():
                writer.stopping.set()
                writer.join()
                time.sleep(2)
                live.stdin.close()
    finally:
        writer.stopping.set()
        live.kill()
        live.wait()
        shutil.rmtree(directory)
    lags.sort()
    settled = [one for at, one in memory if at > 10] or [0]
    print(
        f"written {writer.written / 1e6:,.0f} MB, {writer.points:,} losses, "
        f"{writer.rotations} rotations"
    )
    print(
        f"lag: median {lags[len(lags) // 2]:.2f} s, 99 % {lags[int(len(lags) * 0.99)]:.2f} s, "
        f"largest {lags[-1]:.2f} s"
    )
    print(
        f"memory after 10 s: {min(settled):.0f} to {max(settled):.0f} MiB, "
        f"last {settled[-1]:.0f} MiB"
    )


if __name__ == "__main__":
    main()
