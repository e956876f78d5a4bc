"""The command `check`: files of all kinds, outputs for people and programs, exit codes."""

import json
import re

import pytest
from program import run

BAD = [
    {"Name": "loss", "Regex": r"'loss': ([0-9.]+)"},
    {"Name": "empty", "Regex": r"Loss: (.*?)"},
]


def check(*arguments):
    """Runs the command."""
    return run("check", *arguments)


def findings(*arguments):
    """What `--format json` tells."""
    return json.loads(check("--format", "json", *arguments).stdout)["findings"]


@pytest.fixture
def definitions(tmp_path):
    """A file of two bad definitions, one on each of the lines 2 and 3."""
    path = tmp_path / "definitions.json"
    path.write_text("[\n" + ",\n".join(json.dumps(one) for one in BAD) + "\n]\n")
    return path


def test_text_names_file_line_and_remedy(definitions):
    """What a person needs is in the paragraph of the definition."""
    done = check(definitions)
    assert done.returncode == 1
    assert done.stderr == ""
    first, second, total = done.stdout.strip().split("\n\n")
    assert first.startswith(f"{definitions}:2 'loss'\n")
    assert "warning[no-exponent]" in first
    assert "try: 'loss': '?(" in first
    assert second.startswith(f"{definitions}:3 'empty'\n")
    assert "error[group-always-empty]" in second
    assert total.startswith("2 definitions: 1 error, ")


@pytest.mark.parametrize(
    "regex, fail_on, code",
    [
        (r"mAP=([0-9.]+);", "error", 0),
        (r"mAP=([0-9.]+);", "warning", 1),
        (r"mAP=(.*?);", "info", 0),
        (r"mAP=(.*?)", "error", 1),
        (r"mAP=(", "error", 1),
    ],
)
def test_fail_on_decides_the_exit_code(regex, fail_on, code):
    """CI chooses how strict it is."""
    assert check("-m", f"x={regex}", "--fail-on", fail_on).returncode == code


def test_refused_definitions_are_findings_beside_the_others(tmp_path):
    """One that cannot be used hides nothing of its neighbours."""
    path = tmp_path / "d.json"
    items = [
        *BAD,
        {"Name": "broken", "Regex": "loss=(["},
        {"Name": "behind", "Regex": r"(?<=loss=)(\d+)"},
        {"Name": "none", "Regex": "loss=[0-9.]+"},
        {"Name": 3, "Regex": "(a)"},
    ]
    path.write_text(json.dumps(items))
    found = {(one["index"], one["code"]) for one in findings(path) if one["severity"] == "error"}
    assert found == {
        (1, "group-always-empty"),
        (2, "invalid-pattern"),
        (3, "needs-backtracking"),
        (4, "no-group"),
        (5, "invalid-definition"),
    }


def test_dummies_of_job_descriptions_are_told_of(tmp_path):
    """AWS's samples submit patterns without a group; such a job is no error."""
    path = tmp_path / "job.json"
    dummy = {"Name": "base_metric", "Regex": "<><><><><><>"}
    good = {"Name": "loss", "Regex": "my_loss=(.*?);"}
    job = {"AlgorithmSpecification": {"MetricDefinitions": [dummy, good]}}
    path.write_text(json.dumps(job))
    done = check(path, "--fail-on", "warning")
    assert (done.returncode, done.stderr) == (0, "")
    assert [(one["index"], one["code"]) for one in findings(path)] == [(0, "skipped")]


CODE = r"""
from sagemaker.estimator import Estimator
definitions = [
    {"Name": "loss", "Regex": r"'loss': ([0-9.]+)"},
    {"Name": "joined", "Regex": "epoch: "
                                r"(.*?)"},
    {"Name": "at run time", "Regex": pattern},
]
Estimator(metric_definitions=definitions)
one = MetricDefinition(name="single", regex="Loss: (.*?)")
"""


def test_python_files_are_read_not_run(tmp_path):
    """The literals, with their lines."""
    path = tmp_path / "train.py"
    path.write_text(CODE + "raise SystemExit(3)\n")
    found = findings(path)
    assert {(one["name"], one["line"]) for one in found} == {
        ("loss", 4),
        ("joined", 5),
        ("single", 10),
    }


def test_notebooks_are_read_by_cells(tmp_path):
    """Magics, and cells that are no Python, are no obstacle."""
    cells = [
        {"cell_type": "markdown", "source": ["# Training"]},
        {"cell_type": "code", "source": ["%%bash\n", "ls -l {\n"]},
        {"cell_type": "code", "source": ["!pip install x\n", *CODE.splitlines(keepends=True)]},
    ]
    path = tmp_path / "train.ipynb"
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}))
    found = findings(path)
    assert {(one["name"], one["cell"], one["line"]) for one in found} == {
        ("loss", "cell 3", 5),
        ("joined", "cell 3", 6),
        ("single", "cell 3", 11),
    }


def test_sarif_points_at_the_line(definitions):
    """What code scanning services read: rules, levels, places."""
    log = json.loads(check("--format", "sarif", definitions).stdout)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert {result["ruleId"] for result in run["results"]} <= rules
    places = {
        (
            result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            result["locations"][0]["physicalLocation"]["region"]["startLine"],
            result["level"],
        )
        for result in run["results"]
        if result["ruleId"] in ("no-exponent", "group-always-empty")
    }
    assert places == {(str(definitions), 2, "warning"), (str(definitions), 3, "error")}


def test_against_tries_definitions_on_logs(tmp_path):
    """Counts, first and last are those of `re`, line by line; what is cut short is told."""
    log = tmp_path / "train.log"
    lines = [f"step {n} lr=1.5e-0{n} loss={n}.25, x" for n in range(1, 6)] + ["loss=high, x"]
    log.write_text("\n".join(lines) + "\n")
    patterns = {"lr": r"lr=([0-9.]+)", "loss": r"loss=(\S+),", "acc": r"acc=(\S+),"}
    given = [part for name, regex in patterns.items() for part in ("-m", f"{name}={regex}")]
    told = json.loads(check("--format", "json", "--against", log, *given).stdout)
    for trial in told["against"]:
        found = [
            (n, m)
            for n, line in enumerate(lines, 1)
            if (m := re.search(patterns[trial["definition"]], line))
        ]
        assert trial["points"] + sum(trial["rejects"].values()) == len(found)
        for end, which in (("first", 0), ("last", -1)):
            if found:
                number, match = found[which]
                assert trial[end]["line"] == number
                assert trial[end]["record"] == lines[number - 1]
                assert tuple(trial[end]["span"]) == match.span(1)
            else:
                assert trial[end] is None
    codes = {(one["name"], one["code"]) for one in told["findings"]}
    assert {("lr", "cut-short"), ("loss", "rejected"), ("acc", "no-match")} <= codes
    text = check("--against", log, *given).stdout
    assert "'lr': 5 points, 5 cut short" in text
    assert f"first: {log}:1" in text


def test_against_looks_at_raw_text_too(tmp_path):
    """A pattern for the characters that are taken out finds nothing, and is told why."""
    log = tmp_path / "train.log"
    log.write_bytes(b"\x1b[32mloss=0.5\n")
    told = findings("--against", log, "-m", r"loss=\[32mloss=(\S+);?")
    (one,) = [one for one in told if one["code"] == "no-match"]
    assert "but 1 times in the text with its control characters" in one["message"]


@pytest.mark.parametrize(
    "content, name, part",
    [
        ("x = 1\n", "train.py", "no definition in this code"),
        ("x = (\n", "train.py", "train.py:1"),
        ("[]", "train.ipynb", "not a notebook"),
        ('{"a": 1', "d.json", "d.json"),
    ],
)
def test_files_that_cannot_be_understood(tmp_path, content, name, part):
    """An error with the file, and the exit code of bad definitions."""
    path = tmp_path / name
    path.write_text(content)
    done = check(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert part in done.stderr


def test_usage():
    """Nothing to check, unknown choices, a file that is not there."""
    assert "name files" in check().stderr
    assert "info, warning, error" in check("-m", "x=(a)", "--fail-on", "never").stderr
    missing = check("no-such-file.json")
    assert missing.returncode == 3
    assert "no-such-file.json" in missing.stderr
