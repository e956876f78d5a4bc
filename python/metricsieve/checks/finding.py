"""What a check finds: `Finding`, and the table of codes.

Fed by the rules, consumed by the command line and by users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metricsieve._text import visible
from metricsieve.exceptions import DefinitionProblem, caret_lines

SEVERITIES = ("info", "warning", "error")

# Code -> (severity, what it is about). Codes are a promise: `Ignore` and configurations of CI
# name them.
CODES: dict[str, tuple[str, str]] = {
    "invalid-definition": ("error", "the definition cannot be used"),
    "invalid-pattern": ("error", "the pattern cannot be used"),
    "no-group": ("error", "nothing says which part of the pattern is the value"),
    "needs-backtracking": ("error", "lookaround and the like need another engine"),
    "example-fails": ("error", "an example does not give its value"),
    "group-always-empty": ("error", "the group is empty in every match"),
    "group-holds-no-number": ("error", "the value's group matches no number, another group may"),
    "sagemaker-limit": ("error", "SageMaker refuses this"),
    "group-may-be-empty": ("warning", "the group can match without a digit"),
    "no-exponent": ("warning", "numbers such as 4.67e-05 are cut short or not matched"),
    "some-integers-only": ("warning", "integers of few digits are not matched, longer ones are"),
    "unescaped-dot": ("warning", "a dot stands for any character where a point is meant"),
    "catch-all": ("warning", "the group takes whatever follows the number"),
    "part-of-longer-name": ("warning", "the text in front of the value also ends longer names"),
    "name-contradicts-pattern": ("warning", "name and pattern speak of different phases"),
    "never-in-text": ("warning", "the pattern wants what the text never holds"),
    "doubled-backslash": ("warning", "a backslash is matched where an escape was meant"),
    "suspicious-syntax": ("warning", "legal, but probably not what is meant"),
    "no-match": ("warning", "nothing matches in the logs of --against"),
    "rejected": ("warning", "captures in the logs of --against are no number"),
    "cut-short": ("warning", "numbers in the logs of --against are cut short"),
    "no-decimal-point": ("info", "only integers are matched"),
    "no-sign": ("info", "negative numbers are not matched"),
    "quoted-number": ("info", "newer versions of the framework quote the number"),
    "unused-group": ("info", "a group that is not read"),
    "needless-ends": ("info", "a part at an end of the pattern that changes nothing"),
    "anchored": ("info", "an anchor that a prefix of the line defeats"),
    "no-literal": ("info", "no text to search for: every record is tried, which is slow"),
    "skipped": ("info", "a definition of a job description without a group"),
    "same-pattern": ("info", "two names have the same pattern"),
    "engine-difference": ("info", "Python's re and the engine may differ on rare text"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one definition.

    Attributes:
        code: what kind of finding, a key of the table in the documentation, such as
            `"no-exponent"`. Stable.
        severity: `"error"`, `"warning"` or `"info"`.
        message: one sentence.
        index: position of the definition in its list, counted from 0.
        name: the definition's name.
        pattern: its regular expression.
        span: the place in the pattern, in characters, end exclusive.
        hint: what to do.
        suggestion: a pattern without this and the definition's other findings that has been
            compiled and tried; None where there is none.
        kind: what `name` is the name of: `definition` or `context column`.

    Example:
        >>> finding = Finding("no-sign", "-1 is not matched", 0, "loss", "(a)", (0, 3))
        >>> print(finding)
        info[no-sign]: definition 0 'loss': -1 is not matched
            (a)
            ^^^
    """

    code: str
    message: str
    index: int | None = None
    name: str | None = None
    pattern: str | None = None
    span: tuple[int, int] | None = None
    hint: str | None = None
    suggestion: str | None = None
    kind: str = "definition"

    @property
    def severity(self) -> str:
        """`error`, `warning` or `info`."""
        return CODES[self.code][0]

    def caret(self) -> list[str]:
        """The pattern, and carets under the place in it."""
        if self.pattern is None or self.span is None:
            return []
        return caret_lines(self.pattern, self.span)

    def to_dict(self) -> dict[str, Any]:
        """The finding, ready for JSON.

        Example:
            >>> Finding("no-sign", "-1 is not matched").to_dict()["severity"]
            'info'
        """
        keys = ("code", "severity", "message", "kind", "index", "name", "pattern", "span")
        return {key: getattr(self, key) for key in (*keys, "hint", "suggestion")}

    def __str__(self) -> str:
        """The finding in a few lines, with a caret line under the place in the pattern."""
        problem = DefinitionProblem(
            self.message,
            self.index,
            self.name,
            self.pattern,
            self.span,
            self.hint,
            kind=self.kind,
        )
        text = f"{self.severity}[{self.code}]: {problem}"
        return f"{text}\n    try:  {visible(self.suggestion)}" if self.suggestion else text
