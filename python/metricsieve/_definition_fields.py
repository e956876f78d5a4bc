"""The fields of one metric definition: their spellings, types and allowed values.

Principal functions: `read_mapping` (a dict as users write it -> constructor arguments) and
`check_fields` (constructor arguments -> clean values and problems). Fed by `definitions`. Nothing
here compiles a pattern.
"""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from metricsieve.exceptions import DefinitionProblem

MAX_PATTERN_BYTES = 64 * 1024
MATCHES = ("first", "last", "all")
NUMBERS = ("trim", "strict", "prefix")
ENGINES = ("linear", "backtracking")
_RATES = ("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes")
_BITS = ("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits")
UNITS = (
    *("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"),
    *_RATES,
    *_BITS,
    *(f"{unit}/Second" for unit in _RATES + _BITS),
)
# The key as SageMaker would spell it -> the argument of MetricDefinition.
KEYS = {
    "Name": "name",
    "Regex": "regex",
    "Unit": "unit",
    "Group": "group",
    "Matches": "matches",
    "Number": "number",
    "Engine": "engine",
    "Required": "required",
    "Ignore": "ignore",
    "Examples": "examples",
}
_ARGUMENTS = {**KEYS, **{argument: argument for argument in KEYS.values()}}
DEFAULTS: dict[str, Any] = {
    "unit": None,
    "group": None,
    "matches": "first",
    "number": None,
    "engine": "linear",
    "required": False,
    "ignore": (),
    "examples": (),
}


class Example(NamedTuple):
    """A line and the value a definition must find in it; None where it must find none."""

    line: str
    value: float | None


class _Fields:
    """Collects the problems of one definition while its fields are looked at."""

    def __init__(self, index: int | None, fields: Mapping[str, Any]) -> None:
        self.index = index
        self.name = fields["name"] if isinstance(fields.get("name"), str) else None
        self.problems: list[DefinitionProblem] = []

    def problem(self, message: str, hint: str | None = None) -> None:
        self.problems.append(DefinitionProblem(message, self.index, self.name, hint=hint))


def read_mapping(
    mapping: Mapping[Any, Any], index: int | None
) -> tuple[dict[str, Any], list[DefinitionProblem]]:
    """Turn a definition as users write it into arguments of `MetricDefinition`.

    Args:
        mapping: keys as SageMaker spells them (`Name`) or in lower case (`name`).
        index: position in the list, for messages.

    Returns:
        The arguments found, and a problem for every unknown or doubled key and missing field.

    Example:
        >>> read_mapping({"Name": "loss", "Regex": "loss=(.*)"}, 0)
        ({'name': 'loss', 'regex': 'loss=(.*)'}, [])
    """
    fields: dict[str, Any] = {}
    spelling: dict[str, str] = {}
    unknown: list[str] = []
    doubled: list[tuple[str, str]] = []
    for key, value in mapping.items():
        argument = _ARGUMENTS.get(key) if isinstance(key, str) else None
        if argument is None:
            unknown.append(key if isinstance(key, str) else reprlib.repr(key))
        elif argument in fields:
            doubled.append((spelling[argument], key))
        else:
            fields[argument] = value
            spelling[argument] = key
    found = _Fields(index, fields)
    for key in unknown:
        found.problem(f"unknown key {reprlib.repr(key)}", _suggest(key, _ARGUMENTS, KEYS))
    for first, second in doubled:
        found.problem(f"{first!r} and {second!r} are the same key", "keep one of them")
    if not any(_close(key, "Name") for key in unknown) and "name" not in fields:
        found.problem("'Name' is missing", 'add "Name": the name the metric will have')
    if not any(_close(key, "Regex") for key in unknown) and "regex" not in fields:
        found.problem("'Regex' is missing", 'add "Regex": the pattern that finds the value')
    return fields, found.problems


def _close(key: str, wanted: str) -> bool:
    return bool(difflib.get_close_matches(key.capitalize(), [wanted], cutoff=0.6))


def _suggest(word: str, known: Iterable[str], shown: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1) or difflib.get_close_matches(
        word.capitalize(), known, n=1
    )
    return f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(shown)}"


def suggest_key(word: str, known: Iterable[str]) -> str:
    """What to write instead of the unknown key `word`.

    Example:
        >>> suggest_key("MetricDefinition", ["MetricDefinitions", "Context"])
        "did you mean 'MetricDefinitions'?"
    """
    keys = list(known)
    return _suggest(word, keys, keys)


def check_fields(
    fields: Mapping[str, Any], index: int | None
) -> tuple[dict[str, Any], list[DefinitionProblem]]:
    """Check types and values of the arguments of `MetricDefinition`.

    Args:
        fields: arguments by name; those left out get their default.
        index: position in the list, for messages.

    Returns:
        Clean, hashable values for every argument, and the problems.

    Example:
        >>> check_fields({"name": "loss", "regex": "(a)"}, None)[0]["matches"]
        'first'
    """
    found = _Fields(index, fields)
    clean = {**DEFAULTS, **fields}
    for argument in ("name", "regex"):
        if argument in fields:
            _check_text(found, argument.capitalize(), fields[argument])
    _check_choice(found, "Unit", clean["unit"], UNITS, optional=True)
    _check_choice(found, "Matches", clean["matches"], MATCHES)
    _check_choice(found, "Number", clean["number"], NUMBERS, optional=True)
    _check_choice(found, "Engine", clean["engine"], ENGINES)
    _check_group(found, clean["group"])
    if not isinstance(clean["required"], bool):
        found.problem(f"Required must be true or false, not {reprlib.repr(clean['required'])}")
    clean["ignore"] = _check_ignore(found, clean["ignore"])
    clean["examples"] = _check_examples(found, clean["examples"])
    return clean, found.problems


def _check_text(found: _Fields, key: str, value: object) -> None:
    if not isinstance(value, str):
        found.problem(f"{key} must be text, not {type(value).__name__} {reprlib.repr(value)}")
        return
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        found.problem(f"{key} has half a surrogate pair at character {error.start}")
        return
    if size > MAX_PATTERN_BYTES:
        found.problem(f"{key} has {size:,} bytes; the limit is {MAX_PATTERN_BYTES:,} (64 KiB)")
    elif key == "Regex" and not value:
        found.problem("Regex is empty", "write the pattern that finds the value")


def _check_choice(
    found: _Fields, key: str, value: object, choices: tuple[str, ...], *, optional: bool = False
) -> bool:
    if (optional and value is None) or (isinstance(value, str) and value in choices):
        return True
    text = value if isinstance(value, str) else reprlib.repr(value)
    close = difflib.get_close_matches(text, choices, n=1) or [
        choice for choice in choices if choice.lower() == text.lower()
    ]
    hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(choices)}"
    found.problem(f"{key} cannot be {reprlib.repr(value)}", hint)
    return False


def _check_group(found: _Fields, group: object) -> None:
    if group is None or (isinstance(group, str) and group):
        return
    if isinstance(group, bool) or not isinstance(group, int):
        found.problem(f"Group must be a number or a name, not {reprlib.repr(group)}")
    elif group < 1:
        found.problem(
            f"Group cannot be {group}: groups count from 1",
            "put parentheses around the number and leave Group out",
        )


def _check_ignore(found: _Fields, codes: object) -> tuple[str, ...]:
    if isinstance(codes, str) or not isinstance(codes, Iterable):
        found.problem(f"Ignore must be a list of finding codes, not {reprlib.repr(codes)}")
        return ()
    listed = tuple(codes)
    if not all(isinstance(code, str) for code in listed):
        found.problem("Ignore must be a list of finding codes, each a text")
        return ()
    return listed


def _check_examples(found: _Fields, examples: object) -> tuple[Example, ...]:
    wrong = 'Examples must be a list of {"line": text, "value": number or null}'
    if isinstance(examples, (str, bytes, Mapping)) or not isinstance(examples, Iterable):
        found.problem(wrong)
        return ()
    clean = []
    for position, example in enumerate(examples):
        pair = _example_pair(example)
        if pair is None:
            found.problem(f"{wrong}; number {position} is {reprlib.repr(example)}")
        else:
            clean.append(pair)
    return tuple(clean)


def _example_pair(example: object) -> Example | None:
    if isinstance(example, Mapping):
        if set(example) != {"line", "value"}:
            return None
        line, value = example["line"], example["value"]
    elif isinstance(example, tuple) and len(example) == 2:
        line, value = example
    else:
        return None
    if not isinstance(line, str) or isinstance(value, bool):
        return None
    if value is None:
        return Example(line, None)
    if not isinstance(value, (int, float, str)):
        return None
    try:  # a str for "nan" and "inf", which JSON has no numbers for
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return Example(line, number)


def example_to_json(example: Example) -> dict[str, Any]:
    """The example as a definitions file writes it.

    Example:
        >>> example_to_json(Example("loss nan", float("nan")))
        {'line': 'loss nan', 'value': 'nan'}
    """
    value = example.value
    plain = value is None or math.isfinite(value)
    return {"line": example.line, "value": value if plain else str(value)}
