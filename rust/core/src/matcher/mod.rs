//! Block in, matches out.
//!
//! [`Matcher`] is immutable and shared by threads; [`Cache`] is one thread's scratch memory. A block
//! goes through three steps: the prefilter names candidate records, one multi-pattern search per
//! candidate confirms which definitions match, and each of those reads its groups. [`Strategy`]
//! says how much of that is done; the rows are the same for each.

mod captures;
mod nonempty;

use std::{ops::Range, sync::Arc};

use regex_automata::{
    MatchKind, PatternSet,
    meta::{self, Regex},
    nfa::thompson::WhichCaptures,
};

use crate::{
    definition::{DefinitionSet, Matches, MetricId},
    normalize::{Normalizer, Text, is_broken_by_sequences, next_esc},
    prefilter::Prefilter,
    record::{Census, Framing},
};
use captures::{Captures, Engine};

/// Patterns in one multi-pattern automaton; larger sets outgrow its lazily built states.
const SET_SIZE: usize = 1000;
/// Lazily built states of one set and thread.
const SET_CACHE_BYTES: usize = 8 << 20;
/// `all` and `last` may look at this many bytes of a record again, summed over their matches.
const ITERATION_BUDGET: u64 = 1 << 30;

/// How candidate records are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Literals first; what holds none is not looked at. The default.
    #[default]
    Prefiltered,
    /// The regex crate's `RegexSet` on every record: slow, obvious, the oracle of the other.
    Exhaustive,
}

/// All definitions, ready to be matched.
#[derive(Debug)]
pub struct Matcher {
    definitions: Arc<DefinitionSet>,
    framing: Framing,
    strategy: Strategy,
    engines: Vec<Engine>,
    /// Literals of all definitions that have some.
    prefilter: Option<Prefilter>,
    all: Confirm,
    /// The definitions without a literal, which are tried on every record.
    always: Confirm,
}

/// Tells which definitions match a record.
#[derive(Debug)]
enum Confirm {
    Sets(Vec<(Vec<MetricId>, Regex)>),
    Oracle(regex::bytes::RegexSet),
}

/// One thread's scratch memory for a [`Matcher`].
#[derive(Debug)]
pub struct Cache {
    normalizer: Normalizer,
    captures: Captures,
    confirmed: Vec<MetricId>,
    all: Vec<(meta::Cache, PatternSet)>,
    always: Vec<(meta::Cache, PatternSet)>,
}

/// A match of one definition in one record.
pub(crate) struct Match<'a> {
    pub metric: MetricId,
    /// Number of the match among those of the definition in this record.
    pub number: u32,
    captures: &'a Captures,
}

impl Match<'_> {
    /// Where a group matched in the record's text.
    pub fn group(&self, index: usize) -> Option<Range<usize>> {
        self.captures.group(index)
    }
}

/// Receives what the matcher finds in a block.
pub(crate) trait Visitor {
    /// A match of the record at `record` (bytes of the block). False ends the block.
    fn found(&mut self, record: &Range<usize>, text: &Text<'_>, found: &Match<'_>) -> bool;
    /// `all` or `last` gave up in this record.
    fn over_budget(&mut self, record: &Range<usize>, metric: MetricId);
    /// The record is through; `matched` says whether any definition matched. False ends the block.
    fn record_done(&mut self, record: &Range<usize>, matched: bool) -> bool;
    /// Whether the record may be matched at all; false skips it.
    fn admits(&mut self, record: &Range<usize>, block: &[u8]) -> bool;
}

impl Matcher {
    /// Compiles a set for one strategy.
    pub fn new(definitions: Arc<DefinitionSet>, strategy: Strategy) -> Self {
        let patterns = definitions.patterns();
        let engines = patterns.iter().map(|pattern| Engine::new(pattern, strategy)).collect();
        let (mut literals, mut always) = (Vec::new(), Vec::new());
        for (id, pattern) in patterns.iter().enumerate() {
            match &pattern.literals {
                Some(found) => literals.extend(found.iter().cloned()),
                None => always.push(id),
            }
        }
        literals.sort();
        literals.dedup();
        let everything: Vec<MetricId> = (0..patterns.len()).collect();
        let prefilter = match strategy {
            Strategy::Prefiltered => Prefilter::new(&literals),
            Strategy::Exhaustive => None,
        };
        Self {
            framing: Framing { terminal: definitions.terminal() },
            strategy,
            engines,
            all: Confirm::new(&definitions, &everything, strategy),
            always: Confirm::new(&definitions, if prefilter.is_some() { &always } else { &[] }, strategy),
            prefilter,
            definitions,
        }
    }

    /// The set this was made from.
    pub fn definitions(&self) -> &Arc<DefinitionSet> {
        &self.definitions
    }

    /// How candidates are found.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Scratch memory for one thread.
    pub fn cache(&self) -> Cache {
        Cache {
            normalizer: Normalizer::default(),
            captures: Captures::new(&self.engines),
            confirmed: Vec::new(),
            all: self.all.caches(),
            always: self.always.caches(),
        }
    }

    /// Finds all matches of a block, which begins and ends at a record end.
    pub(crate) fn block(&self, cache: &mut Cache, block: &[u8], census: &Census, visitor: &mut impl Visitor) {
        match &self.prefilter {
            Some(prefilter) if self.always.is_empty() => {
                self.candidates(cache, block, census, prefilter, visitor);
            }
            prefilter => self.every_record(cache, block, census, prefilter.as_ref(), visitor),
        }
    }

    /// Jumps from candidate to candidate.
    fn candidates(
        &self,
        cache: &mut Cache,
        block: &[u8],
        census: &Census,
        prefilter: &Prefilter,
        visitor: &mut impl Visitor,
    ) {
        let may_break = self.framing.terminal && census.may_hold_escape_sequences();
        let mut broken = Broken::new(may_break);
        let mut literal = prefilter.find(block, 0);
        // `from` is a record's start; what lies before `search` holds nothing new.
        let (mut from, mut search) = (0, 0);
        while search < block.len() {
            if literal.is_some_and(|at| at < search) {
                literal = prefilter.find(block, search);
            }
            let at = match (literal, broken.next(self.framing, block, from)) {
                (Some(literal), Some(broken)) => literal.min(broken),
                (Some(at), None) | (None, Some(at)) => at,
                (None, None) => return,
            };
            let Some((record, next)) = self.framing.around(block, from, at) else {
                // Inside an escaped terminator: `015` may be part of a literal.
                search = at + 1;
                continue;
            };
            if !self.record(cache, block, record, &self.all, false, visitor) {
                return;
            }
            (from, search) = (next, next);
        }
    }

    /// Looks at every record; those that hold a literal are tried with all definitions.
    fn every_record(
        &self,
        cache: &mut Cache,
        block: &[u8],
        census: &Census,
        prefilter: Option<&Prefilter>,
        visitor: &mut impl Visitor,
    ) {
        let may_break = self.framing.terminal && census.may_hold_escape_sequences();
        let mut literal = prefilter.and_then(|prefilter| prefilter.find(block, 0));
        let mut from = 0;
        while from < block.len() {
            let (end, next) = match self.framing.next_end(block, from) {
                Some(end) => (end.start, end.next),
                None => (block.len(), block.len()),
            };
            let record = from..end;
            let all = match prefilter {
                None => true,
                Some(prefilter) => {
                    if literal.is_some_and(|at| at < from) {
                        literal = prefilter.find(block, from);
                    }
                    literal.is_some_and(|at| at < end) || (may_break && is_broken_by_sequences(&block[record.clone()]))
                }
            };
            let confirm = if all { &self.all } else { &self.always };
            if !self.record(cache, block, record, confirm, !all, visitor) {
                return;
            }
            from = next;
        }
    }

    fn record(
        &self,
        cache: &mut Cache,
        block: &[u8],
        record: Range<usize>,
        confirm: &Confirm,
        always: bool,
        visitor: &mut impl Visitor,
    ) -> bool {
        if !visitor.admits(&record, block) {
            return true;
        }
        let text = cache.normalizer.normalize(&block[record.clone()], self.framing.terminal);
        let sets = if always { &mut cache.always } else { &mut cache.all };
        confirm.which(text.text, sets, &mut cache.confirmed);
        let mut matched = false;
        for &metric in &cache.confirmed {
            let matches = self.definitions.definitions()[metric].matches;
            let mut found = |captures: &Captures, number: u32| {
                matched = true;
                visitor.found(&record, &text, &Match { metric, number, captures })
            };
            let engine = &self.engines[metric];
            let outcome = match matches {
                Matches::First => {
                    if cache.captures.find(engine, metric, text.text, 0) && !found(&cache.captures, 0) {
                        return false;
                    }
                    Some(())
                }
                Matches::All => {
                    let outcome = cache.captures.each(engine, metric, text.text, ITERATION_BUDGET, &mut found);
                    if outcome.stopped {
                        return false;
                    }
                    (!outcome.over_budget).then_some(())
                }
                Matches::Last => {
                    let mut last = 0;
                    let outcome = cache.captures.each(engine, metric, text.text, ITERATION_BUDGET, &mut |_, number| {
                        last = number + 1;
                        true
                    });
                    if outcome.over_budget {
                        // Which match is the last one is not known; a wrong value is worse than none.
                        None
                    } else {
                        if last > 0 && !found(&cache.captures, last - 1) {
                            return false;
                        }
                        Some(())
                    }
                }
            };
            if outcome.is_none() {
                matched = true;
                visitor.over_budget(&record, metric);
            }
        }
        visitor.record_done(&record, matched)
    }
}

impl Confirm {
    fn new(definitions: &DefinitionSet, ids: &[MetricId], strategy: Strategy) -> Self {
        let patterns = definitions.patterns();
        if strategy == Strategy::Exhaustive {
            let set = regex::bytes::RegexSetBuilder::new(ids.iter().map(|id| &patterns[*id].translated))
                .size_limit(usize::MAX)
                .dfa_size_limit(SET_CACHE_BYTES * 8)
                .nest_limit(1000)
                .build()
                .expect("each pattern was compiled on its own");
            return Confirm::Oracle(set);
        }
        let config = Regex::config()
            .match_kind(MatchKind::All)
            .utf8_empty(true)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(None)
            .hybrid_cache_capacity(SET_CACHE_BYTES);
        let sets = ids.chunks(SET_SIZE).map(|ids| {
            let hirs: Vec<_> = ids.iter().map(|id| patterns[*id].to_confirm()).collect();
            let set = Regex::builder().configure(config.clone()).build_many_from_hir(&hirs);
            (ids.to_vec(), set.expect("each pattern was compiled on its own"))
        });
        Confirm::Sets(sets.collect())
    }

    fn is_empty(&self) -> bool {
        match self {
            Confirm::Sets(sets) => sets.is_empty(),
            Confirm::Oracle(set) => set.is_empty(),
        }
    }

    fn caches(&self) -> Vec<(meta::Cache, PatternSet)> {
        match self {
            Confirm::Sets(sets) => {
                sets.iter().map(|(ids, set)| (set.create_cache(), PatternSet::new(ids.len()))).collect()
            }
            Confirm::Oracle(_) => Vec::new(),
        }
    }

    fn which(&self, text: &str, caches: &mut [(meta::Cache, PatternSet)], confirmed: &mut Vec<MetricId>) {
        confirmed.clear();
        match self {
            Confirm::Oracle(set) => confirmed.extend(set.matches(text.as_bytes())),
            Confirm::Sets(sets) => {
                for ((ids, set), (cache, patterns)) in sets.iter().zip(caches) {
                    if let [only] = ids[..] {
                        // Reading the groups tells as much.
                        confirmed.push(only);
                        continue;
                    }
                    patterns.clear();
                    set.which_overlapping_matches_with(cache, &regex_automata::Input::new(text), patterns);
                    confirmed.extend(patterns.iter().map(|pattern| ids[pattern.as_usize()]));
                }
            }
        }
    }
}

/// Records whose literals may be cut through by escape sequences: candidates whatever they hold.
struct Broken {
    /// Where the next one is; before this, none.
    known: Option<usize>,
    done: bool,
}

impl Broken {
    fn new(may_break: bool) -> Self {
        Self { known: None, done: !may_break }
    }

    fn next(&mut self, framing: Framing, block: &[u8], from: usize) -> Option<usize> {
        if let Some(known) = self.known.filter(|known| *known >= from) {
            return Some(known);
        }
        let mut at = from;
        while !self.done {
            let Some(esc) = next_esc(&block[at..]).map(|esc| at + esc) else {
                self.done = true;
                break;
            };
            match framing.around(block, at, esc) {
                Some((record, _)) if is_broken_by_sequences(&block[record.clone()]) => {
                    self.known = Some(esc);
                    return self.known;
                }
                Some((_, next)) => at = next,
                None => at = esc + 1,
            }
        }
        None
    }
}
