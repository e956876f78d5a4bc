//! One piece of work of a scan: a source, or a range of one.
//!
//! [`Unit`] knows where its bytes come from and reads them into an [`Extractor`] step by step, so that
//! a worker thread can run it to its end and the consumer can run it a little at a time.

use std::{
    collections::HashMap,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    encoding::{Encoding, sniff},
    envelope::{self, Envelope},
    extract::{Emit, Extractor},
    position::Position,
    range::Range,
    source::{Compression, Decompressed, Pool, SourceFile, detect},
};
use arrow_array::{StringArray, builder::StringBuilder};

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
    /// A part of a plain local file.
    Section {
        /// The file.
        path: PathBuf,
        /// Where it begins, if not with the file.
        from: Option<Box<Position>>,
        /// The offset of a position at which it ends, if not with the file.
        until: Option<u64>,
    },
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
            Source::Section { path, .. } => f.debug_tuple("Section").field(path).finish(),
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

    /// Where those begin that do not begin with their first byte, by their index.
    pub(crate) fn beginnings(&self) -> HashMap<usize, Position> {
        let position = |(index, source): (usize, &Option<Source>)| match source {
            Some(Source::Section { from: Some(position), .. }) => Some((index, (**position).clone())),
            _ => None,
        };
        self.inputs.iter().enumerate().filter_map(position).collect()
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
    /// Whether places in the middle of sources are wanted.
    pub marks: bool,
}

enum Input {
    Range(Box<Range>),
    Memory { bytes: Arc<dyn AsRef<[u8]> + Send + Sync>, at: usize },
    Stream { reader: Box<Decompressed<Box<dyn Read + Send>>>, begun: bool },
}

impl Input {
    fn stream(reader: Decompressed<Box<dyn Read + Send>>) -> Self {
        Input::Stream { reader: Box::new(reader), begun: false }
    }
}

/// What a step did.
pub(crate) enum Step {
    /// This many raw bytes were read; there may be more.
    Read(u64),
    /// The end, after this many raw bytes.
    Done(u64),
    /// The end of the unit, not of the source, of which this is where the next unit begins.
    Suspended(Box<Position>),
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
        Source::Path(path) => open_file(index, &path, (None, None), opening, pool),
        Source::AtLabel => open_file(index, Path::new(label), (None, None), opening, pool),
        Source::Section { path, from, until } => open_file(index, &path, (from, until), opening, pool),
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

fn open_file(
    index: usize,
    path: &Path,
    (from, until): (Option<Box<Position>>, Option<u64>),
    opening: Opening,
    pool: &Arc<Pool>,
) -> io::Result<Vec<Unit>> {
    let mut file = SourceFile::open(path)?;
    let written = file.written();
    let is_section = from.is_some() || until.is_some();
    let unit = |split, input| Unit { source: index, split, written, known: opening.envelope, input };
    // A file of 0 bytes may still have content (`/proc`).
    if !is_section && (!file.is_regular() || file.is_empty()) {
        let reader: Box<dyn Read + Send> = Box::new(file.into_reader()?);
        return Ok(vec![unit(0, Input::stream(Decompressed::new(reader)?))]);
    }
    let head = file.take_in(envelope::HEAD + 3)?;
    if !is_section && detect(&head) != Compression::None {
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
    let known = from.as_ref().and_then(|position| position.envelope);
    let envelope = known.or(opening.envelope).or_else(found);
    let ranges = Range::of(file, from, until, envelope, is_wide, opening)?;
    let units = ranges.into_iter().enumerate();
    Ok(units.map(|(split, range)| unit(split, Input::Range(Box::new(range)))).collect())
}

struct Shared(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl Unit {
    /// Prepares the extractor for this unit.
    pub fn begin(&mut self, extractor: &mut Extractor, label: &str) {
        match &mut self.input {
            Input::Range(range) => range.begin(extractor, self.source, label, self.written),
            _ => extractor.begin(self.source, label, self.written, self.known),
        }
    }

    /// Where the next unit of the source goes on, if there is more to read and this one read anything; line and
    /// context as they are behind it are not known here.
    pub fn reached(&self) -> Option<Box<Position>> {
        match &self.input {
            Input::Range(range) => range.reached().map(Box::new),
            _ => None,
        }
    }

    /// The unit that goes on where this one was suspended.
    pub fn next(&self, position: &Position) -> Option<Self> {
        let Input::Range(range) = &self.input else { return None };
        let input = Input::Range(Box::new(range.next(position)));
        Some(Self { source: self.source, split: self.split + 1, written: self.written, known: self.known, input })
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
            Input::Range(range) => range.step(extractor, block, emit),
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
