"""Compressed logs: rotation leaves them behind, nothing is ever appended to them.

`kind_of` tells them by their first bytes; `open_packed` reads those that the standard library can.
Used by `_files` for rotated logs that were compressed before they were read to their end.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from typing import BinaryIO, cast

_MAGIC = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "xz": b"\xfd7zXZ\x00",
    "bzip2": b"BZh",
    "lz4": b"\x04\x22\x4d\x18",
}
MAGIC_BYTES = 6


def kind_of(head: bytes) -> str | None:
    """The compression that a file's first bytes tell; None for plain text.

    Example:
        >>> kind_of(gzip.compress(b"")), kind_of(b"loss=1")
        ('gzip', None)
    """
    return next((kind for kind, magic in _MAGIC.items() if head.startswith(magic)), None)


def open_packed(path: str, kind: str) -> BinaryIO | None:
    """The decompressed content; None where nothing here can read that kind."""
    if kind == "gzip":
        return cast(BinaryIO, gzip.open(path))
    if kind == "bzip2":
        return cast(BinaryIO, bz2.open(path))
    if kind == "xz":
        return cast(BinaryIO, lzma.open(path))
    return None


BROKEN = (EOFError, gzip.BadGzipFile, lzma.LZMAError, OSError)
