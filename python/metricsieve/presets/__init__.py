"""Definitions that come with metricsieve: SageMaker's built-in algorithms and common frameworks.

Principal functions: `names`, and `load` (a preset by its name). A preset is a TOML file of this
directory: a title, where its patterns are from, context columns, and definitions with examples
that the tests run. Consumed by `DefinitionSet.preset` and the command line.
"""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from metricsieve._patterns import NUMBER

_PLACE = re.compile(r"\{(name|for|metric|number)\}")


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset.

    Attributes:
        name: its name, that of its file.
        title: what it is for.
        origin: where names and patterns are from.
        context: context columns, as in a definitions file.
        definitions: as in a definitions file.
        examples: lines, each with the values that the whole preset must find in it.
        context_examples: lines, each with what it says of context columns.
    """

    name: str
    title: str
    origin: str
    context: Mapping[str, Any]
    definitions: list[dict[str, Any]]
    examples: list[tuple[str, dict[str, float]]]
    context_examples: list[tuple[str, dict[str, Any]]]


def names() -> list[str]:
    """The names of all presets.

    Example:
        >>> "xgboost" in names()
        True
    """
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


@functools.cache
def load(name: str) -> Preset:
    """A preset by its name.

    Raises:
        ValueError: there is none of that name; the message has the nearest one.

    Example:
        >>> load("kmeans").definitions[0]["Name"]
        'test:msd'
    """
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names())}"
        raise ValueError(f"no preset is called {name!r}: {hint}")
    content = tomllib.loads((resources.files(__package__) / f"{name}.toml").read_text("utf-8"))
    definitions: list[dict[str, Any]] = []
    examples: list[tuple[str, dict[str, float]]] = []
    for entry in content["definitions"]:
        made = list(_expanded(entry))
        for line, wanted in entry["examples"]:
            found = wanted if isinstance(wanted, dict) else {made[0]["Name"]: wanted}
            examples.append((line, found))
        definitions += made
    return Preset(
        name=name,
        title=content["title"],
        origin=content["origin"],
        context=content.get("context", {}),
        definitions=definitions,
        examples=examples,
        context_examples=[(line, told) for line, told in content.get("context_examples", [])],
    )


def _expanded(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One definition for each of `metrics`, and of `for`."""
    for phase in entry.get("for", [""]):
        for metric in entry.get("metrics", [""]):
            plain = {"for": phase, "metric": metric}
            written = {"for": _escaped(phase), "metric": _escaped(metric), "number": f"({NUMBER})"}
            yield {
                "Name": _filled(entry["name"], plain),
                "Regex": _filled(entry["regex"], written),
            }


def _escaped(text: str) -> str:
    return re.sub(r"([.()\[\]+*?{}|^$\\])", r"\\\1", text)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda found: values.get(found.group(1), found.group()), text)


# What `detect` looks at: enough for a job's first epochs.
MAX_BYTES = 256 << 20
MAX_POINTS = 20_000
# A further preset has to bring this share of the points that are known.
WORTH = 0.02


def detect(sources: Any, *, normalize: str = "terminal") -> list[tuple[str, int]]:
    r"""Which presets fit logs, by trying all of them on the beginning.

    Args:
        sources: what `scan` takes, to be read once more than the scan itself.
        normalize: as in `scan`.

    Returns:
        Names with the number of points that each alone brings, the one with most first; a preset
        whose points others find too is left out. Empty if none fits.

    Example:
        >>> detect(b"[0]\ttrain-rmse:8.25\n")
        [('xgboost', 1)]
    """
    from metricsieve._scan import scan
    from metricsieve.definitions import DefinitionSet
    from metricsieve.exceptions import no_warnings

    owners: dict[tuple[str, str], set[str]] = {}
    for name in names():
        for item in load(name).definitions:
            owners.setdefault((item["Name"], item["Regex"]), set()).add(name)
    listed = [{"Name": name, "Regex": regex} for name, regex in owners]
    by_index = list(owners.values())
    found: dict[str, set[tuple[str, int, float]]] = {}
    points = 0
    with no_warnings():
        columns = ["definition", "source", "offset", "value"]
        done = scan(sources, DefinitionSet(listed), columns=columns, normalize=normalize)
        with done:
            for batch in done:
                for row in batch.to_pylist():
                    for name in by_index[row["definition"]]:
                        point = (row["source"], row["offset"], row["value"])
                        found.setdefault(name, set()).add(point)
                points += batch.num_rows
                if points >= MAX_POINTS or done.progress[0] >= MAX_BYTES:
                    break
    chosen: list[tuple[str, int]] = []
    total = len(set().union(*found.values())) if found else 0
    while found:
        best = max(sorted(found), key=lambda name: len(found[name]))
        new = found.pop(best)
        if len(new) < max(1, WORTH * total):
            break
        chosen.append((best, len(new)))
        for rest in found.values():
            rest -= new
    return chosen
