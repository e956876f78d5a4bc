"""What a text behind `-o` stands for: a file by its suffix, or a sink by its scheme.

Principal types: `Target`, a text taken apart, and `open_sink`, which opens what it names. A new
kind of file is one module and one line in `_SUFFIXES`, a new service one in `_SCHEMES`; packages of
others add schemes by an entry point of the group `metricsieve.sinks`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import unquote

from metricsieve.sinks._base import Sink, warn_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

_SUFFIXES = {
    ".parquet": ("parquet", "ParquetSink"),
    ".arrow": ("arrow_ipc", "ArrowSink"),
    ".feather": ("arrow_ipc", "ArrowSink"),
    ".csv": ("csv", "CsvSink"),
    ".jsonl": ("jsonl", "JsonLinesSink"),
    ".ndjson": ("jsonl", "JsonLinesSink"),
}
SUFFIXES = tuple(_SUFFIXES)
# Modules with `check(target)` and `open_url(target, schema)`.
_SCHEMES = {
    "cloudwatch": "cloudwatch",
    "emf": "emf",
    "delta": "delta",
    "duckdb": "database",
    "sqlite": "database",
    "influx": "influx",
    "openmetrics": "openmetrics",
    "mlflow": "mlflow",
    "otlp": "otlp",
    "sagemaker-metrics": "sagemaker_metrics",
    "tensorboard": "tensorboard",
    "trackio": "trackio",
    "wandb": "wandb",
    "wide": "wide",
}
# Those of which nothing is there before their end, and those that stdout gets at once all the same.
_AT_END = ("delta", "emf", "influx", "openmetrics", "wide")
_AT_ONCE_ON_STDOUT = ("emf", "influx")
ENTRY_POINTS = "metricsieve.sinks"
_SPELLING = re.compile(r"([a-z][a-z0-9+-]*):(?!\\)")


class Target(NamedTuple):
    """A sink's URL, `SCHEME:REST?NAME=VALUE&NAME=VALUE`, taken apart.

    Attributes:
        scheme: what stands before the first colon.
        rest: what stands between it and the question mark, as it was written.
        options: values by name; a name may stand there more than once.
    """

    scheme: str
    rest: str
    options: Mapping[str, Sequence[str]]

    def __str__(self) -> str:
        """The target without its options, and without a password in a URL."""
        from metricsieve.sources._remote import without_secrets

        return without_secrets(f"{self.scheme}:{self.rest}")

    def only(self, *once: str, many: Sequence[str] = ()) -> None:
        """Refuse options that the sink does not have, and those that stand there too often.

        Raises:
            ValueError: the message lists those it has.
        """
        known = (*once, *many)
        for name, values in self.options.items():
            if name not in known:
                listed = ", ".join(f"{one}=" for one in known)
                raise ValueError(f"{self} has no option {name}=; it can be {listed}")
            if name in once and len(values) > 1:
                raise ValueError(f"{name}= stands twice in {self}")

    def one(self, name: str, default: str | None = None) -> str | None:
        """The value of an option, if it is there."""
        return next(iter(self.options.get(name, ())), default)

    def text(self, name: str, default: str) -> str:
        """The value of an option, or what it is without one."""
        return self.one(name) or default

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        """The same of an option that can be one of a few.

        Raises:
            ValueError: it is none of them.
        """
        found = self.text(name, default)
        if found not in choices:
            listed = (" or " if len(choices) == 2 else ", ").join(choices)
            raise ValueError(f"{self}: {name}={found} can be {listed}")
        return found


def target_of(text: str) -> Target | None:
    """What a text says that begins with a scheme; None for a path.

    A file whose name looks so is a path: `./a:b.csv` says it.

    Raises:
        ValueError: an option without a value.

    Example:
        >>> target_of("cloudwatch:My/Space?resolution=1").options
        {'resolution': ['1']}
        >>> target_of("points.csv"), target_of("C:\\\\points.csv")
        (None, None)
    """
    found = _SPELLING.match(text)
    if found is None or (found[1] not in _SCHEMES and found[1] not in _entry_points()):
        return None
    rest, _, query = text[found.end() :].partition("?")
    options: dict[str, list[str]] = {}
    for number, part in enumerate(filter(None, query.split("&")), start=1):
        name, equals, value = part.partition("=")
        if not equals or not value:
            # It may be the end of a secret.
            raise ValueError(
                f"option {number} of {Target(found[1], rest, {})} is no NAME=VALUE; an & in a "
                "value is written %26"
            )
        options.setdefault(name, []).append(unquote(value))
    return Target(found[1], rest, options)


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {one.name: one for one in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def check_target(target: str | os.PathLike[str]) -> None:
    """Refuse a target that no sink writes, before any source is read.

    Raises:
        ValueError: the suffix is unknown, the target is a directory, or an option of a sink makes
            no sense.

    Example:
        >>> check_target("points.parquet")
    """
    text = os.fspath(target)
    if target == "-":
        return
    url = url_of_target(target)
    if url is not None:
        check, _ = _kind(url.scheme)
        if check is not None:
            check(url)
        return
    if is_directory(text):
        raise ValueError(
            f"{text} is a directory, which metricsieve.write_dataset and the commands fill: name a "
            f"file, for example {os.path.join(text, 'points.parquet')}"
        )
    suffix = Path(text).suffix.lower()
    if suffix not in _SUFFIXES:
        known = ", ".join(SUFFIXES)
        schemes = ", ".join(f"{one}:" for one in [*_SCHEMES, *_entry_points()])
        raise ValueError(
            f"cannot tell the format of {text!r}: the name must end in one of {known}, begin with "
            f"one of {schemes}, or be - for JSON lines on stdout"
        )


def _kind(
    scheme: str,
) -> tuple[Callable[[Target], None] | None, Callable[[Target, pa.Schema], Sink]]:
    """What checks the URLs of a scheme, if anything does, and what opens them."""
    if scheme in _SCHEMES:
        module = importlib.import_module(f"metricsieve.sinks.{_SCHEMES[scheme]}")
        return module.check, module.open_url
    found = _entry_points()[scheme].load()
    return getattr(found, "check", None), found


def open_sink(
    target: str | os.PathLike[str],
    schema: pa.Schema,
    metadata: Mapping[str, str] | None = None,
) -> Sink:
    """Open the sink for `target`.

    Args:
        target: a path ending in one of `SUFFIXES`, a URL of a sink (docs/sinks.md), or `-` for JSON
            lines on stdout.
        schema: of the batches that will be written.
        metadata: added to the schema's metadata where the format keeps any (Parquet, Arrow).

    Raises:
        ValueError: the suffix is unknown, the target is a directory, or an option makes no sense.
        SinkError: the output cannot be opened.
        ImportError: the library that a sink needs is missing.

    Example:
        >>> import pyarrow as pa, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp(), "points.csv")
        >>> batch = pa.record_batch({"metric": ["loss"], "value": [0.5]})
        >>> sink = open_sink(path, batch.schema)
        >>> sink.write(batch); sink.close()
        >>> print(path.read_text(), end="")
        "metric","value"
        "loss",0.5
    """
    check_target(target)
    if metadata:
        merged = {
            **(schema.metadata or {}),
            **{k.encode(): v.encode() for k, v in metadata.items()},
        }
        schema = schema.with_metadata(merged)
    text = os.fspath(target)
    url = url_of_target(target)
    if url is not None:
        return _kind(url.scheme)[1](url, schema)
    module, name = _SUFFIXES[".jsonl" if target == "-" else Path(text).suffix.lower()]
    kind = getattr(importlib.import_module(f"metricsieve.sinks.{module}"), name)
    return cast(Sink, kind(text, schema))


def is_directory(target: object) -> bool:
    """Whether a target is a directory of parts.

    Example:
        >>> is_directory("points/"), is_directory("points.parquet"), is_directory("delta:points/")
        (True, False, False)
    """
    if not isinstance(target, (str, os.PathLike)):
        return False
    text = os.fspath(target)
    if text == "-" or is_url(text):
        return False
    return text.endswith(os.sep) or os.path.isdir(text)


def is_url(target: object) -> bool:
    """Whether a target is a sink's URL.

    Example:
        >>> is_url("cloudwatch:"), is_url("points.csv")
        (True, False)
    """
    return url_of_target(target) is not None


def url_of_target(target: object) -> Target | None:
    """What `target_of` says of a text; a `Path` is one, whatever it looks like.

    Example:
        >>> url_of_target(Path("emf:a.csv")), url_of_target("emf:a.csv").scheme
        (None, 'emf')
    """
    return target_of(target) if isinstance(target, str) and target != "-" else None


def is_written_at_end(target: str | os.PathLike[str]) -> bool:
    """Whether nothing of an output is there before its end, so that a crash loses everything.

    Example:
        >>> [is_written_at_end(one) for one in ("points.csv", "influx:a.lp", "cloudwatch:", "-")]
        [True, True, False, False]
    """
    url = url_of_target(target)
    if url is None:
        return target != "-" and not is_directory(target)
    on_stdout = url.rest == "-" and url.scheme in _AT_ONCE_ON_STDOUT
    to_a_service = url.scheme == "emf" and url.rest.startswith("cloudwatch-logs:")
    return url.scheme in _AT_END and not on_stdout and not to_a_service


def deliver(
    batches: Iterable[pa.RecordBatch],
    targets: Sequence[str | os.PathLike[str] | Sink],
    schema: pa.Schema,
) -> None:
    """Write batches to several sinks, each as a whole.

    Raises:
        SinkError: an output failed: it is as it was, and so are those behind it. They are closed in
            their order, when all rows are written.
    """
    sinks: list[Sink] = []
    try:
        for target in targets:
            sinks.append(target if isinstance(target, Sink) else open_sink(target, schema))
        for batch in batches:
            for sink in sinks:
                sink.write(batch)
        for sink in sinks:
            sink.close()
    except BaseException:
        for sink in sinks:
            sink.abort()
        raise
    for sink in sinks:
        warn_of(sink)
