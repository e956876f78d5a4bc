//! Many sources, many threads, one ordered stream of record batches.
//!
//! [`Scan`] is what the binding drives. Worker threads claim units in the order of the rows (sources as
//! given, splits inside plain files) and hand over rows; the consumer takes them in that order, adds up
//! line numbers over splits, merges the counts and makes the batches. Workers run ahead until the bytes
//! of undelivered rows reach a budget; the unit at the head never waits, so nothing can lock up.
//! With one thread, and for streams, the consumer does the work itself.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::{
    batch::Batcher,
    error::Error,
    extract::{Emit, ExtractOptions, Extractor, OnReject, Rejected},
    matcher::Matcher,
    report::{Report, Tally},
    rows::Rows,
    schema::{ColumnOptions, Columns},
    source::Pool,
    unit::{self, Source, Step, Unit},
};

/// Undelivered rows, in bytes and per thread, at which workers wait.
const AHEAD_BYTES: usize = 24 << 20;
/// What the consumer takes at once, in units and in bytes of rows: with many small sources, taking them one at
/// a time would cost more than reading them.
const TAKE_UNITS: usize = 256;
const TAKE_BYTES: usize = 4 << 20;
/// What the account of a unit counts for beside its rows.
const ACCOUNT_BYTES: usize = 1 << 10;
/// A worker without work looks again after this time, or when something changes.
const IDLE: Duration = Duration::from_millis(20);

/// How a scan runs; none of it changes a row.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// How bytes become rows.
    pub extract: ExtractOptions,
    /// The columns.
    pub columns: ColumnOptions,
    /// Worker threads; 0 for as many as there are cores, 1 for none beside the caller's.
    pub threads: usize,
    /// Plain files are cut into pieces of this size. Default 16 MiB.
    pub split_bytes: u64,
    /// Whether the `line` column is filled.
    pub line_numbers: bool,
    /// Whether the first source that cannot be read ends the scan.
    pub stop_on_source_error: bool,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            extract: ExtractOptions::default(),
            columns: ColumnOptions::default(),
            threads: 0,
            split_bytes: 16 << 20,
            line_numbers: true,
            stop_on_source_error: false,
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

/// A running scan: an ordered stream of record batches.
pub struct Scan {
    shared: Arc<Shared>,
    batcher: Batcher,
    batch_rows: usize,
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
    rows: Rows,
    report: Report,
    state: Progress,
    labels: Arc<Vec<String>>,
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

struct Shared {
    queue: Mutex<Queue>,
    /// Something was produced.
    produced: Condvar,
    /// Room came free, or work became ready.
    changed: Condvar,
    stop: AtomicBool,
    bytes_read: Arc<AtomicU64>,
    pool: Arc<Pool>,
    labels: Arc<Vec<String>>,
}

/// Results of a unit, on their way to the batches.
struct Taken {
    source: usize,
    rows: VecDeque<Rows>,
    /// The unit's account when it is through, and whether it is the source's last.
    end: Option<(Ended, bool)>,
}

struct Queue {
    /// Each until it is claimed; all before `next` are.
    sources: Vec<Option<Source>>,
    next: usize,
    ready: BTreeMap<(usize, usize), Unit>,
    /// Number of units of each source that has more than one and is not delivered.
    splits: BTreeMap<usize, usize>,
    results: BTreeMap<(usize, usize), Output>,
    head: (usize, usize),
    undelivered: usize,
    budget: usize,
    /// Who waits. A condition variable makes a system call for every notice, even if nobody hears it.
    consumer_waits: bool,
    workers_wait: usize,
}

#[derive(Default)]
struct Output {
    rows: VecDeque<Rows>,
    end: Option<Ended>,
}

struct Ended {
    tally: Tally,
    error: Option<io::Error>,
    rejected: Option<Rejected>,
}

enum Claim {
    Unit(Unit),
    Source(usize, Source),
    Nothing,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Hands rows over; waits while too many are undelivered. False when the scan was stopped.
    fn deliver(&self, place: (usize, usize), rows: Rows) -> bool {
        let size = rows.size();
        let mut queue = self.lock();
        while queue.undelivered > 0 && queue.undelivered + size > queue.budget && queue.head != place {
            if self.stopped() {
                return false;
            }
            queue.workers_wait += 1;
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.workers_wait -= 1;
        }
        queue.undelivered += size;
        queue.results.entry(place).or_default().rows.push_back(rows);
        self.tell_consumer(queue, place);
        !self.stopped()
    }

    fn end(&self, place: (usize, usize), ended: Ended) {
        let mut queue = self.lock();
        queue.undelivered += ACCOUNT_BYTES;
        queue.results.entry(place).or_default().end = Some(ended);
        self.tell_consumer(queue, place);
    }

    /// The consumer waits for the results of one place; others would wake it for nothing.
    fn tell_consumer(&self, queue: MutexGuard<'_, Queue>, place: (usize, usize)) {
        let waits = queue.consumer_waits && queue.head == place;
        drop(queue);
        if waits {
            self.produced.notify_one();
        }
    }

    fn tell_workers(&self, queue: MutexGuard<'_, Queue>) {
        let wait = queue.workers_wait > 0;
        drop(queue);
        if wait {
            self.changed.notify_all();
        }
    }

    /// The unit to work on: the claimed one, or the first of the source that is opened for it.
    fn take_up(&self, claim: Claim, split_bytes: u64) -> Option<Unit> {
        match claim {
            Claim::Unit(unit) => Some(unit),
            Claim::Source(index, source) => {
                let units = guarded(|| unit::open(index, &self.labels[index], source, split_bytes, &self.pool))
                    .unwrap_or_else(Err);
                self.opened(index, units)
            }
            Claim::Nothing => None,
        }
    }

    /// Registers the units of a source that was opened; the first is returned to be worked on.
    fn opened(&self, source: usize, units: io::Result<Vec<Unit>>) -> Option<Unit> {
        match units {
            Ok(units) => {
                let splits = units.len();
                let mut units = units.into_iter();
                let first = units.next();
                if splits > 1 {
                    let mut queue = self.lock();
                    queue.splits.insert(source, splits);
                    queue.ready.extend(units.map(|unit| ((unit.source, unit.split), unit)));
                    self.tell_workers(queue);
                }
                first
            }
            Err(error) => {
                let tally = Tally { encoding: "unknown", compression: "unknown", ..Tally::default() };
                self.end((source, 0), Ended { tally, error: Some(error), rejected: None });
                None
            }
        }
    }
}

impl Queue {
    /// Takes what there is at the head, and behind it as long as units are through.
    fn take(&mut self, taken: &mut VecDeque<Taken>) {
        let mut bytes = 0;
        while taken.len() < TAKE_UNITS && bytes < TAKE_BYTES {
            let (source, split) = self.head;
            let Some(output) = self.results.get_mut(&self.head) else { return };
            let mut rows = VecDeque::new();
            while bytes < TAKE_BYTES
                && let Some(next) = output.rows.pop_front()
            {
                bytes += next.size();
                self.undelivered -= next.size();
                rows.push_back(next);
            }
            if !output.rows.is_empty() {
                return taken.push_back(Taken { source, rows, end: None });
            }
            let end = output.end.take();
            self.results.remove(&self.head);
            let Some(end) = end else {
                return taken.push_back(Taken { source, rows, end: None });
            };
            self.undelivered -= ACCOUNT_BYTES;
            let last = split + 1 == self.splits.get(&source).copied().unwrap_or(1);
            if last {
                self.splits.remove(&source);
            }
            self.head = if last { (source + 1, 0) } else { (source, split + 1) };
            taken.push_back(Taken { source, rows, end: Some((end, last)) });
        }
    }

    /// The next unit or source in the order of rows, as long as there is room for results. Whatever is at the
    /// head is claimed all the same.
    fn claim(&mut self, streams: bool) -> Claim {
        let open = |source: &Option<Source>| match source {
            None => false,
            Some(source) => streams || !matches!(source, Source::Stream(_)),
        };
        let ready = self.ready.first_key_value().map(|(place, _)| *place);
        let source = || (self.next..self.sources.len()).find(|index| open(&self.sources[*index]));
        let Some(place) = ready.or_else(|| Some((source()?, 0))) else { return Claim::Nothing };
        if self.undelivered > self.budget && place != self.head {
            return Claim::Nothing;
        }
        match self.ready.pop_first() {
            Some((_, unit)) => Claim::Unit(unit),
            None => self.claim_source(place.0),
        }
    }

    fn claim_source(&mut self, index: usize) -> Claim {
        let claimed = self.sources.get_mut(index).and_then(Option::take);
        while matches!(self.sources.get(self.next), Some(None)) {
            self.next += 1;
        }
        claimed.map_or(Claim::Nothing, |source| Claim::Source(index, source))
    }
}

/// Runs one unit to its end on a worker thread.
fn work(shared: &Shared, extractor: &mut Extractor, mut unit: Unit, block: usize) {
    let place = (unit.source, unit.split);
    unit.begin(extractor);
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
        extractor.cut_off();
    } else if rejected.is_none() {
        extractor.finish(emit);
        rejected = extractor.take_rejected();
    }
    let rows = extractor.take_rows();
    if !rows.is_empty() {
        emit(rows);
    }
    let mut tally = extractor.take_tally();
    let (compression, warning) = unit.end();
    tally.compression = compression;
    tally.warning = warning.or(tally.warning);
    Ended { tally, error, rejected }
}

fn worker(shared: &Shared, mut extractor: Extractor, split_bytes: u64, block: usize) {
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
        let Some(unit) = shared.take_up(claim, split_bytes) else { continue };
        let place = (unit.source, unit.split);
        if let Err(error) = guarded(|| work(shared, &mut extractor, unit, block)) {
            shared.end(place, Ended { tally: extractor.take_tally(), error: Some(error), rejected: None });
        }
    }
}

/// Runs `action`; a panic becomes an error of the source, so that the process lives (fault R14).
fn guarded<T>(action: impl FnOnce() -> T) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(action))
        .map_err(|_| io::Error::other("metricsieve failed here; please report this file and the definitions"))
}

impl Scan {
    /// Starts a scan; the labels are what the `source` column says.
    ///
    /// Nothing is opened yet. An unknown column name is an error.
    pub fn new(matcher: Arc<Matcher>, sources: Vec<(String, Source)>, options: ScanOptions) -> Result<Self, Error> {
        let set = matcher.definitions().clone();
        let columns = Columns::new(
            &set,
            &ColumnOptions {
                sources: sources.len(),
                nullable_value: options.extract.on_reject == OnReject::Null,
                ..options.columns.clone()
            },
        )?;
        let (labels, inputs): (Vec<String>, Vec<Option<Source>>) =
            sources.into_iter().map(|(label, source)| (label, Some(source))).unzip();
        let labels = Arc::new(labels);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = if options.threads == 0 { cores } else { options.threads };
        let streams_only = inputs.iter().all(|source| matches!(source, Some(Source::Stream(_))));
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                sources: inputs,
                next: 0,
                ready: BTreeMap::new(),
                splits: BTreeMap::new(),
                results: BTreeMap::new(),
                head: (0, 0),
                undelivered: 0,
                budget: AHEAD_BYTES * threads,
                consumer_waits: false,
                workers_wait: 0,
            }),
            produced: Condvar::new(),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            bytes_read: Arc::default(),
            pool: Arc::default(),
            labels: labels.clone(),
        });
        let threads = if threads == 1 || streams_only { 0 } else { threads };
        Ok(Self {
            report: Report::new(&set, labels.len()),
            batcher: Batcher::new(columns, set, &labels, options.line_numbers),
            batch_rows: options.extract.batch_rows.max(1),
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
            rows: Rows::default(),
            state: Progress::Running,
            labels,
        })
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
    pub fn labels(&self) -> &[String] {
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
            if self.rows.len() >= self.batch_rows || (!self.rows.is_empty() && !self.is_running()) {
                return Ok(Some(self.make_batch()));
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
            if Instant::now() >= deadline && self.is_running() && self.rows.len() < self.batch_rows {
                return Ok(None);
            }
        }
    }

    /// Starts the workers; where the system gives none, the consumer does the work.
    fn start(&mut self) {
        for number in 0..std::mem::take(&mut self.unstarted) {
            let (shared, extractor) = (self.shared.clone(), self.extractor());
            let (split, block) = (self.options.split_bytes, self.options.extract.block_bytes);
            let builder = thread::Builder::new().name(format!("metricsieve-{number}"));
            if builder.spawn(move || worker(&shared, extractor, split, block)).is_err() {
                break;
            }
            self.workers += 1;
        }
    }

    fn extractor(&self) -> Extractor {
        Extractor::new(self.matcher.clone(), self.batcher.columns(), self.options.extract)
    }

    fn is_running(&self) -> bool {
        matches!(self.state, Progress::Running)
    }

    /// Whether all batches were delivered.
    pub fn is_over(&self) -> bool {
        matches!(self.state, Progress::Over) && self.rows.is_empty()
    }

    fn make_batch(&mut self) -> RecordBatch {
        let rows = if self.rows.len() <= self.batch_rows {
            std::mem::take(&mut self.rows)
        } else {
            self.rows.split_to(self.batch_rows)
        };
        self.batcher.batch(rows)
    }

    /// Goes on with what was taken from the queue; takes more, or works on it, or waits for it.
    fn advance(&mut self, deadline: Instant) {
        if let Some(mut taken) = self.taken.pop_front() {
            if let Some(rows) = taken.rows.pop_front() {
                self.add(rows);
            }
            if !taken.rows.is_empty() {
                self.taken.push_front(taken);
            } else if let Some((end, last)) = taken.end {
                self.unit_done(taken.source, end, last);
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

    fn add(&mut self, mut rows: Rows) {
        if self.line_base > 0 {
            rows.points.iter_mut().for_each(|point| point.line += self.line_base);
        }
        self.rows.append(rows);
    }

    fn unit_done(&mut self, source: usize, ended: Ended, last: bool) {
        let lf = ended.tally.lf;
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
        if last {
            self.report.source_done(source, self.source_error.take());
            self.line_base = 0;
        }
        if !self.is_running() {
            self.close();
        }
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
            inline.unit = shared.take_up(claim, self.options.split_bytes);
            if let Some(unit) = &inline.unit {
                unit.begin(&mut inline.extractor);
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
            let end = guarded(|| step(&shared, extractor, &mut unit, block, &mut emit)).unwrap_or_else(|error| {
                Some(Ended { tally: extractor.take_tally(), error: Some(error), rejected: None })
            });
            if end.is_none() {
                inline.unit = Some(unit);
            }
            if !out.is_empty() || end.is_some() {
                let mut queue = shared.lock();
                queue.undelivered += out.iter().map(Rows::size).sum::<usize>();
                queue.undelivered += if end.is_some() { ACCOUNT_BYTES } else { 0 };
                let output = queue.results.entry(place).or_default();
                output.rows.append(&mut out);
                output.end = end;
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
