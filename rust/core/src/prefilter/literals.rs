//! Texts one of which every match of a pattern contains, read from the parsed pattern.
//!
//! [`required_literals`] walks it for runs of exact text, inner ones included, and takes the rarest.

use memchr::memmem;
use regex_syntax::hir::{Class, Hir, HirKind};

/// More literals than this for one definition cost more in the search than they save.
const MAX_LITERALS: usize = 48;
const MAX_LEN: usize = 64;
/// Classes with more members are not spelled out.
const MAX_CLASS: u32 = 6;
/// So many parts of a pattern may be tried as its literals; each has a bit in a byte.
const MAX_SETS: usize = 8;
/// Shorter literals stand in nearly every record.
const MIN_LEN: usize = 2;

/// Texts of which one is required.
pub(crate) type Set = Vec<Vec<u8>>;

/// Sets of texts, of each of which one text stands in every match of `pattern`; the most selective set first, but
/// before it the required text that is `preferred`.
pub(crate) fn required_literals(pattern: &Hir, preferred: Option<&[u8]>) -> Vec<Set> {
    let preferred = preferred.map(|literal| vec![literal.to_vec()]);
    let mut others: Vec<Set> = sets_of(pattern).into_iter().filter_map(searchable).collect();
    others.sort_by_key(|set| std::cmp::Reverse(score(set)));
    others.dedup();
    others.retain(|set| Some(set) != preferred.as_ref());
    preferred.into_iter().chain(others).take(MAX_SETS).collect()
}

/// A set without what the search does not need; None where a text is too short to be searched for.
fn searchable(found: Set) -> Option<Set> {
    let mut literals: Vec<Vec<u8>> = found.iter().map(|literal| shortened(literal).to_vec()).collect();
    literals.sort();
    literals.dedup();
    // A literal that holds another one is found by the shorter.
    let all = literals.clone();
    literals.retain(|literal| !all.iter().any(|other| other != literal && memmem::find(literal, other).is_some()));
    literals.iter().all(|literal| literal.len() >= MIN_LEN).then_some(literals)
}

/// What the parts of a pattern require, each by itself.
fn sets_of(hir: &Hir) -> Vec<Set> {
    match hir.kind() {
        HirKind::Capture(capture) => sets_of(&capture.sub),
        HirKind::Concat(parts) if exact(hir).is_none() => sets_of_concat(parts),
        _ => required(hir).into_iter().collect(),
    }
}

fn required(hir: &Hir) -> Option<Set> {
    if let Some(exact) = exact(hir) {
        return usable(&exact);
    }
    match hir.kind() {
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Alternation(branches) => {
            let mut union = Set::new();
            for branch in branches {
                union.extend(required(branch)?);
            }
            (union.len() <= MAX_LITERALS).then_some(union)
        }
        HirKind::Concat(parts) => sets_of_concat(parts).into_iter().rev().max_by_key(score),
        _ => None,
    }
}

/// The runs of exact parts, and what single parts require.
fn sets_of_concat(parts: &[Hir]) -> Vec<Set> {
    let mut sets = Vec::new();
    let mut offer = |set: Option<Set>| sets.extend(set);
    let mut run: Set = vec![Vec::new()];
    for part in flatten(parts) {
        match exact(part) {
            Some(set) => match cross(&run, &set) {
                Some(crossed) => run = crossed,
                None => {
                    offer(usable(&run));
                    run = set;
                }
            },
            None => {
                offer(usable(&std::mem::replace(&mut run, vec![Vec::new()])));
                offer(required(part));
            }
        }
    }
    offer(usable(&run));
    sets
}

/// Groups are transparent: `(?:a(b))c` is the run `abc`.
fn flatten(parts: &[Hir]) -> Vec<&Hir> {
    let mut flat = Vec::new();
    for part in parts {
        match part.kind() {
            HirKind::Concat(inner) => flat.extend(flatten(inner)),
            HirKind::Capture(capture) => flat.extend(flatten(std::slice::from_ref(&capture.sub))),
            _ => flat.push(part),
        }
    }
    flat
}

/// All texts of a pattern, when they are few.
fn exact(hir: &Hir) -> Option<Set> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Class(Class::Unicode(class)) => {
            let size: u32 = class.iter().map(|range| range.end() as u32 - range.start() as u32 + 1).sum();
            (size <= MAX_CLASS).then(|| {
                class.iter().flat_map(|range| range.start()..=range.end()).map(|c| c.to_string().into_bytes()).collect()
            })
        }
        HirKind::Class(Class::Bytes(_)) => None,
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Repetition(repetition) if repetition.max == Some(repetition.min) && repetition.min <= 8 => {
            let set = exact(&repetition.sub)?;
            (0..repetition.min).try_fold(vec![Vec::new()], |all, _| cross(&all, &set))
        }
        HirKind::Repetition(repetition) if (repetition.min, repetition.max) == (0, Some(1)) => {
            let mut set = exact(&repetition.sub)?;
            set.push(Vec::new());
            (set.len() <= MAX_LITERALS).then_some(set)
        }
        HirKind::Repetition(_) => None,
        HirKind::Concat(parts) => parts.iter().try_fold(vec![Vec::new()], |all, part| cross(&all, &exact(part)?)),
        HirKind::Alternation(branches) => {
            let mut union = Set::new();
            for branch in branches {
                union.extend(exact(branch)?);
            }
            (union.len() <= MAX_LITERALS).then_some(union)
        }
    }
}

fn cross(left: &Set, right: &Set) -> Option<Set> {
    let longest = |set: &Set| set.iter().map(Vec::len).max().unwrap_or(0);
    if left.len() * right.len() > MAX_LITERALS || longest(left) + longest(right) > MAX_LEN {
        return None;
    }
    let pairs = left.iter().flat_map(|a| right.iter().map(move |b| [&a[..], b].concat()));
    Some(pairs.collect())
}

/// The set with each literal cut to its best piece that normalising cannot touch.
fn usable(set: &Set) -> Option<Set> {
    let cut: Set = set.iter().map(|literal| best_piece(literal).to_vec()).collect();
    (!cut.is_empty() && cut.iter().all(|literal| !literal.is_empty())).then_some(cut)
}

fn best_piece(literal: &[u8]) -> &[u8] {
    let replacement = "\u{fffd}".as_bytes();
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < literal.len() {
        let len = match literal[at] {
            byte if byte.is_ascii_control() || byte == b'#' => 1,
            _ if literal[at..].starts_with(replacement) => replacement.len(),
            _ => {
                at += 1;
                continue;
            }
        };
        pieces.push(&literal[start..at]);
        at += len;
        start = at;
    }
    pieces.push(&literal[start..]);
    pieces.into_iter().max_by_key(|piece| rarity(piece)).unwrap_or_default()
}

fn score(set: &Set) -> (u32, std::cmp::Reverse<usize>) {
    (set.iter().map(|literal| rarity(literal)).min().unwrap_or(0), std::cmp::Reverse(set.len()))
}

/// Four bytes decide how selective a search is; more only help the confirmation.
const WINDOW: usize = 4;

fn rarity(literal: &[u8]) -> u32 {
    literal
        .windows(WINDOW.min(literal.len().max(1)))
        .map(|window| window.iter().map(|b| rank(*b)).sum())
        .max()
        .unwrap_or(0)
}

/// More bytes of a literal say nothing that fewer do not.
fn shortened(literal: &[u8]) -> &[u8] {
    &literal[literal.len().saturating_sub(MAX_LEN)..]
}

/// The best literal that a run of text gives: what normalising cannot touch.
pub(crate) fn best_literal(run: &[u8]) -> &[u8] {
    shortened(best_piece(run))
}

/// How selective a literal is, if it is good enough to be preferred over others of its pattern.
pub(crate) fn selectivity(literal: &[u8]) -> Option<u32> {
    Some(rarity(literal)).filter(|rarity| literal.len() >= 3 && *rarity >= 12)
}

/// How rare a byte is in training logs, roughly: bits of information.
fn rank(byte: u8) -> u32 {
    match byte {
        b' ' => 2,
        b'e' | b'a' | b't' | b'o' | b'n' | b'i' | b's' | b'r' => 4,
        b'0'..=b'9' | b'.' => 4,
        b'l' | b'd' | b'c' | b'm' | b'u' | b'p' | b'g' | b'f' | b'h' | b'-' | b'/' => 5,
        b'b' | b'v' | b'w' | b'y' | b'k' | b'_' | b':' | b',' | b'=' => 6,
        b'[' | b']' | b'(' | b')' | b'\'' | b'"' => 6,
        b'A'..=b'Z' | b'x' | b'z' | b'j' | b'q' => 7,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals(pattern: &str) -> Option<Vec<String>> {
        let hir = regex_syntax::parse(pattern).unwrap();
        let best = required_literals(&hir, None).into_iter().next()?;
        Some(best.into_iter().map(|text| String::from_utf8(text).unwrap()).collect())
    }

    #[test]
    fn every_match_contains_one_of_the_literals() {
        let table = [
            (r"'loss': ([0-9.]+)", r"'loss': 0.5"),
            (r".*\[[0-9]+\].*validation-error:(\S+).*", "[0] validation-error:0.1 x"),
            (r"(?:train|test)_(loss|acc): (\d+)", "test_acc: 3"),
            (r"(?i)loss=(\S+)", "LOSS=3"),
            (r"a{3}b?c(\d)", "aaac1"),
            (r"\bacc\b (\d)", "acc 1"),
        ];
        for (pattern, text) in table {
            let found = literals(pattern).unwrap();
            assert!(found.iter().any(|literal| text.contains(literal.as_str())), "{pattern}: {found:?}");
        }
    }

    #[test]
    fn every_part_of_a_pattern_is_a_choice() {
        let hir = regex_syntax::parse(r"epoch (?:\d+).*(?:loss=|error=)(\d+) ms").unwrap();
        let found = required_literals(&hir, None);
        let expected: [&[&str]; 3] = [&["error=", "loss="], &["epoch "], &[" ms"]];
        assert_eq!(found.len(), expected.len());
        for set in expected {
            let set: Vec<Vec<u8>> = set.iter().map(|text| text.as_bytes().to_vec()).collect();
            assert!(found.contains(&set), "{set:?} {found:?}");
        }
    }

    #[test]
    fn each_choice_has_a_bit_in_a_byte() {
        let parts: Vec<String> = (0..12).map(|number| format!("part{number}q")).collect();
        let hir = regex_syntax::parse(&parts.join(".*")).unwrap();
        for preferred in [None, Some(&b"art3q"[..])] {
            let sets = required_literals(&hir, preferred);
            assert_eq!(sets.len(), u8::BITS as usize);
            assert!(preferred.is_none_or(|preferred| sets[0] == [preferred]));
        }
    }

    #[test]
    fn case_folding_beyond_ascii_is_among_the_literals() {
        let found = literals("(?i)ks=(.)").unwrap();
        for text in ["ks=", "KS=", "\u{212a}\u{17f}="] {
            assert!(found.iter().any(|literal| text.contains(literal.as_str())), "{text}: {found:?}");
        }
    }

    #[test]
    fn literals_hold_nothing_that_normalising_can_make_or_break() {
        for pattern in ["ab\tcdef\t(\\d)", "x#quality(\\d)", "loss\u{fffd}a(\\d)", "\t(\\d)", "\x1b(\\d)"] {
            for literal in literals(pattern).unwrap_or_default() {
                assert!(!literal.contains(['\t', '#', '\u{fffd}', '\x1b']), "{pattern}: {literal}");
            }
        }
    }

    #[test]
    fn patterns_without_a_required_text_have_none() {
        for pattern in [r"(\d+)", r"(?:loss)?(\d+)", r"a*(\d)", r"(x|)(\d)"] {
            assert_eq!(literals(pattern), None, "{pattern}");
        }
    }
}
