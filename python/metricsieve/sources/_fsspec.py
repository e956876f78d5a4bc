"""Filesystem objects of fsspec as stores.

Principal type: `FsspecFilesystem`, made by `object_store.RemotePath`. fsspec itself need not be
imported: the object that the user made is all there is to use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from metricsieve.sources._remote import PIECE_BYTES, Content, without_secrets
from metricsieve.sources.object_store import Entry


class FsspecFilesystem:
    """A filesystem of fsspec; its synchronous calls may come from any thread."""

    def __init__(self, filesystem: Any) -> None:
        self._filesystem = filesystem

    def key(self, path: str) -> str:
        """The path without its protocol."""
        return str(self._filesystem._strip_protocol(path)).rstrip("/")

    def label(self, key: str) -> str:
        """The path as a URL, without what may be secret."""
        url = self._filesystem.unstrip_protocol(key)
        return without_secrets(url) if url.startswith(("http", "ftp", "sftp", "ssh")) else str(url)

    def find(self, key: str) -> Entry | None:
        """The file of exactly this path."""
        try:
            found = self._filesystem.info(key)
        except FileNotFoundError:
            return None
        return self._entry(found) if found.get("type") != "directory" else None

    def below(self, directory: str) -> Iterator[Entry]:
        """The files below a directory."""
        for found in self._filesystem.find(directory, detail=True).values():
            yield self._entry(found)

    def get(self, entry: Entry) -> Content:
        """A whole file; piece by piece where its size is not known."""
        if entry.size is not None:
            return Content(bytes(self._filesystem.cat_file(entry.key)))
        file = self._filesystem.open(entry.key, "rb")
        first = file.read(PIECE_BYTES)
        return Content(first, _calls(file) if first else None)

    def get_range(self, entry: Entry, start: int, end: int) -> bytes:
        """Some bytes of a file."""
        return bytes(self._filesystem.cat_file(entry.key, start=start, end=end))

    def _entry(self, info: dict[str, Any]) -> Entry:
        return Entry(info["name"], info.get("size"), None)


def _calls(file: Any) -> Iterator[Callable[[], bytes]]:
    """Reads, each to be made when the one before has ended."""
    ended = False

    def read() -> bytes:
        nonlocal ended
        piece = bytes(file.read(PIECE_BYTES))
        ended = not piece
        return piece

    try:
        while not ended:
            yield read
    finally:
        file.close()
