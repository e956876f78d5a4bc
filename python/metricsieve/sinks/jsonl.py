"""JSON lines: one object a row, to a file or to stdout."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from metricsieve.exceptions import SinkError
from metricsieve.sinks._append import AppendFile
from metricsieve.sinks._atomic import AtomicFile, sink_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

_PIPE_BYTES = 64 * 1024


class JsonLinesSink:
    """Writes each row as a JSON object with every column, in schema order.

    JSON has no NaN or infinity and null already means "no value", so these are the texts
    `"NaN"`, `"Infinity"` and `"-Infinity"`, which `float()` and most readers parse back.
    Timestamps are ISO 8601 in UTC with microseconds.

    Args:
        path: the target file, or `-` for stdout.
        schema: of the batches.

    Raises:
        SinkError: the output cannot be opened or written.
        BrokenPipeError: only on stdout: its reader went away, which is for the caller to judge.

    Example:
        >>> import pyarrow as pa, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.jsonl")
        >>> batch = pa.record_batch({"metric": ["loss"], "value": [float("nan")]})
        >>> sink = JsonLinesSink(str(path), batch.schema)
        >>> sink.write(batch); sink.close()
        >>> print(path.read_text(), end="")
        {"metric": "loss", "value": "NaN"}
    """

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._names = [json.dumps(name, ensure_ascii=False) for name in schema.names]
        self._file: AtomicFile | AppendFile | Stdout | None = self._open(path)

    def _open(self, path: str) -> AtomicFile | AppendFile | Stdout:
        return Stdout() if path == "-" else AtomicFile(path)

    def write(self, batch: pa.RecordBatch) -> None:
        """Write one batch."""
        if self._file is None:
            raise ValueError("the output is closed")
        columns = [_json_cells(column) for column in batch.columns]
        names = self._names
        lines = [
            "{" + ", ".join([f"{n}: {c}" for n, c in zip(names, row, strict=True)]) + "}\n"
            for row in zip(*columns, strict=True)
        ]
        self._file.write("".join(lines).encode())

    def close(self) -> None:
        """Flush, check, and give the file its name."""
        file, self._file = self._file, None
        if file is not None:
            file.commit()

    def abort(self) -> None:
        """Leave no file behind; what went to stdout stays there."""
        file, self._file = self._file, None
        if file is not None:
            file.abort()


class AppendingJsonLinesSink(JsonLinesSink):
    """Appends rows to a file as they come, and can go on with it after a crash.

    Args:
        path: the target file.
        schema: of the batches.
        mark: as `mark` gave it when the file was known to be complete; None begins a new file.
        must_be_empty: with no mark, refuse a file with content instead of throwing that away.

    Raises:
        SinkError: the file cannot be opened, or is not as the mark says.
    """

    def __init__(
        self,
        path: str,
        schema: pa.Schema,
        mark: Mapping[str, Any] | None = None,
        *,
        must_be_empty: bool = False,
    ) -> None:
        self._appended = AppendFile(path, mark, must_be_empty=must_be_empty)
        super().__init__(path, schema)

    def _open(self, path: str) -> AppendFile:
        return self._appended

    def flush(self) -> None:
        """Wait until everything is on the disk; from now on it is kept."""
        self._appended.flush()

    def mark(self) -> dict[str, Any]:
        """How the file was at the last `flush`."""
        return self._appended.mark()


class Stdout:
    """Standard output as a file of a sink."""

    def __init__(self) -> None:
        if sys.stdout is None:
            raise SinkError("standard output is closed", "-", "use -o FILE")
        self._stream: BinaryIO = sys.stdout.buffer

    def write(self, data: bytes) -> None:
        """Hand bytes to the system."""
        try:
            with sink_errors("-"):
                # In pieces of a pipe's capacity: some kernels report one large write as done
                # although the reader went away in the middle of it.
                for start in range(0, len(data), _PIPE_BYTES):
                    self._stream.write(data[start : start + _PIPE_BYTES])
                self._stream.flush()
        except SinkError as error:
            self.abort()
            if isinstance(error.__cause__, BrokenPipeError):
                raise error.__cause__ from None
            raise

    def commit(self) -> None:
        """See that the last bytes arrived."""
        self.write(b"")

    def abort(self) -> None:
        """After an error: keep Python's flush at exit from failing once more."""
        if sys.exc_info()[1] is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


def _json_cells(column: Any) -> list[str]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):  # encode each distinct text once
        texts = [*_json_cells(column.dictionary), "null"]
        return [texts[-1 if code is None else code] for code in column.indices.to_pylist()]
    if pa.types.is_floating(kind):
        return [_json_float(value) for value in column.to_pylist()]
    if pa.types.is_timestamp(kind):
        import pyarrow.compute as pc

        column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
    return [json.dumps(value, ensure_ascii=False) for value in column.to_pylist()]


def _json_float(value: float | None) -> str:
    if value is None:
        return "null"
    if math.isfinite(value):
        return repr(value)
    return '"NaN"' if value != value else '"Infinity"' if value > 0 else '"-Infinity"'
