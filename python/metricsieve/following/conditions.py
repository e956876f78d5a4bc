"""Conditions that end a live command: a loss that is NaN, a threshold, no progress.

Principal type: `Conditions`. Fed by `--fail-if`; looks at batches as they come, a column at a time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve._text import visible

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_COMPARISON = re.compile(rf"(?P<name>.+?)\s*(?P<operator>>=|<=|==|>|<)\s*(?P<limit>{_NUMBER})")
_STATE = re.compile(r"(?P<name>.+?)\s+is\s+(?P<state>nan|inf|finite|not\s+finite)", re.IGNORECASE)
_PROGRESS = re.compile(
    r"(?:(?P<name>.+?):?\s+)?no\s+progress\s+for\s+(?P<count>\d+(?:\.\d+)?)\s*(?P<unit>[smhd])",
    re.IGNORECASE,
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_OPERATORS: dict[str, Callable[..., Any]] = {
    ">": pc.greater,
    "<": pc.less,
    ">=": pc.greater_equal,
    "<=": pc.less_equal,
    "==": pc.equal,
}
HELP = (
    "a condition is 'NAME is nan', 'NAME is inf', 'NAME is not finite', 'NAME > 100' (or <, >=, "
    "<=, ==), 'no progress for 10m' or 'NAME no progress for 10m' (s, m, h, d)"
)


@dataclass(slots=True)
class _Condition:
    text: str
    name: str | None
    holds: Callable[[Any], Any] | None  # values -> booleans
    seconds: float | None = None
    since: float = field(default_factory=time.monotonic)


class Conditions:
    """Conditions on points as they come.

    Args:
        given: the conditions, as users write them.

    Raises:
        ValueError: one that is none; the message says what there is.

    Example:
        >>> conditions = Conditions(["loss is nan", "loss > 100"])
        >>> batch = pa.record_batch({"metric": ["acc", "loss"], "value": [1e9, 101.0]})
        >>> conditions.of_batch(batch)
        "'loss > 100': loss is 101.0"
    """

    def __init__(self, given: Sequence[str]) -> None:
        self._conditions = [_read(one) for one in given]

    def __bool__(self) -> bool:
        return bool(self._conditions)

    def check_names(self, names: Iterable[str]) -> None:
        """Refuse conditions on metrics that nobody looks for.

        Raises:
            ValueError: with the names that there are.
        """
        known = list(dict.fromkeys(names))
        for one in self._conditions:
            if one.name is not None and one.name not in known:
                listed = ", ".join(map(repr, known[:10])) + (", …" if len(known) > 10 else "")
                raise ValueError(
                    f"--fail-if {one.text!r}: no definition is named {one.name!r}; "
                    f"there are {listed}"
                )

    def of_batch(self, batch: pa.RecordBatch) -> str | None:
        """Which condition a point of the batch meets, and which point; None for none.

        The batch needs the columns `metric` and `value`; it is told where, if it can tell.
        """
        if not self._conditions or not batch.num_rows:
            return None
        metrics = batch.column("metric")
        now = time.monotonic()
        for one in self._conditions:
            if one.name is None:
                one.since = now
                continue
            mine = pc.equal(metrics, pa.scalar(one.name))
            if one.holds is None:
                if pc.any(mine).as_py():
                    one.since = now
                continue
            met = pc.and_(mine, pc.fill_null(one.holds(batch.column("value")), False))
            place = pc.index(met, True).as_py()
            if place >= 0:
                return _told(one, batch.slice(place, 1).to_pylist()[0])
        return None

    def of_clock(self) -> str | None:
        """Which condition the passing time meets; None for none."""
        now = time.monotonic()
        for one in self._conditions:
            if one.seconds is not None and now - one.since >= one.seconds:
                return f"{one.text!r}: no point for {now - one.since:.0f} s"
        return None


def _read(text: str) -> _Condition:
    given = text.strip()
    if found := _PROGRESS.fullmatch(given):
        seconds = float(found["count"]) * _SECONDS[found["unit"].lower()]
        return _Condition(given, found["name"], None, seconds)
    if found := _STATE.fullmatch(given):
        return _Condition(given, found["name"], _state(found["state"].lower()))
    if found := _COMPARISON.fullmatch(given):
        operator, limit = _OPERATORS[found["operator"]], float(found["limit"])
        return _Condition(given, found["name"], lambda values: operator(values, limit))
    raise ValueError(f"{text!r} is no condition: {HELP}")


def _state(name: str) -> Callable[[Any], Any]:
    if name == "nan":
        return pc.is_nan
    if name == "inf":
        return pc.is_inf
    if name == "finite":
        return pc.is_finite
    return lambda values: pc.invert(pc.is_finite(values))


def _told(condition: _Condition, row: dict[str, Any]) -> str:
    place = ":".join(str(row[key]) for key in ("source", "line") if row.get(key) is not None)
    where = f" at {place}" if place else ""
    return visible(f"{condition.text!r}: {row['metric']} is {row['value']}{where}")
