//! What anything that reads the files must at least take.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    thread,
};

use flate2::read::MultiGzDecoder;
use libdeflater::Decompressor;

use crate::Outcome;

const BLOCK: usize = 512 << 10;
const PAGE: usize = 4096;
/// The engine's bounds for decompressing a file at one go.
const AT_ONE_GO: u64 = 8 << 20;
const TEXT_AT_ONE_GO: usize = 32 << 20;

/// A buffer whose `block` begins a page: reads to other addresses are up to four times slower.
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new() -> Self {
        let bytes = vec![0; BLOCK + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE);
        Self { bytes, start }
    }

    fn block(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + BLOCK]
    }
}

/// Line feeds in `text`.
pub fn line_feeds(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// Sums `count` over the blocks of all files: one file is cut in ranges, many are dealt out.
pub fn in_parts(paths: &[PathBuf], threads: usize, count: fn(&[u8]) -> u64) -> Outcome<u64> {
    let part = |index: usize| -> Outcome<u64> {
        let mut buffer = Buffer::new();
        if let [path] = paths {
            let size = std::fs::metadata(path)?.len();
            let bound = |n: usize| size * n as u64 / threads as u64;
            return range(path, bound(index), bound(index + 1), &mut buffer, count);
        }
        let own = paths.iter().skip(index).step_by(threads);
        own.map(|path| range(path, 0, u64::MAX, &mut buffer, count)).sum()
    };
    if threads == 1 {
        return part(0);
    }
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|index| scope.spawn(move || part(index))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker panicked")).sum()
    })
}

fn range(path: &Path, from: u64, to: u64, buffer: &mut Buffer, count: fn(&[u8]) -> u64) -> Outcome<u64> {
    let mut file = File::open(path)?;
    if from > 0 {
        file.seek(SeekFrom::Start(from))?;
    }
    let (mut left, mut total) = (to - from, 0);
    while left > 0 {
        let block = buffer.block();
        let wanted = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let got = file.read(&mut block[..wanted])?;
        if got == 0 {
            break;
        }
        total += count(&block[..got]);
        left -= got as u64;
    }
    Ok(total)
}

/// Bytes of text in all gzip files, decompressed as the engine does: small ones at one go by libdeflate, others
/// piece by piece by zlib-rs.
pub fn gunzip(paths: &[PathBuf]) -> Outcome<u64> {
    let mut buffer = Buffer::new();
    let (mut decompressor, mut packed, mut text) = (Decompressor::new(), Vec::new(), Vec::new());
    let mut total = 0;
    for path in paths {
        let mut file = File::open(path)?;
        if file.metadata()?.len() <= AT_ONE_GO {
            packed.clear();
            file.read_to_end(&mut packed)?;
            let size = packed.last_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
            text.resize(size.min(TEXT_AT_ONE_GO), 0);
            if decompressor.gzip_decompress(&packed, &mut text).is_ok_and(|got| got == size) {
                total += size as u64;
                continue;
            }
            file.rewind()?;
        }
        let mut text = MultiGzDecoder::new(file);
        loop {
            match text.read(buffer.block())? {
                0 => break,
                got => total += got as u64,
            }
        }
    }
    Ok(total)
}
