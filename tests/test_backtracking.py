"""Lookaround, back-references and their kin, on request: rows equal those of Python's `re`."""

import metricsieve as ms
import pytest
from comparison import assert_equal

LOG = b"""\
step 1 val_loss=0.5 loss=0.25
loss=4e-05; loss=1
[7] #011a=1 a=1 b=2 a=3
<x>5</x> <y>6</z>
"0.5" '0.25" '0.75'
aaab aaa 12 abcabc 3
loss:\xff0.5 \x1b[32mval_loss=9\x1b[0m loss=8
lr=1e-3 LR=2 lr=
"""

PATTERNS = [
    r"(?<!val_)loss=([^ ;]+)",
    r"(?<=\bloss=)([^ ;]+)",
    r"loss=(?!0)([^ ;]+)",
    r"(?=.*loss=0)(?:val_)?loss=([^ ]+)",
    r"(?<![a-z_])(?:loss|lr)[=:](\S*)",
    r"<(\w)>(?P<value>\d+)</\1>",
    r"<(?P<tag>\w)>(?P<value>\d+)</(?P=tag)>",
    r"(['\"])(?P<value>[0-9.]+)\1",
    r"(?i)(l)r=(?P<value>\S+).*\1",
    r"(?>a+)b? *(\d*)",
    r"a++ (\d+)",
    r"(a)?(?(1)a+|b)(?P<value>.)",
    r"(?<=\t)(?:a=(\d))",
    r"(abc)\1 (?P<value>\d)",
    r"x{0}(?=\d)(\d)",
    r"(?=(\d+))\d",
    r"(?!)(\d)",
]


@pytest.mark.parametrize("matches", ["first", "last", "all"])
@pytest.mark.parametrize("regex", PATTERNS)
def test_rows_equal_res(regex, matches):
    """One definition at a time, in every way to match."""
    definition = {"Name": "x", "Regex": regex, "Matches": matches, "Engine": "backtracking"}
    _, report = assert_equal(LOG, [definition])
    assert report.matched or regex == "(?!)(\\d)"


def test_together_with_linear_ones():
    """Beside definitions with literals and without, on all threads."""
    listed = [
        {"Name": str(number), "Regex": regex, "Engine": "backtracking"}
        for number, regex in enumerate(PATTERNS)
    ]
    listed += [{"Name": "loss", "Regex": r"loss=(\S+)"}, {"Name": "n", "Regex": r"(\d+)"}]
    assert_equal(LOG * 50, listed)


@pytest.mark.parametrize(
    "regex, part",
    [
        (r"(?<=a+)(b)", "fixed width"),
        (r"(?<=a|bc)(b)", "fixed width"),
        (r"(a)\2", "invalid group reference"),
        (r"(?t)(a)", "template flag"),
    ],
)
def test_what_python_refuses_is_refused(regex, part):
    """With the reason, whatever the engine."""
    for engine in ("linear", "backtracking"):
        with pytest.raises(ms.DefinitionError, match=part):
            ms.DefinitionSet([{"Name": "x", "Regex": regex, "Engine": engine}])


def test_several_matches_must_not_be_empty():
    """What comes behind an empty match is more than this engine can be asked."""
    definition = {"Name": "x", "Regex": r"(?=(a))", "Matches": "all", "Engine": "backtracking"}
    with pytest.raises(ms.DefinitionError, match="can be empty"):
        ms.scan(b"a", [definition])


def test_a_search_that_goes_back_too_often_is_counted():
    """Not a hang, and not a wrong row: over budget, as the report says."""
    definition = {"Name": "x", "Regex": r"^(\w+\s?)*\1$", "Engine": "backtracking"}
    log = b"aa\n" + b"word " * 12 + b"!\nbb\n"
    done = ms.scan(log, [definition], on_reject="null")
    assert done.read_all().num_rows == 2
    (entry,) = done.report.definitions
    assert entry.over_budget["count"] == 1


def test_the_error_names_the_remedy_and_tools_cope():
    """Without Engine the hint tells of it; check, explain and strategies take such definitions."""
    with pytest.raises(ms.DefinitionError, match="Engine: backtracking"):
        ms.DefinitionSet({"x": r"(?<!val_)loss=(\S+)"})
    examples = [{"line": "val_loss=1 loss=2", "value": 3}]
    definition = {"Name": "x", "Regex": PATTERNS[0], "Engine": "backtracking", "Examples": examples}
    definitions = ms.DefinitionSet([definition])
    assert [one.code for one in definitions.check()] == ["example-fails", "no-literal"]
    assert definitions.strategies()[0]["engine"] == "backtracking"
    told = ms.explain(definition, b"val_loss=1\n")
    assert (told.points, told.records, told.remedies) == (0, 1, [])
