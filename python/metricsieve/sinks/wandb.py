"""Offline runs of Weights & Biases: `wandb:DIR`, for `wandb sync DIR/offline-run-*`.

Principal type: `WandbSink`. Each run is a directory below `DIR` with one `.wandb` file. The files
are written here, of W&B's own messages (`wandb.proto`), and not by `wandb.init`: that stamps runs
and rows with the time of writing (`_runtime`, the start of the run, the directory's name) whatever
it is given, drops what does not come in the order of the steps, and never writes the same bytes
twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from metricsieve.exceptions import SinkError
from metricsieve.sinks._atomic import AtomicFile, make_directory, sink_errors
from metricsieve.sinks._names import Names, marked
from metricsieve.sinks._runs import OPTIONS, RunPoint, Runs, naming
from metricsieve.sinks._wandb_log import framed, unframed

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

PROJECT = "metricsieve"
# What W&B's client refuses in the name of a project, and keeps for itself among metrics.
_UNFIT = re.compile(r"[/\\#?%:]")
_LONGEST_PROJECT = 128
_LONGEST_NAME = 1 << 20  # of a metric's name W&B states no limit
_OWN = ("_step", "_timestamp", "_runtime", "_wandb", "")
_DIRECTORY = re.compile(r"offline-run-\d{8}_\d{6}-([0-9a-f]{16})")
_LATEST = 253_402_300_799_999_999  # microseconds; the year 9999 ends, as protobuf's times do

# Of each step the values by name, each with its time in microseconds; the last one came last.
_History = dict[int, dict[str, tuple[int, float]]]


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    target.only("project", "entity", *OPTIONS)
    if not target.rest:
        raise ValueError("wandb: needs a directory, such as wandb:runs")
    project = target.text("project", PROJECT)
    if _UNFIT.search(project) or len(project) > _LONGEST_PROJECT:
        raise ValueError(
            f"{target}: W&B takes no / \\ # ? % : in the name of a project, and at most "
            f"{_LONGEST_PROJECT} characters: {project!r}"
        )


def open_url(target: Target, schema: pa.Schema) -> WandbSink:
    """The sink of a URL."""
    return WandbSink(
        target.rest,
        schema,
        project=target.text("project", PROJECT),
        entity=target.one("entity"),
        **naming(target),
    )


class WandbSink:
    """Writes the points of each run as the history of an offline run.

    Rules: steps and doubles are those of `Runs`; steps below 0 are left out, as W&B's client does.
    A row of the history is all points of a step, with the time of the last of them, in seconds as
    `_timestamp`; a point without a time has that of the point before it in its run, of a follower
    also the last one that the run has, or 1970. `_runtime` and the start of the run count from the
    first row. Values are float64; NaN and infinities are `NaN`, `Infinity` and `-Infinity`, as W&B
    writes them. Before a name that W&B keeps for itself comes `metric`, behind it a mark of its
    own. Context columns and labels are not written, but the templates may hold them.

    The id of a run follows from its name, so that its directory is found again: the file is
    replaced, and left as it is where nothing changed. W&B replaces what it has of an id by what is
    uploaded with it.

    `guarantee`: a file appears when it is whole. Where a follower flushes, the files are written
    again with what they had before; without a step column new points go behind those.

    Args:
        directory: of the runs; made if it does not exist.
        schema: of the batches.
        project: of the runs.
        entity: user or team that has the project; None for the default of who uploads.
        step: the step column; None for the usual one.
        run: template of a run's name, by default the job, else the source.
        tag: template of a metric's name, by default the definition's.

    Raises:
        ValueError: a column does not exist.
        SinkError: the directory cannot be made.
        ImportError: wandb is missing.

    Example:
        >>> import metricsieve as ms
        >>> scan = ms.scan({"a": b"loss=1"}, {"loss": "loss=(.)"})
        >>> scan.write("wandb:runs?project=mine")  # doctest: +SKIP
    """

    guarantee = "whole at the end; of a follower each point once if there are steps"

    def __init__(
        self,
        directory: str,
        schema: pa.Schema,
        *,
        project: str = PROJECT,
        entity: str | None = None,
        step: str | None = None,
        run: str | None = None,
        tag: str = "{metric}",
    ) -> None:
        try:
            import wandb
            from wandb.proto import wandb_internal_pb2
        except ImportError:
            raise ImportError("W&B's runs need wandb: pip install 'metricsieve[wandb]'") from None
        self._pb: Any = wandb_internal_pb2
        self._version = wandb.__version__
        self._names = Names(_name)
        self._runs = Runs(schema, step=step, run=run, tag=tag, names=self._names)
        self._directory = directory
        self._project, self._entity = project, entity
        self._definitions = (schema.metadata or {}).get(b"metricsieve.definitions", b"").decode()
        self._live: dict[str, _History] = {}
        self._moved: dict[str, int] = {}
        self._below = 0
        self._sealed: list[AtomicFile] = []
        self._made: list[str] = []
        with sink_errors(directory):
            make_directory(directory)
            found = [_DIRECTORY.fullmatch(name) for name in sorted(os.listdir(directory))]
        self._homes = {one[1]: one[0] for one in found if one is not None}

    @property
    def notes(self) -> list[str]:
        """What was done with some points."""
        found = [*self._runs.notes, *self._names.notes]
        if self._below:
            found.append(f"{self._below:,} points have a step below 0 and were left out")
        if moved := sum(self._moved.values()):
            found.append(
                f"{moved:,} points have the time of the last one of their step, as a row has one"
            )
        return [f"W&B: {note}" for note in found]

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points."""
        self._runs.add(batch)

    def flush(self) -> None:
        """Write the runs of what came since the last time, with all that they have.

        Raises:
            SinkError: a file cannot be read or written.
        """
        for run, points in self._runs.take():
            if run not in self._live:
                self._live[run] = history = self._written(run)
                last = {name: step for step in sorted(history) for name in history[step]}
                times = [time for row in history.values() for time, _ in row.values()]
                self._runs.go_on(run, last, max(times, default=None))
            self._gather(run, points, self._live[run])
            self._seal(run, self._live[run])
        self._publish()

    def close(self) -> None:
        """Write what is left, and give the files their names."""
        if self._live:
            self.flush()
            return
        for run, points in self._runs.take():
            history: _History = {}
            self._gather(run, points, history)
            self._seal(run, history)
        self._publish()

    def abort(self) -> None:
        """Leave nothing half-written behind; what was flushed stays."""
        for file in self._sealed:
            file.abort()
        for home in reversed(self._made):
            with contextlib.suppress(OSError):  # what holds something stays
                os.rmdir(home)
        self._sealed, self._made = [], []

    def _gather(self, run: str, points: Iterable[RunPoint], history: _History) -> None:
        """Put points into a history, where the last one of its name and step counts."""
        for name, step, micros, point in self._runs.dated(run, points):
            if step < 0:
                self._below += 1
                continue
            row = history.setdefault(step, {})
            row.pop(name, None)
            row[name] = (micros, point.value)

    def _path(self, run: str, micros: int) -> str:
        """The run's file, in a directory that is named for a time when it is new."""
        identity = _identity(run)
        if identity not in self._homes:
            time = datetime.fromtimestamp(micros // 1_000_000, UTC)
            self._homes[identity] = f"offline-run-{time:%Y%m%d_%H%M%S}-{identity}"
        return os.path.join(self._directory, self._homes[identity], f"run-{identity}.wandb")

    def _seal(self, run: str, history: _History) -> None:
        """Write the run's file under a temporary name, unless it is there as it would be."""
        if not history:
            return
        first = next(iter(history[min(history)].values()))[0]
        start = min(max(first, 0), _LATEST)
        path = self._path(run, start)
        home = os.path.dirname(path)
        if not os.path.isdir(home):
            self._made.append(home)
            with sink_errors(home):
                make_directory(home)
        file, digest = AtomicFile(path), hashlib.sha256()
        self._sealed.append(file)
        records = (record.SerializeToString() for record in self._records(run, history, start))
        for piece in framed(records):
            digest.update(piece)
            file.write(piece)
        with sink_errors(path), contextlib.suppress(FileNotFoundError):
            if _digest(path) == digest.digest():
                self._sealed.remove(file)
                file.abort()
                return
        file.seal()

    def _publish(self) -> None:
        for file in self._sealed:
            with sink_errors(file.path), contextlib.suppress(FileNotFoundError):
                os.unlink(f"{file.path}.synced")  # W&B's mark: `wandb sync` would pass it over
            file.commit()
        self._sealed, self._made = [], []

    def _records(self, run: str, history: _History, start: int) -> Iterator[Any]:
        """The records of a file: what it is, the run, its rows, the last values, the end."""
        pb = self._pb
        record = pb.Record()
        record.header.version_info.producer = self._version
        yield record
        record = pb.Record()
        about = record.run
        about.run_id, about.display_name, about.project = _identity(run), run, self._project
        about.entity = self._entity or ""
        about.tags.append("metricsieve")
        about.start_time.FromMicroseconds(start)
        told = {"run": run, "definitions": self._definitions}
        about.config.update.add(key="metricsieve", value_json=json.dumps(told))
        yield record
        last: dict[str, str] = {}
        self._moved[run] = 0
        runtime = 0.0
        for step in sorted(history):
            row = history[step]
            micros, _ = next(reversed(row.values()))
            self._moved[run] += sum(time != micros for time, _ in row.values())
            runtime = (micros - start) / 1e6
            cells = {"_timestamp": json.dumps(micros / 1e6), "_runtime": json.dumps(runtime)}
            cells |= {"_step": str(step)}
            cells |= {name: json.dumps(value) for name, (_, value) in row.items()}
            last |= cells
            record = pb.Record()
            record.history.step.num = step
            _fill(record.history.item, cells)
            yield record
        record = pb.Record()
        _fill(record.summary.update, last)
        yield record
        record = pb.Record()
        record.exit.exit_code = 0
        record.exit.runtime = max(0, min(int(runtime), 2**31 - 1))
        yield record

    def _written(self, run: str) -> _History:
        """What the run's file holds."""
        path = self._path(run, 0)
        if not os.path.isfile(path):
            del self._homes[_identity(run)]
            return {}
        history: _History = {}
        try:
            with open(path, "rb") as file:
                content = file.read()
            for bytes_of in unframed(content):
                record = self._pb.Record.FromString(bytes_of)
                if record.WhichOneof("record_type") == "history":
                    cells = {one.nested_key[0]: one.value_json for one in record.history.item}
                    micros = round(float(cells["_timestamp"]) * 1e6)
                    history[record.history.step.num] = {
                        name: (micros, float(value))
                        for name, value in cells.items()
                        if name not in _OWN
                    }
        except Exception as error:
            raise SinkError(
                f"its points cannot be read: {error}", path, "move it away, or name another place"
            ) from error
        return history


def _name(tag: str) -> str:
    """What W&B takes of a metric's name."""
    return marked(tag, f"metric{tag}" if tag in _OWN else tag, _LONGEST_NAME)


def _identity(run: str) -> str:
    """The id of a run's name: sixteen hexadecimal digits, of which W&B takes up to 128."""
    return hashlib.sha256(run.encode()).hexdigest()[:16]


def _fill(items: Any, cells: dict[str, str]) -> None:
    for name, text in cells.items():
        items.add(nested_key=(name,), value_json=text)


def _digest(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
