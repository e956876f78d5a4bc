"""Names that a tracker takes, another one for each tag.

Principal type: `Names`. Trackers refuse characters or keep names for themselves; what is changed
is told, and two metrics stay two.
"""

from __future__ import annotations

from collections.abc import Callable


class Names:
    """Tags, and what they are called.

    Args:
        fit: makes a name that the tracker takes of a tag.
        longest: characters of a name; at least nine.

    Example:
        >>> names = Names(lambda tag: tag.replace("%", "_"), 250)
        >>> names["acc%"], names["acc_"], names["acc%"]
        ('acc_', 'acc__2', 'acc_')
        >>> names.notes
        ['2 names changed, it does not take them as they are: acc% is acc_']
    """

    def __init__(self, fit: Callable[[str], str], longest: int) -> None:
        self._fit = fit
        self._longest = longest
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def __getitem__(self, tag: str) -> str:
        """The tag's name."""
        if tag not in self._names:
            name = base = self._fit(tag)[: self._longest]
            number = 1
            while name in self._taken:
                number += 1
                name = f"{base[: self._longest - 8]}_{number}"
            self._names[tag] = name
            self._taken.add(name)
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
