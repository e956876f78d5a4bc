"""CloudWatch's embedded metric format: `emf:FILE`, `emf:-` and `emf:cloudwatch-logs:GROUP`.

Principal type: `EmfSink`, which writes the lines that an agent, Lambda or a container brings to
CloudWatch Logs. `emf_logs` brings them there itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from metricsieve.sinks._embedded import RESERVED, EmbeddedOptions, Events
from metricsieve.sinks._service import CLIENT, check_client, client_of
from metricsieve.sinks._text_sink import TextSink, check_file
from metricsieve.sinks.cloudwatch import NAMESPACE, check_metrics, metric_options
from metricsieve.sinks.emf_logs import LOGS, STREAM, EmfLogsSink, check_names

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

_OPTIONS = ("namespace", "resolution", "undated", "max-series")


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    to_group = target.rest.startswith(LOGS)
    check_file(target, *_OPTIONS, *(("stream", *CLIENT) if to_group else ()), many=["dimension"])
    check_metrics(target, target.text("namespace", NAMESPACE), RESERVED)
    if to_group:
        check_client(target)
        check_names(target.rest.removeprefix(LOGS), target.text("stream", STREAM))


def open_url(target: Target, schema: pa.Schema) -> EmfSink | EmfLogsSink:
    """The sink of a URL."""
    options: EmbeddedOptions = {
        "namespace": target.text("namespace", NAMESPACE),
        **metric_options(target),
    }
    if not target.rest.startswith(LOGS):
        return EmfSink(target.rest, schema, **options)
    group, stream = target.rest.removeprefix(LOGS), target.text("stream", STREAM)
    return EmfLogsSink(group, schema, stream=stream, client=client_of(target), **options)


class EmfSink(TextSink):
    """Writes points as log events with embedded metrics.

    The rules are those of `CloudWatchSink`, but that times may be of any age since 1970: when the
    lines come to CloudWatch, two weeks are its limit. A metric cannot have the name of a dimension.

    Args:
        path: a file, which appears when it is whole, or `-` for stdout.
        schema: of the batches.
        options: see `EmbeddedOptions`.

    Raises:
        ValueError: a namespace or a dimension that makes no sense, or a column is missing.
        SinkError: the file cannot be opened.

    Example:
        >>> import json, metricsieve as ms, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.emf")
        >>> scan = ms.scan(b"2026-11-25T10:00:07Z loss=1", {"loss": "loss=(.)"})
        >>> _ = scan.write(EmfSink(str(path), scan.schema))
        >>> json.loads(path.read_text())["loss"]
        [1.0]
    """

    guarantee = "whole at the end; on stdout at least once"

    def __init__(self, path: str, schema: pa.Schema, **options: Unpack[EmbeddedOptions]) -> None:
        self._events = Events(schema, f"emf:{path}", of_any_age=True, **options)
        super().__init__(path)

    @property
    def notes(self) -> list[str]:
        """What was not written, and why."""
        return self._events.letters.notes

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points; writes when there are many.

        Raises:
            SinkError: the file cannot be written.
        """
        if self._events.add(batch):
            self.flush()

    def flush(self) -> None:
        """Write everything that was gathered."""
        for event in self._events.take():
            self.put(event.message + "\n")
        self._events.letters.flush()

    def close(self) -> None:
        """Write what is left, and give the file its name."""
        self.flush()
        self._events.letters.close()
        super().close()

    def abort(self) -> None:
        """Leave no file behind; the dead letters stay."""
        self._events.abort()
        super().abort()
