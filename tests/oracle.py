"""The slow, obvious, executable form of the semantics: what a point is, exactly.

It reads one plain source held in memory and uses nothing but the standard library.
It shares no code with the engine and no trick either; where it is clumsy, it is so on purpose.

    rows, report = scan(data, [{"Name": "loss", "Regex": r"loss: (\\S+)"}])

Order of the steps: transcode, split into records, decode escapes, remove ANSI sequences, decode
UTF-8, match, read the number.
"""

from __future__ import annotations

import math
import re
import struct
import warnings
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

BUDGET = 1 << 30
CANONICAL_NAN = 0x7FF8000000000000
WHITE_SPACE = "\t\n\v\f\r "
NORMALIZE = ("terminal", "none")
NUMBER_MODES = ("trim", "strict", "prefix")
MATCHES = ("first", "last", "all")
RESERVED = frozenset(
    ["metric", "value", "timestamp", "source", "line", "offset", "definition", "match", "text"]
)


class Row(NamedTuple):
    """One point."""

    metric: str
    value: float
    value_bits: int
    line: int
    offset: int
    definition: int
    match: int
    text: str
    labels: dict[str, str | None]
    context: dict[str, int | float | str | None]


@dataclass
class ContextReport:
    """The counters of one context column."""

    name: str
    values: int = 0
    rejects: int = 0
    first_reject: str | None = None


@dataclass
class DefinitionReport:
    """The counters of one definition; `percent` counts those of `trimmed` that lost a `%`."""

    name: str
    regex: str
    points: int = 0
    rejects: Counter = field(default_factory=Counter)
    truncated: int = 0
    underflow: int = 0
    trimmed: int = 0
    percent: int = 0
    over_budget: int = 0


@dataclass
class Report:
    """The counters of one scan."""

    bytes: int = 0
    events: int = 0
    records: int = 0
    matched: int = 0
    unmatched: int = 0
    skipped: Counter = field(default_factory=Counter)
    definitions: list[DefinitionReport] = field(default_factory=list)
    context: list[ContextReport] = field(default_factory=list)


# ---- from bytes to records ---------------------------------------------------------------------


def transcode(data: bytes) -> tuple[bytes, range | list[int]]:
    """The text as UTF-8 without a byte order mark, and the source offset of each of its bytes.

    The offsets have one element more than the text: where it ends.
    """
    if data.startswith(b"\xef\xbb\xbf"):
        return data[3:], range(3, len(data) + 1)
    if data.startswith(b"\xff\xfe"):
        return _from_utf16(data[2:], "utf-16-le")
    if data.startswith(b"\xfe\xff"):
        return _from_utf16(data[2:], "utf-16-be")
    return data, range(len(data) + 1)


def _from_utf16(body: bytes, encoding: str) -> tuple[bytes, list[int]]:
    """Decode as `errors="replace"` does, remembering where each character came from."""
    text, offsets, position = bytearray(), [], 0
    while position < len(body):
        size, character = _utf16_character(body, position, encoding)
        encoded = character.encode()
        text += encoded
        offsets += [2 + position] * len(encoded)
        position += size
    offsets.append(2 + position)
    return bytes(text), offsets


def _utf16_character(body: bytes, position: int, encoding: str) -> tuple[int, str]:
    """The source length of the character at `position`, and the character."""
    try:
        character = body[position : position + 4].decode(encoding)[0]
        return (4 if character > "\uffff" else 2), character
    except UnicodeDecodeError as error:
        if error.start == 0:
            return error.end, "\ufffd"
        return 2, body[position : position + 2].decode(encoding)


# The escapes cannot overlap one another, so that looking for the escaped terminators in the raw
# text finds exactly those that one pass from left to right would decode.
TERMINATORS = {
    "terminal": re.compile(rb"(?:\r|#015)\n?|\n|(?:\x08|#010)+"),
    "none": re.compile(rb"\r\n?|\n"),
}
ESCAPES = {b"#011": b"\t", b"#033": b"\x1b"}
ESCAPE = re.compile(b"|".join(ESCAPES))
ANSI = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]"  # control sequence
    rb"|\x1b[P\]X^_].*?(?:\x07|\x1b\\)"  # string, up to the first BEL or ESC \
    rb"|\x1b[ -/]*[0-~]"  # two characters, or an unfinished one of the above
    rb"|\x1b",
    re.DOTALL,
)


def record_spans(text: bytes, normalize: str) -> list[tuple[int, int]]:
    """Start and end of every record, without its terminator."""
    spans, start = [], 0
    for terminator in TERMINATORS[normalize].finditer(text):
        spans.append((start, terminator.start()))
        start = terminator.end()
    if start < len(text):
        spans.append((start, len(text)))
    return spans


def record_text(raw: bytes, normalize: str) -> str:
    """What the patterns see of a record."""
    if normalize == "terminal":
        raw = ESCAPE.sub(lambda found: ESCAPES[found.group()], raw)
        raw = ANSI.sub(b"", raw)
    return raw.decode("utf-8", errors="replace")


# ---- definitions -------------------------------------------------------------------------------


class Definition(NamedTuple):
    """A definition ready for matching."""

    name: str
    pattern: re.Pattern
    group: int
    labels: dict[str, int]
    matches: str
    number: str
    match_at_start: bool


def rewrite_pattern(regex: str) -> str:
    r"""`#011` and `\#011` become `\t`; an escaped backslash before it stays what it is."""
    return re.sub(
        r"\\#011|#011|\\.",
        lambda found: r"\t" if found.group().endswith("#011") else found.group(),
        regex,
        flags=re.DOTALL,
    )


@lru_cache(maxsize=4096)
def _compile(regex: str) -> re.Pattern:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "possible nested set" is Python's reading all the same
        try:
            return re.compile(regex)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{regex!r}: {error}") from error


def value_group(pattern: re.Pattern, group: int | str | None) -> int:
    """`group`, else the group named `value`, else the first unnamed group, else group 1."""
    names = pattern.groupindex
    if pattern.groups == 0:
        raise ValueError(f"{pattern.pattern!r} has no capture group")
    if isinstance(group, str):
        if group not in names:
            raise ValueError(f"{pattern.pattern!r} has no group {group!r}")
        return names[group]
    if group is not None:
        if not 1 <= group <= pattern.groups:
            raise ValueError(f"{pattern.pattern!r} has no group {group}")
        return group
    if "value" in names:
        return names["value"]
    unnamed = set(range(1, pattern.groups + 1)) - set(names.values())
    return min(unnamed, default=1)


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{option} must be one of {allowed}, not {value!r}")
    return value


def prepare(definition: dict, normalize: str, number: str) -> Definition:
    """Compile one of SageMaker's dictionaries, with our optional keys."""
    regex = definition["Regex"]
    if normalize == "terminal":
        regex = rewrite_pattern(regex)
    pattern = _compile(regex)
    group = value_group(pattern, definition.get("Group"))
    labels = {name: index for name, index in pattern.groupindex.items() if index != group}
    if RESERVED & set(labels):
        raise ValueError(f"{regex!r}: a label has the name of a column: {sorted(labels)}")
    return Definition(
        name=definition["Name"],
        pattern=pattern,
        group=group,
        labels=labels,
        matches=_one_of("Matches", definition.get("Matches", "first"), MATCHES),
        number=_one_of("Number", definition.get("Number", number), NUMBER_MODES),
        # Where `.*rest` matches at all it matches at the record's start (a record holds no LF):
        # saves Python the quadratic search, changes no answer.
        match_at_start=bool(re.match(r"\.\*(?!\+)[^|]*\Z", regex)),
    )


# ---- matching ----------------------------------------------------------------------------------


def find_matches(definition: Definition, record: str) -> tuple[list[tuple[int, re.Match]], bool]:
    """The matches that count, each with its number, and whether the budget was exceeded."""
    if definition.matches == "first":
        if definition.match_at_start:
            found = definition.pattern.match(record)
        else:
            found = definition.pattern.search(record)
        return ([(0, found)] if found else []), False
    matches, spent, over_budget = [], 0, False
    end = position = 0  # in bytes of the record; `position` belongs to the character `seen`
    seen = 0
    for number, found in enumerate(definition.pattern.finditer(record)):
        if number == 0:
            end = len(record.encode())
        position += len(record[seen : found.start()].encode())
        seen = found.start()
        spent += end - position
        if spent > BUDGET:
            over_budget = True
            break
        matches.append((number, found))
    if definition.matches == "last":
        # Over budget, nobody knows which match is the last: no row rather than a wrong one.
        matches = [] if over_budget else matches[-1:]
    return matches, over_budget


# ---- numbers -----------------------------------------------------------------------------------

_FINITE = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_WORD = r"[+-]?(?:[iI][nN][fF][iI][nN][iI][tT][yY]|[iI][nN][fF]|[nN][aA][nN])"
NUMBER = re.compile(rf"{_FINITE}|{_WORD}")
NUMBER_PREFIX = re.compile(rf"{_FINITE}|{_WORD}(?![0-9A-Za-z_])")
PAIRS = {"'": "'", '"': '"', "(": ")", "[": "]", "{": "}"}
OPENING = {")": "(", "]": "[", "}": "{"}

CONTINUES = re.compile(r"[0-9]|\.[0-9]|[eE][+-]?[0-9]|_[0-9]|,[0-9]{3}(?![0-9])")
CONTINUED = re.compile(r"[0-9.]\Z|[0-9][eE][+-]?\Z")
LOST_SIGN = re.compile(r"(?:\A|[^0-9A-Za-z_)\]])[+-]\Z")
WORD_CONTINUES = re.compile(r"[0-9A-Za-z_]")


class Number(NamedTuple):
    """A number found in a captured text, at [start, end) of that text."""

    start: int
    end: int
    trimmed: bool = False
    percent: bool = False


def strip(text: str, start: int, end: int) -> tuple[int, int]:
    """[start, end) without white space at its ends."""
    while start < end and text[start] in WHITE_SPACE:
        start += 1
    while start < end and text[end - 1] in WHITE_SPACE:
        end -= 1
    return start, end


def find_number(text: str, mode: str, grammar: re.Pattern = NUMBER) -> Number | None:
    """Where the number is in a captured text that is neither empty nor white space."""
    start, end = strip(text, 0, len(text))
    if mode == "prefix":
        found = NUMBER_PREFIX.match(text, start, end)
        return Number(start, found.end(), trimmed=found.end() < end) if found else None
    removed = []
    while not grammar.fullmatch(text, start, end):
        if mode == "strict" or len(removed) == 3 or start == end:
            return None
        first, last = text[start], text[end - 1]
        if last in ",;%":
            end -= 1
        elif end - start >= 2 and PAIRS.get(first) == last:
            start, end = start + 1, end - 1
        elif last in OPENING and OPENING[last] not in text[start:end]:
            end -= 1
        else:
            return None
        removed.append(last)
        start, end = strip(text, start, end)
    return Number(start, end, trimmed=bool(removed), percent="%" in removed)


def is_truncated(record: str, start: int, end: int) -> bool:
    """Whether the number at [start, end) of the record looks like a part of a longer one."""
    number, before = record[start:end], record[max(0, start - 3) : start]
    if CONTINUES.match(record, end) or CONTINUED.search(before):
        return True
    if number[0] not in "+-" and LOST_SIGN.search(before):
        return True
    return number[-1] not in "0123456789." and bool(WORD_CONTINUES.match(record, end))


def to_bits(value: float) -> int:
    """The bits of a float64, of the one NaN there is."""
    if math.isnan(value):
        return CANONICAL_NAN
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def read_value(text: str | None, mode: str) -> tuple[Number, float] | str:
    """The number and its value, or the reason of the reject."""
    if text is None or not text.strip(WHITE_SPACE):
        return "no_value"
    number = find_number(text, mode)
    if number is None:
        return "not_a_number"
    written = text[number.start : number.end]
    value = float(written)
    if math.isinf(value) and written[-1] in "0123456789.":
        return "overflow"
    return number, value


def is_underflow(written: str, value: float) -> bool:
    """Whether a text that is not zero was rounded to zero."""
    return value == 0 and bool(re.search("[1-9]", re.split("[eE]", written)[0]))


# ---- context columns ---------------------------------------------------------------------------

_INTEGER = re.compile(r"[+-]?[0-9]+")
UNFIT = object()


def prepare_context(context: dict[str, tuple[str, str]], normalize: str) -> list[tuple]:
    """Name, pattern, group and type of each column."""
    prepared = []
    for name, (regex, kind) in context.items():
        definition = prepare({"Name": name, "Regex": regex}, normalize, "trim")
        prepared.append((name, definition.pattern, definition.group, kind))
    return prepared


def read_context(text: str | None, kind: str) -> object:
    """The captured text as a value of a column, or `UNFIT`."""
    if text is None:
        return UNFIT
    if kind == "string":
        return text
    if not text.strip(WHITE_SPACE):
        return UNFIT
    number = find_number(text, "trim", NUMBER if kind == "float64" else _INTEGER)
    if number is None:
        return UNFIT
    written = text[number.start : number.end]
    if kind == "float64":
        value = read_value(text, "trim")
        return UNFIT if isinstance(value, str) else value[1]
    return int(written) if -(2**63) <= int(written) < 2**63 else UNFIT


@dataclass
class Carried:
    """What is known of a column: the last value, and the texts since then that did not fit."""

    value: object = None
    unfit: list[str] = field(default_factory=list)


def context_of(record: str, prepared: list[tuple], carried: list[Carried]) -> list[object]:
    """The values of the record's rows; what is carried on becomes that of the record."""
    values = []
    for (_, pattern, group, kind), memory in zip(prepared, carried, strict=True):
        found = pattern.search(record)
        own = read_context(found[group], kind) if found else None
        if found is None:
            values.append(memory.value)
        elif own is UNFIT:
            memory.unfit.append(found[group] or "")
            values.append(None)
        else:
            memory.value, memory.unfit = own, []
            values.append(own)
    return values


def count_context(
    values: list[object], rows: int, carried: list[Carried], reports: list[ContextReport]
) -> None:
    """A record with rows counts what they get, and every text up to here that did not fit."""
    for value, memory, report in zip(values, carried, reports, strict=True):
        if not rows:
            continue
        report.values += rows * (value is not None)
        report.rejects += len(memory.unfit)
        if memory.unfit and report.first_reject is None:
            report.first_reject = memory.unfit[0]
        memory.unfit = []


# ---- all of it ---------------------------------------------------------------------------------


def scan(
    data: bytes,
    definitions: list[dict],
    *,
    normalize: str = "terminal",
    number: str = "trim",
    max_record_bytes: int = 1 << 20,
    context: dict[str, tuple[str, str]] | None = None,
) -> tuple[list[Row], Report]:
    """The points of one plain source, in row order, and the report."""
    _one_of("normalize", normalize, NORMALIZE)
    _one_of("number", number, NUMBER_MODES)
    prepared = [prepare(definition, normalize, number) for definition in definitions]
    text, offsets = transcode(data)
    rows: list[Row] = []
    report = Report(bytes=len(data))
    report.events = text.count(b"\n") + (bool(text) and not text.endswith(b"\n"))
    columns = prepare_context(context or {}, normalize)
    carried = [Carried() for _ in columns]
    report.context = [ContextReport(name) for name, *_ in columns]
    report.definitions = [DefinitionReport(d["Name"], d["Regex"]) for d in definitions]
    line, counted = 1, 0
    for start, end in record_spans(text, normalize):
        line += text.count(b"\n", counted, start)
        counted = start
        report.records += 1
        if offsets[end] - offsets[start] > max_record_bytes:
            report.skipped["too_long"] += 1
            continue
        record = record_text(text[start:end], normalize)
        values = context_of(record, columns, carried)
        matched, rows_before = False, len(rows)
        for index, definition in enumerate(prepared):
            found, over_budget = find_matches(definition, record)
            matched = matched or bool(found) or over_budget
            counters = report.definitions[index]
            counters.over_budget += over_budget
            for match_number, match in found:
                row = _point(definition, match, counters)
                if row is not None:
                    value, captured, labels = row
                    bits = to_bits(value)
                    rows.append(
                        Row(
                            definition.name,
                            value,
                            bits,
                            line,
                            offsets[start],
                            index,
                            match_number,
                            captured,
                            labels,
                            dict(zip((name for name, *_ in columns), values, strict=True)),
                        )
                    )
        count_context(values, len(rows) - rows_before, carried, report.context)
        if matched:
            report.matched += 1
        else:
            report.unmatched += 1
    return rows, report


def _point(
    definition: Definition, match: re.Match, counters: DefinitionReport
) -> tuple[float, str, dict[str, str | None]] | None:
    """Value, captured text and labels of one match, None for a reject; counts what happened."""
    captured = match.group(definition.group)
    outcome = read_value(captured, definition.number)
    if isinstance(outcome, str):
        counters.rejects[outcome] += 1
        return None
    found, value = outcome
    base = match.start(definition.group)
    written = captured[found.start : found.end]
    counters.points += 1
    counters.trimmed += found.trimmed
    counters.percent += found.percent
    counters.underflow += is_underflow(written, value)
    counters.truncated += is_truncated(match.string, base + found.start, base + found.end)
    return value, captured, {n: match.group(i) for n, i in definition.labels.items()}
