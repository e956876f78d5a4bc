//! Which texts are searched for, and what was learned of them.
//!
//! A definition is first searched for by the literals that seem most selective. [`Learned`] counts what comes of
//! it: literals that stand in many records, of which hardly any matches, give way to others of the pattern, and
//! after all were tried to those that stood in the fewest. Each thread learns for itself. No row depends on it.

use std::collections::HashMap;

use crate::{
    definition::{DefinitionSet, MetricId},
    envelope::MPI_MARK,
    prefilter::{Hit, Prefilter},
};

/// After the first time literals are judged again when four times as many bytes were seen, up to this.
const MAX_INTERVAL: u64 = 64 << 20;
/// Of so many candidates at least one must match.
const MIN_MATCHES: u64 = 50;
/// Fewer candidates than one in so many bytes cost next to nothing.
const RARE: u64 = 16 << 10;
/// Stands for no definition, where a literal is searched for that belongs to none.
const NOBODY: u32 = u32::MAX;

/// The literals of all definitions that are searched for by some.
#[derive(Debug)]
pub(super) struct Search {
    pub prefilter: Option<Prefilter>,
    /// The definitions that each literal belongs to, one literal after the other.
    users: Vec<u32>,
    /// Where those of each literal begin; and the end of the last one's.
    first_user: Vec<u32>,
    /// Which of its sets each definition is searched for by.
    choices: Vec<u8>,
    /// The literals that no definition is searched for by, only context columns.
    context_only: Vec<bool>,
    /// The literal that tells of records of several origins, where there are context columns.
    mark: Option<u32>,
}

impl Search {
    /// For a search for nothing.
    pub fn none(definitions: usize) -> Self {
        Self {
            prefilter: None,
            users: Vec::new(),
            first_user: vec![0],
            choices: vec![0; definitions],
            context_only: Vec::new(),
            mark: None,
        }
    }

    /// For all definitions that have literals; `choices` says by which of their sets.
    pub fn new(definitions: &DefinitionSet, choices: Vec<u8>) -> Self {
        let mut pairs = Vec::new();
        for (id, (pattern, choice)) in definitions.all_patterns().iter().zip(&choices).enumerate() {
            let literals = pattern.literals.get(usize::from(*choice)).into_iter().flatten();
            pairs.extend(literals.map(|literal| (literal.clone(), id as u32)));
        }
        let (context, patterns) = (definitions.len() as u32, definitions.all_patterns().len() as u32);
        let tells_origin = |literal: &Vec<u8>| context < patterns && literal == MPI_MARK;
        if context < patterns {
            pairs.push((MPI_MARK.into(), NOBODY));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let (mut literals, mut users, mut first_user) = (Vec::<Vec<u8>>::new(), Vec::new(), Vec::new());
        for (literal, id) in pairs {
            if literals.last() != Some(&literal) {
                literals.push(literal);
                first_user.push(users.len() as u32);
            }
            if id != NOBODY {
                users.push(id);
            }
        }
        first_user.push(users.len() as u32);
        let of_literal = first_user.windows(2).map(|range| &users[range[0] as usize..range[1] as usize]);
        let context_only = of_literal.map(|users| users.iter().all(|user| *user >= context)).collect();
        let mark = literals.iter().position(tells_origin).map(|mark| mark as u32);
        Self { prefilter: Prefilter::new(&literals), users, first_user, choices, context_only, mark }
    }

    /// Whether one of the literals tells that records may be of several origins.
    pub fn is_mixed(&self, hits: &[Hit]) -> bool {
        self.mark.is_some_and(|mark| hits.iter().any(|hit| hit.literal == mark))
    }

    /// Whether a literal belongs to context columns alone.
    #[inline]
    pub fn is_context_only(&self, literal: u32) -> bool {
        self.context_only[literal as usize]
    }

    /// The definitions that a literal belongs to.
    pub fn users(&self, literal: u32) -> &[u32] {
        let literal = literal as usize;
        &self.users[self.first_user[literal] as usize..self.first_user[literal + 1] as usize]
    }

    /// By which of its sets of literals a definition is searched for; its shape knows those of the first.
    pub fn choice(&self, metric: MetricId) -> u8 {
        self.choices[metric]
    }

    /// The same by other choices, if what was learned asks for some; only definitions that `is_free` is true of
    /// may change theirs.
    pub fn revised(
        &self,
        definitions: &DefinitionSet,
        is_free: impl Fn(MetricId) -> bool,
        learned: &mut Learned,
    ) -> Option<Self> {
        let mut choices = self.choices.clone();
        for (metric, choice) in choices.iter_mut().enumerate() {
            let sets = definitions.all_patterns()[metric].literals.len();
            if sets > 1 && is_free(metric) {
                *choice = learned.choice(metric, *choice, sets as u8);
            }
        }
        learned.begin_next();
        (choices != self.choices).then(|| Self::new(definitions, choices))
    }
}

/// What one thread has learned.
#[derive(Debug)]
pub(super) struct Learned {
    counts: Vec<Counts>,
    /// Definitions that were tried since their counts were taken.
    touched: Vec<MetricId>,
    /// The counts at the last judgement: records, and those that matched.
    judged: Vec<[u64; 2]>,
    bytes: u64,
    interval: u64,
    /// Of definitions that were once searched for in vain: candidates a byte, by choice.
    rates: HashMap<MetricId, HashMap<u8, f64>>,
}

/// Of one definition, from the beginning on.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    /// Records that it was tried on.
    tried: u64,
    /// Those of them that matched.
    matched: u64,
    /// Those that were told of.
    told: u64,
}

impl Learned {
    pub fn new(definitions: usize) -> Self {
        Self {
            counts: vec![Counts::default(); definitions],
            touched: Vec::new(),
            judged: vec![[0; 2]; definitions],
            bytes: 0,
            interval: MAX_INTERVAL,
            rates: HashMap::new(),
        }
    }

    /// Judges after so many bytes for the first time.
    pub fn judge_after(&mut self, bytes: u64) {
        self.interval = bytes;
    }

    #[inline]
    pub fn tried(&mut self, metric: MetricId, matched: bool) {
        let counts = &mut self.counts[metric];
        if counts.tried == counts.told {
            self.touched.push(metric);
        }
        counts.tried += 1;
        counts.matched += u64::from(matched);
    }

    /// The definitions that were tried since this was asked last, ascending, and on how many records.
    pub fn take_tried(&mut self) -> Vec<(MetricId, u64)> {
        self.touched.sort_unstable();
        let counts = &mut self.counts;
        let taken = self.touched.drain(..).map(|metric| {
            let Counts { tried, told, .. } = &mut counts[metric];
            (metric, *tried - std::mem::replace(told, *tried))
        });
        taken.collect()
    }

    /// Counts a block; whether it is time to judge.
    pub fn is_due(&mut self, block: usize) -> bool {
        self.bytes += block as u64;
        self.bytes >= self.interval
    }

    fn choice(&mut self, metric: MetricId, current: u8, sets: u8) -> u8 {
        let (counts, [tried, matched]) = (self.counts[metric], self.judged[metric]);
        let (tried, matched) = (counts.tried - tried, counts.matched - matched);
        let is_rare = tried * RARE < self.bytes;
        if tried == 0 || is_rare || matched * MIN_MATCHES >= tried {
            return current;
        }
        let rates = self.rates.entry(metric).or_default();
        rates.insert(current, tried as f64 / self.bytes as f64);
        let untried = (0..sets).find(|choice| !rates.contains_key(choice));
        let best = || rates.iter().min_by(|a, b| a.1.total_cmp(b.1).then(a.0.cmp(b.0))).map(|(choice, _)| *choice);
        untried.or_else(best).unwrap_or(current)
    }

    fn begin_next(&mut self) {
        for (judged, counts) in self.judged.iter_mut().zip(&self.counts) {
            *judged = [counts.tried, counts.matched];
        }
        self.bytes = 0;
        self.interval = (self.interval * 4).min(MAX_INTERVAL);
    }
}
