"""CloudWatch's embedded metric format: points as log events that CloudWatch makes metrics of.

Principal types: `Events`, rows in and `Event`s out. Points of the same minute (or second) and
dimensions share an event. `emf` writes events to a file, `emf_logs` sends them to a log group.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from metricsieve.sinks._refused import DeadLetters
from metricsieve.sinks._series import Dimensions, Gathered, check_namespace
from metricsieve.sinks.cloudwatch import NAMESPACE, MetricOptions

if TYPE_CHECKING:
    import pyarrow as pa

# Of the format's specification: metrics of a directive, and values of an array.
MAX_METRICS = 100
MAX_VALUES = 100
RESERVED = "_aws"  # where the format keeps what it says of the metrics
# Values, and points, that are gathered before they are taken: each point has its place in an event.
_MOST_GATHERED, _MOST_POINTS = 100_000, 1_000_000


class EmbeddedOptions(MetricOptions, total=False):
    """What all sinks of the format take.

    Attributes:
        namespace: of the metrics; SageMaker's by default.
    """

    namespace: str


class Event(NamedTuple):
    """A log event.

    Attributes:
        millis: its time in milliseconds since 1970.
        message: the event in the format, one line of ASCII of less than 1 MB.
        dimensions: of its metrics.
        values: of each metric.
    """

    millis: int
    message: str
    dimensions: Dimensions
    values: dict[str, list[float]]


class Events:
    """Points gathered until they are taken as events.

    Args:
        schema: of the batches.
        target: the sink, for messages.
        of_any_age: take points of any time since 1970.
        namespace: see `EmbeddedOptions`, and the others there.

    Attributes:
        letters: what cannot be an event.

    Raises:
        ValueError: a namespace or a dimension that makes no sense, or a column is missing.
    """

    def __init__(
        self,
        schema: pa.Schema,
        target: str,
        *,
        of_any_age: bool,
        namespace: str = NAMESPACE,
        dimensions: list[str] | None = None,
        resolution: int = 60,
        undated: str = "refuse",
        dead_letters: str | None = None,
        max_series: int = 1000,
    ) -> None:
        check_namespace(namespace)
        self._namespace = namespace
        self._resolution = resolution
        self._gathered = Gathered(
            schema,
            dimensions=dimensions or [],
            resolution=resolution,
            undated=undated,
            target=target,
            most_series=max_series,
            of_any_age=of_any_age,
            reserved=RESERVED,
        )
        self.letters = DeadLetters(dead_letters, "EMF")

    def add(self, batch: pa.RecordBatch) -> bool:
        """Gather points; gives whether there are many by now.

        Raises:
            SinkError: there are too many series, or the dead letters cannot be written.
        """
        for reason, row in self._gathered.add(batch, time.time()):
            self.letters.add(reason, row)
        held = self._gathered
        return held.distinct >= _MOST_GATHERED or held.points >= _MOST_POINTS

    def take(self) -> Iterator[Event]:
        """Everything that was gathered."""
        minutes: dict[tuple[Dimensions, float], dict[str, Counter[float]]] = {}
        now = time.time()
        for series, stretch, counts in self._gathered.take():
            if series.metric in (RESERVED, *(name for name, _ in series.dimensions)):
                row = {"metric": series.metric, "values": list(counts)}
                self.letters.add("the name is that of a dimension", row, counts.total())
                continue
            key = (series.dimensions, now if stretch is None else stretch)
            minutes.setdefault(key, {})[series.metric] = counts
        for (dimensions, seconds), metrics in minutes.items():
            yield from self._minute(dimensions, int(seconds * 1000), metrics)

    def abort(self) -> None:
        """Drop what was gathered; the dead letters stay."""
        for _ in self._gathered.take():
            pass
        self.letters.abort()

    def _minute(
        self, dimensions: Dimensions, millis: int, metrics: dict[str, Counter[float]]
    ) -> Iterator[Event]:
        """Events of one minute: metrics that have more values than an event takes wait again."""
        waiting = deque(
            (name, counts.total(), counts.elements()) for name, counts in metrics.items()
        )
        while waiting:
            values = {}
            for _ in range(min(MAX_METRICS, len(waiting))):
                name, left, rest = waiting.popleft()
                values[name] = list(islice(rest, MAX_VALUES))
                if left > MAX_VALUES:
                    waiting.append((name, left - MAX_VALUES, rest))
            yield Event(millis, self._message(dimensions, millis, values), dimensions, values)

    def _message(self, dimensions: Dimensions, millis: int, values: dict[str, list[float]]) -> str:
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
        head = {"Timestamp": millis, "CloudWatchMetrics": [directive]}
        return json.dumps({"_aws": head, **dict(dimensions), **values})
