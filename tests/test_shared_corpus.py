"""The shared corpus through the package and through the oracle: both give the expected rows.

The cases are those of `rust/core/tests/corpus.rs`; `tests/corpus/README.md` explains their format.
"""

import struct
import tomllib
from collections import Counter
from pathlib import Path

import metricsieve as ms
import oracle
import pytest

FILES = sorted((Path(__file__).parent / "corpus").glob("*.toml"))
CASES = [
    pytest.param(case, id=f"{file.stem}-{case['name']}")
    for file in FILES
    for case in tomllib.loads(file.read_text(encoding="utf-8"))["case"]
]
KEYS = {"name", "text", "hex", "definitions", "rows", "records", "matched"}
OPTIONS = ("normalize", "number", "max_record_bytes")
OPTIONAL = {"too_long", "rejects", "counts", *OPTIONS}
COUNTS = ("trimmed", "percent", "truncated", "underflow", "over_budget")
COLUMNS = ["metric", "value", "line", "offset"]


def source(case):
    """The case's bytes."""
    return bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode()


def options(case):
    """The options the case sets."""
    return {option: case[option] for option in OPTIONS if option in case}


def bits(value):
    """A float64's bits, in which NaN equals itself and -0.0 does not equal 0.0."""
    return hexadecimal(*struct.unpack("<Q", struct.pack("<d", value)))


def hexadecimal(value_bits):
    """Bits as they are easy to read in a failed comparison."""
    return f"{value_bits:016x}"


def wanted(value):
    """The bits of an expected value; there is one NaN."""
    return hexadecimal(0x7FF8000000000000) if value == "nan" else bits(float(value))


def expected(case):
    """Everything a case says."""
    rows = [(metric, wanted(value), *place) for metric, value, *place in case["rows"]]
    rejects, counts = case.get("rejects", {}), case.get("counts", {})
    return rows, case["records"], case["matched"], case.get("too_long", 0), rejects, counts


def by_metric(pairs):
    """Counters of definitions with one name added up, zeros left out."""
    totals: dict[str, Counter] = {}
    for name, counters in pairs:
        totals.setdefault(name, Counter()).update(counters)
    return {name: dict(+counter) for name, counter in totals.items() if +counter}


def test_cases_are_well_formed():
    """There are enough cases, each has its own name and only known keys."""
    assert len(CASES) >= 90
    assert len({case.id for case in CASES}) == len(CASES)
    for (case,) in (parameters.values for parameters in CASES):
        assert set(case) <= KEYS | OPTIONAL, case["name"]
        assert ("text" in case) != ("hex" in case), case["name"]


@pytest.mark.parametrize("case", CASES)
def test_oracle_gives_the_expected_rows(case):
    """The oracle agrees with what was worked out by hand."""
    rows, report = oracle.scan(source(case), case["definitions"], **options(case))
    assert (
        [(row.metric, hexadecimal(row.value_bits), row.line, row.offset) for row in rows],
        report.records,
        report.matched,
        report.skipped["too_long"],
        by_metric((d.name, d.rejects) for d in report.definitions),
        by_metric(
            (d.name, {kind: getattr(d, kind) for kind in COUNTS}) for d in report.definitions
        ),
    ) == expected(case)


@pytest.mark.parametrize("case", CASES)
def test_engine_gives_the_expected_rows(case):
    """The package agrees with what was worked out by hand, and drops nothing uncounted."""
    scan = ms.scan(source(case), case["definitions"], columns=COLUMNS, **options(case))
    table = scan.read_all()
    assert table.column_names == COLUMNS
    rows = zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True)
    report = scan.report.to_dict()
    definitions = report["definitions"]
    assert (
        [(metric, bits(value), *place) for metric, value, *place in rows],
        report["records"],
        report["matched"],
        report["skipped"].get("too_long", 0),
        by_metric((d["name"], d["rejects"]) for d in definitions),
        by_metric((d["name"], counters(d)) for d in definitions),
    ) == expected(case)
    skipped = sum(report["skipped"].values())
    assert report["records"] == report["matched"] + report["unmatched"] + skipped
    assert sum(d["points"] for d in definitions) == len(case["rows"])


def counters(definition):
    """The counters of a definition's report under the names of the corpus."""
    trimmed = definition["trimmed"]
    counts = {kind: definition[kind]["count"] for kind in COUNTS if kind != "percent"}
    return {**counts, "percent": trimmed["percent"]}
