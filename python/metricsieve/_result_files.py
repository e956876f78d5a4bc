"""Result files: what the sinks wrote, and what is like it.

Principal functions: `open_file`, used by `results`, and `read_result`, used by `plotting`. Text
formats know no types: columns that the package itself gives have theirs, those of any other name
are looked through once before they are read, so that CSV and JSON lines are read twice where there
are any.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metricsieve._context import STEPS
from metricsieve._dataset_parts import unfinished
from metricsieve._json_floats import NO_NUMBERS
from metricsieve._point_columns import check_names
from metricsieve._text import visible
from metricsieve.exceptions import MetricsieveWarning, SourceError
from metricsieve.sinks.csv import FORMULA

Reader = Callable[[list[str]], Iterator[pa.RecordBatch]]

_BATCH_ROWS = 65_536
_TYPES: dict[str, Any] = {
    "metric": pa.string(),
    "value": pa.float64(),
    "timestamp": pa.timestamp("us", "UTC"),
    "source": pa.string(),
    "line": pa.uint64(),
    "offset": pa.uint64(),
    "job": pa.string(),
    "host": pa.string(),
    "stream": pa.string(),
    "rank": pa.int32(),
    "definition": pa.int32(),
    "match": pa.uint32(),
    "text": pa.string(),
    "attempt": pa.int32(),
}
_GUARDED = rf"^'({FORMULA})"  # what the CSV sink does for spreadsheets
_NUMBERS: tuple[Any, ...] = (pa.int64(), pa.uint64(), pa.float64())
_EXACT = 2**53  # up to which a float64 has all whole numbers
_WHOLE = r"^(0|-?[1-9][0-9]*)$"


def is_result(path: str | os.PathLike[str]) -> bool:
    """Whether a path is spelt like a result file, or is a directory that holds Parquet files.

    Example:
        >>> is_result("points.parquet"), is_result("train.log")
        (True, False)
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        return next(_parts(path), None) is not None
    return Path(path).suffix.lower() in _KINDS


def open_file(path: str) -> tuple[pa.Schema, Reader]:
    """The schema of a result file, and what reads it.

    Raises:
        FileNotFoundError: it does not exist, or is a directory without a Parquet file.
        SourceError: it is not what its name says.
        ValueError: its name says nothing.
    """
    if os.path.isdir(path):
        return _open_parts(path)
    suffix = Path(path).suffix.lower()
    if suffix not in _KINDS:
        raise ValueError(
            f"cannot tell the format of {path!r}: a result ends in one of {', '.join(_KINDS)}; a "
            "log is read by metricsieve.scan"
        )
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    with _errors(path):
        return _KINDS[suffix](path)


def read_result(path: str | os.PathLike[str]) -> pa.RecordBatchReader:
    """Every row and column of a result file; raises what `open_file` does."""
    schema, read = open_file(os.fspath(path))
    return pa.RecordBatchReader.from_batches(schema, read(schema.names))


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    """Damage becomes an error that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, SourceError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(f"cannot read the result {visible(path)}: {visible(reason)}") from error


def _parts(path: str) -> Iterator[str]:
    """The Parquet files of a directory, by path; hidden ones are others' business."""
    for directory, inner, files in os.walk(path):
        inner[:] = sorted(name for name in inner if name[0] not in "._")
        for name in sorted(files):
            if name.endswith(".parquet") and name[0] not in "._":
                yield os.path.join(directory, name)


def _open_parts(path: str) -> tuple[pa.Schema, Reader]:
    parts = list(_parts(path))
    if not parts:
        raise FileNotFoundError(errno.ENOENT, "no .parquet file in the directory", path)
    missing = unfinished(path)
    if missing is not None:
        warnings.warn(f"{visible(path)}: {missing}", MetricsieveWarning, stacklevel=2)
    with _errors(parts[0]):
        schema, _ = _open_parquet(parts[0])

    def read(columns: list[str]) -> Iterator[pa.RecordBatch]:
        for part in parts:
            with _errors(part):
                own, read_part = _open_parquet(part)
                if not own.equals(schema):
                    raise SourceError(
                        f"{visible(part)} has other columns than {visible(parts[0])}: read them "
                        "one by one"
                    )
            yield from read_part(columns)

    return schema, read


def _open_parquet(path: str) -> tuple[pa.Schema, Reader]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow

    def read(columns: list[str]) -> Iterator[pa.RecordBatch]:
        with _errors(path), pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                yield batch.select(columns)

    return schema, read


def _open_arrow(path: str) -> tuple[pa.Schema, Reader]:
    with pa.OSFile(path, "rb") as file:
        schema = pa.ipc.open_file(file).schema

    def read(columns: list[str]) -> Iterator[pa.RecordBatch]:
        with _errors(path), pa.OSFile(path, "rb") as file:
            reader = pa.ipc.open_file(file)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)

    return schema, read


def _open_csv(path: str) -> tuple[pa.Schema, Reader]:
    import pyarrow.csv

    def stream(types: dict[str, Any], columns: list[str] | None) -> Any:
        return pyarrow.csv.open_csv(
            path,
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types,
                include_columns=columns,
                null_values=[""],  # nan is a value, NA may be a name
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    with stream({}, None) as first:
        names = first.schema.names
    check_names(names)
    others = [name for name in names if name not in _TYPES]
    types = {name: _TYPES[name] for name in names if name in _TYPES}
    if others:
        found = dict.fromkeys(others, _NUMBERS)
        with stream(dict.fromkeys(others, pa.string()), others) as texts:
            for batch in texts:
                for name in others:
                    column = batch.column(name).drop_null()
                    fits = _fits_axis if name in STEPS else _fits
                    found[name] = tuple(kind for kind in found[name] if fits(column, kind))
        types |= {name: _first(kinds) for name, kinds in found.items()}
    shown = dict(zip(_unguarded(pa.array(names, pa.string())).to_pylist(), names, strict=True))
    schema = pa.schema([(name, types[own]) for name, own in shown.items()])

    def read(columns: list[str]) -> Iterator[pa.RecordBatch]:
        with _errors(path), stream(types, [shown[name] for name in columns]) as batches:
            for batch in batches:
                cells = [_unguarded(column) for column in batch.columns]
                yield pa.RecordBatch.from_arrays(cells, names=columns)

    return schema, read


def _first(kinds: tuple[Any, ...]) -> Any:
    """The type of a column that these number types fit."""
    return kinds[0] if kinds else pa.string()


def _fits(texts: Any, kind: Any) -> bool:
    """Whether the texts are numbers of this type that are spelt as one spells them.

    Others, such as 007 or a number of 20 digits, are names: as numbers two of them may be one.
    """
    if not pa.types.is_floating(kind):
        is_whole = pc.all(pc.match_substring_regex(texts, _WHOLE), min_count=0).as_py()
        return is_whole and _fits_axis(texts, kind)
    with contextlib.suppress(pa.ArrowInvalid):
        values = texts.cast(kind)
        others = pc.not_equal(values.cast(pa.string()), texts)
        pairs = zip(
            values.filter(others).to_pylist(), texts.filter(others).to_pylist(), strict=True
        )
        return all(repr(value) == text for value, text in pairs)
    return False


def _fits_axis(texts: Any, kind: Any) -> bool:
    """The same of a step axis, which has numbers, however they are spelt."""
    with contextlib.suppress(pa.ArrowInvalid):
        texts.cast(kind)
        return True
    return False


def _unguarded(column: Any) -> Any:
    if not pa.types.is_string(column.type):
        return column
    return pc.replace_substring_regex(column, pattern=_GUARDED, replacement=r"\1")


def _open_jsonl(path: str) -> tuple[pa.Schema, Reader]:
    found: dict[str, tuple[Any, ...] | None] = {}
    for _, rows in _json_rows(path):
        for row in rows:
            for name, cell in row.items():
                kinds = found.setdefault(name, None)
                if name not in _TYPES and cell is not None and kinds != ():
                    found[name] = _json_kinds(cell, kinds or _NUMBERS)
    # Without a row it is no point, not no result.
    types = {name: _TYPES.get(name, _first(found.get(name) or ())) for name in found or _NO_ROWS}
    schema = pa.schema(list(types.items()))

    def read(columns: list[str]) -> Iterator[pa.RecordBatch]:
        for number, rows in _json_rows(path):
            try:
                cells = [_json_column([row.get(c) for row in rows], types[c]) for c in columns]
            except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
                raise SourceError(
                    f"cannot read the result {visible(path)}: in the {len(rows):,} lines up to "
                    f"line {number:,}: {visible(str(error))}"
                ) from error
            yield pa.RecordBatch.from_arrays(cells, names=columns)

    return schema, read


def _json_rows(path: str) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Rows, many at a time, and the number of the last one's line."""
    rows: list[dict[str, Any]] = []
    number = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                row = error
            if not isinstance(row, dict):
                why = str(row) if isinstance(row, Exception) else "it is no JSON object"
                raise SourceError(
                    f"cannot read the result {visible(path)}: line {number:,}: {visible(why)}"
                )
            rows.append(row)
            if len(rows) == _BATCH_ROWS:
                yield number, rows
                rows = []
    if rows:
        yield number, rows


def _json_kinds(cell: object, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    """Which of these number types hold a cell as it is."""
    if isinstance(cell, float) or cell in NO_NUMBERS:
        return tuple(kind for kind in kinds if kind == pa.float64())
    if not isinstance(cell, int) or isinstance(cell, bool):
        return ()
    if 0 <= cell <= _EXACT:
        return kinds
    holds = (-(2**63) <= cell < 2**63, 0 <= cell < 2**64, abs(cell) <= _EXACT)
    return tuple(kind for kind, does in zip(_NUMBERS, holds, strict=True) if does and kind in kinds)


def _json_column(cells: list[Any], kind: Any) -> Any:
    if pa.types.is_floating(kind):
        return pa.array([_number(cell) for cell in cells], kind)
    if pa.types.is_timestamp(kind):
        return pa.array(cells, pa.string()).cast(kind)
    if pa.types.is_string(kind):
        cells = [c if c is None or isinstance(c, str) else json.dumps(c) for c in cells]
    return pa.array(cells, kind)


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool) or (isinstance(cell, str) and cell not in NO_NUMBERS):
        raise ValueError(f"{json.dumps(cell)} is no number")
    return None if cell is None else float(cell)


_NO_ROWS = ("metric", "value")
_KINDS: dict[str, Callable[[str], tuple[pa.Schema, Reader]]] = {
    ".parquet": _open_parquet,
    ".arrow": _open_arrow,
    ".feather": _open_arrow,
    ".csv": _open_csv,
    ".jsonl": _open_jsonl,
    ".ndjson": _open_jsonl,
}
