"""F11-F14: any call that writes fails, and an output is the whole right one or as it was.

Each output is written once to count its calls: opens, writes, syncs, renames, closes, removals.
Then once for each of them, in which it fails: with EIO, with ENOSPC, or with a device that is full
from there on. METRICSIEVE_WRITE_FAULTS=all tries all three on each call; else they take turns, on
the first calls and a sample of the others.
`pytest -s` prints the figures.
"""

import csv
import json
import os
import random
import re
import shutil
import sqlite3
from collections import Counter
from typing import NamedTuple
from urllib.parse import quote

import deltalake.exceptions
import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from faults import EIO, ENOSPC, FULL, Fault, Faults, compiler
from prometheus_client.openmetrics.parser import text_string_to_metric_families

pytestmark = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")

KINDS = (EIO, ENOSPC, FULL)
TRIES_ALL = os.environ.get("METRICSIEVE_WRITE_FAULTS") == "all"
FIRST = 16  # calls that are always tried; half as many of those behind them
COUNT = 100  # lines of each log
VALUES = sorted([n + 0.5 for n in range(COUNT)] * 2)
OLDER = -1.0
DEFINITIONS = ["-m", r"loss=loss=(\S+)", "-c", r"step=step (\d+)", "-q"]
# What the databases call these errors. SQLite takes a file that it cannot write for read-only.
WORDS = (
    "disk I/O error",
    "database or disk is full",
    "unable to open database file",
    "attempt to write a readonly database",
    "fsync failed",
)


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    """The program, for as many runs as are wanted."""
    found = Faults(tmp_path_factory.mktemp("faults"))
    yield found
    found.close()


class Tried(NamedTuple):
    """A run with a fault.

    Attributes:
        number: of the call.
        fault: what it failed with.
        call: its name and path; empty where nothing failed: the full device came too late.
        code: of the program.
        output: of the program, stderr included.
    """

    number: int
    fault: Fault
    call: str
    code: int
    output: str

    def __str__(self) -> str:
        error = os.strerror(self.fault.error)
        return f"call {self.number}, {self.call}, {error}: exit code {self.code}, {self.output}"

    @property
    def is_sync(self) -> bool:
        """Whether it was a sync that failed."""
        return self.fault is not FULL and self.call.startswith(("fsync", "fdatasync"))

    @property
    def is_removal(self) -> bool:
        """Whether it was a removal that failed: then something may stay."""
        return self.call.startswith(("unlink", "rmdir"))


def sweep(faults, arguments, out, *, prepare, look, named, is_whole=None, causes=(), unsynced=()):
    """Run with each call below `out` failing.

    Args:
        faults: runs the program.
        arguments: of the program.
        out: the directory.
        prepare: puts there what is there before; called before each run.
        look: yields what is wrong with what is there after a run.
        named: what an error must name.
        is_whole: whether everything is there; called after a next run without a fault.
        causes: other words for an errno that an error may use.
        unsynced: what need not be on the disk for the output to be there.
    """
    prepare()
    before = content(out)
    ran = faults.run(arguments, out)
    calls = ran.calls
    assert calls > 0
    assert ran.code == 0, ran.output
    found, tried = [], 0
    for number in range(1, calls + 1):
        for kind in kinds(number, calls):
            prepare()
            ran = faults.run(arguments, out, number, kind)
            one = Tried(number, kind, ran.call, ran.code, ran.output)
            tried += bool(one.call)
            problems = [*problems_of(one, named, causes), *look(one)]
            if one.is_sync and one.code == 0 and one.call.partition(" ")[2] not in unsynced:
                problems.append("it says nothing of a sync that failed")
            if is_whole is not None and content(out) != before:
                again = faults.run(arguments, out)
                if again.code:
                    problems.append(f"the next run failed, {again.output}")
                elif not is_whole():
                    problems.append("the next run did not make it whole")
            found += [f"{problem}: {one}" for problem in problems]
    print(f"\n{' '.join(map(str, arguments[:1]))} {named}: {calls} calls, {tried} faults")
    assert not found, "\n".join(found)


def kinds(number, calls):
    """The faults to try on a call."""
    if TRIES_ALL:
        return KINDS
    sampled = random.Random(3).sample(range(FIRST, calls), min(FIRST // 2, max(calls - FIRST, 0)))
    return [KINDS[number % 3]] if number <= FIRST or number - 1 in sampled else []


def problems_of(tried, named, causes):
    """What is wrong with how the program ended."""
    if tried.code == 0:
        return
    if not tried.call:
        yield "it failed without a fault"
    if tried.code != 4:
        yield "it has another exit code than 4"
    if "Traceback" in tried.output or "Exception" in tried.output:
        yield "it ends with a traceback"
    if str(named) not in tried.output:
        yield "its error does not name the output"
    if not any(cause in tried.output for cause in (os.strerror(tried.fault.error), *causes)):
        yield "its error does not name the cause"


def write_logs(home, first=0, last=COUNT):
    """Two logs, or some more lines of them."""
    for hour, name in enumerate(("a.log", "b.log")):
        with (home / name).open("a") as file:
            for n in range(first, last):
                time = f"2026-11-25T1{hour}:{n // 60:02}:{n % 60:02}Z"
                file.write(f"{time} step {n} loss={n}.5\n")


def scan(home, *output):
    """The arguments of a scan of the two logs."""
    return ["scan", home / "a.log", home / "b.log", *DEFINITIONS, *output]


def emptied(directory):
    """The directory, with nothing in it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return directory


def content(directory):
    """Every file below a directory."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def names(directory):
    """Their names."""
    return content(directory).keys()


# Files: the values in them, by readers that are not ours


def of_parquet(path):
    return pq.read_table(path)["value"].to_pylist()


def of_arrow(path):
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all()["value"].to_pylist()


def of_csv(path):
    with path.open(newline="") as file:
        return [float(row["value"]) for row in csv.DictReader(file)]


def of_jsonl(path):
    return [json.loads(line)["value"] for line in path.read_text().splitlines()]


def of_emf(path):
    return [one for line in path.read_text().splitlines() for one in json.loads(line)["loss"]]


def of_openmetrics(path):
    families = text_string_to_metric_families(path.read_text())
    return [sample.value for family in families for sample in family.samples]


def of_influx(path):
    return [float(found) for found in re.findall(r" value=(\S+?)[, ]", path.read_text())]


def of_report(path):
    assert json.loads(path.read_text())["points"] == len(VALUES)
    return VALUES


def of_picture(path):
    import matplotlib.image

    assert matplotlib.image.imread(path).ndim == 3
    return VALUES


FILES = {
    "a.parquet": of_parquet,
    "a.arrow": of_arrow,
    "a.csv": of_csv,
    "a.jsonl": of_jsonl,
    "emf:a.emf": of_emf,
    "openmetrics:a.om": of_openmetrics,
    "influx:a.lp": of_influx,
    "report.json": of_report,
    "a.png": of_picture,
}


@pytest.mark.parametrize("target", FILES)
def test_f11_f12_f14_a_file_is_whole_or_the_older_one(faults, tmp_path, target):
    """And alone in its directory, unless it was a removal that failed."""
    write_logs(tmp_path)
    out = tmp_path / "out"
    scheme, _, name = target.rpartition(":")
    path = out / name
    if name == "a.png":
        arguments = ["plot", *scan(tmp_path, "-o", path)[1:]]
    elif name == "report.json":
        arguments = scan(tmp_path, "-o", tmp_path / "elsewhere.csv", "--report", path)
    else:
        arguments = scan(tmp_path, "-o", f"{scheme}:{path}" if scheme else path)

    def prepare():
        emptied(out)
        path.write_text("older")

    def look(tried):
        is_older = path.read_bytes() == b"older"
        if not is_older and sorted(FILES[target](path)) != VALUES:
            yield "the file is neither whole nor the older one"
        if is_older and tried.code == 0:
            yield "it says that it wrote the file"
        if names(out) != {name} and not tried.is_removal:
            yield f"there is {names(out) - {name}}"

    sweep(faults, arguments, out, prepare=prepare, look=look, named=path)


def test_f11_f12_s10_dead_letters_are_whole_lines(faults, tmp_path):
    """Behind those that were there, all of them or none."""
    write_logs(tmp_path)
    with (tmp_path / "b.log").open("a") as log:
        log.writelines(f"step {n} loss={n}.5\n" for n in range(50))
    out = tmp_path / "out"
    letters = out / "letters.jsonl"
    arguments = scan(tmp_path, "-o", f"influx:{out}/a.lp?dead-letters={letters}")

    def prepare():
        emptied(out)
        letters.write_text('{"reason": "older"}\n')

    def look(tried):
        reasons = [json.loads(line)["reason"] for line in letters.read_text().splitlines()]
        if reasons not in (["older"], ["older", *["no time"] * 50]):
            yield f"the file is {reasons}"
        if len(reasons) == 1 and (out / "a.lp").exists():
            yield "it lacks rows that the output lacks, too"

    sweep(faults, arguments, out, prepare=prepare, look=look, named=out)


# Directories and databases


def of_events(path):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    events = EventFileLoader(str(path)).Load()
    return [value.tensor.float_val[0] for event in events for value in event.summary.value]


@pytest.mark.parametrize("before", ["nothing", "older"])
def test_f11_f12_each_event_file_is_whole_or_the_older_one(faults, tmp_path, before):
    """A run is a file; when all are written they appear one after the other."""
    write_logs(tmp_path)
    out = tmp_path / "out"
    older = out / quote(f"{tmp_path}/a.log", safe="") / "events.out.tfevents.0000000000.metricsieve"

    def prepare():
        emptied(out)
        if before == "older":
            older.parent.mkdir()
            older.write_text("older")

    def look(tried):
        found = [path for path in out.rglob("*") if path.is_file()]
        whole = [path for path in found if "tfevents" in path.name]
        for path in whole:
            is_older = before == "older" and path.read_bytes() == b"older"
            if not is_older and sorted(of_events(path)) != sorted({*VALUES}):
                yield f"{path} is neither whole nor the older one"
        if tried.code == 0 and len(whole) != 2:
            yield "it says that it wrote the files"
        if len(found) != len(whole) and not tried.is_removal:
            yield f"there is {names(out)}"

    arguments = scan(tmp_path, "-o", f"tensorboard:{out}?run={{source}}")
    sweep(faults, arguments, out, prepare=prepare, look=look, named=out)


def of_sqlite(path):
    with sqlite3.connect(path) as database:
        return [value for (value,) in database.execute("select value from points")]


def of_duckdb(path):
    with duckdb.connect(str(path)) as database:
        return [value for (value,) in database.execute("select value from points").fetchall()]


def of_delta(path):
    return deltalake.DeltaTable(path).to_pyarrow_table()["value"].to_pylist()


TABLES = {"sqlite": of_sqlite, "duckdb": of_duckdb, "delta": of_delta}


@pytest.mark.parametrize("before", ["nothing", "older"])
@pytest.mark.parametrize("kind", TABLES)
def test_f11_f12_a_table_is_whole_or_the_older_one(faults, tmp_path, kind, before):
    """And the next run makes it whole, whatever the fault left behind."""
    write_logs(tmp_path)
    (tmp_path / "older.log").write_text(f"step 0 loss={OLDER}\n")
    out, path, saved = tmp_path / "out", tmp_path / "out" / "table", tmp_path / "saved"
    saved.mkdir()
    mode = "overwrite" if kind == "delta" else "replace"
    arguments = scan(tmp_path, "-o", f"{kind}:{path}?mode={mode}")
    if before == "older":
        ran = faults.run(
            ["scan", tmp_path / "older.log", *DEFINITIONS, "-o", f"{kind}:{saved / 'table'}"], saved
        )
        assert ran.code == 0, ran.output

    def prepare():
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(saved, out)

    def found():
        try:
            return sorted(TABLES[kind](path)) if path.exists() else None
        except deltalake.exceptions.TableNotFoundError:
            return None

    def look(tried):
        # Files that no version names are Delta's way. DuckDB replays its log or throws it away, and
        # SQLite rolls back by its journal, which stays where the full device kept it from doing so.
        others = {
            "sqlite": {"table-journal"} if tried.fault is FULL and before == "older" else set(),
            "duckdb": {"table.wal"},
            "delta": {name for name in names(out) if "part-" in name},
        }
        left = names(out) - {"table"} - others[kind]
        left = {name for name in left if "_delta_log/00" not in name or "#" in name}
        if left and not tried.is_removal:
            yield f"there is {left}"
        rows = found()
        if rows not in (VALUES, [OLDER] if before == "older" else None):
            yield "the table is neither whole nor as it was"
        if rows != VALUES and tried.code == 0:
            yield "it says that it wrote the table"

    sweep(
        faults,
        arguments,
        out,
        prepare=prepare,
        look=look,
        named=path,
        is_whole=lambda: found() == VALUES,
        causes=WORDS,
        # The name of SQLite's journal; what DuckDB has in its log already.
        unsynced={"sqlite": [str(out)], "duckdb": [str(path), f"{path}.wal"]}.get(kind, ()),
    )


# Datasets and followers, which go on


def parts(directory):
    """The rows of each part."""
    paths = sorted(directory.glob("part-*.parquet"))
    return {path.name: pq.read_table(path).to_pylist() for path in paths}


def values(directory):
    """The values of all of them."""
    return [row["value"] for rows in parts(directory).values() for row in rows]


def debris(directory):
    """Temporary files."""
    return {name for name in names(directory) if name.endswith(".tmp")}


@pytest.mark.parametrize("before", ["nothing", "a part"])
def test_f11_f12_a_dataset_has_whole_parts_and_goes_on(faults, tmp_path, before):
    """With `--resume`, to what a run without a fault writes."""
    write_logs(tmp_path)
    out, saved = tmp_path / "out", tmp_path / "saved"
    saved.mkdir()
    arguments = scan(tmp_path, "-o", f"{out}/", "--resume")
    ran = faults.run(scan(tmp_path, "-o", f"{saved}/"), saved)
    assert ran.code == 0, ran.output
    assert sorted(values(saved)) == VALUES
    first, last = parts(saved)
    manifest = (saved / "_metricsieve.json").read_bytes()

    def prepare():
        emptied(out)
        if before == "a part":  # another one was killed before its second part had its name
            shutil.copy(saved / first, out)
            (out / "_metricsieve.json").write_bytes(manifest)
            killed = (saved / last).read_bytes()[:100]
            (out / ".metricsieve-1-0123456789abcdef.tmp").write_bytes(killed)

    def look(tried):
        there = parts(out)
        if any(rows != parts(saved).get(name) for name, rows in there.items()):
            yield "a part is not whole"
        if tried.code == 0 and not is_whole():
            yield "it says that it wrote everything"
        left = names(out) - there.keys() - {"_metricsieve.json", ".metricsieve.lock"}
        if left and not tried.is_removal and before == "nothing":
            yield f"there is {left}"

    def is_whole():
        wrote_all = content(out).get("_metricsieve.json") == manifest
        return wrote_all and parts(out) == parts(saved) and len(names(out)) == 4

    sweep(faults, arguments, out, prepare=prepare, look=look, named=out, is_whole=is_whole)


@pytest.mark.parametrize("before", ["nothing", "a run"])
@pytest.mark.parametrize("name", ["parts/", "a.jsonl"])
def test_f11_f12_f13_a_follower_loses_and_doubles_nothing(faults, tmp_path, name, before):
    """The next one goes on with what is there, to each row once."""
    logs, out, saved = tmp_path / "logs", tmp_path / "out", tmp_path / "saved"
    logs.mkdir()
    emptied(out)
    arguments = ["follow", logs / "a.log", logs / "b.log", *DEFINITIONS, "-o", f"{out}/{name}"]
    arguments += ["--state", out / "state", "--until-idle", "0", "--commit-every", "0"]
    have = 0
    if before == "a run":
        have = COUNT // 2
        write_logs(logs, 0, have)
        ran = faults.run(arguments, out)
        assert ran.code == 0, ran.output
    write_logs(logs, have, COUNT)
    shutil.copytree(out, saved)

    def prepare():
        shutil.rmtree(out)
        shutil.copytree(saved, out)

    def look(tried):
        if debris(out) and not tried.is_removal:
            yield f"there is {debris(out)}"
        found = rows()
        if found - Counter(VALUES) or sum(found.values()) < 2 * have:
            yield "it lost or doubled rows"
        if tried.code == 0 and found != Counter(VALUES):
            yield "it says that it wrote everything"

    def is_whole():
        return rows() == Counter(VALUES) and not debris(out)

    def rows():
        path = out / name
        if not path.exists():
            return Counter()
        return Counter(values(path) if path.is_dir() else of_jsonl(path))

    sweep(faults, arguments, out, prepare=prepare, look=look, named=out, is_whole=is_whole)
