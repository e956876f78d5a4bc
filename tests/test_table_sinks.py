"""Points in DuckDB, SQLite and Delta Lake, read back by these."""

import math
import sqlite3

import deltalake
import duckdb
import metricsieve as ms
import pyarrow as pa
import pytest
from metricsieve.exceptions import SinkError
from metricsieve.sinks import open_sink
from program import run

LOG = (
    b"2026-11-25T10:00:00.000001Z step 1 loss=nan p=a\nloss=-inf p=b\nloss=?\n"
    b"step 3 loss=1e-300\nloss='4' p='\"\n"
)
OPTIONS = {"context": {"step": r"step (\d+)"}, "on_reject": "null"}
DEFINITIONS = {"loss": r"loss=(?P<value>\S+)(?: p=(?P<phase>\S+))?", 'it\'s "x"': r"step (\d)"}


def scan():
    """A scan with every kind of value."""
    return ms.scan({"s": LOG}, DEFINITIONS, **OPTIONS)


def plain(table):
    """Rows as text: a NaN equals itself here, and dictionaries are their texts."""
    return [tuple(map(repr, row.values())) for row in table.to_pylist()]


def test_duckdb_has_the_rows_of_the_scan(tmp_path):
    """With their types, NaN and infinities."""
    path = str(tmp_path / "a.duckdb")
    scan().write(f"duckdb:{path}")
    with duckdb.connect(path) as database:
        found = database.sql("from points").to_arrow_table()
    expected = scan().read_all()
    assert found.schema.names == expected.schema.names
    names = [name for name in found.schema.names if name != "timestamp"]
    assert plain(found.select(names)) == plain(expected.select(names))
    micros = [column["timestamp"].cast(pa.int64()).to_pylist() for column in (found, expected)]
    assert micros[0] == micros[1]
    assert found.schema.field("step").type == pa.int64()
    assert found.schema.field("line").type == pa.uint64()


def test_sqlite_has_the_rows_of_the_scan(tmp_path):
    """NaN as a text, times as ISO 8601."""
    path = tmp_path / "a.db"
    scan().write(f'sqlite:{path}?table=my "points"')
    with sqlite3.connect(path) as database:
        cursor = database.execute('select * from "my ""points"""')
        names = [one[0] for one in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor]
    expected = scan().read_all().to_pylist()
    for row in expected:
        if row["value"] is not None and math.isnan(row["value"]):
            row["value"] = "NaN"
        if row["timestamp"] is not None:
            row["timestamp"] = (
                row["timestamp"].isoformat(timespec="microseconds").replace("+00:00", "Z")
            )
    assert found == expected


def test_delta_has_the_rows_of_the_scan(tmp_path):
    """One version, partitioned if that is asked for."""
    path = str(tmp_path / "points")
    scan().write(f"delta:{path}?partition=metric")
    table = deltalake.DeltaTable(path)
    assert table.version() == 0
    assert table.metadata().partition_columns == ["metric"]
    found = table.to_pyarrow_table()
    expected = scan().read_all()
    found = found.select(expected.schema.names)
    assert sorted(plain(found)) == sorted(plain(expected))
    scan().write(f"delta:{path}?mode=append&partition=metric")
    assert deltalake.DeltaTable(path).version() == 1
    assert deltalake.DeltaTable(path).to_pyarrow_table().num_rows == 2 * expected.num_rows


def count(scheme, path):
    """Rows of the table `points`."""
    connect = {"duckdb": duckdb.connect, "sqlite": sqlite3.connect}[scheme]
    with connect(str(path)) as database:
        return database.execute("select count(*) from points").fetchone()[0]


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_a_table_is_there_whole_or_as_it_was(tmp_path, scheme):
    """What fails or is aborted leaves nothing behind; modes say what becomes of an older table."""
    path = tmp_path / "a"
    rows = scan().read_all().num_rows
    sink = open_sink(f"{scheme}:{path}", scan().schema)
    sink.write(next(iter(scan())))
    sink.abort()
    scan().write(f"{scheme}:{path}")
    assert count(scheme, path) == rows
    with pytest.raises(SinkError, match=r"has a table points already.*mode=append"):
        scan().write(f"{scheme}:{path}")
    scan().write(f"{scheme}:{path}?mode=append")
    assert count(scheme, path) == 2 * rows
    sink = open_sink(f"{scheme}:{path}?mode=replace", scan().schema)
    sink.write(next(iter(scan())))
    sink.abort()
    assert count(scheme, path) == 2 * rows
    scan().write(f"{scheme}:{path}?mode=replace")
    assert count(scheme, path) == rows
    other = ms.scan(b"loss=1", {"loss": "loss=(.)"}, columns=["value", "definition"])
    with pytest.raises(SinkError):
        other.write(f"{scheme}:{path}?mode=append")
    assert count(scheme, path) == rows


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_what_is_no_database_is_a_sink_error(tmp_path, scheme):
    """And stays what it was."""
    path = tmp_path / "a.log"
    path.write_bytes(b"loss=1\n" * 1000)
    for bad in (path, tmp_path / "no" / "a.db"):
        with pytest.raises(SinkError, match=str(bad)):
            scan().write(f"{scheme}:{bad}")
    assert path.read_bytes() == b"loss=1\n" * 1000


def test_a_delta_table_that_exists_is_not_touched_and_an_aborted_one_not_made(tmp_path):
    """Without a mode that says so."""
    path = str(tmp_path / "points")
    scan().write(f"delta:{path}")
    with pytest.raises(SinkError, match="mode=append"):
        scan().write(f"delta:{path}")
    assert deltalake.DeltaTable(path).version() == 0
    sink = open_sink(f"delta:{tmp_path / 'other'}", scan().schema)
    for _ in range(20):
        sink.write(next(iter(scan())))
    sink.abort()
    assert not deltalake.DeltaTable.is_deltatable(str(tmp_path / "other"))


def test_follow_commits_and_goes_on(tmp_path):
    """`append` is what a restart needs."""
    log, path = tmp_path / "a.log", tmp_path / "a.db"
    arguments = ["follow", str(log), "-m", r"loss=loss=(\d)", "-o", f"sqlite:{path}?mode=append"]
    arguments += ["--state", str(tmp_path / "state"), "--until-idle", "0.2", "--poll", "0.05"]
    for _ in range(2):
        with open(log, "a") as file:
            file.write("loss=1\nloss=2\n")
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
    assert count("sqlite", path) == 4


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("duckdb:", "needs a file"),
        ("sqlite:a?mode=x", "mode=x can be create, append, replace"),
        ("delta:", "needs a directory"),
        ("delta:a?mode=create", "mode=create can be"),
        ("delta:a?partition=nothing", "no column 'nothing'"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url, message):
    """With what it could be."""
    with pytest.raises(ValueError, match=message):
        scan().write(url)
