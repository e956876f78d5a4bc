"""The oracle against values worked out by hand: every example of the semantics.

An oracle that is wrong proves nothing, so nothing in here is computed by the oracle itself.
"""

import math
import random
import re

import oracle
import pytest

ANY = [{"Name": "m", "Regex": "(.*)"}]
NAN = oracle.CANONICAL_NAN


def texts(data, normalize="terminal"):
    """What the patterns see of every record."""
    text, _ = oracle.transcode(data)
    spans = oracle.record_spans(text, normalize)
    return [oracle.record_text(text[start:end], normalize) for start, end in spans]


def one(text, regex=r"v=(.*)", **keys):
    """The report of one definition on the one record `text`."""
    rows, report = oracle.scan(text.encode(), [{"Name": "m", "Regex": regex, **keys}])
    return rows, report.definitions[0]


# ---- records -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"\n\n", ["", ""]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb", ["a", "b"]),
        (b"a\rb", ["a", "b"]),
        (b"a\r", ["a"]),
        (b"a\r\r\n", ["a", ""]),
        (b"a\b\b\n", ["a", ""]),
        (b"a\b\b\r\n", ["a", ""]),
        (b"a\b\bb", ["a", "b"]),
        (b"\ba", ["", "a"]),
        (b"a#015\nb", ["a", "b"]),
        (b"a#015b", ["a", "b"]),
        (b"a\r#015\nb", ["a", "", "b"]),
        (b"a\b#010\bb", ["a", "b"]),
        (b"a\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8b", ["a\x0b\x0c\x1c\x85\u2028b"]),
    ],
)
def test_record_ends_b4_b5_b6_b8_b12(data, expected):
    """Records end at LF, CR LF, CR and runs of backspaces; a final terminator opens none."""
    assert texts(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a#011b", ["a\tb"]),
        (b"##011", ["#\t"]),
        (b"#0150", ["", "0"]),
        (b"#033[31mred#033[0m", ["red"]),
        (b"#012#013#11#0", ["#012#013#11#0"]),
        (b"#0#01111", ["#0\t11"]),
        (b"#03#0333", ["#03"]),
    ],
)
def test_escapes(data, expected):
    """#011, #015, #010 and #033 are decoded in one pass from left to right, nothing else."""
    assert texts(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b[1;38;5;3 qx", "x"),
        (b"\x1b]0;title\x07x", "x"),
        (b"\x1b]8;;http://a\x1b\\x\x1b]8;;\x1b\\", "x"),
        (b"\x1bPa\x1b[31mb\x1b\\x", "x"),
        (b"\x1b]unfinished", "unfinished"),
        (b"\x1b[", ""),
        (b"\x1b[12", "12"),
        (b"\x1b(Bx", "x"),
        (b"\x1b7x", "x"),
        (b"a\x1b", "a"),
        (b"a\x1b\xc3\xa9", "a\u00e9"),
        (b"\x1b\x1b[0m[31mx", "[31mx"),
        (b"\xc3\x1b[0m\xa9", "\u00e9"),
    ],
)
def test_ansi(data, expected):
    """Escape sequences go in one pass over the bytes; what they join is not looked at again."""
    assert texts(data) == [expected]


def test_normalize_none():
    """With "none" escapes, ANSI sequences and backspaces stay, and patterns are not rewritten."""
    data = b"a#011b\x1b[0m\x08c#015\r\nd\re"
    assert texts(data, normalize="none") == ["a#011b\x1b[0m\bc#015", "d", "e"]
    definitions = [{"Name": "m", "Regex": "#011x:(.*)"}]
    rows, _ = oracle.scan(b"#011x:1\n\tx:2\n", definitions, normalize="none")
    assert [(row.value, row.line) for row in rows] == [(1.0, 1)]


def test_invalid_utf8_b1():
    """Each maximal invalid part reads as one U+FFFD."""
    assert texts(b"a\xffb\xe2\x82c\xf0\x9f\x98\xed\xa0\x80\xc0\xaf\x00") == [
        "a\ufffdb\ufffdc\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\x00"
    ]


def test_offsets_and_lines():
    """Offsets are raw, a line is the number of LF before the record's first byte, plus one."""
    data = b"1\r2#0153\x08\x084\r\n#011 5\n\n6"
    rows, report = oracle.scan(data, ANY)
    assert [(row.value, row.line, row.offset) for row in rows] == [
        (1.0, 1, 0),
        (2.0, 1, 2),
        (3.0, 1, 7),
        (4.0, 1, 10),
        (5.0, 2, 13),
        (6.0, 4, 21),
    ]
    assert (report.bytes, report.events, report.records) == (22, 4, 7)
    assert (report.matched, report.unmatched) == (7, 0)
    assert report.definitions[0].rejects == {"no_value": 1}


def test_byte_order_marks_b3():
    """A mark is no text, the first record begins after it, offsets count source bytes."""
    definition = [{"Name": "m", "Regex": "^v([0-9])"}]
    for mark, encoding, expected in [
        (b"\xef\xbb\xbf", "utf-8", [(1.0, 1, 3), (2.0, 2, 9)]),
        (b"\xff\xfe", "utf-16-le", [(1.0, 1, 2), (2.0, 2, 12)]),
        (b"\xfe\xff", "utf-16-be", [(1.0, 1, 2), (2.0, 2, 12)]),
    ]:
        rows, report = oracle.scan(mark + "v1é\r\nv2\n".encode(encoding), definition)
        # UTF-8: 3 + 2 + 2 + 2; UTF-16: 2 + 2 * 5
        assert [(row.value, row.line, row.offset) for row in rows] == expected
        assert (report.events, report.records) == (2, 2)
        assert oracle.scan(mark, definition)[1].records == 0


def test_invalid_utf16():
    """A lone surrogate and an odd final byte are one U+FFFD each; a pair is one character."""
    data = b"\xff\xfe" + b"\x00\xd8a\x00" + "😀".encode("utf-16-le") + b"\x00\xdc" + b"x"
    text, offsets = oracle.transcode(data)
    assert text.decode() == "\ufffda😀\ufffd\ufffd"
    assert offsets == [2, 2, 2, 4, 6, 6, 6, 6, 10, 10, 10, 12, 12, 12, 13]


def test_too_long_counts_raw_bytes_of_the_record():
    """The limit counts raw bytes up to the terminator, never the physical line."""
    data = b"v=1\rv=2#011\r\nv=3 \nv=45"
    rows, report = oracle.scan(data, [{"Name": "m", "Regex": "v=(.*)"}], max_record_bytes=4)
    assert [row.value for row in rows] == [1.0, 3.0, 45.0]
    assert report.skipped == {"too_long": 1}
    assert (report.records, report.matched, report.unmatched) == (4, 3, 0)
    wide = "v=1\n".encode("utf-16")
    assert oracle.scan(wide, ANY, max_record_bytes=5)[1].skipped == {"too_long": 1}
    assert not oracle.scan(wide, ANY, max_record_bytes=6)[1].skipped


# ---- definitions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("regex", "expected"),
    [
        ("#011+", r"\t+"),
        (r"\#011", r"\t"),
        (r"\\#011", r"\\\t"),
        (r"\\\#011", r"\\\t"),
        ("[#011 ]##0110", r"[\t ]#\t0"),
        ("#015#01", "#015#01"),
    ],
)
def test_pattern_rewriting(regex, expected):
    """#011 in a pattern becomes the two characters of a tab escape, everywhere."""
    assert oracle.rewrite_pattern(regex) == expected


@pytest.mark.parametrize("log", [b"[3]#011train-error:0.25", b"[3]\ttrain-error:0.25\tx"])
def test_one_definition_for_cloudwatch_and_local_text(log):
    """The built-in XGBoost definition reads the escaped and the raw log alike."""
    regex = r".*\[[0-9]+\].*#011train-error:(\S+).*"
    rows, _ = oracle.scan(log, [{"Name": "train:error", "Regex": regex}])
    assert [(row.metric, row.value, row.text) for row in rows] == [("train:error", 0.25, "0.25")]


@pytest.mark.parametrize(
    ("regex", "keys", "value", "labels"),
    [
        (r"(\d)(\d)", {}, 1.0, {}),
        (r"(\d)(\d)", {"Group": 2}, 2.0, {}),
        (r"(?P<a>\d)(\d)", {}, 2.0, {"a": "1"}),
        (r"(\d)(?P<value>\d)", {}, 2.0, {}),
        (r"(?P<a>\d)(?P<b>\d)", {}, 1.0, {"b": "2"}),
        (r"(?P<a>\d)(?P<b>\d)(?P<c>x)?", {"Group": "b"}, 2.0, {"a": "1", "c": None}),
        (r"(?P<a>\d)(?P<value>\d)", {"Group": "value"}, 2.0, {"a": "1"}),
    ],
)
def test_group_rule_r7(regex, keys, value, labels):
    """Group, else `value`, else the first unnamed group, else group 1; the rest are labels."""
    rows, _ = one("12", regex, **keys)
    assert [(row.value, row.labels) for row in rows] == [(value, labels)]


@pytest.mark.parametrize(
    ("regex", "keys"),
    [
        ("loss", {}),
        ("(a", {}),
        ("(a)", {"Group": 2}),
        ("(a)", {"Group": 0}),
        ("(a)", {"Group": "b"}),
        ("(?P<value>1)(1)", {"Group": 2}),
        ("(?P<line>1)(1)", {}),
    ],
)
def test_bad_definitions_r6(regex, keys):
    """No such group, a label named as a column, a pattern Python refuses: all are errors."""
    with pytest.raises(ValueError):
        one("1", regex, **keys)


# ---- matching ----------------------------------------------------------------------------------


def test_matches():
    """`first` sticks to a reject, `all` gives every match, `last` the final one, reject or not."""
    text = "v=x v=1 v=2 v=y"
    rows, report = one(text, r"v=(\S+)")
    assert (rows, report.rejects) == ([], {"not_a_number": 1})
    rows, report = one(text, r"v=(\S+)", Matches="all")
    assert [(row.match, row.value) for row in rows] == [(1, 1.0), (2, 2.0)]
    assert report.rejects == {"not_a_number": 2}
    rows, report = one(text, r"v=(\S+)", Matches="last")
    assert (rows, report.rejects) == ([], {"not_a_number": 1})
    rows, _ = one("v=1 v=2", r"v=(\S+)", Matches="last")
    assert [(row.match, row.value) for row in rows] == [(1, 2.0)]


def test_several_definitions_on_one_record():
    """Every definition is tried on every record, in the order given."""
    definitions = [
        {"Name": "loss", "Regex": "loss: ([0-9.]+)"},
        {"Name": "eval", "Regex": "eval_loss: ([0-9.]+)"},
    ]
    rows, report = oracle.scan(b"eval_loss: 0.5\nloss: 1\nnothing", definitions)
    assert [(row.metric, row.definition, row.value) for row in rows] == [
        ("loss", 0, 0.5),
        ("eval", 1, 0.5),
        ("loss", 0, 1.0),
    ]
    assert (report.matched, report.unmatched) == (2, 1)


def test_empty_matches_and_absent_groups_r5_r8():
    """Empty matches advance; an empty or absent group is a reject, never a zero."""
    _, report = one("a1", r"(\d*)", Matches="all")
    assert (report.points, report.rejects) == (1, {"no_value": 2})
    _, report = one("x", r"(?:loss=(\S+))?")
    assert report.rejects == {"no_value": 1}


def test_budget():
    """`all` and `last` stop where the sum of (record end - match start) exceeds 2**30."""
    size = 1 << 20
    text = "1" * 2000 + " " * (size - 2000)
    spent = count = 0
    while spent + size - count <= 1 << 30:
        spent += size - count
        count += 1
    rows, report = one(text, "([0-9])", Matches="all")
    assert (len(rows), report.points, report.over_budget) == (count, count, 1)
    rows, report = one(text, "([0-9])", Matches="last")
    assert (rows, report.over_budget) == ([], 1)
    rows, report = one(text, "([0-9])")
    assert (len(rows), report.over_budget) == (1, 0)


def test_budget_counts_utf8_bytes():
    """Positions are those of the record's UTF-8, so that é weighs two."""
    text = "é" * 500_000 + "1" * 2000
    _, report = one("1" * 1100 + text[:500_000], "([0-9])", Matches="all")
    assert report.over_budget == 1  # 1100 * about 1,000,000 bytes
    _, report = one("1" * 1100 + "e" * 500_000, "([0-9])", Matches="all")
    assert report.over_budget == 0


def test_search_at_the_start_only_changes_nothing():
    """The short cut for patterns that begin with `.*` finds what a plain search finds."""
    randomness = random.Random(1)
    regexes = [".*(a)", ".*?(a)b", ".*(a|b)", ".*|(a)", ".*(ab)+?$", ".*^(a)", ".*([ab]*)b"]
    for _ in range(500):
        text = "".join(randomness.choice("ab \t") for _ in range(randomness.randrange(8)))
        for regex in regexes:
            definition = oracle.prepare({"Name": "m", "Regex": regex}, "none", "trim")
            found, _ = oracle.find_matches(definition, text)
            expected = re.search(regex, text)
            assert [m.regs for _, m in found] == ([expected.regs] if expected else [])


# ---- numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'0.5123'", 0.5123),
        ("(0.0217)", 0.0217),
        ("0.239}", 0.239),
        ("3.8e-05)", 3.8e-05),
        ("'0.3',", 0.3),
        ("((( 0.5 )))", 0.5),
        ("1e5%", 1e5),
        ("1.", 1.0),
        ("-.5", -0.5),
        ("12%", 12.0),
        ("0.5,", 0.5),
        ("{7}", 7.0),
        ('"[3]"', 3.0),
        ("(3))", 3.0),
        ("+1E+2", 100.0),
        ("\t 0.5\x0b\x0c ", 0.5),
        ("9007199254740993", 9007199254740992.0),
    ],
)
def test_trim_points_v4(text, value):
    """Decorations of the log's print format are trimmed."""
    assert oracle.read_value(text, "trim")[1] == value


@pytest.mark.parametrize(
    "text",
    [
        "[0.5",
        "(0.5]",
        "0.5.",
        ".5e",
        "<0.5>",
        "1_000",
        "1,234",
        "0x1f",
        "3 ms",
        "auto",
        "''",
        "%",
        "((((0.5))))",
        "0,5",
        "1.5e3ms",
        "N/A",
        "None",
        ".",
        "-",
        "e5",
        "+-1",
        "nano",
        "infinit",
        "١",
        "0.5\xa0",
        "1‐2",
        "'0.5\"",
        ",0.5",
        "'",
        "()",
        "1;,%;",
        "ınf",
    ],
)
def test_trim_rejects_v3_v4_v6(text):
    """Nothing else is a number."""
    assert oracle.read_value(text, "trim") == "not_a_number"


@pytest.mark.parametrize("text", ["", " ", "\t\r\x0b", None])
def test_no_value(text):
    """An absent, empty or blank group has no value in any mode."""
    for mode in oracle.NUMBER_MODES:
        assert oracle.read_value(text, mode) == "no_value"


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("+nan", NAN),
        ("-NaN", NAN),
        ("nAn", NAN),
        ("inf", 0x7FF0000000000000),
        ("-Infinity", 0xFFF0000000000000),
        ("-0.0", 0x8000000000000000),
        ("5e-324", 1),
        ("0.1", 0x3FB999999999999A),
    ],
)
def test_bits_v1_v7(text, bits):
    """NaN has one bit pattern, infinities are points, zero keeps its sign."""
    _number, value = oracle.read_value(text, "trim")
    assert oracle.to_bits(value) == bits


@pytest.mark.parametrize(
    ("text", "strict", "prefix"),
    [
        (" 0.5 ", 0.5, 0.5),
        ("12%", "not_a_number", 12.0),
        ("0.5,", "not_a_number", 0.5),
        ("'0.5'", "not_a_number", "not_a_number"),
        ("3 ms", "not_a_number", 3.0),
        ("1e", "not_a_number", 1.0),
        ("1.5e3ms", "not_a_number", 1500.0),
        ("1_000", "not_a_number", 1.0),
        ("0x1f", "not_a_number", 0.0),
        ("0.5.", "not_a_number", 0.5),
        ("infinit", "not_a_number", "not_a_number"),
        ("inf,", "not_a_number", math.inf),
        ("infinity]", "not_a_number", math.inf),
        ("nan_", "not_a_number", "not_a_number"),
        ("1e400ms", "not_a_number", "overflow"),
    ],
)
def test_strict_and_prefix(text, strict, prefix):
    """`strict` strips only; `prefix` takes the longest number the text begins with."""
    for mode, expected in (("strict", strict), ("prefix", prefix)):
        outcome = oracle.read_value(text, mode)
        assert (outcome if isinstance(outcome, str) else outcome[1]) == expected


def test_overflow_and_underflow_v2():
    """1e400 is a reject, 1e-400 a point that is counted, 0e-400 nothing special."""
    _, report = one("v=1e400 v=-1e400 v=1e-400 v=0e-400 v=inf", r"v=(\S+)", Matches="all")
    assert (report.points, report.rejects, report.underflow) == (3, {"overflow": 2}, 1)


def test_very_long_number_v6():
    """A million digits are an overflow, a million decimals a number."""
    assert oracle.read_value("9" * 10**6, "trim") == "overflow"
    assert oracle.read_value("0." + "3" * 10**6, "trim")[1] == 1 / 3


def test_trimmed_counts():
    """Decorations are counted, `%` by itself; white space is not."""
    _, report = one("v=12%; v= 1 v=(2) v=3", r"v=( ?\S+)", Matches="all")
    assert (report.points, report.trimmed, report.percent) == (4, 2, 1)
    _, report = one("v=1ms v=1", r"v=(\S+)", Matches="all", Number="prefix")
    assert (report.points, report.trimmed) == (2, 1)


def test_number_of_the_definition_wins():
    """A definition's own Number overrides the argument."""
    definitions = [
        {"Name": "a", "Regex": "(.+)"},
        {"Name": "b", "Regex": "(.+)", "Number": "trim"},
    ]
    rows, report = oracle.scan(b"5%", definitions, number="strict")
    assert [row.metric for row in rows] == ["b"]
    assert report.definitions[0].rejects == {"not_a_number": 1}


@pytest.mark.parametrize(
    ("text", "regex", "value", "truncated"),
    [
        ("'learning_rate': 4.67e-05", r"'learning_rate': ([0-9.]+)", 4.67, True),
        ("loss 0.25", ".*([0-9.]+)", 5.0, True),
        ("v=1.2e-05", r"v=([0-9\.]+)", 1.2, True),
        ("v=-3", r"([0-9]+)", 3.0, True),
        ("v=12", "v=([0-9])", 1.0, True),
        ("v=1.5", r"v=(\d+)", 1.0, True),
        ("v=1. 5", r"v=(\d+)", 1.0, False),
        ("v=1_000", r"v=(\d+)", 1.0, True),
        ("v=1,234", r"v=(\d+)", 1.0, True),
        ("v=1,234.5", r"v=(\d+)", 1.0, True),
        ("v=1,2345", r"v=(\d+)", 1.0, False),
        ("v=1,23", r"v=(\d+)", 1.0, False),
        ("v=1e", r"v=(\d+)", 1.0, False),
        ("v=1E+7", r"v=(\d+)", 1.0, True),
        ("v=1e5", r"1e(\d+)", 5.0, True),
        ("v=1e-5", r"1e-(\d+)", 5.0, True),
        ("v=1e-5", r"1e(-\d+)", -5.0, True),
        ("v=e-5", r"e(-\d+)", -5.0, False),
        ("v=e-5", r"e-(\d+)", 5.0, False),
        ("x1-5", r"x1-(\d+)", 5.0, False),
        ("(a)-5", r"-(\d+)", 5.0, False),
        ("a[0]-5", r"-(\d+)", 5.0, False),
        ("-5", r"(\d+)", 5.0, True),
        ("a -5", r"(\d+)", 5.0, True),
        ("a -5", r"(-\d+)", -5.0, False),
        ("v=.5", r"v=\.(\d+)", 5.0, True),
        ("v=nan", r"v=(\w+)", NAN, False),
        ("v=nano", r"v=(nan)", NAN, True),
        ("v='0.5'9", r"v=('0.5')", 0.5, False),
        ("v=0.5%", r"v=(0.5%)", 0.5, False),
        ("v=inf5", r"v=(inf)", math.inf, True),
    ],
)
def test_truncated_v5(text, regex, value, truncated):
    """A number that continues outside the group is a point and is counted."""
    rows, report = one(text, regex)
    assert [row.value_bits for row in rows] == [NAN if value == NAN else oracle.to_bits(value)]
    assert report.truncated == truncated


def test_truncated_by_prefix():
    """What `prefix` cuts off can be the rest of the number, too."""
    _, report = one("v=1,234", Number="prefix")
    assert (report.points, report.truncated, report.trimmed) == (1, 1, 1)
