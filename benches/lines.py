"""Pieces of log text and the definitions that go with them, drawn from a seeded generator.

Noise of several kinds, metric lines, bars, and names of metrics. `plans.py` and `traps.py` put
workloads together from them.
"""

from __future__ import annotations

import random

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


def trainer_definitions() -> list[dict[str, str]]:
    return [define(key, f"'{key}': ({NUMBER})") for key in TRAINER_KEYS]


def trainer_metrics(rng: random.Random, size: int = 4096) -> Pool:
    sizes = [rng.randint(4, 6) for _ in range(size)]
    return [((trainer_line(rng, keys) + "\n").encode(), keys) for keys in sizes]


def boost_line(rng: random.Random, tab: str) -> str:
    return (
        f"[{rng.randrange(1000)}]{tab}train-error:{rng.random():.6f}"
        f"{tab}validation-error:{rng.random():.6f}"
    )


def boost_definitions(tab: str) -> list[dict[str, str]]:
    names = ("train", "validation")
    return [define(f"{n}:error", rf".*\[[0-9]+\].*{tab}{n}-error:(\S+).*") for n in names]


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
