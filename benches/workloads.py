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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

SEED = 20240501
MIB = 1 << 20
LINES = 512  # lines drawn at a time
NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
TRAINER_KEYS = (
    "loss",
    "grad_norm",
    "learning_rate",
    "epoch",
    "eval_loss",
    "eval_runtime",
    "eval_samples_per_second",
    "eval_steps_per_second",
)
SEPARATORS = ("=", ": ", "': ", '": ')
# Real names of metrics are made of these, two at a time.
WORD_LIST = """
absolute activation adapter advantage alignment allreduce ambient amplitude anchor angular argmax
attention augmented backlog backward balanced bandwidth baseline batchnorm beam bernoulli bias
bleu bootstrap bottleneck boundary brier bucket cache calibration capacity centroid checkpoint
cholesky chrf clipping codebook collapse commit compile compute confusion contrast convex corpus
cosine coverage critic crossentropy cuda curvature cycle dataloader decay decoder delta density
depth dice diffusion discount distill divergence domain dropout duality dynamics eigen elbo
embedding emission encoder energy ensemble entropy epsilon equity euclid expert explained exposure
factor failure fidelity finite fisher flops focal forget forward fourier fragment frechet gather
gaussian generator gini gradient graph halting hamming harmonic head hessian hidden hinge
histogram horizon huber hybrid hypothesis identity imbalance impurity inception infer inflow
instance intercept iteration jaccard jacobian jitter kappa kernel keypoint kurtosis label lagrange
latency layer leaf lexical lift likelihood lipschitz logits lookahead macro mahalanobis manifold
margin mask matthews median memory meteor micro minority mixture modality momentum mutual ndcg
nesterov nonzero norm novelty nucleus objective occupancy offload optimum oracle orthogonal
outlier overflow padding parity partition patch penalty percentile perplexity perturb phoneme
pinball pipeline pixel plateau poisson policy polyak precision prefetch preference prompt proximal
pruning psnr purity quantile quantum query queue radius rank recall receptive reconstruct
recurrent regret replay residual resolution reward ridge rollout rouge router sample saturation
scheduler segment semantic sharpness shrinkage sigma silhouette skew slope smooth softmax sparsity
spectral speedup stability stale stochastic straggler student swap symmetric synapse target
teacher temporal tensor threshold throughput topology trajectory transfer triplet truncation
tversky utility vacuum validity variance vector velocity viterbi vocabulary volume voxel warmup
wasserstein watts wavelet weight whiten width window wordpiece workload yield zeroshot
"""

Pool = list[tuple[bytes, int]]


class Workload(NamedTuple):
    """Files, definitions and what must come out.

    Attributes:
        paths: the sources, in order.
        definitions: as `metricsieve.scan` takes them.
        points: exact number of points.
        text_bytes: size of the text, decompressed; what MB/s refers to.
        grep: matches that `rg -o` prints for the union of the patterns; None where ripgrep cannot
            do the same work (escapes, colours, bare CR, compression).
        terminal: the text needs normalising, so the Python loop does it too.
    """

    paths: list[Path]
    definitions: list[dict[str, str]]
    points: int
    text_bytes: int
    grep: int | None
    terminal: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How to write one workload."""

    definitions: list[dict[str, str]]
    # Yields (text, points, matches that ripgrep prints).
    chunks: Callable[[random.Random], Iterator[tuple[bytes, int, int]]]
    grep: bool = True
    terminal: bool = False
    file_bytes: int | None = None  # one file of everything if None
    gz: bool = False


def define(name: str, regex: str) -> dict[str, str]:
    return {"Name": name, "Regex": regex}


def value(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.7:
        return f"{rng.random() * 10:.{rng.randint(2, 6)}f}"
    if kind < 0.9:
        return f"{rng.random():.16f}"
    return f"{rng.random() * 1e-4:.5e}"


def stamp(rng: random.Random) -> str:
    seconds = rng.randrange(86400)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"2024-05-{rng.randint(1, 28):02d} {clock}"


def bar(rng: random.Random) -> str:
    percent = rng.randint(0, 100)
    filled = "█" * (percent // 10) + " " * (10 - percent // 10)
    return (
        f"{percent:3d}%|{filled}| {percent * 17}/1700 "
        f"[{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}<00:12, {rng.random() * 90:.2f}it/s]"
    )


def noise_line(rng: random.Random) -> str:
    """One line of the mix that training logs are full of; mean about 85 bytes."""
    kind = rng.random()
    if kind < 0.40:
        module = rng.choice(("trainer", "data.sampler", "models.bert", "utils.hub", "optim.lr"))
        text = rng.choice(
            (
                "Saving model checkpoint to /opt/ml/checkpoints/step-{}",
                "Resuming shard {} of the training set, shuffle buffer refilled",
                "Gradient accumulation boundary reached, synchronising {} parameters",
                "Configuration saved in /opt/ml/model/config-{}.json",
                "Worker {} heartbeat received",
            )
        ).format(rng.randrange(100_000))
        return f"{stamp(rng)} - INFO - {module} - {text}"
    if kind < 0.60:
        rank = rng.randrange(8)
        return (
            f"ip-10-0-{rng.randrange(256)}-{rng.randrange(256)}:{rng.randrange(9999)}:{rank}"
            f" [{rank}]"
            f" NCCL INFO Channel {rng.randrange(32):02d} : {rank}[{rank}] -> {rank + 1}[{rank + 1}]"
            f" via P2P/IPC/read"
        )
    if kind < 0.72:
        name = rng.choice(("trainer", "engine", "launcher", "distributed"))
        return f'  File "/opt/conda/lib/python3.10/site-packages/torch/{name}.py", line ' + str(
            rng.randrange(3000)
        )
    if kind < 0.80:
        return "    return forward_call(*args, **kwargs)"
    if kind < 0.90:
        return "\r" + "\r".join(bar(rng) for _ in range(rng.randint(1, 3)))
    if kind < 0.95:
        return f"WARNING: {stamp(rng)} tokenizer parallelism was disabled in {rng.random()}"
    return ""


def noise_pool(rng: random.Random, size: int = 4096) -> list[bytes]:
    return [(noise_line(rng) + "\n").encode() for _ in range(size)]


def trainer_line(rng: random.Random, keys: int) -> str:
    chosen = rng.sample(TRAINER_KEYS, keys)
    return "{" + ", ".join(f"'{key}': {value(rng)}" for key in chosen) + "}"


def mixed(
    noise: list[bytes], metrics: Pool, share: float, grep_per_line: int | None = None
) -> Callable[[random.Random], Iterator[tuple[bytes, int, int]]]:
    """An endless stream of lines, `share` of which hold metrics."""

    def chunks(rng: random.Random) -> Iterator[tuple[bytes, int, int]]:
        replaced = max(1, round(LINES * share))
        while True:
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


def endless(make: Callable[[random.Random], tuple[bytes, int]], pool: int = 64):
    """An endless stream of pieces drawn from a pool that is made once."""

    def chunks(rng: random.Random) -> Iterator[tuple[bytes, int, int]]:
        pieces = [make(rng) for _ in range(pool)]
        while True:
            text, points = rng.choice(pieces)
            yield text, points, points

    return chunks


def trainer_definitions() -> list[dict[str, str]]:
    return [define(key, f"'{key}': ({NUMBER})") for key in TRAINER_KEYS]


def trainer_metrics(rng: random.Random, size: int = 4096) -> Pool:
    sizes = [rng.randint(4, 6) for _ in range(size)]
    return [((trainer_line(rng, keys) + "\n").encode(), keys) for keys in sizes]


def sparse(rng: random.Random, share: float = 0.01) -> Plan:
    chunks = mixed(noise_pool(rng), trainer_metrics(rng), share)
    return Plan(trainer_definitions(), chunks)


def boost_line(rng: random.Random, tab: str) -> str:
    return (
        f"[{rng.randrange(1000)}]{tab}train-error:{rng.random():.6f}"
        f"{tab}validation-error:{rng.random():.6f}"
    )


def boost_definitions(tab: str) -> list[dict[str, str]]:
    names = ("train", "validation")
    return [define(f"{n}:error", rf".*\[[0-9]+\].*{tab}{n}-error:(\S+).*") for n in names]


def dotstar(rng: random.Random, escaped: bool = False) -> Plan:
    tab = "#011" if escaped else "\t"
    metrics = [((boost_line(rng, tab) + "\n").encode(), 2) for _ in range(4096)]
    definitions = boost_definitions("#011" if escaped else "")
    chunks = mixed(noise_pool(rng), metrics, 0.01, grep_per_line=1)
    return Plan(definitions, chunks, grep=not escaped, terminal=escaped)


def diverse_names(rng: random.Random, count: int) -> list[str]:
    """Names of two words; no three bytes of them stand in more than 5 % of the names."""
    vocabulary = WORD_LIST.split()
    words = [w for w in vocabulary if not any(o != w and o.endswith(w) for o in vocabulary)]
    limit = max(2, count // 20)
    used: dict[str, int] = {}
    names: dict[str, None] = {}
    misses = 0
    while len(names) < count:
        name = "_".join(rng.sample(words, 2))
        grams = {name[i : i + 3] for i in range(len(name) - 2)}
        if name in names or any(used.get(gram, 0) >= limit for gram in grams):
            misses += 1
            if misses > 200 * count:
                raise ValueError(f"no {count} names as different as that: more words are needed")
            continue
        names[name] = None
        for gram in grams:
            used[gram] = used.get(gram, 0) + 1
    return list(names)


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
    present = rng.sample(keys, max(4, distinct // 10))

    def metric(rng: random.Random) -> tuple[bytes, int]:
        chosen = rng.sample(present, 4)
        opened = [{"'": "'", '"': '"'}.get(key[-3], "") + key for key in chosen]
        text = ", ".join(f"{key}{rng.random():.5f}" for key in opened)
        return f"step {rng.randrange(9999)} {text}\n".encode(), sum(points[k] for k in chosen)

    noise = noise_pool(rng)
    for at in rng.sample(range(len(noise)), len(noise) // 20):
        noise[at] = f"{stamp(rng)} - INFO - {rng.choice(keys)[:5]} was set up\n".encode()
    metrics = [metric(rng) for _ in range(2048)]
    # ripgrep prints one match where two definitions share a literal.
    return Plan(definitions, mixed(noise, metrics, 0.01, grep_per_line=4))


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


def tiny(rng: random.Random) -> Plan:
    """Files of about 2 KB with one metric line each."""
    noise = noise_pool(rng)

    def piece(rng: random.Random) -> tuple[bytes, int]:
        lines = rng.choices(noise, k=22)
        lines.insert(rng.randrange(22), (trainer_line(rng, 5) + "\n").encode())
        return b"".join(lines), 5

    return Plan(trainer_definitions(), endless(piece, 512), file_bytes=1)


def trap_none(rng: random.Random) -> Plan:
    """The literal in every line, a number behind it in one of 500."""
    noise = [f"{stamp(rng)} step {i} {{'loss': None}}\n".encode() for i in range(4096)]
    metrics = [(f"{{'loss': {value(rng)}}}\n".encode(), 1) for _ in range(1024)]
    return Plan(trainer_definitions(), mixed(noise, metrics, 0.001))


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


WORKLOADS: dict[str, Callable[[random.Random], Plan]] = {
    "sparse-8": sparse,
    "dense-8": partial(sparse, share=0.5),
    "dotstar": dotstar,
    "dotstar-escaped": partial(dotstar, escaped=True),
    "many-40": partial(many, count=40),
    "many-200": partial(many, count=200),
    "many-1000": partial(many, count=1000),
    "many-10000": partial(many, count=10_000),
    "prefix-40": partial(many, count=40, shared_prefix=True),
    "prefix-1000": partial(many, count=1000, shared_prefix=True),
    "bars": bars,
    "bars-dense": partial(bars_dense, terminator="\r"),
    "bars-backspace": partial(bars_dense, terminator="\x08" * 110),
    "bars-escaped": partial(bars_dense, terminator="#015"),
    "coloured": coloured,
    "coloured-escaped": partial(coloured, esc="#033"),
    "escaped": escaped,
    "export": export,
    "tiny": tiny,
    "trap-none": trap_none,
    "trap-space": partial(trap_short, regex=r" ([0-9]+\.[0-9]{2})$", text="done {}"),
    "trap-percent": partial(trap_short, regex=r"([0-9.]+)%;", text="share {}%; of all"),
    "trap-no-literal": trap_no_literal,
    "trap-case": trap_case,
    "trap-shared-20": trap_shared,
    "trap-lf": partial(trap_byte, byte=b"\n"),
    "trap-cr": partial(trap_byte, byte=b"\r"),
    "trap-esc": partial(trap_byte, byte=b"\x1b"),
    "trap-hash": partial(trap_byte, byte=b"#"),
    "trap-records-1m": trap_long,
    "trap-escaped-cr": trap_escaped_cr,
}


def make(name: str, directory: Path, mb: float) -> Workload:
    """Write workload `name` of about `mb` MiB of text, unless it is there already.

    Args:
        name: a key of `WORKLOADS`.
        directory: where files are kept; one directory a workload and size is made in it.
        mb: size of the text in MiB. Workloads of whole pieces (records of 1 MiB) may be larger by
            one piece.

    Raises:
        KeyError: no workload has this name.

    Example:
        >>> paths, definitions, points, *_ = make("sparse-8", Path("/tmp/bench"), 1)
    """
    plan = WORKLOADS[name](random.Random(f"{SEED}:{name}"))
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    home = directory / f"{name}-{mb:g}"
    account = home / "account.json"
    if account.exists():
        known = json.loads(account.read_text())
        if known["version"] == version:
            paths = [home / path for path in known["paths"]]
            return Workload(paths, plan.definitions, *known["counts"], plan.terminal)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    paths, counts = _write(plan, home, random.Random(f"{SEED}:{name}:text"), int(mb * MIB))
    known = {
        "version": version,
        "paths": [str(path.relative_to(home)) for path in paths],
        "counts": counts,
    }
    account.write_text(json.dumps(known))
    return Workload(paths, plan.definitions, *counts, plan.terminal)


def _write(
    plan: Plan, home: Path, rng: random.Random, size: int
) -> tuple[list[Path], tuple[int, int, int | None]]:
    """Whole chunks are written, so that no metric line is cut and every point is counted."""
    written, points, grep = 0, 0, 0
    chunks = plan.chunks(rng)
    paths: list[Path] = []
    while written < size:
        folder = home / f"{len(paths) // 1000:04d}"
        folder.mkdir(exist_ok=True)
        path = folder / f"{len(paths):07d}.log{'.gz' if plan.gz else ''}"
        paths.append(path)
        room = min(plan.file_bytes or size, size - written)
        with gzip.open(path, "wb", compresslevel=6) if plan.gz else path.open("wb") as out:
            while room > 0:
                text, found, printed = next(chunks)
                out.write(text)
                room -= len(text)
                written, points, grep = written + len(text), points + found, grep + printed
    return paths, (points, written, grep if plan.grep else None)
