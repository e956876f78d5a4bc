"""Spellings of remote sources: which text stands for which of them.

Principal function: `remote_source`. Fed by `_sources` with whatever is no local path. The list of
schemes is closed: nothing else is ever fetched.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from metricsieve.sources._remote import RemoteSources, without_secrets

if TYPE_CHECKING:
    from metricsieve.sources.sagemaker import TrainingJob, TuningJob

_SPELLING = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]+)://|(sagemaker|sagemaker-tuning|cloudwatch-logs):"
)
_STORES = ("s3", "gs", "az")
_OTHER_NAMES = {
    "s3a": "s3", "s3n": "s3", "gcs": "gs", "azure": "az", "abfs": "az", "abfss": "az",
}  # fmt: skip
KNOWN = "s3://, gs://, az://, http://, https://, cloudwatch-logs:, sagemaker:, sagemaker-tuning:"


def is_remote(text: str) -> bool:
    """Whether a text is spelt like a remote source.

    Example:
        >>> is_remote("s3://bucket/logs/"), is_remote("logs/a.log"), is_remote("C:/a.log")
        (True, False, False)
    """
    return _SPELLING.match(text) is not None


def remote_source(text: str) -> RemoteSources:
    """What a text stands for; nothing is asked over the network yet.

    Args:
        text: a spelling for which `is_remote` holds.

    Raises:
        ValueError: an unknown scheme, or a part that is missing; the message shows the spelling.
        ImportError: the extra that it needs is not installed.

    Example:
        >>> remote_source("ftp://me:secret@host/a.log")
        Traceback (most recent call last):
        ValueError: ftp:// is no source: ftp://host/a.log; known are s3://, gs://, az://, http://, \
https://, cloudwatch-logs:, sagemaker:, sagemaker-tuning:
    """
    found = _SPELLING.match(text)
    assert found is not None
    scheme = (found[1] or found[2]).lower()
    rest = text[found.end() :]
    if scheme in _STORES:
        from metricsieve.sources import object_store

        bucket, _, path = rest.partition("/")
        if not bucket or "@" in bucket:
            what = "user@" if bucket else "no bucket"
            raise ValueError(
                f"{what} in {without_secrets(text)}: expected {scheme}://bucket/path; credentials "
                "come from the environment"
            )
        return object_store.open_url(scheme, bucket, path)
    if scheme in ("http", "https"):
        from metricsieve.sources.http import HttpFile

        return HttpFile(text)
    if scheme == "cloudwatch-logs":
        from metricsieve.sources.cloudwatch_logs import CloudWatchLogs

        group, options = _query(text, rest, (*_TIMES, *_CLIENT, "stream-prefix", "stream"))
        if "streams" in options and "stream_prefix" in options:
            raise ValueError(f"{text}: give stream or stream-prefix, not both")
        return CloudWatchLogs(group, **options)
    if scheme in ("sagemaker", "sagemaker-tuning"):
        return job(text)
    hint = _OTHER_NAMES.get(scheme)
    shown = without_secrets(text)
    raise ValueError(
        f"{scheme}:// is no source: {shown}; "
        + (f"it is spelt {hint}://bucket/path here" if hint else f"known are {KNOWN}")
    )


def is_job(text: str) -> bool:
    """Whether a text is spelt like a SageMaker job, which brings its definitions.

    Example:
        >>> is_job("sagemaker:my-job"), is_job("cloudwatch-logs:group")
        (True, False)
    """
    return text.startswith(("sagemaker:", "sagemaker-tuning:"))


def job(text: str) -> TrainingJob | TuningJob:
    """The job that a text stands for.

    Args:
        text: a spelling for which `is_job` holds.

    Raises:
        ValueError: an unknown part behind the `?`.
    """
    from metricsieve.sources.sagemaker import TrainingJob, TuningJob

    spelling, _, rest = text.partition(":")
    name, options = _query(text, rest, (*_TIMES, *_CLIENT))
    kind = TuningJob if spelling == "sagemaker-tuning" else TrainingJob
    return kind(name, **options)


_TIMES = ("start", "end")
_CLIENT = ("region", "profile")
_ARGUMENTS = {
    "stream-prefix": "stream_prefix", "region": "region_name", "profile": "profile_name",
}  # fmt: skip


def _query(text: str, rest: str, known: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """The name before a `?`, and what stands behind it as arguments."""
    name, _, query = rest.partition("?")
    options: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if key not in known or not equals or not value:
            raise ValueError(f"{part!r} in {text}: it can be {', '.join(f'{k}=' for k in known)}")
        value = unquote(value)  # a plus sign stays one: times have it
        if key == "stream":
            options.setdefault("streams", []).append(value)
        elif _ARGUMENTS.get(key, key) in options:
            raise ValueError(f"{key} stands twice in {text}")
        else:
            options[_ARGUMENTS.get(key, key)] = value
    return name, options
