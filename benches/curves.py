"""How rates depend on definitions, matching records and threads: measures, keeps, draws.

Figures go to benches/curves/curves.json, pictures beside it as SVG for the documentation. `--draw`
draws what was measured before. Entries are those of `entries.py`, with its counts asserted.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pictures
from entries import derive, entries
from measure import LOAD_LIMIT, measure, median, warm
from record import machine, versions

HERE = Path(__file__).parent
DEFINITIONS = [1, 8, 40, 200, 1000, 10_000]
SHARES = ["0", "0.1", "1", "10", "50", "100"]
FAMILIES = {
    "definitions": [f"many-{count}" for count in DEFINITIONS],
    "share": [f"share-{share}" for share in SHARES],
    "threads": ["sparse-8", "dense-8", "export"],
}


def measured(name: str, family: str, options: argparse.Namespace) -> tuple[dict[str, float], float]:
    """Medians of the entries that the picture shows, and the load."""
    threads = family == "threads"
    if threads:
        wanted = {"one", "two", "read", "read two", "lines", "lines two"}
    else:
        wanted = {*pictures.PEERS, "re-union", "re-finditer"}
    found = [e for e in entries(name, options.data, options.mb, threads) if e.name in wanted]
    for entry in found:
        warm(entry.workload.paths)
    load = measure(found, options.rounds)
    for entry in found:
        if entry.failure:
            raise SystemExit(f"{name}: {entry.name}: {entry.failure}")
    series = derive(found)
    kept = {key: median(values) for key, values in series.items() if key in wanted}
    rates = {key: round(rate, 3) for key, rate in kept.items() if rate is not None}
    # One form is the best on sparse text, the other one on dense.
    best = [rates.pop(key) for key in ("re-union", "re-finditer") if key in rates]
    if best:
        rates["re-best"] = max(best)
    return rates, load


def gather(options: argparse.Namespace) -> dict[str, Any]:
    figures: pictures.Figures = {}
    busy = 0.0
    for family in options.families:
        figures[family] = {}
        for name in FAMILIES[family]:
            figures[family][name], load = measured(name, family, options)
            busy = max(busy, load)
            print(f"{family}: {name}: {figures[family][name]}", file=sys.stderr, flush=True)
    if busy > LOAD_LIMIT:
        print(f"other processes used up to {busy:.0%} of the CPUs: figures are noise")
    return {
        "machine": machine(),
        "versions": versions(),
        "mb": options.mb,
        "busy": round(busy, 3),
        "figures": figures,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("families", nargs="*", default=list(FAMILIES), help=", ".join(FAMILIES))
    parser.add_argument("--mb", type=float, default=64, help="MiB of text of each point")
    parser.add_argument("--rounds", type=int, default=3, help="paired runs; the median counts")
    parser.add_argument("--data", type=Path, default=HERE / ".data", help="where files are kept")
    parser.add_argument("--draw", action="store_true", help="draw what was measured before")
    parser.add_argument("--to", type=Path, default=HERE / "curves", help="where pictures go")
    options = parser.parse_args()
    unknown = set(options.families) - set(FAMILIES)
    if unknown:
        parser.error(f"no family is called {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    options.to.mkdir(exist_ok=True)
    kept = options.to / "curves.json"
    if not options.draw:
        options.data.mkdir(parents=True, exist_ok=True)
        before = json.loads(kept.read_text())["figures"] if kept.exists() else {}
        told = gather(options)
        told["figures"] = {**before, **told["figures"]}
        kept.write_text(json.dumps(told, indent=1) + "\n")
    figures = json.loads(kept.read_text())["figures"]
    try:
        pictures.draw(figures, options.to)
    except ImportError:
        print("matplotlib is not installed: figures were kept, nothing was drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
