"""Hypothesis strategies: definitions, and logs made from their patterns so that they match.

A pattern is a sequence of pieces; a piece is a fragment of regex with examples of text that it
matches. A record is built from the examples of one definition's pieces, then damaged, coloured,
escaped and redrawn the way real logs are. What the semantics accept as a difference between the
engines stays outside: `\\b` occurs only in cases whose text is ASCII (and only beside a literal, so
that it cannot match in an empty record), no repeated body can match the empty string, and patterns
that ignore case hold ASCII only.
"""

from __future__ import annotations

import re
import warnings
from typing import NamedTuple

from hypothesis import strategies as st


class Piece(NamedTuple):
    """A fragment of a pattern with texts it matches.

    `translated`: Rust's syntax reads it differently or not at all. `ascii`: for ASCII text only.
    """

    pattern: str
    texts: tuple[str, ...]
    translated: bool = False
    ascii: bool = False


class Case(NamedTuple):
    """One example: definitions, one plain source, the options, and what the patterns contain."""

    definitions: list[dict]
    data: bytes
    normalize: str
    number: str
    max_record_bytes: int
    translated: bool
    context: dict[str, tuple[str, str]]


def _pieces(*rows: tuple, **keys: bool) -> list[Piece]:
    return [Piece(pattern, texts, **keys) for pattern, *texts in rows for texts in [tuple(texts)]]


TAB = ("#011", "\t")

PLAIN = _pieces(
    ("loss", "loss"),
    ("train", "train"),
    ("eval_loss", "eval_loss"),
    ("(?:loss|error)", "loss", "error"),
    ("(?:train|train-error|t)", "train", "train-error", "t"),
    (r"(?:ab)+", "ab", "abab"),
    (r"(?:ab){1,2}?", "ab", "abab"),
    (r"(?:a|bc)*", "", "abc", "bca"),
    (r"(?:x(?:yz)?)+?", "x", "xyzx"),
    ("a{2}", "aa"),
    ("a{1,}", "a", "aaa"),
    ("a{1,3}?", "a", "aaa"),
    (r"\w+", "loss", "e_1", "\u00e9\u00df", "\u65e5\u672c", "\u00b2\u0661"),
    (r"\w+?", "m", "map"),
    (r"[\w:-]+", "train:error", "a-b", "\u00fc:"),
    (r"\W", "=", "\u20ac", "\ufffd"),
    (r"\s+", " ", "  ", "\u00a0", "\u2003", "\x1c"),
    (r"\s*", "", " ", "\x85", "\x1f "),
    (r"\S+ ", "x ", "\u00e9x "),
    (r"\d+ ", "7 ", "12 ", "\u0663 "),
    (r"\D", "a", "-", "\u00bd"),
    (r"[^\d\s]+", "abc", "\u00e9"),
    (r"[^a-z]", "A", "1", "\u65e5"),
    (r"\[\d+\]", "[3]", "[12]"),
    (r"\.", "."),
    (r"\x3a\u0020", ": "),
    ("(?i:LOSS)", "loss", "Loss", "LOSS"),
    ("(?i:min)", "min", "MIN", "m\u0131n", "m\u0130n"),
    ("(?s:.)", "x", "\u00e9", "\x00"),
    ("(?-i:Epoch)", "Epoch"),
    ("\u00e9poque", "\u00e9poque"),
    ("[\u00e0-\u00ff]", "\u00e9"),
    ("\u65e5+", "\u65e5", "\u65e5\u65e5"),
)

TRANSLATED = _pieces(
    (r"\<", "<"),
    (r"\>", ">"),
    (r"\:\ ", ": "),
    (r"\'eval\_loss\'", "'eval_loss'"),
    (r"\"", '"'),
    (r"\%\@\!\,\;", "%@!,;"),
    (r"[\<\>\_]", "<", ">", "_"),
    ("\\\u20ac", "\u20ac"),
    ("{", "{"),
    ("{'f1'", "{'f1'"),
    ("{x}", "{x}"),
    ("a{ 1}", "a{ 1}"),
    ("a{1,2", "a{1,2"),
    ("a{b,2}", "a{b,2}"),
    ("a{}", "a{}"),
    ("a{,}", "", "a", "aaa"),
    ("}", "}"),
    ("a{,2}", "", "a", "aa"),
    ("(?:ab){,2}?", "", "ab", "abab"),
    ("[[]", "["),
    ("[a&&b]", "&", "b"),
    ("[a~~b]", "~", "a"),
    ("[a||b]", "|"),
    ("[+--]", "+", ",", "-"),
    ("[a-]", "-", "a"),
    ("[]a]", "]"),
    ("[^]a]", "x"),
    (r"[\w.-]+", "a-b", "x.y"),
    (r"[x\d-]+", "-", "x5"),
    ("[[:alpha:]]", ":]", "a]"),
    (r"[\[\]&]", "[", "&"),
    (r"[\b:]", ":", "\x08"),
    (r"[^\b]", "x"),
    (r"\075", "="),
    (r"\072\040", ": "),
    (r"\101", "A"),
    (r"[\101\075]", "A", "="),
    (r"\0", "\x00"),
    (r"[^\0]", "x"),
    (r"\N{COLON}", ":"),
    (r"[\N{COLON}=]", ":", "="),
    (r"\U0000003a", ":"),
    ("(?#a comment)", ""),
    ("(?#(loss)x", "x"),
    (r"(?a:\w+)", "loss", "e_1"),
    (r"(?a:\d\s)", "3 "),
    (r"(?a:[^\W\d])", "x", "_"),
    ("(?x: a [ b] )", "a ", "ab"),
    ("(?x:l o\t\fs)s", "loss"),
)

TABS = [
    Piece("#011", TAB),
    Piece(r"\#011", TAB, translated=True),
    Piece("#011+", (*TAB, "#011#011", "\t#011")),
    Piece("[#011 ]", (*TAB, " ")),
    Piece("##011", ("##011", "#\t"), translated=True),
    Piece(r"\t", TAB),
    Piece(r"\s", TAB),
]

BOUNDARIES = _pieces(
    (r"\bloss", "loss", ".loss"),
    (r"loss\b", "loss", "loss:"),
    (r"l\Boss", "loss"),
    (r"x\b=", "x="),
    (r":\B ", ": "),
    ascii=True,
) + _pieces((r"f\b{x}", "f{x}"), (r"\b{", "x{"), translated=True, ascii=True)

LABELS = _pieces(
    ("(?P<phase>train|eval)_", "train_", "eval_"),
    (r"(?:\((?P<fold>\w+)\) )?", "", "(f1) ", "(\u00e9) "),
    (r"(?P<phase>[^:]*):", "a:", ":", "\u65e5\ufffd:"),
)

LEADING = _pieces(
    ("", ""),
    (".*", "", "[12] ", "INFO "),
    (".*?", "", "x "),
    ("^", ""),
    ("^.*", "", "\u00e9 "),
    (r"\A", ""),
    ("(?m:^)", ""),
    (r".+\s", "a ", "\u65e5 "),
)

SEPARATORS = _pieces(
    (": ", ": "),
    ("=", "="),
    (":", ":"),
    ("': ", "': "),
    (r"\s*[:=]\s*", ":", " = ", ": "),
    (" ", " "),
    ("", ""),
    ("[-+e.]", "-", "+", "e", "."),
    (r"\de[-+]?", "1e", "2e-", "3e+"),
)

TRAILING = [
    *_pieces(
        ("", "", " x"), (".*", "", " tail"), ("$", ""), (".*$", "", ", z"), ("[,}]?", "", ",", "}")
    ),
    Piece(r"\Z", ("",), translated=True),
    Piece(r",?\Z", ("", ","), translated=True),
]

VALUES = [
    r"(\S+)",
    r"([0-9.]+)",
    r"([0-9\.]+)",
    r"([0-9]*)",
    r"(\d+)",
    r"(\d*\.?\d+)",
    r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)",
    r"([\d.eE+-]+)",
    r"(nan|inf|[0-9.]+)",
    r"(.*)",
    r"(.*?)",
    r"(.+?)",
    r"(.{,6})",
    r"(.{1,8}?)",
    r"([^,]+)",
    r"([^,}]*)",
    r"(\w+)",
    r"(['(]?[0-9.e-]+[')%]?)",
    r"(\S+)?",
    r"(?:(\d+)|(\S+))",
    r"(?:(?:(\d+))?\.(\d+))?",
    r"((\d+)(?:\.(\d+))?)",
    r"(?P<value>\S+)",
    r"(?P<value>[0-9.]+)(\S*)",
    r"(?P<unit>[a-z$]?)(\S+)",
]

NUMBERS = [
    "0.5",
    "1",
    "12",
    "-3",
    "0",
    "-0.0",
    "0.0217",
    "4.67e-05",
    "1E+5",
    "1.",
    "-.5",
    ".5e",
    "nan",
    "NaN",
    "+nan",
    "-nan",
    "inf",
    "-inf",
    "Infinity",
    "infinit",
    "1e400",
    "-1e400",
    "1e-400",
    "0e-400",
    "5e-324",
    "12%",
    "0.5,",
    "(0.0217)",
    "'4.67e-05'",
    '"0.5"',
    "0.239}",
    "3.8e-05)",
    "'0.3',",
    "((( 0.5 )))",
    "1e5%",
    "[0.5",
    "(0.5]",
    "0.5.",
    "<0.5>",
    "1_000",
    "1,234",
    "1,234,567",
    "1,2345",
    "0x1f",
    "3 ms",
    "auto",
    "None",
    "",
    "''",
    "%",
    "1,;%",
    "1,;%,",
    "((((0.5))))",
    "{7}",
    "[8]",
    " 9 ",
    "1-2",
    "+5",
    "e5",
    "9007199254740993",
    "0.1+0.2",
    "\x0b2\x0c",
]
NUMBERS_BEYOND_ASCII = ["\u0661\u0662", "1\u00b2", "0.5\u00a0", "\u22125", "1\u202f000"]

ANSI = [
    b"\x1b[31m",
    b"\x1b[0m",
    b"\x1b[1;38;5;208m",
    b"\x1b[K",
    b"\x1b[A",
    b"#033[32m",
    b"#033[0m",
    b"\x1b]0;title\x07",
    b"\x1b]8;;http://h/loss: 1\x1b\\",
    b"\x1bP1$r\x1b\\",
    b"\x1b]",
    b"\x1b(B",
    b"\x1b",
    b"\x1b[",
    b"\x1b[12",
    b"\x1b\x1b[0m[31m",
    b"#033]0;t#033\\",
]
INVALID = [
    b"\xff",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\x80",
    b"\xf4\x90\x80\x80",
    b"\xc3\x1b[0m\xa9",
    b"\xe2#033[K\x82\xac",
]
ESCAPES = [b"#011", b"##011", b"#0150", b"#0#011", b"#012", b"#033", b"#010#010", b"#01"]
NOISE = [b"", b" ", b"\x00", b"x", b"INFO ", b"loss: 0.5", b"'eval_loss': '4.67e-05', ", b"100%|"]
NOISE_BEYOND_ASCII = ["\u00e9".encode(), "\u65e5\u672c".encode(), b"\xef\xbb\xbf", b"\xe2\x80\xa8"]

LINE_ENDS = [b"\n", b"\n", b"\r\n", b"\n\n", b"#015\n", b"\r\r\n"]
REDRAWS = [b"\r", b"#015", b"\x08\x08\x08", b"#010#010", b"\x08#010", b"\b\r\n", b"\x1b[A\r"]
BYTE_ORDER_MARKS = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"]


@st.composite
def numbers(draw: st.DrawFn, ascii_only: bool) -> str:
    """The text of a number, or of something that is nearly one."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return repr(draw(st.floats()))
    if kind == 1:
        return f"{draw(st.floats(-1e3, 1e3)):.4f}"
    if kind == 2:
        return str(draw(st.integers(-(2**70), 2**70)))
    samples = NUMBERS if ascii_only or kind > 3 else NUMBERS_BEYOND_ASCII
    return draw(st.sampled_from(samples))


def _is_ascii(piece: Piece) -> bool:
    return piece.pattern.isascii()


@st.composite
def patterns(draw: st.DrawFn, ascii_only: bool) -> tuple[str, list[Piece | None]]:
    """A pattern and its pieces in order; None is the place of the value."""
    ignore_case = draw(st.integers(0, 9)) == 0
    flags = "i" if ignore_case else draw(st.sampled_from(["", "", "", "", "", "a", "s", "m", "x"]))
    if ignore_case and draw(st.booleans()):
        flags += draw(st.sampled_from("axsm"))
    kinds = [PLAIN, PLAIN, TRANSLATED, TABS, LABELS]
    if ascii_only:
        kinds += [BOUNDARIES, BOUNDARIES]
    pieces: list[Piece | None] = [draw(st.sampled_from(LEADING))]
    labelled = False
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(kinds))
        if kind is LABELS:
            kind, labelled = (PLAIN if labelled else LABELS), True
        pieces.append(draw(st.sampled_from(kind)))
    pieces.append(draw(st.sampled_from(SEPARATORS)))
    if ignore_case or ascii_only:
        pieces = [piece for piece in pieces if _is_ascii(piece)]
    value = Piece(draw(st.sampled_from(VALUES)), ())
    trailing = draw(st.sampled_from(TRAILING))
    parts = [piece.pattern for piece in (*pieces, value, trailing)]
    if "x" in flags:
        # Blanks and # mean something else here, but in a class or after a backslash they do not.
        parts = [
            part if part.startswith("(?") else re.sub(r"(?<!\\) ", r"\\ ", part) for part in parts
        ]
        parts = [
            part if part.startswith(("(?", "[")) else part.replace("#", r"\#") for part in parts
        ]
        parts = [part.replace(r"\\#", r"\#") for part in parts]
        comment = draw(st.sampled_from(["", " # the loss (\n", "\n\t# {", " "]))
        regex = (
            "(?" + flags + ")" + draw(st.sampled_from([" ", "\n", "\x0b"])).join(parts) + comment
        )
        return regex, [*pieces, None, trailing, Piece("", ("",), translated=True)]
    prefix = f"(?{flags})" if flags else ""
    marks = [Piece("", ("",), translated=True)] if "a" in flags else []
    return prefix + "".join(parts), [*pieces, None, trailing, *marks]


def _compiles(regex: str) -> re.Pattern | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return re.compile(regex)
        except re.error:
            return None


@st.composite
def records(draw: st.DrawFn, pieces: list[Piece | None], ascii_only: bool) -> bytes:
    """A record that the pattern of these pieces probably matches."""
    parts = []
    for piece in pieces * draw(st.sampled_from([1, 1, 1, 2, 3])):
        if piece is None:
            text = draw(numbers(ascii_only))
        else:
            text = draw(st.sampled_from(piece.texts)) if len(piece.texts) > 1 else piece.texts[0]
        if ascii_only:
            text = text.encode("ascii", "ignore").decode()
        parts.append(text.encode())
        if piece is None and draw(st.integers(0, 7)) == 0:
            inside = draw(st.sampled_from(ANSI if ascii_only else ANSI + INVALID))
            place = draw(st.integers(0, len(parts[-1])))
            parts[-1] = parts[-1][:place] + inside + parts[-1][place:]
    insertions = [NOISE, NOISE, ANSI, ANSI, ESCAPES, None, None, None]
    if not ascii_only:
        insertions += [INVALID, INVALID, NOISE_BEYOND_ASCII]
    for _ in range(draw(st.integers(0, 2))):
        chosen = draw(st.sampled_from(insertions))
        if chosen is not None:
            place = draw(st.sampled_from([0, len(parts), draw(st.integers(0, len(parts)))]))
            parts.insert(place, draw(st.sampled_from(chosen)))
    if draw(st.integers(0, 7)) == 0:
        del parts[draw(st.integers(0, len(parts) - 1))]
    return b"".join(parts)


@st.composite
def definition_lists(draw: st.DrawFn, ascii_only: bool) -> tuple[list[dict], list[list]]:
    """Definitions, none of them twice, with the pieces of each."""
    definitions: list[dict] = []
    pieces = []
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        regex, its_pieces = draw(patterns(ascii_only))
        definition = {"Name": draw(st.sampled_from(["loss", "train:error", "m"])), "Regex": regex}
        compiled = _compiles(regex)
        if compiled is None:
            continue
        if draw(st.integers(0, 2)) == 0:
            definition["Matches"] = draw(st.sampled_from(["first", "last", "all", "all"]))
        if draw(st.integers(0, 7)) == 0:
            definition["Number"] = draw(st.sampled_from(["trim", "strict", "prefix"]))
        if draw(st.integers(0, 5)) == 0:
            names = list(compiled.groupindex)
            groups = list(range(1, compiled.groups + 1))
            if "value" not in names:  # as a label it would be a second column of that name
                definition["Group"] = draw(st.sampled_from(groups + names))
        if not any((d["Name"], d["Regex"]) == (definition["Name"], regex) for d in definitions):
            definitions.append(definition)
            pieces.append(its_pieces)
    if not definitions:
        definitions, pieces = [{"Name": "loss", "Regex": r"loss: (\S+)"}], [[LEADING[0], None]]
    return definitions, pieces


@st.composite
def contexts(draw: st.DrawFn, ascii_only: bool, labels: set[str]) -> tuple[dict, list[list]]:
    """Context columns with the pieces of each; a column has no labels."""
    columns: dict[str, tuple[str, str]] = {}
    pieces = []
    for name in ["step", "epoch"][: draw(st.sampled_from([0, 1, 2, 2]))]:
        regex, its_pieces = draw(patterns(ascii_only))
        compiled = _compiles(regex)
        if compiled is None or set(compiled.groupindex) - {"value"} or name in labels:
            continue
        columns[name] = (regex, draw(st.sampled_from(["int64", "float64", "float64", "string"])))
        pieces.append(its_pieces)
    return columns, pieces


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A case: definitions, a log made from them, options."""
    ascii_only = draw(st.integers(0, 3)) == 0
    definitions, pieces = draw(definition_lists(ascii_only))
    labels = {
        name
        for one in definitions
        if (compiled := _compiles(one["Regex"])) is not None
        for name in compiled.groupindex
    }
    context, of_context = draw(contexts(ascii_only, labels))
    pieces = pieces + of_context
    data = bytearray()
    for _ in range(draw(st.integers(1, 7))):
        data += draw(records(draw(st.sampled_from(pieces)), ascii_only))
        ends = draw(st.sampled_from([LINE_ENDS, LINE_ENDS, REDRAWS]))
        data += draw(st.sampled_from(ends))
    if draw(st.booleans()):
        while data[-1:] in (b"\n", b"\r", b"\x08"):
            data.pop()
    if draw(st.integers(0, 5)) == 0:
        mark = draw(st.sampled_from(BYTE_ORDER_MARKS))
        if mark != BYTE_ORDER_MARKS[0]:
            encoding = "utf-16-le" if mark == b"\xff\xfe" else "utf-16-be"
            data = bytearray(bytes(data).decode("utf-8", "replace").encode(encoding))
            if not ascii_only:
                data += draw(st.sampled_from([b"", b"", b"x", b"\x00\xd8", b"\xdc\x00\x00"]))
        data[:0] = mark
    return Case(
        definitions=definitions,
        data=bytes(data),
        normalize=draw(st.sampled_from(["terminal", "terminal", "terminal", "none"])),
        number=draw(st.sampled_from(["trim", "trim", "strict", "prefix"])),
        max_record_bytes=draw(st.sampled_from([1 << 20] * 9 + [32])),
        translated=any(piece and piece.translated for its in pieces for piece in its),
        context=context,
    )


def features(case: Case) -> set[str]:
    """What the case holds; whether it matches is for the caller to find out."""
    data, found = case.data, set()
    encoding = "utf-8"
    if data[:2] in BYTE_ORDER_MARKS:
        encoding = "utf-16"
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        found.add("invalid")
    if encoding == "utf-16":
        data = data.decode(encoding, "replace").encode()
    if re.search(rb"#0(11|15|10|33)", data):
        found.add("escape")
    if re.search(rb"\x1b|#033", data):
        found.add("ansi")
    if re.search(rb"\r(?!\n)|\x08|#015|#010", data):
        found.add("cr_or_bs")
    if case.translated:
        found.add("translated")
    return found
