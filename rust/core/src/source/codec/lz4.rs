//! LZ4 frames, block by block.

use std::io::{self, Read};

use super::{Codec, CodecError, Step};

/// LZ4 by the frame decoder of `lz4_flex`, which pulls and takes an input that ends between two blocks for a
/// complete one. It is therefore given the header, each block and the end mark one at a time, as wholes, and
/// the frame's structure is followed here.
#[derive(Default)]
pub(super) struct Lz4 {
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
