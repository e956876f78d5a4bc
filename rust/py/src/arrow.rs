//! Arrow data as capsules of the Arrow PyCapsule interface.

use arrow_array::{Array, RecordBatch, StructArray, ffi::FFI_ArrowArray};
use arrow_schema::{Schema, ffi::FFI_ArrowSchema};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyCapsule, PyTuple},
};

/// An `arrow_schema` capsule.
pub(crate) fn schema_capsule<'py>(py: Python<'py>, schema: &Schema) -> PyResult<Bound<'py, PyAny>> {
    let schema = FFI_ArrowSchema::try_from(schema).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    // The destructor drops the struct, whose own Drop releases it unless a consumer took it over.
    Ok(PyCapsule::new_with_value(py, schema, c"arrow_schema")?.into_any())
}

/// The pair of capsules that `__arrow_c_array__` returns.
pub(crate) fn batch_capsules<'py>(py: Python<'py>, batch: &RecordBatch) -> PyResult<Bound<'py, PyTuple>> {
    let schema = schema_capsule(py, batch.schema_ref())?;
    let array = FFI_ArrowArray::new(&StructArray::from(batch.clone()).to_data());
    let array = PyCapsule::new_with_value(py, array, c"arrow_array")?.into_any();
    PyTuple::new(py, [schema, array])
}
