"""Whether outputs would write over each other, or over what is read.

Principal function: `check_targets`, for everything that opens several outputs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

from metricsieve.sinks._base import Sink
from metricsieve.sinks._targets import check_target, is_directory, url_of_target

# Schemes whose URLs name a file or a directory.
_PATHS = (
    "delta",
    "duckdb",
    "emf",
    "influx",
    "openmetrics",
    "sqlite",
    "tensorboard",
    "wandb",
    "wide",
)
_STDOUT = "standard output"


def check_targets(targets: Iterable[Any], sources: Any = ()) -> None:
    """Refuse outputs that no sink writes, and two that write to one place, before anything is read.

    Args:
        targets: what outputs are called, directories of parts and sinks among them.
        sources: what is read, as users call it; a local file among them is no output.

    Raises:
        ValueError: as `check_target`; two outputs have one file or directory, or an output is a
            source. The message names both.

    Example:
        >>> check_targets(["a.csv", "influx:./a.csv"])
        Traceback (most recent call last):
        ValueError: a.csv and influx:./a.csv would write to the same place: name another
    """
    taken: dict[str, str] = {}
    for target in targets:
        if isinstance(target, Sink):
            continue
        if not is_directory(target):
            check_target(target)
        shown = str(url_of_target(target) or target)
        for place in _places(target):
            if place in taken:
                raise ValueError(
                    f"{taken[place]} and {shown} would write to the same place: name another"
                )
            taken[place] = shown
    existing = {place: shown for place, shown in taken.items() if os.path.isfile(place)}
    if existing:
        for path in _files(sources):
            shown = existing.get(os.path.realpath(path), "")
            if shown:
                raise ValueError(f"{shown} would replace a source: write it elsewhere")


def _places(target: str | os.PathLike[str]) -> Iterator[str]:
    """The files and directories that a target writes."""
    url = url_of_target(target)
    if url is None:
        yield _STDOUT if target == "-" else _real(target)
        return
    rest = url.rest
    if url.scheme in _PATHS and rest and not rest.startswith("cloudwatch-logs:"):
        yield _STDOUT if rest == "-" else _real(rest)
    for letters in url.options.get("dead-letters", ()):
        yield _real(letters)


def _real(path: str | os.PathLike[str]) -> str:
    """The path without links; as it is where it is none, of which the sink will tell."""
    text = os.fspath(path)
    return text if "\0" in text else os.path.realpath(text)


def _files(sources: Any) -> Iterator[str]:
    """The local files among sources, as far as they can be found."""
    from metricsieve._sources import iter_sources
    from metricsieve.sources._urls import is_remote

    listed = sources if isinstance(sources, (list, tuple)) else [sources]
    for one in listed:
        if not isinstance(one, (str, os.PathLike)) or os.fspath(one) == "-" or is_remote(str(one)):
            continue
        with contextlib.suppress(FileNotFoundError):  # whoever reads it says so
            for source in iter_sources(one):
                if source.kind == "path":
                    yield os.fsdecode(source.object)
