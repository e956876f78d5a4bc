"""Parquet files: the compact form for analysis, one row group a batch."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, cast

from metricsieve.sinks._arrow_writer import ArrowWriterSink
from metricsieve.sinks._parquet_writer import ParquetWriter, open_parquet

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._atomic import AtomicFile


class ParquetSink(ArrowWriterSink):
    """Writes batches to a Parquet file; NaN and infinities are kept as they are.

    Example:
        >>> import pyarrow as pa, pyarrow.parquet as pq, pathlib, tempfile
        >>> path = str(pathlib.Path(tempfile.mkdtemp(), "a.parquet"))
        >>> batch = pa.record_batch({"value": [0.5]})
        >>> sink = ParquetSink(path, batch.schema)
        >>> sink.write(batch); sink.close()
        >>> pq.read_table(path)["value"].to_pylist()
        [0.5]
    """

    def _open_writer(self, file: AtomicFile, schema: pa.Schema) -> ParquetWriter:
        return open_parquet(cast(IO[bytes], file), schema)
