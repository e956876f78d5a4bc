"""Datasets of Parquet parts: what they hold, what a run that was interrupted goes on with.

METRICSIEVE_DATASET_KILLS chooses how often the command is killed: 5 times without it, 200 for
acceptance; `pytest -s` prints the figures.
"""

import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
import warnings
from collections import Counter

import metricsieve as ms
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metricsieve.datasets import MANIFEST
from metricsieve.exceptions import MetricsieveWarning, SourceWarning, StateError
from program import PROGRAM, run

KILLS = int(os.environ.get("METRICSIEVE_DATASET_KILLS", "5"))
LOSS = {"loss": r"loss=(\S+)"}
OPTIONS = {"context": {"epoch": r"Epoch (\d+)"}}
LINES = {
    "plain": lambda text: f"{text:<99}",
    "ranks": lambda text: f"[1,{len(text) % 3}]<stdout>:{text:<85}",
    "json": lambda text: json.dumps({"log": f"{text}\n", "stream": "stdout"}),
}


def rows(directory):
    """Every row as text, in the order of the parts' names."""
    found = []
    for path in sorted(directory.glob("part-*.parquet")):
        found += [tuple(map(repr, row.values())) for row in pq.read_table(path).to_pylist()]
    return found


def expected(sources, definitions=LOSS, **options):
    """The rows of one scan."""
    table = ms.scan(sources, definitions, **options).read_all()
    return [tuple(map(repr, row.values())) for row in table.to_pylist()]


def make_logs(directory, counts, line=str):
    """Logs with so many points each, each line as `line` makes it; some of them packed."""
    directory.mkdir()
    for number, count in enumerate(counts):
        lines = [f"Epoch {number}", *(f"loss={n}.{number}" for n in range(count))]
        text = "".join(f"{line(one)}\n" for one in lines)
        packed = number % 3 == 1
        path = directory / f"{number:03}.log{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return directory


def parts(directory):
    """Names and what they say of their sources."""
    found = {}
    for path in sorted(directory.glob("part-*.parquet")):
        told = pq.ParquetFile(path).metadata.metadata[b"metricsieve.sources"]
        found[path.name] = json.loads(told)
    return found


@pytest.mark.parametrize("part_rows", [1, 7, 10_000])
def test_the_parts_hold_the_rows_of_a_scan(tmp_path, part_rows):
    """In its order, with sources that have none; each small source is in one part."""
    logs = make_logs(tmp_path / "logs", [3, 0, 10, 1, 0, 0, 5, 0])
    out = tmp_path / "points"
    report = ms.write_dataset(logs, LOSS, out, part_rows=part_rows, **OPTIONS)
    assert report.points == 19
    assert rows(out) == expected(logs, **OPTIONS)
    labels = [mark[0] for told in parts(out).values() for mark in told["sources"]]
    assert labels == [str(path) for path in sorted(logs.iterdir())]
    assert len(parts(out)) == (1 if part_rows == 10_000 else 5 if part_rows == 1 else 2)
    table = pyarrow.dataset.dataset(out, format="parquet").to_table()
    assert table.schema.names == ms.scan(logs, LOSS, **OPTIONS).schema.names
    manifest = json.loads((out / "_metricsieve.json").read_text())
    assert sum(part["rows"] for part in manifest["parts"]) == 19
    assert sum(part["sources"] for part in manifest["parts"]) == 8


@settings(deadline=None, max_examples=40)
@given(
    counts=st.lists(st.sampled_from([0, 0, 1, 3, 40]), min_size=1, max_size=9),
    line=st.sampled_from([*LINES.values()]),
    mark_bytes=st.sampled_from([None, 1, 40, 200]),
    part_rows=st.integers(1, 50),
    batch_rows=st.integers(1, 60),
    removed=st.lists(st.integers(0, 100), max_size=6),
)
def test_a_run_goes_on_with_any_parts_that_are_there(
    tmp_path_factory, counts, line, mark_bytes, part_rows, batch_rows, removed
):
    """Also where others are missing in between, or within a log: the rows are those of one run."""
    home = tmp_path_factory.mktemp("dataset")
    logs, out = make_logs(home / "logs", counts, line), home / "points"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ms.datasets, "MARK_BYTES", mark_bytes)
        ms.write_dataset(logs, LOSS, out, part_rows=part_rows, batch_rows=batch_rows, **OPTIONS)
        assert rows(out) == expected(logs, **OPTIONS)
        names = sorted(parts(out))
        for number in removed:
            (out / names[number % len(names)]).unlink(missing_ok=True)
        options = {"resume": True, "part_rows": part_rows + 3, "batch_rows": batch_rows, **OPTIONS}
        ms.write_dataset(logs, LOSS, out, **options)
        assert rows(out) == expected(logs, **OPTIONS)
        again = ms.write_dataset(logs, LOSS, out, **options)
        assert again.bytes == 0
        assert rows(out) == expected(logs, **OPTIONS)


def one_large_log(path, line, megabytes):
    """A log of so many megabytes, an epoch every 50,000 lines and a point every 1,000."""
    with path.open("w") as file:
        for number in range(megabytes * 10_000):
            text = f"Epoch {number // 50_000}" if number % 50_000 == 0 else "x" * 90
            text = f"loss={number}" if number % 1_000 == 0 and number % 50_000 else text
            file.write(f"{line(text)}\n")
    return path


@pytest.mark.parametrize("kind", LINES)
def test_one_large_log_has_parts_of_its_own(tmp_path, kind):
    """Named by the bytes that they are of; what is missing is read, and nothing else."""
    log = one_large_log(tmp_path / "a.log", LINES[kind], 50)
    out = tmp_path / "points"
    ms.write_dataset(log, LOSS, out, part_rows=50, **OPTIONS)
    whole = expected(log, **OPTIONS)
    assert rows(out) == whole
    name = re.compile(
        r"part-000000000-.*a\.log-(?P<generation>\w{8})-(\d{15})-(\d{15})-\w{8}\.parquet"
    )
    found = [name.fullmatch(one) for one in sorted(parts(out))]
    ranges = [(int(one[2]), int(one[3])) for one in found]
    assert len(ranges) >= 4
    assert len({one["generation"] for one in found}) == 1
    assert [start for start, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
    assert ranges[-1][1] == log.stat().st_size
    for missing in ([2], [0], [len(ranges) - 1], [0, 1, 3]):
        for number in missing:
            (out / found[number][0]).unlink()
        report = ms.write_dataset(log, LOSS, out, part_rows=50, resume=True, **OPTIONS)
        assert report.bytes == sum(ranges[number][1] - ranges[number][0] for number in missing)
        assert rows(out) == whole
        assert sorted(parts(out)) == [one[0] for one in found]


def test_a_part_ends_with_so_many_bytes_of_logs_too(tmp_path):
    """Where there is nothing to be found, a long run has places to go on from all the same."""
    log = one_large_log(tmp_path / "a.log", LINES["plain"], 50)
    out = tmp_path / "points"
    ms.write_dataset(log, LOSS, out, part_bytes=12 << 20)
    ends = [told["end"] and told["end"]["offset"] >> 20 for told in parts(out).values()]
    assert ends == [16, 32, None]
    assert rows(out) == expected(log)


def test_new_sources_at_the_end_are_added(tmp_path):
    """And nothing that is there is read again."""
    logs, out = make_logs(tmp_path / "logs", [3, 5]), tmp_path / "points"
    ms.write_dataset(logs, LOSS, out)
    (logs / "z.log").write_text("loss=9\n")
    report = ms.write_dataset(logs, LOSS, out, resume=True)
    assert (report.points, report.sources.total) == (1, 1)
    assert rows(out) == expected(logs)


def test_what_does_not_go_with_the_parts_is_refused(tmp_path):
    """Other definitions, options, sources; a second run without `resume`; a file of others."""
    logs, out = make_logs(tmp_path / "logs", [3, 0, 5]), tmp_path / "points"
    ms.write_dataset(logs, LOSS, out, part_rows=1)
    before = rows(out)
    for changed, message in (
        ({"resume": False}, r"holds 2 parts already.*--resume"),
        ({"definitions": {"loss": r"loss=(\d)"}}, "other definitions or options"),
        ({"number": "strict"}, "other definitions or options"),
        ({"sources": logs / "000.log"}, "001.log.gz is missing|002.log is missing"),
        ({"sources": [logs / "002.log", logs / "000.log"]}, "is .*002.log now"),
        ({"sources": logs / "nosuch"}, "No such file"),
    ):
        told = {"sources": logs, "definitions": LOSS, "resume": True, "part_rows": 1} | changed
        with pytest.raises((StateError, FileNotFoundError), match=message):
            ms.write_dataset(told.pop("sources"), told.pop("definitions"), out, **told)
        assert rows(out) == before
        assert (out / MANIFEST).exists()
    (logs / "000.log").write_text("loss=1\nloss=2\n")
    with pytest.raises(StateError, match=r"000.log was written to"):
        ms.write_dataset(logs, LOSS, out, resume=True)
    pq.write_table(pa.table({"a": [1]}), out / "a.parquet")
    with pytest.raises(StateError, match="which is no part of a dataset"):
        ms.write_dataset(logs, LOSS, out, resume=True)


def test_f16_parts_that_are_damaged_or_overlap_are_refused(tmp_path):
    """Cut at every 50th byte, under another name, or beside another one of the same bytes."""
    logs, out = make_logs(tmp_path / "logs", [30, 20]), tmp_path / "points"
    ms.write_dataset(logs, LOSS, out)
    (name,) = parts(out)
    part = out / name
    whole = part.read_bytes()

    def refused(match):
        with pytest.raises(StateError, match=match):
            ms.write_dataset(logs, LOSS, out, resume=True)

    for end in range(0, len(whole), 50):
        part.write_bytes(whole[:end])
        refused(r"\.parquet is damaged: .*remove it, and what it holds is read again")
    part.rename(out / name.replace("part-000000000", "part-000000001"))
    (out / name.replace("part-000000000", "part-000000001")).write_bytes(whole)
    refused("is damaged: it says that it is part-000000000")
    (out / name.replace("part-000000000", "part-000000001")).unlink()
    ms.write_dataset(logs, LOSS, tmp_path / "small", part_rows=1)
    for path in (tmp_path / "small").glob("part-*"):
        shutil.copy(path, out)
    part.write_bytes(whole)
    refused(r"two parts have byte 0 of .*000\.log.*remove one of them")
    part.unlink()
    ms.write_dataset(logs, LOSS, out, resume=True)
    assert rows(out) == expected(logs)


@pytest.mark.parametrize("source", [b"loss=1", iter([b"loss=1"]), "pipe"])
def test_what_cannot_be_read_again_is_refused(tmp_path, source):
    """Bytes, streams and pipes; nothing of the dataset is there then."""
    if source == "pipe":
        source = tmp_path / source
        os.mkfifo(source)
    with pytest.raises(ValueError, match="cannot be read again"):
        ms.write_dataset(source, LOSS, tmp_path / "points")
    with pytest.raises(ValueError, match="needs the column source"):
        ms.write_dataset("examples/logs", LOSS, tmp_path / "points", columns=["value"])
    assert not (tmp_path / "points").exists()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_text_that_raises_is_met_again(tmp_path, monkeypatch, threads):
    """What is behind it was not searched: no part may have it, wherever one ends."""
    monkeypatch.setattr(ms.datasets, "MARK_BYTES", 5_000)
    log, out = tmp_path / "a.log", tmp_path / "points"
    log.write_text("".join(f"loss={'bad' if n == 3_000 else n}\n" for n in range(5_000)))
    for part_rows in (1, 100, 10_000):
        with pytest.raises(ValueError, match=r'captured "bad" in .*a\.log:3001'):
            ms.write_dataset(
                log, LOSS, out, part_rows=part_rows, on_reject="raise", threads=threads, resume=True
            )
        assert not (out / MANIFEST).exists()
        there = rows(out)
        assert there == expected(log)[: len(there)]
        assert len(there) <= 3_000


def test_a_part_has_so_many_sources(tmp_path, monkeypatch):
    """However few rows there are; a footer of all labels could not be read."""
    monkeypatch.setattr(ms.datasets, "PART_SOURCES", 3)
    logs, out = make_logs(tmp_path / "logs", [1, 0, 0, 2, 0, 0, 0, 1]), tmp_path / "points"
    ms.write_dataset(logs, LOSS, out)
    assert [len(told["sources"]) for told in parts(out).values()] == [3, 3, 2]
    assert rows(out) == expected(logs)


def test_parts_of_very_many_sources_have_the_columns_of_those_of_few(tmp_path):
    """A scan of more than 65,536 sources writes labels out; one that goes on has fewer left."""
    (tmp_path / "a.log").write_text("loss=1\n")
    logs, out = {f"{n:05}": tmp_path / "a.log" for n in range(65_600)}, tmp_path / "points"
    ms.write_dataset(logs, LOSS, out)
    (out / min(parts(out))).unlink()
    ms.write_dataset(logs, LOSS, out, resume=True)
    schemas = [pq.read_schema(path) for path in out.glob("part-*")]
    assert len(schemas) == 7
    assert all(schema.equals(schemas[0]) for schema in schemas)
    assert ms.summary(out, by=())["count"].to_pylist() == [65_600]


def test_parts_beside_the_logs_are_no_logs(tmp_path):
    """Also where the directory is one of logs itself."""
    logs = make_logs(tmp_path / "logs", [3, 4])
    whole = expected(logs)
    for out in (logs, logs / "points"):
        for resume in (False, True, True):
            ms.write_dataset(logs, LOSS, out, resume=resume)
            assert rows(out) == whole
        for path in [*out.glob("part-*"), out / MANIFEST]:
            path.unlink()


def test_options_that_are_the_usual_ones_and_odd_labels_do_not_matter(tmp_path):
    """The command says all of them; a label may be empty."""
    logs = {"": make_logs(tmp_path / "logs", [3]) / "000.log"}
    ms.write_dataset(logs, LOSS, tmp_path / "points", number="trim", envelope="auto", threads=1)
    report = ms.write_dataset(logs, LOSS, tmp_path / "points", resume=True)
    assert (report.bytes, report.warnings) == (0, [])


def test_a_remote_log_that_changed_is_refused(tmp_path, fault_server):
    """If its size is the same, by its entity tag."""
    tag, url = '"1"', f"{fault_server.url}/a.log"
    fault_server.answer = lambda request: request.send(200, b"loss=1\n", ETag=tag)
    ms.write_dataset(url, LOSS, tmp_path / "points")
    assert ms.write_dataset(url, LOSS, tmp_path / "points", resume=True).bytes == 0
    tag = '"2"'
    with pytest.raises(StateError, match=r"a\.log was written to"):
        ms.write_dataset(url, LOSS, tmp_path / "points", resume=True)


def test_a_source_that_fails_is_read_again(tmp_path):
    """Its part says so, and the next run replaces it."""
    logs, out = make_logs(tmp_path / "logs", [3, 200_000, 5]), tmp_path / "points"
    whole = (logs / "001.log.gz").read_bytes()
    (logs / "001.log.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(SourceWarning):
        ms.write_dataset(logs, LOSS, out, part_rows=4)
    assert [told["complete"] for told in parts(out).values()] == [False, True]
    (logs / "001.log.gz").write_bytes(whole)
    ms.write_dataset(logs, LOSS, out, part_rows=4, resume=True)
    assert rows(out) == expected(logs)


def test_who_reads_a_dataset_is_told_what_it_lacks(tmp_path):
    """A run that was interrupted, a part that is gone, a source that failed."""
    logs, out = make_logs(tmp_path / "logs", [3, 200_000]), tmp_path / "points"
    ms.write_dataset(logs, LOSS, out, part_rows=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ms.summary(out, by=())["count"].to_pylist() == [200_003]
    manifest = (out / MANIFEST).read_bytes()
    (out / MANIFEST).unlink()
    with pytest.warns(MetricsieveWarning, match="has not come to its end; scan with --resume"):
        ms.summary(out)
    done = run("summary", out, "--strict")
    assert (done.returncode, "has not come to its end" in done.stderr) == (1, True)
    (out / MANIFEST).write_bytes(manifest)
    (out / min(parts(out))).unlink()
    with pytest.warns(MetricsieveWarning, match="not those of its manifest"):
        ms.summary(out)
    shutil.rmtree(out)
    whole = (logs / "001.log.gz").read_bytes()
    (logs / "001.log.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(SourceWarning):
        ms.write_dataset(logs, LOSS, out)
    with pytest.warns(MetricsieveWarning, match="not read to their end"):
        ms.summary(out)


def test_one_run_at_a_time(tmp_path):
    """The second one is told."""
    logs, out = make_logs(tmp_path / "logs", [3]), tmp_path / "points"
    with (
        ms.datasets.DatasetWriter(logs, LOSS, out),
        pytest.raises(StateError, match="in use by process"),
    ):
        ms.write_dataset(logs, LOSS, out)


def test_the_command_fills_a_directory_and_goes_on(tmp_path):
    """`-o DIR/`, `--resume`; a directory is the only output."""
    logs, out = make_logs(tmp_path / "logs", [3, 4]), tmp_path / "points"
    common = ["scan", str(logs), "-m", r"loss=loss=(\S+)", "-o", f"{out}/"]
    done = run(*common)
    assert done.returncode == 0, done.stderr
    assert rows(out) == expected(logs)
    assert run(*common).returncode == 4
    done = run(*common, "--resume")
    assert done.returncode == 0, done.stderr
    assert rows(out) == expected(logs)
    bad = [*common[:-2], "-o", f"{tmp_path}/bad/", "--on-reject", "raise"]
    (logs / "000.log").write_text("loss=bad\n")
    done = run(*bad, "--report", str(tmp_path / "report.json"))
    assert done.returncode == 1
    assert 'captured "bad"' in done.stderr
    assert json.loads((tmp_path / "report.json").read_text())["rejects"] == 1
    assert run(*common, "-o", str(tmp_path / "a.csv")).returncode == 2
    assert run(*common[:-2], "-o", str(tmp_path / "a.csv"), "--resume").returncode == 2


CODE = """
import metricsieve.datasets as d, sys
d.DatasetWriter.__init__.__kwdefaults__['part_rows'] = 20_000
d.MARK_BYTES = 50_000  # several places in each of the larger logs
from metricsieve.__main__ import main
sys.argv[0] = 'metricsieve'
main()
"""


def table(directory):
    """The rows of the parts, in the order of their names, without dictionaries."""
    tables = []
    for path in sorted(directory.glob("part-*.parquet")):
        one = pq.read_table(path)
        kinds = [
            f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in one.schema
        ]
        plain = pa.schema(list(zip(one.schema.names, kinds, strict=True)))
        tables.append(one.replace_schema_metadata(None).cast(plain))
    return pa.concat_tables(tables)


class Killed:
    """Runs of a command that fills a directory, killed at moments of every kind.

    Args:
        arguments: of the command.
        out: the directory.
        seconds: about how long a run takes, from when it has locked the directory.
        parts: how many there are in the end.
    """

    def __init__(self, arguments, out, seconds, parts):
        self.arguments, self.out = arguments, out
        self.seconds, self.parts = seconds, parts
        self.random = random.Random(1)
        self.kills = Counter()

    def run(self):
        """Start it, and kill it; whether it came to its end before."""
        live = subprocess.Popen(self.arguments, stderr=subprocess.PIPE)
        moment = self.random.choice(["at a time", "in a part", "behind a part", "behind the last"])
        try:
            self._wait(live, moment)
            live.kill()
            # One that has published everything has ended, whether it lives or not.
            is_killed = live.wait() == -signal.SIGKILL and not (self.out / MANIFEST).exists()
            assert is_killed or live.returncode in (0, -signal.SIGKILL), live.stderr.read()
        finally:
            live.kill()
            live.wait()
            live.stderr.close()
        if is_killed:
            left = any(path.suffix == ".tmp" for path in self.out.iterdir())
            has_all = len(parts(self.out)) == self.parts
            self.kills["manifest" if has_all else "part" if left else "between"] += 1
        return not is_killed

    def _wait(self, live, moment):
        """Until a moment of the run, which begins when it has locked the directory."""
        lock = self.out / ".metricsieve.lock"
        while not (lock.exists() and lock.read_text() == f"{live.pid}\n"):
            if live.poll() is not None:
                return
        end = time.monotonic() + self.random.random() * self.seconds
        seen = self._names()
        coming = self.random.randrange(1, self.parts + 1)
        while live.poll() is None:
            names = self._names()
            finished = {name for name in names if name.startswith("part-")}
            new = {name for name in names - seen if name.endswith(".tmp")}
            if moment == "at a time" and time.monotonic() > end:
                return
            if moment == "in a part" and new and len(finished) >= coming - 1:
                return
            if moment == "behind a part" and len(finished) >= coming and finished - seen:
                return
            if moment == "behind the last" and len(finished) == self.parts:
                return

    def _names(self):
        return set(os.listdir(self.out))


@pytest.mark.timeout(200 + 10 * KILLS)
def test_g3_f13_kill_9_at_any_moment_and_resume_give_the_uninterrupted_dataset(tmp_path):
    """Row for row, each time that a run comes to its end; as often as processes were killed."""
    choice = random.Random(2)
    counts = [choice.choice([0, 10, 5_000, 60_000]) for _ in range(30)]
    logs, out, whole = make_logs(tmp_path / "logs", counts), tmp_path / "out", tmp_path / "whole"
    arguments = [PROGRAM[0], "-c", CODE, "scan", str(logs), "-m", r"loss=loss=(\S+)", "-q"]
    arguments += ["-c", r"epoch=Epoch (\d+)", "--resume", "-o"]
    begun = time.monotonic()
    done = subprocess.run([*arguments, f"{whole}/"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - begun
    told, manifest = table(whole), (whole / MANIFEST).read_bytes()
    assert told.num_rows == sum(counts)
    runs = Killed([*arguments, f"{out}/"], out, seconds, len(parts(whole)))
    finished = 0
    while runs.kills.total() < KILLS or out.exists():
        if runs.kills.total() >= KILLS:
            done = subprocess.run(runs.arguments, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        elif not runs.run():
            continue
        assert table(out).equals(told)
        assert (out / MANIFEST).read_bytes() == manifest
        assert not list(out.glob(".metricsieve-*.tmp"))
        finished += 1
        shutil.rmtree(out)
    print(
        f"\n{runs.kills.total()} kills ({runs.kills['part']} in a part, "
        f"{runs.kills['between']} between parts, {runs.kills['manifest']} behind the last part), "
        f"{finished} datasets of {told.num_rows:,} rows in {len(parts(whole))} parts compared"
    )
    assert runs.kills.total() == KILLS
