//! Whole gzip members by libdeflate, at twice the speed of a decoder that can stop anywhere.

use std::ptr::NonNull;

use libdeflate_sys as sys;

/// Why a member was not decompressed at one go.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::source) enum Failure {
    /// It is longer than the space for it.
    Space,
    /// The input ends before it does, or it is damaged.
    Data,
}

/// A decoder of whole members, to be used for one after the other.
pub(in crate::source) struct Libdeflate(NonNull<sys::libdeflate_decompressor>);

// SAFETY: the decompressor is memory that only this value points to, without ties to a thread.
unsafe impl Send for Libdeflate {}

impl Libdeflate {
    /// None without memory for it (64 KiB).
    pub fn new() -> Option<Self> {
        // SAFETY: the function takes nothing and returns null or a decompressor that is ours.
        NonNull::new(unsafe { sys::libdeflate_alloc_decompressor() }).map(Libdeflate)
    }

    /// Decompresses the member at the start of `input`, checksum and length included; gives the bytes that
    /// it takes of `input` and of `out`.
    ///
    /// A checksum of the header is not looked at.
    pub fn gzip_member(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), Failure> {
        let (mut consumed, mut produced) = (0, 0);
        // SAFETY: the pointers and lengths are those of slices, which live through the call and of which
        // only `out` is written to; the decompressor is valid until it is dropped, and borrowed mutably.
        let result = unsafe {
            sys::libdeflate_gzip_decompress_ex(
                self.0.as_ptr(),
                input.as_ptr().cast(),
                input.len(),
                out.as_mut_ptr().cast(),
                out.len(),
                &mut consumed,
                &mut produced,
            )
        };
        match result {
            sys::libdeflate_result_LIBDEFLATE_SUCCESS => Ok((consumed, produced)),
            sys::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Err(Failure::Space),
            _ => Err(Failure::Data),
        }
    }
}

impl Drop for Libdeflate {
    fn drop(&mut self) {
        // SAFETY: it was allocated by libdeflate and is freed once.
        unsafe { sys::libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}
