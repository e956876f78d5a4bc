//! The value of a pattern that has a [`Shape`]: places of its literal in, the group's span out.
//!
//! [`Direct`] is compiled when a record first needs it. Equal parts of many definitions share one
//! automaton ([`Shared`]).

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use memchr::memmem;
use regex_syntax::hir::Hir;

use super::{shape::Shape, walk::Walk};

/// Automata by the text of their patterns; None where one would be too large.
type Known = HashMap<String, Option<Arc<Walk>>>;

/// Automata that definitions share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    anchored: Mutex<Known>,
    unanchored: Mutex<Known>,
}

impl Shared {
    fn anchored(&self, pattern: &Hir) -> Option<Arc<Walk>> {
        find(&self.anchored, pattern, Walk::anchored)
    }

    fn unanchored(&self, pattern: &Hir) -> Option<Arc<Walk>> {
        find(&self.unanchored, pattern, Walk::unanchored)
    }
}

fn find(known: &Mutex<Known>, pattern: &Hir, make: impl Fn(&Hir) -> Option<Walk>) -> Option<Arc<Walk>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(pattern.to_string()).or_insert_with(|| make(pattern).map(Arc::new)).clone()
}

/// A pattern of simple shape, ready to be used.
#[derive(Debug)]
pub(crate) struct Direct {
    last: bool,
    before: Option<Arc<Walk>>,
    prefix_len: usize,
    /// The prefix, where it is text.
    prefix: Option<Vec<u8>>,
    /// The literal that is found is all of the prefix.
    is_literal: bool,
    /// Group and suffix, and the prefix before them where it is not text.
    body: Arc<Walk>,
    suffix_len: usize,
    /// Where in the prefix the searched literal begins; None where another part of the pattern is searched for.
    lead: Option<usize>,
}

impl Direct {
    /// Compiles a shape; None where an automaton would be too large or nothing says where to look.
    pub fn new(shape: &Shape, shared: &Shared) -> Option<Self> {
        let literal = shape.literal.as_ref();
        if literal.is_none() && shape.text.as_ref().is_none_or(Vec::is_empty) {
            return None;
        }
        Some(Self {
            last: shape.last,
            before: match &shape.before {
                Some(before) => Some(shared.unanchored(before)?),
                None => None,
            },
            prefix_len: shape.prefix_len,
            is_literal: literal.is_some_and(|(literal, _)| shape.text.as_ref() == Some(literal)),
            prefix: shape.text.clone(),
            body: shared.anchored(&shape.body)?,
            suffix_len: shape.suffix_len,
            lead: literal.map(|(_, lead)| *lead),
        })
    }

    /// Where the group stands in `text`, given the places of the literal in ascending order.
    pub fn find(&self, text: &str, literals: impl DoubleEndedIterator<Item = usize>) -> Option<Range<usize>> {
        let text = text.as_bytes();
        if let Some(lead) = self.lead {
            let mut places = literals.filter_map(|literal| literal.checked_sub(lead));
            return if self.last {
                self.check_before(text, places.rev().find_map(|place| self.at(text, place)))
            } else {
                places.find_map(|place| self.at(text, place))
            };
        }
        let prefix = self.prefix.as_deref().unwrap_or_default();
        if self.last {
            self.check_before(text, ends(text, prefix).find_map(|place| self.at(text, place)))
        } else {
            starts(text, prefix).find_map(|place| self.at(text, place))
        }
    }

    /// The group, if prefix, group and suffix match at `place`.
    fn at(&self, text: &[u8], place: usize) -> Option<Range<usize>> {
        let start = place + self.prefix_len;
        let from = match &self.prefix {
            Some(prefix) => {
                if !self.is_literal && !text.get(place..)?.starts_with(prefix) {
                    return None;
                }
                start
            }
            None => place,
        };
        let end = self.body.end(text, from)?;
        Some(start..end - self.suffix_len)
    }

    fn check_before(&self, text: &[u8], found: Option<Range<usize>>) -> Option<Range<usize>> {
        let found = found?;
        let occurs = |before: &Arc<Walk>| before.occurs(text, found.start - self.prefix_len);
        self.before.as_ref().is_none_or(occurs).then_some(found)
    }
}

/// Where a part of a text stands, overlaps included.
fn starts(text: &[u8], part: &[u8]) -> impl Iterator<Item = usize> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let found = from + memmem::find(text.get(from..)?, part)?;
        from = found + 1;
        Some(found)
    })
}

/// The same from the end.
fn ends(text: &[u8], part: &[u8]) -> impl Iterator<Item = usize> {
    let mut limit = text.len();
    std::iter::from_fn(move || {
        let found = memmem::rfind(&text[..limit], part)?;
        limit = (found + part.len()).saturating_sub(1);
        Some(found)
    })
}
