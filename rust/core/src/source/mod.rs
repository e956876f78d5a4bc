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
//! most 128 MiB for the window of zstd or xz, under 20 MiB for the others). For gzip files it is up to 8 MiB of
//! compressed and 32 MiB of plain bytes, which whole members are decompressed in.

mod buffers;
mod codec;
mod decompress;
mod file;
mod magic;
#[cfg(test)]
mod tests;
mod whole;
#[cfg(test)]
mod whole_tests;

pub(crate) use buffers::Pool;
pub use decompress::Decompressed;
pub use file::SourceFile;
pub use magic::{Compression, detect};
