"""The engine's answer in the oracle's form, and the comparison of the two."""

from __future__ import annotations

import functools
import math
import struct

import metricsieve as ms
import oracle
import pytest
from metricsieve import _engine

STRATEGIES = ("prefiltered", "exhaustive")


def engine_scan(
    source: object,
    definitions: list[dict],
    labels: list[str],
    strategy: str = "prefiltered",
    **options,
) -> tuple:
    """The engine's rows, with the values as bits and all labels of the list, and its report."""
    columns = ["metric", "value", "line", "offset", "definition", "match", "text", *labels]
    columns += options.get("context") or {}
    with pytest.MonkeyPatch.context() as patch:  # users do not choose the strategy
        patch.setattr(_engine, "Scanner", functools.partial(_engine.Scanner, strategy=strategy))
        scan = ms.scan(source, definitions, columns=columns, **options)
    table = scan.read_all()
    rows = list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))
    bits = [(row[0], struct.pack("<d", row[1]).hex(), *row[2:]) for row in rows]
    rows = [tuple(map(_comparable, row)) for row in bits]
    return rows, scan.report.to_dict()


def _comparable(value: object) -> object:
    """A NaN in a context column equals itself here."""
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def oracle_scan(data: bytes, definitions: list[dict], labels: list[str], **options) -> tuple:
    """The oracle's rows in the same form, and its report."""
    rows, report = oracle.scan(data, definitions, **options)
    return [
        (
            row.metric,
            struct.pack("<Q", row.value_bits).hex(),
            row.line,
            row.offset,
            row.definition,
            row.match,
            row.text,
            *(row.labels.get(label) for label in labels),
            *map(_comparable, row.context.values()),
        )
        for row in rows
    ], report


def label_names(definitions: list[dict], normalize: str) -> list[str]:
    """The label columns of the definitions, in the order of their first appearance."""
    prepared = [oracle.prepare(definition, normalize, "trim") for definition in definitions]
    return list(dict.fromkeys(name for definition in prepared for name in definition.labels))


def assert_equal(
    data: bytes, definitions: list[dict], *, envelope: str = "auto", **options
) -> tuple[list, oracle.Report]:
    """Rows, rejects and counts of every strategy equal the oracle's, which are returned.

    The oracle takes no envelope off.
    """
    labels = label_names(definitions, options.get("normalize", "terminal"))
    expected, report = oracle_scan(data, definitions, labels, **options)
    for strategy in STRATEGIES:
        rows, engine = engine_scan(
            data, definitions, labels, strategy, envelope=envelope, **options
        )
        assert rows == expected
        names = ("events", "records", "matched", "unmatched")
        assert {name: engine[name] for name in names} == {
            name: getattr(report, name) for name in names
        }
        for counters, theirs in zip(report.definitions, engine["definitions"], strict=True):
            rejects = {reason: count for reason, count in theirs["rejects"].items() if count}
            assert (counters.name, counters.regex) == (theirs["name"], theirs["regex"])
            assert rejects == dict(counters.rejects), counters
            assert (theirs["points"], theirs["truncated"]["count"]) == (
                counters.points,
                counters.truncated,
            )
        for column, theirs in zip(report.context, engine["context"], strict=True):
            example = theirs["rejects"]["example"]
            text = None if example is None else example["text"]
            counted = (theirs["name"], theirs["values"], theirs["rejects"]["count"])
            assert counted == (column.name, column.values, column.rejects)
            assert (text is None) == (column.first_reject is None)
            assert text is None or column.first_reject.startswith(text)
    return expected, report
