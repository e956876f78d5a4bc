"""Pictures of the curves that `curves.py` measures, as SVG for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

Figures = dict[str, dict[str, dict[str, float]]]  # family, workload, entry: MB a second


RATE = "MB of text a second"


class Style(NamedTuple):
    """How an entry is drawn."""

    label: str
    colour: str
    width: float = 1.6
    line: str = "-"


class Line(NamedTuple):
    """Points of one entry."""

    style: Style
    x: list[float]
    y: list[float]


PEERS = {
    "one": Style("metricsieve", "#c1272d", 2.6),
    "rg -oN": Style("ripgrep -oN (texts only)", "#1f6fb2"),
    "rg -on -b": Style("ripgrep -on -b", "#6baed6"),
    "regexset": Style("Rust, RegexSet + captures", "#7a5195"),
    "prefilter": Style("Rust, literals + captures", "#c77cbb"),
    "re-best": Style("Python, best form", "#2e8b57"),
    "re-loop": Style("Python, loop", "#8c8c8c"),
    "read": Style("read(2) alone", "#333333", 1.2, "--"),
}
SCALING = (
    ("sparse-8", "one", "two", Style("metricsieve, sparse text", "#c1272d", 2.6)),
    ("dense-8", "one", "two", Style("metricsieve, dense text", "#e8853b", 2.6)),
    ("export", "one", "two", Style("metricsieve, gzip files", "#7a5195", 2.6)),
    ("sparse-8", "read", "read two", Style("read(2) alone", "#333333", 1.2, "--")),
    ("sparse-8", "lines", "lines two", Style("read(2), counting lines", "#1f6fb2", 1.2, "--")),
)


def frame(title: str, below: str, left: str) -> tuple[Any, Any]:
    """A figure without ornament."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    # The same figures give the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "metricsieve", "font.size": 10})
    figure, axes = pyplot.subplots(figsize=(9, 4.6))
    figure.subplots_adjust(left=0.1, right=0.72, top=0.9, bottom=0.12)
    axes.set_title(title, loc="left", fontsize=12, pad=12)
    axes.set_xlabel(below)
    axes.set_ylabel(left)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """The same heights, moved apart until no two are closer than `gap`; their order is kept."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    moved = list(heights)
    for _ in range(200):
        for low, high in pairwise(order):
            lack = gap - (moved[high] - moved[low])
            if lack > 0:
                moved[low] -= lack / 2
                moved[high] += lack / 2
    least = 0.02  # lower ones would stand beside the numbers of the x axis
    for index in order:
        moved[index] = least = max(least, moved[index])
        least += gap
    return moved


def plot(axes: Any, lines: list[Line]) -> None:
    """Lines with their names beside the right edge, in place of a legend."""
    for style, x, y in lines:
        axes.plot(
            x,
            y,
            color=style.colour,
            linewidth=style.width,
            linestyle=style.line,
            marker="o",
            markersize=1.8 * style.width,
        )
    axes.figure.canvas.draw()
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform((line.x[-1], line.y[-1])) for line in lines]
    heights = spread([float(end[1]) for end in ends], gap=0.055)
    for line, end, height in zip(lines, ends, heights, strict=True):
        axes.annotate(
            line.style.label,
            xy=(float(end[0]) + 0.01, float(end[1])),
            xytext=(1.04, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=line.style.colour,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": line.style.colour, "lw": 0.6, "alpha": 0.6},
        )


def by_peer(family: dict[str, dict[str, float]]) -> list[Line]:
    """One line for each entry, over the numbers that end the workloads' names."""
    lines = []
    for entry, style in PEERS.items():
        points = [
            (float(name.rsplit("-", 1)[1]), rates[entry])
            for name, rates in family.items()
            if entry in rates
        ]
        if points:
            x, y = zip(*sorted(points), strict=True)
            lines.append(Line(style, list(x), list(y)))
    return lines


def save(figure: Any, target: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)


def logarithmic(axes: Any, ticks: list[float], steps: tuple[int, ...]) -> None:
    """A logarithmic y axis with `steps` of each decade, these x ticks, plain numbers on both."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.set_yscale("log")
    axes.set_xticks(ticks)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=20))
    axes.minorticks_off()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def draw_definitions(family: dict[str, dict[str, float]], to: Path) -> None:
    figure, axes = frame(
        "More definitions, one CPU", "definitions, a tenth of them in the text", RATE
    )
    axes.set_xscale("log")
    logarithmic(axes, [1, 8, 40, 200, 1000, 10_000], steps=(1,))
    plot(axes, by_peer(family))
    save(figure, to / "definitions.svg")


def draw_share(family: dict[str, dict[str, float]], to: Path) -> None:
    figure, axes = frame(
        "More matching records, 8 definitions, one CPU", "% of the lines that hold metrics", RATE
    )
    axes.set_xscale("symlog", linthresh=0.1, linscale=0.6)
    logarithmic(axes, [0, 0.1, 1, 10, 50, 100], steps=(1, 3))
    plot(axes, by_peer(family))
    save(figure, to / "share.svg")


def draw_threads(family: dict[str, dict[str, float]], to: Path) -> None:
    figure, axes = frame("Two CPUs", "threads, each with a CPU", "times the rate of one")
    lines = []
    for workload, single, double, style in SCALING:
        rates = family.get(workload, {})
        if single in rates and double in rates:
            lines.append(Line(style, [1, 2], [1, rates[double] / rates[single]]))
    lines.append(Line(Style("twice as fast", "#b0b0b0", 1.0, ":"), [1, 2], [1, 2]))
    axes.set_xticks([1, 2])
    axes.set_xlim(0.95, 2.05)
    plot(axes, lines)
    axes.set_ylim(bottom=min(0.95, axes.get_ylim()[0]))
    save(figure, to / "threads.svg")


PICTURES = {"definitions": draw_definitions, "share": draw_share, "threads": draw_threads}


def draw(figures: Figures, to: Path) -> None:
    """Every picture whose family was measured."""
    for family, picture in PICTURES.items():
        if family in figures:
            picture(figures[family], to)
