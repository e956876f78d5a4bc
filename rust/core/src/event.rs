//! What is known of the event that a record is part of: when, of which job, host and rank.
//!
//! [`Events`] is one thread's memory for the source that it reads. Events are looked at when a row needs them, back
//! from its record: in the wrapping of its line, or of the line that its event began with; without a time there, in
//! the message.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use memchr::{memchr, memchr2, memchr3, memrchr};
use serde::{Deserialize, Serialize};

use crate::{
    envelope::{Envelope, Names, Piece, Prefix, Told, ends_colour, mpi},
    record::Framing,
    timestamp::{Clock, Time, Zone},
};

/// Bytes of a message that are looked at, and as many of what wraps it.
const HEAD: usize = 512;
/// Bytes of a line's end that are.
const TAIL: usize = 16;

/// Who wrote a record, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the job.
    pub job: Option<Arc<str>>,
    /// Name of the host.
    pub host: Option<Arc<str>>,
    /// Name of the log stream, or of a container's output.
    pub stream: Option<Arc<str>>,
    /// Number of the process among those of its job.
    pub rank: Option<i32>,
}

impl Origin {
    /// Whether anything is known.
    pub(crate) fn is_known(&self) -> bool {
        self.rank.is_some() || self.job.is_some() || self.host.is_some() || self.stream.is_some()
    }
}

/// What is known of an event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Microseconds since 1970.
    pub time: Option<i64>,
    /// The time is one that clocks showed twice, or never.
    pub is_ambiguous: bool,
    pub origin: Origin,
    /// Its line lacks what the wrapping puts there.
    pub is_foreign: bool,
}

/// What of earlier text matters for the events behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Suspended {
    before: Option<Event>,
    open: Option<(Event, bool)>,
    passed: Vec<u8>,
    /// Offsets of lines behind the place that belong to events before it.
    #[serde(default)]
    pub(crate) taken: Vec<u64>,
}

/// Where an event's text begins in all of the text that was unwrapped, and what is known of it.
#[derive(Debug)]
pub(crate) struct Unwrapped {
    at: u64,
    /// The event's first byte in the source.
    offset: u64,
    /// The physical line of that byte, from 1.
    line: u64,
    event: Event,
}

/// One thread's memory of a source's events.
#[derive(Debug)]
pub(crate) struct Events {
    envelope: Envelope,
    framing: Framing,
    clock: Clock,
    /// For the times of wrappings, which are in UTC.
    utc: Clock,
    /// What the source's own name tells.
    names: Names,
    /// Whether nothing but messages may tell anything.
    is_bare: bool,
    /// The event that the block's first line goes on.
    before: Option<Event>,
    /// The event of the line within which the block begins; whether it is of no event but its own.
    open: Option<(Event, bool)>,
    /// The line that was asked for last, and what was found; whether it is of no event but its own.
    last: Option<(usize, Event, bool)>,
    /// The stream whose name was read last.
    named: Option<(Box<[u8]>, Names)>,
    /// Beginning and end of the line that was passed over in pieces, up to now.
    passed: Vec<u8>,
    /// Of unwrapped text: the pieces from the block's first on, by their places in all of the text.
    pieces: VecDeque<Unwrapped>,
}

impl Events {
    pub fn new(clock: Clock, framing: Framing) -> Self {
        Self {
            envelope: Envelope::Plain,
            framing,
            clock,
            utc: Clock::new(Zone::default()),
            names: Names::default(),
            is_bare: true,
            before: None,
            open: None,
            last: None,
            named: None,
            passed: Vec::new(),
            pieces: VecDeque::new(),
        }
    }

    /// Begins a source, or a split that begins with an event. `written` is when it was last written to.
    pub fn begin(&mut self, label: &str, written: Option<i64>) {
        self.names = Names::of(label);
        self.clock.reference = written;
        self.envelope = Envelope::Plain;
        (self.before, self.open, self.last) = (None, None, None);
        self.passed.clear();
        self.pieces.clear();
    }

    /// What is carried over an interruption here, at the end of a block.
    pub fn suspend(&self) -> Suspended {
        let (before, open, passed) = (self.before.clone(), self.open.clone(), self.passed.clone());
        Suspended { before, open, passed, taken: Vec::new() }
    }

    /// Goes on with what was carried over an interruption.
    pub fn resume(&mut self, suspended: &Suspended) {
        let Suspended { before, open, passed, .. } = suspended.clone();
        (self.before, self.open, self.passed) = (before, open, passed);
    }

    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    pub fn set_envelope(&mut self, envelope: Envelope) {
        self.envelope = envelope;
        self.is_bare = matches!(envelope, Envelope::Plain | Envelope::Mpi) && self.names == Names::default();
    }

    pub fn envelope(&self) -> Envelope {
        self.envelope
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether the block begins within a line.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Adds where unwrapped text is from, which begins at `from` of all of it.
    pub fn add_pieces(&mut self, pieces: Vec<Piece>, text: &[u8], from: u64) {
        for piece in pieces {
            // A time that is known, and no rank prefix: the message has nothing to tell.
            let is_known = piece.told.time.is_some() && text.get(piece.at) != Some(&b'[');
            let message = if is_known { &[] } else { self.first_record(text, piece.at) };
            let event = self.told(piece.told, message);
            let Piece { at, offset, line, .. } = piece;
            self.pieces.push_back(Unwrapped { at: from + at as u64, offset, line, event });
        }
    }

    /// The piece of unwrapped text that a byte of all of it is in.
    fn piece(&self, at: u64) -> Option<&Unwrapped> {
        let index = self.pieces.partition_point(|piece| piece.at <= at);
        self.pieces.get(index.checked_sub(1)?)
    }

    /// Line and offset of a byte of all of the text, where they are not those in the text itself.
    #[inline]
    pub fn place(&self, at: u64) -> Option<(u64, u64)> {
        if self.pieces.is_empty() {
            return None;
        }
        let piece = self.piece(at).filter(|_| self.envelope != Envelope::Events)?;
        Some((piece.line, piece.offset))
    }

    /// The event of the record at `at` of a block, whose first byte is at `offset` of all of the text.
    pub fn of(&mut self, block: &[u8], at: usize, offset: u64) -> &Event {
        let line = memrchr(b'\n', &block[..at]).map_or(0, |lf| lf + 1);
        if self.last.as_ref().is_none_or(|(known, ..)| *known != line) {
            let (event, is_alone) = match self.piece(offset + line as u64) {
                Some(piece) => (piece.event.clone(), true),
                None => {
                    self.remember(block, line);
                    self.look(block, line)
                }
            };
            self.last = Some((line, event, is_alone));
        }
        &self.last.as_ref().expect("it was just set").1
    }

    /// The origin of what nothing but the source tells of.
    pub fn own_origin(&self) -> Origin {
        let Names { job, host, stream } = self.names.clone();
        Origin { job, host, stream, rank: None }
    }

    /// Who wrote the record at `at`; the outputs of one process are not told apart.
    pub fn origin(&mut self, block: &[u8], at: usize, offset: u64) -> Origin {
        if self.is_blank(block, at) {
            return self.own_origin();
        }
        let origin = self.of(block, at, offset).origin.clone();
        if self.envelope.is_of_container() { Origin { stream: self.names.stream.clone(), ..origin } } else { origin }
    }

    /// Whether an event is of the source's own origin.
    fn is_own(&self, event: &Event) -> bool {
        let (Origin { job, host, stream, rank }, own) = (&event.origin, &self.names);
        let is_of_stream = *stream == own.stream || self.envelope.is_of_container();
        rank.is_none() && *job == own.job && *host == own.host && is_of_stream
    }

    /// Whether records of a block may be of other origins than the source's own, for all that is known before
    /// prefixes of `mpirun` are looked for in it.
    pub fn is_mixed(&self, block: &[u8], offset: u64) -> bool {
        let end = offset + block.len() as u64;
        let first = self.pieces.partition_point(|piece| piece.at <= offset).saturating_sub(1);
        let pieces = self.pieces.range(first..).take_while(|piece| piece.at < end).map(|piece| &piece.event);
        let before = self.before.iter().chain(self.open.iter().map(|(event, _)| event));
        self.envelope.tells_names() || !pieces.chain(before).all(|event| self.is_own(event))
    }

    /// Whether nothing at all is known of the record at `at`, for sure: it begins a line with what no time and no rank
    /// begins with. So do most.
    #[inline]
    pub fn is_blank(&self, block: &[u8], at: usize) -> bool {
        let begins_line = if at == 0 { self.open.is_none() } else { block[at - 1] == b'\n' };
        self.is_bare && begins_line && block.get(at).is_some_and(|first| !may_tell(*first))
    }

    /// The block ends, whose first byte is at `offset` of all of the text.
    pub fn end_block(&mut self, block: &[u8], offset: u64) {
        if block.is_empty() {
            return;
        }
        let end = offset + block.len() as u64;
        if !self.pieces.is_empty() {
            let passed = self.pieces.partition_point(|piece| piece.at <= end).saturating_sub(1);
            self.pieces.drain(..passed);
            self.last = None;
            return;
        }
        if memchr(b'\n', block).is_some() {
            self.passed.clear();
        }
        if block.ends_with(b"\n") {
            self.before = if self.envelope.is_continued() { self.goes_on(block, block.len()) } else { None };
            self.open = None;
        } else {
            self.of(block, block.len(), offset);
            // Where the line began the event before it is that of the block; else it is as it was.
            let line = memrchr(b'\n', block).map_or(0, |lf| lf + 1);
            self.before = if line > 0 { self.goes_on(block, line) } else { self.before.take() };
            self.open = self.last.take().map(|(_, event, is_alone)| (event, is_alone));
        }
        self.last = None;
    }

    /// Passes over a part of a record that is too long, or over all of what was left of it; of a block of its own, as
    /// it were.
    pub fn pass(&mut self, bytes: &[u8]) {
        if !self.pieces.is_empty() {
            // The pieces tell.
        } else if self.open.is_none() || !self.passed.is_empty() {
            let room = (2 * HEAD).saturating_sub(self.passed.len());
            let (head, rest) = bytes.split_at(room.min(bytes.len()));
            self.passed.extend_from_slice(head);
            self.passed.extend_from_slice(&rest[rest.len().saturating_sub(TAIL)..]);
            let line = std::mem::take(&mut self.passed);
            self.open = None;
            self.end_block(&line, 0);
            self.passed = if bytes.ends_with(b"\n") { Vec::new() } else { line };
        } else if bytes.ends_with(b"\n") {
            self.end_block(b"\n", 0);
        }
    }

    /// The first record of the line at `line`, as far as it may matter.
    fn first_record<'a>(&self, block: &'a [u8], line: usize) -> &'a [u8] {
        let head = &block[line..block.len().min(line + 2 * HEAD)];
        let end =
            if self.framing.terminal { memchr3(b'\n', b'\r', b'\x08', head) } else { memchr2(b'\n', b'\r', head) };
        let head = &head[..end.unwrap_or(head.len())];
        if !self.framing.terminal || memchr(b'#', head).is_none() {
            return head;
        }
        // An escaped terminator may come first.
        &head[..self.framing.next_end(head, 0).map_or(head.len(), |end| end.start)]
    }

    /// What the line at `line` says itself, or the event that it goes on; whether it is neither.
    fn look(&self, block: &[u8], line: usize) -> (Event, bool) {
        if let Some(open) = self.open.as_ref().filter(|_| line == 0) {
            return open.clone();
        }
        match self.begins(block, line).or_else(|| self.goes_on(block, line)) {
            Some(event) => (event, false),
            None => (self.stands_alone(self.first_record(block, line)), true),
        }
    }

    /// The event that the line begins.
    fn begins(&self, block: &[u8], line: usize) -> Option<Event> {
        let text = self.first_record(block, line);
        let Some(prefix) = self.envelope.prefix(text) else {
            return (!self.envelope.is_continued()).then(|| self.stands_alone(text));
        };
        let written = &text[..prefix.message];
        let names = match &self.named {
            Some((known, names)) if **known == written[prefix.stream.clone()] && prefix.host_number.is_none() => {
                names.clone()
            }
            _ => named(written, &prefix),
        };
        let time = self.utc.read_value(&text[prefix.time]);
        let told = Told { time: time.map(|time| time.micros), names, rank: None, is_foreign: false };
        Some(self.told(told, &text[prefix.message..]))
    }

    /// Remembers the names of a stream, which the next events probably have, too.
    fn remember(&mut self, block: &[u8], line: usize) {
        let text = self.first_record(block, line);
        if let Some(prefix) = self.envelope.prefix(text)
            && !prefix.stream.is_empty()
            && self.named.as_ref().is_none_or(|(known, _)| **known != text[prefix.stream.clone()])
        {
            let names = named(text, &prefix);
            self.named = Some((text[prefix.stream].into(), names));
        }
    }

    /// The event of the lines before that goes on at `line`, if one does.
    fn goes_on(&self, block: &[u8], mut line: usize) -> Option<Event> {
        while line > 0 {
            let before = memrchr(b'\n', &block[..line - 1]).map_or(0, |lf| lf + 1);
            if self.envelope == Envelope::Notebook && ends_colour(&block[before..line]) {
                return None;
            }
            if let Some((known, event, false)) = &self.last
                && *known == before
            {
                return Some(event.clone());
            }
            if let Some((event, is_alone)) = self.open.as_ref().filter(|_| before == 0) {
                // A line of its own goes on nothing, and nothing goes on it.
                return if *is_alone { self.before.clone() } else { Some(event.clone()) };
            }
            if let Some(event) = self.begins(block, before) {
                return Some(event);
            }
            line = before;
        }
        self.before.clone()
    }

    /// A line that has no wrapping.
    fn stands_alone(&self, text: &[u8]) -> Event {
        let is_foreign = self.envelope.is_stripped();
        self.told(Told { is_foreign, ..Told::default() }, text)
    }

    /// What a wrapping tells, and what the message and the source's name do where it does not.
    fn told(&self, told: Told, message: &[u8]) -> Event {
        let head = &message[..message.len().min(HEAD)];
        let ranked = mpi(head);
        let time = match told.time {
            Some(micros) => Some(Time { micros, ambiguous: false }),
            None => self.clock.read(&head[ranked.map_or(0, |(len, ..)| len)..]),
        };
        let host = ranked.and_then(|(_, _, host)| host).map(Arc::from);
        let or = |told: Option<Arc<str>>, named: &Option<Arc<str>>| told.or_else(|| named.clone());
        Event {
            time: time.map(|time| time.micros),
            is_ambiguous: time.is_some_and(|time| time.ambiguous),
            origin: Origin {
                job: or(told.names.job, &self.names.job),
                host: or(host.or(told.names.host), &self.names.host),
                stream: or(told.names.stream, &self.names.stream),
                rank: told.rank.or(ranked.map(|(_, rank, _)| rank)),
            },
            is_foreign: told.is_foreign,
        }
    }
}

/// Whether a message that begins so may tell a time or a rank.
fn may_tell(first: u8) -> bool {
    matches!(first, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'f' | b':' | b'.' | b'[' | b'(' | b' ' | b'\t' | b'#' | 0x1b)
}

/// What a prefix tells of a stream and a host.
fn named(text: &[u8], prefix: &Prefix) -> Names {
    let name = |range: &Range<usize>| {
        let name = std::str::from_utf8(&text[range.clone()]).ok().filter(|name| !name.is_empty());
        name.map(Arc::<str>::from)
    };
    let mut names = name(&prefix.stream).as_deref().map(Names::of_stream).unwrap_or_default();
    let number = prefix.host_number.map(|number| format!("algo-{number}").into());
    names.host = name(&prefix.host).or(number).or(names.host);
    names
}
