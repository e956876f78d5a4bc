"""Definitions as they stand in Python files and notebooks, where most of them live.

Principal function: `read_code`. The code is parsed, never run: dicts with a `Name` and a `Regex`
that are literals, and calls such as `MetricDefinition(name=..., regex=...)`, are taken.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metricsieve._definition_fields import KEYS
from metricsieve.exceptions import DefinitionError

SUFFIXES = (".py", ".ipynb")
_ARGUMENTS = {argument: key for key, argument in KEYS.items()}
# Lines of a notebook's cell that IPython reads by itself.
_MAGIC = re.compile(r"^(\s*)[%!?].*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CodeList:
    """One list of definitions in a file.

    Attributes:
        items: dicts as in a definitions file.
        lines: the line of each, counted from 1; in a notebook within its cell.
        where: `cell 3` in a notebook, else empty.
    """

    items: list[dict[str, object]]
    lines: list[int]
    where: str = ""


def read_code(path: Path) -> list[CodeList]:
    """All lists of definitions of a `.py` or `.ipynb` file, in their order.

    Raises:
        DefinitionError: the file is no Python, or no notebook.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{path}: not UTF-8 at byte {error.start}") from None
    if path.suffix.lower() == ".py":
        try:
            return _lists(_parse(text))
        except SyntaxError as error:
            raise DefinitionError(f"{path}:{error.lineno}: {error.msg}") from None
    try:
        cells = json.loads(text)["cells"]
        code = [
            (number, "".join(cell["source"]))
            for number, cell in enumerate(cells, 1)
            if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DefinitionError(f"{path}: not a notebook: {error}") from None
    found: list[CodeList] = []
    for number, source in code:
        try:
            tree = _parse(_MAGIC.sub(r"\1pass", source))
        except SyntaxError:  # a cell of another language, or one that is meant to fail
            continue
        found += [CodeList(one.items, one.lines, f"cell {number}") for one in _lists(tree)]
    return found


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # '\d' in a text that is not raw
        return ast.parse(text)


def _lists(tree: ast.AST) -> list[CodeList]:
    """Definitions that stand in one list or tuple belong together; others are by themselves."""
    found: list[CodeList] = []
    taken: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.List, ast.Tuple)):
            continue
        pairs = [(child.lineno, item) for child in node.elts if (item := _item(child)) is not None]
        if pairs:
            taken |= {id(child) for child in node.elts}
            found.append(CodeList([item for _, item in pairs], [line for line, _ in pairs]))
    for node in ast.walk(tree):
        if id(node) not in taken and isinstance(node, (ast.Dict, ast.Call)):
            item = _item(node)
            if item is not None:
                found.append(CodeList([item], [node.lineno]))
    return sorted(found, key=lambda one: one.lines[0])


def _item(node: ast.AST) -> dict[str, object] | None:
    pairs = list(_pairs(node))
    keys = {_ARGUMENTS.get(key, key): value for key, value in pairs}
    if not {"Name", "Regex"} <= set(keys):
        return None
    item: dict[str, object] = {}
    for key, value in keys.items():
        try:
            item[key] = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            if key in ("Name", "Regex"):  # put together when the code runs
                return None
    return item


def _pairs(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value
    elif isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else None
        called = node.func.id if isinstance(node.func, ast.Name) else called
        if called == "MetricDefinition":
            yield from zip(("name", "regex"), node.args, strict=False)
            for keyword in node.keywords:
                if keyword.arg is not None:
                    yield keyword.arg, keyword.value
