"""The frame of W&B's `.wandb` files: records in blocks of 32 KiB, as LevelDB's log has them.

Principal functions: `framed` and `unframed`; what the records mean is `wandb`'s. The package wandb
writes and reads such files in a process of its own (wandb-core) alone, and only with the clock of
the moment. The format is that of LevelDB's `doc/log_format.md` behind seven bytes of a header, with
the CRC-32 of zlib.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

_HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
_BLOCK = 32_768
_CHUNK = struct.Struct("<IHB")  # checksum, length, kind
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def framed(records: Iterable[bytes]) -> Iterator[bytes]:
    """A file's content, block by block.

    Example:
        >>> content = b"".join(framed([b"one", bytes(100_000), b""]))
        >>> [len(record) for record in unframed(content)]
        [3, 100000, 0]
    """
    block = bytearray(_HEADER)
    for record in records:
        at, is_first = 0, True
        while is_first or at < len(record):
            if _BLOCK - len(block) < _CHUNK.size:
                block += bytes(_BLOCK - len(block))
                yield bytes(block)
                block.clear()
            piece = record[at : at + _BLOCK - len(block) - _CHUNK.size]
            at += len(piece)
            if at == len(record):
                kind = _WHOLE if is_first else _LAST
            else:
                kind = _FIRST if is_first else _MIDDLE
            block += _CHUNK.pack(zlib.crc32(piece, zlib.crc32(bytes([kind]))), len(piece), kind)
            block += piece
            is_first = False
    yield bytes(block)


def unframed(content: bytes) -> Iterator[bytes]:
    """The records of a file's content.

    Raises:
        ValueError: the content is damaged, or ends within a record.
    """
    if content[: len(_HEADER)] != _HEADER:
        raise ValueError("it does not begin as a file of W&B")
    place, pieces = len(_HEADER), list[bytes]()
    while place < len(content):
        room = _BLOCK - place % _BLOCK
        if room < _CHUNK.size:
            place += room
            continue
        if place + _CHUNK.size > len(content):
            raise ValueError("it ends within a record")
        checksum, length, kind = _CHUNK.unpack_from(content, place)
        place += _CHUNK.size
        piece = content[place : place + length]
        if zlib.crc32(piece, zlib.crc32(bytes([kind]))) != checksum:
            raise ValueError(f"its bytes before {place + length:,} are damaged")
        place += length
        pieces.append(piece)
        if kind in (_WHOLE, _LAST):
            yield b"".join(pieces)
            pieces.clear()
    if pieces:
        raise ValueError("it ends within a record")
