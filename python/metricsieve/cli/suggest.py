"""The command `suggest`: definitions for a log that has none."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from metricsieve._text import shorten, visible
from metricsieve.cli.common import EXIT_STRICT, exit_codes, is_terminal, write_definitions


def suggest(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Log files, globs, directories, URLs."),
    ],
    limit: Annotated[int, typer.Option(help="At most so many definitions.")] = 20,
    normalize: Annotated[
        str, typer.Option(help="terminal: undo escapes of log shippers, drop colours; or none.")
    ] = "terminal",
) -> None:
    """Propose definitions for the numbers in logs that have a name and vary.

    A list for people on a terminal; a definitions file in a pipe. Exits 1 if there is none.
    """
    with exit_codes():
        from metricsieve.suggesting import suggest as propose

        if "-" in sources:
            raise typer.BadParameter("suggest reads the logs twice: name files, not -")
        if limit < 1:
            raise typer.BadParameter("--limit must be at least 1")
        found = propose(sources, limit=limit, normalize=normalize)
        if is_terminal(sys.stdout):
            for one in found:
                samples = ", ".join(f"{value:g}" for value in one.samples)
                sys.stdout.write(
                    f"{visible(one.definition.name)}: {one.points:,} points, such as {samples}\n"
                    f"    {visible(one.definition.regex)}\n"
                    f"    in: {visible(shorten(one.line, 100))}\n"
                )
            if not found:
                sys.stdout.write("no number in these logs has a name and varies\n")
        else:
            write_definitions(one.definition for one in found)
        sys.stdout.flush()
        raise typer.Exit(0 if found else EXIT_STRICT)
