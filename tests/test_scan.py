"""`scan` and `Scan`: the promises of the public surface, on the real engine."""

import io
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings

import metricsieve as ms
import pyarrow as pa
import pyarrow.compute as pc
import pytest

LOSS = {"loss": r"loss=(\S+)"}
BASE = ["metric", "value", "timestamp", "source", "line", "offset", "job", "host", "stream", "rank"]
FILES = {"a": b"loss=1 phase=x\nloss=2 phase=y\n", "b": b"none\nloss=3 phase=x\n", "c": b"loss=4\n"}
PHASED = {"loss": r"loss=(?P<value>\S+)(?: phase=(?P<phase>\w+))?"}


def test_points_have_values_lines_and_offsets():
    """One row a point."""
    table = ms.scan(b"x\nloss=0.5\nloss=1e-3\n", LOSS).read_all()
    assert table.column_names == BASE
    assert table["value"].to_pylist() == [0.5, 1e-3]
    assert table["line"].to_pylist() == [2, 3]
    assert table["offset"].to_pylist() == [2, 11]
    assert table["source"].to_pylist() == ["<bytes:0>"] * 2


def test_the_schema_is_known_before_reading_and_depends_on_arguments_alone():
    """Types of the published table."""
    text = pa.dictionary(pa.int32(), pa.string())
    empty, full = ms.scan(b"", PHASED), ms.scan(FILES, PHASED)
    assert empty.schema == full.schema == full.read_all().schema
    expected = [text, pa.float64(), pa.timestamp("us", "UTC"), text, pa.uint64(), pa.uint64()]
    assert empty.schema.types == [*expected, text, text, text, pa.int32(), pa.string()]
    assert not empty.schema.field("metric").nullable
    assert not empty.schema.field("value").nullable
    assert ms.scan(b"", LOSS, on_reject="null").schema.field("value").nullable
    assert ms.scan(b"", LOSS, strings="plain").schema.field("metric").type == pa.string()
    assert empty.read_all().num_rows == 0


def test_columns_are_chosen_and_ordered():
    """`definition`, `match` and `text` only on request."""
    table = ms.scan(b"loss=0.50\n", LOSS, columns=["text", "value", "definition"]).read_all()
    assert table.to_pylist() == [{"text": "0.50", "value": 0.5, "definition": 0}]
    with pytest.raises(ValueError, match="nothing"):
        ms.scan(b"", LOSS, columns=["nothing"])


def test_units_and_fingerprint_travel_in_the_metadata():
    """Sinks and plots read them there."""
    one = ms.DefinitionSet([ms.MetricDefinition("a", "(a)", unit="Percent")])
    metadata = ms.scan(b"", one).schema.metadata
    assert json.loads(metadata[b"metricsieve.units"]) == {"a": "Percent"}
    assert metadata[b"metricsieve.definitions"].decode() == one.fingerprint


USES = {
    "iterate": list,
    "read_all": lambda scan: scan.read_all(),
    "to_pandas": lambda scan: scan.to_pandas(),
    "stream": pa.table,
    "write": lambda scan: scan.write(os.devnull + ".csv"),
}


@pytest.mark.parametrize("first", ["iterate", "read_all", "stream"])
@pytest.mark.parametrize("second", list(USES))
def test_a_scan_is_used_once(first, second):
    """The second use says who had the first, and leaves the report."""
    if first != "iterate":
        pytest.importorskip("pandas")
    found = ms.scan(b"loss=1\n", LOSS)
    USES[first](found)
    with pytest.raises(ms.ScanUsedError, match="already used") as caught:
        USES[second](found)
    assert isinstance(caught.value, RuntimeError)
    assert found.report.points == 1
    assert found.rejects.num_rows == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_batches_of_long_texts_end_before_they_have_all_rows(threads):
    notes = [bytes([97 + number % 26]) * 1_000_000 for number in range(70)]
    log = b"".join(b"loss=%d %s\n" % (number, note) for number, note in enumerate(notes))
    definitions = {"loss": r"loss=(?P<value>\d+) (?P<note>\w+)"}
    batches = list(ms.scan([log], definitions, threads=threads))
    assert len(batches) > 1
    found = [note.as_py() for batch in batches for note in batch.column("note")]
    assert found == [note.decode() for note in notes]
    values = [value.as_py() for batch in batches for value in batch.column("value")]
    assert values == list(range(70))


def test_iteration_resumes_after_break_and_takes_the_rows():
    """What `for` left is there for the next `for`, and for nobody else."""
    found = ms.scan([b"loss=1\n", b"loss=2\n"], LOSS, batch_rows=1, threads=1)
    rows = next(iter(found)).num_rows
    with pytest.raises(ms.ScanUsedError):
        found.read_all()
    assert rows + sum(batch.num_rows for batch in found) == 2
    with pytest.raises(StopIteration):
        next(found)


def test_a_closed_scan_is_a_clear_error():
    """`with` closes; the report stays."""
    with ms.scan(b"loss=1\n", LOSS) as found:
        pass
    found.close()
    with pytest.raises(ms.ScanUsedError, match="closed"):
        found.read_all()
    assert found.report.complete is False


def test_polars_takes_a_scan():
    """Through the Arrow stream alone."""
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(ms.scan(FILES, PHASED))
    assert frame["value"].to_list() == [1, 2, 3, 4]
    assert frame["metric"].to_list() == ["loss"] * 4


def test_duckdb_finds_a_scan_by_its_name():
    """A replacement scan of a local variable."""
    duckdb = pytest.importorskip("duckdb")
    found = ms.scan(FILES, PHASED)
    assert found.report.complete is False
    rows = duckdb.sql("select metric, avg(value) from found group by 1").fetchall()
    assert rows == [("loss", 2.5)]


def test_pandas_takes_a_scan():
    """By its own constructor and by ours."""
    pandas = pytest.importorskip("pandas", minversion="3")
    assert pandas.DataFrame.from_arrow(ms.scan(FILES, LOSS))["value"].tolist() == [1, 2, 3, 4]
    assert ms.scan(FILES, LOSS).to_pandas()["metric"].tolist() == ["loss"] * 4


def test_pyarrow_honours_a_requested_schema():
    """Dictionaries become plain text, which Spark and sorting need."""
    found = ms.scan(FILES, LOSS)
    plain = ms.scan(b"", LOSS, strings="plain").schema
    table = pa.RecordBatchReader.from_stream(found, schema=plain).read_all()
    assert table.schema.field("source").type == pa.string()
    assert table["source"].to_pylist() == ["a", "a", "b", "c"]
    assert pa.schema(ms.scan(b"", LOSS)).names == BASE


def test_ipc_of_three_sources_with_labels_groups_and_joins(tmp_path):
    """Dictionaries of all batches fit one IPC file."""
    path = tmp_path / "a.arrow"
    ms.scan(FILES, PHASED, batch_rows=1).write(path)
    table = pa.ipc.open_file(path).read_all()
    assert table["phase"].to_pylist() == ["x", "y", "x", None]
    grouped = table.group_by("source").aggregate([("value", "sum")])
    assert dict(zip(*grouped.to_pydict().values(), strict=True)) == {"a": 3, "b": 3, "c": 4}
    names = pa.table({"source": ["a", "b", "c"], "owner": ["u", "v", "w"]})
    left = table.set_column(
        table.schema.get_field_index("source"), "source", table["source"].cast(pa.string())
    )
    joined = left.join(names, "source").sort_by([("value", "ascending")])
    assert joined["owner"].to_pylist() == ["u", "u", "v", "w"]


def test_plain_strings_sort():
    """pyarrow cannot sort by a dictionary whose batches differ."""
    table = ms.scan(FILES, LOSS, strings="plain", batch_rows=1).read_all()
    ordered = table.sort_by([("source", "descending"), ("value", "ascending")])
    assert ordered["value"].to_pylist() == [4, 3, 1, 2]


REJECTED = b"loss=1\nloss=auto\nloss=2\n"


def test_rejects_are_counted_and_listed():
    """Never 0, never dropped in silence."""
    found = ms.scan(REJECTED, LOSS)
    assert found.read_all()["value"].to_pylist() == [1, 2]
    (row,) = found.rejects.to_pylist()
    assert (row["metric"], row["text"], row["reason"]) == ("loss", "auto", "not_a_number")
    assert (row["source"], row["line"], row["offset"]) == ("<bytes:0>", 2, 7)
    (entry,) = found.report.definitions
    assert (entry.points, entry.rejects["not_a_number"]) == (2, 1)
    assert any("auto" in line for line in found.report.warnings)


def test_on_reject_null_and_raise():
    """A row without a value, or an error after the rows before it."""
    assert ms.scan(REJECTED, LOSS, on_reject="null").read_all()["value"].to_pylist() == [1, None, 2]
    rows = []
    found = ms.scan(REJECTED, LOSS, on_reject="raise")
    with pytest.raises(ValueError, match="auto"):
        rows.extend(value for batch in found for value in batch["value"].to_pylist())
    assert rows == [1]


def test_a_report_is_json_ready_and_conserves_records():
    """Non-finite numbers are texts."""
    found = ms.scan(b"loss=nan\nloss=inf\nother\n", LOSS)
    found.read_all()
    report = found.report
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["complete"] is report.complete is True
    assert (plain["definitions"][0]["first"], plain["definitions"][0]["last"]) == ("nan", "inf")
    assert report.records == report.matched + report.unmatched + sum(report.skipped.values())
    assert report.sources[0].complete
    assert report.sources.total == 1


@pytest.mark.filterwarnings("always")
def test_f7_a_source_that_fails_is_reported_or_raised(tmp_path):
    """The rows of the others are delivered either way."""
    (tmp_path / "a.log").write_text("loss=1\n")
    (tmp_path / "b.log").symlink_to("gone")
    found = ms.scan(tmp_path, LOSS)
    with pytest.warns(ms.SourceWarning, match=r"b\.log"):
        assert found.read_all().num_rows == 1
    assert found.report.sources.failed == 1
    rows = []
    found = ms.scan(tmp_path, LOSS, on_source_error="raise")
    with pytest.raises(ms.SourceError) as caught:
        rows.extend(batch.num_rows for batch in found)
    assert sum(rows) == 1
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"envelope": "crii"}, ValueError),
        ({"envelope": "cri:log"}, ValueError),
        ({"envelope": None}, TypeError),
        ({"timezone": "Mars"}, ValueError),
        ({"redraws": "last"}, NotImplementedError),
        ({"redraws": "some"}, ValueError),
        ({"normalize": "yes"}, ValueError),
        ({"number": "int"}, ValueError),
        ({"on_reject": "drop"}, ValueError),
        ({"on_source_error": "skip"}, ValueError),
        ({"strings": "view"}, ValueError),
        ({"threads": 0}, ValueError),
        ({"batch_rows": 1.5}, TypeError),
        ({"max_record_bytes": -1}, ValueError),
        ({"columns": "value"}, TypeError),
    ],
)
def test_an_option_that_is_wrong_or_not_there_yet_is_named(option, error):
    """At once, not at the first batch."""
    with pytest.raises(error, match=next(iter(option))):
        ms.scan(b"", LOSS, **option)


def test_progress_ends_at_the_end():
    """Bytes done; the total where it is known."""
    seen = []
    ms.scan([b"loss=1\n"] * 3, LOSS, progress=lambda *now: seen.append(now)).read_all()
    assert seen[-1][0] == 21
    assert seen == sorted(seen, key=lambda now: now[0])


def test_every_kind_of_source_gives_the_same_rows(tmp_path):
    """Chunks may cut anywhere."""
    data = b"loss=0.5\r\nloss=0.25\n" * 50
    path = tmp_path / "a.log"
    path.write_bytes(data)
    chunks = (data[at : at + 3] for at in range(0, len(data), 3))
    kinds = [path, str(path), data, memoryview(data), io.BytesIO(data), chunks]
    tables = [ms.scan(kind, LOSS, columns=["value", "line", "offset"]).read_all() for kind in kinds]
    assert all(table == tables[0] for table in tables)
    assert pc.sum(tables[0]["value"]).as_py() == 37.5


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_files_and_streams_that_alternate_keep_their_order(tmp_path, threads):
    """Workers read the files ahead while the stream before them is read by the consumer."""
    sources, expected = [], []
    for number in range(12):
        lines = [f"loss={number}.{line}\n".encode() for line in range(500)]
        expected += [(line + 1, float(f"{number}.{line}")) for line in range(500)]
        path = tmp_path / f"{number}.log"
        path.write_bytes(b"".join(lines))
        sources.append(path if number % 3 else iter(lines))
    table = ms.scan(sources, LOSS, threads=threads).read_all()
    assert list(zip(table["line"].to_pylist(), table["value"].to_pylist(), strict=True)) == expected


def test_a_reader_that_raises_is_not_silent():
    """Its message is in the warning."""

    class Broken:
        def read(self, size):
            raise OSError("tape torn")

    with pytest.warns(ms.SourceWarning, match="tape torn"):
        ms.scan(Broken(), LOSS).read_all()


def test_pickling_is_refused_with_the_remedy():
    """A scan holds threads and open files; definitions can be sent."""
    with pytest.raises(TypeError, match="DefinitionSet"):
        pickle.dumps(ms.scan(b"", LOSS))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_cannot_use_a_scan_of_its_parent():
    """It says so instead of hanging; the parent goes on."""
    found = ms.scan([b"loss=1\n"] * 4, LOSS, batch_rows=1, threads=2)
    rows = next(found).num_rows
    child = os.fork()
    if child == 0:
        try:
            next(found)
        except RuntimeError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert rows + sum(batch.num_rows for batch in found) == 4


def count_points(data):
    return ms.scan(data, LOSS).read_all().num_rows


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_scan_after_their_parent_did(method):
    """No global state of threads survives into the child."""
    assert count_points(b"loss=1\n") == 1
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply_async(count_points, (b"loss=1\nloss=2\n",)).get(60) == 2


def test_ctrl_c_ends_a_scan_within_200_ms(tmp_path):
    """Measured in the child, from the signal's sending to KeyboardInterrupt."""
    code = """if True:
        import sys, time
        import metricsieve as ms
        def forever():
            block = b"nothing to see here\\n" * 50_000
            while True:
                yield block
        print("ready", flush=True)
        try:
            ms.scan(forever(), {"loss": r"loss=(\\S+)"}).read_all()
        except KeyboardInterrupt:
            print(time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)
    """
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)  # into the scan; the signal may come at any time in it
    sent = time.clock_gettime(time.CLOCK_MONOTONIC)
    process.send_signal(signal.SIGINT)
    answer, _ = process.communicate(timeout=30)
    assert float(answer) - sent < 0.2


def test_the_gil_is_released_while_reading():
    """Another thread runs while the engine waits for a pipe that says nothing."""
    end, begin = os.pipe()
    found = ms.scan(f"/dev/fd/{end}", LOSS)
    tables = []
    reader = threading.Thread(target=lambda: tables.append(found.read_all()))
    reader.start()
    os.write(begin, b"loss=1\n")
    os.close(begin)
    reader.join(30)
    os.close(end)
    assert tables[0].num_rows == 1


def test_no_warning_on_a_clean_scan():
    """Warnings mean something."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert count_points(b"loss=1\n") == 1


def test_p9_a_source_may_watch_its_scan_and_may_not_use_it():
    """Progress never waits; what would wait for itself is an error that says so."""
    seen = []

    def chunks():
        for number in range(3):
            yield b"loss=%d\n" % number
            seen.append(scan.progress[0])
            with pytest.raises(RuntimeError, match="cannot use the scan"):
                next(iter(scan._scanner.report()))

    scan = ms.scan(chunks(), {"loss": r"loss=(\d+)"})
    assert scan.read_all()["value"].to_pylist() == [0, 1, 2]
    assert seen[-1] > 0


def test_the_report_tells_how_each_definition_was_looked_for_and_what_that_cost():
    """A literal names candidates; without one every record is tried."""
    definitions = {"loss": r"loss=(\S+)", "bare": r"^(\d+)$", "twice": r"loss=\S+ step=(\d+)"}
    scan = ms.scan(b"loss=1\n7\nnoise\nloss=2 step=3\n", definitions)
    scan.read_all()
    loss, bare, twice = scan.report.to_dict()["definitions"]
    assert [d["strategy"] for d in (loss, bare, twice)] == ["direct", "every record", "candidates"]
    assert (loss["literals"], bare["literals"]) == (["loss="], [])
    assert (loss["candidates"], loss["points"], bare["points"], twice["points"]) == (2, 2, 1, 1)
    assert bare["candidates"] >= 1 and loss["cost_seconds"] >= 0
    told = ms.DefinitionSet(definitions).strategies()
    assert [d["strategy"] for d in told] == ["direct", "every record", "candidates"]
