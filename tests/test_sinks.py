"""Outputs: what each format writes, and that a file appears whole or not at all."""

import csv
import json
import math
import os
import resource
import stat
import subprocess
import sys

import metricsieve as ms
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from metricsieve.sinks import SUFFIXES, Sink, check_target, check_targets, open_sink
from metricsieve.sinks._atomic import AtomicFile
from program import run

TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [("metric", TEXT), ("value", pa.float64()), ("timestamp", pa.timestamp("us", "UTC"))],
    {"units": "x"},
)


def batch(*rows, names=("loss", "=1+1")):
    """A batch whose dictionary is `names`; rows are (code, value, microseconds)."""
    codes, values, times = zip(*rows, strict=True)
    metric = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names))
    columns = [metric, pa.array(values, pa.float64()), pa.array(times, SCHEMA.field(2).type)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


ROWS = [(0, -3.0, 1_700_000_000_000_001), (1, math.nan, None), (0, math.inf, None), (0, None, None)]


def written(path, *batches):
    sink = open_sink(path, SCHEMA)
    assert isinstance(sink, Sink)
    for one in batches:
        sink.write(one)
    sink.close()
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
def test_binary_formats_round_trip(tmp_path, suffix):
    """Values, types, a growing dictionary and the schema's metadata."""
    path = tmp_path / f"a{suffix}"
    written(path, batch(*ROWS), batch((2, 0.5, None), names=("loss", "=1+1", "new")))
    table = pq.read_table(path) if suffix == ".parquet" else pa.ipc.open_file(path).read_all()
    assert table["metric"].to_pylist() == ["loss", "=1+1", "loss", "loss", "new"]
    assert table.schema.types == SCHEMA.types
    assert table.schema.metadata[b"units"] == b"x"
    assert str(table["value"].to_pylist()) == "[-3.0, nan, inf, None, 0.5]"


def test_metadata_is_added(tmp_path):
    """What the caller gives beside the schema's own."""
    sink = open_sink(tmp_path / "a.parquet", SCHEMA, {"step": "epoch"})
    sink.write(batch(*ROWS))
    sink.close()
    metadata = pq.read_schema(tmp_path / "a.parquet").metadata
    assert (metadata[b"step"], metadata[b"units"]) == (b"epoch", b"x")


def test_x2_csv_guards_text_cells_and_leaves_numbers(tmp_path):
    """A spreadsheet must not run a metric's name; -3 stays a number."""
    names = ("loss", "=1+1", "+a", "-b", "@c", "\td", "\re", "a=b", "", 'q"q')
    rows = [(code, -3.0, None) for code in range(len(names))]
    path = written(tmp_path / "a.csv", batch(*rows, names=names))
    with path.open(newline="") as file:
        header, *cells = csv.reader(file)
    assert header == SCHEMA.names
    expected = ["loss", "'=1+1", "'+a", "'-b", "'@c", "'\td", "'\re", "a=b", "", 'q"q']
    assert [row[0] for row in cells] == expected
    assert {row[1] for row in cells} == {"-3"}


def test_v1_csv_keeps_nan_infinity_and_null_apart(tmp_path):
    """A null is an empty cell."""
    with written(tmp_path / "a.csv", batch(*ROWS)).open(newline="") as file:
        assert [row[1] for row in csv.reader(file)][1:] == ["-3", "nan", "inf", ""]


def test_v7_floats_survive_text_formats(tmp_path):
    """Bit for bit."""
    values = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 2.0**53 + 2, 1 / 3]
    rows = batch(*((0, value, None) for value in values))
    with written(tmp_path / "a.csv", rows).open(newline="") as file:
        read = [float(row[1]) for row in csv.reader(file) if row[1] != "value"]
    lines = written(tmp_path / "a.jsonl", rows).read_text().splitlines()
    for found in (read, [json.loads(line)["value"] for line in lines]):
        assert [value.hex() for value in found] == [value.hex() for value in values]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson"])
def test_v1_json_lines_have_no_bare_nan(tmp_path, suffix):
    """Strict JSON; NaN and infinity are texts that float() reads back."""
    path = written(tmp_path / f"a{suffix}", batch(*ROWS))
    rows = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    assert rows[0] == {"metric": "loss", "value": -3.0, "timestamp": "2023-11-14T22:13:20.000001Z"}
    assert [row["value"] for row in rows] == [-3.0, "NaN", "Infinity", None]
    assert math.isnan(float(rows[1]["value"]))


def test_an_unknown_suffix_lists_the_known_ones(tmp_path):
    """Before anything is read or created."""
    with pytest.raises(ValueError, match="cannot tell the format") as caught:
        open_sink(tmp_path / "a.xlsx", SCHEMA)
    assert all(suffix in str(caught.value) for suffix in SUFFIXES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scheme", ["cloudwatch", "mlflow", "otlp", "wandb", "wide", "delta"])
@pytest.mark.parametrize(
    "query", ["by=a&canary", "canary=", "nosuch=canary", "by=canary&by=canary"]
)
def test_x7_a_target_that_is_refused_keeps_its_secrets(scheme, query):
    """Neither the password of a URL nor what a forgotten %26 cut off is repeated."""
    with pytest.raises(ValueError, match="http://host") as refused:
        check_target(f"{scheme}:http://me:canary@host/x?{query}")
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "targets",
    [
        ["a.csv", "influx:./a.csv"],
        ["a.csv", "wide:a.csv"],
        ["tensorboard:runs?tag=a/{metric}", "tensorboard:runs/?tag=b/{metric}"],
        ["sqlite:a.db", "sqlite:a.db?table=b"],
        ["influx:a.lp?dead-letters=a.lp"],
        ["emf:a?dead-letters=letters", "influx:b?dead-letters=letters"],
        ["-", "emf:-"],
        ["link.csv", "a.csv"],
    ],
)
def test_two_outputs_of_one_place_are_refused(targets, tmp_path, monkeypatch):
    """Else the last one replaces the first, or both are mixed; and nothing is made."""
    monkeypatch.chdir(tmp_path)
    os.symlink("a.csv", "link.csv")
    with pytest.raises(ValueError, match="would write to the same place"):
        ms.scan(b"loss=1", {"loss": "loss=(.)"}).write(*targets)
    with pytest.raises(ValueError, match="would write to the same place"):
        ms.follow(iter([b"loss=1"]), {"loss": "loss=(.)"}, sinks=targets)
    assert os.listdir() == ["link.csv"]


def test_outputs_of_services_may_be_alike(tmp_path):
    """Their options tell them apart."""
    check_targets(["cloudwatch:A", "cloudwatch:A?dimension=x=y", "emf:cloudwatch-logs:g", "-"])


@pytest.mark.parametrize("command", ["scan", "follow", "summary"])
@pytest.mark.parametrize("source", ["logs", "logs/*.csv", "logs/a.csv"])
def test_an_output_that_is_a_source_is_refused(command, source, tmp_path):
    """It would be gone."""
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "a.csv"
    log.write_text("metric,value\nloss,1\n")
    given = [] if command == "summary" and source.endswith("a.csv") else ["-m", "loss=loss,(.)"]
    done = run(command, source, *given, "-o", "logs/../logs/a.csv", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "would replace a source" in done.stderr
    assert log.read_text() == "metric,value\nloss,1\n"
    done = run("scan", source, "-m", "loss=loss,(.)", "-o", "logs/b.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_directory_is_filled_by_others(tmp_path):
    """Existing, or named with a slash."""
    for target in (tmp_path, f"{tmp_path}/new/"):
        with pytest.raises(ValueError, match="write_dataset"):
            check_target(target)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_f14_nothing_has_the_final_name_before_close_or_after_abort(tmp_path, suffix):
    """An older file stays as it was."""
    path = tmp_path / f"a{suffix}"
    path.write_text("old")
    sink = open_sink(path, SCHEMA)
    sink.write(batch(*ROWS))
    assert path.read_text() == "old"
    sink.abort()
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"
    sink.abort()


def test_f14_data_is_synced_before_the_rename_and_the_directory_after(tmp_path, monkeypatch):
    """The order a power loss demands."""
    calls = []

    def record(name, kind=lambda argument: argument):
        real = getattr(os, name)

        def call(*arguments):
            calls.append((name, kind(arguments[0])))
            return real(*arguments)

        monkeypatch.setattr(os, name, call)

    record("fsync", lambda fd: "directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
    record("rename", lambda path: "file")
    written(tmp_path / "a.parquet", batch(*ROWS))
    assert calls == [("fsync", "file"), ("rename", "file"), ("fsync", "directory")]


def test_the_mode_is_private_first_and_follows_the_umask_then(tmp_path):
    """The temporary file is nobody else's business."""
    file = AtomicFile(tmp_path / "a.txt")
    (temporary,) = tmp_path.iterdir()
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    old = os.umask(0o027)
    try:
        file.commit()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_a_link_at_the_target_is_replaced_not_followed(tmp_path):
    """Somebody else's link must not choose what is overwritten."""
    (tmp_path / "other").write_text("kept")
    (tmp_path / "a.csv").symlink_to("other")
    written(tmp_path / "a.csv", batch(*ROWS))
    assert (tmp_path / "other").read_text() == "kept"
    assert not (tmp_path / "a.csv").is_symlink()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_f11_a_full_device_is_a_sink_error_with_a_remedy(tmp_path, suffix):
    """/dev/full takes bytes and fails when they are flushed."""
    path = tmp_path / f"full{suffix}"
    path.symlink_to("/dev/full")
    with pytest.raises(ms.SinkError) as caught:
        written(path, batch(*ROWS))
    assert caught.value.path == str(path)
    assert "space" in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_f11_a_file_over_the_limit_leaves_nothing_behind(tmp_path, suffix):
    """EFBIG in the middle: no final name, no temporary file."""
    code = f"""if True:
        import resource
        import pyarrow as pa
        import metricsieve as ms
        from metricsieve.sinks import open_sink
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        batch = pa.record_batch({{"value": pa.array([i * 1.37 for i in range(100_000)])}})
        sink = open_sink({str(tmp_path / f"a{suffix}")!r}, batch.schema)
        try:
            sink.write(batch)
            sink.close()
        except ms.SinkError as error:
            sink.abort()
            print(error)
    """
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "ulimit -f" in done.stdout, done.stderr
    assert not list(tmp_path.iterdir())


def test_f11_a_missing_directory_is_named(tmp_path):
    """The remedy is to create it."""
    with pytest.raises(ms.SinkError, match="create the directory"):
        open_sink(tmp_path / "no" / "a.csv", SCHEMA)


def test_a_fifo_is_written_in_place(tmp_path):
    """A rename would replace it."""
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        written(path, batch(*ROWS))
        assert os.read(reader, 1 << 16).count(b"\n") == len(ROWS)
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)
