"""The command `check`: what will go wrong with definitions."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from metricsieve.cli.common import EXIT_STRICT, check_choice, exit_codes


def check(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE...",
            help="Definitions in JSON, YAML or TOML, or Python files and notebooks with some.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("-m", "--metric", metavar="NAME=REGEX", help="One more definition."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="LOG", help="Try the definitions on logs and show what they find."),
    ] = None,
    sagemaker: Annotated[
        bool, typer.Option("--sagemaker", help="Report what SageMaker would refuse, too.")
    ] = False,
    fail_on: Annotated[
        str, typer.Option(metavar="SEVERITY", help="Exit 1 from error, warning or info on.")
    ] = "error",
    output_format: Annotated[
        str, typer.Option("--format", help="text, json, or sarif for code scanning.")
    ] = "text",
) -> None:
    """Say what will go wrong with metric definitions, before a job runs."""
    with exit_codes():
        from metricsieve.checks import SEVERITIES
        from metricsieve.checks import files as checked_files
        from metricsieve.checks import output as formats

        check_choice("--fail-on", fail_on, SEVERITIES)
        check_choice("--format", output_format, formats.FORMATS)
        if not files and not metric:
            raise typer.BadParameter("name files with definitions, or -m NAME=REGEX")
        found = []
        for file in files or []:
            found += checked_files.check_file(file, sagemaker=sagemaker, against=against)
        if metric:
            from metricsieve._validation import items_from_args

            items = items_from_args(metric)
            one = checked_files.check_items(items, sagemaker=sagemaker, against=against)
            found.append(one)
        write = {"text": formats.as_text, "json": formats.as_json, "sarif": formats.as_sarif}
        sys.stdout.write(write[output_format](found))
        sys.stdout.flush()
        counted, worst = formats.counts(found), SEVERITIES[SEVERITIES.index(fail_on) :]
        raise typer.Exit(EXIT_STRICT if any(counted[one] for one in worst) else 0)
