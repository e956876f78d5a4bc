"""The workload `real`: a collection of real logs, repeated, with all definitions that came along.

The corpus is no part of the repository: METRICSIEVE_CORPUS names its directory, else it is looked
for beside the repository. The expected number of points comes from the oracle of the tests, in pure
Python, on one repetition; that takes a minute, once. `workloads.py` keeps the result.
"""

from __future__ import annotations

import json
import os
import random
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORPUS = Path(os.environ.get("METRICSIEVE_CORPUS", ROOT.parent / "shared" / "corpus"))


def available() -> bool:
    return (CORPUS / "definitions.jsonl").exists()


def _oracle() -> Any:
    sys.path.append(str(ROOT / "tests"))
    import oracle

    return oracle


@cache
def definitions() -> list[dict[str, str]]:
    """Every distinct definition of the corpus that has a capture group."""
    lines = (CORPUS / "definitions.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = dict.fromkeys((row["name"], row["regex"]) for row in map(json.loads, lines))
    found = []
    for name, regex in pairs:
        definition = {"Name": name, "Regex": regex}
        try:
            _oracle().prepare(definition, "terminal", "trim")
        except ValueError:
            continue
        found.append(definition)
    return found


def fingerprint() -> str:
    """Names and sizes of the corpus: other files need other counts."""
    paths = [CORPUS / "definitions.jsonl", *sorted((CORPUS / "logs").glob("*.log"))]
    return " ".join(f"{path.name}:{path.stat().st_size}" for path in paths)


def _logs(size: int) -> bytes:
    """Whole logs in a seeded order, until `size` is reached or all are there."""
    paths = sorted((CORPUS / "logs").glob("*.log"))
    random.Random("real").shuffle(paths)
    texts, length = [], 0
    for path in paths:
        text = path.read_bytes()
        # A repetition must begin a record, so every log ends one.
        texts.append(text if text.endswith(b"\n") else text + b"\n")
        length += len(texts[-1])
        if length >= size:
            break
    return b"".join(texts)


def write(path: Path, size: int) -> dict[str, Any]:
    """Fill `path` with about `size` bytes of the corpus.

    Returns:
        How many bytes, points and matches there are.
    """
    text = _logs(size)
    times = max(1, round(size / len(text)))
    rows, report = _oracle().scan(text, definitions())
    rejects = sum(definition.rejects.total() for definition in report.definitions)
    with path.open("wb") as out:
        for _ in range(times):
            out.write(text)
    return {
        "bytes": len(text) * times,
        "points": len(rows) * times,
        "matches": (len(rows) + rejects) * times,
    }
