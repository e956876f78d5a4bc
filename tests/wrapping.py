"""How log shippers wrap messages, written down once more, from the outside: events in, text out."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
COLOURS = {"algo-1": 34, "algo-2": 35, "algo-3": 32}


@dataclass(frozen=True)
class Event:
    """One event: its time in milliseconds since 1970, its host, its message."""

    millis: int
    host: str
    message: str

    @property
    def time(self) -> datetime.datetime:
        """The same as a datetime."""
        return EPOCH + datetime.timedelta(milliseconds=self.millis)

    @property
    def stream(self) -> str:
        """The log stream's name."""
        return f"my-job/{self.host}-1574293123"


def export(events: list[Event]) -> str:
    """An export to S3."""
    stamps = [event.time.isoformat(timespec="milliseconds")[:23] + "Z" for event in events]
    return "".join(
        f"{stamp} {event.message}\n" for stamp, event in zip(stamps, events, strict=True)
    )


def tail_detailed(events: list[Event]) -> str:
    """`aws logs tail --color on`."""
    return "".join(
        f"\x1b[32m{event.time.isoformat(timespec='microseconds')}\x1b[0m "
        f"\x1b[36m{event.stream}\x1b[0m {event.message}\n"
        for event in events
    )


def tail_plain(events: list[Event]) -> str:
    """`aws logs tail`, into a file."""
    return "".join(
        f"{event.time.isoformat(timespec='microseconds')} {event.stream} {event.message}\n"
        for event in events
    )


def tail_short(events: list[Event]) -> str:
    """`aws logs tail --format short`: whole seconds, no stream."""
    return "".join(f"{event.time:%Y-%m-%dT%H:%M:%S} {event.message}\n" for event in events)


def get_log_events(events: list[Event]) -> str:
    """`aws logs get-log-events`: no stream inside."""
    listed = [
        {"timestamp": event.millis, "message": event.message, "ingestionTime": event.millis + 5}
        for event in events
    ]
    return json.dumps(
        {"events": listed, "nextForwardToken": "f/1", "nextBackwardToken": "b/1"}, indent=4
    )


def filter_log_events(events: list[Event]) -> str:
    """Pages of `filter-log-events`, one behind the other, as the API gives them."""
    pages = [events[at : at + 3] for at in range(0, len(events), 3)]
    return "".join(
        json.dumps(
            {
                "events": [
                    {
                        "logStreamName": event.stream,
                        "timestamp": event.millis,
                        "message": event.message,
                        "ingestionTime": event.millis,
                        "eventId": str(number),
                    }
                    for number, event in enumerate(page)
                ],
                "searchedLogStreams": [],
            },
            ensure_ascii=False,
        )
        for page in pages
    )


def subscription(events: list[Event]) -> str:
    """What a subscription sends, with the message that tries whether somebody is there."""
    head = {"owner": "1", "logGroup": "/aws/sagemaker/TrainingJobs", "subscriptionFilters": ["f"]}
    control = {**head, "logStream": "", "messageType": "CONTROL_MESSAGE"}
    control["logEvents"] = [{"id": "", "timestamp": 1, "message": "CWL CONTROL MESSAGE: loss=7"}]
    objects = [control]
    for number, event in enumerate(events):
        one = {"id": str(number), "timestamp": event.millis, "message": event.message}
        stream = {"logStream": event.stream, "messageType": "DATA_MESSAGE"}
        objects.append({**head, **stream, "logEvents": [one]})
    return "".join(json.dumps(one) for one in objects)


def compose_v1(events: list[Event]) -> str:
    """Local mode, docker compose 1, with its colours."""
    return "".join(
        f"\x1b[36m{event.host}-qz8z7_1  |\x1b[0m {line}\n"
        for event in events
        for line in event.message.split("\n")
    )


def compose_v2(events: list[Event]) -> str:
    """Local mode, docker compose 2."""
    return "".join(
        f"tmp8f-{event.host}-1x2y3  | {line}\n"
        for event in events
        for line in event.message.split("\n")
    )


def notebook(events: list[Event]) -> str:
    """What `fit()` prints: a colour for each host."""
    return "".join(f"\x1b[{COLOURS[event.host]}m{event.message}\x1b[0m\n" for event in events)


def operator(events: list[Event]) -> str:
    """`kubectl smlogs`."""
    return "".join(
        f"{event.stream} {event.time:%Y-%m-%d %H:%M:%S}.{event.millis % 1000:03} +0000 UTC {line}\n"
        for event in events
        for line in event.message.split("\n")
    )


def mpirun(events: list[Event]) -> str:
    """Rank prefixes: the host's number for the rank."""
    return "".join(
        f"[1,mpirank:{event.host[5:]},{event.host}]<stdout>:{line}\n"
        for event in events
        for line in event.message.split("\n")
    )


def docker(events: list[Event]) -> str:
    """Docker's files; a message of several lines is several events."""
    return "".join(
        json.dumps({"log": line + "\n", "stream": "stderr", "time": event.time.isoformat()}) + "\n"
        for event in events
        for line in event.message.split("\n")
    )


def cri(events: list[Event]) -> str:
    """Container logs, each line in two pieces with a line of the other stream between them."""
    text = []
    for event in events:
        stamp = event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for line in event.message.split("\n"):
            middle = len(line) // 2
            text.append(f"{stamp} stdout P {line[:middle]}\n")
            text.append(f"{stamp} stderr F something else\n")
            text.append(f"{stamp} stdout F {line[middle:]}\n")
    return "".join(text)


def json_lines(events: list[Event]) -> str:
    """A logger's JSON lines."""
    return "".join(
        json.dumps(
            {
                "timestamp": event.time.isoformat(),
                "level": "INFO",
                "message": event.message,
                "host": event.host,
            }
        )
        + "\n"
        for event in events
    )
