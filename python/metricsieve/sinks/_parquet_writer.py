"""Writers of Parquet files: the engine's for points, pyarrow's for other tables.

The engine's packs numbers and copies dictionaries, which costs a fraction of finding the points;
pyarrow's writer takes as long as that. It knows the column types of points alone.
"""

from __future__ import annotations

import base64
from typing import IO, TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from metricsieve import _engine


class ParquetWriter(Protocol):
    """What both offer."""

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Write a batch as a row group."""

    def add_key_value_metadata(self, metadata: Mapping[str, str]) -> None:
        """Add to the file's metadata."""

    def close(self) -> None:
        """Write the end of the file, and leave it open."""


def open_parquet(file: IO[bytes], schema: pa.Schema) -> ParquetWriter:
    """A writer of batches of this schema; its metadata goes to the file.

    Example:
        >>> import io, pyarrow as pa, pyarrow.parquet as pq
        >>> batch, file = pa.record_batch({"value": [0.5]}), io.BytesIO()
        >>> writer = open_parquet(file, batch.schema)
        >>> writer.write_batch(batch); writer.close()
        >>> pq.read_table(file).to_pydict()
        {'value': [0.5]}
    """
    from metricsieve import _engine

    encoder = _engine.parquet_encoder(schema, _metadata(schema))
    if encoder is not None:
        return _PointsWriter(file, schema, encoder)
    import pyarrow.parquet as pq

    return cast(ParquetWriter, pq.ParquetWriter(file, schema, compression="zstd"))


def _metadata(schema: pa.Schema) -> list[tuple[str, str]]:
    """The schema's own, and the schema itself as pyarrow and others look for it."""
    own = [(key.decode(), value.decode()) for key, value in (schema.metadata or {}).items()]
    whole = base64.b64encode(schema.serialize()).decode()
    return [*own, ("ARROW:schema", whole)]


class _PointsWriter:
    def __init__(self, file: IO[bytes], schema: pa.Schema, encoder: _engine.ParquetEncoder) -> None:
        self._file = file
        self._schema = schema
        self._encoder = encoder
        self._more: list[tuple[str, str]] = []

    def write_batch(self, batch: pa.RecordBatch) -> None:
        if not batch.schema.equals(self._schema):
            raise ValueError(f"a batch has other columns than the file: {batch.schema}")
        self._encoder.encode(batch, self._file.write)

    def add_key_value_metadata(self, metadata: Mapping[str, str]) -> None:
        self._more += metadata.items()

    def close(self) -> None:
        self._encoder.finish(self._more, self._file.write)


def whole_row_groups(table: pa.Table, rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of a table as batches of so many, whatever its own chunks are."""
    yield from table.unify_dictionaries().combine_chunks().to_batches(max_chunksize=rows)
