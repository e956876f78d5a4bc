"""Glob patterns over the keys of a store, with the meaning that they have for local files."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence

MAGIC = re.compile(r"[*?\[]")


def fixed_prefix(pattern: str) -> str:
    """The directories before the first part that is a pattern: all that has to be listed.

    Example:
        >>> fixed_prefix("logs/2026/*/train.log")
        'logs/2026'
    """
    parts = pattern.split("/")
    fixed = next((n for n, part in enumerate(parts) if MAGIC.search(part)), len(parts) - 1)
    return "/".join(parts[:fixed])


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a key fits: `**` is any number of directories, nothing else matches a slash.

    Example:
        >>> fits = matcher("logs/**/*.gz")
        >>> fits("logs/a.gz"), fits("logs/a/b/c.gz"), fits("logs/a.gz/b")
        (True, True, False)
    """
    parts = [
        None if part == "**" else re.compile(fnmatch.translate(part)).match
        for part in pattern.split("/")
    ]

    def fits(key: Sequence[str], at: int, place: int) -> bool:
        while place < len(parts):
            part = parts[place]
            if part is None:
                if place + 1 == len(parts):
                    return at < len(key)
                return any(fits(key, later, place + 1) for later in range(at, len(key)))
            if at == len(key) or not part(key[at]):
                return False
            at, place = at + 1, place + 1
        return at == len(key)

    # `a/**/**/b` says no more than `a/**/b`, and would be tried in many more ways.
    parts = [part for n, part in enumerate(parts) if part or n == 0 or parts[n - 1]]
    return lambda key: fits(key.split("/"), 0, 0)
