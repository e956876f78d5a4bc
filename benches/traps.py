"""Workloads that try to make one part of the engine slow; each has a floor in `goals.py`."""

from __future__ import annotations

import random
from collections.abc import Iterator

from lines import NUMBER, bar, define, noise_pool, stamp, trainer_definitions, value
from plans import BLOCK, MIB, Plan, endless, many, mixed, sparse


def trap_none(rng: random.Random) -> Plan:
    """The literal in every line, a number behind it in one of 500."""
    noise = [f"{stamp(rng)} step {i} {{'loss': None}}\n".encode() for i in range(4096)]
    metrics = [(f"{{'loss': {value(rng)}}}\n".encode(), 1) for _ in range(1024)]
    return Plan(trainer_definitions(), mixed(noise, metrics, 0.001))


def trap_common(rng: random.Random) -> Plan:
    """What looks like the rarest text of the pattern stands in every line; one in 500 matches."""
    noise = [f"{stamp(rng)} queue 'lr_step': {i} of the warmup\n".encode() for i in range(4096)]
    metrics = [
        (f"'lr_step': {i} after warmup, eval loss {value(rng)}\n".encode(), 1) for i in range(1024)
    ]
    definitions = [define("step", r"'lr_step': ([0-9]+) .*, eval loss [0-9.]+")]
    return Plan(definitions, mixed(noise, metrics, 0.002))


def trap_short(rng: random.Random, regex: str, text: str) -> Plan:
    """A definition whose only literal is a very short one."""
    lines = [(text.format(f"{rng.random() * 100:.2f}") + "\n").encode() for _ in range(1024)]
    return Plan([define("m", regex)], mixed(noise_pool(rng), [(line, 1) for line in lines], 0.01))


def trap_no_literal(rng: random.Random) -> Plan:
    """One definition of 40 has no literal at all."""
    plan = many(rng, 39)
    metrics = [(f"{rng.random():.4f}\n".encode(), 1) for _ in range(1024)]
    definitions = [*plan.definitions, define("bare", r"^([0-9]+\.[0-9]+)$")]
    return Plan(definitions, mixed(noise_pool(rng), metrics, 0.01))


def trap_case(rng: random.Random) -> Plan:
    """Eight definitions that ignore case."""
    plan = sparse(rng)
    return Plan([define(d["Name"], "(?i)" + d["Regex"]) for d in plan.definitions], plan.chunks)


def trap_shared(rng: random.Random) -> Plan:
    """20 definitions with one literal; each metric line matches exactly one of them."""
    definitions = [define(f"m{i}", rf"=[0-9]{{{i}}}; 'loss': ({NUMBER})") for i in range(1, 21)]

    def line(rng: random.Random) -> tuple[bytes, int]:
        digits = "".join(rng.choices("0123456789", k=rng.randint(1, 20)))
        return f"step={digits}; 'loss': {value(rng)}\n".encode(), 1

    metrics = [line(rng) for _ in range(4096)]
    return Plan(definitions, mixed(noise_pool(rng), metrics, 0.01))


def trap_context(rng: random.Random) -> Plan:
    """Columns whose text stands in every line, in none, and in some but without a literal."""
    noise = [
        f"{stamp(rng)} step {i} of {'[train]' if i % 2 else '[7]'}\n".encode() for i in range(4096)
    ]
    metrics = [(f"{{'loss': {value(rng)}}}\n".encode(), 1) for _ in range(1024)]
    context = {"step": "step ([0-9]+)", "none": r"<([0-9]+)>", "round": r"\[([0-9]+)\]"}
    return Plan(trainer_definitions(), mixed(noise, metrics, 0.002), context=context)


def trap_byte(_: random.Random, byte: bytes) -> Plan:
    """Nothing but one byte."""
    text = byte * MIB
    return Plan(trainer_definitions(), endless(lambda _: (text, 0), 1), grep=False)


def trap_long(rng: random.Random) -> Plan:
    """Records of nearly 1 MiB, the default limit, with one metric somewhere in each."""
    noise = [line.replace(b"\r", b"").replace(b"\n", b" ") for line in noise_pool(rng)]

    def record(rng: random.Random) -> tuple[bytes, int]:
        text = b"".join(rng.choices(noise, k=10_000))
        while len(text) < MIB:
            text += text
        metric = f" {{'loss': {value(rng)}}} ".encode()
        text = text[: MIB - 100]
        at = rng.randrange(len(text) - 100)
        # No character may be cut in two: it would read as U+FFFD, which is another trap.
        head, tail = text[:at].decode(errors="ignore"), text[at:].decode(errors="ignore")
        return head.encode() + metric + tail.encode() + b"\n", 1

    return Plan(trainer_definitions(), endless(record, 8))


def trap_escaped_cr(rng: random.Random) -> Plan:
    """A bar redrawn by `#015` for a megabyte before the next LF."""

    def line(rng: random.Random) -> tuple[bytes, int]:
        redraws = [bar(rng) for _ in range(MIB // 64)]
        redraws[rng.randrange(len(redraws))] = "{'loss': 0.5}"
        return ("#015".join(redraws) + "\n").encode(), 1

    return Plan(trainer_definitions(), endless(line, 4), grep=False, terminal=True)


def trap_across(rng: random.Random) -> Plan:
    """A literal lies across every multiple of 64 KiB, cut at each of its bytes in turn."""
    noise = noise_pool(rng)
    literal = b"'loss': "

    def chunks(rng: random.Random) -> Iterator[tuple[bytes, int, int]]:
        written, boundary = 0, BLOCK
        while True:
            cut = 1 + boundary // BLOCK % (len(literal) - 1)
            start = boundary - cut - 1  # of the line: a brace, then the literal
            lines: list[bytes] = []
            length = written
            while length < start - 300:
                lines.append(rng.choice(noise))
                length += len(lines[-1])
                if length > start - 1:
                    length -= len(lines.pop())
                    break
            lines.append(b"-" * (start - length - 1) + b"\n")
            lines.append(b"{" + literal + value(rng).encode() + b"}\n")
            text = b"".join(lines)
            written, boundary = written + len(text), boundary + BLOCK
            yield text, 1, 1

    return Plan(trainer_definitions(), chunks)
