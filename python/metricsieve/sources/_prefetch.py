"""Fetching ahead: remote logs arrive while the engine's threads read those before them.

Principal type: `Prefetcher`, one a scan. `_sources` adds `Remote`s to it; the engine calls what
`add` gave, on its own threads and in the order of the sources. What is fetched and not yet asked
for is bounded in bytes, so memory does not depend on sizes or on how slow the reader is.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from metricsieve.exceptions import SourceError
from metricsieve.sources._remote import (
    PIECE_BYTES,
    WHOLE_BYTES,
    Content,
    Remote,
    source_errors,
    stop_pauses_at,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# Requests at a time: with objects of 1 MB and 50 ms of latency they bring over 1 GB/s.
THREADS = 64
# Bytes that are fetched, or on their way, before the engine asks for them.
AHEAD_BYTES = 64 << 20
# Requests that wait for a thread, so that small objects never find one idle.
_SPARE = 64


class Deferred:
    """What the engine calls when it comes to a remote source.

    Attributes:
        size: bytes of the source, for the progress display, or None.
        envelope: what wraps its messages, or None where the scan's option says.
    """

    __slots__ = ("_index", "_prefetcher", "envelope", "size")

    def __init__(
        self, prefetcher: Prefetcher, index: int, size: int | None, envelope: str | None = None
    ) -> None:
        self._prefetcher = prefetcher
        self._index = index
        self.size = size
        self.envelope = envelope

    def __call__(self) -> ReadableBuffer | Iterator[bytes | None] | None:
        """The source's bytes, or an iterator of pieces if it is a large one.

        None means not yet, here and among the pieces: who asks waits on its own side, because a
        thread of another language must not be found waiting in Python when the interpreter ends.
        """
        return self._prefetcher._take(self._index)


class Prefetcher:
    """Fetches remote sources in order, ahead of who reads them.

    Nothing starts before the first source is asked for. Threads rather than an event loop: the
    libraries below release the GIL while they wait, and boto3 and fsspec know nothing else.

    Args:
        threads: requests at a time.
        ahead_bytes: what may be fetched before it is asked for.

    Example:
        >>> class Log(Remote):
        ...     label, size = "log", 6
        ...
        ...     def fetch(self):
        ...         return Content(b"loss=1")
        >>> prefetcher = Prefetcher()
        >>> log = prefetcher.add(Log())
        >>> while (given := log()) is None:
        ...     pass
        >>> given
        b'loss=1'
        >>> prefetcher.close()
    """

    def __init__(self, *, threads: int = THREADS, ahead_bytes: int = AHEAD_BYTES) -> None:
        self._most_threads = threads
        self._ahead_bytes = ahead_bytes
        self._lock = threading.Lock()
        self._remotes: list[Remote | None] = []
        self._next = 0  # all before it are asked for
        self._ahead: dict[int, tuple[Future[Content], int]] = {}
        self._reserved = 0
        # Work by place in the order: what the engine waits for comes before what is far ahead.
        self._work: queue.PriorityQueue[tuple[int, int, Callable[[], None] | None]]
        self._work = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._threads = 0
        self._unfinished: set[Future[Any]] = set()
        self._closed = False
        self._stop = threading.Event()

    def add(self, remote: Remote) -> Deferred:
        """Put a source behind the others."""
        self._remotes.append(remote)
        return Deferred(self, len(self._remotes) - 1, remote.size, remote.envelope)

    def close(self) -> None:
        """Ask for nothing more; who asks gets an `OSError`. May be called twice.

        A thread that is inside a request ends with it.
        """
        with self._lock:
            self._closed = True
            unfinished, self._unfinished = self._unfinished, set()
            self._ahead.clear()
            self._remotes.clear()
            for _ in range(self._threads):
                self._work.put((-1, next(self._numbers), None))
            self._threads = 0
        self._stop.set()
        for future in unfinished:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(SourceError("the scan was closed"))

    def _take(self, index: int) -> ReadableBuffer | Iterator[bytes | None] | None:
        with self._lock:
            self._check_open()
            self._look_ahead(index)
            future, cost = self._ahead[index]
            if not future.done():
                return None
            del self._ahead[index]
            self._reserved -= cost
            self._look_ahead(-1)
        content = future.result()
        return content.first if content.more is None else self._pieces(index, content)

    def _pieces(self, index: int, content: Content) -> Iterator[bytes | None]:
        """The bytes of a large source, a few pieces ahead of who takes them; None for not yet."""
        assert content.more is not None
        coming: deque[Future[bytes]] = deque()
        piece = bytes(content.first)
        while True:
            with self._lock:
                self._check_open()
                while len(coming) < content.abreast:
                    call = next(content.more, None)
                    if call is None:
                        break
                    coming.append(self._submit(index, call))
            if piece:
                yield piece
            if not coming:
                return
            while not coming[0].done():
                yield None
            piece = coming.popleft().result()

    def _check_open(self) -> None:
        if self._closed:
            raise SourceError("the scan was closed")

    def _look_ahead(self, wanted: int) -> None:
        """Ask for what comes next: up to `wanted` at any rate, beyond it as there is room."""
        while self._next < len(self._remotes):
            remote = self._remotes[self._next]
            assert remote is not None
            size = WHOLE_BYTES if remote.size is None else remote.size
            cost = size if size <= WHOLE_BYTES else PIECE_BYTES
            full = self._reserved + cost > self._ahead_bytes
            many = len(self._ahead) >= self._most_threads + _SPARE
            if self._next > wanted and self._reserved > 0 and (full or many):
                return
            self._reserved += cost
            future = self._submit(self._next, remote.fetch)
            self._ahead[self._next] = (future, cost)
            self._remotes[self._next] = None
            self._next += 1

    def _submit(self, place: int, call: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._unfinished.add(future)

        def work() -> None:
            outcome, failure = None, None
            try:
                with source_errors():  # the report names the source
                    outcome = call()
            except BaseException as error:
                failure = error
            with self._lock:
                self._unfinished.discard(future)
            with contextlib.suppress(InvalidStateError):  # closed meanwhile
                if failure is None:
                    future.set_result(outcome)
                else:
                    future.set_exception(failure)

        self._work.put((place, next(self._numbers), work))
        if self._threads < min(self._most_threads, len(self._unfinished)):
            self._threads += 1
            name = f"metricsieve-fetch-{self._threads}"
            # A daemon: a request that hangs must not keep the process from ending.
            arguments = (self._work, self._stop)
            threading.Thread(target=_serve, args=arguments, name=name, daemon=True).start()
        return future


def _serve(
    work: queue.PriorityQueue[tuple[int, int, Callable[[], None] | None]], stop: threading.Event
) -> None:
    stop_pauses_at(stop)
    while True:
        job = work.get()[2]
        if job is None:
            return
        job()
        del job  # or it would keep what it fetched until there is more to do
