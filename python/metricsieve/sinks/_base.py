"""What every sink offers: `write` batches, then `close` to publish or `abort` to leave nothing."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from metricsieve.exceptions import SinkWarning

if TYPE_CHECKING:
    import pyarrow as pa


@runtime_checkable
class Sink(Protocol):
    """An output for record batches.

    A file appears under its final name at `close()` and not before; after `abort()`, or when a
    call raised, nothing new is there and an older file is as it was. What was sent to a service
    stays there.

    A sink may have more. `flush()` sends everything that it took, and returns when that was
    accepted: a follower calls it before it notes what it has read. `guarantee` says in words how
    often a row arrives. `notes` lists what it had to do with some rows, such as those without a
    time: each becomes a `SinkWarning` at the end. `cannot_go_on` says why a follower that keeps a
    state is refused, or is None.

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


def warn_of(sink: object) -> None:
    """Issue a warning for each of a sink's notes."""
    for note in getattr(sink, "notes", ()):
        warnings.warn(note, SinkWarning, stacklevel=4)
