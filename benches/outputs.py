"""What writing the points costs beside finding them.

`python benches/outputs.py parquet` scans a dense log of 256 MB (half of its lines are metrics,
eight definitions) to batches that nobody keeps, to a Parquet file, and to one that pyarrow writes.
`python benches/outputs.py tensorboard` (or `mlflow`) gives 1,000,000 points with steps to a sink,
and the same to the client's own calls in a loop, which begins with the points in lists.

Each is a process of its own, in turn, `--rounds` times; what is printed are the medians and how
they compare to the first.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import metricsieve as ms
from lines import trainer_definitions
from workloads import make

POINTS = 1_000_000


def batches(log: str, home: str) -> None:
    """Batches that nobody keeps."""
    for _ in ms.scan(log, trainer_definitions()):
        pass


def parquet(log: str, home: str) -> None:
    """A Parquet file."""
    ms.scan(log, trainer_definitions()).write(os.path.join(home, "points.parquet"))


def pyarrow(log: str, home: str) -> None:
    """A Parquet file by pyarrow's writer, compressed."""
    import pyarrow.parquet as pq

    found = ms.scan(log, trainer_definitions())
    path = os.path.join(home, "pyarrow.parquet")
    with pq.ParquetWriter(path, found.schema, compression="zstd") as writer:
        for batch in found:
            writer.write_batch(batch)


def points() -> ms.Scan:
    text = b"".join(b"step %d loss=%d.%06d\n" % (n, n % 7, n) for n in range(POINTS))
    return ms.scan({"a": text}, {"loss": r"loss=(\S+)"}, context={"step": r"step (\d+)"})


def rows() -> list[tuple[int, float]]:
    table = points().read_all()
    return list(zip(table["step"].to_pylist(), table["value"].to_pylist(), strict=True))


def tensorboard_client(log: str, home: str) -> Iterator[None]:
    from tensorboardX import SummaryWriter

    given = rows()
    yield
    with SummaryWriter(os.path.join(home, "client")) as writer:
        for step, value in given:
            writer.add_scalar("loss", value, step, walltime=1.0)


def tensorboard(log: str, home: str) -> Iterator[None]:
    found = points()
    yield
    found.write(f"tensorboard:{home}/sink")


def _mlflow_store(home: str) -> Any:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow.db")
    return client, client.create_experiment("metricsieve")  # and with it the tables


def mlflow_client(log: str, home: str) -> Iterator[None]:
    from mlflow.entities import Metric

    client, experiment = _mlflow_store(home)
    run = client.create_run(experiment).info.run_id
    given = rows()
    yield
    for at in range(0, len(given), 1000):
        part = given[at : at + 1000]
        client.log_batch(run, [Metric("loss", value, 1, step) for step, value in part])


def mlflow(log: str, home: str) -> Iterator[None]:
    _mlflow_store(home)
    found = points()
    yield
    found.write(f"mlflow:sqlite:///{home}/mlflow.db")


WAYS: dict[str, list[Callable[[str, str], Any]]] = {
    "parquet": [batches, parquet, pyarrow],
    "tensorboard": [tensorboard_client, tensorboard],
    "mlflow": [mlflow_client, mlflow],
}


def in_child(what: str, way: str, log: str) -> None:
    """Does it once and prints the seconds; those up to a `yield` do not count."""
    with tempfile.TemporaryDirectory() as home:
        done = next(one for one in WAYS[what] if one.__name__ == way)
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        steps = done(log, home)
        if steps is not None:
            next(steps)
            begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
            list(steps)
        seconds, used = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": used.ru_maxrss / 1024}))


def main() -> None:
    """Measures and prints a table."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("what", choices=WAYS)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--data", type=Path, default=Path(__file__).parent / ".data")
    options.add_argument("--child", nargs=2, metavar=("WAY", "LOG"))
    given = options.parse_args()
    if given.child:
        return in_child(given.what, *given.child)
    dense = given.what == "parquet"
    log = str(make("dense-8", given.data, 256).paths[0]) if dense else ""
    took: dict[str, list[dict[str, float]]] = {}
    for _ in range(given.rounds):
        for way in WAYS[given.what]:
            command = [sys.executable, __file__, given.what, "--child", way.__name__, log]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            took.setdefault(way.__name__, []).append(json.loads(done.stdout.splitlines()[-1]))
    first = statistics.median(one["seconds"] for one in next(iter(took.values())))
    for way, runs in took.items():
        seconds = statistics.median(one["seconds"] for one in runs)
        cpu = statistics.median(one["cpu"] for one in runs)
        peak = max(one["peak_mb"] for one in runs)
        print(
            f"{way:20} {seconds:7.3f} s {seconds / first:6.2f}  "
            f"cpu {cpu:7.3f} s  peak {peak:5.0f} MB"
        )


if __name__ == "__main__":
    main()
