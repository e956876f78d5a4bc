"""The command `scan`: logs in, points out."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricsieve._text import visible
from metricsieve.cli import options
from metricsieve.cli.common import (
    EXIT_SOURCE,
    EXIT_STRICT,
    collect_warnings,
    exit_codes,
    is_terminal,
    load_definitions,
    say,
    write_report,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve._scan import Scan
    from metricsieve.definitions import DefinitionSet
    from metricsieve.sinks import Sink

FIRST_POINTS = 10


def scan(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Log files, globs, directories, - for stdin; s3://, gs://, az://, https://, "
            "cloudwatch-logs:GROUP, sagemaker:JOB, sagemaker-tuning:NAME.",
        ),
    ],
    definitions: options.Definitions = None,
    metric: options.Metric = None,
    preset: options.Preset = None,
    context: options.Context = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="FILE.parquet, .arrow, .csv or .jsonl; DIR/ (Parquet parts, see --resume); - is "
            "JSON lines on stdout; wide:FILE, a column a metric; "
            "cloudwatch:NAMESPACE, emf:FILE, tensorboard:DIR, mlflow:URI (docs/sinks.md). More "
            "than one may be given.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="With -o DIR/: read what no part there has."),
    ] = False,
    normalize: options.Normalize = "terminal",
    number: options.Number = "trim",
    on_reject: options.OnReject = "count",
    envelope: options.Envelope = "auto",
    timezone: options.Timezone = "UTC",
    threads: options.Threads = None,
    columns: options.Columns = None,
    all_points: Annotated[
        bool, typer.Option("--all", help="On a terminal: show every point, not the first 10.")
    ] = False,
    strict: options.Strict = False,
    quiet: options.Quiet = False,
    report: options.ReportFile = None,
) -> None:
    """Read logs once and give every metric point.

    Without -o: a summary and the first points on a terminal, JSON lines in a pipe.
    """
    with exit_codes():
        import metricsieve
        from metricsieve._context import from_args
        from metricsieve.sinks import check_targets, is_directory

        targets = output or ([] if is_terminal(sys.stdout) else ["-"])
        directory = targets[0] if len(targets) == 1 and is_directory(targets[0]) else None
        if resume and directory is None:
            raise typer.BadParameter("--resume goes with one output, a directory: -o DIR/")
        if directory is None and any(map(is_directory, targets)):
            raise typer.BadParameter("a directory is the only output of a scan; read it for others")
        seen: list[str] = []
        reject: ValueError | None = None
        kept: list[pa.RecordBatch] = []
        with collect_warnings(seen):
            if directory is None:
                check_targets(targets, sources)
            presets = preset_definitions(preset or [], sources, normalize, show=not quiet)
            checked = load_definitions(definitions or [], metric or [], presets, sources)
            told: dict[str, Any] = {
                "context": from_args(context or []),
                "envelope": envelope,
                "timezone": timezone,
                "normalize": normalize,
                "number": number,
                "on_reject": on_reject,
                "threads": threads,
                "columns": None if columns is None else [one.strip() for one in columns.split(",")],
            }
            if directory is not None:
                found, reject = _write_dataset(sources, checked, directory, resume, not quiet, told)
            else:
                found = metricsieve.scan(sources, checked, **told)
                reject, kept = _run(found, targets, all_points=all_points, show=not quiet)
        final = found.report
        if not targets and reject is None:
            from metricsieve import _render

            _render.print_summary(final)
            limit = None if all_points else FIRST_POINTS
            _render.print_points(kept, limit, final.points)
            sys.stdout.flush()
        if report is not None:
            write_report(report, final.to_dict())
        worth = final.warnings
        worth += [line for line in map(visible, seen) if line not in worth]
        if not quiet:
            from metricsieve import _render

            _render.print_report(final, worth)
        if reject is not None:
            say(f"error: {reject}")
        code = EXIT_STRICT if reject is not None or (strict and worth) else 0
        raise typer.Exit(max(code, EXIT_SOURCE if final.sources.failed else 0))


def preset_definitions(
    names: list[str], sources: list[str], normalize: str, *, show: bool
) -> DefinitionSet | None:
    """The definitions of presets; `auto` becomes the names of those that fit the logs."""
    from metricsieve.definitions import DefinitionSet

    chosen = [name for name in names if name != "auto"]
    if "auto" in names:
        from metricsieve.presets import detect

        if "-" in sources:
            raise typer.BadParameter("-p auto reads the beginning of the logs twice: name files")
        for name, points in detect(sources, normalize=normalize):
            if show:
                say(f"preset {name}: {points:,} points in the beginning of the logs")
            chosen.append(name)
        if not chosen:
            raise ValueError(
                "no preset finds a point in the beginning of the logs; 'metricsieve presets' "
                "lists them, -m NAME=REGEX is a definition of your own"
            )
    return DefinitionSet.preset(*chosen) if chosen else None


def _write_dataset(
    sources: list[str],
    definitions: DefinitionSet,
    directory: str,
    resume: bool,
    show: bool,
    told: dict[str, Any],
) -> tuple[Scan, ValueError | None]:
    """Fill a directory with parts; returns the scan that did, and the reject that ended it."""
    from metricsieve._engine import RejectError
    from metricsieve.datasets import DatasetWriter

    reject: ValueError | None = None
    with DatasetWriter(sources, definitions, directory, resume=resume, **told) as writer:
        with show_progress(writer.scan, show and is_terminal(sys.stderr)):
            try:
                writer.run()
            except RejectError as error:
                reject = error
        return writer.scan, reject


def _run(
    found: Scan, targets: list[str], *, all_points: bool, show: bool
) -> tuple[ValueError | None, list[pa.RecordBatch]]:
    """Drive the scan into its outputs; returns the reject that ended it, and batches to show."""
    from metricsieve._engine import RejectError
    from metricsieve.sinks import open_sink, warn_of

    sinks: list[Sink] = []
    kept: list[pa.RecordBatch] = []
    rows = 0
    reject: ValueError | None = None
    try:
        for target in targets:
            sinks.append(open_sink(target, found.schema))
        with show_progress(found, show and is_terminal(sys.stderr)):
            try:
                for batch in found:
                    for sink in sinks:
                        sink.write(batch)
                    if not sinks and (all_points or rows < FIRST_POINTS):
                        # A slice of ten rows would keep the whole batch alive.
                        kept.append(batch if all_points else batch.take(_first(batch)))
                        rows += batch.num_rows
            except RejectError as error:
                reject = error
        for sink in sinks:
            if reject is None:
                sink.close()
                warn_of(sink)
            else:
                sink.abort()
    except BaseException:
        for sink in sinks:
            sink.abort()
        raise
    finally:
        found.close()
    return reject, kept


def _first(batch: pa.RecordBatch) -> list[int]:
    return list(range(min(FIRST_POINTS, batch.num_rows)))


@contextlib.contextmanager
def show_progress(found: Scan | None, show: bool) -> Iterator[None]:
    """A bar on stderr while a scan runs."""
    if found is None or not show:
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bars = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    stop = threading.Event()
    with Progress(*bars, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=found.progress[1])

        def follow() -> None:
            while not stop.wait(0.1):
                # The engine may be busy handing over a batch; the next tick will do.
                with contextlib.suppress(RuntimeError):
                    done, total = found.progress
                    bar.update(task, completed=done, total=total)

        ticker = threading.Thread(target=follow, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            stop.set()
            ticker.join()
