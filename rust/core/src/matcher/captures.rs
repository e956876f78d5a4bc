//! Groups of one definition in one record.
//!
//! [`Engine`] is a definition's compiled pattern, made when it is first needed; [`Captures`] holds
//! the groups of the last match and the scratch memory. [`Captures::each`] walks the matches as
//! Python's `re.finditer` does, empty ones included.

use std::{ops::Range, sync::OnceLock};

use regex_automata::{
    Input,
    meta::{self, Regex},
    util::primitives::NonMaxUsize,
};

use super::{Strategy, nonempty::NonEmpty};
use crate::definition::{MetricId, Pattern};

/// A pattern that can read its groups.
#[derive(Debug)]
pub(crate) struct Engine {
    pattern: Pattern,
    strategy: Strategy,
    regex: OnceLock<Regex>,
    oracle: OnceLock<regex::bytes::Regex>,
    nonempty: OnceLock<NonEmpty>,
}

impl Engine {
    pub fn new(pattern: &Pattern, strategy: Strategy) -> Self {
        let pattern = pattern.clone();
        Self { pattern, strategy, regex: OnceLock::new(), oracle: OnceLock::new(), nonempty: OnceLock::new() }
    }

    fn regex(&self) -> &Regex {
        self.regex.get_or_init(|| {
            let config = Regex::config().utf8_empty(true).nfa_size_limit(None);
            let regex = Regex::builder().configure(config).build_from_hir(&self.pattern.hir);
            regex.expect("the pattern was compiled when the set was made")
        })
    }

    fn oracle(&self) -> &regex::bytes::Regex {
        self.oracle.get_or_init(|| {
            let builder = regex::bytes::RegexBuilder::new(&self.pattern.translated)
                .size_limit(usize::MAX)
                .nest_limit(1000)
                .build();
            builder.expect("the pattern was compiled when the set was made")
        })
    }

    fn slots(&self) -> usize {
        2 * (self.pattern.group_names.len() + 1)
    }
}

/// The groups of the match found last.
#[derive(Debug)]
pub(crate) struct Captures {
    slots: Vec<Option<NonMaxUsize>>,
    caches: Vec<Option<meta::Cache>>,
    /// Whether the last search was given up, for it went back too often.
    gave_up: bool,
}

/// How a walk over the matches ended.
pub(crate) struct Walk {
    pub stopped: bool,
    pub over_budget: bool,
}

impl Captures {
    pub fn new(engines: &[Engine]) -> Self {
        let slots = engines.iter().map(Engine::slots).max().unwrap_or(2);
        Self { slots: vec![None; slots], caches: vec![None; engines.len()], gave_up: false }
    }

    /// Where a group matched; 0 is the whole match.
    pub fn group(&self, index: usize) -> Option<Range<usize>> {
        Some(self.slots[2 * index]?.get()..self.slots[2 * index + 1]?.get())
    }

    /// Finds the first match at or after `from`.
    pub fn find(&mut self, engine: &Engine, metric: MetricId, text: &str, from: usize) -> bool {
        let slots = &mut self.slots[..engine.slots()];
        slots.fill(None);
        if let Some(backtracking) = &engine.pattern.backtracking {
            let found = backtracking.regex.captures_from_pos(text, from);
            self.gave_up = found.is_err();
            let Ok(Some(found)) = found else { return false };
            for (index, pair) in slots.chunks_exact_mut(2).enumerate() {
                let group = found.get(index);
                pair[0] = group.and_then(|group| NonMaxUsize::new(group.start()));
                pair[1] = group.and_then(|group| NonMaxUsize::new(group.end()));
            }
            return true;
        }
        if engine.strategy == Strategy::Exhaustive {
            let regex = engine.oracle();
            let mut locations = regex.capture_locations();
            if regex.captures_read_at(&mut locations, text.as_bytes(), from).is_none() {
                return false;
            }
            for (index, pair) in slots.chunks_exact_mut(2).enumerate() {
                let group = locations.get(index);
                pair[0] = group.and_then(|(start, _)| NonMaxUsize::new(start));
                pair[1] = group.and_then(|(_, end)| NonMaxUsize::new(end));
            }
            // The bytes engine may stop inside a character where a match is empty; `re` does not.
            return match self.group(0) {
                Some(found) if !text.is_char_boundary(found.start) => self.find(engine, metric, text, found.start + 1),
                _ => true,
            };
        }
        let regex = engine.regex();
        let cache = self.caches[metric].get_or_insert_with(|| regex.create_cache());
        regex.search_slots_with(cache, &Input::new(text).span(from..text.len()), slots).is_some()
    }

    /// Whether the last search was given up, for it went back too often; only once.
    pub fn gave_up(&mut self) -> bool {
        std::mem::take(&mut self.gave_up)
    }

    /// Calls `found` with each match and its number, until it says false.
    ///
    /// The matches are those of `re.finditer`: behind an empty match comes one that is not empty at
    /// the same place, if there is one, else the search goes on one character later.
    pub fn each(
        &mut self,
        engine: &Engine,
        metric: MetricId,
        text: &str,
        budget: u64,
        found: &mut impl FnMut(&Captures, u32) -> bool,
    ) -> Walk {
        let (mut at, mut number, mut spent, mut after_empty) = (0, 0, 0_u64, false);
        let done = |stopped, over_budget| Walk { stopped, over_budget };
        let mut last: Option<Vec<Option<NonMaxUsize>>> = None;
        loop {
            let mut hit = false;
            if after_empty {
                let slots = &mut self.slots[..engine.slots()];
                slots.fill(None);
                hit = engine.nonempty.get_or_init(|| NonEmpty::new(&engine.pattern.hir)).find(text, at, slots);
                if !hit {
                    at += text[at..].chars().next().map_or(1, char::len_utf8);
                }
            }
            hit = hit || (at <= text.len() && self.find(engine, metric, text, at));
            if self.gave_up() {
                return done(false, true);
            }
            let Some(range) = self.group(0).filter(|_| hit) else {
                // The caller of `last` reads the groups of the match before.
                if let Some(last) = last {
                    self.slots[..last.len()].copy_from_slice(&last);
                }
                return done(false, false);
            };
            spent += (text.len() - range.start) as u64;
            if spent > budget {
                return done(false, true);
            }
            if !found(self, number) {
                return done(true, false);
            }
            let slots = &self.slots[..engine.slots()];
            match &mut last {
                Some(last) => last.copy_from_slice(slots),
                None => last = Some(slots.to_vec()),
            }
            number += 1;
            // A pattern that needs backtracking and is walked so has no empty match.
            after_empty = range.is_empty() && engine.pattern.can_be_empty();
            at = range.end;
        }
    }
}
