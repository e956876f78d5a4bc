"""The wide form in a file: `wide:FILE`, a row a job and step, a column a metric.

Principal type: `WideSink`. `results` knows the form; the file is another sink's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from metricsieve.sinks._atomic import AtomicFile

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.sinks._base import Sink
    from metricsieve.sinks._targets import Target

_BY = "job"
_ROWS = 65_536  # of a row group, as a scan's batches have


def check(target: Target) -> None:
    """Refuse options that make no sense, before anything is read.

    Raises:
        ValueError: the message says which.
    """
    from metricsieve.sinks._targets import check_target, is_url

    target.only("by", "step")
    if not target.rest:
        raise ValueError("wide: needs a file, such as wide:points.csv")
    if is_url(target.rest):
        raise ValueError(f"{target} is no file: the wide form goes into a file, or to - (stdout)")
    check_target(target.rest)


def open_url(target: Target, schema: pa.Schema) -> WideSink:
    """The sink of a URL."""
    by = [name.strip() for name in target.text("by", _BY).split(",")]
    return WideSink(target.rest, schema, by=[*filter(None, by)], step=target.one("step"))


class WideSink:
    """Writes the wide form, at the end.

    Rules, those of `metricsieve.wide`: rows by group in the order in which the groups appear, then
    by step, a null step last. Of points with one metric, group and step the last one counts, as
    after a restart. Points without a value are left out. A metric that is called like one of the
    other columns gets `metric:` in front.

    Which columns there are is known only at the end, so the last point of each cell is held until
    then, in Arrow's columns, some 25 bytes each, and up to as many points again that came since.
    To put them side by side takes up to 250 bytes a point, measured with a million of them.

    Args:
        path: a file of any kind that points go into (`.csv`, `.parquet`, ...), or `-` for JSON
            lines on stdout.
        schema: of the batches.
        by: columns that tell groups apart; `"job"` is the job where it is known, else the source.
        step: the step axis; None is the usual one, `"point"` counts the points of each metric.

    Raises:
        ValueError: there is no step axis, or no such column.
        SinkError: the file cannot be made.

    Example:
        >>> import metricsieve as ms, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.csv")
        >>> definitions, epoch = {"loss": "loss=(.)", "acc": "acc=(.)"}, {"epoch": r"epoch (\\d)"}
        >>> log = b"epoch 1 loss=2 acc=0\\nepoch 2 loss=1"
        >>> scan = ms.scan({"a.log": log}, definitions, context=epoch)
        >>> _ = scan.write(WideSink(str(path), scan.schema))
        >>> print(path.read_text(), end="")
        "job","epoch","loss","acc"
        "a.log",1,2,0
        "a.log",2,1,
    """

    guarantee = "whole at the end"

    def __init__(
        self, path: str, schema: pa.Schema, *, by: list[str] | None = None, step: str | None = None
    ) -> None:
        from metricsieve.results._pivot import Pivot
        from metricsieve.results._rows import Rows

        self._path = path
        self._rows = Rows(schema, lambda _: iter(()))
        index = [*([_BY] if by is None else by), "step"]
        self._pivot = Pivot(self._rows, index, step, mixes=True)  # too late to ask at the end
        self._file: Sink | None = None
        self._is_open = True
        if path != "-" and (os.path.isfile(path) or not os.path.exists(path)):
            AtomicFile(path).abort()  # to fail now, not after the scan

    @property
    def notes(self) -> list[str]:
        """What was done with some points."""
        return [f"wide form: {note}" for note in self._pivot.notes()]

    def write(self, batch: pa.RecordBatch) -> None:
        """Gather points."""
        if not self._is_open:
            raise ValueError(f"the output {self._path} is closed")
        self._pivot.add(self._rows.points_of(batch, self._pivot.columns))

    def close(self) -> None:
        """Write everything, and give the file its name."""
        from metricsieve.sinks._targets import open_sink

        if not self._is_open:
            return
        self._is_open = False
        table = self._pivot.table()
        self._file = open_sink(self._path, table.schema)
        for batch in table.to_batches(_ROWS):
            self._file.write(batch)
        self._file.close()

    def abort(self) -> None:
        """Leave no file behind; what went to stdout stays there."""
        self._is_open = False
        if self._file is not None:
            self._file.abort()
