"""Suggestions against definitions that were written by hand for the same logs."""

import json
import subprocess
import sys
from pathlib import Path

import metricsieve as ms
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
LOGS = sorted((EXAMPLES / "logs").glob("*.log"))
# Not a number of its own: the last loss of an epoch's bar.
OTHER = {"keras:epoch_loss"}


def series(log, definitions):
    """The values of each definition, in the order of the log."""
    found = {}
    for row in ms.scan(log, definitions).read_all().to_pylist():
        found.setdefault(row["metric"], []).append(row["value"])
    return found


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.name)
def test_what_people_look_for_is_found(log):
    """Each series that varies is that of a suggestion, value for value."""
    wanted = series(log, ms.DefinitionSet.load(EXAMPLES / "definitions.json"))
    suggested = [one.definition for one in ms.suggest(log, limit=40)]
    found = list(series(log, suggested).values())
    varying = {name: values for name, values in wanted.items() if len(set(values)) > 1}
    assert varying
    missing = {name for name, values in varying.items() if values not in found} - OTHER
    assert missing == set()


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.name)
def test_suggestions_are_sane(log):
    """They pass the linter, vary or stand there once, and their samples stand in the log."""
    found = ms.suggest(log)
    definitions = ms.DefinitionSet(one.definition for one in found)
    assert [str(one) for one in definitions.check() if one.severity != "info"] == []
    values = series(log, definitions)
    for one in found:
        assert len(values[one.definition.name]) == one.points
        assert set(one.samples) <= set(values[one.definition.name])
        assert one.points == 1 or len(set(values[one.definition.name])) > 1


LINES = [
    "key=value {n} loss={v} done",
    "loss: {v}, n {n}",
    "{{'loss': {v}, 'epoch': 1}}",
    '{{"a": "b", "loss": {v}}}',
    "10%|#   | 1/10 [00:01<00:09, loss={v}, v_num=3]",
    "[{n}]\ttrain-loss:{v}\tx",
    "#quality_metric: host=algo-1, epoch={n}, train loss <loss>={v}",
    "Step {n} - Loss = {v}",
    "avg loss {v} after",
]


@pytest.mark.parametrize("line", LINES)
def test_ways_to_write_a_number(line):
    """Whatever joins name and number."""
    values = [2.5, 1.25, 4.67e-05]
    log = "".join(line.format(n=n, v=v) + "\n" for n, v in enumerate(values)).encode()
    best = ms.suggest(log)[0]
    assert "loss" in best.definition.name.lower()
    assert series(log, [best.definition])[best.definition.name] == values


def test_phases_in_front_are_told_apart():
    """The same words for training and for test, in other lines."""
    log = b"Train Loss: 0.5\nTest Loss: 0.75\nTrain Loss: 0.25\nTest Loss: 0.625\n"
    found = {one.definition.name: one.definition for one in ms.suggest(log)}
    values = series(log, list(found.values()))
    assert [0.5, 0.25] in values.values()
    assert [0.75, 0.625] in values.values()


def test_what_does_not_vary_is_no_metric():
    """Settings, places in code."""
    log = b"lr=0.1 hook.py:12\nlr=0.1 hook.py:15\n"
    assert ms.suggest(log) == []
    with pytest.raises(TypeError, match="stream"):
        ms.suggest(iter([log]))


def test_the_command_writes_a_definitions_file(tmp_path):
    """In a pipe; what is written can be loaded and finds the numbers."""
    log = tmp_path / "train.log"
    log.write_text("loss=0.5\nloss=0.25\n")
    command = [sys.executable, "-m", "metricsieve", "suggest", str(log)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    path = tmp_path / "definitions.json"
    path.write_text(done.stdout)
    assert series(log, ms.DefinitionSet.load(path)) == {"loss": [0.5, 0.25]}
    log.write_text("nothing\n")
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, json.loads(done.stdout)) == (1, [])
