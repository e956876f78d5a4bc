"""Explanations and previews as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from metricsieve._text import shorten, visible
from metricsieve.exceptions import caret_lines
from metricsieve.explaining.lines import LinePreview
from metricsieve.explaining.logs import Explanation

MAX_REMEDIES = 3


def explanation_text(told: Explanation) -> str:
    """What was found, what is missing, where the pattern stops, and what would match."""
    name = repr(visible(told.definition.name))
    lines = [f"{name}: {_count(told.points, 'point')} in {_count(told.records, 'record')}"]
    if told.points:
        return "\n".join([*lines, "  nothing to explain: the definition matches"]) + "\n"
    for reason, count in told.rejects.items():
        if count:
            lines.append(f"  {_count(count, 'match', 'matches')} rejected: {reason}")
    lines += [f"    {visible(shorten(text))!r}" for text in told.reject_examples]
    if told.literals:
        lines += ["", "Every match holds one of these texts:"]
        lines += [f"    {visible(text)!r:40} in {_count(n, 'record')}" for text, n in told.literals]
    if told.nearest:
        stopped = told.nearest[0].stopped
        lines += ["", "The longest beginning of the pattern that matches somewhere:"]
        lines += caret_lines(told.definition.regex, (0, stopped))
        for miss in told.nearest:
            lines.append(f"  {visible(miss.source)}:{miss.line}")
            lines += caret_lines(miss.text, miss.matched)
    for remedy in told.remedies[:MAX_REMEDIES]:
        captured = visible(shorten(remedy.text))
        lines += [
            "",
            f"{remedy.message[:1].upper()}{remedy.message[1:]}.",
            f"    try: {visible(remedy.pattern)}",
            f"         {_count(remedy.points, 'point')}, such as {captured}",
        ]
    if not told.remedies:
        lines += ["", "No known cause: no change of the pattern that was tried matches."]
    return "\n".join(lines) + "\n"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def preview_text(lines: Sequence[LinePreview]) -> str:
    """A line, and below it what each definition finds."""
    written = []
    for line in lines:
        written.append(visible(line.line))
        if not line.matches:
            written.append("    no match")
        for match in line.matches:
            text = "" if match.text is None else visible(match.text)
            value = match.reason if match.value is None else repr(match.value)
            start = line.line.find(match.text) if match.text else -1
            if start >= 0:
                written.append(" " * len(visible(line.line[:start])) + "^" * max(1, len(text)))
            written.append(f"    {visible(match.name)} = {value}")
    return "\n".join(written) + "\n"
