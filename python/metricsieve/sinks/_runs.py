"""Points gathered as runs with steps, as experiment trackers want them.

Principal type: `Runs`: rows in, and for each run its points by step. The sinks of trackers write
what it gives. Trackers know runs, metrics and whole steps; a template says what a run is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from metricsieve import _point_columns
from metricsieve._point_columns import is_number
from metricsieve.results._rows import row_numbers
from metricsieve.sinks._cells import plain
from metricsieve.sinks._names import Names
from metricsieve.sinks._template import Labels, Template

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

OPTIONS = ("step", "run", "tag")
_FRACTIONS = 1000
_LARGEST_STEP = 2**63 - 1
# Columns of what is held: numbers of run and tag, whole step, microseconds or null, value.
_RUN, _TAG, _STEP, _MICROS, _VALUE = "run", "tag", "step", "micros", "value"
_AT_A_TIME = 8192  # points that are Python objects


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


class RunPoints:
    """The points of a run by step; they become Python objects when they are asked for.

    Args:
        points: columns of `Runs`, of one run.
        tags: the texts of tags.
    """

    def __init__(self, points: pa.Table, tags: Labels) -> None:
        self._points = points
        self._tags = tags

    def __len__(self) -> int:
        return len(self._points)

    def __iter__(self) -> Iterator[RunPoint]:
        texts = self._tags.texts
        columns = self._points.select([_TAG, _STEP, _MICROS, _VALUE])
        for start in range(0, len(columns), _AT_A_TIME):
            part = columns.slice(start, _AT_A_TIME)
            cells = (column.to_pylist() for column in part.columns)
            for tag, step, micros, value in zip(*cells, strict=True):
                yield RunPoint(texts[tag], step, micros, value)


class Runs:
    """Points by run, until they are taken.

    Rules: the step is that of the step column, of which the schema's metadata tells, else the first
    of `_context.STEPS`; one of float64 is counted in thousandths, since steps are whole. Without a
    step column the step is the number of the point among those of its tag in its run, from 0, or of
    a follower behind those that the tracker has (`go_on`): a number says nothing of where a point
    stood in the log, so a point that came after a restart is a new one. A row with a null in the
    step column has no step and is left out. Of points with one run, tag and step the last one
    counts, as after a restart. Points without a value are left out.

    Args:
        schema: of the batches.
        step: the step column; None for the usual one.
        run: template of the run's name.
        tag: template of the tag.
        names: what the tracker calls a tag, for `dated`; None if as it is.

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
        names: Names | None = None,
    ) -> None:
        self.step = step_axis(schema, step)
        has_origin = {"job", "source"} & set(schema.names)
        named = Template(run or ("{job}" if has_origin else "points"), schema.names, "run")
        self._runs = Labels(named)
        self._tags = Labels(Template(tag, schema.names, "tag"))
        self._names = names
        self._held: list[pa.RecordBatch] = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._times: dict[str, int] = {}
        self._behind: dict[str, Mapping[str, int]] = {}
        self.without_step = self.doubled = 0
        self._is_fractional = self.step is not None and is_floating(schema, self.step)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the points of a batch."""
        import pyarrow as pa
        import pyarrow.compute as pc

        nothing = pa.nulls(batch.num_rows, pa.int64())
        has_time = "timestamp" in batch.schema.names
        points: dict[str, Any] = {
            _RUN: self._runs.of(batch),
            _TAG: self._tags.of(batch),
            _STEP: nothing if self.step is None else self._whole(batch.column(self.step)),
            _MICROS: plain(batch.column("timestamp")) if has_time else nothing,
            _VALUE: batch.column("value"),
        }
        wanted: Any = pc.and_(points[_RUN].is_valid(), points[_TAG].is_valid())
        wanted = pc.and_(wanted, points[_VALUE].is_valid())
        if self.step is not None:
            stepped = points[_STEP].is_valid()
            self.without_step += pc.sum(pc.and_not(wanted, stepped)).as_py() or 0
            wanted = pc.and_(wanted, stepped)
        held = pa.record_batch(points).filter(wanted)
        if held.num_rows:
            self._held.append(held)

    def _whole(self, steps: Any) -> Any:
        """Steps as whole numbers; null where there is none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self._is_fractional:
            if steps.type != pa.uint64():
                return steps.cast(pa.int64())
            fits: Any = pc.less_equal(steps, pa.scalar(_LARGEST_STEP, pa.uint64()))
            return pc.if_else(fits, steps, pa.scalar(None, pa.uint64())).cast(pa.int64())
        thousandths = pc.round(pc.multiply(steps, float(_FRACTIONS)), round_mode="half_to_even")
        fits = pc.less(pc.abs(thousandths), pa.scalar(float(_LARGEST_STEP)))
        return pc.if_else(fits, thousandths, pa.scalar(None, pa.float64())).cast(pa.int64())

    def take(self) -> Iterator[tuple[str, RunPoints]]:
        """Each run with its points by step, those of a step in the order of the rows."""
        import pyarrow as pa
        import pyarrow.compute as pc

        held, self._held = self._held, []
        if not held:
            return
        points = pa.Table.from_batches(held).combine_chunks()
        del held
        if self.step is None:
            points = self._numbered(points)
        else:
            order = _order(points, _RUN, _TAG, _STEP)
            begins = _begins(points.select([_RUN, _TAG, _STEP]).take(order))
            # Each of one run, tag and step gives way to the one behind it.
            ends = pa.concat_arrays([begins.slice(1), pa.array([True])])
            last = order.filter(ends)
            self.doubled += len(points) - len(last)
            points = points.take(last.take(pc.sort_indices(last)))
        points = points.take(_order(points, _RUN, _STEP)).combine_chunks()
        start = 0
        counted: Any = pc.value_counts(points.column(_RUN))
        for run, count in zip(*(part.to_pylist() for part in counted.flatten()), strict=True):
            yield self._runs.texts[run], RunPoints(points.slice(start, count), self._tags)
            start += count

    def _numbered(self, points: pa.Table) -> pa.Table:
        """The points with numbers among those of their tag in their run as steps."""
        import pyarrow as pa
        import pyarrow.compute as pc

        order = _order(points, _RUN, _TAG)
        series = points.select([_RUN, _TAG]).take(order)
        begins = _begins(series)
        firsts = series.filter(begins)
        rows = row_numbers(len(points))
        series_of = pc.subtract(pc.cumulative_sum(begins.cast(pa.int64())), 1)
        sizes = pc.value_counts(series_of).field("counts")
        known = []
        keys: Any = zip(firsts[_RUN].to_pylist(), firsts[_TAG].to_pylist(), strict=True)
        for key, size in zip(keys, sizes.to_pylist(), strict=True):
            known.append(self._numbers.get(key, 0))
            self._numbers[key] = known[-1] + size
        first_rows = rows.filter(begins)
        before = pc.subtract(pa.array(known, pa.int64()), first_rows).take(series_of)
        steps = pc.add(rows, before).take(pc.sort_indices(order))
        return points.set_column(points.schema.get_field_index(_STEP), _STEP, steps)

    def go_on(self, run: str, last: Mapping[str, int], micros: int | None) -> None:
        """Go on with what a tracker has of a run, for a follower.

        Args:
            run: its name.
            last: the last step of each name; without a step column points are numbered behind it.
            micros: the last time, which a point has that comes without one.
        """
        if self.step is None:
            self._behind[run] = {name: step + 1 for name, step in last.items()}
        if micros is not None:
            self._times[run] = micros

    def dated(
        self, run: str, points: Iterable[RunPoint]
    ) -> Iterator[tuple[str, int, int, RunPoint]]:
        """Points of a run with their names, steps and times in microseconds, as trackers want them.

        A point without a time has that of the point before it in its run, also of those that were
        dated earlier or that the tracker had (`go_on`), or 1970.
        """
        names, behind = self._names, self._behind.get(run, {})
        for point in points:
            if point.micros is not None:
                self._times[run] = point.micros
            name = point.tag if names is None else names[point.tag]
            yield name, point.step + behind.get(name, 0), self._times.get(run, 0), point

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


def _order(points: pa.Table, *columns: str) -> Any:
    """Row numbers by these columns; those that are alike stay in their order."""
    import pyarrow.compute as pc

    return pc.sort_indices(points, [(name, "ascending") for name in columns]).cast("int64")


def _begins(rows: pa.Table) -> Any:
    """Whether a row differs from the one before it, for rows that are sorted."""
    import pyarrow as pa
    import pyarrow.compute as pc

    differs: Any = pa.repeat(pa.scalar(False), max(len(rows) - 1, 0))
    for column in rows.combine_chunks().columns:
        cells = column.combine_chunks()
        differs = pc.or_(differs, pc.not_equal(cells.slice(1), cells.slice(0, len(cells) - 1)))
    return pa.concat_arrays([pa.array([True]), differs])


def is_floating(schema: pa.Schema, column: str) -> bool:
    """Whether a column holds floats."""
    import pyarrow as pa

    return pa.types.is_floating(schema.field(column).type)


def step_axis(schema: pa.Schema, named: str | None) -> str | None:
    """The step axis: the one that is named, that of the metadata, or the first usual one.

    A text that is called like one, such as the label of a group, is none unless it is named.

    Raises:
        ValueError: the column that is named does not exist, or holds no numbers.
    """
    if named is not None and named not in schema.names:
        raise ValueError(f"there is no column {named!r}, only {', '.join(schema.names)}")
    if named is not None and not is_number(schema.field(named).type):
        numbers = [one.name for one in schema if one.name != "value" and is_number(one.type)]
        offered = f"name one that does ({', '.join(numbers)}), or " if numbers else ""
        raise ValueError(
            f"the column {named!r} holds no numbers and cannot be a step: {offered}capture one by "
            f"-c (context=), such as -c 'iteration=step (\\d+)'"
        )
    if named is not None:
        return named
    return _point_columns.step_axis(schema)
