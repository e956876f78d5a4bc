//! Places within sources at which reading can go on, as plain data.
//!
//! A [`Follower`](crate::Follower) ends its turns at them, and a [`Scan`](crate::Scan) tells of them on its way and
//! begins at them; what comes between is nobody's matter but the caller's, who keeps them.

use crate::{context::CarriedContext, envelope::Envelope, event::Suspended};

/// Where a source is to be read on, and what of the bytes before it matters for those behind.
///
/// Resuming there with the bytes from `offset` on gives the rows that an uninterrupted source would still give.
/// The offset lies at a record's first byte, never inside a terminator; inside a record only where that one is too
/// long and being skipped, and behind a part of a run of backspaces only with `in_run`.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// Raw byte offset.
    pub offset: u64,
    /// Physical line of the byte at `offset`, from 1.
    pub line: u64,
    /// Whether that line began before it.
    pub open_line: bool,
    /// Whether it is inside a record that is too long.
    pub skipping: bool,
    /// Whether it is behind a long run of backspaces that may go on.
    pub in_run: bool,
    /// What context columns carry on, for each origin of records.
    pub context: Vec<CarriedContext>,
    /// What wraps the messages, once that is known.
    pub envelope: Option<Envelope>,
    pub(crate) event: Suspended,
}

impl Default for Position {
    /// The beginning of a source.
    fn default() -> Self {
        Self {
            offset: 0,
            line: 1,
            open_line: false,
            skipping: false,
            in_run: false,
            context: Vec::new(),
            envelope: None,
            event: Suspended::default(),
        }
    }
}

impl Position {
    /// What is known of the event that the bytes at the offset may belong to, as JSON.
    pub fn event(&self) -> String {
        serde_json::to_string(&self.event).expect("it is plain data")
    }

    /// Whether all lines of the events before it are before it.
    pub(crate) fn is_between_events(&self) -> bool {
        self.event.taken.is_empty()
    }

    /// The same position with what [`event`](Self::event) gave; None if that is none of it.
    pub fn with_event(self, json: &str) -> Option<Self> {
        Some(Self { event: serde_json::from_str(json).ok()?, ..self })
    }
}
