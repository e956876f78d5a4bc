"""Following logs: `follow` and the one-shot `Follow` that it returns.

The loop is one thread: look at the sources, read each in turns, hand the rows to the outputs, and
from time to time commit, in the order read, outputs, state. Feeds come from `_watches`, outputs
from `_outputs`; the engine's `Follower` turns bytes into batches.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from metricsieve import _engine, _scan
from metricsieve._arrow import batch_of, schema_of
from metricsieve._report import Report
from metricsieve.exceptions import ScanUsedError, SourceWarning
from metricsieve.following._feed import Feed, Replaced, Turn, Unreadable, Watch
from metricsieve.following._outputs import Output, check_outputs, open_outputs
from metricsieve.following._restart import restore
from metricsieve.following._state import State
from metricsieve.following._watches import Watches
from metricsieve.sinks import check_targets, is_directory

if TYPE_CHECKING:
    from types import TracebackType

    from metricsieve.definitions import DefinitionSet, MetricDefinition
    from metricsieve.sinks import Sink

_TURN_BYTES = 4 << 20
_PENDING_BYTES = 64 << 20
STATE_IN_OUTPUT = ".metricsieve-state"

Until = float | Callable[["Follow"], bool] | None


def follow(
    sources: Any,
    definitions: DefinitionSet | Iterable[MetricDefinition | Mapping[str, Any]] | Mapping[str, Any],
    *,
    sinks: str | os.PathLike[str] | Sink | Sequence[str | os.PathLike[str] | Sink] = (),
    state: str | os.PathLike[str] | None = None,
    poll: float = 1.0,
    until: Until = None,
    reset: bool = False,
    commit_every: float = 10.0,
    rotate_wait: float = 5.0,
    context: Mapping[str, Any] | None = None,
    envelope: str = "auto",
    timezone: str = "UTC",
    normalize: str = "terminal",
    number: str = "trim",
    on_reject: str = "count",
    line_numbers: bool = True,
    columns: Sequence[str] | None = None,
    strings: str = "dictionary",
    batch_rows: int = 65536,
    max_record_bytes: int = 1 << 20,
) -> Follow:
    """Find the metric points of logs that grow: first what is there, then what comes.

    The rows are those that `scan` gives for the same bytes. A last line without its end is held
    back until it has one. A log that is rotated (renamed, or copied and truncated) is read to its
    end; `source` stays the name it had, `offset` and `line` begin anew.

    Args:
        sources: a path, glob, directory, `"-"`, a binary file object, an iterable of bytes,
            `"cloudwatch-logs:GROUP"`, `CloudWatchLogs`, `"sagemaker:JOB"`,
            `"sagemaker-tuning:NAME"`, or a list or mapping of these. Files and log streams may
            appear later.
        definitions: a `DefinitionSet` or what it takes.
        sinks: where points go beside the iteration: a directory for Parquet parts (a path that
            ends in `/` or exists), a `.jsonl` file that is appended to, `"-"`, any other file
            of `scan`, which is written whole at the end, or sinks; one or a list.
        state: a directory that keeps how far each source was read, so that a restart goes on there.
            Without it a restart starts over; a directory of parts keeps its own.
        poll: seconds between two looks at the files.
        until: end when nothing came for so many seconds, or when this function, called with the
            `Follow` after each look, says so. None follows until `stop`.
        reset: forget what the state directory says.
        commit_every: seconds between two commits, so the age of the youngest part.
        rotate_wait: a rotated log has ended when it did not grow for so many seconds; the logs of
            a SageMaker job that has ended, when nothing came for three times as many.
        context: as for `scan`.
        envelope: as for `scan`; `"auto"` decides by the first 64 lines, or by fewer when a log
            rests before it has so many. `"cloudwatch-json"` cannot be followed.
        timezone: as for `scan`.
        normalize: as for `scan`.
        number: as for `scan`.
        on_reject: as for `scan`.
        line_numbers: as for `scan`.
        columns: as for `scan`.
        strings: as for `scan`.
        batch_rows: at most so many rows a batch; a batch is of one source.
        max_record_bytes: as for `scan`.

    Returns:
        A one-shot `Follow`.

    Raises:
        DefinitionError: with every problem of the definitions.
        StateError: the state is in use, damaged, or of other definitions.
        SinkError: an output cannot be opened.
        SourceError: a service refuses to describe a job.
        FileNotFoundError: there is no such job.
        TypeError: something that is no source or no sink.
        ValueError: an option's value; a source that does not grow; or a file that is written
            whole together with a state.

    Example:
        >>> lines = iter([b"loss=0.5\\nlo", b"ss=0.25\\n"])
        >>> batches = follow(lines, {"loss": "loss=([0-9.]+)"})
        >>> [value for batch in batches for value in batch["value"].to_pylist()]
        [0.5, 0.25]
    """
    _scan._check_choices(normalize=normalize, number=number, on_reject=on_reject, strings=strings)
    _scan._check_counts(batch_rows=batch_rows, max_record_bytes=max_record_bytes)
    _check_seconds(poll=poll, commit_every=commit_every, rotate_wait=rotate_wait)
    if until is not None and not callable(until):
        _check_seconds(until=until)
    listed: list[Any] = list(sinks) if isinstance(sinks, (list, tuple)) else [sinks]
    if state is None:
        parts = [sink for sink in listed if is_directory(sink)]
        state = os.path.join(os.fspath(parts[0]), STATE_IN_OUTPUT) if parts else None
    check_outputs(listed, has_state=state is not None)
    check_targets(listed, sources)
    wrapping, message_key = _scan._envelope(envelope)
    checked, asked_for = _scan.prepare(definitions, context, columns, normalize)
    options: dict[str, Any] = {
        "envelope": wrapping,
        "message_key": message_key,
        "timezone": timezone,
        "normalize": normalize,
        "number": number,
        "on_reject": on_reject,
        "line_numbers": line_numbers,
        "columns": None if columns is None else list(columns),
        "strings": strings,
        "max_record_bytes": max_record_bytes,
    }
    with _scan.pattern_errors():
        native = _engine.Follower(
            batch_rows=batch_rows, **options, **_scan.native_arguments(checked, normalize)
        )
    rows_hash = hashlib.sha256(json.dumps([checked.fingerprint, options]).encode()).hexdigest()
    return Follow(
        native,
        checked,
        Watches(sources, rotate_wait=rotate_wait),
        asked_for=asked_for,
        sinks=listed,
        state=None if state is None else os.fspath(state),
        rows_hash=rows_hash,
        reset=reset,
        poll=poll,
        until=until,
        commit_every=commit_every,
        turn_bytes=max(_TURN_BYTES, 2 * max_record_bytes),
    )


def _check_seconds(**options: Any) -> None:
    for option, value in options.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{option} must be a number of seconds, not {value!r}")
        if not value >= 0:
            raise ValueError(f"{option} must be at least 0 seconds, not {value}")


class Follow:
    """The points of logs that grow, once: as batches, and in the outputs that were named.

    Made by `follow`. Iterating does the work; `run` iterates for those who want the outputs only.
    A batch counts as delivered when the next one is asked for.

    Example:
        >>> with follow(iter([b"loss=0.5\\n"]), {"loss": "loss=([0-9.]+)"}) as live:
        ...     report = live.run()
        >>> report.points
        1
    """

    def __init__(
        self,
        native: _engine.Follower,
        definitions: DefinitionSet,
        watches: Watches,
        *,
        asked_for: frozenset[str],
        sinks: Sequence[Any],
        state: str | None,
        rows_hash: str,
        reset: bool,
        poll: float,
        until: Until,
        commit_every: float,
        turn_bytes: int,
    ) -> None:
        self._closed = False
        self._native = native
        self._definitions = definitions
        self._watches = watches
        self._asked_for = asked_for
        self._poll, self._until, self._commit_every = poll, until, commit_every
        self._turn_bytes = turn_bytes
        self._schema = schema_of(native.schema_capsule(), definitions)
        self._indices: dict[str, int] = {}
        # First lines of which it is not known yet what wraps them.
        self._undecided: dict[Feed, tuple[Watch, bytes]] = {}
        self._errors: dict[str, str | None] = {}
        self._outputs: list[Output] = []
        self._state: State | None = None
        self._iterator: Iterator[pa.RecordBatch] | None = None
        self._stopping = False
        self._progressed = self._committed = time.monotonic()
        self._dirty = True
        self._commits = 0
        self._held_back: list[dict[str, Any]] = []
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        try:
            if state is not None:
                self._state = State(state, rows_hash, reset=reset)
            self._outputs = open_outputs(sinks, self._schema, rows_hash, self._state)
            if self._state is not None:
                restore(self._state, self._outputs, self._watches)
            self._watches.begin()
            if self._state is not None:
                self._commit()
            for watch in self._watches:
                for label in watch.labels:
                    self._index(label)
        except BaseException:
            self.close()
            raise

    # What users see

    @property
    def schema(self) -> pa.Schema:
        """The columns; those of `scan` with the same arguments."""
        return self._schema

    @property
    def report(self) -> Report:
        """What this run did so far, as for `scan`, and in `report.follow` what only this does."""
        data = self._native.report()
        data["follow"] = {
            "rotated": sum(watch.rotated for watch in self._watches),
            "truncated": sum(watch.truncated for watch in self._watches),
            "lost": [f"{watch.label}: {one}" for watch in self._watches for one in watch.lost],
            "held_back": self._held_back,
            "commits": self._commits,
            "keeps_state": self._state is not None,
        }
        return Report(data, self._definitions, self._asked_for)

    @property
    def rejects(self) -> pa.Table:
        """Captured texts that are no number, as for `scan`."""
        return pa.Table.from_batches([batch_of(self._native.rejects())])

    @property
    def idle_seconds(self) -> float:
        """How long nothing has come."""
        return time.monotonic() - self._progressed

    def stop(self) -> None:
        """End in order after the turn at hand; for signal handlers and other threads, too."""
        self._stopping = True
        self._watches.stop()
        with contextlib.suppress(OSError, ValueError):
            os.write(self._waker, b"x")

    def run(self) -> Report:
        """Follow to the end; returns the report.

        Raises:
            SinkError: an output failed; what it took since the last commit comes again.
            ValueError: a reject, with `on_reject="raise"`.
        """
        for _ in self:
            pass
        return self.report

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches; may be resumed after a `break`, not begun again after the end."""
        if self._closed:
            raise ScanUsedError("this follower has ended: call follow(...) again")
        if self._iterator is None:
            self._iterator = self._follow()
        return self._iterator

    def close(self) -> None:
        """Let go of everything without a commit; what was not committed comes again."""
        if self._closed:
            return
        self._closed = True
        for output in self._outputs:
            output.abort()
        self._release()

    def _release(self) -> None:
        self._closed = True
        self._watches.close()
        if self._state is not None:
            self._state.close()
        self._native.close()
        for descriptor in (self._wake, self._waker):
            os.close(descriptor)
        self._wake = self._waker = -1

    def __enter__(self) -> Follow:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    # The loop

    def _follow(self) -> Iterator[pa.RecordBatch]:
        try:
            while True:
                begun = time.monotonic()
                more = False
                undecided = dict(self._undecided)
                for watch, feed in self._watches.poll():
                    if watch.changed:
                        self._commit()
                    yield from self._turn(watch, feed)
                    more = more or feed.has_more
                    if self._is_due():
                        self._commit()
                    if self._stopping:
                        break
                yield from self._decide(undecided)
                self._note_errors()
                more = more or bool(self._undecided and self._undecided.keys() != undecided.keys())
                if any(watch.changed for watch in self._watches):
                    self._commit()
                if self._stopping or self._watches.over or (not more and self._is_enough()):
                    break
                if not more:
                    self._wait(begun + self._poll)
            yield from self._end()
        except BaseException:
            self.close()
            raise

    def _turn(self, watch: Watch, feed: Feed) -> Iterator[pa.RecordBatch]:
        """Read once, and hand over every row that is certain."""
        try:
            data = feed.read(self._turn_bytes)
        except Replaced:
            if feed in self._undecided:
                yield from self._read_on(watch, feed, self._undecided[feed][1], "rest")
            watch.replaced(feed)
            self._dirty = True
            return
        except Unreadable as error:
            watch.refuse(feed, str(error))
            return
        except OSError as error:
            watch.fail(feed, error.strerror or str(error))
            return
        if data or feed.end != "open":
            yield from self._read_on(watch, feed, data, feed.end)

    def _decide(self, undecided: Mapping[Feed, tuple[Watch, bytes]]) -> Iterator[pa.RecordBatch]:
        """What wraps messages is told by the lines that there are, where no more came."""
        for feed, (watch, held) in undecided.items():
            if self._undecided.get(feed) == (watch, held):
                yield from self._read_on(watch, feed, feed.held(), "rest")

    def _read_on(
        self, watch: Watch, feed: Feed, data: bytes, end: Turn
    ) -> Iterator[pa.RecordBatch]:
        index = self._index(feed.label)
        try:
            position = self._native.turn(index, feed.position, data, end, feed.written)
        except _engine.NotFollowedError as error:
            watch.refuse(feed, f"{error}: read it with scan when it is complete")
            return
        except _engine.RejectError:
            for batch in self._batches():
                yield batch
            raise
        if position["envelope"] is None and end == "open":
            passed = position["offset"] - feed.position["offset"]  # a byte order mark
            self._undecided[feed] = watch, data[passed:]  # less than 16 KiB
        else:
            self._undecided.pop(feed, None)
        feed.advance(position)
        self._progressed = time.monotonic()
        self._dirty = True
        for batch in self._batches():
            for output in self._outputs:
                output.write(batch, feed)
            yield batch

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while (capsules := self._native.next_batch()) is not None:
            batch = batch_of(capsules)
            yield batch.replace_schema_metadata(self._schema.metadata)

    def _index(self, label: str) -> int:
        if label not in self._indices:
            self._indices[label] = self._native.add_source(label)
        return self._indices[label]

    def _note_errors(self) -> None:
        for watch in self._watches:
            error = watch.error
            if error != self._errors.get(watch.label):
                self._errors[watch.label] = error
                self._native.set_error(self._index(watch.label), error)

    def _is_enough(self) -> bool:
        if callable(self._until):
            return self._until(self)
        return self._until is not None and self.idle_seconds >= self._until

    def _wait(self, until: float) -> None:
        if self._dirty:
            until = min(until, self._committed + self._commit_every)
        if isinstance(self._until, (int, float)):
            until = min(until, self._progressed + self._until)
        poll = select.poll()
        for descriptor in (self._wake, *self._watches.descriptors()):
            poll.register(descriptor, select.POLLIN)
        seconds = max(0.0, until - time.monotonic())
        poll.poll(int(seconds * 1000) + 1)
        if self._dirty and self._is_due():
            self._commit()

    def _is_due(self) -> bool:
        pending = sum(output.pending_bytes for output in self._outputs)
        late = time.monotonic() - self._committed >= self._commit_every
        return self._dirty and (late or pending >= _PENDING_BYTES)

    def _commit(self) -> None:
        """Make durable what was read: first the rows, then that they were read."""
        for output in self._outputs:
            output.commit()
        if self._state is not None:
            marks = {
                os.path.abspath(path): output.mark()
                for output in self._outputs
                if (path := getattr(output, "path", None)) is not None
            }
            self._state.write(self._watches.entries(), marks)
        for watch in self._watches:
            watch.changed = False
        self._dirty = False
        self._commits += 1
        self._committed = time.monotonic()

    def _end(self) -> Iterator[pa.RecordBatch]:
        """What is left: last lines, where it is known that they are whole, and the last commit."""
        for watch in self._watches:
            for feed in list(watch.open_feeds()):
                # With a state the next run reads on; a stopped run ends at no particular place.
                if not self._stopping and (self._state is None or feed.describe() is None):
                    feed.finish()
                    before = -1
                    while feed.end == "open" and feed.position["offset"] != before:
                        before = feed.position["offset"]
                        yield from self._turn(watch, feed)
                if feed.end == "open" and feed.held_back:
                    self._held_back.append({"source": feed.label, "bytes": feed.held_back})
            watch.settle()
        self._note_errors()
        self._commit()
        for output in self._outputs:
            output.close()
        self._outputs = []
        report = self.report
        self._release()
        failed = [source for source in report.sources if not source.complete]
        if failed:
            text = f"{failed[0].source}: {failed[0].error}"
            more = f" (and {len(failed) - 1:,} more sources)" if len(failed) > 1 else ""
            warnings.warn(text + more, SourceWarning, stacklevel=3)
