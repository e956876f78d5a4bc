"""How each workload is written: definitions, and an endless stream of text with its counts.

`Plan` is the principal type. `workloads.py` registers the plans and writes their files.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from lines import (
    NUMBER,
    SEPARATORS,
    Pool,
    bar,
    boost_definitions,
    boost_line,
    define,
    diverse_names,
    noise_line,
    noise_pool,
    stamp,
    trainer_definitions,
    trainer_line,
    trainer_metrics,
)

MIB = 1 << 20
BLOCK = 64 << 10  # `across`: a divisor of every block size in use
LINES = 512  # lines drawn at a time

Chunks = Callable[[random.Random], Iterator[tuple[bytes, int, int]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to write one workload."""

    definitions: list[dict[str, str]]
    chunks: Chunks  # yields (text, points, matches that ripgrep prints)
    grep: bool = True
    terminal: bool = False
    file_bytes: int | None = None  # one file of everything if None
    first_share: float = 0.0  # of the text, in one file before the others
    gz: bool = False
    cold: bool = False
    context: dict[str, str] = field(default_factory=dict)


def mixed(
    noise: list[bytes], metrics: Pool, share: float, grep_per_line: int | None = None
) -> Chunks:
    """An endless stream of lines, `share` of which hold metrics."""

    def chunks(rng: random.Random) -> Iterator[tuple[bytes, int, int]]:
        whole, part = divmod(LINES * share, 1)
        while True:
            replaced = int(whole) + (rng.random() < part)
            lines = rng.choices(noise, k=LINES)
            points = 0
            for at, (line, found) in zip(
                rng.sample(range(LINES), replaced), rng.choices(metrics, k=replaced), strict=True
            ):
                lines[at] = line
                points += found
            grep = points if grep_per_line is None else replaced * grep_per_line
            yield b"".join(lines), points, grep

    return chunks


def endless(make: Callable[[random.Random], tuple[bytes, int]], pool: int = 64) -> Chunks:
    """An endless stream of pieces drawn from a pool that is made once."""

    def chunks(rng: random.Random) -> Iterator[tuple[bytes, int, int]]:
        pieces = [make(rng) for _ in range(pool)]
        while True:
            text, points = rng.choice(pieces)
            yield text, points, points

    return chunks


def sparse(rng: random.Random, share: float = 0.01) -> Plan:
    chunks = mixed(noise_pool(rng), trainer_metrics(rng), share)
    return Plan(trainer_definitions(), chunks)


def dotstar(rng: random.Random, escaped: bool = False) -> Plan:
    tab = "#011" if escaped else "\t"
    metrics = [((boost_line(rng, tab) + "\n").encode(), 2) for _ in range(4096)]
    definitions = boost_definitions("#011" if escaped else "")
    chunks = mixed(noise_pool(rng), metrics, 0.01, grep_per_line=1)
    return Plan(definitions, chunks, grep=not escaped, terminal=escaped)


def many(rng: random.Random, count: int, shared_prefix: bool = False) -> Plan:
    """`count` definitions, a tenth of them present, one in 20 sharing another one's literal."""
    distinct = count - count // 20
    if shared_prefix:
        keys = [f"metric_{i}=" for i in range(distinct)]
    else:
        keys = [name + rng.choice(SEPARATORS) for name in diverse_names(rng, distinct)]
    sharing = rng.sample(keys, count - distinct)
    definitions = [define(f"m{i}", f"{key}({NUMBER})") for i, key in enumerate(keys)]
    definitions += [define(f"shared{i}", f"{key}([0-9]+)") for i, key in enumerate(sharing)]
    points = {key: 1 + (key in set(sharing)) for key in keys}
    present = rng.sample(keys, min(distinct, max(4, distinct // 10)))
    per_line = min(4, len(present))

    def metric(rng: random.Random) -> tuple[bytes, int]:
        chosen = rng.sample(present, per_line)
        opened = [{"'": "'", '"': '"'}.get(key[-3], "") + key for key in chosen]
        text = ", ".join(f"{key}{rng.random():.5f}" for key in opened)
        return f"step {rng.randrange(9999)} {text}\n".encode(), sum(points[k] for k in chosen)

    noise = noise_pool(rng)
    for at in rng.sample(range(len(noise)), len(noise) // 20):
        noise[at] = f"{stamp(rng)} - INFO - {rng.choice(keys)[:5]} was set up\n".encode()
    metrics = [metric(rng) for _ in range(2048)]
    # ripgrep prints one match where two definitions share a literal.
    return Plan(definitions, mixed(noise, metrics, 0.01, grep_per_line=per_line))


def bars(rng: random.Random) -> Plan:
    """tqdm bars redrawn hundreds of times a line; one redraw in a hundred shows a loss."""

    def line(rng: random.Random) -> tuple[bytes, int]:
        redraws, points = [], 0
        for _ in range(rng.randint(150, 500)):
            text = bar(rng)
            if rng.random() < 0.01:
                text, points = text[:-1] + f", 'loss': {rng.random():.4f}]", points + 1
            redraws.append(text)
        return ("\r" + "\r".join(redraws) + "\n").encode(), points

    return Plan(trainer_definitions(), endless(line), grep=False)


def bars_dense(rng: random.Random, terminator: str) -> Plan:
    """Keras bars: a loss and an accuracy in every redraw, hundreds of redraws a line."""

    def line(rng: random.Random) -> tuple[bytes, int]:
        total = rng.randint(150, 450)
        redraws = [
            f"{i:3d}/{total} [{'=' * (i * 30 // total):.<30}] - ETA: {total - i}s"
            f" - loss: {rng.random():.4f} - accuracy: {rng.random():.4f}"
            for i in range(total)
        ]
        return (terminator.join(redraws) + "\n").encode(), 2 * total

    definitions = [define(key, rf"- {key}: ([0-9.]+)") for key in ("loss", "accuracy")]
    return Plan(definitions, endless(line), grep=False, terminal=True)


def coloured(rng: random.Random, esc: str = "\x1b") -> Plan:
    """Every line with colours around its time and level."""

    def paint(text: str) -> bytes:
        colour = rng.choice((31, 32, 33, 34, 36))
        head, _, tail = text.partition(" ")
        return f"{esc}[2m{head}{esc}[0m {esc}[{colour}m{tail}{esc}[0m\n".encode()

    noise = [paint(noise_line(rng).replace("\r", "")) for _ in range(4096)]
    metrics = [(paint("INFO " + trainer_line(rng, 5)), 5) for _ in range(4096)]
    return Plan(trainer_definitions(), mixed(noise, metrics, 0.01), grep=False, terminal=True)


def escaped(rng: random.Random) -> Plan:
    """The mix as a syslog shipper writes it: `#011`, `#015`, and colours as `#033[`."""

    def ship(text: str) -> bytes:
        text = text.replace("    ", "\t").replace(" - ", "\t" if rng.random() < 0.5 else " - ")
        if rng.random() < 0.1:
            text = f"\x1b[32m{text}\x1b[0m"
        for raw, shipped in (("\t", "#011"), ("\r", "#015"), ("\x1b", "#033")):
            text = text.replace(raw, shipped)
        return (text + "\n").encode()

    noise = [ship(noise_line(rng)) for _ in range(4096)]
    metrics = [(ship(boost_line(rng, "\t")), 2) for _ in range(4096)]
    definitions = boost_definitions("#011")
    return Plan(definitions, mixed(noise, metrics, 0.01), grep=False, terminal=True)


def export(rng: random.Random) -> Plan:
    """A CloudWatch Logs export: gzip files of 4 MB of text, an ISO time before each message."""

    def iso(text: str) -> bytes:
        time = f"{stamp(rng).replace(' ', 'T')}.{rng.randrange(1000):03d}Z "
        return (time + text.replace("\t", "#011").replace("\r", "#015") + "\n").encode()

    noise = [iso(noise_line(rng)) for _ in range(4096)]
    metrics = [(iso(boost_line(rng, "\t")), 2) for _ in range(4096)]
    chunks = mixed(noise, metrics, 0.01)
    definitions = boost_definitions("#011")
    return Plan(definitions, chunks, grep=False, terminal=True, file_bytes=4 * MIB, gz=True)


def gz(rng: random.Random) -> Plan:
    """The mix of `sparse` in one gzip file."""
    return replace(sparse(rng), grep=False, gz=True)


def skew(rng: random.Random) -> Plan:
    """Half of the text in one gzip file, which cannot be split; small ones follow it."""
    return replace(gz(rng), first_share=0.5, file_bytes=16 << 10)


def cold(rng: random.Random) -> Plan:
    """The mix of `sparse`, dropped from the page cache before each run."""
    return replace(sparse(rng), cold=True)


def tiny(rng: random.Random) -> Plan:
    """Files of about 2 KB with one metric line each."""
    noise = noise_pool(rng)

    def piece(rng: random.Random) -> tuple[bytes, int]:
        lines = rng.choices(noise, k=22)
        lines.insert(rng.randrange(22), (trainer_line(rng, 5) + "\n").encode())
        return b"".join(lines), 5

    return Plan(trainer_definitions(), endless(piece, 512), file_bytes=1)
