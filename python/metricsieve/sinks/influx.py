"""InfluxDB's line protocol: `influx:FILE` and `influx:-`."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING

from metricsieve.sinks._lines import LineSink
from metricsieve.sinks._names import Names, marked
from metricsieve.sinks._text_sink import check_file

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

_MEASUREMENT = "metricsieve"
# InfluxDB and Telegraf undo these three; a backslash before anything else is one. What Telegraf
# ends a tag at is written as Telegraf writes it.
_TAG = str.maketrans(
    {",": "\\,", "=": "\\=", " ": "\\ ", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
)
_NAME = str.maketrans({",": "\\,", " ": "\\ "})
_RESERVED = ("time", "_field", "_measurement")
_UNFIT = re.compile(r"[\\\x00-\x1f\x7f]")
# Nanoseconds that InfluxDB takes. A second of them is left for points that are moved on.
_FIRST, _LAST = -(2**63) + 2, 2**63 - 2 - 10**9
_LONGEST_NAME = 1000


def open_url(target: Target, schema: pa.Schema) -> InfluxSink:
    """The sink of a URL."""
    return InfluxSink(
        target.rest,
        schema,
        measurement=target.text("measurement", _MEASUREMENT),
        dead_letters=target.one("dead-letters"),
    )


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read."""
    check_file(target, "measurement")
    _measurement(target.text("measurement", _MEASUREMENT))


class InfluxSink(LineSink):
    r"""Writes points in the line protocol of InfluxDB, as Telegraf and QuestDB read it, too.

    Each line is a measurement with the tags `metric`, `job`, `host`, `stream`, `rank`, `source`,
    the labels and the context columns that are texts, the fields `value` and context columns that
    are numbers, and a time in nanoseconds. Each value of a tag is a series.

    Rules: points with one time and the same tags would replace each other, so each further one gets
    the next nanosecond that no point of its series has, whatever the order of times is. For that
    the times of each series are remembered: 16 bytes for each time, some 100 more for each point
    that comes behind a later one.

    The protocol has neither NaN nor infinities: such points are not written, but counted and kept
    as dead letters; so are points without a time or with one that nanoseconds of 64 bits do not
    reach (before 1677, after 2262), and those of which a tag ends with a backslash, which cannot be
    written. Of a context column such a number is left out of its point, and counted. Empty tags
    are left out. Columns that are called `time`, as InfluxDB's own, get another name.

    Args:
        path: a file, which appears when it is whole, or `-` for stdout.
        schema: of the batches.
        measurement: its name.
        dead_letters: a file that what cannot be written is appended to as JSON lines.

    Raises:
        ValueError: a measurement that cannot be one, or a column is missing.
        SinkError: the file cannot be opened.

    Example:
        >>> import metricsieve as ms, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.lp")
        >>> scan = ms.scan({"a b": b"2026-11-25T10:00:07Z loss=1"}, {"loss": "loss=(.)"})
        >>> _ = scan.write(InfluxSink(str(path), scan.schema))
        >>> print(path.read_text(), end="")
        metricsieve,metric=loss,source=a\ b value=1.0 1795600807000000000
    """

    def __init__(
        self,
        path: str,
        schema: pa.Schema,
        *,
        measurement: str = _MEASUREMENT,
        dead_letters: str | None = None,
    ) -> None:
        self._measurement = _measurement(measurement)
        super().__init__(path, schema, "Influx", dead_letters)
        self._names = Names(lambda column: marked(column, _fit(column), _LONGEST_NAME))
        self._keys = {
            name: self._names[name].translate(_TAG)
            for name in (*self._points.tags, *self._points.fields)
        }
        self._seen: dict[str, Moments] = {}
        self._left_out = 0

    @property
    def notes(self) -> list[str]:
        """What was not written, and why; columns with another name."""
        found = [*self._letters.notes, *(f"Influx: {note}" for note in self._names.notes)]
        if self._left_out:
            count = f"{self._left_out:,} number{'' if self._left_out == 1 else 's'}"
            text = "of context columns left out of their points, which the protocol cannot hold"
            found.append(f"Influx: {count} {text}: NaN, infinite or too large")
        return found

    def write(self, batch: pa.RecordBatch) -> None:
        """Write points.

        Raises:
            SinkError: the file cannot be written.
        """
        lines = []
        for point in self._points.of(batch, finite=True):
            nanos = point.micros * 1000
            if not _FIRST <= nanos <= _LAST:
                self._letters.add("before 1677 or after 2262", point.row)
                continue
            tags = [("metric", point.metric)]
            tags += [(self._keys[name], text) for name, text in point.tags if text]
            if any(text.endswith("\\") for _, text in tags):
                self._letters.add("a tag ends with a backslash", point.row)
                continue
            told = [f"{key}={text.translate(_TAG)}" for key, text in tags if text]
            series = ",".join([self._measurement, *told])
            fields = [f"value={point.value!r}"]
            fields += [f"{self._keys[name]}={_number(v)}" for name, v in point.fields if _fits(v)]
            self._left_out += 1 + len(point.fields) - len(fields)
            if series not in self._seen:
                self._seen[series] = Moments()
            nanos = self._seen[series].take(nanos)
            lines.append(f"{series} {','.join(fields)} {nanos}\n")
        self.put("".join(lines))


class Moments:
    """Nanoseconds that points of a series have: `take` never gives one twice.

    Those that came in order are runs without gaps, kept by their beginnings and ends. Those of
    points that came later are kept one by one, with where to look for the next one.

    Example:
        >>> moments = Moments()
        >>> [moments.take(nanos) for nanos in (7000, 8000, 7000, 7000, 8000, 6000)]
        [7000, 8000, 7001, 7002, 8001, 6000]
    """

    __slots__ = ("_begins", "_ends", "_late")

    def __init__(self) -> None:
        self._begins = array("q")
        self._ends = array("q")
        self._late: dict[int, int] = {}

    def take(self, nanos: int) -> int:
        """The first nanosecond from this one on that no point has."""
        if not self._ends or nanos > self._ends[-1]:
            self._begins.append(nanos)
            self._ends.append(nanos + 1)
            return nanos
        passed = []
        if nanos >= self._begins[-1]:
            nanos = self._ends[-1]
        while nanos < self._ends[-1]:
            behind = self._late.get(nanos)
            if behind is None:
                run = bisect_right(self._begins, nanos) - 1
                if run < 0 or nanos >= self._ends[run]:
                    break
                behind = self._ends[run]
            passed.append(nanos)
            nanos = behind
        if nanos == self._ends[-1]:
            self._ends[-1] += 1
        else:
            passed.append(nanos)
        for one in passed:
            self._late[one] = nanos + 1
        return nanos


def _measurement(name: str) -> str:
    """A measurement's name, as lines begin with it.

    Raises:
        ValueError: no line can begin with it.
    """
    if not name or name.startswith("#") or name.endswith("\\") or not name.isprintable():
        raise ValueError(
            f"influx: the measurement {name!r} is no name: it has no # at its beginning, no "
            "backslash at its end and only printable characters"
        )
    return name.translate(_NAME)


def _fit(column: str) -> str:
    name = _UNFIT.sub("_", column)
    return f"{name}_" if name in _RESERVED else name


def _fits(number: float | int) -> bool:
    """Whether a field can hold it: whole numbers have 64 bits with a sign."""
    if isinstance(number, int):
        return -(2**63) <= number < 2**63
    return abs(number) < float("inf")


def _number(number: float | int) -> str:
    return f"{number}i" if isinstance(number, int) else repr(number)
