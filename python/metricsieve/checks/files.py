"""From files to findings with their places: what the command `check` does.

Principal function: `check_file`, which also looks at definitions beside ones that are refused.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricsieve import checks
from metricsieve._context import read_context
from metricsieve._definition_files import read_file, unwrap
from metricsieve._validation import has_group, validate
from metricsieve.checks.against import Trial, try_on
from metricsieve.checks.code_files import SUFFIXES, read_code
from metricsieve.checks.finding import Finding
from metricsieve.exceptions import DefinitionError, DefinitionProblem, DefinitionWarning


@dataclass(frozen=True, slots=True)
class Checked:
    """The findings of one list of definitions.

    Attributes:
        path: the file; empty for definitions of the command line.
        where: `cell 3` in a notebook, else empty.
        count: how many definitions were looked at.
        findings: what was found.
        lines: the line of each definition in its file, or None where it is not known.
        trials: what each definition does on the logs that it was tried on.
    """

    path: str
    where: str
    count: int
    findings: list[Finding]
    lines: Sequence[int | None]
    trials: Sequence[Trial] = ()

    def line(self, finding: Finding) -> int | None:
        """The line that a finding belongs to."""
        if finding.index is None or finding.index >= len(self.lines):
            return None
        return self.lines[finding.index]


def check_file(path: str, *, sagemaker: bool = False, against: Any = None) -> list[Checked]:
    """The findings of each list of definitions in a file: several in code, else one.

    Args:
        path: the file.
        sagemaker: whether SageMaker's limits hold.
        against: logs to try the definitions on, as `scan` takes them.

    Raises:
        DefinitionError: the file cannot be understood at all, or holds no definition.
        OSError: it cannot be read.
    """
    if Path(path).suffix.lower() in SUFFIXES:
        lists = read_code(Path(path))
        if not lists:
            raise DefinitionError(
                [
                    DefinitionProblem(
                        f"{path}: no definition in this code",
                        hint="dicts with a Name and a Regex are found, if both are literals",
                    )
                ]
            )
        return [
            _check(path, one.where, one.items, one.lines, False, sagemaker, against)
            for one in lists
        ]
    unwrapped = unwrap(read_file(Path(path)))
    items = list(unwrapped.items)
    lines = _lines(Path(path).read_text("utf-8-sig"), items)
    checked = _check(path, "", items, lines, unwrapped.from_job, sagemaker, against)
    checked.findings[:0] = _of_context(unwrapped.context)
    return [checked]


def check_items(items: Sequence[Any], *, sagemaker: bool = False, against: Any = None) -> Checked:
    """The findings of definitions that stand in no file."""
    return _check("", "", items, [None] * len(items), False, sagemaker, against)


def _check(
    path: str,
    where: str,
    items: Sequence[Any],
    lines: Sequence[int | None],
    from_job: bool,
    sagemaker: bool,
    against: Any,
) -> Checked:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DefinitionWarning)  # of what is skipped: told below
        usable, problems = validate(items, from_job=from_job)
    findings = [_of_problem(problem) for problem in problems]
    findings += _skipped(items) if from_job else []
    findings += checks.check(usable, sagemaker=sagemaker)
    trials = try_on(usable, against) if against and usable else []
    for trial in trials:
        ignored = trial.definition.ignore
        findings += [one for one in trial.findings() if one.code not in ignored]
    findings = checks.in_order(findings)
    return Checked(path, where, len(items), findings, lines, trials)


def _of_context(context: object) -> list[Finding]:
    """What is wrong with a file's context columns."""
    try:
        read_context(context)
    except DefinitionError as error:
        return [_of_problem(problem) for problem in error.errors]
    return []


def _skipped(items: Sequence[Any]) -> list[Finding]:
    """Definitions of a job description that hold a place and cannot give a value."""
    found = []
    for index, item in enumerate(items):
        regex = item.get("Regex", item.get("regex")) if isinstance(item, dict) else None
        if isinstance(regex, str) and not has_group(regex):
            message = "skipped: without a group it gives no value; AWS's samples hold such dummies"
            name, span = item.get("Name", item.get("name")), (0, len(regex))
            found.append(Finding("skipped", message, index, name, regex, span))
    return found


def _of_problem(problem: DefinitionProblem) -> Finding:
    fields = {
        field.name: getattr(problem, field.name)
        for field in dataclasses.fields(problem)
        if field.name != "code"
    }
    return Finding(code=problem.code or "invalid-definition", **fields)


def _lines(text: str, items: Sequence[Any]) -> list[int | None]:
    """The line of each definition's regex, where the file holds it as JSON writes it."""
    found: list[int | None] = []
    at = 0
    for item in items:
        regex = item.get("Regex", item.get("regex")) if isinstance(item, dict) else None
        place = text.find(json.dumps(regex, ensure_ascii=False), at) if regex else -1
        if place < 0:
            found.append(None)
            continue
        found.append(text.count("\n", 0, place) + 1)
        at = place + 1
    return found
