r"""Where rotated logs go: the siblings of a log and their order.

`siblings` lists them. Fed by `_files` when the file under a watched name is another one than
before: the rest of the old file, and whole generations that came and went between two looks, are
among them.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

# x.log.1, x.log.1.gz, x.log-20240131, x.log-20240131-1700000000.gz, x.log.2024-01-31.zst, x.log.old
_SUFFIX = re.compile(r"(?:[._-]\d[\d._-]*|[._-]old)?(?:\.(?:gz|bz2|xz|zst|zstd|lz4))?")
# The same in front of a short extension: x.1.log, x-20240131.log
_INFIX = re.compile(r"(?P<stem>.+?)[._-]\d[\d._-]*(?P<extension>\.[A-Za-z]{1,5})")


class Sibling(NamedTuple):
    """A rotated log.

    Attributes:
        path: where it is.
        status: what `os.stat` says.
    """

    path: str
    status: os.stat_result


def base_of(path: str) -> list[str]:
    """The names that a log may have had before it was rotated to this one.

    Example:
        >>> base_of("logs/x.log.1.gz"), base_of("x-20240131.log"), base_of("x.log")
        (['logs/x.log', 'logs/x.log.1'], ['x.log'], [])
    """
    directory, name = os.path.split(path)
    found = []
    plain = re.sub(r"\.(?:gz|bz2|xz|zst|zstd|lz4)$", "", name)
    for cut in range(1, len(plain)):
        if plain[cut] in ".-_" and _SUFFIX.fullmatch(plain[cut:]):
            found.append(plain[:cut])
            break
    if infix := _INFIX.fullmatch(plain):
        found.append(infix["stem"] + infix["extension"])
    if plain != name:
        found.append(plain)
    known = dict.fromkeys(one for one in found if one and one != name)
    return [os.path.join(directory, one) for one in known]


def siblings(path: str) -> list[Sibling]:
    """Rotated logs of a path, those written first coming first."""
    directory = os.path.dirname(path)
    found = []
    try:
        with os.scandir(directory or ".") as entries:
            names = [entry.name for entry in entries]
    except OSError:
        return []
    for name in names:
        sibling = os.path.join(directory, name)
        if path not in base_of(sibling):
            continue
        try:
            status = os.stat(sibling)
        except OSError:
            continue
        if os.path.isfile(sibling):
            found.append(Sibling(sibling, status))
    return sorted(found, key=_age)


def _age(sibling: Sibling) -> tuple[int, int, str]:
    # Of two written at the same time the one with the higher number is older: x.log.2, x.log.1.
    number = re.search(r"\.(\d{1,4})(?:\.\w+)?$", sibling.path)
    return (sibling.status.st_mtime_ns, -int(number[1]) if number else 0, sibling.path)
