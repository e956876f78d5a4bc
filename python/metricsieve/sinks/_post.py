"""Requests that bring points to a server by HTTP, tried again within a deadline.

Principal type: `Poster`. The standard library's client, as for reading logs: it needs no package,
and one request after the other is all that a sink makes.
"""

from __future__ import annotations

import email.message
import email.utils
import gzip
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

from metricsieve._text import shorten
from metricsieve.exceptions import SourceError
from metricsieve.sources._aws import RefusedError
from metricsieve.sources._remote import attempts, http_parts, pause, without_secrets

WAIT_SECONDS = 30.0  # for each wait on the network
# How long a request that the server cannot take now, or whose connection fails, is tried again.
RETRY_SECONDS = 300.0
_RETRIED = (429, 502, 503, 504)
_ANSWER_BYTES = 1 << 20


class Answer(NamedTuple):
    """What a server says of a request that it took.

    Attributes:
        kind: of the body, such as `application/x-protobuf`, or empty.
        body: at most 1 MB.
    """

    kind: str
    body: bytes


class Poster:
    """Sends bodies to one URL.

    Args:
        url: `http` or `https`.
        headers: of each request; they may hold secrets, and are sent nowhere else.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = {
            "User-Agent": "metricsieve",
            "Content-Encoding": "gzip",
            **headers,
        }

    def send(self, body: bytes) -> Answer:
        """Send a body, compressed; tries again what can pass.

        Raises:
            RefusedError: the server will not take it; its code is that of HTTP.
            SourceError: it still fails when `RETRY_SECONDS` are over.
        """
        data = gzip.compress(body, 6, mtime=0)
        deadline = time.monotonic() + RETRY_SECONDS
        problem = ""
        for _ in attempts(RETRY_SECONDS):
            request = urllib.request.Request(self._url, data, self._headers, method="POST")
            try:
                with _OPENER.open(request, timeout=WAIT_SECONDS) as response:
                    return Answer(response.headers.get_content_type(), response.read(_ANSWER_BYTES))
            except urllib.error.HTTPError as error:
                with error:
                    problem = _told(error)
                    if error.code not in _RETRIED:
                        raise RefusedError(problem, str(error.code)) from None
                    asked = _seconds(error.headers.get("Retry-After"))
                if time.monotonic() + asked > deadline:
                    break
                pause(asked)
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                problem = str(reason) or type(reason).__name__
        raise SourceError(without_secrets(problem))


def _told(error: urllib.error.HTTPError) -> str:
    """The status, where a redirection leads, and a message that is text."""
    text = f"the server answers {error.code} {error.reason}"
    place = error.headers.get("Location")
    if place is not None:
        return f"{text}: name the URL that it redirects to, {without_secrets(place)}"
    try:
        body = error.read(_ANSWER_BYTES).decode()
    except (OSError, http.client.HTTPException, UnicodeDecodeError):
        return text
    body = " ".join(body.split())
    return f"{text}: {shorten(body, 300)}" if body.isprintable() and body else text


def _seconds(text: str | None) -> float:
    """What `Retry-After` asks for: seconds, or a date; 0 where it asks for nothing.

    Example:
        >>> _seconds("3"), _seconds("Thu, 26 Nov 2020 00:00:00 GMT"), _seconds("soon")
        (3.0, 0.0, 0.0)
    """
    if text is None:
        return 0.0
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows none: the body would be lost on the way, and the headers may be secrets."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: email.message.Message,
        newurl: str,
    ) -> None:
        """Leave the answer as it is."""


_OPENER: Any = urllib.request.build_opener(_NoRedirect)


def url_of(text: str, path: str) -> str:
    """A URL that bodies can be sent to.

    Args:
        text: what a user wrote.
        path: what stands in the place of none.

    Raises:
        ValueError: it is no URL of `http` or `https` with a host, or holds a password.

    Example:
        >>> url_of("http://localhost:4318", "/v1/metrics")
        'http://localhost:4318/v1/metrics'
    """
    parts = http_parts(text)
    shown = without_secrets(text)
    if "@" in parts.netloc:
        raise ValueError(f"{shown!r} holds a user: credentials belong into headers")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{shown!r} holds characters that a URL must have percent-encoded")
    return parts._replace(path=path).geturl() if parts.path in ("", "/") else text
