"""Context columns: what users write, what it means, what is refused, what is reported."""

import json
import pickle
import re

import metricsieve as ms
import oracle
import pyarrow as pa
import pytest
from program import run

LOSS = {"loss": r"loss=(\S+)"}
EPOCH = {"epoch": r"Epoch (\w+)"}
LOG = b"loss=1\nEpoch 1\nloss=2 Epoch 2\nloss=3\nEpoch x\nloss=4 Epoch y\nloss=5\n"


def column(table, name):
    """A column as a list."""
    return table[name].to_pylist()


def test_a_value_is_for_its_record_and_for_those_behind_it():
    """Null before the first; a text of another type is null in its record and not carried on."""
    found = ms.scan(LOG, LOSS, context=EPOCH)
    table = found.read_all()
    assert column(table, "value") == [1, 2, 3, 4, 5]
    assert column(table, "epoch") == [None, 2, 2, None, 2]
    assert table.schema.field("epoch").type == pa.int64()
    assert table.schema.metadata[b"metricsieve.step"] == b"epoch"
    (told,) = found.report.context
    assert (told.name, told.type, told.regexes, told.values) == (
        "epoch",
        "int64",
        [r"Epoch (\w+)"],
        3,
    )
    assert told.rejects == {
        "count": 2,
        "example": {"source": "<bytes:0>", "line": 5, "text": "x"},
    }
    assert found.report.warnings == [
        "context column 'epoch': 2 texts are no int64 (for example 'x' at <bytes:0>:5)"
    ]


def test_a_value_goes_to_earlier_points_of_its_record_too():
    """However the definitions are ordered, and for all matches."""
    definitions = [{"Name": "loss", "Regex": r"loss=(\d)", "Matches": "all"}]
    table = ms.scan(b"loss=1 loss=2 Epoch 7", definitions, context=EPOCH).read_all()
    assert column(table, "epoch") == [7, 7]


def test_the_next_source_begins_with_nothing():
    """A value is never carried from one log into another."""
    table = ms.scan([b"Epoch 1\nloss=1", b"loss=2"], LOSS, context=EPOCH).read_all()
    assert column(table, "epoch") == [1, None]


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("literal", [True, False])
def test_a_large_log_on_threads_is_what_python_reads(tmp_path, threads, literal):
    """Splits of a file wait for the value before them; a column without a literal is no other."""
    lines, step = [], 0
    for number in range(230_000):
        if number % 70_001 == 65_000:
            step += 1
            lines.append(f"{step} begins")
        lines.append("loss=0.5" if number % 1_000 == 3 else "a line of noise " * 5)
    text = "\n".join(lines)
    path = tmp_path / "large.log"
    path.write_text(text)
    assert path.stat().st_size > 17 << 20
    expected, value = [], None
    regex = r"^(\d+) begins" if literal else r"^(\d+)\s"
    for line in lines:
        if match := re.search(regex, line):
            value = int(match[1])
        expected += [value] if line == "loss=0.5" else []
    assert len(set(expected)) == 4
    table = ms.scan(path, LOSS, context={"step": regex}, threads=threads).read_all()
    assert column(table, "step") == expected


def test_a_text_is_carried_to_more_rows_than_a_batch_has_room_for(tmp_path):
    """A text of 100 KB for 3,000 rows: batches end early, nothing overflows."""
    path = tmp_path / "text.log"
    path.write_text("model " + "x" * 100_000 + "\n" + "loss=1\n" * 3_000)
    context = {"model": (r"model (x+)", "string")}
    sizes = []
    for batch in ms.scan(path, LOSS, context=context, threads=2):
        assert {len(text.as_py()) for text in batch.column("model")} == {100_000}
        sizes.append(batch.num_rows)
    assert sum(sizes) == 3_000
    assert max(sizes) < 1_500


@pytest.mark.parametrize(
    "given",
    [
        ("e=(.)", "string"),
        ["e=(.)", "string"],
        {"Regex": "e=(.)", "Type": "string"},
        {"regex": ["e=(.)"], "type": "string"},
    ],
)
def test_every_way_to_write_a_column_means_the_same(given):
    """A pair, a list as JSON has it, a mapping."""
    (made,) = ms.DefinitionSet(LOSS, context={"epoch": given}).context
    assert (made.name, made.regexes, made.type) == ("epoch", ("e=(.)",), "string")


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"epoch": r"Epoch \d+"}, r"context column 'epoch': the pattern has no capture group"),
        ({"epoch": r"Epoch (?P<n>\d)(\d)"}, r"'epoch': the group 'n' would be a label"),
        ({"epoch": r"(?=(\d+))"}, r"'epoch': .*lookahead"),
        ({"epoch": ("(.)", "int32")}, r"'epoch': the type is 'int32'[^?]*did you mean 'int64'\?"),
        ({"epoch": {"Regx": "(.)"}}, r"'epoch': unknown key 'Regx'[^?]*did you mean 'Regex'\?"),
        ({"epoch": 3}, "'epoch': expected a regex"),
        ({"epoch": []}, "'epoch': expected a regex"),
        ({"value": "(.)"}, "'value': another column of the result has that name"),
        ({"host": "(.)"}, "'host': another column"),
        ({"phase": "(.)"}, "'phase': another column"),
        ({"": "(.)"}, "the name of a context column is text, not ''"),
        ({3: "(.)"}, "the name of a context column is text, not 3"),
        (["epoch"], "Context must map column names"),
        ({f"c{number}": "(.)" for number in range(101)}, "more than 100 context columns"),
    ],
)
def test_what_is_wrong_with_a_column_is_told(context, message):
    """By its name, with what to do; in a set and in a scan."""
    definitions = {"loss": r"(?P<phase>\w+) loss=(\S+)"}
    for make in (ms.DefinitionSet, lambda *args, **kwargs: ms.scan(b"", *args, **kwargs)):
        with pytest.raises(ms.DefinitionError, match=f"(?s){message}"):
            make(definitions, context=context)


def test_a_definitions_file_brings_its_columns(tmp_path):
    """They are written and read back, pickled, and part of what tells two sets apart."""
    content = {
        "MetricDefinitions": [{"Name": "loss", "Regex": r"loss=(\S+)"}],
        "Context": {
            "epoch": r"Epoch (\w+)",
            "lr": {"Regex": ["lr=(.+)", "LR (.+)"], "Type": "float64"},
        },
    }
    for suffix in ("json", "yaml"):
        path = tmp_path / f"definitions.{suffix}"
        ms.DefinitionSet(content).dump(path)
        loaded = ms.DefinitionSet.load(path)
        assert loaded.to_content() == content
        assert loaded == ms.DefinitionSet(content) == pickle.loads(pickle.dumps(loaded))
    (tmp_path / "definitions.toml").write_text(
        "[[MetricDefinitions]]\nName='loss'\nRegex='loss=(\\S+)'\n[Context]\nepoch='Epoch (\\w+)'\n"
    )
    toml = ms.DefinitionSet.load(tmp_path / "definitions.toml")
    assert [column.name for column in toml.context] == ["epoch"]
    bare = ms.DefinitionSet(LOSS)
    assert loaded != bare
    assert len({one.fingerprint for one in (loaded, toml, bare)}) == 3
    assert hash(loaded) != hash(bare)
    assert loaded[:1].context == loaded.context
    table = ms.scan(b"LR 1e-3\nEpoch 2\nloss=1\nlr=2\nloss=3", loaded).read_all()
    assert column(table, "lr") == [0.001, 2]
    assert column(table, "epoch") == [2, 2]


def test_columns_of_joined_sets_take_the_patterns_of_both():
    """The first that matches a record tells; the type is one that both fit."""
    one = ms.DefinitionSet(LOSS, context={"epoch": r"Epoch (\d+)", "step": r"step (\d+)"})
    two = ms.DefinitionSet({"acc": r"acc=(\S+)"}, context={"epoch": (r"ep=([\d.]+)", "float64")})
    both = one + two
    assert both.context[0].to_value() == {
        "Regex": [r"Epoch (\d+)", r"ep=([\d.]+)"],
        "Type": "float64",
    }
    log = b"Epoch 1\nloss=1\nep=1.5\nacc=2\nEpoch 3 ep=2.5\nacc=3\n"
    assert column(ms.scan(log, both).read_all(), "epoch") == [1, 1.5, 3]


def test_a_scans_own_columns_come_over_those_of_the_definitions():
    """One of the same name replaces it; `columns` says which are looked for at all."""
    definitions = ms.DefinitionSet(LOSS, context={"epoch": r"Epoch (\d)", "step": r"(\d)st"})
    given = {"epoch": (r"E(\w+)", "string")}
    scanned = ms.scan(LOG, definitions, context=given)
    assert scanned.schema.names[-2:] == ["epoch", "step"]
    assert column(scanned.read_all(), "epoch")[:2] == [None, "poch"]
    assert scanned.report.warnings == ["context column 'step' has no value for any of 5 points"]
    narrow = ms.scan(LOG, definitions, columns=["value", "epoch"])
    assert narrow.read_all().column_names == ["value", "epoch"]
    assert [entry.name for entry in narrow.report.context] == ["epoch"]


def test_columns_that_a_preset_brings_may_stay_empty():
    """They are for all that a framework prints; one that was asked for is worth a warning."""
    preset = ms.DefinitionSet.preset("keras")
    line = b"1/1 - 13s - loss: 1.6177\n"
    silent = ms.scan(line, preset)
    assert column(silent.read_all(), "epoch") == [None]
    assert silent.report.warnings == []
    asked = ms.scan(line, preset, context={"epoch": r"Epoch (\d+)"})
    assert asked.read_all().num_rows == 1
    assert asked.report.warnings == ["context column 'epoch' has no value for any of 1 points"]


def test_a_record_that_is_too_long_tells_nothing():
    """It is skipped, and so is what it says."""
    log = b"Epoch 1\nEpoch 2 and more than forty bytes behind it\nloss=1\n"
    table = ms.scan(log, LOSS, context=EPOCH, max_record_bytes=40).read_all()
    assert column(table, "epoch") == [1]


@pytest.mark.parametrize("kind", ["int64", "float64", "string"])
def test_a_text_is_read_as_its_type_says(kind):
    """Trimmed as values are; what does not fit is a null."""
    texts = ["7", " +7, ", "'3'", "2.5", "1e3", "nan", "-", "", "9223372036854775807", "1" * 20]
    texts += ["((( 5 )))", "((((5))))", "12%", "0x1f", "inf", "1e400", "١"]
    log = "".join(f"v<{text}> loss=1\n" for text in texts).encode()
    context = {"v": ("v<(.*)>", kind)}
    rows, _ = oracle.scan(log, [{"Name": "loss", "Regex": r"loss=(\S+)"}], context=context)
    expected = [row.context["v"] for row in rows]
    assert any(value is None for value in expected) == (kind != "string")
    found = column(ms.scan(log, LOSS, context=context).read_all(), "v")
    assert [repr(value) for value in found] == [repr(value) for value in expected]


def test_the_command_takes_columns_and_definitions_files_with_some(tmp_path):
    """`-c` with and without a type; a summary that names what has no value."""
    (tmp_path / "a.log").write_bytes(b"lr=0.5\n" + LOG)
    definitions = tmp_path / "d.json"
    ms.DefinitionSet(LOSS, context={"epoch": r"Epoch (\d+)"}).dump(definitions)
    extra = ["-c", "lr:float64=lr=(.+)", "-c", "none=nothing (.)"]
    done = run("scan", "a.log", "-d", str(definitions), *extra, cwd=tmp_path)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["epoch"] for row in rows] == [None, 2, 2, 2, 2]
    assert {row["lr"] for row in rows} == {0.5}
    assert "context column 'none' has no value for any of 5 points" in done.stderr
    wrong = run("scan", "a.log", "-d", str(definitions), "-c", "x:int=(.)", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "neither NAME=REGEX nor NAME:TYPE=REGEX" in wrong.stderr
    checked = tmp_path / "wrong.json"
    checked.write_text('{"MetricDefinitions": [], "Context": {"epoch": "e"}}')
    told = run("check", str(checked), cwd=tmp_path)
    assert told.returncode == 1
    assert "context column 'epoch'\n    e\n    ^\n" in told.stdout
    assert "error[no-group]: the pattern has no capture group" in told.stdout
