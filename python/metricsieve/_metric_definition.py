"""`MetricDefinition`: one name and regular expression, as for a SageMaker training job.

Its fields are checked here, its pattern when it joins a `DefinitionSet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from metricsieve._definition_fields import DEFAULTS, KEYS, Example, check_fields, example_to_json
from metricsieve.exceptions import DefinitionError


@dataclass(frozen=True, slots=True, init=False)
class MetricDefinition:
    """One metric: a name and the regular expression whose group is the value.

    Attributes:
        name: the metric's name, any text.
        regex: a pattern in the dialect of Python's `re`, at most 64 KiB.
        unit: a CloudWatch unit such as `"Percent"`; travels in the schema's metadata.
        group: number or name of the value's group. Default: the group named `value`, else the
            first unnamed group, else group 1.
        matches: which matches of a record count: `"first"` (default), `"last"` or `"all"`.
        number: the number grammar, `"trim"`, `"strict"` or `"prefix"`; None: the scan's.
        engine: `"linear"`, or `"backtracking"`, which takes lookaround, back-references,
            possessive quantifiers, atomic and conditional groups too, is slower, and gives up on a
            record after a million steps back.
        required: whether a source without a point is worth a warning.
        ignore: codes of findings that do not apply.
        examples: lines with the value to be found in them.

    Raises:
        DefinitionError: a field has the wrong type or value. The pattern itself is checked when
            the definition joins a `DefinitionSet`.

    Example:
        >>> MetricDefinition("loss", r"loss=([0-9.]+)", unit="None").name
        'loss'
    """

    name: str
    regex: str
    unit: str | None
    group: int | str | None
    matches: str
    number: str | None
    engine: str
    required: bool
    ignore: tuple[str, ...]
    examples: tuple[Example, ...]

    def __init__(
        self,
        name: str,
        regex: str,
        *,
        unit: str | None = None,
        group: int | str | None = None,
        matches: str = "first",
        number: str | None = None,
        engine: str = "linear",
        required: bool = False,
        ignore: Iterable[str] = (),
        examples: Iterable[Example | tuple[str, float | None] | Mapping[str, Any]] = (),
    ) -> None:
        given = {
            "name": name,
            "regex": regex,
            "unit": unit,
            "group": group,
            "matches": matches,
            "number": number,
            "engine": engine,
            "required": required,
            "ignore": ignore,
            "examples": examples,
        }
        clean, problems = check_fields(given, None)
        if problems:
            raise DefinitionError(problems)
        self._fill(clean)

    def _fill(self, clean: Mapping[str, Any]) -> None:
        for argument, value in clean.items():
            object.__setattr__(self, argument, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, ({field.name: getattr(self, field.name) for field in fields(self)},)

    def to_dict(self) -> dict[str, Any]:
        """The definition as a definitions file writes it, defaults left out.

        Example:
            >>> MetricDefinition("loss", "(.+)", matches="all").to_dict()
            {'Name': 'loss', 'Regex': '(.+)', 'Matches': 'all'}
        """
        written: dict[str, Any] = {}
        for key, argument in KEYS.items():
            value = getattr(self, argument)
            if argument in DEFAULTS and value == DEFAULTS[argument]:
                continue
            if argument == "examples":
                value = [example_to_json(example) for example in value]
            written[key] = list(value) if argument == "ignore" else value
        return written


def _rebuild(arguments: dict[str, Any]) -> MetricDefinition:
    return MetricDefinition(**arguments)
