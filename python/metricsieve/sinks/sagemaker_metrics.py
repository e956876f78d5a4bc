"""SageMaker's own metrics with steps, by BatchPutMetrics: `sagemaker-metrics:`.

Principal type: `SageMakerMetricsSink`. It is the only interface of SageMaker that knows a step; a
request takes ten points.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Unpack

from metricsieve.exceptions import SinkError
from metricsieve.sinks._points import need_columns
from metricsieve.sinks._refused import DeadLetters
from metricsieve.sinks._runs import RunPoint, Runs
from metricsieve.sinks._service import (
    CLIENT,
    Client,
    Halving,
    check_client,
    client_of,
    service_errors,
)
from metricsieve.sources._aws import Service
from metricsieve.sources._remote import attempts

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

# What SageMaker calls the trial component of a training job.
COMPONENT = "{job}-aws-training-job"
# Of BatchPutMetrics, by botocore's model: points of a request, and what a component's name may be.
MAX_POINTS = 10
_COMPONENT = re.compile(r"[a-z0-9](-*[a-z0-9]){0,119}")
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,255}")
# Two weeks back and two hours ahead, as the SDK has it.
_OLDEST, _LATEST = 14 * 86_400, 2 * 3_600
# An item that failed inside of the service is sent again for so long.
_AGAIN_SECONDS = 60.0
_CALLS_A_SECOND = 100.0
_OPTIONS = ("component", "step", "tag", "undated", "dead-letters", *CLIENT)


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    target.only(*_OPTIONS)
    if target.rest:
        raise ValueError(f"{target}: name the trial component by component=, a template")
    target.choice("undated", "refuse", ("now", "refuse"))
    check_client(target)


def open_url(target: Target, schema: pa.Schema) -> SageMakerMetricsSink:
    """The sink of a URL."""
    return SageMakerMetricsSink(
        schema,
        component=target.text("component", COMPONENT),
        step=target.one("step"),
        tag=target.text("tag", "{metric}"),
        undated=target.text("undated", "refuse"),
        dead_letters=target.one("dead-letters"),
        **client_of(target),
    )


class _Sent(NamedTuple):
    """A point with the name of its trial component."""

    component: str
    point: RunPoint


class SageMakerMetricsSink:
    """Puts points into trial components of SageMaker, with their steps.

    `guarantee`: at least once.

    Rules: steps and doubles are those of `Runs`; a step below 0 cannot be sent. NaN and infinite
    values, points of more than two weeks ago or two hours ahead, and points without a time (unless
    `undated` is `now`) are not sent but counted, and kept as dead letters. So are single points
    that the service refuses in an answer that takes the others, or that have a request refused.
    Names of components are lower case: runs that differ in nothing else share one, which is told.

    Args:
        schema: of the batches.
        component: template of the trial component's name, in lower case; by default that of a
            training job.
        step: the step column; None for the usual one.
        tag: template of a metric's name, by default the definition's.
        undated: `refuse`, or `now` to send points without a time as of the time of sending.
        dead_letters: a file that what cannot be sent is appended to as JSON lines.
        client: see `Client`.

    Raises:
        ValueError: a column is missing.

    Example:
        >>> import metricsieve as ms
        >>> scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
        >>> sink = SageMakerMetricsSink(scan.schema, region_name="us-east-1")
        >>> scan.write(sink).points
        1
        >>> sink.notes
        ['SageMaker: 1 point not sent, the name of the component is none (first: loss)']
    """

    guarantee = "at least once"
    path = "sagemaker-metrics:"

    def __init__(
        self,
        schema: pa.Schema,
        *,
        component: str = COMPONENT,
        step: str | None = None,
        tag: str = "{metric}",
        undated: str = "refuse",
        dead_letters: str | None = None,
        **client: Unpack[Client],
    ) -> None:
        need_columns(schema, "sagemaker-metrics")
        self._runs = Runs(schema, step=step, run=component, tag=tag)
        self._undated = undated
        self._letters = DeadLetters(dead_letters, "SageMaker")
        self._service = Service("sagemaker-metrics", rate=_CALLS_A_SECOND, **client)
        self._halving = Halving(self._send, self._refuse_for)
        self._again: list[_Sent] = []
        self._runs_of: dict[str, dict[str, None]] = {}

    @property
    def cannot_go_on(self) -> str | None:
        """Why a follower with a state is refused: points would be numbered from 0 once more."""
        if self._runs.step is not None:
            return None
        return (
            "does not tell which steps it has, so a restart cannot number points behind them: "
            "capture a step by -c (context=), name a column by step=, such as step=line of a log "
            "that is not rotated, or follow without a state"
        )

    @property
    def notes(self) -> list[str]:
        """What was not sent, and why; runs that share a component."""
        found = [*(f"SageMaker: {note}" for note in self._runs.notes), *self._letters.notes]
        for component, runs in self._runs_of.items():
            if len(runs) > 1:
                found.append(f"SageMaker: {' and '.join(runs)} share the component {component}")
        return found

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points."""
        self._runs.add(batch)

    def flush(self) -> None:
        """Send what came since the last time.

        Raises:
            SinkError: SageMaker refuses or fails for five minutes, or the dead letters cannot be
                written.
        """
        now = time.time()
        for run, points in self._runs.take():
            component = run.lower()
            is_name = _COMPONENT.fullmatch(component) is not None
            if is_name:
                self._runs_of.setdefault(component, {})[run] = None
            good: list[_Sent] = []
            for point in points:
                reason = _reason(point, now, undated=self._undated)
                reason = reason if is_name else "the name of the component is none"
                if reason is not None:
                    self._refuse(reason, component, point)
                    continue
                good.append(_Sent(component, point))
                if len(good) == MAX_POINTS:
                    self._deliver(good)
                    good = []
            if good:
                self._deliver(good)
        self._letters.flush()

    def close(self) -> None:
        """Send what is left."""
        self.flush()
        self._letters.close()

    def abort(self) -> None:
        """Drop what was not sent."""
        for _ in self._runs.take():
            pass
        self._letters.abort()

    def _deliver(self, points: Sequence[_Sent]) -> None:
        for _ in attempts(_AGAIN_SECONDS):
            self._again = []
            with service_errors(self.path):
                self._halving.deliver(points)
            points = self._again
            if not points:
                return
        raise SinkError(
            f"{len(points)} points of {points[0].component} still fail inside of the service",
            self.path,
            "try again later",
        )

    def _send(self, points: Sequence[_Sent]) -> None:
        """Send up to ten points of a component; keeps those that failed inside of the service."""
        now = time.time()
        data = [
            {
                "MetricName": point.tag,
                "Timestamp": datetime.fromtimestamp(
                    now if point.micros is None else point.micros / 1e6, UTC
                ),
                "Step": point.step,
                "Value": point.value,
            }
            for _, point in points
        ]
        answer = self._service.call(
            "batch_put_metrics", TrialComponentName=points[0].component, MetricData=data
        )
        failed = {int(one["MetricIndex"]): str(one["Code"]) for one in answer.get("Errors") or []}
        for index, code in sorted(failed.items()):
            if code == "INTERNAL_ERROR":
                self._again.append(points[index])
            else:
                self._refuse_for(points[index], code)

    def _refuse_for(self, sent: _Sent, code: str) -> None:
        self._refuse(f"refused by SageMaker ({code})", sent.component, sent.point)

    def _refuse(self, reason: str, component: str, point: RunPoint) -> None:
        row = {"metric": point.tag, "component": component, "step": point.step}
        row |= {"value": point.value, "timestamp": point.micros}
        self._letters.add(reason, row)


def _reason(point: RunPoint, now: float, *, undated: str) -> str | None:
    if not math.isfinite(point.value):
        return "NaN or infinite"
    if not _NAME.fullmatch(point.tag):
        return "its name is empty, longer than 255 or has control characters"
    if point.step < 0:
        return "its step is below 0"
    if point.micros is None:
        return None if undated == "now" else "no time"
    age = now - point.micros / 1e6
    return None if -_LATEST <= age <= _OLDEST else "older than two weeks, or ahead of now"
