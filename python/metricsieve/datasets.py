"""Points of many logs in a directory of Parquet parts, which an interrupted run goes on with.

Principal function: `write_dataset`. The scan tells to which places its rows have come: ends of
sources, and positions within large ones. A part ends at such a place and appears by one link when
it is on the disk. So finished parts are all there is to know about how far a run came. A part with
a source that failed is written again by the next.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import warnings
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, cast

import pyarrow as pa

from metricsieve import _scan
from metricsieve._dataset_parts import MANIFEST, Part, Pieces, list_parts
from metricsieve._positions import Position
from metricsieve._sources import Prepared
from metricsieve.exceptions import DefinitionWarning, StateError
from metricsieve.sinks._atomic import AtomicFile, make_directory, sink_errors, write_whole
from metricsieve.sinks._lock import Lock
from metricsieve.sinks._parquet_writer import ParquetWriter, open_parquet, whole_row_groups

if TYPE_CHECKING:
    from metricsieve._report import Report
    from metricsieve._scan import Mark, Scan

PART_ROWS = 1_000_000
PART_BYTES = 4 << 30
# Of which a part says what they were: readers refuse a text of 100 MB in a file's footer.
PART_SOURCES = 10_000
MARK_BYTES: int | None = None  # as often as suits the engine: every 8 MiB
_LOCK = ".metricsieve.lock"
_ROW_GROUP = 131_072
_RESUME = "resume=True (--resume) goes on there, or write to another directory"


def write_dataset(
    sources: Any,
    definitions: Any,
    directory: str | os.PathLike[str],
    *,
    resume: bool = False,
    part_rows: int = PART_ROWS,
    part_bytes: int = PART_BYTES,
    **options: Any,
) -> Report:
    """Scan logs into a directory of Parquet parts.

    Sorted by name, the parts hold the rows that `scan` gives, in its order; `pyarrow.dataset`,
    DuckDB, polars and Spark read the directory as one table. A manifest, `_metricsieve.json`, is
    written when everything is there. After an interruption, whatever it was, `resume` reads what no
    part has.

    Args:
        sources: files, globs, directories and remote logs, as `scan` takes them; with `resume` the
            same in the same order, more of them at the end.
        definitions: as for `scan`.
        directory: made if it does not exist.
        resume: go on with what is there. Sources that failed are read again.
        part_rows: a part ends when it has so many rows: with the source, or within a plain file of
            more than 8 MiB at the next of the places that are about so far apart.
        part_bytes: the same for so many bytes of logs, however few rows they have. A part has at
            most 10,000 sources, too.
        options: those of `scan` that change rows, such as `context` or `columns`.

    Returns:
        The report of what this run read.

    Raises:
        StateError: the directory is in use, holds parts already, or parts of other definitions or
            sources.
        SinkError: a part cannot be written; those before it are there.
        ValueError: sources that cannot be read again, or columns without `source`.

    Example:
        >>> import pathlib, tempfile, pyarrow.dataset
        >>> home = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (home / "a.log").write_text("loss=0.5")
        >>> report = write_dataset(home / "a.log", {"loss": "loss=(.*)"}, home / "points")
        >>> pyarrow.dataset.dataset(home / "points", format="parquet").count_rows()
        1
    """
    with DatasetWriter(
        sources,
        definitions,
        directory,
        resume=resume,
        part_rows=part_rows,
        part_bytes=part_bytes,
        **options,
    ) as writer:
        return writer.run()


class DatasetWriter:
    """A run of `write_dataset`, with its scan for those who show progress.

    Args: as for `write_dataset`.
    """

    def __init__(
        self,
        sources: Any,
        definitions: Any,
        directory: str | os.PathLike[str],
        *,
        resume: bool = False,
        part_rows: int = PART_ROWS,
        part_bytes: int = PART_BYTES,
        **options: Any,
    ) -> None:
        self._directory = os.fspath(directory)
        self._part_rows, self._part_bytes = part_rows, part_bytes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DefinitionWarning)  # the scan issues them
            checked, _ = _scan.prepare(
                definitions,
                options.get("context"),
                options.get("columns"),
                options.get("normalize", "terminal"),
            )
        if not options.setdefault("ordered", True):
            raise ValueError("a dataset is written in the order of its sources")
        if options.get("columns") is not None and "source" not in options["columns"]:
            raise ValueError("a dataset needs the column source: its parts are made by it")
        usual = inspect.signature(_scan.scan).parameters
        told = {
            name: value
            for name, value in options.items()
            if name not in _NO_ROWS and value != usual[name].default
        }
        text = json.dumps([checked.fingerprint, told], sort_keys=True, default=repr)
        self._definitions = hashlib.sha256(text.encode()).hexdigest()[:8]
        is_new = not os.path.isdir(self._directory)
        with sink_errors(self._directory):
            make_directory(self._directory)
        self._lock = Lock(self._directory, _LOCK)
        try:
            there = self._there(resume=resume)
            self._parts = [part for part in there if part.complete]
            self._pieces = Pieces(sources, self._parts, self._directory)
            prepared = Prepared(self._pieces, MARK_BYTES)
            self.scan: Scan = _scan.scan(prepared, checked, **options)
            self._schema = self.scan.schema
            if options.get("strings") != "plain":
                self._schema = _with_source_dictionary(self._schema)
            self._clear(there)
        except BaseException:
            if is_new:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self._directory, _LOCK))
                    os.rmdir(self._directory)
            self._lock.release()
            raise

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.scan.close()
        self._lock.release()

    def _there(self, *, resume: bool) -> list[Part]:
        """The parts to go on with, and those with a source that failed."""
        with sink_errors(self._directory):
            parts = list_parts(self._directory, self._definitions)
        if parts and not resume:
            raise StateError(f"it holds {len(parts)} parts already", self._directory, _RESUME)
        return parts

    def _clear(self, there: list[Part]) -> None:
        """Remove what this run writes again, and what a killed one left."""
        names = [part.name for part in there if not part.complete]
        with sink_errors(self._directory):
            for name in os.listdir(self._directory):
                is_left = name.startswith(".metricsieve-") and name.endswith(".tmp")
                if is_left or name == MANIFEST or name in names:
                    os.unlink(os.path.join(self._directory, name))

    def run(self) -> Report:
        """Read and write everything; the report of it."""
        part = self._behind(None)
        try:
            before = 0  # rows of the batches that came before
            for batch in self.scan:
                done = 0
                for mark in self.scan._take_marks():
                    if self._ends(part, mark):
                        part.write(batch.slice(done, mark.rows - before - done))
                        part = self._finish(part, mark)
                        done = mark.rows - before
                part.write(batch.slice(done))
                before += batch.num_rows
            for mark in self.scan._take_marks():
                if self._ends(part, mark):
                    part = self._finish(part, mark)
            if part.reached is not None:
                self._finish(part, part.reached)
            self._write_manifest()
        except BaseException:
            part.abort()
            raise
        return self.scan.report

    def _behind(self, mark: Mark | None) -> _OpenPart:
        """The part that begins at a mark, or with the first piece."""
        source, position = 0, None
        if mark is not None:
            source, position = mark.source, mark.position
            if position is None:
                source += 1
        if position is None and source < len(self._pieces.passed):
            position = self._pieces.passed[source].begin
        return _OpenPart(self._directory, self._schema, source, position, mark)

    def _ends(self, part: _OpenPart, mark: Mark) -> bool:
        """Let a part come to a mark; whether it ends there."""
        part.reach(mark)
        pieces = self._pieces.passed[mark.source : mark.source + 2]
        if mark.position is None and len(pieces) == 2 and not pieces[0].is_followed_by(pieces[1]):
            return True  # a part that is there already comes in between
        return (
            part.rows >= self._part_rows
            or part.bytes >= self._part_bytes
            or mark.source - part.source >= PART_SOURCES - 1
        )

    def _finish(self, part: _OpenPart, mark: Mark) -> _OpenPart:
        """Publish a part that ends at a mark; the one behind it."""
        pieces = self._pieces.passed[part.source : mark.source + 1]
        done = Part(
            self._definitions,
            pieces[0].number,
            [piece.mark for piece in pieces],
            part.begin,
            pieces[-1].end if mark.position is None else mark.position,
            mark.offset,
            not part.has_failed,
            part.rows,
        )
        part.commit(done)
        self._parts.append(done)
        return self._behind(mark)

    def _write_manifest(self) -> None:
        parts = [
            {
                "name": one.name,
                "rows": one.rows,
                "sources": len(one.sources),
                "complete": one.complete,
            }
            for one in sorted(self._parts, key=lambda part: part.name)
        ]
        content = {"format": "metricsieve dataset", "version": 1, "definitions": self._definitions}
        write_whole(
            os.path.join(self._directory, MANIFEST),
            json.dumps({**content, "parts": parts}, indent=2).encode() + b"\n",
        )


def _with_source_dictionary(schema: pa.Schema) -> pa.Schema:
    """The schema of all parts, also where a scan has so many sources that it writes them out."""
    at = schema.get_field_index("source")
    return schema.set(at, schema.field(at).with_type(pa.dictionary(pa.int32(), pa.string())))


class _OpenPart:
    """A part that is being written.

    Args:
        directory: where it will be.
        schema: of the batches.
        source: the piece with which it begins.
        begin: the position in that at which it begins; None at its beginning.
        behind: the mark that the part before ends at.

    Attributes:
        reached: the last mark that it came to.
        has_failed: whether a source was not read to its end.
    """

    def __init__(
        self,
        directory: str,
        schema: pa.Schema,
        source: int,
        begin: Position | None,
        behind: Mark | None,
    ) -> None:
        self.source, self.begin = source, begin
        self.reached: Mark | None = None
        self.has_failed = False
        self._before = (0, 0) if behind is None else (behind.rows, behind.bytes)
        self._directory = directory
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self._pending = 0
        self._writer: ParquetWriter | None = None
        self._file: AtomicFile | None = None

    @property
    def rows(self) -> int:
        """Its rows up to the last mark."""
        return 0 if self.reached is None else self.reached.rows - self._before[0]

    @property
    def bytes(self) -> int:
        """The decompressed bytes of logs that they are of."""
        return 0 if self.reached is None else self.reached.bytes - self._before[1]

    def reach(self, mark: Mark) -> None:
        """Take note of a place that its rows have come to."""
        self.reached = mark
        self.has_failed |= mark.is_failed

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        if batch.num_rows:
            self._batches.append(batch)
            self._pending += batch.num_rows
            if self._pending >= _ROW_GROUP:
                self._put()

    def _put(self) -> None:
        with sink_errors(self._directory):
            if self._file is None or self._writer is None:
                # The name follows when the end is known.
                path = os.path.join(self._directory, "part.parquet")
                self._file = AtomicFile(path, replace=False)
                self._writer = open_parquet(cast(IO[bytes], self._file), self._schema)
            given = self._batches[0].schema if self._batches else self._schema
            table = pa.Table.from_batches(self._batches, schema=given)
            at = self._schema.get_field_index("source")
            if table.schema.field(at) != self._schema.field(at):
                table = table.set_column(at, self._schema.field(at), table[at].dictionary_encode())
            for group in whole_row_groups(table, _ROW_GROUP):
                self._writer.write_batch(group)
        self._batches, self._pending = [], 0

    def commit(self, done: Part) -> None:
        """Publish it as this part."""
        try:
            self._put()
            assert self._writer is not None
            assert self._file is not None
            with sink_errors(self._directory):
                self._writer.add_key_value_metadata(done.metadata())
                self._writer.close()
            self._file.commit(done.name)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Leave nothing of it."""
        if self._file is not None:
            self._file.abort()


# Options of `scan` on which no row depends.
_NO_ROWS = {"threads", "progress", "on_source_error", "batch_rows", "context"}
