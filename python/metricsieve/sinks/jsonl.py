"""JSON lines: one object a row, to a file or to stdout."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from metricsieve._json_floats import json_float
from metricsieve.sinks._append import AppendFile
from metricsieve.sinks._text_sink import TextSink

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


class JsonLinesSink(TextSink):
    """Writes each row as a JSON object with every column, in schema order.

    JSON has no NaN or infinity and null already means "no value", so these are the texts
    `"NaN"`, `"Infinity"` and `"-Infinity"`, which `float()` and most readers parse back.
    Timestamps are ISO 8601 in UTC with microseconds.

    Args:
        path: the target file, or `-` for stdout.
        schema: of the batches.

    Raises:
        SinkError: the output cannot be opened or written.

    Example:
        >>> import pyarrow as pa, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.jsonl")
        >>> batch = pa.record_batch({"metric": ["loss"], "value": [float("nan")]})
        >>> sink = JsonLinesSink(str(path), batch.schema)
        >>> sink.write(batch); sink.close()
        >>> print(path.read_text(), end="")
        {"metric": "loss", "value": "NaN"}
    """

    def __init__(self, path: str, schema: pa.Schema, file: AppendFile | None = None) -> None:
        super().__init__(path, file)
        self._names = [json.dumps(name, ensure_ascii=False) for name in schema.names]

    def write(self, batch: pa.RecordBatch) -> None:
        """Write one batch."""
        columns = [_json_cells(column) for column in batch.columns]
        names = self._names
        lines = [
            "{" + ", ".join([f"{n}: {c}" for n, c in zip(names, row, strict=True)]) + "}\n"
            for row in zip(*columns, strict=True)
        ]
        self.put("".join(lines))


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
        super().__init__(path, schema, self._appended)

    def flush(self) -> None:
        """Wait until everything is on the disk; from now on it is kept."""
        self._appended.flush()

    def mark(self) -> dict[str, Any]:
        """How the file was at the last `flush`."""
        return self._appended.mark()


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
    if value is not None and math.isfinite(value):
        return repr(value)  # as json.dumps does, three times as fast
    return json.dumps(None if value is None else json_float(value))
