"""CloudWatch metrics by PutMetricData: `cloudwatch:NAMESPACE`.

Principal type: `CloudWatchSink`. Points of the same minute (or second) of a series are packed into
one datum, so that a request carries up to 150,000 of them; CloudWatch makes statistics of a minute
anyway. What it would refuse is never sent, and what it refuses all the same is found by halving the
request, so that no point loses its place for a neighbour.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from metricsieve.sinks._refused import DeadLetters
from metricsieve.sinks._series import (
    LATEST,
    NOT_TAKEN,
    OLDEST,
    Gathered,
    Series,
    check_dimensions,
    check_namespace,
)
from metricsieve.sinks._service import (
    CLIENT,
    Client,
    Halving,
    check_client,
    client_of,
    service_errors,
)
from metricsieve.sources._aws import Service

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

NAMESPACE = "/aws/sagemaker/TrainingJobs"
# Of PutMetricData's documentation: a request has at most 1,000 data and 1 MB, a datum 150 values.
MAX_DATA = 1000
MAX_VALUES = 150
# Less than the 1 MB: names in the body may be written longer than they are.
_REQUEST_BYTES = 800_000
# Values that are gathered before they are sent.
_MOST_GATHERED = 100_000
_CALLS_A_SECOND = 100.0
_OPTIONS = ("resolution", "undated", "dead-letters", "max-series")
_RESOLUTIONS = ("1", "60")


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    target.only(*_OPTIONS, *CLIENT, many=["dimension"])
    check_client(target)
    check_metrics(target, target.rest or NAMESPACE)


def check_metrics(target: Target, namespace: str, reserved: str | None = None) -> None:
    """The same for what all sinks of CloudWatch have.

    Raises:
        ValueError: the message says which.
    """
    check_namespace(namespace)
    check_dimensions(target.options.get("dimension", ()), reserved)
    target.choice("resolution", "60", _RESOLUTIONS)
    target.choice("undated", "refuse", ("now", "refuse"))
    most = target.text("max-series", "1")
    if not most.isdecimal() or int(most) < 1:
        raise ValueError(f"{target}: max-series={most} is no number from 1 on")


def open_url(target: Target, schema: pa.Schema) -> CloudWatchSink:
    """The sink of a URL."""
    return CloudWatchSink(
        schema,
        namespace=target.rest or NAMESPACE,
        **metric_options(target),
        **client_of(target),
    )


class MetricOptions(TypedDict, total=False):
    """What all sinks of CloudWatch's metrics take.

    Attributes:
        dimensions: `NAME=VALUE` texts in which `{column}` stands for a column's value; by default
            SageMaker's, `TrainingJobName={job}`. A job that is not known is the source.
        resolution: 60, or 1 for metrics of high resolution.
        undated: `refuse`, or `now` to send points without a time as of the time of sending.
        dead_letters: a file that what cannot be sent is appended to as JSON lines.
        max_series: an error beyond so many different names and dimensions.
    """

    dimensions: list[str] | None
    resolution: int
    undated: str
    dead_letters: str | None
    max_series: int


def metric_options(target: Target) -> MetricOptions:
    """What a URL says of them."""
    return {
        "dimensions": list(target.options.get("dimension", ())),
        "resolution": int(target.text("resolution", "60")),
        "undated": target.text("undated", "refuse"),
        "dead_letters": target.one("dead-letters"),
        "max_series": int(target.text("max-series", "1000")),
    }


class CloudWatchSink:
    """Sends points to CloudWatch.

    `guarantee`: at least once. A request that was accepted and whose answer was lost is sent again:
    at most one request is doubled for each such fault.

    Rules: NaN and infinite values, values beyond 2^360, points of more than two weeks ago or two
    hours ahead, and names that are not printable ASCII are not sent, as CloudWatch does not take
    them; they are counted in `notes` and kept as dead letters. Points without a time are treated
    like these, unless `undated` is `now`. Context columns and labels are not sent, but dimensions
    may hold them.

    Args:
        schema: of the batches.
        namespace: SageMaker's by default.
        dimensions: `NAME=VALUE` texts in which `{column}` stands for a column's value; by default
            SageMaker's, `TrainingJobName={job}`. A job that is not known is the source.
        resolution: 60, or 1 for metrics of high resolution.
        undated: `refuse`, or `now` to send points without a time as of the time of sending.
        dead_letters: a file that what cannot be sent is appended to as JSON lines.
        max_series: an error beyond so many different names and dimensions.
        client: see `Client`.

    Raises:
        ValueError: a namespace or a dimension that makes no sense, or a column is missing.

    Example:
        >>> import metricsieve as ms
        >>> scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
        >>> sink = CloudWatchSink(scan.schema, region_name="us-east-1")
        >>> scan.write(sink).points  # a point without a time is not sent
        1
        >>> sink.notes
        ['CloudWatch: 1 point not sent, no time (first: loss at <bytes:0>:1); undated=now sends \
them as of now']
    """

    guarantee = "at least once"

    def __init__(
        self,
        schema: pa.Schema,
        *,
        namespace: str = NAMESPACE,
        dimensions: list[str] | None = None,
        resolution: int = 60,
        undated: str = "refuse",
        dead_letters: str | None = None,
        max_series: int = 1000,
        **client: Unpack[Client],
    ) -> None:
        check_namespace(namespace)
        self._namespace = namespace
        self._resolution = resolution
        self._gathered = Gathered(
            schema,
            dimensions=dimensions or [],
            resolution=resolution,
            undated=undated,
            target=self.path,
            most_series=max_series,
        )
        self._letters = DeadLetters(dead_letters, "CloudWatch")
        self._service = Service("cloudwatch", rate=_CALLS_A_SECOND, **client)
        self._halving = Halving(self._send, self._refuse_for)
        self.requests = self.data = 0

    @property
    def path(self) -> str:
        """The sink's spelling."""
        return f"cloudwatch:{self._namespace}"

    @property
    def notes(self) -> list[str]:
        """What was not sent, and why."""
        hint = "; undated=now sends them as of now"
        return [note + hint * ("no time" in note) for note in self._letters.notes]

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points; sends when there are many.

        Raises:
            SinkError: CloudWatch refuses or fails for five minutes, or the dead letters cannot be
                written.
        """
        for reason, row in self._gathered.add(batch, time.time()):
            self._letters.add(reason, row)
        if self._gathered.distinct >= _MOST_GATHERED:
            self.flush()

    def flush(self) -> None:
        """Send everything; returns when CloudWatch has accepted it."""
        with service_errors(self.path):
            for request in _requests(self._taken(time.time())):
                self._halving.deliver(request)
        self._letters.flush()

    def close(self) -> None:
        """Send what is left."""
        self.flush()
        self._letters.close()

    def abort(self) -> None:
        """Drop what was not sent."""
        for _ in self._gathered.take():
            pass
        self._letters.abort()

    def _taken(self, now: float) -> Iterator[dict[str, Any]]:
        """The data of everything that was gathered, but those that are too old by now."""
        for series, stretch, counts in self._gathered.take():
            for datum in self._data(series, now if stretch is None else stretch, counts):
                if stretch is None or -LATEST <= now - stretch <= OLDEST:
                    yield datum
                else:  # a minute may begin earlier than its points
                    self._refuse(datum, NOT_TAKEN)

    def _data(
        self, series: Series, seconds: float, counts: Counter[float]
    ) -> Iterator[dict[str, Any]]:
        fixed: dict[str, Any] = {
            "MetricName": series.metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
            "Timestamp": datetime.fromtimestamp(seconds, UTC),
            "StorageResolution": self._resolution,
        }
        unit = self._gathered.units.get(series.metric)
        if unit is not None:
            fixed["Unit"] = unit
        for some in _slices(counts):
            yield {
                **fixed,
                "Values": [value for value, _ in some],
                "Counts": [float(count) for _, count in some],
            }

    def _send(self, data: Sequence[dict[str, Any]]) -> None:
        self._service.call("put_metric_data", Namespace=self._namespace, MetricData=data)
        self.requests += 1
        self.data += len(data)

    def _refuse_for(self, datum: dict[str, Any], code: str) -> None:
        self._refuse(datum, f"refused by CloudWatch ({code})")

    def _refuse(self, datum: dict[str, Any], reason: str) -> None:
        row = {
            "metric": datum["MetricName"],
            "timestamp": datum["Timestamp"].isoformat(),
            "values": datum["Values"],
            "counts": datum["Counts"],
            "dimensions": {one["Name"]: one["Value"] for one in datum["Dimensions"]},
        }
        self._letters.add(reason, row, int(sum(datum["Counts"])))


def _slices(counts: Counter[float]) -> Iterator[list[tuple[float, int]]]:
    items = list(counts.items())
    for at in range(0, len(items), MAX_VALUES):
        yield items[at : at + MAX_VALUES]


def _requests(data: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """As many data in a request as it may have."""
    request: list[dict[str, Any]] = []
    size = 0
    for datum in data:
        more = _size(datum)
        if request and (len(request) == MAX_DATA or size + more > _REQUEST_BYTES):
            yield request
            request, size = [], 0
        request.append(datum)
        size += more
    if request:
        yield request


def _size(datum: dict[str, Any]) -> int:
    """Bytes of a datum in the body, at most, whatever the protocol."""
    texts = len(datum["MetricName"])
    texts += sum(40 + len(one["Name"]) + len(one["Value"]) for one in datum["Dimensions"])
    # A float takes up to 24 characters and a comma; the query protocol names each of them.
    return 200 + 2 * texts + 80 * len(datum["Values"])
