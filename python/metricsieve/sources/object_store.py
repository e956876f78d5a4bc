"""Logs in object stores: S3, Google Cloud Storage, Azure, or any store or filesystem object.

Principal type: `RemotePath`. `_urls` makes one of `s3://bucket/key`; users make one of a store of
obstore or a filesystem of fsspec. What it finds is fetched whole up to 8 MiB, in ranges beyond.
"""

from __future__ import annotations

import errno
import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from metricsieve.sources._globs import MAGIC, fixed_prefix, matcher
from metricsieve.sources._remote import (
    PIECE_BYTES,
    WHOLE_BYTES,
    Content,
    ForkedError,
    Remote,
    RemoteSources,
    source_errors,
    without_secrets,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# Ranges of one large object that are on their way at a time.
RANGES = 4


class Entry(NamedTuple):
    """An object as a listing tells it.

    Attributes:
        key: its name in the store.
        size: its bytes; None where the store does not say.
        tag: changes with its content; None where the store has no such thing.
    """

    key: str
    size: int | None
    tag: str | None


class Store(Protocol):
    """What is needed of a store; adding a kind of store is one class."""

    def key(self, path: str) -> str:
        """A path that a user gave as the listings write it."""

    def label(self, key: str) -> str:
        """The key as a URL without secrets."""

    def find(self, key: str) -> Entry | None:
        """The object of exactly this key, if there is one."""

    def below(self, directory: str) -> Iterable[Entry]:
        """The objects below a directory, `""` for all, in any order."""

    def get(self, entry: Entry) -> Content:
        """A whole object as it is now."""

    def get_range(self, entry: Entry, start: int, end: int) -> bytes:
        """Some bytes of the object that was listed."""


class RemotePath(RemoteSources):
    """A path in a store or filesystem: an object, everything below a directory, or a glob.

    Args:
        store: a store of obstore, or a filesystem of fsspec, with its credentials and options.
        path: a key, the beginning of keys up to a slash, or a pattern with `*`, `?`, `[...]` and
            `**`. An object of exactly this name wins over both.

    Example:
        >>> import metricsieve as ms
        >>> from obstore.store import MemoryStore
        >>> store = MemoryStore()
        >>> _ = store.put("logs/1.log", b"loss=0.5")
        >>> scan = ms.scan(ms.RemotePath(store, "logs/"), {"loss": "loss=([0-9.]+)"})
        >>> scan.read_all().select(["source", "value"]).to_pylist()
        [{'source': 'logs/1.log', 'value': 0.5}]
    """

    def __init__(self, store: Any, path: str = "") -> None:
        self._store: Store = store if isinstance(store, ObstoreStore) else _adapter(store)
        if not isinstance(path, str):
            raise TypeError(f"a path in a store must be text, not {type(path).__name__}")
        self._path = self._store.key(path) + ("/" if path.endswith("/") else "")

    def __repr__(self) -> str:
        """The path as a URL."""
        return f"<RemotePath {self._store.label(self._path)}>"

    @property
    def place(self) -> str:
        """The path as a URL."""
        return self._store.label(self._path)

    def find(self) -> Iterator[Remote]:
        """Every object of the path, by the bytes of the keys.

        Raises:
            FileNotFoundError: there is none.
            SourceError: the store cannot be asked.
        """
        path, label = self._path, self._store.label(self._path)
        if path and not path.endswith("/"):
            entry = self._exactly(path, label)
            if entry is not None:
                yield StoredObject(self._store, entry)
                return
        if MAGIC.search(path):
            directory, fits = fixed_prefix(path), matcher(path)
            nothing = "no object matches the pattern"
        else:
            directory, fits = path.rstrip("/"), _every
            nothing = "no such object, and none below it" if path else "the store is empty"
        with source_errors(label):
            found = _without_markers(self._store.below(directory), fits)
        if not found:
            raise FileNotFoundError(errno.ENOENT, nothing, label)
        found.sort(key=_key_bytes)
        for entry in found:
            yield StoredObject(self._store, entry)

    def _exactly(self, path: str, label: str) -> Entry | None:
        try:
            with source_errors(label):
                return self._store.find(path)
        except FileNotFoundError:
            return None
        except OSError:
            if MAGIC.search(path):  # hardly meant as a name; listing will say what is wrong
                return None
            raise


def _without_markers(entries: Iterable[Entry], fits: Callable[[str], bool]) -> list[Entry]:
    """Those that fit, without the empty objects by which consoles show directories."""
    found = list(entries)
    empty = {entry.key for entry in found if entry.size == 0}
    if empty:
        parents = (key for entry in found for key in _directories(entry.key))
        empty.intersection_update(parents)
    return [entry for entry in found if entry.key not in empty and fits(entry.key)]


def _directories(key: str) -> Iterator[str]:
    end = key.rfind("/")
    while end > 0:
        yield key[:end]
        end = key.rfind("/", 0, end)


def _every(_: str) -> bool:
    return True


def _key_bytes(entry: Entry) -> bytes:
    return entry.key.encode("utf-8", "surrogateescape")


class StoredObject(Remote):
    """One object of a store."""

    __slots__ = ("_entry", "_store")

    def __init__(self, store: Store, entry: Entry) -> None:
        self._store = store
        self._entry = entry

    @property
    def label(self) -> str:
        """Its URL."""
        return self._store.label(self._entry.key)

    @property
    def size(self) -> int | None:
        """Its bytes when it was listed."""
        return self._entry.size

    @property
    def version(self) -> str | None:
        """The tag that it had then."""
        return self._entry.tag

    def fetch(self) -> Content:
        """The object, or its first range and calls for the others."""
        entry = self._entry
        if entry.size == 0:  # obstore lists `x/`, the marker of an empty directory, as `x`
            return Content(b"")
        if entry.size is None or entry.size <= WHOLE_BYTES:
            return self._store.get(entry)
        return in_ranges(self._store, entry, entry.size)


def in_ranges(store: Store, entry: Entry, size: int) -> Content:
    """A large object in pieces, several of which are fetched at a time."""
    starts = iter(range(0, size, PIECE_BYTES))

    def piece(start: int) -> bytes:
        end = min(start + PIECE_BYTES, size)
        given = store.get_range(entry, start, end)
        if len(given) != end - start:
            raise OSError("changed while it was read; scan it again")
        return given

    first = piece(next(starts))
    calls: Iterator[Callable[[], bytes]] = (functools.partial(piece, start) for start in starts)
    return Content(first, calls, RANGES)


def _adapter(store: Any) -> Store:
    kind = type(store)
    bases = {base.__module__.partition(".")[0] for base in kind.__mro__}
    if "fsspec" in bases and callable(getattr(store, "cat_file", None)):
        from metricsieve.sources._fsspec import FsspecFilesystem

        return FsspecFilesystem(store)
    if "obstore" in bases:
        return ObstoreStore(store, _url_of(store))
    raise TypeError(
        f"{kind.__name__} is no store: expected a store of obstore or a filesystem of fsspec"
    )


def _url_of(store: Any) -> str:
    """What the labels of an obstore store begin with."""
    kind = type(store).__name__
    prefix = str(getattr(store, "prefix", None) or "").strip("/")
    schemes = {"S3Store": "s3", "GCSStore": "gs", "AzureStore": "az"}
    if kind in schemes:
        # Not `store.config`: that of obstore 0.12 panics over options such as `allow_http`.
        bucket = re.search(r"(?:bucket|container_name)=\"([^\"]*)\"", repr(store))
        url = f"{schemes[kind]}://{bucket[1] if bucket else ''}/"
        return url + (f"{prefix}/" if prefix else "")
    if kind == "HTTPStore":
        return without_secrets(str(store.url)).rstrip("/") + "/"
    if kind == "LocalStore" and prefix:
        return f"/{prefix}/"
    return f"{prefix}/" if prefix else ""


class ObstoreStore:
    """A store of obstore."""

    def __init__(self, store: ObjectStore, url: str) -> None:
        self._store = store
        self._url = url

    def key(self, path: str) -> str:
        """The same without slashes around it."""
        return path.strip("/")

    def label(self, key: str) -> str:
        """The key as a URL."""
        return self._url + key

    def find(self, key: str) -> Entry | None:
        """The object of exactly this key."""
        obstore = _obstore()
        try:
            return _entry(obstore.head(self._store, key))
        except FileNotFoundError:
            return None
        except obstore.exceptions.InvalidPathError:
            return None  # a pattern such as `a//*`
        except obstore.exceptions.BaseError as error:
            raise OSError(_explained(error)) from None

    def below(self, directory: str) -> Iterator[Entry]:
        """The objects below a directory."""
        obstore = _obstore()
        try:
            for chunk in obstore.list(self._store, directory or None, chunk_size=1000):
                yield from map(_entry, chunk)
        except obstore.exceptions.BaseError as error:
            raise OSError(_explained(error)) from None

    def get(self, entry: Entry) -> Content:
        """A whole object; in ranges if it became large since it was listed."""
        obstore = _obstore()
        try:
            result = obstore.get(self._store, entry.key)
            now = _entry(result.meta)
            if now.size is not None and now.size > WHOLE_BYTES:
                return in_ranges(self, now, now.size)
            return Content(result.bytes())  # whole, so that the engine reads it where it is
        except obstore.exceptions.BaseError as error:
            raise OSError(_explained(error)) from None

    def get_range(self, entry: Entry, start: int, end: int) -> bytes:
        """Some bytes, as long as the object is the one that was listed."""
        obstore = _obstore()
        options: Any = {"range": (start, end)}
        if entry.tag is not None and not entry.tag.startswith("W/"):
            options["if_match"] = entry.tag
        try:
            result = obstore.get(self._store, entry.key, options=options)
            return cast("bytes", result.bytes().to_bytes())
        except obstore.exceptions.PreconditionError:
            raise OSError("changed while it was read; scan it again") from None
        except obstore.exceptions.BaseError as error:
            raise OSError(_explained(error)) from None


def _entry(meta: Any) -> Entry:
    return Entry(meta["path"], meta["size"], meta["e_tag"])


_used_in: int | None = None  # the process whose runtime obstore's requests run on


def _obstore() -> Any:
    global _used_in
    try:
        import obstore
        import obstore.exceptions
    except ImportError:
        raise ImportError(
            "reading from object stores needs obstore: pip install 'metricsieve[remote]'"
        ) from None
    if _used_in not in (None, os.getpid()):
        raise ForkedError(
            "object stores were read before this process was forked, and obstore's threads stayed "
            "in the parent: start processes with the method 'spawn' or 'forkserver'"
        )
    _used_in = os.getpid()
    return obstore


_REMEDIES = (
    (
        ("169.254.169.254", "169.254.170.2", "metadata.google", "Unauthenticated", "401 "),
        "no valid credentials: docs/remote.md says where they are looked for; for a public "
        "bucket set AWS_SKIP_SIGNATURE=true",
    ),
    (("ExpiredToken", "token expired"), "the credentials expired: renew them and scan again"),
    (("403 ", "AccessDenied", "PermissionDenied"), "the credentials do not allow this"),
    (("301 ", "PermanentRedirect", "AuthorizationHeaderMalformed"), "set AWS_REGION to its region"),
    (
        ("empty path segment",),
        "keys with '//' cannot be read by obstore; rename them or name others",
    ),
)


def _explained(error: Exception) -> str:
    """An error of obstore without its debugging part, and what to do."""
    text = str(error).partition("\n\nDebug source")[0]
    said = f"{type(error).__name__} {error}"
    for signs, remedy in _REMEDIES:
        if any(sign in said for sign in signs):
            return f"{remedy} ({text})"
    return text


def open_url(scheme: str, bucket: str, path: str) -> RemotePath:
    """The path of a URL, with credentials as the environment has them.

    Raises:
        ImportError: obstore is missing.
        SourceError: the store cannot be set up.
    """
    url = f"{scheme}://{bucket}/"
    with source_errors(url):
        _obstore()
        store = _s3(bucket) if scheme == "s3" else _by_environment(scheme, url)
    return RemotePath(ObstoreStore(store, url), path)


# A stalled connection is given up, a slow one is not; each try may be repeated for 3 minutes.
_CLIENT: Any = {"connect_timeout": "10s", "read_timeout": "30s", "timeout": "10m"}


_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "gs": ("GOOGLE_BASE_URL", "STORAGE_EMULATOR_HOST"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}


def _options(scheme: str) -> tuple[str | None, dict[str, Any]]:
    """The endpoint that the environment names, and options for the client.

    Without TLS only where the endpoint is spelt so, as those of emulators are.
    """
    named = (os.environ.get(name) for name in _ENDPOINTS[scheme])
    endpoint = next((url for url in named if url), None)
    if endpoint is not None and endpoint.startswith("http://"):
        return endpoint, {"client_options": {**_CLIENT, "allow_http": True}}
    return endpoint, {"client_options": _CLIENT}


def _by_environment(scheme: str, url: str) -> Any:
    from obstore.store import from_url

    endpoint, options = _options(scheme)
    if endpoint is not None:
        options["base_url" if scheme == "gs" else "endpoint"] = endpoint
    return from_url(url, **options)


def _s3(bucket: str) -> Any:
    """A bucket with boto3's credentials where it is installed, as profiles and SSO need it."""
    from obstore.store import S3Store

    endpoint, options = _options("s3")
    if endpoint is not None:
        options["endpoint"] = endpoint
    unsigned = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true")
    if not unsigned and "AWS_ACCESS_KEY_ID" not in os.environ:
        options |= _boto3_credentials()
    return S3Store(bucket, **options)


def _boto3_credentials() -> dict[str, Any]:
    from datetime import timedelta

    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return {}  # obstore knows the environment and the metadata services by itself
    session = boto3.Session()
    if session.get_credentials() is None:
        return {}
    # botocore renews ten minutes before the end; asked more often than that, none is ever stale.
    provider = Boto3CredentialProvider(session, ttl=timedelta(minutes=5))
    return {"credential_provider": provider}
