"""The shape that the Parquet, Arrow and CSV sinks share: one of pyarrow's writers on a file."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from metricsieve.sinks._atomic import AtomicFile, sink_errors

if TYPE_CHECKING:
    import pyarrow as pa


class _Writer(Protocol):
    def write_batch(self, batch: pa.RecordBatch) -> None: ...
    def close(self) -> None: ...


class ArrowWriterSink:
    """A sink around one of pyarrow's writers; subclasses open the writer and may adapt batches.

    Args:
        path: the target file.
        schema: of the batches.

    Raises:
        SinkError: the file cannot be opened or written.
    """

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._file = AtomicFile(path)
        try:
            with sink_errors(path):
                self._writer: _Writer | None = self._open_writer(self._file, schema)
        except BaseException:
            self._file.abort()
            raise

    def _open_writer(self, file: AtomicFile, schema: pa.Schema) -> _Writer:
        raise NotImplementedError

    def _adapt(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.replace_schema_metadata(self._schema.metadata)

    def write(self, batch: pa.RecordBatch) -> None:
        """Write one batch."""
        if self._writer is None:
            raise ValueError(f"the output {self._path} is closed")
        with sink_errors(self._path):
            self._writer.write_batch(self._adapt(batch))

    def close(self) -> None:
        """Finish the file and give it its name."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            with sink_errors(self._path):
                writer.close()
        except BaseException:
            self._file.abort()
            raise
        self._file.commit()

    def abort(self) -> None:
        """Leave nothing behind."""
        writer, self._writer = self._writer, None
        if writer is not None:
            # A full disk fails here a second time; the first error is the one to report.
            with contextlib.suppress(Exception):
                writer.close()
        self._file.abort()
