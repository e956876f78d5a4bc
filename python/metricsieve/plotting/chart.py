"""What to draw: panels of curves, chosen from points. Nothing here draws.

Principal type: `Chart`, made by `choose` from the series of `_series` and the names read by
`_names`; consumed by `draw`, `terminal` and whoever draws in another way.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from metricsieve.plotting import _curves
from metricsieve.plotting._names import Direction, Role, direction, read_name
from metricsieve.plotting._series import Series, SeriesSet, read_series

MAX_PANELS = 24
MAX_RUNS = 8  # of a panel: as many colours as can be told apart
LOG_RANGE = 1000.0

# Whose best value a panel marks: the first that it has.
_TELLING: tuple[Role, ...] = ("validation", "test", "other", "train")


@dataclass(frozen=True, slots=True)
class Axis:
    """What the points of a panel stand over.

    Attributes:
        column: the column, or `point` where the points are counted.
        kind: `number`, `elapsed` (seconds since the run's first point) or `date` (seconds since
            1970).
    """

    column: str
    kind: Literal["number", "elapsed", "date"] = "number"

    @property
    def label(self) -> str:
        """The axis for people."""
        return {
            "elapsed": "seconds since the first point",
            "date": f"{self.column} (UTC)",
        }.get(self.kind, "number of the point" if self.column == "point" else self.column)


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one metric in one run, in the order of the axis.

    Attributes:
        metric: its name.
        role: of which data it is.
        run: the job or source, with host or rank; shortened where all begin alike.
        color: the number of the run's colour, the same in all panels where there are enough.
        x: places on the axis; thinned out where there are very many.
        y: values; NaN where the log had NaN or an infinity, which leaves a gap.
        best: the place and value of the best point; None where it is not known what is better.
        points: how many there were before thinning.
    """

    metric: str
    role: Role
    run: str
    color: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    best: tuple[float, float] | None
    points: int


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric, as measured on all data.

    Attributes:
        title: what the names of its metrics have in common.
        axis: what the points stand over.
        curves: by metric and run.
        direction: whether the `min` or the `max` is best; None where the names do not tell.
        log: whether the values want a logarithmic scale.
        unit: of the values, where the definitions tell.
        best: the curve with the best value: of validation, where there is one.
        notes: what the panel does not show, as sentences.
    """

    title: str
    axis: Axis
    curves: tuple[Curve, ...]
    direction: Direction | None = None
    log: bool = False
    unit: str | None = None
    best: Curve | None = None
    notes: tuple[str, ...] = ()

    def labels(self) -> list[str]:
        """A name for each curve: what tells it from the others."""
        names = len({curve.metric for curve in self.curves}) > 1
        runs = len({curve.run for curve in self.curves}) > 1
        return [
            f"{curve.metric} · {curve.run}"
            if runs and names
            else curve.run
            if runs
            else curve.metric
            for curve in self.curves
        ]

    def best_text(self) -> str:
        """The best value in words; empty where there is none.

        Example:
            >>> curve = Curve("val_loss", "validation", "", 0, (1, 2), (0.5, 0.25), (2, 0.25), 2)
            >>> Panel("loss", Axis("epoch"), (curve,), best=curve).best_text()
            'best 0.25 at epoch 2'
        """
        if self.best is None or self.best.best is None:
            return ""
        x, y = self.best.best
        several = len({curve.run for curve in self.curves}) > 1
        run = f" ({self.best.run})" if several else ""
        return f"best {y:.6g} at {self.place_text(x)}{run}"

    def place_text(self, x: float) -> str:
        """A place on the axis in words."""
        if self.axis.kind == "date":
            return _curves.date_text(x)
        if self.axis.kind == "elapsed":
            return f"{x:.10g} s"
        return f"{self.axis.column} {number_text(x)}"


def number_text(x: float) -> str:
    """A place on an axis of numbers: whole ones as they are.

    Example:
        >>> number_text(2**53 + 1), number_text(0.1 + 0.2)
        ('9007199254740993', '0.3')
    """
    return str(x) if isinstance(x, int) else f"{x:.10g}"


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that is drawn together.

    Attributes:
        title: the run, where there is one.
        panels: one a metric.
        notes: what is not drawn at all, as sentences.
    """

    title: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()

    def all_notes(self) -> list[str]:
        """The notes of the chart, then those of the panels with their titles."""
        told = [f"{panel.title}: {note}" for panel in self.panels for note in panel.notes]
        return [*self.notes, *told]


def choose(
    x: Any,
    *,
    metrics: Sequence[str] | None = None,
    step: str | None = None,
    maximize: Iterable[str] = (),
    minimize: Iterable[str] = (),
    log: bool | None = None,
) -> Chart:
    """Choose panels, pairs, axes and best values for points.

    A panel holds the metrics whose names differ only in the words for training, validation and
    test. Its axis is the step column of the scan, else the first of `step`, `global_step`,
    `iteration`, `epoch` and `round` that its curves have; else the time, where it is known of
    all; else the number of the point. Of the points at one place the last counts, as after a
    restart. Each run (job, else source; host or rank where there are several) is a curve.

    Args:
        x: a table, a scan, anything with `__arrow_c_stream__`, or a file of points.
        metrics: names of metrics or panels; None takes all. The partners of a metric come along.
        step: the column of the axis; `point` counts the points.
        maximize: names of metrics or panels of which more is better, whatever their names say.
        minimize: names of those of which less is.
        log: logarithmic scales: always, never, or (None) where all values are positive and the
            largest is more than 1000 times the smallest.

    Raises:
        TypeError: x holds no points, or the names are one text.
        ValueError: a name or column that is not there.

    Example:
        >>> import pyarrow as pa
        >>> names = ["train:error", "validation:error"] * 2
        >>> table = pa.table({"metric": names, "value": [4.0, 5, 2, 6], "round": [0, 0, 1, 1]})
        >>> (panel,) = choose(table).panels
        >>> panel.title, panel.axis.column, [curve.role for curve in panel.curves]
        ('error', 'round', ['train', 'validation'])
        >>> panel.best_text()
        'best 5 at round 0'
    """
    wanted = {"metrics": metrics or (), "maximize": maximize, "minimize": minimize}
    for option, names in wanted.items():
        if isinstance(names, str):
            raise TypeError(f"{option} must be a list of names")
    chosen, more, less = (list(names) for names in wanted.values())
    if both := set(more) & set(less):
        raise ValueError(f"maximize and minimize both name {', '.join(sorted(both))}")
    found = read_series(x, None if step == "point" else step)
    groups = _groups(found.series)
    _check_names([*chosen, *more, *less], groups)
    notes = []
    if metrics is not None:
        groups = {key: one for key, one in groups.items() if _is_named(one, chosen)}
    if found.nulls:
        notes.append(f"{_count(found.nulls, 'point')} without a value left out")
    if len(groups) > MAX_PANELS:
        titles = [_title(one) for one in groups.values()][MAX_PANELS:]
        notes.append(f"{_count(len(titles), 'more metric')} not shown: {_listed(titles)}")
        groups = dict([*groups.items()][:MAX_PANELS])
    runs = list(dict.fromkeys(one.run for group in groups.values() for one in group))
    short = _curves.short_names(runs)
    panels = []
    for group in groups.values():
        better: Direction | None = direction(_title(group)) or direction(group[0].metric)
        better = "max" if _is_named(group, more) else "min" if _is_named(group, less) else better
        panel = _panel(group, found, step, better, log, short)
        if panel.curves:
            panels.append(panel)
        else:
            notes += [f"{panel.title}: {note}" for note in panel.notes]
    title = runs[0] if len(runs) == 1 else f"{len(runs):,} runs" if runs else ""
    return Chart(title, tuple(panels), tuple(notes))


def _groups(series: Iterable[Series]) -> dict[str, list[Series]]:
    """The series of each panel."""
    found: dict[str, list[Series]] = {}
    for one in series:
        found.setdefault(read_name(one.metric).stem, []).append(one)
    return found


def _title(group: list[Series]) -> str:
    """What a panel is called: what its names have in common, else all of them."""
    metrics = dict.fromkeys(one.metric for one in group)
    return read_name(group[0].metric).title or " / ".join(metrics)


def _is_named(group: list[Series], names: list[str]) -> bool:
    return any(name == _title(group) or any(name == one.metric for one in group) for name in names)


def _check_names(names: list[str], groups: dict[str, list[Series]]) -> None:
    """Refuse names that are neither those of metrics nor of panels."""
    known = {one.metric for group in groups.values() for one in group}
    known |= {_title(group) for group in groups.values()}
    for name in names:
        if name not in known and known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {_listed(sorted(known))}"
            raise ValueError(f"no point has a metric {name!r}: {hint}")


def _panel(
    group: list[Series],
    found: SeriesSet,
    step: str | None,
    better: Direction | None,
    log: bool | None,
    short: dict[str, str],
) -> Panel:
    notes = []
    runs = list(dict.fromkeys(one.run for one in group))
    if len(runs) > MAX_RUNS:
        left_out = [short[run] for run in runs[MAX_RUNS:]]
        notes.append(f"{_count(len(left_out), 'more run')} not shown: {_listed(left_out)}")
        runs = runs[:MAX_RUNS]
        group = [one for one in group if one.run in runs]
    colors = list(short) if len(short) <= MAX_RUNS else runs
    axis = _axis(group, found.axes, step)
    roles = _roles(group)
    curves, told = [], _curves.Counts()
    for one in group:
        x, y = _curves.ordered(one, axis.column, axis.kind, told)
        if any(not math.isnan(value) for value in y):
            best = _curves.best(x, y, better)
            thinned = _curves.thinned(x, y, told)
            color = colors.index(one.run)
            role = roles[one.metric]
            curves.append(Curve(one.metric, role, short[one.run], color, *thinned, best, len(y)))
    values = [value for curve in curves for value in curve.y if not math.isnan(value)]
    positive = bool(values) and min(values) > 0
    wide = positive and max(values) / LOG_RANGE > min(values)
    if log and values and not positive:
        notes.append("no logarithmic scale: not all values are positive")
    units = {found.units.get(one.metric) for one in group}
    return Panel(
        _title(group),
        axis,
        tuple(curves),
        better,
        positive if log else wide and log is None,
        units.pop() if len(units) == 1 else None,
        _best_of(curves, better),
        (*notes, *told.notes(axis.column)),
    )


def _axis(group: list[Series], axes: tuple[str, ...], step: str | None) -> Axis:
    """The axis that all series of a panel have, else one that some have."""

    def has(one: Series, name: str) -> bool:
        return one.rows[name].null_count < one.rows.num_rows

    if step == "point":
        return Axis("point")
    if step is not None:
        timed = str(group[0].rows[step].type).startswith("timestamp")
        return Axis(step, "date" if timed else "number")
    for enough in (all, any):
        for name in axes:
            if enough(has(one, name) for one in group):
                return Axis(name)
    times = [one.rows["timestamp"] for one in group if "timestamp" in one.rows.column_names]
    if all(one.start is not None for one in group) and not any(one.null_count for one in times):
        return Axis("timestamp", "elapsed")
    return Axis("point")


def _roles(group: list[Series]) -> dict[str, Role]:
    """The role of each metric; beside validation or test, one without a role is training."""
    roles: dict[str, Role] = {one.metric: read_name(one.metric).role for one in group}
    if {"validation", "test"} & set(roles.values()):
        roles = {name: "train" if role == "other" else role for name, role in roles.items()}
    return roles


def _best_of(curves: list[Curve], better: Direction | None) -> Curve | None:
    """The curve with the best value among those of the most telling role."""
    for role in _TELLING:
        found = [(one.best[1], one) for one in curves if one.role == role and one.best is not None]
        if found:
            pick = min if better == "min" else max
            return pick(found, key=lambda pair: pair[0])[1]
    return None


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{more}"
