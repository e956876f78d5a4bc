"""Where followed points go, and what each output promises after a crash.

Principal function: `open_outputs`. An output takes batches with the feed that they are of, and
makes everything it took durable with `commit`, before the state says that it was read. Parts and
appended JSON lines undo what a crash left behind it, so that each row is there once; the others may
see rows again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from metricsieve.following._parts import PartsOutput
from metricsieve.sinks import (
    Sink,
    is_directory,
    is_url,
    is_written_at_end,
    open_sink,
    warn_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve.following._feed import Feed
    from metricsieve.following._state import State

_APPENDED = (".jsonl", ".ndjson")
_BUFFER_ROWS = 65_536
_BUFFER_BYTES = 32 << 20


class Output(Protocol):
    """One output of a follower.

    Attributes:
        exactly_once: whether a crash leaves no row in it twice.
        pending_bytes: what `commit` will have to write, about.
    """

    exactly_once: bool
    pending_bytes: int

    def write(self, batch: pa.RecordBatch, feed: Feed) -> None:
        """Take rows of one feed."""

    def commit(self) -> None:
        """Make everything taken durable."""

    def mark(self) -> Any:
        """What the state keeps of the output."""

    def close(self) -> None:
        """Publish and let go; after a last `commit`."""

    def abort(self) -> None:
        """Let go; what was not committed is not kept, as far as the output can."""


class SinkOutput:
    """Any sink. Its rows count as delivered when its `flush`, if it has one, returns.

    Args:
        sink: takes the batches.
        buffered: collect rows, for files of which each write is a row group.
    """

    exactly_once = False

    def __init__(self, sink: Sink, *, buffered: bool = False) -> None:
        self._sink = sink
        self._buffered = buffered
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0
        self.pending_bytes = 0

    def write(self, batch: pa.RecordBatch, feed: Feed) -> None:
        """Hand rows to the sink, or collect them."""
        if not self._buffered:
            self._sink.write(batch)
            return
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _BUFFER_ROWS or self._bytes >= _BUFFER_BYTES:
            self._empty()

    def _empty(self) -> None:
        import pyarrow as pa

        if self._batches:
            table = pa.Table.from_batches(self._batches).unify_dictionaries().combine_chunks()
            self._batches, self._rows, self._bytes = [], 0, 0
            for batch in table.to_batches():
                self._sink.write(batch)

    def commit(self) -> None:
        """Wait until the sink has delivered what it was given, where it can tell."""
        flush = getattr(self._sink, "flush", None)
        if callable(flush):
            flush()

    def mark(self) -> None:
        """Nothing is known of it."""

    def close(self) -> None:
        """Publish it."""
        self._empty()
        self._sink.close()
        warn_of(self._sink)

    def abort(self) -> None:
        """Throw away what it has not published."""
        self._batches = []
        self._sink.abort()


class AppendOutput:
    """JSON lines that are appended to; the state keeps how long the file is."""

    exactly_once = True
    pending_bytes = 0

    def __init__(self, path: str, schema: pa.Schema, state: State | None) -> None:
        from metricsieve.sinks.jsonl import AppendingJsonLinesSink

        mark = None if state is None else state.outputs.get(os.path.abspath(path))
        must_be_empty = state is not None and mark is None
        self.path = path
        self._sink = AppendingJsonLinesSink(path, schema, mark, must_be_empty=must_be_empty)

    def write(self, batch: pa.RecordBatch, feed: Feed) -> None:
        """Append rows."""
        self._sink.write(batch)

    def commit(self) -> None:
        """Wait until they are on the disk."""
        self._sink.flush()

    def mark(self) -> dict[str, Any]:
        """How long the file is, and what its last bytes are."""
        return self._sink.mark()

    def close(self) -> None:
        """Let go of the file."""
        self._sink.close()

    def abort(self) -> None:
        """Take back what was not committed."""
        self._sink.abort()


def check_outputs(sinks: Sequence[Any], *, has_state: bool) -> None:
    """Refuse outputs that a follower cannot have, before anything is opened.

    Raises:
        ValueError: an output that is written whole together with a state.
        TypeError: neither a path nor a sink.
    """
    for sink in sinks:
        if not isinstance(sink, (str, os.PathLike)):
            if not isinstance(sink, Sink):
                raise TypeError(f"{type(sink).__name__} is no sink: it lacks write, close or abort")
            continue
        if is_directory(sink):
            continue
        if has_state and is_written_at_end(sink) and not _is_appended(sink):
            raise ValueError(
                f"{os.fspath(sink)} is written whole, at the end, so a restart cannot go on "
                "with it: use a directory ('points/', Parquet parts), a .jsonl file, or no state"
            )


def _is_appended(sink: str | os.PathLike[str]) -> bool:
    """Whether a target is a file of JSON lines."""
    return not is_url(os.fspath(sink)) and Path(sink).suffix.lower() in _APPENDED


def open_outputs(
    sinks: Sequence[Any], schema: pa.Schema, definitions: str, state: State | None
) -> list[Output]:
    """Open every output; none stays open when one fails.

    Raises:
        ValueError: an output cannot go on after a restart, and there is a state.
        SinkError: an output cannot be opened.
        StateError: an output is another process's, or not as the state knows it.
    """
    opened: list[Output] = []
    try:
        for sink in sinks:
            opened.append(_open(sink, schema, definitions, state))
    except BaseException:
        for output in opened:
            output.abort()
        raise
    return opened


def _open(sink: Any, schema: pa.Schema, definitions: str, state: State | None) -> Output:
    text = os.fspath(sink) if isinstance(sink, (str, os.PathLike)) else None
    if text is not None and is_directory(sink):
        return PartsOutput(text, schema, definitions)
    if text is not None and _is_appended(text):
        return AppendOutput(text, schema, state)
    opened = sink if text is None else open_sink(text, schema)
    reason = getattr(opened, "cannot_go_on", None)
    if state is not None and reason is not None:
        opened.abort()
        raise ValueError(f"{getattr(opened, 'path', type(opened).__name__)} {reason}")
    return SinkOutput(opened, buffered=text not in (None, "-") and not is_url(text))
