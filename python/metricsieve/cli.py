"""The command `metricsieve`: data to stdout, messages to stderr, exit codes that scripts can use.

Uses the public API only. pyarrow, rich and the engine are imported when a command runs, not for
`--help`, which they would make five times slower.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from metricsieve._text import visible
from metricsieve.exceptions import DefinitionError, DefinitionWarning, SinkError, SourceWarning

if TYPE_CHECKING:
    import pyarrow as pa

    from metricsieve._scan import Scan
    from metricsieve.definitions import DefinitionSet
    from metricsieve.sinks import Sink

EXIT_STRICT, EXIT_USAGE, EXIT_SOURCE, EXIT_SINK, EXIT_INTERRUPTED = 1, 2, 3, 4, 130
FIRST_POINTS = 10

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


@app.command(
    epilog="Example: printf 'loss=0.5\\nloss=0.25\\n' | metricsieve scan - -m 'loss=loss=([0-9.]+)'"
)
def scan(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Log files, globs, directories, or - for stdin."),
    ],
    definitions: Annotated[
        list[str] | None,
        typer.Option(
            "-d",
            "--definitions",
            metavar="FILE",
            help="JSON, YAML or TOML: SageMaker's list, or a training or tuning job.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("-m", "--metric", metavar="NAME=REGEX", help="One more definition."),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="FILE.parquet, .arrow, .csv or .jsonl; - is JSON lines on stdout.",
        ),
    ] = None,
    normalize: Annotated[
        str, typer.Option(help="terminal: undo escapes of log shippers, drop colours; or none.")
    ] = "terminal",
    number: Annotated[str, typer.Option(help="trim, strict or prefix.")] = "trim",
    on_reject: Annotated[
        str, typer.Option(help="Captures that are no number: count, null or raise.")
    ] = "count",
    threads: Annotated[
        int | None, typer.Option(help="At most so many threads; default: one a core.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="The columns to give, in this order.")
    ] = None,
    all_points: Annotated[
        bool, typer.Option("--all", help="On a terminal: show every point, not the first 10.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on any warning.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No report and no progress on stderr.")
    ] = False,
    report: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the report there as JSON.")
    ] = None,
) -> None:
    """Read logs once and give every metric point.

    Without -o: a summary and the first points on a terminal, JSON lines in a pipe.
    """
    with _exit_codes():
        from metricsieve.sinks import check_target

        targets = output or ([] if _is_terminal(sys.stdout) else ["-"])
        seen: list[str] = []
        with _collect_warnings(seen):
            for target in targets:
                check_target(target)
            checked = _load(definitions or [], metric or [])
            found = _open(
                sources,
                checked,
                normalize=normalize,
                number=number,
                on_reject=on_reject,
                threads=threads,
                columns=columns,
            )
            reject, kept = _run(found, targets, all_points=all_points, show=not quiet)
        final = found.report
        if not targets and reject is None:
            from metricsieve import _render

            _render.print_summary(final)
            limit = None if all_points else FIRST_POINTS
            _render.print_points(kept, limit, final.points)
            sys.stdout.flush()
        if report is not None:
            _write_report(report, final.to_dict())
        worth = final.warnings
        worth += [line for line in map(visible, seen) if line not in worth]
        if not quiet:
            from metricsieve import _render

            _render.print_report(final, worth)
        if reject is not None:
            _say(f"error: {reject}")
        code = EXIT_STRICT if reject is not None or (strict and worth) else 0
        raise typer.Exit(max(code, EXIT_SOURCE if final.sources.failed else 0))


def _load(files: list[str], arguments: list[str]) -> DefinitionSet:
    from metricsieve.definitions import DefinitionSet

    if not files and not arguments:
        raise typer.BadParameter("name definitions with -d FILE or -m NAME=REGEX")
    loaded: DefinitionSet | None = None
    for file in files:
        try:
            one = DefinitionSet.load(file)
        except DefinitionError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise typer.BadParameter(f"cannot read definitions {file!r}: {reason}") from None
        loaded = one if loaded is None else loaded + one
    if arguments:
        one = DefinitionSet.from_args(arguments)
        loaded = one if loaded is None else loaded + one
    assert loaded is not None
    return loaded


def _open(
    sources: list[str],
    definitions: DefinitionSet,
    *,
    normalize: str,
    number: str,
    on_reject: str,
    threads: int | None,
    columns: str | None,
) -> Scan:
    import metricsieve

    return metricsieve.scan(
        sources,
        definitions,
        normalize=normalize,
        number=number,
        on_reject=on_reject,
        threads=threads,
        columns=None if columns is None else [name.strip() for name in columns.split(",")],
    )


def _run(
    found: Scan, targets: list[str], *, all_points: bool, show: bool
) -> tuple[ValueError | None, list[pa.RecordBatch]]:
    """Drive the scan into its outputs; returns the reject that ended it, and batches to show."""
    from metricsieve._engine import RejectError
    from metricsieve.sinks import open_sink

    sinks: list[Sink] = []
    kept: list[pa.RecordBatch] = []
    rows = 0
    reject: ValueError | None = None
    try:
        for target in targets:
            sinks.append(open_sink(target, found.schema))
        with _progress(found, show and _is_terminal(sys.stderr)):
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
def _progress(found: Scan, show: bool) -> Iterator[None]:
    if not show:
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


@contextlib.contextmanager
def _collect_warnings(seen: list[str]) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("always", DefinitionWarning)
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: object = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, DefinitionWarning):
                seen.append(str(message))
            elif not issubclass(category, SourceWarning):  # the report has those
                usual(message, category, filename, lineno)

        warnings.showwarning = show
        yield


def _write_report(path: str, report: dict[str, object]) -> None:
    from metricsieve.sinks._atomic import AtomicFile

    file = AtomicFile(Path(path))
    try:
        file.write((json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())
        file.commit()
    except BaseException:
        file.abort()
        raise


@contextlib.contextmanager
def _exit_codes() -> Iterator[None]:
    """One place for which error is which exit code."""
    try:
        yield
    except BrokenPipeError:
        _drop_stdout()
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        _fail("interrupted; no output was published", EXIT_INTERRUPTED)
    except DefinitionError as error:
        _fail(str(error), EXIT_USAGE, lines=True)
    except SinkError as error:
        _fail(str(error), EXIT_SINK)
    except OSError as error:
        if error.filename is None and not _writable(sys.stdout):
            _drop_stdout()
            _fail(f"cannot write to standard output: {error.strerror or error}", EXIT_SINK)
        what = f"{error.filename}: " if error.filename is not None else ""
        _fail(f"{what}{error.strerror or error}", EXIT_SOURCE)
    except (ValueError, TypeError, NotImplementedError) as error:
        if isinstance(error, typer.BadParameter):
            raise
        _fail(str(error), EXIT_USAGE)


def _fail(message: str, code: int, *, lines: bool = False) -> NoReturn:
    _say(f"error: {message}", lines=lines)
    raise typer.Exit(code) from None


def _say(message: str, *, lines: bool = False) -> None:
    if sys.stderr is None:
        return
    text = message if lines else visible(message)  # a DefinitionError is visible text in lines
    with contextlib.suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _is_terminal(stream: object) -> bool:
    return stream is not None and bool(getattr(stream, "isatty", bool)())


def _writable(stream: object) -> bool:
    try:
        if stream is not None:
            stream.flush()  # type: ignore[attr-defined]
    except (OSError, ValueError):
        return False
    return True


def _drop_stdout() -> None:
    # Python flushes stdout once more at exit and would fail again, with a message and code 120.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


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
