"""Delta Lake tables: `delta:DIR`."""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve._text import shorten
from metricsieve.exceptions import SinkError
from metricsieve.sinks._atomic import remedy_of, sync_directory
from metricsieve.sinks.database import check_types
from metricsieve.sources._remote import without_secrets

if TYPE_CHECKING:
    from metricsieve.sinks._targets import Target

_MODES = ("error", "append", "overwrite")
_AHEAD = 4  # batches
_STATISTICS = "delta.dataSkippingStatsColumns"  # a property of tables
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # in the library's messages


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    target.only("mode", many=["partition"])
    if not target.rest:
        raise ValueError("delta: needs a directory, such as delta:points")
    target.choice("mode", "error", _MODES)


def open_url(target: Target, schema: pa.Schema) -> DeltaSink:
    """The sink of a URL."""
    return DeltaSink(
        target.rest,
        schema,
        mode=target.text("mode", "error"),
        partition_by=list(target.options.get("partition", ())),
    )


class DeltaSink:
    """Writes a Delta Lake table; one version of it holds all points, or none does.

    Texts become plain strings and unsigned numbers signed ones, as Delta knows no others. A new
    table is told to keep no statistics of columns with floats: those of a file with an infinity
    would hide its finite points from filters. An empty text in a column of `partition_by` is null
    in the table, since Delta knows no other; it is counted.

    Args:
        path: a directory, or a URL that deltalake takes.
        schema: of the batches.
        mode: `error` refuses a table that exists, `append` adds a version, `overwrite` replaces it.
        partition_by: columns.

    Raises:
        ValueError: there is no such column, or it holds floats and cannot tell parts apart.
        ImportError: deltalake is missing.

    Example:
        >>> import deltalake, metricsieve as ms, tempfile
        >>> home = tempfile.mkdtemp()
        >>> scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
        >>> _ = scan.write(DeltaSink(f"{home}/points", scan.schema))
        >>> deltalake.DeltaTable(f"{home}/points").version()
        0
    """

    guarantee = "whole at the end"

    def __init__(
        self,
        path: str,
        schema: pa.Schema,
        *,
        mode: str = "error",
        partition_by: list[str] | None = None,
    ) -> None:
        try:
            from deltalake import DeltaTable, write_deltalake
        except ImportError:
            raise ImportError(
                "Delta tables need deltalake: pip install 'metricsieve[delta]'"
            ) from None
        for column in partition_by or []:
            if column not in schema.names:
                raise ValueError(f"there is no column {column!r}, only {', '.join(schema.names)}")
            if pa.types.is_floating(schema.field(column).type):
                raise ValueError(f"the column {column!r} holds floats and cannot be partition=")
        self._path = path
        self._parted_by = set(partition_by or ())
        self._empty = 0
        self._schema = pa.schema([field.with_type(_type(field.type)) for field in schema])
        self._batches: queue.Queue[pa.RecordBatch | None] = queue.Queue(_AHEAD)
        self._failure: BaseException | None = None
        self._aborted = False

        def write() -> None:
            try:
                before = set(_files(path))
                if mode != "error" and DeltaTable.is_deltatable(path):
                    table = DeltaTable(path)
                    self._parted_by.update(table.metadata().partition_columns)
                    older: Any = table.schema().to_arrow()
                    if mode == "append":
                        told = without_secrets(path)
                        check_types(told, _kinds(pa.schema(older)), _kinds(self._schema))
                reader = pa.RecordBatchReader.from_batches(self._schema, self._taken())
                write_deltalake(  # type: ignore[call-overload]
                    path,
                    reader,
                    mode=mode,
                    schema_mode="overwrite" if mode == "overwrite" else None,
                    partition_by=partition_by or None,
                    configuration={_STATISTICS: _with_statistics(self._schema)},
                )
                _sync(path, set(_files(path)) - before)
            except BaseException as error:
                self._failure = error

        self._thread = threading.Thread(target=write, daemon=True)
        self._thread.start()

    def _taken(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._batches.get()) is not None:
            for field in self._schema:
                if field.name in self._parted_by and pa.types.is_string(field.type):
                    is_empty: Any = pc.equal(batch.column(field.name), pa.scalar(""))
                    self._empty += pc.sum(is_empty).as_py() or 0
            yield batch
        if self._aborted:
            raise RuntimeError("nobody wants the table any more")

    @property
    def notes(self) -> list[str]:
        """What was done with some points."""
        listed = ", ".join(sorted(self._parted_by))
        text = f"Delta: {self._empty:,} empty texts in {listed} are null: Delta knows no other part"
        return [text] if self._empty else []

    def write(self, batch: pa.RecordBatch) -> None:
        """Hand a batch to the writer, which is a few ahead at most.

        Raises:
            SinkError: the table cannot be written.
        """
        self._put(batch.cast(self._schema))

    def _put(self, batch: pa.RecordBatch | None) -> None:
        while self._thread.is_alive():
            try:
                return self._batches.put(batch, timeout=0.1)
            except queue.Full:
                continue
        self._check()

    def _check(self) -> None:
        if isinstance(self._failure, SinkError):
            raise self._failure
        if self._failure is not None:
            told = _COLOURS.sub("", " ".join(str(self._failure).split()))
            hint = "mode=append adds a version to a table that exists, mode=overwrite replaces it"
            text, hint = shorten(without_secrets(told), 300), remedy_of(told, hint)
            raise SinkError(text, without_secrets(self._path), hint) from self._failure

    def close(self) -> None:
        """Commit the version.

        Raises:
            SinkError: it could not be committed.
        """
        self._put(None)
        self._thread.join()
        self._check()

    def abort(self) -> None:
        """Commit nothing; files that no version names are left for `vacuum`."""
        self._aborted = True
        if self._thread.is_alive():
            self._put_last()
            self._thread.join()

    def _put_last(self) -> None:
        while self._thread.is_alive():
            try:
                return self._batches.put(None, timeout=0.1)
            except queue.Full:
                with_room: Any = self._batches
                with_room.get_nowait()


def _files(path: str) -> Iterator[str]:
    """The files of a table in a directory; none of one that is elsewhere."""
    for directory, _, names in os.walk(path):
        yield from (os.path.join(directory, name) for name in names)


def _sync(path: str, files: set[str]) -> None:
    """Wait until new files and their names are on the disk, which deltalake does not.

    Raises:
        OSError: it is not certain that they outlive a power loss.
    """
    for file in sorted(files):
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    directories = {os.path.dirname(file) for file in files}
    directories |= {os.path.dirname(directory) for directory in directories}  # they may be new
    for directory in directories:
        sync_directory(directory)


def _kinds(schema: pa.Schema) -> dict[str, str]:
    """The types of columns by name, in lower case."""
    return {field.name.lower(): str(field.type) for field in schema}


def _with_statistics(schema: pa.Schema) -> str:
    """The columns that a table keeps statistics of, as its property lists them."""
    names = [field.name for field in schema if not pa.types.is_floating(field.type)]
    return ",".join("`" + name.replace("`", "``") + "`" for name in names)


def _type(kind: pa.DataType) -> pa.DataType:
    """A type that Delta Lake knows."""
    if pa.types.is_dictionary(kind):
        return pa.string()
    wider = {"uint64": pa.int64(), "uint32": pa.int64(), "uint16": pa.int32()}
    return wider.get(str(kind), kind)
