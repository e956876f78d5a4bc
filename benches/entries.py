"""What is measured on a workload: metricsieve, the floors under it, and its peers.

`entries` is the principal function. Peers are looked up here, at run time: one that is missing is
left out, and `missing` has a note about it. See README.md for what each entry does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import metricsieve as ms
from measure import Entry, Outcome, Series, paired
from metricsieve import _engine
from metricsieve._scan import Scan
from python_peers import MODULES, longest_literal
from workloads import MIB, Workload, make
from wrapped import PREFIXES

HERE = Path(__file__).parent
PEERS = HERE / "target" / "release" / "peers"
# Data frames and other engines are looked at where a table of theirs says something.
COMPARED = ("sparse-8", "dense-8", "dotstar", "many-40")
ENGINES = ("re2", "hyperscan", "polars", "duckdb", "pyarrow", "pandas")
# Goals compare these with sparse-8, within the same round.
RELATIVES = ("many-40", "many-200", "many-1000", "bars", "coloured", "escaped")
GREPS = (
    ("rg -on -b", ["-on", "-b", "-j1"], 1),
    ("rg -on -b --no-mmap", ["-on", "-b", "-j1", "--no-mmap"], 1),
    ("rg -oN", ["-oN", "-j1"], 1),
    ("rg -oN --no-mmap", ["-oN", "-j1", "--no-mmap"], 1),
    ("rg default", ["-oN"], 2),
)
missing: dict[str, str] = {}

Run = Callable[[], Outcome]


class Native:
    """A scan to Arrow batches by the engine.

    The definitions are checked outside of the time. The scanner is made inside of it, since its
    threads may begin to read at once.
    """

    def __init__(
        self,
        workload: Workload,
        threads: int,
        strategy: str | None = None,
        envelope: str | None = None,
    ) -> None:
        self._paths = workload.paths
        self._envelope = envelope
        self._checked = ms.DefinitionSet(workload.definitions, context=workload.context)
        self._threads = threads
        self._strategy = strategy

    def _scan(self) -> Scan:
        scanner = _engine.Scanner(
            [(d.name, d.regex, d.group, d.matches, d.number, d.engine) for d in self._checked],
            [(str(path), "path", str(path)) for path in self._paths],
            normalize="terminal",
            number="trim",
            on_reject="count",
            line_numbers=True,
            columns=None,
            strings="dictionary",
            ordered=True,
            threads=self._threads,
            batch_rows=65536,
            max_record_bytes=MIB,
            context=[(one.name, list(one.regexes), one.type) for one in self._checked.context],
            strategy=self._strategy,
            envelope=self._envelope,
        )
        return Scan(scanner, self._checked, raise_source_errors=True, progress=None)

    def __call__(self) -> Outcome:
        begin = time.perf_counter()
        try:
            scan = self._scan()
            build = time.perf_counter() - begin
            points = sum(batch.num_rows for batch in scan)
        except ms.MetricsieveError as error:
            raise RuntimeError(str(error)) from error
        return Outcome(points, time.perf_counter() - begin, build)


def _spawn(command: list[str], text: str | None = None) -> Outcome:
    """Run a peer that prints its count and the seconds it took."""
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().split("\n")[-1])
    told = json.loads(done.stdout)
    return Outcome(told["count"], told["seconds"])


def rust(data: Path, workload: Workload, peer: str, *arguments: str) -> Run:
    """A peer in Rust."""
    home = data / "lists"

    def run() -> Outcome:
        home.mkdir(exist_ok=True)
        (home / "paths").write_text("".join(f"{path}\n" for path in workload.paths))
        regexes = [d["Regex"] for d in workload.definitions]
        (home / "patterns").write_text("".join(f"{regex}\n" for regex in regexes))
        if peer == "prefilter":
            literals = "".join(longest_literal(regex) + "\n" for regex in regexes)
            (home / "literals").write_text(literals)
        return _spawn([str(PEERS), peer, *arguments, f"@{home / 'paths'}"])

    return run


def python(workload: Workload, peer: str) -> Run:
    """A peer in Python, in a process of its own."""
    job = {
        "paths": [str(path) for path in workload.paths],
        "definitions": workload.definitions,
        "terminal": workload.terminal,
    }
    text = json.dumps(job)
    return lambda: _spawn([sys.executable, str(HERE / "python_peers.py"), peer], text)


@cache
def grep_program() -> str | None:
    """Our own copy goes first: that of a distribution may be years old."""
    return shutil.which("rg", path=str(HERE / ".bin" / "bin")) or shutil.which("rg")


def ripgrep(workload: Workload, flags: list[str], data: Path) -> Run:
    """ripgrep's texts, written to a file in the page cache and counted after the time."""
    patterns = data / "rg-patterns.txt"
    # Large sets do not fit the default limits; the work is the same.
    limits = ["--regex-size-limit", "2G", "--dfa-size-limit", "2G"]
    command = [str(grep_program()), "--no-config", "-a", "--no-filename", "--color", "never"]
    command += [*flags, *limits, "-f", str(patterns)]

    def run() -> Outcome:
        patterns.write_text("".join(d["Regex"] + "\n" for d in workload.definitions))
        with (data / "rg-output.txt").open("wb+") as out:
            begin = time.perf_counter()
            done = subprocess.run([*command, *map(str, workload.paths)], stdout=out, check=False)
            seconds = time.perf_counter() - begin
            if done.returncode not in (0, 1):
                raise RuntimeError(f"rg failed with {done.returncode}")
            out.seek(0)
            lines = sum(chunk.count(b"\n") for chunk in iter(lambda: out.read(MIB), b""))
        return Outcome(lines, seconds)

    return run


def mtail(workload: Workload, home: Path) -> Run:
    """google/mtail: one counter, one pattern a definition."""
    program = home / "mtail" / "points.mtail"
    program.parent.mkdir(exist_ok=True)

    def run() -> Outcome:
        patterns = [d["Regex"].replace("/", r"\/") for d in workload.definitions]
        rules = "".join(f"/{pattern}/ {{ points++ }}\n" for pattern in patterns)
        program.write_text("counter points\n" + rules)
        command = ["mtail", "--one_shot", "--one_shot_format=prometheus", "--progs", str(program)]
        command += [f"--logs={path}" for path in workload.paths]
        begin = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - begin
        found = re.search(r"^points\b.*?([0-9]+)$", done.stdout, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"mtail printed no counter (exit status {done.returncode})")
        return Outcome(int(found.group(1)), seconds)

    return run


def size_for(most: float, budget: float, whole: float, count: int) -> float:
    """MiB for a slow peer: less with more definitions, so that a round stays short."""
    return min(whole, max(0.02, min(most, budget / count)))


def _peers_are_built() -> bool:
    """Whether the peers in Rust are there, and not from before their sources changed."""
    sources = (HERE / "peers" / "src").glob("*.rs")
    newest = max(source.stat().st_mtime for source in sources)
    if PEERS.exists() and PEERS.stat().st_mtime >= newest:
        return True
    what = "they are older than their sources" if PEERS.exists() else "they are not built"
    missing["the peers in Rust"] = f"{what}; benches/prepare.py builds them"
    return False


def _floors(data: Path, whole: Workload) -> list[Entry]:
    if not _peers_are_built():
        return []
    found = []
    for threads, suffix in ((1, ""), (2, " two")):
        for peer in ("read", "lines"):
            run = rust(data, whole, peer, str(threads))
            found.append(Entry(peer + suffix, whole, run, None, cores=threads))
    if whole.paths[0].suffix == ".gz":
        found.append(Entry("gunzip", whole, rust(data, whole, "gunzip"), whole.text_bytes))
    elif len(whole.paths) == 1:
        found.append(Entry("memory", whole, rust(data, whole, "memory"), None))
    return found


def _greps(data: Path, whole: Workload) -> list[Entry]:
    if whole.grep is None or len(whole.paths) > 1 or len(whole.definitions) >= 5000:
        return []
    if grep_program() is None:
        missing["ripgrep"] = "rg is not on the PATH; benches/prepare.py installs it"
        return []
    return [
        Entry(name, whole, ripgrep(whole, flags, data), whole.grep, cores=cores)
        for name, flags, cores in GREPS
    ]


def _in_rust(data: Path, whole: Workload, slow: Workload) -> list[Entry]:
    """The work itself, as it is done in Rust without an engine of our own."""
    count = len(whole.definitions)
    if whole.grep is None or count > 1000 or not _peers_are_built():
        return []
    patterns, literals = (str(data / "lists" / name) for name in ("patterns", "literals"))
    text = whole if count <= 200 else slow
    found = [Entry("regexset", text, rust(data, text, "regexset", patterns), text.points)]
    if all(longest_literal(d["Regex"]) for d in whole.definitions):
        run = rust(data, whole, "prefilter", patterns, literals)
        found.append(Entry("prefilter", whole, run, whole.points))
    return found


def _slow(name: str, data: Path, whole: Workload, mb: float) -> list[Entry]:
    """Peers that get less text: of `real` least, whose definitions take Python seconds a MB."""
    count = len(whole.definitions)

    def sized(most: float, budget: float) -> Workload:
        return make(name, data, size_for(most, budget, mb, count))

    slow = sized(8, 400)
    loop = sized(1, 200) if name == "real" else sized(2, 16)
    best = sized(4, 800) if name == "real" else sized(8, 80)
    found = [Entry("re-loop", loop, python(loop, "re-loop"), loop.matches)]
    if count <= 1000:
        found.append(Entry("exhaustive", slow, Native(slow, 1, "exhaustive"), slow.points))
    if whole.grep is not None or whole.terminal:
        found.append(Entry("re-union", best, python(best, "re-union"), best.matches))
    if whole.grep is not None:
        found.append(Entry("re-finditer", best, python(best, "re-finditer"), best.points))
    found += _in_rust(data, whole, slow)
    if name in COMPARED:
        found += _others(data, best, loop)
    return found


def _others(data: Path, workload: Workload, small: Workload) -> list[Entry]:
    found = []
    for peer in ENGINES:
        if importlib.util.find_spec(MODULES[peer]) is None:
            missing[peer] = "the package is not installed; benches/prepare.py tries to"
        else:
            found.append(Entry(peer, workload, python(workload, peer), workload.points))
    if shutil.which("mtail"):
        found.append(Entry("mtail", small, mtail(small, data), small.points))
    else:
        missing["mtail"] = "it is not on the PATH"
    return found


def entries(name: str, data: Path, mb: float, quick: bool) -> list[Entry]:
    """Everything that is measured on one workload; the first two are ours, one CPU and two."""
    whole = make(name, data, mb)
    found = [
        Entry("one", whole, Native(whole, 1), whole.points),
        Entry("two", whole, Native(whole, 2), whole.points, cores=2),
        *_floors(data, whole),
        *_greps(data, whole),
    ]
    if name in RELATIVES:
        sparse = make("sparse-8", data, mb)
        found.append(Entry("sparse-8", sparse, Native(sparse, 1), sparse.points))
    if name.removeprefix("wrapped-") in PREFIXES:
        found.append(Entry("plain", whole, Native(whole, 1, envelope="plain"), whole.points))
    if name == "skew":
        first = whole._replace(paths=whole.paths[:1])
        found.append(Entry("largest", first, Native(first, 1), None))
    if not quick and not whole.cold:
        found += _slow(name, data, whole, mb)
    return found


def derive(measured: list[Entry]) -> Series:
    """The rates of a workload by entry, and what follows from them, round by round.

    `built`: the rate without the time that making the scanner took. `files`: files a second.
    `scaled`: the rate of one CPU times the scaling of read(2) and counting line feeds. `ideal`:
    the rate of the best schedule on two CPUs, where one file cannot be shared.
    """
    series = {entry.name: entry.rates for entry in measured if entry.rates}
    one = measured[0]
    if not one.rates or one.failure:
        return series
    megabytes = one.workload.text_bytes / 1e6
    series["build seconds"] = one.builds
    seconds = [megabytes / rate for rate in one.rates]
    pairs = zip(seconds, one.builds, strict=True)
    series["built"] = [megabytes / (second - build) for second, build in pairs]
    if len(one.workload.paths) > 1:
        series["files"] = [len(one.workload.paths) / second for second in seconds]
    scaling = paired(series.get("lines two"), series.get("lines"))
    series["scaled"] = [rate * more for rate, more in zip(one.rates, scaling, strict=False)]
    largest = series.get("largest", [])
    series["ideal"] = [min(2 * a, b) for a, b in zip(one.rates, largest, strict=False)]
    return {name: rates for name, rates in series.items() if rates}
