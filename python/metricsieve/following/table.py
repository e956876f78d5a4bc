"""The live table on a terminal: of each metric the last value and how it went.

Principal type: `LiveTable`. Fed with batches by `cli`; draws a few times a second, whatever
the rate of points.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from metricsieve._render import number
from metricsieve._text import visible

if TYPE_CHECKING:
    from types import TracebackType

    from metricsieve.following._follow import Follow

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 40
_LOOK = 4096  # rows of a batch that are looked at for the sparklines: the last ones
_REDRAW = 0.25


def sparkline(values: list[float]) -> str:
    """Values as bars between their smallest and largest; what is not finite as a dot.

    Example:
        >>> sparkline([0.0, 1.0, math.nan, 2.0])
        '▁▅·█'
    """
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    # Halved first: the distance of two finite numbers may be infinite.
    span = high / 2 - low / 2

    def bar(value: float) -> str:
        if not math.isfinite(value):
            return "·"
        place = (value / 2 - low / 2) / span if span > 0 else 0.0
        return _BARS[min(len(_BARS) - 1, int(place * len(_BARS)))]

    return "".join(map(bar, values))


class LiveTable:
    """A table that is drawn again as points come.

    Args:
        live: whose report has the counts.
    """

    def __init__(self, live: Follow) -> None:
        self._live = live
        self._values: dict[str, deque[float]] = {}
        self._drawn = 0.0
        console = Console(file=sys.stdout, highlight=False)
        self._screen = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> LiveTable:
        self._screen.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._draw()
        self._screen.stop()

    def add(self, batch: Any) -> None:
        """Take the points of a batch; draw when it is time."""
        last = batch.slice(max(0, batch.num_rows - _LOOK))
        metrics = last.column("metric")
        for name in pc.unique(metrics).to_pylist():
            values = last.column("value").filter(pc.equal(metrics, name))
            kept = self._values.setdefault(name, deque(maxlen=_WIDTH))
            kept.extend(values.slice(max(0, len(values) - _WIDTH)).drop_null().to_pylist())
        if time.monotonic() - self._drawn >= _REDRAW:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        report = self._live.report
        table = Table(box=None, pad_edge=False)
        table.add_column("metric", overflow="fold")
        for heading in ("points", "last", "min", "max"):
            table.add_column(heading, justify="right")
        table.add_column("trend", no_wrap=True)
        for entry in report.definitions:
            if not entry.points and report.silent_is_normal:
                continue
            table.add_row(
                Text(visible(entry.name)),
                f"{entry.points:,}",
                *(number(value) for value in (entry.last, entry.min, entry.max)),
                sparkline(list(self._values.get(entry.name, ()))),
            )
        self._screen.update(table, refresh=True)
