//! What context columns get where records of several origins mix: the last value of each origin.
//!
//! Which origins will have points is not known in advance, so all records are looked at, in their order and each once:
//! those in front of a record with definitions to try before it, the rest when the block ends. Where all patterns
//! have literals, the survey has found the records that can match.

use std::ops::Range;

use super::{
    Captures, Matcher, Search, Visitor,
    lookback::{Edge, Lookback, Surveyed},
};

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
        let Surveyed { block, survey, .. } = *surveyed;
        let Lookback { swept, normalizer, .. } = lookback;
        let mut tell = |record: Range<usize>| {
            if !visitor.fits(&record, block) {
                return;
            }
            let record = surveyed.wrapped.strip(block, record);
            let text = self.text(&block[record.clone()], &survey.census, normalizer);
            for (column, ids) in self.context.iter().enumerate() {
                let group = ids.clone().find_map(|id| self.first_group(captures, id, text.text, None));
                if let Some(group) = group {
                    visitor.context_passed(&record, column, (&text, group));
                }
            }
        };
        if self.context.iter().flat_map(Range::clone).any(|id| self.is_without_literal(id)) {
            let mut from = *swept;
            while from < end.at {
                let (record, next) = survey.record_at(block, self.framing, from, from);
                tell(record);
                from = next;
            }
        } else {
            self.candidates_between(search, surveyed, *swept, end, tell);
        }
    }

    /// Goes to the records that may match a pattern of a context column, from `from` on.
    fn candidates_between(
        &self,
        search: &Search,
        Surveyed { block, survey, hits, joins, .. }: &Surveyed<'_>,
        mut from: usize,
        end: Edge,
        mut tell: impl FnMut(Range<usize>),
    ) {
        let definitions = self.definitions.len() as u32;
        let hits = &hits[..end.hits];
        let hits = hits[hits.partition_point(|hit| hit.place < from)..].iter();
        let hits = hits.filter(|hit| search.users(hit.literal).iter().any(|user| *user >= definitions));
        let mut hits = hits.map(|hit| hit.place).peekable();
        let joins = joins[joins.partition_point(|join| *join < from)..].iter().copied();
        let mut joins = joins.take_while(|join| *join < end.at).peekable();
        loop {
            let at = match (hits.peek(), joins.peek()) {
                (Some(hit), Some(join)) => *hit.min(join),
                (Some(at), None) | (None, Some(at)) => *at,
                (None, None) => return,
            };
            hits.next_if_eq(&at);
            joins.next_if_eq(&at);
            if at >= from
                && let Some((record, next)) = survey.record_around(block, self.framing, from, at)
            {
                tell(record);
                from = next;
            }
        }
    }
}
