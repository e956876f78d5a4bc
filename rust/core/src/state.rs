//! A block's matches to rows and counters.
//!
//! [`State`] is what an [`Extractor`](crate::extract) knows of the source that it reads: where it is, what it found,
//! what is carried on. [`Visit`] takes what the matcher finds in one block to it.

use std::{ops::Range, sync::Arc, time::Duration};

use crate::{
    context::{Context, ContextType},
    definition::MetricId,
    encoding::utf16_len,
    event::{Event, Events, Origin},
    extract::{Emit, EnvelopeOptions, ExtractOptions, OnReject, Rejected},
    matcher::{Cache, InText, Match, Matcher, TIMED, Visitor, Wrapped},
    normalize::Text,
    record::Census,
    report::{DefinitionReport, Example, MAX_REJECTS, RejectedText, Tally, shorten},
    rows::{NO_TIME, Point, Rows, Spare},
    schema::{Column, Columns, SOURCE_LABELS},
    survey::Survey,
    timestamp::Clock,
    value::{self, Number, NumberMode, Reject},
};

/// Columns that tell of a row's event.
const EVENT_COLUMNS: [Column; 5] = [Column::Timestamp, Column::Job, Column::Host, Column::Stream, Column::Rank];
/// Rows that are handed over at once: few enough to be in the second cache still when they are copied.
const HANDOVER_ROWS: usize = 4096;
/// Rows with longer texts than this are handed over before there are enough of them.
const MAX_ROWS_BYTES: usize = 64 << 20;

/// What of a definition is needed to make rows of its matches: group numbers of the columns.
#[derive(Debug)]
struct Metric {
    number: NumberMode,
    labels: Vec<Option<usize>>,
    /// `job`, `host` and `stream`.
    origin: [Option<usize>; 3],
    rank: Option<usize>,
}

/// What a block's matches are written to.
pub(crate) struct State {
    options: ExtractOptions,
    metrics: Vec<Metric>,
    origin: bool,
    texts: bool,
    /// Whether rows have more columns than points do.
    more: bool,
    /// Whether texts of a record's length are among them.
    long: bool,
    source: i32,
    /// Source offset of the buffer's first byte.
    pub offset: u64,
    pub wide: bool,
    pub line: u64,
    pub open_line: bool,
    rows: Rows,
    spare: Spare,
    pub tally: Tally,
    /// The event of the record at hand.
    event: Event,
    /// Whether nothing is known of it.
    is_blank: bool,
    /// Bytes that were unwrapped.
    pub unwrapped: u64,
    pub definitions: Vec<Option<Box<DefinitionReport>>>,
    pub context: Context,
    pub events: Events,
    /// Whether a column tells of the event.
    tells_event: bool,
    pub rejected: Option<Rejected>,
}

impl State {
    pub fn new(
        matcher: &Matcher,
        columns: &Columns,
        options: ExtractOptions,
        envelope: &EnvelopeOptions,
        spare: Spare,
    ) -> Self {
        let set = matcher.definitions().clone();
        let metrics = set.patterns().iter().zip(set.definitions()).map(|(pattern, definition)| {
            let group = |name: &str| pattern.labels.iter().find(|(_, label)| label == name).map(|(group, _)| *group);
            let [job, host, stream, rank] = SOURCE_LABELS.map(group);
            Metric {
                number: definition.number.unwrap_or(options.number),
                labels: set.labels().iter().map(|label| group(label)).collect(),
                origin: [job, host, stream],
                rank,
            }
        });
        let metrics: Vec<Metric> = metrics.collect();
        let origin = metrics.iter().any(|metric| metric.rank.is_some() || metric.origin != [None; 3]);
        let texts = columns.has(&Column::Text);
        let long = origin || texts || !set.labels().is_empty();
        Self {
            options,
            origin,
            texts,
            more: long || !set.context().is_empty(),
            long: long || set.context().iter().any(|column| column.kind == ContextType::String),
            metrics,
            source: 0,
            offset: 0,
            wide: false,
            line: 1,
            open_line: false,
            rows: Rows::default(),
            spare,
            tally: Tally::default(),
            event: Event::default(),
            is_blank: true,
            unwrapped: 0,
            definitions: vec![None; set.len()],
            context: Context::new(set.context()),
            events: Events::new(Clock::new(envelope.zone.clone()), matcher.framing()),
            tells_event: EVENT_COLUMNS.iter().any(|column| columns.has(column)),
            rejected: None,
        }
    }

    /// Starts a source, which was last written to at `written`, in microseconds.
    pub fn begin(&mut self, source: usize, label: &str, written: Option<i64>) {
        self.events.begin(label, written);
        self.context.begin(self.events.own_origin());
        self.tally = Tally { encoding: "utf-8", compression: "none", envelope: "plain", ..Tally::default() };
        self.source = source as i32;
        self.offset = 0;
        self.unwrapped = 0;
        (self.event, self.is_blank) = (Event::default(), true);
        self.wide = false;
        self.line = 1;
        self.open_line = false;
        self.rejected = None;
    }

    fn source_len(&self, text: &[u8]) -> u64 {
        if self.wide { utf16_len(text) } else { text.len() as u64 }
    }

    /// Moves on over bytes that are not matched.
    pub fn pass(&mut self, bytes: &[u8]) {
        self.events.pass(bytes);
        self.offset += self.source_len(bytes);
        self.lines(memchr::memchr_iter(b'\n', bytes).count() as u64, bytes);
    }

    fn lines(&mut self, lf: u64, bytes: &[u8]) {
        self.line += lf;
        self.tally.lf += lf;
        if !self.events.envelope().is_unwrapped() {
            self.tally.events += lf;
        }
        if let Some(last) = bytes.last() {
            self.open_line = *last != b'\n';
        }
    }

    /// The last line ends with the source.
    pub fn end_line(&mut self) {
        let is_open = std::mem::take(&mut self.open_line);
        self.tally.events += u64::from(is_open && !self.events.envelope().is_unwrapped());
    }

    /// Looks at a block and searches it; `survey` is memory for what the look finds.
    pub fn block(
        &mut self,
        matcher: &Matcher,
        cache: &mut Cache,
        block: &[u8],
        survey: &mut Survey,
        emit: Emit,
    ) -> bool {
        let framing = matcher.framing();
        matcher.survey(cache, block, survey);
        if self.source_len(block) > self.options.max_record_bytes as u64 {
            self.count_records_apart(matcher, block);
        } else {
            self.count_controls(block, &survey.census, framing.terminal);
        }
        // Where there is no context it does not matter.
        let is_mixed = self.context.is_wanted() && self.events.is_mixed(block, self.offset);
        self.context.go_home();
        let wrapped = Wrapped { envelope: self.events.envelope(), is_open: self.events.is_open(), is_mixed };
        let (line, offset) = (self.line, self.offset);
        let mut visit = Visit {
            counted: 0,
            line,
            offset,
            state: self,
            block,
            survey,
            emit,
            record: None,
            at: (line, offset),
            go_on: true,
        };
        matcher.block(cache, block, survey, wrapped, &mut visit);
        let go_on = visit.go_on;
        self.events.end_block(block, self.offset);
        self.tally.records += framing.count(block, &survey.census);
        self.offset += self.source_len(block);
        self.lines(survey.census.lf, block);
        go_on
    }

    /// Makes the event of the record at `at` of the block the one at hand.
    #[inline]
    fn take_event(&mut self, block: &[u8], at: usize) {
        if !self.events.is_blank(block, at) {
            self.event.clone_from(self.events.of(block, at, self.offset));
            self.is_blank = false;
        } else if !self.is_blank {
            (self.event, self.is_blank) = (Event::default(), true);
        }
    }

    fn count_controls(&mut self, text: &[u8], census: &Census, terminal: bool) {
        for (total, count) in self.tally.escapes.iter_mut().zip(census.escapes) {
            *total += count;
        }
        if terminal && !self.tally.raw_controls {
            self.tally.raw_controls = census.raw_cr_or_bs || census.raw_esc || memchr::memchr(b'\t', text).is_some();
        }
    }

    /// The block may hold records that are too long: what they hold is not counted.
    fn count_records_apart(&mut self, matcher: &Matcher, block: &[u8]) {
        let framing = matcher.framing();
        let mut from = 0;
        while from < block.len() {
            let end = framing.next_end(block, from);
            let (end, next) = end.map_or((block.len(), block.len()), |end| (end.start, end.next));
            if self.source_len(&block[from..end]) > self.options.max_record_bytes as u64 {
                self.tally.too_long += 1;
            } else {
                let record = &block[from..next];
                self.count_controls(record, &Census::of(record, framing), framing.terminal);
            }
            from = next;
        }
    }

    pub fn take_rows(&mut self) -> Rows {
        // About as many will probably come again; the last record may bring a few more.
        let points = if self.rows.is_empty() { Vec::new() } else { self.spare.take(self.rows.len() * 17 / 16) };
        let next = Rows { points, ..Rows::default() };
        Rows { source: self.source, ..std::mem::replace(&mut self.rows, next) }
    }
}

/// Writes the matches of one block to rows and counters.
struct Visit<'a, 'e> {
    state: &'a mut State,
    block: &'a [u8],
    survey: &'a Survey,
    emit: Emit<'e>,
    /// Line and source offset at `block[counted]`.
    counted: usize,
    line: u64,
    offset: u64,
    /// Where the record begins that is at hand, and its line and offset.
    record: Option<usize>,
    at: (u64, u64),
    go_on: bool,
}

impl Visit<'_, '_> {
    /// Line and offset of a record's first byte; of its event's in unwrapped text.
    fn place(&mut self, at: usize) -> (u64, u64) {
        self.locate(at);
        self.state.events.place(self.offset).unwrap_or((self.line, self.offset))
    }

    /// Moves line and offset on to a record's first byte.
    fn locate(&mut self, at: usize) {
        if at == self.counted {
            return;
        }
        self.line += self.survey.count_lf(self.counted..at);
        self.offset += self.state.source_len(&self.block[self.counted..at]);
        self.counted = at;
    }
}

/// A text of any record of the block that `state` is at, as an example.
fn example<'a>(
    state: &State,
    survey: &'a Survey,
    record: &'a Range<usize>,
    text: Option<&'a str>,
) -> impl FnOnce() -> Example + use<'a> {
    let (source, line) = (state.source, state.line);
    let place = state.events.place(state.offset + record.start as u64);
    move || {
        let line = place.map_or_else(|| line + survey.count_lf(0..record.start), |(line, _)| line);
        Example::new(source, line, text.unwrap_or_default())
    }
}

impl Visitor for Visit<'_, '_> {
    fn admits(&mut self, record: &Range<usize>, block: &[u8]) -> bool {
        self.state.tally.candidates += 1;
        self.fits(record, block)
    }

    fn fits(&self, record: &Range<usize>, block: &[u8]) -> bool {
        let limit = self.state.options.max_record_bytes as u64;
        record.len() as u64 <= limit / 2 || self.state.source_len(&block[record.clone()]) <= limit
    }

    fn look_at(&mut self, record: &Range<usize>) {
        let origin = self.state.events.origin(self.block, record.start, self.state.offset);
        self.state.context.go_to(origin);
    }

    fn context(&mut self, record: &Range<usize>, column: usize, found: Option<InText<'_>>) -> bool {
        let text = found.map(|(text, group)| group.map(|group| &text.text[group]));
        let example = example(self.state, self.survey, record, text.flatten());
        self.state.context.here(column, text, example)
    }

    fn context_before(&mut self, record: &Range<usize>, column: usize, (text, group): InText<'_>) -> bool {
        let text = group.map(|group| &text.text[group]);
        let example = example(self.state, self.survey, record, text);
        self.state.context.before(column, text, example)
    }

    fn nothing_before(&mut self, column: usize) {
        self.state.context.nothing_before(column);
    }

    fn context_passed(&mut self, record: &Range<usize>, column: usize, (text, group): InText<'_>) {
        let origin = self.state.events.origin(self.block, record.start, self.state.offset);
        let text = group.map(|group| &text.text[group]);
        let example = example(self.state, self.survey, record, text);
        self.state.context.passed(origin, column, text, example);
    }

    fn found(&mut self, record: &Range<usize>, text: &Text<'_>, found: &Match<'_>) -> bool {
        if self.record != Some(record.start) {
            self.record = Some(record.start);
            self.at = self.place(record.start);
            if self.state.tells_event {
                self.state.take_event(self.block, record.start);
            }
        }
        let (line, offset) = self.at;
        self.go_on &= self.state.found(line, offset, text, found);
        // One record may fill the labels of thousands of definitions.
        if (self.state.long || !self.state.is_blank) && self.state.rows.size() >= MAX_ROWS_BYTES {
            self.go_on &= (self.emit)(self.state.take_rows());
        }
        self.go_on
    }

    fn timed(&mut self, metric: MetricId, time: Duration) {
        self.state.definitions[metric].get_or_insert_default().cost += time * TIMED;
    }

    fn over_budget(&mut self, record: &Range<usize>, metric: MetricId) {
        let (source, (line, _)) = (self.state.source, self.place(record.start));
        self.state.definitions[metric].get_or_insert_default().over_budget.add(|| Example::new(source, line, ""));
    }

    fn record_done(&mut self, _: &Range<usize>, matched: bool) -> bool {
        let state = &mut *self.state;
        state.context.record_done();
        state.tally.matched += u64::from(matched);
        if state.rejected.is_some() {
            self.go_on = false;
        } else if state.rows.len() >= HANDOVER_ROWS.min(state.options.batch_rows) {
            self.go_on = (self.emit)(state.take_rows());
        }
        self.go_on
    }
}

impl State {
    fn found(&mut self, line: u64, offset: u64, text: &Text<'_>, found: &Match<'_>) -> bool {
        let haystack = text.text.as_bytes();
        let number = match (found.whole, &found.value) {
            (Some(prefix), Some(group)) => value::whole(haystack, group.clone(), prefix),
            _ => value::parse(haystack, found.value.clone(), self.metrics[found.metric].number),
        };
        let number = match number {
            Ok(number) => number,
            Err(reason) => return self.reject(line, offset, text, found, reason),
        };
        let report = self.definitions[found.metric].get_or_insert_default();
        report.values.add(number.value);
        if number.trimmed || number.underflow || value::is_truncated(haystack, &number) {
            self.tell(line, text, found, &number);
        }
        self.row(line, offset, text, found, Some(number.value));
        true
    }

    /// Counts what is odd about a point.
    #[cold]
    fn tell(&mut self, line: u64, text: &Text<'_>, found: &Match<'_>, number: &Number) {
        let captured = found.value.clone().map_or("", |group| &text.text[group]);
        let example = || Example::new(self.source, line, captured);
        let report = self.definitions[found.metric].get_or_insert_default();
        if number.trimmed {
            report.trimmed.add(example);
            report.percent += u64::from(number.percent);
        }
        if number.underflow {
            report.underflow.add(example);
        }
        if value::is_truncated(text.text.as_bytes(), number) {
            report.truncated.add(example);
        }
    }

    /// Counts a captured text that is no number. False ends the extraction.
    #[cold]
    fn reject(&mut self, line: u64, offset: u64, text: &Text<'_>, found: &Match<'_>, reason: Reject) -> bool {
        let captured = found.value.clone().map(|group| &text.text[group]);
        let example = || Example::new(self.source, line, captured.unwrap_or_default());
        self.definitions[found.metric].get_or_insert_default().reject(reason, example);
        let reject = || RejectedText {
            definition: found.metric,
            text: captured.map(|text| shorten(text).to_owned()),
            reason,
            source: self.source as usize,
            line,
            offset,
        };
        if self.tally.rejects.len() < MAX_REJECTS {
            self.tally.rejects.push(reject());
        }
        match self.options.on_reject {
            OnReject::Count => true,
            OnReject::Null => {
                self.row(line, offset, text, found, None);
                true
            }
            OnReject::Raise => {
                let within = found.value.as_ref().map_or(0, |group| text.raw_offset(group.start));
                // Offsets inside a UTF-16 record are not kept; the record's own is exact.
                let byte = offset + if self.wide { 0 } else { within as u64 };
                self.rejected = Some(Rejected { reject: reject(), byte });
                false
            }
        }
    }

    #[inline(always)]
    fn row(&mut self, line: u64, offset: u64, text: &Text<'_>, found: &Match<'_>, value: Option<f64>) {
        let rows = &mut self.rows;
        if value.is_none() || !rows.valid.is_empty() {
            rows.valid.resize(rows.len(), true);
            rows.valid.push(value.is_some());
        }
        rows.points.push(Point {
            value: value.unwrap_or(f64::NAN),
            line,
            offset,
            definition: found.metric as u32,
            number: found.number,
        });
        if !self.is_blank || !rows.times.is_empty() {
            self.event_columns();
        }
        if self.more {
            self.more_columns(text, found);
        }
        if self.origin || (!self.is_blank && self.event.origin.is_known()) {
            self.origin_columns(text, found);
        }
    }

    /// The columns that few scans have: the captured text, labels, and what they tell of the origin.
    #[inline(never)]
    fn more_columns(&mut self, text: &Text<'_>, found: &Match<'_>) {
        let (metric, rows) = (&self.metrics[found.metric], &mut self.rows);
        self.context.row(&mut rows.context);
        let slice = |group: Option<Range<usize>>| group.map(|group| &text.text[group]);
        if self.texts {
            rows.text.push(slice(found.value.clone()));
        }
        let label = |group: Option<usize>| slice(group.and_then(|group| found.group(group)));
        rows.labels.resize_with(metric.labels.len(), Default::default);
        for (column, group) in rows.labels.iter_mut().zip(&metric.labels) {
            column.push(label(*group));
        }
    }

    /// The time, and whether there should be one.
    #[inline(never)]
    fn event_columns(&mut self) {
        let rows = &mut self.rows;
        if self.event.time.is_some() || !rows.times.is_empty() {
            rows.times.resize(rows.points.len() - 1, NO_TIME);
            rows.times.push(self.event.time.unwrap_or(NO_TIME));
            self.tally.ambiguous += u64::from(self.event.is_ambiguous);
        }
        self.tally.foreign += u64::from(self.event.is_foreign);
    }

    /// Who wrote the record: a label tells, else what is known of the event.
    #[inline(never)]
    fn origin_columns(&mut self, text: &Text<'_>, found: &Match<'_>) {
        let (metric, row) = (&self.metrics[found.metric], self.rows.points.len() - 1);
        if metric.origin == [None; 3] && metric.rank.is_none() {
            return self.rows.origins.add(row, &self.event.origin);
        }
        let label = |group: Option<usize>| Some(&text.text[found.group(group?)?]);
        let [job, host, stream] = metric.origin.map(|group| label(group).map(Arc::from));
        let rank = label(metric.rank).and_then(|rank| rank.trim().parse::<i32>().ok());
        let known = self.event.origin.clone();
        let origin = Origin {
            job: job.or(known.job),
            host: host.or(known.host),
            stream: stream.or(known.stream),
            rank: rank.or(known.rank),
        };
        self.rows.origins.add(row, &origin);
    }
}
