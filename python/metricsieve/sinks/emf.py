"""CloudWatch's embedded metric format: `emf:FILE` and `emf:-`.

Principal type: `EmfSink`. Each line is a log event that CloudWatch Logs makes metrics of when an
agent, Lambda or a container brings it there. Points of the same minute (or second) and dimensions
share a line.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from metricsieve.sinks._refused import DeadLetters
from metricsieve.sinks._series import Dimensions, Gathered
from metricsieve.sinks._text_sink import TextSink, check_file
from metricsieve.sinks.cloudwatch import NAMESPACE, check_metrics

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

# Of the format's specification: metrics of a directive, and values of an array.
MAX_METRICS = 100
MAX_VALUES = 100
_MOST_GATHERED = 100_000
_OPTIONS = ("namespace", "resolution", "undated", "max-series")


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    check_file(target, *_OPTIONS, many=["dimension"])
    check_metrics(target, target.text("namespace", NAMESPACE))


def open_url(target: Target, schema: pa.Schema) -> EmfSink:
    """The sink of a URL."""
    return EmfSink(
        target.rest,
        schema,
        namespace=target.text("namespace", NAMESPACE),
        dimensions=list(target.options.get("dimension", ())),
        resolution=int(target.text("resolution", "60")),
        undated=target.text("undated", "refuse"),
        dead_letters=target.one("dead-letters"),
        max_series=int(target.text("max-series", "1000")),
    )


class EmfSink(TextSink):
    """Writes points as log events with embedded metrics.

    The rules are those of `CloudWatchSink`, but that times may be of any age: when the lines come
    to CloudWatch, two weeks are its limit. A metric cannot have the name of a dimension.

    Args:
        path: a file, which appears when it is whole, or `-` for stdout.
        schema: of the batches.
        namespace: SageMaker's by default.
        dimensions: as for `CloudWatchSink`.
        resolution: 60, or 1 for metrics of high resolution.
        undated: `refuse`, or `now` to write points without a time as of the time of writing.
        dead_letters: a file that what cannot be written is appended to as JSON lines.
        max_series: an error beyond so many different names and dimensions.

    Raises:
        ValueError: a dimension that makes no sense.
        SinkError: the file cannot be opened.

    Example:
        >>> import metricsieve as ms, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.emf")
        >>> scan = ms.scan(b"2026-11-25T10:00:07Z loss=1", {"loss": "loss=(.)"})
        >>> _ = scan.write(EmfSink(str(path), scan.schema))
        >>> json.loads(path.read_text())["loss"]
        [1.0]
    """

    guarantee = "whole at the end; on stdout at least once"

    def __init__(
        self,
        path: str,
        schema: pa.Schema,
        *,
        namespace: str = NAMESPACE,
        dimensions: list[str] | None = None,
        resolution: int = 60,
        undated: str = "refuse",
        dead_letters: str | None = None,
        max_series: int = 1000,
    ) -> None:
        super().__init__(path)
        self._namespace = namespace
        self._resolution = resolution
        self._gathered = Gathered(
            schema,
            dimensions=dimensions or [],
            resolution=resolution,
            undated=undated,
            target=f"emf:{path}",
            most_series=max_series,
            of_any_age=True,
        )
        self._letters = DeadLetters(dead_letters, "EMF")

    @property
    def notes(self) -> list[str]:
        """What was not written, and why."""
        return self._letters.notes

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points; writes when there are many.

        Raises:
            SinkError: the file cannot be written.
        """
        for reason, row in self._gathered.add(batch, time.time()):
            self._letters.add(reason, row)
        if self._gathered.distinct >= _MOST_GATHERED:
            self.flush()

    def flush(self) -> None:
        """Write everything that was gathered."""
        events: dict[tuple[Dimensions, float], dict[str, Counter[float]]] = {}
        now = time.time()
        for series, stretch, counts in self._gathered.take():
            if series.metric in ("_aws", *(name for name, _ in series.dimensions)):
                row = {"metric": series.metric, "values": list(counts)}
                self._letters.add("the name is that of a dimension", row, counts.total())
                continue
            key = (series.dimensions, now if stretch is None else stretch)
            events.setdefault(key, {})[series.metric] = counts
        for (dimensions, seconds), metrics in events.items():
            self._event(dimensions, seconds, metrics)
        self._letters.flush()

    def _event(
        self, dimensions: Dimensions, seconds: float, metrics: dict[str, Counter[float]]
    ) -> None:
        """Lines of one minute: as many as its longest metric takes."""
        left = {name: list(counts.elements()) for name, counts in metrics.items()}
        while left:
            names = list(left)[:MAX_METRICS]
            values = {name: left[name][:MAX_VALUES] for name in names}
            for name in names:
                left[name] = left[name][MAX_VALUES:]
                if not left[name]:
                    del left[name]
            self._line(dimensions, seconds, values)

    def _line(self, dimensions: Dimensions, seconds: float, values: dict[str, list[float]]) -> None:
        described: list[dict[str, Any]] = []
        for name in values:
            metric: dict[str, Any] = {"Name": name, "StorageResolution": self._resolution}
            if name in self._gathered.units:
                metric["Unit"] = self._gathered.units[name]
            described.append(metric)
        directive = {
            "Namespace": self._namespace,
            "Dimensions": [[name for name, _ in dimensions]],
            "Metrics": described,
        }
        head = {"Timestamp": int(seconds * 1000), "CloudWatchMetrics": [directive]}
        event = {"_aws": head, **dict(dimensions), **values}
        self.put(json.dumps(event) + "\n")

    def close(self) -> None:
        """Write what is left, and give the file its name."""
        self.flush()
        self._letters.close()
        super().close()
