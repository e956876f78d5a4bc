"""What `follow` and `run` share: driving a follower to its end, signals, exit codes."""

from __future__ import annotations

import contextlib
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import typer

from metricsieve._text import visible
from metricsieve.cli.common import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_SOURCE,
    EXIT_STRICT,
    is_terminal,
    say,
    write_report,
)

if TYPE_CHECKING:
    from types import FrameType

    from metricsieve.following import Follow
    from metricsieve.following.conditions import Conditions


class Ended:
    """How a live command came to its end.

    Attributes:
        failed: which condition of `--fail-if` held, and where.
        rejected: the capture that ended it with `--on-reject raise`.
        interrupted: whether it was Ctrl-C.
        live: what a signal stops, when there is one.
    """

    def __init__(self) -> None:
        self.failed: str | None = None
        self.rejected: str | None = None
        self.interrupted = False
        self.live: Follow | None = None
        self._stopped = False

    def stop(self) -> None:
        """End in order."""
        self._stopped = True
        if self.live is not None:
            self.live.stop()

    def stops(self, live: Follow) -> None:
        """Say what a signal stops; one may have come already."""
        self.live = live
        if self._stopped:
            live.stop()


def allow_many_files() -> None:
    """Every followed log is open; what the system allows is often more than it gives at first."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def orderly_end(ended: Ended) -> Iterator[None]:
    """SIGTERM and the first Ctrl-C end in order, with a commit; the second Ctrl-C at once."""

    def stop(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            if ended.interrupted:
                raise KeyboardInterrupt
            ended.interrupted = True
        ended.stop()

    before = {one: signal.signal(one, stop) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def drive(
    live: Follow,
    conditions: Conditions,
    ended: Ended,
    *,
    table: bool = False,
    on_failure: Callable[[], None] | None = None,
) -> None:
    """Take every batch, look at the conditions, draw the table; a condition that holds ends it."""
    from metricsieve._engine import RejectError

    with _table(live, table) as show:
        try:
            for batch in live:
                show(batch)
                if ended.failed is None:
                    ended.failed = conditions.of_batch(batch)
                    if ended.failed is not None:
                        (on_failure or live.stop)()
        except RejectError as error:
            ended.rejected = str(error)


@contextlib.contextmanager
def _table(live: Follow, show: bool) -> Iterator[Callable[[object], None]]:
    if not show:
        yield lambda batch: None
        return
    from metricsieve.following.table import LiveTable

    with LiveTable(live) as table:
        yield table.add


def close(
    live: Follow,
    ended: Ended,
    seen: list[str],
    *,
    strict: bool,
    quiet: bool,
    report: str | None,
) -> int:
    """Report what was done; the exit code."""
    final = live.report
    if report is not None:
        write_report(report, final.to_dict())
    worth = final.warnings + live_warnings(final.follow)
    worth += [line for line in map(visible, seen) if line not in worth]
    if not quiet:
        from metricsieve import _render

        _render.print_report(final, worth)
    code = EXIT_STRICT if strict and worth else 0
    if ended.rejected is not None:
        say(f"error: {ended.rejected}")
        code = EXIT_STRICT
    if ended.failed is not None:
        say(f"failed: {ended.failed}")
        code = EXIT_FAILED
    if final.sources.failed:
        code = max(code, EXIT_SOURCE)
    return max(code, EXIT_INTERRUPTED if ended.interrupted else 0)


def live_warnings(told: dict[str, object]) -> list[str]:
    """What `report.follow` tells that somebody should see."""
    lost, held_back = told["lost"], told["held_back"]
    assert isinstance(lost, list)
    assert isinstance(held_back, list)
    found = [f"not read: {one}" for one in lost]
    for one in held_back:
        found.append(
            f"{one['source']}: the last {one['bytes']:,} bytes have no line end and were held back"
        )
    return [visible(line) for line in found]


def check_conditions(given: list[str] | None) -> Conditions:
    """The conditions of `--fail-if`."""
    from metricsieve.following.conditions import Conditions

    try:
        return Conditions(given or [])
    except ValueError as error:
        raise typer.BadParameter(f"--fail-if: {error}") from None


def column_names(
    given: str | None, conditions: Conditions, *, table: bool = False
) -> list[str] | None:
    """The columns of `--columns`, which must hold what is looked at here."""
    if given is None:
        return None
    names = [name.strip() for name in given.split(",")]
    if (table or conditions) and not {"metric", "value"} <= {*names}:
        raise typer.BadParameter("--fail-if and the table need the columns metric and value")
    return names


def shows_table(output: list[str]) -> bool:
    """Whether stdout is a terminal that nothing else writes to."""
    return is_terminal(sys.stdout) and "-" not in output
