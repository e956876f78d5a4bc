"""Definitions files and job descriptions: from what users keep on disk to a plain list.

Principal functions: `read_file` (a file -> what was in it), `unwrap` (what was in it -> the list,
and whether a job description held it), `write_file`. Fed by `definitions.DefinitionSet`.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from metricsieve._definition_fields import suggest_key
from metricsieve.exceptions import DefinitionError, DefinitionProblem

if TYPE_CHECKING:
    import yaml

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_YAML_NODES = 1_000_000  # with every alias counted as what it stands for
_OWN_KEYS = ("MetricDefinitions", "Context")
# Neighbours of MetricDefinitions inside a job description's AlgorithmSpecification.
_ALGORITHM_KEYS = {"TrainingImage", "AlgorithmName", "TrainingInputMode"}
_SUFFIXES = (".json", ".yaml", ".yml", ".toml")


class Unwrapped(NamedTuple):
    """What was found in whatever holds definitions.

    Attributes:
        items: the definitions, unchecked.
        from_job: whether they come from a job description.
        context: the context columns that a definitions file may have, unchecked.
    """

    items: Iterable[Any]
    from_job: bool
    context: object = None


def unwrap(given: object) -> Unwrapped:
    """Find the list of definitions in whatever holds it.

    Args:
        given: a list, a mapping name -> regex, a definitions file's content, or the dict of a
            training or tuning job.

    Raises:
        DefinitionError: nothing in it is a list of definitions.

    Example:
        >>> unwrap({"AlgorithmSpecification": {"MetricDefinitions": []}})
        Unwrapped(items=[], from_job=True, context=None)
    """
    if isinstance(given, (str, bytes)):
        message = f"expected a list of definitions, not the text {reprlib.repr(given)}"
        hint = "DefinitionSet.load(path) reads a file, DefinitionSet.from_args([...]) texts"
        raise DefinitionError([DefinitionProblem(message, hint=hint)])
    if isinstance(given, Mapping):
        return _unwrap_mapping(given)
    if not isinstance(given, Iterable):
        raise DefinitionError(f"expected a list of definitions, not {type(given).__name__}")
    return Unwrapped(given, False)


def _unwrap_mapping(given: Mapping[Any, Any]) -> Unwrapped:
    if "AlgorithmSpecification" in given:
        return Unwrapped(_of_job(given), True)
    for key in ("TrainingJobDefinition", "TrainingJobDefinitions"):
        if isinstance(given.get(key), (Mapping, list)):
            jobs = [given[key]] if isinstance(given[key], Mapping) else given[key]
            other = given.get("TrainingJobDefinitions") if key == "TrainingJobDefinition" else None
            jobs = [*jobs, *(other or [])]
            return Unwrapped([item for job in jobs for item in _of_job(job)], True)
    if isinstance(given.get("metric_definitions"), (list, tuple)):
        return Unwrapped(given["metric_definitions"], True)
    if "MetricDefinitions" in given and not isinstance(given["MetricDefinitions"], str):
        return _of_own_file(given)
    if {"name", "regex"} <= {key.lower() for key in given if isinstance(key, str)}:
        raise DefinitionError("this is a single definition; put it into a list: [{...}]")
    wrong = [key for key, value in given.items() if not isinstance(value, str)]
    if wrong:
        key = wrong[0]
        hint = suggest_key(key, _OWN_KEYS) if isinstance(key, str) else None
        raise DefinitionError(
            [
                DefinitionProblem(
                    f"expected a mapping from names to regular expressions, but "
                    f"{reprlib.repr(key)} holds {type(given[key]).__name__}",
                    hint=hint if hint and hint.startswith("did") else None,
                )
            ]
        )
    return Unwrapped([{"Name": name, "Regex": regex} for name, regex in given.items()], False)


def _of_job(job: object) -> list[Any]:
    algorithm = job.get("AlgorithmSpecification") if isinstance(job, Mapping) else None
    if not isinstance(algorithm, Mapping):
        raise DefinitionError("the job description has no AlgorithmSpecification")
    found = algorithm.get("MetricDefinitions", [])
    if not isinstance(found, (list, tuple)):
        raise DefinitionError("AlgorithmSpecification.MetricDefinitions is not a list")
    return list(found)


def _of_own_file(given: Mapping[Any, Any]) -> Unwrapped:
    found = given["MetricDefinitions"]
    if not isinstance(found, (list, tuple)):
        raise DefinitionError(f"MetricDefinitions is not a list but {type(found).__name__}")
    if _ALGORITHM_KEYS & set(given):
        return Unwrapped(found, True)
    problems = [
        DefinitionProblem(
            f"unknown key {reprlib.repr(key)} beside MetricDefinitions",
            hint=suggest_key(str(key), _OWN_KEYS),
        )
        for key in given
        if key not in _OWN_KEYS
    ]
    if problems:
        raise DefinitionError(problems)
    return Unwrapped(found, False, given.get("Context"))


def read_file(path: Path) -> Any:
    """Parse a JSON, YAML or TOML file; a file without a known suffix is read as JSON.

    Raises:
        DefinitionError: it does not parse; the message has file, line and column.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise DefinitionError(f"{path}: longer than {MAX_FILE_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DefinitionError(f"{path}:{line}: not UTF-8 at byte {error.start}") from None
    suffix = path.suffix.lower()
    try:
        if suffix in (".yaml", ".yml"):
            return _parse_yaml(path, text)
        return _parse_toml(path, text) if suffix == ".toml" else _parse_json(path, text)
    except RecursionError:
        raise DefinitionError(f"{path}: nested too deeply") from None


def _parse_json(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        hint = None
        if "'" in text[error.pos : error.pos + 1]:
            hint = "JSON needs double quotes; Python's single quotes are no JSON"
        elif path.suffix.lower() not in _SUFFIXES:
            hint = f"a file without one of the suffixes {', '.join(_SUFFIXES)} is read as JSON"
        line = text.split("\n")[error.lineno - 1]
        place = (error.colno - 1, error.colno)
        message = f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}"
        problem = DefinitionProblem(message, pattern=line, span=place, hint=hint)
        raise DefinitionError([problem]) from None
    except _DuplicateKeyError as error:
        raise DefinitionError(f"{path}: the key {error.args[0]!r} stands twice") from None


class _DuplicateKeyError(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateKeyError(key)
        found[key] = value
    return found


def _parse_toml(path: Path, text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{path}: not TOML: {error}") from None


def _parse_yaml(path: Path, text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise DefinitionError(
            f"{path}: YAML files need PyYAML: pip install 'metricsieve[yaml]'"
        ) from None
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return []
        problems: list[DefinitionProblem] = []
        _node_size(node, {}, problems, path)
        if problems:
            raise DefinitionError(problems)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        what = getattr(error, "problem", None) or str(error)
        raise DefinitionError(f"{where}: not YAML that is safe to read: {what}") from None
    except ValueError as error:  # an impossible date, an integer of 5,000 digits
        if isinstance(error, DefinitionError):
            raise
        raise DefinitionError(f"{path}: not YAML: {error}") from None
    finally:
        loader.dispose()


def _node_size(
    node: yaml.Node, sizes: dict[int, int | None], problems: list[DefinitionProblem], path: Path
) -> int:
    """Nodes below `node` with aliases counted as copies; finds doubled keys on the way."""
    import yaml

    known = sizes.get(id(node), 0)
    if known is None:
        raise DefinitionError(f"{path}: an anchor contains itself")
    if known:
        return known
    sizes[id(node)] = None
    size = 1
    keys: set[tuple[str, str]] = set()
    children: list[Any] = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            children += [key, value]
            if key.id == "scalar" and (key.tag, key.value) in keys:
                mark = key.start_mark
                where = f"{path}:{mark.line + 1}:{mark.column + 1}"
                problems.append(DefinitionProblem(f"{where}: the key {key.value!r} stands twice"))
            keys.add((key.tag, str(key.value) if key.id == "scalar" else str(id(key))))
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    for child in children:
        size += _node_size(child, sizes, problems, path)
        if size > MAX_YAML_NODES:
            raise DefinitionError(f"{path}: aliases expand to over {MAX_YAML_NODES:,} nodes")
    sizes[id(node)] = size
    return size


def write_file(path: Path, content: Any) -> None:
    """Write what a definitions file holds as JSON or YAML, by suffix, in one step.

    Raises:
        ValueError: another suffix.
        SinkError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    elif suffix in (".yaml", ".yml"):
        try:
            import yaml
        except ImportError:
            raise ImportError("YAML needs PyYAML: pip install 'metricsieve[yaml]'") from None
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    else:
        raise ValueError(f"cannot write definitions to {path.name!r}: use .json, .yaml or .yml")
    from metricsieve.sinks._atomic import write_whole

    write_whole(path, text.encode())
