"""Fewer points for the same picture: `thin`, fed by `chart`."""

from __future__ import annotations

import math
from collections.abc import Sequence

_KEPT = 5  # of a bucket: first, smallest, largest, a gap, last


def thin(
    x: Sequence[float], y: Sequence[float], limit: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Points that draw the same line: of each bucket of neighbours the ends and the extremes.

    Args:
        x: places, in order.
        y: values; NaN is a gap, and a bucket with one keeps one.
        limit: at most so many points; at least 5.

    Returns:
        The points kept, in order: all of them where there are no more than `limit`.

    Example:
        >>> thin(range(9), [0, 0, 0, 7, 0, 0, -2, 0, 1], 5)
        ((0, 3, 6, 8), (0, 7, -2, 1))
    """
    if len(y) <= limit:
        return tuple(x), tuple(y)
    buckets = limit // _KEPT
    kept: list[int] = []
    for bucket in range(buckets):
        start, stop = (len(y) * end // buckets for end in (bucket, bucket + 1))
        chosen = {start, stop - 1}
        finite = [place for place in range(start, stop) if not math.isnan(y[place])]
        if finite:
            chosen |= {min(finite, key=y.__getitem__), max(finite, key=y.__getitem__)}
        if len(finite) < stop - start:
            chosen.add(next(place for place in range(start, stop) if math.isnan(y[place])))
        kept += sorted(chosen)
    return tuple(x[place] for place in kept), tuple(y[place] for place in kept)
