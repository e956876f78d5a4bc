//! What context columns get: from the record that is tried, or from the nearest record before it.
//!
//! Nothing is looked up before a record with definitions to try needs it, and no record twice, so that a column
//! whose pattern matches everywhere costs next to nothing. Where its patterns have literals, the survey has found
//! the records that can match; else all of them are looked at, backwards.
//!
//! That is for records of one origin. Where several mix, `sweep` looks at the records in their order.

use std::ops::Range;

use memchr::memrchr;

use super::{Cache, Captures, Matcher, Search, Strategy, Task, Tasks, Visitor};
use crate::{
    definition::MetricId,
    envelope::Envelope,
    normalize::{Normalizer, Text},
    prefilter::Hit,
    survey::Survey,
};

/// Bytes before a record in which records are looked for at first.
const WINDOW: usize = 2048;

/// A block and what was found in it.
pub(super) struct Surveyed<'a> {
    pub block: &'a [u8],
    pub survey: &'a Survey,
    /// Literals, ascending.
    pub hits: &'a [Hit],
    /// Where escape sequences join what may be a literal, ascending.
    pub joins: &'a [usize],
    pub wrapped: Wrapped,
}

/// How the block's lines are wrapped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrapped {
    pub envelope: Envelope,
    /// Whether the block begins within a line.
    pub is_open: bool,
    /// Whether its records may be of several origins.
    pub is_mixed: bool,
}

impl Wrapped {
    /// A record without the prefix that its line begins with.
    #[inline]
    pub fn strip(self, block: &[u8], record: Range<usize>) -> Range<usize> {
        if self.envelope.is_stripped() { self.strip_prefix(block, record) } else { record }
    }

    fn strip_prefix(self, block: &[u8], record: Range<usize>) -> Range<usize> {
        let begins_line = match record.start.checked_sub(1) {
            Some(before) => block[before] == b'\n',
            None => !self.is_open,
        };
        let prefix = if begins_line { self.envelope.prefix(&block[record.clone()]) } else { None };
        record.start + prefix.map_or(0, |prefix| prefix.message)..record.end
    }
}

/// A record of the block.
pub(super) struct Place {
    pub record: Range<usize>,
    /// Where the record behind it begins.
    pub next: usize,
    /// Which literals stand in it.
    pub hits: Range<usize>,
}

/// Where a record begins, or the block ends.
pub(super) struct Edge {
    pub at: usize,
    /// How many of the block's literals stand before it.
    pub hits: usize,
}

/// One thread's memory of what it looked at.
#[derive(Debug, Default)]
pub(super) struct Lookback {
    /// Of each column the record from which on none was looked at.
    searched: Vec<usize>,
    /// The same of all columns, where origins mix.
    pub swept: usize,
    pub normalizer: Normalizer,
    records: Vec<Range<usize>>,
}

impl Lookback {
    /// Forgets the block before.
    pub fn begin(&mut self, columns: usize) {
        self.searched.clear();
        self.searched.resize(columns, 0);
        self.swept = 0;
    }
}

impl Matcher {
    /// Tells the visitor what a record says of each column, and where that is nothing, what those before it say.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "parts of a cache that is borrowed in parts")]
    pub(super) fn look_up(
        &self,
        lookback: &mut Lookback,
        captures: &mut Captures,
        search: &Search,
        surveyed: &Surveyed<'_>,
        place: &Place,
        record: &Range<usize>,
        text: &Text<'_>,
        tasks: &mut Tasks,
        visitor: &mut impl Visitor,
    ) {
        let tasks = tasks.context();
        let is_exhaustive = self.strategy == Strategy::Exhaustive;
        let is_mixed = is_exhaustive || surveyed.wrapped.is_mixed;
        if is_mixed {
            if !is_exhaustive {
                let end = Edge { at: place.record.start, hits: place.hits.start };
                self.sweep(lookback, captures, search, surveyed, end, visitor);
                lookback.swept = place.next;
            }
            visitor.look_at(record);
        }
        for column in 0..self.context.len() {
            let found = self.context[column].clone().find_map(|id| {
                if is_exhaustive || self.is_without_literal(id) {
                    return self.first_group(captures, id, text.text, None);
                }
                let mine = tasks.iter().skip_while(|task| (task.metric as MetricId) < id);
                let begin = tasks.len() - mine.count();
                let count = tasks[begin..].iter().take_while(|task| task.metric as MetricId == id).count();
                let places = Some(&tasks[begin..begin + count]).filter(|_| search.choice(id) == 0);
                if count == 0 { None } else { self.first_group(captures, id, text.text, places) }
            });
            let fits = visitor.context(record, column, found.map(|group| (text, group)));
            if is_mixed {
                continue;
            }
            if !fits {
                let end = Edge { at: place.record.start, hits: place.hits.start };
                self.look_back(lookback, captures, search, surveyed, column, end, visitor);
            }
            lookback.searched[column] = place.next;
        }
    }

    /// Tells the visitor what the block's last records say, for the next block.
    pub(super) fn end_block(&self, cache: &mut Cache, surveyed: &Surveyed<'_>, visitor: &mut impl Visitor) {
        let Cache { lookback, captures, search, .. } = cache;
        if surveyed.wrapped.is_mixed {
            let end = Edge { at: surveyed.block.len(), hits: surveyed.hits.len() };
            return self.sweep(lookback, captures, search, surveyed, end, visitor);
        }
        for column in 0..self.context.len() {
            let end = Edge { at: surveyed.block.len(), hits: surveyed.hits.len() };
            self.look_back(lookback, captures, search, surveyed, column, end, visitor);
        }
    }

    /// Goes back from `end` to where the column was looked for last.
    #[expect(clippy::too_many_arguments, reason = "parts of a cache that is borrowed in parts")]
    fn look_back(
        &self,
        lookback: &mut Lookback,
        captures: &mut Captures,
        search: &Search,
        surveyed: &Surveyed<'_>,
        column: usize,
        end: Edge,
        visitor: &mut impl Visitor,
    ) {
        let start = lookback.searched[column];
        let ids = self.context[column].clone();
        let Surveyed { block, survey, .. } = surveyed;
        let Lookback { normalizer, records, .. } = lookback;
        let mut tells = |record: &Range<usize>| {
            if !visitor.fits(record, block) {
                return false;
            }
            let record = surveyed.wrapped.strip(block, record.clone());
            let text = self.text(&block[record.clone()], &survey.census, normalizer);
            let group = ids.clone().find_map(|id| self.first_group(captures, id, text.text, None));
            group.is_some_and(|group| visitor.context_before(&record, column, (&text, group)))
        };
        let found = if self.context[column].clone().any(|id| self.is_without_literal(id)) {
            self.each_back(surveyed, start..end.at, records, &mut tells)
        } else {
            let is_of_column = |hit: &Hit| search.users(hit.literal).iter().any(|user| ids.contains(&(*user as usize)));
            self.candidates_back(surveyed, start, end, is_of_column, &mut tells)
        };
        if !found {
            visitor.nothing_before(column);
        }
    }

    /// Goes back over all records of a range until one tells; whether one did.
    fn each_back(
        &self,
        Surveyed { block, survey, .. }: &Surveyed<'_>,
        range: Range<usize>,
        records: &mut Vec<Range<usize>>,
        tells: &mut impl FnMut(&Range<usize>) -> bool,
    ) -> bool {
        let (mut end, mut window) = (range.end, WINDOW);
        while end > range.start {
            // Only behind a line feed it is certain that a record begins.
            let limit = end.saturating_sub(window).max(range.start);
            let line = memrchr(b'\n', &block[range.start..limit]).map_or(0, |lf| lf + 1);
            let begin = range.start + line;
            records.clear();
            let mut from = begin;
            while from < end {
                let (record, next) = survey.record_at(block, self.framing, from, from);
                records.push(record);
                from = next;
            }
            if records.iter().rev().any(&mut *tells) {
                return true;
            }
            (end, window) = (begin, window * 2);
        }
        false
    }

    /// The same for the records that may match a pattern with literals.
    fn candidates_back(
        &self,
        Surveyed { block, survey, hits, joins, .. }: &Surveyed<'_>,
        start: usize,
        end: Edge,
        is_of_column: impl Fn(&Hit) -> bool,
        tells: &mut impl FnMut(&Range<usize>) -> bool,
    ) -> bool {
        let hits = hits[..end.hits].iter().rev().take_while(|hit| hit.place >= start);
        let mut hits = hits.filter(|hit| is_of_column(hit)).map(|hit| hit.place).peekable();
        let joins = joins[..joins.partition_point(|join| *join < end.at)].iter().rev().copied();
        let mut joins = joins.take_while(|join| *join >= start).peekable();
        let mut end = end.at;
        while let Some(at) = hits.peek().max(joins.peek()).copied() {
            if hits.peek() == Some(&at) {
                hits.next();
            } else {
                joins.next();
            }
            if at < end
                && let Some((record, _)) = survey.record_around(block, self.framing, start, at)
            {
                end = record.start;
                if tells(&record) {
                    return true;
                }
            }
        }
        false
    }

    pub(super) fn is_without_literal(&self, id: MetricId) -> bool {
        self.definitions.all_patterns()[id].literals.is_empty()
    }

    /// The group of a pattern's first match in a text, given where its literal stands if that is known: None where
    /// it does not match, `Some(None)` where the group takes no part.
    pub(super) fn first_group(
        &self,
        captures: &mut Captures,
        id: MetricId,
        text: &str,
        places: Option<&[Task]>,
    ) -> Option<Option<Range<usize>>> {
        if !self.is_complex[id]
            && (places.is_some() || self.is_free(id))
            && let Some(direct) = self.direct(id)
            && let Ok(found) = direct.find(text, places, |group, _| group)
        {
            return found.map(Some);
        }
        let value_group = self.definitions.all_patterns()[id].value_group;
        captures.find(&self.engines[id], id, text, 0).then(|| captures.group(value_group))
    }
}
