//! Which compression the first bytes of a source or member tell of.
//!
//! [`detect`] looks at the start of a source, `start` at what stands behind a member.

/// Longest magic that is looked at (bzip2: the stream's and the first block's).
pub(super) const MAGIC: usize = 10;

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
pub(super) const LZ4_LEGACY: &[u8] = b"\x02\x21\x4C\x18";
/// What follows `BZh` and the level: a block, or the end of an empty stream.
const BZIP2_BLOCKS: [&[u8]; 2] = [b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"];

/// What the bytes at the start of a member may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Member(Compression),
    /// A frame without content, which zstd and lz4 share.
    Skippable,
    /// The beginning of a magic, with less than is needed to tell.
    Partial(Compression),
    Other,
}

pub(super) fn start(bytes: &[u8]) -> Start {
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
