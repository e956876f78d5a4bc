"""Following logs: the rows of a scan, whatever happens to files, process and outputs."""

import datetime
import gzip
import itertools
import json
import os
import re
import shutil
import subprocess
import threading

import metricsieve as ms
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from comparison import label_names
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import Case, cases

LOSS = {"loss": r"loss=([0-9.]+)"}
EXAMPLES = int(os.environ.get("METRICSIEVE_LIVE_EXAMPLES", "150"))
QUICK = {"poll": 0.01, "rotate_wait": 0.0}


def follow(sources, definitions=LOSS, **options):
    """A follower that ends as soon as it has read what is there."""
    looks = iter(range(options.pop("looks", 3)))
    until = options.pop("until", lambda live: next(looks, None) is None)
    return ms.follow(sources, definitions, until=until, **QUICK, **options)


def values(live):
    """The values of all rows."""
    return [value for batch in live for value in batch["value"].to_pylist()]


def rows(batches, columns=None):
    """Rows as comparable text: a NaN equals itself here."""
    found = []
    for batch in batches:
        batch = batch.select(columns) if columns else batch
        found += [tuple(map(repr, row.values())) for row in batch.to_pylist()]
    return found


def append(path, data):
    """Writes to the end of a file."""
    with open(path, "ab") as file:
        file.write(data)


def acting(steps):
    """An `until` that does something after each look, and ends when nothing comes any more."""
    steps = list(steps)

    def until(live):
        if steps:
            steps.pop(0)()
            return False
        return live.idle_seconds > 0.15

    return until


@pytest.fixture
def log(tmp_path):
    """The path of a log that does not exist yet."""
    return tmp_path / "train.log"


@pytest.mark.timeout(300 + EXAMPLES)
@given(case=cases(), data=st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_b6_b10_batch_equals_live(tmp_path_factory, case: Case, data):
    """Bytes that come in pieces cut anywhere, with restarts in between, give the rows of a scan."""
    assume(not case.data.startswith((b"\xff\xfe", b"\xfe\xff")))
    directory = tmp_path_factory.mktemp("live")
    path = directory / "a.log"
    labels = label_names(case.definitions, case.normalize)
    columns = ["metric", "value", "line", "offset", "definition", "match", "text"]
    columns += [*labels, *case.context]
    options = {"normalize": case.normalize, "number": case.number, "context": case.context}
    options["max_record_bytes"] = case.max_record_bytes
    cuts = sorted(data.draw(st.lists(st.integers(0, len(case.data)), max_size=6)))
    edges = itertools.pairwise([0, *cuts, len(case.data)])
    pieces = [case.data[begin:end] for begin, end in edges]
    path.write_bytes(b"")
    restarts = data.draw(st.sets(st.integers(0, len(pieces) - 1)))
    found, records = [], 0

    def grow(live):
        number = len(cuts) + 1 - len(pieces)
        if pieces:
            append(path, pieces.pop(0))
        else:  # the end of the file is the end of the log once its name is gone
            os.rename(path, directory / "a.log.1")
            return True
        return number in restarts

    kept = {"state": directory / "state", "columns": columns, **options}
    while path.exists():
        live = follow(str(path), case.definitions, until=grow, **kept)
        found += rows(live)
        records += live.report.records
    live = follow(str(path), case.definitions, **kept)
    found += rows(live)
    scan = ms.scan(case.data, case.definitions, columns=columns, **options)
    assert found == rows(scan)
    assert records + live.report.records == scan.report.records


def test_rows_are_those_of_a_scan_with_every_column(log):
    """Schema, metadata and rows, the source's label included."""
    log.write_bytes(b"Epoch 1\nloss=0.5\nloss=x\nEpoch 2\nloss=nan loss=1\n")
    options = {"context": {"epoch": r"Epoch (\d+)"}, "on_reject": "null"}
    loss = [{"Name": "loss", "Regex": r"loss=(\S+)", "Matches": "all", "Unit": "None"}]
    live, scan = follow(str(log), loss, **options), ms.scan(str(log), loss, **options)
    assert live.schema.equals(scan.schema, check_metadata=True)
    batches = list(live)
    assert all(batch.schema.equals(scan.schema, check_metadata=True) for batch in batches)
    assert rows(batches) == rows(scan)
    ours, theirs = live.report.to_dict(), scan.report.to_dict()
    for key in (
        "records",
        "matched",
        "unmatched",
        "points",
        "events",
        "bytes",
        "rejects",
        "context",
    ):
        assert ours[key] == theirs[key], key
    assert ours["sources"] == theirs["sources"]
    assert live.rejects.equals(scan.rejects)


def test_b6_a_last_line_is_held_back_until_it_is_whole(log):
    """Half a number is a wrong one; with a state not even the end of the run completes it."""
    log.write_bytes(b"loss=1\nloss=0.2")
    live = follow(str(log), state=log.parent / "state")
    assert values(live) == [1]
    assert live.report.follow["held_back"] == [{"source": str(log), "bytes": 8}]
    append(log, b"5\nloss=3\n")
    assert values(follow(str(log), state=log.parent / "state")) == [0.25, 3]


def test_without_a_state_the_end_completes_the_last_line(log):
    """As for a scan; and a restart starts over."""
    log.write_bytes(b"loss=1\nloss=2")
    for _ in range(2):
        live = follow(str(log))
        assert values(live) == [1, 2]
        assert live.report.complete
        assert live.report.follow["keeps_state"] is False


def test_backfill_then_live_then_the_end(log):
    """In one run: what is there, what is written while it runs, and `until` ends it."""
    log.write_bytes(b"loss=1\n")
    live = ms.follow(str(log), LOSS, poll=0.01, until=0.3)
    seen = []
    for batch in live:
        seen += batch["value"].to_pylist()
        if len(seen) < 4:
            append(log, b"loss=%d\n" % (len(seen) + 1))
    assert seen == [1, 2, 3, 4]


def test_files_may_appear_later(tmp_path):
    """A named file, one of a glob and one of a directory."""
    (tmp_path / "d").mkdir()
    paths = [tmp_path / "a.log", tmp_path / "b1.out", tmp_path / "d" / "c"]

    def create(live):
        if paths:
            paths.pop(0).write_bytes(b"loss=%d\n" % len(paths))
            return False
        return live.idle_seconds > 0.1

    sources = [tmp_path / "a.log", str(tmp_path / "*.out"), str(tmp_path / "d")]
    live = follow(sources, until=create)
    assert sorted(values(live)) == [0, 1, 2]
    assert [source.complete for source in live.report.sources] == [True] * 3


def test_f7_a_file_that_never_came_is_a_failed_source(log):
    """Other sources are read all the same."""
    other = log.parent / "other.log"
    other.write_bytes(b"loss=1\n")
    live = follow([str(log), str(other)])
    with pytest.warns(ms.SourceWarning, match="there is no such file yet"):
        assert values(live) == [1]
    assert [source.complete for source in live.report.sources] == [False, True]


def rename(log, number=1):
    """Rotates as logrotate does: older ones move up, the log becomes `.1`."""
    for old in range(number, 0, -1):
        source = f"{log}.{old}"
        if os.path.exists(source):
            os.rename(source, f"{log}.{old + 1}")
    os.rename(log, f"{log}.1")


def test_f2_renamed_while_it_is_followed(log):
    """What was written before and after the rename, to the old file and to the new one."""
    steps = [
        lambda: append(log, b"loss=2\nloss="),
        lambda: (rename(log), append(log, b"loss=4\n")),
        lambda: append(f"{log}.1", b"3\n"),
        lambda: append(log, b"loss=5\n"),
    ]
    log.write_bytes(b"loss=1\n")

    live = ms.follow(str(log), LOSS, until=acting(steps), poll=0.01, rotate_wait=5)
    assert sorted(values(live)) == [1, 2, 3, 4, 5]
    assert live.report.follow["rotated"] == 1


@pytest.mark.parametrize("pack", [False, True])
def test_f2_two_rotations_while_stopped(log, pack):
    """The rest of the old log and a generation that nobody saw, packed or not: 0 lost, 0 twice."""
    state = log.parent / "state"
    log.write_bytes(b"loss=1\nloss=")
    assert values(follow(str(log), state=state)) == [1]
    append(log, b"2\n")
    rename(log)
    log.write_bytes(b"loss=3\nloss=4")
    rename(log, 2)
    log.write_bytes(b"loss=5\n")
    if pack:
        for path in (f"{log}.1", f"{log}.2"):
            subprocess.run(["gzip", path], check=True)
    assert sorted(values(follow(str(log), state=state))) == [2, 3, 4, 5]
    assert values(follow(str(log), state=state)) == []


def test_f3_copied_and_truncated(log):
    """The copy has what was not read yet; a line that the cut went through is counted."""
    log.write_bytes(b"loss=1\n")
    steps = [
        lambda: append(log, b"loss=2\nloss=0.1"),
        lambda: (append(log, b"2"), shutil.copy(log, f"{log}.1"), os.truncate(log, 0)),
        lambda: append(log, b"5\nloss=3\n"),
    ]

    live = follow(str(log), until=acting(steps))
    assert sorted(values(live)) == [1, 2, 3]
    assert (live.report.follow["truncated"], live.report.skipped) == (1, {"cut_off": 1})


def test_f3_copied_and_truncated_while_stopped(log):
    """The rest is in the copy, the new content in the old inode."""
    state = log.parent / "state"
    log.write_bytes(b"loss=1\n")
    assert values(follow(str(log), state=state)) == [1]
    append(log, b"loss=2\n")
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)
    append(log, b"loss=3\n")
    assert sorted(values(follow(str(log), state=state))) == [2, 3]
    assert values(follow(str(log), state=state)) == []


def test_f4_an_inode_that_is_used_again(log):
    """Removed and created again, 50 times: each is a log of its own."""
    state = log.parent / "state"
    for number in range(50):
        log.write_bytes(b"loss=%d\n" % number)
        assert values(follow(str(log), state=state, looks=1)) == [number]
        os.unlink(log)


def test_f5_truncated_and_longer_than_before_at_the_next_look(log):
    """The size says nothing; the bytes before the offset do."""
    log.write_bytes(b"start\nloss=1\n")
    live = follow(str(log), until=acting([lambda: log.write_bytes(b"start\nloss=2\nloss=3\n")]))
    assert values(live) == [1, 2, 3]
    assert live.report.follow["truncated"] == 1


def test_f6_one_file_under_two_names_is_read_once(log):
    """A hard link and a symbolic one."""
    log.write_bytes(b"loss=1\n")
    os.link(log, log.parent / "hard.log")
    os.symlink(log, log.parent / "soft.log")
    assert values(follow(str(log.parent / "*.log"))) == [1]


def test_a_glob_does_not_take_a_rotated_log_for_a_new_one(log):
    """Neither while it runs nor after a restart; one that was there at the start is a source."""
    state = log.parent / "state"
    append(f"{log}.1", b"loss=0\n")
    log.write_bytes(b"loss=1\n")
    glob = f"{log}*"
    steps = [lambda: (rename(log, 2), append(log, b"loss=2\n"))]
    assert sorted(values(follow(glob, state=state, until=acting(steps)))) == [0, 1, 2]
    rename(log, 3)
    append(log, b"loss=3\n")
    assert values(follow(glob, state=state)) == [3]


def test_c5_b3_what_cannot_be_followed_says_so(tmp_path):
    """Compressed and UTF-16 files, when they are named: a failed source with the remedy."""
    (tmp_path / "a.log").write_bytes(gzip.compress(b"loss=1\n"))
    (tmp_path / "b.log").write_bytes("\ufeffloss=1\n".encode("utf-16-le"))
    for name, what in (("a.log", "gzip"), ("b.log", "UTF-16")):
        live = follow(str(tmp_path / name))
        with pytest.warns(ms.SourceWarning, match=f"{what} cannot be followed: read it with scan"):
            assert values(live) == []
    live = follow(str(tmp_path))
    assert values(live) == []
    assert len(live.report.follow["lost"]) == 2


def test_f8_pipes_and_streams(tmp_path):
    """A FIFO without a writer does not hang the start; its last line needs no end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    live = ms.follow(str(fifo), LOSS, poll=5)

    def write():
        with open(fifo, "wb") as file:
            file.write(b"loss=1\nlo")
            file.flush()
            file.write(b"ss=2")

    writer = threading.Thread(target=write)
    writer.start()
    assert values(live) == [1, 2]
    writer.join()
    assert live.report.sources[0].source == str(fifo)


def test_file_objects_iterables_and_labels(log):
    """With or without a descriptor; a mapping gives the labels."""
    log.write_bytes(b"loss=3\n")
    with open(log, "rb") as file:
        live = ms.follow({"x": file, "y": iter([b"loss=1\nloss", b"=2"])}, LOSS)
        found = [row for batch in live for row in batch.select(["source", "value"]).to_pylist()]
    assert sorted((row["source"], row["value"]) for row in found) == [("x", 3), ("y", 1), ("y", 2)]
    with pytest.raises(TypeError, match="bytes do not grow"):
        ms.follow(b"loss=1", LOSS)
    with pytest.raises(ValueError, match="cannot be followed"):
        ms.follow("http://host/log", LOSS)


# The state


def saved(log):
    """A state directory of a run that read one line."""
    log.write_bytes(b"loss=1\n")
    state = log.parent / "state"
    assert values(follow(str(log), state=state)) == [1]
    return state


def test_f16_every_damage_of_the_state_is_refused_or_harmless(log):
    """Any byte changed, any length: the error names the remedy; never a silent 0 or end."""
    state = saved(log)
    file = state / "state.json"
    content = file.read_bytes()
    damaged = [
        content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(len(content))
    ]
    damaged += [content[:at] for at in range(len(content) - 1)]
    damaged += [b"\0" * len(content), b"null", b"[]", b'{"version": 1}']
    refused = 0
    for one in damaged:
        file.write_bytes(one)
        error = None
        try:
            assert values(follow(str(log), state=state, looks=1)) == []
        except ms.StateError as raised:
            error = str(raised)
        assert error is None or "--reset" in error
        refused += error is not None
    assert refused > len(damaged) * 0.95
    file.write_bytes(content.replace(b'"version": 1', b'"version": 2', 1))
    with pytest.raises(ms.StateError, match="newer version"):
        follow(str(log), state=state)
    assert values(follow(str(log), state=state, reset=True)) == [1]


def test_f16_other_definitions_or_options_are_refused(log):
    """What changes rows does not go on with a state of other rows."""
    state = saved(log)
    for options in (
        {"number": "strict"},
        {"context": {"epoch": "Epoch (.)"}},
        {"max_record_bytes": 9},
    ):
        with pytest.raises(ms.StateError, match="other definitions or options"):
            follow(str(log), state=state, **options)
    with pytest.raises(ms.StateError, match="other definitions or options"):
        follow(str(log), {"loss": "loss=(.)"}, state=state)
    assert values(follow(str(log), state=state, batch_rows=1)) == []


def test_f15_two_processes_with_one_state_or_output(log):
    """The second one is told who has it."""
    state = saved(log)
    with follow(str(log), state=state), pytest.raises(ms.StateError, match=str(os.getpid())):
        follow(str(log), state=state)
    parts = f"{log.parent}/parts/"
    with follow(str(log), sinks=parts, state=state), pytest.raises(ms.StateError, match="in use"):
        follow(str(log), sinks=parts, state=log.parent / "other")


def test_p8_an_exception_of_the_consumer_does_not_advance(log):
    """The batch that it was raised in comes again."""
    state = log.parent / "state"
    log.write_bytes(b"loss=1\nloss=2\n")

    def consume():
        with follow(str(log), state=state, batch_rows=1, commit_every=0) as live:
            for batch in live:
                raise KeyError(batch["value"][0].as_py())

    for _ in range(2):
        with pytest.raises(KeyError, match="1"):
            consume()
    assert values(follow(str(log), state=state)) == [1, 2]


class Fails:
    """A sink that fails at the n-th batch, after having taken it."""

    def __init__(self, number):
        self.number, self.seen = number, []

    def write(self, batch):
        self.seen += batch["value"].to_pylist()
        if len(self.seen) >= self.number:
            raise ms.SinkError("it is full", "sink")

    def close(self):
        """Nothing to publish."""

    def abort(self):
        """Nothing to take back."""


def test_f11_a_sink_that_fails_gets_its_rows_again(log):
    """At least once: what was not committed comes with the next run."""
    state = log.parent / "state"
    log.write_bytes(b"loss=1\nloss=2\nloss=3\n")
    sink = Fails(2)
    with pytest.raises(ms.SinkError):
        follow(str(log), state=state, sinks=[sink], batch_rows=1).run()
    again = Fails(99)
    follow(str(log), state=state, sinks=[again]).run()
    assert (sink.seen, again.seen) == ([1, 2], [1, 2, 3])


# Outputs


def parts_of(directory):
    """Values and offsets of all parts, in their order by name."""
    table = pa.dataset.dataset(str(directory), format="parquet").to_table()
    found = table.select(["value", "offset"]).to_pylist()
    return sorted((row["value"], row["offset"]) for row in found)


def lines_of(path):
    """Values of a file of JSON lines."""
    return [json.loads(line)["value"] for line in path.read_text().splitlines()]


def test_parts_go_on_without_the_state(log):
    """The parts themselves tell how far everything was read."""
    parts = log.parent / "parts"
    log.write_bytes(b"loss=1\nnothing\nloss=2")
    for addition in (b"", b"\nloss=3\n", b"x\n"):
        append(log, addition)
        follow(str(log), sinks=f"{parts}/").run()
        shutil.rmtree(parts / ".metricsieve-state")
    append(log, b"loss=4\n")
    follow(str(log), sinks=parts).run()
    assert parts_of(parts) == [(1, 0), (2, 15), (3, 22), (4, 31)]
    names = sorted(name for name in os.listdir(parts) if name.startswith("part-"))
    ranges = [tuple(map(int, re.findall(r"-(\d{15})", name))) for name in names]
    assert ranges == [(0, 15), (15, 29), (29, 38)]
    assert all(name.startswith("part-" + str(log).replace("/", "%2F")) for name in names)


def test_parts_of_other_definitions_are_not_mixed(log):
    """A directory holds the parts of one set of definitions and options."""
    parts = f"{log.parent}/parts/"
    log.write_bytes(b"loss=1\n")
    follow(str(log), sinks=parts).run()
    with pytest.raises(ms.StateError, match="other definitions"):
        follow(str(log), {"acc": "acc=(.)"}, sinks=parts, state=log.parent / "other")


def test_a_missing_or_damaged_part_is_told(log):
    """With the state gone, nobody knows what was in it."""
    parts = log.parent / "parts"
    for number in range(3):
        append(log, b"loss=%d\n" % number)
        follow(str(log), sinks=f"{parts}/").run()
    shutil.rmtree(parts / ".metricsieve-state")
    names = sorted(name for name in os.listdir(parts) if name.startswith("part-"))
    last = (parts / names[2]).read_bytes()
    (parts / names[2]).write_bytes(last[:50])
    with pytest.raises(ms.StateError, match="damaged"):
        follow(str(log), sinks=parts)
    (parts / names[2]).write_bytes(last)
    os.unlink(parts / names[1])
    with pytest.raises(ms.StateError, match="missing"):
        follow(str(log), sinks=parts)


def test_parts_beside_another_output_follow_the_state(log):
    """Rows that only the parts got before a crash come again, in both."""
    parts, lines = log.parent / "parts", log.parent / "a.jsonl"
    state = log.parent / "state"
    log.write_bytes(b"loss=1\n")
    follow(str(log), sinks=[f"{parts}/", lines], state=state).run()
    before = shutil.copytree(state, log.parent / "before")
    append(log, b"loss=2\n")
    follow(str(log), sinks=[f"{parts}/", lines], state=state).run()
    shutil.rmtree(state)
    shutil.move(before, state)  # as if it had crashed between the parts and the state
    append(log, b"loss=3\n")
    follow(str(log), sinks=[f"{parts}/", lines], state=state).run()
    assert parts_of(parts) == [(1, 0), (2, 7), (3, 14)]
    assert lines_of(lines) == [1, 2, 3]


def test_appended_json_lines_are_cut_back_to_the_state(log):
    """What a crash left behind the last commit is written again, not twice."""
    state, lines = log.parent / "state", log.parent / "a.jsonl"
    log.write_bytes(b"loss=1\n")
    follow(str(log), sinks=lines, state=state).run()
    append(lines, b'{"value": 2, "rest of a row that a crash cut of')
    append(log, b"loss=2\n")
    follow(str(log), sinks=lines, state=state).run()
    assert lines_of(lines) == [1, 2]
    lines.write_bytes(lines.read_bytes()[:-3])
    with pytest.raises(ms.SinkError, match="not the file that the state knows"):
        follow(str(log), sinks=lines, state=state)
    with pytest.raises(ms.SinkError, match="content that the state knows nothing of"):
        follow(str(log), sinks=lines, state=state, reset=True)


def test_files_that_are_written_whole_need_no_state(log):
    """They appear at the end, and are refused with a state."""
    target = log.parent / "a.parquet"
    log.write_bytes(b"loss=1\nloss=2")
    follow(str(log), sinks=target, batch_rows=1).run()
    assert pa.parquet.read_table(target)["value"].to_pylist() == [1, 2]
    assert pa.parquet.ParquetFile(target).num_row_groups == 1
    for whole in (target, "emf:a.emf", "openmetrics:a.om", "influx:a.lp"):
        with pytest.raises(ValueError, match="written whole"):
            follow(str(log), sinks=whole, state=log.parent / "state")


@pytest.mark.parametrize("url", ["influx:{}/a.lp", "openmetrics:{}/a.jsonl", "delta:{}/t/"])
def test_urls_that_are_written_whole_need_no_state(log, url):
    """Whatever their end looks like."""
    log.write_bytes(b"loss=1\n")
    with pytest.raises(ValueError, match="written whole"):
        follow(str(log), sinks=url.format(log.parent), state=log.parent / "state")
    assert [path.name for path in log.parent.iterdir()] == [log.name]


def test_an_url_is_no_path(log):
    """Not even one that ends like a file of JSON lines."""
    log.write_bytes(b"loss=1\n")
    letters = log.parent / "lost.jsonl"
    follow(str(log), sinks=f"influx:{log.parent}/a.lp?dead-letters={letters}").run()
    assert (log.parent / "a.lp").read_text() == ""  # a point without a time is none there
    assert [json.loads(line)["reason"] for line in letters.read_text().splitlines()] == ["no time"]


def test_streams_into_parts_never_collide(tmp_path):
    """Each run is a generation of its own."""
    for number in range(3):
        ms.follow({"job": iter([b"loss=%d\n" % number])}, LOSS, sinks=f"{tmp_path}/p/").run()
    assert parts_of(tmp_path / "p") == [(0, 0), (1, 0), (2, 0)]


def test_options_are_checked(log):
    """The message names the option."""
    for option, value in (("poll", -1), ("until", -1), ("number", "x")):
        with pytest.raises(ValueError, match=option):
            ms.follow(str(log), LOSS, **{option: value})
    with pytest.raises(TypeError, match="commit_every"):
        ms.follow(str(log), LOSS, commit_every="a")
    with pytest.raises(TypeError, match="no sink"):
        ms.follow(str(log), LOSS, sinks=[3])


def test_a_follower_is_used_once(log):
    """After its end it says so."""
    log.write_bytes(b"loss=1\n")
    live = follow(str(log))
    assert values(live) == [1]
    with pytest.raises(ms.ScanUsedError):
        iter(live)


def test_on_reject_raise_gives_the_rows_before_it(log):
    """And does not commit; a restart meets it again."""
    log.write_bytes(b"loss=1\nloss=x\nloss=2\n")
    options = {"on_reject": "raise", "state": log.parent / "state"}
    for _ in range(2):
        live = iter(follow(str(log), {"loss": "loss=(.*)"}, **options))
        assert next(live)["value"].to_pylist() == [1]
        with pytest.raises(ValueError, match='captured "x" in'):
            next(live)


BANNER = b"".join(b"Starting worker %d, seed 17\n" % number for number in range(60))


def test_f2_logs_that_begin_alike_are_told_apart(log):
    """A generation that nobody saw begins with the whole content of one that is known."""
    state = log.parent / "state"
    log.write_bytes(BANNER)
    assert values(follow(str(log), state=state)) == []
    rename(log)
    log.write_bytes(BANNER + b"loss=1\n")
    rename(log, 2)
    log.write_bytes(BANNER + b"loss=2\n")
    assert sorted(values(follow(str(log), state=state))) == [1, 2]
    for number in (2, 1):
        subprocess.run(["gzip", f"{log}.{number}"], check=True)
    rename(log, 3)
    log.write_bytes(BANNER + b"loss=3\n")
    assert values(follow(str(log), state=state)) == [3]


def test_f3_a_copy_that_is_being_made_is_no_new_log(log):
    """Half of it is there when the follower looks, right after a rotation."""
    log.write_bytes(b"loss=1\n")

    def copy(count):
        with open(f"{log}.1", "wb") as file:
            file.write(log.read_bytes()[:count])

    steps = [
        lambda: (rename(log), append(log, b"loss=2\nloss=3\n")),
        lambda: (rename_only_old(log), copy(9)),
        lambda: copy(None),
        lambda: os.truncate(log, 0),
        lambda: append(log, b"loss=4\n"),
    ]
    live = ms.follow(str(log), LOSS, until=acting(steps), poll=0.01, rotate_wait=5)
    assert sorted(values(live)) == [1, 2, 3, 4]


def rename_only_old(log):
    """Makes room for a `.1`."""
    os.rename(f"{log}.1", f"{log}.2")


def test_c7_a_rotated_log_that_is_being_compressed_is_not_read_twice(log):
    """The packed file is there before it is whole, beside the log that it is of."""
    log.write_bytes(BANNER + b"loss=1\n")
    packed = gzip.compress(log.read_bytes())

    def pack(count):
        with open(f"{log}.1.gz", "wb") as file:
            file.write(packed[:count])

    steps = [
        lambda: (rename(log), append(log, b"loss=2\n")),
        lambda: pack(0),
        lambda: pack(30),
        lambda: pack(len(packed) - 3),
        lambda: pack(None),
        lambda: os.unlink(f"{log}.1"),
    ]
    live = ms.follow(str(log), LOSS, until=acting(steps), poll=0.01, rotate_wait=5)
    assert sorted(values(live)) == [1, 2]


def test_f9_a_handle_that_the_system_gave_up_is_opened_again(log):
    """As when a network file system says that it is stale: no row lost, none twice."""
    log.write_bytes(b"loss=1\nlo")

    def give_up(live):
        (watch,) = live._watches
        (feed,) = watch.open_feeds()
        closed = os.open(
            log.parent, os.O_RDONLY
        )  # reading a directory fails as a stale handle does
        os.dup2(closed, feed._descriptor)
        os.close(closed)
        append(log, b"ss=2\n")

    steps = [give_up, lambda live: None, lambda live: append(log, b"loss=3\n")]

    def until(live):
        return not steps or steps.pop(0)(live) is not None

    live = ms.follow(str(log), LOSS, until=until, poll=0.01, rotate_wait=5)
    assert values(live) == [1, 2, 3]


def test_f2_a_rotated_log_that_gets_its_name_back(log):
    """It goes on where it was, also after it had ended."""
    log.write_bytes(b"loss=1\n")
    other = log.parent / "elsewhere"
    steps = [
        lambda: os.rename(log, other),
        lambda: None,
        lambda: (os.rename(other, log), append(log, b"loss=2\n")),
        lambda: append(log, b"loss=3\n"),
    ]
    for rotate_wait in (0, 5):
        live = ms.follow(str(log), LOSS, until=acting(steps), poll=0.01, rotate_wait=rotate_wait)
        assert values(live) == [1, 2, 3]
        log.write_bytes(b"loss=1\n")


def test_f3_copied_compressed_and_truncated_at_once(log):
    """The rest is in a packed copy; a line that was cut is not taken for a whole one."""
    log.write_bytes(BANNER + b"loss=1\n")

    def rotate():
        append(log, b"loss=2\nloss=0.1")
        with open(f"{log}.1.gz", "wb") as file:
            file.write(gzip.compress(log.read_bytes()))
        os.truncate(log, 0)

    live = follow(str(log), until=acting([rotate, lambda: append(log, b"25\nloss=3\n")]))
    assert sorted(values(live)) == [1, 2, 3]
    assert live.report.skipped == {"cut_off": 1}


def test_after_a_restart_each_rank_goes_on_with_its_own_values(log):
    """What the ranks of a log carry is part of the state, texts that do not fit included."""
    text = (
        b"Epoch 1\n[1,0]<stdout>:Epoch 2\n[1,1]<stdout>:Epoch 3\n[1,2]<stdout>:Epoch x\n",
        b"[1,1]<stdout>:loss=1\nloss=2\n[1,0]<stdout>:loss=3\n[1,2]<stdout>:loss=4\n",
    )
    options = {"context": {"epoch": r"Epoch (\w+)"}, "columns": ["value", "epoch", "rank"]}
    found, rejects = [], 0
    for part in text:
        append(log, part)
        live = follow(str(log), state=log.parent / "state", **options)
        found += rows(live)
        rejects += live.report.context[0].rejects["count"]
    assert found == rows(ms.scan(b"".join(text), LOSS, **options))
    assert [epoch for _, epoch, _ in found] == ["3", "1", "2", "None"]
    assert rejects == 1


def test_t1_a_year_that_is_missing_is_that_of_the_file(log):
    """As for a scan, also for what is read after a restart."""
    found = []
    for year, text in ((2023, "Dec 31 23:00:00 a loss=1\n"), (2024, "Jan  1 01:00:00 a loss=2\n")):
        append(log, text.encode())
        written = datetime.datetime(year, 12 if year == 2023 else 1, 31, 23, tzinfo=datetime.UTC)
        os.utime(log, (written.timestamp(), written.timestamp()))
        live = follow(str(log), state=log.parent / "state", columns=["timestamp", "value"])
        found += rows(live)
    assert found == rows(ms.scan(str(log), LOSS, columns=["timestamp", "value"]))
    assert "datetime.datetime(2023, 12, 31" in found[0][0]
    assert "datetime.datetime(2024, 1, 1" in found[1][0]


def test_rotations_without_a_rest_do_not_bring_old_generations_back(log, monkeypatch):
    """Of which only some are remembered, while the search for missed ones never ends."""
    monkeypatch.setattr("metricsieve.following._file_watch.KEPT_GENERATIONS", 3)
    written = []

    def rotate():
        for number in range(len(written), 0, -1):
            os.rename(f"{log}.{number}", f"{log}.{number + 1}")
        os.rename(log, f"{log}.1")
        written.append(len(written) + 0.5)
        log.write_bytes(b"loss=%a\n" % written[-1])

    def until(live):
        if len(written) < 60:
            rotate()
            return False
        return live.idle_seconds > 0.3

    log.write_bytes(b"")
    live = ms.follow(str(log), LOSS, until=until, poll=0.01, rotate_wait=0.05)
    assert sorted(values(live)) == written
