//! The class `ParquetEncoder`: pyarrow's batches in, bytes of a file out.

use std::sync::{Mutex, PoisonError};

use metricsieve_core::ParquetEncoder as Encoder;
use pyo3::{exceptions::PyValueError, prelude::*, types::PyBytes};

use crate::arrow::{batch_of, schema_of};

/// Encodes the batches of one schema; its bytes, one after the other, are a Parquet file.
#[pyclass(frozen, module = "metricsieve._native")]
pub(crate) struct ParquetEncoder {
    /// None after the end.
    encoder: Mutex<Option<Encoder>>,
}

/// An encoder for batches of a schema; None if it has a type that only pyarrow writes.
#[pyfunction]
pub(crate) fn parquet_encoder(
    schema: &Bound<'_, PyAny>,
    metadata: Vec<(String, String)>,
) -> PyResult<Option<ParquetEncoder>> {
    let encoder = Encoder::new(&schema_of(schema)?, metadata);
    Ok(encoder.map(|encoder| ParquetEncoder { encoder: Mutex::new(Some(encoder)) }))
}

#[pymethods]
impl ParquetEncoder {
    /// The bytes of a batch.
    fn encode<'py>(&self, py: Python<'py>, batch: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let batch = batch_of(batch)?;
        let bytes = py.detach(|| {
            let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
            encoder.as_mut().map(|encoder| encoder.encode(&batch))
        });
        Ok(PyBytes::new(py, &bytes.ok_or_else(ended)?))
    }

    /// The last bytes of the file, with more of its metadata.
    fn finish<'py>(&self, py: Python<'py>, more: Vec<(String, String)>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| {
            let encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner).take();
            encoder.map(|encoder| encoder.finish(more))
        });
        Ok(PyBytes::new(py, &bytes.ok_or_else(ended)?))
    }
}

fn ended() -> PyErr {
    PyValueError::new_err("the file is finished")
}
