"""How sinks call services of AWS: the options of their URLs, requests in halves, errors.

`Client` is what a sink's constructor hands on to boto3, `send_or_halve` sends so that one bad item
never fails its neighbours. Used by `cloudwatch`, `emf_logs` and `sagemaker_metrics`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from metricsieve.exceptions import SinkError, SourceError
from metricsieve.sources._aws import RefusedError
from metricsieve.sources._remote import NotFoundError

if TYPE_CHECKING:
    from metricsieve.sinks._targets import Target

CLIENT = ("region", "profile", "endpoint")
# What a request is refused with for something in it.
_CONTENT = {
    "InvalidParameterValue", "InvalidParameterValueException", "InvalidParameterCombination",
    "InvalidParameterCombinationException", "InvalidParameterException", "InvalidFormat",
    "InvalidFormatFault", "MissingParameter", "MissingRequiredParameterException",
    "ValidationError", "ValidationException", "RequestEntityTooLarge", "RequestTooLarge",
    "SerializationException",
}  # fmt: skip
_T = TypeVar("_T")


class Client(TypedDict, total=False):
    """How boto3 makes a sink's client.

    Attributes:
        session: a `boto3.Session`; by default one of the environment.
        region_name: replaces the session's region.
        profile_name: a profile of the AWS configuration.
        endpoint_url: replaces the usual address.
    """

    session: Any
    region_name: str | None
    profile_name: str | None
    endpoint_url: str | None


def client_of(target: Target) -> Client:
    """What the options `CLIENT` of a URL say."""
    return {
        "region_name": target.one("region"),
        "profile_name": target.one("profile"),
        "endpoint_url": target.one("endpoint"),
    }


@contextlib.contextmanager
def service_errors(path: str) -> Iterator[None]:
    """Make what a service refuses, or fails to do for minutes, a `SinkError` of that sink."""
    try:
        yield
    except (RefusedError, NotFoundError) as error:
        raise SinkError(str(error), path, "docs/sinks.md lists what is needed") from None
    except SourceError as error:
        raise SinkError(str(error), path, "what was not accepted was not sent") from None


def send_or_halve(
    items: Sequence[_T], send: Callable[[Sequence[_T]], None], refuse: Callable[[_T, str], None]
) -> None:
    """Send items; halve what is refused for something in it, until the bad one is alone.

    Args:
        items: of one request.
        send: makes the request.
        refuse: takes a bad item, and the service's name for the reason.

    Raises:
        RefusedError: it was refused for something else.
    """
    try:
        send(items)
    except RefusedError as error:
        if error.code not in _CONTENT:
            raise
        if len(items) == 1:
            refuse(items[0], error.code)
            return
        middle = len(items) // 2
        send_or_halve(items[:middle], send, refuse)
        send_or_halve(items[middle:], send, refuse)
