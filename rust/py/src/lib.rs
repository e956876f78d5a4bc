//! `metricsieve._native`: Python values in, Arrow capsules out. Conversions only.
//!
//! [`Scanner`] wraps [`metricsieve_core::Scan`]. The GIL is released while Rust works; between two
//! slices of work signals are looked at, so that Ctrl-C is never far. Only `metricsieve._engine`
//! imports this module.

mod arrow;
mod follower;
mod parquet;
mod position;
mod report;
mod sources;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use metricsieve_core::{
    ColumnOptions, ContextColumn, ContextType, Definition, DefinitionSet, Envelope, EnvelopeOptions, Error,
    ExtractOptions, Finder, Group, Mark, Matcher, Matches, NumberMode, OnReject, Pattern, Rejected, Scan, ScanError,
    ScanOptions, Strategy, Strings, Syntax, SyntaxKind, Zone,
};
use pyo3::{
    IntoPyObjectExt, create_exception,
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::{PyDict, PyTuple},
};

use follower::Follower;
use parquet::{ParquetEncoder, parquet_encoder};
use position::write_position;
use report::Account;
use sources::Raised;

create_exception!(
    _native,
    PatternError,
    PyValueError,
    "A pattern cannot be used: message, start, end, construct, hint."
);
create_exception!(_native, NotFollowedError, PyValueError, "A source of which no position can be resumed.");
create_exception!(_native, RejectError, PyValueError, "A captured text is no number, and the scan was to end there.");

/// Longest time without a look at signals.
const PATIENCE: Duration = Duration::from_millis(50);

/// Module of the Rust core.
#[pymodule]
mod _native {
    use super::*;

    #[pymodule_export]
    use super::{
        CheckedPattern, Follower, ParquetEncoder, Scanner, check_pattern, envelopes, parquet_encoder, pattern_syntax,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("build_profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
        let leave = wrap_pyfunction!(sources::leave, module)?;
        module.py().import("atexit")?.call_method1("register", (leave,))?;
        module.add("PatternError", module.py().get_type::<PatternError>())?;
        module.add("NotFollowedError", module.py().get_type::<NotFollowedError>())?;
        module.add("RejectError", module.py().get_type::<RejectError>())
    }
}

/// A pattern that was checked, to be used by a scan as it is.
#[pyclass(frozen, module = "metricsieve._native")]
struct CheckedPattern {
    pattern: Pattern,
    finder: OnceLock<Finder>,
}

#[pymethods]
impl CheckedPattern {
    /// The first match in a text: `(start, end, value's start, value's end)` in characters.
    fn find(&self, text: &str) -> Option<(usize, usize, Option<usize>, Option<usize>)> {
        let chars = |byte: usize| text[..byte].chars().count();
        let found = self.finder.get_or_init(|| self.pattern.finder()).find(text)?;
        let value = found.value.map(|value| (chars(value.start), chars(value.end))).unzip();
        Some((chars(found.whole.start), chars(found.whole.end), value.0, value.1))
    }
}

/// Translates and checks one pattern.
#[pyfunction]
fn check_pattern<'py>(
    py: Python<'py>,
    pattern: &str,
    group: Option<GroupArg>,
    terminal: bool,
    engine: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let make = choice("engine", engine, &ENGINES)?;
    let chars = |byte: usize| pattern.get(..byte).map_or(0, |head| head.chars().count());
    let checked = py.detach(|| make(pattern, group.map(Group::from).as_ref(), terminal));
    let checked = checked.map_err(|error| pattern_error(pattern, &error))?;
    let result = PyDict::new(py);
    result.set_item("groups", checked.group_names())?;
    result.set_item("value_group", checked.value_group())?;
    result.set_item("labels", checked.labels())?;
    let warnings = checked.warnings().iter();
    let warnings: Vec<_> =
        warnings.map(|warning| (chars(warning.span.start), chars(warning.span.end), &warning.message)).collect();
    result.set_item("warnings", warnings)?;
    let literals = checked.literals().unwrap_or_default().iter();
    let literals: Vec<_> = literals.map(|literal| String::from_utf8_lossy(literal).into_owned()).collect();
    result.set_item("literals", literals)?;
    result.set_item("direct", checked.is_direct())?;
    result.set_item("backtracking", checked.needs_backtracking())?;
    result.set_item("can_be_empty", checked.can_be_empty())?;
    result.set_item("compiled", Bound::new(py, CheckedPattern { pattern: checked, finder: OnceLock::new() })?)?;
    Ok(result)
}

fn pattern_error(pattern: &str, error: &Error) -> PyErr {
    let chars = |byte: usize| pattern.get(..byte).map_or(0, |head| head.chars().count());
    let span = error.span();
    PatternError::new_err((
        error.message().to_owned(),
        span.as_ref().map(|span| chars(span.start)),
        span.as_ref().map(|span| chars(span.end)),
        error.construct(),
        error.hint().map(str::to_owned),
    ))
}

/// The tree of a pattern: `(kind, start, end, detail, children)`, places in characters.
#[pyfunction]
fn pattern_syntax<'py>(py: Python<'py>, pattern: &str, terminal: bool) -> PyResult<Bound<'py, PyTuple>> {
    let syntax = Pattern::syntax(pattern, terminal).map_err(|error| pattern_error(pattern, &error))?;
    let mut chars = vec![0; pattern.len() + 1];
    for (number, (byte, _)) in pattern.char_indices().enumerate() {
        chars[byte] = number;
    }
    chars[pattern.len()] = pattern.chars().count();
    syntax_tuple(py, &syntax, &chars)
}

fn syntax_tuple<'py>(py: Python<'py>, syntax: &Syntax, chars: &[usize]) -> PyResult<Bound<'py, PyTuple>> {
    let (kind, detail) = match syntax.kind {
        SyntaxKind::Literal(character) => ("literal", character.into_bound_py_any(py)?),
        SyntaxKind::Any => ("any", py.None().into_bound(py)),
        SyntaxKind::Class => ("class", py.None().into_bound(py)),
        SyntaxKind::Assertion => ("assertion", py.None().into_bound(py)),
        SyntaxKind::Group(number) => ("group", number.into_bound_py_any(py)?),
        SyntaxKind::Repeat { min, max, lazy } => ("repeat", (min, max, lazy).into_bound_py_any(py)?),
        SyntaxKind::Concat => ("concat", py.None().into_bound(py)),
        SyntaxKind::Alternation => ("alternation", py.None().into_bound(py)),
    };
    let children = syntax.children.iter().map(|child| syntax_tuple(py, child, chars));
    let children = PyTuple::new(py, children.collect::<PyResult<Vec<_>>>()?)?;
    (kind, chars[syntax.span.start], chars[syntax.span.end], detail, children).into_pyobject(py)
}

#[derive(FromPyObject)]
enum GroupArg {
    Number(usize),
    Name(String),
}

impl From<GroupArg> for Group {
    fn from(group: GroupArg) -> Self {
        match group {
            GroupArg::Number(number) => Group::Number(number),
            GroupArg::Name(name) => Group::Name(name),
        }
    }
}

fn choice<T: Copy>(option: &str, value: &str, choices: &[(&str, T)]) -> PyResult<T> {
    let found = choices.iter().find(|(name, _)| *name == value).map(|(_, choice)| *choice);
    found.ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("'{name}'")).collect();
        PyValueError::new_err(format!("{option} is '{value}'; it can be {}", names.join(", ")))
    })
}

const NUMBERS: [(&str, NumberMode); 3] =
    [("trim", NumberMode::Trim), ("strict", NumberMode::Strict), ("prefix", NumberMode::Prefix)];

const REJECTS: [(&str, OnReject); 3] =
    [("count", OnReject::Count), ("null", OnReject::Null), ("raise", OnReject::Raise)];

const STRINGS: [(&str, Strings); 2] = [("dictionary", Strings::Dictionary), ("plain", Strings::Plain)];

const STRATEGIES: [(&str, Strategy); 2] =
    [("prefiltered", Strategy::Prefiltered), ("exhaustive", Strategy::Exhaustive)];

/// How a pattern is made for an engine.
type Make = fn(&str, Option<&Group>, bool) -> Result<Pattern, Error>;

const ENGINES: [(&str, Make); 2] = [("linear", Pattern::new), ("backtracking", Pattern::with_backtracking)];

type DefinitionArg = (String, String, Option<GroupArg>, String, Option<String>, String);

fn definition(argument: DefinitionArg) -> PyResult<Definition> {
    let (name, regex, group, matches, number, engine) = argument;
    choice("engine", &engine, &ENGINES)?;
    Ok(Definition {
        name,
        regex,
        group: group.map(Group::from),
        matches: choice(
            "matches",
            &matches,
            &[("first", Matches::First), ("last", Matches::Last), ("all", Matches::All)],
        )?,
        number: number.map(|number| choice("number", &number, &NUMBERS)).transpose()?,
    })
}

fn envelope_options(
    envelope: Option<&str>,
    message_key: Option<String>,
    timezone: Option<&str>,
) -> PyResult<EnvelopeOptions> {
    Ok(EnvelopeOptions {
        envelope: envelope.map(known_envelope).transpose()?,
        message_key: message_key.map(Into::into),
        zone: timezone.map_or(Ok(Zone::default()), zone)?,
    })
}

fn known_envelope(name: &str) -> PyResult<Envelope> {
    choice("envelope", name, &Envelope::ALL.map(|envelope| (envelope.name(), envelope)))
}

fn zone(name: &str) -> PyResult<Zone> {
    let example = "name one of the tz database, such as 'Europe/Berlin', or an offset, such as '+02:00'";
    Zone::new(name).ok_or_else(|| PyValueError::new_err(format!("timezone is '{name}', which is none: {example}")))
}

/// The names of what may wrap messages.
#[pyfunction]
fn envelopes() -> Vec<&'static str> {
    Envelope::ALL.map(Envelope::name).into()
}

/// A context column: its name, its patterns, the name of its type.
type ContextArg = (String, Vec<String>, String);

fn context_column((name, regexes, kind): ContextArg) -> PyResult<ContextColumn> {
    let kinds = [ContextType::Int64, ContextType::Float64, ContextType::String].map(|kind| (kind.name(), kind));
    Ok(ContextColumn { kind: choice("type", &kind, &kinds)?, name, regexes })
}

/// Compiles definitions and context columns; what only all of them together tell is an error here.
fn matcher(
    py: Python<'_>,
    definitions: Vec<DefinitionArg>,
    patterns: Option<Vec<PyRef<'_, CheckedPattern>>>,
    context: Option<Vec<ContextArg>>,
    terminal: bool,
    strategy: Option<&str>,
) -> PyResult<Arc<Matcher>> {
    let strategy = strategy.map_or(Ok(Strategy::Prefiltered), |name| choice("strategy", name, &STRATEGIES))?;
    let definitions = definitions.into_iter().map(definition).collect::<PyResult<Vec<_>>>()?;
    let patterns: Option<Vec<Pattern>> =
        patterns.map(|patterns| patterns.iter().map(|checked| checked.pattern.clone()).collect());
    if patterns.as_ref().is_some_and(|patterns| patterns.len() != definitions.len()) {
        return Err(PyValueError::new_err("there must be one pattern a definition"));
    }
    let context = context.unwrap_or_default().into_iter().map(context_column).collect::<PyResult<Vec<_>>>()?;
    let matcher = py.detach(|| {
        let set = match &patterns {
            Some(patterns) => DefinitionSet::from_patterns(definitions, patterns, terminal),
            None => DefinitionSet::new(definitions, terminal),
        };
        let set = set.and_then(|set| set.with_context(context)).map_err(|errors| {
            let line = |error: &Error| match error.definition() {
                Some(index) => format!("definition {index}: {error}"),
                None => error.to_string(),
            };
            errors.iter().map(line).collect::<Vec<_>>().join("\n")
        })?;
        Ok(Arc::new(Matcher::new(Arc::new(set), strategy)))
    });
    matcher.map_err(|message: String| PyValueError::new_err(message))
}

/// The error of a captured text that is no number, with `on_reject` set to raise.
fn reject_error(rejected: &Rejected, matcher: &Matcher, label: &str) -> PyErr {
    let reject = &rejected.reject;
    RejectError::new_err(format!(
        "definition '{}' captured {:?} in {label}:{} (byte {}), which is no point: {}",
        matcher.definitions().definitions()[reject.definition].name,
        reject.text.as_deref().unwrap_or_default(),
        reject.line,
        rejected.byte,
        reject.reason.name(),
    ))
}

fn account(scan: &Scan) -> Account<'_> {
    Account { report: scan.report(), definitions: scan.matcher().definitions(), labels: scan.labels() }
}

/// See [`Scanner::take_marks`].
type MarkTuple<'py> = (u64, u64, usize, u64, Option<Bound<'py, PyDict>>, bool);

/// A scan: definitions and sources in, record batches out.
#[pyclass(frozen, module = "metricsieve._native")]
struct Scanner {
    scan: Mutex<Scan>,
    raised: Raised,
    /// The thread that is inside the scan: its sources may call back.
    inside: Mutex<Option<ThreadId>>,
    bytes_read: Arc<AtomicU64>,
    total: Option<u64>,
    process: u32,
}

#[pymethods]
impl Scanner {
    #[new]
    #[pyo3(signature = (definitions, sources, *, normalize, number, on_reject, line_numbers, columns, strings, ordered,
        threads, batch_rows, max_record_bytes, patterns=None, context=None, envelope=None, message_key=None, timezone=None, strategy=None, block_bytes=None, split_bytes=None, marks=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python constructor")]
    fn new(
        py: Python<'_>,
        definitions: Vec<DefinitionArg>,
        sources: &Bound<'_, PyAny>,
        normalize: &str,
        number: &str,
        on_reject: &str,
        line_numbers: bool,
        columns: Option<Vec<String>>,
        strings: &str,
        ordered: bool,
        threads: Option<usize>,
        batch_rows: usize,
        max_record_bytes: usize,
        patterns: Option<Vec<PyRef<'_, CheckedPattern>>>,
        context: Option<Vec<ContextArg>>,
        envelope: Option<&str>,
        message_key: Option<String>,
        timezone: Option<&str>,
        strategy: Option<&str>,
        block_bytes: Option<usize>,
        split_bytes: Option<u64>,
        marks: bool,
    ) -> PyResult<Self> {
        // Input order is one of the orders that `ordered=False` allows.
        let _ = ordered;
        let terminal = choice("normalize", normalize, &[("terminal", true), ("none", false)])?;
        let defaults = ScanOptions::default();
        let options = ScanOptions {
            extract: ExtractOptions {
                number: choice("number", number, &NUMBERS)?,
                on_reject: choice("on_reject", on_reject, &REJECTS)?,
                max_record_bytes,
                block_bytes: block_bytes.unwrap_or(defaults.extract.block_bytes).max(1),
                batch_rows: batch_rows.max(1),
                ..defaults.extract
            },
            envelope: envelope_options(envelope, message_key, timezone)?,
            columns: ColumnOptions {
                columns,
                strings: choice("strings", strings, &STRINGS)?,
                ..ColumnOptions::default()
            },
            threads: threads.unwrap_or(0),
            split_bytes: split_bytes.unwrap_or(defaults.split_bytes),
            line_numbers,
            stop_on_source_error: false,
            marks,
        };
        let matcher = matcher(py, definitions, patterns, context, terminal, strategy)?;
        let kinds: Vec<_> = matcher.definitions().context().iter().map(|column| column.kind).collect();
        let raised = Raised::default();
        let (sources, total) = sources::convert(sources, &raised, &kinds)?;
        let scan = py.detach(|| Scan::new(matcher, sources, options).map_err(|error| error.to_string()));
        let scan = scan.map_err(PyValueError::new_err)?;
        let bytes_read = scan.bytes_read();
        Ok(Self {
            scan: Mutex::new(scan),
            raised,
            inside: Mutex::default(),
            bytes_read,
            total,
            process: std::process::id(),
        })
    }

    fn schema_capsule<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        arrow::schema_capsule(py, self.lock(py)?.schema())
    }

    /// The next batch as `(arrow_schema, arrow_array)`; None at the end.
    fn next_batch<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        if self.process != std::process::id() {
            return Err(PyRuntimeError::new_err(
                "this scan was started before the process forked; start a new scan in the child",
            ));
        }
        loop {
            self.refuse_reentry()?;
            let (outcome, over) = py.detach(|| {
                let mut scan = self.scan.lock().unwrap_or_else(PoisonError::into_inner);
                self.set_inside(Some(thread::current().id()));
                let outcome = scan.next_batch(PATIENCE);
                self.set_inside(None);
                (outcome, scan.is_over())
            });
            if let Some(error) = self.raised.take() {
                self.close(py)?;
                return Err(error);
            }
            match outcome {
                Ok(Some(batch)) => return arrow::batch_capsules(py, &batch).map(Some),
                Ok(None) if over => return Ok(None),
                Ok(None) => py.check_signals()?,
                Err(error) => return Err(self.error(py, error)),
            }
        }
    }

    /// Places that the rows so far have come to and that were not taken yet, where `marks` asked for them:
    /// `(rows, bytes, source, offset, position, is_failed)`. There are so many rows of all sources before it, and so many
    /// bytes were read; the position is None at the source's end, which may have failed.
    fn take_marks<'py>(&self, py: Python<'py>) -> PyResult<Vec<MarkTuple<'py>>> {
        let marks = self.lock(py)?.take_marks();
        let tuple = |mark: Mark| {
            let position = mark.position.map(|position| write_position(py, &position)).transpose()?;
            Ok((mark.rows, mark.bytes, mark.source, mark.offset, position, mark.is_failed))
        };
        marks.into_iter().map(tuple).collect()
    }

    /// The account so far.
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        report::to_dict(py, account(&*self.lock(py)?))
    }

    /// The table of rejected texts as `(arrow_schema, arrow_array)`.
    fn rejects<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        arrow::batch_capsules(py, &report::rejects(account(&*self.lock(py)?)))
    }

    /// Raw bytes read, and how many there are where that is known.
    ///
    /// Never waits, so that another thread may draw it while this one works.
    fn progress(&self) -> (u64, Option<u64>) {
        (self.bytes_read.load(Ordering::Relaxed), self.total)
    }

    /// Stops the scan and lets go of its sources.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.lock(py)?.close();
        Ok(())
    }
}

impl Scanner {
    fn set_inside(&self, thread: Option<ThreadId>) {
        *self.inside.lock().unwrap_or_else(PoisonError::into_inner) = thread;
    }

    /// A source that calls its own scan would wait for itself for ever.
    fn refuse_reentry(&self) -> PyResult<()> {
        let inside = *self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside == Some(thread::current().id()) {
            return Err(PyRuntimeError::new_err("a source cannot use the scan that is reading it"));
        }
        Ok(())
    }

    /// Another thread may hold the scan while it works, so the wait happens without the GIL.
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Scan>> {
        self.refuse_reentry()?;
        loop {
            match self.scan.try_lock() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                // The guard cannot cross `detach`; wait there, then try again.
                Err(TryLockError::WouldBlock) => py.detach(|| drop(self.scan.lock())),
            }
        }
    }

    fn error(&self, py: Python<'_>, error: ScanError) -> PyErr {
        let scan = match self.lock(py) {
            Ok(scan) => scan,
            Err(error) => return error,
        };
        match error {
            ScanError::Rejected(rejected) => {
                reject_error(&rejected, scan.matcher(), scan.labels().value(rejected.reject.source))
            }
            ScanError::Source { error, .. } => error.into(),
            other => PyRuntimeError::new_err(format!("{other:?}")),
        }
    }
}
