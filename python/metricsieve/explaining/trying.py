r"""A pattern on lines while it is being written: what `preview --screen` shows after each key.

Principal function: `try_pattern`. It never raises for a pattern: a half-written one has an error
to show, and the lines stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from metricsieve._scan import scan
from metricsieve.checks.finding import Finding
from metricsieve.definitions import DefinitionSet
from metricsieve.exceptions import DefinitionError, DefinitionProblem, no_warnings
from metricsieve.explaining.lines import preview

# Records that are shown, and characters of each.
MAX_RECORDS = 500
MAX_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class TriedLine:
    """A record and what the pattern finds in it.

    Attributes:
        text: the record, as the engine matches it.
        match: the matched text's place, or None.
        group: the place of the value's group in it, or None.
        value: the number, or None.
        reason: why a match gives no number, or None.
    """

    text: str
    match: tuple[int, int] | None = None
    group: tuple[int, int] | None = None
    value: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """What a pattern does on lines.

    Attributes:
        lines: the records, in their order.
        problem: what is wrong with the pattern, or None.
        findings: what the linter says.
    """

    lines: list[TriedLine]
    problem: DefinitionProblem | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def matches(self) -> int:
        """How many records match."""
        return sum(line.match is not None for line in self.lines)

    @property
    def points(self) -> int:
        """How many records give a number."""
        return sum(line.value is not None for line in self.lines)


def read_records(sources: Any, *, limit: int = MAX_RECORDS) -> list[str]:
    r"""The first records of logs as text, escapes undone and colours taken out.

    Example:
        >>> read_records(b"a#015\x1b[1mb\x1b[0m\n")
        ['a', 'b']
    """
    with no_warnings():
        every = [{"Name": "record", "Regex": "^(.+)"}]
        done = scan(sources, every, columns=["text"], on_reject="null", batch_rows=limit)
        with done:
            for batch in done:
                texts = batch["text"].to_pylist()[:limit]
                return [text[:MAX_CHARS] for text in texts if text and not text.isspace()]
    return []


def try_pattern(regex: str, records: Sequence[str]) -> Tried:
    r"""Run a pattern on records, as `scan` would.

    Args:
        regex: the pattern, maybe half-written.
        records: lines without control characters, as `read_records` gives them.

    Example:
        >>> tried = try_pattern(r"loss=(\S+)", ["loss=0.5", "acc=1"])
        >>> tried.matches, tried.lines[0].group, tried.lines[0].value
        (1, (5, 8), 0.5)
        >>> try_pattern("loss=(", ["loss=0.5"]).problem.message
        'missing `)`, unterminated group'
    """
    if not regex:
        return Tried([TriedLine(text) for text in records])
    try:
        definitions = DefinitionSet([{"Name": "pattern", "Regex": regex}])
    except DefinitionError as error:
        return Tried([TriedLine(text) for text in records], error.errors[0])
    (info,) = definitions._checked(terminal=True)
    lines = []
    for text, seen in zip(records, preview(definitions, _plain(records)), strict=True):
        found = info.compiled.find(text) if seen.matches else None
        if found is None:
            lines.append(TriedLine(text))
            continue
        (match,) = seen.matches
        start, end, first, last = found
        group = None if first is None or last is None else (first, last)
        lines.append(TriedLine(text, (start, end), group, match.value, match.reason))
    return Tried(lines, None, definitions.check())


def _plain(records: Iterable[str]) -> list[str]:
    """Records that stay one record each, whatever they hold."""
    return [text.replace("\r", " ").replace("\b", " ") for text in records]
