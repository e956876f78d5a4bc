"""Parquet files of the engine's encoder, read by pyarrow, DuckDB and polars."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import duckdb
import metricsieve as ms
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metricsieve.sinks._parquet_writer import open_parquet, whole_row_groups

NAMES = pa.dictionary(pa.int32(), pa.string())
VALUES = {
    pa.float64(): st.floats(),
    pa.int32(): st.integers(-(2**31), 2**31 - 1) | st.integers(0, 8),
    pa.uint32(): st.integers(0, 2**32 - 1) | st.integers(0, 8),
    pa.int64(): st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 500),
    pa.uint64(): st.integers(0, 2**64 - 1) | st.integers(0, 500),
    # Python's datetime has no others, and a reader's list of values is made of those.
    pa.timestamp("us", "UTC"): st.integers(-(2**55), 2**55),
    pa.string(): st.text(max_size=80),
    NAMES: st.sampled_from(["", "loss", "val_loss", "größe", "x" * 70]),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[pa.Field, pa.Array]:
    """A column of any type: with few and with many different values, runs, nulls, an offset."""
    kind = draw(st.sampled_from(list(VALUES)))
    pool = draw(st.lists(VALUES[kind], min_size=1, max_size=40))
    runs = draw(st.lists(st.tuples(st.sampled_from(pool), st.integers(1, 40)), max_size=30))
    values: list[Any] = [value for value, count in runs for _ in range(count)]
    nullable = draw(st.booleans())
    if nullable:
        share = draw(st.sampled_from([0, 1, 10, 100]))
        random = draw(st.randoms(use_true_random=False))
        values = [None if random.randrange(100) < share else value for value in values]
    padding = draw(st.integers(0, 9))
    array = pa.array([pool[0]] * padding + values, pa.string() if kind == NAMES else kind)
    if kind == NAMES:
        array = array.dictionary_encode()
    return pa.field("x", array.type, nullable), array.slice(padding)


def written(batches: list[pa.RecordBatch]) -> io.BytesIO:
    file = io.BytesIO()
    writer = open_parquet(file, batches[0].schema)
    for batch in batches:
        writer.write_batch(batch)
    writer.close()
    file.seek(0)
    return file


def plain(array: Any) -> list[Any]:
    """Values that compare as those of a list do; NaN has no equal."""
    values = array.cast(pa.string()) if pa.types.is_dictionary(array.type) else array
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    found = values.to_pylist()
    return ["nan" if isinstance(one, float) and math.isnan(one) else repr(one) for one in found]


@settings(deadline=None, max_examples=300)
@given(columns())
def test_every_column_is_read_back(given: tuple[pa.Field, pa.Array]) -> None:
    field, array = given
    batch = pa.record_batch([array], schema=pa.schema([field]))
    empty = batch.slice(0, 0)
    file = written([empty, batch, empty, batch])
    assert not file.getvalue().startswith(b"PAR1PAR1")
    table = pq.read_table(file)
    assert table.schema.field(0).equals(field)
    assert plain(table["x"]) == plain(array) * 2
    metadata = pq.read_metadata(file)
    assert metadata.num_rows == 2 * len(array)
    if not len(array):
        return
    assert metadata.num_row_groups == 2
    statistics = metadata.row_group(1).column(0).statistics
    assert statistics.null_count == array.null_count
    values = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    if statistics.has_min_max:
        bounds = pc.min_max(values)
        assert statistics.min == bounds["min"].as_py()
        assert statistics.max == bounds["max"].as_py()
    elif not pa.types.is_floating(values.type):  # pyarrow does not know the order of floats
        texts = pa.types.is_string(values.type) and pc.max(pc.binary_length(values)).as_py()
        assert values.null_count == len(values) or texts > 64


@settings(deadline=None, max_examples=60)
@given(st.lists(columns(), min_size=1, max_size=6))
def test_other_libraries_read_the_same(given: list[tuple[pa.Field, pa.Array]]) -> None:
    rows = min(len(array) for _, array in given)
    fields = [field.with_name(f"c{number}") for number, (field, _) in enumerate(given)]
    arrays = [array.slice(0, rows) for _, array in given]
    batch = pa.record_batch(arrays, schema=pa.schema(fields))
    file = written([batch])
    frame = pl.read_parquet(file).to_arrow()
    for number, array in enumerate(arrays):
        kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
        assert plain(frame[f"c{number}"].cast(kind)) == plain(array)


def test_duckdb_reads_the_same(tmp_path: Path) -> None:
    rows = 5000
    batch = pa.record_batch(
        {
            "name": pa.array([f"m{n % 7}" for n in range(rows)]).dictionary_encode(),
            "float": pa.array([None if n % 11 == 0 else n / 3 for n in range(rows)]),
            "big": pa.array([(n * 0x9E3779B97F4A7C15) % 2**64 for n in range(rows)], pa.uint64()),
            "small": pa.array([n // 100 for n in range(rows)], pa.int32()),
            "wide": pa.array([(-1) ** n * n**4 for n in range(rows)], pa.int64()),
            "time": pa.array([n * 10**9 for n in range(rows)], pa.timestamp("us", "UTC")),
            "text": pa.array([f"line {n * n}" for n in range(rows)]),
            "nothing": pa.nulls(rows, NAMES),
        }
    )
    path = tmp_path / "a.parquet"
    path.write_bytes(written([batch]).getvalue())
    query = f"select * replace (epoch_us(time) as time) from '{path}'"
    read = duckdb.sql(query).fetchall()
    expected = [plain(column) for column in batch.columns]
    assert [[repr(one) for one in column] for column in zip(*read, strict=True)] == expected
    # Statistics are used for this, and must not hide a row.
    found = duckdb.sql(f"select count(*) from '{path}' where big > {2**63} and name = 'm3'")
    assert found.fetchall() == [
        (sum(1 for n in range(rows) if (n * 0x9E3779B97F4A7C15) % 2**64 > 2**63 and n % 7 == 3),)
    ]


def test_rows_of_a_scan_are_those_of_its_table(tmp_path: Path) -> None:
    lines = [f"epoch {n // 50} loss={n / 7:.4f} phase={'ab'[n % 2]}" for n in range(70_000)]
    log = "\n".join(lines).encode()
    definitions = {"loss": r"loss=([0-9.]+) phase=(?P<phase>\w)"}
    columns = {"context": {"epoch": r"epoch (\d+)"}, "batch_rows": 9000}
    expected = ms.scan(log, definitions, **columns).read_all()
    ms.scan(log, definitions, **columns).write(tmp_path / "a.parquet")
    read = pq.read_table(tmp_path / "a.parquet")
    assert read.schema.equals(expected.schema, check_metadata=False)
    for key, value in expected.schema.metadata.items():
        assert read.schema.metadata[key] == value
    for name in expected.column_names:
        assert plain(read[name]) == plain(expected[name])


def test_a_batch_of_millions_of_rows_becomes_several_row_groups() -> None:
    batch = pa.record_batch({"line": pa.array(range(2_500_000), pa.uint64())})
    file = written([batch])
    metadata = pq.read_metadata(file)
    sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert sizes == [1 << 20, 1 << 20, 2_500_000 - (2 << 20)]
    assert pq.read_table(file)["line"].combine_chunks().equals(batch["line"])


def test_tables_of_other_columns_are_written_by_pyarrow() -> None:
    batch = pa.record_batch({"best": [True, False], "value": [1.0, 2.0]})
    assert pq.read_table(written([batch])).to_batches()[0].equals(batch)


def test_a_batch_of_other_columns_is_refused() -> None:
    writer = open_parquet(io.BytesIO(), pa.schema({"value": pa.float64()}))
    with pytest.raises(ValueError, match="other columns"):
        writer.write_batch(pa.record_batch({"value": [1]}))


def test_a_null_in_a_column_that_has_none_is_refused() -> None:
    schema = pa.schema([pa.field("value", pa.float64(), nullable=False)])
    writer = open_parquet(io.BytesIO(), schema)
    with pytest.raises(ValueError, match="value"):
        writer.write_batch(pa.record_batch([pa.array([1.0, None])], schema=schema))


def test_small_chunks_become_whole_row_groups() -> None:
    chunks = [pa.record_batch({"m": pa.array([name]).dictionary_encode()}) for name in "abcab"]
    groups = list(whole_row_groups(pa.Table.from_batches(chunks[:1]), 3))
    assert [group["m"].to_pylist() for group in groups] == [["a"]]
    table = pa.concat_tables([pa.Table.from_batches([chunk]) for chunk in chunks])
    groups = list(whole_row_groups(table, 3))
    assert [group["m"].to_pylist() for group in groups] == [["a", "b", "c"], ["a", "b"]]


@pytest.mark.parametrize(("apart", "packed"), [(1 << 27, True), (1 << 29, False)])
def test_numbers_that_differ_by_much_are_not_packed(apart: int, packed: bool) -> None:
    """fastparquet reads packed differences of more than 28 bits wrongly, whoever wrote them."""
    batch = pa.record_batch({"time": pa.array([0, 0, apart, apart], pa.int64())})
    file = written([batch])
    encodings = pq.read_metadata(file).row_group(0).column(0).encodings
    assert ("DELTA_BINARY_PACKED" in encodings) == packed
    assert pq.read_table(file)["time"].to_pylist() == [0, 0, apart, apart]
