"""From a series to a curve: sorted, one value a place, gaps, the best value, thinned out.

Fed by `chart`, with what was left out on the way in `Counts`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from metricsieve.plotting._names import Direction
from metricsieve.plotting._series import Series, seconds
from metricsieve.plotting._thin import thin

MAX_POINTS = 4000  # of a curve: more than there are pixels


@dataclass(slots=True)
class Counts:
    """What a panel does not show as it stands in the log."""

    points: int = 0
    placeless: int = 0
    repeated: int = 0
    gaps: int = 0
    thinned: int = 0

    def notes(self, column: str) -> list[str]:
        """The counts that are not zero, as sentences.

        Example:
            >>> Counts(points=10, gaps=2).notes("step")
            ['2 of 10 points are NaN or infinite: gaps']
        """
        of = f"of {self.points:,} points"
        told = {
            f"{self.placeless:,} {of} have no {column}: left out": self.placeless,
            f"{self.repeated:,} {of} came before another at the same {column}: "
            "the last one counts": self.repeated,
            f"{self.gaps:,} {of} are NaN or infinite: gaps": self.gaps,
            f"{self.thinned:,} {of} are not drawn: what remains has the extremes": self.thinned,
        }
        return [sentence for sentence, count in told.items() if count]


def ordered(
    series: Series, column: str, kind: str, counts: Counts
) -> tuple[list[float], list[float]]:
    """The places and values of a curve, sorted; of the values at a place the last."""
    values: list[Any] = series.rows["value"].to_pylist()
    counts.points += len(values)
    places = _places(series, column, kind)
    both = zip(places, values, strict=True)
    pairs = [(x, y) for x, y in both if x is not None and math.isfinite(x)]
    counts.placeless += len(values) - len(pairs)
    pairs.sort(key=lambda pair: pair[0])  # stable: rows at a place keep their order
    kept = [one for one, after in pairwise([*pairs, (math.nan, 0.0)]) if one[0] != after[0]]
    counts.repeated += len(pairs) - len(kept)
    finite = [y if math.isfinite(y) else math.nan for _, y in kept]
    counts.gaps += sum(map(math.isnan, finite))
    return [x for x, _ in kept], finite


def _places(series: Series, column: str, kind: str) -> Sequence[float | None]:
    if column == "point":
        return range(1, series.rows.num_rows + 1)
    cells = series.rows[column]
    if kind == "number":
        import pyarrow as pa

        whole = pa.types.is_integer(cells.type)  # which a float may not hold
        found: list[float | None] = (cells if whole else cells.cast(pa.float64())).to_pylist()
        return found
    start = (series.start or 0.0) if kind == "elapsed" else 0.0
    return [None if one is None else one - start for one in seconds(cells)]


def best(
    x: Sequence[float], y: Sequence[float], better: Direction | None
) -> tuple[float, float] | None:
    """The first of the best points.

    Example:
        >>> best([1, 2, 3], [5.0, 4.0, 4.0], "min"), best([1], [5.0], None)
        ((2, 4.0), None)
    """
    finite = [pair for pair in zip(x, y, strict=True) if not math.isnan(pair[1])]
    if better is None or not finite:
        return None
    pick = min if better == "min" else max
    return pick(finite, key=lambda pair: pair[1])


def thinned(
    x: Sequence[float], y: Sequence[float], counts: Counts
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most `MAX_POINTS` points that draw the same curve."""
    kept = thin(x, y, MAX_POINTS)
    counts.thinned += len(y) - len(kept[1])
    return kept


def short_names(runs: Sequence[str]) -> dict[str, str]:
    """Names without the directories that all of them begin with.

    Example:
        >>> short_names(["logs/a/train.log", "logs/b/train.log"])
        {'logs/a/train.log': 'a/train.log', 'logs/b/train.log': 'b/train.log'}
    """
    shared = os.path.commonprefix(list(runs)) if len(runs) > 1 else ""  # noqa: RUF071 - of URLs too
    return {run: run[shared.rfind("/") + 1 :] for run in runs}


def date_text(moment: float) -> str:
    """A time as ISO 8601 in UTC, to the second.

    Example:
        >>> date_text(0.0)
        '1970-01-01T00:00:00Z'
    """
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError):  # not in the years 1 to 9999
        return f"{moment:.0f} s since 1970"
