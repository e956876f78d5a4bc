//! The value of a pattern that has a [`Shape`]: places of its literal in, the group's span out.
//!
//! [`Direct`] is compiled when a record first needs it. Equal parts of many definitions share one
//! automaton ([`Shared`]).

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use memchr::{memchr, memmem};
use regex_syntax::hir::Hir;

use super::{
    Task,
    quick::{Look, Quick},
    shape::Shape,
    walk::Walk,
};
use crate::number::Prefix;

/// A record may be walked so many times in vain before the regex engine takes over.
const MAX_WALKS: usize = 4;
/// Bytes that may be walked in vain whatever the length of the record.
const FREE: usize = 1024;

/// The regex engine must decide.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooFar;

/// Automata by the text of their patterns; None where one would be too large.
type Known = HashMap<String, Option<Arc<Walk>>>;

/// Automata that definitions share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    anchored: Mutex<Known>,
    unanchored: Mutex<Known>,
    quick: Mutex<HashMap<String, Option<Arc<Quick>>>>,
}

impl Shared {
    fn anchored(&self, pattern: &Hir) -> Option<Arc<Walk>> {
        find(&self.anchored, pattern, Walk::anchored)
    }

    fn unanchored(&self, pattern: &Hir) -> Option<Arc<Walk>> {
        find(&self.unanchored, pattern, Walk::unanchored)
    }

    fn quick(&self, group: &Hir, walk: &Walk) -> Option<Arc<Quick>> {
        let mut known = self.quick.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(group.to_string()).or_insert_with(|| Quick::of(group, walk).map(Arc::new)).clone()
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
    /// What is known of the group, where it is all of the body.
    quick: Option<Arc<Quick>>,
    /// Where in the prefix the searched literal begins; None where another part of the pattern is searched for.
    lead: Option<usize>,
}

/// A value's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub span: Range<usize>,
    /// The number that is all of it, where it was read on the way.
    pub number: Option<Prefix>,
}

impl Direct {
    /// Compiles a shape; None where an automaton would be too large or nothing says where to look.
    pub fn new(shape: &Shape, shared: &Shared) -> Option<Self> {
        let literal = shape.literal.as_ref();
        if literal.is_none() && shape.text.as_ref().is_none_or(Vec::is_empty) {
            return None;
        }
        let body = shared.anchored(&shape.body)?;
        Some(Self {
            last: shape.last,
            before: match &shape.before {
                Some(before) => Some(shared.unanchored(before)?),
                None => None,
            },
            prefix_len: shape.prefix_len,
            is_literal: literal.is_some_and(|(literal, _)| shape.text.as_ref() == Some(literal)),
            prefix: shape.text.clone(),
            quick: if shape.text.is_some() && shape.suffix_len == 0 { shared.quick(&shape.body, &body) } else { None },
            body,
            suffix_len: shape.suffix_len,
            lead: literal.map(|(_, lead)| *lead),
        })
    }

    /// Calls `found` with the group, given the places of the literal in ascending order, if they are known; gives
    /// what it gave.
    ///
    /// An error when many places were tried in vain, each by a long walk: then only an engine that looks at
    /// all places at once is linear.
    #[inline(always)]
    pub fn find<T>(
        &self,
        text: &str,
        literals: Option<&[Task]>,
        found: impl FnOnce(Range<usize>, Option<Prefix>) -> T,
    ) -> Result<Option<T>, TooFar> {
        let text = text.as_bytes();
        let (Some(lead), Some(literals)) = (self.lead, literals) else {
            let group = self.find_prefix(text)?;
            return Ok(group.map(|group| found(group.span, group.number)));
        };
        let mut walked = 0;
        for index in 0..literals.len() {
            let index = if self.last { literals.len() - 1 - index } else { index };
            let Some(place) = literals[index].literal.checked_sub(lead) else { continue };
            if let Some(group) = self.at(text, place, &mut walked) {
                // The group's fields go on in registers: kept together in memory, they stall when copied.
                return Ok(self.follows(text, group.span.start).then(|| found(group.span, group.number)));
            }
            if walked > FREE + MAX_WALKS * text.len() {
                return Err(TooFar);
            }
        }
        Ok(None)
    }

    /// The same where the places have to be looked for.
    fn find_prefix(&self, text: &[u8]) -> Result<Option<Found>, TooFar> {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let mut walked = 0;
        let (mut starts, mut ends) = (starts(text, prefix), ends(text, prefix));
        while let Some(place) = if self.last { ends.next() } else { starts.next() } {
            if let Some(group) = self.at(text, place, &mut walked) {
                return Ok(self.follows(text, group.span.start).then_some(group));
            }
            if walked > FREE + MAX_WALKS * text.len() {
                return Err(TooFar);
            }
        }
        Ok(None)
    }

    /// Whether what has to stand in front of the prefix does, for a group that begins at `start`.
    #[inline]
    fn follows(&self, text: &[u8], start: usize) -> bool {
        self.before.as_ref().is_none_or(|before| before.occurs(text, start - self.prefix_len))
    }

    /// The group, if prefix, group and suffix match at `place`.
    #[inline(always)]
    fn at(&self, text: &[u8], place: usize, walked: &mut usize) -> Option<Found> {
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
        if let Some(quick) = &self.quick {
            match quick.look(text, start) {
                Look::Is(number) => return Some(Found { span: start..start + number.len(), number: Some(number) }),
                Look::Fails => return None,
                Look::Unknown => {}
            }
        }
        let end = self.body.end(text, from, walked)?;
        Some(Found { span: start..end - self.suffix_len, number: None })
    }
}

/// Where a part of a text stands, overlaps included.
fn starts(text: &[u8], part: &[u8]) -> impl Iterator<Item = usize> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = text.get(from..)?;
        // A search for one byte needs no preparation.
        let found = if let [byte] = part { memchr(*byte, rest) } else { memmem::find(rest, part) };
        let found = from + found?;
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

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::definition::Pattern;

    /// What stands before the group: from pieces that have a shape together, and some that have none.
    fn before() -> impl Strategy<Value = String> {
        let piece = select(vec![
            ".*",
            ".*?",
            ".+",
            "a",
            "ab",
            "loss",
            "'loss': ",
            "é=",
            ": ",
            "aa",
            "[ab]",
            "[0-9]",
            r"\[[0-9]+\]",
            r"\d",
            r"\S",
            r"\S+",
            "^",
            r"\b",
            "(?:a|b)",
            "(?:a|bc)",
            "(b)",
            "(?:.*)a",
            "(ab=)",
            "x?",
            "x*",
            "(?i)k",
            "(?:b|)",
            "(.*)",
            "[^,]*",
            " ",
        ]);
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    fn group() -> impl Strategy<Value = &'static str> {
        select(vec![
            r"[0-9.]+",
            r"\S+",
            ".*",
            ".*?",
            "[^,]*",
            "a|ab",
            r"[-+]?[0-9]*\.?[0-9]+",
            r"\d+(?:\.\d+)?",
            "(a)(b)?",
            "",
            r"[0-9]+(.|e\-)[0-9]+",
            "a*?",
            r"\w+",
            "(?:a|b)+",
            "é?",
            r"\b\d*",
            "a{2}",
            "[0-9]$",
        ])
    }

    fn behind() -> impl Strategy<Value = String> {
        let piece = select(vec![
            "", ".*", ",", ",?", ";", "%", "$", r"\b", r"\B", "é", "[,;]", "(?:x|yz)", r"\s*", ".*a", "a", "(?:,|$)",
            "(?:)", "b*?", "[éa]", r"\s", "(,)", "^",
        ]);
        prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
    }

    fn texts() -> impl Strategy<Value = String> {
        let piece = select(vec![
            "a", "b", "ab", "aab", "loss", "'loss': ", "é=", "é", ": ", "=", "[", "]", "[0]", "1", "2.5", "3e-05", ",",
            ";", "%", " ", "x", "yz", "k", "K", "\u{212a}", "c", "ab=", "\t", "-", "9",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    fn tasks(text: &str, literal: &[u8]) -> Vec<Task> {
        starts(text.as_bytes(), literal).map(|literal| Task { metric: 0, literal }).collect()
    }

    /// What finds the first match's value group; None where the pattern has no usable shape.
    fn compiled(pattern: &Pattern) -> Option<(Direct, &Shape)> {
        let shape = pattern.shape.as_ref()?;
        Some((Direct::new(shape, &Shared::default())?, shape))
    }

    /// The value group, from the places of the literal and, where the prefix is text, without them.
    fn by_shape(direct: &Direct, shape: &Shape, text: &str) -> Vec<Option<Found>> {
        let literal = shape.literal.as_ref().map_or(Vec::new(), |(literal, _)| literal.clone());
        let places = if literal.is_empty() { Vec::new() } else { tasks(text, &literal) };
        let mut ways = vec![Some(&places[..])];
        if shape.text.as_ref().is_some_and(|text| !text.is_empty()) {
            ways.push(None);
        }
        let found = |span, number| Found { span, number };
        ways.into_iter().filter_map(|places| direct.find(text, places, found).ok()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { max_global_rejects: u32::MAX, ..ProptestConfig::default() })]
        /// More cases: `PROPTEST_CASES=1000000 cargo test --release groups_found_by_shape`.
        #[test]
        fn groups_found_by_shape_are_those_of_the_regex_crate(
            before in before(), group in group(), behind in behind(), texts in prop::collection::vec(texts(), 8)
        ) {
            let regex = format!("{before}(?P<value>{group}){behind}");
            let pattern = Pattern::new(&regex, None, false);
            prop_assume!(pattern.is_ok());
            let pattern = pattern.unwrap();
            let oracle = regex::Regex::new(&pattern.translated).unwrap();
            let Some((direct, shape)) = compiled(&pattern) else { return Ok(()) };
            for text in &texts {
                for found in by_shape(&direct, shape, text) {
                    if let Some(Found { span, number: Some(number) }) = &found {
                        let read = Prefix::of(&text.as_bytes()[span.clone()]);
                        prop_assert_eq!(read, Some(*number), "{} in {:?}", regex, text);
                        prop_assert_eq!(number.len(), span.len());
                    }
                    let found = found.map(|found| found.span);
                    let captures = oracle.captures(text);
                    let expected = captures.map(|captures| captures.get(pattern.value_group).map(|group| group.range()));
                    prop_assert_eq!(found.map(Some), expected, "{} in {:?}", regex, text);
                }
            }
        }
    }

    #[test]
    fn r1_walks_that_fail_again_and_again_are_given_up() {
        let pattern = Pattern::new("abc(.*);", None, false).unwrap();
        let direct = Direct::new(pattern.shape.as_ref().unwrap(), &Shared::default()).unwrap();
        let text = "abc".repeat(10_000);
        assert_eq!(direct.find(&text, Some(&tasks(&text, b"abc")), |span, _| span), Err(TooFar));
        let ended = text + ";";
        assert_eq!(direct.find(&ended, Some(&tasks("abcabc", b"abc")), |span, _| span), Ok(Some(3..30_000)));
    }

    #[test]
    fn definitions_of_the_usual_kinds_have_a_shape() {
        for regex in [
            r"'loss': ([0-9]+(.|e\-)[0-9]+),?",
            r".*\[[0-9]+\].*#011validation-error:(\S+).*",
            r".*\[[0-9]+\].*#011train-rmse:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*",
            r"Loss = (.*?);",
            r"- loss: ([0-9\.]+)",
            r"#train_accuracy: (\S+)",
            r"progress (\d+)%",
        ] {
            let pattern = Pattern::new(regex, None, true).unwrap();
            let direct = pattern.shape.as_ref().and_then(|shape| Direct::new(shape, &Shared::default()));
            assert!(direct.is_some(), "{regex}");
        }
    }
}
