//! One source's bytes to rows.
//!
//! [`Extractor`] is one thread's machine: bytes are pushed in (or read into its buffer), whole
//! records go through the matcher, and accepted values leave as [`Rows`]. It does no I/O of its own;
//! the decoder and the scan are shells around it.

use std::{io, sync::Arc};

use crate::{
    encoding::{Encoding, Utf16Decoder, sniff},
    envelope::{self, Envelope, Unwrapped, Unwrapper},
    matcher::{Cache, Matcher},
    position::Position,
    record::{Piece, RecordBuffer},
    report::{RejectedText, Tally},
    rows::{Rows, Spare},
    schema::Columns,
    state::State,
    survey::Survey,
    timestamp::{Clock, Zone},
    value::NumberMode,
};

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

impl Extractor {
    pub fn new(
        matcher: Arc<Matcher>,
        columns: &Columns,
        options: ExtractOptions,
        envelope: EnvelopeOptions,
        spare: Spare,
    ) -> Self {
        let state = State::new(&matcher, columns, options, &envelope, spare);
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
        self.resumed_at = 0;
        self.state.begin(source, label, written);
    }

    /// Goes to a split of the source, which is UTF-8, and of which it is known what wraps its messages.
    pub fn go_to(&mut self, offset: u64, envelope: Envelope) {
        self.text = Transcoding::Utf8;
        self.state.offset = offset;
        self.settle(envelope);
    }

    /// Starts a source where an earlier extraction was suspended, as [`begin`](Self::begin) does.
    pub fn resume(&mut self, source: usize, label: &str, position: &Position, written: Option<i64>) {
        self.begin(source, label, written, position.envelope);
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
        if let Wrapping::Unwrapped(unwrapper, _) = &mut self.wrapping {
            unwrapper.pass_over(&position.event.taken);
        }
    }

    /// Decides what wraps the messages by what there is, if there is a line.
    pub fn decide(&mut self, emit: Emit) -> bool {
        match &self.wrapping {
            Wrapping::Unknown(head) if head.contains(&b'\n') => self.try_envelope(emit),
            _ => true,
        }
    }

    /// Where it would be suspended now. None within a document of events, of which there is no such place, and within
    /// an event that was asked for: of those the place is that in their messages, so that they have to be given whole.
    pub fn position(&self) -> Option<Position> {
        let is_known = !matches!(self.wrapping, Wrapping::Unknown(_));
        let mut event = self.state.events.suspend();
        let (offset, line) = match &self.wrapping {
            // The text in pieces ends with a line feed: nothing of it is held.
            Wrapping::Unwrapped(unwrapper, _) => match self.state.events.envelope() {
                Envelope::Events if unwrapper.is_pending() => return None,
                Envelope::Events => (self.state.offset, self.state.line),
                _ => {
                    event.taken = unwrapper.taken().to_vec();
                    unwrapper.place()?
                }
            },
            _ => (self.state.offset, self.state.line),
        };
        Some(Position {
            offset,
            line,
            open_line: self.state.open_line,
            skipping: self.buffer.is_skipping(),
            in_run: self.buffer.is_in_run(),
            context: self.state.context.suspend(),
            envelope: is_known.then(|| self.state.events.envelope()),
            event,
        })
    }

    /// Where to go on from, if there is such a place: bytes from there on are forgotten, and have to be given again.
    pub fn suspend(&mut self) -> Option<Position> {
        let position = self.position()?;
        self.state.tally.bytes = position.offset - self.resumed_at;
        Some(position)
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
        let State { events, tally, offset, line, wide, unwrapped, .. } = &mut self.state;
        tally.envelope = envelope.name();
        events.set_envelope(envelope);
        let (key, clock) = (self.envelope.message_key.clone(), events.clock().clone());
        self.wrapping = match Unwrapper::new(envelope, key, clock, *offset, *line, *wide) {
            Some(unwrapper) => {
                // Offsets in the unwrapped text are not those of the source, which the pieces tell.
                *offset = if envelope == Envelope::Events { *offset } else { 0 };
                (*unwrapped, *wide) = (*offset, false);
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
        tally.foreign += pieces.iter().filter(|piece| piece.told.is_foreign).count() as u64;
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
        tally.context = self.state.context.take_tallies();
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
