"""A command whose output passes through unchanged and is read on the way.

Principal type: `Command`. Fed by `cli.run`. The command's output goes to where ours goes, byte for
byte and at once; a copy goes through a pipe to whoever follows it. Where our output is a terminal
the command gets one, too (a pty), so that progress bars and colours are as without us. It never
suffers from us: when nobody reads the copy any more the output still passes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import resource
import select
import signal
import termios
import threading
import tty
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from types import FrameType

_PIECE = 64 << 10
_PIPE_BYTES = 1 << 20
# After its end the command's children may hold its output; they are waited for so long.
_LINGER_SECONDS = 1.0
_FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# Keys make these; the terminal sends them to every process that it shows.
_BY_KEYS = (signal.SIGINT, signal.SIGQUIT)
_GRACE_SECONDS = 10.0


class Command:
    """A command and copies of its output.

    Args:
        arguments: the program and its arguments.

    Attributes:
        copies: a binary file for each stream of it, by name: `stdout`, and `stderr` where that goes
            elsewhere.

    Example:
        >>> command = Command(["printf", "loss=1"])  # doctest: +SKIP
        >>> command.start()  # doctest: +SKIP
        >>> command.copies["stdout"].read(), command.wait()  # doctest: +SKIP
        (b'loss=1', 0)
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = list(arguments)
        self.copies: dict[str, BinaryIO] = {}
        self._pumps: list[threading.Thread] = []
        self._status: int | None = None
        self._ended = threading.Event()
        self._ended_pipe = os.pipe()
        self._terminal = next((one for one in (1, 2) if os.isatty(one)), None)
        self._master: int | None = None
        self._before: Any = None
        self._pid: int | None = None
        self._early: list[int] = []  # signals that came before it
        self._handlers: dict[int, Any] = {}
        self._writers: dict[int, int] = {}  # of the copies, by where our output goes
        for number, label in ((1, "stdout"), (2, "stderr")):
            if number == self._terminal or not os.isatty(number):
                reader, self._writers[number] = os.pipe()
                with contextlib.suppress(OSError):  # more than a user may have in all
                    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
                self.copies[label] = open(reader, "rb", buffering=0)  # noqa: SIM115

    def start(self) -> None:
        """Start the command, once.

        Raises:
            OSError: it cannot be started.
        """
        for number in (*_FORWARDED, signal.SIGWINCH):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup does; the command has it, too
                self._handlers[number] = signal.signal(number, self._caught)
        try:
            sources = self._spawn()
        except BaseException:
            self._release_signals()
            raise
        for early in self._early:
            self.send(early)
        for target, source in sources.items():
            self._pumps.append(self._thread(self._pass, source, target, self._writers[target]))
        if self._master is not None and os.isatty(0):
            self._raw()
            self._thread(self._type)
        self._thread(self._reap)

    def _spawn(self) -> dict[int, int]:
        """Start it; what reads its output, by where that goes."""
        actions: list[Any] = []
        inherited: list[int] = []
        sources: dict[int, int] = {}
        if self._terminal is not None:
            self._master, slave = pty.openpty()
            inherited.append(slave)
            self._copy_size()
            with contextlib.suppress(termios.error):
                termios.tcsetattr(slave, termios.TCSANOW, termios.tcgetattr(self._terminal))
            # The leader of a session gets a terminal by opening it.
            on_terminal = [one for one in (0, 1, 2) if os.isatty(one)]
            name = os.ttyname(slave)
            actions += [(os.POSIX_SPAWN_OPEN, one, name, os.O_RDWR, 0) for one in on_terminal]
            sources[self._terminal] = self._master
        for number in (1, 2):
            if not os.isatty(number):
                sources[number], writer = os.pipe()
                actions.append((os.POSIX_SPAWN_DUP2, writer, number))
                inherited.append(writer)
        try:
            self._pid = os.posix_spawnp(
                self._arguments[0],
                self._arguments,
                os.environ,
                file_actions=actions,
                setsid=self._master is not None,
                setsigdef=[signal.SIGPIPE],  # which Python ignores
            )
        except BaseException:
            for descriptor in sources.values():
                os.close(descriptor)
            raise
        finally:
            for descriptor in inherited:
                os.close(descriptor)
        return sources

    def _thread(self, target: object, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        thread.start()
        return thread

    # The command's output

    def _pass(self, source: int, target: int, copy: int) -> None:
        """Until the end: what comes goes on first, then into the copy."""
        for data in self._pieces(source):
            try:
                _write_all(target, data)
            except OSError:
                break  # nobody reads our output: let the command find that out as it would itself
            if copy >= 0:
                try:
                    _write_all(copy, data)
                except OSError:  # nobody reads the copy any more
                    os.close(copy)
                    copy = -1
        os.close(source)
        if copy >= 0:
            os.close(copy)

    def _pieces(self, source: int) -> Iterator[bytes]:
        ended = self._ended_pipe[0]
        running, after = select.poll(), select.poll()
        running.register(source, select.POLLIN)
        running.register(ended, select.POLLIN)
        after.register(source, select.POLLIN)
        while True:
            if source not in dict(running.poll()) and not after.poll(_LINGER_SECONDS * 1000):
                return  # the command has ended, and nobody else writes
            try:
                data = os.read(source, _PIECE)
            except OSError as error:
                if error.errno == errno.EIO:  # no process has the terminal any more
                    return
                raise
            if not data:
                return
            yield data

    # The terminal

    def _copy_size(self) -> None:
        """The command's terminal is as large as ours."""
        if self._master is not None and self._terminal is not None:
            with contextlib.suppress(OSError):
                size = fcntl.ioctl(self._terminal, termios.TIOCGWINSZ, b"\0" * 8)
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def _type(self) -> None:
        """What is typed goes to the command, keys that make signals included."""
        assert self._master is not None
        with contextlib.suppress(OSError):
            while data := os.read(0, _PIECE):
                _write_all(self._master, data)

    def _raw(self) -> None:
        if self._master is not None and os.isatty(0):
            self._before = self._before or termios.tcgetattr(0)
            tty.setraw(0)

    def _restore(self) -> None:
        if self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    def _release_signals(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    # Signals and the end

    def _caught(self, number: int, _: FrameType | None) -> None:
        """Pass a signal on; the command got it already where the terminal sent it to both of us."""
        if number == signal.SIGWINCH:
            self._copy_size()
        elif not (number in _BY_KEYS and self._master is None and _is_in_foreground()):
            self.send(number)

    def send(self, number: int) -> None:
        """Send the command a signal."""
        if self._pid is None:
            self._early.append(number)
        elif not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def terminate(self) -> None:
        """End the command; at once, if it does not end when it is asked to."""
        self.send(signal.SIGTERM)
        killer = threading.Timer(_GRACE_SECONDS, self.send, (signal.SIGKILL,))
        killer.daemon = True
        killer.start()

    def release(self) -> None:
        """Say that nobody reads the copies any more."""
        for copy in self.copies.values():
            copy.close()

    def _reap(self) -> None:
        assert self._pid is not None
        while True:
            _, status = os.waitpid(self._pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            if self._master is not None:  # else the shell stops and continues both of us
                self._restore()
                os.kill(os.getpid(), signal.SIGSTOP)
                self._raw()
                self._copy_size()
                os.kill(self._pid, signal.SIGCONT)
        self._status = status
        self._ended.set()
        os.write(self._ended_pipe[1], b"x")

    def wait(self) -> int:
        """Wait for the end of the command and its output; its exit code, -N for signal N."""
        self._ended.wait()
        for thread in self._pumps:
            thread.join()
        self._restore()
        self._release_signals()
        assert self._status is not None
        return os.waitstatus_to_exitcode(self._status)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # a terminal or pipe that somebody made so
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()


def _is_in_foreground() -> bool:
    with contextlib.suppress(OSError), open("/dev/tty", "rb", buffering=0) as terminal:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    return False


def die_of(number: int) -> None:
    """End as the command did, so that our parent sees the same signal."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # SIGKILL has no other handler
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
