"""Points gathered by series and time, as CloudWatch counts them.

Principal type: `Gathered`: rows in, and for each metric, its dimensions and a stretch of time, how
often each value came. `cloudwatch` and `emf` send what it holds. What CloudWatch does not take is
told apart here, before anything is sent: one bad value would have its whole request refused.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from metricsieve.exceptions import SinkError
from metricsieve.sinks._cells import cells
from metricsieve.sinks._points import need_columns
from metricsieve.sinks._template import Template

if TYPE_CHECKING:
    import pyarrow as pa

# Limits of PutMetricData, from its documentation; botocore's model has those of lengths.
LARGEST = 2.0**360
MAX_DIMENSIONS = 30
MAX_NAME = 255
MAX_DIMENSION_VALUE = 1024
# Seconds that a time may be behind now, or ahead of it.
OLDEST, LATEST = 14 * 86_400, 2 * 3_600
NOT_TAKEN = "older than two weeks, or more than two hours ahead"
_US = 1_000_000
_SENDABLE = re.compile(r"[\x20-\x7e]*[\x21-\x7e][\x20-\x7e]*")
_DEFAULT_DIMENSIONS = {"TrainingJobName": "{job}"}
_MAX_SERIES = 1000

Dimensions = tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """What CloudWatch bills and draws as one metric."""

    metric: str
    dimensions: Dimensions


class Refused(NamedTuple):
    """A point that cannot be sent: why, and where it stands."""

    reason: str
    row: dict[str, Any]


class Dimension:
    """A dimension's name, and the template of its value.

    Raises:
        ValueError: the name is none, or a column is missing.
    """

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self.name, template = _named(text)
        self.value = Template(template, columns, "dimension")


def _named(text: str) -> tuple[str, str]:
    """The name and the template of a dimension."""
    name, equals, template = text.partition("=")
    if not equals or not template:
        raise ValueError(f"the dimension {text!r} is no NAME=VALUE, such as Host={{host}}")
    if not _SENDABLE.fullmatch(name) or len(name) > MAX_NAME or name.startswith(":"):
        raise ValueError(
            f"a dimension's name is up to {MAX_NAME} printable ASCII characters, the first no "
            f"colon, not {name!r}"
        )
    return name, template


def check_dimensions(texts: Sequence[str], reserved: str | None = None) -> None:
    """Refuse dimensions that no metric can have; columns are looked for later.

    Args:
        texts: `NAME=VALUE` of each.
        reserved: a name that the format keeps for itself.

    Raises:
        ValueError: the message says which.

    Example:
        >>> check_dimensions(["Host={host}", "Host=b"])
        Traceback (most recent call last):
        ValueError: the dimension Host stands twice: a metric has each only once
    """
    names = Counter(_named(text)[0] for text in texts)
    if len(names) > MAX_DIMENSIONS:
        raise ValueError(f"a metric has at most {MAX_DIMENSIONS} dimensions")
    for name, count in names.items():
        if count > 1:
            raise ValueError(f"the dimension {name} stands twice: a metric has each only once")
        if name == reserved:
            raise ValueError(f"no dimension can be called {name}: the format has its own of that")


def check_namespace(namespace: str) -> None:
    """Refuse a namespace that CloudWatch would refuse, and with it every request.

    Raises:
        ValueError: the message says what it can be.
    """
    if (
        not _SENDABLE.fullmatch(namespace)
        or len(namespace) > MAX_NAME
        or namespace.startswith((":", "AWS/"))
    ):
        raise ValueError(
            f"{namespace!r} is no namespace: it has up to {MAX_NAME} printable ASCII characters, "
            "the first no colon, and does not begin with AWS/"
        )


class Gathered:
    """Values by series and time, until they are taken.

    Args:
        schema: of the batches.
        dimensions: `NAME=VALUE` texts; empty for SageMaker's `TrainingJobName`.
        resolution: seconds of a stretch of time: 1 or 60.
        undated: `now` sends points without a time as of the time of sending; `refuse` does not.
        most_series: an error beyond so many: CloudWatch bills each.
        of_any_age: take points of any time since 1970.
        target: the sink, for messages.
        reserved: a name that no dimension can have.

    Attributes:
        dimensions: those of every metric.
        units: of metrics, by name.
        distinct: values that are held, equal ones of a series and stretch of time as one.
        points: all of them.

    Raises:
        ValueError: a dimension that makes no sense, or a column is missing.
    """

    def __init__(
        self,
        schema: pa.Schema,
        *,
        dimensions: list[str],
        resolution: int,
        undated: str,
        target: str,
        most_series: int = _MAX_SERIES,
        of_any_age: bool = False,
        reserved: str | None = None,
    ) -> None:
        need_columns(schema, target)
        given = dimensions or [f"{name}={value}" for name, value in _DEFAULT_DIMENSIONS.items()]
        given = given if dimensions or {"job", "source"} & set(schema.names) else []
        check_dimensions(given, reserved)
        self.dimensions = [Dimension(one, schema.names) for one in given]
        self._resolution = resolution
        self._undated = undated
        self._most = most_series
        self._of_any_age = of_any_age
        self._target = target
        self._wanted = [
            name
            for name in schema.names
            if name in ("metric", "value", "timestamp", "source", "line")
            or any(name in one.value.columns for one in self.dimensions)
        ]
        self._known: set[Series] = set()
        self._values: dict[tuple[Series, int | None], Counter[float]] = {}
        self.units = _units(schema)
        self.distinct = self.points = 0

    def add(self, batch: pa.RecordBatch, now: float) -> Iterator[Refused]:
        """Take the points of a batch; gives those that cannot be sent.

        Args:
            batch: of the schema.
            now: seconds since 1970; older than two weeks is too old, and so on.

        Raises:
            SinkError: there are too many series.
        """
        columns = {name: cells(batch.column(name)) for name in self._wanted}
        oldest, latest = (int((now + delta) * _US) for delta in (-OLDEST, LATEST))
        not_taken = NOT_TAKEN
        if self._of_any_age:
            oldest, latest, not_taken = 0, 1 << 63, "before 1970"
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            value, time = row["value"], row.get("timestamp")
            reason = _reason(value, time, undated=self._undated)
            if reason is None and time is not None and not oldest <= time <= latest:
                reason = not_taken
            if reason is None:
                series = self._series(row)
                reason = series if isinstance(series, str) else None
            if reason is not None:
                yield Refused(reason, row)
                continue
            assert isinstance(series, Series)
            stretch = None if time is None else time // (self._resolution * _US) * self._resolution
            counts = self._values.setdefault((series, stretch), Counter())
            self.distinct += value not in counts
            counts[value] += 1
            self.points += 1

    def _series(self, row: dict[str, Any]) -> Series | str:
        """The row's series, or why it can be none."""
        metric = row["metric"]
        if not _SENDABLE.fullmatch(metric) or len(metric) > MAX_NAME:
            return "name is not printable ASCII"
        found = []
        for dimension in self.dimensions:
            text = dimension.value.of(row)
            if text is None:
                continue
            if not _SENDABLE.fullmatch(text) or len(text) > MAX_DIMENSION_VALUE:
                return f"dimension {dimension.name} is not printable ASCII"
            found.append((dimension.name, text))
        series = Series(metric, tuple(found))
        if series not in self._known:
            self._known.add(series)
            if len(self._known) > self._most:
                raise SinkError(
                    f"more than {self._most:,} metrics with different names or dimensions",
                    self._target,
                    "CloudWatch bills each: use fewer dimensions, or max-series= to allow more",
                )
        return series

    def take(self) -> Iterator[tuple[Series, int | None, Counter[float]]]:
        """Everything that was gathered: series, beginning of its time in seconds, and values."""
        taken, self._values = self._values, {}
        self.distinct = self.points = 0
        for (series, stretch), counts in taken.items():
            yield series, stretch, counts


def _reason(value: float | None, time: int | None, *, undated: str) -> str | None:
    if value is None:
        return "no value"
    if not math.isfinite(value):
        return "NaN or infinite"
    if abs(value) > LARGEST:
        return "beyond 2^360"
    return "no time" if time is None and undated != "now" else None


def _units(schema: pa.Schema) -> dict[str, str]:
    """Units of metrics by name, which travel in the schema's metadata."""
    found = (schema.metadata or {}).get(b"metricsieve.units")
    return {} if found is None else dict(json.loads(found))
