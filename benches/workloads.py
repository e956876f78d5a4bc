"""Seeded workloads: log files, definitions, and how many points a scan of them must find.

`make` is the principal function: it writes a workload's files below a directory, once, and returns
a `Workload`. `run.py` and `memory.py` are fed by it. The same name and seed at a smaller size gives
another file of the same kind with its own exact number of points: that is how slow peers are
measured on less.

Noise lines come from a pool that is built once; a stream of seeded choices from it is written, so
that the generator runs at some 300 MB/s and needs nothing but the standard library.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import plans
import real
import traps
import wrapped
from plans import MIB, Plan

HERE = Path(__file__).parent
SEED = 20240501
SOURCES = ("lines.py", "plans.py", "traps.py", "workloads.py", "wrapped.py")


class Workload(NamedTuple):
    """Files, definitions and what must come out.

    Attributes:
        paths: the sources, in order.
        definitions: as `metricsieve.scan` takes them.
        points: exact number of points.
        matches: of definitions; more than points where a captured text is no number.
        text_bytes: size of the text, decompressed; what MB/s refers to.
        grep: matches that `rg -o` prints for the union of the patterns; None where ripgrep cannot
            do the same work (escapes, colours, bare CR, compression).
        terminal: the text needs normalising, so peers in Python do it too.
        cold: drop the files from the page cache before each run.
        context: context columns, which only metricsieve fills.
    """

    paths: list[Path]
    definitions: list[dict[str, str]]
    points: int
    matches: int
    text_bytes: int
    grep: int | None
    terminal: bool
    cold: bool = False
    context: dict[str, str] | None = None


WORKLOADS: dict[str, Callable[[random.Random], Plan]] = {
    "sparse-8": plans.sparse,
    "dense-8": partial(plans.sparse, share=0.5),
    "dotstar": plans.dotstar,
    "dotstar-escaped": partial(plans.dotstar, escaped=True),
    "many-40": partial(plans.many, count=40),
    "many-200": partial(plans.many, count=200),
    "many-1000": partial(plans.many, count=1000),
    "many-10000": partial(plans.many, count=10_000),
    "prefix-40": partial(plans.many, count=40, shared_prefix=True),
    "prefix-200": partial(plans.many, count=200, shared_prefix=True),
    "prefix-1000": partial(plans.many, count=1000, shared_prefix=True),
    "prefix-10000": partial(plans.many, count=10_000, shared_prefix=True),
    "bars": plans.bars,
    "bars-dense": partial(plans.bars_dense, terminator="\r"),
    "bars-backspace": partial(plans.bars_dense, terminator="\x08" * 110),
    "bars-escaped": partial(plans.bars_dense, terminator="#015"),
    "coloured": plans.coloured,
    "coloured-escaped": partial(plans.coloured, esc="#033"),
    "escaped": plans.escaped,
    "gz": plans.gz,
    "export": plans.export,
    "tiny": plans.tiny,
    "skew": plans.skew,
    "cold": plans.cold,
    **{
        f"wrapped-{shape}": partial(wrapped.wrapped, shape=shape)
        for shape in (*wrapped.PREFIXES, *wrapped.OBJECTS)
    },
    "ranks": wrapped.ranks,
    "trap-none": traps.trap_none,
    "trap-common": traps.trap_common,
    "trap-space": partial(traps.trap_short, regex=r" ([0-9]+\.[0-9]{2})$", text="done {}"),
    "trap-percent": partial(traps.trap_short, regex=r"([0-9.]+)%;", text="share {}%; of all"),
    "trap-no-literal": traps.trap_no_literal,
    "trap-case": traps.trap_case,
    "trap-shared-20": traps.trap_shared,
    "trap-lf": partial(traps.trap_byte, byte=b"\n"),
    "trap-cr": partial(traps.trap_byte, byte=b"\r"),
    "trap-esc": partial(traps.trap_byte, byte=b"\x1b"),
    "trap-hash": partial(traps.trap_byte, byte=b"#"),
    "trap-records-1m": traps.trap_long,
    "trap-escaped-cr": traps.trap_escaped_cr,
    "trap-across": traps.trap_across,
    "trap-context": traps.trap_context,
}
# Points of the curves that are no workloads of their own; the other ones are above.
FAMILIES: dict[str, Callable[[random.Random], Plan]] = {
    "many-1": partial(plans.many, count=1),
    "many-8": partial(plans.many, count=8),
    "share-0": partial(plans.sparse, share=0),
    "share-0.1": partial(plans.sparse, share=0.001),
    "share-1": partial(plans.sparse, share=0.01),
    "share-10": partial(plans.sparse, share=0.1),
    "share-50": partial(plans.sparse, share=0.5),
    "share-100": partial(plans.sparse, share=1),
}


def names() -> list[str]:
    """The workloads that can be made here: `real` needs a corpus."""
    return [*WORKLOADS, *(["real"] if real.available() else [])]


def make(name: str, directory: Path, mb: float) -> Workload:
    """Write workload `name` of about `mb` MiB of text, unless it is there already.

    Args:
        name: a key of `WORKLOADS` or `FAMILIES`, or `real`.
        directory: where files are kept; one directory a workload and size is made in it.
        mb: size of the text in MiB. Workloads of whole pieces (records of 1 MiB, real logs) may
            be larger by one piece.

    Raises:
        KeyError: no workload has this name.

    Example:
        >>> paths, definitions, points, *_ = make("sparse-8", Path("/tmp/bench"), 1)
    """
    if name == "real":
        return _make_real(directory, mb)
    plan = {**WORKLOADS, **FAMILIES}[name](random.Random(f"{SEED}:{name}"))
    home = directory / f"{name}-{mb:g}"
    rng = random.Random(f"{SEED}:{name}:text")
    known = _kept(home, _version(*SOURCES), lambda: _write(plan, home, rng, int(mb * MIB)))
    return Workload(
        [home / path for path in known["paths"]],
        plan.definitions,
        points=known["points"],
        matches=known["points"],
        text_bytes=known["bytes"],
        grep=known["grep"] if plan.grep else None,
        terminal=plan.terminal,
        cold=plan.cold,
        context=plan.context,
    )


def _make_real(directory: Path, mb: float) -> Workload:
    home = directory / f"real-{mb:g}"
    size = int(mb * MIB)
    version = _version("real.py", extra=real.fingerprint())
    known = _kept(home, version, lambda: real.write(home / "real.log", size))
    return Workload(
        [home / "real.log"],
        real.definitions(),
        points=known["points"],
        matches=known["matches"],
        text_bytes=known["bytes"],
        grep=None,
        terminal=True,
    )


def _version(*sources: str, extra: str = "") -> str:
    """Changes when the code does that wrote a file, or what it was made of."""
    code = b"".join((HERE / source).read_bytes() for source in sources) + extra.encode()
    return hashlib.sha256(code).hexdigest()[:12]


def _kept(home: Path, version: str, write: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The account that `write` gave when it filled `home`; it is called if that was never."""
    account = home / "account.json"
    if account.exists():
        known: dict[str, Any] = json.loads(account.read_text())
        if known["version"] == version:
            return known
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    known = write() | {"version": version}
    account.write_text(json.dumps(known))
    return known


def _sizes(plan: Plan, size: int) -> Iterator[int]:
    """How much text each file takes."""
    first = [int(size * plan.first_share)] if plan.first_share else []
    return chain(first, repeat(plan.file_bytes or size))


def _write(plan: Plan, home: Path, rng: random.Random, size: int) -> dict[str, Any]:
    """Whole chunks are written, so that no metric line is cut and every point is counted."""
    written, points, grep = 0, 0, 0
    chunks = plan.chunks(rng)
    paths: list[str] = []
    for wanted in _sizes(plan, size):
        if written >= size:
            break
        name = f"{len(paths) // 1000:04d}/{len(paths):07d}.log{'.gz' if plan.gz else ''}"
        paths.append(name)
        path = home / name
        path.parent.mkdir(exist_ok=True)
        room = min(wanted, size - written)
        with gzip.open(path, "wb", compresslevel=6) if plan.gz else path.open("wb") as out:
            while room > 0:
                text, found, printed = next(chunks)
                out.write(text)
                room -= len(text)
                written, points, grep = written + len(text), points + found, grep + printed
    return {"paths": paths, "points": points, "bytes": written, "grep": grep}
