"""Types of the Rust extension. Only `metricsieve._engine` imports it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, Protocol, TypeAlias, final

from _typeshed import ReadableBuffer

class _Reader(Protocol):
    def read(self, n: int, /) -> bytes: ...

_Deferred: TypeAlias = Callable[[], ReadableBuffer | Iterator[bytes | None] | None]

__all__ = [
    "CheckedPattern",
    "Follower",
    "NotFollowedError",
    "ParquetEncoder",
    "PatternError",
    "RejectError",
    "Scanner",
    "__version__",
    "build_profile",
    "check_pattern",
    "envelopes",
    "parquet_encoder",
    "pattern_syntax",
]

__version__: str
build_profile: str

def check_pattern(
    pattern: str, group: int | str | None, terminal: bool, engine: str
) -> dict[str, Any]: ...

_Syntax: TypeAlias = tuple[str, int, int, Any, tuple[Any, ...]]

def envelopes() -> list[str]: ...
def pattern_syntax(pattern: str, terminal: bool) -> _Syntax: ...

@final
class CheckedPattern:
    def find(self, text: str) -> tuple[int, int, int | None, int | None] | None: ...

class _ArrowSchema(Protocol):
    def __arrow_c_schema__(self) -> object: ...

class _ArrowArray(Protocol):
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]: ...

@final
class ParquetEncoder:
    def encode(self, batch: _ArrowArray, write: Callable[[memoryview], object]) -> None: ...
    def finish(
        self, more: list[tuple[str, str]], write: Callable[[memoryview], object]
    ) -> None: ...

def parquet_encoder(
    schema: _ArrowSchema, metadata: list[tuple[str, str]]
) -> ParquetEncoder | None: ...

class PatternError(ValueError): ...
class NotFollowedError(ValueError): ...
class RejectError(ValueError): ...

@final
class Scanner:
    def __new__(
        cls,
        definitions: list[tuple[str, str, int | str | None, str, str | None, str]],
        sources: Iterable[
            tuple[
                str,
                Literal["path", "section", "bytes", "reader", "chunks", "deferred"],
                str
                | tuple[str, dict[str, Any] | None, int | None]
                | bytes
                | _Reader
                | Iterator[bytes]
                | _Deferred,
            ]
        ],
        *,
        normalize: str,
        number: str,
        on_reject: str,
        line_numbers: bool,
        columns: list[str] | None,
        strings: str,
        ordered: bool,
        threads: int | None,
        batch_rows: int,
        max_record_bytes: int,
        patterns: list[CheckedPattern] | None = None,
        context: list[tuple[str, list[str], str]] | None = None,
        envelope: str | None = None,
        message_key: str | None = None,
        timezone: str | None = None,
        strategy: str | None = None,
        block_bytes: int | None = None,
        split_bytes: int | None = None,
        marks: bool = False,
    ) -> Scanner: ...
    def schema_capsule(self) -> object: ...
    def next_batch(self) -> tuple[object, object] | None: ...
    def take_marks(self) -> list[tuple[int, int, int, int, dict[str, Any] | None, bool]]: ...
    def report(self) -> dict[str, Any]: ...
    def rejects(self) -> tuple[object, object]: ...
    def progress(self) -> tuple[int, int | None]: ...
    def close(self) -> None: ...

@final
class Follower:
    def __new__(
        cls,
        definitions: list[tuple[str, str, int | str | None, str, str | None, str]],
        *,
        normalize: str,
        number: str,
        on_reject: str,
        line_numbers: bool,
        columns: list[str] | None,
        strings: str,
        batch_rows: int,
        max_record_bytes: int,
        patterns: list[CheckedPattern] | None = None,
        context: list[tuple[str, list[str], str]] | None = None,
        envelope: str | None = None,
        message_key: str | None = None,
        timezone: str | None = None,
        strategy: str | None = None,
    ) -> Follower: ...
    def schema_capsule(self) -> object: ...
    def add_source(self, label: str) -> int: ...
    def turn(
        self,
        source: int,
        position: dict[str, Any],
        bytes: bytes,
        end: Literal["open", "rest", "end", "cut"],
        written: int | None,
    ) -> dict[str, Any]: ...
    def next_batch(self) -> tuple[object, object] | None: ...
    def set_error(self, source: int, error: str | None) -> None: ...
    def close(self) -> None: ...
    def report(self) -> dict[str, Any]: ...
    def rejects(self) -> tuple[object, object]: ...
