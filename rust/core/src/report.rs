//! What a scan saw, counted: nothing is dropped without a number here.
//!
//! Threads count into a [`Tally`] per unit of work; the ordered consumer merges the tallies into the
//! [`Report`]. Two equations always hold, and tests check them: records = matched + unmatched +
//! skipped, and for each definition matches = points + rejects.

use std::time::{Duration, Instant};

use crate::{
    context::{Carried, CarriedContext, ContextTallies},
    definition::DefinitionSet,
    value::Reject,
};

/// Examples of rejects per definition and reason.
const EXAMPLES: usize = 3;
/// Bytes of a text that an example shows.
const EXAMPLE_BYTES: usize = 64;
/// Rows of the table of rejects.
pub(crate) const MAX_REJECTS: usize = 10_000;
/// Sources without trouble that the report lists one by one.
const LISTED_SOURCES: usize = 100;
/// Sources with an error that the report lists; their exact number is counted beyond it.
const LISTED_FAILURES: usize = 10_000;
/// Names of the syslog escapes, in the order of [`SourceReport::escapes`].
pub const ESCAPE_NAMES: [&str; 4] = ["tab", "cr", "bs", "esc"];

/// A captured text and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Index of the source.
    pub source: usize,
    /// Physical line, from 1.
    pub line: u64,
    /// At most 64 bytes of the text.
    pub text: String,
}

impl Example {
    pub(crate) fn new(source: i32, line: u64, text: &str) -> Self {
        Self { source: source as usize, line, text: shorten(text).to_owned() }
    }

    /// With so many lines before those that it counts.
    fn rebased(self, line_base: u64) -> Self {
        Self { line: self.line + line_base, ..self }
    }
}

/// The text, cut to what an example shows.
pub(crate) fn shorten(text: &str) -> &str {
    let end = (0..=EXAMPLE_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// A count with the first case in row order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// How often.
    pub count: u64,
    /// The first one.
    pub example: Option<Example>,
}

impl Counted {
    pub(crate) fn add(&mut self, example: impl FnOnce() -> Example) {
        self.count += 1;
        self.example.get_or_insert_with(example);
    }

    pub(crate) fn merge(&mut self, other: Counted, line_base: u64) {
        self.count += other.count;
        if self.example.is_none() {
            self.example = other.example.map(|example| example.rebased(line_base));
        }
    }

    /// The same where the other cases may come from before some of these.
    pub(crate) fn merge_earliest(&mut self, other: Counted, line_base: u64) {
        self.count += other.count;
        let theirs = other.example.map(|example| example.rebased(line_base));
        let mine = self.example.take();
        self.example = mine.into_iter().chain(theirs).min_by_key(|example| (example.source, example.line));
    }
}

/// The values of a definition's points, in row order.
#[derive(Debug, Clone, Copy)]
pub struct Values {
    count: u64,
    first: f64,
    last: f64,
    /// Greater than `max` while there is none.
    min: f64,
    max: f64,
}

impl Default for Values {
    fn default() -> Self {
        Self { count: 0, first: f64::NAN, last: f64::NAN, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Values {
    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first one in row order.
    pub fn first(&self) -> Option<f64> {
        (self.count > 0).then_some(self.first)
    }

    /// The last one in row order.
    pub fn last(&self) -> Option<f64> {
        (self.count > 0).then_some(self.last)
    }

    /// The smallest one, NaN left out.
    pub fn min(&self) -> Option<f64> {
        (self.min <= self.max).then_some(self.min)
    }

    /// The largest one, NaN left out.
    pub fn max(&self) -> Option<f64> {
        (self.min <= self.max).then_some(self.max)
    }

    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.merge(Self { count: 1, first: value, last: value, min: value, max: value });
    }

    /// Adds values that come later. A NaN is neither smaller nor larger than another.
    #[inline]
    fn merge(&mut self, later: Self) {
        if self.count == 0 {
            self.first = later.first;
        }
        if later.count > 0 {
            self.last = later.last;
        }
        self.count += later.count;
        self.min = if later.min < self.min { later.min } else { self.min };
        self.max = if later.max > self.max { later.max } else { self.max };
    }
}

/// What a context column told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextReport {
    /// Rows with a value.
    pub values: u64,
    /// Texts that do not fit the column's type and concern rows: of their own record, or of a later one with no
    /// value in between.
    pub rejects: Counted,
}

/// What one definition found.
#[derive(Debug, Clone, Default)]
pub struct DefinitionReport {
    /// Records that it was tried on; depends on the strategy.
    pub candidates: u64,
    /// Time that took, estimated from every 64th of them; depends on the strategy, too.
    pub cost: Duration,
    /// The accepted ones: the points.
    pub values: Values,
    /// Rejected texts, in the order of [`Reject::ALL`].
    pub rejects: [u64; 3],
    /// The first three of each reason.
    pub reject_examples: [Vec<Example>; 3],
    /// Values from which something other than white space was taken off.
    pub trimmed: Counted,
    /// Those of them with a `%`.
    pub percent: u64,
    /// Values that the text around them shows to be cut short.
    pub truncated: Counted,
    /// Values that are not zero in the text and zero as float64.
    pub underflow: Counted,
    /// Records in which `all` or `last` gave up.
    pub over_budget: Counted,
    /// Bits of the sets of literals it was searched for by; [`Pattern::searched_by`](crate::Pattern::searched_by)
    /// tells the texts.
    pub searched_by: u8,
    /// Sources with a point.
    pub sources_with_points: u64,
    /// The first three sources without one.
    pub sources_without: Vec<usize>,
}

impl DefinitionReport {
    pub(crate) fn reject(&mut self, reason: Reject, example: impl FnOnce() -> Example) {
        self.rejects[reason as usize] += 1;
        let examples = &mut self.reject_examples[reason as usize];
        if examples.len() < EXAMPLES {
            examples.push(example());
        }
    }

    fn merge(&mut self, other: DefinitionReport, line_base: u64) {
        self.candidates += other.candidates;
        self.searched_by |= other.searched_by;
        self.cost += other.cost;
        self.percent += other.percent;
        for (mine, theirs) in self.rejects.iter_mut().zip(other.rejects) {
            *mine += theirs;
        }
        for (mine, theirs) in self.reject_examples.iter_mut().zip(other.reject_examples) {
            let rebased = theirs.into_iter().map(|example| example.rebased(line_base));
            mine.extend(rebased.take(EXAMPLES - mine.len()));
        }
        self.trimmed.merge(other.trimmed, line_base);
        self.truncated.merge(other.truncated, line_base);
        self.underflow.merge(other.underflow, line_base);
        self.over_budget.merge(other.over_budget, line_base);
        self.values.merge(other.values);
    }
}

/// A rejected text: a row of the table of rejects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedText {
    /// Index of the definition.
    pub definition: usize,
    /// At most 64 bytes of the text; None where the group took no part.
    pub text: Option<String>,
    /// Why it is no point.
    pub reason: Reject,
    /// Index of the source.
    pub source: usize,
    /// Physical line, from 1.
    pub line: u64,
    /// Raw byte offset of the record.
    pub offset: u64,
}

/// One source's counts.
#[derive(Debug, Clone, Default)]
pub struct SourceReport {
    /// Index of the source.
    pub source: usize,
    /// Decompressed bytes.
    pub bytes: u64,
    /// Records.
    pub records: u64,
    /// Points.
    pub points: u64,
    /// Syslog escapes read as TAB, CR, BS and ESC.
    pub escapes: [u64; 4],
    /// Whether raw control characters of these kinds stand there, too.
    pub raw_controls: bool,
    /// Name of the compression, `none` for plain text.
    pub compression: &'static str,
    /// Name of the encoding.
    pub encoding: &'static str,
    /// Name of what wraps its messages.
    pub envelope: &'static str,
    /// Points in lines that lack what the wrapping puts there, and events that had to be taken as they are.
    pub foreign: u64,
    /// Points with a time that the zone's clocks showed twice or never.
    pub ambiguous_times: u64,
    /// Why the source was not read to its end.
    pub error: Option<String>,
    /// What looked odd about it.
    pub warning: Option<String>,
}

/// What one thread counted in one unit of work: a source, or a split of one.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub bytes: u64,
    pub lf: u64,
    pub events: u64,
    pub records: u64,
    pub matched: u64,
    pub too_long: u64,
    pub cut_off: u64,
    pub candidates: u64,
    pub escapes: [u64; 4],
    pub raw_controls: bool,
    pub definitions: Vec<(usize, DefinitionReport)>,
    pub rejects: Vec<RejectedText>,
    pub context: ContextTallies,
    /// Rows of lines that lack what the wrapping puts there, and events that had to be taken as they are.
    pub foreign: u64,
    /// Rows with a time that clocks showed twice or never.
    pub ambiguous: u64,
    pub envelope: &'static str,
    pub compression: &'static str,
    pub encoding: &'static str,
    pub warning: Option<String>,
}

/// What the account keeps of one source that is read in turns with others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns {
    current: SourceReport,
    /// Per definition, whether it has a point there; empty before the first turn.
    found: Vec<bool>,
    /// Why the source cannot be read on.
    pub error: Option<String>,
}

/// The account of a scan; live while it runs.
#[derive(Debug, Clone)]
pub struct Report {
    started: Instant,
    elapsed: Option<Duration>,
    /// Decompressed bytes.
    pub bytes: u64,
    /// Physical lines.
    pub events: u64,
    /// Records.
    pub records: u64,
    /// Records that at least one definition matched.
    pub matched: u64,
    /// Records longer than the limit, which were skipped.
    pub too_long: u64,
    /// Records in which a source broke off with an error, which were skipped.
    pub cut_off: u64,
    /// Records that the prefilter named.
    pub candidates: u64,
    /// Per definition, in their order.
    pub definitions: Vec<DefinitionReport>,
    /// The first rejected texts, in row order.
    pub rejects: Vec<RejectedText>,
    /// Per context column, in their order.
    pub context: Vec<ContextReport>,
    /// All sources that failed, and the first hundred others.
    pub sources: Vec<SourceReport>,
    /// Number of sources.
    pub sources_total: u64,
    /// Sources read to their end.
    pub sources_complete: u64,
    /// Sources not read to their end.
    pub sources_failed: u64,
    current: SourceReport,
    found_in_current: Vec<bool>,
    /// Definitions whose list of sources without a point is not full.
    missing: Vec<usize>,
    carried: Carried,
}

impl Report {
    pub(crate) fn new(definitions: &DefinitionSet, sources: usize) -> Self {
        Self {
            started: Instant::now(),
            elapsed: None,
            bytes: 0,
            events: 0,
            records: 0,
            matched: 0,
            too_long: 0,
            cut_off: 0,
            candidates: 0,
            definitions: vec![DefinitionReport::default(); definitions.len()],
            rejects: Vec::new(),
            context: vec![ContextReport::default(); definitions.context().len()],
            sources: Vec::new(),
            sources_total: sources as u64,
            sources_complete: 0,
            sources_failed: 0,
            current: SourceReport::default(),
            found_in_current: vec![false; definitions.len()],
            missing: (0..definitions.len()).collect(),
            carried: Carried::default(),
        }
    }

    /// Records that nothing matched.
    pub fn unmatched(&self) -> u64 {
        self.records - self.matched - self.too_long - self.cut_off
    }

    /// Accepted values of all definitions.
    pub fn points(&self) -> u64 {
        self.definitions.iter().map(|definition| definition.values.count()).sum()
    }

    /// Rejected texts of all definitions.
    pub fn rejected(&self) -> u64 {
        self.definitions.iter().flat_map(|definition| definition.rejects).sum()
    }

    /// Time since the start, until the end.
    pub fn elapsed(&self) -> Duration {
        self.elapsed.unwrap_or_else(|| self.started.elapsed())
    }

    /// Whether the scan came to its end.
    pub fn is_complete(&self) -> bool {
        self.elapsed.is_some()
    }

    pub(crate) fn finish(&mut self) {
        self.elapsed.get_or_insert(self.started.elapsed());
    }

    /// What context columns carry to the unit whose rows come now.
    pub(crate) fn carried(&self) -> &Carried {
        &self.carried
    }

    /// Takes up what the source that comes now carries from what came before its first byte.
    pub(crate) fn carry(&mut self, context: &[CarriedContext]) {
        self.carried.resume(context);
    }

    /// Decompressed bytes of the source whose units come now.
    pub(crate) fn bytes_of_source(&self) -> u64 {
        self.current.bytes
    }

    /// Adds a unit that ended; `line_base` counts the lines of its source before it.
    pub(crate) fn merge(&mut self, tally: Tally, line_base: u64) {
        self.bytes += tally.bytes;
        self.events += tally.events;
        self.records += tally.records;
        self.matched += tally.matched;
        self.too_long += tally.too_long;
        self.cut_off += tally.cut_off;
        self.candidates += tally.candidates;
        for (id, definition) in tally.definitions {
            if definition.values.count() > 0 {
                self.current.points += definition.values.count();
                self.found_in_current[id] = true;
            }
            self.definitions[id].merge(definition, line_base);
        }
        self.carried.unit_done(tally.context, line_base, &mut self.context);
        let room = MAX_REJECTS - self.rejects.len();
        let rebased = tally.rejects.into_iter().map(|reject| RejectedText { line: reject.line + line_base, ..reject });
        self.rejects.extend(rebased.take(room));
        let current = &mut self.current;
        current.bytes += tally.bytes;
        current.records += tally.records;
        current.raw_controls |= tally.raw_controls;
        for (mine, theirs) in current.escapes.iter_mut().zip(tally.escapes) {
            *mine += theirs;
        }
        if current.encoding.is_empty() || tally.encoding != "utf-8" {
            current.encoding = tally.encoding;
        }
        current.compression = tally.compression;
        if current.envelope.is_empty() {
            // Later splits may have no line of their own.
            current.envelope = tally.envelope;
        }
        current.foreign += tally.foreign;
        current.ambiguous_times += tally.ambiguous;
        current.warning = current.warning.take().or(tally.warning);
    }

    /// Adds a turn of one of several sources that are read in turns.
    pub(crate) fn merge_turn(&mut self, tally: Tally, turns: &mut Turns) {
        turns.found.resize(self.found_in_current.len(), false);
        std::mem::swap(&mut self.current, &mut turns.current);
        std::mem::swap(&mut self.found_in_current, &mut turns.found);
        self.merge(tally, 0);
        // What is carried stands in the position that the turn ended with.
        self.carried.source_done();
        std::mem::swap(&mut self.current, &mut turns.current);
        std::mem::swap(&mut self.found_in_current, &mut turns.found);
    }

    /// The account with every source closed as it stands.
    pub(crate) fn with_turns(&self, sources: &[Turns]) -> Self {
        let mut report = self.clone();
        report.sources_total = sources.len() as u64;
        for (source, turns) in sources.iter().enumerate() {
            report.current = turns.current.clone();
            report.found_in_current.fill(false);
            report.found_in_current[..turns.found.len()].copy_from_slice(&turns.found);
            report.source_done(source, turns.error.clone());
        }
        report
    }

    /// Closes the account of a source after its last unit.
    pub(crate) fn source_done(&mut self, source: usize, error: Option<String>) {
        let mut done = std::mem::take(&mut self.current);
        done.source = source;
        self.carried.source_done();
        if done.raw_controls && done.escapes.iter().any(|count| *count > 0) && done.warning.is_none() {
            done.warning = Some("holds both escaped (#011) and raw control characters".into());
        }
        match error {
            Some(error) => {
                self.sources_failed += 1;
                done.error = Some(error);
            }
            None => self.sources_complete += 1,
        }
        for (id, found) in self.found_in_current.iter_mut().enumerate() {
            self.definitions[id].sources_with_points += u64::from(std::mem::take(found));
        }
        let definitions = &mut self.definitions;
        let before = self.sources_complete + self.sources_failed - 1;
        self.missing.retain(|id| {
            let definition = &mut definitions[*id];
            let misses = before + 1 - definition.sources_with_points;
            if misses > definition.sources_without.len() as u64 {
                definition.sources_without.push(source);
            }
            definition.sources_without.len() < EXAMPLES
        });
        let telling = done.error.is_some() || done.warning.is_some();
        let limit = if telling { LISTED_SOURCES + LISTED_FAILURES } else { LISTED_SOURCES };
        if self.sources.len() < limit {
            self.sources.push(done);
        }
    }
}
