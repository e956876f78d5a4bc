"""How names of Parquet parts tell of what source they are."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

_SOURCE_CHARS = 120  # of 255 that a name may have


def source_name(label: str) -> str:
    """A label as a part of a file name; long ones are cut, with a hash to tell them apart.

    Example:
        >>> source_name("logs/train.log"), source_name("../../etc")
        ('logs%2Ftrain.log', '..%2F..%2Fetc')
    """
    name = quote(label, safe="", errors="backslashreplace")
    if len(name) <= _SOURCE_CHARS:
        return name
    return f"{name[-_SOURCE_CHARS:]}~{hashlib.sha256(label.encode()).hexdigest()[:12]}"
