"""Options that several commands take, in one place so that they are the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

Definitions = Annotated[
    list[str] | None,
    typer.Option(
        "-d",
        "--definitions",
        metavar="FILE",
        help="JSON, YAML or TOML: SageMaker's list, or a training or tuning job; "
        "sagemaker:JOB asks SageMaker.",
    ),
]
Metric = Annotated[
    list[str] | None,
    typer.Option("-m", "--metric", metavar="NAME=REGEX", help="One more definition."),
]
Preset = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--preset",
        metavar="NAME",
        help="Definitions that come along, see the command presets; auto tries all of them.",
    ),
]
Context = Annotated[
    list[str] | None,
    typer.Option(
        "-c",
        "--context",
        metavar="NAME[:TYPE]=REGEX",
        help="A column from the record or the last one before it: int64, float64, string.",
    ),
]
Normalize = Annotated[
    str, typer.Option(help="terminal: undo escapes of log shippers, drop colours; or none.")
]
Envelope = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What wraps messages: auto, plain, cloudwatch-export, cloudwatch-tail, "
        "cloudwatch-json, compose, notebook, operator, mpi, docker-json, cri, json, json:KEY.",
    ),
]
Timezone = Annotated[str, typer.Option(metavar="ZONE", help="Of times in messages that name none.")]
Number = Annotated[str, typer.Option(help="trim, strict or prefix.")]
OnReject = Annotated[str, typer.Option(help="Captures that are no number: count, null or raise.")]
Columns = Annotated[
    str | None, typer.Option(metavar="A,B,...", help="The columns to give, in this order.")
]
Threads = Annotated[int | None, typer.Option(help="At most so many threads; default: one a core.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No report and no progress on stderr.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 on any warning.")]
ReportFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write the report there as JSON.")
]

# Of the commands that make something of points
By = Annotated[
    str,
    typer.Option(
        metavar="A,B,...",
        help="Columns that tell groups apart; job is the source where none is known.",
    ),
]
ByOne = Annotated[
    str,
    typer.Option(
        metavar="COLUMN", help="What tells jobs apart; job is the source where none is known."
    ),
]
Group = Annotated[
    str | None, typer.Option(metavar="NAME", help="The job to take, if there are several.")
]
Maximize = Annotated[bool, typer.Option("--maximize", help="With --objective: the highest.")]
Attempts = Annotated[
    bool,
    typer.Option(
        "--attempts", help="One more column, attempt: restarts, which are where steps fall, from 0."
    ),
]
LastAttempt = Annotated[
    bool,
    typer.Option(
        "--last-attempt", help="Without what a restarted job did again: the last attempt wins."
    ),
]
TableOutput = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        help="FILE.parquet, .arrow, .csv or .jsonl; - is JSON lines on stdout.",
    ),
]

# Of the commands that read live
LivePreset = Annotated[
    list[str] | None,
    typer.Option(
        "-p", "--preset", metavar="NAME", help="Definitions that come along, see presets."
    ),
]
LiveOutput = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        help="DIR/ (Parquet parts), FILE.jsonl (appended), - (JSON lines on stdout), "
        "cloudwatch:NAMESPACE, tensorboard:DIR, mlflow:URI, or .parquet, .arrow, .csv, emf:FILE, "
        "wide:FILE, written whole at the end.",
    ),
]
State = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Keep how far each log was read, to go on there after a restart; default with "
        "-o DIR/: inside it.",
    ),
]
Reset = Annotated[bool, typer.Option("--reset", help="Forget the state and start over.")]
CommitEvery = Annotated[
    float, typer.Option(metavar="SECONDS", help="Make outputs and state durable so often.")
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="End with exit 1 when 'NAME is nan', 'NAME is inf', 'NAME > 100' (or <, >=, <=, ==), "
        "'no progress for 10m' or 'NAME no progress for 10m'.",
    ),
]
