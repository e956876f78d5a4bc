"""TensorBoard event files: `tensorboard:DIR`.

Principal type: `TensorBoardSink`. Each run is a directory below `DIR` with one event file of a
fixed name, so that the same points written again replace themselves and do not double. tensorboardX
has the events and their checksum; the files are ours, since its writer does not report every error.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from metricsieve.sinks._append import AppendFile
from metricsieve.sinks._atomic import AtomicFile, make_directory, sink_errors
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
            from tensorboardX.proto import event_pb2
            from tensorboardX.record_writer import masked_crc32c
        except ImportError:
            raise ImportError(
                "TensorBoard files need tensorboardX: pip install 'metricsieve[tensorboard]'"
            ) from None
        self._checksum = masked_crc32c
        self._event = event_pb2.Event
        self._runs = Runs(schema, step=step, run=run, tag=tag)
        self._directory = directory
        self._live: dict[str, AppendFile] = {}
        self._whole: list[AtomicFile] = []
        with sink_errors(directory):
            make_directory(directory)

    @property
    def notes(self) -> list[str]:
        """What was done with some points."""
        return [f"TensorBoard: {note}" for note in self._runs.notes]

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points."""
        self._runs.add(batch)

    def flush(self) -> None:
        """Write what came since the last time, for those who watch.

        Raises:
            SinkError: an event file cannot be written.
        """
        for run, points in self._runs.take():
            if run not in self._live:
                home = self._home(run)
                number = sum("tfevents" in name for name in os.listdir(home))
                path = os.path.join(home, f"{_NAME}.{number:06d}")
                self._live[run] = AppendFile(path, None, must_be_empty=True)
                self._live[run].write(self._version(points))
            self._live[run].write(b"".join(self._records(run, points)))
            self._live[run].flush()

    def close(self) -> None:
        """Give files their names, or end those that grew.

        Raises:
            SinkError: an event file cannot be written.
        """
        if self._live:
            self.flush()
            for live in self._live.values():
                live.close()
            return
        for run, points in self._runs.take():
            file = AtomicFile(os.path.join(self._home(run), _NAME))
            self._whole.append(file)
            file.write(self._version(points))
            for record in self._records(run, points):
                file.write(record)
            file.seal()  # all of them before the first has its name
        for file in self._whole:
            file.commit()
        self._whole = []

    def abort(self) -> None:
        """Leave nothing half-written behind; files that grew stay."""
        for live in self._live.values():
            live.abort()
        for file in self._whole:
            file.abort()
        self._live, self._whole = {}, []

    def _home(self, run: str) -> str:
        """The run's directory."""
        name = quote(run, safe="")
        home = os.path.join(self._directory, f"%2E{name[1:]}" if name[:1] == "." else name)
        with sink_errors(home):
            make_directory(home)
        return home

    def _version(self, points: Iterable[RunPoint]) -> bytes:
        """The record that a file begins with."""
        first = next((point.micros for point in points if point.micros is not None), 0)
        event = self._event(wall_time=first / 1e6, file_version="brain.Event:2")
        return self._record(event.SerializeToString())

    def _records(self, run: str, points: Iterable[RunPoint]) -> Iterator[bytes]:
        event = self._event()
        scalar = event.summary.value.add()
        for point, micros in self._runs.dated(run, points):
            event.wall_time, event.step = micros / 1e6, point.step
            scalar.tag, scalar.simple_value = point.tag, _float32(point.value)
            yield self._record(event.SerializeToString())

    def _record(self, data: bytes) -> bytes:
        """An event as TensorFlow frames it: its length and its bytes, a checksum behind each."""
        length = struct.pack("<Q", len(data))
        checksums = (struct.pack("<I", self._checksum(part)) for part in (length, data))
        return b"".join((length, next(checksums), data, next(checksums)))


def _float32(value: float) -> float:
    """What protobuf takes for a float32: beyond its range is infinite."""
    largest = 3.4028234663852886e38
    if math.isfinite(value) and abs(value) > largest:
        return math.copysign(math.inf, value)
    return value
