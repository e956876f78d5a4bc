"""The command `run`: starts another command and finds the metric points of its output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from metricsieve.cli import live as shared
from metricsieve.cli import options
from metricsieve.cli.common import (
    EXIT_FAILED,
    EXIT_SINK,
    collect_warnings,
    exit_codes,
    load_definitions,
    say,
)

if TYPE_CHECKING:
    import metricsieve
    from metricsieve.following.command import Command
    from metricsieve.following.conditions import Conditions

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # as shells say it


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="What to run, after --.")
    ],
    definitions: options.Definitions = None,
    metric: options.Metric = None,
    preset: options.LivePreset = None,
    context: options.Context = None,
    output: options.LiveOutput = None,
    fail_if: options.FailIf = None,
    envelope: options.Envelope = "auto",
    timezone: options.Timezone = "UTC",
    normalize: options.Normalize = "terminal",
    number: options.Number = "trim",
    on_reject: Annotated[
        str, typer.Option(help="Captures that are no number: count or null.")
    ] = "count",
    columns: options.Columns = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No report on stderr.")] = False,
    report: options.ReportFile = None,
) -> None:
    """Run a command, pass its output through unchanged, and find the metric points in it.

    What SageMaker does for its own jobs, for any process. The exit code is the command's, and a
    signal that ends it ends this program; but 1 when a condition of --fail-if held, which ends
    the command, and 4 when the command went well and an output failed. On a terminal the command
    gets a terminal. The column `source` says stdout or stderr.
    """
    with exit_codes():
        import metricsieve
        from metricsieve._context import from_args
        from metricsieve.definitions import DefinitionSet
        from metricsieve.following.command import Command

        conditions = shared.check_conditions(fail_if)
        if "-" in (output or []):
            raise typer.BadParameter("-o -: standard output is the command's; name a file")
        if on_reject == "raise":
            raise typer.BadParameter("--on-reject raise would end the command; use count or null")
        seen: list[str] = []
        ended = shared.Ended()
        with collect_warnings(seen):
            presets = DefinitionSet.preset(*preset) if preset else None
            checked = load_definitions(definitions or [], metric or [], presets)
            conditions.check_names(one.name for one in checked)
            process = Command(command)

            def is_enough(live: metricsieve.Follow) -> bool:
                if ended.failed is None:
                    ended.failed = conditions.of_clock()
                    if ended.failed is not None:
                        process.terminate()
                return False

            live = metricsieve.follow(
                process.copies,
                checked,
                sinks=output or [],
                poll=0.1,
                until=is_enough if conditions else None,
                context=from_args(context or []),
                envelope=envelope,
                timezone=timezone,
                normalize=normalize,
                number=number,
                on_reject=on_reject,
                columns=shared.column_names(columns, conditions),
            )
            _start(process, command[0])
            problem = _drive(live, conditions, ended, process)
            status = process.wait()
        if problem is None:
            shared.close(live, ended, seen, strict=False, quiet=quiet, report=report)
        else:
            say(f"error: {problem}")
        raise typer.Exit(_exit_code(status, ended, problem))


def _start(process: Command, name: str) -> None:
    try:
        process.start()
    except OSError as error:
        say(f"error: cannot run {name!r}: {error.strerror or error}")
        missing = isinstance(error, FileNotFoundError)
        raise typer.Exit(NOT_FOUND if missing else NOT_EXECUTABLE) from None


def _drive(
    live: metricsieve.Follow, conditions: Conditions, ended: shared.Ended, process: Command
) -> Exception | None:
    """Follow the copies to their end. What goes wrong here is nothing to the command."""
    try:
        with live:
            shared.drive(live, conditions, ended, on_failure=process.terminate)
    except Exception as error:
        process.release()
        return error
    return None


def _exit_code(status: int, ended: shared.Ended, problem: Exception | None) -> int:
    from metricsieve.following.command import die_of

    if ended.failed is not None:
        return EXIT_FAILED
    if status < 0:
        sys.stdout.flush()
        die_of(-status)
        return 128 - status  # a signal that does not end us
    if status == 0 and problem is not None:
        return EXIT_SINK
    return status
