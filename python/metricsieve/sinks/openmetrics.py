"""OpenMetrics text with times: `openmetrics:FILE`.

Prometheus makes blocks of it: `promtool tsdb create-blocks-from openmetrics FILE DIRECTORY`.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from metricsieve.sinks._lines import LineSink
from metricsieve.sinks._text_sink import check_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from metricsieve.sinks._targets import Target

_UNFIT = re.compile(r"[^a-zA-Z0-9_:]")
_UNFIT_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_QUOTE = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def open_url(target: Target, schema: pa.Schema) -> OpenMetricsSink:
    """The sink of a URL."""
    return OpenMetricsSink(target.rest, schema, dead_letters=target.one("dead-letters"))


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read."""
    check_file(target)


class OpenMetricsSink(LineSink):
    """Writes each metric as a gauge with times, by series and time, as Prometheus asks for.

    Rules: characters that a name cannot have become `_`, and the label `metric` holds the name as
    it was. Labels are job, host, stream, rank, source and the columns of named groups; an empty one
    is left out, since to Prometheus it is none. Prometheus keeps milliseconds: of points of one
    series and millisecond the last one is written, the others are counted. Points without a time
    are not written, nor are those with a carriage return in a label, which Prometheus does not
    read. NaN and infinities are. Context columns are not.

    All points are held until the end, some 100 bytes each, since they have to be sorted.

    Args:
        path: a file, which appears when it is whole, or `-` for stdout.
        schema: of the batches.
        dead_letters: a file that what cannot be written is appended to as JSON lines.

    Raises:
        ValueError: a column is missing.
        SinkError: the file cannot be opened.

    Example:
        >>> import metricsieve as ms, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.om")
        >>> scan = ms.scan({"a": b"2026-11-25T10:00:07Z x-loss=1"}, {"x-loss": "loss=(.)"})
        >>> _ = scan.write(OpenMetricsSink(str(path), scan.schema))
        >>> print(path.read_text(), end="")
        # TYPE x_loss gauge
        x_loss{metric="x-loss",source="a"} 1.0 1795600807.0
        # EOF
    """

    def __init__(self, path: str, schema: pa.Schema, *, dead_letters: str | None = None) -> None:
        super().__init__(path, schema, "OpenMetrics", dead_letters)
        self._series: dict[str, dict[str, dict[int, float]]] = {}
        self._labels = _label_names(self._points.tags)
        self._doubled = 0

    @property
    def notes(self) -> list[str]:
        """What was not written, and why."""
        found = self._letters.notes
        if self._doubled:
            text = "points shared their millisecond with a later one of their series"
            found.append(f"OpenMetrics: {self._doubled:,} {text}, which alone was written")
        return found

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points."""
        for point in self._points.of(batch):
            family = _UNFIT.sub("_", point.metric)
            family = f"_{family}" if family[:1].isdigit() or not family else family
            labels = {"metric": point.metric}
            labels |= {self._labels[name]: value for name, value in point.tags if value}
            told = ",".join(f'{name}="{value.translate(_QUOTE)}"' for name, value in labels.items())
            if "\r" in told or "\0" in told:
                self._letters.add("a label holds a carriage return or a NUL", point.row)
                continue
            times = self._series.setdefault(family, {}).setdefault(told, {})
            millis = point.micros // 1000
            self._doubled += millis in times
            times[millis] = point.value

    def close(self) -> None:
        """Write everything, and give the file its name."""
        for family, series in sorted(self._series.items()):
            self.put(f"# TYPE {family} gauge\n")
            for labels, times in sorted(series.items()):
                lines = [
                    f"{family}{{{labels}}} {_number(value)} {_seconds(millis)!r}\n"
                    for millis, value in sorted(times.items())
                ]
                self.put("".join(lines))
        self.put("# EOF\n")
        super().close()


def _label_names(columns: Sequence[str]) -> dict[str, str]:
    """Labels that stand for columns, each another one; two underscores begin Prometheus' own.

    Example:
        >>> _label_names(["job", "phasé", "phasè", "__name__"])
        {'job': 'job', 'phasé': 'phas_', 'phasè': 'phas__', '__name__': '_name__'}
    """
    names: dict[str, str] = {}
    for column in columns:
        name = re.sub("^_+(?=_)", "", _UNFIT_LABEL.sub("_", column))
        while name in (*names.values(), *(one for one in columns if one != column)):
            name += "_"
        names[column] = name
    return names


def _seconds(millis: int) -> float:
    """A time of which Prometheus gets the millisecond, although it cuts off what is behind it.

    Without that one of four would be a millisecond early in 2004, and from January of 2038 on.

    Example:
        >>> int(1083827289.001 * 1000), int(_seconds(1083827289001) * 1000)
        (1083827289000, 1083827289001)
    """
    seconds = millis / 1000
    return seconds if int(seconds * 1000) == millis else math.nextafter(seconds, millis * math.inf)


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    if abs(value) == float("inf"):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
