//! One piece of work of a scan: a source, or a split of one.
//!
//! [`Unit`] knows where its bytes come from and reads them into an [`Extractor`] step by step, so that
//! a worker thread can run it to its end and the consumer can run it a little at a time. A split owns
//! the lines that start in its range: it skips to the first of them and reads past its end until the
//! last one is complete.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{StringArray, builder::StringBuilder};
use memchr::memchr;

use crate::{
    encoding::{Encoding, sniff},
    envelope::{self, Envelope},
    extract::{Emit, Extractor},
    source::{Compression, Decompressed, Pool, SourceFile, detect},
};

/// Read past a split's end at a time, looking for the end of its last line.
const OVERREAD: usize = 64 << 10;
/// Bytes of a line that are looked at for what wraps its message.
const LINE_HEAD: usize = 1024;
/// Read of a stream at first, until its encoding is known: the buffer for it is made and cleared for each
/// stream. As a whole block it took a tenth of the time that a source of 10 KB takes.
const FIRST: usize = 16 << 10;

/// Where the bytes of a source come from.
pub enum Source {
    /// A local file, plain or compressed.
    Path(PathBuf),
    /// A local file whose path is the source's label: of a million of them only the labels are kept.
    AtLabel,
    /// Bytes in memory, plain or compressed.
    Bytes(Arc<dyn AsRef<[u8]> + Send + Sync>),
    /// A stream, read by the thread that takes the batches.
    Stream(Box<dyn Read + Send>),
    /// Another source, known when it is needed: a worker calls this, may wait in it, and reads what it gives.
    /// They are called in the order of the sources, so that the other side can work ahead.
    Deferred(Box<dyn FnOnce() -> io::Result<Source> + Send>),
    /// A source of which it is known what wraps its messages, whatever is said of the others.
    Wrapped(Envelope, Box<Source>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Source::AtLabel => f.write_str("AtLabel"),
            Source::Bytes(bytes) => f.debug_tuple("Bytes").field(&(**bytes).as_ref().len()).finish(),
            Source::Stream(_) => f.write_str("Stream"),
            Source::Wrapped(envelope, source) => f.debug_tuple("Wrapped").field(envelope).field(source).finish(),
            Source::Deferred(_) => f.write_str("Deferred"),
        }
    }
}

/// Sources with their labels, which are what the `source` column says. A million of them take 50 MB.
#[derive(Default)]
pub struct Sources {
    labels: StringBuilder,
    inputs: Vec<Option<Source>>,
}

impl Sources {
    /// Adds one behind the others.
    pub fn push(&mut self, label: &str, source: Source) {
        self.labels.append_value(label);
        self.inputs.push(Some(source));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// The labels, and the sources in the same order.
    pub(crate) fn into_parts(mut self) -> (Arc<StringArray>, Vec<Option<Source>>) {
        (Arc::new(self.labels.finish()), self.inputs)
    }
}

impl<L: AsRef<str>> FromIterator<(L, Source)> for Sources {
    fn from_iter<I: IntoIterator<Item = (L, Source)>>(labelled: I) -> Self {
        let mut sources = Self::default();
        labelled.into_iter().for_each(|(label, source)| sources.push(label.as_ref(), source));
        sources
    }
}

/// Work that can be claimed: its place in the order of rows, and its input.
pub(crate) struct Unit {
    pub source: usize,
    pub split: usize,
    /// When the source was last written to, in microseconds since 1970.
    written: Option<i64>,
    /// What wraps the messages, if it was said.
    known: Option<Envelope>,
    input: Input,
}

/// How sources are opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    /// Plain files are cut into pieces of this size.
    pub split_bytes: u64,
    /// What wraps the messages, if it was said.
    pub envelope: Option<Envelope>,
}

enum Input {
    Range { file: Arc<SourceFile>, start: u64, at: u64, end: u64, state: RangeState, envelope: Option<Envelope> },
    Memory { bytes: Arc<dyn AsRef<[u8]> + Send + Sync>, at: usize },
    Stream { reader: Box<Decompressed<Box<dyn Read + Send>>>, begun: bool },
}

impl Input {
    fn stream(reader: Decompressed<Box<dyn Read + Send>>) -> Self {
        Input::Stream { reader: Box::new(reader), begun: false }
    }
}

#[derive(PartialEq, Eq)]
enum RangeState {
    /// Looking for the first line that starts in the range.
    Skip,
    Read,
}

/// What a step did.
pub(crate) enum Step {
    /// This many raw bytes were read; there may be more.
    Read(u64),
    /// The end, after this many raw bytes.
    Done(u64),
    /// The consumer wants no more, or a reject ended the scan.
    Stopped,
}

/// An opened source: its units, in order. Readers of compressed ones take their buffers from `pool`.
pub(crate) fn open(
    index: usize,
    label: &str,
    source: Source,
    opening: Opening,
    pool: &Arc<Pool>,
) -> io::Result<Vec<Unit>> {
    let unit = |input| Ok(vec![Unit { source: index, split: 0, written: None, known: opening.envelope, input }]);
    match source {
        Source::Path(path) => open_file(index, &path, opening, pool),
        Source::AtLabel => open_file(index, Path::new(label), opening, pool),
        Source::Bytes(bytes) => {
            if detect((*bytes).as_ref()) == Compression::None {
                return unit(Input::Memory { bytes, at: 0 });
            }
            let len = (*bytes).as_ref().len() as u64;
            let reader: Box<dyn Read + Send> = Box::new(io::Cursor::new(Shared(bytes)));
            unit(Input::stream(Decompressed::of_known_length(reader, len, pool.clone())?))
        }
        Source::Stream(reader) => unit(Input::stream(Decompressed::new(reader)?)),
        Source::Deferred(find) => open(index, label, find()?, opening, pool),
        Source::Wrapped(envelope, source) => {
            open(index, label, *source, Opening { envelope: Some(envelope), ..opening }, pool)
        }
    }
}

fn open_file(index: usize, path: &Path, opening: Opening, pool: &Arc<Pool>) -> io::Result<Vec<Unit>> {
    let mut file = SourceFile::open(path)?;
    let written = file.written();
    let unit = |split, input| Unit { source: index, split, written, known: opening.envelope, input };
    // A file of 0 bytes may still have content (`/proc`).
    if !file.is_regular() || file.is_empty() {
        let reader: Box<dyn Read + Send> = Box::new(file.into_reader()?);
        return Ok(vec![unit(0, Input::stream(Decompressed::new(reader)?))]);
    }
    let head = file.take_in(envelope::HEAD + 3)?;
    if detect(&head) != Compression::None {
        let len = file.len();
        let reader: Box<dyn Read + Send> = match file.content() {
            Some(content) => Box::new(io::Cursor::new(content)),
            None => Box::new(file.into_reader()?),
        };
        let reader = Decompressed::of_known_length(reader, len, pool.clone())?;
        return Ok(vec![unit(0, Input::stream(reader))]);
    }
    let encoding = sniff(&head, true).unwrap_or(Encoding::Utf8);
    let is_wide = matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be);
    // What UTF-16 begins with is known once it is read.
    let found = || (!is_wide).then(|| envelope::detect(&head[encoding.bom_len() as usize..]));
    let envelope = opening.envelope.or_else(found);
    let is_whole = is_wide || envelope.is_some_and(|envelope| !envelope.is_splittable());
    let (len, size) = (file.len(), if is_whole { file.len() } else { opening.split_bytes.max(1) });
    let file = Arc::new(file);
    let starts = (0..len).step_by(usize::try_from(size).unwrap_or(usize::MAX));
    let units = starts.enumerate().map(|(split, start)| {
        let state = if start == 0 { RangeState::Read } else { RangeState::Skip };
        // To see whether a line starts at `start`, look at the byte before it.
        let at = start.saturating_sub(1);
        unit(split, Input::Range { file: file.clone(), start, at, end: (start + size).min(len), state, envelope })
    });
    Ok(units.collect())
}

struct Shared(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl Unit {
    /// Prepares the extractor for this unit.
    pub fn begin(&self, extractor: &mut Extractor, label: &str) {
        let known = match &self.input {
            Input::Range { envelope, .. } => *envelope,
            _ => self.known,
        };
        extractor.begin(self.source, label, self.written, known);
    }

    /// Reads and extracts one piece.
    pub fn step(&mut self, extractor: &mut Extractor, block: usize, emit: Emit) -> io::Result<Step> {
        match &mut self.input {
            Input::Memory { bytes, at } => {
                let rest = &(**bytes).as_ref()[*at..];
                let piece = &rest[..rest.len().min(block)];
                *at += piece.len();
                Ok(match (piece.len(), extractor.push(piece, emit)) {
                    (_, false) => Step::Stopped,
                    (0, true) => Step::Done(0),
                    (len, true) => Step::Read(len as u64),
                })
            }
            Input::Stream { reader, begun } => {
                let before = reader.compressed_bytes();
                let is_first = !std::mem::replace(begun, true);
                let limit = if is_first { block.min(FIRST) } else { block };
                // A step may be longer here: nothing is read, and what is cut between two lines is copied.
                if let Some(bytes) = reader.in_memory(if is_first { limit } else { limit * 8 })? {
                    let go_on = extractor.push(bytes, emit);
                    return Ok(if go_on { Step::Read(reader.compressed_bytes() - before) } else { Step::Stopped });
                }
                let read = extractor.read_with(limit, |buf| reader.read(buf), emit)?;
                Ok(match read {
                    None => Step::Stopped,
                    Some(0) => Step::Done(reader.compressed_bytes() - before),
                    Some(_) => Step::Read(reader.compressed_bytes() - before),
                })
            }
            Input::Range { file, start, at, end, state, envelope } => {
                let envelope = envelope.unwrap_or_default();
                if *state == RangeState::Skip {
                    match first_line(file, start, at, *end, envelope)? {
                        Some(line) => {
                            extractor.go_to(line, envelope);
                            *at = line;
                            *state = RangeState::Read;
                        }
                        None => return Ok(Step::Done(0)),
                    }
                }
                read_range(file, at, *end, envelope, extractor, block, emit)
            }
        }
    }

    /// Ends the unit: name of the compression and what looked odd.
    pub fn end(&self) -> (&'static str, Option<String>) {
        match &self.input {
            Input::Stream { reader, .. } => (reader.compression().name(), reader.warning().map(str::to_owned)),
            _ => (Compression::None.name(), None),
        }
    }
}

/// Whether an event begins with the line at `at`.
fn begins_event(file: &SourceFile, at: u64, envelope: Envelope) -> io::Result<bool> {
    if !envelope.is_continued() {
        return Ok(true);
    }
    let (mut head, mut len) = ([0; LINE_HEAD], 0);
    while len < LINE_HEAD {
        match file.read_at(&mut head[len..], at + len as u64)? {
            0 => break,
            more => len += more,
        }
    }
    Ok(envelope.prefix(&head[..len]).is_some())
}

/// Offset of the first event whose line starts in `start..end`; `at` is one byte before `start`.
fn first_line(file: &SourceFile, start: &u64, at: &mut u64, end: u64, envelope: Envelope) -> io::Result<Option<u64>> {
    debug_assert_eq!(*at + 1, *start);
    let mut chunk = vec![0; OVERREAD];
    // A line that starts at `end` or later belongs to a later split.
    while *at < end - 1 {
        let limit = chunk.len().min((end - 1 - *at) as usize);
        let len = file.read_at(&mut chunk[..limit], *at)?;
        if len == 0 {
            return Err(shrank());
        }
        match memchr(b'\n', &chunk[..len]) {
            Some(lf) => {
                let line = *at + lf as u64 + 1;
                if begins_event(file, line, envelope)? {
                    return Ok(Some(line));
                }
                *at = line;
            }
            None => *at += len as u64,
        }
    }
    Ok(None)
}

fn read_range(
    file: &SourceFile,
    at: &mut u64,
    end: u64,
    envelope: Envelope,
    extractor: &mut Extractor,
    block: usize,
    emit: Emit,
) -> io::Result<Step> {
    let last = *at >= end;
    let known = file.len();
    if *at >= known {
        return Ok(Step::Done(0));
    }
    if last {
        // Only until the event that began in the range is complete.
        let mut before = [0];
        let begins_line = file.read_at(&mut before, *at - 1)? == 1 && before[0] == b'\n';
        if begins_line && begins_event(file, *at, envelope)? {
            return Ok(Step::Done(0));
        }
        let mut chunk = vec![0; OVERREAD.min((known - *at) as usize)];
        let len = file.read_at(&mut chunk, *at)?;
        if len == 0 {
            return Err(shrank());
        }
        let line = memchr(b'\n', &chunk[..len]);
        let piece = &chunk[..line.map_or(len, |lf| lf + 1)];
        *at += piece.len() as u64;
        return Ok(if extractor.push(piece, emit) { Step::Read(piece.len() as u64) } else { Step::Stopped });
    }
    let limit = block.min((end - *at) as usize);
    let (offset, mut len) = (*at, 0);
    let read = extractor.read_with(
        limit,
        |buf| {
            len = file.read_at(buf, offset)?;
            Ok(len)
        },
        emit,
    )?;
    *at += len as u64;
    match read {
        None => Ok(Step::Stopped),
        Some(0) => Err(shrank()),
        Some(len) => Ok(Step::Read(len as u64)),
    }
}

fn shrank() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read")
}
