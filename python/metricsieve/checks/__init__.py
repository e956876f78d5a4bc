r"""The linter: what will go wrong with metric definitions, before a job runs.

Principal function: `check`. Each rule is a function in `group_rules` (the value's group),
`text_rules` (the rest of a pattern) or `set_rules` (definitions beside one another); `repair`
makes the suggested pattern. Fed by `DefinitionSet.check` and the command line.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from metricsieve import _engine
from metricsieve._text import shorten
from metricsieve.checks import group_rules, set_rules, text_rules
from metricsieve.checks.finding import CODES, SEVERITIES, Finding
from metricsieve.checks.pattern import Anatomy
from metricsieve.checks.repair import repair

if TYPE_CHECKING:
    from metricsieve._engine import PatternInfo
    from metricsieve.definitions import MetricDefinition

# Longer texts around a group are not tried: `a{60000}` takes seconds for each number.
MAX_SURROUNDINGS = 2_000

__all__ = ["CODES", "SEVERITIES", "Finding", "check"]


def check(
    definitions: Sequence[tuple[int, MetricDefinition, PatternInfo]],
    *,
    terminal: bool = True,
    sagemaker: bool = False,
) -> list[Finding]:
    """All findings, in the order of the definitions, the worst of each first.

    Args:
        definitions: index, definition and what the engine makes of its pattern.
        terminal: whether they will run on terminal text.
        sagemaker: whether SageMaker's own limits hold.
    """
    found: list[Finding] = []
    taken_apart = []
    for index, definition, info in definitions:
        if info.backtracking:  # only examples can be tried on what depends on its surroundings
            found += [
                dataclasses.replace(one, index=index, name=definition.name)
                for one in (*_of_engine(definition.regex, info), *_examples(definition, terminal))
            ]
            continue
        anatomy = Anatomy(definition.regex, info, terminal=terminal)
        taken_apart.append((index, definition, anatomy))
        own = _of_pattern(anatomy, info)
        again = functools.partial(_take_apart, group=definition.group, terminal=terminal)
        suggestion, remaining = repair(anatomy, own, again) or (None, frozenset())
        own += _examples(definition, terminal)
        for finding in own:
            helps = None if finding.code in remaining else suggestion
            found.append(
                dataclasses.replace(finding, index=index, name=definition.name, suggestion=helps)
            )
    for rule in set_rules.RULES:
        found += rule(taken_apart)
    if sagemaker:
        found += set_rules.sagemaker_limits([(index, one) for index, one, _ in definitions])
    ignored = {index: set(definition.ignore) for index, definition, _ in definitions}
    found = [one for one in _once(found) if one.code not in ignored.get(_place(one), ())]
    return in_order(found)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """In the order of the definitions, the worst of each first."""
    return sorted(findings, key=lambda one: (_place(one), -SEVERITIES.index(one.severity)))


def _place(finding: Finding) -> int:
    return -1 if finding.index is None else finding.index


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Without the second of two that say the same of the same definition."""
    kept: dict[tuple[object, ...], Finding] = {}
    for one in findings:
        key: tuple[object, ...] = (one.code, one.index)
        if one.code != "part-of-longer-name":  # a pattern by itself and a list tell of that
            key += (one.span, one.message)
        kept.setdefault(key, one)
    return list(kept.values())


def _take_apart(
    pattern: str, *, group: int | str | None, terminal: bool
) -> tuple[Anatomy, list[Finding]] | None:
    try:
        info = _engine.check_pattern(pattern, group, terminal=terminal)
    except _engine.PatternError:
        return None
    anatomy = Anatomy(pattern, info, terminal=terminal)
    return anatomy, _of_pattern(anatomy, info)


def _of_pattern(anatomy: Anatomy, info: PatternInfo) -> list[Finding]:
    found: list[Finding] = []
    if len(anatomy.head) + len(anatomy.tail) <= MAX_SURROUNDINGS:
        for rule in group_rules.RULES:
            found += rule(anatomy)
    fatal = [finding for finding in found if finding.code in group_rules.FATAL]
    found = fatal or found
    for other in text_rules.RULES:
        found += other(anatomy)
    return found + _of_engine(anatomy.pattern, info)


def _of_engine(pattern: str, info: PatternInfo) -> list[Finding]:
    found = []
    for start, end, message in info.warnings:
        code = "never-in-text" if "cannot match" in message else "suspicious-syntax"
        found.append(Finding(code, message, pattern=pattern, span=(start, end)))
    if not info.literals:
        found.append(
            Finding(
                "no-literal",
                "no text stands in every match, so each record is tried: slow",
                pattern=pattern,
                span=(0, len(pattern)),
                hint="add a word that stands beside the number",
            )
        )
    return found


def _examples(definition: MetricDefinition, terminal: bool) -> list[Finding]:
    """Runs a definition on its own examples."""
    from metricsieve._scan import scan

    found = []
    for example in definition.examples:
        log, normalize = example.line.encode(), "terminal" if terminal else "none"
        values = scan(log, [definition], normalize=normalize).read_all()["value"].to_pylist()
        wanted = [] if example.value is None else [example.value]
        # As texts, for NaN equals nothing.
        if list(map(repr, values[:1])) != list(map(repr, map(float, wanted))):
            gave = repr(values[0]) if values else "no point"
            expected = "none" if example.value is None else repr(float(example.value))
            message = f"the example {shorten(example.line)!r} gives {gave}, not {expected}"
            found.append(Finding("example-fails", message, pattern=definition.regex))
    return found
