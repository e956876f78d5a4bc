"""The engine against the oracle on real logs with real definitions.

The corpus is no part of the repository: METRICSIEVE_CORPUS names its directory, else it is looked
for beside the repository. `pytest -s` prints how much was compared.
"""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from comparison import assert_equal
from oracle import prepare

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "corpus"
CORPUS = Path(os.environ.get("METRICSIEVE_CORPUS", BESIDE))
LOGS = sorted(CORPUS.glob("logs/*.log"))
MODES = [
    {"normalize": "terminal", "number": "trim"},
    {"normalize": "none", "number": "strict"},
]

pytestmark = pytest.mark.skipif(not LOGS, reason="no corpus (METRICSIEVE_CORPUS)")


def read_lines(name: str) -> list[dict]:
    """A file of the corpus: an object a line."""
    lines = (CORPUS / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def load_definitions() -> list[dict]:
    """Every distinct (name, regex) with a capture group."""
    pairs = dict.fromkeys((d["name"], d["regex"]) for d in read_lines("definitions.jsonl"))
    definitions = []
    for name, regex in pairs:
        definition = {"Name": name, "Regex": regex}
        try:
            prepare(definition, "terminal", "trim")
        except ValueError:
            continue
        definitions.append(definition)
    return definitions


@pytest.fixture(scope="module")
def definitions():
    """The definitions of the corpus, read once."""
    return load_definitions()


@pytest.fixture(scope="module")
def compared():
    """Totals over all logs, printed at the end."""
    totals: Counter[str] = Counter()
    yield totals
    print("\n" + ", ".join(f"{count} {name}" for name, count in totals.items()))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: "-".join(mode.values()))
@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_corpus_equals_oracle(log, mode, definitions, compared):
    """All definitions at once on one real log give the oracle's rows, rejects and counts."""
    rows, report = assert_equal(log.read_bytes(), definitions, envelope="plain", **mode)
    rejects = sum(d.rejects.total() for d in report.definitions)
    compared.update(
        {
            "(log, definition) combinations": len(definitions),
            "rows": len(rows),
            "rejects": rejects,
            "records": report.records,
        }
    )
