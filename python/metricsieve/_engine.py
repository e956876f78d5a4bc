"""The only importer of the Rust extension `metricsieve._native`.

Fed by `definitions` (pattern checks) and `_scan` (the scanner). Importing it costs the extension's
load and nothing else; it is imported on first use, so `metricsieve --help` does not pay for it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

from metricsieve.exceptions import DebugBuildWarning

try:
    from metricsieve import _native
except ImportError as error:  # a source tree without a build, or a wheel of another platform
    raise ImportError(
        "the compiled part of metricsieve is missing: install a wheel, or run "
        f"'maturin develop --release' in a source tree ({error})"
    ) from error

PatternError = _native.PatternError
NotFollowedError = _native.NotFollowedError
RejectError = _native.RejectError
Scanner = _native.Scanner
Follower = _native.Follower
ParquetEncoder = _native.ParquetEncoder
parquet_encoder = _native.parquet_encoder
pattern_syntax = _native.pattern_syntax
envelopes = _native.envelopes
CheckedPattern = _native.CheckedPattern
native_version: str = _native.__version__
build_profile: str = _native.build_profile

if build_profile == "debug":
    warnings.warn(
        "metricsieve was built without optimisation and is many times slower than a release "
        "build: run 'maturin develop --release' before measuring anything",
        DebugBuildWarning,
        stacklevel=2,
    )


@dataclass(frozen=True, slots=True)
class PatternInfo:
    """What the engine makes of a pattern that it accepts.

    Attributes:
        value_group: number of the group that holds the value.
        labels: (number, name) of every other named group.
        warnings: (start, end, message), in characters of the pattern.
        literals: texts one of which every match holds; empty where there are none.
        direct: whether the first match of a record is read without a regex engine.
        backtracking: whether it needs the backtracking engine.
        can_be_empty: whether a match may take no character.
        compiled: the pattern as the scanner takes it, so that it is not compiled again.
    """

    value_group: int
    labels: tuple[tuple[int, str], ...]
    warnings: tuple[tuple[int, int, str], ...]
    literals: tuple[str, ...]
    direct: bool
    backtracking: bool
    can_be_empty: bool
    compiled: _native.CheckedPattern = field(repr=False, compare=False)


def check_pattern(
    pattern: str, group: int | str | None, *, terminal: bool, engine: str = "linear"
) -> PatternInfo:
    """Compile `pattern` for the Rust engine.

    Args:
        pattern: a regular expression in the dialect of Python's `re`.
        group: the value's group, or None for the default choice.
        terminal: whether the pattern will be matched on normalised terminal text.
        engine: `"linear"`, or `"backtracking"` for lookaround and the like.

    Returns:
        The groups and warnings of the pattern.

    Raises:
        PatternError: the engine refuses the pattern; args are (message, start, end, construct,
            hint), the places in characters.

    Example:
        >>> check_pattern(r"loss=([0-9.]+)", None, terminal=True).value_group
        1
    """
    info = _native.check_pattern(pattern, group, terminal, engine)
    return PatternInfo(
        value_group=info["value_group"],
        labels=tuple((index, name) for index, name in info["labels"]),
        warnings=tuple((start, end, message) for start, end, message in info["warnings"]),
        literals=tuple(info["literals"]),
        direct=info["direct"],
        backtracking=info["backtracking"],
        can_be_empty=info["can_be_empty"],
        compiled=info["compiled"],
    )
