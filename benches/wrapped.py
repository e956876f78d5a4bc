"""Workloads of logs as shippers wrap them: the mix of `sparse`, a prefix or an object a line.

`PREFIXES` hold the message as it is, and may be read as plain text, too: what that costs more is
the envelope's. `OBJECTS` have to be unwrapped.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from lines import define, noise_line, stamp, trainer_definitions, trainer_line, value
from plans import Plan, mixed

Wrap = Callable[[random.Random, str], str]


def _iso(rng: random.Random, digits: int) -> str:
    return f"{stamp(rng).replace(' ', 'T')}.{rng.randrange(10**digits):0{digits}d}"


def _stream(rng: random.Random) -> str:
    return f"my-job/algo-{rng.randint(1, 4)}-1716508800"


PREFIXES: dict[str, Wrap] = {
    "export": lambda rng, text: f"{_iso(rng, 3)}Z {text}",
    "tail": lambda rng, text: f"{_iso(rng, 6)}+00:00 {_stream(rng)} {text}",
    "compose": lambda rng, text: f"\x1b[36malgo-{rng.randint(1, 4)}-qz8z7_1  |\x1b[0m {text}",
    "operator": lambda rng, text: f"{_stream(rng)} {stamp(rng)}.7 +0000 UTC {text}",
    "mpi": lambda rng, text: (
        f"[1,mpirank:{(rank := rng.randrange(64))},algo-{rank // 8}]<stdout>:" + text
    ),
}
OBJECTS: dict[str, Wrap] = {
    "docker": lambda rng, text: json.dumps(
        {"log": f"{text}\n", "stream": "stderr", "time": f"{_iso(rng, 9)}Z"}, ensure_ascii=False
    ),
    "cri": lambda rng, text: f"{_iso(rng, 9)}Z stdout F {text}",
    "json": lambda rng, text: json.dumps(
        {"timestamp": f"{_iso(rng, 6)}Z", "level": "INFO", "message": text}, ensure_ascii=False
    ),
}


def wrapped(rng: random.Random, shape: str) -> Plan:
    """The mix in one wrapping; it is found out by looking."""
    wrap = {**PREFIXES, **OBJECTS}[shape]

    def line(text: str) -> bytes:
        return (wrap(rng, text.replace("\r", "")) + "\n").encode()

    noise = [line(noise_line(rng)) for _ in range(4096)]
    metrics = [(line(trainer_line(rng, 5)), 5) for _ in range(4096)]
    return Plan(trainer_definitions(), mixed(noise, metrics, 0.01), grep=False)


def ranks(rng: random.Random) -> Plan:
    """64 ranks write to one log; each has an epoch of its own, told in lines of their own."""

    def line(text: str) -> bytes:
        return (PREFIXES["mpi"](rng, text) + "\n").encode()

    noise = [line(noise_line(rng).replace("\r", "")) for _ in range(4000)]
    noise += [line(f"Epoch {rng.randrange(100)} begins") for _ in range(96)]
    metrics = [(line(f"train:loss={value(rng)} val:acc={value(rng)}"), 2) for _ in range(4096)]
    definitions = [
        define("loss", "train:loss=([0-9.e-]+)"),
        define("accuracy", "val:acc=([0-9.e-]+)"),
    ]
    context = {"epoch": "Epoch ([0-9]+)", "none": r"<([0-9]+)>"}
    return Plan(definitions, mixed(noise, metrics, 0.3), grep=False, context=context)
