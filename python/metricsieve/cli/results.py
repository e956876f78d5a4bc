"""What the commands share that make something of points: logs to scan, or a result file to read.

Principal type: `Input`. Its scan ends as that of the command `scan` does, with a report on stderr
and the same exit codes.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from metricsieve._text import visible
from metricsieve.cli.common import (
    EXIT_SOURCE,
    EXIT_STRICT,
    collect_warnings,
    is_terminal,
    load_definitions,
    say,
    write_report,
)
from metricsieve.cli.scan import preset_definitions, show_progress

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve._scan import Scan

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE|RESULT...",
        help="Logs, as for scan, with definitions; or one result: FILE.parquet, .arrow, .feather, "
        ".csv, .jsonl, .ndjson, or a directory of Parquet files.",
    ),
]

MAX_ROWS = 1000  # on a terminal
_BATCH_ROWS = 65_536
# Axes that are no steps, which restarts could be seen by.
_NO_STEPS = ("point", "timestamp")
_NEVER_LOGS = (".parquet", ".arrow", ".feather")  # what a log is never called


class Input:
    """What the sources of a command are.

    Attributes:
        result: what the functions of `metricsieve.results` take.
    """

    def __init__(self, result: Scan | str, seen: list[str]) -> None:
        self.result = result
        self._seen = seen

    def points(
        self, *, attempts: bool = False, last_attempt: bool = False, step: str | None = None
    ) -> Any:
        """The result, or its rows with their attempts, or those of the last one."""
        from metricsieve import results

        if attempts and last_attempt:
            raise typer.BadParameter("--last-attempt leaves one attempt, --attempts shows all")
        if step in _NO_STEPS:
            step = None
        if last_attempt:
            return results.last_attempt(self.result, step)
        return results.attempts(self.result, step) if attempts else self.result

    def warn(self, lines: Sequence[str]) -> None:
        """Say so at the end."""
        self._seen += lines

    def give(self, table: pa.Table, targets: list[str]) -> None:
        """Write a table into outputs."""
        from metricsieve.sinks import deliver

        with collect_warnings(self._seen):
            deliver(table.to_batches(_BATCH_ROWS), targets, table.schema)

    def finish(self, *, strict: bool, quiet: bool, report_file: str | None) -> int:
        """Prints and writes the report of a scan that has ended; gives the exit code."""
        seen = list(map(visible, self._seen))
        if isinstance(self.result, str):
            for line in () if quiet else seen:
                say(f"warning: {line}")
            return EXIT_STRICT if strict and seen else 0
        report = self.result.report
        if report_file is not None:
            write_report(report_file, report.to_dict())
        # What was done with this table comes first: a report may have more than is shown.
        worth = [*seen, *(line for line in report.warnings if line not in seen)]
        if not quiet:
            from metricsieve import _render

            _render.print_report(report, worth)
        return max(
            EXIT_STRICT if strict and worth else 0, EXIT_SOURCE * bool(report.sources.failed)
        )


@contextlib.contextmanager
def opened(
    sources: list[str],
    *,
    definitions: list[str] | None,
    metric: list[str] | None,
    preset: list[str] | None,
    context: list[str] | None,
    quiet: bool,
    **options: Any,
) -> Iterator[Input]:
    """The scan of the sources, with what the options say; or the result that they name."""
    seen: list[str] = []
    if _is_result(sources, given=bool(definitions or metric or preset)):
        with collect_warnings(seen):
            yield Input(sources[0], seen)
        return
    import metricsieve
    from metricsieve._context import from_args

    with collect_warnings(seen):
        presets = preset_definitions(preset or [], sources, options["normalize"], show=not quiet)
        checked = load_definitions(definitions or [], metric or [], presets, sources)
        found = metricsieve.scan(sources, checked, context=from_args(context or []), **options)
        with found, show_progress(found, not quiet and is_terminal(sys.stderr)):
            yield Input(found, seen)


def _is_result(sources: list[str], *, given: bool) -> bool:
    """Whether to read a result; definitions are for logs."""
    from metricsieve._result_files import is_result

    spelt = [one for one in sources if Path(one).suffix.lower() in _NEVER_LOGS]
    if spelt and (given or len(sources) > 1):
        raise typer.BadParameter(
            f"{spelt[0]} is a result, not a log: name it alone and without definitions"
        )
    if given or not any(map(is_result, sources)):
        return False
    if len(sources) > 1:
        raise typer.BadParameter("name one result, or logs with definitions")
    return True


def outputs(given: list[str] | None) -> list[str]:
    """Where a table goes: nowhere on a terminal, to a pipe as JSON lines."""
    from metricsieve.sinks import check_target

    targets = given or ([] if is_terminal(sys.stdout) else ["-"])
    for target in targets:
        check_target(target)
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
    told = zip(columns, values, strict=True)
    parts = [str(v) if isinstance(v, str) else f"{name} {v}" for name, v in told if v is not None]
    return ", ".join(parts)


def print_tables(
    headings: Sequence[str],
    groups: Mapping[str, Sequence[Sequence[object]]],
    *,
    keys: int = 0,
    rows: int | None = None,
) -> None:
    """A table on stdout for each group, under its name; texts to the left, numbers to the right.

    Args:
        headings: of the columns.
        groups: rows by the group's name.
        keys: so many columns tell a row from others. Where a table is wider than the terminal, it
            goes on below with these columns again; others are left out where they are empty. With
            0 a table is one, and long cells are folded.
        rows: how many there are, if some were left out.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from metricsieve._render import cell

    console = Console(file=sys.stdout, highlight=False)
    left = MAX_ROWS
    for name, all_rows in groups.items():
        if left <= 0:
            break
        if name:
            console.print(Text(visible(name)))
        shown = all_rows[:left]
        left -= len(shown)
        columns = [[row[n] for row in shown] for n in range(len(headings))]
        filled = [n for n, one in enumerate(columns) if n < keys or not keys or any(_there(one))]
        texts = {n: [Text(cell(one)) for one in columns[n]] for n in filled}
        widths = {
            n: max([Text(headings[n]).cell_len, *(text.cell_len for text in texts[n])])
            for n in filled
        }
        for number, part in enumerate(_parts(widths, keys, console.width) if keys else [filled]):
            if number:
                console.print()
            table = Table(box=None, pad_edge=False)
            for n in part:
                is_text = any(isinstance(one, str) for one in columns[n])
                justify: Literal["left", "right"] = "left" if is_text else "right"
                table.add_column(Text(visible(headings[n])), overflow="fold", justify=justify)
            for row in zip(*(texts[n] for n in part), strict=True):
                table.add_row(*row)
            console.print(table)
    hidden = (sum(map(len, groups.values())) if rows is None else rows) - MAX_ROWS
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
