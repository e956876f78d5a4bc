//! [`Decompressed`]: all members of a compressed stream as one stream of plain bytes.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use super::buffers::{Buffers, Loan, Pool};
use super::codec::libdeflate::Failure;
use super::codec::{Codec, CodecError, new_codec};
use super::magic::{Compression, LZ4_LEGACY, MAGIC, Start, detect, start};
use super::whole::{Bounds, Whole};

/// Compressed bytes held at a time. Reads of 256 KiB cost next to no system calls and stay in the L2 cache.
pub(super) const INPUT_BUFFER: usize = 256 * 1024;
/// Plain bytes that tell what they are.
const HEAD: usize = 512;

/// The input with its buffer: `pos..end` is read and not consumed.
struct Input<R> {
    inner: R,
    loan: Loan,
    /// How much of the buffer is filled at a time; it may be longer.
    limit: usize,
    pos: usize,
    end: usize,
    at_end: bool,
    consumed: u64,
}

impl<R: Read> Input<R> {
    fn new(inner: R, loan: Loan) -> Self {
        let mut input = Input { inner, loan, limit: 0, pos: 0, end: 0, at_end: false, consumed: 0 };
        input.fill_to(INPUT_BUFFER);
        input
    }

    /// Fills the buffer up to `limit` bytes from now on.
    fn fill_to(&mut self, limit: usize) {
        self.limit = limit;
        let buf = &mut self.loan.buffers.input;
        if buf.len() < limit {
            buf.resize(limit, 0);
        }
    }

    fn available(&self) -> &[u8] {
        &self.loan.buffers.input[self.pos..self.end]
    }

    fn consume(&mut self, n: usize) {
        self.pos += n;
        self.consumed += n as u64;
    }

    /// Reads once, behind what is there, of which there must be less than the limit.
    fn read_more(&mut self) -> io::Result<()> {
        let buf = &mut self.loan.buffers.input;
        if self.pos > 0 {
            buf.copy_within(self.pos..self.end, 0);
            self.end -= self.pos;
            self.pos = 0;
        }
        let n = read_retrying(&mut self.inner, &mut buf[self.end..self.limit])?;
        self.end += n;
        self.at_end = n == 0;
        Ok(())
    }

    /// Sees to `n` bytes being available, or all that are left. `n` is at most the limit.
    fn want(&mut self, n: usize) -> io::Result<()> {
        while self.end - self.pos < n && !self.at_end {
            self.read_more()?;
        }
        Ok(())
    }
}

fn read_retrying(inner: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match inner.read(buf) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

enum State {
    Plain,
    /// Before a member, or behind the last one.
    Between,
    /// Inside a skippable frame with this many bytes to go.
    Skipping(u64),
    Member(Box<dyn Codec>),
    /// A whole member is in the buffer for plain bytes; these are still to be delivered.
    Whole(Range<usize>),
    Done,
    /// `io::Error` cannot be cloned, and the same error is returned again.
    Failed(io::ErrorKind, String),
}

/// Bytes of a source, decompressed. Reads all concatenated members or frames (gzip, zstd, bzip2, xz, lz4),
/// skippable frames included.
///
/// - Zero bytes behind a member are padding. Anything else that is no member ends the data cleanly, with a
///   [`warning`](Self::warning).
/// - An input that stops inside a member: all bytes that can be decoded, then
///   [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
/// - Damage, also a wrong checksum: the bytes before it as far as the format gives them away, then
///   [`InvalidData`](io::ErrorKind::InvalidData).
/// - A zstd or xz window over 128 MiB, a legacy LZ4 frame: [`Unsupported`](io::ErrorKind::Unsupported).
///
/// These errors name the format and the compressed offset, and every later read returns them again. Errors
/// of the input itself are passed on as they are and may be retried. Checksums are verified where the format
/// has them; the bytes that a checksum covers are delivered before it is known to be wrong.
pub struct Decompressed<R: Read> {
    input: Input<R>,
    state: State,
    compression: Compression,
    members: u64,
    delivered: bool,
    warning: Option<String>,
    /// How members are decompressed at one go, as long as that works.
    whole: Option<Whole>,
}

impl<R: Read> Decompressed<R> {
    /// Recognises the compression from the first bytes of `inner`, which is read from here to its end.
    ///
    /// Reads no further than it takes to tell, so that a pipe which delivers one line of text is not kept
    /// waiting. Short reads are fine.
    ///
    /// # Errors
    ///
    /// What reading `inner` gives. The content causes no error here, only in the reads that follow.
    pub fn new(inner: R) -> io::Result<Self> {
        Self::open(Input::new(inner, Loan::own()))
    }

    /// The same for `len` bytes of a file or in memory, where reading ahead makes nobody wait: gzip members of
    /// usual sizes are decompressed at one go. The buffers come from `pool` and go back there.
    pub(crate) fn of_known_length(inner: R, len: u64, pool: Arc<Pool>) -> io::Result<Self> {
        Self::bounded(inner, len, pool, Bounds::DEFAULT)
    }

    pub(super) fn bounded(inner: R, len: u64, pool: Arc<Pool>, bounds: Bounds) -> io::Result<Self> {
        let mut opened = Self::open(Input::new(inner, Loan::of(pool)))?;
        if opened.compression == Compression::Gzip {
            let whole = Whole::new(len, bounds);
            opened.input.fill_to(whole.input.max(INPUT_BUFFER));
            opened.whole = Some(whole);
        }
        Ok(opened)
    }

    fn open(mut input: Input<R>) -> io::Result<Self> {
        input.want(1)?;
        while input.end < MAGIC && !input.at_end && !matches!(start(input.available()), Start::Other) {
            input.read_more()?;
        }
        let compression = detect(input.available());
        let state = match compression {
            Compression::None => State::Plain,
            _ => State::Between,
        };
        Ok(Decompressed { input, state, compression, members: 0, delivered: false, warning: None, whole: None })
    }

    /// How the source is compressed.
    ///
    /// Final with the first byte that is delivered: a source that begins with skippable frames may turn
    /// from zstd to lz4 until then.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes of the input that are decoded so far, for progress.
    pub fn compressed_bytes(&self) -> u64 {
        self.input.consumed
    }

    /// What is wrong without being an error: garbage behind the last member (once the end has been read), an
    /// archive inside the compressed data (once it begins).
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    fn warn(&mut self, text: String) {
        match &mut self.warning {
            Some(warning) => {
                warning.push_str("; ");
                warning.push_str(&text);
            }
            None => self.warning = Some(text),
        }
    }

    fn fail(&mut self, kind: io::ErrorKind, text: String) {
        self.state = State::Failed(kind, text);
    }

    fn fail_truncated(&mut self) {
        let text = format!(
            "{} data ends before its end: the input stops inside a member, at compressed offset {}",
            self.compression.name(),
            self.input.consumed,
        );
        self.fail(io::ErrorKind::UnexpectedEof, text);
    }

    fn fail_with(&mut self, error: CodecError) {
        let (name, at) = (self.compression.name(), self.input.consumed);
        match error {
            CodecError::Corrupt(detail) => {
                let text = format!("corrupt {name} data at compressed offset {at}: {detail}");
                self.fail(io::ErrorKind::InvalidData, text);
            }
            CodecError::Refused(detail) => {
                let text = format!("{name} data at compressed offset {at} is not supported: {detail}");
                self.fail(io::ErrorKind::Unsupported, text);
            }
        }
    }

    /// Decides what comes next, before the first member and behind every one.
    fn next_member(&mut self) -> io::Result<()> {
        loop {
            self.input.want(MAGIC)?;
            let zeros = self.input.available().iter().take_while(|&&b| b == 0).count();
            if zeros == 0 {
                break;
            }
            self.input.consume(zeros);
        }
        let bytes = self.input.available();
        if bytes.is_empty() {
            self.state = State::Done;
            return Ok(());
        }
        let shared = matches!(self.compression, Compression::Zstd | Compression::Lz4);
        match start(bytes) {
            Start::Member(c) if c == self.compression || (shared && self.members == 0) => {
                self.compression = c;
                if bytes.starts_with(LZ4_LEGACY) {
                    let text = "legacy frame (lz4 -l); compress it again without -l";
                    self.fail_with(CodecError::Refused(text.into()));
                    return Ok(());
                }
                if self.whole_member()? {
                    return Ok(());
                }
                self.members += 1;
                match new_codec(c) {
                    Ok(codec) => self.state = State::Member(codec),
                    Err(error) => self.fail_with(error),
                }
            }
            Start::Skippable if shared => match bytes.get(4..8).and_then(|s| s.try_into().ok()) {
                Some(size) => {
                    self.input.consume(8);
                    self.state = State::Skipping(u32::from_le_bytes(size).into());
                }
                None => self.fail_truncated(),
            },
            // Less than a magic: the next member was cut, and saying nothing would hide it.
            Start::Partial(c) if c == self.compression || shared => self.fail_truncated(),
            _ => {
                self.warn(format!(
                    "garbage after the last {} member is ignored, from compressed offset {}",
                    self.compression.name(),
                    self.input.consumed,
                ));
                self.state = State::Done;
            }
        }
        Ok(())
    }

    /// Decompresses the member at hand at one go. False if it has to be read as a stream, for whatever reason:
    /// only the stream's decoder delivers parts and says what is wrong.
    fn whole_member(&mut self) -> io::Result<bool> {
        // libdeflate does not look at a header's checksum.
        const CHECKED_HEADER: u8 = 0x02;
        let Some(whole) = &mut self.whole else { return Ok(false) };
        if self.input.available().get(3).is_none_or(|flags| flags & CHECKED_HEADER != 0) {
            return Ok(false);
        }
        // What is there is moved to the buffer's front for it. Members may be tiny: not for every one.
        if self.members == 0 || self.input.available().len() <= whole.input / 2 {
            self.input.want(whole.input)?;
        }
        loop {
            let Input { loan, pos, end, .. } = &mut self.input;
            let Buffers { input, plain, libdeflate } = &mut loan.buffers;
            let result = whole.member(&input[*pos..*end], plain, libdeflate);
            match result {
                Ok((consumed, produced)) => {
                    self.input.consume(consumed);
                    self.members += 1;
                    self.state = State::Whole(0..produced);
                    return Ok(true);
                }
                Err(failure) => {
                    let known = self.input.available().len();
                    if failure == Failure::Data {
                        self.input.want(whole.input)?;
                    }
                    if self.input.available().len() == known {
                        break;
                    }
                }
            }
        }
        self.whole = None;
        self.input.limit = INPUT_BUFFER;
        Ok(false)
    }

    /// The next plain bytes, `limit` at most, where they are in memory already: a member that was decompressed at
    /// one go. `Ok(None)` if they have to be read.
    pub(crate) fn in_memory(&mut self, limit: usize) -> io::Result<Option<&[u8]>> {
        while self.whole.is_some() {
            match &mut self.state {
                State::Between => self.next_member()?,
                State::Whole(left) if left.start == left.end => self.state = State::Between,
                State::Whole(left) => {
                    let taken = left.start..left.end.min(left.start.saturating_add(limit));
                    left.start = taken.end;
                    if !self.delivered {
                        let head = self.input.loan.buffers.plain[taken.clone()][..taken.len().min(HEAD)].to_vec();
                        self.inspect(&head);
                    }
                    return Ok(Some(&self.input.loan.buffers.plain[taken]));
                }
                _ => break,
            }
        }
        Ok(None)
    }

    /// Looks at the first bytes that come out. Nothing is unpacked twice: what a nested archive is for is
    /// not ours to guess, but "0 records matched" would be no answer.
    fn inspect(&mut self, out: &[u8]) {
        self.delivered = true;
        let inside = match detect(out) {
            Compression::None if out.get(257..262) == Some(b"ustar") => "a tar archive",
            Compression::None => return,
            compression => compression.name(),
        };
        let outer = self.compression.name();
        self.warn(format!("the {outer} data holds {inside}, which is read as it is, not unpacked"));
    }

    fn read_plain(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let buffered = self.input.available();
        let n = if buffered.is_empty() {
            if self.input.at_end {
                return Ok(0);
            }
            let n = read_retrying(&mut self.input.inner, out)?;
            self.input.consumed += n as u64;
            n
        } else {
            let n = buffered.len().min(out.len());
            out[..n].copy_from_slice(&buffered[..n]);
            self.input.consume(n);
            n
        };
        Ok(n)
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                State::Plain => return self.read_plain(out),
                State::Between => self.next_member()?,
                State::Skipping(0) => self.state = State::Between,
                State::Skipping(left) => {
                    self.input.want(1)?;
                    let available = self.input.available().len();
                    if available == 0 {
                        self.fail_truncated();
                        continue;
                    }
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
                    *left -= n as u64;
                    self.input.consume(n);
                }
                State::Member(codec) => {
                    self.input.want(1)?;
                    let input = self.input.available();
                    let nothing_left = input.is_empty();
                    let step = codec.step(input, out);
                    self.input.consume(step.consumed);
                    match step.result {
                        Ok(true) => self.state = State::Between,
                        Ok(false) if step.consumed > 0 || step.produced > 0 => {}
                        Ok(false) if nothing_left => self.fail_truncated(),
                        Ok(false) => self.fail_with(CodecError::Corrupt("no progress".into())),
                        Err(error) => self.fail_with(error),
                    }
                    // Before the error, if there is one, comes what was decoded together with it.
                    if step.produced > 0 {
                        if !self.delivered {
                            self.inspect(&out[..step.produced]);
                        }
                        return Ok(step.produced);
                    }
                }
                State::Whole(left) if left.start == left.end => self.state = State::Between,
                State::Whole(left) => {
                    let n = left.len().min(out.len());
                    out[..n].copy_from_slice(&self.input.loan.buffers.plain[left.start..left.start + n]);
                    left.start += n;
                    if !self.delivered {
                        self.inspect(&out[..n]);
                    }
                    return Ok(n);
                }
                State::Done => return Ok(0),
                State::Failed(kind, text) => return Err(io::Error::new(*kind, text.clone())),
            }
        }
    }
}

impl<R: Read> fmt::Debug for Decompressed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressed")
            .field("compression", &self.compression)
            .field("compressed_bytes", &self.input.consumed)
            .field("warning", &self.warning)
            .finish_non_exhaustive()
    }
}
