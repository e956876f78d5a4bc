//! Points on their way to Arrow: columns of plain values.
//!
//! [`Rows`] is what one thread fills while it reads and what travels to the consumer, who writes them to
//! the columns of a record batch (`batch`).

use std::{
    iter::repeat_n,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    context::{ContextType, ContextValue},
    event::Origin,
};

/// Lists of points that are kept for reuse: what one thread may be ahead.
const MAX_SPARE: usize = 64;

/// Text values, possibly null, one buffer for all.
#[derive(Debug, Clone)]
pub(crate) struct Strings {
    pub bytes: Vec<u8>,
    /// End of each value; `offsets[0]` is 0.
    pub offsets: Vec<i32>,
    pub valid: Vec<bool>,
}

impl Default for Strings {
    fn default() -> Self {
        Self { bytes: Vec::new(), offsets: vec![0], valid: Vec::new() }
    }
}

impl Strings {
    pub fn push(&mut self, text: Option<&str>) {
        self.bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
        self.offsets.push(self.bytes.len() as i32);
        self.valid.push(text.is_some());
    }

    /// Adds some of the values of `other`.
    pub fn extend(&mut self, other: &Strings, values: Range<usize>) {
        let (begin, end) = (other.offsets[values.start], other.offsets[values.end]);
        let moved = self.bytes.len() as i32 - begin;
        self.bytes.extend_from_slice(&other.bytes[begin as usize..end as usize]);
        self.offsets.extend(other.offsets[values.start + 1..=values.end].iter().map(|offset| offset + moved));
        self.valid.extend_from_slice(&other.valid[values]);
    }
}

/// Values of a context column, a default where there is none.
#[derive(Debug, Clone)]
pub(crate) enum ContextValues {
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    String(Strings),
}

impl ContextValues {
    pub fn new(kind: ContextType) -> Self {
        match kind {
            ContextType::Int64 => Self::Int64(Vec::new()),
            ContextType::Float64 => Self::Float64(Vec::new()),
            ContextType::String => Self::String(Strings::default()),
        }
    }

    /// Adds a value so many times.
    pub fn push(&mut self, value: Option<&ContextValue>, count: usize) {
        match (self, value) {
            (Self::Int64(values), Some(ContextValue::Int64(value))) => values.extend(repeat_n(*value, count)),
            (Self::Int64(values), None) => values.extend(repeat_n(0, count)),
            (Self::Float64(values), Some(ContextValue::Float64(value))) => values.extend(repeat_n(*value, count)),
            (Self::Float64(values), None) => values.extend(repeat_n(0.0, count)),
            (Self::String(values), Some(ContextValue::String(value))) => {
                (0..count).for_each(|_| values.push(Some(value)))
            }
            (Self::String(values), None) => (0..count).for_each(|_| values.push(None)),
            _ => unreachable!("a column has one type"),
        }
    }

    /// Bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::String(strings) => strings.bytes.len(),
            _ => 0,
        }
    }
}

/// A column of which neighbouring rows often have the same: these are one run.
#[derive(Debug, Clone)]
pub(crate) struct Runs<T> {
    runs: Vec<Run<T>>,
    text_bytes: usize,
}

/// Neighbouring rows with the same.
#[derive(Debug, Clone)]
struct Run<T> {
    /// The first row behind it.
    end: usize,
    holds: T,
}

/// What the rows of a run of a context column hold.
#[derive(Debug, Clone)]
pub(crate) enum Holds {
    Null,
    Value(ContextValue),
    /// What was carried to the unit for records of this origin: only the consumer knows it.
    Open(Arc<Origin>),
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self { runs: Vec::new(), text_bytes: 0 }
    }
}

impl<T> Runs<T> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.runs.last().map_or(0, |run| run.end)
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// What the last row holds.
    pub fn last(&self) -> Option<&T> {
        self.runs.last().map(|run| &run.holds)
    }

    /// Adds rows with the same as the last one.
    pub fn repeat(&mut self, count: usize) {
        if let Some(run) = self.runs.last_mut() {
            run.end += count;
        }
    }

    /// The runs of some rows, each with how many of these it has.
    pub fn of(&self, rows: Range<usize>) -> impl Iterator<Item = (&T, usize)> {
        let first = self.runs.partition_point(|run| run.end <= rows.start);
        self.runs[first..].iter().scan(rows.start, move |at, run| {
            let count = run.end.min(rows.end) - *at;
            *at += count;
            (count > 0).then_some((&run.holds, count))
        })
    }

    fn begin(&mut self, holds: T, count: usize, text_bytes: usize) {
        self.runs.push(Run { end: self.len() + count, holds });
        self.text_bytes += text_bytes;
    }

    /// Bytes held, about.
    fn size(&self) -> usize {
        self.runs.len() * size_of::<Run<T>>() + self.text_bytes
    }
}

impl Runs<Holds> {
    /// Adds a row.
    pub fn push(&mut self, holds: Holds) {
        let bytes = if let Holds::Value(ContextValue::String(text)) = &holds { text.len() } else { 0 };
        self.begin(holds, 1, bytes);
    }
}

impl Runs<Origin> {
    /// Adds the row of this number; nothing is known of rows before it that were not added.
    pub fn add(&mut self, row: usize, origin: &Origin) {
        let missing = row - self.len();
        match self.last() {
            _ if missing == 0 => {}
            Some(last) if !last.is_known() => self.repeat(missing),
            _ => self.begin(Origin::default(), missing, 0),
        }
        match self.last() {
            Some(last) if last == origin => self.repeat(1),
            _ => {
                let Origin { job, host, stream, .. } = origin;
                let texts = [job, host, stream].into_iter().flatten();
                self.begin(origin.clone(), 1, texts.map(|text| text.len()).sum());
            }
        }
    }
}

/// What every row has, kept together: one place to write to for a point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// NaN where the row is not valid.
    pub value: f64,
    pub line: u64,
    pub offset: u64,
    pub definition: u32,
    /// Number of the match among those of the definition in its record.
    pub number: u32,
}

/// Rows of one source, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub source: i32,
    pub points: Vec<Point>,
    /// Empty while all values are valid.
    pub valid: Vec<bool>,
    /// Microseconds since 1970, or [`NO_TIME`]; empty while no row has one.
    pub times: Vec<i64>,
    /// Empty where no column asks for it, like all below.
    pub text: Strings,
    pub labels: Vec<Strings>,
    /// No longer than to the last row of which any is known.
    pub origins: Runs<Origin>,
    pub context: Vec<Runs<Holds>>,
}

/// Stands for a time that is not known.
pub(crate) const NO_TIME: i64 = i64::MIN;

/// Memory of points that were copied, for the next ones: the system clears new memory page by page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spare(Arc<Mutex<Vec<Vec<Point>>>>);

impl Spare {
    /// An empty list; where there is none to be reused, with room for so many points.
    pub fn take(&self, room: usize) -> Vec<Point> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(room))
    }

    pub fn give(&self, mut points: Vec<Point>) {
        points.clear();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MAX_SPARE {
            spare.push(points);
        }
    }
}

impl Rows {
    pub fn len(&self) -> usize {
        self.points.len()
    }

    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Bytes held, about: what back-pressure counts.
    pub fn size(&self) -> usize {
        let strings = self.labels.iter().chain([&self.text]);
        self.len() * 48
            + self.origins.size()
            + self.context.iter().map(Runs::size).sum::<usize>()
            + strings.map(|strings| strings.bytes.len() + strings.offsets.len() * 5).sum::<usize>()
    }
}
