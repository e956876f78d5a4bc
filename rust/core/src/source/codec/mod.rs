//! One decoder a format behind [`Codec`]: a member's compressed bytes in, its plain bytes out.

mod bzip2;
mod gzip;
pub(super) mod libdeflate;
mod lz4;
mod xz;
mod zstd;

use std::fmt;

use super::magic::Compression;

pub(super) enum CodecError {
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
pub(super) struct Step {
    pub consumed: usize,
    pub produced: usize,
    /// Whether the member is complete, checksum included.
    pub result: Result<bool, CodecError>,
}

/// Decoder of a single member. With no input it writes what it holds back; no progress then means that it
/// waits for more.
pub(super) trait Codec: Send {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step;
}

pub(super) fn new_codec(compression: Compression) -> Result<Box<dyn Codec>, CodecError> {
    Ok(match compression {
        Compression::Gzip => Box::new(gzip::Gzip::new()),
        Compression::Zstd => Box::new(zstd::Zstd::new().map_err(CodecError::corrupt)?),
        Compression::Bzip2 => Box::new(bzip2::Bzip2::new()),
        Compression::Xz => Box::new(xz::Xz::new().map_err(CodecError::corrupt)?),
        Compression::Lz4 => Box::new(lz4::Lz4::default()),
        Compression::None => unreachable!("plain text has no members"),
    })
}
