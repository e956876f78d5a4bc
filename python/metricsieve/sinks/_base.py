"""What every sink offers: `write` batches, then `close` to publish or `abort` to leave nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa


@runtime_checkable
class Sink(Protocol):
    """An output for record batches.

    The result appears under its final name at `close()` and not before; after `abort()`, or
    when a call raised, nothing new is there and an older file is as it was.

    Example:
        >>> class Count:
        ...     rows = 0
        ...     def write(self, batch): self.rows += batch.num_rows
        ...     def close(self): pass
        ...     def abort(self): pass
        >>> isinstance(Count(), Sink)
        True
    """

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch of the schema the sink was opened with.

        Raises:
            SinkError: the output failed; call `abort()`.
        """

    def close(self) -> None:
        """Publish the output.

        Raises:
            SinkError: the output failed; nothing was published.
        """

    def abort(self) -> None:
        """Throw away what was written; never raises, may follow `close()`."""
