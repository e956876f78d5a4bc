"""DefinitionSet and MetricDefinition: what is accepted, what is refused, and how it is said."""

import json
import pickle
import textwrap
import warnings

import metricsieve as ms
import pytest
from metricsieve.exceptions import DefinitionProblem

LOSS = {"Name": "train:loss", "Regex": r"loss=([0-9.]+)"}
JOB = {"AlgorithmSpecification": {"TrainingImage": "i", "MetricDefinitions": [LOSS]}}


def problems(*definitions):
    with pytest.raises(ms.DefinitionError) as caught:
        ms.DefinitionSet(definitions)
    return caught.value.errors


@pytest.mark.parametrize(
    "given",
    [
        [LOSS],
        [{"name": "train:loss", "regex": r"loss=([0-9.]+)"}],
        {"train:loss": r"loss=([0-9.]+)"},
        [ms.MetricDefinition("train:loss", r"loss=([0-9.]+)")],
        {"MetricDefinitions": [LOSS]},
        {"metric_definitions": [LOSS], "instance_type": "ml.m5.large"},
        JOB,
        {"TrainingJobDefinition": JOB},
        {"TrainingJobDefinitions": [JOB, JOB]},
        (definition for definition in [LOSS]),
    ],
)
def test_every_spelling_gives_the_same_set(given):
    """SageMaker's list is read verbatim wherever it stands."""
    assert ms.DefinitionSet(given).to_sagemaker() == [LOSS]


def test_r12_all_errors_are_reported_at_once_with_index_name_and_caret():
    """One run shows everything that is wrong."""
    with pytest.raises(ms.DefinitionError) as caught:
        ms.DefinitionSet(
            [
                {"Name": "a", "Regex": "a=(.)", "Unti": "None"},
                LOSS,
                {"Name": "b", "Regex": "b=("},
                {"Name": "c", "Regex": "c=[0-9]+;"},
                "d",
            ]
        )
    error = caught.value
    assert isinstance(error, ValueError)
    assert [problem.index for problem in error.errors] == [0, 2, 3, 4]
    shown = str(error)
    assert shown.startswith("4 problems")
    for text in ("definition 0 'a'", "did you mean 'Unit'?", "definition 2 'b'", "definition 3"):
        assert text in shown
    assert "    c=[0-9]+;\n      ^^^^^^" in shown


def test_r6_no_group_is_an_error_that_shows_the_repaired_pattern():
    """Group 0 is no remedy: the hint wraps what looks like the number."""
    (problem,) = problems({"Name": "loss", "Regex": r"loss=\S+ step"})
    assert "no capture group" in problem.message
    assert problem.hint == r"put parentheses around the number: loss=(\S+) step"
    (problem,) = problems({"Name": "loss", "Regex": "a(b)", "Group": 0})
    assert "count from 1" in problem.message


def test_r6_a_dummy_in_a_job_description_is_skipped_with_a_warning():
    """AWS's own samples submit `<><><><><><>`."""
    dummy = {"Name": "dummy", "Regex": "<><><><><><>"}
    job = {"AlgorithmSpecification": {"MetricDefinitions": [dummy, LOSS]}}
    with pytest.warns(ms.DefinitionWarning, match="no capture group"):
        loaded = ms.DefinitionSet(job)
    assert loaded.from_job
    assert loaded.to_sagemaker() == [LOSS]
    assert problems(dummy)


def test_r11_the_identical_definition_twice_is_an_error_and_plus_merges():
    """Same regex under two names, and two regexes under one name, are legal."""
    (problem,) = problems(LOSS, LOSS)
    assert problem.index == 1
    one, other = ms.DefinitionSet([LOSS]), ms.DefinitionSet([LOSS, {**LOSS, "Name": "b"}])
    assert [d.name for d in one + other] == ["train:loss", "b"]
    assert len(ms.DefinitionSet([LOSS, {**LOSS, "Regex": "x(.)"}])) == 2


def test_r11_limits():
    """10,000 definitions and 64 KiB of pattern; an empty list is legal."""
    assert len(ms.DefinitionSet([])) == 0
    (problem,) = problems({"Name": "a", "Regex": "(a)" + "b" * (64 * 1024)})
    assert "64 KiB" in problem.message
    (problem,) = problems(*({"Name": str(i), "Regex": 5} for i in range(10_001)))[-1:]
    assert "more than 10,000" in problem.message


@pytest.mark.parametrize(
    ("option", "message", "hint"),
    [
        ({"Unit": "percent"}, "Unit cannot be 'percent'", "'Percent'"),
        ({"Matches": "every"}, "Matches cannot be", "first, last, all"),
        ({"Number": "strikt"}, "Number cannot be", "'strict'"),
        ({"Engine": "fast"}, "Engine cannot be", "backtracking"),
        ({"Group": True}, "Group must be", None),
        ({"Required": "yes"}, "Required must be", None),
        ({"Ignore": "D1"}, "Ignore must be a list", None),
        ({"Examples": [{"line": "x"}]}, "Examples must be a list", None),
        ({"name": "again"}, "are the same key", "keep one"),
        ({"Nmae": "x"}, "unknown key 'Nmae'", "'Name'"),
    ],
)
def test_an_option_that_is_wrong_is_named(option, message, hint):
    """The error has the key and, where there is one, the suggestion."""
    (problem,) = problems({**LOSS, **option})
    assert message in problem.message
    assert hint is None or hint in problem.hint


@pytest.mark.parametrize("entry", [{"Regex": "(a)"}, {"Name": "a"}, {"Nam": "a", "Regex": "(a)"}])
def test_a_missing_or_misspelt_field_is_one_error(entry):
    """A typo in Name is not reported as a missing Name besides."""
    assert len(problems(entry)) == 1


def test_a_label_that_collides_with_a_column_is_an_error():
    """Named groups become columns."""
    (problem,) = problems({"Name": "a", "Regex": r"(?P<line>\d+) a=(?P<value>\d+)"})
    assert "'line'" in problem.message


def test_a_definition_is_frozen_hashable_and_checked():
    """Options are keywords; the structure is checked at once."""
    definition = ms.MetricDefinition("a", "(a)", examples=[{"line": "a", "value": None}])
    assert definition.examples == (("a", None),)
    assert hash(definition) == hash(pickle.loads(pickle.dumps(definition)))
    with pytest.raises(AttributeError):
        definition.name = "b"
    with pytest.raises(ms.DefinitionError, match="Group must be"):
        ms.MetricDefinition("a", "(a)", group=1.5)


def test_a_set_is_a_value():
    """len, iter, index, slice, equality, repr, pickle."""
    one = ms.DefinitionSet([LOSS, {**LOSS, "Name": "b", "Unit": "Percent"}])
    assert [d.name for d in one] == ["train:loss", "b"]
    assert one[1].unit == "Percent"
    assert one[:1] == ms.DefinitionSet([LOSS]) != one
    assert pickle.loads(pickle.dumps(one)) == one
    assert eval(repr(one), {"DefinitionSet": ms.DefinitionSet}) == one
    assert one.fingerprint == ms.DefinitionSet(one).fingerprint


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_dump_and_load_round_trip(tmp_path, suffix):
    """Options survive; NaN as an example survives as a text."""
    path = tmp_path / f"d{suffix}"
    nan = {"line": "a nan", "value": "nan"}
    one = ms.DefinitionSet([{**LOSS, "Unit": "None", "Required": True, "Examples": [nan]}])
    one.dump(path)
    assert repr(ms.DefinitionSet.load(path)) == repr(one)
    with pytest.raises(ValueError, match=r"\.json, \.yaml or \.yml"):
        one.dump(tmp_path / "d.txt")


def test_load_toml(tmp_path):
    """TOML has no bare list; the table is called as in a definitions file."""
    path = tmp_path / "d.toml"
    path.write_text("[[MetricDefinitions]]\nName = 'train:loss'\nRegex = 'loss=([0-9.]+)'\n")
    assert ms.DefinitionSet.load(path).to_sagemaker() == [LOSS]


def test_r12_broken_json_names_file_line_and_column(tmp_path):
    """The example of SageMaker's own SDK documentation lacks a quote."""
    path = tmp_path / "sdk.json"
    path.write_text("[\n  {'Name': 'validation:error, 'Regex': '.*error=(.*)'}\n]")
    with pytest.raises(ms.DefinitionError, match=r"sdk\.json:2:4") as caught:
        ms.DefinitionSet.load(path)
    assert "double quotes" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '[{"Name": "a", "Name": "b"}]', "'Name' stands twice"),
        ("a.yaml", "- Name: a\n  Name: b\n  Regex: (a)\n", r"a\.yaml:2:3.*stands twice"),
        ("a.yaml", "!!python/object/apply:os.system [echo]\n", r"a\.yaml:1:1"),
        ("a.yaml", "a: [\n", r"a\.yaml:\d"),
        ("a.yaml", "&a [*a]", "contains itself"),
        ("a.toml", "x = ", "not TOML"),
        ("a.json", '{"MetricDefinitions": [], "Context": {"e": "x"}}', "'e': the pattern has no"),
        ("a.json", '{"MetricDefinitions": [], "Contxt": {}}', "did you mean 'Context'"),
        ("a.json", '{"MetricDefinition": []}', "did you mean 'MetricDefinitions'"),
        ("a.json", '{"Name": "a", "Regex": "(a)"}', "single definition"),
        ("a.json", "[" * 200_000, "nested too deeply|not JSON"),
        ("a.json", "3", "expected a list"),
    ],
)
def test_x5_a_file_that_is_not_safe_or_not_right_is_refused(tmp_path, name, text, message):
    """Every refusal names the file or the place."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ms.DefinitionError, match=message):
        ms.DefinitionSet.load(path)


def test_x5_aliases_that_multiply_are_refused(tmp_path):
    """Ten lists of ten of each other are ten billion nodes."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    path = tmp_path / "laughs.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ms.DefinitionError, match="aliases expand"):
        ms.DefinitionSet.load(path)


def test_from_args_cuts_at_the_first_equals_sign():
    """All wrong texts are reported, with the patterns' errors."""
    assert ms.DefinitionSet.from_args(["a=a=(.)"]).to_sagemaker() == [
        {"Name": "a", "Regex": "a=(.)"}
    ]
    with pytest.raises(ms.DefinitionError) as caught:
        ms.DefinitionSet.from_args(["nothing", "=x", "b=("])
    assert [problem.index for problem in caught.value.errors] == [0, 1, 2]


def test_a_text_is_no_list():
    """The remedy is named."""
    with pytest.raises(ms.DefinitionError, match=r"DefinitionSet\.load\(path\)"):
        ms.DefinitionSet("definitions.json")


def test_x4_control_characters_in_names_are_shown_as_escapes():
    """A metric name must not retitle the terminal."""
    problem = DefinitionProblem("bad", 0, "a\x1b]0;x\x07", "\x1b(", (0, 1))
    assert "\x1b" not in str(problem)
    assert textwrap.dedent(str(problem).split("\n", 1)[1]) == "\\x1b(\n^^^^"


def test_r9_what_normalising_removes_draws_a_warning_only_there():
    """`#015` cannot match normalised text."""
    one = ms.DefinitionSet({"a": "#015a=(.)"})
    assert one.pattern_warnings(terminal=True)
    assert not one.pattern_warnings(terminal=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        json.dumps(one.to_sagemaker())
