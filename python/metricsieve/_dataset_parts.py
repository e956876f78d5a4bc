"""The parts of a dataset: their names, what they say of themselves, and what they leave to read.

A part is of a range of bytes: from a place in its first source to one in its last, with whole
sources in between. Name and metadata tell which, so that the parts of a directory, however they
came there, say what is missing (`Pieces`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from metricsieve._positions import Position, frozen, read_position, thawed
from metricsieve._sources import Source, iter_sources
from metricsieve.exceptions import StateError
from metricsieve.sinks._part_names import source_name

MANIFEST = "_metricsieve.json"
_METADATA = "metricsieve.sources"
_NAME = re.compile(r"part-\d{9}-.*-[0-9a-f]{8}-\d{15}-\d{15}-(?P<definitions>[0-9a-f]{8})\.parquet")
_ELSEWHERE = "write to another directory"


class SourceMark(NamedTuple):
    """A source of a part, and what tells that it is still the same.

    Attributes:
        label: what the `source` column says.
        size: its bytes; None where they are not known.
        mtime_ns: when it was last written to; None for what is no file.
        version: what a store or server has as that; None for files and where there is none.
    """

    label: str
    size: int | None
    mtime_ns: int | None
    version: str | None = None

    @property
    def generation(self) -> str:
        """Eight digits that change when the source does."""
        return hashlib.sha256(json.dumps(self).encode()).hexdigest()[:8]


class Part(NamedTuple):
    """A finished part.

    Attributes:
        definitions: hash of all that decides which rows there are.
        number: of its first source among all, from 0.
        sources: of which it has all rows in its range.
        begin: the position in the first source at which it begins; None at its beginning.
        end: the position in the last source at which it ends; None at its end.
        length: the offset in the last source at which it ends.
        complete: whether all of it was read without an error.
        rows: their number.
    """

    definitions: str
    number: int
    sources: list[SourceMark]
    begin: Position | None
    end: Position | None
    length: int
    complete: bool
    rows: int

    @property
    def start(self) -> int:
        """The offset in the first source at which it begins."""
        return offset_of(self.begin)

    @property
    def name(self) -> str:
        """Of the file; sorted by name, parts are in the order of rows.

        Example:
            >>> mark = SourceMark("a.log", 20, None)
            >>> Part("0123abcd", 7, [mark], None, None, 20, True, 1).name
            'part-000000007-a.log-61f750f3-000000000000000-000000000000020-0123abcd.parquet'
        """
        source = self.sources[0]
        return (
            f"part-{self.number:09d}-{source_name(source.label)}-{source.generation}-"
            f"{self.start:015d}-{self.length:015d}-{self.definitions}.parquet"
        )

    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        told = {
            "number": self.number,
            "sources": self.sources,
            "length": self.length,
            "begin": frozen(self.begin),
            "end": frozen(self.end),
            "complete": self.complete,
        }
        return {_METADATA: json.dumps(told)}


def offset_of(position: Position | None) -> int:
    """The offset of a position, or of the beginning."""
    return 0 if position is None else int(position["offset"])


def list_parts(directory: str, definitions: str) -> list[Part]:
    """The parts in a directory, in the order of their rows.

    Raises:
        StateError: there are others, or one is damaged.
        OSError: it cannot be read.
    """
    found = []
    for name in sorted(os.listdir(directory)):
        named = _NAME.fullmatch(name)
        if named is None:
            if name.endswith(".parquet"):
                text = f"it holds {name}, which is no part of a dataset"
                raise StateError(text, directory, _ELSEWHERE)
            continue
        if named["definitions"] != definitions:
            raise StateError(
                f"it holds parts of other definitions or options, for example {name}",
                directory,
                _ELSEWHERE,
            )
        found.append(_read(directory, name, definitions))
    return found


def unfinished(directory: str) -> str | None:
    """What a dataset lacks, if the directory is one that lacks anything: a sentence."""
    there = {name for name in os.listdir(directory) if _NAME.fullmatch(name)}
    if not there:
        return None
    try:
        with open(os.path.join(directory, MANIFEST), encoding="utf-8") as file:
            listed = {one["name"]: one["complete"] for one in json.load(file)["parts"]}
    except (OSError, ValueError, LookupError, TypeError):
        return "the run that fills it has not come to its end; scan with --resume goes on"
    if listed.keys() != there:
        return "its parts are not those of its manifest; scan with --resume writes what is missing"
    if not all(listed.values()):
        return "some sources were not read to their end; scan with --resume reads them again"
    return None


def _read(directory: str, name: str, definitions: str) -> Part:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(os.path.join(directory, name)) as file:
            told = json.loads((file.metadata.metadata or {})[_METADATA.encode()])
            rows = file.metadata.num_rows
        part = Part(
            definitions,
            told["number"],
            [SourceMark(*mark) for mark in told["sources"]],
            _position(told["begin"]),
            _position(told["end"]),
            told["length"],
            told["complete"],
            rows,
        )
        if part.name != name:
            raise ValueError(f"it says that it is {part.name}")
    except (OSError, LookupError, ValueError, TypeError, pa.ArrowException) as error:
        hint = "remove it, and what it holds is read again"
        raise StateError(f"{name} is damaged: {error}", directory, hint) from None
    return part


def _position(kept: dict[str, Any] | None) -> Position | None:
    return None if kept is None else read_position(thawed(kept))


class Piece(NamedTuple):
    """What no part has of a source.

    Attributes:
        number: of the source among all.
        mark: of the source.
        begin: the position from which on it is missing; None from the beginning.
        end: the position at which a part begins that is there; None where it is missing to the end.
    """

    number: int
    mark: SourceMark
    begin: Position | None
    end: Position | None

    def is_followed_by(self, other: Piece) -> bool:
        """Whether the other's rows come directly behind: both may be in one part."""
        return self.end is None and other.number == self.number + 1 and other.begin is None


class _Range(NamedTuple):
    """What a part has of a source, as `Piece` says what is missing."""

    mark: SourceMark
    begin: Position | None
    end: Position | None


class Pieces:
    """What is left to read, as sources for a scan.

    Args:
        sources: all of them, as `scan` takes them.
        parts: those that are there.
        directory: where they are.

    Attributes:
        passed: the pieces that were given out.
    """

    def __init__(self, sources: Any, parts: list[Part], directory: str) -> None:
        self.passed: list[Piece] = []
        self._sources = iter_sources(sources)
        self._directory = directory
        self._home = os.path.abspath(directory)
        self._there: defaultdict[int, list[_Range]] = defaultdict(list)
        for part in parts:
            last = len(part.sources) - 1
            for at, mark in enumerate(part.sources):
                begin, end = part.begin if at == 0 else None, part.end if at == last else None
                self._there[part.number + at].append(_Range(mark, begin, end))

    def __iter__(self) -> Iterator[Source]:
        count = 0
        for number, source in enumerate(filter(self._is_log, self._sources)):
            count += 1
            mark = _mark(source)
            there = self._there.get(number, [])
            for known in {one.mark for one in there} - {mark}:
                what = "was written to" if known.label == mark.label else f"is {mark.label} now"
                raise self._others(f"{known.label} {what}")
            for piece in self._missing(number, mark, there):
                self.passed.append(piece)
                yield _section(source, piece)
        for number in sorted(self._there):
            if number >= count:
                raise self._others(f"{self._there[number][0].mark.label} is missing")

    def _is_log(self, source: Source) -> bool:
        """Whether it is none of the parts, which may be in a directory of logs."""
        if source.kind != "path":
            return True
        directory, name = os.path.split(os.path.abspath(os.fspath(source.object)))
        is_ours = _NAME.fullmatch(os.fsdecode(name)) or name == MANIFEST
        return not (is_ours and directory == self._home)

    def _missing(self, number: int, mark: SourceMark, there: list[_Range]) -> Iterator[Piece]:
        reached: Position | None = None
        is_whole = False
        for one in there:
            start, missing = offset_of(one.begin), offset_of(reached)
            if is_whole or start < missing:
                text = f"two parts have byte {start:,} of {mark.label}"
                raise StateError(text, self._directory, "remove one of them")
            if start > missing:
                yield Piece(number, mark, reached, one.begin)
            reached = one.end
            is_whole = reached is None
        if not is_whole:
            yield Piece(number, mark, reached, None)

    def _others(self, what: str) -> StateError:
        text = f"the sources are not those it was begun with: {what}"
        return StateError(text, self._directory, _ELSEWHERE)


def _section(source: Source, piece: Piece) -> Source:
    if piece.begin is None and piece.end is None:
        return source
    until = None if piece.end is None else offset_of(piece.end)
    return Source(source.label, "section", (source.object, piece.begin, until))


def _mark(source: Source) -> SourceMark:
    if source.kind == "path":
        try:
            status = os.stat(source.object)
        except OSError:  # the scan will say so
            return SourceMark(source.label, None, None)
        if stat.S_ISREG(status.st_mode):
            return SourceMark(source.label, status.st_size, status.st_mtime_ns)
    elif source.kind == "remote":
        return SourceMark(source.label, source.object.size, None, source.object.version)
    raise ValueError(
        f"{source.label} cannot be read again: a dataset is made of files and remote logs"
    )
