//! When gzip members are decompressed at one go, and in how much memory.
//!
//! [`Whole`] is the plan for one source, made and used by `decompress`. It never decides what a source means:
//! a member that does not work out is read as a stream from its first byte, which tells what is wrong with it.

use super::codec::libdeflate::{Failure, Libdeflate};

/// Bounds of the memory; smaller ones in tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Compressed bytes of a source that are read ahead.
    pub input: usize,
    /// Plain bytes of a member.
    pub plain: usize,
    /// The same where there is no sign that the first member fits: a failed attempt should be cheap.
    pub trial_input: usize,
    pub trial_plain: usize,
}

impl Bounds {
    /// 40 MiB a thread. 32 MiB of log are about 5 MiB of gzip, more than most exported streams have.
    pub const DEFAULT: Bounds = Bounds { input: 8 << 20, plain: 32 << 20, trial_input: 1 << 20, trial_plain: 2 << 20 };
}

/// How the members of a source are decompressed, as long as they can be at one go.
pub(super) struct Whole {
    bounds: Bounds,
    /// Compressed bytes that are read ahead for the next member.
    pub input: usize,
    /// Largest member that is tried.
    plain: usize,
    /// Whether the length in the source's last bytes was looked at.
    hinted: bool,
}

impl Whole {
    /// The plan for a source of `len` compressed bytes.
    pub fn new(len: u64, bounds: Bounds) -> Self {
        let known = usize::try_from(len).ok().filter(|len| *len <= bounds.input);
        Whole {
            bounds,
            // One more byte, so that the end is seen.
            input: known.map_or(bounds.trial_input, |len| len + 1),
            plain: if known.is_some() { bounds.plain } else { bounds.trial_plain },
            hinted: known.is_none(),
        }
    }

    /// Decompresses the member at the start of `input` into `plain`; gives the bytes it takes of both.
    ///
    /// # Errors
    ///
    /// [`Failure::Data`] may mean that the member needs more input; with [`Failure::Space`] it is too long.
    pub fn member(
        &mut self,
        input: &[u8],
        plain: &mut Vec<u8>,
        libdeflate: &mut Option<Libdeflate>,
    ) -> Result<(usize, usize), Failure> {
        let libdeflate = match libdeflate {
            Some(libdeflate) => libdeflate,
            none => none.insert(Libdeflate::new().ok_or(Failure::Space)?),
        };
        if !std::mem::replace(&mut self.hinted, true) {
            // Of most files all, a single member, and then this is its length.
            let hint = input.last_chunk().map_or(0, |last| u32::from_le_bytes(*last) as usize);
            if hint > self.plain {
                self.plain = self.bounds.trial_plain;
            }
            // Some more, so that a slightly longer file does not need new memory again.
            if plain.len() < hint.min(self.plain) {
                grow(plain, hint.saturating_add(hint / 8).min(self.plain));
            }
        }
        grow(plain, (64 << 10).min(self.plain));
        loop {
            let space = plain.len().min(self.plain);
            match libdeflate.gzip_member(input, &mut plain[..space]) {
                Err(Failure::Space) if space < self.plain => grow(plain, (4 * space).min(self.plain)),
                Err(failure) => return Err(failure),
                Ok(done) => {
                    self.plain = self.bounds.plain;
                    return Ok(done);
                }
            }
        }
    }
}

/// Sees to `len` bytes. What is there need not be kept, and new memory of the system is zero already.
fn grow(buffer: &mut Vec<u8>, len: usize) {
    if buffer.len() < len {
        *buffer = vec![0; len];
    }
}
