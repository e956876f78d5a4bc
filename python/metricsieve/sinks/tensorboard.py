"""TensorBoard event files: `tensorboard:DIR`.

Principal type: `TensorBoardSink`. Each run is a directory below `DIR` with one event file of a
fixed name, so that the same points written again replace themselves and do not double.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from metricsieve.sinks._atomic import sink_errors
from metricsieve.sinks._runs import OPTIONS, RunPoint, Runs, naming

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

# TensorBoard reads files with `tfevents` in their names; by name, live ones come behind it.
_NAME = "events.out.tfevents.0000000000.metricsieve"


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    target.only(*OPTIONS)
    if not target.rest:
        raise ValueError("tensorboard: needs a directory, such as tensorboard:runs")


def open_url(target: Target, schema: pa.Schema) -> TensorBoardSink:
    """The sink of a URL."""
    return TensorBoardSink(target.rest, schema, **naming(target))


class TensorBoardSink:
    """Writes scalars of each run into an event file.

    Rules: steps and doubles are those of `Runs`. The wall time is the point's; a point without one
    has that of the point before it in its run, or 1970. Values become float32, as TensorBoard keeps
    them, NaN and infinities included. Context columns and labels are not written, but the templates
    may hold them: `tag={metric}/{phase}`.

    `guarantee`: an event file appears when it is whole and replaces one of the same run. Where a
    follower flushes, files grow as points come, and a restart begins another one beside them.

    Args:
        directory: of the runs; made if it does not exist.
        schema: of the batches.
        step: the step column; None for the usual one.
        run: template of a run's name, by default the job, else the source.
        tag: template of a scalar's tag, by default the metric's name.

    Raises:
        ValueError: a column does not exist.
        SinkError: the directory cannot be made.
        ImportError: tensorboardX is missing.

    Example:
        >>> import metricsieve as ms, pathlib, tempfile
        >>> home = tempfile.mkdtemp()
        >>> scan = ms.scan({"a": b"loss=1"}, {"loss": "loss=(.)"})
        >>> _ = scan.write(TensorBoardSink(home, scan.schema))
        >>> [path.parent.name for path in pathlib.Path(home).glob("*/*tfevents*")]
        ['a']
    """

    guarantee = "whole at the end; of a follower at least once"

    def __init__(
        self,
        directory: str,
        schema: pa.Schema,
        *,
        step: str | None = None,
        run: str | None = None,
        tag: str = "{metric}",
    ) -> None:
        try:
            from tensorboardX import record_writer
            from tensorboardX.proto import event_pb2
        except ImportError:
            raise ImportError(
                "TensorBoard files need tensorboardX: pip install 'metricsieve[tensorboard]'"
            ) from None
        self._writer = record_writer.RecordWriter
        self._event = event_pb2.Event
        self._runs = Runs(schema, step=step, run=run, tag=tag)
        self._directory = directory
        self._live: dict[str, Any] = {}
        self._temporary: list[str] = []
        with sink_errors(directory):
            os.makedirs(directory, exist_ok=True)

    @property
    def notes(self) -> list[str]:
        """What was done with some points."""
        return [f"TensorBoard: {note}" for note in self._runs.notes]

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points."""
        self._runs.add(batch)

    def flush(self) -> None:
        """Write what came since the last time, for those who watch."""
        for run, points in self._runs.take():
            if run not in self._live:
                home = self._home(run)
                number = sum("tfevents" in name for name in os.listdir(home))
                self._live[run] = self._begin(os.path.join(home, f"{_NAME}.{number:06d}"), points)
            self._put(self._live[run], run, points)
            with sink_errors(self._directory):
                self._live[run].flush()

    def close(self) -> None:
        """Give files their names, or end those that grew."""
        if self._live:
            self.flush()
            for writer in self._live.values():
                writer.close()
            return
        whole = []
        for run, points in self._runs.take():
            home = self._home(run)
            temporary = os.path.join(home, f".metricsieve-{secrets.token_hex(8)}.tmp")
            self._temporary.append(temporary)
            writer = self._begin(temporary, points)
            self._put(writer, run, points)
            with sink_errors(home):
                writer.close()
                _sync(temporary)
            whole.append((temporary, os.path.join(home, _NAME)))
        for temporary, final in whole:
            with sink_errors(final):
                os.replace(temporary, final)
        self._temporary = []

    def abort(self) -> None:
        """Leave nothing half-written behind; files that grew stay."""
        for writer in self._live.values():
            with contextlib.suppress(Exception):
                writer.close()
        self._live = {}
        for path in self._temporary:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _home(self, run: str) -> str:
        """The run's directory."""
        name = quote(run, safe="")
        home = os.path.join(self._directory, f"%2E{name[1:]}" if name[:1] == "." else name)
        with sink_errors(home):
            os.makedirs(home, exist_ok=True)
        return home

    def _begin(self, path: str, points: list[RunPoint]) -> Any:
        with sink_errors(path):
            writer = self._writer(path)
        first = next((point.micros for point in points if point.micros is not None), 0)
        version = self._event(wall_time=first / 1e6, file_version="brain.Event:2")
        writer.write(version.SerializeToString())
        return writer

    def _put(self, writer: Any, run: str, points: list[RunPoint]) -> None:
        event = self._event()
        scalar = event.summary.value.add()
        for point, micros in self._runs.dated(run, points):
            event.wall_time, event.step = micros / 1e6, point.step
            scalar.tag, scalar.simple_value = point.tag, _float32(point.value)
            writer.write(event.SerializeToString())


def _float32(value: float) -> float:
    """What protobuf takes for a float32: beyond its range is infinite."""
    largest = 3.4028234663852886e38
    if math.isfinite(value) and abs(value) > largest:
        return math.copysign(math.inf, value)
    return value


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
