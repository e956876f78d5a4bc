"""Object stores over real HTTP, compared with the same bytes in local files."""

import gzip
import os
import subprocess
import sys
import threading
import warnings

import metricsieve as ms
import pytest
from metricsieve._sources import resolve
from metricsieve.exceptions import SourceWarning
from metricsieve.sources._remote import WHOLE_BYTES
from program import run

LOSS = {"loss": r"loss=([0-9.]+)"}
COLUMNS = ["metric", "value", "line", "offset"]


def text(start, count, filler=""):
    return "".join(f"step {n}{filler}\nloss={n}.5\n" for n in range(start, start + count)).encode()


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """Logs of every kind, as local files below `root`."""
    root = tmp_path_factory.mktemp("root")
    large = text(0, 2 * WHOLE_BYTES // 400, "." * 400)
    assert len(large) > 2 * WHOLE_BYTES
    for name, content in {
        "logs/a.log": text(10, 100),
        "logs/b c#%20+.log": text(20, 100),
        "logs/d/0.gz": gzip.compress(text(1000, 5000)),
        "logs/d/1.log": text(5, 5).decode().encode("utf-16"),
        "logs/d/empty.log": b"",
        "logs/large.log": large,
        "logs/large.gz": gzip.compress(os.urandom(WHOLE_BYTES + 1).hex().encode() + b"\nloss=7\n"),
        "logs/é.log": text(7, 1),
        "other.log": text(1, 1),
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.fixture
def bucket(aws, tree):
    """The small ones as objects of the bucket `joblogs`."""
    s3 = aws("s3")
    s3.create_bucket(Bucket="joblogs")
    for path in tree.rglob("*.*"):
        if "large" not in path.name:
            put(s3, tree, path)
    return s3


@pytest.fixture
def large(bucket, tree):
    """The large ones with them."""
    for path in tree.glob("logs/large.*"):
        put(bucket, tree, path)
    return bucket


def put(s3, tree, path):
    key = str(path.relative_to(tree))
    s3.put_object(Bucket="joblogs", Key=key, Body=path.read_bytes())


def rows(sources, root="", **options):
    """Rows with sources as they are called below `root`, and the report."""
    scan = ms.scan(sources, LOSS, strings="plain", **options)
    table = scan.read_all()
    names = [source.removeprefix(root) for source in table["source"].to_pylist()]
    assert scan.report.complete
    return [*zip(names, *(table[c].to_pylist() for c in COLUMNS), strict=True)], scan.report


def labels(sources):
    return [source.label for source in resolve(sources)]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_prefix_gives_the_rows_of_the_same_directory(large, tree, threads):
    """Gzip, UTF-16, empty and large objects too; counts and labels as for files."""
    found, report = rows("s3://joblogs/logs/", "s3://joblogs", threads=threads)
    expected, local = rows(tree / "logs", str(tree), threads=threads)
    assert found == expected
    assert report.points == local.points > 40_000
    assert report.records == local.records
    assert [s.source for s in report.sources] == [
        s.source.replace(str(tree), "s3://joblogs") for s in local.sources
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("other.log", ["other.log"]),
        ("logs/b c#%20+.log", ["logs/b c#%20+.log"]),
        ("logs/*.log", ["logs/a.log", "logs/b c#%20+.log", "logs/é.log"]),
        ("**/*.gz", ["logs/d/0.gz"]),
        ("logs/d", ["logs/d/0.gz", "logs/d/1.log", "logs/d/empty.log"]),
        ("logs/?/[01].*", ["logs/d/0.gz", "logs/d/1.log"]),
        ("l*", None),
        ("logs/nothing", None),
        ("logs/a", None),
    ],
)
def test_keys_prefixes_and_globs(bucket, path, expected):
    """As for local files; a prefix ends at a slash."""
    if expected is None:
        with pytest.raises(FileNotFoundError, match=r"no .*object"):
            resolve(f"s3://joblogs/{path}")
        return
    assert labels(f"s3://joblogs/{path}") == [f"s3://joblogs/{key}" for key in expected]


def test_an_object_of_a_patterns_name_wins(bucket):
    """As an existing path does."""
    bucket.put_object(Bucket="joblogs", Key="logs/[a].log", Body=b"loss=3")
    assert labels("s3://joblogs/logs/[a].log") == ["s3://joblogs/logs/[a].log"]


def test_markers_of_directories_are_no_logs(bucket):
    """Consoles make them; one of an empty directory cannot be told from an empty object."""
    for key in ("logs/", "logs/d/", "logs/nothing/"):
        bucket.put_object(Bucket="joblogs", Key=key, Body=b"")
    found, report = rows("s3://joblogs/logs/", "s3://joblogs/logs/")
    names = ["a.log", "b c#%20+.log", "d/0.gz", "d/1.log", "d/empty.log", "nothing", "é.log"]
    assert [source.source.removeprefix("s3://joblogs/logs/") for source in report.sources] == names
    assert {name for name, *_ in found} == {"a.log", "b c#%20+.log", "d/0.gz", "d/1.log", "é.log"}


def test_many_urls_are_looked_up_at_once_and_read_once(bucket, tree):
    """In the order given, an object that two of them name only the first time."""
    base = "s3://joblogs"
    given = [f"{base}/other.log", b"loss=1", f"{base}/logs/d/", f"{base}/logs/d/0.gz", str(tree)]
    found = labels(given)
    assert found[:5] == [
        f"{base}/other.log",
        "<bytes:0>",
        *(f"{base}/logs/d/{name}" for name in ("0.gz", "1.log", "empty.log")),
    ]
    assert found[5:] == labels(tree)
    assert labels({"x": f"{base}/other.log"}) == ["x"]


def test_what_is_not_there_is_an_error_before_any_row(bucket):
    """With the URL."""
    for url in ("s3://joblogs/nothing.log", "s3://joblogs/none/*.gz"):
        with pytest.raises(FileNotFoundError) as caught:
            ms.scan([url, "s3://joblogs/other.log"], LOSS)
        assert caught.value.filename == url
    with pytest.raises(OSError, match="nosuchbucket"):
        ms.scan("s3://nosuchbucket/logs/", LOSS)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("s3://", "no bucket"),
        ("s3://me:canary@bucket/key", "credentials come from the environment"),
        ("s3a://bucket/key", "spelt s3://"),
        ("ftp://me:canary@host/key?canary", "known are s3://"),
    ],
)
def test_x6_x7_unknown_spellings_are_refused(url, what):
    """The scheme is on a list; secrets are not repeated."""
    with pytest.raises(ValueError, match=what) as caught:
        resolve(url)
    assert "canary" not in str(caught.value)


def test_an_object_that_vanishes_is_reported_and_the_others_are_read(bucket):
    """It was there when it was listed."""
    scan = ms.scan("s3://joblogs/logs/d/", LOSS)
    bucket.delete_object(Bucket="joblogs", Key="logs/d/0.gz")
    with pytest.warns(SourceWarning, match=r"d/0\.gz"):
        values = scan.read_all()["value"].to_pylist()
    assert values == [n + 0.5 for n in range(5, 10)]
    first, second, _ = scan.report.sources
    assert not first.complete
    assert second.complete


def test_an_object_that_changes_between_two_ranges_is_an_error(large):
    """No row of the new one is mixed into the old one."""
    scan = ms.scan("s3://joblogs/logs/large.log", LOSS)
    large.put_object(Bucket="joblogs", Key="logs/large.log", Body=b"x" * 3 * WHOLE_BYTES)
    with pytest.warns(SourceWarning, match="changed while it was read"):
        assert scan.read_all().num_rows == 0


def test_an_object_that_grew_beyond_what_fits_is_read_in_ranges(bucket, tree):
    """The size in the listing is a hint only."""
    scan = ms.scan("s3://joblogs/other.log", LOSS)
    bucket.upload_file(str(tree / "logs/large.log"), "joblogs", "other.log")
    assert scan.read_all().num_rows == ms.scan(tree / "logs/large.log", LOSS).read_all().num_rows


def fetching():
    return [t.name for t in threading.enumerate() if t.name.startswith("metricsieve-fetch")]


def ended():
    for thread in threading.enumerate():
        if thread.name.startswith("metricsieve-fetch"):
            thread.join(20)
    return not fetching()


@pytest.mark.parametrize("how", ["end", "close", "break", "unread"])
def test_p10_no_thread_is_left(large, how):
    """Whether the scan was read to its end, closed or dropped."""
    scan = ms.scan("s3://joblogs/logs/", LOSS, batch_rows=10)
    assert not fetching()
    if how == "end":
        scan.read_all()
    elif how != "unread":
        next(iter(scan))
        assert fetching()
        if how == "close":
            scan.close()
    del scan
    assert ended()


def test_stores_and_filesystems_of_users(bucket, tree):
    """Those of obstore and of fsspec, with the rows of the same files."""
    import fsspec
    from obstore.store import LocalStore, MemoryStore, S3Store

    expected, _ = rows(f"{tree}/logs/**/[0-d]*", str(tree))
    memory, other = MemoryStore(), fsspec.filesystem("memory")
    for path in tree.glob("logs/**/[0-d]*.*"):
        memory.put(str(path.relative_to(tree)), path.read_bytes())
        other.pipe_file(f"/x/{path.relative_to(tree)}", path.read_bytes())
    s3 = S3Store("joblogs", endpoint=os.environ["AWS_ENDPOINT_URL"], allow_http=True)
    for store, path, root in [
        (memory, "logs/", ""),
        (LocalStore(tree), "logs/**/[0-d]*", f"{tree}/"),
        (s3, "logs/**/[0-d]*", "s3://joblogs/"),
        (other, "memory://x/logs/**", "memory:///x/"),
        (fsspec.filesystem("file"), f"{tree}/logs/**/[0-d]*", f"file://{tree}/"),
    ]:
        found, _ = rows(ms.RemotePath(store, path), root)
        assert [(f"/{name}", *rest) for name, *rest in found] == expected
    other.rm("/x", recursive=True)
    with pytest.raises(TypeError, match="no store"):
        ms.RemotePath({}, "x")


def test_google_cloud_storage(bucket, moto_url, monkeypatch):
    """Its XML interface is so much like that of S3 that moto serves it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", moto_url)
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    for key in ("logs/a.log", "other.log"):
        bucket.put_object_acl(Bucket="joblogs", Key=key, ACL="public-read")
    keys = ["joblogs/other.log", "joblogs/logs/a.*"]
    found, _ = rows([f"gs://{key}" for key in keys], "gs")
    assert found == rows([f"s3://{key}" for key in keys], "s3")[0]
    assert len(found) == 101


BLOBS = """<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs><Blob>
<Name>logs/a.log</Name><Properties><Last-Modified>Wed, 25 Nov 2026 10:00:00 GMT</Last-Modified>
<Etag>0x1</Etag><Content-Length>8</Content-Length>
<Content-Type>text/plain</Content-Type><BlobType>BlockBlob</BlobType></Properties>
</Blob></Blobs><NextMarker /></EnumerationResults>"""


def test_azure(fault_server, monkeypatch):
    """A listing and a blob, with a key that is not shown."""
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", fault_server.url)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "Y2FuYXJ5")

    def answer(request):
        if "comp=list" in request.path:
            return request.send(200, BLOBS.encode(), Content_Type="application/xml")
        date = "Wed, 25 Nov 2026 10:00:00 GMT"
        return request.send(200, b"loss=1.5", ETag='"0x1"', Last_Modified=date)

    fault_server.answer = answer
    assert rows("az://container/logs/")[0] == [("az://container/logs/a.log", "loss", 1.5, 1, 0)]
    assert fault_server.requests[-1].path == "/container/logs/a.log"


def test_every_command_takes_urls(bucket, tmp_path):
    """`scan`, `explain`, `suggest`, `check --against` and `-p auto`."""
    url = "s3://joblogs/logs/a.log"
    metric = ("-m", r"loss=loss=([0-9.]+)")
    done = run("scan", url, *metric, "--report", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f'"source": "{url}"') or done.stdout.count(url) == 100
    assert run("explain", url, *metric).returncode == 0
    assert '"loss' in run("suggest", url).stdout
    assert run("check", *metric, "--against", url).returncode == 0
    bucket.put_object(Bucket="joblogs", Key="x.log", Body=b"[0]\ttrain-rmse:8.25\n")
    done = run("scan", "s3://joblogs/x.log", "-p", "auto")
    assert "preset xgboost" in done.stderr
    written = (tmp_path / "report.json").read_text() + done.stdout + done.stderr
    assert "canary" not in written
    done = run("scan", "s3://joblogs/no.log", *metric)
    assert done.returncode == 3
    assert "s3://joblogs/no.log" in done.stderr


def test_credentials_that_are_refused_say_so(fault_server, aws, monkeypatch):
    """Which and where, without them."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", fault_server.url)
    body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    fault_server.answer = lambda request: request.send(403, body)
    with pytest.raises(OSError, match="do not allow") as caught:
        ms.scan("s3://some-bucket/logs/", LOSS)
    assert "s3://some-bucket/logs" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_s1_errors_of_the_server_are_tried_again(fault_server, aws, monkeypatch):
    """Throttled requests and one whose connection breaks."""
    left = [503, None, 500, 503]

    def answer(request):
        status = left.pop() if left else 200
        if status is None:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-")
            raise ConnectionAbortedError
        request.send(status, b"loss=1.5", ETag='"1"', Last_Modified="Wed, 25 Nov 2026 10:00:00 GMT")

    fault_server.answer = answer
    monkeypatch.setenv("AWS_ENDPOINT_URL", fault_server.url)
    table = ms.scan("s3://joblogs/other.log", LOSS).read_all()
    assert table["value"].to_pylist() == [1.5]
    assert not left


FORKED = """
import os, sys, warnings
import metricsieve as ms
warnings.simplefilter("ignore")
url, loss = sys.argv[1], {"loss": "loss=([0-9.]+)"}
scan = ms.scan(url, loss)
if sys.argv[2] == "after": ms.scan(url, loss).read_all()
if os.fork() == 0:
    try:
        print(ms.scan(url, loss).read_all().num_rows)
    except RuntimeError as error:
        print(error)
    sys.stdout.flush()
    os._exit(0)
print(os.wait()[1])
"""


def test_p3_a_forked_child_is_told(bucket):
    """obstore's threads stay in the parent; without the check the child would wait for ever."""
    command = [sys.executable, "-c", FORKED, "s3://joblogs/other.log", "after"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "spawn" in done.stdout
    assert done.stdout.endswith("0\n")


def test_importing_metricsieve_imports_no_client():
    """The extras are imported when a source needs them."""
    code = (
        "import sys, metricsieve as ms; ms.scan(b'', {'a': '(b)'}).read_all(); "
        "print([m for m in ('obstore', 'boto3', 'botocore', 'fsspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_missing_extra_is_named():
    """With the command that installs it."""
    code = (
        "import sys; sys.modules['obstore'] = None; import metricsieve as ms\n"
        "try: ms.scan('s3://bucket/key', {'a': '(b)'})\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'metricsieve[remote]'" in done.stdout


def test_warnings_stay_out():
    """Reading remote logs warns of nothing that a user could not change."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        import metricsieve.sources.object_store  # noqa: F401
