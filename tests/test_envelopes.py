"""Log envelopes and timestamps: text of the real shape, by name and by `auto`."""

import datetime
import gzip
import json
import os
import re

import metricsieve as ms
import pytest
import wrapping
from test_corpus import CORPUS
from wrapping import Event

START = 1_684_530_426_123
MESSAGES = [
    "loss=0.5",
    "starting",
    "loss=1e-3 of rank\tzero",
    'Traceback "x"\\n\nloss=7\n  File é',
    "",
    "#011loss=2",
    " 24%|##\rloss=3\rloss=4",
    "loss=nan",
]
EVENTS = [
    Event(START + 1_000 * number, f"algo-{1 + number % 3}", MESSAGES[number % len(MESSAGES)])
    for number in range(40)
]
# What the wrapping says of an event: whether it has the time, the host, the stream, the rank.
TELLS = {
    "export": ("cloudwatch-export", "time"),
    "tail_detailed": ("cloudwatch-tail", "time host stream"),
    "tail_plain": ("cloudwatch-tail", "time host stream"),
    "tail_short": ("cloudwatch-tail", "second"),
    "get_log_events": ("cloudwatch-json", "time"),
    "filter_log_events": ("cloudwatch-json", "time host stream"),
    "subscription": ("cloudwatch-json", "time host stream"),
    "compose_v1": ("compose", "host"),
    "compose_v2": ("compose", "host"),
    "notebook": ("notebook", "host"),
    "operator": ("operator", "time host stream"),
    "mpirun": ("mpi", "host rank"),
    "docker": ("docker-json", "time"),
    "cri": ("cri", "time"),
    "json_lines": ("json", "time host"),
}
LOSS = {"loss": r"loss=(\S+)"}


def expected(tells):
    """What Python's `re` finds in the messages, with what the wrapping tells of each."""
    rows = []
    for event in EVENTS:
        for record in re.split(r"\r\n|\n|\r", event.message):
            for value in re.findall(r"loss=(\S+)", record)[:1]:
                time = event.time if "time" in tells else None
                time = event.time.replace(microsecond=0) if "second" in tells else time
                host = event.host if "host" in tells else None
                stream = event.stream if "stream" in tells else None
                rank = int(event.host[5:]) if "rank" in tells else None
                rows.append((repr(float(value)), time, host, stream, rank))
    return rows


def found(source, tells, **options):
    """The same of a scan; and the report's envelope."""
    scan = ms.scan(source, LOSS, **options)
    rows = [
        (
            repr(row["value"]),
            row["timestamp"],
            row["host"],
            row["stream"] if "stream" in tells else None,
            row["rank"],
        )
        for row in scan.read_all().to_pylist()
    ]
    return rows, scan.report.sources[0].envelope


@pytest.mark.parametrize("named", [False, True], ids=["auto", "named"])
@pytest.mark.parametrize("shape", TELLS)
def test_every_wrapping_is_taken_off_and_tells_what_it_knows(shape, named):
    """Values, times, hosts, streams and ranks are those of the events."""
    envelope, tells = TELLS[shape]
    text = getattr(wrapping, shape)(EVENTS)
    rows, chosen = found(text.encode(), tells, envelope=envelope if named else "auto")
    assert chosen == envelope
    assert rows == expected(tells)


@pytest.mark.parametrize("shape", TELLS)
def test_where_a_row_is_from_can_be_found_again(shape):
    """Offset and line lead into the text: to the message, or to the event that holds it."""
    envelope, _ = TELLS[shape]
    text = getattr(wrapping, shape)(EVENTS).encode()
    scan = ms.scan(text, LOSS, columns=["offset", "line", "text"])
    rows = scan.read_all().to_pylist()
    assert len(rows) == len(expected(""))
    unwrapped = envelope in ("cloudwatch-json", "docker-json", "cri", "json")
    for row in rows:
        assert text.count(b"\n", 0, row["offset"]) + 1 == row["line"]
        here = text[row["offset"] :]
        if unwrapped:
            assert here.startswith((b"{", b"20"))
        else:
            record = re.split(rb"[\r\n]", here, maxsplit=1)[0]
            assert b"loss=" + row["text"].encode() in record
            assert not re.match(rb"20\d\d-", record)


@pytest.mark.parametrize("shape", ["export", "subscription", "cri", "tail_plain", "compose_v1"])
def test_packed_in_pieces_and_on_threads_the_rows_are_the_same(tmp_path, shape):
    """A large file in splits, gzip, a stream in chunks of seven bytes."""
    events = [
        Event(START + number, f"algo-{1 + number % 2}", f"loss={number}\nand a further line " * 3)
        for number in range(60_000)
    ]
    text = getattr(wrapping, shape)(events).encode()
    path = tmp_path / "large.log"
    path.write_bytes(text)
    columns = ["value", "timestamp", "host", "offset"]
    plain = ms.scan(path, LOSS, columns=columns, threads=1).read_all()
    lines = sum(event.message.count("loss=") for event in events)
    assert plain.num_rows == lines == 180_000
    for threads in (2, 4):
        assert ms.scan(path, LOSS, columns=columns, threads=threads).read_all() == plain
    assert ms.scan(gzip.compress(text, 1), LOSS, columns=columns).read_all() == plain
    head = text[:200_000]
    chunks = (head[at : at + 7] for at in range(0, len(head), 7))
    some = ms.scan(chunks, LOSS, columns=columns).read_all()
    assert some.num_rows > 500
    assert some.slice(0, 500) == plain.slice(0, 500)


def test_patterns_see_the_message_alone():
    """An anchor is the message's beginning, and what stands in the prefix is not matched."""
    text = "2023-05-19T21:07:06.123Z loss=1\n2023-05-19T21:07:07.123Z x loss=2\n"
    rows = ms.scan(text.encode(), {"loss": r"^loss=(.)", "year": r"(2023)"}).read_all()
    assert rows["value"].to_pylist() == [1]


def test_context_is_carried_over_events():
    """And found in messages only."""
    messages = ["Epoch 3", *MESSAGES[:3], "Epoch 4", MESSAGES[0]]
    events = [Event(START, "algo-1", message) for message in messages]
    for shape in ("export", "filter_log_events"):
        text = getattr(wrapping, shape)(events).encode()
        context = {"epoch": r"^Epoch (\d)", "year": r"^(2023)"}
        table = ms.scan(text, LOSS, context=context).read_all()
        assert table["epoch"].to_pylist() == [3, 3, 4]
        assert table["year"].null_count == 3


def test_nothing_is_lost_that_has_no_wrapping(tmp_path):
    """Lines of another kind between the others are read as they are, and counted."""
    compose = wrapping.compose_v2(EVENTS[:8]) + "loss=11\n"
    docker = wrapping.docker(EVENTS[:8]) + "loss=12\n{'loss': 1} loss=13\n"
    documents = wrapping.get_log_events(EVENTS[:8]) + "\nloss=14\n{'a': 'loss=15'}"
    for text, values in ((compose, [11]), (docker, [12, 13]), (documents, [14])):
        scan = ms.scan(text.encode(), LOSS)
        found = scan.read_all()["value"].to_pylist()
        assert found[-len(values) :] == values
        assert scan.report.sources[0].foreign >= len(values)
    assert "was read as 'cloudwatch-json': 3 points or events" in "\n".join(scan.report.warnings)


def test_half_a_document_gives_the_events_that_are_whole():
    """A download that broke off."""
    text = wrapping.filter_log_events(EVENTS).encode()
    whole = ms.scan(text, LOSS).read_all()["value"].to_pylist()
    for share in (0.3, 0.7):
        half = ms.scan(text[: int(len(text) * share)], LOSS).read_all()["value"].to_pylist()
        assert len(half) >= len(whole) * (share - 0.2)
        assert str(half[:-1]) == str(whole[: len(half) - 1])


def test_a_key_names_the_message_of_json_lines():
    """`json:KEY`; metrics under other keys keep `auto` from taking lines apart."""
    line = json.dumps({"event": "loss=1", "loss": 0.5}) + "\n"
    patterns = {"loss": r"^loss=(\S+)", "field": r'"loss": (\S+)}'}
    plain = ms.scan(line.encode() * 3, patterns)
    assert set(plain.read_all()["metric"].to_pylist()) == {"field"}
    assert plain.report.sources[0].envelope == "plain"
    named = ms.scan(line.encode() * 3, patterns, envelope="json:event")
    assert set(named.read_all()["metric"].to_pylist()) == {"loss"}


def test_job_host_and_stream_are_read_from_the_sources_name(tmp_path):
    """Of a stream, and of a folder that an export to S3 made."""
    for name in ("my-job/algo-1-1574293123.log", "x/3f2a/my-job-algo-2-1574293123/000000.gz"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        data = b"loss=1\n"
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    table = ms.scan(tmp_path, LOSS).read_all().to_pylist()
    assert [(row["job"], row["host"]) for row in table] == [
        ("my-job", "algo-1"),
        ("my-job", "algo-2"),
    ]
    assert table[1]["stream"] == "my-job/algo-2-1574293123"


def test_labels_come_before_what_the_wrapping_tells():
    """A group named `host` fills the column; where it takes no part, the wrapping does."""
    text = wrapping.mpirun(
        [Event(START, "algo-2", "on a loss=1"), Event(START, "algo-3", "loss=2")]
    )
    definitions = {"loss": r"(?:on (?P<host>\w) )?loss=(\S)"}
    table = ms.scan(text.encode(), definitions, envelope="mpi").read_all()
    assert table["host"].to_pylist() == ["a", "algo-3"]
    assert table["rank"].to_pylist() == [2, 3]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2023-05-19 21:07:06,123 - loss=1", "2023-05-19T19:07:06.123"),
        ("2023-05-19T21:07:06Z loss=1", "2023-05-19T21:07:06"),
        ("[05/19/2023 21:07:06 INFO 140276281280320] loss=1", "2023-05-19T19:07:06"),
        ("1684530426.5 loss=1", "2023-05-19T21:07:06.5"),
        ("step 5 loss=1", None),
    ],
)
def test_t2_t7_the_message_tells_the_time_where_the_wrapping_does_not(line, expected):
    """In the zone that was named, unless the text names one; never the time of now."""
    table = ms.scan(f"{line}\rloss=2\n".encode(), LOSS, timezone="Europe/Berlin").read_all()
    if expected is not None:
        expected = datetime.datetime.fromisoformat(expected).replace(tzinfo=datetime.UTC)
    assert table["timestamp"].to_pylist() == [expected, expected]
    again = ms.scan(f"{line}\rloss=2\n".encode(), LOSS, timezone="Europe/Berlin").read_all()
    assert again == table


def test_t1_a_year_that_is_missing_is_that_of_the_file(tmp_path):
    """The latest before the file was last written to; without a file there is none."""
    path = tmp_path / "syslog"
    path.write_bytes(b"Dec 31 23:00:00 host loss=1\nJan  1 01:00:00 host loss=2\n")
    written = datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC).timestamp()
    os.utime(path, (written, written))
    times = ms.scan(path, LOSS).read_all()["timestamp"].to_pylist()
    assert [time.year for time in times] == [2023, 2024]
    assert ms.scan(path.read_bytes(), LOSS).read_all()["timestamp"].null_count == 2


def test_times_that_clocks_showed_twice_are_counted():
    """An hour in October."""
    scan = ms.scan(b"2023-10-29 02:30:00 loss=1\n", LOSS, timezone="Europe/Berlin")
    assert scan.read_all().num_rows == 1
    assert scan.report.sources[0].ambiguous_times == 1
    assert "a time that the clocks of the time zone showed twice" in scan.report.warnings[0]


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is no part of the repository")
def test_the_rows_of_real_logs_are_those_of_their_messages():
    """`auto` finds wrappings in real logs; without these they are plain text, of the same rows."""
    prefix = re.compile(rb"^(?:\x1b\[\d+m)?[\w.-]+ +\|(?:\x1b\[0m)? ?", re.MULTILINE)
    definitions = {"number": r"([-+]?\d+\.\d+(?:[eE][-+]?\d+)?)", "first": r"^(\d+)"}
    columns = ["metric", "value", "line", "match"]
    chosen = {}
    for path in sorted(CORPUS.glob("logs/*")):
        auto = ms.scan(path, definitions, columns=columns)
        rows = auto.read_all()
        envelope = auto.report.sources[0].envelope
        chosen.setdefault(envelope, []).append(path.name)
        text = path.read_bytes()
        if envelope == "compose":
            text = prefix.sub(b"", text)
        assert ms.scan(text, definitions, envelope="plain", columns=columns).read_all() == rows
    assert len(chosen["plain"]) > 20
    assert chosen.keys() <= {"plain", "mpi", "notebook", "compose"}
