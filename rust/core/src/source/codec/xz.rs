//! xz streams.

use super::{Codec, CodecError, Step};

/// Memory limit of the xz decoder: a 128 MiB dictionary and the decoder's state. `xz -9` takes 65 MiB.
const XZ_MEMORY: u64 = (128 + 8) << 20;

pub(super) struct Xz(liblzma::stream::Stream);

impl Xz {
    pub(super) fn new() -> Result<Self, liblzma::stream::Error> {
        liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0).map(Xz)
    }
}

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
