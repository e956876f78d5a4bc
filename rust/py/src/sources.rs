//! Python's sources as the core's.

use std::{
    collections::VecDeque,
    io::{self, Read},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use metricsieve_core::{Source, Sources};
use pyo3::{
    exceptions::{PyOSError, PyStopIteration, PyTypeError, PyValueError},
    prelude::*,
    pybacked::{PyBackedBytes, PyBackedStr},
    types::PyString,
};

/// Sizes of more files than this are not looked up for the progress display.
const MAX_SIZED: usize = 10_000;

/// An exception that a Python source raised, to be raised again as it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    pub fn take(&self) -> Option<PyErr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// An `OSError` is the source's trouble and counted there; everything else ends the scan.
    fn put(&self, py: Python<'_>, error: PyErr) -> io::Error {
        if error.is_instance_of::<PyOSError>(py) {
            return io::Error::other(error.value(py).to_string());
        }
        let text = error.to_string();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other(text)
    }
}

/// Converts `(label, kind, object)` triples, each while the next is not known: Python need not hold them all.
/// Their size in bytes with them, where it is known.
pub(crate) fn convert(sources: &Bound<'_, PyAny>, raised: &Raised) -> PyResult<(Sources, Option<u64>)> {
    let (mut converted, mut total) = (Sources::default(), Some(0));
    for triple in sources.try_iter()? {
        let (label, kind, object): (Bound<'_, PyString>, PyBackedStr, Bound<'_, PyAny>) = triple?.extract()?;
        let source = match &*kind {
            "path" if label.is(&object) => Source::AtLabel,
            "path" => Source::Path(object.extract()?),
            "bytes" => Source::Bytes(Arc::new(Bytes(object.extract()?))),
            "reader" => stream(object, Call::Read, raised),
            "chunks" => stream(object.try_iter()?.into_any(), Call::Next, raised),
            other => return Err(PyValueError::new_err(format!("unknown kind of source '{other}'"))),
        };
        let label = label.extract::<PyBackedStr>()?;
        total = total.filter(|_| converted.len() < MAX_SIZED).and_then(|total| Some(total + size(&label, &source)?));
        converted.push(&label, source);
    }
    Ok((converted, total))
}

fn size(label: &str, source: &Source) -> Option<u64> {
    let path = match source {
        Source::AtLabel => Path::new(label),
        Source::Path(path) => path,
        Source::Bytes(bytes) => return Some((**bytes).as_ref().len() as u64),
        Source::Stream(_) => return None,
    };
    let metadata = std::fs::metadata(path).ok().filter(|metadata| metadata.is_file());
    metadata.map(|metadata| metadata.len())
}

struct Bytes(PyBackedBytes);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn stream(object: Bound<'_, PyAny>, call: Call, raised: &Raised) -> Source {
    Source::Stream(Box::new(PythonStream {
        object: object.unbind(),
        call,
        pending: VecDeque::new(),
        ended: false,
        raised: raised.clone(),
    }))
}

#[derive(Clone, Copy)]
enum Call {
    /// `object.read(n)`
    Read,
    /// `next(object)`
    Next,
}

/// A file object or an iterator of bytes; the core reads it in the thread that takes the batches.
struct PythonStream {
    object: Py<PyAny>,
    call: Call,
    /// What Python gave beyond what was asked for.
    pending: VecDeque<u8>,
    ended: bool,
    raised: Raised,
}

impl PythonStream {
    /// The next bytes; None at the end.
    fn fetch(&self, py: Python<'_>, wanted: usize) -> PyResult<Option<PyBackedBytes>> {
        let object = self.object.bind(py);
        let bytes = match self.call {
            Call::Read => object.call_method1("read", (wanted,))?,
            Call::Next => match object.call_method0("__next__") {
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => return Ok(None),
                next => next?,
            },
        };
        let kind = bytes.get_type();
        bytes.extract().map(Some).map_err(|_| {
            let name = kind.name().map(|name| name.to_string()).unwrap_or_default();
            PyTypeError::new_err(format!("the source gave {name}; it must give bytes (open files in binary mode)"))
        })
    }
}

impl Read for PythonStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.pending.is_empty() && !self.ended {
            let (buffer_len, call) = (buffer.len(), self.call);
            let fetched = Python::attach(|py| self.fetch(py, buffer_len).map_err(|error| self.raised.put(py, error)))?;
            match fetched {
                None => self.ended = true,
                Some(bytes) if bytes.is_empty() => self.ended = matches!(call, Call::Read),
                Some(bytes) => {
                    let now = bytes.len().min(buffer.len());
                    buffer[..now].copy_from_slice(&bytes[..now]);
                    self.pending.extend(&bytes[now..]);
                    return Ok(now);
                }
            }
        }
        self.pending.read(buffer)
    }
}
