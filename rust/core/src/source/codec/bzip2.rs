//! bzip2 streams.

use super::{Codec, CodecError, Step};

pub(super) struct Bzip2(::bzip2::Decompress);

impl Bzip2 {
    pub(super) fn new() -> Self {
        Bzip2(::bzip2::Decompress::new(false))
    }
}

impl Codec for Bzip2 {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        let before = (self.0.total_in(), self.0.total_out());
        let result = self.0.decompress(input, out);
        Step {
            consumed: (self.0.total_in() - before.0) as usize,
            produced: (self.0.total_out() - before.1) as usize,
            result: match result {
                Ok(::bzip2::Status::StreamEnd) => Ok(true),
                Ok(::bzip2::Status::MemNeeded) => Err(CodecError::Refused("out of memory".into())),
                Ok(_) => Ok(false),
                Err(e) => Err(CodecError::corrupt(e)),
            },
        }
    }
}
