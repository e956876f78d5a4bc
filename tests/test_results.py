"""What is made of points, against loops over rows in plain Python."""

import datetime as dt
import itertools
import math
import statistics
import struct
import warnings
from fractions import Fraction

import metricsieve as ms
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metricsieve.plotting import choose

START = dt.datetime(2024, 3, 1, 11, 59, 30, tzinfo=dt.UTC)
PLAIN, TEXT = pa.string(), pa.dictionary(pa.int32(), pa.string())
FLOATS = st.floats(-1e150, 1e150) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0.0, 1.5])

rows_of = st.fixed_dictionaries(
    {
        "metric": st.sampled_from(["loss", "acc", "lr"]),
        "value": FLOATS | st.none(),
        "timestamp": st.none()
        | st.integers(0, 400_000_000).map(lambda n: START + dt.timedelta(microseconds=n)),
        "source": st.sampled_from(["a.log", "b.log"]),
        "line": st.integers(1, 1000) | st.none(),
        "job": st.sampled_from(["j1", "j2", None]),
        "epoch": st.integers(-2, 4) | st.none(),
    }
)
lists_of_rows = st.lists(rows_of, max_size=30)


def schema(text=PLAIN):
    """Of the random rows."""
    return pa.schema(
        [
            ("metric", text),
            ("value", pa.float64()),
            ("timestamp", pa.timestamp("us", "UTC")),
            ("source", text),
            ("line", pa.uint64()),
            ("job", text),
            ("epoch", pa.int64()),
        ]
    )


def stream(rows, size, text):
    """The rows in batches of some size, each with dictionaries of its own."""
    batches = [
        pa.RecordBatch.from_pylist(rows[start : start + size], schema=schema(text))
        for start in range(0, len(rows), size)
    ]
    return pa.RecordBatchReader.from_batches(schema(text), batches)


streams = st.tuples(lists_of_rows, st.integers(1, 31), st.sampled_from([PLAIN, TEXT]))


def job_of(row):
    """The job where it is known, else the source."""
    return row["source"] if row["job"] is None else row["job"]


def points(rows):
    """Rows with a value."""
    return [row for row in rows if row["value"] is not None]


def by_group(rows, *keys):
    """Lists of rows, by what some functions say of them, in the order in which they appear."""
    found = {}
    for row in rows:
        found.setdefault(tuple(key(row) for key in keys), []).append(row)
    return found


def metric_of(row):
    """Its name."""
    return row["metric"]


def same(left, right):
    """Equal bit for bit, but for the signs of zeros; NaN is itself."""
    if isinstance(left, float) and isinstance(right, float) and left != left:
        return right != right
    return left == right and type(left) is type(right)


def all_same(left, right):
    """Lists or dicts with the same in the same order."""
    left, right = ([*x.items()] if isinstance(x, dict) else [*x] for x in (left, right))
    flat = [
        itertools.chain.from_iterable(x) if x and isinstance(x[0], tuple) else x
        for x in (left, right)
    ]
    return len(left) == len(right) and all(itertools.starmap(same, zip(*flat, strict=True)))


def near(left, right, scale):
    """Equal to some 12 digits of the largest value around, if its square is a number at all."""
    if left is None or right is None:
        return left is right
    return same(left, right) or math.isclose(
        left, right, rel_tol=1e-9, abs_tol=1e-12 * scale + 1e-150
    )


# --- final_metrics


@given(streams)
def test_final_values_are_those_of_the_last_rows(given_):
    """In the order of the rows, whatever the batches; with the time of that row."""
    rows, *how = given_
    groups = by_group(points(rows), job_of)
    for (job,), members in groups.items():
        expected = []
        for (name,), of_metric in by_group(members, metric_of).items():
            last = of_metric[-1]
            entry = {"MetricName": name, "Value": last["value"]}
            if last["timestamp"] is not None:
                entry["Timestamp"] = last["timestamp"]
            expected.append(entry)
        found = ms.final_metrics(stream(rows, *how), group=job)
        assert len(found) == len(expected)
        assert all(all_same(a, b) for a, b in zip(found, expected, strict=True))
    if len(groups) > 1:
        with pytest.raises(ValueError, match="several groups by job"):
            ms.final_metrics(stream(rows, *how))
    elif not groups:
        assert ms.final_metrics(stream(rows, *how)) == []


@given(st.floats())
def test_final_values_round_as_32_bits_do(value):
    """As the C type does; beyond its range they are infinite."""
    try:
        expected = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        expected = math.copysign(math.inf, value)
    (found,) = ms.final_metrics(pa.table({"metric": ["a"], "value": [value]}), float32=True)
    assert same(found["Value"], expected)


def test_a_final_value_is_what_sagemaker_was_seen_to_give():
    """1.19876 in a log was 1.1987600326538086 in a job's description."""
    table = pa.table({"metric": ["a"], "value": [1.19876]})
    assert ms.final_metrics(table, float32=True)[0]["Value"] == 1.1987600326538086
    assert ms.final_metrics(table)[0]["Value"] == 1.19876


@given(streams, st.booleans())
def test_the_objective_chooses_the_job(given_, maximize):
    """By its last value; NaN is worse than anything, equals are taken in order."""
    rows, *how = given_
    last = {}
    for row in points(rows):
        if row["metric"] == "loss":
            last[job_of(row)] = row["value"]
    if not last:
        with pytest.raises(ValueError, match="'loss' has no point"):
            ms.final_metrics(stream(rows, *how), objective="loss", maximize=maximize)
        return
    order = [job for (job,) in by_group(points(rows), job_of) if job in last]
    best = order[0]
    for job in order[1:]:
        better = last[job] > last[best] if maximize else last[job] < last[best]
        if better or (last[best] != last[best] and last[job] == last[job]):
            best = job
    found = ms.final_metrics(stream(rows, *how), objective="loss", maximize=maximize)
    expected = ms.final_metrics(stream(rows, *how), group=best)
    assert repr(found) == repr(expected)
    (value,) = [one["Value"] for one in found if one["MetricName"] == "loss"]
    assert same(value, last[best])


def test_an_error_names_ten_groups_and_counts_the_others():
    """So that a thousand sources do not fill the screen."""
    table = pa.table(
        {"metric": ["a"] * 13, "value": [1.0] * 13, "source": [f"s{n}" for n in range(13)]}
    )
    with pytest.raises(ValueError, match=r"'s0', .*'s9' and 3 more\.") as caught:
        ms.final_metrics(table)
    assert "'s10'" not in str(caught.value)
    with pytest.raises(ValueError, match="no job 'x': 's0'"):
        ms.final_metrics(table, group="x")
    assert ms.final_metrics(table, group="s12") == [{"MetricName": "a", "Value": 1.0}]


def test_a_group_is_chosen_by_value_or_text():
    """Ranks are numbers; on the command line everything is text."""
    table = pa.table({"metric": ["a", "a"], "value": [1.0, 2.0], "rank": [0, 1]})
    assert ms.final_metrics(table, by="rank", group=1)[0]["Value"] == 2.0
    assert ms.final_metrics(table, by="rank", group="1")[0]["Value"] == 2.0


# --- summary


def lowest(rows, sign):
    """The first row with the lowest value (or the highest, with -1), NaN left out."""
    best = None
    for row in rows:
        value = row["value"]
        if value == value and (best is None or sign * value < sign * best["value"]):
            best = row
    return best


@given(streams, st.sampled_from(["job", "source", None]))
def test_a_summary_is_what_the_statistics_module_says(given_, by):
    """Of each metric of each group; first, last and places are exact."""
    rows, *how = given_
    group = {"job": job_of, "source": lambda row: row["source"], None: lambda row: None}[by]
    members = by_group(points(rows), group)
    expected = [
        (key, name, of_metric)
        for (key,), of_group in members.items()
        for (name,), of_metric in by_group(of_group, metric_of).items()
    ]
    found = ms.summary(stream(rows, *how), by=() if by is None else by)
    assert found.schema.metadata == {b"metricsieve.step": b"epoch"}
    assert [(row.get(by), row["metric"]) for row in found.to_pylist()] == [
        (key, name) for key, name, _ in expected
    ]
    for row, (_, _, of_metric) in zip(found.to_pylist(), expected, strict=True):
        values = [one["value"] for one in of_metric]
        numbers = [value for value in values if value == value]
        assert (row["count"], row["nan"]) == (len(values), len(values) - len(numbers))
        assert same(row["first"], values[0])
        assert same(row["last"], values[-1])
        for end, sign in (("min", 1), ("max", -1)):
            best = lowest(of_metric, sign) or dict.fromkeys(schema().names)
            assert same(row[end], best["value"])
            place = [row[f"{end}_step"], row[f"{end}_source"], row[f"{end}_line"]]
            assert place == [best["epoch"], best["source"], best["line"]]
        finite = [value for value in numbers if math.isfinite(value)]
        scale = max(map(abs, finite), default=0)
        if len(finite) < len(numbers):
            assert same(row["mean"], sum(value for value in numbers if math.isinf(value)))
            assert row["std"] is None if len(numbers) < 2 else math.isnan(row["std"])
        else:
            mean = float(statistics.mean(finite)) if finite else None
            assert near(row["mean"], mean, scale)
            std = float(statistics.stdev(finite)) if len(finite) > 1 else None
            assert near(row["std"], std, scale)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_means_merge_without_losing_digits(size):
    """A small spread around a large mean, in few and in many batches."""
    values = [1e9 + (n * 7919 % 101) / 101 for n in range(1000)]
    table = pa.table({"metric": ["a"] * 1000, "value": values})
    (row,) = ms.summary(table.to_reader(size), by=()).to_pylist()
    assert row["mean"] == pytest.approx(statistics.mean(values), rel=1e-15)
    assert row["std"] == pytest.approx(statistics.stdev(values), rel=1e-6)


def test_a_summary_may_have_several_group_columns():
    """In the order given; `step` is the axis, and null is a group."""
    table = pa.table(
        {
            "metric": ["a"] * 4,
            "value": [1.0, 2, 3, 4],
            "rank": [0, 1, 0, None],
            "round": [5, 5, 5, 6],
        }
    )
    found = ms.summary(table, by=("rank", "step")).select(["rank", "round", "count", "last"])
    assert found.to_pylist() == [
        {"rank": 0, "round": 5, "count": 2, "last": 3},
        {"rank": 1, "round": 5, "count": 1, "last": 2},
        {"rank": None, "round": 6, "count": 1, "last": 4},
    ]


def test_groups_by_numbers_know_one_zero_and_one_nan():
    """In one batch and across batches."""
    keys = [0.0, -0.0, math.nan, math.nan, -0.0]
    table = pa.table({"metric": ["a"] * 5, "value": [1.0, 2, 3, 4, 5], "epoch": keys})
    for size in (1, 2, 5):
        found = ms.summary(table.to_reader(size), by="epoch").to_pylist()
        assert [(row["count"], row["last"]) for row in found] == [(3, 5.0), (2, 4.0)]


# --- objective


@given(streams, st.booleans())
def test_groups_are_ranked_by_their_last_value(given_, maximize):
    """Best first, NaN last, equals in order; beside it the best value ever and its place."""
    rows, *how = given_
    losses = [row for row in points(rows) if row["metric"] == "loss"]
    if not losses:
        with pytest.raises(ValueError, match="'loss' has no point"):
            ms.objective(stream(rows, *how), "loss", maximize=maximize)
        return
    found = ms.objective(stream(rows, *how), "loss", maximize=maximize).to_pylist()
    groups = {job: members for (job,), members in by_group(losses, job_of).items()}
    numbers = {job: m[-1]["value"] for job, m in groups.items() if m[-1]["value"] == m[-1]["value"]}
    expected = sorted(numbers, key=lambda job: -numbers[job] if maximize else numbers[job])
    assert [row["job"] for row in found] == expected + [job for job in groups if job not in numbers]
    for row in found:
        members = groups[row["job"]]
        best = lowest(members, -1 if maximize else 1) or dict.fromkeys(schema().names)
        assert row["points"] == len(members)
        assert same(row["value"], members[-1]["value"])
        assert same(row["best"], best["value"])
        place = (row["best_step"], row["best_source"], row["best_line"])
        assert place == (best["epoch"], best["source"], best["line"])


def test_an_unknown_objective_is_answered_with_the_known_ones():
    """Those with points."""
    table = pa.table({"metric": ["a", "b", "c"], "value": [1.0, 2.0, None]})
    with pytest.raises(ValueError, match=r"the metric 'x' has no point: 'a', 'b'$"):
        ms.objective(table, "x")


# --- wide


@given(streams)
def test_wide_has_the_last_value_of_each_cell(given_):
    """Rows by job as they appear, then by step, nulls last; collisions are counted."""
    rows, *how = given_
    cells, metrics, steps = {}, {}, {}
    for row in points(rows):
        metrics[row["metric"]] = None
        steps.setdefault(job_of(row), set()).add(row["epoch"])
        cells[job_of(row), row["epoch"], row["metric"]] = row["value"]
    expected = [
        {"job": job, "epoch": step} | {name: cells.get((job, step, name)) for name in metrics}
        for job, of_job in steps.items()
        for step in sorted(of_job, key=lambda step: (step is None, step))
    ]
    found = ms.wide(stream(rows, *how))
    assert found.column_names == ["job", "epoch", *metrics]
    assert found.schema.metadata[b"metricsieve.step"] == b"epoch"
    assert int(found.schema.metadata[b"metricsieve.collisions"]) == len(points(rows)) - len(cells)
    assert found.num_rows == len(expected)
    for row, wanted in zip(found.to_pylist(), expected, strict=True):
        assert all_same(row, wanted)


def test_wide_takes_other_indices():
    """The source alone; the place in a log; a metric with the name of the axis."""
    table = pa.table(
        {"metric": ["round", "b"], "value": [1.0, 2.0], "source": ["x", "x"], "round": [4, 3]}
    )
    assert ms.wide(table, index=("source",)).to_pydict() == {
        "source": ["x"],
        "round": [1.0],
        "b": [2.0],
    }
    assert ms.wide(table, index=("step",)).to_pydict() == {
        "round": [3, 4],
        "metric:round": [None, 1.0],
        "b": [2.0, None],
    }


def of_two_jobs():
    """Points of two jobs, each of two hosts, at the same steps."""
    jobs, hosts = ["a", "b", "a", "b"], ["x", "x", None, "y"]
    return pa.table(
        {
            "metric": ["loss"] * 8,
            "value": [float(n) for n in range(8)],
            "job": pa.array(jobs * 2).dictionary_encode(),
            "host": hosts * 2,
            "epoch": [1] * 4 + [2] * 4,
            "line": list(range(8)),
        }
    )


@pytest.mark.parametrize(
    ("by", "group"), [("job", "b"), (("job", "host"), "b, y"), (("host",), "x"), ("epoch", 2)]
)
def test_one_group_of_several(by, group):
    """Chosen by its value or its text; the result is that of its rows alone."""
    table = of_two_jobs()
    names = [by] if isinstance(by, str) else list(by)
    keys = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    mask = [", ".join("" if v is None else str(v) for v in key) == str(group) for key in keys]
    alone = table.filter(pa.array(mask))
    assert 0 < alone.num_rows < table.num_rows
    reader = table.to_reader(max_chunksize=3)
    assert ms.summary(reader, by=by, group=group).equals(ms.summary(alone, by=by))
    index = [*names, "line"]
    told = {"index": index, "step": "line"}
    assert ms.wide(table, **told, group=group).equals(ms.wide(alone, **told))
    for function, options in ((ms.summary, {"by": by}), (ms.wide, told)):
        with pytest.raises(ValueError, match=r"there is no .* 'z': '.*', '"):
            function(table, **options, group="z")


def test_a_group_that_cannot_be_told_apart_is_an_error():
    """By no column; by one that no row has; by a text that several have."""
    table = pa.table({"metric": ["a"] * 3, "value": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match="without a column to group by"):
        ms.summary(table, by=(), group="x")
    with pytest.raises(ValueError, match="there is no job 'x'"):
        ms.summary(table, group="x")
    host, stream = ["a, b", "a", "z"], ["c", "b, c", "q"]
    table = table.append_column("host", [host]).append_column("stream", [stream])
    by = ("host", "stream")
    with pytest.raises(
        ValueError, match=r"2 groups by host, stream are called 'a, b, c': \('a, b'"
    ):
        ms.summary(table, by=by, group="a, b, c")
    assert ms.summary(table, by=by, group="z, q")["last"].to_pylist() == [3.0]


def test_points_of_several_jobs_are_not_put_into_one_cell():
    """By the step alone it would be chance which one counts; the error names the jobs."""
    table = of_two_jobs().select(["metric", "value", "job", "epoch"])
    with pytest.raises(ValueError, match=r"the same epoch: 'a', 'b'\. Choose one with group="):
        ms.wide(table, index=("step",))
    assert ms.wide(table, index=("step",), group="b").column("loss").to_pylist() == [3.0, 7.0]
    apart = table.filter(pa.array([True, False] * 2 + [False, True] * 2))
    assert ms.wide(apart, index=("step",)).column("loss").to_pylist() == [2.0, 7.0]


def test_the_step_axis_is_the_one_of_the_scan():
    """What its metadata names, else the first usual name; without one the error says what to do."""
    table = pa.table({"metric": ["a"], "value": [1.0], "round": [2], "epoch": [3], "chunk": [4]})
    assert ms.wide(table, index=("step",)).column_names == ["epoch", "a"]
    for named, expected in ((b"round", "round"), (b"chunk", "chunk"), (b"gone", "epoch")):
        told = table.replace_schema_metadata({b"metricsieve.step": named})
        assert ms.wide(told, index=("step",)).column_names == [expected, "a"]
    for function in (ms.wide, ms.attempts, ms.last_attempt):
        with pytest.raises(ValueError, match=r"no step axis.*context="):
            function(pa.table({"metric": ["a"], "value": [1.0]}))


# --- attempts


def listed(rows, *more):
    """Rows as Arrow gives them back, in a form in which NaN equals NaN."""
    fields = [*schema(), *more]
    return repr(pa.Table.from_pylist(rows, schema=pa.schema(fields)).to_pylist())


def numbered(rows):
    """The rule, looking back from each row: its group's restarts up to it."""
    starts = {}
    numbers = []
    for at, row in enumerate(rows):
        begun = starts.setdefault((row["source"], row["job"]), [0])
        before = [
            other["epoch"]
            for other in rows[begun[-1] : at]
            if all(other[name] == row[name] for name in ("source", "job", "metric"))
            and other["epoch"] is not None
        ]
        if row["epoch"] is not None and before and row["epoch"] < before[-1]:
            begun.append(at)
        numbers.append(len(begun) - 1)
    return numbers


@given(streams)
def test_attempts_follow_the_rule(given_):
    """One more where a metric's step falls; everything else of the group follows."""
    rows, *how = given_
    found = ms.attempts(stream(rows, *how))
    assert found["attempt"].type == pa.int32()
    assert found["attempt"].to_pylist() == numbered(rows)
    assert repr(found.drop(["attempt"]).to_pylist()) == listed(rows)


@given(streams)
def test_the_last_attempt_wins_where_it_logged(given_):
    """Per source, job, metric and step; rows without a step stay."""
    rows, *how = given_
    numbers = numbered(rows)
    latest = {}
    for row, number in zip(rows, numbers, strict=True):
        latest[row["source"], row["job"], row["metric"], row["epoch"]] = number
    expected = [
        row | {"attempt": number}
        for row, number in zip(rows, numbers, strict=True)
        if row["epoch"] is None
        or latest[row["source"], row["job"], row["metric"], row["epoch"]] == number
    ]
    wanted = listed(expected, pa.field("attempt", pa.int32()))
    assert repr(ms.last_attempt(stream(rows, *how)).to_pylist()) == wanted
    again = ms.last_attempt(ms.attempts(stream(rows, *how)))
    assert repr(again.to_pylist()) == wanted


def test_metrics_that_fall_together_are_one_restart():
    """The loss falls from 7 to 5, then the accuracy from 6 to 5; a real log that went on."""
    log = b"".join(
        b"step %d %s=%d\n" % (step, name, step)
        for name, step in [
            *[(b"loss", 5), (b"acc", 5), (b"loss", 6), (b"acc", 6), (b"loss", 7)],
            *[(b"loss", 5), (b"acc", 5), (b"loss", 6), (b"acc", 6)],
        ]
    )
    definitions = {"loss": r"loss=(\d)", "acc": r"acc=(\d)"}
    table = ms.scan(log, definitions, context={"step": r"step (\d+)"}).read_all()
    assert ms.attempts(table)["attempt"].to_pylist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    kept = ms.last_attempt(table)
    assert kept["step"].to_pylist() == [7, 5, 5, 6, 6]
    assert kept.schema.metadata[b"metricsieve.step"] == b"step"


def test_log_streams_of_a_restarted_job_are_one_log():
    """SageMaker begins a new stream for each host; hosts, and ranks in one log, are apart."""
    first = b"step 1 loss=4\nstep 2 loss=3\nstep 3 loss=2\n"
    again = b"step 3 loss=1\nstep 2 loss=2.5\n"
    streams = {
        "spot/algo-1-1700000000": first,
        "spot/algo-1-1700009999": again,
        "spot/algo-2-1700000000": first,
        "plain.log": first,
        "plain-2.log": again[14:],
        "ranks.log": b"[1,0]<stdout>:step 2 loss=1\n[1,1]<stdout>:step 1 loss=2\n",
    }
    table = ms.scan(streams, {"loss": r"loss=(\S+)"}, context={"step": r"step (\d+)"}).read_all()
    assert ms.attempts(table)["attempt"].to_pylist() == [
        *(0, 0, 0, 0, 1),
        *(0, 0, 0, 0, 0, 0, 0, 0, 0),
    ]
    kept = ms.last_attempt(table).filter(pc.field("job") == "spot")
    assert kept["value"].to_pylist() == [4, 2, 1, 2.5, 4, 3, 2]
    assert ms.attempts(table, by="rank")["attempt"].to_pylist()[-2:] == [0, 0]


def test_attempts_refuse_what_they_cannot_number():
    """A step of text that was named, a column that is there, a column of texts."""
    table = pa.table(
        {"metric": ["a"], "value": [1.0], "step": ["x"], "attempt": ["y"], "round": [1]}
    )
    assert ms.attempts(table.drop(["attempt"]))["attempt"].to_pylist() == [0], "the round is one"
    with pytest.raises(ValueError, match="'step' holds string"):
        ms.attempts(table.drop(["attempt"]), step="step")
    with pytest.raises(ValueError, match="already"):
        ms.attempts(table)
    with pytest.raises(ValueError, match="no whole numbers"):
        ms.last_attempt(table, step="round")
    with pytest.raises(ValueError, match="did you mean 'round'"):
        ms.attempts(table.drop(["attempt"]), step="rounds")


# --- analytics


def sdk_frame(rows, period):
    """What CloudWatch makes of points, and the SDK of its answers.

    CloudWatch keeps finite values of a job by metric and period, which begin at full multiples;
    the SDK asks for averages, takes the earliest time as zero, and sorts.
    """
    frame = []
    for (name,), members in by_group(rows, metric_of).items():
        stored = {}
        for row in members:
            if row["timestamp"] is not None and abs(row["value"]) <= 2.0**360:
                second = math.floor(row["timestamp"].timestamp())
                stored.setdefault(second - second % period, []).append(row["value"])
        datapoints = [
            {"Timestamp": dt.datetime.fromtimestamp(second, dt.UTC), "Average": statistics.fmean(v)}
            for second, v in stored.items()
        ]
        if not datapoints:
            continue
        base = min(datapoints, key=lambda one: one["Timestamp"])["Timestamp"]
        series = [((one["Timestamp"] - base).total_seconds(), one["Average"]) for one in datapoints]
        frame += [(seconds, name, value) for seconds, value in sorted(series)]
    return frame


@given(streams, st.sampled_from([1, 60, 300]))
def test_analytics_are_the_frame_of_the_sdk(given_, period):
    """For each job; what has no time, or no finite value, is counted."""
    rows, *how = given_
    for (job,), members in by_group(points(rows), job_of).items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = ms.analytics(stream(rows, *how), period=period, group=job)
        untimed = sum(row["timestamp"] is None for row in members)
        odd = sum(
            row["timestamp"] is not None and not abs(row["value"]) <= 2.0**360 for row in members
        )
        told = found.schema.metadata[b"metricsieve.left_out"]
        assert told == b'{"timestamp": %d, "value": %d}' % (untimed, odd)
        assert len(caught) == bool(untimed) + bool(odd)
        assert found.column_names == ["timestamp", "metric_name", "value"]
        order = {name: at for at, (name,) in enumerate(by_group(members, metric_of))}
        expected = sorted(sdk_frame(members, period), key=lambda one: order[one[1]])
        rows_found = [tuple(row.values()) for row in found.to_pylist()]
        by_name = sorted(rows_found), sorted(expected)
        assert [one[:2] for one in by_name[0]] == [one[:2] for one in by_name[1]]
        assert [name for _, name, _ in rows_found] == sorted(
            (name for _, name, _ in rows_found), key=[name for _, name, _ in rows_found].index
        )
        for (*_, value), (*_, wanted) in zip(*by_name, strict=True):
            assert math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-12 * 1e150)


def test_periods_before_1970_begin_at_full_minutes_too():
    """Rounded down, not towards zero."""
    zero = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    times = [zero + dt.timedelta(seconds=n) for n in (-61, -60, -1, 0)]
    table = pa.table({"metric": ["a"] * 4, "value": [1.0, 2, 4, 8], "timestamp": times})
    assert ms.analytics(table).to_pydict() == {
        "timestamp": [0.0, 60.0, 120.0],
        "metric_name": ["a"] * 3,
        "value": [1.0, 3.0, 8.0],
    }


@pytest.mark.parametrize("period, error", [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_period_is_a_number_of_seconds(period, error):
    """Whole, and at least one."""
    with pytest.raises(error, match="period"):
        ms.analytics(pa.table({"metric": ["a"], "value": [1.0]}), period=period)


def test_averages_by_time_need_times():
    """A result without the column has none."""
    with pytest.raises(ValueError, match="no column 'timestamp'"):
        ms.analytics(pa.table({"metric": ["a"], "value": [1.0]}))


# --- what results can be


LOG = b"""\
2024-03-01T12:00:00Z Epoch 1/2 lr=0.5e0 phase=a
2024-03-01T12:00:01Z loss=0.5
2024-03-01T12:00:02Z loss=nan
2024-03-01T12:00:03Z loss=wrong
2024-03-01T12:00:04Z Epoch 2/2 lr=0.25 phase=-b
2024-03-01T12:00:05Z loss=-inf =x=0.25
"""
DEFINITIONS = {"loss": r"loss=(\S+)", "=x": r"=x=(\S+)"}
CONTEXT = {
    "epoch": r"Epoch (\d+)",
    "lr": (r"lr=(\S+)", "float64"),
    "phase": (r"phase=(\S+)", "string"),
}


def scanned(**options):
    """A scan with nulls, NaN, an infinity, and texts that spreadsheets would run."""
    options = {"context": CONTEXT, "on_reject": "null", **options}
    return ms.scan({"-": LOG, "=b": LOG, "NA": LOG}, DEFINITIONS, **options)


def shapes():
    """The same rows, as everything that is a result."""
    table = scanned().read_all()
    yield scanned
    yield lambda: scanned(strings="plain", batch_rows=2)
    yield lambda: table
    yield lambda: table.to_reader(2)
    yield lambda: table.combine_chunks().to_batches()[0]
    yield lambda: pl.from_arrow(table)
    yield lambda: pl.from_arrow(scanned(strings="plain").read_all())


@pytest.mark.parametrize("number", range(7))
def test_every_kind_of_result_is_read(number):
    """Scans, tables, batches, streams, and frames of other libraries."""
    result = list(shapes())[number]
    rows = scanned().read_all().to_pylist()
    check(result, rows)


def test_frames_of_pandas_are_read():
    """To which NaN is a null."""
    (summed,) = ms.summary(scanned().to_pandas(), by=()).filter(pa.array([True, False])).to_pylist()
    assert (summed["metric"], summed["last"], summed["count"]) == ("loss", -math.inf, 6)
    frame = pd.DataFrame({"metric": ["a", "b"], "value": [1, 2]})
    assert [one["Value"] for one in ms.final_metrics(frame)] == [1.0, 2.0]


def check(result, rows):
    """Everything that can be made of it, against the rows."""
    for source in ("-", "=b", "NA"):
        found = ms.final_metrics(result(), by="source", group=source)
        assert [(one["MetricName"], one["Value"]) for one in found] == [
            ("loss", -math.inf),
            ("=x", 0.25),
        ]
        assert {one["Timestamp"] for one in found} == {
            dt.datetime(2024, 3, 1, 12, 0, 5, tzinfo=dt.UTC)
        }
    summary = ms.summary(result(), by="source").to_pylist()
    losses = [row for row in summary if row["metric"] == "loss"]
    assert [(row["source"], row["count"], row["nan"]) for row in losses] == [
        (source, 3, 1) for source in ("-", "=b", "NA")
    ]
    assert [(row["max_step"], row["max_line"], row["min_step"]) for row in losses] == [
        (1, 2, 2)
    ] * 3
    wide = ms.wide(result(), index=("source", "lr", "phase", "epoch"))
    assert wide.select(["source", "lr", "phase", "epoch", "=x"]).to_pylist() == [
        {"source": source, "lr": lr, "phase": phase, "epoch": epoch, "=x": x}
        for source in ("-", "=b", "NA")
        for lr, phase, epoch, x in ((0.5, "a", 1, None), (0.25, "-b", 2, 0.25))
    ]
    attempts = ms.attempts(result())
    assert attempts["attempt"].to_pylist() == [0] * len(rows)
    assert all_same(attempts["value"].to_pylist(), [row["value"] for row in rows])


@pytest.mark.parametrize(
    "name", ["a.parquet", "a.arrow", "a.feather", "a.csv", "a.jsonl", "a.NDJSON"]
)
def test_every_file_that_a_sink_writes_is_read(name, tmp_path):
    """With all values, names and types of context columns."""
    path = tmp_path / name
    scanned(batch_rows=3).write(path)
    check(lambda: path, scanned().read_all().to_pylist())
    check(lambda: str(path), scanned().read_all().to_pylist())


def test_a_directory_of_parts_is_one_result(tmp_path):
    """By name, hidden ones left out, inner directories too; parts must have the same columns."""
    whole = scanned().read_all()
    for number, start in enumerate(range(0, whole.num_rows, 4)):
        path = tmp_path / f"part-{number}.parquet"
        pq.write_table(whole.slice(start, 4), path)
    (tmp_path / ".metricsieve-1.tmp").mkdir()
    (tmp_path / "_old.parquet").write_bytes(b"")
    (tmp_path / "readme.txt").write_text("not read")
    check(lambda: tmp_path, whole.to_pylist())
    (tmp_path / "z").mkdir()
    pq.write_table(whole.drop(["epoch"]), tmp_path / "z" / "last.parquet")
    with pytest.raises(ms.SourceError, match=r"last\.parquet has other columns"):
        ms.summary(tmp_path)


def test_text_formats_find_out_types_beyond_their_first_rows(tmp_path):
    """A context column that is empty for long, or whole numbers that are none at the end."""
    lines = [f'{{"metric": "a", "value": {n}, "x": null, "y": {n}}}' for n in range(70_000)]
    lines += ["", '{"metric": "a", "value": "NaN", "x": 5, "y": 0.5, "z": "NA"}']
    jsonl = tmp_path / "a.jsonl"
    jsonl.write_text("\n".join(lines))
    csv = tmp_path / "a.csv"
    csv.write_text(
        "metric,value,x,y,z\n"
        + "".join(f"a,{n},,{n},\n" for n in range(70_000))
        + "a,nan,5,0.5,NA\n"
    )
    for path in (jsonl, csv):
        found = ms.attempts(path, step="y")
        assert found.schema.types[:5] == [
            pa.string(),
            pa.float64(),
            pa.int64(),
            pa.float64(),
            pa.string(),
        ]
        assert all_same(
            found.slice(69_999).to_pylist()[1].values(), ["a", math.nan, 5, 0.5, "NA", 1]
        )


def test_lists_and_objects_in_json_are_texts(tmp_path):
    """A column of somebody else's is no reason to refuse the file."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"metric": "a", "value": 1, "x": [1, 2]}\n')
    assert ms.wide(path, index=("x",)).to_pylist() == [{"x": "[1, 2]", "a": 1.0}]


@pytest.mark.parametrize(
    "name, content, why",
    [
        ("a.parquet", b"nothing", "cannot read the result"),
        ("a.arrow", b"nothing", "cannot read the result"),
        ("a.csv", b"metric,value\na,x\n", "cannot read the result"),
        ("a.jsonl", b'{"metric": "a"}\n[1]\n', "line 2: it is no JSON object"),
        ("a.jsonl", b'{"metric": "a"}\n{"metric"\n', "line 2: "),
        ("a.jsonl", b'{"metric": "a", "value": "x"}\n', "up to line 1"),
    ],
)
def test_a_damaged_file_is_named(name, content, why, tmp_path):
    """And where it is damaged, as far as that is known."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ms.SourceError) as caught:
        ms.summary(path)
    assert why in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_is_no_result_is_refused(tmp_path):
    """Missing files, logs, other objects, other tables."""
    with pytest.raises(FileNotFoundError):
        ms.summary(tmp_path / "gone.parquet")
    with pytest.raises(FileNotFoundError, match=r"no \.parquet file"):
        ms.summary(tmp_path)
    with pytest.raises(ValueError, match=r"train\.log.*metricsieve\.scan"):
        ms.summary("train.log")
    with pytest.raises(TypeError, match="a list is no result"):
        ms.summary([1])
    with pytest.raises(ValueError, match=r"no column 'value'.*'metric', 'x'"):
        ms.summary(pa.table({"metric": ["a"], "x": [1.0]}))
    with pytest.raises(ValueError, match="must hold numbers, not string"):
        ms.summary(pa.table({"metric": ["a"], "value": ["1"]}))
    with pytest.raises(ValueError, match="without a metric"):
        ms.summary(pa.table({"metric": [None], "value": [1.0]}), by=())


@pytest.mark.parametrize(
    "by, why",
    [
        ("jbo", "did you mean 'job'"),
        (("job", "job"), "named twice"),
        ("metric", "no column to group by"),
        ("count", "a column of that name"),
    ],
)
def test_group_columns_are_checked(by, why):
    """Before anything is made of them."""
    table = pa.table({"metric": ["a"], "value": [1.0], "job": ["j"], "count": [1]})
    with pytest.raises(ValueError, match=why):
        ms.summary(table, by=by)


def test_a_scan_is_used_up_and_closed():
    """It gives its rows once."""
    found = scanned()
    ms.summary(found)
    assert found.report.complete
    with pytest.raises(ms.ScanUsedError):
        ms.summary(found)


@settings(max_examples=30)
@given(lists_of_rows, st.sampled_from(["plain", "int8", "large", "view"]))
def test_texts_of_any_type_are_read(rows, kind):
    """Whatever another tool made of them."""
    types = {
        "plain": pa.string(),
        "int8": pa.dictionary(pa.int8(), pa.large_string()),
        "large": pa.large_string(),
        "view": pa.string_view(),
    }
    table = pa.Table.from_pylist(rows, schema=schema())
    fields = [
        field.with_type(types[kind]) if field.type == pa.string() else field for field in schema()
    ]
    other = pa.table([table[f.name].cast(f.type) for f in fields], schema=pa.schema(fields))
    for function in (ms.summary, ms.wide):
        assert repr(function(other).to_pylist()) == repr(function(table).to_pylist())
        assert function(other).schema.types == function(table).schema.types


@pytest.mark.parametrize(
    "values",
    [
        [[1.7e308, 1.7e308]],
        [[1e308, 1e308, -1e308]],
        [[1.7e308], [-1.7e308]],
        [[1e308], [3.0, 4.0]],
    ],
)
def test_the_mean_of_the_largest_numbers_is_a_number(values):
    """Their sum is none; beside small ones of another metric, whose digits stay."""
    small = [3e-300, 5e-300]
    tables = [
        pa.table({"metric": ["a"] * len(some) + ["b"] * 2, "value": [*some, *small]})
        for some in values
    ]
    found = ms.summary(pa.concat_tables(tables), by=())["mean"].to_pylist()
    exact = [Fraction(value) for some in values for value in some]
    assert found[0] == pytest.approx(float(sum(exact) / len(exact)), rel=1e-14, abs=1)
    assert found[1] == pytest.approx(4e-300, rel=1e-14, abs=0)


@pytest.mark.parametrize(
    "times",
    [[1700000000, 1700000060], [1.7e9, 1.8e9], ["2024-01-01", "x"], [dt.date(2024, 1, 1)] * 2],
)
def test_times_are_timestamps(times):
    """Whole numbers could be of any unit."""
    table = pa.table({"metric": ["a"] * 2, "value": [1.0, 2.0], "timestamp": times})
    for view in (ms.final_metrics, ms.analytics):
        with pytest.raises(ValueError, match=r"'timestamp' holds .*, not times"):
            view(table)
    far = pa.array([2**62] * 2, pa.timestamp("us", "UTC"))
    with pytest.raises(ValueError, match="years 1 to 9999"):
        ms.final_metrics(table.set_column(2, "timestamp", far))
    assert ms.summary(table)["count"].to_pylist() == [2]


def test_a_row_without_a_value_takes_no_points_place():
    """Of a restarted job whose second try at a step printed no number."""
    steps, values = [1, 2, 3, 2, 3], [4.0, 3.0, 1.0, None, 2.5]
    table = pa.table({"metric": ["a"] * 5, "value": values, "step": steps})
    points = {
        row["step"]: row["value"] for row in ms.last_attempt(table).to_pylist() if row["value"]
    }
    wide = ms.wide(table, index=("step",)).to_pydict()
    assert points == dict(zip(wide["step"], wide["a"], strict=True)) == {1: 4.0, 2: 3.0, 3: 2.5}
    zeros = pa.table({"metric": ["a"] * 3, "value": [1.0, 2.0, 3.0], "step": [0.0, 1.0, -0.0]})
    assert ms.last_attempt(zeros)["value"].to_pylist() == [2.0, 3.0]


def test_a_metric_without_a_name_is_refused_in_every_form():
    """Also where a dictionary hides it."""
    names = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["a", None]))
    for metric in (names, pa.array(["a", None])):
        table = pa.table({"metric": metric, "value": [1.0, 2.0]})
        for view in (ms.final_metrics, ms.summary, choose):
            with pytest.raises(ValueError, match="without a metric's name"):
                view(table)
