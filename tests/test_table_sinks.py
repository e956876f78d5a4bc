"""Points in DuckDB, SQLite and Delta Lake, read back by these."""

import math
import operator
import sqlite3
import threading
from collections import Counter

import deltalake
import duckdb
import metricsieve as ms
import pyarrow as pa
import pytest
from metricsieve.exceptions import SinkError, SinkWarning
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


def epochs(kind, text):
    """A scan with a context column of that type."""
    context = {"epoch": (r"epoch (\S+)", kind)}
    return ms.scan(f"epoch {text} loss=1".encode(), {"loss": r"loss=(\d)"}, context=context)


def read_epochs(scheme, path):
    """That column of the table."""
    if scheme == "delta":
        return deltalake.DeltaTable(str(path)).to_pyarrow_table()["epoch"].to_pylist()
    connect = {"duckdb": duckdb.connect, "sqlite": sqlite3.connect}[scheme]
    with connect(str(path)) as database:
        return [row[0] for row in database.execute("select epoch from points").fetchall()]


@pytest.mark.parametrize(
    ("scheme", "whole", "other"),
    [
        ("duckdb", "BIGINT", {"float64": "DOUBLE", "string": "VARCHAR"}),
        ("sqlite", "INTEGER", {"float64": "REAL", "string": "TEXT"}),
        ("delta", "int64", {"float64": "double", "string": "string"}),
    ],
)
def test_a_column_of_another_type_is_not_appended(tmp_path, scheme, whole, other):
    """The database would make 0 of an epoch of 0.5, and 7 of the text 007."""
    path = tmp_path / "a"
    epochs("int64", "7").write(f"{scheme}:{path}")
    for kind, text in (("float64", "0.5"), ("string", "007")):
        message = f"the column epoch is {whole} in the older table, and now {other[kind]}"
        with pytest.raises(SinkError, match=message):
            epochs(kind, text).write(f"{scheme}:{path}?mode=append")
    with pytest.raises(SinkError, match=r"older table has no column step"):
        ms.scan(b"loss=1", {"loss": r"loss=(\d)"}, context={"step": "(x)"}).write(
            f"{scheme}:{path}?mode=append"
        )
    assert read_epochs(scheme, path) == [7]
    epochs("int64", "8").write(f"{scheme}:{path}?mode=append")
    assert sorted(read_epochs(scheme, path)) == [7, 8]
    replace = "overwrite" if scheme == "delta" else "replace"
    epochs("string", "007").write(f"{scheme}:{path}?mode={replace}")
    assert read_epochs(scheme, path) == ["007"]


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_a_table_is_found_however_its_name_is_spelt(tmp_path, scheme):
    """As the databases find it."""
    path = tmp_path / "a"
    epochs("int64", "7").write(f"{scheme}:{path}")
    with pytest.raises(SinkError, match="has a table POINTS already"):
        epochs("int64", "8").write(f"{scheme}:{path}?table=POINTS")
    epochs("int64", "8").write(f"{scheme}:{path}?table=POINTS&mode=append")
    assert read_epochs(scheme, path) == [7, 8]
    epochs("int64", "9").write(f"{scheme}:{path}?table=Points&mode=replace")
    assert read_epochs(scheme, path) == [9]


def test_tables_of_other_schemas_and_any_name_are_none_of_ours(tmp_path):
    """In DuckDB, where the points come from a view of a name."""
    path = str(tmp_path / "a.duckdb")
    with duckdb.connect(path) as database:
        database.execute("create schema other; create table other.points (x int)")
    names = ["points", "metricsieve_batch", "points_batch", 'a "b"']
    for name in names:
        for mode in ("create", "append", "replace"):
            epochs("int64", "7").write(f"duckdb:{path}?table={name}&mode={mode}")
    with duckdb.connect(path) as database:
        for name in names:
            quoted = name.replace('"', '""')
            assert database.sql(f'select epoch from main."{quoted}"').fetchall() == [(7,)]
        assert database.sql("select * from other.points").fetchall() == []


def test_an_interrupted_statement_of_duckdb_is_no_fault_of_the_output(tmp_path):
    """DuckDB tells of Ctrl-C by an error of its own; and nothing is left."""
    sink = open_sink(f"duckdb:{tmp_path / 'a.duckdb'}", scan().schema)
    threading.Timer(0.2, sink._connection.interrupt).start()
    with pytest.raises(KeyboardInterrupt), sink._errors():
        sink._run("select sum(range) from range(1000000000000)")
    sink.abort()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("odd", ["inf", "-inf", "nan"])
def test_delta_s_own_filters_find_every_point_beside_an_infinity(tmp_path, odd):
    """Statistics of the file would say that there is none."""
    path = str(tmp_path / "points")
    given = ms.scan(f"loss=1\nloss={odd}\nloss=3".encode(), {"loss": r"loss=(\S+)"})
    given.write(f"delta:{path}")
    table = deltalake.DeltaTable(path)
    for symbol, wanted in ((">", operator.gt), ("<", operator.lt)):
        found = table.to_pyarrow_table(filters=[("value", symbol, 2.0)])["value"].to_pylist()
        assert sorted(found) == sorted(v for v in (1.0, float(odd), 3.0) if wanted(v, 2.0))
    statistics = table.get_add_actions(flatten=True)
    names = pa.schema(statistics.schema).names
    assert "max.line" in names and "max.value" not in names


def test_an_empty_text_in_a_partition_is_null_and_counted(tmp_path):
    """Delta Lake knows no other; a column of floats is no partition."""
    path = str(tmp_path / "points")
    definitions = {"loss": r"(?P<phase>\w*) loss=(?P<value>.)"}
    for options in ("partition=phase", "mode=append"):
        with pytest.warns(SinkWarning, match="2 empty texts in phase are null"):
            ms.scan(b"a loss=1\n loss=2\n loss=3", definitions).write(f"delta:{path}?{options}")
    rows = deltalake.DeltaTable(path).to_pyarrow_table().to_pylist()
    found = Counter((row["value"], row["phase"]) for row in rows)
    assert found == {(1.0, "a"): 2, (2.0, None): 2, (3.0, None): 2}


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
        ("delta:a?partition=value", "'value' holds floats"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url, message):
    """With what it could be."""
    with pytest.raises(ValueError, match=message):
        scan().write(url)
