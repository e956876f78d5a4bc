"""InfluxDB's line protocol: `influx:FILE` and `influx:-`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metricsieve.sinks._lines import LineSink
from metricsieve.sinks._text_sink import check_file

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

_MEASUREMENT = "metricsieve"
_TAG = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ ", "\n": "\\n", "\\": "\\\\"})
_NAME = str.maketrans({",": "\\,", " ": "\\ ", "\n": "\\n"})


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


class InfluxSink(LineSink):
    r"""Writes points in the line protocol of InfluxDB, as Telegraf and QuestDB read it, too.

    Each line is a measurement with the tags `metric`, `job`, `host`, `stream`, `rank`, `source` and
    the labels, the fields `value` and context columns, and a time in nanoseconds. Points with one
    time and the same tags would replace each other: each further one is a nanosecond later.

    Rules: the protocol has neither NaN nor infinities; these and points without a time are not
    written, but counted and kept as dead letters. Empty tags are left out.

    Args:
        path: a file, which appears when it is whole, or `-` for stdout.
        schema: of the batches.
        measurement: its name.
        dead_letters: a file that what cannot be written is appended to as JSON lines.

    Raises:
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
        super().__init__(path, schema, "Influx", dead_letters)
        self._measurement = measurement.translate(_NAME)
        self._seen: dict[str, tuple[int, int]] = {}

    def write(self, batch: pa.RecordBatch) -> None:
        """Write points.

        Raises:
            SinkError: the file cannot be written.
        """
        lines = []
        for point in self._points.of(batch, finite=True):
            tags = [("metric", point.metric), *point.tags]
            told = [f"{n.translate(_TAG)}={v.translate(_TAG)}" for n, v in tags if v]
            series = ",".join([self._measurement, *told])
            fields = [("value", repr(point.value))]
            fields += [
                (n.translate(_TAG), f"{v}i" if isinstance(v, int) else repr(v))
                for n, v in point.fields
                if isinstance(v, int) or abs(v) < float("inf")
            ]
            nanos = self._unique(series, point.micros * 1000)
            lines.append(f"{series} {','.join(f'{n}={v}' for n, v in fields)} {nanos}\n")
        self.put("".join(lines))

    def _unique(self, series: str, nanos: int) -> int:
        """The time, moved on by as many nanoseconds as points of the series had it before."""
        last, count = self._seen.get(series, (nanos, -1))
        count = count + 1 if last == nanos else 0
        self._seen[series] = nanos, count
        return nanos + count
