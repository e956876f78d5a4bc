"""Reading logs: `scan` and the one-shot `Scan` that it returns.

Feeds sources from `_sources` and a `DefinitionSet` to the native scanner; hands its batches to
users as pyarrow objects, to other libraries through the Arrow PyCapsule interface, and to sinks.
Nothing here runs per record or per point.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pyarrow as pa

from metricsieve import _engine
from metricsieve._arrow import batch_of, schema_of
from metricsieve._context import check_context, read_context
from metricsieve._report import Report
from metricsieve._sources import Prepared, Source, iter_sources
from metricsieve.definitions import DefinitionSet
from metricsieve.exceptions import (
    DefinitionError,
    DefinitionProblem,
    DefinitionWarning,
    ScanUsedError,
    SourceError,
    SourceWarning,
)
from metricsieve.sources._prefetch import Prefetcher

if TYPE_CHECKING:
    from types import TracebackType

    import pandas as pd

    from metricsieve.definitions import MetricDefinition
    from metricsieve.sinks import Sink

_CHOICES = {
    "normalize": ("terminal", "none"),
    "number": ("trim", "strict", "prefix"),
    "on_reject": ("count", "null", "raise"),
    "on_source_error": ("report", "raise"),
    "strings": ("dictionary", "plain"),
    "redraws": ("all", "last"),
}


def scan(
    sources: Any,
    definitions: DefinitionSet | Iterable[MetricDefinition | Mapping[str, Any]] | Mapping[str, Any],
    *,
    context: Mapping[str, Any] | None = None,
    envelope: str = "auto",
    timezone: str = "UTC",
    normalize: str = "terminal",
    number: str = "trim",
    on_reject: str = "count",
    on_source_error: str = "report",
    line_numbers: bool = True,
    columns: Sequence[str] | None = None,
    strings: str = "dictionary",
    redraws: str = "all",
    ordered: bool = True,
    threads: int | None = None,
    batch_rows: int = 65536,
    max_record_bytes: int = 1 << 20,
    progress: Callable[[int, int | None], object] | None = None,
) -> Scan:
    """Find every metric point of the sources in one pass.

    Args:
        sources: a path, glob, directory, URL (docs/remote.md), `RemotePath`, `CloudWatchLogs`,
            bytes-like object, binary file object, iterable of bytes or `"-"`; a list or tuple of
            these is several sources, a mapping gives them labels.
        definitions: a `DefinitionSet` or what it takes.
        context: columns that the record of a point fills, or else the last record before it in
            the same source (and of the same host and rank, where these are known) that tells: a
            mapping from names to a regex, to a pair (regex, type) or to
            `{"Regex": ..., "Type": ...}`, with the type `int64` (default), `float64` or
            `string`. They come beside those of the definitions; one of the same name replaces it.
            A text that does not fit its type is a null, and counted in the report.
        envelope: what wraps each message, which the report then shows for each source:
            `"auto"` looks at the first 16 KiB of a source; or `"plain"`, `"mpi"`,
            `"cloudwatch-export"`, `"cloudwatch-tail"`, `"cloudwatch-json"`, `"compose"`,
            `"notebook"`, `"operator"`, `"docker-json"`, `"cri"`, `"json"`, `"json:KEY"` with the
            message's key. docs/envelopes.md describes them.
        timezone: the zone of times in messages that name none: a name of the tz database, or an
            offset such as `"+02:00"`. The column `timestamp` is in UTC.
        normalize: `"terminal"` undoes log shippers' escapes and removes colours; `"none"`.
        number: `"trim"` removes up to three decorations around a number, `"strict"` none,
            `"prefix"` takes the longest number a text begins with.
        on_reject: what a captured text that is no number becomes: `"count"`, a row with a
            `"null"` value, or `"raise"`, a `ValueError` after the rows before it.
        on_source_error: `"report"` goes on with the other sources and issues a `SourceWarning` at
            the end; `"raise"` raises `SourceError` there, after the last good batch.
        line_numbers: fill the column `line`; without it the scan counts no lines.
        columns: the columns to give, in this order; also `definition`, `match`, `text`.
        strings: `"dictionary"` or `"plain"` text columns; plain ones can be sorted and go to
            Spark, at the cost of memory.
        redraws: `"all"` redraws of a progress bar; `"last"` is not supported yet.
        ordered: rows in the order of the sources; False delivers them as they are finished.
        threads: at most so many; None is one a core.
        batch_rows: at most so many rows a batch.
        max_record_bytes: longer records are skipped and counted.
        progress: called as `progress(bytes_done, total_or_None)` after each batch and at the end.

    Returns:
        A one-shot `Scan`; nothing is read before the first batch is asked for.

    Raises:
        DefinitionError: with every problem of the definitions.
        FileNotFoundError: a source does not exist, or a glob or directory has no regular file.
        TypeError: something that is no source.
        ValueError: an option's value, or a URL of an unknown kind; the message names it.
        SourceError: a store or service cannot be asked which logs it has.
        ImportError: a remote source needs an extra that is not installed.
        NotImplementedError: an option that does not exist yet.

    Example:
        >>> log = b"Epoch 1\\nloss=0.5\\nloss=0.25\\nEpoch 2\\nloss=0.125\\n"
        >>> loss, epoch = {"loss": "loss=([0-9.]+)"}, {"epoch": r"Epoch (\\d+)"}
        >>> table = scan(log, loss, context=epoch).read_all()
        >>> table["value"].to_pylist(), table["epoch"].to_pylist()
        ([0.5, 0.25, 0.125], [1, 1, 2])
    """
    _check_choices(
        normalize=normalize,
        number=number,
        on_reject=on_reject,
        on_source_error=on_source_error,
        strings=strings,
        redraws=redraws,
    )
    _check_supported(redraws)
    wrapping, message_key = _envelope(envelope)
    _check_counts(threads=threads, batch_rows=batch_rows, max_record_bytes=max_record_bytes)
    checked, asked_for = prepare(definitions, context, columns, normalize)
    prefetcher = Prefetcher()
    prepared = sources if isinstance(sources, Prepared) else None
    with pattern_errors():
        scanner = _engine.Scanner(
            sources=_fetched_ahead(iter_sources(sources), prefetcher),
            normalize=normalize,
            number=number,
            on_reject=on_reject,
            line_numbers=line_numbers,
            columns=None if columns is None else list(columns),
            strings=strings,
            ordered=ordered,
            threads=threads,
            batch_rows=batch_rows,
            max_record_bytes=max_record_bytes,
            envelope=wrapping,
            message_key=message_key,
            timezone=timezone,
            marks=prepared is not None,
            split_bytes=None if prepared is None else prepared.mark_bytes,
            **native_arguments(checked, normalize),
        )
    return Scan(
        scanner,
        checked,
        asked_for=asked_for,
        raise_source_errors=on_source_error == "raise",
        progress=progress,
        prefetcher=prefetcher,
    )


def _fetched_ahead(sources: Iterator[Source], prefetcher: Prefetcher) -> Iterator[tuple[Any, ...]]:
    """The sources as the engine takes them: remote ones as calls that wait for the prefetcher."""
    for source in sources:
        if source.kind == "remote":
            yield source.label, "deferred", prefetcher.add(source.object)
        else:
            yield source


def prepare(
    definitions: DefinitionSet | Iterable[MetricDefinition | Mapping[str, Any]] | Mapping[str, Any],
    context: Mapping[str, Any] | None,
    columns: Sequence[str] | None,
    normalize: str,
) -> tuple[DefinitionSet, frozenset[str]]:
    """Check what users look for; the set with all context columns, and those that are expected.

    Raises:
        DefinitionError: with every problem.
        TypeError: the columns are no list of names.
    """
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns or ()):
        raise TypeError("columns must be a list of column names")
    checked = definitions if isinstance(definitions, DefinitionSet) else DefinitionSet(definitions)
    asked_for = {*(context or ()), *(() if checked.from_job else (c.name for c in checked.context))}
    checked = _with_context(checked, context, columns)
    terminal = normalize == "terminal"
    wrong = check_context(checked.context, labels=checked.labels, terminal=terminal)
    if wrong:
        raise DefinitionError(wrong)
    for problem in checked.pattern_warnings(terminal=terminal):
        warnings.warn(str(problem), DefinitionWarning, stacklevel=3)
    return checked, frozenset(asked_for)


def native_arguments(definitions: DefinitionSet, normalize: str) -> dict[str, Any]:
    """What the native scanner and follower take of the definitions."""
    terminal = normalize == "terminal"
    return {
        "definitions": [
            (d.name, d.regex, d.group, d.matches, d.number, d.engine) for d in definitions
        ],
        "patterns": [info.compiled for info in definitions._checked(terminal=terminal)],
        "context": [(one.name, list(one.regexes), one.type) for one in definitions.context],
    }


@contextlib.contextmanager
def pattern_errors() -> Iterator[None]:
    """Errors of all definitions together, which only the engine finds, as those of each are."""
    try:
        yield
    except _engine.PatternError as error:
        raise DefinitionError([DefinitionProblem(error.args[0], hint=error.args[-1])]) from None


def _check_choices(**options: str) -> None:
    for option, value in options.items():
        if value not in _CHOICES[option]:
            known = ", ".join(map(repr, _CHOICES[option]))
            raise ValueError(f"{option} cannot be {value!r}: it is one of {known}")


def _with_context(
    definitions: DefinitionSet, given: Mapping[str, Any] | None, columns: Sequence[str] | None
) -> DefinitionSet:
    """The set with the wanted context columns: its own, and over them those given."""
    replacing = {} if given is None else {one.name: one for one in read_context(given)}
    found = {one.name: one for one in definitions.context} | replacing
    if columns is not None:  # what nobody wants need not be looked for
        found = {name: one for name, one in found.items() if name in columns}
    if found == {one.name: one for one in definitions.context}:
        return definitions
    return DefinitionSet(definitions, context=found)


def _envelope(given: str) -> tuple[str | None, str | None]:
    """The envelope's name, None for `auto`, and the key of the message."""
    if not isinstance(given, str):
        raise TypeError("envelope must be text")
    name, colon, key = given.partition(":")
    known = _engine.envelopes()
    if (name not in known and given != "auto") or (colon and not (name == "json" and key)):
        import difflib

        close = difflib.get_close_matches(given, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"envelope cannot be {given!r}: it is 'auto', 'json:KEY', or one of "
            f"{', '.join(map(repr, known))}{hint}"
        )
    return (None if given == "auto" else name), key or None


def _check_supported(redraws: str) -> None:
    if redraws != "all":
        raise NotImplementedError(f"the option redraws={redraws!r} is not supported yet")


def _check_counts(**options: int | None) -> None:
    for option, value in options.items():
        if value is None and option == "threads":
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{option} must be a whole number, not {value!r}")
        if value < 1:
            raise ValueError(f"{option} must be at least 1, not {value}")


class Mark(NamedTuple):
    """A place that a scan came to: `rows` and `bytes` of all sources before it, and in which one.

    At `position` reading may go on; it is None at the end of the source, which may have failed.
    """

    rows: int
    bytes: int
    source: int
    offset: int
    position: dict[str, Any] | None
    is_failed: bool


class Scan:
    """The points of a scan, once: as batches, a table, a file, or an Arrow stream.

    Made by `scan`. One of iteration, `read_all`, `to_pandas`, `write` and the Arrow stream
    interface (which polars, DuckDB, pandas and pyarrow use) takes the rows; after that the
    report and the rejects stay, and every further use raises `ScanUsedError`.

    Example:
        >>> with scan([b"loss=0.5"], {"loss": "loss=([0-9.]+)"}) as points:
        ...     rows = sum(batch.num_rows for batch in points)
        >>> rows, points.report.complete
        (1, True)
    """

    def __init__(
        self,
        scanner: _engine.Scanner,
        definitions: DefinitionSet,
        *,
        asked_for: frozenset[str] = frozenset(),
        raise_source_errors: bool,
        progress: Callable[[int, int | None], object] | None,
        prefetcher: Prefetcher | None = None,
    ) -> None:
        self._scanner = scanner
        self._definitions = definitions
        self._asked_for = asked_for  # context columns that a user expects to have values
        self._raise_source_errors = raise_source_errors
        self._callback = progress
        self._prefetcher = prefetcher or Prefetcher()
        self._process = os.getpid()
        self._user: str | None = None  # who took the rows
        self._exhausted = False
        self._closed = False
        self._schema = schema_of(scanner.schema_capsule(), definitions)

    @property
    def schema(self) -> pa.Schema:
        """The columns, known before anything is read; depends on the arguments alone."""
        return self._schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches; may be resumed after a `break`, not begun again after the end."""
        if self._user != "iteration" or self._exhausted or self._closed:
            self._take("iteration")
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._user != "iteration":
            self._take("iteration")
        if self._exhausted:
            raise StopIteration
        self._check_usable()
        batch = self._next_batch()
        if batch is None:
            raise StopIteration
        return batch

    def read_all(self) -> pa.Table:
        """Every row in one table.

        Raises:
            ScanUsedError: the scan was used before.
            SourceError: with `on_source_error="raise"`.
        """
        self._take("read_all()")
        return pa.Table.from_batches(self._batches(), schema=self._schema)

    def to_pandas(self) -> pd.DataFrame:
        """Every row in a pandas frame; text columns are categorical.

        Raises:
            ScanUsedError: the scan was used before.
        """
        self._take("to_pandas()")
        table = pa.Table.from_batches(self._batches(), schema=self._schema)
        return table.to_pandas()

    def write(self, *targets: str | os.PathLike[str] | Sink) -> Report:
        """Write every row to files, chosen by suffix, or to other sinks; all in one pass.

        Args:
            targets: paths ending in `.parquet`, `.arrow`, `.feather`, `.csv`, `.jsonl` or
                `.ndjson`; `"-"` for JSON lines on stdout; URLs such as `"cloudwatch:NAMESPACE"`
                (docs/sinks.md); or `metricsieve.sinks.Sink`s.

        Returns:
            The final report.

        Raises:
            SinkError: an output failed: it is as it was, and so are those behind it. They are
                closed in their order, when all rows are written.
            ScanUsedError: the scan was used before.
        """
        from metricsieve.sinks import check_targets, deliver

        check_targets(targets)
        self._take("write()")
        deliver(self._batches(), targets, self._schema)
        return self.report

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The rows as an Arrow stream capsule, cast to the requested schema if there is one."""
        self._take("an Arrow stream")
        reader: Any = pa.RecordBatchReader.from_batches(self._schema, self._batches())
        return reader.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        """The schema as a capsule; does not use the scan up."""
        return self._schema.__arrow_c_schema__()

    @property
    def report(self) -> Report:
        """What was done so far; a new snapshot each time."""
        return Report(self._scanner.report(), self._definitions, self._asked_for)

    @property
    def rejects(self) -> pa.Table:
        """Captured texts that are no number: metric, text, reason, source, line, offset.

        Bounded; the exact counts are in the report.
        """
        batch = batch_of(self._scanner.rejects())
        return pa.Table.from_batches([batch])

    @property
    def progress(self) -> tuple[int, int | None]:
        """Raw bytes read so far, and in total where every source's size is known."""
        return self._scanner.progress()

    def _take_marks(self) -> list[Mark]:
        """Places that the batches so far came to, of prepared sources; each is given once."""
        return list(itertools.starmap(Mark, self._scanner.take_marks()))

    def close(self) -> None:
        """Stop reading and release the sources; the report stays. May be called twice."""
        if not self._closed:
            self._closed = True
            if os.getpid() == self._process:  # a forked child has none of the scan's threads
                self._prefetcher.close()  # first: a thread of the engine may wait for it
                self._scanner.close()

    def __enter__(self) -> Scan:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "a Scan cannot be pickled: send the sources and the DefinitionSet, which can be, and "
            "scan in the other process"
        )

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"used by {self._user}" if self._user else "unread"
        return f"<Scan of {len(self._definitions)} definitions, {state}>"

    def _take(self, user: str) -> None:
        self._check_usable()
        if self._user is not None:
            raise ScanUsedError(
                f"this scan was already used by {self._user}: a scan gives its rows once; call "
                "scan(...) again, or keep read_all()'s table"
            )
        self._user = user

    def _check_usable(self) -> None:
        if os.getpid() != self._process:
            raise ScanUsedError(
                "this scan was made before a fork; its threads and open files stayed in the "
                "parent: call scan(...) in the child"
            )
        if self._closed:
            raise ScanUsedError("this scan is closed: call scan(...) again")

    def _batches(self) -> Iterator[pa.RecordBatch]:
        self._check_usable()
        while (batch := self._next_batch()) is not None:
            yield batch

    def _next_batch(self) -> pa.RecordBatch | None:
        try:
            capsules = self._scanner.next_batch()
        except Exception:
            self._prefetcher.close()
            raise
        if self._callback is not None:
            self._callback(*self._scanner.progress())
        if capsules is not None:
            batch = batch_of(capsules)
            return batch.replace_schema_metadata(self._schema.metadata)
        self._exhausted = True
        self._prefetcher.close()
        self._finish()
        return None

    def _finish(self) -> None:
        sources = self.report.sources
        failed = [source for source in sources if not source.complete]
        if failed:
            first = failed[0]
            text = f"{first.source} was not read to its end: {first.error}"
            if sources.failed > 1:
                text += f" (and {sources.failed - 1:,} more of {sources.total:,} sources)"
            if self._raise_source_errors:
                raise SourceError(text)
            warnings.warn(text, SourceWarning, stacklevel=4)
        odd = [source for source in sources if source.warning]
        if odd:
            text = f"{odd[0].source}: {odd[0].warning}"
            more = f" (and {len(odd) - 1:,} more sources)" if len(odd) > 1 else ""
            warnings.warn(text + more, SourceWarning, stacklevel=4)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()
