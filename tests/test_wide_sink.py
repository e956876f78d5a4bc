"""The wide form as an output, against pandas' pivot of the long one."""

import csv
import json
import random

import metricsieve as ms
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from metricsieve.results import _pivot
from program import run

DEFINITIONS = {"loss": r"loss=(\S+)", "acc": r"acc=(\S+)", "-lr": r"lr=(\S+)"}
EPOCH = {"epoch": r"epoch (\d+)"}
ARGUMENTS = ["-m", r"loss=loss=(\S+)", "-m", r"acc=acc=(\S+)", "-c", r"epoch=epoch (\d+)"]
LOG = "loss=9\nepoch 1 loss=2 acc=0.5\nepoch 2 loss=1\nepoch 2 loss=0.25\n"


def log_of(seed, lines=200):
    """Epochs that come again and again, with metrics that come several times."""
    chance = random.Random(seed)
    told = ["loss=nan"]
    for _ in range(lines):
        told.append(f"epoch {chance.randint(0, 9)}" if chance.random() < 0.3 else "")
        for name in ("loss", "acc", "lr"):
            if chance.random() < 0.5:
                told[-1] += (
                    f" {name}={chance.choice(['nan', 'inf', '-1.5', repr(chance.random())])}"
                )
    return "\n".join(told).encode()


def pivoted(points):
    """Names and rows of what pandas makes of the long form; values are texts."""
    frame = pd.DataFrame(
        {
            "job": points["job"].astype(object).fillna(points["source"].astype(object)),
            "epoch": points["epoch"].fillna(10**9),  # pandas leaves out what has no step
            "metric": points["metric"].astype(object),
            "value": points["value"].map(repr),  # and takes NaN for none
        }
    )
    table = frame.pivot_table(
        index=["job", "epoch"], columns="metric", values="value", aggfunc=lambda s: s.iloc[-1]
    )
    jobs, metrics = (list(dict.fromkeys(frame[name])) for name in ("job", "metric"))
    table = table.sort_index(key=lambda one: one.map(jobs.index) if one.name == "job" else one)
    table = table[metrics].reset_index().astype(object)
    table = table.where(table.notna() & (table != 10**9), None)
    return list(table.columns), table.to_numpy().tolist()


def read(path):
    """Names and rows, as a reader of the format gives them; values are texts."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            names, *rows = csv.reader(file)
        rows = [[cell or None for cell in row] for row in rows]
    else:
        if path.suffix == ".jsonl":
            dicts = list(map(json.loads, path.read_text().splitlines()))
        elif path.suffix == ".parquet":
            dicts = pq.read_table(path).to_pylist()
        else:
            dicts = pa.ipc.open_file(path).read_all().to_pylist()
        names, rows = list(dicts[0]), [list(row.values()) for row in dicts]
    return names, [
        [job, epoch and int(epoch), *(one and repr(float(one)) for one in values)]
        for job, epoch, *values in rows
    ]


@pytest.mark.parametrize("held", [2, 50, 1 << 20])
def test_the_wide_form_is_the_pivot_of_the_long_one(held, tmp_path, monkeypatch):
    """In every kind of file, whatever is thrown away on the way."""
    monkeypatch.setattr(_pivot, "_ROWS", held)
    monkeypatch.setattr(_pivot, "_BATCHES", 3)
    logs = {f"{seed}.log": log_of(seed) for seed in (2, 1, 3)}
    scan = ms.scan(logs, DEFINITIONS, context=EPOCH, batch_rows=7)
    long = tmp_path / "points.parquet"
    files = [tmp_path / f"w{suffix}" for suffix in (".parquet", ".arrow", ".csv", ".jsonl")]
    with pytest.warns(ms.SinkWarning) as told:
        scan.write(long, *(f"wide:{path}" for path in files))
    points = pd.read_parquet(long)
    names, rows = pivoted(points)
    assert len(rows) == 33
    for path in files:
        found, of_file = read(path)
        assert of_file == rows
        assert found == [
            f"'{one}" if one[0] == "-" and path.suffix == ".csv" else one for one in names
        ]
    cells = sum(cell is not None for row in rows for cell in row[2:])
    replaced, stepless = len(points) - cells, points["epoch"].isna().sum()
    assert f"wide form: {replaced:,} points came again with the same job, epoch" in str(
        told[0].message
    )
    assert f"wide form: {stepless} points without epoch" in str(told[1].message)


def test_groups_and_the_axis_can_be_any_columns(tmp_path):
    """The place in the log, for instance."""
    scan = ms.scan({"a": LOG.encode()}, DEFINITIONS, context=EPOCH)
    scan.write(f"wide:{tmp_path}/a.csv?step=line&by=source,host")
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        '"source","host","line","loss","acc"',
        '"a",,1,9,',
        '"a",,2,2,0.5',
        '"a",,3,1,',
        '"a",,4,0.25,',
    ]


def test_points_can_be_counted_where_a_log_tells_no_step(tmp_path, monkeypatch):
    """Those of each metric in each group, from 1, as pandas counts them."""
    monkeypatch.setattr(_pivot, "_ROWS", 2)
    monkeypatch.setattr(_pivot, "_BATCHES", 3)
    logs = {"a": log_of(5), "b": log_of(6)}
    scan = ms.scan(logs, DEFINITIONS, batch_rows=7)
    scan.write(tmp_path / "points.parquet", f"wide:{tmp_path}/w.parquet?step=point&by=source")
    points = pd.read_parquet(tmp_path / "points.parquet").astype({"metric": str, "source": str})
    points["point"] = points.groupby(["source", "metric"]).cumcount() + 1
    expected = points.pivot(index=["source", "point"], columns="metric", values="value")
    found = pd.read_parquet(tmp_path / "w.parquet").set_index(["source", "point"])
    pd.testing.assert_frame_equal(found, expected[found.columns], check_names=False)


@pytest.mark.parametrize(
    "url, why",
    [
        ("wide:", "needs a file"),
        ("wide:a.csv?index=x", "has no option index="),
        ("wide:a.txt", "cannot tell the format"),
        ("wide:parts/", "is a directory"),
        ("wide:emf:a.csv", "is no file"),
        ("wide:a.csv?step=epok", "no column 'epok'.*did you mean 'epoch'"),
        ("wide:a.csv?by=value", "no column to group by"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url, why, tmp_path, monkeypatch):
    """Before anything is read; no file is there."""
    monkeypatch.chdir(tmp_path)
    scan = ms.scan(LOG.encode(), DEFINITIONS, context=EPOCH)
    with pytest.raises(ValueError, match=why):
        scan.write(url)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_it_at_the_end(tmp_path):
    """Of scan and follow; not with a state, not without steps; nothing of a scan that fails."""
    log, file = tmp_path / "a.log", tmp_path / "w.jsonl"
    log.write_text(LOG)
    url = f"wide:{file}"
    done = run("scan", log, *ARGUMENTS, "-o", url, "--strict")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "warning: wide form: 1 point came again with the same job, epoch: the last" in done.stderr
    )
    assert "warning: wide form: 1 point without epoch" in done.stderr
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [list(row.values())[1:] for row in rows] == [
        [1, 2, 0.5],
        [2, 0.25, None],
        [None, 9, None],
    ]
    file.unlink()
    assert run("follow", log, *ARGUMENTS, "-o", url, "--until-idle", "0").returncode == 0
    assert [json.loads(line) for line in file.read_text().splitlines()] == rows
    file.unlink()
    for arguments, code, why in (
        (["follow", log, *ARGUMENTS, "--state", tmp_path / "s"], 2, "is written whole"),
        (["scan", log, *ARGUMENTS[:4]], 2, "no step axis"),
        (["scan", log, *ARGUMENTS, "-m", "x=(epoch)", "--on-reject", "raise"], 1, "epoch"),
    ):
        done = run(*arguments, "-o", url)
        assert (done.returncode, why in done.stderr) == (code, True)
        assert [path.name for path in tmp_path.iterdir()] == ["a.log"]
    done = run("scan", log, *ARGUMENTS, "-o", f"wide:{tmp_path}/none/w.csv")
    assert (done.returncode, "create the directory first" in done.stderr) == (4, True)
