"""Spellings of remote sources: which text stands for which of them.

Principal function: `remote_source`. Fed by `_sources` with whatever is no local path. The list of
schemes is closed: nothing else is ever fetched.
"""

from __future__ import annotations

import re

from metricsieve.sources._remote import RemoteSources, without_secrets

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
    hint = _OTHER_NAMES.get(scheme)
    shown = without_secrets(text)
    raise ValueError(
        f"{scheme}:// is no source: {shown}; "
        + (f"it is spelt {hint}://bucket/path here" if hint else f"known are {KNOWN}")
    )
