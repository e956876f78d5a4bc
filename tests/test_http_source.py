"""Logs behind URLs: an HTTP server that behaves, and one that does not."""

import gzip
import re

import metricsieve as ms
import pytest
from metricsieve._sources import resolve
from metricsieve.exceptions import SourceWarning
from metricsieve.sources._remote import WHOLE_BYTES

LOSS = {"loss": r"loss=([0-9.]+)"}
LOG = b"".join(b"step %d\nloss=%d.5\n" % (n, n) for n in range(1000))
LARGE = b"".join(b"step %d %s\nloss=%d.5\n" % (n, b"." * 500, n) for n in range(20_000))


def values(source, **options):
    return ms.scan(source, LOSS, **options).read_all()["value"].to_pylist()


def ranged(body, etag='"1"'):
    """An answer that knows ranges and tags."""

    def answer(request):
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        known = request.headers.get("If-Range") in (None, etag)
        if not asked or not known:
            return request.send(200, body, ETag=etag)
        start, end = int(asked[1]), min(int(asked[2] or len(body)) + 1, len(body))
        place = f"bytes {start}-{end - 1}/{len(body)}"
        return request.send(206, body[start:end], ETag=etag, Content_Range=place)

    return answer


@pytest.mark.parametrize("body", [LOG, gzip.compress(LOG), b"", LARGE], ids=["", "gz", "0", "8M+"])
def test_a_file_behind_a_url_gives_its_points(fault_server, body):
    """Small ones whole, large ones as a stream; compression by the first bytes."""
    assert len(LARGE) > WHOLE_BYTES
    fault_server.answer = ranged(body)
    scan = ms.scan(f"{fault_server.url}/a/b.log", LOSS)
    assert scan.progress == (0, len(body))
    assert scan.read_all()["value"].to_pylist() == values(body)
    assert scan.report.sources[0].source == f"{fault_server.url}/a/b.log"


def test_a_server_without_ranges_or_lengths_will_do(fault_server):
    """A chunked answer, as proxies and web applications give it."""

    def answer(request):
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for start in range(0, len(LOG), 1000):
            piece = LOG[start : start + 1000]
            request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        request.wfile.write(b"0\r\n\r\n")

    fault_server.answer = answer
    assert values(f"{fault_server.url}/x") == values(LOG)


def test_x7_what_a_url_holds_beside_the_path_is_sent_and_not_shown(fault_server):
    """User, password, and the signature of a presigned URL."""
    fault_server.answer = ranged(LOG)
    host = fault_server.url.removeprefix("http://")
    url = f"http://me:canary%21@{host}/a b.log?Signature=canary&x='%20y#canary"
    scan = ms.scan(url, LOSS)
    assert scan.read_all().num_rows == 1000
    assert "canary" not in str(scan.report.to_dict())
    first = fault_server.requests[0]
    assert first.path == "/a%20b.log?Signature=canary&x='%20y"
    assert first.headers["Authorization"] == "Basic bWU6Y2FuYXJ5IQ=="
    fault_server.answer = lambda request: request.send(403)
    with pytest.warns(SourceWarning, match="answers 403") as caught:
        values(url)
    assert "canary" not in str(caught[0].message)
    fault_server.answer = lambda request: request.send(404)
    with pytest.raises(FileNotFoundError) as missing:
        values(url)
    assert missing.value.filename == f"http://{host}/a b.log"


def test_urls_that_differ_in_the_query_are_two_sources(fault_server):
    """The same one twice is one."""
    fault_server.answer = ranged(LOG)
    base = f"{fault_server.url}/log"
    assert len(resolve([f"{base}?job=1", f"{base}?job=2", f"{base}?job=1"])) == 2


@pytest.mark.parametrize("size", ["small", "large"])
def test_s8_a_connection_that_breaks_is_taken_up_where_it_broke(fault_server, size):
    """With the same rows, as often as it takes."""
    body = LOG if size == "small" else LARGE
    whole, breaks = ranged(body), iter([1, 5000, len(body) // 2, len(body) - 1])

    def answer(request):
        if request.headers.get("Range") == "bytes=0-0":
            return whole(request)
        start = int((request.headers.get("Range") or "bytes=0-")[6:-1])
        end = next(breaks, len(body))
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body) - start))
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("ETag", '"1"')
        request.end_headers()
        request.wfile.write(body[start:end])
        request.close_connection = True

    fault_server.answer = answer
    assert values(f"{fault_server.url}/x") == values(body)
    assert next(breaks, None) is None


def test_s8_a_file_that_changed_is_not_mixed_with_what_it_was(fault_server):
    """The server says that the tag is another one, and the rows before it stay."""
    whole, changed = ranged(LOG), ranged(LOG[:500], '"2"')

    def answer(request):
        if request.headers.get("Range") == "bytes=0-0":
            return whole(request)
        if request.headers.get("Range"):
            return changed(request)
        request.send_response(200)
        request.send_header("Content-Length", str(len(LOG)))
        request.send_header("ETag", '"1"')
        request.end_headers()
        request.wfile.write(LOG[:3000])
        request.close_connection = True

    fault_server.answer = answer
    with pytest.warns(SourceWarning, match="lost at byte 3,000"):
        assert values(f"{fault_server.url}/x") == []


def test_s1_busy_servers_are_asked_again(fault_server):
    """Throttling and errors that pass."""
    left = [429, 503, 500]
    whole = ranged(LOG)
    fault_server.answer = lambda request: request.send(left.pop()) if left else whole(request)
    assert values(f"{fault_server.url}/x") == values(LOG)


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("http://localhost:{port}/x", "redirects to http://localhost"),
        ("http://127.0.0.1:1/x", "redirects to http://127.0.0.1:1"),
        ("http://169.254.169.254/latest/meta-data/", "redirects to http://169.254.169.254"),
        ("ftp://127.0.0.1:{port}/x", "redirects to ftp://127.0.0.1"),
        ("file:///etc/passwd?x", "Redirection to url 'file:///etc/passwd' is not allowed"),
    ],
)
def test_x6_no_redirection_leads_to_another_host(fault_server, to, reason):
    """It could be one inside the user's own network."""
    port = fault_server.url.rpartition(":")[2]
    fault_server.answer = lambda request: request.send(302, Location=to.format(port=port))
    with pytest.warns(SourceWarning, match=re.escape(reason)):
        assert values(f"{fault_server.url}/x") == []
    assert {request.path for request in fault_server.requests} == {"/x"}


def test_x6_redirections_on_the_same_host_are_followed(fault_server):
    """As they are common."""
    whole = ranged(LOG)
    fault_server.answer = lambda request: (
        whole(request) if request.path == "/y" else request.send(302, Location="/y")
    )
    assert values(f"{fault_server.url}/x") == values(LOG)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"])
def test_x6_link_local_addresses_are_refused(host):
    """Clouds keep credentials there."""
    with pytest.raises(ValueError, match="link-local"):
        resolve(f"http://{host}/latest/meta-data/")


def test_a_host_that_is_not_there_is_reported(monkeypatch):
    """In the scan, as a file that cannot be opened is."""
    monkeypatch.setattr("metricsieve.sources.http.RETRY_SECONDS", 0.0)
    with pytest.warns(SourceWarning, match="refused"):
        values("http://127.0.0.1:1/x")


def test_the_end_of_a_connection_is_not_taken_for_the_end_of_the_file(fault_server):
    """`http.client` would give a short read and no error."""

    def answer(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(LOG)))
        request.end_headers()
        request.wfile.write(LOG[:100])
        request.close_connection = True

    fault_server.answer = answer
    with pytest.warns(SourceWarning, match="lost at byte 100"):
        values(f"{fault_server.url}/x")
