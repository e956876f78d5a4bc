r"""Why a definition matches nothing in these logs.

Principal function: `explain`. It scans the logs a few times: with the definition and its literals,
with ever longer beginnings of its pattern, and with the pattern as it would be without one of the
assumptions of `causes`. The scans are those of everyone, so any amount of logs will do.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metricsieve import _engine
from metricsieve._metric_definition import MetricDefinition
from metricsieve._scan import scan
from metricsieve._sources import refuse_streams
from metricsieve.checks.pattern import Anatomy, Part, flags_apart
from metricsieve.definitions import DefinitionSet
from metricsieve.exceptions import no_warnings
from metricsieve.explaining.causes import CAUSES

# Records that are shown.
NEAREST = 3
# Longest text of a record that is kept.
MAX_TEXT = 400


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A record in which a beginning of the pattern matches, and where it stops.

    Attributes:
        source: label of the source.
        line: the record's line, counted from 1.
        text: the record, cut to 400 characters.
        matched: what the beginning of the pattern matched there, a span of `text`.
        stopped: end of the part of the pattern that matched, in characters of the pattern.
    """

    source: str
    line: int
    text: str
    matched: tuple[int, int]
    stopped: int


@dataclass(frozen=True, slots=True)
class Remedy:
    """A pattern that does match, and what it does not assume.

    Attributes:
        causes: codes of the assumptions that were dropped.
        message: what they were.
        pattern: the pattern.
        points: how many points it gives in these logs.
        text: a captured text.
    """

    causes: tuple[str, ...]
    message: str
    pattern: str
    points: int
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a definition matches nothing, or that it does.

    Attributes:
        definition: the definition.
        records: records in the logs.
        points: points that it gives after all.
        rejects: captured texts that are no number, by reason.
        reject_examples: some of them.
        literals: texts that every match must hold, and in how many records each stands.
        nearest: records in which most of the pattern matches.
        remedies: patterns that match, the likeliest first.
    """

    definition: MetricDefinition
    records: int
    points: int
    rejects: dict[str, int]
    reject_examples: list[str] = field(default_factory=list)
    literals: list[tuple[str, int]] = field(default_factory=list)
    nearest: list[NearMiss] = field(default_factory=list)
    remedies: list[Remedy] = field(default_factory=list)


def explain(
    definition: MetricDefinition | Mapping[str, Any] | str,
    sources: Any,
    *,
    normalize: str = "terminal",
    threads: int | None = None,
) -> Explanation:
    r"""Say why a definition matches nothing in logs, and what would match.

    Args:
        definition: a definition, or a regular expression alone.
        sources: what `scan` takes; it is read several times, so no stream.
        normalize: as in `scan`.
        threads: as in `scan`.

    Raises:
        DefinitionError: the definition cannot be used.
        TypeError: a source can be read only once.
        FileNotFoundError: a source does not exist.

    Example:
        >>> told = explain(r"loss: ([0-9.]+)", b"Loss: 0.5\n")
        >>> told.points, told.remedies[0].causes, told.remedies[0].pattern
        (0, ('letter-case',), '(?i)loss: ([0-9.]+)')
    """
    if isinstance(definition, str):
        definition = {"Name": "metric", "Regex": definition}
    checked = DefinitionSet([definition])
    (one,) = checked
    terminal = normalize == "terminal"
    (info,) = checked._checked(terminal=terminal)
    logs = _Logs(sources, normalize, threads)
    listed = [
        {**one.to_dict(), "Name": "0"},
        *(
            {"Name": str(number), "Regex": f"({re.escape(text)})"}
            for number, text in enumerate(info.literals, 1)
        ),
    ]
    records, counted = logs.count(listed)
    own = counted[0]
    explanation = Explanation(
        one,
        records,
        own.points,
        dict(own.rejects),
        [example["text"] for some in own.reject_examples.values() for example in some],
        [(text, _matches(found)) for text, found in zip(info.literals, counted[1:], strict=True)],
    )
    if own.points or info.backtracking:  # what looks around itself cannot be taken apart
        return explanation
    anatomy = Anatomy(one.regex, info, terminal=terminal)
    explanation.nearest.extend(_nearest(anatomy, logs))
    explanation.remedies.extend(_remedies(anatomy, logs))
    return explanation


def _matches(report: Any) -> int:
    return int(report.points + sum(report.rejects.values()))


class _Logs:
    """The sources, to be scanned again and again."""

    def __init__(self, sources: Any, normalize: str, threads: int | None) -> None:
        refuse_streams(sources, "explain")
        self._sources = sources
        self._options: dict[str, Any] = {"normalize": normalize, "threads": threads}

    def count(self, definitions: list[dict[str, Any]]) -> tuple[int, list[Any]]:
        """How many records there are, and what each definition finds."""
        with no_warnings():
            done = scan(self._sources, definitions, columns=["value"], **self._options)
            for _ in done:
                pass
        return done.report.records, list(done.report.definitions)

    def first(self, pattern: str, limit: int) -> list[dict[str, Any]]:
        """The first matches: source, line and captured text."""
        with no_warnings():
            done = scan(
                self._sources,
                [{"Name": "first", "Regex": pattern}],
                columns=["source", "line", "text"],
                on_reject="null",
                batch_rows=limit,
                **self._options,
            )
            with done:
                rows = itertools.islice((row for batch in done for row in batch.to_pylist()), limit)
                return list(rows)


def beginnings(anatomy: Anatomy) -> list[tuple[str, int]]:
    r"""Ever longer beginnings of a pattern, each with its end in the pattern.

    Example:
        >>> info = _engine.check_pattern(r"a(b\d+)", None, terminal=True)
        >>> beginnings(Anatomy(r"a(b\d+)", info))
        [('a', 1), ('a(?:b)', 3), ('a(?:b\\d+)', 7)]
    """
    flags, _ = flags_apart(anatomy.pattern)
    found: list[tuple[str, int]] = []

    def walk(part: Part, written: str, closing: str) -> str:
        for item in part.items():
            inner = item.children[0] if item.kind == "group" else None
            if inner is not None and inner.kind == "concat":
                written = walk(inner, f"{written}(?:", f"){closing}") + ")"
                found[-1] = (found[-1][0], item.end)
            else:
                text = item.text
                if item.kind == "group" and not text.startswith("(?"):
                    text = f"(?:{text[1:]}"
                written += text
                found.append((f"{flags}{written}{closing}", item.end))
        return written

    if anatomy.root.kind == "alternation":
        return [(anatomy.pattern, len(anatomy.pattern))]
    walk(anatomy.root, "", "")
    return found


def _nearest(anatomy: Anatomy, logs: _Logs) -> list[NearMiss]:
    """Where the longest beginning matches that matches anywhere: found by halving."""
    steps = beginnings(anatomy)
    low, high, rows = 0, len(steps), []  # steps[:low] match somewhere, steps[high:] nowhere
    while low < high:
        middle = (low + high) // 2
        found = logs.first(_whole_record(steps[middle][0]), NEAREST)
        if found:
            low, rows = middle + 1, found
        else:
            high = middle
    if not low or not _says_something(steps[low - 1][0]):
        return []
    pattern, stopped = steps[low - 1]
    compiled = _engine.check_pattern(_captured(pattern), 1, terminal=anatomy.terminal).compiled
    misses = []
    for row in rows:
        span = (compiled.find(row["text"]) or (0, 0))[:2]
        start = max(0, span[1] - MAX_TEXT // 2)
        text = row["text"][start : start + MAX_TEXT]
        matched = (max(0, span[0] - start), span[1] - start)
        misses.append(NearMiss(row["source"], row["line"], text, matched, stopped))
    return misses


def _whole_record(beginning: str) -> str:
    """Captures the whole record in which a beginning of a pattern matches."""
    flags, rest = flags_apart(beginning)
    return f"{flags}^(.*?(?:{rest}).*)"


def _captured(beginning: str) -> str:
    """Captures what a beginning of a pattern matches."""
    flags, rest = flags_apart(beginning)
    return f"{flags}({rest})"


def _says_something(beginning: str) -> bool:
    """Whether a beginning is more than white space, dots and single characters."""
    return len(re.findall(r"[A-Za-z0-9]", re.sub(r"\\.|\[[^]]*\]", "", beginning))) >= 2


def _remedies(anatomy: Anatomy, logs: _Logs) -> list[Remedy]:
    """Patterns with one assumption dropped, or with two, that give points."""
    for number in (1, 2):
        changed: dict[tuple[int, ...], str] = {}
        for causes in itertools.combinations(range(len(CAUSES)), number):
            pattern = _changed(anatomy, causes)
            if pattern is not None:
                changed[causes] = pattern
        found = _tried(changed, logs)
        if found:
            return found
    return []


def _changed(anatomy: Anatomy, causes: tuple[int, ...]) -> str | None:
    for number in causes:
        changed = CAUSES[number].rewrite(anatomy)
        if changed is None or changed == anatomy.pattern:
            return None
        try:
            info = _engine.check_pattern(changed, None, terminal=anatomy.terminal)
        except _engine.PatternError:
            return None
        anatomy = Anatomy(changed, info, terminal=anatomy.terminal)
    return anatomy.pattern


def _tried(patterns: Mapping[tuple[int, ...], str], logs: _Logs) -> list[Remedy]:
    unique: dict[str, tuple[int, ...]] = {}
    for causes, pattern in patterns.items():
        unique.setdefault(pattern, causes)
    if not unique:
        return []
    _, counted = logs.count([{"Name": str(n), "Regex": one} for n, one in enumerate(unique)])
    remedies = []
    for (pattern, causes), report in zip(unique.items(), counted, strict=True):
        if not report.points:
            continue
        rows = logs.first(pattern, 1)
        remedies.append(
            Remedy(
                tuple(CAUSES[number].code for number in causes),
                "; and ".join(CAUSES[number].message for number in causes),
                pattern,
                report.points,
                rows[0]["text"] if rows else "",
            )
        )
    return remedies
