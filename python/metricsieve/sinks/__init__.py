"""Where points go: one file per kind of output behind `Sink`.

`open_sink` chooses by suffix. A new kind is one module and one line in `_KINDS`.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from metricsieve.sinks._base import Sink

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

__all__ = ["SUFFIXES", "Sink", "check_target", "open_sink"]

_KINDS = {
    ".parquet": ("parquet", "ParquetSink"),
    ".arrow": ("arrow_ipc", "ArrowSink"),
    ".feather": ("arrow_ipc", "ArrowSink"),
    ".csv": ("csv", "CsvSink"),
    ".jsonl": ("jsonl", "JsonLinesSink"),
    ".ndjson": ("jsonl", "JsonLinesSink"),
}
SUFFIXES = tuple(_KINDS)


def check_target(target: str | os.PathLike[str]) -> None:
    """Refuse a target that no sink writes, before any source is read.

    Raises:
        ValueError: the suffix is unknown; the message lists the known ones.
        NotImplementedError: the target is a directory.

    Example:
        >>> check_target("points.parquet")
    """
    text = os.fspath(target)
    if text == "-":
        return
    if text.endswith(os.sep) or os.path.isdir(text):
        raise NotImplementedError(
            f"writing into a directory ({text}) is not supported yet: name a file, for example "
            f"{os.path.join(text, 'points.parquet')}"
        )
    suffix = Path(text).suffix.lower()
    if suffix not in _KINDS:
        known = ", ".join(SUFFIXES)
        raise ValueError(
            f"cannot tell the format of {text!r}: the name must end in one of {known}, or be - for "
            "JSON lines on stdout"
        )


def open_sink(
    target: str | os.PathLike[str],
    schema: pa.Schema,
    metadata: Mapping[str, str] | None = None,
) -> Sink:
    """Open the sink for `target`.

    Args:
        target: a path ending in one of `SUFFIXES`, or `-` for JSON lines on stdout.
        schema: of the batches that will be written.
        metadata: added to the schema's metadata where the format keeps any (Parquet, Arrow).

    Raises:
        ValueError: the suffix is unknown.
        NotImplementedError: the target is a directory.
        SinkError: the output cannot be opened.

    Example:
        >>> import pyarrow as pa, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp(), "points.csv")
        >>> batch = pa.record_batch({"metric": ["loss"], "value": [0.5]})
        >>> sink = open_sink(path, batch.schema)
        >>> sink.write(batch); sink.close()
        >>> print(path.read_text(), end="")
        "metric","value"
        "loss",0.5
    """
    check_target(target)
    if metadata:
        merged = {
            **(schema.metadata or {}),
            **{k.encode(): v.encode() for k, v in metadata.items()},
        }
        schema = schema.with_metadata(merged)
    text = os.fspath(target)
    module, name = _KINDS[".jsonl" if text == "-" else Path(text).suffix.lower()]
    kind = getattr(importlib.import_module(f"metricsieve.sinks.{module}"), name)
    return cast(Sink, kind(text, schema))
