//! Many sources, many threads, one ordered stream of record batches.
//!
//! [`Scan`] is what the binding drives. Worker threads claim units in the order of the rows (sources as
//! given, splits inside plain files) and hand over rows; the consumer takes them in that order, adds up
//! line numbers over splits, carries context from one to the next, merges the counts and makes the batches.
//! Workers run ahead until the bytes of undelivered rows reach a budget; the unit at the head never waits, so
//! nothing can lock up.
//! With one thread, and for streams, the consumer does the work itself.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;

use crate::{
    batch::Batcher,
    error::Error,
    extract::{Emit, EnvelopeOptions, ExtractOptions, Extractor, OnReject, Rejected},
    matcher::Matcher,
    position::Position,
    queue::{Claim, Ended, Queue, Shared, Taken, guarded},
    report::{Report, Tally},
    rows::{Rows, Spare},
    schema::{ColumnOptions, Columns},
    unit::{Opening, Source, Sources, Step, Unit},
};

/// A worker without work looks again after this time, or when something changes.
const IDLE: Duration = Duration::from_millis(20);

/// How a scan runs; none of it changes a row.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// How bytes become rows.
    pub extract: ExtractOptions,
    /// What wraps the messages.
    pub envelope: EnvelopeOptions,
    /// The columns.
    pub columns: ColumnOptions,
    /// Worker threads; 0 for as many as there are cores, 1 for none beside the caller's.
    pub threads: usize,
    /// Plain files are cut into pieces of this size. Default 8 MiB.
    pub split_bytes: u64,
    /// Whether the `line` column is filled.
    pub line_numbers: bool,
    /// Whether the first source that cannot be read ends the scan.
    pub stop_on_source_error: bool,
    /// Whether [`take_marks`](Scan::take_marks) tells of places to go on from.
    pub marks: bool,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            extract: ExtractOptions::default(),
            envelope: EnvelopeOptions::default(),
            columns: ColumnOptions::default(),
            threads: 0,
            split_bytes: 8 << 20,
            line_numbers: true,
            stop_on_source_error: false,
            marks: false,
        }
    }
}

/// Why a scan ended before its sources did.
#[derive(Debug)]
#[non_exhaustive]
pub enum ScanError {
    /// A captured text is no number, and `on_reject` says to raise.
    Rejected(Rejected),
    /// A source could not be read to its end, and the scan was to stop there.
    Source {
        /// Index of the source.
        source: usize,
        /// What happened.
        error: io::Error,
    },
}

/// A place that the rows of a scan have come to: the end of a source, or one at which reading can go on.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Rows of the scan before it.
    pub rows: u64,
    /// Decompressed bytes that were read before it, of all sources.
    pub bytes: u64,
    /// Index of the source.
    pub source: usize,
    /// Offset in the source; where nothing failed, its decompressed bytes, if it is the end.
    pub offset: u64,
    /// None at the end of the source.
    pub position: Option<Box<Position>>,
    /// Whether the source was not read to its end.
    pub is_failed: bool,
}

/// A running scan: an ordered stream of record batches.
pub struct Scan {
    shared: Arc<Shared>,
    batcher: Batcher,
    inline: Option<Inline>,
    /// Worker threads to start with the first batch that is asked for.
    unstarted: usize,
    /// Worker threads that were started.
    workers: usize,
    options: ScanOptions,
    matcher: Arc<Matcher>,
    /// Place of the next unit to take results of.
    head: (usize, usize),
    /// What was taken and is not in the report yet.
    taken: VecDeque<Taken>,
    line_base: u64,
    source_error: Option<String>,
    /// Rows on their way to the batch, and the number of those that are in it.
    rows: Option<(Rows, usize)>,
    /// Rows that went to batches.
    passed: u64,
    /// Where sources begin that do not begin with their first byte.
    beginnings: HashMap<usize, Position>,
    marks: Vec<Mark>,
    spare: Spare,
    report: Report,
    state: Progress,
    labels: Arc<StringArray>,
}

enum Progress {
    Running,
    /// The rows before it are delivered first.
    Failed(ScanError),
    Over,
}

/// The consumer's own machine, for streams and for scans without threads.
struct Inline {
    extractor: Extractor,
    unit: Option<Unit>,
}

/// Runs one unit to its end on a worker thread.
fn work(shared: &Shared, extractor: &mut Extractor, mut unit: Unit, block: usize) {
    let place = (unit.source, unit.split);
    unit.begin(extractor, shared.labels.value(unit.source));
    while !shared.stopped() {
        if let Some(ended) = step(shared, extractor, &mut unit, block, &mut |rows| shared.deliver(place, rows)) {
            return shared.end(place, ended);
        }
    }
}

/// Reads and extracts one piece of a unit; gives its account when it is through.
fn step(shared: &Shared, extractor: &mut Extractor, unit: &mut Unit, block: usize, emit: Emit) -> Option<Ended> {
    let (bytes, error) = match unit.step(extractor, block, emit) {
        Ok(Step::Read(bytes)) => {
            shared.bytes_read.fetch_add(bytes, Ordering::Relaxed);
            return None;
        }
        Ok(Step::Done(bytes)) => (bytes, None),
        Ok(Step::Suspended(position)) => return Some(suspend_unit(extractor, unit, position, emit)),
        Ok(Step::Stopped) => (0, None),
        Err(error) => (0, Some(error)),
    };
    shared.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    Some(end_unit(extractor, unit, error, emit))
}

/// What is left of a unit when its bytes are through: the last record, the last rows, the counts.
fn end_unit(extractor: &mut Extractor, unit: &Unit, error: Option<io::Error>, emit: Emit) -> Ended {
    let mut rejected = extractor.take_rejected();
    if error.is_some() {
        extractor.cut_off(emit);
        rejected = rejected.or(extractor.take_rejected());
    } else if rejected.is_none() {
        extractor.finish(emit);
        rejected = extractor.take_rejected();
    }
    let mut tally = last_of(extractor, emit);
    let (compression, warning) = unit.end();
    tally.compression = compression;
    tally.warning = warning.or(tally.warning);
    Ended { tally, error, rejected, reached: unit.reached(), next: None }
}

/// The same for one that was suspended, with the unit that goes on.
fn suspend_unit(extractor: &mut Extractor, unit: &Unit, position: Box<Position>, emit: Emit) -> Ended {
    let rejected = extractor.take_rejected();
    let mut tally = last_of(extractor, emit);
    tally.compression = unit.end().0;
    // What was unwrapped has other line feeds than the source.
    tally.lf = position.line - 1;
    let next = unit.next(&position).map(Box::new);
    Ended { tally, error: None, rejected, reached: Some(position), next }
}

fn last_of(extractor: &mut Extractor, emit: Emit) -> Tally {
    let rows = extractor.take_rows();
    if !rows.is_empty() {
        emit(rows);
    }
    extractor.take_tally()
}

fn worker(shared: &Shared, mut extractor: Extractor, opening: Opening, block: usize) {
    while !shared.stopped() {
        let mut queue = shared.lock();
        let claim = queue.claim(false);
        if matches!(claim, Claim::Nothing) {
            // Another worker may be opening a file that has work for this one.
            queue.workers_wait += 1;
            queue = shared.changed.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner).0;
            queue.workers_wait -= 1;
            continue;
        }
        drop(queue);
        let Some(unit) = shared.take_up(claim, opening) else { continue };
        let place = (unit.source, unit.split);
        if let Err(error) = guarded(|| work(shared, &mut extractor, unit, block)) {
            shared.end(place, Ended::failed(extractor.take_tally(), error));
        }
    }
}

impl Scan {
    /// Starts a scan.
    ///
    /// Nothing is opened yet. An unknown column name is an error.
    pub fn new(matcher: Arc<Matcher>, sources: Sources, options: ScanOptions) -> Result<Self, Error> {
        let set = matcher.definitions().clone();
        let columns = Columns::new(
            &set,
            &ColumnOptions {
                sources: sources.len(),
                nullable_value: options.extract.on_reject == OnReject::Null,
                ..options.columns.clone()
            },
        )?;
        let beginnings = sources.beginnings();
        let (labels, inputs) = sources.into_parts();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = if options.threads == 0 { cores } else { options.threads };
        let streams_only = inputs.iter().all(|source| matches!(source, Some(Source::Stream(_))));
        let shared = Arc::new(Shared::new(labels.clone(), inputs, threads));
        let threads = if threads == 1 || streams_only { 0 } else { threads };
        let mut scan = Self {
            report: Report::new(&set, labels.len()),
            batcher: Batcher::new(columns, set, labels.clone(), options.line_numbers, options.extract.batch_rows),
            inline: None,
            unstarted: threads,
            workers: 0,
            shared,
            options,
            matcher,
            head: (0, 0),
            taken: VecDeque::new(),
            line_base: 0,
            source_error: None,
            rows: None,
            passed: 0,
            beginnings,
            marks: Vec::new(),
            spare: Spare::default(),
            state: Progress::Running,
            labels,
        };
        scan.begin_source(0);
        Ok(scan)
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        self.batcher.columns().schema()
    }

    /// The account so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The labels of the sources.
    pub fn labels(&self) -> &StringArray {
        &self.labels
    }

    /// The compiled definitions.
    pub fn matcher(&self) -> &Arc<Matcher> {
        &self.matcher
    }

    /// Counter of the raw bytes read so far, to be looked at while another thread takes batches.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        self.shared.bytes_read.clone()
    }

    /// Works or waits for the next batch, at most about `patience`. `Ok(None)` when the time is up;
    /// after the end [`is_over`](Self::is_over) is true.
    pub fn next_batch(&mut self, patience: Duration) -> Result<Option<RecordBatch>, ScanError> {
        let deadline = Instant::now() + patience;
        if self.unstarted > 0 {
            self.start();
        }
        loop {
            if self.fill() || (!self.batcher.is_empty() && !self.is_running()) {
                return Ok(Some(self.batcher.finish()));
            }
            match std::mem::replace(&mut self.state, Progress::Over) {
                Progress::Over => return Ok(None),
                Progress::Failed(error) => {
                    self.close();
                    return Err(error);
                }
                Progress::Running => self.state = Progress::Running,
            }
            self.advance(deadline);
            if Instant::now() >= deadline && self.is_running() && !self.fill() {
                return Ok(None);
            }
        }
    }

    /// Starts the workers; where the system gives none, the consumer does the work.
    fn start(&mut self) {
        for number in 0..std::mem::take(&mut self.unstarted) {
            let (shared, extractor) = (self.shared.clone(), self.extractor());
            let (opening, block) = (self.opening(), self.options.extract.block_bytes);
            let builder = thread::Builder::new().name(format!("metricsieve-{number}"));
            if builder.spawn(move || worker(&shared, extractor, opening, block)).is_err() {
                break;
            }
            self.workers += 1;
        }
    }

    fn extractor(&self) -> Extractor {
        let ScanOptions { extract, envelope, .. } = &self.options;
        let (matcher, spare) = (self.matcher.clone(), self.spare.clone());
        Extractor::new(matcher, self.batcher.columns(), *extract, envelope.clone(), spare)
    }

    fn opening(&self) -> Opening {
        let ScanOptions { split_bytes, marks, ref envelope, .. } = self.options;
        Opening { split_bytes, envelope: envelope.envelope, marks }
    }

    fn is_running(&self) -> bool {
        matches!(self.state, Progress::Running)
    }

    /// Whether all batches were delivered.
    pub fn is_over(&self) -> bool {
        matches!(self.state, Progress::Over) && self.rows.is_none() && self.batcher.is_empty()
    }

    /// Adds the rows at hand to the batch, as far as it has room; whether it is full.
    fn fill(&mut self) -> bool {
        if !self.batcher.is_full()
            && let Some((rows, passed)) = self.rows.take()
        {
            let before = passed;
            let passed = self.batcher.add(&rows, passed, self.line_base, self.report.carried());
            self.passed += (passed - before) as u64;
            if passed < rows.len() {
                self.rows = Some((rows, passed));
            } else {
                self.spare.give(rows.points);
            }
        }
        self.batcher.is_full()
    }

    /// Goes on with what was taken from the queue; takes more, or works on it, or waits for it.
    fn advance(&mut self, deadline: Instant) {
        if let Some(taken) = self.taken.front_mut() {
            if let Some(rows) = taken.rows.pop_front() {
                self.rows = Some((rows, 0));
            } else if let Some(Taken { source, end: Some((end, last)), .. }) = self.taken.pop_front() {
                self.unit_done(source, end, last);
            }
            return;
        }
        if self.head.0 == self.labels.len() {
            self.report.finish();
            self.state = Progress::Over;
            self.close();
            return;
        }
        if self.takes_part() {
            self.work_inline();
        }
        let shared = self.shared.clone();
        let mut queue = shared.lock();
        if !queue.results.contains_key(&self.head)
            && self.inline.as_ref().is_none_or(|inline| inline.unit.is_none())
            && !self.head_is_stream(&queue)
        {
            let wait = deadline.saturating_duration_since(Instant::now());
            queue.consumer_waits = true;
            queue = shared.produced.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0;
            queue.consumer_waits = false;
        }
        queue.take(&mut self.taken);
        self.head = queue.head;
        if !self.taken.is_empty() {
            shared.tell_workers(queue);
        }
    }

    fn head_is_stream(&self, queue: &Queue) -> bool {
        matches!(queue.sources.get(self.head.0), Some(Some(Source::Stream(_))))
    }

    fn unit_done(&mut self, source: usize, ended: Ended, last: bool) {
        let (lf, is_rejected) = (ended.tally.lf, ended.rejected.is_some());
        self.report.merge(ended.tally, self.line_base);
        let failure = ended.error.as_ref().map(ToString::to_string);
        self.source_error = self.source_error.take().or(failure);
        if let Some(mut rejected) = ended.rejected {
            rejected.reject.line += self.line_base;
            self.state = Progress::Failed(ScanError::Rejected(rejected));
        } else if let Some(error) = ended.error.filter(|_| self.options.stop_on_source_error) {
            self.state = Progress::Failed(ScanError::Source { source, error });
        }
        self.line_base += lf;
        if self.options.marks && !is_rejected {
            self.mark(source, ended.reached, last);
        }
        if last {
            self.report.source_done(source, self.source_error.take());
            self.begin_source(source + 1);
        }
        if !self.is_running() {
            self.close();
        }
    }

    /// Takes up what the source that comes next begins with.
    fn begin_source(&mut self, source: usize) {
        let beginning = self.beginnings.get(&source);
        self.line_base = beginning.map_or(0, |position| position.line - 1);
        if let Some(position) = beginning {
            self.report.carry(&position.context);
        }
    }

    /// Marks the place behind the unit that ended; behind bytes that could not be read there is none but the end.
    fn mark(&mut self, source: usize, reached: Option<Box<Position>>, last: bool) {
        let position = reached.filter(|_| !last && self.source_error.is_none()).map(|mut position| {
            position.line = self.line_base + 1;
            position.context = self.report.carried().suspend();
            position
        });
        if position.is_none() && !last {
            return;
        }
        let beginning = self.beginnings.get(&source).map_or(0, |position| position.offset);
        self.marks.push(Mark {
            rows: self.passed,
            bytes: self.report.bytes,
            source,
            offset: position.as_ref().map_or(beginning + self.report.bytes_of_source(), |position| position.offset),
            position,
            is_failed: last && self.source_error.is_some(),
        });
    }

    /// The places that the rows of the batches so far have come to and that were not taken yet, if they were asked for.
    pub fn take_marks(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.marks)
    }

    /// Whether the head of the queue is the consumer's own work.
    fn takes_part(&self) -> bool {
        if self.inline.as_ref().is_some_and(|inline| inline.unit.is_some()) {
            return true;
        }
        let queue = self.shared.lock();
        !queue.results.contains_key(&self.head) && (self.workers == 0 || self.head_is_stream(&queue))
    }

    /// One step of the unit at the head.
    fn work_inline(&mut self) {
        let shared = self.shared.clone();
        let mut inline = self.inline.take().unwrap_or_else(|| Inline { extractor: self.extractor(), unit: None });
        if inline.unit.is_none() {
            let claim = if self.workers > 0 {
                // Workers do the files; the stream at the head is all there is to do here.
                shared.lock().claim_source(self.head.0)
            } else {
                shared.lock().claim(true)
            };
            inline.unit = shared.take_up(claim, self.opening());
            if let Some(unit) = &mut inline.unit {
                unit.begin(&mut inline.extractor, shared.labels.value(unit.source));
            }
        }
        if let Some(mut unit) = inline.unit.take() {
            let place = (unit.source, unit.split);
            let mut out = VecDeque::new();
            let mut emit = |rows| {
                out.push_back(rows);
                true
            };
            let (extractor, block) = (&mut inline.extractor, self.options.extract.block_bytes);
            let end = guarded(|| step(&shared, extractor, &mut unit, block, &mut emit))
                .unwrap_or_else(|error| Some(Ended::failed(extractor.take_tally(), error)));
            if end.is_none() {
                inline.unit = Some(unit);
            }
            if !out.is_empty() || end.is_some() {
                let mut queue = shared.lock();
                queue.undelivered += out.iter().map(Rows::size).sum::<usize>();
                queue.results.entry(place).or_default().rows.append(&mut out);
                if let Some(ended) = end {
                    queue.end(place, ended);
                }
            }
        }
        self.inline = Some(inline);
    }

    /// Stops the workers and lets go of all sources; rows that were not taken are lost.
    pub fn close(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut queue = self.shared.lock();
        queue.sources.clear();
        queue.ready.clear();
        queue.results.clear();
        drop(queue);
        self.taken.clear();
        self.shared.changed.notify_all();
        if let Some(inline) = &mut self.inline {
            inline.unit = None;
        }
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.close();
    }
}
