"""The command `plot`: curves of metrics, as a picture or in the terminal."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from metricsieve.cli import options
from metricsieve.cli.common import EXIT_STRICT, open_stdout, say
from metricsieve.cli.input import InputOptions, reads_points

if TYPE_CHECKING:
    from metricsieve.plotting import Chart

_WIDTH, _HEIGHT = 100, 12  # of a curve in the terminal: at most so wide, so many lines


@reads_points
def plot(
    given: InputOptions,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The picture: .png, .svg or .pdf; without it curves in the terminal.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this metric or panel, with its partners."),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The axis; point counts the points."),
    ] = None,
    last_attempt: options.LastAttempt = False,
    maximize: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="More of this metric is better.")
    ] = None,
    minimize: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Less of this metric is better.")
    ] = None,
    log: Annotated[
        bool | None,
        typer.Option("--log/--linear", help="The scale; default: log where values span 1:1000."),
    ] = None,
    ascii_only: Annotated[
        bool, typer.Option("--ascii", help="In the terminal: no characters beyond ASCII.")
    ] = False,
) -> int:
    """Draw training and validation of each metric together, with the best value marked.

    Exits 1 if there is no point to draw.
    """
    from metricsieve.plotting import choose

    if output is not None:
        from metricsieve.plotting.draw import check_output

        check_output(output)
    with given.opened() as found:
        chart = choose(
            found.points(last_attempt=last_attempt, step=step),
            metrics=only,
            step=step,
            maximize=maximize or (),
            minimize=minimize or (),
            log=log,
        )
    if chart.panels and output is not None:
        from metricsieve.plotting.draw import draw

        with found.collecting():
            draw(chart, output)
    elif chart.panels:
        _print(chart, ascii_only=ascii_only)
    return max(found.finish(), _tell(chart, quiet=given.quiet))


def _print(chart: Chart, *, ascii_only: bool) -> None:
    """The curves on stdout, in colours on a terminal."""
    from rich.console import Console

    from metricsieve.plotting.terminal import can_show, render

    ascii_only = ascii_only or not can_show(getattr(sys.stdout, "encoding", None))
    width = min(_WIDTH, shutil.get_terminal_size((80, 24)).columns)
    console = Console(file=open_stdout(), width=max(width, 30), highlight=False)
    for number, panel in enumerate(chart.panels):
        if number:
            console.print()
        console.print(render(panel, width, _HEIGHT, ascii=ascii_only), soft_wrap=True)
    sys.stdout.flush()


def _tell(chart: Chart, *, quiet: bool) -> int:
    """Say on stderr what is not shown; the exit code."""
    if not quiet:
        for note in chart.all_notes():
            say(f"note: {note}")
    if chart.panels:
        return 0
    say("error: there is no point to draw")
    return EXIT_STRICT
