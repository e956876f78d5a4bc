"""Tables in database files: `duckdb:FILE` and `sqlite:FILE`.

Principal types: `DuckDbSink` and `SqliteSink`. Everything is one transaction, so that a table is
there whole or as it was; a follower's commits are transactions of their own. A new file gets its
name with the first commit: what a full disk leaves of a new DuckDB file cannot be opened again.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from metricsieve.exceptions import SinkError
from metricsieve.sinks._atomic import publish, remedy_of, sink_errors, temporary_name

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._targets import Target

TABLE = "points"
MODES = ("create", "append", "replace")
_SIDE_FILES = ("", ".wal", "-journal", "-wal", "-shm")


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    target.only("table", "mode")
    if not target.rest:
        raise ValueError(f"{target.scheme}: needs a file, such as {target.scheme}:points.db")
    target.choice("mode", "create", MODES)


def open_url(target: Target, schema: pa.Schema) -> DuckDbSink | SqliteSink:
    """The sink of a URL."""
    kind = DuckDbSink if target.scheme == "duckdb" else SqliteSink
    table, mode = target.text("table", TABLE), target.text("mode", "create")
    return kind(target.rest, schema, table=table, mode=mode)


class _Database:
    """What both kinds share: a table that is written in transactions."""

    guarantee = "whole at the end; of a follower at least once"

    def __init__(
        self, path: str, schema: pa.Schema, *, table: str = TABLE, mode: str = "create"
    ) -> None:
        self._path = path
        self._table = _quoted(table)
        self._batch = f"{table}_batch"  # the name of a view, which must not be the table's
        self._columns = [_quoted(name) for name in schema.names]
        self._temporary: str | None = None
        if not os.path.lexists(path):
            self._temporary = temporary_name(path)
            with sink_errors(path):
                os.stat(os.path.dirname(path) or ".")
        try:
            with self._errors():
                self._connection: Any = self._open(self._temporary or path)
                self._run("BEGIN")
                self._prepare(schema, table, mode)
        except BaseException:
            self.abort()
            raise

    def _open(self, path: str) -> Any:
        raise NotImplementedError

    def _columns_of(self, table: str) -> Mapping[str, str]:
        """Columns of a table with their types; none where it does not exist."""
        raise NotImplementedError

    def _type(self, kind: pa.DataType) -> str:
        raise NotImplementedError

    def _run(self, statement: str, *arguments: Any) -> Any:
        return self._connection.execute(statement, *arguments)

    def _prepare(self, schema: pa.Schema, table: str, mode: str) -> None:
        older = self._columns_of(table)
        if older and mode == "create":
            raise SinkError(
                f"it has a table {table} already",
                self._path,
                "mode=append adds to it, mode=replace drops it, table= names another",
            )
        kinds = {field.name: self._type(field.type) for field in schema}
        if older and mode == "append":
            check_types(self._path, {name.lower(): kind for name, kind in older.items()}, kinds)
        if older and mode == "replace":
            self._run(f"DROP TABLE {self._table}")
        if not older or mode == "replace":
            columns = zip(self._columns, kinds.values(), strict=True)
            listed = ", ".join(f"{name} {kind}" for name, kind in columns)
            self._run(f"CREATE TABLE {self._table} ({listed})")

    def flush(self) -> None:
        """Commit what was written, and begin the next transaction."""
        with self._errors():
            self._run("COMMIT")
            if self._temporary is not None:
                self._publish()
                self._connection = self._open(self._path)
            self._run("BEGIN")

    def close(self) -> None:
        """Commit everything."""
        with self._errors():
            self._run("COMMIT")
            self._publish()

    def _publish(self) -> None:
        """Close the file; a new one gets its name."""
        if self._temporary is None:
            self._connection.close()
            return
        self._settle()
        self._connection.close()
        with sink_errors(self._path):
            publish(self._temporary, self._path, replace=False)
        self._temporary = None

    def _settle(self) -> None:
        """See that the file alone holds everything."""

    def abort(self) -> None:
        """Leave the table as it was after the last commit."""
        with contextlib.suppress(Exception):
            self._run("ROLLBACK")
        with contextlib.suppress(Exception):
            self._connection.close()
        temporary, self._temporary = self._temporary, None
        for name in _SIDE_FILES if temporary is not None else ():
            with contextlib.suppress(OSError):
                os.unlink(f"{temporary}{name}")

    def _is_interrupted(self, error: Exception) -> bool:
        """Whether an error says that Ctrl-C ended a statement."""
        return False

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Whatever the database raises becomes a `SinkError`."""
        try:
            yield
        except (SinkError, ImportError, ValueError):
            raise
        except Exception as error:
            if self._is_interrupted(error):
                raise KeyboardInterrupt from error
            told = str(error).replace(self._temporary or self._path, self._path)
            text = " ".join(told.split())[:300] or type(error).__name__
            hint = "check that it is such a database, and that nobody else has it open"
            raise SinkError(text, self._path, remedy_of(text, hint)) from error


class DuckDbSink(_Database):
    """A table in a DuckDB file, with the types of the schema; NaN and infinities are kept.

    Args:
        path: of the file; made if it does not exist.
        schema: of the batches.
        table: its name.
        mode: `create` refuses a table that exists, `append` adds to it, `replace` drops it.

    Raises:
        SinkError: the file cannot be opened, or the table exists or has other columns.
        ImportError: duckdb is missing.

    Example:
        >>> import duckdb, metricsieve as ms, pathlib, tempfile
        >>> path = str(pathlib.Path(tempfile.mkdtemp(), "a.duckdb"))
        >>> scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
        >>> _ = scan.write(DuckDbSink(path, scan.schema))
        >>> duckdb.connect(path).sql("select metric, value from points").fetchall()
        [('loss', 1.0)]
    """

    def _open(self, path: str) -> Any:
        try:
            import duckdb
        except ImportError:
            raise ImportError(
                "DuckDB files need duckdb: pip install 'metricsieve[duckdb]'"
            ) from None
        return duckdb.connect(path)

    def _settle(self) -> None:
        # Closing does the same and keeps the error to itself: rows would stay in the log beside it.
        self._run("CHECKPOINT")

    def _columns_of(self, table: str) -> Mapping[str, str]:
        found = self._run(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE lower(table_name) = lower(?)"
            " AND schema_name = current_schema() AND database_name = current_database()",
            [table],
        )
        return dict(found.fetchall())

    def _is_interrupted(self, error: Exception) -> bool:
        import duckdb

        # The former where the statement is asked to end, the latter where it sees the signal.
        is_told = isinstance(error, duckdb.InterruptException)
        return is_told or (isinstance(error, RuntimeError) and str(error) == "Query interrupted")

    def _type(self, kind: pa.DataType) -> str:
        import pyarrow as pa

        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_timestamp(kind):
            return "TIMESTAMP WITH TIME ZONE"
        names = {"double": "DOUBLE", "int64": "BIGINT", "int32": "INTEGER"}
        names |= {"uint64": "UBIGINT", "uint32": "UINTEGER"}
        return names.get(str(kind), "VARCHAR")

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows.

        Raises:
            SinkError: the database fails.
        """
        import pyarrow as pa

        with self._errors():
            self._connection.register(self._batch, pa.Table.from_batches([batch]))
            columns, quoted = ", ".join(self._columns), _quoted(self._batch)
            self._run(f"INSERT INTO {self._table} ({columns}) SELECT * FROM {quoted}")
            self._connection.unregister(self._batch)


class SqliteSink(_Database):
    """A table in an SQLite file.

    Rules: SQLite has neither NaN nor times. NaN is the text `NaN`, which compares as greater than
    every number; infinities are numbers, and -0.0 is kept as 0.0. Times are ISO 8601 texts in UTC
    with microseconds.

    Args:
        path: of the file; made if it does not exist.
        schema: of the batches.
        table: its name.
        mode: `create` refuses a table that exists, `append` adds to it, `replace` drops it.

    Raises:
        SinkError: the file cannot be opened, or the table exists or has other columns.

    Example:
        >>> import metricsieve as ms, pathlib, sqlite3, tempfile
        >>> path = str(pathlib.Path(tempfile.mkdtemp(), "a.db"))
        >>> scan = ms.scan(b"loss=1", {"loss": "loss=(.)"})
        >>> _ = scan.write(SqliteSink(path, scan.schema))
        >>> sqlite3.connect(path).execute("select metric, value from points").fetchall()
        [('loss', 1.0)]
    """

    def _open(self, path: str) -> Any:
        import sqlite3

        # Transactions are ours to begin; another thread may close a scan.
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def _columns_of(self, table: str) -> Mapping[str, str]:
        found = self._run("SELECT name, upper(type) FROM pragma_table_info(?, 'main')", [table])
        return dict(found.fetchall())

    def _type(self, kind: pa.DataType) -> str:
        import pyarrow as pa

        if pa.types.is_floating(kind):
            return "REAL"
        return "INTEGER" if pa.types.is_integer(kind) else "TEXT"

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows.

        Raises:
            SinkError: the database fails.
        """
        columns = [_cells(column) for column in batch.columns]
        places = ", ".join("?" * len(columns))
        names = ", ".join(self._columns)
        with self._errors():
            self._connection.executemany(
                f"INSERT INTO {self._table} ({names}) VALUES ({places})",
                zip(*columns, strict=True),
            )


def check_types(path: str, older: Mapping[str, str], kinds: Mapping[str, str]) -> None:
    """Refuse to append where the database would cast, and so might change what it is given.

    Args:
        path: of the database, for the message.
        older: the types of the table's columns, by name in lower case.
        kinds: those of the points.

    Raises:
        SinkError: a column is missing in the table, or has another type there.
    """
    hint = "write to another table, or capture the column with the type that the table has"
    for name, kind in kinds.items():
        found = older.get(name.lower())
        if found is None:
            raise SinkError(f"the older table has no column {name}", path, hint)
        if found != kind:
            raise SinkError(
                f"the column {name} is {found} in the older table, and now {kind}", path, hint
            )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _cells(column: Any) -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
    cells = list(column.to_pylist())
    if pa.types.is_floating(column.type):
        return ["NaN" if cell is not None and math.isnan(cell) else cell for cell in cells]
    return cells
