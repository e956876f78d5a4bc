"""Findings for people, for programs (JSON) and for code scanning services (SARIF 2.1.0)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

from metricsieve._text import visible
from metricsieve.checks.against import Trial
from metricsieve.checks.files import Checked
from metricsieve.checks.finding import CODES, SEVERITIES, Finding
from metricsieve.exceptions import caret_lines

FORMATS = ("text", "json", "sarif")
_SARIF_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def counts(checked: Iterable[Checked]) -> dict[str, int]:
    """How many findings there are of each severity, the worst first."""
    found = dict.fromkeys(reversed(SEVERITIES), 0)
    for one in checked:
        for finding in one.findings:
            found[finding.severity] += 1
    return found


def as_text(checked: Sequence[Checked]) -> str:
    """A paragraph a definition: its pattern, carets with sentences, and what to write instead."""
    blocks = []
    for one in checked:
        by_definition: dict[tuple[object, ...], list[Finding]] = {}
        for finding in one.findings:
            key = (finding.index, finding.kind, finding.index is None and finding.name)
            by_definition.setdefault(key, []).append(finding)
        for findings in by_definition.values():
            blocks.append(_paragraph(one, findings))
        if one.trials:
            blocks.append("\n".join(line for trial in one.trials for line in _tried(trial)))
    total = counts(checked)
    number = sum(one.count for one in checked)
    found = ", ".join(f"{count} {_plural(what, count)}" for what, count in total.items() if count)
    blocks.append(f"{number} {_plural('definition', number)}: {found or 'nothing found'}")
    return "\n\n".join(blocks) + "\n"


def _plural(word: str, count: int) -> str:
    return word if count == 1 or word == "info" else f"{word}s"


def _paragraph(checked: Checked, findings: Sequence[Finding]) -> str:
    first = findings[0]
    line = checked.line(first)
    place = ":".join(str(part) for part in (visible(checked.path), checked.where, line) if part)
    name = "" if first.name is None else repr(visible(first.name))
    number = f"definition {first.index}" if first.index is not None and not line else ""
    number = number if first.kind == "definition" else first.kind
    lines = [" ".join(part for part in (place, number, name) if part)]
    # What is said of one place stands together under its carets, the worst first.
    by_place: dict[tuple[int, int] | None, list[Finding]] = {None: []}
    for finding in findings:
        by_place.setdefault(finding.span, []).append(finding)
    for here in by_place.values():
        lines += here[0].caret() if here else []
        for finding in here:
            lines.append(f"      {finding.severity}[{finding.code}]: {visible(finding.message)}")
            if finding.hint:
                lines.append(f"      help: {visible(finding.hint)}")
    suggestion = next((one.suggestion for one in findings if one.suggestion), None)
    if suggestion:
        lines.append(f"    try: {visible(suggestion)}")
    return "\n".join(line for line in lines if line)


def _tried(trial: Trial) -> list[str]:
    """What a definition does on logs: its counts, and its first and last match."""
    parts = [f"{trial.points:,} {_plural('point', trial.points)}"]
    parts += [f"{count:,} rejected ({reason})" for reason, count in trial.rejects.items()]
    parts += [f"{trial.truncated:,} cut short"] if trial.truncated else []
    lines = [f"{visible(trial.definition.name)!r}: {', '.join(parts)}"]
    for what, shown in (("first", trial.first), ("last", trial.last)):
        if shown is not None and not (what == "last" and shown == trial.first):
            lines.append(f"  {what}: {visible(shown.source)}:{shown.line}")
            lines += caret_lines(shown.record, shown.span)
    return lines


def as_json(checked: Sequence[Checked]) -> str:
    """One object: `definitions` (a count), `counts` by severity, `findings`, and `against`."""
    findings = [
        {"file": one.path or None, "cell": one.where or None, "line": one.line(finding)}
        | finding.to_dict()
        for one in checked
        for finding in one.findings
    ]
    against = [
        {"file": one.path or None, "cell": one.where or None, **_trial_json(trial)}
        for one in checked
        for trial in one.trials
    ]
    content = {
        "definitions": sum(one.count for one in checked),
        "counts": counts(checked),
        "findings": findings,
    }
    if against:
        content["against"] = against
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _trial_json(trial: Trial) -> dict[str, Any]:
    content = dataclasses.asdict(trial)
    return {**content, "definition": trial.definition.name}


def as_sarif(checked: Sequence[Checked]) -> str:
    """A SARIF log with one run; every code is a rule."""
    from metricsieve import __version__

    rules = [
        {
            "id": code,
            "shortDescription": {"text": text},
            "defaultConfiguration": {"level": _SARIF_LEVELS[severity]},
        }
        for code, (severity, text) in CODES.items()
    ]
    results = [_sarif_result(one, finding) for one in checked for finding in one.findings]
    driver = {"name": "metricsieve", "version": __version__, "rules": rules}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _sarif_result(checked: Checked, finding: Finding) -> dict[str, Any]:
    name = f"{finding.name}: " if finding.name is not None else ""
    text = f"{name}{finding.message}"
    if finding.suggestion:
        text += f" (try {finding.suggestion})"
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "level": _SARIF_LEVELS[finding.severity],
        "message": {"text": text},
    }
    if checked.path:
        location: dict[str, Any] = {"artifactLocation": {"uri": checked.path.replace("\\", "/")}}
        location["region"] = {"startLine": checked.line(finding) or 1}
        result["locations"] = [{"physicalLocation": location}]
    return result
