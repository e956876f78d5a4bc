"""Hostile definitions: refused with their place, or harmless; never a hang or a crash."""

import json
import threading

import metricsieve as ms
import pytest
from comparison import assert_equal, engine_scan

LINE = 1 << 18


def refusal(definition):
    """What the refusal of a single definition says."""
    with pytest.raises(ms.DefinitionError) as caught:
        ms.DefinitionSet([definition])
    assert len(caught.value.errors) == 1
    return str(caught.value)


def one(regex, **options):
    return {"Name": "hostile", "Regex": regex, **options}


@pytest.mark.parametrize("matches", ["first", "last"])
@pytest.mark.parametrize(
    ("regex", "letter"),
    [
        (r"(a*)*b", "a"),
        (r"(x+x+)+y", "x"),
        (r"(a|a)*$", "a"),
        (r"((?:a|aa)+)+c", "a"),
        (r"((?:.*,){11}P)", ","),
        (r"\s*(\S+)\s*=\s*\d", " "),
    ],
)
def test_r1_shapes_that_explode_elsewhere_are_read_to_the_end(regex, letter, matches):
    """Backtracking takes longer than the universe exists; the record behind is found."""
    data = letter.encode() * LINE + b"!\nloss=1\n"
    definitions = [one(regex, Matches=matches), {"Name": "loss", "Regex": r"loss=(\d)"}]
    rows, report = engine_scan(data, definitions, [])
    assert [row[0] for row in rows] == ["loss"]
    assert (report["complete"], report["records"], report["skipped"]) == (True, 2, {})


@pytest.mark.parametrize(
    "regex",
    [
        r"(a{1000}){1000}",
        r"((?:\w{1000}){1000})",
        r"((?:\w{100}){100})",
        "(" + "(?:" * 8 + "a" + "{5})" * 8 + "{5}{5})",
        r"(a{5}{5}{5}{5}{5}{5}{5}{5})",
    ],
)
def test_r2_repetitions_that_multiply_are_refused_by_name(regex):
    """Whether for their size or for their form, the definition is named."""
    assert "definition 0 'hostile': " in refusal(one(regex))


def test_r2_the_definitions_beside_a_huge_one_are_checked_too():
    """Its index is the one in the list."""
    with pytest.raises(ms.DefinitionError) as caught:
        ms.DefinitionSet([one("(a)"), one(r"(a{1000}){1000}"), one("(b")])
    assert [problem.index for problem in caught.value.errors] == [1, 2]


@pytest.mark.parametrize(
    "regex",
    [
        r"(?:){4294967295}(a)",
        r"x{0}{4294967295}(a)",
        r"(?:){64}{64}{64}(a)",
        r"(a){4294967296}",
        r"(a){99999999999999999999}",
    ],
)
def test_r3_absurd_counts_are_refused_with_their_place(regex):
    """Python refuses these too."""
    assert "^" in refusal(one(regex)).splitlines()[2]


@pytest.mark.parametrize(
    ("regex", "data"),
    [
        (r"x{0}(\d)", b"x1\n"),
        (r"x{0,0}y{,0}(\d)", b"1\n"),
        (r"((?:){1000})", b"1\n"),
    ],
)
def test_r3_counts_of_nothing_are_harmless(regex, data):
    """Repeating nothing costs nothing, and gives what Python gives."""
    assert_equal(data, [one(regex)])


def test_r3_the_largest_count_of_nothing_is_harmless():
    """Python itself would repeat it in memory, so there is no oracle."""
    assert engine_scan(b"1\n", [one(r"(?:){4294967294}(\d)")], [])[0][0][6] == "1"


NESTED = {
    "within the limit": ("(?:" * 200 + "(1)" + ")" * 200, None),
    "300 groups": ("(" * 300 + "1" + ")" * 300, "nest deeper"),
    "300 optional groups": ("(?:" * 300 + "(1)" + ")?" * 300, "nest deeper"),
    "16,000 groups": ("(" * 16_000 + "1" + ")" * 16_000, "nest deeper"),
    "60,000 unclosed": ("(" * 60_000, "definition 0"),
    "100,000 groups": ("(" * 100_000 + "1" + ")" * 100_000, "64 KiB"),
}


@pytest.mark.parametrize("case", NESTED)
def test_r4_deep_nesting_is_refused_on_a_small_stack(case):
    """In a thread with 256 KiB of stack: an overflow would kill the process."""
    regex, message = NESTED[case]
    outcomes = []

    def check():
        try:
            outcomes.append(ms.scan(b"1\n", [one(regex)]).read_all().num_rows)
        except ms.DefinitionError as error:
            outcomes.append(str(error))

    previous = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=check)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(previous)
    (outcome,) = outcomes
    assert outcome == 1 if message is None else message in outcome


@pytest.mark.parametrize("matches", ["first", "last", "all"])
@pytest.mark.parametrize("regex", [r"(\d*)", r"|a()", r"()", r"(\d*?)", r"x*(\d*)", r"(?:(\d)|)"])
def test_r5_empty_matches_advance_and_give_no_value(regex, matches):
    """At every place of the record at most once, as `re.finditer`."""
    data = b"\na1xx22\nxx\n\xc3\xa9 7\n"
    _, report = assert_equal(data, [one(regex, Matches=matches)])
    assert report.definitions[0].rejects["no_value"]


@pytest.mark.parametrize("matches", ["first", "last", "all"])
@pytest.mark.parametrize(
    "regex",
    [r"(?:loss=(\S+))?", r"acc(?: loss=(\S+))?", r"(?:acc=(\d)|loss=(\d))", r"(?:(\d),)*x"],
)
def test_r8_a_group_that_takes_no_part_is_no_row(regex, matches):
    """Counted `no_value`; neither 0.0 nor the value of the match before."""
    data = b"loss=1\nacc\nacc loss=2\nloss=3 acc=4\nx\n1,2,x x\n"
    _, report = assert_equal(data, [one(regex, Matches=matches)])
    assert report.definitions[0].rejects["no_value"]


@pytest.mark.parametrize(
    "matches, size",
    [
        ("last", 46_000),
        ("last", 46_400),
        ("all", 46_000),
        ("all", 46_400),
        ("all", 80_000),
    ],
)
def test_r9_the_budget_stops_at_the_oracle_s_place(matches, size):
    """One record under 2^30 and two over it; the record behind has a budget of its own."""
    data = b"1" * size + b"\n1\n"
    rows, report = assert_equal(data, [one(r"(\d)", Matches=matches)])
    assert report.definitions[0].over_budget == (size * (size + 1) // 2 > 1 << 30)
    assert rows[-1][2] == 2
    _, engine = engine_scan(data, [one(r"(\d)", Matches=matches)], [])
    assert engine["definitions"][0]["over_budget"]["count"] == report.definitions[0].over_budget


@pytest.mark.parametrize("regex", [r"(.*[^A-Z]|[A-Z])", r"((?:A+){1000}|)", r"(A*?)(?:B|$)|A"])
def test_r9_quadratic_iteration_ends(regex):
    """Searches that look at the rest of the record for every match."""
    data = b"A" * 20_000 + b"\n7\n"
    rows, report = engine_scan(data, [one(regex, Matches="all")], [])
    assert report["complete"]
    assert (report["records"], report["skipped"]) == (2, {})
    assert [row[1] for row in rows] == [row[1] for row in rows if row[2] == 2]


def test_r10_ten_thousand_definitions_build_and_match():
    """Every one finds its own line, and no other."""
    names = [f"metric_{number}" for number in range(10_000)]
    definitions = [{"Name": name, "Regex": rf"\b{name}=(\d+)"} for name in names]
    data = "".join(f"{name}={at}\n" for at, name in enumerate(names)).encode()
    table = ms.scan(data, definitions).read_all()
    assert table["metric"].to_pylist() == names
    assert table["value"].to_pylist() == list(range(10_000))


def test_forty_one_definitions_are_one_more_than_sagemaker_takes():
    """Its limit of 40 is not ours."""
    definitions = [{"Name": f"m{i}", "Regex": f"m{i}=([0-9]+)"} for i in range(41)]
    data = "".join(f"m{i}={i} " for i in range(41)).encode()
    rows, _ = assert_equal(data, definitions)
    assert len(rows) == 41


@pytest.mark.parametrize(
    ("regex", "construct", "what"),
    [
        (r"loss=(?=x)(\d)", "(?=", "lookahead"),
        (r"loss(?!x)=(\d)", "(?!", "lookahead"),
        (r"é(?<=x)(\d)", "(?<=", "lookbehind"),
        (r"(?<!val_)loss=(\d)", "(?<!", "lookbehind"),
        (r"(\d) \1", "\\1", "back-reference"),
        (r"(?P<n>\d)(?P=n)", "(?P=n", "back-reference"),
        (r"(?>a)(\d)", "(?>", "atomic"),
        (r"a++(\d)", "++", "possessive"),
        (r"(a)?(?(1)b|c)", "(?(", "conditional"),
    ],
)
def test_r1_what_needs_backtracking_is_named_with_a_caret(regex, construct, what):
    """Never a silent slow engine; the remedy is in the hint."""
    message, pattern, carets, hint = refusal(one(regex)).splitlines()
    assert what in message
    start = len(pattern) - len(regex) + regex.index(construct)
    assert pattern.endswith(regex)
    assert carets.index("^") == start
    assert "help: " in hint


def test_r6_the_dummy_in_an_answer_of_describe_training_job_is_skipped(tmp_path):
    """A file as the AWS command line writes it; the others of the list work."""
    loss = {"Name": "loss", "Regex": r"loss=([0-9.]+)"}
    answer = {
        "TrainingJobName": "job-1",
        "TrainingJobStatus": "Completed",
        "AlgorithmSpecification": {
            "TrainingImage": "image",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "dummy", "Regex": "<><><><><><>"}, loss],
        },
        "FinalMetricDataList": [{"MetricName": "loss", "Value": 0.5, "Timestamp": 1.6e9}],
    }
    path = tmp_path / "job.json"
    path.write_text(json.dumps(answer))
    with pytest.warns(ms.DefinitionWarning, match="dummy"):
        loaded = ms.DefinitionSet.load(path)
    assert loaded.to_sagemaker() == [loss]
    found = ms.scan(b"loss=0.5\n", loaded)
    assert found.read_all()["value"].to_pylist() == [0.5]
    assert found.report.warnings == []
