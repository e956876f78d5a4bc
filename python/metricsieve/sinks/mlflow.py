"""MLflow runs: `mlflow:TRACKING-URI`.

Principal type: `MlflowSink`. A run is found again by its tag, and what its history holds already is
not logged once more, so that the same points written again do not double.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from metricsieve._text import shorten
from metricsieve.exceptions import SinkError
from metricsieve.sinks._names import Names, marked
from metricsieve.sinks._runs import OPTIONS, RunPoint, Runs, naming
from metricsieve.sources._remote import without_secrets

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

EXPERIMENT = "metricsieve"
RUN_TAG = "metricsieve.run"
DEFINITIONS_TAG = "metricsieve.definitions"
# Of MLflow's REST API: metrics of a LogBatch request, and what a metric's name may hold.
_MAX_METRICS = 1000
_MAX_NAME = 250
_UNFIT = re.compile(r"[^\w\-. :/]", re.ASCII)

# Key, step and value of each point in a run's history, with its milliseconds and with None.
_Known = set[tuple[str, int, str, int | None]]


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    target.only("experiment", *OPTIONS)


def open_url(target: Target, schema: pa.Schema) -> MlflowSink:
    """The sink of a URL."""
    return MlflowSink(
        target.rest or None,
        schema,
        experiment=target.text("experiment", EXPERIMENT),
        **naming(target),
    )


class MlflowSink:
    """Logs points as metrics of MLflow runs.

    Rules: steps and doubles are those of `Runs`. The timestamp is the point's; a point without one
    has that of the point before it in its run, of a follower also the last one in the run's
    history, or 1970. MLflow keeps milliseconds, NaN as NaN, and infinities as the largest floats in
    its database; it takes no times before 1970, and points with such are left out. In names `_`
    stands for what it does not take, and a name that was changed ends in a mark of its own. Context
    columns and labels are not written, but the templates may hold them.

    `guarantee`: each point once, as long as a run's history can be read before it is written to. A
    point without a time is known by its metric, step and value. Of a follower without a step
    column at least once: what comes is numbered behind what the run has.

    Args:
        uri: of the tracking server or database, such as `sqlite:///mlflow.db`; None for MLflow's
            own default (MLFLOW_TRACKING_URI).
        schema: of the batches.
        experiment: name of the experiment; made if it does not exist.
        step: the step column; None for the usual one.
        run: template of a run's name, by default the job, else the source.
        tag: template of a metric's name, by default the definition's.

    Raises:
        ValueError: a column does not exist.
        SinkError: MLflow cannot be reached.
        ImportError: MLflow is missing.

    Example:
        >>> import metricsieve as ms
        >>> scan = ms.scan({"a": b"loss=1"}, {"loss": "loss=(.)"})
        >>> scan.write("mlflow:sqlite:///mlflow.db?experiment=mine")  # doctest: +SKIP
    """

    guarantee = "each point once; of a follower without steps at least once"

    def __init__(
        self,
        uri: str | None,
        schema: pa.Schema,
        *,
        experiment: str = EXPERIMENT,
        step: str | None = None,
        run: str | None = None,
        tag: str = "{metric}",
    ) -> None:
        try:
            from mlflow.entities import Metric
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise ImportError(
                "MLflow runs need MLflow: pip install 'metricsieve[mlflow]'"
            ) from None
        self._metric = Metric
        self._names = Names(lambda tag: marked(tag, _fitted(tag), _MAX_NAME))
        self._runs = Runs(schema, step=step, run=run, tag=tag, names=self._names)
        self.path = f"mlflow:{uri or ''}"
        self._definitions = (schema.metadata or {}).get(b"metricsieve.definitions", b"").decode()
        self._open: dict[str, tuple[str, _Known]] = {}
        self._follows = False
        self.logged = self.known = self.before_1970 = 0
        with _errors(self.path):
            self._client = MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(experiment)
            self._experiment = (
                self._client.create_experiment(experiment) if found is None else found.experiment_id
            )

    @property
    def notes(self) -> list[str]:
        """What was done with some points."""
        found = [*self._runs.notes, *self._names.notes]
        if self.before_1970:
            found.append(f"{self.before_1970:,} points are of before 1970 and were left out")
        return [f"MLflow: {note}" for note in found]

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points."""
        self._runs.add(batch)

    def flush(self) -> None:
        """Log what came since the last time.

        Raises:
            SinkError: MLflow refuses or cannot be reached.
        """
        self._follows = True
        self._write()

    def close(self) -> None:
        """Log what is left, and end the runs."""
        self._write()
        with _errors(self.path):
            for run, _ in self._open.values():
                self._client.set_terminated(run)

    def abort(self) -> None:
        """Leave runs as they are: what was logged stays, and comes not again."""

    def _write(self) -> None:
        for name, points in self._runs.take():
            with _errors(self.path):
                if name not in self._open:
                    self._open[name] = self._begin(name)
                self._log(name, points)

    def _begin(self, name: str) -> tuple[str, _Known]:
        """The run of a name, and what it holds already."""
        # MLflow's filters know no escape: a name with both kinds of quotes is told by its hash.
        tag = name if '"' not in name else hashlib.sha256(name.encode()).hexdigest()
        where = f'tags.`{RUN_TAG}` = "{tag}"'
        for run in self._client.search_runs([self._experiment], where, max_results=1):
            known: _Known = set()
            last: dict[str, int] = {}
            times = []
            for key in run.data.metrics:
                history = self._client.get_metric_history(run.info.run_id, key)
                last[key] = max(one.step for one in history)
                times.append(max(one.timestamp for one in history))
                for one in history:
                    told = key, one.step, repr(one.value)
                    known.update(((*told, one.timestamp), (*told, None)))
            if self._follows:
                self._runs.go_on(name, last, max(times) * 1000 if times else None)
            return run.info.run_id, known
        tags_of_run = {RUN_TAG: tag, DEFINITIONS_TAG: self._definitions}
        run = self._client.create_run(self._experiment, run_name=name, tags=tags_of_run)
        return run.info.run_id, set()

    def _log(self, name: str, points: Iterable[RunPoint]) -> None:
        run, known = self._open[name]
        metrics = []
        for key, step, micros, point in self._runs.dated(name, points):
            if point.micros is not None and point.micros < 0:
                self.before_1970 += 1
                continue
            own = None if point.micros is None else micros // 1000
            if known and (key, step, repr(_stored(point.value)), own) in known:
                self.known += 1
                continue
            metrics.append(self._metric(key, point.value, max(micros, 0) // 1000, step))
            if len(metrics) == _MAX_METRICS:
                self._client.log_batch(run, metrics)
                self.logged += len(metrics)
                metrics = []
        if metrics:
            self._client.log_batch(run, metrics)
            self.logged += len(metrics)


def _fitted(tag: str) -> str:
    """What MLflow takes of a tag: its characters, in a name that as a path is as it is written."""
    parts = _UNFIT.sub("_", tag).split("/")
    name = "/".join("_" if part in ("", ".", "..") else part for part in parts)
    return f"_{name}" if name.startswith("..") else name


def _stored(value: float) -> float:
    """A value as MLflow's databases give it back."""
    largest = 1.7976931348623157e308
    return max(-largest, min(value, largest)) if value == value else value


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    """Whatever MLflow or its database raises becomes a `SinkError` without secrets."""
    try:
        yield
    except SinkError:
        raise
    except Exception as error:
        text = shorten(without_secrets(" ".join(str(error).split()) or type(error).__name__), 300)
        hint = "docs/sinks.md says how the server is named"
        raise SinkError(text, without_secrets(path), hint) from error
