r"""What definitions make of a few lines, definition by definition.

Principal function: `preview`. The lines go through the same scan as logs do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metricsieve._scan import scan
from metricsieve.definitions import DefinitionSet
from metricsieve.exceptions import no_warnings

if TYPE_CHECKING:
    from metricsieve._metric_definition import MetricDefinition


@dataclass(frozen=True, slots=True)
class MatchPreview:
    """What one definition finds in a line.

    Attributes:
        name: the definition's name.
        definition: its index.
        text: the captured text; None if the group took no part.
        value: the number, or None.
        reason: why there is no number: `no_value`, `not_a_number` or `overflow`.
    """

    name: str
    definition: int
    text: str | None
    value: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class LinePreview:
    """A line and what is found in it.

    Attributes:
        line: the line, as given.
        matches: what matches, in the order of the definitions.
    """

    line: str
    matches: tuple[MatchPreview, ...]


def preview(
    definitions: DefinitionSet | Iterable[MetricDefinition | Mapping[str, Any]] | Mapping[str, Any],
    lines: str | Iterable[str],
    *,
    normalize: str = "terminal",
    number: str = "trim",
) -> list[LinePreview]:
    r"""Run definitions on a few lines and tell what each finds where.

    Args:
        definitions: what `scan` takes.
        lines: a text, or an iterable of lines; a line may hold several records (CR, `#015`).
        normalize: as in `scan`.
        number: as in `scan`.

    Returns:
        One `LinePreview` a line.

    Raises:
        DefinitionError: a definition cannot be used.

    Example:
        >>> (line,) = preview({"loss": r"loss=(\S+)"}, "loss=0.5%")
        >>> line.matches
        (MatchPreview(name='loss', definition=0, text='0.5%', value=0.5, reason=None),)
    """
    given = lines.split("\n") if isinstance(lines, str) else [str(line) for line in lines]
    if isinstance(lines, str) and given and not given[-1]:
        given.pop()
    texts = [line.rstrip("\n").replace("\n", " ") for line in given]
    log = "".join(f"{line}\n" for line in texts).encode(errors="surrogatepass")
    checked = definitions if isinstance(definitions, DefinitionSet) else DefinitionSet(definitions)
    with no_warnings():
        done = scan(
            log,
            checked,
            normalize=normalize,
            number=number,
            on_reject="null",
            columns=["metric", "value", "line", "offset", "definition", "match", "text"],
        )
        rows = done.read_all().to_pylist()
        reasons = {
            (row["offset"], row["metric"], row["text"] or ""): row["reason"]
            for row in done.rejects.to_pylist()
        }
    found: list[list[MatchPreview]] = [[] for _ in texts]
    for row in rows:
        reason = None
        if row["value"] is None:
            key = (row["offset"], row["metric"], row["text"] or "")
            reason = reasons.get(key, "not_a_number" if row["text"] else "no_value")
        match = MatchPreview(row["metric"], row["definition"], row["text"], row["value"], reason)
        found[row["line"] - 1].append(match)
    return [LinePreview(line, tuple(matches)) for line, matches in zip(texts, found, strict=True)]
