r"""Definitions tried on real logs: what each finds, rejects and cuts short.

Principal function: `try_on`, which the command `check --against` shows beside the findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metricsieve.checks.finding import Finding
from metricsieve.checks.pattern import flags_apart
from metricsieve.exceptions import DefinitionError, no_warnings

if TYPE_CHECKING:
    from metricsieve._engine import CheckedPattern, PatternInfo
    from metricsieve._metric_definition import MetricDefinition

# Groups that hold what stands around a match; no user's group has such a name.
_BEFORE, _MATCH, _AFTER = "metricsieve_before", "metricsieve_match", "metricsieve_after"


@dataclass(frozen=True, slots=True)
class Shown:
    """A captured text in its record.

    Attributes:
        source: label of the source.
        line: the record's line, counted from 1.
        record: the record.
        span: the captured text's place in it.
        value: the number, or None for a reject.
    """

    source: str
    line: int
    record: str
    span: tuple[int, int]
    value: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """What a definition does on logs.

    Attributes:
        index: its position in the list.
        definition: the definition.
        points: numbers found.
        rejects: captured texts that are no number, by reason; those that there are.
        truncated: points beside more digits than the group took.
        first: the first match, in row order.
        last: the last match.
        raw_only: points with `normalize="none"` where there is none without it.
        example: a text of the truncated or rejected ones.
    """

    index: int
    definition: MetricDefinition
    points: int
    rejects: dict[str, int]
    truncated: int
    first: Shown | None
    last: Shown | None
    raw_only: int
    example: str | None

    def findings(self) -> Iterable[Finding]:
        """What is worth a word, as findings."""
        where = (self.index, self.definition.name, self.definition.regex)
        if not self.points and not self.rejects:
            message = "matches nothing in these logs"
            if self.raw_only:
                message += f", but {self.raw_only:,} times in the text with its control characters"
            yield Finding("no-match", message, *where, hint="'metricsieve explain' says why")
        for reason, count in self.rejects.items():
            shown = f", such as {self.example!r}" if self.example is not None else ""
            yield Finding("rejected", f"{count:,} captures are no number: {reason}{shown}", *where)
        if self.truncated:
            shown = f": {self.example}" if self.example is not None else ""
            yield Finding("cut-short", f"{self.truncated:,} numbers are cut short{shown}", *where)


def try_on(
    definitions: Sequence[tuple[int, MetricDefinition, PatternInfo]], sources: Any
) -> list[Trial]:
    """Scan logs with definitions, once as terminal text and once raw.

    Args:
        definitions: index, definition and what the engine makes of its pattern.
        sources: what `scan` takes; it is read three times, so no stream.
    """
    with no_warnings():
        report = _counts([one for _, one, _ in definitions], sources, "terminal")
        assert report is not None
        raw = _counts([one for _, one, _ in definitions], sources, "none")
        ends = _first_and_last(definitions, sources)
    trials = []
    for number, (index, definition, _) in enumerate(definitions):
        entry = report[number]
        rejects = {reason: count for reason, count in entry.rejects.items() if count}
        examples = [one["text"] for some in entry.reject_examples.values() for one in some]
        cut = entry.truncated.get("example") or {}
        first, last = ends.get(number, (None, None))
        found = entry.points or rejects
        trials.append(
            Trial(
                index,
                definition,
                entry.points,
                rejects,
                entry.truncated.get("count", 0),
                first,
                last,
                0 if found or raw is None else raw[number].points,
                examples[0] if examples else cut.get("text"),
            )
        )
    return trials


def _counts(
    definitions: Sequence[MetricDefinition], sources: Any, normalize: str
) -> Sequence[Any] | None:
    """The report's entries; None where a pattern is not legal in this mode."""
    from metricsieve._scan import scan

    try:
        done = scan(sources, definitions, normalize=normalize, columns=["value"])
    except DefinitionError:
        return None
    for _ in done:
        pass
    return list(done.report.definitions)


def _first_and_last(
    definitions: Sequence[tuple[int, MetricDefinition, PatternInfo]], sources: Any
) -> dict[int, tuple[Shown, Shown]]:
    """The first and the last match of each definition, with its record."""
    from metricsieve._scan import scan

    wrapped = []
    for number, (_, definition, info) in enumerate(definitions):
        if info.backtracking:  # its references count groups
            continue
        one = {"Name": str(number), "Regex": _wrapped(definition.regex), "Matches": "first"}
        wrapped.append({**one, "Group": info.value_group + 2})
    if not wrapped:
        return {}
    columns = ["metric", "source", "line", "value", "text", _BEFORE, _MATCH, _AFTER]
    try:
        found = scan(sources, wrapped, columns=columns, on_reject="null")
    except DefinitionError:  # a limit that the longer pattern meets
        return {}
    ends: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
    for batch in found:
        for row in batch.to_pylist():
            number = int(row["metric"])
            first, _ = ends.get(number, (row, row))
            ends[number] = (first, row)
    found_by = [info.compiled for _, _, info in definitions]
    return {
        number: (_shown(first, found_by[number]), _shown(last, found_by[number]))
        for number, (first, last) in ends.items()
    }


def _wrapped(regex: str) -> str:
    """A pattern that finds the same match and captures the record around it."""
    flags, rest = flags_apart(regex)
    return f"{flags}^(?P<{_BEFORE}>.*?)(?P<{_MATCH}>{rest})(?P<{_AFTER}>.*)"


def _shown(row: dict[str, Any], compiled: CheckedPattern) -> Shown:
    record = "".join(row[part] or "" for part in (_BEFORE, _MATCH, _AFTER))
    start, end, first, last = compiled.find(record) or (0, 0, None, None)
    span = (start, end) if first is None or last is None else (first, last)
    return Shown(row["source"], row["line"], record, span, row["value"])
