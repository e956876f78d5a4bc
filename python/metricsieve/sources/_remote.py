"""What every remote source is to the rest of the package.

Principal types: `Remote`, one log that has to be fetched, and `RemoteSources`, what a user names
and finds `Remote`s. Made by the other modules of this package, found by `_sources`, fetched by
`_prefetch`.
"""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from metricsieve._text import shorten
from metricsieve.exceptions import SourceError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from metricsieve.sources.cloudwatch_logs import CloudWatchLogs

# What is fetched as a whole: the engine decompresses gzip of this size at one go.
WHOLE_BYTES = 8 << 20
# What is fetched at a time of anything larger: enough to make a request's latency small.
PIECE_BYTES = 4 << 20

_USERINFO = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY = re.compile(r"(?<=\w)(://[^\s?#\"'<>]*)[?#][^\s\"'<>]*")
_ERROR_CHARS = 500
_LONGEST_PAUSE = 10.0  # seconds


class Content(NamedTuple):
    """What fetching gave.

    Attributes:
        first: the first bytes; all of them if there is no `more`, and then in any read-only buffer.
        more: calls that give the bytes behind, in order.
        abreast: how many of these may run at a time. With 1, the next is asked for when the one
            before has ended.
    """

    first: ReadableBuffer
    more: Iterator[Callable[[], bytes]] | None = None
    abreast: int = 1


class Remote(ABC):
    """One log that has to be fetched."""

    __slots__ = ()

    @property
    @abstractmethod
    def label(self) -> str:
        """What the `source` column says; holds no secret."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """Its bytes as they are stored, or None where only the end tells."""

    @property
    def version(self) -> str | None:
        """Changes when its content does; None where nothing tells so."""
        return None

    @property
    def envelope(self) -> str | None:
        """What wraps its messages, where that does not depend on the log: see `scan`."""
        return None

    @property
    def identity(self) -> str:
        """What tells it from others: a log that is named twice is read once."""
        return self.label

    @abstractmethod
    def fetch(self) -> Content:
        """Fetch all or the beginning; called by a thread of the prefetcher.

        Raises:
            OSError: it cannot be read; the scan counts it and goes on.
        """


class RemoteSources(ABC):
    """Something that a user calls a source and that stands for remote logs."""

    @abstractmethod
    def find(self) -> Iterator[Remote]:
        """Every log of it, in order.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be looked for.
        """

    @property
    def place(self) -> str:
        """How it is spelt, and what tells it from others in what is kept of it."""
        return repr(self)

    def live(self) -> tuple[list[Live], bool]:
        """What of it grows, by now, and whether no more will be added.

        Raises:
            ValueError: it does not grow.
            OSError: it cannot be looked for.
        """
        raise ValueError(
            f"{self.place} cannot be followed, only files, pipes, cloudwatch-logs:GROUP and jobs "
            "of SageMaker can: scan it"
        )


class Live(NamedTuple):
    """Log streams that grow.

    Attributes:
        key: what tells them from others of the same source.
        logs: the streams.
        has_ended: whether nothing more will be written to them.
    """

    key: str
    logs: CloudWatchLogs
    has_ended: bool


class NotFoundError(Exception):
    """A service knows no such thing."""


class ForkedError(RuntimeError):
    """A library's threads stayed in the process that this one was forked from."""


_thread = threading.local()


def stop_pauses_at(stop: threading.Event) -> None:
    """Let this thread's pauses end, with an error, when `stop` is set."""
    _thread.stop = stop


@contextlib.contextmanager
def pauses_end_at(stop: threading.Event) -> Iterator[None]:
    """The same for a while."""
    before: threading.Event | None = getattr(_thread, "stop", None)
    _thread.stop = stop
    try:
        yield
    finally:
        _thread.stop = before


def pause(seconds: float) -> None:
    """Wait before trying again.

    Raises:
        SourceError: nobody wants the result any more.
    """
    stop: threading.Event | None = getattr(_thread, "stop", None)
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise SourceError("it was stopped")


def attempts(seconds: float) -> Iterator[int]:
    """Numbers of tries for so long, with longer and longer pauses between them.

    Their lengths are random, so that many who were refused together do not come back together.
    """
    deadline = time.monotonic() + seconds
    number = 0
    while True:
        yield number
        length = random.uniform(0, min(_LONGEST_PAUSE, 0.1 * 2**number))
        if time.monotonic() + length > deadline:
            return
        pause(length)
        number += 1


def without_secrets(text: str) -> str:
    """Take user names, passwords, queries and fragments out of the URLs in a text.

    Example:
        >>> without_secrets("GET https://me:pw@host/a.log?X-Amz-Signature=1 failed")
        'GET https://host/a.log failed'
    """
    return _QUERY.sub(r"\1", _USERINFO.sub("", text))


def http_parts(text: str) -> urllib.parse.SplitResult:
    """A URL of a server that is sent to, taken apart.

    Raises:
        ValueError: it is no URL of `http` or `https` with a host; the message shows no secret.

    Example:
        >>> http_parts("https://me:pw@host:x")
        Traceback (most recent call last):
        ValueError: 'https://host:x' is no URL such as http://localhost:4318
    """
    shown = without_secrets(text).rpartition("@")[2]
    try:
        parts = urllib.parse.urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port, or an address in brackets
        is_url = False
    if not is_url:
        raise ValueError(f"{shown!r} is no URL such as http://localhost:4318")
    return parts


@contextlib.contextmanager
def source_errors(label: str | None = None) -> Iterator[None]:
    """Whatever a storage library raises becomes an `OSError` without secrets.

    The message begins with `label`, if there is one. A missing extra and a forked process are no
    trouble of the source's.
    """
    try:
        yield
    except (FileNotFoundError, NotFoundError, SourceError, ImportError, ForkedError):
        raise
    except Exception as error:
        text = " ".join(without_secrets(str(error)).split()) or type(error).__name__
        prefix = "" if label is None else f"{label}: "
        raise SourceError(prefix + shorten(text, _ERROR_CHARS)) from None
