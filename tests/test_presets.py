"""Presets: every example gives its values, by the engine and by Python's `re`."""

import math
import re
from collections import defaultdict

import metricsieve as ms
import pytest
from metricsieve import presets
from test_corpus import CORPUS, read_lines

ALL = [presets.load(name) for name in presets.names()]
EXAMPLES = [
    pytest.param(preset, line, wanted, id=f"{preset.name}-{number}")
    for preset in ALL
    for number, (line, wanted) in enumerate(preset.examples)
]


def by_python(definitions, line):
    """What `re.search` finds: name -> value, the first definition of a name that matches."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", line.replace("#011", "\t"))
    found = {}
    for one in definitions:
        match = re.search(one["Regex"].replace("#011", r"\t"), text)
        if match:
            found.setdefault(one["Name"], float(match.group(1)))
    return found


def same(left, right):
    """NaN equals itself here."""
    return left == right or (math.isnan(left) and math.isnan(right))


@pytest.mark.parametrize("preset, line, wanted", EXAMPLES)
def test_an_example_gives_its_values(preset, line, wanted):
    """All that the example names, and what else is found is what `re` finds."""
    table = ms.scan(line.encode(), preset.definitions).read_all().to_pylist()
    found = {}
    for row in table:
        found.setdefault(row["metric"], row["value"])
    for name, value in wanted.items():
        assert name in found, f"{name} is not found; found {found}"
        assert same(found[name], value), (name, found[name])
    expected = by_python(preset.definitions, line)
    assert found.keys() == expected.keys()
    assert all(same(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.name)
def test_a_preset_passes_the_linter_and_fits_sagemaker(preset):
    """No warning; names and patterns within SageMaker's lengths."""
    definitions = ms.DefinitionSet(preset.definitions)
    worth = [one for one in definitions.check() if one.severity != "info"]
    assert [(one.code, one.name, one.pattern) for one in worth] == []
    assert all(len(one.regex) <= 500 and len(one.name) <= 255 for one in definitions)


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.name)
def test_context_columns_are_told_by_the_examples(preset):
    """Each by at least one line, and by all as `re` finds it."""
    read = {"int64": int, "float64": float, "string": str}
    record = ms.DefinitionSet({"any": "(.?)"}, context=preset.context)
    told = set()
    for line, wanted in [*preset.examples, *preset.context_examples]:
        (row,) = ms.scan(line.encode(), record, on_reject="null").read_all().to_pylist()
        text = re.sub(r"\x1b\[[0-9;]*m", "", line.replace("#011", "\t"))
        for column in record.context:
            found = re.search(column.regexes[0], text)
            assert row[column.name] == (read[column.type](found.group(1)) if found else None)
            told |= {column.name} if found else set()
        if (line, wanted) in preset.context_examples:
            assert {name: row[name] for name in wanted} == wanted
    assert told == {column.name for column in record.context}


def test_an_unknown_name_gets_a_suggestion():
    """As everywhere."""
    with pytest.raises(ValueError, match="did you mean 'xgboost'"):
        presets.load("xgbost")


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is no part of the repository")
def test_real_logs_are_recognised():
    """In nine of ten logs where somebody's definitions find something, a preset does too."""
    known = {one["id"]: one for one in read_lines("definitions.jsonl")}
    paired = defaultdict(set)
    for pair in read_lines("pairs.jsonl"):
        paired[pair["log"]] |= set(pair["definition_ids"]) & known.keys()
    found, missed = [], []
    for log, ids in sorted(paired.items()):
        definitions = [
            {"Name": f"{one} {known[one]['name']}", "Regex": known[one]["regex"]} for one in ids
        ]
        if ms.scan(CORPUS / log, definitions).read_all().num_rows:
            (found if presets.detect(CORPUS / log) else missed).append(log)
    assert len(found) > 50
    assert len(found) >= 0.9 * len(found + missed), missed
