//! Python's sources as the core's.

use std::{
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
        let mut told = None;
        let source = match &*kind {
            "path" if label.is(&object) => Source::AtLabel,
            "path" => Source::Path(object.extract()?),
            "bytes" => Source::Bytes(Arc::new(Bytes(object.extract()?))),
            "reader" => stream(object, Call::Read, raised),
            "chunks" => stream(object.try_iter()?.into_any(), Call::Next, raised),
            "deferred" => {
                told = object.getattr_opt("size")?.and_then(|size| size.extract().ok());
                deferred(object, raised)
            }
            other => return Err(PyValueError::new_err(format!("unknown kind of source '{other}'"))),
        };
        let label = label.extract::<PyBackedStr>()?;
        let looked_up = |_: &u64| told.is_some() || converted.len() < MAX_SIZED;
        total = total.filter(looked_up).and_then(|total| Some(total + told.or_else(|| size(&label, &source))?));
        converted.push(&label, source);
    }
    Ok((converted, total))
}

fn size(label: &str, source: &Source) -> Option<u64> {
    let path = match source {
        Source::AtLabel => Path::new(label),
        Source::Path(path) => path,
        Source::Bytes(bytes) => return Some((**bytes).as_ref().len() as u64),
        Source::Stream(_) | Source::Deferred(_) => return None,
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
        given: None,
        at: 0,
        ended: false,
        raised: raised.clone(),
    }))
}

/// A callable that gives bytes, or an iterator of bytes for what is too large to be given at once. A worker thread
/// calls it and reads the iterator.
fn deferred(object: Bound<'_, PyAny>, raised: &Raised) -> Source {
    let (object, raised) = (object.unbind(), raised.clone());
    Source::Deferred(Box::new(move || {
        let call = |py: Python<'_>| {
            let given = object.bind(py).call0()?;
            match given.extract() {
                Ok(bytes) => Ok(Source::Bytes(Arc::new(Bytes(bytes)))),
                Err(_) => Ok(stream(given.try_iter()?.into_any(), Call::Next, &raised)),
            }
        };
        attached(|py| call(py).map_err(|error| raised.put(py, error)))
    }))
}

/// Runs `action` with the GIL. A worker thread may ask for it when the interpreter has ended.
fn attached<T>(action: impl FnOnce(Python<'_>) -> io::Result<T>) -> io::Result<T> {
    Python::try_attach(action).unwrap_or_else(|| Err(io::Error::other("the interpreter is shutting down")))
}

#[derive(Clone, Copy)]
enum Call {
    /// `object.read(n)`
    Read,
    /// `next(object)`
    Next,
}

/// A file object or an iterator of bytes. What a user gave is read in the thread that takes the batches, what a
/// deferred source gave by the worker that called it.
struct PythonStream {
    object: Py<PyAny>,
    call: Call,
    /// What Python gave last, of which `at` bytes are passed on.
    given: Option<PyBackedBytes>,
    at: usize,
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

    /// What is left of the bytes that Python gave last.
    fn rest(&self) -> &[u8] {
        self.given.as_ref().map_or(&[], |given| &given[self.at..])
    }
}

impl Read for PythonStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest().is_empty() && !self.ended {
            let wanted = buffer.len();
            self.given = attached(|py| {
                // Let go of with the GIL, or the memory would wait for whoever takes it next.
                self.given = None;
                self.fetch(py, wanted).map_err(|error| self.raised.put(py, error))
            })?;
            self.at = 0;
            self.ended = self.given.is_none() || (matches!(self.call, Call::Read) && self.rest().is_empty());
        }
        let now = self.rest().len().min(buffer.len());
        buffer[..now].copy_from_slice(&self.rest()[..now]);
        self.at += now;
        Ok(now)
    }
}
