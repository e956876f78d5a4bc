//! What context columns get where records of several origins mix: the last value of each origin.
//!
//! Which origins will have points is not known in advance, so all records are looked at, in their order and each once:
//! those in front of a record with definitions to try before it, the rest when the block ends. Where all patterns
//! have literals, the survey has found the records that can match.

use std::ops::Range;

use super::{
    Captures, Matcher, Search, Visitor, count_before,
    lookback::{Edge, Lookback, Surveyed},
};
use crate::{definition::MetricId, prefilter::Hit};

/// What the survey found and was not passed yet.
struct Ahead<'a> {
    hits: &'a [Hit],
    /// Where escape sequences join what may be a literal.
    joins: &'a [usize],
}

impl<'a> Ahead<'a> {
    /// Where the first of it stands.
    fn first(&self) -> Option<usize> {
        self.hits.first().map(|hit| hit.place).into_iter().chain(self.joins.first().copied()).min()
    }

    /// Passes what stands before a place: the literals, and whether there are joins.
    fn pass(&mut self, to: usize) -> (&'a [Hit], bool) {
        let (hits, joins) = (count_before(self.hits, to, |hit| hit.place), count_before(self.joins, to, |join| *join));
        let passed = &self.hits[..hits];
        (self.hits, self.joins) = (&self.hits[hits..], &self.joins[joins..]);
        (passed, joins > 0)
    }
}

impl Matcher {
    /// Tells the visitor what the records say from where it was told last up to `end`.
    pub(super) fn sweep(
        &self,
        lookback: &mut Lookback,
        captures: &mut Captures,
        search: &Search,
        surveyed: &Surveyed<'_>,
        end: Edge,
        visitor: &mut impl Visitor,
    ) {
        let Surveyed { block, survey, hits, joins, .. } = *surveyed;
        let Lookback { swept, normalizer, .. } = lookback;
        let mut from = *swept;
        let first = hits[..end.hits].partition_point(|hit| hit.place < from);
        let joins = &joins[joins.partition_point(|join| *join < from)..];
        let mut ahead = Ahead { hits: &hits[first..end.hits], joins };
        let looks_at_all = self.context.iter().flat_map(Range::clone).any(|id| self.is_without_literal(id));
        while from < end.at {
            let at = if looks_at_all { Some(from) } else { ahead.first() };
            let Some(at) = at.filter(|at| *at < end.at) else { return };
            let found = if looks_at_all {
                Some(survey.record_at(block, self.framing, from, from))
            } else {
                survey.record_around(block, self.framing, from, at)
            };
            let Some((record, next)) = found else {
                // Inside an escaped terminator.
                ahead.pass(at + 1);
                continue;
            };
            let (hits, is_joined) = ahead.pass(next);
            from = next;
            let may_match = |id: MetricId| {
                let is_user = |hit: &Hit| search.users(hit.literal).contains(&(id as u32));
                is_joined || self.is_without_literal(id) || hits.iter().any(is_user)
            };
            let columns = self.context.iter().enumerate().filter(|(_, ids)| (*ids).clone().any(may_match));
            let mut columns = columns.peekable();
            if columns.peek().is_none() || !visitor.fits(&record, block) {
                continue;
            }
            let record = surveyed.wrapped.strip(block, record);
            let text = self.text(&block[record.clone()], &survey.census, normalizer);
            for (column, ids) in columns {
                let group = ids.clone().find_map(|id| self.first_group(captures, id, text.text, None));
                if let Some(group) = group {
                    visitor.context_passed(&record, column, (&text, group));
                }
            }
        }
    }
}
