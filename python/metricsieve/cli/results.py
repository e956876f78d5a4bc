"""What the commands `final` and `summary` share: logs to scan, or a result file to read.

Principal type: `Input`. Its scan ends as that of the command `scan` does, with a report on stderr
and the same exit codes.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricsieve._text import visible
from metricsieve.cli.common import (
    EXIT_SOURCE,
    EXIT_STRICT,
    collect_warnings,
    is_terminal,
    load_definitions,
    write_report,
)
from metricsieve.cli.scan import preset_definitions, show_progress

if TYPE_CHECKING:
    from metricsieve._scan import Scan

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Logs, as for scan, with definitions; or one result: FILE.parquet, .arrow, .feather, "
        ".csv, .jsonl, .ndjson, or a directory of Parquet files.",
    ),
]

MAX_ROWS = 1000  # on a terminal
# A log is never called so.
_NEVER_LOGS = (".parquet", ".arrow", ".feather")


class Input:
    """What the sources of a command are.

    Attributes:
        result: what the functions of `metricsieve.results` take.
    """

    def __init__(self, result: Scan | str, seen: list[str]) -> None:
        self.result = result
        self._seen = seen

    def finish(self, *, strict: bool, quiet: bool, report_file: str | None) -> int:
        """Prints and writes the report of a scan that has ended; gives the exit code."""
        if isinstance(self.result, str):
            return 0
        report = self.result.report
        if report_file is not None:
            write_report(report_file, report.to_dict())
        worth = report.warnings
        worth += [line for line in map(visible, self._seen) if line not in worth]
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


def names(text: str) -> list[str]:
    """The column names of an option, which commas separate."""
    return [name.strip() for name in text.split(",") if name.strip()]


def print_tables(headings: Sequence[str], groups: Mapping[str, Sequence[Sequence[object]]]) -> None:
    """A table on stdout for each group, under its name; texts to the left, numbers to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from metricsieve._render import cell

    console = Console(file=sys.stdout, highlight=False)
    left = MAX_ROWS
    for name, rows in groups.items():
        if left <= 0:
            break
        if name:
            console.print(Text(visible(name)))
        table = Table(box=None, pad_edge=False)
        for number, heading in enumerate(headings):
            texts = any(isinstance(row[number], str) for row in rows)
            table.add_column(heading, overflow="fold", justify="left" if texts else "right")
        for row in rows[:left]:
            table.add_row(*(Text(cell(one)) for one in row))
        console.print(table)
        left -= len(rows)
    hidden = sum(map(len, groups.values())) - MAX_ROWS
    if hidden > 0:
        console.print(f"… {hidden:,} more rows")
    sys.stdout.flush()
