"""What the commands share that make something of points: groups, outputs and tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import typer

from metricsieve._text import visible
from metricsieve.cli.common import is_terminal, open_stdout

MAX_ROWS = 1000  # on a terminal


# Of those that are named by a scheme, these take any table.
_TABLES = ("delta", "duckdb", "sqlite")


def outputs(given: list[str] | None, sources: list[str], *, has_points: bool = False) -> list[str]:
    """Where a table goes: nowhere on a terminal, to a pipe as JSON lines.

    Args:
        given: the options.
        sources: what is read, which no output may replace.
        has_points: whether its rows are points, which may go to every sink.
    """
    from metricsieve.sinks import check_targets
    from metricsieve.sinks._targets import url_of_target

    targets = given or ([] if is_terminal(sys.stdout) else ["-"])
    for target in targets:
        url = url_of_target(target)
        if url is not None and url.scheme not in _TABLES and not has_points:
            raise typer.BadParameter(
                f"{url} takes points, and this table has none: name a file, or duckdb:FILE, "
                "sqlite:FILE or delta:DIR"
            )
    check_targets(targets, sources)
    return targets


def check_objective(objective: str | None, maximize: bool) -> None:
    """Refuse a direction of nothing."""
    if maximize and objective is None:
        raise typer.BadParameter("--maximize says which objective is best: name --objective")


def names(text: str) -> list[str]:
    """The column names of an option, which commas separate."""
    return [name.strip() for name in text.split(",") if name.strip()]


def of_group(points: Any, by: Sequence[str], group: str) -> Any:
    """The points of one group."""
    from metricsieve.results._groups import only_group
    from metricsieve.results._rows import open_rows

    rows = open_rows(points)
    return only_group(rows, by or "job", group, rows.step())


def group_name(columns: Sequence[str], values: Sequence[object]) -> str:
    """A group as the heading of its table.

    Example:
        >>> group_name(["job", "host", "attempt"], ["a.log", None, 1])
        'a.log, attempt 1'
    """
    first, *others = zip(columns, values, strict=True)
    told = [first[1]] if isinstance(first[1], str) else [f"{first[0]} {first[1]}"]
    told += [f"{name} {value}" for name, value in others]
    told = [one for one, value in zip(told, values, strict=True) if value is not None]
    return ", ".join(told)


def print_tables(
    headings: Sequence[str],
    groups: Iterable[tuple[str, Sequence[Sequence[object]]]],
    *,
    keys: int = 1,
    rows: int | None = None,
) -> None:
    """A table on stdout for each group, under its name; texts to the left, numbers to the right.

    No number is ever folded: a part of it could be read as another one.

    Args:
        headings: of the columns.
        groups: names and rows.
        keys: so many columns tell a row from others. Where a table is wider than the terminal, it
            goes on below with these columns again; others are left out where they are empty.
        rows: how many there are, if some were left out.

    Raises:
        SinkError: standard output is closed.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from metricsieve._render import cell

    console = Console(file=open_stdout(), highlight=False)
    groups = list(groups)
    left = MAX_ROWS
    for name, all_rows in groups:
        if left <= 0:
            break
        if name:
            console.print(Text(visible(name)))
        shown = all_rows[:left]
        left -= len(shown)
        columns = [[row[n] for row in shown] for n in range(len(headings))]
        filled = [n for n, one in enumerate(columns) if n < keys or not shown or any(_there(one))]
        texts = {n: [Text(cell(one)) for one in columns[n]] for n in filled}
        widths = {
            n: max([Text(headings[n]).cell_len, *(text.cell_len for text in texts[n])])
            for n in filled
        }
        for number, part in enumerate(_parts(widths, keys, console.width)):
            if number:
                console.print()
            table = Table(box=None, pad_edge=False)
            for n in part:
                is_text = any(isinstance(one, str) for one in columns[n])
                justify: Literal["left", "right"] = "left" if is_text else "right"
                heading = Text(visible(headings[n]))
                table.add_column(heading, overflow="fold", justify=justify, no_wrap=not is_text)
            for row in zip(*(texts[n] for n in part), strict=True):
                table.add_row(*row)
            console.print(table)
    hidden = (sum(len(all_rows) for _, all_rows in groups) if rows is None else rows) - MAX_ROWS
    if hidden > 0:
        console.print(f"… {hidden:,} more rows")
    sys.stdout.flush()


def _there(cells: Sequence[object]) -> Iterator[bool]:
    return (one is not None for one in cells)


def _parts(widths: Mapping[int, int], keys: int, limit: int) -> Iterator[list[int]]:
    """Columns that fit beside each other, two spaces apart; the keys stand in each part."""
    always = [n for n in widths if n < keys]
    part, width = list(always), sum(widths[n] + 2 for n in always)
    for n in widths:
        if n < keys:
            continue
        if len(part) > len(always) and width + widths[n] > limit:
            yield part
            part, width = list(always), sum(widths[one] + 2 for one in always)
        part.append(n)
        width += widths[n] + 2
    yield part
