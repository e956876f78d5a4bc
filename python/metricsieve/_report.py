"""What a scan did: counts by definition and by source, and what is worth a warning.

Principal type: `Report`, a read-only view of the dict that the engine keeps. Fed by `_scan`, read
by users and by the command line.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from metricsieve._text import visible

if TYPE_CHECKING:
    from metricsieve.definitions import DefinitionSet


class _Entry:
    """Attributes over a dict of the engine's report."""

    __slots__ = ("_data",)

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._data[name]
        except KeyError:
            raise AttributeError(f"a report has no {name!r}") from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._data})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self._data)!r})"


class DefinitionReport(_Entry):
    """One definition's share of a scan.

    Attributes:
        name: the definition's name.
        regex: its pattern, as written.
        points: accepted values.
        rejects: rejected captures by reason.
        reject_examples: the first three a reason, in row order.
        trimmed: points whose text was trimmed: count, how many were percent signs, an example.
        truncated: points next to more digits than the group took: count, example.
        underflow: points whose text is not zero but rounds to it.
        over_budget: records whose matches were given up.
        first: the first value in row order; None without points.
        last: the last value in row order.
        min: smallest value, NaN aside.
        max: largest value, NaN aside.
        sources_with_points: how many sources have one.
        sources_without: labels of the first three that have none.
        candidates: records it was tried on; depends on the strategy.
        cost_seconds: time that took, estimated from every 64th of them.
        strategy: how the engine looks for it, see `DefinitionSet.strategies`.
        literals: the texts it was looked for by; of several parts of the regex where the first
            turned out to stand in many records that do not match.
    """

    name: str
    regex: str
    points: int
    rejects: dict[str, int]
    reject_examples: dict[str, list[dict[str, Any]]]
    trimmed: dict[str, Any]
    truncated: dict[str, Any]
    underflow: dict[str, Any]
    over_budget: dict[str, Any]
    first: float | None
    last: float | None
    min: float | None
    max: float | None
    sources_with_points: int
    sources_without: list[str]
    candidates: int
    cost_seconds: float
    strategy: str
    literals: list[str]


class ContextReport(_Entry):
    """One context column's share of a scan.

    Attributes:
        name: the column's name.
        type: `int64`, `float64` or `string`.
        regexes: its patterns.
        values: rows with a value.
        rejects: texts that do not fit the type and concern rows, of their own record or of a
            later one with no value in between: count, example.
    """

    name: str
    type: str
    regexes: list[str]
    values: int
    rejects: dict[str, Any]


class SourceReport(_Entry):
    """One source's share of a scan.

    Attributes:
        source: its label.
        compression: what it was packed with, found by its first bytes.
        encoding: of its text.
        envelope: what wrapped its messages.
        foreign: points in lines that lack what the envelope puts there, and events that had to be
            taken as they are.
        ambiguous_times: points with a time that the zone's clocks showed twice or never.
        bytes: read, after decompression.
        records: seen.
        points: found.
        escapes: decoded escapes by kind.
        complete: whether it was read to its end.
        error: why not.
        warning: what looks odd in it.
    """

    source: str
    compression: str | None
    encoding: str | None
    envelope: str | None
    foreign: int
    ambiguous_times: int
    bytes: int
    records: int
    points: int
    escapes: dict[str, int]
    complete: bool
    error: str | None
    warning: str | None


class SourceReports(Sequence[SourceReport]):
    """All failed sources and the most telling others, with exact totals.

    Attributes:
        total: sources given.
        complete: sources read to their end.
        failed: sources not read to their end.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.total: int = data["total"]
        self.complete: int = data["complete"]
        self.failed: int = data["failed"]
        self._entries = [SourceReport(entry) for entry in data["entries"]]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[SourceReport]:
        return iter(self._entries)

    @overload
    def __getitem__(self, index: int) -> SourceReport: ...
    @overload
    def __getitem__(self, index: slice) -> list[SourceReport]: ...
    def __getitem__(self, index: int | slice) -> SourceReport | list[SourceReport]:
        return self._entries[index]


class Report(_Entry):
    """What a scan did so far; after its end the numbers are final.

    `records == matched + unmatched + sum(skipped.values())`, and the matches of a definition are
    its points and rejects: nothing is dropped without a count.

    Attributes:
        complete: whether the scan reached its end and read every source to its end.
        bytes: read, after decompression.
        events: physical lines, or what an envelope joined.
        records: texts that the definitions were tried on.
        matched: records that at least one definition matched.
        unmatched: records that none did.
        skipped: records left out, by reason.
        elapsed_seconds: since the scan began.
        points: accepted values of all definitions.
    """

    __slots__ = ("_asked_for", "_definitions")

    complete: bool
    bytes: int
    events: int
    records: int
    matched: int
    unmatched: int
    skipped: dict[str, int]
    elapsed_seconds: float
    points: int

    def __init__(
        self,
        data: Mapping[str, Any],
        definitions: DefinitionSet,
        asked_for: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(data)
        self._definitions = definitions
        self._asked_for = asked_for

    @property
    def definitions(self) -> list[DefinitionReport]:
        """One entry a definition, in their order."""
        return [DefinitionReport(entry) for entry in self._data["definitions"]]

    @property
    def context(self) -> list[ContextReport]:
        """One entry a context column, in their order."""
        return [ContextReport(entry) for entry in self._data["context"]]

    @property
    def sources(self) -> SourceReports:
        """The sources; a bounded list with exact totals."""
        return SourceReports(self._data["sources"])

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values; NaN and infinities are `"nan"`, `"inf"`, `"-inf"`."""
        plain = _plain(copy.copy(dict(self._data)))
        assert isinstance(plain, dict)
        return plain

    @property
    def silent_is_normal(self) -> bool:
        """Whether the definitions are a job's or a preset's, of which most find nothing."""
        return self._definitions.from_job

    @property
    def warnings(self) -> list[str]:
        """What `--strict` objects to, one line each; control characters are made visible.

        A definition without a point, a required one missing in a source, rejects, truncations,
        budgets, skipped records, context columns without a value or with texts of another type,
        sources that failed or look mixed. In a list from a job
        description silent definitions are normal: one line says when none at all fired.
        """
        found = [f"{reason}: {count:,} records skipped" for reason, count in self.skipped.items()]
        found = [line for line, count in zip(found, self.skipped.values(), strict=True) if count]
        silent = []
        for definition, entry in zip(self._definitions, self.definitions, strict=True):
            name = repr(entry.name)
            if not entry.points and self.sources.total:  # a dataset may be complete
                silent.append(name)
            if definition.required and entry.points and entry.sources_without:
                found.append(f"required definition {name} has no point in {self._without(entry)}")
            for reason, count in entry.rejects.items():
                if count:
                    found.append(
                        f"definition {name}: {count:,} captures rejected, {reason}"
                        f"{_example(entry.reject_examples.get(reason))}"
                    )
            for key, what in (
                ("truncated", "points next to more digits than the pattern captures"),
                ("over_budget", "records with more matches than the budget allows"),
            ):
                counted = getattr(entry, key)
                if counted.get("count"):
                    example = _example([counted["example"]] if counted.get("example") else None)
                    found.append(f"definition {name}: {counted['count']:,} {what}{example}")
        if silent and self._definitions.from_job:
            if len(silent) == len(self._definitions):
                found.append(f"none of the {len(silent)} definitions matched a record")
        else:
            records = f"{self.records:,} records"
            found += [f"definition {name} has no point in {records}" for name in silent]
        for column in self.context:
            name = f"context column {column.name!r}"
            if column.rejects["count"]:
                example = _example([column.rejects["example"]])
                found.append(
                    f"{name}: {column.rejects['count']:,} texts are no {column.type}{example}"
                )
            if self.points and not column.values and column.name in self._asked_for:
                found.append(f"{name} has no value for any of {self.points:,} points")
        for source in self.sources:
            if source.error:
                found.append(f"{source.source} was not read to its end: {source.error}")
            if source.foreign:
                found.append(
                    f"{source.source} was read as {source.envelope!r}: {source.foreign:,} points "
                    "or events lack what that puts there; envelope= says otherwise"
                )
            if source.ambiguous_times:
                found.append(
                    f"{source.source}: {source.ambiguous_times:,} points have a time that the "
                    "clocks of the time zone showed twice or never"
                )
            if source.warning:
                found.append(f"{source.source}: {source.warning}")
        return [visible(line) for line in found]

    def _without(self, entry: DefinitionReport) -> str:
        count = self.sources.total - entry.sources_with_points
        names = ", ".join(entry.sources_without)
        return f"{count:,} of {self.sources.total:,} sources ({names}{', …' * (count > 3)})"


def _example(examples: Sequence[Any] | None) -> str:
    if not examples:
        return ""
    example = examples[0]
    if not isinstance(example, Mapping):
        return f" (for example {example!r})"
    place = ":".join(str(example[key]) for key in ("source", "line") if example.get(key))
    return f" (for example {example.get('text')!r} at {place})"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
