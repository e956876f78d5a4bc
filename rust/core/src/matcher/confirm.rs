//! Which of many definitions match a text, found by one automaton for all of them.

use regex_automata::{
    Input, MatchKind, PatternSet,
    meta::{self, Regex},
    nfa::thompson::WhichCaptures,
};

use super::Strategy;
use crate::definition::{DefinitionSet, MetricId};

/// Patterns in one automaton; larger sets outgrow its lazily built states.
const SET_SIZE: usize = 1000;
/// Lazily built states of one set and thread.
const SET_CACHE_BYTES: usize = 8 << 20;

/// Tells which of its definitions match.
#[derive(Debug)]
pub(crate) struct Confirm {
    ids: Vec<MetricId>,
    sets: Sets,
}

#[derive(Debug)]
enum Sets {
    Fast(Vec<Regex>),
    Oracle(regex::bytes::RegexSet),
}

/// One thread's scratch memory, made when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct SetCaches(Vec<(meta::Cache, PatternSet)>);

impl Confirm {
    /// Compiles the patterns of these definitions, which are in ascending order.
    pub fn new(definitions: &DefinitionSet, ids: Vec<MetricId>, strategy: Strategy) -> Self {
        let patterns = definitions.patterns();
        let sets = if strategy == Strategy::Exhaustive {
            let set = regex::bytes::RegexSetBuilder::new(ids.iter().map(|id| &patterns[*id].translated))
                .size_limit(usize::MAX)
                .dfa_size_limit(SET_CACHE_BYTES * 8)
                .nest_limit(1000)
                .build();
            Sets::Oracle(set.expect("each pattern was compiled on its own"))
        } else {
            let config = Regex::config()
                .match_kind(MatchKind::All)
                .utf8_empty(true)
                .which_captures(WhichCaptures::None)
                .nfa_size_limit(None)
                .hybrid_cache_capacity(SET_CACHE_BYTES);
            let sets = ids.chunks(SET_SIZE).map(|ids| {
                let hirs: Vec<_> = ids.iter().map(|id| patterns[*id].to_confirm()).collect();
                let set = Regex::builder().configure(config.clone()).build_many_from_hir(&hirs);
                set.expect("each pattern was compiled on its own")
            });
            Sets::Fast(sets.collect())
        };
        Self { ids, sets }
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The definitions that match, in ascending order. A definition that is alone is not looked at: reading
    /// its groups tells as much.
    pub fn which(&self, text: &str, caches: &mut SetCaches, confirmed: &mut Vec<MetricId>) {
        confirmed.clear();
        let sets = match &self.sets {
            Sets::Oracle(set) => {
                confirmed.extend(set.matches(text.as_bytes()).iter().map(|index| self.ids[index]));
                return;
            }
            Sets::Fast(sets) => sets,
        };
        if caches.0.is_empty() {
            caches.0.extend(sets.iter().map(|set| (set.create_cache(), PatternSet::new(set.pattern_len()))));
        }
        for ((ids, set), (cache, patterns)) in self.ids.chunks(SET_SIZE).zip(sets).zip(&mut caches.0) {
            if let [only] = ids[..] {
                confirmed.push(only);
                continue;
            }
            patterns.clear();
            set.which_overlapping_matches_with(cache, &Input::new(text), patterns);
            confirmed.extend(patterns.iter().map(|pattern| ids[pattern.as_usize()]));
        }
    }
}
