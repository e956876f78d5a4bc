"""What the tests of trackers share: points, and in plain Python the rules for their runs."""

import hashlib
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import strategies as st
from metricsieve.sinks import open_sink
from program import run

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2026, 11, 25, 10, tzinfo=UTC)
INT64 = pa.int64()
ROWS = st.tuples(
    st.sampled_from(["loss", "train:acc", "é/x"]),
    st.one_of(st.floats(), st.none()),
    st.one_of(st.none(), st.integers(0, 10**6).map(lambda s: START + timedelta(seconds=s))),
    st.sampled_from(["a", "b/c", ".d", None]),
    st.one_of(st.none(), st.integers(0, 6)),
)


def table(rows, step=INT64):
    """Rows `(metric, value, timestamp, job, step)`."""
    names = ["metric", "value", "timestamp", "job", "step", "source"]
    kinds = [pa.string(), pa.float64(), pa.timestamp("us", "UTC"), pa.string(), step, pa.string()]
    rows = [(*row, "x.log") for row in rows]
    columns = [
        pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)
    ]
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    return pa.Table.from_arrays(columns, schema=schema)


def write_points(target, points):
    """All points in several batches, and the end."""
    sink = open_sink(target, points.schema)
    for batch in points.to_batches(max_chunksize=5):
        sink.write(batch)
    sink.close()
    return sink


METRICS = {"loss": r"loss=(\d)", "%": r"pct=(\d)"}
LOSSES = [1, 2, 1, 2, 5]


def follow_twice(log, output, state):
    """Follow a log of `METRICS` in two processes: `LOSSES`, and of "%" a 7 in each part.

    The first point is at START; the others have no time, and nothing has a step.
    """
    arguments = ["follow", str(log), "-o", output, "--state", str(state)]
    arguments += ["--until-idle", "0.2", "--poll", "0.05", "--commit-every", "0"]
    arguments += [one for pair in METRICS.items() for one in ("-m", "=".join(pair))]
    first = f"{START.isoformat()} algo-1 loss=1\nloss=2\npct=7\n"
    for text in (first, "loss=1\nloss=2\nloss=5\npct=7\n"):
        with open(log, "a") as file:
            file.write(text)
        done = run(*arguments)
        assert done.returncode == 0, done.stderr


def digits(tag):
    """What a changed name ends in."""
    return hashlib.sha256(tag.encode()).hexdigest()[:8]


def expected_runs(rows):
    """`{run: [(metric, step, value, time)]}` as they are due: by step, of doubled ones the last.

    A point without a time has that of the one before it in its run, None at first.
    """
    found = {}
    for metric, value, time, job, step in rows:
        if value is not None and step is not None:
            points = found.setdefault(job or "x.log", {})
            points.pop((metric, step), None)
            points[metric, step] = (value, time)
    return {name: list(_dated(points)) for name, points in found.items()}


def _dated(points):
    last = None
    for (metric, step), (value, time) in sorted(points.items(), key=lambda one: one[0][1]):
        last = time or last
        yield metric, step, value, last
