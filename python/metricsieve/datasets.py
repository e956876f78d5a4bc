"""Points of many logs in a directory of Parquet parts, which an interrupted run goes on with.

Principal function: `write_dataset`. A part holds the rows of some sources that follow each other,
whole, and says which; it appears by one link when it is on the disk. So finished parts are all
there is to know about how far a run came. A part with a source that failed is written again by the
next.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve import _scan
from metricsieve._sources import Prepared, Source, iter_sources
from metricsieve.exceptions import DefinitionWarning, StateError
from metricsieve.sinks._atomic import AtomicFile, make_directory, sink_errors, write_whole
from metricsieve.sinks._lock import Lock
from metricsieve.sinks._parquet_writer import ParquetWriter, open_parquet, whole_row_groups

if TYPE_CHECKING:
    from metricsieve._report import Report
    from metricsieve._scan import Scan

PART_ROWS = 1_000_000
MANIFEST = "_metricsieve.json"
_SOURCES = b"metricsieve.sources"
_NAME = re.compile(r"part-(?P<first>\d{9})-(?P<definitions>[0-9a-f]{8})\.parquet")
_ROW_GROUP = 131_072
_RESUME = "resume=True (--resume) goes on there, or write to another directory"


class SourceMark(NamedTuple):
    """A source of a part, and what tells that it is still the same.

    Attributes:
        label: what the `source` column says.
        size: its bytes; None where they are not known.
        mtime_ns: when it was last written to; None for what is no file.
    """

    label: str
    size: int | None
    mtime_ns: int | None


class _Part(NamedTuple):
    name: str
    first: int
    sources: list[SourceMark]
    complete: bool
    rows: int


def write_dataset(
    sources: Any,
    definitions: Any,
    directory: str | os.PathLike[str],
    *,
    resume: bool = False,
    part_rows: int = PART_ROWS,
    **options: Any,
) -> Report:
    """Scan logs into a directory of Parquet parts.

    Sorted by name, the parts hold the rows that `scan` gives, in its order; `pyarrow.dataset`,
    DuckDB, polars and Spark read the directory as one table. A manifest, `_metricsieve.json`, is
    written when everything is there. After an interruption, whatever it was, `resume` goes on
    behind the last part that was finished.

    Args:
        sources: files, globs, directories and remote logs, as `scan` takes them; with `resume` the
            same in the same order, more of them at the end.
        definitions: as for `scan`.
        directory: made if it does not exist.
        resume: go on with what is there. Sources that failed are read again.
        part_rows: a part ends with the source with which it has so many rows.
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
        sources, definitions, directory, resume=resume, part_rows=part_rows, **options
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
        **options: Any,
    ) -> None:
        self._directory = os.fspath(directory)
        self._part_rows = part_rows
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
        told = {key: value for key, value in options.items() if key not in _NO_ROWS}
        text = json.dumps([checked.fingerprint, told], sort_keys=True, default=repr)
        self._definitions = hashlib.sha256(text.encode()).hexdigest()[:8]
        with sink_errors(self._directory):
            make_directory(self._directory)
        self._lock = Lock(self._directory, ".metricsieve.lock")
        try:
            self._parts = self._kept(self._list(), resume=resume)
            marks = [mark for part in self._parts for mark in part.sources]
            firsts = [part.first + at for part in self._parts for at in range(len(part.sources))]
            done = dict(zip(firsts, marks, strict=True))
            self._tracker = _Tracker(sources, done, self._directory)
            self.scan: Scan = _scan.scan(Prepared(self._tracker), checked, **options)
        except BaseException:
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

    # What is there

    def _list(self) -> list[_Part]:
        found = []
        for name in sorted(os.listdir(self._directory)):
            if name.startswith(".metricsieve-") and name.endswith(".tmp"):
                with sink_errors(self._directory):
                    os.unlink(os.path.join(self._directory, name))  # of a run that was killed
                continue
            parts = _NAME.fullmatch(name)
            if parts is None:
                if name.endswith(".parquet"):
                    raise StateError(
                        f"it holds {name}, which is no part of a dataset",
                        self._directory,
                        "write to another directory",
                    )
                continue
            if parts["definitions"] != self._definitions:
                raise StateError(
                    f"it holds parts of other definitions or options, for example {name}",
                    self._directory,
                    "write to another directory",
                )
            found.append(self._read(name, int(parts["first"])))
        return found

    def _read(self, name: str, first: int) -> _Part:
        import pyarrow.parquet as pq

        path = os.path.join(self._directory, name)
        try:
            with pq.ParquetFile(path) as file:
                told = json.loads((file.metadata.metadata or {})[_SOURCES])
                marks = [SourceMark(*mark) for mark in told["sources"]]
                return _Part(name, first, marks, told["complete"], file.metadata.num_rows)
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            hint = "remove it, and its sources are read again"
            raise StateError(f"{name} is damaged: {error}", self._directory, hint) from None

    def _kept(self, parts: list[_Part], *, resume: bool) -> list[_Part]:
        """The parts to go on with; those with a source that failed are removed."""
        if parts and not resume:
            raise StateError(f"it holds {len(parts)} parts already", self._directory, _RESUME)
        for part in parts:
            if not part.complete:
                with sink_errors(self._directory):
                    os.unlink(os.path.join(self._directory, part.name))
        manifest = os.path.join(self._directory, MANIFEST)
        if os.path.exists(manifest):
            with sink_errors(manifest):
                os.unlink(manifest)
        return [part for part in parts if part.complete]

    # The run

    def run(self) -> Report:
        """Read and write everything; the report of it."""
        part: _OpenPart | None = None
        try:
            for batch in self.scan:
                rows: pa.RecordBatch | None = batch if batch.num_rows else None
                while rows is not None:
                    part = part or self._begin(_label(rows, 0))
                    end = self._end(part, rows)
                    if end > 0:
                        part.write(rows.slice(0, end))
                    rows = rows.slice(end) if end < rows.num_rows else None
                    if rows is not None:
                        self._finish(part, self._tracker.place(_label(rows, 0), part.at))
                        part = None
            if part is not None:
                self._finish(part, len(self._tracker.passed))
            self._pass_over(len(self._tracker.passed))
            self._write_manifest()
        except BaseException:
            if part is not None:
                part.abort()
            raise
        return self.scan.report

    def _begin(self, label: str) -> _OpenPart:
        """A part that begins with the first source that no part has, up to that of a label."""
        place = self._tracker.place(label, self._tracker.taken)
        while (gap := self._tracker.gap(self._tracker.taken)) <= place:
            self._pass_over(gap)
        return self._open()

    def _open(self) -> _OpenPart:
        at = self._tracker.taken
        ordinal, mark = self._tracker.passed[at]
        name = f"part-{ordinal:09d}-{self._definitions}.parquet"
        return _OpenPart(os.path.join(self._directory, name), self.scan.schema, at, mark.label)

    def _end(self, part: _OpenPart, rows: pa.RecordBatch) -> int:
        """How many of the rows are the part's."""
        end = _part_end(rows, self._part_rows - part.rows, part.last)
        gap = self._tracker.gap(part.at)
        if gap < len(self._tracker.passed):
            # Sources in between are in a part already: names would not be in the order of rows.
            beyond = pa.array([mark.label for _, mark in self._tracker.passed[gap:]], pa.string())
            labels: Any = rows.column("source").cast(pa.string())
            found = pc.index(pc.is_in(labels, value_set=beyond), value=True).as_py()
            end = end if found < 0 else min(end, int(found))
        return end

    def _pass_over(self, end: int) -> None:
        """Parts without rows for the sources up to `end`, which have none."""
        while self._tracker.taken < end:
            self._finish(self._open(), end)

    def _finish(self, part: _OpenPart, end: int) -> None:
        """Publish a part of the sources up to `end`, or as many of them as follow each other."""
        end = min(end, self._tracker.gap(part.at))
        failed = {one.source for one in self.scan.report.sources if one.error is not None}
        passed = self._tracker.passed[part.at : end]
        marks = [mark for _, mark in passed]
        complete = not failed.intersection(mark.label for mark in marks)
        part.commit(marks, complete=complete)
        first, _ = passed[0]
        self._parts.append(_Part(os.path.basename(part.path), first, marks, complete, part.rows))
        self._tracker.taken = end

    def _write_manifest(self) -> None:
        parts = [
            {
                "name": one.name,
                "rows": one.rows,
                "sources": len(one.sources),
                "complete": one.complete,
            }
            for one in sorted(self._parts)
        ]
        content = {"format": "metricsieve dataset", "version": 1, "definitions": self._definitions}
        write_whole(
            os.path.join(self._directory, MANIFEST),
            json.dumps({**content, "parts": parts}, indent=2).encode() + b"\n",
        )


class _Tracker:
    """The sources that are left to read, and what was passed to the scan.

    Attributes:
        passed: number among all sources and mark of each source that the scan was given.
        taken: how many of these are in finished parts.
    """

    def __init__(self, sources: Any, done: dict[int, SourceMark], directory: str) -> None:
        self._sources = iter_sources(sources)
        self._done = done
        self._directory = directory
        self.passed: list[tuple[int, SourceMark]] = []
        self.taken = 0

    def __iter__(self) -> Iterator[Source]:
        count = 0
        for ordinal, source in enumerate(self._sources):
            count += 1
            mark = _mark(source)
            known = self._done.get(ordinal)
            if known is None:
                self.passed.append((ordinal, mark))
                yield source
            elif known != mark:
                what = "was written to" if known.label == mark.label else f"is {mark.label} now"
                raise StateError(
                    f"the sources are not those it was begun with: {known.label} {what}",
                    self._directory,
                    "write to another directory",
                )
        beyond = [mark.label for ordinal, mark in self._done.items() if ordinal >= count]
        if beyond:
            raise StateError(
                f"the sources are not those it was begun with: {beyond[0]} is missing",
                self._directory,
                "write to another directory",
            )

    def gap(self, start: int) -> int:
        """The first place behind `start` that does not follow the one before; else their number."""
        if not self._done or start >= len(self.passed):
            return len(self.passed)
        first = self.passed[start][0]
        at = start + 1
        while at < len(self.passed) and self.passed[at][0] == first + at - start:
            at += 1
        return at

    def place(self, label: str, start: int) -> int:
        """Where a label stands among those that were passed, from `start` on."""
        for at in range(start, len(self.passed)):
            if self.passed[at][1].label == label:
                return at
        raise AssertionError(f"rows of a source that was not passed: {label}")


class _OpenPart:
    """A part that is being written."""

    def __init__(self, path: str, schema: pa.Schema, at: int, last: str) -> None:
        self.path = path
        self.at = at
        self.last = last
        self.rows = 0
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self._pending = 0
        self._writer: ParquetWriter | None = None
        self._file: AtomicFile | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows, the last of which is of the part's last source so far."""
        self.last = _label(batch, batch.num_rows - 1)
        self.rows += batch.num_rows
        self._batches.append(batch)
        self._pending += batch.num_rows
        if self._pending >= _ROW_GROUP:
            self._put()

    def _put(self) -> None:
        if self._file is None:
            self._file = AtomicFile(self.path, replace=False)
        with sink_errors(self.path):
            if self._writer is None:
                file = cast(IO[bytes], self._file)
                self._writer = open_parquet(file, self._schema)
            table = pa.Table.from_batches(self._batches, schema=self._schema)
            for group in whole_row_groups(table, _ROW_GROUP):
                self._writer.write_batch(group)
        self._batches, self._pending = [], 0

    def commit(self, marks: list[SourceMark], *, complete: bool) -> None:
        """Publish it with the sources that it is of."""
        try:
            self._put()
            assert self._writer is not None
            assert self._file is not None
            told = json.dumps({"sources": marks, "complete": complete})
            with sink_errors(self.path):
                self._writer.add_key_value_metadata({_SOURCES.decode(): told})
                self._writer.close()
            self._file.commit()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Leave nothing of it."""
        if self._file is not None:
            self._file.abort()


# Options of `scan` on which no row depends.
_NO_ROWS = {"threads", "progress", "on_source_error", "batch_rows", "context"}


def _mark(source: Source) -> SourceMark:
    if source.kind == "path":
        try:
            status = os.stat(source.object)
        except OSError:  # the scan will say so
            return SourceMark(source.label, None, None)
        return SourceMark(source.label, status.st_size, status.st_mtime_ns)
    if source.kind == "remote":
        return SourceMark(source.label, source.object.size, None)
    raise ValueError(
        f"{source.label} cannot be read again: a dataset is made of files and remote logs"
    )


def _label(batch: pa.RecordBatch, row: int) -> str:
    return str(batch.column("source")[row].as_py())


def _part_end(batch: pa.RecordBatch, room: int, last: str) -> int:
    """How many of the rows still belong to a part that has room for so many.

    A part ends with a source, so the rows of the source that fills it are all its.
    """
    if room > batch.num_rows:
        return batch.num_rows
    labels: Any = batch.column("source")
    if room > 0:
        last = _label(batch, room - 1)
    others = pc.not_equal(labels.cast(pa.string()).slice(max(room, 0)), pa.scalar(last))
    found = pc.index(others, value=True).as_py()
    return batch.num_rows if found < 0 else max(room, 0) + int(found)
