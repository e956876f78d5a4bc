//! The class `ParquetEncoder`: pyarrow's batches in, bytes of a file out.

use std::sync::Mutex;

use metricsieve_core::ParquetEncoder as Encoder;
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    ffi,
    prelude::*,
};

use crate::arrow::{batch_of, schema_of};

/// Encodes the batches of one schema; its bytes, one after the other, are a Parquet file.
#[pyclass(frozen, module = "metricsieve._native")]
pub(crate) struct ParquetEncoder(Mutex<Option<Encoder>>);

/// An encoder for batches of a schema; None if it has a type that only pyarrow writes.
#[pyfunction]
pub(crate) fn parquet_encoder(
    schema: &Bound<'_, PyAny>,
    metadata: Vec<(String, String)>,
) -> PyResult<Option<ParquetEncoder>> {
    let encoder = Encoder::new(&schema_of(schema)?, metadata);
    Ok(encoder.map(|encoder| ParquetEncoder(Mutex::new(Some(encoder)))))
}

#[pymethods]
impl ParquetEncoder {
    /// Gives the bytes of a batch to `write`, which must not keep them.
    fn encode(&self, batch: &Bound<'_, PyAny>, write: &Bound<'_, PyAny>) -> PyResult<()> {
        let batch = batch_of(batch)?;
        self.give(write, |encoder| encoder.encode(&batch))
    }

    /// Gives the last bytes of the file, with more of its metadata, to `write`.
    fn finish(&self, more: Vec<(String, String)>, write: &Bound<'_, PyAny>) -> PyResult<()> {
        self.give(write, |encoder| encoder.finish(more))
    }
}

impl ParquetEncoder {
    fn give<F>(&self, write: &Bound<'_, PyAny>, encode: F) -> PyResult<()>
    where
        F: FnOnce(&mut Encoder) -> &[u8] + Send,
    {
        let py = write.py();
        // `write` may let other threads run: they must not wait here while they hold the GIL.
        let mut held = self.0.try_lock().map_err(|_| PyRuntimeError::new_err("another thread is writing"))?;
        let encoder = held.as_mut().ok_or_else(|| PyValueError::new_err("the writer was given up"))?;
        let bytes = py.detach(|| encode(encoder));
        // SAFETY: the view is released before the bytes change.
        let view = unsafe {
            let view =
                ffi::PyMemoryView_FromMemory(bytes.as_ptr().cast_mut().cast(), bytes.len() as isize, ffi::PyBUF_READ);
            Bound::from_owned_ptr_or_err(py, view)?
        };
        let written = write.call1((&view,));
        if let Err(error) = view.call_method0("release") {
            // Somebody keeps the bytes, so they must stay as they are for ever.
            std::mem::forget(held.take());
            return Err(error);
        }
        written.map(drop)
    }
}
