"""Reading files of points: `read_result` gives what the sinks wrote, as record batches again.

Used by `plot` for the results of earlier scans. Nothing here knows about plots.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from metricsieve.exceptions import SourceError

SUFFIXES = (".parquet", ".arrow", ".feather", ".csv", ".jsonl", ".ndjson")
_BATCH = 65536


def is_result(path: str | os.PathLike[str]) -> bool:
    """Whether a path is, by its name, a file of points, or is a directory of Parquet parts.

    Example:
        >>> is_result("points.parquet"), is_result("train.log")
        (True, False)
    """
    if os.path.isdir(path):
        return bool(_parts(path))
    return Path(path).suffix.lower() in SUFFIXES


def read_result(path: str | os.PathLike[str]) -> pa.RecordBatchReader:
    """The points of a file or a directory of Parquet parts, in the order of the file.

    Types are those of the columns promised by `scan`: also where a format has no NaN or no times.

    Raises:
        FileNotFoundError: there is no such file.
        SourceError: the file is damaged.
        ValueError: it is no file of points.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "points.jsonl")
        >>> _ = path.write_text('{"metric": "loss", "value": "NaN"}')
        >>> read_result(path).read_all()["value"].to_pylist()
        [nan]
    """
    text = os.fspath(path)
    if not is_result(text):
        raise ValueError(f"{text!r} is no file of points: known are {', '.join(SUFFIXES)}")
    os.stat(text)
    suffix = ".parquet" if os.path.isdir(text) else Path(text).suffix.lower()
    try:
        if suffix == ".csv":
            return _csv(text)
        if suffix in (".jsonl", ".ndjson"):
            return _json_lines(text)
        return _dataset(_parts(text) or [text], "parquet" if suffix == ".parquet" else "ipc")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
        raise _damaged(text, error) from None


def _damaged(path: str, error: Exception) -> SourceError:
    return SourceError(f"cannot read {path}: {error}")


def _parts(path: str | os.PathLike[str]) -> list[str]:
    """The Parquet files of a directory, by their names; what is hidden is none of them."""
    found = []
    for directory, below, files in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith((".", "_")))
        found += [
            os.path.join(directory, name)
            for name in sorted(files)
            if name.endswith(".parquet") and not name.startswith((".", "_"))
        ]
    return found


def _dataset(files: list[str], kind: Literal["parquet", "ipc"]) -> pa.RecordBatchReader:
    import pyarrow.dataset

    # Not `to_reader` of the scanner: its errors would be those of reading C streams.
    scanner = pyarrow.dataset.dataset(files, format=kind).scanner()

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from scanner.to_batches()
        except pa.ArrowException as error:
            raise _damaged(files[0], error) from None

    return pa.RecordBatchReader.from_batches(scanner.projected_schema, batches())


def _csv(path: str) -> pa.RecordBatchReader:
    import pyarrow.csv

    # An empty cell is a null; nan is none.
    options = pyarrow.csv.ConvertOptions(
        column_types={
            "metric": pa.string(),
            "value": pa.float64(),
            "timestamp": pa.timestamp("us", "UTC"),
        },
        null_values=[""],
        strings_can_be_null=True,
    )
    return pyarrow.csv.read_csv(path, convert_options=options).to_reader()


def _json_lines(path: str) -> pa.RecordBatchReader:
    """Line by line: Arrow's reader refuses a column of numbers and of the texts NaN, Infinity."""
    columns: dict[str, list[Any]] = {}
    rows = 0
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                value = row.get("value")
                row["value"] = None if value is None else float(value)
            except (ValueError, TypeError, AttributeError):
                raise SourceError(f"cannot read {path}: line {number} is no point") from None
            for name, cell in row.items():
                column = columns.setdefault(name, [])
                column += [None] * (rows - len(column))
                column.append(cell)
            rows += 1
    for column in columns.values():
        column += [None] * (rows - len(column))
    table = pa.table({name: _typed(name, cells) for name, cells in columns.items()})
    return table.to_reader(max_chunksize=_BATCH)


def _typed(name: str, cells: list[Any]) -> Any:
    if name == "value":
        return pa.array(cells, pa.float64())
    array = pa.array(cells)
    if name == "timestamp" and pa.types.is_string(array.type):
        return array.cast(pa.timestamp("us", "UTC"))
    return array
