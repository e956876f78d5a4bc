"""Timing: entries that run in turn, each on its CPUs, and the load of other processes.

`Entry` is the principal type; `entries.py` makes them, `run.py` and `curves.py` have them measured.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from workloads import Workload

LOAD_LIMIT = 0.10
# What takes less time than this is run more often in a round, up to so many times: a scan of 60 ms
# on two CPUs varies by a fifth from one time to the next.
ROUND_SECONDS = 0.15
ROUND_RUNS = 5
CORES = sorted(os.sched_getaffinity(0))


class Outcome(NamedTuple):
    """What one run of an entry found and took; `build` is the part that making the scanner took."""

    found: int
    seconds: float
    build: float = 0.0


@dataclass(slots=True)
class Entry:
    """Something to measure.

    Attributes:
        run: does the work on `workload`, on `cores` CPUs.
        expected: the count that it must return; None where the entry counts nothing.
        rates: MB of text a second, one a round: the median of the runs in it.
        builds: seconds that making the scanner took, the same way.
        failure: why the entry was given up.
        wrong: whether that was a wrong count.
    """

    name: str
    workload: Workload
    run: Callable[[], Outcome]
    expected: int | None
    cores: int = 1
    rates: list[float] = field(default_factory=list)
    builds: list[float] = field(default_factory=list)
    failure: str | None = None
    wrong: bool = False


class Load:
    """Share of the machine's CPU time that other processes took since the last look."""

    def __init__(self) -> None:
        self._before = self._read()

    @staticmethod
    def _read() -> tuple[float, float]:
        line = Path("/proc/stat").read_text().split("\n")[0]
        fields = [int(text) for text in line.split()[1:9]]
        busy = sum(fields) - fields[3] - fields[4]
        own = sum(os.times()[:4])
        return busy / os.sysconf("SC_CLK_TCK") - own, time.monotonic()

    def since(self) -> float:
        (other, then), self._before = self._before, self._read()
        elapsed = self._before[1] - then
        return max(0.0, (self._before[0] - other) / (elapsed * (os.cpu_count() or 1)))


def warm(paths: Iterable[Path]) -> None:
    """Read everything once, so that it is in the page cache."""
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def drop(paths: Iterable[Path]) -> None:
    """Ask the kernel to forget the files; only clean pages can go, so they are written first."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def run_once(entry: Entry) -> Outcome | None:
    """What a run found and took; None if it failed, which the entry tells."""
    if entry.workload.cold:
        drop(entry.workload.paths)
    os.sched_setaffinity(0, CORES[: entry.cores])
    try:
        outcome = entry.run()
    except (OSError, RuntimeError) as error:  # ours, and the ways in which a peer may fail
        entry.failure = f"{type(error).__name__}: {error}"
        return None
    finally:
        os.sched_setaffinity(0, CORES)
    if entry.expected is not None and outcome.found != entry.expected:
        entry.failure = f"found {outcome.found:,}, not {entry.expected:,}"
        entry.wrong = True
        return None
    return outcome


def measure_round(entries: list[Entry]) -> None:
    """Run all entries in turn, and again in turn those that took little time."""
    taken: list[list[Outcome]] = [[] for _ in entries]
    for _ in range(ROUND_RUNS):
        for entry, outcomes in zip(entries, taken, strict=True):
            if entry.failure is None and sum(run.seconds for run in outcomes) < ROUND_SECONDS:
                outcome = run_once(entry)
                outcomes += [outcome] if outcome else []
    for entry, outcomes in zip(entries, taken, strict=True):
        if entry.failure is None:
            seconds = statistics.median(run.seconds for run in outcomes)
            entry.rates.append(entry.workload.text_bytes / 1e6 / seconds)
            entry.builds.append(statistics.median(run.build for run in outcomes))


def measure(entries: list[Entry], rounds: int) -> float:
    """Measure all entries, `rounds` times; return the load of other processes meanwhile."""
    load = Load()
    for _ in range(rounds):
        measure_round(entries)
    return load.since()


Series = dict[str, list[float]]


def paired(top: list[float] | None, bottom: list[float] | None) -> list[float]:
    """The ratios within each round; nothing if one of the two has gaps."""
    if not top or not bottom or len(top) != len(bottom):
        return []
    return [a / b for a, b in zip(top, bottom, strict=True)]


def median(values: list[float] | None) -> float | None:
    return statistics.median(values) if values else None
