"""Everything metricsieve raises or warns with that has no built-in equivalent.

`MetricsieveError` is the root. `DefinitionError` is also a `ValueError` and `SourceError` also an
`OSError`, so callers that know nothing of this package still catch the right thing.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from metricsieve._text import shorten, visible

_CONTEXT_CHARS = 60  # of a pattern, on each side of the marked place


class MetricsieveError(Exception):
    """Root of the errors of this package."""


@dataclass(frozen=True, slots=True)
class DefinitionProblem:
    """One thing that is wrong with one definition.

    Attributes:
        message: what is wrong.
        index: position of the definition in its list, counted from 0; None when the problem is
            about the whole list or file.
        name: the definition's name, when it has one.
        pattern: the regular expression the problem is in.
        span: the place in `pattern`, in characters, end exclusive.
        hint: what to do about it.
        code: the code of the finding that `check` makes of it.
        kind: what `name` is the name of: `definition` or `context column`.
    """

    message: str
    index: int | None = None
    name: str | None = None
    pattern: str | None = None
    span: tuple[int, int] | None = None
    hint: str | None = None
    code: str | None = None
    kind: str = "definition"

    def __str__(self) -> str:
        """The problem in a few lines, with a caret line under the place in the pattern."""
        lines = [self._heading()]
        if self.pattern is not None and self.span is not None:
            lines += caret_lines(self.pattern, self.span)
        if self.hint:
            lines.append(f"    help: {visible(self.hint)}")
        return "\n".join(lines)

    def _heading(self) -> str:
        where = "" if self.index is None else f"{self.kind} {self.index}"
        if self.name is not None:
            where = f"{where or self.kind} {visible(shorten(self.name))!r}"
        return f"{where}: {visible(self.message)}" if where else visible(self.message)


def caret_lines(pattern: str, span: tuple[int, int]) -> list[str]:
    """The pattern, or what of it is around the place, and carets under the place."""
    start = max(0, min(span[0], len(pattern)))
    end = max(start, min(span[1], len(pattern)))
    left = max(0, start - _CONTEXT_CHARS)
    right = min(len(pattern), max(start + 1, end) + _CONTEXT_CHARS)
    if right - left > 3 * _CONTEXT_CHARS:
        right = left + 3 * _CONTEXT_CHARS
    before = ("…" if left else "") + visible(pattern[left:start])
    marked = visible(pattern[start : min(end, right)])
    after = visible(pattern[min(end, right) : right]) + ("…" if right < len(pattern) else "")
    carets = "^" * max(1, len(marked))
    return [f"    {before}{marked}{after}", f"    {' ' * len(before)}{carets}"]


class DefinitionError(MetricsieveError, ValueError):
    """One or more metric definitions cannot be used.

    Attributes:
        errors: every problem found, as `DefinitionProblem`s, in the order of the definitions.

    Example:
        >>> error = DefinitionError([DefinitionProblem("no group", 0, "loss", "a+", (0, 2))])
        >>> print(error)
        definition 0 'loss': no group
            a+
            ^^
    """

    errors: list[DefinitionProblem]

    def __init__(self, errors: Iterable[DefinitionProblem] | str) -> None:
        problems = [DefinitionProblem(errors)] if isinstance(errors, str) else list(errors)
        super().__init__(problems)
        self.errors = problems

    def __str__(self) -> str:
        """All problems, one after the other."""
        shown = "\n".join(str(problem) for problem in self.errors)
        if len(self.errors) == 1:
            return shown
        return f"{len(self.errors)} problems in the metric definitions\n{shown}"


class SourceError(MetricsieveError, OSError):
    """A source could not be read to its end; raised with `on_source_error="raise"`."""


class _PathError(MetricsieveError):
    """Something cannot be done with a path, and what to do about it."""

    _cannot: ClassVar[str]

    def __init__(self, message: str, path: str, hint: str | None = None) -> None:
        super().__init__(message, path, hint)
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        """The path, what is wrong, and the remedy."""
        text = f"cannot {self._cannot} {visible(self.path)}: {visible(str(self.args[0]))}"
        return f"{text} ({visible(self.hint)})" if self.hint else text


class SinkError(_PathError):
    """An output could not be written; nothing with the final name was left behind.

    Attributes:
        path: the output.
        hint: what to do about it.
    """

    _cannot = "write"


class StateError(_PathError):
    """What `follow` keeps between runs cannot be used: locked, damaged, or of other definitions.

    Attributes:
        path: the directory.
        hint: what to do about it.
    """

    _cannot = "use"


class ScanUsedError(MetricsieveError, RuntimeError):
    """A scan was used a second time, after `close()`, or in a forked child."""


class MetricsieveWarning(UserWarning):
    """Root of the warnings of this package."""


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Keeps this package's warnings back, where what they tell is shown in another way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetricsieveWarning)
        yield


class SourceWarning(MetricsieveWarning):
    """A source was not read to its end, or its text looks mixed; the rows read are delivered."""


class SinkWarning(MetricsieveWarning):
    """An output could not take some points, such as those without a time; it says which."""


class DefinitionWarning(MetricsieveWarning):
    """A definition is legal but probably does not do what it says."""


class DebugBuildWarning(MetricsieveWarning):
    """The compiled part was built without optimisation: results are right, speed is not."""
