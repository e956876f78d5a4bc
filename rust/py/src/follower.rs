//! `Follower`: sources that grow, in turns.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::Array;
use metricsieve_core::{ColumnOptions, ContextType, ExtractOptions, Follower as CoreFollower, TurnError};
use pyo3::{
    exceptions::{PyIndexError, PyValueError},
    prelude::*,
    types::{PyDict, PyTuple},
};

use crate::{
    CheckedPattern, ContextArg, DefinitionArg, NUMBERS, NotFollowedError, REJECTS, STRINGS, arrow, choice,
    envelope_options, matcher,
    position::{read_position, write_position},
    reject_error,
    report::{self, Account},
};

/// Definitions in; turns of sources in, record batches out. See `metricsieve_core::Follower`.
#[pyclass(frozen, module = "metricsieve._native")]
pub(crate) struct Follower(Mutex<CoreFollower>);

#[pymethods]
impl Follower {
    #[new]
    #[pyo3(signature = (definitions, *, normalize, number, on_reject, line_numbers, columns, strings, batch_rows,
        max_record_bytes, patterns=None, context=None, envelope=None, message_key=None, timezone=None, strategy=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python constructor")]
    fn new(
        py: Python<'_>,
        definitions: Vec<DefinitionArg>,
        normalize: &str,
        number: &str,
        on_reject: &str,
        line_numbers: bool,
        columns: Option<Vec<String>>,
        strings: &str,
        batch_rows: usize,
        max_record_bytes: usize,
        patterns: Option<Vec<PyRef<'_, CheckedPattern>>>,
        context: Option<Vec<ContextArg>>,
        envelope: Option<&str>,
        message_key: Option<String>,
        timezone: Option<&str>,
        strategy: Option<&str>,
    ) -> PyResult<Self> {
        let terminal = choice("normalize", normalize, &[("terminal", true), ("none", false)])?;
        let options = ExtractOptions {
            number: choice("number", number, &NUMBERS)?,
            on_reject: choice("on_reject", on_reject, &REJECTS)?,
            max_record_bytes,
            batch_rows: batch_rows.max(1),
            ..ExtractOptions::default()
        };
        let columns =
            ColumnOptions { columns, strings: choice("strings", strings, &STRINGS)?, ..ColumnOptions::default() };
        let matcher = matcher(py, definitions, patterns, context, terminal, strategy)?;
        let envelope = envelope_options(envelope, message_key, timezone)?;
        let follower = CoreFollower::new(matcher, columns, options, envelope, line_numbers);
        follower.map(|follower| Self(Mutex::new(follower))).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn schema_capsule<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        arrow::schema_capsule(py, self.lock(py).schema())
    }

    /// Adds a source; gives its index.
    fn add_source(&self, py: Python<'_>, label: &str) -> usize {
        self.lock(py).add_source(label)
    }

    /// One turn: the bytes from a position on. Gives the position to go on from; bytes behind it are to be given again.
    ///
    /// `written` is when it was last written to, in microseconds since 1970, for dates without a year.
    ///
    /// `end` is `"open"` where more may come, `"rest"` where it may and nothing came for a while, `"end"` where the source
    /// has ended, `"cut"` where it broke off.
    fn turn<'py>(
        &self,
        py: Python<'py>,
        source: usize,
        position: &Bound<'py, PyDict>,
        bytes: &[u8],
        end: &str,
        written: Option<i64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let end =
            choice("end", end, &[("open", End::Open), ("rest", End::Rest), ("end", End::Whole), ("cut", End::Cut)])?;
        let kinds: Vec<ContextType> = {
            let mut follower = self.lock(py);
            if source >= follower.labels().len() {
                return Err(PyIndexError::new_err(format!("there is no source {source}")));
            }
            follower.matcher().definitions().context().iter().map(|column| column.kind).collect()
        };
        let position = read_position(source, position, &kinds)?;
        let outcome = py.detach(|| {
            let mut follower = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            follower.resume(source, &position, written);
            follower.push(bytes)?;
            match end {
                End::Open => follower.suspend(),
                End::Rest => follower.decide().and_then(|()| follower.suspend()),
                End::Whole => follower.finish(),
                End::Cut => {
                    follower.cut_off()?;
                    let mut position = position;
                    position.offset += bytes.len() as u64;
                    Ok(position)
                }
            }
        });
        match outcome {
            Ok(position) => write_position(py, &position),
            Err(TurnError::Rejected(rejected)) => {
                let mut follower = self.lock(py);
                let matcher = follower.matcher().clone();
                Err(reject_error(&rejected, &matcher, follower.labels().value(source)))
            }
            Err(TurnError::Utf16) => Err(NotFollowedError::new_err("UTF-16 cannot be followed")),
            Err(TurnError::Document) => {
                Err(NotFollowedError::new_err("a JSON document with a list of events cannot be followed"))
            }
            Err(other) => Err(PyValueError::new_err(format!("{other:?}"))),
        }
    }

    /// Rows of the turns so far as `(arrow_schema, arrow_array)`, at most a batch; None when there are none.
    fn next_batch<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let batch = py.detach(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).flush());
        batch.map(|batch| arrow::batch_capsules(py, &batch)).transpose()
    }

    /// Says why a source cannot be read on; None takes it back.
    fn set_error(&self, py: Python<'_>, source: usize, error: Option<String>) {
        self.lock(py).set_error(source, error);
    }

    /// Ends the account's clock.
    fn close(&self, py: Python<'_>) {
        self.lock(py).close();
    }

    /// The account of the turns so far.
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut follower = self.lock(py);
        let (report, labels) = (follower.report(), follower.labels().clone());
        report::to_dict(py, Account { report: &report, definitions: follower.matcher().definitions(), labels: &labels })
    }

    /// The table of rejected texts as `(arrow_schema, arrow_array)`.
    fn rejects<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let mut follower = self.lock(py);
        let (report, labels) = (follower.report(), follower.labels().clone());
        let account = Account { report: &report, definitions: follower.matcher().definitions(), labels: &labels };
        arrow::batch_capsules(py, &report::rejects(account))
    }
}

#[derive(Clone, Copy)]
enum End {
    Open,
    Rest,
    Whole,
    Cut,
}

impl Follower {
    /// Another thread may be inside a turn, so the wait happens without the GIL.
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, CoreFollower> {
        loop {
            match self.0.try_lock() {
                Ok(guard) => return guard,
                Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) => py.detach(|| drop(self.0.lock())),
            }
        }
    }
}
