//! What can go wrong, told in the user's words.
//!
//! [`Error`] is the crate's one public error. Callers learn what happened from accessors, never from
//! the text: which definition, where in its pattern, which record. Problems of the *data* (a text
//! that is no number, a record that is too long) are counted in the [`Report`](crate::Report); they
//! become an error only where the caller asked for it.

use std::{fmt, ops::Range};

/// Why an operation failed.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    definition: Option<usize>,
    span: Option<Range<usize>>,
    construct: Option<&'static str>,
}

/// The kinds of [`Error`], one for each reaction a caller may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A definition cannot be used; [`Error::definition`] and [`Error::span`] say where.
    Definition,
    /// An option has a value that cannot be honoured.
    Option,
    /// A captured text is no number, and the caller asked for an error in this case.
    Reject,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            hint: None,
            definition: None,
            span: None,
            construct: None,
        }))
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_definition(mut self, index: usize) -> Self {
        self.0.definition = Some(index);
        self
    }

    /// Says which context column it is about.
    pub(crate) fn with_context(mut self, column: &str) -> Self {
        self.0.message = format!("context column '{column}': {}", self.0.message);
        self
    }

    pub(crate) fn with_construct(mut self, construct: &'static str, span: Range<usize>) -> Self {
        self.0.construct = Some(construct);
        self.0.span = Some(span);
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence, without the hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Index of the definition at fault in the list that was given.
    pub fn definition(&self) -> Option<usize> {
        self.0.definition
    }

    /// Bytes of the pattern, as the user wrote it, that are at fault.
    pub fn span(&self) -> Option<Range<usize>> {
        self.0.span.clone()
    }

    /// Short name of the regex construct at fault, `"lookahead"` for instance.
    pub fn construct(&self) -> Option<&'static str> {
        self.0.construct
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
