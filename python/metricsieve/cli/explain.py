"""The commands that say why definitions match what they match: `explain`, `preview`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from metricsieve.cli.common import EXIT_STRICT, exit_codes, is_terminal, load_definitions

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
        list[str],
        typer.Argument(metavar="SOURCE...", help="Log files, globs, directories, URLs."),
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
            for one in load_definitions(definitions or [], metric or [], None, sources)
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
    log: Annotated[
        str | None, typer.Option("--log", metavar="FILE", help="The first lines of a log.")
    ] = None,
    screen: Annotated[
        bool, typer.Option("--screen", help="Edit one pattern and see its matches at once.")
    ] = False,
    normalize: Normalize = "terminal",
) -> None:
    """Show what definitions find in a few lines."""
    with exit_codes():
        if lines and log is not None:
            raise typer.BadParameter("lines come from arguments or from --log FILE, not from both")
        if screen:
            return _screen(lines or [], log, definitions or [], metric or [])
        from metricsieve.explaining import preview as show
        from metricsieve.explaining.output import preview_text

        checked = load_definitions(definitions or [], metric or [])
        if log is not None:
            from metricsieve.explaining.trying import read_records

            lines = read_records(log)
        given = lines or [line.rstrip("\n") for line in sys.stdin]
        sys.stdout.write(preview_text(show(checked, given, normalize=normalize)))
        sys.stdout.flush()


def _screen(lines: list[str], log: str | None, files: list[str], metric: list[str]) -> None:
    """Runs the screen and writes the pattern that was left in it."""
    from metricsieve.explaining.trying import read_records

    try:
        from metricsieve.explaining.screen import PatternApp
    except ImportError:
        raise ValueError("--screen needs textual: pip install 'metricsieve[screen]'") from None
    if not is_terminal(sys.stdin) or not is_terminal(sys.stdout):
        raise typer.BadParameter("--screen needs a terminal")
    if not lines and log is None:
        raise typer.BadParameter("--screen needs lines, or --log FILE")
    records = read_records(log if log is not None else "\n".join(lines).encode())
    regex = ""
    if files or metric:
        chosen = load_definitions(files, metric)
        if len(chosen) != 1:
            raise typer.BadParameter("--screen edits one definition: name one with -m")
        regex = chosen[0].regex
    left = PatternApp(records, regex).run()
    if left:
        sys.stdout.write(f"{left}\n")
