"""What can be wrong with definitions beside one another, with names, and for SageMaker."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from metricsieve.checks.finding import Finding

if TYPE_CHECKING:
    from metricsieve.checks.pattern import Anatomy
    from metricsieve.definitions import MetricDefinition

# CreateTrainingJob: AlgorithmSpecification.MetricDefinitions has at most 40 entries,
# MetricDefinition.Name 1 to 255 characters and Regex 1 to 500, both of the pattern `.+`.
MAX_DEFINITIONS, MAX_NAME, MAX_REGEX = 40, 255, 500
_PHASES = {
    "training": ("train", "training"),
    "validation": ("val", "valid", "validation", "eval", "evaluation", "dev"),
    "test": ("test", "testing"),
}
_WORDS = {word: phase for phase, words in _PHASES.items() for word in words}


def phases(text: str) -> set[str]:
    """The phases that a text speaks of.

    Example:
        >>> phases("val_loss"), phases("evaluate"), phases("train:error")
        ({'validation'}, set(), {'training'})
    """
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
    return {_WORDS[word] for word in words if word in _WORDS}


def contradictions(
    definitions: Sequence[tuple[int, MetricDefinition, Anatomy]],
) -> Iterator[Finding]:
    """The name says validation, the pattern train."""
    for index, definition, anatomy in definitions:
        named, written = phases(definition.name), phases(anatomy.head)
        if named and written and not named & written:
            said, meant = " and ".join(sorted(named)), " and ".join(sorted(written))
            before = anatomy.before
            yield Finding(
                "name-contradicts-pattern",
                f"the name speaks of {said}, the pattern of {meant}",
                index,
                definition.name,
                definition.regex,
                (before[0].start, before[-1].end),
                "correct the one that was copied",
            )


def same_patterns(
    definitions: Sequence[tuple[int, MetricDefinition, Anatomy]],
) -> Iterator[Finding]:
    """Two names with one pattern."""
    first: dict[tuple[str, object], MetricDefinition] = {}
    for index, definition, _ in definitions:
        key = (definition.regex, definition.group)
        if key not in first:
            first[key] = definition
        elif first[key].name != definition.name and definition.name != "ObjectiveMetric":
            yield Finding(
                "same-pattern",
                f"the pattern is also that of {first[key].name!r}",
                index,
                definition.name,
                definition.regex,
                (0, len(definition.regex)),
            )


def longer_names(
    definitions: Sequence[tuple[int, MetricDefinition, Anatomy]],
) -> Iterator[Finding]:
    """`loss: ` beside `val_loss: ` in one list: the first matches the second's lines too."""
    by_head: dict[str, list[tuple[int, MetricDefinition, Anatomy]]] = {}
    for one in definitions:
        if re.match(r"\w", one[2].head):
            by_head.setdefault(one[2].head, []).append(one)
    told: set[int] = set()
    for _, longer, other in definitions:
        for start in range(1, len(other.head)):
            for index, definition, anatomy in by_head.get(other.head[start:], ()):
                if index in told or anatomy.read_in(other.head, other.tail, "0.5") != "0.5":
                    continue
                told.add(index)
                yield Finding(
                    "part-of-longer-name",
                    f"matches the text of {longer.name!r} too, where {other.head!r} stands",
                    index,
                    definition.name,
                    definition.regex,
                    (anatomy.before[0].start, anatomy.before[-1].end),
                    rf"write \b in front of {anatomy.head.strip()!r}, or what stands before it "
                    "in the log",
                )


def sagemaker_limits(definitions: Sequence[tuple[int, MetricDefinition]]) -> Iterator[Finding]:
    """What CreateTrainingJob refuses."""
    if len(definitions) > MAX_DEFINITIONS:
        yield Finding(
            "sagemaker-limit",
            f"{len(definitions)} definitions; SageMaker takes {MAX_DEFINITIONS}",
        )
    for index, definition in definitions:
        for key, text, most in (
            ("Name", definition.name, MAX_NAME),
            ("Regex", definition.regex, MAX_REGEX),
        ):
            where = (index, definition.name, definition.regex)
            if len(text) > most:
                message = f"{key} has {len(text)} characters; SageMaker takes {most}"
                yield Finding("sagemaker-limit", message, *where)
            if "\n" in text:
                message = f"{key} holds a line break, which SageMaker refuses"
                yield Finding("sagemaker-limit", message, *where)


RULES = (contradictions, same_patterns, longer_names)
