"""How sinks call services of AWS: the options of their URLs, requests in halves, errors.

`Client` is what a sink's constructor hands on to boto3, `Halving` sends so that one bad item never
fails its neighbours. Used by `cloudwatch`, `emf_logs` and `sagemaker_metrics`.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar

from metricsieve.exceptions import SinkError, SourceError
from metricsieve.sources._aws import RefusedError, check_endpoint
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
# Items alone that may be refused in a row until it is no longer for what is in them.
MOST_ALONE = 50
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


def check_client(target: Target) -> None:
    """Refuse an address that is none.

    Raises:
        ValueError: the message shows no credentials.
    """
    endpoint = target.one("endpoint")
    if endpoint is not None:
        check_endpoint(endpoint)


@contextlib.contextmanager
def service_errors(path: str) -> Iterator[None]:
    """Make what a service refuses, or fails to do for minutes, a `SinkError` of that sink."""
    try:
        yield
    except (RefusedError, NotFoundError) as error:
        raise SinkError(str(error), path, "docs/sinks.md lists what is needed") from None
    except SourceError as error:
        raise SinkError(str(error), path, "what was not accepted was not sent") from None


class Halving(Generic[_T]):
    """Sends requests; one that is refused for something in it is halved until that is alone.

    Where all of it may be refused, such as for its namespace, thousands of requests would tell
    nothing new. So some of its items are sent alone first, here and there, until one is accepted.

    Args:
        send: makes a request.
        refuse: takes a bad item, and the service's name for the reason.
    """

    def __init__(
        self, send: Callable[[Sequence[_T]], None], refuse: Callable[[_T, str], None]
    ) -> None:
        self._send = send
        self._refuse = refuse
        self._dice = random.Random(0)
        self._code = ""
        self._alone = 0

    def deliver(self, items: Sequence[_T]) -> None:
        """Send the items of a request.

        Raises:
            RefusedError: it was refused for something else, or with everything in it.
        """
        whole = self._refusal(items)
        if whole is None:
            return
        left = list(items)
        while left:
            one = left.pop(self._dice.randrange(len(left)))
            error = whole if len(items) == 1 else self._refusal([one])
            if error is None:
                break
            self._refuse(one, error.code)
            self._alone = self._alone + 1 if error.code == self._code else 1
            self._code = error.code
            if self._alone >= MOST_ALONE:
                text = f"all of {self._alone} items that were sent alone were refused: {error}"
                raise RefusedError(text, error.code)
        self._halve(left)

    def _halve(self, items: Sequence[_T]) -> None:
        middle = len(items) // 2
        for half in (items[:middle], items[middle:]):
            error = self._refusal(half) if half else None
            if error is not None and len(half) == 1:
                self._refuse(half[0], error.code)
            elif error is not None:
                self._halve(half)

    def _refusal(self, items: Sequence[_T]) -> RefusedError | None:
        """Send items; gives the error if something in them is refused."""
        try:
            self._send(items)
        except RefusedError as error:
            if error.code not in _CONTENT:
                raise
            return error
        self._alone = 0
        return None
