"""Single logs behind `http://` and `https://` URLs, presigned ones too.

Principal type: `HttpFile`, made by `_urls`. The standard library's client, because it can be told
where a redirection may lead and needs no length in advance. A connection that is lost is taken up
again where it broke, if the server can tell that the file is still the same.
"""

from __future__ import annotations

import base64
import email.message
import errno
import http.client
import ipaddress
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from metricsieve.exceptions import SourceError
from metricsieve.sources._remote import (
    PIECE_BYTES,
    WHOLE_BYTES,
    Content,
    Remote,
    RemoteSources,
    attempts,
    without_secrets,
)

CONNECT_SECONDS = 30.0  # for each wait on the network, the first one included
RETRY_SECONDS = 120.0  # without a new byte
_RETRIED = (408, 429, 500, 502, 503, 504)
_UNQUOTED = "/?%:=&$,;+!*'()@~[]"  # what a user wrote is quoted already where it has to be
_PORTS = {"http": 80, "https": 443}


class HttpFile(Remote, RemoteSources):
    """One URL.

    Args:
        url: `http` or `https`; user and password, if any, are sent as Basic authorisation.

    Raises:
        ValueError: no host, or a link-local address, where clouds keep credentials.
    """

    __slots__ = ("_etag", "_headers", "_label", "_size", "_url")

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self._label = f"{parts.scheme}://{host}{parts.path}"
        if not parts.hostname:
            raise ValueError(f"no host in the URL {self.label}")
        _refuse_link_local(parts.hostname)
        self._headers = {"User-Agent": "metricsieve", "Accept-Encoding": "identity"}
        if parts.username is not None:
            user, password = map(urllib.parse.unquote, (parts.username, parts.password or ""))
            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
        path, query = (urllib.parse.quote(p, safe=_UNQUOTED) for p in (parts.path, parts.query))
        self._url = urllib.parse.urlunsplit((parts.scheme, host, path, query, ""))
        self._size: int | None = None
        self._etag: str | None = None

    @property
    def label(self) -> str:
        """The URL without user, password, query and fragment."""
        return self._label

    @property
    def place(self) -> str:
        """The same."""
        return self._label

    @property
    def identity(self) -> str:
        """The URL with its query, which may name another file."""
        return self._url

    @property
    def size(self) -> int | None:
        """Its bytes, once the server has told."""
        return self._size

    @property
    def version(self) -> str | None:
        """Its entity tag, once the server has told."""
        return self._etag

    def find(self) -> Iterator[Remote]:
        """Itself, if it is there.

        Not a HEAD request, which a presigned URL does not allow: the first byte.

        Raises:
            FileNotFoundError: the server says so.
        """
        try:
            with self._open(0, 1) as response:
                self._note(response)
        except FileNotFoundError:
            raise
        except OSError:
            pass  # the scan will meet it again, and report it
        yield self

    def fetch(self) -> Content:
        """The whole file if it is small, or its beginning and calls for the rest."""
        stream = _Stream(self)
        first = stream.read(WHOLE_BYTES)
        return Content(first, None if stream.ended else stream.calls())

    def _note(self, response: http.client.HTTPResponse) -> None:
        tag = response.headers.get("ETag")
        self._etag = tag if tag and not tag.startswith("W/") else None
        if response.status == 206:
            total = (response.headers.get("Content-Range") or "").rpartition("/")[2]
        else:
            total = response.headers.get("Content-Length") or ""
        self._size = int(total) if total.isdecimal() else None

    def _open(self, start: int, count: int | None = None) -> http.client.HTTPResponse:
        """The file from a byte on; tries again for a while where that can help."""
        headers = dict(self._headers)
        if start or count:
            headers["Range"] = f"bytes={start}-{start + count - 1 if count else ''}"
        if start and self._etag:
            headers["If-Range"] = self._etag
        for _ in attempts(RETRY_SECONDS):
            request = urllib.request.Request(self._url, headers=headers)
            try:
                response: http.client.HTTPResponse = _opener().open(
                    request, timeout=CONNECT_SECONDS
                )
                return response
            except urllib.error.HTTPError as error:
                error.close()
                if error.code in (404, 410):
                    raise FileNotFoundError(errno.ENOENT, "no such file", self.label) from None
                if count and error.code == 416:  # not even one byte: empty
                    return self._open(0)
                problem = f"the server answers {error.code} {error.reason}"
                if error.code not in _RETRIED:
                    break
            except _ForeignRedirect as error:
                problem = str(error)
                break
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                problem = str(reason) or type(reason).__name__
        raise SourceError(without_secrets(problem))


class _Stream:
    """The bytes of a file, over as many connections as it takes."""

    def __init__(self, file: HttpFile) -> None:
        self._file = file
        self._response: http.client.HTTPResponse | None = None
        self._at = 0
        self.ended = False

    def calls(self) -> Iterator[Callable[[], bytes]]:
        """Reads, each to be made when the one before has ended."""
        while not self.ended:
            yield lambda: self.read(PIECE_BYTES)

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._response is not None:
            self._response.close()
            self._response = None

    __del__ = close

    def read(self, count: int) -> bytes:
        """So many bytes, fewer at the end only."""
        taken = bytearray()
        tries = attempts(RETRY_SECONDS)
        while len(taken) < count and not self.ended:
            try:
                piece = self._some(count - len(taken))
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if isinstance(error, (SourceError, FileNotFoundError)):
                    raise
                if next(tries, None) is None:
                    raise
                continue
            if piece:
                tries = attempts(RETRY_SECONDS)
            taken += piece
        return bytes(taken)

    def _some(self, most: int) -> bytes:
        file = self._file
        if self._response is None:
            self._response = file._open(self._at)
            if self._at == 0:
                file._note(self._response)
            elif self._response.status != 206 or file._etag is None:
                raise SourceError(
                    f"the connection was lost at byte {self._at:,}, and the server "
                    "cannot go on from there; download the file, then scan it"
                )
        piece = self._response.read1(most)
        self._at += len(piece)
        if not piece:
            size = file._size
            if size is not None and self._at < size:
                raise ConnectionError(f"the connection ended at byte {self._at:,} of {size:,}")
            self.close()
            self.ended = True
        return piece


class _ForeignRedirect(Exception):
    pass


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirections on the same host only: elsewhere may be inside one's own network."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,
        code: int,
        msg: str,
        headers: email.message.Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Refuse to leave the host."""
        old, new = (urllib.parse.urlsplit(one) for one in (req.full_url, newurl))
        upgraded = (old.scheme, new.scheme) in (("http", "https"), (new.scheme, new.scheme))
        ports = [one.port or _PORTS.get(one.scheme) for one in (old, new)]
        same_port = ports[0] == ports[1] or ports == [80, 443]
        if old.hostname != new.hostname or not upgraded or not same_port:
            fp.close()
            raise _ForeignRedirect(
                f"the server redirects to {new.scheme}://{new.netloc}; if you trust that host, "
                "name its URL"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_SameHost)


def _refuse_link_local(host: str) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped.is_link_local:
        raise ValueError(
            f"{host} is a link-local address, where clouds keep credentials and no logs are"
        )
