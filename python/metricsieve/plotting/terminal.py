"""A curve in the terminal: `render` draws a `Panel` with braille dots, or in plain ASCII.

Used by `metricsieve plot` where no file is asked for. Colours are rich's, so that they disappear
where a terminal has none; roles are told apart by their lines as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.text import Text

from metricsieve._text import visible
from metricsieve.plotting.chart import Curve, Panel, number_text

_COLORS = ("blue", "red", "green", "magenta", "yellow", "cyan", "white", "bright_black")
# The bits of a braille character, by row and column of its dots.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
# Of so many dots of a line so many are drawn.
_DASHES = {"validation": (1, 1), "train": (6, 3), "test": (4, 1), "other": (1, 1)}
_SAMPLES = {"validation": "──", "train": "╌╌", "test": "┈┈", "other": "──"}
_LETTERS = {"validation": "o", "train": ".", "test": "x", "other": "*"}
# Drawn in this order, so that what tells most lies on top.
_ORDER = ("train", "other", "test", "validation")
_LABEL = 40


@dataclass(frozen=True, slots=True)
class _Scale:
    """Numbers to places from 0 to `last`."""

    low: float
    high: float
    last: int
    log: bool = False

    def __call__(self, number: float) -> int:
        low, high, at = (
            map(math.log10, (self.low, self.high, number))
            if self.log
            else (self.low / 2, self.high / 2, number / 2)  # their distance may be infinite
        )
        share = (at - low) / (high - low) if high > low else 0.5
        return round(share * self.last)

    def middle(self) -> float:
        """The number in the middle."""
        if self.log:
            return 10 ** ((math.log10(self.low) + math.log10(self.high)) / 2)
        return self.low / 2 + self.high / 2


@dataclass(slots=True)
class _Canvas:
    """Cells with dots: the bits of each, and whose colour it has."""

    columns: int
    rows: int
    ascii: bool
    bits: dict[tuple[int, int], int] = field(default_factory=dict)
    owners: dict[tuple[int, int], Curve] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Dots across and down."""
        return (self.columns, self.rows) if self.ascii else (2 * self.columns, 4 * self.rows)

    def cell(self, x: int, y: int) -> tuple[int, int]:
        """The cell of a dot, as (row, column); y counts upwards."""
        down = self.size[1] - 1 - y
        return (down, x) if self.ascii else (down // 4, x // 2)

    def set(self, x: int, y: int, owner: Curve) -> None:
        """Draw a dot."""
        cell = self.cell(x, y)
        down = self.size[1] - 1 - y
        self.bits[cell] = self.bits.get(cell, 0) | _DOTS[down % 4][x % 2]
        self.owners[cell] = owner

    def character(self, cell: tuple[int, int]) -> tuple[str, str]:
        """What stands in a cell, and its style."""
        owner = self.owners.get(cell)
        if owner is None:
            return " ", ""
        letter = _LETTERS[owner.role] if self.ascii else chr(0x2800 + self.bits[cell])
        return letter, _style(owner)


def render(panel: Panel, width: int = 80, height: int = 12, *, ascii: bool = False) -> Text:
    """Draw a panel as text.

    Args:
        panel: with at least one finite value.
        width: characters of the longest line; at least 30 are used.
        height: lines of the curve itself; at least 3. Title, axis and legend come beside.
        ascii: no character beyond ASCII; those of names become question marks.

    Returns:
        Lines, joined by line feeds, with colours.

    Example:
        >>> from metricsieve.plotting.chart import Axis, Curve
        >>> curve = Curve("loss", "other", "", 0, (1, 2, 3), (4.0, 2.0, 1.0), (3, 1.0), 3)
        >>> panel = Panel("loss", Axis("epoch"), (curve,), "min", best=curve)
        >>> print(render(panel, 34, 3, ascii=True).plain)
        loss             best 1 at epoch 3
          4 |********
        2.5 |        *************
          1 |                     *******@
            +-----------------------------
             1                           3
             epoch
            ** loss
    """
    width, height = max(width, 30), max(height, 3)
    values = [y for curve in panel.curves for y in curve.y if not math.isnan(y)]
    places = [x for curve in panel.curves for x in curve.x]
    low, high = min(values), max(values)
    middle = _Scale(low, high, 1, panel.log).middle()
    ticks = {0: f"{high:.4g}", height // 2: f"{middle:.4g}", height - 1: f"{low:.4g}"}
    if low == high:
        ticks = {height // 2: f"{low:.4g}"}
    margin = max(map(len, ticks.values()))
    canvas = _Canvas(width - margin - 2, height, ascii)
    across = _Scale(min(places), max(places), canvas.size[0] - 1)
    up = _Scale(low, high, canvas.size[1] - 1, panel.log)
    for curve in sorted(panel.curves, key=lambda one: _ORDER.index(one.role)):
        _trace(curve, across, up, canvas)
    best = None
    if panel.best is not None and panel.best.best is not None:
        x, y = panel.best.best
        best = canvas.cell(across(x), up(y))

    lines = [_head(panel, width)]
    for row in range(height):
        line = Text(f"{ticks.get(row, ''):>{margin}} {_edge(row in ticks, ascii)}")
        for column in range(canvas.columns):
            if (row, column) == best and panel.best is not None:
                line.append("@" if ascii else "★", f"bold {_style(panel.best)}")
            else:
                line.append(*canvas.character((row, column)))
        line.rstrip()
        lines.append(line)
    lines += _foot(panel, across, margin, canvas.columns, ascii)
    lines += _legend(panel, margin, width, ascii)
    text = Text("\n").join(lines)
    if ascii:
        plain = text.plain.replace("…", "~").replace("·", "-")
        text.plain = plain.encode("ascii", "replace").decode()
    return text


def _style(curve: Curve) -> str:
    return f"{'dim ' if curve.role == 'train' else ''}{_COLORS[curve.color % len(_COLORS)]}"


def _edge(tick: bool, ascii: bool) -> str:
    return "|" if ascii else "┤" if tick else "│"


def _trace(curve: Curve, across: _Scale, up: _Scale, canvas: _Canvas) -> None:
    """Draw a curve: lines between neighbours, none over gaps."""
    whole, drawn = (1, 1) if canvas.ascii else _DASHES[curve.role]
    count = 0
    before: tuple[int, int] | None = None
    for x, y in zip(curve.x, curve.y, strict=True):
        if math.isnan(y):
            before = None
            continue
        dot = (across(x), up(y))
        for place in _between(before, dot):
            if place != before and count % whole < drawn:
                canvas.set(*place, curve)
            count += place != before
        if before is None:
            count = 0
            canvas.set(*dot, curve)  # the first dot after a gap may be the only one
        before = dot


def _between(start: tuple[int, int] | None, end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Dots of a straight line, both ends included."""
    if start is None:
        yield end
        return
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    for number in range(length + 1):
        share = number / length if length else 1.0
        yield (
            round(start[0] + share * (end[0] - start[0])),
            round(start[1] + share * (end[1] - start[1])),
        )


def _head(panel: Panel, width: int) -> Text:
    unit = f" ({panel.unit})" if panel.unit else ""
    best = visible(panel.best_text())
    room = max(width - cell_len(best) - 2, 8)
    title = _fit(f"{panel.title}{unit}{', log scale' if panel.log else ''}", room)
    gap = " " * max(width - cell_len(title) - cell_len(best), 2)
    head = Text.assemble((title, "bold"), gap, best)
    head.rstrip()
    head.truncate(width, overflow="ellipsis")
    return head


def _foot(panel: Panel, across: _Scale, margin: int, columns: int, ascii: bool) -> list[Text]:
    """The axis, what stands at its ends, and what it is."""
    corner, line = ("+", "-") if ascii else ("└", "─")
    first, last = (_tick(panel, x) for x in (across.low, across.high))
    front = " " * (margin + 2)
    ends = f"{first}{last:>{max(columns - len(first), len(last) + 1)}}"
    if across.low == across.high:
        ends = f"{first:^{columns}}".rstrip()
    return [
        Text(f"{' ' * (margin + 1)}{corner}{line * columns}"),
        Text(f"{front}{ends}"),
        Text(f"{front}{_fit(panel.axis.label, columns)}"),
    ]


def _tick(panel: Panel, x: float) -> str:
    return panel.place_text(x) if panel.axis.kind == "date" else number_text(x)


def _legend(panel: Panel, margin: int, width: int, ascii: bool) -> list[Text]:
    """What is drawn how, as many to a line as fit."""
    lines: list[Text] = []
    room = min(_LABEL, width - margin - 4)  # behind the margin and the sample
    for curve, label in zip(panel.curves, panel.labels(), strict=True):
        sample = _LETTERS[curve.role] * 2 if ascii else _SAMPLES[curve.role]
        entry = Text.assemble((sample, _style(curve)), f" {_fit(label, room)}")
        if lines and lines[-1].cell_len + 3 + entry.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], "   ", entry)
        else:
            lines.append(Text.assemble(" " * (margin + 1), entry))
    return lines


def _fit(text: str, cells: int) -> str:
    """Text that takes at most so many cells of the terminal: some characters take two."""
    fitted = Text(visible(text))
    fitted.truncate(cells, overflow="ellipsis")
    return fitted.plain


def can_show(encoding: str | None, characters: Sequence[str] = ("⣿", "★", "┤", "╌")) -> bool:
    """Whether an output's encoding has the characters of the drawing.

    Example:
        >>> can_show("utf-8"), can_show("ascii"), can_show(None)
        (True, False, False)
    """
    try:
        "".join(characters).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
