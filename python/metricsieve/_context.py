"""Context columns: what a record, or one before it, says beside the metrics, such as an epoch.

Principal type: `ContextColumn`; `read_context` makes them of what users write, `joined` of the
columns of two definition sets. Fed by `definitions`, `_scan` and the command line. The values are
found by the engine.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metricsieve._definition_fields import suggest_key
from metricsieve._validation import COLUMNS, ORIGIN, compile_pattern
from metricsieve.exceptions import DefinitionError, DefinitionProblem

MAX_CONTEXT_COLUMNS = 100
TYPES = ("int64", "float64", "string")
# The step axis of sinks and plots is the first of these.
STEPS = ("step", "global_step", "iteration", "epoch", "round")
_KEYS = {"Regex": "regex", "Type": "type", "regex": "regex", "type": "type"}
_KIND = "context column"


@dataclass(frozen=True, slots=True)
class ContextColumn:
    r"""A column that the record of a point fills, or the last record before it that tells.

    Attributes:
        name: the column's name.
        regexes: patterns with a group each; the first that matches a record tells.
        type: `"int64"`, `"float64"` or `"string"`.

    Example:
        >>> ContextColumn("epoch", (r"Epoch (\d+)/",)).to_value()
        'Epoch (\\d+)/'
    """

    name: str
    regexes: tuple[str, ...]
    type: str = "int64"

    def to_value(self) -> Any:
        """The column as a definitions file writes it."""
        if self.type == "int64" and len(self.regexes) == 1:
            return self.regexes[0]
        regex = self.regexes[0] if len(self.regexes) == 1 else list(self.regexes)
        return {"Regex": regex, "Type": self.type}


def read_context(given: object) -> tuple[ContextColumn, ...]:
    r"""The columns of a mapping from names to patterns.

    Args:
        given: None, or a mapping whose values are a regex, a pair (regex, type), or
            `{"Regex": regex or list of them, "Type": type}`; or columns.

    Raises:
        DefinitionError: with every problem; the patterns are compiled, too.

    Example:
        >>> read_context({"epoch": (r"'epoch': ([0-9.]+)", "float64")})
        (ContextColumn(name='epoch', regexes=("'epoch': ([0-9.]+)",), type='float64'),)
    """
    if given is None:
        return ()
    if isinstance(given, Mapping):
        problems: list[DefinitionProblem] = []
        columns = [_read_column(name, value, problems) for name, value in given.items()]
        found = [column for column in columns if column is not None]
    elif isinstance(given, Sequence) and all(isinstance(one, ContextColumn) for one in given):
        problems, found = [], list(given)
    else:
        hint = r"for example {'epoch': r'Epoch (\d+)/'}"
        message = f"Context must map column names to regular expressions, not be {_short(given)}"
        raise DefinitionError([DefinitionProblem(message, hint=hint)])
    if len(found) > MAX_CONTEXT_COLUMNS:
        problems.append(DefinitionProblem(f"more than {MAX_CONTEXT_COLUMNS} context columns"))
    problems += check_context(found)
    if problems:
        raise DefinitionError(problems)
    return tuple(found)


def check_context(
    columns: Iterable[ContextColumn], *, labels: Iterable[str] = (), terminal: bool = True
) -> list[DefinitionProblem]:
    """What is wrong with the names and patterns of columns.

    Args:
        columns: the columns.
        labels: names that columns have already, beside those of every scan.
        terminal: whether the patterns will be matched on normalised terminal text.
    """
    problems: list[DefinitionProblem] = []
    taken = {*COLUMNS, *ORIGIN, *labels}
    for column in columns:
        if column.name in taken:
            message = "another column of the result has that name"
            hint = "give one of the two another name"
            problems.append(DefinitionProblem(message, name=column.name, hint=hint, kind=_KIND))
        taken.add(column.name)
        for regex in column.regexes:
            info, wrong = compile_pattern(regex, name=column.name, kind=_KIND, terminal=terminal)
            problems += wrong
            for _number, label in info.labels if info is not None else ():
                message = f"the group {label!r} would be a label, which only points have"
                hint = "write (?:...), a group that captures nothing"
                start = max(0, regex.find(f"(?P<{label}>"))
                span = (start, start + len(f"(?P<{label}>"))
                problems.append(
                    DefinitionProblem(message, None, column.name, regex, span, hint, kind=_KIND)
                )
    return problems


def context_warnings(
    columns: Iterable[ContextColumn], *, terminal: bool
) -> list[DefinitionProblem]:
    """What the engine finds odd, but legal, in the patterns of columns."""
    found = []
    for column in columns:
        for regex in column.regexes:
            info, _ = compile_pattern(regex, name=column.name, kind=_KIND, terminal=terminal)
            for start, end, message in info.warnings if info is not None else ():
                found.append(
                    DefinitionProblem(message, None, column.name, regex, (start, end), kind=_KIND)
                )
    return found


def from_args(arguments: Iterable[str]) -> dict[str, Any]:
    r"""`NAME=REGEX` and `NAME:TYPE=REGEX` texts as a mapping that `read_context` takes.

    Raises:
        DefinitionError: a text is neither, or a name comes twice.

    Example:
        >>> from_args([r"epoch:float64='epoch': ([0-9.]+)"])
        {'epoch': {'Regex': "'epoch': ([0-9.]+)", 'Type': 'float64'}}
    """
    problems: list[DefinitionProblem] = []
    found: dict[str, Any] = {}
    for argument in arguments:
        left, equals, regex = argument.partition("=")
        name, colon, kind = left.partition(":")
        if not equals or not name or (colon and kind not in TYPES):
            message = f"{reprlib.repr(argument)} is neither NAME=REGEX nor NAME:TYPE=REGEX"
            hint = rf"for example 'epoch=Epoch (\d+)/'; the types are {', '.join(TYPES)}"
            problems.append(DefinitionProblem(message, hint=hint))
        elif name in found:
            problems.append(DefinitionProblem("given twice", name=name, kind=_KIND))
        else:
            found[name] = {"Regex": regex, "Type": kind or TYPES[0]}
    if problems:
        raise DefinitionError(problems)
    return found


def joined(
    first: Iterable[ContextColumn], second: Iterable[ContextColumn]
) -> tuple[ContextColumn, ...]:
    """The columns of both; one that both have gets the patterns of both and the wider type.

    Example:
        >>> a, b = ContextColumn("epoch", ("e(1)",)), ContextColumn("epoch", ("E(.)",), "string")
        >>> joined([a], [b])
        (ContextColumn(name='epoch', regexes=('e(1)', 'E(.)'), type='string'),)
    """
    found: dict[str, ContextColumn] = {}
    for column in (*first, *second):
        known = found.get(column.name, column)
        regexes = tuple(dict.fromkeys((*known.regexes, *column.regexes)))
        wider = max(known.type, column.type, key=TYPES.index)
        found[column.name] = ContextColumn(column.name, regexes, wider)
    return tuple(found.values())


def step_column(names: Iterable[str]) -> str | None:
    """Which of some columns is the step axis, if one is.

    Example:
        >>> step_column(["metric", "value", "epoch", "round"])
        'epoch'
    """
    present = set(names)
    return next((name for name in STEPS if name in present), None)


def _read_column(
    name: object, value: object, problems: list[DefinitionProblem]
) -> ContextColumn | None:
    if not isinstance(name, str) or not name:
        message = f"the name of a context column is text, not {_short(name)}"
        problems.append(DefinitionProblem(message))
        return None

    def problem(message: str, hint: str | None = None) -> None:
        problems.append(DefinitionProblem(message, name=name, hint=hint, kind=_KIND))

    regexes: Any = value
    kind: Any = TYPES[0]
    if isinstance(value, ContextColumn):
        return ContextColumn(name, value.regexes, value.type)
    if isinstance(value, Mapping):
        unknown = [key for key in value if key not in _KEYS]
        if unknown:
            problem(f"unknown key {_short(unknown[0])}", suggest_key(str(unknown[0]), list(_KEYS)))
            return None
        fields = {_KEYS[key]: one for key, one in value.items()}
        regexes, kind = fields.get("regex"), fields.get("type", kind)
    elif isinstance(value, (tuple, list)) and len(value) == 2:
        regexes, kind = value
    regexes = list(regexes) if isinstance(regexes, (tuple, list)) else [regexes]
    if not regexes or not all(isinstance(regex, str) for regex in regexes):
        problem(
            f"expected a regex, a pair (regex, type) or a mapping with both, not {_short(value)}"
        )
        return None
    if kind not in TYPES:
        hint = suggest_key(kind, TYPES) if isinstance(kind, str) else None
        problem(f"the type is {_short(kind)}, not one of {', '.join(TYPES)}", hint)
        return None
    return ContextColumn(name, tuple(regexes), kind)


def _short(value: object) -> str:
    return reprlib.repr(value)
