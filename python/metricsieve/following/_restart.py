"""Going on where an earlier run ended: what state and parts know, put together.

Principal function: `restore`. A crash between the two leaves parts that reach further than the
state: those of files tell themselves how far everything was read; those of log streams are removed,
and their events are asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metricsieve.exceptions import StateError
from metricsieve.following._outputs import Output
from metricsieve.following._parts import PartsOutput
from metricsieve.following._state import State
from metricsieve.following._watches import Watches
from metricsieve.sinks._part_names import source_name


def restore(state: State, outputs: Sequence[Output], watches: Watches) -> None:
    """Give the watches what is known of them, and the outputs what they should hold.

    Raises:
        StateError: the state makes no sense, or parts do not go with it.
    """
    try:
        saved = {one["path"]: one for one in state.sources}
        known: dict[tuple[str, int], int] = {}
        forgotten: dict[str, int] = {}
        for one in state.sources:
            name = source_name(one["label"])
            generations = [file["generation"] for file in one["files"]]
            forgotten[name] = min(generations, default=one["next"])
            for file in one["files"]:
                known[name, file["generation"]] = file["part_start"]
        for output in outputs:
            if not isinstance(output, PartsOutput):
                continue
            if len(outputs) == 1:
                for newer in _newer(state, output, known, forgotten):
                    _merge(saved, newer)
                watches.number_streams(output.next_generation)
            elif not state.is_new:
                output.remove_after(known)
            elif not output.is_empty:
                raise state.refuse(
                    f"{output.path} holds parts that this state knows nothing of, and other "
                    "outputs would lack their rows: write to another directory"
                )
        watches.restore(list(saved.values()))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise state.refuse(f"state.json makes no sense: {error!r}") from None


def _newer(
    state: State,
    output: PartsOutput,
    known: Mapping[tuple[str, int], int],
    forgotten: Mapping[str, int],
) -> Iterator[dict[str, Any]]:
    """What the parts of files know of them; those of log streams are removed."""
    for newer in output.saved(known, forgotten):
        if not newer["file"].get("again"):
            yield newer
        elif state.is_new:
            raise StateError(
                "it holds parts of log streams, and their state, which told the events in them, is "
                f"gone: {newer['label']}",
                output.path,
                "write to another directory",
            )
        else:
            output.remove_after(known, only=source_name(newer["label"]))


def _merge(saved: dict[str, dict[str, Any]], newer: dict[str, Any]) -> None:
    """Take over what a part knows of its source, where that is more than the state does."""
    path, file = newer["path"], newer["file"]
    fresh = {"path": path, "label": newer["label"], "next": 0, "since": None, "files": []}
    source = saved.setdefault(path, fresh)
    others = [one for one in source["files"] if one["generation"] != file["generation"]]
    mine = [one for one in source["files"] if one["generation"] == file["generation"]]
    if not mine or mine[0]["offset"] < file["offset"]:
        source["files"] = sorted([*others, file], key=lambda one: int(one["generation"]))
