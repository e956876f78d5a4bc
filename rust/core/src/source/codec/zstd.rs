//! Zstandard frames, a block at a time.

use std::io;

use super::{Codec, CodecError, Step};

/// The largest window, as a power of two: 128 MiB, the limit of the `zstd` command without `--long`.
const WINDOW_LOG_MAX: u32 = 27;

pub(super) struct Zstd {
    decoder: ::zstd::stream::raw::Decoder<'static>,
    /// Input up to the end of the current block, as the decoder asked for. It is given no more, because a
    /// call that fails loses what it has decoded: a block at a time, only the bad block is lost.
    wanted: usize,
}

impl Zstd {
    pub(super) fn new() -> io::Result<Self> {
        use ::zstd::stream::raw::{DParameter, Decoder};
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        // Five bytes are the shortest beginning of a frame header.
        Ok(Zstd { decoder, wanted: 5 })
    }
}

impl Codec for Zstd {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        use ::zstd::stream::raw::{InBuffer, Operation, OutBuffer};
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
