"""The linter against Python's `re`: what a finding claims of a pattern can be seen to happen."""

import json
import re
from pathlib import Path

import metricsieve as ms
import pytest
import strategies
from hypothesis import HealthCheck, given, settings
from metricsieve.checks import CODES
from test_corpus import CORPUS, read_lines

pytestmark = pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")

DATA = Path(__file__).parent / "data"

# A pattern, the code that it must get, and a line with what `re` captures from it: the defect.
DEFECTS = [
    ("loss:(.*?)", "group-always-empty", "loss:0.5", ""),
    (r"F1=(.*?)", "group-always-empty", "F1=0.93 ", ""),
    (r"Test loss: ([0-9.]*?)", "group-always-empty", "Test loss: 0.5", ""),
    (r"(')?test_loss(')?:([0-9.]+)", "group-holds-no-number", "test_loss:0.5", None),
    (r"'loss': ([0-9.]*)", "group-may-be-empty", "'loss': '0.5'", ""),
    (r"(?:x=([0-9]*))", "group-may-be-empty", "x=auto", ""),
    (r"'learning_rate': ([0-9.]+)", "no-exponent", "'learning_rate': 4.67e-05", "4.67"),
    (r"'loss': ([0-9]+(.|e\-)[0-9]+),?", "no-exponent", "'loss': 1.5e-05", "1.5"),
    (r"lr=(\d+\.\d+)", "no-exponent", "lr=1.5e-05", "1.5"),
    (r"'loss': ([0-9]+(.|e\-)[0-9]+),?", "some-integers-only", "'loss': 123", "123"),
    (r"'loss': ([0-9]+(.|e\-)[0-9]+),?", "unescaped-dot", "'loss': 1,234", "1,234"),
    (r"Reward: ([0-9]*.[0-9]*)", "unescaped-dot", "Reward: 1x5", "1x5"),
    (r"IoU=0.5: ([-+0-9.e]+)", "unescaped-dot", "IoU=0x5: 1.0", "1.0"),
    (r"mse:(\S+)", "catch-all", "mse:0.5,loss:3", "0.5,loss:3"),
    (r"score (.*)", "catch-all", "score 0.5,x", "0.5,x"),
    (r"#011train-error:(\S+).*", "catch-all", "\ttrain-error:0.5,x", "0.5,x"),
    (r"loss: ([-+0-9.e]+)", "part-of-longer-name", "val_loss: 0.5", "0.5"),
    (r"mse:([-+0-9.e]+)", "part-of-longer-name", "rmse:0.5", "0.5"),
    (r".*loss:\s([-+0-9.e]+)", "part-of-longer-name", "val_loss: 0.5", "0.5"),
    (r".*loss=([-+0-9.e]+)", "needless-ends", "loss=1 loss=2", "2"),
    (r"loss=([-+0-9.e]+)\s*", "needless-ends", "loss=1", "1"),
    (r"loss=([-+0-9.e]+);.*$", "needless-ends", "loss=1;", "1"),
    (r"x=(\d+)", "no-decimal-point", "x=0.5", "0"),
    (r"loss=([0-9.]+)", "no-sign", "loss=-0.5", None),
    (r"loss=\\d(\S+)", "doubled-backslash", "loss=15", None),
    (r"loss=([0-9\\.]+)", "doubled-backslash", "loss=1\\5", "1\\5"),
    ("loss=\n(\\S+)", "never-in-text", "loss=0.5", None),
    (r"\[J1\s+(\d\.\d+)", "never-in-text", "1 0.5", None),
    (r"\x1b\[32mloss=(\S+)", "never-in-text", "loss=0.5", None),
    (r"#015loss=(\S+)", "never-in-text", "loss=0.5", None),
    (r"^Training>.*loss=(\S+)", "anchored", "[1,0]<stdout>: Training> loss=1", None),
    (r"'loss': ([-+0-9.e]+)", "quoted-number", "'loss': '0.5'", None),
    (r"r: ([-+]?[0-9]+([eE][0-9]+)?)", "unused-group", "r: 1e5", "1e5"),
    (r"^(\d+\.\d+)$", "no-literal", "0.5", "0.5"),
    (r"[[:alpha:]]=(\S+)", "suspicious-syntax", "a=1", None),
    (r"x=(?:a*)*(\S+)", "engine-difference", "x=1", "1"),
]
GOOD = [
    r"'loss': '?([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)",
    r"\[[0-9]+\].*#011train-error:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)",
    r"GAN_loss=(.*?);",
    r"func:transform latency: ([0-9.e+\-]+)",
    r"#quality_metric: host=algo-1, train rmse <loss>=([-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|nan|inf))",
    r"Accuracy: [0-9]+/[0-9]+ \((.*?)%\)",
    r"train step count: (\d+)",
]


def codes(regex, name="metric", **options):
    """The codes of a pattern's findings."""
    return {one.code for one in ms.DefinitionSet({name: regex}).check(**options)}


def as_text(regex):
    """The pattern as Python's `re` takes it on plain text."""
    return re.sub(r"\\?#011", r"\\t", regex)


@pytest.mark.parametrize("regex, code, line, captured", DEFECTS)
def test_a_defect_is_found_and_happens(regex, code, line, captured):
    """Each line shows what the finding says, by Python's own engine."""
    found = re.search(as_text(regex), line)
    group = found.group(1) if found else None
    assert group == captured, "the table is wrong"
    assert code in codes(regex)


@pytest.mark.parametrize("regex", GOOD)
def test_good_patterns_get_no_warning(regex):
    """At most hints of no consequence."""
    found = ms.DefinitionSet({"metric": regex}).check()
    assert [str(one) for one in found if one.severity != "info"] == []


@pytest.mark.parametrize("regex, code, line, captured", DEFECTS)
def test_a_suggestion_reads_the_numbers(regex, code, line, captured):
    """By Python's `re`, where the original found a number or the front of one."""
    place = re.search(as_text(regex), line)
    for one in ms.DefinitionSet({"metric": regex}).check():
        if one.suggestion is None:
            continue
        assert one.code not in codes(one.suggestion)
        if place is None or captured is None or line == "loss=1 loss=2":
            continue  # of the latter the suggestion reads the first, as it says
        rest = re.sub(r"\A[-+0-9.eE]*", "", line[place.start(1) :])
        for number in ("0.5", "4.67e-05", "-0.5", "12"):
            text = line[: place.start(1)] + number + rest
            assert re.search(as_text(one.suggestion), text).group(1) == number


def test_the_span_is_where_the_defect_stands():
    """The caret is under the class, not under the whole pattern."""
    (one,) = (
        one
        for one in ms.DefinitionSet({"lr": r"'lr': ([0-9.]+),"}).check()
        if one.code == "no-exponent"
    )
    assert one.pattern[slice(*one.span)] == "[0-9.]+"
    lines = str(one).splitlines()
    assert lines[2].index("^") == lines[1].index("[0-9.]+")


def test_what_is_ignored_is_not_told():
    """`Ignore` names codes."""
    definition = {"Name": "x", "Regex": "x=([0-9.]+)", "Ignore": ["no-exponent", "no-sign"]}
    assert ms.DefinitionSet([definition]).check() == []


def test_names_and_neighbours():
    """What shows only in a list: slips of copying, one name inside another."""
    number = r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)"
    found = ms.DefinitionSet(
        {
            "validation:cox": rf"\ttrain-cox:{number}",
            "some": rf"reward_a: {number}",
            "other": rf"total_reward_a: {number}",
            "same": rf"total_reward_a: {number}",
        }
    ).check()
    assert [(one.code, one.index) for one in found] == [
        ("name-contradicts-pattern", 0),
        ("part-of-longer-name", 1),
        ("same-pattern", 3),
    ]


def test_sagemakers_limits():
    """At most 40 definitions, 255 characters of a name, 500 of a regex."""
    long_regex = {"Name": "n" * 256, "Regex": f"x{'y' * 500}=(.*);"}
    many = [long_regex] + [{"Name": f"m{i}", "Regex": f"m{i}=(.*);"} for i in range(40)]
    found = ms.DefinitionSet(many).check(sagemaker=True)
    assert [one.index for one in found if one.code == "sagemaker-limit"] == [None, 0, 0]
    assert "sagemaker-limit" not in {one.code for one in ms.DefinitionSet(many).check()}


def test_examples_are_run():
    """An example is a test of its definition."""
    examples = [
        {"line": "loss=0.5", "value": 0.5},
        {"line": "loss=nan", "value": "nan"},
        {"line": "loss=auto", "value": None},
        {"line": "loss=4e-05", "value": 4e-05},
        {"line": "cost=1", "value": None},
    ]
    definition = {"Name": "loss", "Regex": r"loss=(nan|[0-9.]+)", "Examples": examples}
    found = ms.DefinitionSet([definition]).check()
    messages = [one.message for one in found if one.code == "example-fails"]
    assert messages == ["the example 'loss=4e-05' gives 4.0, not 4e-05"]


@pytest.mark.parametrize(
    "regex",
    [
        r"(?:a?){40}a{40}=([0-9.]+);",
        r"(x+x+)+y=([0-9.]+);",
        r"a{60000}=([0-9.]+)",
        r"(a|b|ab)*c(\d)",
    ],
)
def test_patterns_that_hang_backtracking_engines_are_checked(regex):
    """Numbers are tried by the engine, in linear time; too long surroundings are left out."""
    ms.DefinitionSet({"metric": regex}).check()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(strategies.cases())
def test_whatever_can_be_used_can_be_checked(case):
    """No pattern that the engine takes is too odd; what is suggested lacks what it was for."""
    for one in ms.DefinitionSet(case.definitions).check():
        if one.suggestion:
            assert one.code not in codes(one.suggestion)


def verdicts():
    """Definitions of the corpus that were judged by hand before there was a linter."""
    return json.loads((DATA / "check_verdicts.json").read_text())


# The codes that name a defect of the verdicts.
MEANING = {
    "always-empty": {"group-always-empty"},
    "maybe-empty": {"group-may-be-empty"},
    "no-exponent": {"no-exponent"},
    "no-sign": {"no-sign"},
    "no-integer": {"some-integers-only"},
    "unescaped-dot": {"unescaped-dot"},
    "catch-all": {"catch-all"},
    "inner-group": {"unused-group"},
    "inside-longer-name": {"part-of-longer-name"},
    "needless-ends": {"needless-ends"},
    "never-in-text": {"never-in-text"},
    "quoted-number": {"quoted-number"},
}


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is no part of the repository")
def test_forty_real_definitions_are_judged_as_by_hand():
    """No defect missed, at most two false alarms."""
    known = {one["id"]: one for one in read_lines("definitions.jsonl")}
    missed, false = [], []
    for number, verdict in verdicts()["verdicts"].items():
        one = known[int(number)]
        found = codes(one["regex"], one["name"])
        missed += [(number, kind) for kind in verdict["defects"] if not MEANING[kind] & found]
        right = {*verdict["defects"], *verdict["allowed"]} & MEANING.keys()
        true = set().union(*(MEANING[kind] for kind in right))
        false += [(number, code) for code in found - true]
    assert missed == []
    assert len(false) <= 2, false


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is no part of the repository")
def test_suggestions_find_in_real_logs_what_the_originals_found():
    """The same records at least, and the same values where they were not cut short."""
    suggested = {}
    for one in read_lines("definitions.jsonl"):
        for finding in ms.DefinitionSet({one["name"]: one["regex"]}).check():
            if finding.suggestion:
                suggested[one["regex"]] = finding.suggestion
    assert len(suggested) > 100
    regexes = list(suggested)
    columns = ["definition", "offset", "value", "text"]
    compared, cut = 0, 0
    for log in sorted(CORPUS.glob("logs/*.log")):
        both = []
        for patterns in (regexes, suggested.values()):
            listed = [{"Name": str(n), "Regex": one} for n, one in enumerate(patterns)]
            found = ms.scan(log, listed, columns=columns, on_reject="null").read_all().to_pylist()
            both.append({(row["definition"], row["offset"]): row for row in found})
        old, new = both
        assert old.keys() <= new.keys(), log
        for place, row in old.items():
            compared += 1
            if row["value"] is not None and row["value"] != new[place]["value"]:
                cut += 1
                # Exponents were lost, or skipped over to a number without one.
                assert "e" in new[place]["text"], (regexes[place[0]], row, new[place])
    assert compared > 10_000
    assert cut > 0


def test_every_code_is_tested_and_explained():
    """A code that no test provokes may be dead; one without a line in the docs is no help."""
    here = Path(__file__).parent
    tests = "".join((here / name).read_text() for name in ("test_check.py", "test_check_cli.py"))
    manual = (here.parent / "docs" / "checks.md").read_text()
    assert [code for code in CODES if f'"{code}"' not in tests] == []
    assert [code for code in CODES if f"| `{code}` |" not in manual] == []
