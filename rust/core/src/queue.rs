//! What the threads of a scan share: sources to claim, units that are ready, results that wait.
//!
//! [`Shared`] is made by the scan. Workers claim from it and hand results over; the consumer takes them in the
//! order of the rows. The unit at the head of that order never waits, so nothing can lock up.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arrow_array::StringArray;

use crate::{
    extract::Rejected,
    position::Position,
    report::Tally,
    rows::Rows,
    source::Pool,
    unit::{self, Opening, Source, Unit},
};

/// Undelivered rows, in bytes and per thread, at which workers wait.
const AHEAD_BYTES: usize = 24 << 20;
/// Undelivered rows, in bytes, for which it is worth waking the consumer while there is work for the workers: a
/// switch of threads for every piece of rows took a fiftieth of the time.
const WORTH_WAKING: usize = 1 << 20;
/// What the consumer takes at once, in units and in bytes of rows: with many small sources, taking them one at
/// a time would cost more than reading them.
const TAKE_UNITS: usize = 256;
const TAKE_BYTES: usize = 4 << 20;
/// What the account of a unit counts for beside its rows.
const ACCOUNT_BYTES: usize = 1 << 10;

pub(crate) struct Shared {
    pub queue: Mutex<Queue>,
    /// Something was produced.
    pub produced: Condvar,
    /// Room came free, or work became ready.
    pub changed: Condvar,
    pub stop: AtomicBool,
    pub bytes_read: Arc<AtomicU64>,
    pub pool: Arc<Pool>,
    pub labels: Arc<StringArray>,
}

/// Results of a unit, on their way to the batches.
pub(crate) struct Taken {
    pub source: usize,
    pub rows: VecDeque<Rows>,
    /// The unit's account when it is through, and whether it is the source's last.
    pub end: Option<(Ended, bool)>,
}

pub(crate) struct Queue {
    /// Each until it is claimed; all before `next` are.
    pub sources: Vec<Option<Source>>,
    pub next: usize,
    pub ready: BTreeMap<(usize, usize), Unit>,
    /// Number of units, as far as they are known, of each source that has more than one and is not delivered.
    pub splits: BTreeMap<usize, usize>,
    pub results: BTreeMap<(usize, usize), Output>,
    pub head: (usize, usize),
    pub undelivered: usize,
    pub budget: usize,
    /// Who waits. A condition variable makes a system call for every notice, even if nobody hears it.
    pub consumer_waits: bool,
    pub workers_wait: usize,
}

#[derive(Default)]
pub(crate) struct Output {
    pub rows: VecDeque<Rows>,
    pub end: Option<Ended>,
}

pub(crate) struct Ended {
    pub tally: Tally,
    pub error: Option<io::Error>,
    pub rejected: Option<Rejected>,
    /// Where the next unit of the source goes on, but for line and context.
    pub reached: Option<Box<Position>>,
    /// The next unit of the source, where it was not known before this one ended.
    pub next: Option<Box<Unit>>,
}

impl Ended {
    /// The end of what could not be read.
    pub fn failed(tally: Tally, error: io::Error) -> Self {
        Self { tally, error: Some(error), rejected: None, reached: None, next: None }
    }
}

pub(crate) enum Claim {
    Unit(Unit),
    Source(usize, Source),
    Nothing,
}

impl Shared {
    /// What `threads` threads share for these sources, before any is opened.
    pub fn new(labels: Arc<StringArray>, sources: Vec<Option<Source>>, threads: usize) -> Self {
        Shared {
            queue: Mutex::new(Queue {
                sources,
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
            labels,
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Hands rows over; waits while too many are undelivered. False when the scan was stopped.
    pub fn deliver(&self, place: (usize, usize), rows: Rows) -> bool {
        let size = rows.size();
        let mut queue = self.lock();
        while queue.undelivered > 0 && queue.undelivered + size > queue.budget && queue.head != place {
            if self.stopped() {
                return false;
            }
            // What is there may be too little for it to have been woken.
            self.produced.notify_one();
            queue.workers_wait += 1;
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.workers_wait -= 1;
        }
        queue.undelivered += size;
        queue.results.entry(place).or_default().rows.push_back(rows);
        self.tell_consumer(queue, false);
        !self.stopped()
    }

    pub fn end(&self, place: (usize, usize), ended: Ended) {
        let mut queue = self.lock();
        let may_end_scan = ended.rejected.is_some() || ended.error.is_some();
        queue.end(place, ended);
        self.tell_consumer(queue, may_end_scan);
    }

    /// The consumer waits for results at the head; others would wake it for nothing.
    fn tell_consumer(&self, queue: MutexGuard<'_, Queue>, is_urgent: bool) {
        let is_worth_it = || is_urgent || queue.undelivered >= WORTH_WAKING || queue.is_claimed();
        let tell = queue.consumer_waits && is_worth_it() && queue.results.contains_key(&queue.head);
        drop(queue);
        if tell {
            self.produced.notify_one();
        }
    }

    pub fn tell_workers(&self, queue: MutexGuard<'_, Queue>) {
        let wait = queue.workers_wait > 0;
        drop(queue);
        if wait {
            self.changed.notify_all();
        }
    }

    /// The unit to work on: the claimed one, or the first of the source that is opened for it.
    pub fn take_up(&self, claim: Claim, opening: Opening) -> Option<Unit> {
        match claim {
            Claim::Unit(unit) => Some(unit),
            Claim::Source(index, source) => {
                let units = guarded(|| unit::open(index, self.labels.value(index), source, opening, &self.pool))
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
                self.end((source, 0), Ended::failed(tally, error));
                None
            }
        }
    }
}

impl Queue {
    /// Takes note of a unit's end, and of the unit that it makes known.
    pub fn end(&mut self, (source, split): (usize, usize), mut ended: Ended) {
        if let Some(unit) = ended.next.take() {
            self.splits.insert(source, split + 2);
            self.ready.insert((source, split + 1), *unit);
        }
        self.undelivered += ACCOUNT_BYTES;
        self.results.entry((source, split)).or_default().end = Some(ended);
    }

    /// Takes what there is at the head, and behind it as long as units are through.
    pub fn take(&mut self, taken: &mut VecDeque<Taken>) {
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

    /// Whether workers will find nothing more to do, or the consumer has to read a stream first.
    fn is_claimed(&self) -> bool {
        self.ready.is_empty() && matches!(self.sources.get(self.next), None | Some(Some(Source::Stream(_))))
    }

    /// The next unit or source in the order of rows, as long as there is room for results. Whatever is at the
    /// head is claimed all the same.
    pub fn claim(&mut self, streams: bool) -> Claim {
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

    pub fn claim_source(&mut self, index: usize) -> Claim {
        let claimed = self.sources.get_mut(index).and_then(Option::take);
        while matches!(self.sources.get(self.next), Some(None)) {
            self.next += 1;
        }
        claimed.map_or(Claim::Nothing, |source| Claim::Source(index, source))
    }
}

/// Runs `action`; a panic becomes an error of the source, so that the process lives (fault R14).
pub(crate) fn guarded<T>(action: impl FnOnce() -> T) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(action))
        .map_err(|_| io::Error::other("metricsieve failed here; please report this file and the definitions"))
}
