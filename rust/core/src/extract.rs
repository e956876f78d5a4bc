//! One source's bytes to rows.
//!
//! [`Extractor`] is one thread's machine: bytes are pushed in (or read into its buffer), whole
//! records go through the matcher, and accepted values leave as [`Rows`]. It does no I/O of its own;
//! the decoder and the scan are shells around it.

use std::{io, ops::Range, sync::Arc, time::Duration};

use crate::{
    context::{Context, ContextType},
    definition::MetricId,
    encoding::{Encoding, Utf16Decoder, sniff, utf16_len},
    envelope::{self, Envelope, Unwrapped, Unwrapper},
    event::{Event, Events},
    follow::Position,
    matcher::{Cache, InText, Match, Matcher, TIMED, Visitor, Wrapped},
    normalize::Text,
    record::{Census, Piece, RecordBuffer},
    report::{DefinitionReport, Example, MAX_REJECTS, RejectedText, Tally, shorten},
    rows::{NO_TIME, Point, Rows, Spare},
    schema::{Column, Columns, SOURCE_LABELS},
    survey::Survey,
    timestamp::{Clock, Zone},
    value::{self, Number, NumberMode, Reject},
};

/// Columns that tell of a row's event.
const EVENT_COLUMNS: [Column; 5] = [Column::Timestamp, Column::Job, Column::Host, Column::Stream, Column::Rank];
/// Rows that are handed over at once: few enough to be in the second cache still when they are copied.
const HANDOVER_ROWS: usize = 4096;
/// Rows with longer texts than this are handed over before there are enough of them.
const MAX_ROWS_BYTES: usize = 64 << 20;

/// What wraps the messages of sources, and what times in them mean.
#[derive(Debug, Clone, Default)]
pub struct EnvelopeOptions {
    /// What wraps each message; None to look at the beginning of each source.
    pub envelope: Option<Envelope>,
    /// The key of the message in JSON lines; None for the usual ones.
    pub message_key: Option<Arc<str>>,
    /// The zone of times that name none. Default UTC.
    pub zone: Zone,
}

/// What to do with a captured text that is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnReject {
    /// Count it, with examples.
    #[default]
    Count,
    /// A row with a null value.
    Null,
    /// End the scan with an error, after the rows before it.
    Raise,
}

/// How bytes become rows.
#[derive(Debug, Clone, Copy)]
pub struct ExtractOptions {
    /// How captured texts are read.
    pub number: NumberMode,
    /// What becomes of texts that are no number.
    pub on_reject: OnReject,
    /// Longest record, in raw bytes; longer ones are skipped and counted. Default 1 MiB.
    pub max_record_bytes: usize,
    /// Bytes that are read and searched at once. Default 512 KiB.
    pub block_bytes: usize,
    /// Rows of a batch, at most. Default 65,536.
    pub batch_rows: usize,
    /// Bytes after which literals are judged for the first time: those that stand in many records, of which hardly
    /// any matches, give way to others of their pattern. Default 1 MiB.
    pub judged_after: u64,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self {
            number: NumberMode::Trim,
            on_reject: OnReject::Count,
            max_record_bytes: 1 << 20,
            block_bytes: 512 << 10,
            batch_rows: 65_536,
            judged_after: 1 << 20,
        }
    }
}

/// The reject that ended a scan, with `on_reject` set to raise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The text and where it stands.
    pub reject: RejectedText,
    /// Raw byte offset of the text's first byte (of the record's, where the group took no part).
    pub byte: u64,
}

/// Where rows go; false stops the extraction.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(Rows) -> bool;

/// What of a definition is needed to make rows of its matches: group numbers of the columns.
#[derive(Debug)]
struct Metric {
    number: NumberMode,
    labels: Vec<Option<usize>>,
    /// `job`, `host` and `stream`.
    origin: [Option<usize>; 3],
    rank: Option<usize>,
}

/// Bytes in, rows out, for one source after the other.
pub(crate) struct Extractor {
    matcher: Arc<Matcher>,
    cache: Cache,
    survey: Survey,
    options: ExtractOptions,
    buffer: RecordBuffer,
    text: Transcoding,
    envelope: EnvelopeOptions,
    /// What wraps the messages of the source, if that is known before its text.
    known: Option<Envelope>,
    /// Where the turn began.
    resumed_at: u64,
    wrapping: Wrapping,
    state: State,
}

/// How far it is known what wraps the messages.
enum Wrapping {
    /// The first text, until it tells.
    Unknown(Vec<u8>),
    /// The text is searched as it is.
    AsIs,
    Unwrapped(Box<Unwrapper>, Unwrapped),
}

enum Transcoding {
    /// The first bytes, until they tell the encoding.
    Unknown(Vec<u8>),
    Utf8,
    Utf16(Box<Utf16Decoder>),
}

/// What a block's matches are written to.
struct State {
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
    offset: u64,
    wide: bool,
    line: u64,
    open_line: bool,
    rows: Rows,
    spare: Spare,
    tally: Tally,
    /// The event of the record at hand.
    event: Event,
    /// Bytes that were unwrapped.
    unwrapped: u64,
    definitions: Vec<Option<Box<DefinitionReport>>>,
    context: Context,
    events: Events,
    /// Whether a column tells of the event.
    tells_event: bool,
    rejected: Option<Rejected>,
}

impl Extractor {
    pub fn new(
        matcher: Arc<Matcher>,
        columns: &Columns,
        options: ExtractOptions,
        envelope: EnvelopeOptions,
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
        let state = State {
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
            unwrapped: 0,
            definitions: vec![None; set.len()],
            context: Context::new(set.context()),
            events: Events::new(Clock::new(envelope.zone.clone()), matcher.framing()),
            tells_event: EVENT_COLUMNS.iter().any(|column| columns.has(column)),
            rejected: None,
        };
        let mut cache = matcher.cache();
        cache.judge_after(options.judged_after);
        Self {
            cache,
            survey: Survey::default(),
            buffer: RecordBuffer::new(matcher.framing(), options.max_record_bytes, options.block_bytes),
            matcher,
            options,
            text: Transcoding::Unknown(Vec::new()),
            envelope,
            known: None,
            resumed_at: 0,
            wrapping: Wrapping::AsIs,
            state,
        }
    }

    /// Says what wraps the messages of the sources to come.
    pub fn set_envelope(&mut self, options: EnvelopeOptions) {
        self.state.events.set_clock(Clock::new(options.zone.clone()));
        self.known = options.envelope;
        self.envelope = options;
    }

    /// Starts a source, which was last written to at `written`, in microseconds; `known` is what wraps its messages
    /// where that was found out already.
    pub fn begin(&mut self, source: usize, label: &str, written: Option<i64>, known: Option<Envelope>) {
        self.known = known.or(self.envelope.envelope);
        self.buffer.clear();
        self.text = Transcoding::Unknown(Vec::new());
        self.wrapping = Wrapping::Unknown(Vec::new());
        self.state.context.take_tally();
        self.state.events.begin(label, written);
        self.state.tally = Tally { encoding: "utf-8", compression: "none", envelope: "plain", ..Tally::default() };
        self.state.source = source as i32;
        self.state.offset = 0;
        self.state.unwrapped = 0;
        self.state.event = Event::default();
        self.state.wide = false;
        self.state.line = 1;
        self.state.open_line = false;
        self.state.rejected = None;
    }

    /// Goes to a split of the source, which is UTF-8, and of which it is known what wraps its messages.
    pub fn go_to(&mut self, offset: u64, envelope: Envelope) {
        self.text = Transcoding::Utf8;
        self.state.offset = offset;
        self.settle(envelope);
    }

    /// Starts a source where an earlier extraction was suspended.
    pub fn resume(&mut self, source: usize, label: &str, position: &Position) {
        self.begin(source, label, None, position.envelope);
        self.resumed_at = position.offset;
        self.state.line = position.line;
        self.state.open_line = position.open_line;
        self.state.offset = position.offset;
        if let Some(envelope) = position.envelope {
            self.go_to(position.offset, envelope);
        } else if position.offset > 0 {
            self.text = Transcoding::Utf8;
        }
        self.buffer.resume(position.skipping, position.in_run);
        self.state.context.resume(&position.context);
        self.state.events.resume(&position.event);
    }

    /// Decides what wraps the messages by what there is, if there is a line.
    pub fn decide(&mut self, emit: Emit) -> bool {
        match &self.wrapping {
            Wrapping::Unknown(head) if head.contains(&b'\n') => self.try_envelope(emit),
            _ => true,
        }
    }

    /// Where to go on from: bytes from there on are forgotten, and have to be given again. None within a document of
    /// events, of which there is no such place.
    pub fn suspend(&mut self) -> Option<Position> {
        let is_known = !matches!(self.wrapping, Wrapping::Unknown(_));
        let (offset, line) = match &self.wrapping {
            // The text in pieces ends with a line feed: nothing of it is held.
            Wrapping::Unwrapped(unwrapper, _) => unwrapper.place()?,
            _ => (self.state.offset, self.state.line),
        };
        self.state.tally.bytes = offset - self.resumed_at;
        Some(Position {
            offset,
            line,
            open_line: self.state.open_line,
            skipping: self.buffer.is_skipping(),
            in_run: self.buffer.is_in_run(),
            context: self.state.context.suspend(),
            envelope: is_known.then(|| self.state.events.envelope()),
            event: self.state.events.suspend(),
        })
    }

    /// Whether the source is UTF-16, whose positions cannot be resumed.
    pub fn is_wide(&self) -> bool {
        self.state.wide
    }

    /// Takes bytes; false when `emit` or a reject stopped the extraction.
    pub fn push(&mut self, bytes: &[u8], emit: Emit) -> bool {
        self.state.tally.bytes += bytes.len() as u64;
        match &mut self.text {
            Transcoding::Utf8 => self.push_utf8(bytes, emit),
            Transcoding::Utf16(decoder) => {
                let mut utf8 = Vec::with_capacity(bytes.len() * 3 / 2 + 4);
                decoder.push(bytes, &mut utf8);
                self.push_utf8(&utf8, emit)
            }
            Transcoding::Unknown(head) => {
                head.extend_from_slice(bytes);
                self.try_encoding(false, emit)
            }
        }
    }

    fn try_encoding(&mut self, at_end: bool, emit: Emit) -> bool {
        let Transcoding::Unknown(head) = &mut self.text else { return true };
        let Some(encoding) = sniff(head, at_end) else { return true };
        let head = std::mem::take(head);
        self.state.tally.encoding = encoding.name();
        self.state.offset += encoding.bom_len();
        let text = &head[encoding.bom_len() as usize..];
        match encoding {
            Encoding::Utf8 | Encoding::Utf8Bom => {
                if looks_like_utf16(text) {
                    self.state.tally.warning =
                        Some("looks like UTF-16 without a byte order mark; it was read as UTF-8".into());
                }
                self.text = Transcoding::Utf8;
                self.push_utf8(text, emit)
            }
            Encoding::Utf16Le | Encoding::Utf16Be => {
                self.state.wide = true;
                self.buffer.set_wide();
                let mut decoder = Box::new(Utf16Decoder::new(encoding == Encoding::Utf16Be));
                let mut utf8 = Vec::new();
                decoder.push(text, &mut utf8);
                self.text = Transcoding::Utf16(decoder);
                self.push_utf8(&utf8, emit)
            }
        }
    }

    fn push_utf8(&mut self, bytes: &[u8], emit: Emit) -> bool {
        match &mut self.wrapping {
            Wrapping::AsIs => self.push_text(bytes, emit),
            Wrapping::Unwrapped(unwrapper, unwrapped) => {
                unwrapper.push(bytes, unwrapped);
                self.push_unwrapped(emit)
            }
            Wrapping::Unknown(_) if self.known.is_some() => {
                self.settle(self.known.unwrap_or_default());
                self.push_utf8(bytes, emit)
            }
            Wrapping::Unknown(head) if head.is_empty() && envelope::enough(bytes).is_some() => {
                self.settle(envelope::detect(bytes));
                self.push_utf8(bytes, emit)
            }
            Wrapping::Unknown(head) => {
                head.extend_from_slice(bytes);
                envelope::enough(head).is_none() || self.try_envelope(emit)
            }
        }
    }

    /// Looks at the first text of the source, which is enough or all of it.
    fn try_envelope(&mut self, emit: Emit) -> bool {
        let Wrapping::Unknown(head) = &mut self.wrapping else { return true };
        let head = std::mem::take(head);
        self.settle(self.known.unwrap_or_else(|| envelope::detect(&head)));
        self.push_utf8(&head, emit)
    }

    /// Takes note of what wraps the messages.
    fn settle(&mut self, envelope: Envelope) {
        let State { events, tally, offset, line, wide, .. } = &mut self.state;
        tally.envelope = envelope.name();
        events.set_envelope(envelope);
        let (key, clock) = (self.envelope.message_key.clone(), events.clock().clone());
        self.wrapping = match Unwrapper::new(envelope, key, clock, *offset, *line, *wide) {
            Some(unwrapper) => {
                // Offsets in the unwrapped text are not those of the source: the pieces tell these.
                (*offset, *wide) = (0, false);
                Wrapping::Unwrapped(Box::new(unwrapper), Unwrapped::default())
            }
            None => Wrapping::AsIs,
        };
    }

    /// Searches what was unwrapped.
    fn push_unwrapped(&mut self, emit: Emit) -> bool {
        let Wrapping::Unwrapped(_, unwrapped) = &mut self.wrapping else { return true };
        let Unwrapped { text, pieces } = std::mem::take(unwrapped);
        let State { events, tally, unwrapped, .. } = &mut self.state;
        tally.events += pieces.len() as u64;
        tally.unwrapped_foreign(pieces.iter().filter(|piece| piece.told.is_foreign));
        events.add_pieces(pieces, &text, *unwrapped);
        *unwrapped += text.len() as u64;
        self.push_text(&text, emit)
    }

    fn push_text(&mut self, mut bytes: &[u8], emit: Emit) -> bool {
        while !bytes.is_empty() {
            let window = &bytes[..bytes.len().min(self.options.block_bytes.max(1))];
            // Whole lines need not be copied together.
            if self.buffer.is_clear()
                && let Some(lf) = memchr::memrchr(b'\n', window)
            {
                let (block, rest) = bytes.split_at(lf + 1);
                if !self.state.block(&self.matcher, &mut self.cache, block, &mut self.survey, emit) {
                    return false;
                }
                bytes = rest;
                continue;
            }
            // A record that has begun is copied to its line's end at most.
            let line = memchr::memchr(b'\n', window).map_or(window.len(), |lf| lf + 1);
            let room = self.buffer.spare(line);
            let len = room.len().min(line);
            room[..len].copy_from_slice(&bytes[..len]);
            self.buffer.filled(len);
            bytes = &bytes[len..];
            if !self.drain(false, emit) {
                return false;
            }
        }
        true
    }

    /// Lets `read` fill the buffer once. `Ok(None)` when the extraction was stopped, else the bytes read.
    pub fn read_with(
        &mut self,
        limit: usize,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
        emit: Emit,
    ) -> io::Result<Option<usize>> {
        if !matches!((&self.text, &self.wrapping), (Transcoding::Utf8, Wrapping::AsIs)) {
            let mut chunk = vec![0; limit.min(self.options.block_bytes).max(1)];
            let len = read(&mut chunk)?;
            return Ok(self.push(&chunk[..len], emit).then_some(len));
        }
        let room = self.buffer.spare_block();
        let limit = limit.min(room.len());
        let len = read(&mut room[..limit])?;
        self.buffer.filled(len);
        self.state.tally.bytes += len as u64;
        Ok((len == 0 || self.drain(false, emit)).then_some(len))
    }

    /// Ends the source: what is left is its last record.
    pub fn finish(&mut self, emit: Emit) -> bool {
        let mut go_on = self.try_encoding(true, emit);
        if let Transcoding::Utf16(decoder) = &mut self.text {
            let mut utf8 = Vec::new();
            decoder.finish(&mut utf8);
            go_on = go_on && self.push_utf8(&utf8, emit);
        }
        go_on = go_on && self.try_envelope(emit);
        if let Wrapping::Unwrapped(unwrapper, unwrapped) = &mut self.wrapping {
            unwrapper.finish(unwrapped);
            go_on = go_on && self.push_unwrapped(emit);
        }
        go_on = go_on && self.drain(true, emit);
        self.state.end_line();
        go_on
    }

    /// Ends a source that could not be read on: a record that was cut off there is counted, not matched,
    /// because half a number is a wrong one.
    pub fn cut_off(&mut self, emit: Emit) {
        self.try_envelope(emit);
        let is_held = match (&self.text, &self.wrapping) {
            (Transcoding::Unknown(head), _) => !head.is_empty(),
            (_, Wrapping::Unwrapped(unwrapper, _)) => unwrapper.is_pending(),
            _ => false,
        };
        let pending = self.buffer.pending() || is_held;
        self.state.tally.records += u64::from(pending);
        self.state.tally.cut_off += u64::from(pending);
        self.state.open_line |= pending;
        self.state.end_line();
    }

    /// The rows that were not handed over yet.
    pub fn take_rows(&mut self) -> Rows {
        self.state.take_rows()
    }

    /// The reject that stopped the extraction.
    pub fn take_rejected(&mut self) -> Option<Rejected> {
        self.state.rejected.take()
    }

    /// The counts of the source or split.
    pub fn take_tally(&mut self) -> Tally {
        let mut tally = std::mem::take(&mut self.state.tally);
        tally.context = self.state.context.take_tally();
        for (id, candidates) in self.cache.take_tried() {
            let mut report = self.state.definitions[id].take().unwrap_or_default();
            report.candidates = candidates;
            report.searched_by = self.cache.searched_by(id);
            tally.definitions.push((id, *report));
        }
        tally
    }

    fn drain(&mut self, at_end: bool, emit: Emit) -> bool {
        loop {
            match self.buffer.next(at_end) {
                Piece::NeedMore => return true,
                Piece::Dropped(range) => self.state.pass(&self.buffer.bytes()[range]),
                Piece::TooLong(range) => {
                    self.state.tally.records += 1;
                    self.state.tally.too_long += 1;
                    self.state.pass(&self.buffer.bytes()[range]);
                }
                Piece::Block(range) => {
                    let block = &self.buffer.bytes()[range];
                    if !self.state.block(&self.matcher, &mut self.cache, block, &mut self.survey, emit) {
                        return false;
                    }
                }
            }
        }
    }
}

/// Whether every other one of the first bytes is NUL: no text in UTF-8 begins so.
fn looks_like_utf16(text: &[u8]) -> bool {
    let head = &text[..text.len().min(64) & !1];
    head.len() >= 4 && (0..2).any(|odd| head.chunks_exact(2).all(|pair| pair[odd] == 0 && pair[1 - odd] != 0))
}

impl State {
    fn source_len(&self, text: &[u8]) -> u64 {
        if self.wide { utf16_len(text) } else { text.len() as u64 }
    }

    /// Moves on over bytes that are not matched.
    fn pass(&mut self, bytes: &[u8]) {
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
    fn end_line(&mut self) {
        let is_open = std::mem::take(&mut self.open_line);
        self.tally.events += u64::from(is_open && !self.events.envelope().is_unwrapped());
    }

    /// Looks at a block and searches it; `survey` is memory for what the look finds.
    fn block(&mut self, matcher: &Matcher, cache: &mut Cache, block: &[u8], survey: &mut Survey, emit: Emit) -> bool {
        let framing = matcher.framing();
        matcher.survey(cache, block, survey);
        if self.source_len(block) > self.options.max_record_bytes as u64 {
            self.count_records_apart(matcher, block);
        } else {
            self.count_controls(block, &survey.census, framing.terminal);
        }
        let wrapped = Wrapped { envelope: self.events.envelope(), is_open: self.events.is_open() };
        let (line, offset) = (self.line, self.offset);
        let mut visit = Visit { counted: 0, line, offset, state: self, block, survey, emit, record: None, go_on: true };
        matcher.block(cache, block, survey, wrapped, &mut visit);
        let go_on = visit.go_on;
        self.events.end_block(block, self.offset);
        self.tally.records += framing.count(block, &survey.census);
        self.offset += self.source_len(block);
        self.lines(survey.census.lf, block);
        go_on
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

    fn take_rows(&mut self) -> Rows {
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
    /// Where the record begins whose event is at hand.
    record: Option<usize>,
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

    fn found(&mut self, record: &Range<usize>, text: &Text<'_>, found: &Match<'_>) -> bool {
        let (line, offset) = self.place(record.start);
        if self.state.tells_event && self.record != Some(record.start) {
            self.record = Some(record.start);
            let event = self.state.events.of(self.block, record.start, self.state.offset);
            self.state.event.clone_from(event);
        }
        self.go_on &= self.state.found(line, offset, text, found);
        // One record may fill the labels of thousands of definitions.
        if (self.state.long || self.state.event.is_named()) && self.state.rows.size() >= MAX_ROWS_BYTES {
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

    #[inline]
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
        if self.tells_event {
            if self.event.time.is_some() || !rows.times.is_empty() {
                let row = rows.points.len() - 1;
                rows.times.resize(row, NO_TIME);
                rows.times.push(self.event.time.unwrap_or(NO_TIME));
                self.tally.ambiguous += u64::from(self.event.is_ambiguous);
            }
            self.tally.foreign += u64::from(self.event.is_foreign);
        }
        if self.more {
            self.more_columns(text, found);
        }
        if self.origin || (self.tells_event && self.event.is_named()) {
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

    /// `job`, `host`, `stream` and `rank`: a label fills them, else what is known of the event.
    #[inline(never)]
    fn origin_columns(&mut self, text: &Text<'_>, found: &Match<'_>) {
        let (metric, rows, names) = (&self.metrics[found.metric], &mut self.rows, &self.event.names);
        let row = rows.points.len() - 1;
        let label = |group: Option<usize>| Some(&text.text[found.group(group?)?]);
        let told = [&names.job, &names.host, &names.stream];
        for ((column, group), told) in rows.origin.iter_mut().zip(metric.origin).zip(told) {
            column.add_text(row, label(group).or(told.as_deref()));
        }
        let rank = label(metric.rank).and_then(|rank| rank.trim().parse::<i32>().ok());
        rows.rank.add_number(row, rank.or(self.event.rank).map(i64::from));
    }
}
