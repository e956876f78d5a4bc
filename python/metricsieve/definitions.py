"""Metric definitions: what to look for in a log, validated before any log is opened.

Principal types: `MetricDefinition` (one name and regular expression, as for a SageMaker training
job) and `DefinitionSet` (a validated, ordered list of them). Fed by users, files and the command
line; consumed by `_scan`. Structure is checked here, patterns by the Rust engine through
`_engine`, so that a pattern means the same when it is checked and when it runs.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from metricsieve._definition_fields import (
    DEFAULTS,
    KEYS,
    Example,
    check_fields,
    example_to_json,
    read_mapping,
)
from metricsieve.exceptions import DefinitionError, DefinitionProblem, DefinitionWarning

if TYPE_CHECKING:
    import os

    from metricsieve._engine import PatternInfo

MAX_DEFINITIONS = 10_000
# Columns of the result that a label must not take; job, host, rank and stream it may fill.
_TAKEN = frozenset(
    ["metric", "value", "timestamp", "source", "line", "offset", "definition", "match", "text"]
)
# The last thing in a pattern that looks as if it stood for a number: what R6's remedy wraps.
_NUMBER_LIKE = re.compile(r"(?:\[(?:\\.|[^\]\\])+\]|\\[Sd]|(?<!\\)\.)(?:[+*]\??|\{[0-9,]+\})")


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
        engine: `"linear"`; `"backtracking"` does not exist yet.
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


class DefinitionSet:
    """A validated, ordered, immutable list of metric definitions.

    Args:
        definitions: an iterable of dicts (`{"Name": ..., "Regex": ...}`, SageMaker's list
            verbatim) and `MetricDefinition`s; a mapping name -> regex; a `CreateTrainingJob`,
            `DescribeTrainingJob` or tuning job as a dict; or another set.

    The same regex under two names and the same name under two regexes are legal. In a list read
    from a job description a definition without a group is skipped with a `DefinitionWarning`.

    Raises:
        DefinitionError: with every problem of the list, not only the first: bad structure, a
            pattern the engine refuses or that has no group, an identical definition twice, a
            label that collides with a column, more than 10,000 definitions.

    Example:
        >>> definitions = DefinitionSet({"loss": r"loss=([0-9.]+)"})
        >>> len(definitions), definitions[0].name
        (1, 'loss')
    """

    __slots__ = ("_definitions", "_from_job", "_infos")

    _definitions: tuple[MetricDefinition, ...]
    _from_job: bool
    _infos: dict[bool, list[PatternInfo]]

    def __init__(
        self,
        definitions: Iterable[MetricDefinition | Mapping[str, Any]] | Mapping[str, Any] = (),
    ) -> None:
        if isinstance(definitions, DefinitionSet):
            self._definitions = definitions._definitions
            self._from_job = definitions._from_job
            self._infos = definitions._infos
            return
        from metricsieve._definition_files import unwrap

        items, self._from_job = unwrap(definitions)
        self._infos = {}
        self._definitions = self._validate(items)

    def _validate(self, items: Iterable[Any]) -> tuple[MetricDefinition, ...]:
        problems: list[DefinitionProblem] = []
        checked: list[tuple[MetricDefinition, PatternInfo]] = []
        seen: dict[MetricDefinition, int] = {}
        for index, item in enumerate(items):
            if index >= MAX_DEFINITIONS:
                problems.append(
                    DefinitionProblem(
                        f"more than {MAX_DEFINITIONS:,} definitions", hint="split the list"
                    )
                )
                break
            definition, wrong = _read_item(item, index)
            problems += wrong
            if definition is None or self._is_dummy(definition, index):
                continue
            if definition in seen:
                if not self._from_job:  # tuning jobs repeat their list in every definition
                    problems.append(_twice(definition, index, seen[definition]))
                continue
            seen[definition] = index
            info, wrong = _check_pattern(definition, index)
            problems += wrong
            if info is not None:
                checked.append((definition, info))
        if problems:
            raise DefinitionError(problems)
        self._infos[True] = [info for _, info in checked]
        return tuple(definition for definition, _ in checked)

    def _is_dummy(self, definition: MetricDefinition, index: int) -> bool:
        if not self._from_job or _has_group(definition.regex):
            return False
        problem = DefinitionProblem(
            "skipped, its pattern has no capture group", index, definition.name
        )
        warnings.warn(str(problem), DefinitionWarning, stacklevel=4)
        return True

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> DefinitionSet:
        """Read definitions from a JSON, YAML (extra `metricsieve[yaml]`) or TOML file.

        Args:
            path: a file holding the bare list, `{"MetricDefinitions": [...]}`,
                `{"metric_definitions": [...]}`, a mapping name -> regex, or the JSON of a
                training or tuning job.

        Raises:
            DefinitionError: the file is not what its suffix says (with line and column), or a
                definition in it is wrong.
            OSError: the file cannot be read.

        Example:
            >>> import pathlib, tempfile
            >>> file = pathlib.Path(tempfile.mkdtemp(), "d.json")
            >>> _ = file.write_text('[{"Name": "loss", "Regex": "loss=(.*)"}]')
            >>> DefinitionSet.load(file)
            DefinitionSet([{'Name': 'loss', 'Regex': 'loss=(.*)'}])
        """
        from metricsieve._definition_files import read_file

        return cls(read_file(Path(path)))

    @classmethod
    def from_args(cls, arguments: Iterable[str]) -> DefinitionSet:
        """Read `NAME=REGEX` texts, cut at the first equals sign.

        Raises:
            DefinitionError: a text has no name or no equals sign, or a pattern is wrong.

        Example:
            >>> DefinitionSet.from_args(["loss=loss=([0-9.]+)"])[0].regex
            'loss=([0-9.]+)'
        """
        items: list[Any] = []
        for index, argument in enumerate(arguments):
            name, equals, regex = argument.partition("=")
            if equals and name:
                items.append({"Name": name, "Regex": regex})
            else:  # kept in its place, so that the patterns' errors are found in the same run
                message = f"{reprlib.repr(argument)} is not NAME=REGEX"
                hint = "for example 'train:loss=loss: ([0-9.]+)'"
                items.append(DefinitionProblem(message, index, hint=hint))
        return cls(items)

    def to_sagemaker(self) -> list[dict[str, str]]:
        """SageMaker's list: `Name` and `Regex` alone, each pair once.

        Example:
            >>> DefinitionSet({"loss": "(.+)"}).to_sagemaker()
            [{'Name': 'loss', 'Regex': '(.+)'}]
        """
        pairs = dict.fromkeys((item.name, item.regex) for item in self._definitions)
        return [{"Name": name, "Regex": regex} for name, regex in pairs]

    def dump(self, path: str | os.PathLike[str]) -> None:
        """Write the definitions to a `.json`, `.yaml` or `.yml` file that `load` reads back.

        Raises:
            ValueError: another suffix.
            SinkError: the file cannot be written; an old one is left as it was.

        Example:
            >>> import pathlib, tempfile
            >>> file = pathlib.Path(tempfile.mkdtemp(), "d.json")
            >>> DefinitionSet({"loss": "(.+)"}).dump(file)
            >>> DefinitionSet.load(file) == DefinitionSet({"loss": "(.+)"})
            True
        """
        from metricsieve._definition_files import write_file

        write_file(Path(path), [item.to_dict() for item in self._definitions])

    @property
    def from_job(self) -> bool:
        """Whether the list came from a job description, where most definitions may stay silent."""
        return self._from_job

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the definitions, equal for equal sets on every machine and version.

        Example:
            >>> one, same = DefinitionSet({"loss": "(.+)"}), DefinitionSet({"loss": "(.+)"})
            >>> one.fingerprint == same.fingerprint, len(one.fingerprint)
            (True, 64)
        """
        text = json.dumps([item.to_dict() for item in self._definitions], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def pattern_warnings(self, *, terminal: bool) -> list[DefinitionProblem]:
        """What the engine finds odd, but legal, in the patterns.

        Args:
            terminal: whether they will run on normalised terminal text, which no longer holds
                what `#015` or `\\x1b` look for.

        Raises:
            DefinitionError: a pattern is legal only in the other mode.
        """
        return [
            DefinitionProblem(message, index, definition.name, definition.regex, (start, end))
            for index, (definition, info) in enumerate(
                zip(self._definitions, self._checked(terminal=terminal), strict=True)
            )
            for start, end, message in info.warnings
        ]

    def strategies(self, *, terminal: bool = True) -> list[dict[str, Any]]:
        r"""How the engine will look for each definition, and so which ones are slow.

        Args:
            terminal: as in `scan(normalize="terminal")`, where patterns read `#011` as a TAB.

        Returns:
            One dict a definition: `name`; `strategy`, which is `direct` (where its literal
            stands, the value is read without a regex engine), `candidates` (there a regex engine
            is asked) or `every record` (it has no literal, so each record is looked at: slow);
            `literals`, the texts one of which every match holds, by which a scan begins to look
            for it; `engine`.

        Raises:
            DefinitionError: a pattern is legal only in the other mode.

        Example:
            >>> definitions = DefinitionSet({"loss": r"loss=(\S+)", "bare": r"^(\d+)$"})
            >>> loss, bare = definitions.strategies()
            >>> loss["strategy"], loss["literals"], bare["strategy"]
            ('direct', ['loss='], 'every record')
        """
        found = []
        infos = self._checked(terminal=terminal)
        for definition, info in zip(self._definitions, infos, strict=True):
            direct = info.direct and definition.matches == "first"
            strategy = "direct" if direct else "candidates"
            found.append(
                {
                    "name": definition.name,
                    "strategy": strategy if info.literals else "every record",
                    "literals": list(info.literals),
                    "engine": definition.engine,
                }
            )
        return found

    def _checked(self, *, terminal: bool) -> list[PatternInfo]:
        """What the engine makes of each pattern in this mode."""
        if terminal not in self._infos:
            problems: list[DefinitionProblem] = []
            infos = []
            for index, definition in enumerate(self._definitions):
                info, wrong = _check_pattern(definition, index, terminal=terminal)
                problems += wrong
                infos += [info] if info is not None else []
            if problems:
                raise DefinitionError(problems)
            self._infos[terminal] = infos
        return self._infos[terminal]

    def __add__(self, other: object) -> DefinitionSet:
        """Both lists, one after the other, identical definitions once."""
        if not isinstance(other, DefinitionSet):
            return NotImplemented
        joined = DefinitionSet(list(dict.fromkeys((*self, *other))))
        joined._from_job = self._from_job and other._from_job
        return joined

    def __len__(self) -> int:
        return len(self._definitions)

    def __iter__(self) -> Iterator[MetricDefinition]:
        return iter(self._definitions)

    @overload
    def __getitem__(self, index: int) -> MetricDefinition: ...
    @overload
    def __getitem__(self, index: slice) -> DefinitionSet: ...
    def __getitem__(self, index: int | slice) -> MetricDefinition | DefinitionSet:
        if isinstance(index, slice):
            return DefinitionSet(self._definitions[index])
        return self._definitions[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DefinitionSet):
            return NotImplemented
        return self._definitions == other._definitions

    def __hash__(self) -> int:
        return hash(self._definitions)

    def __repr__(self) -> str:
        return f"DefinitionSet({[item.to_dict() for item in self._definitions]!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_set, (self._definitions, self._from_job)


def _rebuild_set(definitions: tuple[MetricDefinition, ...], from_job: bool) -> DefinitionSet:
    rebuilt = DefinitionSet(definitions)
    rebuilt._from_job = from_job
    return rebuilt


def _read_item(item: object, index: int) -> tuple[MetricDefinition | None, list[DefinitionProblem]]:
    if isinstance(item, MetricDefinition):
        return item, []
    if isinstance(item, DefinitionProblem):
        return None, [item]
    if not isinstance(item, Mapping):
        message = f'expected {{"Name": ..., "Regex": ...}}, not {reprlib.repr(item)}'
        return None, [DefinitionProblem(message, index)]
    given, problems = read_mapping(item, index)
    clean, wrong = check_fields(given, index)
    problems += wrong
    if problems:
        return None, problems
    definition = MetricDefinition.__new__(MetricDefinition)  # its __init__ would check once more
    definition._fill(clean)
    return definition, []


def _twice(definition: MetricDefinition, index: int, first: int) -> DefinitionProblem:
    message = f"the same name, regex and options as definition {first}"
    return DefinitionProblem(message, index, definition.name, hint="remove one of the two")


def _has_group(pattern: str) -> bool:
    if "(" not in pattern:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # FutureWarning of sets such as [[]
            return re.compile(pattern).groups > 0
    except (re.error, RecursionError, OverflowError):
        return True  # the engine will say what is wrong with it


def _no_group(definition: MetricDefinition, index: int) -> DefinitionProblem:
    hint, span = "put parentheses around the number, as in loss=([0-9.]+)", None
    for span_match in _NUMBER_LIKE.finditer(definition.regex):
        span = span_match.span()
    if span is not None:
        start, end = span
        regex = definition.regex
        fixed = f"{regex[:start]}({regex[start:end]}){regex[end:]}"
        if len(fixed) <= 200:
            hint = f"put parentheses around the number: {fixed}"
    return DefinitionProblem(
        "the pattern has no capture group, so nothing says which part is the value",
        index,
        definition.name,
        definition.regex,
        span or (0, len(definition.regex)),
        hint,
    )


def _check_pattern(
    definition: MetricDefinition, index: int, *, terminal: bool = True
) -> tuple[PatternInfo | None, list[DefinitionProblem]]:
    from metricsieve import _engine

    try:
        info = _engine.check_pattern(definition.regex, definition.group, terminal=terminal)
    except _engine.PatternError as error:
        # That there is no group matters most. Python says so, and is asked only now: its compiler
        # takes longer than the engine.
        if not _has_group(definition.regex):
            return None, [_no_group(definition, index)]
        message, start, end, _construct, hint = error.args
        span = None if start is None else (start, end)  # some errors are about no one place
        name, regex = definition.name, definition.regex
        return None, [DefinitionProblem(message, index, name, regex, span, hint)]
    problems = []
    for _number, label in info.labels:
        if label in _TAKEN:
            start = max(0, definition.regex.find(f"(?P<{label}>"))
            problems.append(
                DefinitionProblem(
                    f"the group named {label!r} would be a column, and there is one of that name",
                    index,
                    definition.name,
                    definition.regex,
                    (start, start + len(f"(?P<{label}>")),
                    "give the group another name",
                )
            )
    return info, problems
