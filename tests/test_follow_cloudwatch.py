"""Following log groups and jobs, over real HTTP, compared with scans of the same streams.

METRICSIEVE_LOG_KILLS chooses how often the follower is killed: 3 times without it.
"""

import json
import os
import random
import subprocess
import threading
import time

import metricsieve as ms
import pyarrow.dataset
import pytest
from metricsieve.exceptions import SourceError, SourceWarning, StateError
from metricsieve.sources.cloudwatch_logs import CloudWatchLogs
from program import PROGRAM, run
from servers import GROUP
from test_cloudwatch_logs import DCG, LOSS, NOW, Service, error, make_job, put

KILLS = int(os.environ.get("METRICSIEVE_LOG_KILLS", "3"))
pytestmark = pytest.mark.usefixtures("no_quota")
QUICK = {"poll": 0.0, "rotate_wait": 0.0}
COLUMNS = ["value", "timestamp", "job", "host", "line", "offset"]


def add(logs, stream, messages, start):
    """More events of a stream that exists, a millisecond after the other."""
    events = [{"timestamp": start + n, "message": text} for n, text in enumerate(messages)]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def rows(batches):
    """Rows in the order of streams, as scans give them."""
    found = [row for batch in batches for row in batch.select(COLUMNS).to_pylist()]
    return sorted(found, key=lambda row: (row["host"], row["line"], row["value"]))


def looks(count):
    """An `until` that ends after so many looks."""
    left = iter(range(count))
    return lambda live: next(left, None) is None


@pytest.mark.parametrize("way", ["url", "object"])
def test_a_group_is_read_from_its_beginning_and_then_as_it_grows(logs, way):
    """New streams too; rows, places and contexts are those of a scan of the group."""
    put(logs, "j/algo-1-1700000000", ["Epoch 1", "loss=0.5\nloss=0.25", "noise", "loss=1"])
    put(logs, "other/algo-1-1700000000", ["loss=9"])
    steps = [
        lambda: add(logs, "j/algo-1-1700000000", [" ", "loss=2", "loss=x"], NOW + 100),
        lambda: put(logs, "j/algo-2-1700000000", ["Epoch 5", "loss=3\n"], NOW + 200),
        lambda: add(logs, "j/algo-2-1700000000", ["loss=4 é"], NOW + 300),
        lambda: None,
        lambda: None,
    ]

    def until(live):
        if steps:
            steps.pop(0)()
        return not steps

    url = f"cloudwatch-logs:{GROUP}?stream-prefix=j/"
    source = url if way == "url" else CloudWatchLogs(GROUP, stream_prefix="j/")
    options = {"context": {"epoch": r"Epoch (\d+)"}}
    live = ms.follow(source, LOSS, until=until, **QUICK, **options)
    batches = list(live)
    scan = ms.scan(url, LOSS, **options)
    expected = list(scan)
    assert rows(batches) == rows(expected)
    assert len(rows(batches)) == 6
    epochs = [epoch for batch in batches for epoch in batch["epoch"].to_pylist()]
    assert epochs == [1, 1, 1, 1, 5, 5]
    assert live.report.records == scan.report.records
    found = {one.source: (one.points, one.envelope) for one in live.report.sources}
    assert found == {f"j/algo-{n}-1700000000": (k, "events") for n, k in ((1, 4), (2, 2))}


def test_restarts_go_on_where_the_state_says(logs, tmp_path):
    """Every event once, late ones too; with labels of one's own."""
    stream = "j/algo-1-1700000000"
    put(logs, stream, [f"loss={n}" for n in range(100)])
    url = f"cloudwatch-logs:{GROUP}"
    found = []
    for turn in range(4):
        live = ms.follow({"mine": url}, LOSS, state=tmp_path / "s", until=looks(2), **QUICK)
        found += [row for batch in live for row in batch.to_pylist()]
        # Older than those that were seen: hosts deliver late.
        add(logs, stream, [f"loss={1000 + turn}"], NOW + turn)
    live = ms.follow({"mine": url}, LOSS, state=tmp_path / "s", until=looks(2), **QUICK)
    found += [row for batch in live for row in batch.to_pylist()]
    assert [row["value"] for row in found] == [*range(100), 1000, 1001, 1002, 1003]
    assert [row["line"] for row in found] == list(range(1, 105))
    assert {row["source"] for row in found} == {f"mine/{stream}"}


class Writer(threading.Thread):
    """Puts numbered events into three streams, some of them late."""

    def __init__(self, logs, seed):
        super().__init__()
        self.logs = logs
        self.random = random.Random(seed)
        self.streams = [f"j/algo-{n}-1700000000" for n in (1, 2, 3)]
        self.stopping = threading.Event()
        self.written = 0

    def run(self):
        """Until it is stopped."""
        for stream in self.streams:
            self.logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        while not self.stopping.wait(self.random.random() * 0.02):
            count = self.random.randrange(1, 30)
            texts = [f"loss={self.written + n}.5" for n in range(count)]
            start = int(time.time() * 1000) - self.random.randrange(5_000)
            add(self.logs, self.random.choice(self.streams), texts, start)
            self.written += count


@pytest.mark.timeout(120 + 5 * KILLS)
def test_g3_kill_9_while_a_group_is_followed_loses_and_doubles_nothing(logs, tmp_path):
    """Into parts, at random moments; then the follower runs to the end once."""
    output, url = tmp_path / "parts", f"cloudwatch-logs:{GROUP}?stream-prefix=j/"
    arguments = ["follow", url, "-m", r"loss=loss=(\S+)", "-o", f"{output}/", "--poll", "0"]
    moments = random.Random(3)
    writer = Writer(logs, 5)
    writer.start()
    state = output / ".metricsieve-state" / "state.json"
    try:
        for _ in range(KILLS):
            command = [*PROGRAM, *arguments, "--commit-every", str(moments.choice([0, 0.05, 0.3]))]
            before = state.stat().st_mtime_ns if state.exists() else 0
            live = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            end = time.monotonic() + 30
            while time.monotonic() < end and live.poll() is None:  # until it has begun to work
                if state.exists() and state.stat().st_mtime_ns != before:
                    break
            time.sleep(moments.random())  # the moment is what is tested
            assert live.poll() is None, live.stderr.read()
            live.kill()
            live.wait()
            live.stderr.close()
    finally:
        writer.stopping.set()
        writer.join()
    done = run(*arguments, "--until-idle", "2", timeout=120)
    assert done.returncode == 0, done.stderr
    table = pyarrow.dataset.dataset(str(output), format="parquet").to_table()
    found = sorted(table["value"].to_pylist())
    print(f"\n{KILLS} kills, {writer.written:,} rows written, {len(found):,} found")
    assert found == [n + 0.5 for n in range(writer.written)]


def test_parts_whose_state_is_gone_are_not_added_to(logs, tmp_path):
    """Only the state tells which events they hold."""
    put(logs, "j/algo-1-1700000000", ["loss=1"])
    output = f"{tmp_path / 'parts'}/"
    url = f"cloudwatch-logs:{GROUP}"
    ms.follow(url, LOSS, sinks=output, until=looks(2), **QUICK).run()
    (tmp_path / "parts" / ".metricsieve-state" / "state.json").unlink()
    with pytest.raises(StateError, match=r"algo-1-1700000000.*write to another directory"):
        ms.follow(url, LOSS, sinks=output, **QUICK)


def test_a_job_is_followed_until_it_has_ended(aws, logs, tmp_path):
    """By the command, with the definitions of the job; then the command ends."""
    make_job(aws)
    put(logs, "my-job/algo-1-1700000000", [f"{DCG}0.5", f"{DCG}0.75"])
    put(logs, "my-job-2/algo-1-1700000000", [f"{DCG}9"])
    done = run("follow", "sagemaker:my-job", "--poll", "0.1", "--rotate-wait", "0", timeout=60)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["metric"], row["value"]) for row in found] == [
        ("test:dcg", 0.5),
        ("test:dcg", 0.75),
    ]
    assert {(row["job"], row["host"]) for row in found} == {("my-job", "algo-1")}


def describing(*statuses):
    """A job that has these statuses, one after the other."""
    left = list(statuses)
    return lambda _: (200, {"TrainingJobStatus": left.pop(0) if len(left) > 1 else left[0]})


def events(*messages, token=None):
    """A page of FilterLogEvents."""
    listed = [
        {"eventId": text, "logStreamName": "j/algo-1-1700000000", "timestamp": NOW, "message": text}
        for text in messages
    ]
    return 200, {"events": listed, **({} if token is None else {"nextToken": token})}


@pytest.fixture
def faulty(fault_server, aws, monkeypatch):
    """The fault server in the place of AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", fault_server.url)
    return fault_server


def values(live):
    """The values of all rows."""
    return [value for batch in live for value in batch["value"].to_pylist()]


def test_what_comes_after_the_end_of_a_job_is_read(faulty, monkeypatch):
    """Its status is asked for again, and the last look goes back as far as events may be late."""
    monkeypatch.setattr("metricsieve.following._log_watch._STATUS_SECONDS", 0.0)
    pages = iter([events("loss=1"), events(), events("loss=2"), events("loss=3")])
    asked = []

    def filtered(request):
        asked.append(request["startTime"])
        return next(pages, events("loss=2"))

    Service(
        faulty,
        DescribeTrainingJob=describing(*["InProgress"] * 3, "Completed"),
        FilterLogEvents=filtered,
    )
    assert values(ms.follow("sagemaker:j", LOSS, **QUICK)) == [1, 2, 3]
    assert len(asked) == 5
    assert asked[-1] == NOW - 300_000


def test_a_tuning_job_is_followed_through_its_training_jobs(faulty, monkeypatch):
    """Jobs that start later too; the end of all of them is the end."""
    monkeypatch.setattr("metricsieve.following._log_watch._STATUS_SECONDS", 0.0)
    looks = iter([["a"], ["a", "b"], ["a", "b"]])
    tuning = iter(["InProgress", "InProgress"])
    names = []

    def listed(_):
        names[:] = next(looks, ["a", "b"])
        status = "InProgress" if len(names) == 1 else "Completed"
        jobs = [{"TrainingJobName": name, "TrainingJobStatus": status} for name in names]
        return 200, {"TrainingJobSummaries": jobs}

    def filtered(asked):
        job = asked["logStreamNamePrefix"]
        text = f"loss={1 + 'ab'.index(job[0])}"
        event = {"eventId": text, "logStreamName": f"{job}x", "timestamp": NOW, "message": text}
        return 200, {"events": [event]}

    Service(
        faulty,
        DescribeHyperParameterTuningJob=lambda _: (
            200,
            {"HyperParameterTuningJobStatus": next(tuning, "Completed")},
        ),
        ListTrainingJobsForHyperParameterTuningJob=listed,
        FilterLogEvents=filtered,
    )
    assert sorted(values(ms.follow("sagemaker-tuning:t", LOSS, **QUICK))) == [1, 2]


def test_a_service_that_fails_for_a_while_is_shown_and_asked_again(faulty, monkeypatch):
    """Once it has answered; what it refuses at once is an error at once."""
    monkeypatch.setattr("metricsieve.sources._aws.RETRY_SECONDS", 0.0)
    monkeypatch.setattr("metricsieve.following._log_watch._FAILED_SECONDS", 0.0)
    throttled = [error("ThrottlingException")] * 3  # boto3 tries twice more by itself
    answers = iter([events("loss=1"), *throttled, events("loss=2")])
    Service(faulty, FilterLogEvents=lambda _: next(answers, None) or events())
    seen = []

    def until(live):
        seen.append([one.error for one in live.report.sources if one.error])
        return len(seen) == 4

    assert values(ms.follow("cloudwatch-logs:group", LOSS, until=until, **QUICK)) == [1, 2]
    assert [len(one) for one in seen] == [0, 1, 0, 0]
    assert "still throttled" in seen[1][0]
    Service(faulty, FilterLogEvents=lambda _: error("AccessDeniedException"))
    with pytest.raises(SourceError, match="lists the permissions"):
        ms.follow("cloudwatch-logs:group", LOSS, **QUICK).run()
    answers = iter([events("loss=1"), *throttled])
    Service(faulty, FilterLogEvents=lambda _: next(answers))
    live = ms.follow("cloudwatch-logs:group", LOSS, until=looks(1), **QUICK)
    with pytest.warns(SourceWarning, match="still throttled"):
        live.run()


def test_stopping_ends_a_wait_for_the_service(faulty):
    """Throttling is waited for up to five minutes, but not when nobody wants the result."""
    live = ms.follow("cloudwatch-logs:group", LOSS, **QUICK)
    asked = threading.Event()

    def throttled(_):
        asked.set()
        return error("ThrottlingException")

    Service(faulty, FilterLogEvents=throttled)
    stopper = threading.Thread(target=lambda: asked.wait(60) and live.stop())
    stopper.start()
    begun = time.monotonic()
    assert values(live) == []
    assert time.monotonic() - begun < 60
    stopper.join()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://bucket/a.log", "s3://bucket/a.log cannot be followed.*scan it"),
        ("https://me:secret@host/a.log", "https://host/a.log cannot be followed"),
        (CloudWatchLogs("g", streams=["a"], region_name="us-east-1"), "only a group or a prefix"),
        ("cloudwatch-logs:g?end=1h", "without an end"),
        ("cloudwatch-logs:g?stream=a", "only a group or a prefix"),
    ],
)
def test_what_does_not_grow_is_refused(aws, source, message):
    """Before anything is read."""
    with pytest.raises(ValueError, match=message) as refused:
        ms.follow(source, LOSS)
    assert "secret" not in str(refused.value)


def test_a_job_that_does_not_exist_is_an_error(aws):
    """At once."""
    with pytest.raises(FileNotFoundError, match="no such training job"):
        ms.follow("sagemaker:nothing", LOSS)
