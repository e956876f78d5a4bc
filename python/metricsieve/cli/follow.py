"""The command `follow`: logs that grow in, points out, as they come."""

from __future__ import annotations

from typing import Annotated

import typer

from metricsieve.cli import live as shared
from metricsieve.cli import options
from metricsieve.cli.common import collect_warnings, exit_codes, load_definitions


def follow(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Log files, also ones to come, globs, directories, -, cloudwatch-logs:GROUP, "
            "sagemaker:JOB, sagemaker-tuning:NAME.",
        ),
    ],
    definitions: options.Definitions = None,
    metric: options.Metric = None,
    preset: options.LivePreset = None,
    context: options.Context = None,
    output: options.LiveOutput = None,
    state: options.State = None,
    reset: options.Reset = False,
    until_idle: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="End when nothing came for so long; else at SIGTERM."),
    ] = None,
    poll: Annotated[
        float, typer.Option(metavar="SECONDS", help="Look at the files so often.")
    ] = 1.0,
    commit_every: options.CommitEvery = 10.0,
    rotate_wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="A rotated log has ended when it did not grow for so long; the logs of a job that "
            "has ended, when nothing came for three times as long.",
        ),
    ] = 5.0,
    fail_if: options.FailIf = None,
    envelope: options.Envelope = "auto",
    timezone: options.Timezone = "UTC",
    normalize: options.Normalize = "terminal",
    number: options.Number = "trim",
    on_reject: options.OnReject = "count",
    columns: options.Columns = None,
    strict: options.Strict = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No report on stderr.")] = False,
    report: options.ReportFile = None,
) -> None:
    """Read logs from their beginning, then as they grow, through rotations.

    Ends at SIGTERM, at Ctrl-C, with --until-idle, or when every pipe and job has ended. A job's
    own definitions are taken where no others are given. Parquet parts
    (-o DIR/) and FILE.jsonl with --state hold each row once, whatever happens in between; any
    other output can see rows again after a crash. Without -o: a live table on a terminal, JSON
    lines in a pipe.
    """
    with exit_codes():
        import metricsieve
        from metricsieve._context import from_args
        from metricsieve.definitions import DefinitionSet

        conditions = shared.check_conditions(fail_if)
        shared.allow_many_files()
        table = shared.shows_table(output or [])
        seen: list[str] = []
        ended = shared.Ended()
        if "auto" in (preset or []):
            raise typer.BadParameter("-p auto reads logs twice, so it is no preset to follow with")
        with collect_warnings(seen), shared.orderly_end(ended):
            presets = DefinitionSet.preset(*preset) if preset else None
            checked = load_definitions(definitions or [], metric or [], presets, sources)
            conditions.check_names(one.name for one in checked)

            def is_enough(live: metricsieve.Follow) -> bool:
                if ended.failed is None:
                    ended.failed = conditions.of_clock()
                idle = until_idle is not None and live.idle_seconds >= until_idle
                return idle or ended.failed is not None

            found = metricsieve.follow(
                sources,
                checked,
                sinks=output or ([] if table else ["-"]),
                state=state,
                reset=reset,
                poll=poll,
                until=is_enough if until_idle is not None or conditions else None,
                commit_every=commit_every,
                rotate_wait=rotate_wait,
                context=from_args(context or []),
                envelope=envelope,
                timezone=timezone,
                normalize=normalize,
                number=number,
                on_reject=on_reject,
                columns=shared.column_names(columns, conditions, table=table),
            )
            ended.stops(found)
            with found:
                shared.drive(found, conditions, ended, table=table)
        code = shared.close(found, ended, seen, strict=strict, quiet=quiet, report=report)
        raise typer.Exit(code)
