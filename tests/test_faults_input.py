"""Damaged inputs, odd files, hard numbers and threads, through `scan` and the program."""

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import math
import os
import resource
import shutil
import struct
import subprocess
import sys
import threading
import time

import metricsieve as ms
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from comparison import assert_equal, engine_scan, oracle_scan

LOSS = [{"Name": "loss", "Regex": r"loss=(\S+)"}]
CLOSED = [{"Name": "loss", "Regex": r"loss=(\d+);"}]
PROGRAM = [sys.executable, "-m", "metricsieve"]
PLAIN = b"".join(b"loss=%d;\n" % (number * number) for number in range(200))
CODECS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "lz4": lambda data: pa.compress(data, codec="lz4", asbytes=True),
}
each_codec = pytest.mark.parametrize("codec", CODECS)


def run(*arguments, **options):
    options = {"capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run([*PROGRAM, *map(str, arguments)], check=False, **options)


def scan_all(source, definitions=LOSS, **options):
    """All values, and the report."""
    found = ms.scan(source, definitions, **options)
    return found.read_all()["value"].to_pylist(), found.report


def cut(data, size):
    return (data[at : at + size] for at in range(0, len(data), size))


def wait_until(condition):
    """Poll; only a failure waits for the deadline."""
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def every_path(data, tmp_path):
    """The same bytes as everything that can be read."""
    path = tmp_path / "a.log"
    path.write_bytes(data)
    packed = tmp_path / "a.log.gz"
    packed.write_bytes(gzip.compress(data))
    return {
        "path": path,
        "gzip path": packed,
        "bytes": data,
        "reader": io.BytesIO(data),
        "gzip reader": io.BytesIO(gzip.compress(data)),
        "single bytes": cut(data, 1),
    }


# ---- bytes -------------------------------------------------------------------------------------

INVALID = b"loss=1\xff\nloss=2 \xc0\xaf\xed\xa0\x80\n\xf0\x9f\x98loss=3 \xe2\x82\nloss=4 \xe2\x82"
BINARY = b"\0\0loss=1\0\nloss=2 \0\n\0\nlo\0ss=3\nloss=4" + bytes(range(256)) + b"loss=5 \0\0"


@pytest.mark.parametrize("normalize", ["terminal", "none"])
@pytest.mark.parametrize("data", [INVALID, BINARY], ids=["b1_invalid_utf8", "b2_nul"])
def test_b1_b2_binary_bytes_are_the_same_on_every_path(tmp_path, data, normalize):
    """U+FFFD for each maximal invalid part, NUL as any character, wherever a read cuts."""
    definitions = [*LOSS, {"Name": "rest", "Regex": r"(\d+)(?P<tail>[^\d\n]*)$"}]
    expected, report = oracle_scan(data, definitions, ["tail"], normalize=normalize)
    assert report.definitions[0].points and report.definitions[1].points
    for kind, source in every_path(data, tmp_path).items():
        rows, _ = engine_scan(source, definitions, ["tail"], normalize=normalize)
        assert rows == expected, kind


TEXT = "loss=0.5 é日𝄞\r\nno\nloss=0.25\n"
ENCODINGS = {
    "utf-8": TEXT.encode(),
    "utf-8 with mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "utf-16 little": b"\xff\xfe" + TEXT.encode("utf-16-le"),
    "utf-16 big": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "utf-16 little, gzip": gzip.compress(b"\xff\xfe" + TEXT.encode("utf-16-le")),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_b3_the_same_text_in_five_encodings(encoding):
    """`^` works behind a byte order mark, and characters stay whole in single bytes."""
    definitions = [{"Name": "loss", "Regex": r"^loss=(\S+)(?P<rest>.*)$"}]
    expected, _ = oracle_scan(ENCODINGS["utf-8"], definitions, ["rest"])
    for source in (ENCODINGS[encoding], cut(ENCODINGS[encoding], 1)):
        rows, _ = engine_scan(source, definitions, ["rest"])
        assert [(*row[:3], *row[4:]) for row in rows] == [(*r[:3], *r[4:]) for r in expected]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_b3_utf16_without_a_mark_is_never_silently_nothing(encoding):
    """Its points, or a word about it in the report of the source."""
    values, report = scan_all("loss=1\nloss=2\n".encode(encoding))
    assert values == [1, 2] or report.sources[0].error or report.sources[0].warning


@pytest.mark.parametrize("text", [TEXT.replace("\r", ""), "loss=1\n\n\nloss=2", "\n", "loss=1\n"])
def test_b4_crlf_gives_the_rows_of_lf(text):
    """But for the offsets; and CR CR LF is two records."""
    rows, _ = assert_equal(text.encode(), LOSS)
    crlf, _ = assert_equal(text.replace("\n", "\r\n").encode(), LOSS)
    assert [(*row[:3], *row[4:]) for row in crlf] == [(*row[:3], *row[4:]) for row in rows]
    _, report = assert_equal(b"loss=1\r\r\nloss=2", LOSS)
    assert report.records == 3


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r", b"\r\n", b"#015"])
def test_b6_the_last_record_needs_no_terminator(tmp_path, ending):
    """On every path; a terminator at the end opens no record."""
    for source in every_path(b"loss=1\nloss=25" + ending, tmp_path).values():
        values, report = scan_all(source)
        assert (values, report.records) == ([1, 25], 2)


def test_b7_a_line_of_100_mb_is_skipped_in_little_memory():
    """Measured in a process of its own: its peak, not the one it was forked from."""
    code = """if True:
        import json, re
        import metricsieve as ms
        def chunks():
            yield b"loss=1\\n"
            for _ in range(100):
                yield b"loss=9 " * 150_000
            yield b"\\nloss=2\\n"
        found = ms.scan(chunks(), {"loss": r"loss=(\\S+)"})
        values = found.read_all()["value"].to_pylist()
        peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)
        print(json.dumps([values, found.report.skipped, found.report.records, int(peak)]))
    """
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    values, skipped, records, peak = json.loads(done.stdout)
    assert (values, skipped, records) == ([1, 2], {"too_long": 1}, 3)
    assert peak < 400 * 1024


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\n\r", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_b8_nothing_gives_a_valid_file_with_the_schema(tmp_path, data):
    """From `write` and from the program alike."""
    path, output = tmp_path / "a.log", tmp_path / "a.parquet"
    path.write_bytes(data)
    found = ms.scan(path, LOSS)
    found.write(output)
    table = pq.read_table(output)
    assert (table.num_rows, table.column_names) == (0, found.schema.names)
    assert found.report.complete


def test_b8_the_program_calls_an_empty_log_a_success(tmp_path):
    """Exit 0 and a readable file."""
    path, output = tmp_path / "a.log", tmp_path / "a.parquet"
    path.write_bytes(b"")
    assert run("scan", path, "-m", r"loss=loss=(\S+)", "-o", output).returncode == 0
    assert pq.read_metadata(output).num_rows == 0


MIXED = b"loss=1\r\n#011loss=\x1b[1m2.5\x1b[0m#015loss=3\xe2\x82\xac\b\bloss=4 \xff\r\r\nloss=5" * 3


@pytest.mark.parametrize("size", [*range(1, 17), 31, 64])
def test_b10_chunks_may_cut_anywhere(size):
    """Inside a terminator, an escape, a character, a number."""
    expected, _ = oracle_scan(MIXED, LOSS, [])
    assert engine_scan(cut(MIXED, size), LOSS, [])[0] == expected


@pytest.mark.parametrize("size", [n + d for n in (1 << 16, 1 << 18, 1 << 20) for d in (-1, 0, 1)])
def test_b10_chunks_around_the_sizes_of_buffers(size):
    """More than one buffer of each, in records that do not divide it."""
    data = b"".join(b"loss=%d;%s\r\n" % (n, b"x" * (n % 501)) for n in range(8_000))
    expected = list(range(8_000))
    table = ms.scan(cut(data, size), CLOSED).read_all()
    assert table["value"].to_pylist() == expected
    assert table["line"].to_pylist() == [number + 1 for number in expected]


def test_b11_a_file_that_grows_gives_the_rows_of_its_snapshot(tmp_path):
    """What is appended after the first batch is for the next scan, even to the open record."""
    path = tmp_path / "a.log"
    path.write_bytes(b"loss=1\n" * 200_000 + b"loss=2")
    found = ms.scan(path, LOSS, batch_rows=1000, threads=1)
    values = next(found)["value"].to_pylist()
    with open(path, "ab") as log:
        log.write(b"34\nloss=5\n")
    for batch in found:
        values += batch["value"].to_pylist()
    assert values == [1] * 200_000 + [2]
    assert scan_all(path)[0][-2:] == [234, 5]


def test_b12_only_lf_and_cr_end_a_record():
    """`str.splitlines` would split at each of these."""
    data = "loss=1\vloss=2\floss=3\x1closs=4\x85loss=5\u2028loss=6\u2029loss=7\n".encode()
    rows, report = assert_equal(data, [{"Name": "n", "Regex": r"loss=(\d)", "Matches": "all"}])
    assert (len(rows), report.records) == (7, 1)
    assert_equal(data, [{"Name": "n", "Regex": r"^loss=(\d).*loss=7$"}])


# ---- compression -------------------------------------------------------------------------------


@each_codec
def test_c1_a_cut_stream_keeps_its_rows_and_is_incomplete(codec):
    """Cut at every byte behind the magic: the rows are a prefix of all, and never all is well."""
    packed = CODECS[codec](PLAIN)
    expected, _ = scan_all(PLAIN, CLOSED)
    for size in range(12, len(packed)):
        values, report = scan_all(packed[:size], CLOSED)
        assert values == expected[: len(values)], size
        assert not report.complete, size
        assert report.sources.failed == 1


def test_c1_half_of_a_gzip_file_gives_half_of_the_rows():
    """Not none: what can be decoded is delivered."""
    packed = gzip.compress(PLAIN)
    values, _ = scan_all(packed[: len(packed) // 2], CLOSED)
    assert 0 < len(values) < 200


def test_c1_the_program_exits_with_3_and_delivers_the_others(tmp_path):
    """The rows of the cut file, then those of the next one."""
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(PLAIN)[:-1])
    (tmp_path / "b.log").write_bytes(PLAIN)
    done = run("scan", tmp_path, "-m", r"loss=loss=(\d+);")
    assert done.returncode == 3
    assert len(done.stdout.splitlines()) == 400
    assert "a.log.gz" in done.stderr


@each_codec
@pytest.mark.parametrize("count", [1, 2, 1000])
def test_c2_all_members_are_read(codec, count):
    """A record may cross from one member into the next."""
    halves = CODECS[codec](b"loss=1;\nlos"), CODECS[codec](b"s=2;\n")
    values, report = scan_all(b"".join(halves) * count, CLOSED)
    assert values == [1, 2] * count
    assert report.complete


@each_codec
def test_c3_zeros_behind_the_data_are_ignored_and_garbage_is_told(codec):
    """Either way every row is there."""
    packed = CODECS[codec](PLAIN)
    expected, _ = scan_all(PLAIN, CLOSED)
    values, report = scan_all(packed + bytes(512), CLOSED)
    assert (values, report.complete, report.warnings) == (expected, True, [])
    values, report = scan_all(packed + b"loss=7;\n", CLOSED)
    assert values == expected
    assert any("garbage" in line and str(len(packed)) in line for line in report.warnings)


@each_codec
def test_c5_the_bytes_decide_not_the_name(codec, tmp_path):
    """A compressed `.log`, a plain `.gz`, and one compression named as another."""
    for name, data in {
        "a.log": CODECS[codec](PLAIN),
        "b.gz": PLAIN,
        "c.xz": CODECS[codec](PLAIN),
    }.items():
        (tmp_path / name).write_bytes(data)
    values, report = scan_all(tmp_path, CLOSED)
    assert len(values) == 600
    assert [entry.compression for entry in report.sources] == [codec, "none", codec]


@each_codec
def test_c8_a_flipped_bit_is_an_error_with_its_offset_and_the_next_goes_on(codec):
    """One bit of every byte: nothing changes, or the source failed, or it is no such file."""
    packed = CODECS[codec](PLAIN)
    expected, _ = scan_all(PLAIN, CLOSED)
    failures = 0
    for at in range(0, len(packed), 2 if len(packed) > 400 else 1):
        damaged = bytearray(packed)
        damaged[at] ^= 1 << at % 8
        found = ms.scan([bytes(damaged), PLAIN], CLOSED)
        table, report = found.read_all(), found.report
        first, second = report.sources[0], report.sources[1]
        rows = zip(*(table[name].to_pylist() for name in ("source", "value")), strict=True)
        by_source = {"<bytes:0>": [], "<bytes:1>": []}
        for source, value in rows:
            by_source[source].append(value)
        assert by_source["<bytes:1>"] == expected
        assert second.complete
        if first.error:
            failures += 1
            assert "offset" in first.error
        elif first.compression == codec and not first.warning and codec != "lz4":
            assert by_source["<bytes:0>"] == expected, at  # pyarrow's lz4 has no checksum
    assert failures > len(packed) / 8 or codec == "lz4"


def test_c8_what_is_packed_twice_is_told():
    """It is not unpacked twice, and not silently nothing."""
    values, report = scan_all(gzip.compress(gzip.compress(PLAIN)), CLOSED)
    assert values == []
    assert any("gzip data holds gzip" in line for line in report.warnings)


# ---- files -------------------------------------------------------------------------------------


def test_f6_one_file_by_many_names_is_read_once(tmp_path):
    """Two globs, a hard link, a soft link, and a loop of directories."""
    (tmp_path / "a.log").write_text("loss=1\n")
    (tmp_path / "b.log").write_text("loss=2\n")
    os.link(tmp_path / "a.log", tmp_path / "hard.log")
    (tmp_path / "soft.log").symlink_to("b.log")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "itself.log").symlink_to("itself.log")
    sources = [tmp_path / "[ab].log", str(tmp_path / "*b.log"), tmp_path / "hard.log"]
    assert scan_all([str(one) for one in sources])[0] == [1, 2]
    values, report = scan_all(tmp_path)
    assert values == [1, 2]
    assert report.sources.failed == 1  # the link to itself cannot be opened, which is told


def test_f7_missing_in_a_mapping_and_dangling(tmp_path):
    """A name that is not there is an error before reading; a dangling link in a directory later."""
    with pytest.raises(FileNotFoundError) as caught:
        ms.scan({"one": b"loss=1\n", "two": tmp_path / "gone.log"}, LOSS)
    assert caught.value.filename == str(tmp_path / "gone.log")
    (tmp_path / "a.log").symlink_to("gone")
    (tmp_path / "b.log").write_text("loss=2\n")
    values, report = scan_all({"run": str(tmp_path / "*.log")})
    assert values == [2]
    assert [entry.complete for entry in report.sources] == [False, True]
    assert not report.complete


def test_f8_a_fifo_is_read_to_its_end(tmp_path):
    """More than a pipe holds, from a thread that writes while the scan reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write():
        with open(path, "wb") as fifo:
            fifo.write(b"loss=1\n" * 50_000 + b"loss=2")

    writer = threading.Thread(target=write)
    writer.start()
    values, report = scan_all(path)
    writer.join()
    assert values == [1] * 50_000 + [2]
    assert report.complete


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".arrow"])
def test_f11_a_full_device_or_a_size_limit_is_exit_4_without_a_file(tmp_path, suffix):
    """`/dev/full` at once, `ulimit -f` in the middle."""
    source, output = tmp_path / "a.log", tmp_path / f"out{suffix}"
    source.write_bytes(b"".join(b"loss=%d.%d\n" % (n, n * n) for n in range(20_000)))

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))

    command = [*PROGRAM, "scan", str(source), "-m", r"loss=loss=(\S+)", "-o", str(output)]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, timeout=60)
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["a.log"]


def test_f11_a_full_file_system_is_exit_4_without_a_file(tmp_path):
    """A tmpfs of 64 KiB in a mount namespace; the listing afterwards comes from inside it."""
    source, small = tmp_path / "a.log", tmp_path / "small"
    small.mkdir()
    source.write_bytes(b"".join(b"loss=%d.%d\n" % (n, n * n) for n in range(20_000)))
    mount = 'mount -t tmpfs -o size=64k none "$0" || exit 77; '
    script = mount + '"$@"; status=$?; ls -A "$0"; exit $status'
    if not shutil.which("unshare"):
        pytest.skip("no unshare")
    command = ["unshare", "--mount", "sh", "-c", script, str(small), *PROGRAM, "scan", str(source)]
    command += ["-m", r"loss=loss=(\S+)", "-o", str(small / "out.csv")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    assert (done.returncode, done.stdout) == (4, "")
    assert "space" in done.stderr


def test_f17_a_reader_that_goes_away_ends_an_endless_scan():
    """`yes | metricsieve | head -1`: exit 0, and the writer is let go."""
    writer = subprocess.Popen(["yes", "loss=1"], stdout=subprocess.PIPE)
    command = [*PROGRAM, "scan", "-", "-m", r"loss=loss=(\S+)"]
    process = subprocess.Popen(command, stdin=writer.stdout, stdout=-1, stderr=-1)
    writer.stdout.close()
    try:
        assert json.loads(process.stdout.readline())["value"] == 1
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""
        assert writer.wait(60) != 0
    finally:
        for one in (process, writer):
            one.kill()
            one.wait()
        process.stderr.close()


def test_f17_a_closed_stdout_is_exit_4(tmp_path):
    """`>&-`: nothing was delivered, so it is no success."""
    path = tmp_path / "a.log"
    path.write_text("loss=1\n")
    command = ["sh", "-c", '"$@" >&-', "sh", *PROGRAM, "scan", str(path), "-m", "loss=loss=(.)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    assert "closed" in done.stderr


# ---- values ------------------------------------------------------------------------------------

NUMBERS = [
    *("nan", "-nan", "inf", "-inf", "+Infinity", "-INF"),
    *("1e-400", "4.9e-324", "2.2250738585072014e-308", "2.2250738585072011e-308", "-1e-310"),
    *("9007199254740993", "9007199254740992", "123456789012345678901234567890", "-0.0", "-0"),
    *("0.1", "1.7976931348623157e308", "1.0000000000000002", "3.4028236e38", "5e-1", ".5", "1."),
]
REJECTS = ["1e400", "-1e999", "1_000", "١٢", "1", "0x1f", "1,234", "0,5", "1.5e3ms", "None", "N/A"]
TRIMMED = ["12%", "0.5,", "'0.5'", "(0.5)", "0.5}"]


@pytest.mark.parametrize("number", ["trim", "strict", "prefix"])
def test_v1_v2_v3_v4_v6_v7_values_and_rejects_are_the_oracle_s(number):
    """Bit for bit, with the counts of each reason."""
    texts = [*NUMBERS, *REJECTS, *TRIMMED, "", "9" * 100_000, "0." + "1" * 100_000]
    data = "".join(f"loss=<{text}>\n" for text in texts).encode()
    definitions = [{"Name": "loss", "Regex": "loss=<(.*)>"}]
    _, report = assert_equal(data, definitions, number=number)
    rejects = report.definitions[0].rejects
    assert rejects["overflow"] == 3
    assert rejects["no_value"] == 1
    assert report.definitions[0].underflow == 1
    _, engine = engine_scan(data, definitions, [], number=number)
    assert engine["definitions"][0]["underflow"]["count"] == 1
    assert engine["definitions"][0]["trimmed"]["count"] == report.definitions[0].trimmed


def bits(values):
    """With the one NaN there is."""
    return [struct.pack("<d", math.nan if math.isnan(value) else value).hex() for value in values]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".arrow", ".jsonl"])
def test_v1_v7_values_survive_a_file(tmp_path, suffix):
    """NaN, infinities, -0.0, subnormals and integers above 2^53, to the bit."""
    path = tmp_path / f"a{suffix}"
    data = "".join(f"loss={text}\n" for text in NUMBERS).encode()
    ms.scan(data, LOSS).write(path)
    if suffix == ".parquet":
        read = pq.read_table(path)["value"].to_pylist()
    elif suffix == ".arrow":
        read = pa.ipc.open_file(path).read_all()["value"].to_pylist()
    elif suffix == ".csv":
        with open(path, newline="") as file:
            read = [float(row["value"]) for row in csv.DictReader(file)]
    else:
        read = [float(json.loads(line)["value"]) for line in path.read_text().splitlines()]
    assert bits(read) == bits(float(text) for text in NUMBERS)


@pytest.mark.parametrize(
    "regex, line, value",
    [
        (r"lr=([0-9\.]+)", b"lr=1.2e-05", 1.2),
        (r"loss=-?([0-9\.]+)", b"loss=-3", 3.0),
        (r"loss.*([0-9.]+)", b"loss=0.125", 5.0),
    ],
)
def test_v5_a_number_that_goes_on_is_kept_and_told(regex, line, value):
    """The definition is too narrow, which the values alone do not show."""
    found = ms.scan(line, [{"Name": "narrow", "Regex": regex}])
    assert found.read_all()["value"].to_pylist() == [value]
    assert found.report.definitions[0].truncated["count"] == 1
    assert any("more digits" in text for text in found.report.warnings)


def test_v6_a_million_digits_are_rejected_and_their_example_is_short():
    """64 bytes of it are enough."""
    found = ms.scan(b"loss=" + b"9" * 1_000_000 + b"\n", LOSS)
    assert found.read_all().num_rows == 0
    (entry,) = found.report.definitions
    assert entry.rejects["overflow"] == 1
    assert len(entry.reject_examples["overflow"][0]["text"].encode()) <= 64


# ---- threads and processes ---------------------------------------------------------------------


def test_p1_another_thread_counts_while_a_scan_parses():
    """With so long a switch interval it runs only while the engine lets go of the GIL."""
    block = b"nothing of the kind is here 12345678\n" * 200_000
    found = ms.scan([block] * 8, [{"Name": "m", "Regex": r"(\d)\d*x$"}], threads=1)
    ticks, over = itertools.count(), threading.Event()

    def tick():
        while not over.is_set():
            next(ticks)
            time.sleep(0)  # offers the GIL, waits for nothing

    ticker = threading.Thread(target=tick)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        ticker.start()
        before = next(ticks)
        assert next(found, None) is None
        ticked = next(ticks) - before
    finally:
        sys.setswitchinterval(interval)
        over.set()
        ticker.join()
    assert ticked > 1000


EXITS = {
    "end": "",
    "sys.exit": "sys.exit()",
    "thread": "threading.Thread(target=lambda: [None for _ in found], daemon=True).start()",
}


@pytest.mark.parametrize("how", EXITS)
@pytest.mark.parametrize("source", ["chunks()", "sys.argv[1]"], ids=["chunks", "fifo"])
def test_p5_the_interpreter_exits_with_a_live_scan(tmp_path, source, how):
    """While the source has more to give, or is silent and keeps a reader waiting."""
    code = f"""if True:
        import sys, threading
        import metricsieve as ms
        def chunks():
            while True:
                yield b"loss=1\\n" * 10_000
        found = ms.scan({source}, {{"loss": r"loss=(.)"}}, batch_rows=10)
        assert next(found).num_rows
        {EXITS[how]}
    """
    path = tmp_path / "fifo"
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDWR)  # with a writer there is no end
    os.write(fifo, b"loss=1\n" * 1000)
    try:
        command = [sys.executable, "-c", code, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    finally:
        os.close(fifo)
    assert (done.returncode, done.stderr) == (0, "")


def count(directory):
    return len(os.listdir(f"/proc/self/{directory}"))


@pytest.mark.parametrize("end", ["close", "with", "del"])
@pytest.mark.parametrize("kind", ["files", "endless chunks", "gzip"])
def test_p10_threads_and_files_are_gone_after_a_break(tmp_path, kind, end):
    """Whichever way the scan is left."""
    for name in "abcd":
        (tmp_path / name).write_bytes(b"loss=1\n" * 100_000)
    (tmp_path / "e.gz").write_bytes(gzip.compress(b"loss=1\n" * 1_000_000, 1))
    sources = {
        "files": [tmp_path / name for name in "abcd"],
        "endless chunks": itertools.repeat(b"loss=1\n" * 1000),
        "gzip": tmp_path / "e.gz",
    }
    scan_all(b"loss=1\n")  # what is made once a process
    before = count("fd"), count("task")
    found = ms.scan(sources[kind], LOSS, batch_rows=100, threads=2)
    if end == "with":
        with found:
            for _ in found:
                break
    else:
        for _ in found:
            break
        if end == "close":
            found.close()
    del found
    assert wait_until(lambda: count("fd") <= before[0] and count("task") <= before[1])


def test_c1_half_a_record_before_a_break_is_no_point():
    """The record in which a source breaks off is skipped and counted: half a number is wrong."""
    lines = [b"loss=%d\n" % (number + 10_000) for number in range(2_000)]
    whole = b"".join(lines)
    for cut in (2_200, 2_300, 2_401):
        scan = ms.scan(gzip.compress(whole)[:cut], {"loss": r"loss=(\S+)"})
        with pytest.warns(ms.SourceWarning):
            values = scan.read_all()["value"].to_pylist()
        assert values == [float(number + 10_000) for number in range(len(values))]
        assert scan.report.to_dict()["skipped"].get("cut_off", 0) <= 1
