"""Fetching ahead: order, bounds, ends. The logs are fetched from memory, the threads are real."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import metricsieve as ms
import pytest
from metricsieve.exceptions import SourceError, SourceWarning
from metricsieve.sources._prefetch import Prefetcher
from metricsieve.sources._remote import PIECE_BYTES, WHOLE_BYTES, Content, Remote, RemoteSources

LOSS = {"loss": r"loss=([0-9.]+)"}
MIB = 1 << 20


class Log(Remote):
    """A log of some bytes, which says when it is fetched."""

    def __init__(self, content, asked=None, size=True):
        self.content = content
        self.asked = asked if asked is not None else []
        self._size = len(content) if size else None

    @property
    def label(self):
        return f"log {id(self)}"

    @property
    def size(self):
        return self._size

    def fetch(self):
        self.asked.append(self)
        if len(self.content) <= WHOLE_BYTES:
            return Content(self.content)
        starts = range(PIECE_BYTES, len(self.content), PIECE_BYTES)
        calls = (lambda at=at: self.content[at : at + PIECE_BYTES] for at in starts)
        return Content(self.content[:PIECE_BYTES], calls, 4)


class Broken(Log):
    """One that cannot be fetched."""

    def __init__(self, error):
        super().__init__(b"")
        self.error = error

    def fetch(self):
        raise self.error


class Logs(RemoteSources):
    def __init__(self, logs):
        self.logs = logs

    def find(self):
        yield from self.logs


@pytest.fixture
def prefetcher():
    made = Prefetcher(threads=4, ahead_bytes=10 * MIB)
    yield made
    made.close()


def wait_for(condition):
    """Until it holds; the test's own time-out is the limit."""
    tick = threading.Event()
    while not condition():
        tick.wait(0.005)


def take(call):
    """What a call gives in the end, as the engine asks for it."""
    tick = threading.Event()
    while (given := call()) is None:
        tick.wait(0.001)
    return given


def test_nothing_is_fetched_before_the_first_is_asked_for(prefetcher):
    """A scan that is never read costs no request."""
    asked = []
    first, *_ = [prefetcher.add(Log(b"%d" % n, asked)) for n in range(10)]
    assert asked == []
    assert take(first) == b"0"
    wait_for(lambda: len(asked) == 10)


def test_what_is_ahead_is_bounded_in_bytes(prefetcher):
    """However long the reader takes; a log larger than all the room is fetched all the same."""
    asked = []
    logs = [Log(bytes(4 * MIB), asked) for _ in range(20)]
    calls = [prefetcher.add(log) for log in logs]
    for number, call in enumerate(calls):
        assert len(take(call)) == 4 * MIB
        most = min(number + 3, 20)  # two of them fit
        wait_for(lambda most=most: len(asked) == most)
        assert set(map(id, asked)) == set(map(id, logs[:most]))


def test_logs_of_unknown_size_are_taken_for_large_ones(prefetcher):
    """One more at a time fits."""
    asked = []
    calls = [prefetcher.add(Log(b"x", asked, size=False)) for _ in range(5)]
    take(calls[0])
    wait_for(lambda: len(asked) == 2)
    for call in calls[1:]:
        take(call)


def test_any_order_of_asking_gives_each_its_own(prefetcher):
    """Two threads of the engine may come to two sources in either order."""
    calls = [prefetcher.add(Log(b"%d" % n)) for n in range(50)]
    for first in range(0, 50, 5):
        for n in reversed(range(first, first + 5)):
            assert take(calls[n]) == b"%d" % n


def test_a_large_log_comes_in_pieces_while_small_ones_fill_the_room(prefetcher):
    """It never waits for room: it is what the room waits for."""
    large = os.urandom(5 * PIECE_BYTES + 1)
    first, *others = [
        prefetcher.add(log) for log in [Log(large), *(Log(bytes(4 * MIB)) for _ in range(5))]
    ]
    pieces = [piece for piece in take(first) if piece is not None]
    assert b"".join(pieces) == large
    assert [len(piece) for piece in pieces] == [PIECE_BYTES] * 5 + [1]
    for other in others:
        take(other)


def test_errors_of_a_log_are_its_own(prefetcher):
    """Those of a storage library become an OSError; the next one is read."""
    errors = [FileNotFoundError("gone"), RuntimeError("GET http://me:canary@host/x?canary failed")]
    calls = [prefetcher.add(one) for one in (*map(Broken, errors), Log(b"x"))]
    with pytest.raises(FileNotFoundError, match="gone"):
        take(calls[0])
    with pytest.raises(SourceError) as caught:
        take(calls[1])
    assert str(caught.value) == "GET http://host/x failed"
    assert take(calls[2]) == b"x"


def test_closing_wakes_who_waits_and_ends_the_threads():
    """Also while a request hangs; its thread ends with it."""
    goes_on = threading.Event()

    class Hanging(Log):
        def fetch(self):
            self.asked.append(self)
            goes_on.wait()
            return Content(b"x")

    asked, outcome = [], []
    prefetcher = Prefetcher(threads=4)
    calls = [prefetcher.add(Hanging(b"x", asked)) for _ in range(10)]

    def read():
        try:
            take(calls[0])
        except OSError as error:
            outcome.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    wait_for(lambda: len(asked) == 4)
    fetching = [t for t in threading.enumerate() if t.name.startswith("metricsieve-fetch")]
    prefetcher.close()
    prefetcher.close()
    reader.join()
    assert outcome == ["the scan was closed"]
    with pytest.raises(SourceError, match="the scan was closed"):
        take(calls[5])
    goes_on.set()
    for thread in fetching:
        thread.join()
    assert len(asked) == 4


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_many_logs_are_scanned_in_order_whatever_their_sizes(threads):
    """Small, large, broken and unknown ones together."""
    sizes = [3, 0, 700_000, 20, 1, 900_000, 5] * 3
    texts = [b"".join(b"loss=%d.5\n" % n for n in range(size)) for size in sizes]
    logs = [Log(text, size=n % 3 > 0) for n, text in enumerate(texts)]
    logs.insert(4, Broken(RuntimeError("broken")))
    scan = ms.scan([b"loss=1", Logs(logs), b"loss=2"], LOSS, threads=threads, columns=["value"])
    with pytest.warns(SourceWarning, match="broken"):
        rows = scan.read_all()
    expected = ms.scan([b"loss=1", *texts, b"loss=2"], LOSS, columns=["value"]).read_all()
    assert rows == expected
    assert [source.complete for source in scan.report.sources].count(False) == 1


def test_the_progress_knows_the_total():
    """As far as all sizes are known."""
    scan = ms.scan(Logs([Log(b"loss=1\n"), Log(b"loss=2\n")]), LOSS)
    assert scan.progress == (0, 14)
    scan.read_all()
    assert scan.progress == (14, 14)
    assert ms.scan(Logs([Log(b"x", size=False)]), LOSS).progress == (0, None)


HANGING = """
import http.server, os, signal, sys, threading
import metricsieve as ms

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_HEAD(self):
        self.do_GET()
    def do_GET(self):
        if "bytes=0-0" in str(self.headers):
            self.send_response(206); self.send_header("Content-Range", "bytes 0-0/9")
            self.send_header("Content-Length", "1"); self.end_headers(); self.wfile.write(b"l")
            return
        print("asked", flush=True)
        threading.Event().wait()

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
logs = "s3://bucket/key" if sys.argv[1] == "find" else [f"{url}/{n}" for n in range(3)]
os.environ.update(AWS_ENDPOINT_URL=url, AWS_SKIP_SIGNATURE="true", AWS_REGION="us-east-1")
scan = ms.scan(logs, {"loss": "loss=(.*)"}, threads=int(sys.argv[2]))
if sys.argv[1] == "exit":
    threading.Thread(target=scan.read_all, daemon=True).start()
    sys.stdin.readline()
else:
    scan.read_all()
"""


@contextlib.contextmanager
def hanging(how, threads):
    """The program, when its first request hangs."""
    # A thread that lives on for a moment may still warn that its scan was cut short.
    command = [sys.executable, "-W", "ignore", "-c", HANGING, how, str(threads)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            assert process.stdout.readline().startswith("asked")  # by all of its threads
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("how", "threads"), [("read", 1), ("read", 2), ("find", 2)])
def test_p2_ctrl_c_ends_a_scan_whose_server_hangs(how, threads):
    """With KeyboardInterrupt, while logs are read and while they are looked for."""
    with hanging(how, threads) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("threads", [1, 2])
def test_p5_the_process_ends_while_requests_hang(threads):
    """Without an abort."""
    with hanging("exit", threads) as process:
        _, errors = process.communicate("\n", timeout=60)
    assert (process.returncode, errors) == (0, "")
