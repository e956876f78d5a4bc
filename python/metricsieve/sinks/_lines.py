"""Text formats of time series databases: what their sinks share.

Principal type: `LineSink`, their base.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metricsieve.sinks._points import Points
from metricsieve.sinks._refused import DeadLetters
from metricsieve.sinks._text_sink import TextSink

if TYPE_CHECKING:
    import pyarrow as pa


class LineSink(TextSink):
    """A file or stdout with the points that have a value and a time.

    Args:
        path: the file, or `-`.
        schema: of the batches.
        what: the format's name, for notes.
        dead_letters: a file that rows are appended to which the format cannot hold.

    Raises:
        ValueError: a column is missing.
        SinkError: the file cannot be opened.
    """

    guarantee = "whole at the end"

    def __init__(self, path: str, schema: pa.Schema, what: str, dead_letters: str | None) -> None:
        self._letters = DeadLetters(dead_letters, what)
        self._points = Points(schema, self._letters, what.lower())
        super().__init__(path)

    @property
    def notes(self) -> list[str]:
        """What was not written, and why."""
        return self._letters.notes

    def close(self) -> None:
        """Give the file its name."""
        self._letters.close()
        super().close()

    def abort(self) -> None:
        """Leave no file behind; the dead letters stay."""
        self._letters.abort()
        super().abort()
