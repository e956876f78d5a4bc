"""What the commands share: exit codes, messages on stderr, definitions from files and arguments."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn, TextIO

import typer

from metricsieve._text import visible
from metricsieve.exceptions import (
    DefinitionError,
    DefinitionWarning,
    MetricsieveWarning,
    SinkError,
    SinkWarning,
    SourceWarning,
    StateError,
)

if TYPE_CHECKING:
    from metricsieve._context import ContextColumn
    from metricsieve.definitions import DefinitionSet, MetricDefinition

EXIT_STRICT, EXIT_USAGE, EXIT_SOURCE, EXIT_SINK, EXIT_INTERRUPTED = 1, 2, 3, 4, 130
# What a write of a stream without a buffer says.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
EXIT_FAILED = 1  # a condition of --fail-if held


def load_definitions(
    files: list[str],
    arguments: list[str],
    presets: DefinitionSet | None = None,
    sources: Iterable[str] = (),
) -> DefinitionSet:
    """The definitions of files, of `-m` arguments and of presets, in this order.

    A file may be spelt like a SageMaker job. Where nothing is given, jobs among the sources bring
    theirs: who gives definitions mostly gives better ones for the same metrics.
    """
    from metricsieve.definitions import DefinitionSet
    from metricsieve.sources._urls import is_job

    if not files and not arguments and presets is None:
        files = list(dict.fromkeys(filter(is_job, sources)))
    if not files and not arguments and presets is None:
        raise typer.BadParameter("name definitions with -d FILE, -m NAME=REGEX or -p PRESET")
    loaded: DefinitionSet | None = None
    for file in files:
        if is_job(file):
            from metricsieve._jobs import job_definitions

            one = job_definitions(file)
            loaded = one if loaded is None else loaded + one
            continue
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
    if presets is not None:
        loaded = presets if loaded is None else loaded + presets
    assert loaded is not None
    return loaded


def write_definitions(
    definitions: Iterable[MetricDefinition], context: Iterable[ContextColumn] = ()
) -> None:
    """Writes a definitions file to stdout, a definition a line."""
    lines = [f"  {json.dumps(one.to_dict(), ensure_ascii=False)}" for one in definitions]
    listed = "[\n" + ",\n".join(lines) + "\n]" if lines else "[]"
    columns = {column.name: column.to_value() for column in context}
    if columns:
        beside = json.dumps(columns, ensure_ascii=False)
        listed = f'{{"MetricDefinitions": {listed},\n"Context": {beside}}}'
    sys.stdout.write(f"{listed}\n")


def write_report(path: str, report: dict[str, object]) -> None:
    """Writes a report as JSON."""
    from metricsieve.sinks._atomic import write_whole

    write_whole(path, (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise typer.BadParameter(f"{option} is {value!r}; it can be {', '.join(choices)}")


@contextlib.contextmanager
def collect_warnings(seen: list[str]) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("always", MetricsieveWarning)
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: object = None,
            line: str | None = None,
        ) -> None:
            ours = issubclass(category, (DefinitionWarning, SinkWarning))
            if ours or category is MetricsieveWarning:
                seen.append(str(message))
            elif not issubclass(category, SourceWarning):  # the report has those
                usual(message, category, filename, lineno)

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
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
    except (SinkError, StateError) as error:
        _fail(str(error), EXIT_SINK)
    except OSError as error:
        if error.filename is None and (error.errno in _FULL or not _writable(sys.stdout)):
            _drop_stdout()
            _fail(f"cannot write to standard output: {error.strerror or error}", EXIT_SINK)
        what = f"{error.filename}: " if error.filename is not None else ""
        _fail(f"{what}{error.strerror or error}", EXIT_SOURCE)
    except (ValueError, TypeError, NotImplementedError, ImportError) as error:
        if isinstance(error, typer.BadParameter):
            raise
        _fail(str(error), EXIT_USAGE)


def _fail(message: str, code: int, *, lines: bool = False) -> NoReturn:
    say(f"error: {message}", lines=lines)
    raise typer.Exit(code) from None


def say(message: str, *, lines: bool = False) -> None:
    if sys.stderr is None:
        return
    text = message if lines else visible(message)  # a DefinitionError is visible text in lines
    with contextlib.suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def is_terminal(stream: object) -> bool:
    return stream is not None and bool(getattr(stream, "isatty", bool)())


def open_stdout() -> TextIO:
    """Standard output.

    Raises:
        SinkError: it is closed.
    """
    if sys.stdout is None:
        raise SinkError("standard output is closed", "-", "use -o FILE")
    return sys.stdout


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
