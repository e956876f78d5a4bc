"""A list as users write it to definitions that can be used, and what is wrong with the others.

Principal function: `validate`. Fed by `definitions` and the linter. Structure is checked here,
patterns by the Rust engine through `_engine`, so that a pattern means the same when it is checked
and when it runs.
"""

from __future__ import annotations

import re
import reprlib
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from metricsieve._definition_fields import check_fields, read_mapping
from metricsieve._metric_definition import MetricDefinition
from metricsieve.exceptions import DefinitionProblem, DefinitionWarning

if TYPE_CHECKING:
    from metricsieve._engine import PatternInfo

MAX_DEFINITIONS = 10_000
# Columns of every result, whose names no label and no context column may have; those that a label
# of their name fills.
COLUMNS = frozenset(
    ["metric", "value", "timestamp", "source", "line", "offset", "definition", "match", "text"]
)
ORIGIN = frozenset(["job", "host", "rank", "stream"])
# What the engine calls the constructs that only the backtracking engine will have.
_NEEDS_BACKTRACKING = frozenset(
    [
        *("lookahead", "lookbehind", "back-reference"),
        *("possessive quantifier", "atomic group", "conditional group"),
    ]
)
# The last thing in a pattern that looks as if it stood for a number: what R6's remedy wraps.
_NUMBER_LIKE = re.compile(r"(?:\[(?:\\.|[^\]\\])+\]|\\[Sd]|(?<!\\)\.)(?:[+*]\??|\{[0-9,]+\})")


def items_from_args(arguments: Iterable[str]) -> list[Any]:
    """`NAME=REGEX` texts as definitions, or as the problem with one."""
    items: list[Any] = []
    for index, argument in enumerate(arguments):
        name, equals, regex = argument.partition("=")
        if equals and name:
            items.append({"Name": name, "Regex": regex})
        else:  # kept in its place, so that the patterns' errors are found in the same run
            message = f"{reprlib.repr(argument)} is not NAME=REGEX"
            hint = "for example 'train:loss=loss: ([0-9.]+)'"
            items.append(DefinitionProblem(message, index, hint=hint))
    return items


def validate(
    items: Iterable[Any], *, from_job: bool
) -> tuple[list[tuple[int, MetricDefinition, PatternInfo]], list[DefinitionProblem]]:
    """The definitions of a list that can be used, with their indexes, and what is wrong.

    Args:
        items: definitions, unchecked.
        from_job: whether they come from a job description: then a definition without a group is
            skipped with a `DefinitionWarning`, and identical ones count once.
    """
    problems: list[DefinitionProblem] = []
    checked: list[tuple[int, MetricDefinition, PatternInfo]] = []
    seen: dict[MetricDefinition, int] = {}
    for index, item in enumerate(items):
        if index >= MAX_DEFINITIONS:
            message = f"more than {MAX_DEFINITIONS:,} definitions"
            problems.append(DefinitionProblem(message, hint="split the list"))
            break
        definition, wrong = _read_item(item, index)
        problems += wrong
        if definition is None or (from_job and _is_dummy(definition, index)):
            continue
        if definition in seen:
            if not from_job:  # tuning jobs repeat their list in every definition
                problems.append(_twice(definition, index, seen[definition]))
            continue
        seen[definition] = index
        info, wrong = check_pattern(definition, index)
        problems += wrong
        if info is not None:
            checked.append((index, definition, info))
    return checked, problems


def _is_dummy(definition: MetricDefinition, index: int) -> bool:
    if has_group(definition.regex):
        return False
    problem = DefinitionProblem("skipped, its pattern has no capture group", index, definition.name)
    warnings.warn(str(problem), DefinitionWarning, stacklevel=4)
    return True


def _read_item(item: object, index: int) -> tuple[MetricDefinition | None, list[DefinitionProblem]]:
    if isinstance(item, MetricDefinition):
        return item, []
    if isinstance(item, DefinitionProblem):
        return None, [item]
    if not isinstance(item, Mapping):
        message = f'expected {{"Name": ..., "Regex": ...}}, not {reprlib.repr(item)}'
        return None, [DefinitionProblem(message, index)]
    given, problems = read_mapping(item, index)
    clean, wrong = check_fields(given, index)
    problems += wrong
    if problems:
        return None, problems
    definition = MetricDefinition.__new__(MetricDefinition)  # its __init__ would check once more
    definition._fill(clean)
    return definition, []


def _twice(definition: MetricDefinition, index: int, first: int) -> DefinitionProblem:
    message = f"the same name, regex and options as definition {first}"
    return DefinitionProblem(message, index, definition.name, hint="remove one of the two")


def has_group(pattern: str) -> bool:
    """Whether a pattern captures anything, by Python's parser; True if that refuses it."""
    if "(" not in pattern:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # FutureWarning of sets such as [[]
            return re.compile(pattern).groups > 0
    except (re.error, RecursionError, OverflowError):
        return True  # the engine will say what is wrong with it


def _no_group(regex: str, name: str, index: int | None, kind: str) -> DefinitionProblem:
    hint, span = "put parentheses around the number, as in loss=([0-9.]+)", None
    for span_match in _NUMBER_LIKE.finditer(regex):
        span = span_match.span()
    if span is not None:
        start, end = span
        fixed = f"{regex[:start]}({regex[start:end]}){regex[end:]}"
        if len(fixed) <= 200:
            hint = f"put parentheses around the number: {fixed}"
    return DefinitionProblem(
        "the pattern has no capture group, so nothing says which part is the value",
        index,
        name,
        regex,
        span or (0, len(regex)),
        hint,
        "no-group",
        kind,
    )


def compile_pattern(
    regex: str,
    *,
    name: str,
    index: int | None = None,
    kind: str = "definition",
    group: int | str | None = None,
    engine: str = "linear",
    terminal: bool = True,
) -> tuple[PatternInfo | None, list[DefinitionProblem]]:
    """What the engine makes of a pattern, or why it refuses it."""
    from metricsieve import _engine

    try:
        return _engine.check_pattern(regex, group, terminal=terminal, engine=engine), []
    except _engine.PatternError as error:
        # That there is no group matters most. Python says so, and is asked only now: its compiler
        # takes longer than the engine.
        if not has_group(regex):
            return None, [_no_group(regex, name, index, kind)]
        message, start, end, construct, hint = error.args
        span = None if start is None else (start, end)  # some errors are about no one place
        code = "needs-backtracking" if construct in _NEEDS_BACKTRACKING else "invalid-pattern"
        return None, [DefinitionProblem(message, index, name, regex, span, hint, code, kind)]


def check_pattern(
    definition: MetricDefinition, index: int, *, terminal: bool = True
) -> tuple[PatternInfo | None, list[DefinitionProblem]]:
    """What the engine makes of a definition's pattern, or everything that is wrong with it."""
    info, problems = compile_pattern(
        definition.regex,
        name=definition.name,
        index=index,
        group=definition.group,
        engine=definition.engine,
        terminal=terminal,
    )
    if info is None:
        return None, problems
    if info.backtracking and info.can_be_empty and definition.matches != "first":
        problems.append(
            DefinitionProblem(
                f"Matches {definition.matches!r} of a pattern that needs backtracking and can be "
                "empty is not supported",
                index,
                definition.name,
                definition.regex,
                (0, len(definition.regex)),
                "let it match at least one character",
            )
        )
    for _number, label in info.labels:
        if label in COLUMNS:
            start = max(0, definition.regex.find(f"(?P<{label}>"))
            problems.append(
                DefinitionProblem(
                    f"the group named {label!r} would be a column, and there is one of that name",
                    index,
                    definition.name,
                    definition.regex,
                    (start, start + len(f"(?P<{label}>")),
                    "give the group another name",
                )
            )
    return info, problems
