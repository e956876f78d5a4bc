"""TensorBoard event files: `tensorboard:DIR`.

Principal type: `TensorBoardSink`. Each run is a directory below `DIR` with one event file of a
fixed name, so that the same points written again replace themselves and do not double; a follower's
files stand beside it until the run is written whole. tensorboardX has the events and their
checksum; the files are ours, since its writer does not report every error.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from metricsieve.sinks._append import AppendFile
from metricsieve.sinks._atomic import AtomicFile, make_directory, sink_errors, sync_directory
from metricsieve.sinks._runs import OPTIONS, RunPoint, Runs, naming

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

# TensorBoard reads files with `tfevents` in their names; by name, live ones come behind it.
_NAME = "events.out.tfevents.0000000000.metricsieve"
_LIVE = re.compile(rf"{re.escape(_NAME)}\.(\d{{6,}})")
_LARGEST = 3.4028234663852886e38  # of float32
_INFINITE = 2.0**128 - 2.0**103  # what rounds to the largest is below this


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
    has that of the point before it in its run, of a follower also the last one that the run has, or
    1970. Values become float32, as TensorBoard keeps them, NaN and infinities included. Context
    columns and labels are not written, but the templates may hold them: `tag={metric}/{phase}`.

    `guarantee`: an event file appears when it is whole and replaces all files that sinks like this
    one wrote of the run. Where a follower flushes, files grow as points come, and a restart begins
    another one beside them; without a step column its points are numbered behind theirs.

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
                found = (_LIVE.fullmatch(name) for name in _ours(home))
                numbers = [int(one[1]) for one in found if one is not None]
                self._go_on(run, home)
                path = os.path.join(home, f"{_NAME}.{max(numbers, default=-1) + 1:06d}")
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
            _remove_live(os.path.dirname(file.path))
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

    def _go_on(self, run: str, home: str) -> None:
        """Go on with what our files have of a run."""
        last: dict[str, int] = {}
        latest = None
        for name in _ours(home):
            for event in self._events(os.path.join(home, name)):
                for value in event.summary.value:
                    last[value.tag] = max(event.step, last.get(value.tag, event.step))
                    latest = max(event.wall_time, latest or event.wall_time)
        self._runs.go_on(run, last, None if latest is None else round(latest * 1e6))

    def _events(self, path: str) -> Iterator[Any]:
        """The events of a file, as far as it is whole: a crash may have cut it."""
        with sink_errors(path), open(path, "rb") as file:
            while (head := file.read(12)) == self._checked(head[:8]):
                data = file.read(struct.unpack("<Q", head[:8])[0])
                if data + file.read(4) != self._checked(data):
                    return
                yield self._event.FromString(data)

    def _version(self, points: Iterable[RunPoint]) -> bytes:
        """The record that a file begins with."""
        first = next((point.micros for point in points if point.micros is not None), 0)
        event = self._event(wall_time=first / 1e6, file_version="brain.Event:2")
        return self._record(event.SerializeToString())

    def _records(self, run: str, points: Iterable[RunPoint]) -> Iterator[bytes]:
        event = self._event()
        scalar = event.summary.value.add()
        for tag, step, micros, point in self._runs.dated(run, points):
            event.wall_time, event.step = micros / 1e6, step
            scalar.tag, scalar.simple_value = tag, _float32(point.value)
            yield self._record(event.SerializeToString())

    def _record(self, data: bytes) -> bytes:
        """An event as TensorFlow frames it: its length and its bytes, a checksum behind each."""
        return self._checked(struct.pack("<Q", len(data))) + self._checked(data)

    def _checked(self, part: bytes) -> bytes:
        return part + struct.pack("<I", self._checksum(part))


def _ours(home: str) -> list[str]:
    """Names of files that sinks like this one wrote."""
    with sink_errors(home):
        return [name for name in sorted(os.listdir(home)) if name == _NAME or _LIVE.fullmatch(name)]


def _remove_live(home: str) -> None:
    """Remove a run's files that grew; the whole one has what they had."""
    live = [name for name in _ours(home) if name != _NAME]
    with sink_errors(home):
        for name in live:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(home, name))
        if live:
            sync_directory(home)


def _float32(value: float) -> float:
    """A value that protobuf takes for a float32, rounded where it is near the largest."""
    if math.isfinite(value) and abs(value) > _LARGEST:
        return math.copysign(_LARGEST if abs(value) < _INFINITE else math.inf, value)
    return value
