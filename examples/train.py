#!/usr/bin/env python3
"""Train small real models and record what they print.

The logs under ``examples/logs`` are made by this script and by nothing else. Every
model trains on data that ships inside scikit-learn, with fixed seeds, on the CPU, in
seconds; nothing is downloaded.

    python examples/train.py keras            train one model, printing as usual
    python examples/train.py record           train all of them, write examples/logs
    python examples/train.py record keras     the same for one

``record`` runs each model as a child process on a pseudo-terminal, so that progress
bars redraw as they do for a person watching. It writes NAME.log, the bytes the program
sent, and NAME.escaped.log, the same bytes as rsyslog (and so SageMaker's CloudWatch
stream) shows them: every control character but LF as ``#`` and three octal digits.
"""

from __future__ import annotations

import argparse
import fcntl
import getpass
import gzip
import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SEED = 20
LOGS = Path(__file__).resolve().parent / "logs"
COMPRESSED = "lightgbm"  # also written as NAME.log.gz
TIME_LIMIT = 300.0  # seconds for one model, imports included


def train_xgboost() -> None:
    """Boost trees on breast_cancer, two evaluation sets, three metrics a round."""
    import xgboost as xgb
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_valid, y_train, y_valid = train_test_split(
        x, y, test_size=0.25, random_state=SEED, stratify=y
    )
    train, valid = xgb.DMatrix(x_train, y_train), xgb.DMatrix(x_valid, y_valid)
    xgb.train(
        {
            "objective": "binary:logistic",
            "eval_metric": ["error", "auc", "logloss"],
            "eta": 0.2,
            "max_depth": 3,
            "nthread": 1,
            "seed": SEED,
        },
        train,
        num_boost_round=60,
        evals=[(train, "train"), (valid, "validation")],
    )


def train_keras() -> None:
    """Fit a small dense network on digits, showing the progress bar of ``fit``."""
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import keras
    from sklearn.datasets import load_digits

    keras.utils.set_random_seed(SEED)
    x, y = load_digits(return_X_y=True)
    model = keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(2e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )

    class Pace(keras.callbacks.Callback):
        """Stretch a step to some milliseconds: the bar redraws every 50 ms at most."""

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            time.sleep(0.008)

    model.fit(
        x / 16.0,
        y,
        epochs=8,
        batch_size=32,
        validation_split=0.2,
        # The scheduler makes `fit` print `learning_rate: 0.0020`, then `6.0000e-04`.
        callbacks=[
            Pace(),
            keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=1, min_delta=0.07),
        ],
    )


def train_trainer() -> None:
    """Train a two-layer BERT on digits with Hugging Face's Trainer.

    An image is a sentence of 64 words (pixels) over 17 grey levels. The model is built
    from a configuration, so no weights are fetched.
    """
    import numpy as np
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    torch.set_num_threads(1)
    set_seed(SEED)
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x.astype(np.int64), y, test_size=0.2, random_state=SEED)
    x_train, x_valid, y_train, y_valid = parts

    def rows(xs: np.ndarray, ys: np.ndarray) -> list[dict[str, object]]:
        return [{"input_ids": a, "labels": int(b)} for a, b in zip(xs, ys, strict=True)]

    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=17,
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=96,
            max_position_embeddings=64,
            num_labels=10,
            pad_token_id=None,
        )
    )
    arguments = TrainingArguments(
        output_dir="trainer",
        num_train_epochs=8,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=128,
        learning_rate=2e-3,
        warmup_steps=20,
        lr_scheduler_type="cosine",
        logging_steps=10,
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        seed=SEED,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    Trainer(
        model=model,
        args=arguments,
        train_dataset=rows(x_train, y_train),
        eval_dataset=rows(x_valid, y_valid),
        compute_metrics=lambda p: {
            "accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())
        },
    ).train()


def train_lightgbm() -> None:
    """Boost regression trees on diabetes with valid sets and early stopping."""
    import lightgbm as lgb
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    x, y = load_diabetes(return_X_y=True)
    x_train, x_valid, y_train, y_valid = train_test_split(x, y, test_size=0.25, random_state=SEED)
    train = lgb.Dataset(x_train, y_train)
    lgb.train(
        {
            "objective": "regression",
            "metric": ["l2", "l1"],
            "learning_rate": 0.05,
            "num_leaves": 7,
            "num_threads": 1,
            "seed": SEED,
            "deterministic": True,
            "force_col_wise": True,
        },
        train,
        num_boost_round=120,
        valid_sets=[train, lgb.Dataset(x_valid, y_valid, reference=train)],
        valid_names=["train", "validation"],
        callbacks=[lgb.log_evaluation(1), lgb.early_stopping(20)],
    )


def train_sklearn() -> None:
    """Train a linear model by SGD (breast_cancer), then an MLP (digits), both verbose."""
    from sklearn.datasets import load_breast_cancer, load_digits
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    x, y = load_breast_cancer(return_X_y=True)
    SGDClassifier(loss="log_loss", random_state=SEED, verbose=1).fit(
        StandardScaler().fit_transform(x), y
    )
    x, y = load_digits(return_X_y=True)
    MLPClassifier((32,), early_stopping=True, max_iter=60, random_state=SEED, verbose=True).fit(
        x / 16.0, y
    )


MODELS: dict[str, Callable[[], None]] = {
    "xgboost": train_xgboost,
    "keras": train_keras,
    "trainer": train_trainer,
    "lightgbm": train_lightgbm,
    "sklearn": train_sklearn,
}


def escape(raw: bytes) -> bytes:
    """Escape control characters as rsyslog does on receipt.

    `#` and exactly three octal digits for 0x00-0x1f and 0x7f; LF ends a message and
    stays; bytes from 0x80 stay (``escape8BitCharactersOnReceive`` is off by default).
    """
    return re.sub(rb"[\x00-\x09\x0b-\x1f\x7f]", lambda m: b"#%03o" % m[0][0], raw)


def run_on_terminal(command: Sequence[str], cwd: str) -> bytes:
    """Run a command on an 80x24 pseudo-terminal and return the bytes it wrote.

    Output processing is off, so a line end is the LF the program wrote, not the CR LF
    a terminal makes of it.
    """
    environment = {
        "PATH": os.defpath,
        "HOME": cwd,
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "COLUMNS": "80",
        "LINES": "24",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",  # warnings name files of this machine
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
    }
    # Only to let another version of a library shadow the installed one; see README.
    if "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    master, slave = pty.openpty()
    mode = termios.tcgetattr(slave)
    mode[1] &= ~termios.OPOST
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, cwd=cwd, env=environment
    )
    os.close(slave)
    chunks = []
    deadline = time.monotonic() + TIME_LIMIT
    try:
        while True:
            if not select.select([master], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise SystemExit(f"{command[-1]}: not finished after {TIME_LIMIT:.0f} s")
            try:
                chunk = os.read(master, 65536)
            except OSError:  # EIO: the last writer has closed the terminal
                break
            if not chunk:
                break
            chunks.append(chunk)
    finally:
        os.close(master)
        if child.poll() is None and time.monotonic() >= deadline:
            child.kill()
        code = child.wait()
    raw = b"".join(chunks)
    if code:
        sys.stderr.write(raw.decode(errors="replace"))
        raise SystemExit(f"{command[-1]}: exit code {code}")
    return raw


def leaks(raw: bytes, cwd: str) -> list[str]:
    """Name what in a log belongs to this machine rather than to the training."""
    here = {cwd, sys.prefix, sys.base_prefix, str(Path.home()), socket.gethostname()}
    here |= {str(LOGS.parent.parent), tempfile.gettempdir(), "site-packages", "://"}
    user = getpass.getuser()
    if len(user) > 4:  # a short name such as `root` may be an ordinary word
        here.add(user)
    return sorted(text for text in here if len(text) > 1 and text.encode() in raw)


def record(names: Sequence[str], directory: Path, tag: str | None) -> None:
    """Train the models named and write their logs."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        with tempfile.TemporaryDirectory() as cwd:
            raw = run_on_terminal([sys.executable, str(Path(__file__).resolve()), name], cwd)
            found = leaks(raw, cwd)
        if found:
            raise SystemExit(f"{name}: the log contains {', '.join(found)}; not written")
        stem = f"{name}-{tag}" if tag else name
        (directory / f"{stem}.log").write_bytes(raw)
        (directory / f"{stem}.escaped.log").write_bytes(escape(raw))
        if stem == COMPRESSED:
            (directory / f"{stem}.log.gz").write_bytes(gzip.compress(raw, mtime=0))
        print(f"{stem}: {len(raw):,} bytes, {raw.count(10)} lines", file=sys.stderr)


def main() -> None:
    """Parse the command line and run one model or record several."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    recorder = commands.add_parser("record", help="train models and write their logs")
    recorder.add_argument(
        "models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)} (default: all)"
    )
    recorder.add_argument(
        "--logs", type=Path, default=LOGS, metavar="DIR", help="default: logs beside the script"
    )
    recorder.add_argument(
        "--tag", help="write NAME-TAG.log, for a second version of a library (see README.md)"
    )
    for name, train in MODELS.items():
        summary = (train.__doc__ or "").splitlines()[0]
        commands.add_parser(name, help=summary, description=train.__doc__)
    arguments = parser.parse_args()
    if arguments.command == "record":
        unknown = sorted(set(arguments.models) - set(MODELS))
        if unknown:
            recorder.error(f"no such model: {', '.join(unknown)}; there are {', '.join(MODELS)}")
        record(arguments.models or list(MODELS), arguments.logs, arguments.tag)
    else:
        MODELS[arguments.command]()


if __name__ == "__main__":
    main()
