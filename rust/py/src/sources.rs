//! Python's sources as the core's.

use std::{
    io::{self, Read},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use metricsieve_core::{ContextType, Envelope, Source, Sources};
use pyo3::{
    buffer::PyBuffer,
    exceptions::{PyOSError, PyStopIteration, PyTypeError, PyValueError},
    prelude::*,
    pybacked::{PyBackedBytes, PyBackedStr},
    types::{PyDict, PyString},
};

use crate::position::read_position;

/// Sizes of more files than this are not looked up for the progress display.
const MAX_SIZED: usize = 10_000;

/// An exception that a Python source raised, to be raised again as it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    pub fn take(&self) -> Option<PyErr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Fails once an exception is to end the scan. Without this look, a thread that was interrupted in one source
    /// would go on to wait for the next.
    fn check(&self) -> io::Result<()> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(_) => Err(io::Error::other("the scan is ending")),
        }
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
/// Positions of sections are of context columns of these kinds.
pub(crate) fn convert(
    sources: &Bound<'_, PyAny>,
    raised: &Raised,
    kinds: &[ContextType],
) -> PyResult<(Sources, Option<u64>)> {
    let (mut converted, mut total) = (Sources::default(), Some(0));
    for triple in sources.try_iter()? {
        let (label, kind, object): (Bound<'_, PyString>, PyBackedStr, Bound<'_, PyAny>) = triple?.extract()?;
        let mut told = None;
        let source = match &*kind {
            "path" if label.is(&object) => Source::AtLabel,
            "path" => Source::Path(object.extract()?),
            "section" => {
                let (path, from, until): (_, Option<Bound<'_, PyDict>>, _) = object.extract()?;
                let from = from.map(|dict| read_position(converted.len(), &dict, kinds)).transpose()?;
                Source::Section { path, from: from.map(Box::new), until }
            }
            "bytes" => Source::Bytes(Arc::new(Bytes(object.extract()?))),
            "reader" => stream(object, Call::Read, raised),
            "chunks" => stream(object.try_iter()?.into_any(), Call::Next, raised),
            "deferred" => {
                told = object.getattr_opt("size")?.and_then(|size| size.extract().ok());
                let envelope: Option<PyBackedStr> =
                    object.getattr_opt("envelope")?.map_or(Ok(None), |name| name.extract())?;
                let source = deferred(object, raised);
                match envelope.as_deref().and_then(Envelope::by_name) {
                    Some(envelope) => Source::Wrapped(envelope, Box::new(source)),
                    None => source,
                }
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
        Source::Path(path) | Source::Section { path, .. } => path,
        Source::Bytes(bytes) => return Some((**bytes).as_ref().len() as u64),
        Source::Stream(_) | Source::Deferred(_) | Source::Wrapped(..) => return None,
    };
    let len = std::fs::metadata(path).ok().filter(|metadata| metadata.is_file())?.len();
    match source {
        Source::Section { from, until, .. } => {
            let start = from.as_ref().map_or(0, |position| position.offset);
            Some(until.unwrap_or(len).min(len).saturating_sub(start))
        }
        _ => Some(len),
    }
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

/// An object whose bytes can be looked at, such as those that obstore has fetched: they need not be copied.
struct Buffer(Option<PyBuffer<u8>>);

impl Buffer {
    /// None if there are others to write to it, or if it is no run of bytes.
    fn of(object: &Bound<'_, PyAny>) -> Option<Self> {
        let buffer = PyBuffer::get(object).ok()?;
        (buffer.readonly() && buffer.is_c_contiguous()).then_some(Self(Some(buffer)))
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        let Some(buffer) = self.0.as_ref().filter(|buffer| buffer.len_bytes() > 0) else { return &[] };
        // SAFETY: the buffer is contiguous, and read-only as long as it is held.
        unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes()) }
    }
}

impl Drop for Buffer {
    /// Gives it back, which needs the GIL; when the interpreter is ending, it takes the memory with it.
    fn drop(&mut self) {
        let mut buffer = self.0.take();
        let _ = attached(|_| {
            drop(buffer.take());
            Ok(())
        });
        std::mem::forget(buffer);
    }
}

/// A callable that gives bytes, or an iterator of bytes for what is too large to be given at once; None stands for
/// "not yet" in both. A worker thread calls it and reads the iterator.
fn deferred(object: Bound<'_, PyAny>, raised: &Raised) -> Source {
    let (object, raised) = (object.unbind(), raised.clone());
    Source::Deferred(Box::new(move || {
        let call = |py: Python<'_>| {
            let given = object.bind(py).call0()?;
            if given.is_none() {
                return Ok(None);
            }
            Ok(Some(match Buffer::of(&given) {
                Some(bytes) => Source::Bytes(Arc::new(bytes)),
                None => stream(given.try_iter()?.into_any(), Call::Poll, &raised),
            }))
        };
        let mut patience = Patience::default();
        loop {
            raised.check()?;
            if let Some(source) = attached(|py| call(py).map_err(|error| raised.put(py, error)))? {
                return Ok(source);
            }
            patience.wait();
        }
    }))
}

/// Pauses of a thread that asks Python again and again. It does not wait inside Python: a thread that is there when
/// the interpreter ends would be killed, and the process with it.
#[derive(Default)]
struct Patience(u32);

impl Patience {
    fn wait(&mut self) {
        std::thread::sleep(FIRST_PAUSE * (1 << self.0));
        self.0 = (self.0 + 1).min(LONGEST_PAUSE);
    }
}

const FIRST_PAUSE: Duration = Duration::from_micros(250);
/// Doublings of the first pause: 4 ms at most.
const LONGEST_PAUSE: u32 = 4;

/// Threads that are inside Python, or on their way there, to read a source.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// Whether the interpreter is about to end, and no thread may go there any more.
static ENDING: AtomicBool = AtomicBool::new(false);
/// Longest wait for those that are inside; a file object of a user may never give a byte.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs `action` with the GIL, unless the interpreter is ending.
fn attached<T>(action: impl FnOnce(Python<'_>) -> io::Result<T>) -> io::Result<T> {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let done = if ENDING.load(Ordering::SeqCst) { None } else { Python::try_attach(action) };
    INSIDE.fetch_sub(1, Ordering::SeqCst);
    done.unwrap_or_else(|| Err(io::Error::other("the interpreter is shutting down")))
}

/// Called when the interpreter ends, while its threads still run: lets those of scans come out of Python.
#[pyfunction]
pub(crate) fn leave(py: Python<'_>) {
    ENDING.store(true, Ordering::SeqCst);
    py.detach(|| {
        let begun = Instant::now();
        while INSIDE.load(Ordering::SeqCst) > 0 && begun.elapsed() < GOODBYE {
            std::thread::sleep(FIRST_PAUSE);
        }
    });
}

#[derive(Clone, Copy)]
enum Call {
    /// `object.read(n)`
    Read,
    /// `next(object)`
    Next,
    /// The same, where None means that there will be more.
    Poll,
}

enum Given {
    Bytes(PyBackedBytes),
    NotYet,
    End,
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
    fn fetch(&self, py: Python<'_>, wanted: usize) -> PyResult<Given> {
        let object = self.object.bind(py);
        let bytes = match self.call {
            Call::Read => object.call_method1("read", (wanted,))?,
            Call::Next | Call::Poll => match object.call_method0("__next__") {
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => return Ok(Given::End),
                next => next?,
            },
        };
        if matches!(self.call, Call::Poll) && bytes.is_none() {
            return Ok(Given::NotYet);
        }
        let kind = bytes.get_type();
        bytes.extract().map(Given::Bytes).map_err(|_| {
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
        let mut patience = Patience::default();
        while self.rest().is_empty() && !self.ended {
            let wanted = buffer.len();
            self.raised.check()?;
            let given = attached(|py| {
                // Let go of with the GIL, or the memory would wait for whoever takes it next.
                self.given = None;
                self.fetch(py, wanted).map_err(|error| self.raised.put(py, error))
            })?;
            self.at = 0;
            match given {
                Given::Bytes(bytes) => {
                    self.ended = bytes.is_empty() && matches!(self.call, Call::Read);
                    self.given = Some(bytes);
                }
                Given::NotYet => patience.wait(),
                Given::End => self.ended = true,
            }
        }
        let now = self.rest().len().min(buffer.len());
        buffer[..now].copy_from_slice(&self.rest()[..now]);
        self.at += now;
        Ok(now)
    }
}
