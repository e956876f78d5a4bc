"""The commands that say why definitions match what they match: `explain`, `preview`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from metricsieve.cli.common import EXIT_STRICT, exit_codes, load_definitions

Definitions = Annotated[
    list[str] | None,
    typer.Option("-d", "--definitions", metavar="FILE", help="Definitions, as for scan."),
]
Metric = Annotated[
    list[str] | None,
    typer.Option("-m", "--metric", metavar="NAME=REGEX", help="A definition."),
]
Normalize = Annotated[
    str, typer.Option(help="terminal: undo escapes of log shippers, drop colours; or none.")
]


def explain(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Log files, globs or directories.")
    ],
    definitions: Definitions = None,
    metric: Metric = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Only the definitions of this name."),
    ] = None,
    normalize: Normalize = "terminal",
) -> None:
    """Say why a definition matches nothing in logs, and which pattern would match.

    Exits 1 if one of the definitions has no point.
    """
    with exit_codes():
        from metricsieve.explaining import explain as why
        from metricsieve.explaining.output import explanation_text

        if "-" in sources:
            raise typer.BadParameter("explain reads the logs several times: name files, not -")
        chosen = [
            one
            for one in load_definitions(definitions or [], metric or [])
            if not only or one.name in only
        ]
        if not chosen:
            raise typer.BadParameter(f"no definition is called {', '.join(only or [])}")
        silent = False
        for number, one in enumerate(chosen):
            told = why(one, sources, normalize=normalize)
            silent |= not told.points
            sys.stdout.write("\n" * bool(number) + explanation_text(told))
            sys.stdout.flush()
        raise typer.Exit(EXIT_STRICT if silent else 0)


def preview(
    lines: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LINE...]", help="Lines of a log; without one, those of stdin."),
    ] = None,
    definitions: Definitions = None,
    metric: Metric = None,
    normalize: Normalize = "terminal",
) -> None:
    """Show what definitions find in a few lines."""
    with exit_codes():
        from metricsieve.explaining import preview as show
        from metricsieve.explaining.output import preview_text

        checked = load_definitions(definitions or [], metric or [])
        given = lines or [line.rstrip("\n") for line in sys.stdin]
        sys.stdout.write(preview_text(show(checked, given, normalize=normalize)))
        sys.stdout.flush()
