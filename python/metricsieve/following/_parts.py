"""Parquet parts: one file for a range of one source, whose name is the proof that it was read.

Principal type: `PartsOutput`. A part appears by one link, after its content is on the disk, under a
name that says which bytes of which generation its rows are of. So rows and progress are one act:
after a crash the parts that are there tell where to go on, whatever the state says. Parts of a
generation adjoin each other; the last one carries what its source's state would.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from metricsieve._positions import frozen, thawed
from metricsieve.exceptions import StateError
from metricsieve.sinks._atomic import AtomicFile, make_directory, sink_errors
from metricsieve.sinks._lock import Lock
from metricsieve.sinks._parquet_writer import open_parquet, whole_row_groups
from metricsieve.sinks._part_names import source_name

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.following._feed import Feed

_NAME = re.compile(
    r"part-(?P<source>.+)-(?P<generation>\d+)-(?P<start>\d+)-(?P<end>\d+)-(?P<definitions>[0-9a-f]{8})"
    r"\.parquet"
)
_POSITION = b"metricsieve.follow"
_ROW_GROUP = 1 << 20


class Part(NamedTuple):
    """What the name of a part says."""

    source: str
    generation: int
    start: int
    end: int
    definitions: str


def part_name(part: Part) -> str:
    """The file name; sorted by name, parts of a source are in the order of its rows."""
    return (
        f"part-{part.source}-{part.generation:06d}-{part.start:015d}-{part.end:015d}-"
        f"{part.definitions}.parquet"
    )


def read_name(name: str) -> Part | None:
    """What a file name says; None where it is no part.

    Example:
        >>> read_name(part_name(Part("a-b", 1, 0, 20, "0123abcd")))
        Part(source='a-b', generation=1, start=0, end=20, definitions='0123abcd')
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    generation, start, end = (int(found[key]) for key in ("generation", "start", "end"))
    return Part(found["source"], generation, start, end, found["definitions"])


class PartsOutput:
    """A directory of parts.

    Args:
        directory: made when it does not exist.
        schema: of the batches.
        definitions: hash of everything that decides which rows there are.

    Raises:
        StateError: another process writes there, or the parts there are of other definitions.
        SinkError: the directory cannot be used.
    """

    exactly_once = True

    def __init__(self, directory: str, schema: pa.Schema, definitions: str) -> None:
        self.path = directory
        self._schema = schema
        self._definitions = definitions[:8]
        self._pending: dict[tuple[str, int], tuple[Feed, list[pa.RecordBatch]]] = {}
        self.pending_bytes = 0
        self.written = 0
        with sink_errors(directory):
            make_directory(directory)
        self._lock = Lock(directory, ".metricsieve.lock")
        try:
            self._parts = self._list()
        except BaseException:
            self._lock.release()
            raise

    def _list(self) -> list[Part]:
        found = []
        for name in os.listdir(self.path):
            if name.startswith(".metricsieve-") and name.endswith(".tmp"):
                with sink_errors(self.path):
                    os.unlink(os.path.join(self.path, name))  # of a process that was killed
            part = read_name(name)
            if part is None:
                continue
            if part.definitions != self._definitions:
                raise StateError(
                    f"it holds parts of other definitions or options, for example {name}",
                    self.path,
                    "write to another directory",
                )
            found.append(part)
        return sorted(found)

    def saved(
        self, known: Mapping[tuple[str, int], int], forgotten: Mapping[str, int]
    ) -> list[dict[str, Any]]:
        """What the last part of each generation knows of its source.

        Args:
            known: up to where the parts of a (source name, generation) reach by the state.
            forgotten: of a source name the first generation that the state still knows.

        Raises:
            StateError: a part is missing between others.
        """
        ends: dict[tuple[str, int], tuple[int, Part]] = {}
        for part in self._parts:
            key = (part.source, part.generation)
            begin = known.get(key, 0)
            if part.end <= begin or part.generation < forgotten.get(part.source, 0):
                continue
            reached = ends[key][0] if key in ends else begin
            if part.start != reached:
                raise StateError(
                    f"the part before {part_name(part)} is missing: it should end at {part.start} "
                    f"and the parts end at {reached}",
                    self.path,
                    "write to another directory",
                )
            ends[key] = (part.end, part)
        found = [self._position(part) for _, part in ends.values()]
        return [one for one in found if one["file"] is not None]  # streams cannot be read again

    def next_generation(self, label: str) -> int:
        """The first generation of a label without parts."""
        mine = [part.generation for part in self._parts if part.source == source_name(label)]
        return max(mine, default=-1) + 1

    def _position(self, part: Part) -> dict[str, Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = os.path.join(self.path, part_name(part))
        try:
            metadata = pq.read_schema(path).metadata or {}
            found = thawed(json.loads(metadata[_POSITION]))
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            hint = "remove it, and its rows come again"
            raise StateError(f"{part_name(part)} is damaged: {error}", self.path, hint) from None
        assert isinstance(found, dict)
        return found

    def remove_after(
        self, known: Mapping[tuple[str, int], int], *, only: str | None = None
    ) -> None:
        """Remove parts, or those of one source, that reach further than the state.

        Other outputs lack their rows, or the rows come again.
        """
        for part in self._parts:
            if only is not None and part.source != only:
                continue
            if part.end > known.get((part.source, part.generation), 0):
                with sink_errors(self.path):
                    os.unlink(os.path.join(self.path, part_name(part)))

    @property
    def is_empty(self) -> bool:
        """Whether no part was there at the start."""
        return not self._parts

    def write(self, batch: pa.RecordBatch, feed: Feed) -> None:
        """Take rows of one generation; they become a part with the next `commit`."""
        _, batches = self._pending.setdefault((feed.label, feed.generation), (feed, []))
        batches.append(batch)
        self.pending_bytes += batch.nbytes

    def commit(self) -> None:
        """Publish what was written, a part for each generation.

        Raises:
            SinkError: a part could not be written; those before it are there.
        """
        for key in list(self._pending):
            self._publish(*self._pending[key])
            del self._pending[key]
        self.pending_bytes = 0

    def _publish(self, feed: Feed, batches: list[pa.RecordBatch]) -> None:
        import pyarrow as pa

        start, end = feed.part_start, int(feed.position["offset"])
        part = Part(source_name(feed.label), feed.generation, start, end, self._definitions)
        feed.part_start = end
        described = {"path": feed.path, "label": feed.label, "file": feed.describe()}
        position = json.dumps(frozen(described)).encode()
        metadata = {**(self._schema.metadata or {}), _POSITION: position}
        table = pa.Table.from_batches(batches).replace_schema_metadata(metadata)
        file = AtomicFile(os.path.join(self.path, part_name(part)), replace=False)
        try:
            with sink_errors(file.path):
                writer = open_parquet(cast(IO[bytes], file), table.schema)
                for group in whole_row_groups(table, _ROW_GROUP):
                    writer.write_batch(group)
                writer.close()
            file.commit()
        except BaseException:
            feed.part_start = start
            file.abort()
            raise
        self.written += 1

    def mark(self) -> None:
        """Nothing: the parts themselves tell."""

    def close(self) -> None:
        """Let another process have the directory; what was not committed does not appear."""
        self._lock.release()

    abort = close
