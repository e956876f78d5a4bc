"""Runs of trackio: `trackio:PROJECT`.

Principal type: `TrackioSink`. trackio keeps a SQLite file a project in the directory `TRACKIO_DIR`.
Its storage takes an id with every row and passes over those that it has, so that the same points
written again do not double.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from metricsieve.exceptions import SinkError
from metricsieve.sinks._atomic import sink_errors
from metricsieve.sinks._names import Names
from metricsieve.sinks._runs import OPTIONS, RunPoint, Runs, naming

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

PROJECT = "metricsieve"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    target.only(*OPTIONS)
    if "/" in target.rest:
        raise ValueError(
            f"{target}: a project's name has no /, such as trackio:mine; the directory is that of "
            f"the variable TRACKIO_DIR"
        )


def open_url(target: Target, schema: pa.Schema) -> TrackioSink:
    """The sink of a URL."""
    return TrackioSink(target.rest or PROJECT, schema, **naming(target))


class TrackioSink:
    """Logs points as metrics of trackio's runs.

    Rules: steps and doubles are those of `Runs`. Each point is a row with its step and time; a
    point without a time has that of the point before it in its run, of a follower also the last one
    that the run has, or 1970. Values are float64, NaN and infinities what they are. Names that
    trackio keeps for itself, such as `step`, and those that begin with two underscores get two
    underscores in front. Context columns and labels are not written, but the templates may hold
    them.

    `guarantee`: each point once. What came of a run between two flushes is one transaction. Of a
    follower without a step column at least once: what comes is numbered behind what the run has.

    Args:
        project: name of the project; made if it does not exist.
        schema: of the batches.
        step: the step column; None for the usual one.
        run: template of a run's name, by default the job, else the source.
        tag: template of a metric's name, by default the definition's.

    Raises:
        ValueError: a column does not exist, or trackio does not take the project's name.
        ImportError: trackio is missing.

    Example:
        >>> import metricsieve as ms
        >>> scan = ms.scan({"a": b"loss=1"}, {"loss": "loss=(.)"})
        >>> scan.write("trackio:mine")  # doctest: +SKIP
    """

    guarantee = "each point once; of a follower without steps at least once"

    def __init__(
        self,
        project: str,
        schema: pa.Schema,
        *,
        step: str | None = None,
        run: str | None = None,
        tag: str = "{metric}",
    ) -> None:
        try:
            from trackio.sqlite_storage import SQLiteStorage
            from trackio.utils import RESERVED_KEYS
        except ImportError:
            raise ImportError(
                "trackio's runs need trackio: pip install 'metricsieve[trackio]'"
            ) from None
        SQLiteStorage.validate_project_name(project)
        self._storage = SQLiteStorage
        self._project = project
        self._path = str(SQLiteStorage.get_project_db_path(project))
        self._names = Names(
            lambda tag: f"__{tag}" if tag in RESERVED_KEYS or tag.startswith("__") else tag
        )
        self._runs = Runs(schema, step=step, run=run, tag=tag, names=self._names)
        self._follows = False
        self._definitions = (schema.metadata or {}).get(b"metricsieve.definitions", b"").decode()
        self._begun: set[str] = set()

    @property
    def notes(self) -> list[str]:
        """What was done with some points."""
        return [f"trackio: {note}" for note in (*self._runs.notes, *self._names.notes)]

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points."""
        self._runs.add(batch)

    def flush(self) -> None:
        """Log what came since the last time.

        Raises:
            SinkError: the project's file cannot be written.
        """
        self._follows = True
        self._write()

    def close(self) -> None:
        """Log what is left."""
        self._write()

    def abort(self) -> None:
        """Leave runs as they are: what was logged stays, and comes not again."""

    def _write(self) -> None:
        for run, points in self._runs.take():
            with self._errors():
                if self._follows and run not in self._begun:
                    self._go_on(run)
                rows = list(self._runs.dated(run, points))
                times = (_EPOCH + timedelta(microseconds=micros) for _, _, micros, _ in rows)
                self._storage.bulk_log(
                    project=self._project,
                    run=run,
                    metrics_list=[{name: point.value} for name, _, _, point in rows],
                    steps=[step for _, step, _, _ in rows],
                    timestamps=[time.isoformat() for time in times],
                    log_ids=[_identity(run, step, point) for _, step, _, point in rows],
                    config=self._config(run),
                )
            self._begun.add(run)

    def _go_on(self, run: str) -> None:
        """Go on with what the project has of a run."""
        last: dict[str, int] = {}
        times = []
        for row in self._storage.get_logs(self._project, run):
            step = row.pop("step")
            times.append(datetime.fromisoformat(row.pop("timestamp")))
            last |= {name: max(step, last.get(name, step)) for name in row}
        micros = (max(times) - _EPOCH) // timedelta(microseconds=1) if times else None
        self._runs.go_on(run, last, micros)

    def _config(self, run: str) -> dict[str, dict[str, str]] | None:
        """What is told of a run that has none of it yet."""
        if run in self._begun or self._storage.get_run_config(self._project, run):
            return None
        return {"metricsieve": {"run": run, "definitions": self._definitions}}

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with sink_errors(self._path):
                yield
        except sqlite3.Error as error:
            hint = "check the file, and that no other process holds it"
            raise SinkError(str(error), self._path, hint) from error


def _identity(run: str, step: int, point: RunPoint) -> str:
    """The id of a point's row: with its own time, which does not depend on points before it."""
    told = repr((run, point.tag, step, point.micros, point.value))
    return hashlib.sha256(told.encode()).hexdigest()[:32]
