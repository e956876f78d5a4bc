"""CSV files, for spreadsheets and for eyes."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, cast

from metricsieve.sinks._arrow_writer import ArrowWriterSink

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.csv

    from metricsieve.sinks._atomic import AtomicFile

# With apostrophes in front, too: whoever reads takes one off.
FORMULA = r"'*[=+\-@\t\r]"


class CsvSink(ArrowWriterSink):
    """Writes batches to a CSV file with a header; text is plain, never dictionary codes.

    A text cell that a spreadsheet would run as a formula (it begins with `= + - @`, TAB or CR)
    gets an apostrophe in front, and so does one that begins like a cell with that; names of
    columns do, too. Numbers are untouched, NaN is
    `nan`, infinities `inf` and `-inf`, a null an empty cell.

    Example:
        >>> import pyarrow as pa, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.csv")
        >>> batch = pa.record_batch({"metric": ["=1+1"], "value": [-3.0]})
        >>> sink = CsvSink(str(path), batch.schema)
        >>> sink.write(batch); sink.close()
        >>> path.read_text().splitlines()[1]
        '"\\'=1+1",-3'
    """

    def _open_writer(self, file: AtomicFile, schema: pa.Schema) -> pyarrow.csv.CSVWriter:
        import pyarrow as pa
        import pyarrow.csv

        names = _guarded(pa.array(schema.names, pa.string())).to_pylist()
        plain = plain_schema(schema)
        fields = [field.with_name(name) for field, name in zip(plain, names, strict=True)]
        self._plain = pa.schema(fields).with_metadata(plain.metadata)
        return pyarrow.csv.CSVWriter(cast(IO[bytes], file), self._plain)

    def _adapt(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        columns = [_guarded(column) for column in batch.columns]
        return pa.RecordBatch.from_arrays(columns, schema=self._plain)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """`schema` with plain text where it has dictionaries.

    Example:
        >>> import pyarrow as pa
        >>> plain_schema(pa.schema({"a": pa.dictionary(pa.int32(), pa.string())})).field("a").type
        DataType(string)
    """
    import pyarrow as pa

    plain = pa.schema(
        [
            field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
            for field in schema
        ]
    )
    return plain.with_metadata(schema.metadata)


def _guarded(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):  # look at each distinct text once
        return _guarded(column.dictionary).take(column.indices)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    risky = pc.match_substring_regex(column, f"^{FORMULA}")
    if not pc.any(risky).as_py():
        return column
    empty = pa.scalar("", column.type)
    quoted = pc.binary_join_element_wise(pa.scalar("'", column.type), column, empty)
    return pc.if_else(risky, quoted, column)
