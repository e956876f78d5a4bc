"""The command `metricsieve`: data to stdout, messages to stderr, exit codes that scripts can use.

Uses the public API only. pyarrow, rich and the engine are imported when a command runs, not for
`--help`, which they would make five times slower.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from metricsieve.cli.analytics import analytics
from metricsieve.cli.attempts import attempts
from metricsieve.cli.check import check
from metricsieve.cli.common import EXIT_INTERRUPTED
from metricsieve.cli.explain import explain, preview
from metricsieve.cli.final import final
from metricsieve.cli.follow import follow
from metricsieve.cli.plot import plot
from metricsieve.cli.presets import presets
from metricsieve.cli.run import run
from metricsieve.cli.scan import scan
from metricsieve.cli.suggest import suggest
from metricsieve.cli.summary import summary
from metricsieve.cli.wide import wide

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help in boxes costs 80 ms for rich and its Markdown parser
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from metricsieve import __version__

        typer.echo(f"metricsieve {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Find metric points in training logs with SageMaker metric definitions."""


app.command(
    epilog="Example: printf 'loss=0.5\\nloss=0.25\\n' | metricsieve scan - -m 'loss=loss=([0-9.]+)'"
)(scan)
app.command(epilog="Example: printf 'loss=0.5\\n' | metricsieve follow - -m 'loss=loss=([0-9.]+)'")(
    follow
)
app.command(
    context_settings={"allow_interspersed_args": False},
    epilog="Example: metricsieve run -m 'loss=loss=([0-9.]+)' -o a.jsonl -- printf 'loss=0.5\\n'",
)(run)
app.command(epilog="Example: metricsieve check -m 'lr=learning_rate: ([0-9.]+)'")(check)
app.command(
    epilog="Example: printf 'Loss: 0.5\\n' | tee a.log; metricsieve explain a.log -m 'l=loss: (.*)'"
)(explain)
app.command(epilog="Example: metricsieve preview -m 'loss=loss=([0-9.]+)' 'loss=4e-05'")(preview)
app.command(epilog="Example: metricsieve suggest train.log > definitions.json")(suggest)
app.command(epilog="Example: printf 'a=0.5\\na=0.25\\n' | metricsieve final - -m 'a=a=([0-9.]+)'")(
    final
)
app.command(
    epilog="Example: printf 'a=0.5\\na=0.25\\n' | metricsieve summary - -m 'a=a=([0-9.]+)'"
)(summary)
app.command(
    epilog="Example: printf 'a=0.5\\na=0.25\\n' | metricsieve wide - -m 'a=a=(.*)' --step point"
)(wide)
app.command(
    epilog="Example: printf '2024-03-01 12:00:00 a=0.25\\n' | metricsieve analytics - -m 'a=a=(.*)'"
)(analytics)
app.command(
    epilog="Example: printf 'epoch 2 a=0.5\\nepoch 1 a=0.25\\n' | "
    "metricsieve attempts - -m 'a=a=(.*)' -c 'epoch=epoch (.)'"
)(attempts)
app.command(
    epilog="Example: printf 'loss=4\\nloss=2\\n' | metricsieve plot - -m 'loss=loss=([0-9.]+)'"
)(plot)
app.command(epilog="Example: metricsieve presets xgboost")(presets)


def main() -> NoReturn:
    """Run the command line; the entry point of the installed program.

    Example:
        >>> import sys; sys.argv = ["metricsieve", "--help"]  # doctest: +SKIP
        >>> main()  # doctest: +SKIP
    """
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)
