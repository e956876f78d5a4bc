"""The engine's schemas and batches as pyarrow's, by the Arrow PyCapsule interface."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from metricsieve._context import step_column
from metricsieve._point_columns import STEP_KEY

if TYPE_CHECKING:
    from metricsieve.definitions import DefinitionSet


def schema_of(capsule: object, definitions: DefinitionSet) -> pa.Schema:
    """The schema of native batches, with what its metadata tells readers."""
    capsuled: Any = _SchemaCapsule(capsule)
    schema = pa.schema(capsuled)
    metadata = {b"metricsieve.definitions": definitions.fingerprint.encode()}
    units = {d.name: d.unit for d in definitions if d.unit is not None}
    if units:
        metadata[b"metricsieve.units"] = json.dumps(units, sort_keys=True).encode()
    numbers = [column.name for column in definitions.context if column.type != "string"]
    step = step_column(numbers)
    if step is not None:
        metadata[STEP_KEY] = step.encode()
    return schema.with_metadata({**(schema.metadata or {}), **metadata})


def batch_of(capsules: tuple[object, object]) -> pa.RecordBatch:
    """A native batch as pyarrow's."""
    return pa.record_batch(_ArrayCapsules(capsules))


class _SchemaCapsule:
    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __arrow_c_schema__(self) -> object:
        return self._capsule


class _ArrayCapsules:
    def __init__(self, capsules: tuple[object, object]) -> None:
        self._capsules = capsules

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self._capsules
