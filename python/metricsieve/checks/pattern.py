r"""Patterns as trees, and what can be asked of them.

Principal types: `Part` (a piece of a pattern, with its place) and `Anatomy` (one definition's
pattern around the group of its value). Fed by the rules beside it. Trees come from the engine's
own parser; what it matches is tried out with the engine, in linear time whatever the pattern.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from metricsieve import _engine

# Tried in this order where a class needs a character.
_CANDIDATES = "0aA _-:=.,;/|'\"()[]{}<>%#+*\t!?@$^&~`\\é"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a pattern.

    Attributes:
        kind: `literal`, `any` (a dot), `class`, `assertion`, `group`, `repeat`, `concat` or
            `alternation`.
        start: its first character in the pattern.
        end: the character behind it.
        detail: a literal's character; a group's number, None where it captures nothing; a
            repetition's `(min, max or None, lazy)`.
        children: its pieces.
        pattern: the whole pattern.
    """

    kind: str
    start: int
    end: int
    detail: Any
    children: tuple[Part, ...]
    pattern: str

    @property
    def text(self) -> str:
        """The piece as it is written."""
        return self.pattern[self.start : self.end]

    @property
    def span(self) -> tuple[int, int]:
        """Its place in the pattern, in characters."""
        return self.start, self.end

    def walk(self) -> Iterator[Part]:
        """This piece and all in it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def items(self) -> Sequence[Part]:
        """What stands one behind the other in it."""
        return self.children if self.kind == "concat" else (self,)


def parse(pattern: str, *, terminal: bool = True) -> Part:
    r"""The tree of a pattern, as the engine reads it.

    Args:
        pattern: a pattern in the dialect of Python's `re`.
        terminal: whether `#011` in it is a TAB.

    Raises:
        PatternError: the engine refuses the pattern.

    Example:
        >>> [(item.kind, item.text) for item in parse(r"a(\d+)").items()]
        [('literal', 'a'), ('group', '(\\d+)')]
    """

    def build(given: tuple[str, int, int, Any, tuple[Any, ...]]) -> Part:
        kind, start, end, detail, children = given
        return Part(kind, start, end, detail, tuple(map(build, children)), pattern)

    return build(_engine.pattern_syntax(pattern, terminal))


def can_be_empty(part: Part) -> bool:
    """Whether a piece matches without taking a character.

    Example:
        >>> can_be_empty(parse("a*")), can_be_empty(parse("a+"))
        (True, False)
    """
    match part.kind:
        case "literal" | "any" | "class":
            return False
        case "repeat":
            return part.detail[0] == 0 or can_be_empty(part.children[0])
        case "alternation":
            return any(map(can_be_empty, part.children))
        case _:
            return all(map(can_be_empty, part.children))


def flags_apart(pattern: str) -> tuple[str, str]:
    """The global flags that a pattern begins with, and the rest.

    Example:
        >>> flags_apart("(?i)loss"), flags_apart("loss")
        (('(?i)', 'loss'), ('', 'loss'))
    """
    found = re.match(r"\(\?[aimsux]+\)", pattern)
    at = found.end() if found else 0
    return pattern[:at], pattern[at:]


def edited(pattern: str, edits: Iterable[tuple[int, int, str]]) -> str:
    """A pattern with pieces replaced: `(start, end, text)`, none over another.

    Example:
        >>> edited("a(b)c", [(0, 1, ""), (1, 4, "(d)")])
        '(d)c'
    """
    for start, end, text in sorted(edits, reverse=True):
        pattern = pattern[:start] + text + pattern[end:]
    return pattern


@functools.lru_cache(maxsize=4096)
def _alone(flags: str, text: str, *, terminal: bool) -> _engine.CheckedPattern | None:
    """A piece of a pattern, to be matched with all of a text; None if it cannot stand alone."""
    try:
        return _engine.check_pattern(rf"{flags}\A({text})\Z", 1, terminal=terminal).compiled
    except _engine.PatternError:
        return None


class Anatomy:
    r"""One pattern around the group of its value.

    Args:
        pattern: a pattern that the engine accepts.
        info: what the engine makes of it.
        terminal: whether it is for terminal text.

    Attributes:
        root: the whole tree.
        group: the value's group.
        before: the pieces in front of the group, in their order.
        after: the pieces behind it.

    Example:
        >>> info = _engine.check_pattern(r"loss: ([0-9.]+),", None, terminal=True)
        >>> anatomy = Anatomy(r"loss: ([0-9.]+),", info)
        >>> anatomy.head, anatomy.tail, anatomy.read("4.67e-05")
        ('loss: ', ',', None)
    """

    def __init__(self, pattern: str, info: _engine.PatternInfo, *, terminal: bool = True) -> None:
        self.pattern = pattern
        self.value_group = info.value_group
        self.terminal = terminal
        self.root = parse(pattern, terminal=terminal)
        self.before: list[Part] = []
        self.after: list[Part] = []
        self.group = self._descend(self.root)
        self._compiled = info.compiled
        self._flags, _ = flags_apart(pattern)

    def _descend(self, part: Part) -> Part:
        """Goes down to the value's group and keeps what lies beside the way."""
        if part.kind == "group" and part.detail == self.value_group:
            return part
        inside = next(index for index, child in enumerate(part.children) if self._holds(child))
        if part.kind == "concat":
            self.before += part.children[:inside]
            self.after = [*part.children[inside + 1 :], *self.after]
        return self._descend(part.children[inside])

    def _holds(self, part: Part) -> bool:
        return any(one.kind == "group" and one.detail == self.value_group for one in part.walk())

    @property
    def body(self) -> Part:
        """What is inside the parentheses of the value's group."""
        return self.group.children[0]

    @functools.cached_property
    def head(self) -> str:
        """The shortest text that fits in front of the value."""
        return "".join(map(self.witness, self.before))

    @functools.cached_property
    def tail(self) -> str:
        """The shortest text that fits behind the value."""
        return "".join(map(self.witness, self.after))

    def witness(self, part: Part) -> str:
        """A short text that a piece matches."""
        match part.kind:
            case "literal":
                return str(part.detail)
            case "any":
                return "x"
            case "class":
                return next((one for one in _CANDIDATES if self.accepts(part, one)), "x")
            case "repeat":
                return self.witness(part.children[0]) * int(part.detail[0])
            case "alternation":
                return self.witness(part.children[0])
            case _:
                return "".join(map(self.witness, part.children))

    def accepts(self, part: Part, text: str) -> bool:
        """Whether a piece by itself matches all of a text."""
        compiled = _alone(self._flags, part.text, terminal=self.terminal)
        return compiled is not None and compiled.find(text) is not None

    def read(self, value: str, follows: str = "") -> str | None:
        """What the group takes where `value` stands in its place; None if nothing matches."""
        return self.read_in(self.head, self.tail + follows, value)

    def read_in(self, head: str, tail: str, value: str) -> str | None:
        """The same in other surroundings."""
        text = head + value + tail
        found = self._compiled.find(text)
        return None if found is None or found[2] is None else text[found[2] : found[3]]
