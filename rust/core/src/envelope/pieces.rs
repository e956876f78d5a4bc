//! Wrappings that do not hold the message as it was: bytes in, plain text out, with where each piece of it is from.
//!
//! [`Unwrapper`] is a push machine without I/O; `extract` searches its text. A message ends with a line feed there,
//! whether it had one or not: what ends an event ends a record.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    sync::{Arc, LazyLock},
};

use memchr::memchr;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Envelope, Names, cloudwatch_json::Documents};
use crate::{encoding::utf16_len, timestamp::Clock};

/// An event, or a document's text between two events, that is longer is taken as it is.
pub(super) const MAX_EVENT: usize = 32 << 20;
/// Lines that wait for the rest of an earlier one may be so many bytes.
const MAX_WAITING: usize = 4 << 20;
/// Keys of messages and times in JSON lines, the likeliest first.
pub(super) const MESSAGE_KEYS: [&str; 6] = ["message", "msg", "log", "MESSAGE", "textPayload", "text"];
pub(super) const TIME_KEYS: [&str; 6] = ["timestamp", "@timestamp", "time", "ts", "asctime", "date"];

/// Text that was unwrapped, and where it is from.
#[derive(Debug, Default)]
pub(crate) struct Unwrapped {
    pub text: Vec<u8>,
    pub pieces: Vec<Piece>,
}

/// Where an event's text begins, and what its wrapping tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Piece {
    /// Its first byte in the text.
    pub at: usize,
    /// The event's first byte in the source.
    pub offset: u64,
    /// The physical line of that byte, from 1.
    pub line: u64,
    pub told: Told,
}

/// What a wrapping tells of an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Told {
    /// Microseconds since 1970.
    pub time: Option<i64>,
    pub names: Names,
    pub rank: Option<i32>,
    /// It has no such wrapping: the text stands there as it is.
    pub is_foreign: bool,
}

impl Unwrapped {
    /// Adds an event's message.
    pub fn add(&mut self, message: &[u8], piece: Piece) {
        self.pieces.push(Piece { at: self.text.len(), ..piece });
        self.text.extend_from_slice(message);
        if !message.ends_with(b"\n") {
            self.text.push(b'\n');
        }
    }
}

/// Takes a wrapping off.
#[derive(Debug)]
pub(crate) enum Unwrapper {
    Lines(Box<Lines>),
    Documents(Box<Documents>),
}

impl Unwrapper {
    /// For text that begins at `offset` of its source, behind a byte order mark; `wide` if that is UTF-16. None for
    /// wrappings that hold the message as it was.
    pub fn new(
        envelope: Envelope,
        key: Option<Arc<str>>,
        clock: Clock,
        offset: u64,
        line: u64,
        wide: bool,
    ) -> Option<Self> {
        let place = Place { offset, line, wide };
        match envelope {
            Envelope::CloudWatchJson => Some(Self::Documents(Box::new(Documents::new(place)))),
            envelope if envelope.is_unwrapped() => {
                let (rest, waiting, taken) = (Vec::new(), VecDeque::new(), Vec::new());
                Some(Self::Lines(Box::new(Lines { envelope, key, clock, rest, place, waiting, bytes: 0, taken })))
            }
            _ => None,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8], out: &mut Unwrapped) {
        match self {
            Self::Lines(lines) => lines.push(bytes, out),
            Self::Documents(documents) => documents.push(bytes, out),
        }
    }

    /// Gives what was held back at the end of the source.
    pub fn finish(&mut self, out: &mut Unwrapped) {
        match self {
            Self::Lines(lines) => lines.finish(out),
            Self::Documents(documents) => documents.finish(out),
        }
    }

    /// Offset and line of the first byte of what was not given out; None within a document, which cannot be gone on
    /// with.
    pub fn place(&self) -> Option<(u64, u64)> {
        match self {
            Self::Lines(lines) => {
                let first = lines.waiting.front().map(|event| (event.piece.offset, event.piece.line));
                Some(first.unwrap_or((lines.place.offset, lines.place.line)))
            }
            Self::Documents(documents) => documents.place(),
        }
    }

    /// Offsets of lines behind that place which went into events that were given out.
    pub fn taken(&self) -> &[u64] {
        match self {
            Self::Lines(lines) => &lines.taken,
            Self::Documents(_) => &[],
        }
    }

    /// Passes over the lines at these offsets when they come.
    pub fn pass_over(&mut self, taken: &[u64]) {
        if let Self::Lines(lines) = self {
            lines.taken = taken.to_vec();
        }
    }

    /// Whether something is held back.
    pub fn is_pending(&self) -> bool {
        match self {
            Self::Lines(lines) => !lines.rest.is_empty() || !lines.waiting.is_empty(),
            Self::Documents(documents) => documents.is_pending(),
        }
    }
}

/// A place in the source.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub offset: u64,
    pub line: u64,
    wide: bool,
}

impl Place {
    /// Moves on over text.
    pub fn pass(&mut self, text: &[u8]) {
        self.offset += if self.wide { utf16_len(text) } else { text.len() as u64 };
        self.line += memchr::memchr_iter(b'\n', text).count() as u64;
    }

    pub fn piece(&self, told: Told) -> Piece {
        Piece { at: 0, offset: self.offset, line: self.line, told }
    }
}

/// Unwraps line by line.
#[derive(Debug)]
pub(crate) struct Lines {
    envelope: Envelope,
    /// The message's key in JSON lines, if it was named.
    key: Option<Arc<str>>,
    clock: Clock,
    /// The beginning of a line.
    rest: Vec<u8>,
    place: Place,
    /// Events in the order of their first bytes; the first one waits for its rest.
    waiting: VecDeque<Waiting>,
    /// Bytes of the messages that wait.
    bytes: usize,
    /// Offsets of lines that are behind the first event which waits, and went into one before it.
    taken: Vec<u64>,
}

/// An event that is not given out yet.
#[derive(Debug)]
struct Waiting {
    message: Vec<u8>,
    piece: Piece,
    /// It goes on in a later line of this stream.
    open: Option<Box<str>>,
    /// Offsets of the lines that it has beside its first.
    others: Vec<u64>,
}

/// A line without its wrapping.
struct Line<'a> {
    message: Cow<'a, [u8]>,
    told: Told,
    /// It is a part of a longer one: of the stream of this name.
    part_of: Option<Box<str>>,
    /// The name of its stream, where lines may come in parts.
    stream: Option<Cow<'a, str>>,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8], out: &mut Unwrapped) {
        if !self.rest.is_empty() {
            let Some(lf) = memchr(b'\n', bytes) else {
                self.rest.extend_from_slice(bytes);
                return self.give_up(out);
            };
            let mut line = std::mem::take(&mut self.rest);
            line.extend_from_slice(&bytes[..=lf]);
            self.line(&line, out);
            bytes = &bytes[lf + 1..];
        }
        while let Some(lf) = memchr(b'\n', bytes) {
            self.line(&bytes[..=lf], out);
            bytes = &bytes[lf + 1..];
        }
        self.rest.extend_from_slice(bytes);
    }

    /// A line that is far too long is none of this wrapping.
    fn give_up(&mut self, out: &mut Unwrapped) {
        if self.rest.len() > MAX_EVENT {
            let line = std::mem::take(&mut self.rest);
            self.line(&line, out);
        }
    }

    fn finish(&mut self, out: &mut Unwrapped) {
        let line = std::mem::take(&mut self.rest);
        if !line.is_empty() {
            self.line(&line, out);
        }
        self.waiting.iter_mut().for_each(|event| event.open = None);
        self.give_out(out);
    }

    fn line(&mut self, raw: &[u8], out: &mut Unwrapped) {
        let text = raw.strip_suffix(b"\n").unwrap_or(raw);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let line = match self.envelope {
            Envelope::Cri => cri(text, &self.clock),
            Envelope::DockerJson => docker(text, &self.clock),
            _ => json(text, self.key.as_deref(), &self.clock),
        };
        let line = line.unwrap_or(Line {
            message: Cow::Borrowed(raw),
            told: Told { is_foreign: true, ..Told::default() },
            part_of: None,
            stream: None,
        });
        let piece = self.place.piece(line.told);
        self.place.pass(raw);
        if self.taken.contains(&piece.offset) {
            return;
        }
        if self.waiting.is_empty() && line.part_of.is_none() {
            return out.add(&line.message, piece);
        }
        self.bytes += line.message.len();
        let is_rest = |event: &&mut Waiting| event.open.is_some() && event.open.as_deref() == line.stream.as_deref();
        match self.waiting.iter_mut().find(is_rest) {
            Some(event) => {
                event.message.extend_from_slice(&line.message);
                event.open = line.part_of;
                event.others.push(piece.offset);
            }
            None => {
                let message = line.message.into_owned();
                self.waiting.push_back(Waiting { message, piece, open: line.part_of, others: Vec::new() });
            }
        }
        self.give_out(out);
    }

    fn give_out(&mut self, out: &mut Unwrapped) {
        while let Some(event) = self.waiting.pop_front_if(|event| event.open.is_none() || self.bytes > MAX_WAITING) {
            self.bytes -= event.message.len();
            self.taken.extend(event.others);
            out.add(&event.message, event.piece);
        }
        let first = self.waiting.front().map_or(self.place.offset, |event| event.piece.offset);
        self.taken.retain(|offset| *offset > first);
    }
}

/// The names of a container's output.
fn output(stream: &str) -> Names {
    static KNOWN: LazyLock<[Arc<str>; 2]> = LazyLock::new(|| ["stdout".into(), "stderr".into()]);
    let known = KNOWN.iter().find(|known| ***known == *stream);
    Names { stream: Some(known.cloned().unwrap_or_else(|| stream.into())), ..Names::default() }
}

/// `2019-04-30T02:12:41.8443515Z stdout F message`; with `P` for the `F` the line goes on.
fn cri<'a>(line: &'a [u8], clock: &Clock) -> Option<Line<'a>> {
    let (time, rest) = line.split_at(memchr(b' ', line)?);
    let rest = &rest[1..];
    let stream = [&b"stdout "[..], b"stderr "].into_iter().find(|stream| rest.starts_with(stream))?;
    let rest = &rest[stream.len()..];
    let (tags, message) = rest.split_at(memchr(b' ', rest).unwrap_or(rest.len()));
    let is_part = match tags.first()? {
        b'F' => false,
        b'P' => true,
        _ => return None,
    };
    let time = clock.read_value(time)?.micros;
    let stream = std::str::from_utf8(&stream[..stream.len() - 1]).ok()?;
    let told = Told { time: Some(time), names: output(stream), ..Told::default() };
    let message = Cow::Borrowed(message.strip_prefix(b" ").unwrap_or(message));
    Some(Line { message, told, part_of: is_part.then(|| stream.into()), stream: Some(Cow::Borrowed(stream)) })
}

#[derive(Deserialize)]
struct Docker<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// `{"log":"message\n","stream":"stdout","time":"..."}`; without the line feed the line goes on.
fn docker<'a>(line: &'a [u8], clock: &Clock) -> Option<Line<'a>> {
    let Docker { log, stream, time } = serde_json::from_slice(line).ok()?;
    let told = Told {
        time: clock.read_value(time.as_bytes()).map(|time| time.micros),
        names: output(&stream),
        ..Told::default()
    };
    let part_of = (!log.ends_with('\n')).then(|| stream.as_ref().into());
    Some(Line { message: bytes(log), told, part_of, stream: Some(stream) })
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// A JSON object with a message.
fn json<'a>(line: &'a [u8], key: Option<&str>, clock: &Clock) -> Option<Line<'a>> {
    let fields: BTreeMap<Cow<'a, str>, &RawValue> = serde_json::from_slice(line).ok()?;
    let text = |key: &str| -> Option<Cow<'a, str>> {
        let value = fields.get(key)?.get();
        if value.starts_with('"') { serde_json::from_str(value).ok() } else { Some(Cow::Borrowed(value)) }
    };
    let message = match key {
        Some(key) => text(key)?,
        None => MESSAGE_KEYS.iter().find_map(|key| text(key))?,
    };
    let names = Names {
        job: text("job").map(|job| job.as_ref().into()),
        host: text("host").or_else(|| text("hostname")).map(|host| host.as_ref().into()),
        stream: text("stream").or_else(|| text("logStreamName")).map(|stream| stream.as_ref().into()),
    };
    let time = TIME_KEYS.iter().find_map(|key| clock.read_value(text(key)?.as_bytes()));
    let told = Told {
        time: time.map(|time| time.micros),
        names,
        rank: text("rank").and_then(|rank| rank.parse().ok()),
        is_foreign: false,
    };
    Some(Line { message: bytes(message), told, part_of: None, stream: None })
}

/// Whether a line is an object of this wrapping, for the look at a source's beginning.
pub(super) fn is_docker(line: &[u8]) -> bool {
    serde_json::from_slice::<Docker<'_>>(line).is_ok()
}

/// The same for container logs of Kubernetes.
pub(super) fn is_cri(line: &[u8]) -> bool {
    let clock = Clock::new(crate::timestamp::Zone::default());
    cri(line, &clock).is_some()
}

/// Whether a line is a JSON object that holds a message and nothing that is no part of a wrapping: metrics under
/// other keys would be lost.
pub(super) fn is_json(line: &[u8]) -> bool {
    const OTHERS: [&str; 17] = [
        "level",
        "severity",
        "levelname",
        "logger",
        "name",
        "host",
        "hostname",
        "stream",
        "job",
        "rank",
        "pid",
        "thread",
        "logStreamName",
        "insertId",
        "labels",
        "resource",
        "kubernetes",
    ];
    let Ok(fields) = serde_json::from_slice::<BTreeMap<Cow<'_, str>, &RawValue>>(line) else { return false };
    let is_known = |key: &str| [&MESSAGE_KEYS[..], &TIME_KEYS, &OTHERS].iter().any(|keys| keys.contains(&key));
    let is_text = |key: &&str| fields.get(*key).is_some_and(|value| value.get().starts_with('"'));
    MESSAGE_KEYS.iter().any(is_text) && fields.keys().all(|key| is_known(key))
}
