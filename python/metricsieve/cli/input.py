"""What the commands read that make something of points: logs to scan, or a result file.

Principal function: `reads_points`, which gives a command the options that say so. Its scan ends as
that of the command `scan` does, with a report on stderr and the same exit codes.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from metricsieve._text import visible
from metricsieve.cli import options
from metricsieve.cli.common import (
    EXIT_SOURCE,
    EXIT_STRICT,
    collect_warnings,
    exit_codes,
    is_terminal,
    load_definitions,
    say,
    write_report,
)
from metricsieve.cli.scan import preset_definitions, show_progress

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve._scan import Scan

_BATCH_ROWS = 65_536
# Axes that are no steps, which restarts could be seen by.
_NO_STEPS = ("point", "timestamp")
_NEVER_LOGS = (".parquet", ".arrow", ".feather")  # what a log is never called
_OF_LOGS = ("context", "normalize", "number", "envelope", "timezone", "threads", "report")
_FIRST = 5  # options that come before a command's own in its help


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """The arguments of a command that say what to read, and how to tell of it."""

    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE|RESULT...",
            help="Logs, as for scan, with definitions; or one result: FILE.parquet, .arrow, "
            ".feather, .csv, .jsonl, .ndjson, or a directory of Parquet files.",
        ),
    ]
    definitions: options.Definitions = None
    metric: options.Metric = None
    preset: options.Preset = None
    context: options.Context = None
    normalize: options.Normalize = "terminal"
    number: options.Number = "trim"
    envelope: options.Envelope = "auto"
    timezone: options.Timezone = "UTC"
    threads: options.Threads = None
    strict: options.Strict = False
    quiet: options.Quiet = False
    report: options.ReportFile = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Input]:
        """The scan of the sources, with what the options say; or the result that they name."""
        seen: list[str] = []
        if self._is_result():
            with collect_warnings(seen):
                yield Input(self, self.sources[0], seen)
            return
        import metricsieve
        from metricsieve._context import from_args

        with collect_warnings(seen):
            presets = preset_definitions(
                self.preset or [], self.sources, self.normalize, show=not self.quiet
            )
            checked = load_definitions(
                self.definitions or [], self.metric or [], presets, self.sources
            )
            found = metricsieve.scan(
                self.sources,
                checked,
                context=from_args(self.context or []),
                normalize=self.normalize,
                number=self.number,
                envelope=self.envelope,
                timezone=self.timezone,
                threads=self.threads,
            )
            with found, show_progress(found, not self.quiet and is_terminal(sys.stderr)):
                yield Input(self, found, seen)

    def _is_result(self) -> bool:
        """Whether to read a result; definitions are for logs."""
        from metricsieve._result_files import is_result

        has_definitions = bool(self.definitions or self.metric or self.preset)
        spelt = [one for one in self.sources if Path(one).suffix.lower() in _NEVER_LOGS]
        if spelt and (has_definitions or len(self.sources) > 1):
            raise typer.BadParameter(
                f"{spelt[0]} is a result, not a log: name it alone and without definitions"
            )
        if has_definitions or not any(map(is_result, self.sources)):
            return False
        if len(self.sources) > 1:
            raise typer.BadParameter("name one result, or logs with definitions")
        usual = {one.name: one.default for one in fields(self)}
        given = [f"--{name}" for name in _OF_LOGS if getattr(self, name) != usual[name]]
        if given:
            raise typer.BadParameter(
                f"{self.sources[0]} is a result; for logs alone there is {', '.join(given)}"
            )
        return True


class Input:
    """What the sources of a command are.

    Attributes:
        result: what the functions of `metricsieve.results` take.
    """

    def __init__(self, given: InputOptions, result: Scan | str, seen: list[str]) -> None:
        self.result = result
        self._given = given
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

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Warnings of the block are said at the end."""
        with collect_warnings(self._seen):
            yield

    def warn(self, lines: Sequence[str]) -> None:
        """Say so at the end."""
        self._seen += lines

    def give(self, table: pa.Table, targets: list[str]) -> None:
        """Write a table into outputs."""
        from metricsieve.sinks import deliver

        with self.collecting():
            deliver(table.to_batches(_BATCH_ROWS), targets, table.schema)

    def finish(self) -> int:
        """Prints and writes the report of a scan that has ended; gives the exit code."""
        given, seen = self._given, list(map(visible, self._seen))
        if isinstance(self.result, str):
            for line in () if given.quiet else seen:
                say(f"warning: {line}")
            return EXIT_STRICT if given.strict and seen else 0
        report = self.result.report
        if given.report is not None:
            write_report(given.report, report.to_dict())
        # What was done with this table comes first: a report may have more than is shown.
        worth = [*seen, *(line for line in report.warnings if line not in seen)]
        if not given.quiet:
            from metricsieve import _render

            _render.print_report(report, worth)
        return max(
            EXIT_STRICT if given.strict and worth else 0, EXIT_SOURCE * bool(report.sources.failed)
        )


def reads_points(command: Callable[..., int]) -> Callable[..., None]:
    """The command for typer of a function of `InputOptions` and more that gives an exit code.

    It takes their fields as arguments beside the function's own, and its help tells of both.
    """
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    hints = get_type_hints(InputOptions, include_extras=True)
    shared = [
        one.replace(annotation=hints[one.name])
        for one in inspect.signature(InputOptions).parameters.values()
    ]
    arguments = [*shared[:_FIRST], *own, *shared[_FIRST:]]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        with exit_codes():
            given = InputOptions(**{one.name: values.pop(one.name) for one in shared})
            raise typer.Exit(command(given, **values))

    only_named = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in arguments]
    run.__signature__ = inspect.Signature(only_named)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in arguments}
    return run
