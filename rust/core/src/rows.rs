//! Points on their way to Arrow: columns of plain values.
//!
//! [`Rows`] is what one thread fills while it reads and what travels to the consumer, who rebases
//! the line numbers and makes record batches of it (`batch`).

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

    fn append(&mut self, other: &Strings) {
        let base = self.bytes.len() as i32;
        self.bytes.extend_from_slice(&other.bytes);
        self.offsets.extend(other.offsets[1..].iter().map(|offset| base + offset));
        self.valid.extend_from_slice(&other.valid);
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

/// Rows of one or more sources, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub points: Vec<Point>,
    /// `(source, number of its rows)`, in order.
    pub sources: Vec<(i32, usize)>,
    /// Empty while all values are valid.
    pub valid: Vec<bool>,
    pub text: Strings,
    pub labels: Vec<Strings>,
    /// `job`, `host` and `stream`.
    pub origin: [Strings; 3],
    pub rank: Vec<Option<i32>>,
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

    /// Adds the rows of `other` behind these.
    pub fn append(&mut self, mut other: Rows) {
        if self.is_empty() {
            *self = other;
            return;
        }
        if !(self.valid.is_empty() && other.valid.is_empty()) {
            self.valid.resize(self.len(), true);
            other.valid.resize(other.len(), true);
            self.valid.append(&mut other.valid);
        }
        self.points.append(&mut other.points);
        self.sources.append(&mut other.sources);
        self.rank.append(&mut other.rank);
        self.text.append(&other.text);
        for (mine, theirs) in self.labels.iter_mut().zip(&other.labels) {
            mine.append(theirs);
        }
        for (mine, theirs) in self.origin.iter_mut().zip(&other.origin) {
            mine.append(theirs);
        }
    }

    /// The first `count` rows; the others stay.
    pub fn split_to(&mut self, count: usize) -> Rows {
        let rest = self.split_off(count);
        std::mem::replace(self, rest)
    }

    fn split_off(&mut self, at: usize) -> Rows {
        fn off<T>(values: &mut Vec<T>, at: usize) -> Vec<T> {
            if values.len() > at { values.split_off(at) } else { Vec::new() }
        }
        fn strings(values: &mut Strings, at: usize) -> Strings {
            if values.valid.len() <= at {
                return Strings::default();
            }
            let base = values.offsets[at];
            let offsets = values.offsets[at..].iter().map(|offset| offset - base).collect();
            values.offsets.truncate(at + 1);
            Strings { bytes: values.bytes.split_off(base as usize), offsets, valid: values.valid.split_off(at) }
        }
        Rows {
            points: off(&mut self.points, at),
            sources: split_runs(&mut self.sources, at),
            valid: off(&mut self.valid, at),
            text: strings(&mut self.text, at),
            labels: self.labels.iter_mut().map(|label| strings(label, at)).collect(),
            origin: self.origin.each_mut().map(|origin| strings(origin, at)),
            rank: off(&mut self.rank, at),
        }
    }
}

fn split_runs(runs: &mut Vec<(i32, usize)>, at: usize) -> Vec<(i32, usize)> {
    let mut passed = 0;
    let cut = runs.iter().position(|(_, len)| {
        passed += len;
        passed > at
    });
    let Some(cut) = cut else { return Vec::new() };
    let mut rest = runs.split_off(cut);
    let kept = rest[0].1 - (passed - at);
    rest[0].1 -= kept;
    if kept > 0 {
        runs.push((rest[0].0, kept));
    }
    rest
}
