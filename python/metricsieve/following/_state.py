"""The state directory: how far each source was read, so that a restart goes on from there.

Principal type: `State`. One process at a time holds the directory's lock. `state.json` is replaced
as a whole, after the outputs have what it says they have; a crash in between repeats rows and loses
none. A state that is not whole, or of other definitions, is refused: beginning at 0 or at the end
without a word would double or lose rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

from metricsieve._positions import frozen, thawed
from metricsieve.exceptions import StateError
from metricsieve.sinks._atomic import make_directory, write_whole
from metricsieve.sinks._lock import Lock

FORMAT = "metricsieve follow state"
VERSION = 1
_RESET = "--reset (reset=True) forgets it and starts over"


class State:
    """The state in a directory, which is made when it does not exist.

    Args:
        directory: where it is kept.
        definitions: hash of everything that decides which rows there are.
        reset: forget what is there.

    Raises:
        StateError: in use, not whole, of another version or of other definitions.

    Example:
        >>> import tempfile
        >>> directory = tempfile.mkdtemp()
        >>> state = State(directory, "abc")
        >>> state.write([], {"points": {"bytes": 7}}); state.close()
        >>> State(directory, "abc").outputs
        {'points': {'bytes': 7}}
    """

    def __init__(self, directory: str, definitions: str, *, reset: bool = False) -> None:
        self._directory = directory
        self._definitions = definitions
        self._path = os.path.join(directory, "state.json")
        self.sources: list[dict[str, Any]] = []
        self.outputs: dict[str, Any] = {}
        with _errors(directory):
            make_directory(directory, 0o700)
        self._lock = Lock(directory, "lock")
        self.is_new = True
        try:
            with _errors(directory):
                self._remove_leftovers()
                if reset:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self._path)
            self._read()
        except BaseException:
            self._lock.release()
            raise

    def _remove_leftovers(self) -> None:
        for name in os.listdir(self._directory):
            if name.startswith(".metricsieve-") and name.endswith(".tmp"):
                os.unlink(os.path.join(self._directory, name))

    def _read(self) -> None:
        try:
            with open(self._path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from error
        try:
            outer = json.loads(content)
            version, body = outer["version"], outer["state"]
            whole = outer["format"] == FORMAT and outer["sha256"] == _hash(version, body)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._refused("state.json is damaged") from None
        if isinstance(version, int) and version > VERSION:
            raise self._refused(f"state.json is of a newer version ({version}) than this program")
        if not whole or version != VERSION:
            raise self._refused("state.json is damaged")
        if body["definitions"] != self._definitions:
            raise self._refused("it was written with other definitions or options")
        self.sources, self.outputs = thawed(body["sources"]), body["outputs"]
        self.is_new = False

    def _refused(self, reason: str) -> StateError:
        return StateError(reason, self._directory, _RESET)

    def refuse(self, reason: str) -> StateError:
        """The error of a state whose content makes no sense to its reader."""
        return self._refused(reason)

    def write(self, sources: list[dict[str, Any]], outputs: dict[str, Any]) -> None:
        """Replace the state: write, fsync, rename, fsync of the directory.

        Raises:
            SinkError: it could not be written; the old one is still there.
        """
        body = {
            "definitions": self._definitions,
            "sources": frozen(sources),
            "outputs": outputs,
        }
        outer = {
            "format": FORMAT,
            "version": VERSION,
            "sha256": _hash(VERSION, body),
            "state": body,
        }
        write_whole(self._path, json.dumps(outer).encode() + b"\n")

    def close(self) -> None:
        """Let another process have the directory."""
        self._lock.release()


@contextlib.contextmanager
def _errors(directory: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(error.strerror or str(error), directory) from error


def _hash(version: int, body: Any) -> str:
    text = json.dumps([version, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
