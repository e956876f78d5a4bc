//! gzip members, checked by header, CRC and length.

use super::{Codec, CodecError, Step};

/// flate2's readers do not fit: `GzDecoder` stops after one member without an error, `MultiGzDecoder` fails
/// on trailing garbage. The raw decoder checks header, CRC and length itself.
pub(super) struct Gzip(flate2::Decompress);

impl Gzip {
    pub(super) fn new() -> Self {
        Gzip(flate2::Decompress::new_gzip(15))
    }
}

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
