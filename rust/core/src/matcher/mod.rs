//! Block in, matches out.
//!
//! [`Matcher`] is immutable and shared by threads; [`Cache`] is one thread's scratch memory. The survey of
//! a block has found the places of literals; [`Matcher::block`] confirms them, makes records and their
//! texts around them, and tries each definition whose literal stands there: by its [`Shape`] where it has
//! one (`direct`), else by the regex engine (`captures`). Definitions without a literal are tried on every
//! record. [`Strategy`] can switch all of this off; the rows are the same.

mod captures;
mod confirm;
mod direct;
mod joins;
mod lookback;
mod nonempty;
mod quick;
mod search;
mod shape;
mod sweep;
mod tasks;
mod walk;

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

pub(crate) use shape::{Shape, any_run};

use crate::{
    definition::{DefinitionSet, Matches, MetricId},
    normalize::{Normalizer, Text, may_change},
    number::Prefix,
    prefilter::{Hit, Prefilter},
    record::{Census, Framing},
    survey::{Classes, Survey},
};
use captures::{Captures, Engine};
use confirm::{Confirm, SetCaches};
use direct::{Direct, Shared};
pub(crate) use lookback::Wrapped;
use lookback::{Lookback, Place, Surveyed};
use search::{Learned, Search};
use tasks::{CONFIRMED, Task, Tasks};

/// `all` and `last` may look at this many bytes of a record again, summed over their matches.
const ITERATION_BUDGET: u64 = 1 << 30;
/// One in so many tries is timed: the clock costs 50 ns.
pub(crate) const TIMED: u32 = 64;
/// More definitions than this that need the regex engine are first confirmed together, by one automaton.
const FEW: usize = 3;

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
    direct: Vec<OnceLock<Option<Direct>>>,
    /// Whether a definition needs the regex engine.
    is_complex: Vec<bool>,
    some_complex: bool,
    /// Automata that definitions share.
    shared: Shared,
    /// What is searched for at first.
    search: Arc<Search>,
    /// The definitions without a literal, which are tried on every record; all of them if exhaustive.
    always: Confirm,
    /// The others that have no simple shape, made when a record holds literals of several of them.
    complex: OnceLock<Confirm>,
    /// Which patterns, behind those of the definitions, each context column has.
    context: Vec<Range<MetricId>>,
}

/// One thread's scratch memory for a [`Matcher`].
#[derive(Debug)]
pub struct Cache {
    /// What is searched for, as far as this thread has learned.
    search: Arc<Search>,
    learned: Learned,
    normalizer: Normalizer,
    captures: Captures,
    always: SetCaches,
    complex: SetCaches,
    confirmed: Vec<MetricId>,
    hits: Vec<Hit>,
    joins: Vec<usize>,
    tasks: Tasks,
    /// Of a record's text, where it is not what stands in the block.
    text_survey: Survey,
    text_hits: Vec<Hit>,
    lookback: Lookback,
    /// Definitions tried so far.
    tried: u32,
}

impl Cache {
    /// Judges the literals after so many bytes for the first time.
    pub(crate) fn judge_after(&mut self, bytes: u64) {
        self.learned.judge_after(bytes);
    }

    /// The definitions that were tried since this was asked last, ascending, and on how many records.
    pub(crate) fn take_tried(&mut self) -> Vec<(MetricId, u64)> {
        self.learned.take_tried()
    }

    /// The bit of the set of literals that a definition is searched for by now.
    pub(crate) fn searched_by(&self, metric: MetricId) -> u8 {
        1 << self.search.choice(metric)
    }
}

/// A match of one definition in one record.
pub(crate) struct Match<'a> {
    pub metric: MetricId,
    /// Number of the match among those of the definition in this record.
    pub number: u32,
    /// Where the value's group matched, if it took part.
    pub value: Option<Range<usize>>,
    /// The number that the value's group is known to be.
    pub whole: Option<Prefix>,
    /// All groups; None where the definition has no labels.
    captures: Option<&'a Captures>,
}

impl Match<'_> {
    /// Where a label's group matched in the record's text.
    pub fn group(&self, index: usize) -> Option<Range<usize>> {
        self.captures?.group(index)
    }
}

/// Receives what the matcher finds in a block.
pub(crate) trait Visitor {
    /// A match of the record at `record` (bytes of the block). False ends the block.
    fn found(&mut self, record: &Range<usize>, text: &Text<'_>, found: &Match<'_>) -> bool;
    /// How long it took to try a definition on a record; one in [`TIMED`] is told of.
    fn timed(&mut self, metric: MetricId, time: Duration);
    /// `all` or `last` gave up in this record.
    fn over_budget(&mut self, record: &Range<usize>, metric: MetricId);
    /// The record is through; `matched` says whether any definition matched. False ends the block.
    fn record_done(&mut self, record: &Range<usize>, matched: bool) -> bool;
    /// Takes a candidate record; false if it may not be matched.
    fn admits(&mut self, record: &Range<usize>, block: &[u8]) -> bool;
    /// Whether a record is short enough to be matched.
    fn fits(&self, record: &Range<usize>, block: &[u8]) -> bool;
    /// Gets to know of whose record the one at hand is, where origins mix; before what it says of context columns.
    fn look_at(&mut self, record: &Range<usize>);
    /// What the record at hand says of a context column: where its pattern matches, the text and the group in it.
    /// Before anything is found in the record. Whether it is a value of the column.
    fn context(&mut self, record: &Range<usize>, column: usize, found: Option<InText<'_>>) -> bool;
    /// What a record before the one at hand says of a context column, the nearest first; all of one origin. Whether
    /// it is a value.
    fn context_before(&mut self, record: &Range<usize>, column: usize, found: InText<'_>) -> bool;
    /// No record that was not looked at before has a value of the column.
    fn nothing_before(&mut self, column: usize);
    /// What a record says of a context column that was passed over where origins mix, in their order.
    fn context_passed(&mut self, record: &Range<usize>, column: usize, found: InText<'_>);
}

/// A text and a group in it that may have taken no part.
pub(crate) type InText<'a> = (&'a Text<'a>, Option<Range<usize>>);

impl Matcher {
    /// Compiles a set for one strategy.
    pub fn new(definitions: Arc<DefinitionSet>, strategy: Strategy) -> Self {
        let (patterns, len) = (definitions.all_patterns(), definitions.len());
        let engines = patterns.iter().map(|pattern| Engine::new(pattern, strategy)).collect();
        let exhaustive = strategy == Strategy::Exhaustive;
        let always = (0..len).filter(|id| exhaustive || patterns[*id].literals.is_empty()).collect();
        let search = match strategy {
            Strategy::Prefiltered => Search::new(&definitions, vec![0; patterns.len()]),
            Strategy::Exhaustive => Search::none(patterns.len()),
        };
        let is_complex = patterns.iter().enumerate().map(|(id, pattern)| {
            let definition = definitions.definitions().get(id);
            pattern.shape.is_none() || definition.is_some_and(|definition| definition.matches != Matches::First)
        });
        let is_complex: Vec<bool> = is_complex.collect();
        Self {
            framing: Framing { terminal: definitions.terminal() },
            strategy,
            engines,
            direct: patterns.iter().map(|_| OnceLock::new()).collect(),
            some_complex: is_complex[..len].contains(&true),
            is_complex,
            shared: Shared::default(),
            search: Arc::new(search),
            always: Confirm::new(&definitions, always, strategy),
            complex: OnceLock::new(),
            context: definitions.context_patterns(),
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
            search: self.search.clone(),
            learned: Learned::new(self.engines.len()),
            normalizer: Normalizer::default(),
            captures: Captures::new(&self.engines),
            always: SetCaches::default(),
            complex: SetCaches::default(),
            confirmed: Vec::new(),
            hits: Vec::new(),
            joins: Vec::new(),
            tasks: Tasks::default(),
            text_survey: Survey::default(),
            text_hits: Vec::new(),
            lookback: Lookback::default(),
            tried: 0,
        }
    }

    /// Looks at a block once, which begins and ends at a record end.
    pub(crate) fn survey(&self, cache: &Cache, block: &[u8], survey: &mut Survey) {
        let none = Classes::default();
        survey.take(block, self.framing, cache.search.prefilter.as_ref().map_or(&none, Prefilter::classes));
    }

    /// Finds all matches of a block that was surveyed with the same cache just before.
    pub(crate) fn block(
        &self,
        cache: &mut Cache,
        block: &[u8],
        survey: &Survey,
        wrapped: Wrapped,
        visitor: &mut impl Visitor,
    ) {
        if self.strategy == Strategy::Exhaustive {
            return self.exhaustive(cache, &Surveyed { block, survey, hits: &[], joins: &[], wrapped }, visitor);
        }
        cache.lookback.begin(self.context.len());
        let (mut hits, mut joins) = (std::mem::take(&mut cache.hits), std::mem::take(&mut cache.joins));
        hits.clear();
        joins.clear();
        let search = cache.search.clone();
        if let Some(prefilter) = &search.prefilter {
            prefilter.confirm(block, &survey.places, &mut hits);
            joins::find(prefilter, block, survey, &mut joins);
        }
        let wrapped = Wrapped { is_mixed: wrapped.is_mixed || search.is_mixed(&hits), ..wrapped };
        let surveyed = Surveyed { block, survey, hits: &hits, joins: &joins, wrapped };
        if self.always.is_empty() {
            self.candidates(cache, &surveyed, visitor);
        } else {
            self.every_record(cache, &surveyed, visitor);
        }
        self.end_block(cache, &surveyed, visitor);
        (cache.hits, cache.joins) = (hits, joins);
        if cache.learned.is_due(block.len()) {
            let revised = search.revised(&self.definitions, |id| self.is_free(id), &mut cache.learned);
            cache.search = revised.map_or(search, Arc::new);
        }
    }

    /// Whether a definition may be searched for by any of its sets of literals: it does not need the place of one.
    fn is_free(&self, metric: MetricId) -> bool {
        let shape = self.definitions.all_patterns()[metric].shape.as_ref();
        self.is_complex[metric] || shape.is_none_or(|shape| shape.text.as_ref().is_some_and(|text| !text.is_empty()))
    }

    /// Jumps from candidate to candidate.
    fn candidates(&self, cache: &mut Cache, surveyed: &Surveyed<'_>, visitor: &mut impl Visitor) {
        let Surveyed { block, survey, hits, mut joins, .. } = *surveyed;
        let (search, looks_up) = (cache.search.clone(), !self.context.is_empty());
        let (mut from, mut hit) = (0, 0);
        loop {
            while looks_up && hits.get(hit).is_some_and(|hit| search.is_context_only(hit.literal)) {
                hit += 1;
            }
            let at = match (hits.get(hit), joins.first()) {
                (Some(hit), Some(join)) => hit.place.min(*join),
                (Some(hit), None) => hit.place,
                (None, Some(join)) => *join,
                (None, None) => return,
            };
            let Some((record, next)) = survey.record_around(block, self.framing, from, at) else {
                // Inside an escaped terminator: `015` may be part of a literal.
                hit += 1;
                continue;
            };
            let mut first = hit;
            // Those of context columns in front of it were passed over.
            while looks_up && first > 0 && hits[first - 1].place >= record.start {
                first -= 1;
            }
            hit += count_before(&hits[hit..], record.end, |hit| hit.place);
            joins = &joins[count_before(joins, record.end, |join| *join)..];
            if !self.record(cache, surveyed, Place { record, next, hits: first..hit }, visitor) {
                return;
            }
            from = next;
        }
    }

    /// Looks at every record, for the definitions without a literal.
    fn every_record(&self, cache: &mut Cache, surveyed: &Surveyed<'_>, visitor: &mut impl Visitor) {
        let Surveyed { block, survey, hits, .. } = *surveyed;
        let (mut from, mut hit) = (0, 0);
        while from < block.len() {
            let (record, next) = survey.record_at(block, self.framing, from, from);
            hit += count_before(&hits[hit..], record.start, |hit| hit.place);
            let first = hit;
            hit += count_before(&hits[hit..], record.end, |hit| hit.place);
            if !self.record(cache, surveyed, Place { record, next, hits: first..hit }, visitor) {
                return;
            }
            from = next;
        }
    }

    /// The obvious way: every record, every definition.
    fn exhaustive(&self, cache: &mut Cache, surveyed: &Surveyed<'_>, visitor: &mut impl Visitor) {
        let block = surveyed.block;
        let mut from = 0;
        while from < block.len() {
            let end = self.framing.next_end(block, from);
            let (end, next) = end.map_or((block.len(), block.len()), |end| (end.start, end.next));
            if !self.record(cache, surveyed, Place { record: from..end, next, hits: 0..0 }, visitor) {
                return;
            }
            from = next;
        }
    }

    /// Tries the definitions whose literals stand in a record, and those without a literal.
    fn record(&self, cache: &mut Cache, surveyed: &Surveyed<'_>, place: Place, visitor: &mut impl Visitor) -> bool {
        let block = surveyed.block;
        if !visitor.admits(&place.record, block) {
            return true;
        }
        let record = &surveyed.wrapped.strip(block, place.record.clone());
        let Cache {
            search,
            learned,
            normalizer,
            captures,
            always,
            complex,
            confirmed,
            tasks,
            text_survey,
            text_hits,
            lookback,
            tried,
            ..
        } = cache;
        let definitions = self.definitions.len() as u32;
        tasks.clear();
        let text = match self.as_it_stands(&block[record.clone()], &surveyed.survey.census) {
            Some(text) => {
                // A literal that begins in front of the record lies half in an escaped terminator.
                let hits = surveyed.hits[place.hits.clone()].iter().filter(|hit| hit.start >= record.start);
                tasks.add_hits(search, hits, record.start, definitions);
                Text::plain(text)
            }
            None => {
                let text = normalizer.normalize(&block[record.clone()], self.framing.terminal);
                if let Some(prefilter) = &search.prefilter {
                    text_survey.take(text.text.as_bytes(), Framing { terminal: false }, prefilter.classes());
                    prefilter.confirm(text.text.as_bytes(), &text_survey.places, text_hits);
                    tasks.add_hits(search, text_hits.iter(), 0, definitions);
                }
                text
            }
        };
        if !self.always.is_empty() {
            self.always.which(text.text, always, confirmed);
            confirmed.iter().for_each(|metric| tasks.add(*metric as u32, CONFIRMED));
        }
        if self.some_complex {
            self.confirm_together(text.text, tasks, complex, confirmed);
        }
        tasks.sort();
        if !self.context.is_empty() && (!tasks.is_empty() || self.strategy == Strategy::Exhaustive) {
            self.look_up(lookback, captures, search, surveyed, &place, record, &text, tasks, visitor);
        }
        let mut matched = false;
        while let Some((metric, tasks)) = tasks.next() {
            *tried = tried.wrapping_add(1);
            let begin = tried.is_multiple_of(TIMED).then(Instant::now);
            let places = (search.choice(metric) == 0).then_some(tasks);
            let mut found = false;
            let go_on = self.definition(captures, record, &text, metric, places, &mut found, visitor);
            if let Some(begin) = begin {
                visitor.timed(metric, begin.elapsed());
            }
            learned.tried(metric, found);
            matched |= found;
            if !go_on {
                return false;
            }
        }
        visitor.record_done(record, matched)
    }

    /// What the patterns see of a record.
    fn text<'a>(&self, record: &'a [u8], census: &Census, normalizer: &'a mut Normalizer) -> Text<'a> {
        match self.as_it_stands(record, census) {
            Some(text) => Text::plain(text),
            None => normalizer.normalize(record, self.framing.terminal),
        }
    }

    /// The record itself, if normalising would not change it.
    fn as_it_stands<'a>(&self, record: &'a [u8], census: &Census) -> Option<&'a str> {
        if self.framing.terminal && census.holds_escapes() && may_change(record) {
            return None;
        }
        if is_ascii(record) {
            // SAFETY: ASCII is UTF-8.
            return Some(unsafe { std::str::from_utf8_unchecked(record) });
        }
        std::str::from_utf8(record).ok()
    }

    /// Drops the definitions that do not match, where many would each have to be tried by the regex engine.
    fn confirm_together(&self, text: &str, tasks: &mut Tasks, caches: &mut SetCaches, confirmed: &mut Vec<MetricId>) {
        let is_open = |task: &Task| task.literal != CONFIRMED && self.is_complex[task.metric as usize];
        if tasks.all().iter().filter(|task| is_open(task)).count() <= FEW {
            return;
        }
        let complex = self.complex.get_or_init(|| {
            let has_literals = |id: &MetricId| !self.definitions.patterns()[*id].literals.is_empty();
            let ids = (0..self.definitions.len()).filter(|id| self.is_complex[*id] && has_literals(id));
            Confirm::new(&self.definitions, ids.collect(), self.strategy)
        });
        complex.which(text, caches, confirmed);
        tasks.retain(|task| !is_open(task) || confirmed.binary_search(&(task.metric as usize)).is_ok());
    }

    /// Tries one definition on a record, given where its literal stands, if it is the one that its shape knows.
    #[expect(clippy::too_many_arguments)]
    fn definition(
        &self,
        captures: &mut Captures,
        record: &Range<usize>,
        text: &Text<'_>,
        metric: MetricId,
        places: Option<&[Task]>,
        matched: &mut bool,
        visitor: &mut impl Visitor,
    ) -> bool {
        if !self.is_complex[metric]
            && let Some(direct) = self.direct(metric)
        {
            let found = direct.find(text.text, places, |value, whole| {
                *matched = true;
                visitor.found(record, text, &Match { metric, number: 0, value: Some(value), whole, captures: None })
            });
            // Too far: the engine decides.
            if let Ok(go_on) = found {
                return go_on.unwrap_or(true);
            }
        }
        let matches = self.definitions.definitions()[metric].matches;
        let engine = &self.engines[metric];
        let value_group = self.definitions.patterns()[metric].value_group;
        let mut found = |captures: &Captures, number: u32| {
            *matched = true;
            let value = captures.group(value_group);
            visitor.found(record, text, &Match { metric, number, value, whole: None, captures: Some(captures) })
        };
        let over_budget = match matches {
            Matches::First => {
                if captures.find(engine, metric, text.text, 0) {
                    return found(captures, 0);
                }
                captures.gave_up()
            }
            Matches::All => {
                let outcome = captures.each(engine, metric, text.text, ITERATION_BUDGET, &mut found);
                if outcome.stopped {
                    return false;
                }
                outcome.over_budget
            }
            Matches::Last => {
                let mut last = 0;
                let outcome = captures.each(engine, metric, text.text, ITERATION_BUDGET, &mut |_, number| {
                    last = number + 1;
                    true
                });
                // Over budget, which match is the last one is not known; a wrong value is worse than none.
                if !outcome.over_budget && last > 0 && !found(captures, last - 1) {
                    return false;
                }
                outcome.over_budget
            }
        };
        if over_budget {
            *matched = true;
            visitor.over_budget(record, metric);
        }
        true
    }

    fn direct(&self, metric: MetricId) -> Option<&Direct> {
        if self.strategy == Strategy::Exhaustive {
            return None;
        }
        let made = self.direct[metric].get_or_init(|| {
            let shape = self.definitions.all_patterns()[metric].shape.as_ref()?;
            Direct::new(shape, &self.shared)
        });
        made.as_ref()
    }
}

/// The same as the standard library's, which looks at up to 31 bytes at the end one by one.
#[inline]
fn is_ascii(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk() else { return text.is_ascii() };
    let words = text.as_chunks::<16>().0.iter().map(|word| u128::from_ne_bytes(*word));
    let seen = words.fold(u128::from_ne_bytes(*last), |seen, word| seen | word);
    seen & 0x8080_8080_8080_8080_8080_8080_8080_8080 == 0
}

/// How many of the first items stand before `limit`.
fn count_before<T>(items: &[T], limit: usize, place: impl Fn(&T) -> usize) -> usize {
    items.iter().take_while(|item| place(item) < limit).count()
}
