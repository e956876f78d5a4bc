"""Which file is which: what tells a log that grew from another one under the same name.

Principal type: `Identity`. A name changes with rotation, an inode is used again after a deletion,
a size says nothing after a truncation; so all of them are compared, with the file's first bytes
and the bytes before the offset that was reached. Used by `_files` and `_rotation`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any

HEAD_BYTES = 1024
ANCHOR_BYTES = 64


def digest(data: bytes) -> str:
    """A short hash of some bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Identity:
    """A file as it was when it was looked at.

    Attributes:
        dev: device.
        ino: inode, which another file may have later.
        mtime_ns: when it was written last.
        head_len: how many of its first bytes are known, at most `HEAD_BYTES`.
        head: hash of these.
        anchor_len: how many bytes before the offset are known, at most `ANCHOR_BYTES`.
        anchor: hash of these.
        offset: how far it was read.
    """

    dev: int
    ino: int
    mtime_ns: int
    head_len: int
    head: str
    anchor_len: int
    anchor: str
    offset: int

    @classmethod
    def read(cls, saved: dict[str, Any]) -> Identity:
        """The identity in what the state kept of a file.

        Raises:
            KeyError: it is not complete.
        """
        return cls(**{name: saved[name] for name in cls.__dataclass_fields__})

    def is_same_inode(self, status: os.stat_result) -> bool:
        """Whether device and inode are these; not enough to be the same file."""
        return (status.st_dev, status.st_ino) == (self.dev, self.ino)

    def is_content_of(self, head: bytes, anchor: bytes, size: int | None) -> bool:
        """Whether a file begins so, is long enough, and has these bytes before the offset."""
        return (
            (size is None or size >= self.offset)
            and len(head) >= self.head_len
            and digest(head[: self.head_len]) == self.head
            and len(anchor) == self.anchor_len
            and digest(anchor) == self.anchor
        )

    def is_plain_file(self, descriptor: int) -> bool:
        """Whether an open file holds what was read, whatever its inode."""
        head = os.pread(descriptor, HEAD_BYTES, 0)
        anchor = os.pread(descriptor, self.anchor_len, self.offset - self.anchor_len)
        return self.is_content_of(head, anchor, os.fstat(descriptor).st_size)
