"""What the name of a metric says: its role, what it has in common with its partner, what is better.

`read_name` and `direction` are fed by `chart`. The rules are the tables below; the schemes they are
made for are those of the presets and of the common frameworks.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

Role: TypeAlias = Literal["train", "validation", "test", "other"]
Direction: TypeAlias = Literal["min", "max"]

# Words that tell the role, and where they do. `first` is the beginning of the name or of a part
# after a colon or slash (`dev_loss`, not `std_dev`); `alone` is such a part as a whole (CatBoost's
# `learn`, not `learn_rate`). The last word that fits decides: what stands before is a namespace
# (`eval/test_loss`).
_ROLES: tuple[tuple[Role, str, tuple[str, ...]], ...] = (
    ("train", "any", ("train", "training", "trn")),
    ("train", "alone", ("learn",)),
    ("validation", "any", ("validation", "valid", "val", "evaluation", "eval", "holdout")),
    ("validation", "first", ("dev", "cv")),
    ("test", "any", ("test", "testing")),
)
_BY_WORD = {word: (role, where) for role, where, words in _ROLES for word in words}

# A word of a name: CamelCase and digits are taken apart.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")
# Behind the word of a role: LightGBM's `valid_0:`, XGBoost's `validation_1-`, and `train's`.
_BEHIND = re.compile(r"_[0-9]+(?=[-:/]|$)|'s\b")
_SEPARATORS = " _:-/."

# Words of metrics of which less is better, of which more is, and of numbers that are no result.
# Less wins where both are there (`f1_loss`, `mse_score`).
_LESS = (
    "loss losses error errors err cost perplexity ppl deviance regret residual distortion inertia "
    "mse rmse mae mape smape rmsle msle mase wape mphe msd ssd logloss mlogloss merror nloglik nll "
    "cross_entropy crossentropy bce kld brier hinge huber fair pinball l1 l2 wer cer ter eer fid "
    "bpb bpc"
)
_MORE = (
    "accuracy acc auc aucpr auroc auprc roc precision recall sensitivity specificity f1 f fbeta "
    "map mar iou miou dice jaccard ndcg mrr bleu rouge meteor chrf cider bertscore exact_match em "
    "r2 r_squared explained_variance pearson spearman spearmanr matthews mcc kappa rho gini "
    "reward return score success psnr ssim top likelihood pwll elbo hit_rate win_rate"
)
_NEITHER = "scale weight coefficient coef baseline time seconds threshold"
# Of a negated metric the opposite is better: scikit-learn's `neg_mean_squared_error`.
_NEGATED = "neg negative"


class NameReading(NamedTuple):
    """What a name says.

    Attributes:
        role: of which data the metric is; `other` where the name does not say.
        stem: the rest of the name, the same for metrics that belong together.
        title: the rest of the name for people; empty where nothing is left.
    """

    role: Role
    stem: str
    title: str


def read_name(name: str) -> NameReading:
    """Take a metric's name apart.

    Example:
        >>> read_name("train:error")
        NameReading(role='train', stem='error', title='error')
        >>> read_name("valLoss"), read_name("loss")[:2]
        (NameReading(role='validation', stem='loss', title='Loss'), ('other', 'loss'))
    """
    role: Role = "other"
    start = end = 0
    for word in _WORD.finditer(name):
        known, where = _BY_WORD.get(word.group().lower(), ("other", "any"))
        if known != "other" and _stands(name, word, where):
            role, start, end = known, *word.span()
    if role == "other":
        return NameReading(role, _joined(name), name)
    if behind := _BEHIND.match(name, end):
        end = behind.end()
    title = _without(name, start, end)
    return NameReading(role, _joined(title), title)


def _stands(name: str, word: re.Match[str], where: str) -> bool:
    """Whether a word stands where it tells the role."""
    first = word.start() == 0 or name[word.start() - 1] in ":/"
    last = word.end() == len(name) or name[word.end()] in ":/"
    return where == "any" or (first and (where == "first" or last))


def _without(name: str, start: int, end: int) -> str:
    """The name without a part, and without what joined that part to the rest."""
    before, after = name[:start], name[end:]
    left, right = before.rstrip(_SEPARATORS), after.lstrip(_SEPARATORS)
    joint = after[: len(after) - len(right)][:1] or before[len(left) :][-1:]
    title = f"{left}{joint if left and right else ''}{right}"
    return re.sub(r"\(\s*\)|\[\s*\]", "", title).strip(_SEPARATORS)


def _joined(name: str) -> str:
    return "_".join(word.group().lower() for word in _WORD.finditer(name))


def direction(name: str) -> Direction | None:
    """Whether less or more of a metric is better, as its name tells; None where it does not.

    Example:
        >>> direction("validation:rmse"), direction("val/mIoU"), direction("learning_rate")
        ('min', 'max', None)
    """
    # CamelCase may be words (`valLoss`) or a word (`mAP`): both readings count.
    text = f"_{_joined(name)}__{_joined(name.lower())}_"
    if _has(text, _NEITHER):
        return None
    found: Direction | None = "min" if _has(text, _LESS) else "max" if _has(text, _MORE) else None
    if found is not None and _has(text, _NEGATED):
        return "max" if found == "min" else "min"
    return found


def _has(text: str, words: str) -> bool:
    return any(f"_{_joined(word)}_" in text for word in words.split())
