"""Calls of AWS services: clients as boto3 makes them, a limiter, retries within a deadline.

Principal type: `Service`. Used by `cloudwatch_logs` and `sagemaker`; imports boto3 with the first
call. Credentials, region, profile and endpoint are found as by every other program that uses boto3.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from metricsieve._text import shorten
from metricsieve.exceptions import SourceError
from metricsieve.sources._remote import NotFoundError, attempts, http_parts, pause, without_secrets

# How long a call that is throttled, or whose connection fails, is tried again.
RETRY_SECONDS = 300.0
_THROTTLED = {
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
    "RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
    "LimitExceededException", "ServiceUnavailable", "ServiceUnavailableException",
    "InternalFailure", "InternalServerError", "InternalServiceException", "RequestTimeout",
    "SlowDown", "OperationAbortedException",
}  # fmt: skip
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_REFUSED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_INVALID = {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException"}


class RefusedError(SourceError):
    """The service will not do it, however often it is asked.

    Attributes:
        code: the service's name for the reason.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def check_endpoint(url: str) -> None:
    """Refuse an address of a service that is none.

    Raises:
        ValueError: the message shows no secret.

    Example:
        >>> check_endpoint("me:pw@host")
        Traceback (most recent call last):
        ValueError: the endpoint 'host' is no URL such as http://localhost:4318
    """
    try:
        parts = http_parts(url)
    except ValueError as error:
        raise ValueError(f"the endpoint {error}") from None
    if "@" in parts.netloc:
        raise ValueError(
            f"the endpoint {without_secrets(url)!r} holds a user: credentials come from the "
            "environment"
        )


class Limiter:
    """At most so many calls a second, over all threads; they are spread evenly.

    Args:
        rate: calls a second.
    """

    def __init__(self, rate: float) -> None:
        self._pause = 1 / rate
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._pause
        if turn > now:
            pause(turn - now)


class Service:
    """One service of AWS; may be used by many threads.

    Args:
        name: as boto3 calls it.
        session: a `boto3.Session`; by default one of the environment.
        region_name: replaces the session's.
        endpoint_url: replaces the usual address.
        profile_name: a profile of the AWS configuration, without `session`.
        rate: calls a second at most.

    Raises:
        ValueError: an address that is none, or both a session and a profile.
    """

    def __init__(
        self,
        name: str,
        *,
        session: Any = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        profile_name: str | None = None,
        rate: float = 10.0,
    ) -> None:
        if session is not None and profile_name is not None:
            raise ValueError("give a session or a profile_name, not both")
        if endpoint_url is not None:
            check_endpoint(endpoint_url)
        self._name = name
        self._session = session
        self._options = {"region_name": region_name, "endpoint_url": endpoint_url}
        self._profile = profile_name
        self._limiter = Limiter(rate)
        self._lock = threading.Lock()
        self._made: Any = None
        self._process = 0

    @property
    def identity(self) -> str:
        """What tells the account and region from others, as far as that was given."""
        return f"{self._name} {self._options} {self._profile} {id(self._session)}"

    @property
    def place(self) -> str:
        """Region, address and profile, as far as they were given."""
        given = [*self._options.values(), self._profile]
        return "".join(f" ({one})" for one in given if one is not None)

    @property
    def region(self) -> str:
        """The region that is asked."""
        return str(self._client().meta.region_name)

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation; tries again what can pass.

        Args:
            operation: boto3's name of it, such as `get_log_events`.
            parameters: those of the operation.

        Raises:
            NotFoundError: the service knows no such thing.
            RefusedError: it refuses.
            SourceError: it still fails when `RETRY_SECONDS` are over.
        """
        from botocore.exceptions import ClientError, HTTPClientError

        renewed = False
        problem = refused = ""
        for _ in attempts(RETRY_SECONDS):
            client = self._client()
            self._limiter.wait()
            try:
                answer: dict[str, Any] = getattr(client, operation)(**parameters)
                return answer
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                problem = self._explained(operation, code, error)
                if _is_missing(code, str(error)):
                    raise NotFoundError(problem) from None
                if code in _EXPIRED and not renewed:
                    # Somebody may have logged in again: files and environment are read anew.
                    renewed = True
                    self._forget(client)
                elif code not in _THROTTLED and status < 500:
                    refused = code
                    break
            except HTTPClientError as error:  # connections and timeouts
                problem = f"{self._name}: {error}"
            except Exception as error:  # no credentials, no region, no such profile
                problem = f"{self._name}: {error}; docs/remote.md says where they are looked for"
                break
        problem = shorten(without_secrets(problem), 500)
        raise RefusedError(problem, refused) if refused else SourceError(problem)

    def _explained(self, operation: str, code: str, error: Exception) -> str:
        if code in _EXPIRED:
            return f"{self._name}: the credentials expired: renew them and try again"
        if code in _INVALID:
            return f"{self._name}: the credentials are not valid ({code})"
        if code in _REFUSED:
            return f"{error} (docs/remote.md lists the permissions that are needed)"
        if code in _THROTTLED:
            return f"{self._name}: {operation} is still throttled or failing ({code})"
        return str(error)

    def _client(self) -> Any:
        with self._lock:
            if self._made is None or self._process != os.getpid():
                self._made = self._new_client()
                self._process = os.getpid()  # connections cannot be shared with a forked child
            return self._made

    def _forget(self, client: Any) -> None:
        with self._lock:
            if self._made is client:
                self._made = None

    def _new_client(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError:
            raise ImportError(
                f"reading from {self._name} needs boto3: pip install 'metricsieve[aws]'"
            ) from None
        config = Config(
            retries={"mode": "standard", "max_attempts": 2},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=64,
        )
        try:
            session = self._session or boto3.Session(profile_name=self._profile)
            return session.client(self._name, config=config, **self._options)
        except BotoCoreError as error:
            raise SourceError(
                f"{self._name}: {error}; docs/remote.md says where it is looked for"
            ) from None
        except ValueError:  # its text may hold credentials
            raise SourceError(
                f"{self._name}: no client can be made: the region or an address, such as that of "
                "AWS_ENDPOINT_URL, is none"
            ) from None


def _is_missing(code: str, text: str) -> bool:
    if code in ("ResourceNotFoundException", "ResourceNotFound"):
        return True
    # SageMaker has no code of its own for it.
    lower = text.lower()
    return code == "ValidationException" and ("not found" in lower or "could not find" in lower)
