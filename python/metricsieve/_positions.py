"""Places within sources at which the engine can go on, and how files keep them.

A position is a dict of plain values that the engine made. JSON has no NaN, no infinities and no
tuples, and how a decimal text becomes a float is another program's matter: hence `frozen` and
`thawed`, for whatever holds positions.
"""

from __future__ import annotations

from typing import Any

Position = dict[str, Any]


def beginning() -> Position:
    """The position at which every source begins."""
    return {
        "offset": 0,
        "line": 1,
        "open_line": False,
        "skipping": False,
        "in_run": False,
        "context": [],
        "envelope": None,
    }


def read_position(saved: dict[str, Any]) -> Position:
    """A position as the engine takes it, of what JSON made of it.

    Raises:
        KeyError: it is not complete.
        TypeError: it is none.
    """
    context = [
        (
            tuple(origin),
            [(value, count, example and tuple(example)) for value, count, example in columns],
        )
        for origin, columns in saved["context"]
    ]
    return {**saved, "context": context}


def frozen(value: Any) -> Any:
    """A value of dicts, lists, tuples, texts and numbers, for `json.dumps`.

    Example:
        >>> frozen({"a": (0.5, None)})
        {'a': [{'float': '0x1.0000000000000p-1'}, None]}
    """
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, dict):
        return {key: frozen(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [frozen(one) for one in value]
    return value


def thawed(value: Any) -> Any:
    """The value that `frozen` made this of; tuples are lists.

    Example:
        >>> thawed(frozen([float("inf"), {"b": -0.0}]))
        [inf, {'b': -0.0}]
    """
    if isinstance(value, dict):
        if value.keys() == {"float"}:
            return float.fromhex(value["float"])
        return {key: thawed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [thawed(one) for one in value]
    return value
