r"""Definitions for a log that has none: the numbers in it that have a name and vary.

Principal function: `suggest`. It reads the beginning of the logs record by record, in Python,
gathers `key=value` and its kin, and proposes a definition for each key whose numbers change.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from metricsieve._metric_definition import MetricDefinition
from metricsieve._patterns import NUMBER
from metricsieve._scan import scan
from metricsieve._sources import refuse_streams
from metricsieve.definitions import DefinitionSet
from metricsieve.exceptions import no_warnings

# What is read: enough to see values vary, little enough for a few seconds.
MAX_RECORDS = 200_000
MAX_KEYS = 2_000
# Samples that a suggestion shows.
SAMPLES = 5

# A name: a word, joined words, or up to three words; its separator; a number that ends there.
_PAIR = re.compile(
    r"""(?P<quote>['"]?)
        (?P<key>[A-Za-z_][\w@%]*(?:[-./:@][A-Za-z_][\w@%]*|[-./][0-9]+(?=[\w.]*['"]?\s?[:=]))*
           (?:(?:'s|\.)?[ ][A-Za-z][\w/-]*){0,3})
        (?P=quote)
        (?:[ ]<\w+>)?
        (?P<separator>\s?[:=]\s{0,8}|[ ]{1,2}(?=[-+]?[0-9]*\.[0-9]))
        (?P<open>['"\[(]?)
        (?P<number>[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|nan|inf)(?![\w/:-]|\.[0-9]))
    """,
    re.VERBOSE,
)
# Words of metrics; a key with one of them comes first.
_METRICS = re.compile(
    r"loss|acc|error|auc|f1|prec|recall|rmse|mae|mse|mape|perplex|ppl|bleu|rouge|reward|score|iou|"
    r"map\b|ndcg|lr\b|learning.?rate|grad|entropy|kl|r2|l1|l2|wer|fid|psnr|ssim|objective",
    re.IGNORECASE,
)
# Numbers that are counted or measured beside training.
_OTHERS = re.compile(
    r"time|second|sec\b|\bms\b|eta|memory|mem\b|gpu|cpu|pid|port|version|seed|samples|size|bytes|"
    r"epoch|step|iter|batch|num|count|total|rank|worker|line|\bid\b|date|year",
    re.IGNORECASE,
)
# Places in code, ranks and parts of a distribution: numbers that vary, and tell nothing.
_NO_METRIC = re.compile(
    r"\.(?:py|cc|cpp|cu|c|h|java|scala|go|rs|json|safetensors|bin)$|\balgo-|^(?:sum|min|max|count)$|"
    r"^(?:PMIX|OMPI|NCCL|SM|DMLC)_|^(?:kB|MB|GB|cuda)$",
)
_PHASE = re.compile(r"\b(train|training|val|valid|validation|eval|evaluation|test|testing)\b", re.I)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A definition for a number of the log.

    Attributes:
        definition: what to use; its pattern passes `check` without a warning.
        points: how many numbers it finds.
        samples: some of them, in the order of the log.
        line: a record with one.
    """

    definition: MetricDefinition
    points: int
    samples: tuple[float, ...]
    line: str


@dataclass(slots=True)
class _Key:
    """What is known of one way to write a number."""

    count: int = 0
    values: list[float] = field(default_factory=list)
    distinct: set[float] = field(default_factory=set)
    line: str = ""

    def add(self, value: float, line: str) -> None:
        self.count += 1
        if len(self.values) < SAMPLES and value not in self.distinct:
            self.values.append(value)
        if len(self.distinct) < 1000:
            self.distinct.add(value)
        self.line = self.line or line

    def is_worth(self, name: str) -> bool:
        """Whether it varies, or is a metric that is printed once, at the end."""
        final = self.count == 1 and not self.values[0].is_integer()
        return len(self.distinct) > 1 or (final and bool(_METRICS.search(name)))


def suggest(
    sources: Any, *, limit: int = 20, normalize: str = "terminal", threads: int | None = None
) -> list[Suggestion]:
    r"""Propose definitions for the numbers of logs that have a name and vary.

    A metric that stands there once, as a final result does, is proposed too.

    Args:
        sources: what `scan` takes. Names are looked for in the first 200,000 records, and what
            is found is tried on all.
        limit: at most so many, the likeliest metrics first.
        normalize: as in `scan`.
        threads: as in `scan`.

    Raises:
        FileNotFoundError: a source does not exist.
        TypeError: a source can be read only once.

    Example:
        >>> log = b"epoch 1 loss=0.5 acc: 10%\nepoch 2 loss=0.25 acc: 20%\n"
        >>> [one.definition.name for one in suggest(log)]
        ['loss', 'acc']
    """
    refuse_streams(sources, "suggest")
    options: dict[str, Any] = {"normalize": normalize, "threads": threads}
    keys = _gather(_records(sources, options))
    items = _definitions(keys)[: 3 * limit]
    if not items:
        return []
    with no_warnings():
        checked = DefinitionSet(item for item, _ in items)
        worth = {one.index for one in checked.check() if one.severity != "info"}
        kept = [pair for number, pair in enumerate(items) if number not in worth]
        done = scan(sources, [item for item, _ in kept], columns=["value"], **options)
        for _ in done:
            pass
    found = []
    for (item, key), entry in zip(kept, done.report.definitions, strict=True):
        if entry.points == 1 or (entry.points and entry.min != entry.max):
            definition = MetricDefinition(item["Name"], item["Regex"])
            found.append(Suggestion(definition, entry.points, tuple(key.values), key.line))
    return found[:limit]


def _records(sources: Any, options: dict[str, Any]) -> Iterator[str]:
    """The records that hold a digit, as the engine matches them."""
    with no_warnings():
        done = scan(
            sources,
            [{"Name": "record", "Regex": r"^(.*[0-9].*)"}],
            columns=["text"],
            on_reject="null",
            **options,
        )
        with done:
            rows = (text for batch in done for text in batch["text"].to_pylist())
            yield from itertools.islice(rows, MAX_RECORDS)


def _gather(records: Iterable[str]) -> dict[tuple[str, str, str], _Key]:
    """Every way in which a number is written: (phase, what stands before it, name)."""
    found: dict[tuple[str, str, str], _Key] = {}
    for record in records:
        for pair in _PAIR.finditer(record):
            written = record[pair.start() : pair.start("number")]
            name = pair["key"]
            if _NO_METRIC.search(name):
                continue
            phase = ""
            if not _PHASE.search(name.replace("_", " ").replace("-", " ")):
                in_front = _PHASE.search(record, 0, pair.start())
                phase = in_front.group() if in_front else ""
            place = (phase, written, name)
            if place not in found and len(found) >= MAX_KEYS:
                continue
            found.setdefault(place, _Key()).add(float(pair["number"]), record)
    return found


def _definitions(
    keys: dict[tuple[str, str, str], _Key],
) -> list[tuple[dict[str, str], _Key]]:
    """A definition for each that varies, the likeliest metric first."""
    phases: dict[str, set[str]] = {}
    for phase, written, _ in keys:
        phases.setdefault(written, set()).add(phase)
    made: dict[str, tuple[float, str, _Key]] = {}
    for (phase, written, name), key in keys.items():
        if not key.is_worth(name):
            continue
        split = phase if len(phases[written]) > 1 else ""
        label = re.sub(r"[^\w./@%-]+", "_", name.replace("'s ", " ")).strip("_.")
        label = f"{split.lower()}:{label}" if split else label
        made[_pattern(written, split)] = (_score(label, key), label, key)
    ranked = sorted(made.items(), key=lambda one: -one[1][0])
    used: Counter[str] = Counter()
    found = []
    for regex, (_, label, key) in ranked:
        used[label] += 1
        number = f"_{used[label]}" if used[label] > 1 else ""
        found.append(({"Name": f"{label}{number}", "Regex": regex}, key))
    return found


def _pattern(written: str, phase: str) -> str:
    """The text in front of the number, so that no longer name ends with it."""
    text = re.sub(r"([.\\+*?()\[\]{}|^$])", r"\\\1", written.lstrip())
    text = re.sub(r"\s{2,}", r"\\s+", text).replace("\t", r"\s+")
    if text[-1] in "'\"":  # Transformers 5 quotes numbers, 4 does not
        text += "?"
    edge = r"(?:^|[^\w./-])" if text[0].isalnum() or text[0] == "_" else ""
    front = rf"\b{phase}\b.*" if phase else ""
    if front and edge:
        edge = r"\b"
    return f"{front}{edge}{text}({NUMBER})"


def _score(name: str, key: _Key) -> float:
    score = min(len(key.distinct), 50) / 50
    score += 3 if _METRICS.search(name) else 0
    score -= 2 if _OTHERS.search(name) and not _METRICS.search(name) else 0
    score += 0.5 if any(not value.is_integer() for value in key.values) else 0
    return score - 0.01 * len(name)
