"""Points gathered as runs with steps, as experiment trackers want them.

Principal type: `Runs`: rows in, and for each run its points by step. The sinks of trackers write
what it gives. Trackers know runs, metrics and whole steps; a template says what a run is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from metricsieve._context import step_column
from metricsieve.sinks._template import Template

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

OPTIONS = ("step", "run", "tag")
_FRACTIONS = 1000


class Naming(TypedDict):
    """What is a run, a metric and a step: arguments of `Runs` and of the sinks that have one."""

    step: str | None
    run: str | None
    tag: str


def naming(target: Target) -> Naming:
    """The naming in a sink's URL, whose options are `OPTIONS`."""
    return {
        "step": target.one("step"),
        "run": target.one("run"),
        "tag": target.text("tag", "{metric}"),
    }


class RunPoint(NamedTuple):
    """A point of a run.

    Attributes:
        tag: the metric's name, or what a template makes of it.
        step: the step axis' value, as a whole number.
        micros: its time in microseconds since 1970, or None.
        value: its value.
    """

    tag: str
    step: int
    micros: int | None
    value: float


class Runs:
    """Points by run, until they are taken.

    Rules: the step is that of the step column, of which the schema's metadata tells, else the first
    of `_context.STEPS`; one of float64 is counted in thousandths, since steps are whole. Without
    a step
    column the step is the number of the point among those of its tag in its run, from 0. A row
    with a null in the step column has no step and is left out. Of points with one run, tag and step
    the last one counts, as after a restart. Points without a value are left out.

    Args:
        schema: of the batches.
        step: the step column; None for the usual one.
        run: template of the run's name.
        tag: template of the tag.

    Raises:
        ValueError: a column does not exist.
    """

    def __init__(
        self,
        schema: pa.Schema,
        *,
        step: str | None = None,
        run: str | None = None,
        tag: str = "{metric}",
    ) -> None:
        self.step = step_axis(schema, step)
        has_origin = {"job", "source"} & set(schema.names)
        self._run = Template(run or ("{job}" if has_origin else "points"), schema.names, "run")
        self._tag = Template(tag, schema.names, "tag")
        wanted = {"value", "timestamp", self.step, *self._run.columns, *self._tag.columns}
        self._columns = [name for name in schema.names if name in wanted]
        self._points: dict[str, list[tuple[str, Any, int | None, float]]] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._times: dict[str, int] = {}
        self.without_step = self.doubled = 0
        self._is_fractional = self.step is not None and is_floating(schema, self.step)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the points of a batch."""
        from metricsieve.sinks._series import plain

        columns = {name: plain(batch.column(name)) for name in self._columns}
        for cells in zip(*columns.values(), strict=True):
            row = dict(zip(columns, cells, strict=True))
            run, tag, value = self._run.of(row), self._tag.of(row), row["value"]
            if run is None or tag is None or value is None:
                continue
            if self.step is None:
                step = self._numbers.get((run, tag), 0)
                self._numbers[run, tag] = step + 1
            else:
                step = row[self.step]
                if step is None:
                    self.without_step += 1
                    continue
                if step != step or step in (math.inf, -math.inf):
                    self.without_step += 1
                    continue
            self._points.setdefault(run, []).append((tag, step, row.get("timestamp"), value))

    def take(self) -> Iterator[tuple[str, list[RunPoint]]]:
        """Each run with its points by step, those of a step in the order of the rows."""
        taken, self._points = self._points, {}
        scale = _FRACTIONS if self._is_fractional else 1
        for run, points in taken.items():
            last: dict[tuple[str, int], RunPoint] = {}
            for tag, step, micros, value in points:
                whole = round(step * scale)
                # Dropped first, so that its place among those of its step is the last one's.
                self.doubled += last.pop((tag, whole), None) is not None
                last[tag, whole] = RunPoint(tag, whole, micros, value)
            yield run, sorted(last.values(), key=lambda point: point.step)

    def dated(self, run: str, points: Iterable[RunPoint]) -> Iterator[tuple[RunPoint, int]]:
        """Points of a run with times in microseconds, for trackers that want one of each.

        A point without a time has that of the point before it in its run, also of those that were
        dated earlier, or 1970.
        """
        for point in points:
            if point.micros is not None:
                self._times[run] = point.micros
            yield point, self._times.get(run, 0)

    @property
    def notes(self) -> list[str]:
        """What was done with some points."""
        found = []
        if self.without_step:
            found.append(f"{self.without_step:,} points have no {self.step} and were left out")
        if self.doubled:
            found.append(f"{self.doubled:,} points came again with their step: the last one counts")
        if self._is_fractional:
            found.append(f"{self.step} is no whole number: steps are thousandths of it")
        return found


def is_floating(schema: pa.Schema, column: str) -> bool:
    """Whether a column holds floats."""
    import pyarrow as pa

    return pa.types.is_floating(schema.field(column).type)


def step_axis(schema: pa.Schema, named: str | None) -> str | None:
    """The step axis: the one that is named, that of the metadata, or the first usual one.

    Raises:
        ValueError: there is no such column, or it holds no numbers.
    """
    import pyarrow as pa

    told = (schema.metadata or {}).get(b"metricsieve.step", b"").decode() or None
    found = named or told or step_column(schema.names)
    if found is None:
        return None
    if found not in schema.names:
        if named is None:
            return None  # its column was not asked for
        raise ValueError(f"there is no column {found!r}, only {', '.join(schema.names)}")
    kind = schema.field(found).type
    if not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
        raise ValueError(f"the column {found!r} holds no numbers and cannot be a step")
    return found
