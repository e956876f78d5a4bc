"""Names that a tracker takes, another one for each tag.

Principal type: `Names`. Trackers refuse characters or keep names for themselves; what is changed
is told. A name depends on its tag alone: two metrics stay two, and each stays the same one in every
run and after every restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable


class Names:
    """Tags, and what they are called.

    Args:
        name: makes the name that the tracker takes of a tag, another one for each; see `marked`.

    Example:
        >>> names = Names(lambda tag: marked(tag, tag.replace("%", "_"), 250))
        >>> names["acc%"], names["acc_"]
        ('acc__0a78af42', 'acc_')
        >>> names.notes
        ['1 name changed, it does not take them as they are: acc% is acc__0a78af42']
    """

    def __init__(self, name: Callable[[str], str]) -> None:
        self._name = name
        self._names: dict[str, str] = {}

    def __getitem__(self, tag: str) -> str:
        """The tag's name."""
        if tag not in self._names:
            self._names[tag] = self._name(tag)
        return self._names[tag]

    @property
    def notes(self) -> list[str]:
        """How many names were changed, and the first of them."""
        renamed = [(old, new) for old, new in self._names.items() if old != new]
        if not renamed:
            return []
        old, new = renamed[0]
        count = f"{len(renamed)} name{'' if len(renamed) == 1 else 's'}"
        return [f"{count} changed, it does not take them as they are: {old} is {new}"]


def marked(tag: str, fitted: str, longest: int) -> str:
    """The fitted tag; where it is not the tag itself, with the first digits of the tag's SHA-256.

    Args:
        tag: as it is.
        fitted: what the tracker takes of it, of any length.
        longest: characters of a name; more than nine.

    Example:
        >>> marked("acc", "acc", 250), marked("acc%", "acc_", 250)
        ('acc', 'acc__0a78af42')
    """
    if fitted == tag and len(tag) <= longest:
        return tag
    digits = hashlib.sha256(tag.encode()).hexdigest()[:8]
    return f"{fitted[: longest - len(digits) - 1]}_{digits}"
