//! Memory that the readers of compressed sources take over from one another.
//!
//! A scan of many small files would otherwise ask the system for buffers, and have them cleared, for each of
//! them. At most as many sets exist as sources are read at a time, which is one a thread.

use std::sync::{Arc, Mutex, PoisonError};

use super::codec::libdeflate::Libdeflate;

/// Buffers of readers that are through.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Buffers>>);

/// What one reader works with.
#[derive(Default)]
pub(super) struct Buffers {
    /// Compressed bytes.
    pub input: Vec<u8>,
    /// The plain bytes of a whole member.
    pub plain: Vec<u8>,
    pub libdeflate: Option<Libdeflate>,
}

/// Buffers on loan; they go back to their pool.
pub(super) struct Loan {
    pub buffers: Buffers,
    pool: Option<Arc<Pool>>,
}

impl Loan {
    /// New buffers that are nobody else's.
    pub fn own() -> Self {
        Loan { buffers: Buffers::default(), pool: None }
    }

    pub fn of(pool: Arc<Pool>) -> Self {
        let buffers = pool.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        Loan { buffers, pool: Some(pool) }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            let buffers = std::mem::take(&mut self.buffers);
            pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
        }
    }
}
