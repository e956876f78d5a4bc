//! Which places of a block can hold a match at all.
//!
//! [`required_literals`] reads from a parsed pattern sets of texts, of each of which every match must
//! contain one; [`Prefilter`] finds the texts of all definitions in one pass over the raw bytes of a whole
//! block, whether there are three of them or ten thousand. It has no false negatives: normalising a
//! record adds control characters and U+FFFD only and takes escape sequences away, so literals hold
//! none of these, and where a sequence is taken out from between two bytes that stand side by side in
//! a literal ([`Prefilter::may_join`]), the matcher looks at the record's text instead.
//!
//! A literal is found in three steps, each for what the one before let through: two or three of its
//! bytes fit the [`Classes`] of the pass (`fingerprint` chooses which), up to eight bytes that end
//! there are a known key, and all of it stands there.

mod fingerprint;
mod keys;
mod literals;
mod neighbours;

pub(crate) use literals::{Set, best_literal, required_literals, selectivity};

use crate::survey::Classes;
use fingerprint::{Fingerprint, choose};
use keys::Keys;
use neighbours::Neighbours;

/// Finds the literals of all definitions in one pass.
#[derive(Debug)]
pub(crate) struct Prefilter {
    literals: Vec<Literal>,
    classes: Classes,
    keys: Keys,
    neighbours: Neighbours,
}

#[derive(Debug)]
struct Literal {
    text: Vec<u8>,
    /// Where its fingerprint begins.
    fingerprint: usize,
    rest: Rest,
}

/// How to see whether all of a literal stands somewhere, given that its key does.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// There is no more than the key.
    Nothing,
    /// The key is its end, and in front of it are these words; where they begin follows from the length. They
    /// overlap in short literals, so that the way is the same for most: which literal it is cannot be predicted.
    Words([u64; 3]),
    Text,
}

impl Rest {
    fn of(literal: &[u8], fingerprint: &Fingerprint) -> Self {
        let known = fingerprint.key.len();
        // The key ends where the loaded bytes do, or with the literal.
        let key_end = (fingerprint.at + keys::AHEAD).min(literal.len());
        match literal.len() {
            len if len == known => Self::Nothing,
            8..=32 if key_end == literal.len() && known == 8 => Self::Words(words(literal, literal.len())),
            _ => Self::Text,
        }
    }
}

/// Three words that with the last one cover up to 32 bytes of a text that is longer than seven.
#[inline]
fn words(text: &[u8], len: usize) -> [u64; 3] {
    [0, 8, 16].map(|at| {
        let at = at.min(len - 8);
        text[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
    })
}

/// A literal that stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Somewhere inside it; ascending over hits.
    pub place: usize,
    /// Where it begins.
    pub start: usize,
    /// Its index among the literals.
    pub literal: u32,
}

impl Prefilter {
    /// A searcher for any of the literals, which are sorted and distinct; None without literals.
    pub fn new(literals: &[Vec<u8>]) -> Option<Self> {
        if literals.is_empty() {
            return None;
        }
        let (mut classes, fingerprints) = choose(literals);
        let keys = Keys::new(fingerprints.iter().map(|fingerprint: &Fingerprint| fingerprint.key));
        for pair in literals.iter().flat_map(|literal| literal.windows(2)) {
            classes.lefts[usize::from(pair[0])] = true;
        }
        let neighbours = Neighbours::new(literals);
        let literals = literals.iter().zip(&fingerprints);
        let literals = literals.map(|(text, chosen)| Literal {
            text: text.clone(),
            fingerprint: chosen.at,
            rest: Rest::of(text, chosen),
        });
        let literals = literals.collect();
        Some(Self { literals, classes, keys, neighbours })
    }

    /// What the pass over a block has to look for.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// The literals that stand at the places which the pass found.
    pub fn confirm(&self, text: &[u8], places: &[usize], hits: &mut Vec<Hit>) {
        hits.clear();
        for &place in places {
            self.keys.find(keys::load(text, place + keys::AHEAD), |literal| {
                let candidate = &self.literals[literal as usize];
                let Some(start) = place.checked_sub(candidate.fingerprint) else { return };
                let stands = match candidate.rest {
                    Rest::Nothing => true,
                    Rest::Words(expected) => {
                        let len = candidate.text.len();
                        text.get(start..start + len).is_some_and(|text| {
                            // Compared as arrays they would go through memory, where joining them stalls.
                            let words = words(text, len);
                            (words[0] ^ expected[0]) | (words[1] ^ expected[1]) | (words[2] ^ expected[2]) == 0
                        })
                    }
                    Rest::Text => text.get(start..).is_some_and(|rest| rest.starts_with(&candidate.text)),
                };
                if stands {
                    hits.push(Hit { place, start, literal });
                }
            });
        }
    }

    /// Whether a literal may come about where the escape sequences in `block[begin..end]` are taken out.
    pub fn may_join(&self, block: &[u8], begin: usize, end: usize) -> bool {
        self.neighbours.may_join(block, begin, end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{record::Framing, survey::Survey};

    fn find(literals: &[Vec<u8>], text: &[u8]) -> Vec<(usize, u32)> {
        let prefilter = Prefilter::new(literals).unwrap();
        let (mut survey, mut hits) = (Survey::default(), Vec::new());
        survey.take(text, Framing { terminal: true }, prefilter.classes());
        prefilter.confirm(text, &survey.places, &mut hits);
        assert!(hits.is_sorted_by_key(|hit| hit.place));
        let mut found: Vec<_> = hits.iter().map(|hit| (hit.start, hit.literal)).collect();
        found.sort_unstable();
        found
    }

    fn slow(literals: &[Vec<u8>], text: &[u8]) -> Vec<(usize, u32)> {
        let at = |at: usize| {
            let here = literals.iter().enumerate().filter(move |(_, literal)| text[at..].starts_with(literal));
            here.map(move |(index, _)| (at, index as u32))
        };
        (0..text.len()).flat_map(at).collect()
    }

    proptest! {
        #[test]
        fn finds_every_literal_wherever_it_stands(
            mut literals in prop::collection::vec("[ab'é: =_]{2,12}", 1..40),
            text in "[ab'é: =_]{0,300}",
            planted in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
        ) {
            literals.sort();
            literals.dedup();
            let literals: Vec<Vec<u8>> = literals.into_iter().map(String::into_bytes).collect();
            let mut text = text.into_bytes();
            for (literal, place) in planted {
                let at = place.index(text.len() + 1);
                text.splice(at..at, literal.get(&literals).iter().copied());
            }
            prop_assert_eq!(find(&literals, &text), slow(&literals, &text));
        }
    }

    #[test]
    fn a_text_may_begin_and_end_inside_of_a_literal() {
        for len in 2..40 {
            let literal: Vec<u8> = (0..len).map(|at| b"lmnopqrstuvwxyz':= "[at * 7 % 19]).collect();
            let literals = [literal.clone()];
            for cut in 0..len {
                for text in [&literal[cut..], &literal[..cut], &[&literal[cut..], &literal[..]].concat()] {
                    assert_eq!(find(&literals, text), slow(&literals, text), "{len} {cut}");
                }
            }
        }
    }

    #[test]
    fn thousands_of_literals_with_shared_parts_are_all_found() {
        let mut literals: Vec<Vec<u8>> =
            (0..3000).map(|i| format!("[metric] group_{}/name_{}: ", i % 7, i * i).into_bytes()).collect();
        literals.sort();
        let text = literals.iter().step_by(97).fold(Vec::new(), |text, literal| [&text, &b"x "[..], literal].concat());
        assert_eq!(find(&literals, &text), slow(&literals, &text));
    }
}
