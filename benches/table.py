"""The tables that `run.py` prints: rates of all entries, and how the goals stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from measure import LOAD_LIMIT, median
from rich.console import Console
from rich.table import Table

RATES = {
    "metricsieve, floors and ripgrep": [
        "one",
        "two",
        "read",
        "read two",
        "lines",
        "lines two",
        "memory",
        "gunzip",
        "rg -on -b",
        "rg -on -b --no-mmap",
        "rg -oN",
        "rg -oN --no-mmap",
        "rg default",
    ],
    "other ways to do it, one CPU": [
        "one",
        "exhaustive",
        "regexset",
        "prefilter",
        "re-loop",
        "re-union",
        "re-finditer",
        "re2",
        "hyperscan",
        "polars",
        "duckdb",
        "pyarrow",
        "pandas",
        "mtail",
    ],
}


def cell(number: float | None) -> str:
    if number is None:
        return "-"
    if number >= 100:
        return f"{number:,.0f}"
    if number >= 10:
        return f"{number:.1f}"
    return f"{number:.2f}" if number >= 0.1 else f"{number:.2g}"


def rates(results: list[dict[str, Any]]) -> Iterable[Table]:
    """MB of text a second; columns without a figure are left out."""
    for title, columns in RATES.items():
        table = Table(title=f"{title}: MB of text a second, medians")
        shown = [name for name in columns if any(name in r["series"] for r in results)]
        for name in ("workload", "build ms", *shown, "load"):
            table.add_column(name, justify="left" if name == "workload" else "right")
        for result in results:
            series = result["series"]
            build = median(series.get("build seconds"))
            row = [cell(None if build is None else build * 1000)]
            row += [cell(median(series.get(name))) for name in shown]
            row.append(f"{result['load']:.0%}" + (" (!)" if result["load"] > LOAD_LIMIT else ""))
            table.add_row(result["workload"], *row)
        yield table


def _verdict(holds: bool | None, limit: float | None) -> str:
    if limit is None:
        return ""
    return {True: "[green]holds[/]", False: "[red]misses[/]", None: "not measured"}[holds]


def goals(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="To reach: medians of paired runs")
    for name in ("workload", "what", "median", "min..max", "goal", "", "beyond", ""):
        right = name in ("median", "min..max", "goal", "beyond")
        table.add_column(name, justify="right" if right else "left")
    for row in rows:
        spread = f"{cell(row['range'][0])}..{cell(row['range'][1])}" if row["range"] else "-"
        unit = f" {row['unit']}" if row["median"] is not None else ""
        table.add_row(
            row["workload"],
            row["what"],
            cell(row["median"]) + unit,
            spread,
            cell(row["goal"]) if row["goal"] is not None else "",
            _verdict(row["holds"], row["goal"]),
            cell(row["beyond"]) if row["beyond"] is not None else "",
            _verdict(row["beyond_holds"], row["beyond"]),
        )
    return table


def changes(results: list[dict[str, Any]], before: dict[str, Any]) -> Table:
    """Our rates against those of a record; with ripgrep's beside them, if the machine drifted."""
    table = Table(title=f"since {before['date']}, {before['versions']['commit']}")
    for name in ("workload", "one before", "now", "change", "two", "rg -oN", "read"):
        table.add_column(name, justify="left" if name == "workload" else "right")
    known = {result["workload"]: result["series"] for result in before["results"]}

    def change(name: str, entry: str, now: dict[str, Any]) -> str:
        old, new = median(known.get(name, {}).get(entry)), median(now.get(entry))
        return f"{new / old - 1:+.0%}" if old and new else "-"

    for result in results:
        name, series = result["workload"], result["series"]
        old, new = median(known.get(name, {}).get("one")), median(series.get("one"))
        moved = [change(name, entry, series) for entry in ("one", "two", "rg -oN", "read")]
        table.add_row(name, cell(old), cell(new), *moved)
    return table


def show(
    console: Console,
    results: list[dict[str, Any]],
    standing: list[dict[str, Any]],
    missing: dict[str, str],
) -> None:
    if results:
        for table in rates(results):
            console.print(table)
    if standing:
        console.print(goals(standing))
    for name, reason in missing.items():
        console.print(f"[yellow]without {name}: {reason}")
    for result in results:
        for failure in result["failures"]:
            console.print(f"[red]FAILED[/] {result['workload']}: {failure}")
