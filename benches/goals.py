"""What the project wants to reach, as ratios within one run; `table.py` prints how it stands.

One row a goal. `top` and `bottom` name entries of `entries.py`, or what `entries.derive` makes of
them; without `bottom` the goal is on `top` itself. Costs (`costs.py`) have an upper bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import memory
from measure import Series, median, paired
from workloads import WORKLOADS
from wrapped import PREFIXES


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of a workload and what it shall be at least."""

    workload: str
    top: str
    bottom: str | None
    at_least: float
    beyond: float | None = None
    unit: str = "x"

    @property
    def text(self) -> str:
        return f"{TITLES[self.top]} / {TITLES[self.bottom]}" if self.bottom else TITLES[self.top]


@dataclass(frozen=True, slots=True)
class Limit:
    """A cost and what it shall be at most."""

    cost: str
    text: str
    at_most: float
    beyond: float | None = None


TITLES = {
    "one": "one CPU",
    "two": "two CPUs",
    "built": "one CPU, definitions compiled",
    "files": "files a second, one CPU",
    "scaled": "one CPU x scaling of read(2) + line feeds",
    "ideal": "the ideal schedule",
    "gunzip": "the same decompressor",
    "plain": "the same as plain text",
    "sparse-8": "sparse-8",
    "re-loop": "Python's loop",
    "re-union": "Python's best form",
    "read two": "read(2) by two threads",
    "rg default": "rg -oN, default settings",
    "rg -oN": "rg -oN",
    "rg -on -b": "rg -on -b",
}
TRAPS = [name for name in WORKLOADS if name.startswith("trap-")]
GOALS = [
    Goal("sparse-8", "one", "rg -on -b", 1.0),
    Goal("sparse-8", "one", "rg -oN", 0.85, 1.2),
    Goal("sparse-8", "two", "rg default", 1.5),
    Goal("sparse-8", "two", "read two", 0.0, 0.5),
    Goal("sparse-8", "two", "scaled", 0.95),
    Goal("dense-8", "one", "rg -oN", 2.5, 8),
    Goal("dense-8", "two", "scaled", 0.95),
    Goal("dotstar", "one", "rg -oN", 5, 8),
    Goal("many-40", "one", "rg -oN", 1.5),
    Goal("many-40", "one", "sparse-8", 0.0, 0.5),
    Goal("many-200", "one", "rg -oN", 3),
    Goal("many-200", "one", "sparse-8", 0.0, 0.5),
    Goal("many-1000", "one", "rg -oN", 5),
    Goal("many-1000", "one", "sparse-8", 0.0, 0.5),
    Goal("many-10000", "built", None, 300, 1500, "MB/s"),
    *(Goal(name, "one", "sparse-8", 0.5, 0.85) for name in ("bars", "coloured", "escaped")),
    Goal("real", "one", "re-loop", 100, 300),
    Goal("real", "one", "re-union", 4),
    *(Goal(name, "one", "gunzip", 0.75, 0.85) for name in ("gz", "export")),
    *(Goal(f"wrapped-{shape}", "one", "plain", 0.7) for shape in PREFIXES),
    Goal("ranks", "built", None, 250, unit="MB/s"),
    Goal("tiny", "files", None, 30_000, unit="/s"),
    Goal("skew", "two", "ideal", 0.8),
    *(Goal(name, "built", None, 250, unit="MB/s") for name in TRAPS),
]
LIMITS = [
    Limit("10,000 definitions s", "build 10,000 definitions", 2),
    Limit("10,000 definitions MB", "memory of building them", 256),
    *(
        Limit(
            f"{name}, {size} file, {threads} threads MB",
            f"peak memory, {name}, {size} file, {threads} threads",
            memory.bound(threads) / 1e6,
        )
        for name in ("sparse-8", "dense-8")
        for threads in (1, 2)
        for size in ("small", "large")
    ),
    Limit("tiny MB", "peak memory, tiny", 300),
    Limit("import ms", "import metricsieve, beyond python -c pass", 60),
    Limit("help ms", "metricsieve --help", 150, 100),
]


def _row(
    workload: str,
    text: str,
    values: list[float],
    unit: str,
    limits: tuple[float | None, float | None],
    good: Callable[[float, float], bool],
) -> dict[str, Any]:
    middle = median(values)
    verdicts = [
        None if middle is None or limit is None else good(middle, limit) for limit in limits
    ]
    return {
        "workload": workload,
        "what": text,
        "unit": unit,
        "goal": limits[0],
        "beyond": limits[1],
        "median": middle,
        "range": [min(values), max(values)] if values else None,
        "holds": verdicts[0],
        "beyond_holds": verdicts[1],
    }


def standing(series: dict[str, Series], costs: Series) -> Iterator[dict[str, Any]]:
    """How each goal stands whose workload was measured.

    Args:
        series: of each workload, as `entries.derive` gives them.
        costs: as `costs.costs` gives them; empty if they were not measured.
    """
    for goal in GOALS:
        if goal.workload not in series:
            continue
        found = series[goal.workload]
        values = found.get(goal.top, [])
        if goal.bottom is not None:
            values = paired(values, found.get(goal.bottom))
        limits = (goal.at_least or None, goal.beyond)
        yield _row(goal.workload, goal.text, values, goal.unit, limits, lambda a, b: a >= b)
    for limit in LIMITS if costs else []:
        values, unit = costs.get(limit.cost, []), limit.cost.split()[-1]
        bounds = (limit.at_most, limit.beyond)
        yield _row("", limit.text, values, unit, bounds, lambda a, b: a <= b)
