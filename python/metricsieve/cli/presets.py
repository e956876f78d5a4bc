"""The command `presets`: which definitions come with metricsieve."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from metricsieve.cli.common import exit_codes, write_definitions


def presets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One of them, to see its definitions.")
    ] = None,
) -> None:
    """List the presets, or write one as a definitions file."""
    with exit_codes():
        from metricsieve import presets as known
        from metricsieve.definitions import DefinitionSet

        if name is None:
            width = max(map(len, known.names()))
            for one in known.names():
                sys.stdout.write(f"{one:{width}}  {known.load(one).title}\n")
        else:
            preset = DefinitionSet.preset(name)
            write_definitions(preset, preset.context)
        sys.stdout.flush()
