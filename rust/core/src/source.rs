//! Bytes of a source: local files, and compressed streams read to their end.
//!
//! The principal type is [`Decompressed`], a reader that finds out by magic bytes how its input is
//! compressed and delivers the plain bytes of all members, one after the other. [`SourceFile`] is a local
//! file with its size as of the opening; nothing else in this crate touches the file system. The scan opens
//! files, or is given streams, and hands what is read here to the transcoder (`encoding`) and the splitting
//! into records.
//!
//! Compressed logs are damaged in practice: copied while they grow, concatenated, padded. The rule is that
//! every byte that can be decoded is delivered, and that an end which is none never looks like one.
//!
//! Memory is bounded whatever the input says: 256 KiB of compressed bytes, and the state of one decoder (at
//! most 128 MiB for the window of zstd or xz, under 20 MiB for the others).

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Compressed bytes held at a time. Reads of 256 KiB cost next to no system calls and stay in the L2 cache.
const INPUT_BUFFER: usize = 256 * 1024;

/// The largest window, as a power of two: 128 MiB, the limit of the `zstd` command without `--long`.
const WINDOW_LOG_MAX: u32 = 27;

/// Memory limit of the xz decoder: a 128 MiB dictionary and the decoder's state. `xz -9` takes 65 MiB.
const XZ_MEMORY: u64 = (128 + 8) << 20;

/// Longest magic that is looked at (bzip2: the stream's and the first block's).
const MAGIC: usize = 10;

/// How a source is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all, or in a way that is not known here.
    None,
    /// gzip members (RFC 1952).
    Gzip,
    /// Zstandard frames (RFC 8878).
    Zstd,
    /// bzip2 streams.
    Bzip2,
    /// xz streams (not the older `.lzma`).
    Xz,
    /// LZ4 frames. The legacy frames of `lz4 -l` are recognised and refused.
    Lz4,
}

impl Compression {
    /// The name that reports and errors show.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Bzip2 => "bzip2",
            Compression::Xz => "xz",
            Compression::Lz4 => "lz4",
        }
    }
}

/// Every magic: the bytes, how many of them must be there if the input ends early, and the format.
const MAGICS: &[(&[u8], usize, Compression)] = &[
    (b"\x1F\x8B\x08", 2, Compression::Gzip),
    (b"\x28\xB5\x2F\xFD", 4, Compression::Zstd),
    (b"\xFD7zXZ\0", 6, Compression::Xz),
    (b"\x04\x22\x4D\x18", 4, Compression::Lz4),
    (LZ4_LEGACY, 4, Compression::Lz4),
];
const LZ4_LEGACY: &[u8] = b"\x02\x21\x4C\x18";
/// What follows `BZh` and the level: a block, or the end of an empty stream.
const BZIP2_BLOCKS: [&[u8]; 2] = [b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"];

/// What the bytes at the start of a member may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Member(Compression),
    /// A frame without content, which zstd and lz4 share.
    Skippable,
    /// The beginning of a magic, with less than is needed to tell.
    Partial(Compression),
    Other,
}

fn start(bytes: &[u8]) -> Start {
    let mut partial = Start::Other;
    for &(magic, enough, compression) in MAGICS {
        let n = magic.len().min(bytes.len());
        if magic[..n] == bytes[..n] {
            if n >= enough {
                return Start::Member(compression);
            }
            partial = Start::Partial(compression);
        }
    }
    let bzip2 = bytes.iter().enumerate().take(MAGIC).all(|(i, &b)| match i {
        0..=2 => b == b"BZh"[i],
        3 => b.is_ascii_digit() && b != b'0',
        _ => BZIP2_BLOCKS.iter().any(|block| bytes[4..=i] == block[..i - 3]),
    });
    if bzip2 && bytes.len() >= 4 {
        return Start::Member(Compression::Bzip2);
    } else if bzip2 {
        partial = Start::Partial(Compression::Bzip2);
    }
    match bytes {
        [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Start::Skippable,
        [0x50..=0x5F] | [0x50..=0x5F, 0x2A] | [0x50..=0x5F, 0x2A, 0x4D] => Start::Partial(Compression::Zstd),
        _ => partial,
    }
}

/// Recognises a compression by magic bytes only, never by a name.
///
/// Ten bytes are enough; with fewer the answer is as good as they allow. A file that begins with skippable
/// frames is followed through them as far as `prefix` goes, and is zstd where that does not tell.
pub fn detect(prefix: &[u8]) -> Compression {
    let mut at = prefix;
    loop {
        match start(at) {
            Start::Member(compression) => return compression,
            Start::Skippable => {
                let Some(size) = at.get(4..8).and_then(|s| s.try_into().ok()) else {
                    return Compression::Zstd;
                };
                match usize::try_from(u32::from_le_bytes(size)).ok().and_then(|n| at.get(8 + n..)) {
                    Some(rest) if !rest.is_empty() => at = rest,
                    _ => return Compression::Zstd,
                }
            }
            // Behind a skippable frame it can only be a damaged zstd or lz4 file.
            _ if at.len() < prefix.len() => return Compression::Zstd,
            _ => return Compression::None,
        }
    }
}

/// The input with its buffer: `pos..end` is read and not consumed.
struct Input<R> {
    inner: R,
    buf: Box<[u8]>,
    pos: usize,
    end: usize,
    at_end: bool,
    consumed: u64,
}

impl<R: Read> Input<R> {
    fn available(&self) -> &[u8] {
        &self.buf[self.pos..self.end]
    }

    fn consume(&mut self, n: usize) {
        self.pos += n;
        self.consumed += n as u64;
    }

    /// Reads once, behind what is there. At most `INPUT_BUFFER - MAGIC` bytes may be waiting.
    fn read_more(&mut self) -> io::Result<()> {
        self.buf.copy_within(self.pos..self.end, 0);
        self.end -= self.pos;
        self.pos = 0;
        let n = read_retrying(&mut self.inner, &mut self.buf[self.end..])?;
        self.end += n;
        self.at_end = n == 0;
        Ok(())
    }

    /// Sees to `n` bytes being available, or all that are left.
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
        let buf = vec![0; INPUT_BUFFER].into_boxed_slice();
        let mut input = Input { inner, buf, pos: 0, end: 0, at_end: false, consumed: 0 };
        input.want(1)?;
        while input.end < MAGIC && !input.at_end && !matches!(start(input.available()), Start::Other) {
            input.read_more()?;
        }
        let compression = detect(input.available());
        let state = match compression {
            Compression::None => State::Plain,
            _ => State::Between,
        };
        Ok(Decompressed { input, state, compression, members: 0, delivered: false, warning: None })
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

enum CodecError {
    Corrupt(String),
    /// Well-formed, but over a limit or of a kind that is not read.
    Refused(String),
}

impl CodecError {
    fn corrupt(detail: impl fmt::Display) -> Self {
        CodecError::Corrupt(detail.to_string())
    }
}

/// What one call of a codec did. The counts hold whatever the result.
struct Step {
    consumed: usize,
    produced: usize,
    /// Whether the member is complete, checksum included.
    result: Result<bool, CodecError>,
}

/// Decoder of a single member. With no input it writes what it holds back; no progress then means that it
/// waits for more.
trait Codec: Send {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step;
}

fn new_codec(compression: Compression) -> Result<Box<dyn Codec>, CodecError> {
    Ok(match compression {
        Compression::Gzip => Box::new(Gzip(flate2::Decompress::new_gzip(15))),
        Compression::Zstd => Box::new(Zstd::new().map_err(CodecError::corrupt)?),
        Compression::Bzip2 => Box::new(Bzip2(bzip2::Decompress::new(false))),
        Compression::Xz => {
            Box::new(Xz(liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0).map_err(CodecError::corrupt)?))
        }
        Compression::Lz4 => Box::new(Lz4::default()),
        Compression::None => unreachable!("plain text has no members"),
    })
}

/// flate2's readers do not fit: `GzDecoder` stops after one member without an error, `MultiGzDecoder` fails
/// on trailing garbage. The raw decoder checks header, CRC and length itself.
struct Gzip(flate2::Decompress);

impl Codec for Gzip {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        let before = (self.0.total_in(), self.0.total_out());
        let result = self.0.decompress(input, out, flate2::FlushDecompress::None);
        Step {
            consumed: (self.0.total_in() - before.0) as usize,
            produced: (self.0.total_out() - before.1) as usize,
            result: match result {
                Ok(status) => Ok(status == flate2::Status::StreamEnd),
                Err(e) => Err(CodecError::corrupt(e.message().unwrap_or("invalid deflate data"))),
            },
        }
    }
}

struct Zstd {
    decoder: zstd::stream::raw::Decoder<'static>,
    /// Input up to the end of the current block, as the decoder asked for. It is given no more, because a
    /// call that fails loses what it has decoded: a block at a time, only the bad block is lost.
    wanted: usize,
}

impl Zstd {
    fn new() -> io::Result<Self> {
        use zstd::stream::raw::{DParameter, Decoder};
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        // Five bytes are the shortest beginning of a frame header.
        Ok(Zstd { decoder, wanted: 5 })
    }
}

impl Codec for Zstd {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        use zstd::stream::raw::{InBuffer, Operation, OutBuffer};
        let mut source = InBuffer::around(&input[..input.len().min(self.wanted)]);
        let mut target = OutBuffer::around(out);
        let result = self.decoder.run(&mut source, &mut target);
        Step {
            consumed: source.pos(),
            produced: target.pos(),
            result: match result {
                Ok(wanted) => {
                    self.wanted = wanted;
                    Ok(wanted == 0)
                }
                // The text of ZSTD_error_frameParameter_windowTooLarge; a test pins it.
                Err(e) if e.to_string().contains("too much memory") => Err(CodecError::Refused(
                    "it needs a window larger than 128 MiB; compress it again with a window of at most \
                     128 MiB (zstd --long=27)"
                        .into(),
                )),
                Err(e) => Err(CodecError::corrupt(e)),
            },
        }
    }
}

struct Bzip2(bzip2::Decompress);

impl Codec for Bzip2 {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        let before = (self.0.total_in(), self.0.total_out());
        let result = self.0.decompress(input, out);
        Step {
            consumed: (self.0.total_in() - before.0) as usize,
            produced: (self.0.total_out() - before.1) as usize,
            result: match result {
                Ok(bzip2::Status::StreamEnd) => Ok(true),
                Ok(bzip2::Status::MemNeeded) => Err(CodecError::Refused("out of memory".into())),
                Ok(_) => Ok(false),
                Err(e) => Err(CodecError::corrupt(e)),
            },
        }
    }
}

struct Xz(liblzma::stream::Stream);

impl Codec for Xz {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        use liblzma::stream::{Action, Error, Status};
        let before = (self.0.total_in(), self.0.total_out());
        let result = self.0.process(input, out, Action::Run);
        Step {
            consumed: (self.0.total_in() - before.0) as usize,
            produced: (self.0.total_out() - before.1) as usize,
            result: match result {
                // `MemNeeded` is LZMA_BUF_ERROR here: no progress, which the caller sees by the counts.
                Ok(status) => Ok(status == Status::StreamEnd),
                Err(Error::MemLimit) => Err(CodecError::Refused(
                    "it needs a dictionary larger than 128 MiB; compress it again with xz -9 or less".into(),
                )),
                Err(e) => Err(CodecError::corrupt(e)),
            },
        }
    }
}

/// LZ4 by the frame decoder of `lz4_flex`, which pulls and takes an input that ends between two blocks for a
/// complete one. It is therefore given the header, each block and the end mark one at a time, as wholes, and
/// the frame's structure is followed here.
#[derive(Default)]
struct Lz4 {
    decoder: Option<lz4_flex::frame::FrameDecoder<Piece>>,
    /// The piece that is being collected.
    piece: Vec<u8>,
    /// `piece` has been handed over and its output is being drained.
    draining: bool,
    last: bool,
    block_checksum: bool,
    content_checksum: bool,
    block_max: usize,
}

/// What the frame decoder may read: one piece.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    pos: usize,
}

impl Read for Piece {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = (&self.bytes[self.pos..]).read(out)?;
        self.pos += n;
        Ok(n)
    }
}

impl Lz4 {
    /// Length of the piece, as far as its first bytes tell.
    fn piece_len(&self) -> Result<usize, CodecError> {
        if self.decoder.is_none() {
            // Magic, FLG, BD, [content size], [dictionary], header checksum.
            return Ok(match self.piece.get(4) {
                Some(flg) => 7 + usize::from(flg & 0x08 != 0) * 8 + usize::from(flg & 0x01 != 0) * 4,
                None => 5,
            });
        }
        let Some(size) = self.piece.get(..4).and_then(|s| s.try_into().ok()) else {
            return Ok(4);
        };
        let len = (u32::from_le_bytes(size) & 0x7FFF_FFFF) as usize;
        if size == [0; 4] {
            return Ok(4 + usize::from(self.content_checksum) * 4);
        }
        if len > self.block_max {
            return Err(CodecError::Corrupt(format!("a block of {len} bytes, larger than the frame allows")));
        }
        Ok(4 + len + usize::from(self.block_checksum) * 4)
    }

    /// Hands the collected piece over.
    fn commit(&mut self) {
        if self.decoder.is_none() {
            let (flg, bd) = (self.piece[4], self.piece[5]);
            self.block_checksum = flg & 0x10 != 0;
            self.content_checksum = flg & 0x04 != 0;
            // 64 KiB, 256 KiB, 1 MiB, 4 MiB for 4..=7; the decoder refuses other values.
            self.block_max = 1 << (8 + 2 * u32::from(bd >> 4 & 7));
        } else {
            self.last = self.piece[..4] == [0; 4];
        }
        let decoder = self.decoder.get_or_insert_with(|| lz4_flex::frame::FrameDecoder::new(Piece::default()));
        let source = decoder.get_mut();
        std::mem::swap(&mut source.bytes, &mut self.piece);
        source.pos = 0;
        self.piece.clear();
        self.draining = true;
    }
}

impl Codec for Lz4 {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        let mut step = Step { consumed: 0, produced: 0, result: Ok(false) };
        loop {
            if self.draining
                && let Some(decoder) = &mut self.decoder
            {
                match decoder.read(out) {
                    Ok(0) => {
                        self.draining = false;
                        if self.last {
                            step.result = Ok(true);
                            return step;
                        }
                    }
                    Ok(n) => step.produced = n,
                    Err(e) => step.result = Err(CodecError::corrupt(e)),
                }
                if step.produced > 0 || step.result.is_err() {
                    return step;
                }
            }
            let len = match self.piece_len() {
                Ok(len) => len,
                Err(e) => {
                    step.result = Err(e);
                    return step;
                }
            };
            let rest = &input[step.consumed..];
            let n = rest.len().min(len - self.piece.len());
            self.piece.extend_from_slice(&rest[..n]);
            step.consumed += n;
            if self.piece.len() < len {
                return step;
            }
            // The first bytes of a piece tell how long it is: ask again now that they are there.
            match self.piece_len() {
                Ok(known) if known == len => self.commit(),
                _ => {}
            }
        }
    }
}

/// What tells files apart under renaming: device and inode. Not available on every platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Number of the device.
    pub device: u64,
    /// Number of the file on it.
    pub inode: u64,
}

/// A local file opened for scanning: snapshot of its size, its identity, reads at any position.
///
/// Reads do not move a cursor (Unix), so that threads can share the file. A file that grows is scanned up to
/// the size at the opening; one that shrinks gives short reads.
#[derive(Debug)]
pub struct SourceFile {
    handle: Handle,
    len: u64,
    regular: bool,
    id: Option<FileId>,
}

#[derive(Debug)]
enum Handle {
    Open(File),
    /// Opening a pipe waits for its writer, and must not hold up the start of a scan over other files.
    Pipe(PathBuf),
}

impl SourceFile {
    /// Opens the file. A named pipe is only looked at; it is opened by [`into_reader`](Self::into_reader).
    ///
    /// # Errors
    ///
    /// What the operating system says, and [`IsADirectory`](io::ErrorKind::IsADirectory) for a directory,
    /// which some systems open without complaint.
    pub fn open(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
        }
        if is_pipe(&metadata) {
            let id = file_id(&metadata);
            return Ok(SourceFile { handle: Handle::Pipe(path.into()), len: 0, regular: false, id });
        }
        let file = File::open(path)?;
        // Of the open file: the name may stand for another one since the first look.
        let metadata = file.metadata()?;
        let regular = metadata.is_file();
        Ok(SourceFile {
            handle: Handle::Open(file),
            len: if regular { metadata.len() } else { 0 },
            regular,
            id: file_id(&metadata),
        })
    }

    /// Size in bytes when the file was opened, 0 for what is no regular file.
    ///
    /// Files in `/proc` are regular, say 0 and have content: where 0 matters, read to the end.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the size was 0 when the file was opened.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether this is a regular file. Others (pipes, terminals) are streams: no size, no
    /// [`read_at`](Self::read_at).
    pub fn is_regular(&self) -> bool {
        self.regular
    }

    /// Device and inode, where the platform has them.
    pub fn id(&self) -> Option<FileId> {
        self.id
    }

    /// Reads at a position, as many bytes as one call gives; 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// What the operating system says; [`NotSeekable`](io::ErrorKind::NotSeekable) for what is no regular
    /// file.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = match &self.handle {
            Handle::Open(file) if self.regular => file,
            _ => {
                let text = "not a regular file; it can only be read as a stream, from its start";
                return Err(io::Error::new(io::ErrorKind::NotSeekable, text));
            }
        };
        loop {
            match positional_read(file, buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// The first `n` bytes, fewer only if the file has fewer.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at).
    pub fn head(&self, n: usize) -> io::Result<Vec<u8>> {
        let mut head = vec![0; n];
        let mut known = 0;
        while known < n {
            match self.read_at(&mut head[known..], known as u64)? {
                0 => break,
                more => known += more,
            }
        }
        head.truncate(known);
        Ok(head)
    }

    /// The file as a stream from its start, for [`Decompressed`]. Waits for the writer of a named pipe.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn into_reader(self) -> io::Result<File> {
        match self.handle {
            Handle::Open(mut file) => {
                if self.regular {
                    // Positional reads move the cursor on Windows.
                    io::Seek::rewind(&mut file)?;
                }
                Ok(file)
            }
            Handle::Pipe(path) => File::open(path),
        }
    }
}

#[cfg(unix)]
fn positional_read(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(windows)]
fn positional_read(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

#[cfg(unix)]
fn is_pipe(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &fs::Metadata) -> bool {
    false
}

#[cfg(unix)]
fn file_id(metadata: &fs::Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    Some(FileId { device: metadata.dev(), inode: metadata.ino() })
}

#[cfg(not(unix))]
fn file_id(_: &fs::Metadata) -> Option<FileId> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const ALL: [Compression; 5] =
        [Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Xz, Compression::Lz4];

    fn compress(compression: Compression, plain: &[u8]) -> Vec<u8> {
        match compression {
            Compression::None => plain.to_vec(),
            Compression::Gzip => {
                let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                e.write_all(plain).unwrap();
                e.finish().unwrap()
            }
            Compression::Zstd => {
                let mut e = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
                e.include_checksum(true).unwrap();
                e.write_all(plain).unwrap();
                e.finish().unwrap()
            }
            Compression::Bzip2 => {
                let mut e = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
                e.write_all(plain).unwrap();
                e.finish().unwrap()
            }
            Compression::Xz => {
                // Preset 0: the encoder of the others takes tens of megabytes for each of 1000 members.
                let mut e = liblzma::write::XzEncoder::new(Vec::new(), 0);
                e.write_all(plain).unwrap();
                e.finish().unwrap()
            }
            Compression::Lz4 => lz4(plain, lz4_flex::frame::BlockMode::Linked, true),
        }
    }

    fn lz4(plain: &[u8], mode: lz4_flex::frame::BlockMode, checksums: bool) -> Vec<u8> {
        let info = lz4_flex::frame::FrameInfo::new()
            .block_mode(mode)
            .block_size(lz4_flex::frame::BlockSize::Max64KB)
            .block_checksums(checksums)
            .content_checksum(checksums)
            .content_size(Some(plain.len() as u64));
        let mut e = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        e.write_all(plain).unwrap();
        e.finish().unwrap()
    }

    fn skippable(n: usize) -> Vec<u8> {
        let mut frame = b"\x53\x2A\x4D\x18".to_vec();
        frame.extend_from_slice(&(n as u32).to_le_bytes());
        frame.resize(8 + n, b'x');
        frame
    }

    /// A log of about `n` bytes that does not compress to nothing.
    fn log(n: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let mut x = 1u32;
        while text.len() < n {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            writeln!(text, "step={} loss={:.6} lr={:e}", text.len(), f64::from(x) / 1e9, x >> 7).unwrap();
        }
        text
    }

    /// Gives at most so many bytes a read, as a pipe may.
    struct Short<'a>(&'a [u8], usize);

    impl Read for Short<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = out.len().min(self.1);
            self.0.read(&mut out[..n])
        }
    }

    struct Outcome {
        compression: Compression,
        plain: Vec<u8>,
        error: Option<io::Error>,
        warning: Option<String>,
        consumed: u64,
    }

    fn run(bytes: &[u8], in_size: usize, out_size: usize) -> Outcome {
        let mut reader = Decompressed::new(Short(bytes, in_size)).unwrap();
        let mut plain = Vec::new();
        let mut buf = vec![0; out_size];
        let error = loop {
            match reader.read(&mut buf) {
                Ok(0) => break None,
                Ok(n) => plain.extend_from_slice(&buf[..n]),
                Err(e) => {
                    let again = reader.read(&mut buf).expect_err("an error stays");
                    assert_eq!(again.to_string(), e.to_string());
                    break Some(e);
                }
            }
        };
        Outcome {
            compression: reader.compression(),
            plain,
            error,
            warning: reader.warning().map(String::from),
            consumed: reader.compressed_bytes(),
        }
    }

    fn whole(bytes: &[u8]) -> Outcome {
        run(bytes, usize::MAX, 1 << 16)
    }

    #[track_caller]
    fn assert_clean(outcome: &Outcome, plain: &[u8], what: &str) {
        assert!(outcome.error.is_none(), "{what}: {:?}", outcome.error);
        assert_eq!(outcome.warning, None, "{what}");
        assert!(outcome.plain == plain, "{what}: {} bytes, not {}", outcome.plain.len(), plain.len());
    }

    #[track_caller]
    fn assert_error(outcome: &Outcome, kind: io::ErrorKind, parts: &[&str]) {
        let error = outcome.error.as_ref().expect("an error");
        assert_eq!(error.kind(), kind, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{error} does not say {part:?}");
        }
    }

    #[test]
    fn c1_cut_at_every_byte_all_that_can_be_decoded_is_delivered() {
        let plain = log(5000);
        for compression in ALL {
            let member = compress(compression, &plain);
            let two = [&member[..], &member[..]].concat();
            let mut known = 0;
            for cut in 0..two.len() {
                let what = format!("{} cut at {cut} of {}", compression.name(), two.len());
                let outcome = whole(&two[..cut]);
                if outcome.compression == Compression::None {
                    assert!(cut < 6, "{what}");
                    assert_clean(&outcome, &two[..cut], &what);
                    continue;
                }
                assert_eq!(outcome.compression, compression, "{what}");
                assert!(outcome.plain.len() >= known, "{what}: less than with a byte less");
                known = outcome.plain.len();
                assert!([&plain[..], &plain[..]].concat().starts_with(&outcome.plain), "{what}");
                if cut == member.len() {
                    assert_clean(&outcome, &plain, &what);
                    continue;
                }
                let offset = format!("compressed offset {}", outcome.consumed);
                let parts = [compression.name(), "ends before its end", &offset];
                assert_error(&outcome, io::ErrorKind::UnexpectedEof, &parts);
                assert!(cut < member.len() || known >= plain.len(), "{what}: the first member is lost");
            }
            // Only the last byte, of a checksum or an index, is missing.
            assert_eq!(known, 2 * plain.len(), "{}", compression.name());
        }
    }

    #[test]
    fn c1_gzip_delivers_what_the_last_bits_hold() {
        let plain = log(5000);
        let member = compress(Compression::Gzip, &plain);
        // Without the checksum and the length, and then some of the last codes.
        assert_eq!(whole(&member[..member.len() - 8]).plain.len(), plain.len());
        assert!(whole(&member[..member.len() - 20]).plain.len() > plain.len() - 60);
        assert!(whole(&member[..member.len() / 2]).plain.len() > plain.len() / 3);
    }

    #[test]
    fn c2_concatenated_members_are_all_read() {
        let plain = log(60);
        for compression in ALL {
            let member = compress(compression, &plain);
            for n in [1, 2, 1000] {
                let bytes = member.repeat(n);
                let outcome = whole(&bytes);
                assert_clean(&outcome, &plain.repeat(n), &format!("{} {n} times", compression.name()));
                assert_eq!(outcome.compression, compression);
                assert_eq!(outcome.consumed, bytes.len() as u64);
            }
            let empty = compress(compression, b"");
            assert_clean(&whole(&empty), b"", "an empty member");
            let bytes = [&empty[..], &member, &empty, &empty, &member, &empty].concat();
            assert_clean(&whole(&bytes), &plain.repeat(2), "empty members between");
        }
    }

    #[test]
    fn c2_buffer_sizes_do_not_matter() {
        let plain = log(3000);
        for compression in ALL.into_iter().chain([Compression::None]) {
            let bytes = compress(compression, &plain).repeat(2);
            for in_size in [1, 3, 7, 100, usize::MAX] {
                for out_size in [1, 3, 7, 100, 1 << 16] {
                    let what = format!("{} {in_size} {out_size}", compression.name());
                    assert_clean(&run(&bytes, in_size, out_size), &plain.repeat(2), &what);
                }
            }
        }
    }

    #[test]
    fn c2_members_longer_than_the_buffers() {
        let plain = log(3 << 20);
        for compression in ALL {
            let bytes = compress(compression, &plain).repeat(2);
            assert!(bytes.len() > 2 * INPUT_BUFFER);
            assert_clean(&run(&bytes, usize::MAX, 100_000), &plain.repeat(2), compression.name());
        }
    }

    #[test]
    fn c2_lz4_frames_of_every_kind() {
        use lz4_flex::frame::BlockMode::{Independent, Linked};
        let plain = log(200_000);
        for mode in [Linked, Independent] {
            for checksums in [false, true] {
                let bytes = lz4(&plain, mode, checksums).repeat(2);
                assert_clean(&run(&bytes, 1000, 1000), &plain.repeat(2), "lz4");
            }
        }
        let mut noise = vec![0u8; 100_000];
        let mut x = 1u64;
        noise.iter_mut().for_each(|b| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            *b = x as u8;
        });
        assert_clean(&whole(&lz4(&noise, Linked, true)), &noise, "stored blocks");
    }

    #[test]
    fn c3_zeros_after_a_member_are_padding() {
        let plain = log(300);
        for compression in ALL {
            let member = compress(compression, &plain);
            for n in [1, 4, 9, 512, INPUT_BUFFER + 3] {
                let padded = [&member[..], &vec![0; n]].concat();
                assert_clean(&whole(&padded), &plain, compression.name());
                let between = [&padded[..], &member].concat();
                assert_clean(&whole(&between), &plain.repeat(2), compression.name());
            }
        }
    }

    #[test]
    fn c3_garbage_after_a_member_warns_after_the_data() {
        let plain = log(300);
        for compression in ALL {
            let member = compress(compression, &plain);
            for garbage in [&b"g"[..], b"garbage that goes on", b"\0\0\0\0x", b"\xFF\xFF"] {
                let bytes = [&member[..], garbage].concat();
                let mut reader = Decompressed::new(&bytes[..]).unwrap();
                let mut out = vec![0; plain.len()];
                reader.read_exact(&mut out).unwrap();
                assert_eq!((&out, reader.warning()), (&plain, None), "{}", compression.name());
                assert_eq!(reader.read(&mut out).unwrap(), 0);
                let zeros = garbage.iter().take_while(|&&b| b == 0).count();
                let offset = format!("compressed offset {}", member.len() + zeros);
                let warning = reader.warning().unwrap();
                assert!(warning.contains("garbage") && warning.ends_with(&offset), "{warning}");
                assert!(warning.contains(compression.name()), "{warning}");
            }
        }
        // A member of another format is not part of the stream.
        let mixed = [compress(Compression::Gzip, &plain), compress(Compression::Zstd, &plain)].concat();
        let outcome = whole(&mixed);
        assert!(outcome.plain == plain && outcome.warning.is_some());
    }

    #[test]
    fn c4_a_bomb_streams() {
        const SIZE: u64 = 32 << 20;
        for compression in ALL {
            let bomb = compress(compression, &vec![0; SIZE as usize]);
            let mut reader = Decompressed::new(&bomb[..]).unwrap();
            let copied = io::copy(&mut reader, &mut io::sink()).unwrap();
            assert_eq!(copied, SIZE, "{}", compression.name());
        }
    }

    #[test]
    fn c5_magic_bytes_decide() {
        use Compression::*;
        let table: [(&[u8], Compression); 22] = [
            (b"", None),
            (b"\x1F", None),
            (b"\x1F\x8B", Gzip),
            (b"\x1F\x8B\x08", Gzip),
            (b"\x1F\x8B\x07", None),
            (b"\x28\xB5\x2F", None),
            (b"\x28\xB5\x2F\xFD", Zstd),
            (b"\xFD7zXZ", None),
            (b"\xFD7zXZ\0\0", Xz),
            (b"\x04\x22\x4D\x18", Lz4),
            (b"\x02\x21\x4C\x18", Lz4),
            (b"BZh", None),
            (b"BZh9", Bzip2),
            (b"BZh0", None),
            (b"BZh91A", Bzip2),
            (b"BZh91AY&SYmore", Bzip2),
            (b"BZh9\x17\x72\x45\x38\x50\x90", Bzip2),
            (b"BZh9 is text", None),
            (b"\x5F\x2A\x4D\x18", Zstd),
            (b"\x50\x2A\x4D\x18\x01\0\0\0x\x04\x22\x4D\x18", Lz4),
            (b"\x50\x2A\x4D\x18\xFF\xFF\xFF\xFFx", Zstd),
            (b"P*M is text", None),
        ];
        for (prefix, expected) in table {
            assert_eq!(detect(prefix), expected, "{prefix:02X?}");
        }
        for compression in ALL {
            assert_eq!(detect(&compress(compression, b"loss=1\n")), compression);
            assert_eq!(detect(&compress(compression, b"")), compression);
        }
    }

    #[test]
    fn c5_plain_text_passes_unchanged() {
        for plain in [&b""[..], b"\n", b"B", b"BZ", b"BZh9 loss=1\n", b"\x1F", b"P*", b"\0\0\0", b"\xFF\xFEa\0"] {
            for in_size in [1, 100] {
                let outcome = run(plain, in_size, 3);
                assert_clean(&outcome, plain, "plain");
                assert_eq!(outcome.compression, Compression::None);
                assert_eq!(outcome.consumed, plain.len() as u64);
            }
        }
    }

    #[test]
    fn c5_a_pipe_with_one_line_is_not_kept_waiting() {
        struct Once(bool);
        impl Read for Once {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                assert!(!std::mem::replace(&mut self.0, true), "a second read would block");
                out[0] = b'a';
                Ok(1)
            }
        }
        let mut reader = Decompressed::new(Once(false)).unwrap();
        let mut out = [0; 10];
        assert_eq!(reader.read(&mut out).unwrap(), 1);
    }

    #[test]
    fn c6_a_window_over_128_mib_is_refused_with_a_reason() {
        // Window descriptors 2^27 and 2^30, then an empty last block.
        let allowed = b"\x28\xB5\x2F\xFD\x00\x88\x01\x00\x00";
        assert_clean(&whole(allowed), b"", "2^27");
        let refused = b"\x28\xB5\x2F\xFD\x00\xA0\x01\x00\x00";
        assert_error(&whole(refused), io::ErrorKind::Unsupported, &["zstd", "window", "128 MiB", "--long"]);
        // printf 'hello\n' | xz --lzma2=preset=0,mf=hc3,dict=1GiB --check=crc32
        let refused = b"\
            \xFD\x37\x7A\x58\x5A\x00\x00\x01\x69\x22\xDE\x36\x02\x00\x21\x01\x24\x00\x00\x00\
            \x5E\x1F\xC7\xF9\x01\x00\x05\x68\x65\x6C\x6C\x6F\x0A\x00\x00\x00\x20\x30\x3A\x36\
            \x00\x01\x1A\x06\xC5\xEA\xC8\x79\x90\x42\x99\x0D\x01\x00\x00\x00\x00\x01\x59\x5A";
        assert_error(&whole(refused), io::ErrorKind::Unsupported, &["xz", "dictionary", "128 MiB"]);
        let refused = b"\x02\x21\x4C\x18\x01\0\0\0\0";
        assert_error(&whole(refused), io::ErrorKind::Unsupported, &["lz4", "legacy"]);
    }

    #[test]
    fn c8_every_flipped_bit_is_an_error_or_harmless() {
        let plain = log(400);
        for compression in ALL {
            let member = compress(compression, &plain);
            let bytes = [&member[..], &member].concat();
            let plain = plain.repeat(2);
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let outcome = whole(&flipped);
                let what = format!("{} bit {bit}", compression.name());
                if outcome.compression != compression {
                    // The magic itself: now a plain file, or the start of a skippable frame.
                    assert!(bit < 8 * MAGIC, "{what}");
                    continue;
                }
                match &outcome.error {
                    Some(e) => {
                        assert!(e.to_string().contains("compressed offset"), "{what}: {e}");
                        assert!(e.to_string().contains(compression.name()), "{what}: {e}");
                    }
                    None if outcome.warning.is_some() => {
                        assert!(plain.starts_with(&outcome.plain), "{what}")
                    }
                    None => assert!(outcome.plain == plain, "{what}: wrong data without a word"),
                }
            }
        }
    }

    #[test]
    fn c8_a_wrong_checksum_is_an_error_after_the_data() {
        let plain = log(400);
        // Distance of a checksum's last byte from the end.
        for (compression, from_end) in [(Compression::Gzip, 5), (Compression::Zstd, 1), (Compression::Lz4, 1)] {
            let mut bytes = compress(compression, &plain);
            let at = bytes.len() - from_end;
            bytes[at] ^= 1;
            let outcome = whole(&bytes);
            assert!(outcome.plain == plain, "{}: {} bytes", compression.name(), outcome.plain.len());
            let parts = [compression.name(), "corrupt", "compressed offset"];
            assert_error(&outcome, io::ErrorKind::InvalidData, &parts);
        }
    }

    #[test]
    fn c8_skippable_frames_are_skipped() {
        let plain = log(300);
        for compression in [Compression::Zstd, Compression::Lz4] {
            let member = compress(compression, &plain);
            for n in [0, 1, 5, 1000, INPUT_BUFFER * 2] {
                let skip = skippable(n);
                let bytes = [&skip[..], &skip, &member, &skip, &member, &skip].concat();
                let outcome = whole(&bytes);
                assert_clean(&outcome, &plain.repeat(2), &format!("{} {n}", compression.name()));
                assert_eq!(outcome.compression, compression);
                assert_clean(&run(&bytes, 7, 100), &plain.repeat(2), "small reads");
                for cut in [1, n + 7] {
                    let cut = bytes.len() - cut;
                    let outcome = whole(&bytes[..cut]);
                    assert_error(&outcome, io::ErrorKind::UnexpectedEof, &["ends before its end"]);
                    assert!(outcome.plain == plain.repeat(2));
                }
            }
        }
    }

    #[test]
    fn c8_a_nested_archive_is_named() {
        let plain = log(300);
        let inner = compress(Compression::Zstd, &plain);
        let outcome = whole(&compress(Compression::Gzip, &inner));
        assert!(outcome.plain == inner);
        let warning = outcome.warning.unwrap();
        assert!(warning.contains("gzip data holds zstd"), "{warning}");
        let mut tar = vec![b'n'; 1024];
        tar[257..262].copy_from_slice(b"ustar");
        let warning = whole(&compress(Compression::Xz, &tar)).warning.unwrap();
        assert!(warning.contains("tar archive"), "{warning}");
    }

    #[test]
    fn errors_of_the_input_pass_unchanged_and_can_be_retried() {
        struct Flaky<'a>(&'a [u8], u32);
        impl Read for Flaky<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                self.1 += 1;
                match self.1 % 4 {
                    1 => Err(io::ErrorKind::Interrupted.into()),
                    3 => Err(io::Error::new(io::ErrorKind::WouldBlock, "not yet")),
                    _ => {
                        let n = out.len().min(20);
                        self.0.read(&mut out[..n])
                    }
                }
            }
        }
        let plain = log(500);
        for compression in ALL.into_iter().chain([Compression::None]) {
            let bytes = compress(compression, &plain).repeat(2);
            let mut reader = Decompressed::new(Flaky(&bytes, 0)).unwrap();
            let mut got = Vec::new();
            let mut buf = [0; 64];
            loop {
                match reader.read(&mut buf) {
                    Ok(0) => break,
                    Ok(n) => got.extend_from_slice(&buf[..n]),
                    Err(e) => assert_eq!(e.to_string(), "not yet"),
                }
            }
            assert!(got == plain.repeat(2), "{}", compression.name());
        }
    }

    #[test]
    fn readers_can_go_to_another_thread() {
        fn assert_send<T: Send>() {}
        fn assert_sync<T: Sync>() {}
        assert_send::<Decompressed<File>>();
        assert_send::<SourceFile>();
        assert_sync::<SourceFile>();
    }

    struct TempDir(PathBuf);

    impl TempDir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("metricsieve-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            TempDir(path)
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn f8_a_regular_file_is_read_at_positions() {
        let dir = TempDir::new("regular");
        let path = dir.0.join("a.log");
        fs::write(&path, b"0123456789").unwrap();
        let file = SourceFile::open(&path).unwrap();
        assert_eq!((file.len(), file.is_empty(), file.is_regular()), (10, false, true));
        let mut buf = [0; 4];
        assert_eq!(file.read_at(&mut buf, 8).unwrap(), 2);
        assert_eq!(&buf[..2], b"89");
        assert_eq!(file.read_at(&mut buf, 3).unwrap(), 4);
        assert_eq!(&buf, b"3456");
        assert_eq!(file.read_at(&mut buf, 10).unwrap(), 0);
        assert_eq!(file.head(3).unwrap(), b"012");
        assert_eq!(file.head(100).unwrap(), b"0123456789");

        // The size is that of the opening; the identity survives renaming.
        let id = file.id();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert_eq!(file.len(), 10);
        fs::rename(&path, dir.0.join("a.log.1")).unwrap();
        assert_eq!(SourceFile::open(&dir.0.join("a.log.1")).unwrap().id(), id);
        let mut all = String::new();
        file.into_reader().unwrap().read_to_string(&mut all).unwrap();
        assert_eq!(all, "0123456789more");
        assert_eq!(SourceFile::open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn f8_a_directory_is_an_error() {
        let dir = TempDir::new("directory");
        assert_eq!(SourceFile::open(&dir.0).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[cfg(unix)]
    #[test]
    fn f8_a_pipe_without_a_writer_does_not_hang_the_opening() {
        let dir = TempDir::new("pipe");
        let path = dir.0.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let file = SourceFile::open(&path).unwrap();
        assert_eq!((file.len(), file.is_regular()), (0, false));
        assert_eq!(file.head(1).unwrap_err().kind(), io::ErrorKind::NotSeekable);
        let writer = std::thread::spawn(move || fs::write(path, b"loss=1\n").unwrap());
        let mut text = String::new();
        file.into_reader().unwrap().read_to_string(&mut text).unwrap();
        writer.join().unwrap();
        assert_eq!(text, "loss=1\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn f8_a_proc_file_has_content_though_no_size() {
        let file = SourceFile::open(Path::new("/proc/self/status")).unwrap();
        assert_eq!((file.len(), file.is_regular()), (0, true));
        assert_eq!(file.head(5).unwrap(), b"Name:");
    }
}
