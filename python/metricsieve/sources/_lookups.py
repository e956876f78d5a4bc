"""Looking sources up on other threads: several at a time, and so that Ctrl-C is heard.

Principal function: `looked_up`, used by `_sources`. A call of a storage library may retry for
minutes without a look at signals; the main thread waits where it can be interrupted.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, InvalidStateError

from metricsieve.sources._remote import Remote, RemoteSources, stop_pauses_at

# Lookups at a time: a thousand URLs one after the other would take a thousand latencies.
THREADS = 32


def looked_up(
    named: Sequence[Callable[[], RemoteSources]],
) -> Generator[list[Remote], None, None]:
    """What each of some names stands for, in order.

    Args:
        named: calls that give what is to be looked up.

    Raises:
        Whatever the first of them that fails raises, when it is its turn.
    """
    stop = threading.Event()
    work: queue.SimpleQueue[tuple[Callable[[], RemoteSources], Future[list[Remote]]]]
    work = queue.SimpleQueue()
    coming: list[Future[list[Remote]]] = []
    for call in named:
        coming.append(Future())
        work.put((call, coming[-1]))
    try:
        for _ in range(min(THREADS, len(coming))):
            # A daemon: a lookup that hangs must not keep the process from ending.
            threading.Thread(target=_serve, args=(work, stop), daemon=True).start()
        for future in coming:
            yield future.result()
    finally:
        stop.set()


def _serve(
    work: queue.SimpleQueue[tuple[Callable[[], RemoteSources], Future[list[Remote]]]],
    stop: threading.Event,
) -> None:
    stop_pauses_at(stop)
    with contextlib.suppress(queue.Empty):
        while not stop.is_set():
            call, future = work.get_nowait()
            try:
                found = list(call().find())
            except BaseException as error:
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(error)
            else:
                future.set_result(found)
