"""CloudWatch Logs and SageMaker jobs over real HTTP, compared with the same text in files."""

import json
import time
from datetime import UTC, datetime, timedelta

import metricsieve as ms
import pytest
from metricsieve._sources import resolve
from metricsieve.exceptions import DefinitionError, SourceError, SourceWarning
from metricsieve.sources.cloudwatch_logs import CloudWatchLogs
from metricsieve.sources.cloudwatch_tail import LogTail
from metricsieve.sources.sagemaker import TrainingJob
from program import run
from servers import GROUP

pytestmark = pytest.mark.usefixtures("no_quota")
LOSS = {"loss": r"loss=([0-9.]+)"}
NOW = int(time.time() * 1000) - 60_000
# What moto says that every training job has been given.
DCG = "#quality_metric: host=algo-1, test dcg <score>="


def put(logs, stream, messages, start=NOW, step=1):
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    for first in range(0, len(messages), 10_000):
        events = [
            {"timestamp": start + step * n, "message": message}
            for n, message in enumerate(messages[first : first + 10_000], first)
        ]
        logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def make_job(aws, name="my-job"):
    aws("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": "image", "TrainingInputMode": "File"},
        RoleArn="arn:aws:iam::123456789012:role/metricsieve-test",
        OutputDataConfig={"S3OutputPath": "s3://bucket/"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 100},
    )
    return name


def values(source, **options):
    return ms.scan(source, LOSS, **options).read_all()["value"].to_pylist()


def labels(source):
    return [one.label for one in resolve(source)]


def test_a_jobs_50000_events_give_the_points_of_the_same_text(aws, logs, tmp_path):
    """Over three hosts and many pages, with empty messages and some of several lines."""
    make_job(aws)
    hosts = []
    for host, count in enumerate([30_000, 19_000, 1_000]):
        messages = [f"{DCG}{n}.5" if n % 7 else f"step {n}\n{DCG}{n}.25\n" for n in range(count)]
        put(logs, f"my-job/algo-{host + 1}-1700000000", messages)
        path = tmp_path / f"algo-{host + 1}"
        path.write_text("".join(m if m.endswith("\n") else f"{m}\n" for m in messages))
        hosts.append(path)
    put(logs, "my-job-2/algo-1-1700000000", [f"{DCG}9"])
    scan = ms.from_training_job("my-job")
    table = scan.read_all()
    expected = ms.scan(hosts, {"test:dcg": f"{DCG}([0-9.]+)"}).read_all()
    dcg = table.filter(table["metric"].to_numpy(zero_copy_only=False) == "test:dcg")
    assert dcg.num_rows == 50_000
    for column in ("value", "line", "offset"):
        assert dcg[column].to_pylist() == expected[column].to_pylist()
    streams = [f"my-job/algo-{n}-1700000000" for n in (1, 2, 3)]
    assert [source.source for source in scan.report.sources] == streams
    assert set(table["host"].to_pylist()) == {"algo-1", "algo-2", "algo-3"}
    times = [time.timestamp() * 1000 for time in dcg["timestamp"].to_pylist()]
    assert times == [NOW + n for count in (30_000, 19_000, 1_000) for n in range(count)]
    assert scan.report.records == 50_000 + sum(-(-n // 7) for n in (30_000, 19_000, 1_000))


def test_streams_are_sources_by_name(logs):
    """More of them than a page of the listing holds; a prefix, names, all."""
    names = [f"j/algo-{n}" for n in range(1, 121)]
    for name in (*names, "k/1", "k/10"):
        put(logs, name, [f"loss={len(name)}"])
    assert labels(f"cloudwatch-logs:{GROUP}?stream-prefix=j/") == sorted(names)
    assert labels(f"cloudwatch-logs:{GROUP}?stream=k/10&stream=k%2F1") == ["k/10", "k/1"]
    assert labels(CloudWatchLogs(GROUP)) == [*sorted(names), "k/1", "k/10"]
    assert len(values(f"cloudwatch-logs:{GROUP}?stream-prefix=j/", threads=3)) == 120
    two = [f"cloudwatch-logs:{GROUP}?stream-prefix=k/1", f"cloudwatch-logs:{GROUP}?stream=k/10"]
    assert labels(two) == ["k/1", "k/10"]


def test_a_time_range_leaves_the_events_from_its_start_to_before_its_end(logs):
    """Absolute and relative, in text and as objects."""
    start = (NOW - 7_200_000) // 1000 * 1000
    put(logs, "a", [f"loss={n}" for n in range(10)], start, 1000)
    # Half a second after each: moto takes the end to be inside the range, AWS does not.
    at = [datetime.fromtimestamp(start / 1000 + n + 0.5, UTC) for n in range(10)]
    base = f"cloudwatch-logs:{GROUP}?stream-prefix=a"
    between = f"&start={at[3].isoformat()}&end={at[6].isoformat()}"
    zone = at[3].astimezone().isoformat()
    for source in (
        base + between,
        f"{base}&start={zone}&end={at[6].replace(tzinfo=None).isoformat()}",
        CloudWatchLogs(GROUP, stream_prefix="a", start=at[3], end=at[6]),
    ):
        assert values(source) == [4, 5, 6]
    assert values(f"{base}&start=1h") == []
    assert values(CloudWatchLogs(GROUP, start=timedelta(hours=3))) == list(range(10))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cloudwatch-logs:", "name of the log group is empty"),
        ("cloudwatch-logs:g?prefix=x", "stream-prefix="),
        ("cloudwatch-logs:g?stream=x&stream-prefix=y", "not both"),
        ("cloudwatch-logs:g?start=yesterday", "is no time"),
        ("cloudwatch-logs:g?start=1h&start=2h", "stands twice"),
        ("cloudwatch-logs:g?start=1h&end=2h", "not behind its start"),
        ("sagemaker:?start=1h", "name of the training job is empty"),
        ("sagemaker-tuning:x?stream=y", "start=, end=, region=, profile="),
    ],
)
def test_spellings_that_make_no_sense(text, message):
    """What is wrong, before anything is asked over the network."""
    with pytest.raises(ValueError, match=message):
        resolve(text)


def test_what_is_not_there_says_what_to_do(aws, logs):
    """A group, a stream, a job, its logs."""
    put(logs, "other/algo-1", ["loss=1"])
    make_job(aws)
    for source, message in [
        ("cloudwatch-logs:/nothing", "no such log group in us-east-1"),
        (f"cloudwatch-logs:{GROUP}?stream-prefix=x", "no log stream whose name begins with 'x'"),
        (f"cloudwatch-logs:{GROUP}?stream=other", "no log stream 'other'"),
        ("sagemaker:no-job", "no such training job in us-east-1"),
        ("sagemaker:my-job", "retention has deleted them"),
    ]:
        with pytest.raises(FileNotFoundError, match=message):
            ms.scan(source, LOSS)
    with pytest.raises(FileNotFoundError, match="no such training job"):
        ms.from_training_job("no-job")


def test_a_stream_that_vanishes_is_reported(logs):
    """The others are read."""
    put(logs, "a/1", ["loss=1"])
    put(logs, "a/2", ["loss=2"])
    scan = ms.scan(f"cloudwatch-logs:{GROUP}?stream-prefix=a/", LOSS)
    logs.delete_log_stream(logGroupName=GROUP, logStreamName="a/1")
    with pytest.warns(SourceWarning, match="the log stream was deleted"):
        assert scan.read_all()["value"].to_pylist() == [2]


def test_the_command_line_takes_a_jobs_definitions_unless_there_are_others(aws, logs):
    """`-d sagemaker:JOB` adds them to others."""
    make_job(aws)
    put(logs, "my-job/algo-1-1700000000", [f"{DCG}0.5 loss=2"])

    def metrics(*arguments):
        done = run("scan", "sagemaker:my-job", *arguments)
        assert done.returncode == 0, done.stderr
        assert "canary" not in done.stdout + done.stderr
        return [json.loads(line)["metric"] for line in done.stdout.splitlines()]

    loss = ("-m", "loss=loss=([0-9.]+)")
    assert metrics() == ["test:dcg"]
    assert metrics(*loss) == ["loss"]
    assert metrics(*loss, "-d", "sagemaker:my-job") == ["test:dcg", "loss"]
    assert run("explain", "sagemaker:my-job", "--only", "test:dcg").returncode == 0
    missing = run("scan", "sagemaker:nothing")
    assert missing.returncode == 3
    assert "sagemaker:nothing: no such training job" in missing.stderr


class Service:
    """Answers the calls of boto3 as AWS does, from functions by the operation's name."""

    def __init__(self, server, **operations):
        self.calls = []

        def answer(request):
            name = request.headers["X-Amz-Target"].rpartition(".")[2]
            asked = json.loads(request.body)
            self.calls.append((name, asked))
            status, answer = operations[name](asked)
            body = json.dumps(answer).encode()
            request.send(status, body, Content_Type="application/x-amz-json-1.1")

        server.answer = answer


@pytest.fixture
def faulty(fault_server, aws, monkeypatch):
    """The fault server in the place of AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", fault_server.url)
    return fault_server


def streams(*names):
    return lambda asked: (200, {"logStreams": [{"logStreamName": name} for name in names]})


def page(token, *messages):
    events = [{"timestamp": NOW, "message": message} for message in messages]
    return 200, {"events": events, "nextForwardToken": token, "nextBackwardToken": "b"}


def error(code, status=400, message="no"):
    return status, {"__type": code, "message": message}


def test_s1_empty_pages_throttling_and_server_errors_do_not_end_a_stream(faulty):
    """Only a token that repeats does; what can pass is tried again."""
    pages = iter(
        [
            page("1", "loss=1"),
            error("ThrottlingException"),
            page("2"),
            error("ServiceUnavailableException", 503),
            page("3"),
            page("4", "loss=2", "loss=3"),
            page("5"),
            page("5"),
        ]
    )
    service = Service(faulty, DescribeLogStreams=streams("s"), GetLogEvents=lambda _: next(pages))
    assert values("cloudwatch-logs:group") == [1, 2, 3]
    assert next(pages, None) is None
    asked = [call for name, call in service.calls if name == "GetLogEvents"]
    assert all(call["startFromHead"] for call in asked)
    tokens = [call.get("nextToken") for call in asked]
    assert tokens == [None, "1", "1", "2", "2", "3", "4", "5"]


def test_pages_of_the_listing_may_be_empty_and_its_token_may_repeat(faulty):
    """It ends all the same."""
    listing = iter(
        [
            (200, {"logStreams": [], "nextToken": "1"}),
            (200, {"logStreams": [{"logStreamName": "a"}], "nextToken": "2"}),
            (200, {"logStreams": [{"logStreamName": "b"}], "nextToken": "2"}),
        ]
    )
    Service(faulty, DescribeLogStreams=lambda _: next(listing))
    assert labels("cloudwatch-logs:group") == ["a", "b"]


def test_large_streams_come_piece_by_piece(faulty):
    """Some 20 MB, many streams at a time, in order."""
    line = "." * 1000

    def events(asked):
        number = int(asked.get("nextToken") or 0)
        if number == 20:
            return page("20")
        stream = asked["logStreamName"]
        return page(str(number + 1), *(f"{line}\nloss={stream}.{number}" for _ in range(500)))

    names = [str(n) for n in range(1, 4)]
    Service(faulty, DescribeLogStreams=streams(*names), GetLogEvents=events)
    found = values("cloudwatch-logs:group")
    expected = [float(f"{name}.{n}") for name in names for n in range(20) for _ in range(500)]
    assert found == expected


def test_s4_expired_credentials_are_renewed_once(faulty, monkeypatch):
    """From the environment as it is then; the second time it is an error that says so."""
    answers = iter([error("ExpiredTokenException"), page("1", "loss=1"), page("1")])

    def events(asked):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed")
        return next(answers, None) or error("ExpiredTokenException")

    Service(faulty, DescribeLogStreams=streams("a"), GetLogEvents=events)
    assert values("cloudwatch-logs:group") == [1]
    assert "renewed/" in faulty.requests[-1].headers["Authorization"]
    with pytest.warns(SourceWarning, match="credentials expired: renew them"):
        assert values("cloudwatch-logs:group") == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDeniedException", "lists the permissions"),
        ("UnrecognizedClientException", "credentials are not valid"),
        ("InvalidParameterException", "InvalidParameter"),
    ],
)
def test_what_aws_refuses_is_an_error_at_once(faulty, code, message):
    """It would be refused again."""
    service = Service(faulty, DescribeLogStreams=lambda _: error(code))
    with pytest.raises(SourceError, match=message):
        ms.scan("cloudwatch-logs:group", LOSS)
    assert len(service.calls) == 1


def test_throttling_that_does_not_pass_is_an_error(faulty, monkeypatch):
    """After the deadline."""
    monkeypatch.setattr("metricsieve.sources._aws.RETRY_SECONDS", 0.0)
    Service(faulty, DescribeLogStreams=lambda _: error("ThrottlingException"))
    with pytest.raises(SourceError, match="still throttled"):
        ms.scan("cloudwatch-logs:group", LOSS)


def test_without_region_or_credentials_it_says_where_they_are_looked_for(faulty, monkeypatch):
    """Before a minute of waiting for the address where machines in the cloud find some."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SourceError, match=r"credentials.*docs/remote\.md"):
        ms.scan("cloudwatch-logs:group", LOSS)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(SourceError, match=r"region.*docs/remote\.md"):
        ms.scan("cloudwatch-logs:group", LOSS)


def test_a_tuning_jobs_logs_are_those_of_its_training_jobs(faulty):
    """The oldest first; those without a log have no part in it. Definitions of all its kinds."""
    jobs = [{"TrainingJobName": name} for name in ("b", "a", "c")]
    described = {
        "TrainingJobDefinitions": [
            {"AlgorithmSpecification": {"MetricDefinitions": [{"Name": name, "Regex": regex}]}}
            for name, regex in (("loss", "loss=([0-9]+)"), ("acc", "acc=([0-9]+)"))
        ],
    }

    def listing(asked):
        assert asked["SortBy"] == "CreationTime"
        if asked.get("NextToken"):
            return 200, {"TrainingJobSummaries": jobs[2:]}
        return 200, {"TrainingJobSummaries": jobs[:2], "NextToken": "1"}

    def found(asked):
        name = asked["logStreamNamePrefix"]
        return 200, {"logStreams": [] if name == "a/" else [{"logStreamName": f"{name}algo-1"}]}

    def events(asked):
        if asked.get("nextToken"):
            return page("1")
        return page("1", f"loss={len(asked['logStreamName'])}", "acc=3")

    Service(
        faulty,
        DescribeHyperParameterTuningJob=lambda _: (200, described),
        ListTrainingJobsForHyperParameterTuningJob=listing,
        DescribeLogStreams=found,
        GetLogEvents=events,
    )
    scan = ms.from_tuning_job("tune")
    table = scan.read_all()
    assert table["metric"].to_pylist() == ["loss", "acc"] * 2
    assert [source.source for source in scan.report.sources] == ["b/algo-1", "c/algo-1"]
    assert ms.from_tuning_job("tune", definitions=LOSS).read_all().num_rows == 2
    described.clear()
    jobs.clear()
    with pytest.raises(FileNotFoundError, match=r"the tuning job \(unknown\) has no log streams"):
        ms.from_tuning_job("tune", definitions=LOSS)
    with pytest.raises(DefinitionError, match=r"tuning job 'tune' has no metric definitions"):
        ms.from_tuning_job("tune")


def test_a_tail_gives_every_event_once_and_new_streams_too(logs):
    """Over restarts from a position that went through JSON."""
    put(logs, "job/1", ["a", "b"])
    put(logs, "jobs/1", ["another job"])
    tail = LogTail(GROUP, stream_prefix="job/")

    def poll(**options):
        return [
            (stream, [e["message"] for e in events]) for stream, events, _ in tail.poll(**options)
        ]

    assert poll() == [("job/1", ["a", "b"])]
    assert poll() == []
    put(logs, "job/2", ["c", "c"], NOW + 5)
    assert poll() == [("job/2", ["c", "c"])]
    stored = json.dumps(tail.position)
    put(logs, "job/3", ["late"], NOW - 200_000)
    put(logs, "job/4", ["too late"], NOW - 400_000)
    tail = LogTail(GROUP, stream_prefix="job/", position=json.loads(stored))
    assert poll() == [("job/3", ["late"])]
    put(logs, "job/5", ["late again"], NOW - 100_000)
    assert poll() == []
    assert poll(thorough=True) == [("job/5", ["late again"])]
    with pytest.raises(ValueError, match="one of the prefix 'job/'"):
        LogTail(GROUP, position=json.loads(stored))
    with pytest.raises(ValueError, match="no position"):
        LogTail(GROUP, position={})


def test_a_tail_waits_for_a_group_and_starts_where_it_is_told(aws):
    """A job that has printed nothing yet is no error."""
    start = datetime.fromtimestamp(NOW / 1000, UTC)
    tail = TrainingJob("my-job", start=start).logs().tail()
    assert list(tail.poll()) == []
    logs = aws("logs")
    logs.create_log_group(logGroupName=GROUP)
    assert list(tail.poll()) == []
    put(logs, "my-job/1", ["before", "at", "after"], NOW - 1)
    ((stream, events, token),) = tail.poll()
    assert (stream, [e["message"] for e in events]) == ("my-job/1", ["at", "after"])
    assert token == NOW + 1
    with pytest.raises(ValueError, match="can be followed"):
        CloudWatchLogs(GROUP, streams=["a"]).tail()


def test_a_tail_that_is_interrupted_in_a_poll_goes_on_from_there(faulty):
    """The position holds what was given, page by page; a clock that is ahead makes none late."""
    ahead = int(time.time() * 1000) + 3_600_000

    def events(asked):
        name = asked.get("nextToken") or "0"
        number = int(name)
        found = [
            {
                "eventId": name,
                "timestamp": ahead if number == 0 else NOW + number,
                "message": name,
                "logStreamName": f"s{number % 2}",
            }
        ]
        return 200, {"events": found, **({"nextToken": str(number + 1)} if number < 5 else {})}

    Service(faulty, FilterLogEvents=events)
    tail = LogTail("group")
    given = []
    for _, new, _ in tail.poll():
        given += [event["message"] for event in new]
        if len(given) == 3:
            break
    tail = LogTail("group", position=json.loads(json.dumps(tail.position)))
    rest = [event["message"] for _, new, _ in tail.poll() for event in new]
    assert given + rest == ["0", "1", "2", "3", "4", "5"]
    assert tail.position["newest"] <= time.time() * 1000
