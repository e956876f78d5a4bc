"""Statistics of each metric in each group, batch by batch, in memory bounded by their number.

Principal function: `tally`. Arrow makes the statistics of a batch; `Tally.add` merges them with
those of the batches before it. Used by `_summary`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve.results._groups import GroupColumn, Groups, Key, source_columns
from metricsieve.results._rows import Rows, row_numbers

_LARGE = 2.0**480  # 2^63 squares of less can be summed
# A place: the values of the columns that tell where a row is from.
Place = tuple[Any, ...]


@dataclass(slots=True)
class Tally:
    """What is known of the points of one metric in one group.

    Attributes:
        count: how many, NaN included.
        nan: how many are NaN.
        first: the first value, in the order of the rows.
        last: the last one.
        low: the lowest value that is not NaN.
        low_at: where it is, for the first time.
        high: the highest one.
        high_at: where it is.
        finite: how many values are neither NaN nor infinite.
        mean: of these.
        squares: sum of the squares of their distances from the mean.
        infinite: sum of the infinite values, where there are any.
    """

    count: int
    nan: int
    first: float
    last: float
    low: float | None
    low_at: Place | None
    high: float | None
    high_at: Place | None
    finite: int
    mean: float
    squares: float
    infinite: float | None

    def add(self, other: Tally) -> None:
        """Take in what comes behind; mean and squares by the formula of Chan et al. (1979)."""
        self.last = other.last
        if other.low is not None and (self.low is None or other.low < self.low):
            self.low, self.low_at = other.low, other.low_at
        if other.high is not None and (self.high is None or other.high > self.high):
            self.high, self.high_at = other.high, other.high_at
        if other.infinite is not None:
            self.infinite = (self.infinite or 0.0) + other.infinite
        both = self.finite + other.finite
        if other.finite:
            apart = other.mean - self.mean
            part = other.finite / both
            if math.isinf(apart):
                self.mean = self.mean * (1 - part) + other.mean * part
            else:
                self.mean += apart * part
            self.squares += other.squares + apart * apart * (self.finite * other.finite / both)
        self.finite = both
        self.count += other.count
        self.nan += other.nan

    def average(self) -> float | None:
        """The mean without NaN; None if there is nothing else."""
        if self.infinite is not None:
            return self.infinite
        return self.mean if self.finite else None

    def deviation(self) -> float | None:
        """The standard deviation of a sample; None below two values, NaN with an infinite one."""
        if self.count - self.nan < 2:
            return None
        if self.infinite is not None:
            return math.nan
        return math.sqrt(self.squares / (self.finite - 1))


@dataclass(slots=True)
class Tallies:
    """Tallies by group and metric, in the order in which they appear.

    Attributes:
        groups: of each group its metrics.
        metrics: every metric that was seen, also those that were not wanted.
    """

    groups: dict[Key, dict[str, Tally]] = field(default_factory=dict)
    metrics: dict[str, None] = field(default_factory=dict)


def tally(
    rows: Rows,
    columns: Sequence[GroupColumn],
    places: Sequence[str] = (),
    only: str | None = None,
) -> Tallies:
    """Reads all rows.

    Args:
        rows: what to read.
        columns: what the rows of a group have in common.
        places: the columns that tell where the lowest and the highest value are.
        only: the metric that is wanted; None is every one.
    """
    found = Tallies()
    for batch in rows.points([*source_columns(columns), *places]):
        if only is not None:
            names = Groups([batch.column("metric")]).keys()
            found.metrics |= dict.fromkeys(name for (name,) in names)
            batch = batch.filter(pc.equal(batch.column("metric"), pa.scalar(only)))
            if not batch.num_rows:
                continue
        for (*key, metric), one in _of_batch(batch, columns, places):
            metrics = found.groups.setdefault(tuple(key), {})
            if metric in metrics:
                metrics[metric].add(one)
            else:
                metrics[metric] = one
    return found


def _of_batch(
    batch: Any, columns: Sequence[GroupColumn], places: Sequence[str]
) -> list[tuple[Key, Tally]]:
    value = batch.column("value")
    rows = row_numbers(batch.num_rows)
    nan = pc.is_nan(value)
    ordered = pc.if_else(nan, pa.scalar(None, pa.float64()), value)
    infinite = pc.if_else(pc.is_inf(value), value, pa.scalar(None, pa.float64()))
    finite = pc.if_else(pc.is_finite(value), value, pa.scalar(None, pa.float64()))
    groups = Groups([*(one.of(batch) for one in columns), batch.column("metric")])
    finite, scales = _scaled(finite, groups)
    told = groups.aggregate(
        count=(rows, "count"),
        nan=(nan.cast(pa.int64()), "sum"),
        last=(rows, "max"),
        low=(ordered, "min"),
        high=(ordered, "max"),
        infinite=(infinite, "sum"),
        finite=(finite, "count"),
        mean=(finite, "mean"),
    )
    # The sum behind a mean has lost digits; the mean of what is left beside it gives them back.
    apart = pc.subtract(finite, told["mean"].take(groups.ids))
    more = groups.aggregate(
        apart=(apart, "mean"),
        squares=(pc.multiply(apart, apart), "sum"),
    )
    lists = {name: column.to_pylist() for name, column in (told | more).items()}
    lists["scale"] = scales.to_pylist()
    lists["first"] = value.take(groups.firsts).to_pylist()
    lists["last"] = value.take(told["last"]).to_pylist()
    for name in ("low", "high"):
        lists[f"{name}_at"] = _places(batch, places, groups, ordered, told[name])
    tallies = []
    for each in zip(*lists.values(), strict=True):
        one = dict(zip(lists, each, strict=True))
        correction, scale = one.pop("apart"), one.pop("scale")
        if one["finite"]:
            squares = max(0.0, one["squares"] - one["finite"] * correction * correction)
            one["mean"] = (one["mean"] + correction) / scale
            one["squares"] = squares / scale / scale
        else:
            one["mean"] = one["squares"] = 0.0
        tallies.append(Tally(**one))
    return list(zip(groups.keys(), tallies, strict=True))


def _scaled(values: Any, groups: Groups) -> tuple[Any, Any]:
    """The values, times a power of two in groups whose squares would overflow; and the factors."""
    size = pc.abs(values)
    if (pc.max(size).as_py() or 0.0) <= _LARGE:
        return values, pa.repeat(pa.scalar(1.0), len(groups))
    is_large = pc.fill_null(pc.greater(groups.extreme("max", size), pa.scalar(_LARGE)), False)
    factors = pc.if_else(is_large, pa.scalar(2.0**-600), pa.scalar(1.0))
    return pc.multiply(values, factors.take(groups.ids)), factors


def _places(
    batch: Any, names: Sequence[str], groups: Groups, values: Any, extremes: Any
) -> list[Place | None]:
    """Where each group has its extreme value for the first time."""
    hits = pc.equal(values, extremes.take(groups.ids))
    missed = pa.scalar(None, pa.int64())
    rows = groups.extreme("min", pc.if_else(hits, row_numbers(batch.num_rows), missed))
    parts = []
    for name in names:
        column = batch.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        parts.append(column.take(rows).to_pylist())
    known = rows.is_valid().to_pylist()
    places = zip(*parts, strict=True) if parts else [()] * len(groups)
    return [place if is_known else None for place, is_known in zip(places, known, strict=True)]
