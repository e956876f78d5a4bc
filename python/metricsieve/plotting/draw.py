"""Pictures of a `Chart` through matplotlib: PNG, SVG, PDF.

Principal functions: `draw` and `figure`. matplotlib is imported when one of them is called, and
only its objects are used: no pyplot, no window, no state that other figures would see.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metricsieve._text import shorten, visible
from metricsieve.exceptions import SinkWarning
from metricsieve.plotting.chart import Axis, Chart, Curve, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
_DPI = 150
_PANEL = (6.4, 3.4)  # inches
_NOTES = 3
_LABEL = 48  # characters
_LARGEST = 1e200
_FEW = 30  # points of a curve that get a mark each

# The colours of Okabe and Ito, which colour-blind people can tell apart; grey for their yellow,
# which is hard to see on white. https://jfly.uni-koeln.de/color/
_COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#7F7F7F",
)
_LINES: dict[str, Any] = {"validation": "-", "train": (0, (4, 2)), "test": (0, (1, 1.2))}
# For further metrics of a role, which have the run's colour as well.
_MORE_LINES: tuple[Any, ...] = ("-.", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (3, 4)))


def check_output(output: str | os.PathLike[str]) -> None:
    """Refuse an output that cannot be drawn, before anything is read.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: the suffix is unknown.

    Example:
        >>> check_output("curve.gif")
        Traceback (most recent call last):
        ValueError: cannot draw 'curve.gif': the name must end in one of .png, .svg, .pdf
    """
    if Path(output).suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise ValueError(f"cannot draw {os.fspath(output)!r}: the name must end in one of {known}")
    try:
        import matplotlib.figure  # noqa: F401 - whether it is there
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'metricsieve[plot]'") from None


def draw(chart: Chart, output: str | os.PathLike[str]) -> None:
    """Write the picture of a chart, whole or not at all. The same chart gives the same bytes.

    A `SinkWarning` says so where its font lacks characters.

    Raises:
        ImportError: matplotlib is missing.
        SinkError: the file cannot be written.
        ValueError: the suffix is unknown, or there is nothing to draw.
    """
    check_output(output)
    from metricsieve.sinks._atomic import write_whole

    with warnings.catch_warnings(record=True) as seen:
        warnings.filterwarnings("ignore", module="matplotlib")
        warnings.filterwarnings("always", message="Glyph ")
        picture = _rendered(figure(chart), Path(output).suffix.lower()[1:])
    write_whole(output, picture)
    if seen and Path(output).suffix.lower() != ".svg":
        name = os.fspath(output)
        text = "some characters are not in the font of the picture; an .svg leaves it to the viewer"
        warnings.warn(f"{visible(name)}: {text}", SinkWarning, stacklevel=2)


def _rendered(made: Figure, kind: str) -> bytes:
    import matplotlib

    # Text stays text in an SVG, and names of its parts do not change from run to run. There is no
    # other way to say so than these settings; they are put back when the picture is made.
    settings = {"svg.fonttype": "none", "svg.hashsalt": "metricsieve"}
    told: dict[str, dict[str, str | None]] = {
        "png": {"Software": "metricsieve"},
        "svg": {"Creator": "metricsieve", "Date": None},
        "pdf": {"Creator": "metricsieve", "CreationDate": None},
    }
    target = io.BytesIO()
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]
        made.savefig(target, format=kind, dpi=_DPI, metadata=told[kind])
    return target.getvalue()


def figure(chart: Chart) -> Figure:
    """The picture as a matplotlib figure, to change before saving it.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: the chart has no panel.
    """
    if not chart.panels:
        raise ValueError("there is no point to draw")
    check_output("any.png")
    from matplotlib.figure import Figure

    count = len(chart.panels)
    columns = 1 if count == 1 else 2 if count <= 8 else 3
    rows = math.ceil(count / columns)
    made = Figure(
        figsize=(_PANEL[0] * columns, _PANEL[1] * rows + 0.4),
        layout="constrained",
        facecolor="white",
    )
    grid = list(made.subplots(rows, columns, squeeze=False).flat)
    for number, (panel, axes) in enumerate(zip(chart.panels, grid[:count], strict=True)):
        _draw_panel(panel, axes, f"panel-{number}")
    for axes in grid[count:]:
        axes.set_axis_off()
    if chart.title:
        title = shorten(visible(chart.title), 60 * columns)
        made.suptitle(title, fontsize=11, color="#444444", parse_math=False)
    _write_notes(chart, made, columns)
    return made


def _write_notes(chart: Chart, made: Figure, columns: int) -> None:
    notes = chart.all_notes()
    if len(notes) > _NOTES:
        notes = [*notes[: _NOTES - 1], f"and {len(notes) - _NOTES + 1} more notes"]
    text = "\n".join(shorten(visible(note), 100 * columns) for note in notes)
    if text:
        made.supxlabel(text, x=0.01, ha="left", fontsize=7, color="#666666", parse_math=False)


def _draw_panel(panel: Panel, axes: Axes, name: str) -> None:
    lines = _lines(panel)
    handles: list[Any] = []
    for number, (curve, line) in enumerate(zip(panel.curves, lines, strict=True)):
        marked = _marked(curve)
        (handle,) = axes.plot(
            _places(curve.x, panel.axis),
            _drawable(curve.y, panel),
            color=_COLORS[curve.color % len(_COLORS)],
            linestyle=line,
            linewidth=1.8 if curve.role != "train" else 1.4,
            marker="o" if marked else "",
            markersize=3,
            markevery=marked,
            gid=f"{name}-curve-{number}",
        )
        handles.append(handle)
    axes.set_title(
        shorten(visible(panel.title), 60),
        loc="left",
        fontsize=11,
        fontweight="bold",
        parse_math=False,
    )
    axes.set_xlabel(visible(panel.axis.label), fontsize=9, parse_math=False)
    if panel.unit:
        axes.set_ylabel(visible(panel.unit), fontsize=9, parse_math=False)
    if panel.log:
        axes.set_yscale("log")
    _set_ticks(panel, axes)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.02, y=0.12)
    _mark_best(panel, axes, name)
    _write_legend(panel, axes, handles, lines)


def _lines(panel: Panel) -> list[Any]:
    """A kind of line for each curve: the role's, another for each further metric of a role."""
    chosen: dict[str, Any] = {}
    roles: set[str] = set()
    more = iter(_MORE_LINES * len(panel.curves))
    alone = len({curve.metric for curve in panel.curves}) == 1
    for curve in panel.curves:
        if curve.metric not in chosen:
            usual = _LINES.get(curve.role, "-.")
            chosen[curve.metric] = "-" if alone else next(more) if curve.role in roles else usual
            roles.add(curve.role)
    return [chosen[curve.metric] for curve in panel.curves]


def _marked(curve: Curve) -> list[int]:
    """Points that get a mark: all of a few; else those without a neighbour to draw a line to."""
    y = (math.nan, *curve.y, math.nan)
    few = len(curve.y) <= _FEW
    lonely = [math.isnan(y[at]) and math.isnan(y[at + 2]) for at in range(len(curve.y))]
    return [at for at, value in enumerate(curve.y) if value == value and (few or lonely[at])]


def _places(x: tuple[float, ...], axis: Axis) -> list[float]:
    # matplotlib counts days since 1970.
    return [place / 86400 for place in x] if axis.kind == "date" else list(x)


def _drawable(y: tuple[float, ...], panel: Panel) -> list[float]:
    """The values, with gaps for those whose margins matplotlib cannot compute."""
    low = 1 / _LARGEST if panel.log else -_LARGEST
    return [value if low <= value <= _LARGEST else math.nan for value in y]


def _set_ticks(panel: Panel, axes: Axes) -> None:
    from matplotlib import dates as untyped
    from matplotlib import ticker

    dates: Any = untyped

    if panel.axis.kind == "date":
        locator = dates.AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz="UTC"))
    elif all(float(x).is_integer() for curve in panel.curves for x in curve.x):
        axes.xaxis.set_major_locator(ticker.MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def _mark_best(panel: Panel, axes: Axes, name: str) -> None:
    """A star at the best value, and what it is, on the side that its own curve leaves free."""
    curve = panel.best
    if curve is None or curve.best is None:
        return
    x, y = curve.best
    if math.isnan(*_drawable((y,), panel)):
        return
    (place,) = _places((x,), panel.axis)
    color = _COLORS[curve.color % len(_COLORS)]
    axes.plot(
        [place],
        [y],
        marker="*",
        markersize=13,
        color=color,
        markeredgecolor="white",
        linestyle="none",
        zorder=5,
        gid=f"{name}-best",
    )
    low, high = axes.get_xlim()
    right = place > (low + high) / 2
    axes.annotate(
        shorten(visible(panel.best_text()), 60),
        (place, y),
        xytext=(-8 if right else 8, -13 if panel.direction == "min" else 13),
        textcoords="offset points",
        ha="right" if right else "left",
        va="center",
        fontsize=8,
        color=color,
        bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "alpha": 0.8, "edgecolor": "none"},
        zorder=6,
        parse_math=False,
    )


def _write_legend(panel: Panel, axes: Axes, handles: list[Any], lines: list[Any]) -> None:
    """What is drawn how; where runs and metrics vary, the colours and the lines by themselves."""
    from matplotlib.lines import Line2D

    labels = panel.labels()
    runs = {curve.run: curve.color for curve in panel.curves}
    metrics = {curve.metric: line for curve, line in zip(panel.curves, lines, strict=True)}
    if len(runs) > 1 and len(metrics) > 1:
        labels = [*runs, *metrics]
        handles = [Line2D([], [], color=_COLORS[one % len(_COLORS)]) for one in runs.values()]
        handles += [Line2D([], [], color="#444444", linestyle=one) for one in metrics.values()]
    labels = [shorten(visible(label), _LABEL) for label in labels]
    # A label that begins with _ would be left out.
    labels = [f" {label}" if label.startswith("_") else label for label in labels]
    outside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
    where = {"loc": "best"} if len(labels) <= 4 else outside
    made = axes.legend(handles, labels, fontsize=8, framealpha=0.85, handlelength=3, **where)
    for text in made.get_texts():
        text.set_parse_math(False)
