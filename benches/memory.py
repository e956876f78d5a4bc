"""Peak memory while iterating the batches of a large file.

Each scan runs in a process of its own, which reports its peak resident memory: with one thread and
with two, over a small file and over a large one. The whole process counts, the interpreter and
pyarrow included. The bound is 128 MB + 64 MB a thread, whatever the size of the file.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from workloads import MIB, WORKLOADS

HERE = Path(__file__).parent
MB = 1_000_000
BLOCK = 32 * MIB


def peak_rss() -> int:
    """Peak of this process in bytes; unlike `ru_maxrss` without that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) * 1024


def repeated(name: str, home: Path, size: int) -> tuple[Path, int]:
    """A file of about `size` bytes that repeats one generated block, and its number of points."""
    plan = WORKLOADS[name](random.Random(f"memory:{name}"))
    texts, points, length = [], 0, 0
    for text, found, _ in plan.chunks(random.Random(f"memory:{name}:text")):
        texts.append(text)
        points, length = points + found, length + len(text)
        if length >= min(BLOCK, size):
            break
    block = b"".join(texts)
    times = max(1, round(size / length))
    path = home / f"{name}-{size / 1e9:g}gb.log"
    if not path.exists() or path.stat().st_size != times * length:
        if shutil.disk_usage(home).free < 1.1 * size:
            raise SystemExit(f"{home} has no room for {size / 1e9:g} GB")
        with path.open("wb") as out:
            for _ in range(times):
                out.write(block)
    return path, points * times


def child(name: str, path: str, threads: int) -> None:
    """Scans and prints: memory before, peak, points, seconds."""
    import warnings

    import metricsieve as ms

    warnings.simplefilter("ignore")
    definitions = WORKLOADS[name](random.Random(f"memory:{name}")).definitions
    before, begin = peak_rss(), time.perf_counter()
    points = sum(batch.num_rows for batch in ms.scan(path, definitions, threads=threads))
    print(before, peak_rss(), points, time.perf_counter() - begin)


class Measured(NamedTuple):
    """What a scan in a fresh process said: bytes resident before and at most, points, seconds."""

    before: int
    peak: int
    points: int
    seconds: float


def measured(name: str, path: Path, threads: int) -> Measured:
    command = [sys.executable, __file__, "--child", name, str(path), str(threads)]
    before, peak, points, seconds = subprocess.check_output(command, text=True).split()
    return Measured(int(before), int(peak), int(points), float(seconds))


def bound(threads: int) -> int:
    return (128 + 64 * threads) * MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gb", type=float, default=5, help="size of the large file")
    parser.add_argument("--workload", nargs="*", default=["sparse-8", "dense-8"])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--data", type=Path, default=HERE / ".data", help="where files are kept")
    parser.add_argument("--keep", action="store_true", help="keep the large file")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options.child[1], int(options.child[2]))
        return 0
    options.data.mkdir(parents=True, exist_ok=True)
    failures = 0
    for name in options.workload:
        for gb in sorted({min(0.1, options.gb), options.gb}):
            path, expected = repeated(name, options.data, round(gb * 1e9))
            for threads in options.threads:
                before, peak, points, seconds = measured(name, path, threads)
                good = peak <= bound(threads) and points == expected
                failures += not good
                print(
                    f"{name:10} {gb:5g} GB  {threads} threads  peak {peak / MB:6.1f} MB "
                    f"(before the scan {before / MB:.1f}, bound {bound(threads) / MB:.0f})  "
                    f"{points:,} points  {path.stat().st_size / 1e6 / seconds:,.0f} MB/s"
                    f"{'' if good else '  FAILED'}",
                    flush=True,
                )
                if points != expected:
                    print(f"{name}: {expected:,} points were expected", file=sys.stderr)
            if not options.keep:
                path.unlink()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
