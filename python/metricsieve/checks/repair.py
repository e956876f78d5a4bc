r"""A pattern without the defects that were found.

Principal function: `repair`. It puts a pattern for numbers into the value's group, drops what is
needless, and lets pass only what was compiled, checked again and tried on numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from metricsieve._patterns import NUMBER
from metricsieve.checks.finding import Finding
from metricsieve.checks.group_rules import EXPONENT, NEGATIVE, PLAIN
from metricsieve.checks.pattern import Anatomy, edited
from metricsieve.checks.text_rules import leading, trailing

_OF_THE_GROUP = frozenset(
    [
        *("group-always-empty", "group-may-be-empty", "no-exponent", "no-sign"),
        *("some-integers-only", "unescaped-dot", "catch-all", "no-decimal-point"),
    ]
)
# What a repaired pattern may still have: advice that changes which records match.
_ADVICE = frozenset(
    ["part-of-longer-name", "needless-ends", "anchored", "no-literal", "engine-difference"]
)


def repair(
    anatomy: Anatomy,
    findings: Iterable[Finding],
    check: Callable[[str], tuple[Anatomy, list[Finding]] | None],
) -> tuple[str, frozenset[str]] | None:
    """A pattern that finds the same numbers and more, and the codes that still hold for it.

    Args:
        anatomy: the pattern with its defects.
        findings: these.
        check: takes another pattern apart and gives its findings, or None if it is refused.

    Returns:
        None if there is no pattern to be trusted, or no need of one.
    """
    codes = {finding.code for finding in findings}
    if codes <= _ADVICE - {"needless-ends"}:
        return None
    beside = (*anatomy.before, *anatomy.after)
    if not any(part.kind == "literal" and part.detail.isalnum() for part in beside):
        return None  # the group's own form is all that tells the number from others
    edits: list[tuple[int, int, str]] = []
    body = anatomy.body
    inside = [
        finding.span
        for finding in findings
        if finding.code in ("unescaped-dot", "doubled-backslash") and finding.span
    ]
    in_group = any(body.start <= start and end <= body.end for start, end in inside)
    whole = codes & (_OF_THE_GROUP - {"unescaped-dot"}) or in_group
    if whole:
        edits.append((*body.span, NUMBER))
    else:
        edits += [
            (part.start, part.start + 1, "(?:")
            for part in anatomy.root.walk()
            if part.kind == "group"
            and part.detail not in (None, anatomy.value_group)
            and not part.text.startswith("(?P<")
        ]
    if whole and anatomy.accepts(body, " 0.5") and not anatomy.head.endswith((" ", "\t")):
        edits.append((anatomy.group.start, anatomy.group.start, r"\s*"))
    if "quoted-number" in codes:
        edits.append((anatomy.group.start, anatomy.group.start, "'?"))
    for start, end in inside:
        if end <= body.start or start >= body.end:
            text = anatomy.pattern[start:end]
            edits.append((start, end, "\\." if text == "." else text[1:]))
    first = leading(anatomy)
    # Where longer names end alike, the last one of a record is another one than the first.
    if first and "part-of-longer-name" not in codes:
        edits.append((*first.span, ""))
    if last := trailing(anatomy):
        edits.append((last[0].start, last[-1].end, ""))
    pattern = edited(anatomy.pattern, edits)
    if pattern == anatomy.pattern:
        return None
    checked = check(pattern)
    if checked is None:
        return None
    repaired, left = checked
    remaining = frozenset(finding.code for finding in left)
    return (pattern, remaining) if remaining <= _ADVICE and _reads(anatomy, repaired) else None


def _reads(before: Anatomy, repaired: Anatomy) -> bool:
    """Whether all numbers are read, also where the old pattern stood in its own surroundings."""
    numbers = (*PLAIN, EXPONENT, NEGATIVE)
    if any(repaired.read(number) != number for number in numbers):
        return False
    old = (before.head, before.tail)
    return all(repaired.read_in(*old, one) == one for one in numbers if before.read(one) == one)
