"""OpenMetrics text, made into blocks by Prometheus' own tool and queried from its own server.

Their programs are looked for in the directory that METRICSIEVE_PROMETHEUS names, else on the PATH.
"""

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta

import metricsieve as ms
import pytest
from metricsieve.sinks import open_sink
from test_line_sinks import table

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2004, 5, 6, 7, 8, 9, tzinfo=UTC)  # when milliseconds are easily cut off
NOT_LABELS = {"value", "timestamp", "line", "offset"}


def program(name):
    """Where one of Prometheus' programs is; skips the test where it is not."""
    found = shutil.which(name, path=os.environ.get("METRICSIEVE_PROMETHEUS") or None)
    if found is None:
        pytest.skip(f"no {name}: tools/fetch_prometheus gets it")
    return found


@contextlib.contextmanager
def server(storage):
    """Prometheus over blocks of any age; gives its address."""
    config = storage.parent / "prometheus.yml"
    config.write_text("{}\n")
    command = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={storage}",
        "--storage.tsdb.retention.time=100y",
        "--web.listen-address=127.0.0.1:0",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = ""
            while not ("Server is ready" in said and "Listening on" in said):
                line = process.stderr.readline()
                assert line, said
                said += line
            address = re.search(r'msg="Listening on" address=(\S+)', said)[1]
            yield f"http://{address}"
        finally:
            process.terminate()
            process.stderr.read()


def samples(text, storage):
    """Every sample of the blocks that are made of a text, `(labels, milliseconds): value`."""
    path = storage.parent / "points.om"
    path.write_text(text, encoding="utf-8", newline="")
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", path, storage]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    end = (START - EPOCH).total_seconds() + 86_400
    query = urllib.parse.urlencode({"query": '{__name__=~".+"}[2d]', "time": end})
    with server(storage) as url, urllib.request.urlopen(f"{url}/api/v1/query?{query}") as answer:
        result = json.load(answer)["data"]["result"]
    found = {}
    for series in result:
        labels = frozenset(series["metric"].items())
        for seconds, value in series["values"]:
            found[labels, round(seconds * 1000)] = repr(float(value))
    return found


def written(points, path):
    """What the sink makes of a table."""
    sink = open_sink(f"openmetrics:{path}", points.schema)
    for batch in points.to_batches(max_chunksize=1000):
        sink.write(batch)
    sink.close()
    return path.read_text(encoding="utf-8"), sink.notes


def expected(points, fields=()):
    """The same samples by the sink's rules: the last point of a series and millisecond."""
    found = {}
    for row in points.to_pylist():
        if row["value"] is None or row["timestamp"] is None:
            continue
        labels = {
            name: str(cell)
            for name, cell in row.items()
            if name not in (*NOT_LABELS, *fields) and cell not in (None, "")
        }
        if any("\r" in text or "\0" in text for text in labels.values()):
            continue
        labels["__name__"] = re.sub(r"(?a:[^\w:])|^(?=\d)", "_", row["metric"])
        millis = (row["timestamp"] - EPOCH) // timedelta(milliseconds=1)
        found[frozenset(labels.items()), millis] = repr(row["value"])
    return found


def test_prometheus_has_the_points_of_a_scan(tmp_path):
    """Of several logs, with labels, NaN and infinities; what has no time is left out."""
    logs = {}
    for job in ("a", 'b "\\ é'):
        lines = [
            f"{START + timedelta(milliseconds=137 * n):%Y-%m-%dT%H:%M:%S.%fZ} "
            f"step {n} {('train', 'eval')[n % 2]} loss={value}"
            for n, value in enumerate(["0.1", "nan", "inf", "-inf", "-0.0", "5e-324", "1e308"] * 40)
        ]
        logs[job] = "\n".join(lines).encode()
    logs["none"] = b"step 1 train loss=1\n"
    scan = ms.scan(
        logs,
        {"x-loss:é": r"(?P<phase>train|eval) loss=(?P<value>\S+)"},
        context={"step": r"step (\d+)"},
    )
    points = scan.read_all()
    text, notes = written(points, tmp_path / "a.om")
    found = samples(text, tmp_path / "blocks")
    assert found == expected(points, ["step"])
    assert len(found) == 560
    assert notes == ["OpenMetrics: 1 point not sent, no time (first: x-loss:é at none:1)"]


def test_prometheus_has_every_millisecond_of_odd_series(tmp_path):
    """Whatever their names, labels and order are."""
    dice = random.Random(5)
    texts = [
        "",
        None,
        "a",
        "a\nb",
        'q"\\',
        "\\n",
        "\t\x7f",
        "\x00",
        "\r",
        "é\u2028\U0001f600",
        "{}=,# EOF",
    ]
    points = table(
        [
            (
                dice.choice(["loss", "train:acc", "x-é y", "x_é y", "0a", 'q"\\', "loss_total"]),
                dice.choice([0.0, 1.5, float("nan"), float("inf"), dice.random(), None]),
                dice.choice([None, *[START + timedelta(microseconds=dice.randrange(10**10))] * 9]),
                dice.choice(texts),
                dice.choice([None, 0, 3]),
                dice.choice([None, 7]),
                dice.choice(texts),
            )
            for _ in range(6000)
        ]
    )
    text, notes = written(points, tmp_path / "a.om")
    found = samples(text, tmp_path / "blocks")
    assert found == expected(points, ["step"])
    assert len(found) > 3000
    assert any("a label holds a carriage return or a NUL" in note for note in notes)
