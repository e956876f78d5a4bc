//! The parts of a pattern, where they are simple enough to read the value without a regex engine.
//!
//! Most metric definitions are a text, a number, and little behind it: `'loss': ([0-9.]+),?` or
//! `.*\[[0-9]+\].*train-error:(\S+).*`. [`Shape::of`] takes such a pattern apart, [`Shape`] says how its
//! match follows from a few facts, and `direct` finds them. What is of no such shape is left to the
//! regex engine; what is gives the same group, which tests compare.
//!
//! A pattern is `before .* prefix (group) suffix rest`, where each part but the group may be missing:
//! - *rest* can match nothing and looks at nothing, so it never fails and changes nothing;
//! - *suffix* has a fixed length, so the group's end follows from the end of the match;
//! - *prefix* has a fixed length, so the group's start follows from its own;
//! - a greedy `.*` takes the last place where prefix, group and suffix match: it decides alone where the
//!   group stands, and what is *before* it only has to match somewhere in front. Without one the first
//!   place counts.

use memchr::memmem;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::prefilter::{best_literal, selectivity};

/// A pattern, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Whether the last place counts, not the first.
    pub last: bool,
    /// What has to match somewhere in front of the prefix.
    pub before: Option<Hir>,
    /// Length of the prefix in bytes.
    pub prefix_len: usize,
    /// The prefix, where it is nothing but text.
    pub text: Option<Vec<u8>>,
    /// Group and suffix; the prefix before them where it is not mere text.
    pub body: Hir,
    /// Length of the suffix in bytes.
    pub suffix_len: usize,
    /// A literal of the prefix that is worth searching for, and where in the prefix it begins.
    pub literal: Option<(Vec<u8>, usize)>,
}

impl Shape {
    /// Takes a pattern apart; None where it is of another kind.
    pub fn of(pattern: &Hir, value_group: usize) -> Option<Self> {
        let mut parts = Vec::new();
        flatten(pattern, value_group, &mut parts);
        let group = parts.iter().position(|part| matches!(part, Part::Value(_)))?;
        let Part::Value(value) = parts[group] else { return None };
        let hirs = |parts: &[Part]| -> Vec<Hir> { parts.iter().map(|part| part.hir().clone()).collect() };
        let mut suffix = hirs(&parts[group + 1..]);
        while suffix.last().is_some_and(never_fails) {
            suffix.pop();
        }
        let suffix_len = fixed_len(&suffix)?;
        let mut prefix = hirs(&parts[..group]);
        let run = prefix.iter().rposition(|part| any_run(part) == Some(Greedy(true)));
        let before = match run {
            Some(run) => {
                let rest = prefix.split_off(run + 1);
                prefix.pop();
                std::mem::replace(&mut prefix, rest)
            }
            None => {
                // A lazy `.*?` in front takes the first place, which is what happens without it.
                let lazy = prefix.iter().take_while(|part| any_run(part).is_some()).count();
                prefix.drain(..lazy);
                Vec::new()
            }
        };
        let skipped = before.iter().take_while(|part| any_run(part).is_some()).count();
        let before = &before[skipped..];
        let before = (!before.iter().all(never_fails)).then(|| Hir::concat(before.to_vec()));
        let prefix_len = fixed_len(&prefix)?;
        let runs = text_runs(&prefix);
        let text = match &runs[..] {
            [] if prefix.is_empty() => Some(Vec::new()),
            [(0, only)] if only.len() == prefix_len && prefix.iter().all(is_literal) => Some(only.clone()),
            _ => None,
        };
        let body = match text {
            Some(_) => Vec::new(),
            None => prefix,
        };
        let body = Hir::concat(body.into_iter().chain([value.clone()]).chain(suffix).collect());
        let literal = runs.iter().filter_map(|(offset, run)| lead(&runs, *offset, run));
        let literal = literal.max_by_key(|(literal, _)| selectivity(literal));
        Some(Self { last: run.is_some(), before, prefix_len, text, body, suffix_len, literal })
    }
}

/// The best literal of a run of text, if it stands only once in the prefix.
fn lead(runs: &[(usize, Vec<u8>)], offset: usize, run: &[u8]) -> Option<(Vec<u8>, usize)> {
    let literal = best_literal(run);
    selectivity(literal)?;
    let found: usize = runs.iter().map(|(_, run)| occurrences(run, literal)).sum();
    let at = memmem::find(run, literal)?;
    (found == 1).then(|| (literal.to_vec(), offset + at))
}

/// How often a text stands in another one, overlaps included.
fn occurrences(text: &[u8], literal: &[u8]) -> usize {
    text.windows(literal.len()).filter(|window| *window == literal).count()
}

enum Part<'a> {
    Value(&'a Hir),
    Other(&'a Hir),
}

impl Part<'_> {
    fn hir(&self) -> &Hir {
        match self {
            Part::Value(hir) | Part::Other(hir) => hir,
        }
    }
}

/// The parts in their order; groups other than the value's are transparent.
fn flatten<'a>(hir: &'a Hir, value_group: usize, parts: &mut Vec<Part<'a>>) {
    match hir.kind() {
        HirKind::Concat(inner) => inner.iter().for_each(|part| flatten(part, value_group, parts)),
        HirKind::Capture(capture) if capture.index as usize == value_group => parts.push(Part::Value(&capture.sub)),
        HirKind::Capture(capture) => flatten(&capture.sub, value_group, parts),
        HirKind::Empty => {}
        _ => parts.push(Part::Other(hir)),
    }
}

/// Runs of literal text with their offsets in a prefix of fixed length.
fn text_runs(prefix: &[Hir]) -> Vec<(usize, Vec<u8>)> {
    let mut runs: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut offset = 0;
    for part in prefix {
        if let HirKind::Literal(literal) = part.kind() {
            match runs.last_mut().filter(|(start, run)| start + run.len() == offset) {
                Some((_, run)) => run.extend_from_slice(&literal.0),
                None => runs.push((offset, literal.0.to_vec())),
            }
        }
        offset += part.properties().minimum_len().unwrap_or(0);
    }
    runs
}

fn is_literal(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Literal(_))
}

/// Whether a part matches whatever stands there, and can match nothing.
fn never_fails(hir: &Hir) -> bool {
    hir.properties().minimum_len() == Some(0) && hir.properties().look_set().is_empty()
}

fn fixed_len(parts: &[Hir]) -> Option<usize> {
    parts.iter().try_fold(0, |sum, part| {
        let properties = part.properties();
        let len = properties.minimum_len()?;
        (properties.maximum_len() == Some(len)).then_some(sum + len)
    })
}

#[derive(PartialEq, Eq)]
pub(crate) struct Greedy(pub bool);

/// Whether a part is `.*`, which takes any text of a record, and which of its ends it prefers.
pub(crate) fn any_run(hir: &Hir) -> Option<Greedy> {
    let HirKind::Repetition(repetition) = hir.kind() else { return None };
    let HirKind::Class(Class::Unicode(class)) = repetition.sub.kind() else { return None };
    if repetition.min > 0 || repetition.max.is_some() {
        return None;
    }
    let mut missing = class.clone();
    missing.negate();
    // A record holds no LF.
    missing.iter().all(|range| range.start() == '\n' && range.end() == '\n').then_some(Greedy(repetition.greedy))
}
