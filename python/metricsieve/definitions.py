"""Metric definitions: what to look for in a log, validated before any log is opened.

Principal types: `MetricDefinition` (one name and regular expression) and `DefinitionSet` (a
validated, ordered list of them). Fed by users, files and the command line; consumed by `_scan`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from metricsieve._context import (
    ContextColumn,
    check_context,
    context_warnings,
    joined,
    read_context,
)
from metricsieve._metric_definition import MetricDefinition
from metricsieve._validation import ORIGIN, check_pattern, items_from_args, validate
from metricsieve.exceptions import DefinitionError, DefinitionProblem

if TYPE_CHECKING:
    import os

    from metricsieve._engine import PatternInfo
    from metricsieve.checks import Finding

__all__ = ["DefinitionSet", "MetricDefinition"]


class DefinitionSet:
    """A validated, ordered, immutable list of metric definitions.

    Args:
        definitions: an iterable of dicts (`{"Name": ..., "Regex": ...}`, SageMaker's list
            verbatim) and `MetricDefinition`s; a mapping name -> regex; a `CreateTrainingJob`,
            `DescribeTrainingJob` or tuning job as a dict; the content of a definitions file; or
            another set.
        context: columns that the records of points, or those before them, fill: a mapping from
            names to a regex, a pair (regex, type) or `{"Regex": ..., "Type": ...}`; the types are
            `int64` (default), `float64` and `string`. None: those that the definitions bring.

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

    __slots__ = ("_context", "_definitions", "_from_job", "_infos")

    _context: tuple[ContextColumn, ...]
    _definitions: tuple[MetricDefinition, ...]
    _from_job: bool
    _infos: dict[bool, list[PatternInfo]]

    def __init__(
        self,
        definitions: Iterable[MetricDefinition | Mapping[str, Any]] | Mapping[str, Any] = (),
        *,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(definitions, DefinitionSet):
            self._definitions = definitions._definitions
            self._from_job = definitions._from_job
            self._infos = definitions._infos
            self._context = definitions._context
        else:
            from metricsieve._definition_files import unwrap

            unwrapped = unwrap(definitions)
            self._from_job = unwrapped.from_job
            checked, problems = validate(unwrapped.items, from_job=self._from_job)
            if problems:
                raise DefinitionError(problems)
            self._infos = {True: [info for _, _, info in checked]}
            self._definitions = tuple(definition for _, definition, _ in checked)
            self._set_context(read_context(unwrapped.context))
        if context is not None:
            self._set_context(read_context(context))

    def _set_context(self, columns: tuple[ContextColumn, ...]) -> None:
        problems = check_context(columns, labels=self.labels) if columns else []
        if problems:
            raise DefinitionError(problems)
        self._context = columns

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> DefinitionSet:
        """Read definitions from a JSON, YAML (extra `metricsieve[yaml]`) or TOML file.

        Args:
            path: a file holding the bare list, `{"MetricDefinitions": [...]}`, also with
                `"Context": {...}` beside it, `{"metric_definitions": [...]}`, a mapping
                name -> regex, or the JSON of a training or tuning job.

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
        return cls(items_from_args(arguments))

    @classmethod
    def preset(cls, *names: str) -> DefinitionSet:
        """The definitions that come with metricsieve for an algorithm or framework.

        Args:
            names: of presets; `metricsieve presets` lists them. Definitions of several are joined.

        Raises:
            ValueError: no preset has that name; the message has the nearest one.

        Example:
            >>> DefinitionSet.preset("kmeans")[0].name
            'test:msd'
        """
        from metricsieve.presets import load

        found = [item for name in names for item in load(name).definitions]
        made = cls({(item["Name"], item["Regex"]): item for item in found}.values())
        made._from_job = True
        for name in names:
            made._set_context(joined(made._context, read_context(load(name).context)))
        return made

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

        write_file(Path(path), self.to_content())

    def to_content(self) -> Any:
        """What `dump` writes: the list, or a dict of it where there are context columns.

        Example:
            >>> DefinitionSet({"loss": "(.+)"}, context={"epoch": "e(.)"}).to_content()
            {'MetricDefinitions': [{'Name': 'loss', 'Regex': '(.+)'}], 'Context': {'epoch': 'e(.)'}}
        """
        items = [item.to_dict() for item in self._definitions]
        if not self._context:
            return items
        context = {column.name: column.to_value() for column in self._context}
        return {"MetricDefinitions": items, "Context": context}

    @property
    def context(self) -> tuple[ContextColumn, ...]:
        """The context columns: name, regexes, type."""
        return self._context

    @property
    def labels(self) -> tuple[str, ...]:
        """Columns that named groups of the patterns give, in order of appearance."""
        names = [name for info in self._checked(terminal=True) for _, name in info.labels]
        return tuple(dict.fromkeys(name for name in names if name not in ORIGIN))

    @property
    def from_job(self) -> bool:
        """Whether it is from a job description or a preset, where most may stay silent."""
        return self._from_job

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the definitions, equal for equal sets on every machine and version.

        Example:
            >>> one, same = DefinitionSet({"loss": "(.+)"}), DefinitionSet({"loss": "(.+)"})
            >>> one.fingerprint == same.fingerprint, len(one.fingerprint)
            (True, 64)
        """
        text = json.dumps(self.to_content(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def pattern_warnings(self, *, terminal: bool) -> list[DefinitionProblem]:
        """What the engine finds odd, but legal, in the patterns.

        Args:
            terminal: whether they will run on normalised terminal text, which no longer holds
                what `#015` or `\\x1b` look for.

        Raises:
            DefinitionError: a pattern is legal only in the other mode.
        """
        found = context_warnings(self._context, terminal=terminal)
        return found + [
            DefinitionProblem(message, index, definition.name, definition.regex, (start, end))
            for index, (definition, info) in enumerate(
                zip(self._definitions, self._checked(terminal=terminal), strict=True)
            )
            for start, end, message in info.warnings
        ]

    def check(self, *, terminal: bool = True, sagemaker: bool = False) -> list[Finding]:
        r"""What will go wrong with the definitions: groups that cut numbers short, and more.

        Args:
            terminal: as in `scan(normalize="terminal")`.
            sagemaker: whether SageMaker's limits hold too (40 definitions, 255 characters of a
                name, 500 of a regex).

        Returns:
            Findings in the order of the definitions, without those that `ignore` names.
            docs/checks.md lists their codes.

        Raises:
            DefinitionError: a pattern is legal only in the other mode.

        Example:
            >>> finding = DefinitionSet({"loss": r"my loss: (.*?)"}).check()[0]
            >>> finding.code, finding.severity
            ('group-always-empty', 'error')
            >>> finding.suggestion
            'my loss: ([-+]?(?:(?:[0-9]+\\.?[0-9]*|\\.[0-9]+)(?:[eE][-+]?[0-9]+)?|nan|inf))'
        """
        from metricsieve import checks

        infos = self._checked(terminal=terminal)
        listed = zip(range(len(self)), self, infos, strict=True)
        return checks.check(list(listed), terminal=terminal, sagemaker=sagemaker)

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
                info, wrong = check_pattern(definition, index, terminal=terminal)
                problems += wrong
                infos += [info] if info is not None else []
            if problems:
                raise DefinitionError(problems)
            self._infos[terminal] = infos
        return self._infos[terminal]

    def __add__(self, other: object) -> DefinitionSet:
        """Both lists, one after the other, identical definitions once; the context of both."""
        if not isinstance(other, DefinitionSet):
            return NotImplemented
        both = DefinitionSet(list(dict.fromkeys((*self, *other))))
        both._from_job = self._from_job and other._from_job
        both._set_context(joined(self._context, other._context))
        return both

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
            chosen = DefinitionSet(self._definitions[index])
            chosen._set_context(self._context)
            return chosen
        return self._definitions[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DefinitionSet):
            return NotImplemented
        return (self._definitions, self._context) == (other._definitions, other._context)

    def __hash__(self) -> int:
        return hash((self._definitions, self._context))

    def __repr__(self) -> str:
        return f"DefinitionSet({self.to_content()!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_set, (self._definitions, self._from_job, self._context)


def _rebuild_set(
    definitions: tuple[MetricDefinition, ...], from_job: bool, context: tuple[ContextColumn, ...]
) -> DefinitionSet:
    rebuilt = DefinitionSet(definitions)
    rebuilt._from_job = from_job
    rebuilt._set_context(context)
    return rebuilt
