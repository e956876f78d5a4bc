//! Points on their way to Arrow: columns of plain values.
//!
//! [`Rows`] is what one thread fills while it reads and what travels to the consumer, who writes them to
//! the columns of a record batch (`batch`).

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
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

    pub fn get(&self, index: usize) -> Option<&str> {
        let range = self.offsets[index] as usize..self.offsets[index + 1] as usize;
        self.valid[index].then(|| std::str::from_utf8(&self.bytes[range]).unwrap_or_default())
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
    /// Empty where no column asks for it, like all below.
    pub text: Strings,
    pub labels: Vec<Strings>,
    /// `job`, `host` and `stream`.
    pub origin: [Strings; 3],
    pub rank: Vec<Option<i32>>,
}

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
        let strings = self.labels.iter().chain(&self.origin).chain([&self.text]);
        self.len() * 48 + strings.map(|strings| strings.bytes.len() + strings.offsets.len() * 5).sum::<usize>()
    }
}
