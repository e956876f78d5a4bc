"""Many gzip objects behind a latency: how near a scan comes to what it could reach.

`python benches/remote.py --objects 1000` makes gzip objects of 1 MB, serves them by
`object_server.py` and measures, each in a process of its own and with its processor time:

- `decompress`: the objects in memory, decompressed by as many threads as there are cores, nothing
  else (libdeflate if the package `deflate` is there, else zlib);
- `link`: all objects fetched by obstore as the scan fetches them, and thrown away;
- `files`: a scan of the same objects as local files;
- `remote`: a scan of them from the server, with its peak memory.

The goal is `remote` at 0.8 of the slower of `decompress` and `link`; `--link 1000` gives the server
a link of a gigabit. Without a limit server, client and scan share the cores and cannot overlap:
`shared` is the time that their processor time together takes on all cores, which nothing could
beat.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lines import noise_pool, trainer_definitions, trainer_metrics

HERE = Path(__file__).parent
BUCKET = "bench"
DISTINCT = 16
OBJECT_BYTES = 1_000_000


def make(directory: Path) -> None:
    """Writes distinct objects: 1 % of Trainer lines in noise, as in sparse-8."""
    rng = random.Random(20240501)
    noise, metrics = noise_pool(rng), [line for line, _ in trainer_metrics(rng)]
    for number in range(DISTINCT):
        packed, lines = b"", 40_000
        while len(packed) < OBJECT_BYTES * 0.98:
            text = b"".join(
                rng.choice(metrics if rng.random() < 0.01 else noise) for _ in range(lines)
            )
            packed = gzip.compress(text, 6)
            lines = int(lines * OBJECT_BYTES / len(packed)) + 1
        (directory / f"{number:02}.gz").write_bytes(packed)


def decompress(directory: str, objects: int) -> dict[str, Any]:
    """All objects, by all cores, in memory."""
    try:
        from deflate import gzip_decompress
    except ImportError:
        from gzip import decompress as gzip_decompress
    bodies = [path.read_bytes() for path in sorted(Path(directory).iterdir())]
    begun = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        work = (bodies[n % len(bodies)] for n in range(objects))
        sizes = sum(threads.map(lambda body: len(gzip_decompress(body)), work))
    return {"seconds": time.perf_counter() - begun, "text": sizes}


def link(url: str, objects: int) -> dict[str, Any]:
    """All objects, fetched and thrown away."""
    import obstore
    from metricsieve.sources._prefetch import THREADS
    from obstore.store import S3Store

    store = S3Store(BUCKET, endpoint=url, allow_http=True)
    begun = time.perf_counter()
    keys = [entry["path"] for chunk in obstore.list(store, "logs") for entry in chunk]
    assert len(keys) == objects
    with ThreadPoolExecutor(THREADS) as threads:
        fetched = sum(threads.map(lambda key: len(obstore.get(store, key).bytes()), keys))
    return {"seconds": time.perf_counter() - begun, "bytes": fetched}


def scan(source: str, objects: int) -> dict[str, Any]:
    """A scan to batches that nobody keeps."""
    import metricsieve as ms

    begun = time.perf_counter()
    found = ms.scan(source, trainer_definitions())
    first = rows = 0
    for batch in found:
        first = first or time.perf_counter() - begun
        rows += batch.num_rows
    assert found.report.complete
    assert found.report.sources.total == objects
    return {"seconds": time.perf_counter() - begun, "rows": rows, "first": first}


def child(what: str, *arguments: str) -> dict[str, Any]:
    """Runs one of the above in a process of its own."""
    command = [sys.executable, __file__, "--child", what, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def in_child(what: str, source: str, objects: int) -> None:
    """Does it and prints what it took."""
    work = {"decompress": decompress, "link": link, "files": scan, "remote": scan}[what]
    done = work(source, objects)
    used = resource.getrusage(resource.RUSAGE_SELF)
    done |= {"cpu": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}
    print(json.dumps(done))


def cpu_of(process: int) -> float:
    """Processor time that a process took so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measures and prints a table."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--objects", type=int, default=1000)
    options.add_argument("--latency", type=float, default=0.05, help="seconds an answer takes")
    options.add_argument("--link", type=float, default=0, help="megabits a second; 0 for no limit")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--child", nargs=3, metavar=("WHAT", "SOURCE", "OBJECTS"))
    given = options.parse_args()
    if given.child:
        what, source, objects = given.child
        return in_child(what, source, int(objects))
    with tempfile.TemporaryDirectory() as home:
        bodies, files = Path(home, "bodies"), Path(home, "files")
        bodies.mkdir()
        files.mkdir()
        make(bodies)
        originals = sorted(bodies.iterdir())
        for number in range(given.objects):
            body = originals[number % DISTINCT].read_bytes()
            Path(files, f"{number:06}.gz").write_bytes(body)
        arguments = [str(bodies), str(given.objects), str(given.latency), str(given.link)]
        command = [sys.executable, str(HERE / "object_server.py"), *arguments]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            os.environ |= {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "bench",
                "AWS_SECRET_ACCESS_KEY": "bench",
                "AWS_REGION": "us-east-1",
            }
            for _ in range(given.rounds):
                measure_round(given.objects, str(bodies), str(files), url, server.pid)
        finally:
            server.kill()
            server.wait()


def measure_round(objects: int, bodies: str, files: str, url: str, server: int) -> None:
    """One of each, and how they compare."""
    count = str(objects)
    took = {
        "decompress": child("decompress", bodies, count),
        "link": child("link", url, count),
        "files": child("files", files, count),
    }
    before = cpu_of(server)
    took["remote"] = child("remote", f"s3://{BUCKET}/logs/", count)
    serving = cpu_of(server) - before
    for name, one in took.items():
        rate = objects / one["seconds"]
        print(
            f"{name:10} {one['seconds']:7.2f} s {rate:7.0f} objects/s "
            f"cpu {one['cpu']:6.2f} s  peak {one['peak_mb']:5.0f} MB"
        )
    remote = took["remote"]["seconds"]
    assert took["remote"]["rows"] == took["files"]["rows"]
    shared = (took["remote"]["cpu"] + serving) / (os.cpu_count() or 1)
    slower = max(took["decompress"]["seconds"], took["link"]["seconds"])
    print(
        f"remote is {slower / remote:.2f} of the slower of decompress and link, "
        f"{took['files']['seconds'] / remote:.2f} of files, {shared / remote:.2f} of shared "
        f"(server cpu {serving:.2f} s)\n",
        flush=True,
    )


if __name__ == "__main__":
    main()
