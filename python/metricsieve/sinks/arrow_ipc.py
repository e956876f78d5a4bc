"""Arrow IPC files (Feather version 2): the fastest to write and to map into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metricsieve.sinks._arrow_writer import ArrowWriterSink

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._atomic import AtomicFile


class ArrowSink(ArrowWriterSink):
    """Writes batches to an Arrow IPC file; NaN and infinities are kept as they are.

    Dictionaries that grow from batch to batch are written as deltas, which the file format allows
    and full replacements it does not.

    Example:
        >>> import pyarrow as pa, pathlib, tempfile
        >>> path = str(pathlib.Path(tempfile.mkdtemp(), "a.arrow"))
        >>> batch = pa.record_batch({"value": [0.5]})
        >>> sink = ArrowSink(path, batch.schema)
        >>> sink.write(batch); sink.close()
        >>> pa.ipc.open_file(path).read_all()["value"].to_pylist()
        [0.5]
    """

    def _open_writer(self, file: AtomicFile, schema: pa.Schema) -> pa.ipc.RecordBatchFileWriter:
        import pyarrow as pa

        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        return pa.ipc.new_file(file, schema, options=options)
