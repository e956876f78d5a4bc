//! What is to be tried on a record: its definitions in the order of the rows, with the places of their literals.

use super::Search;
use crate::{definition::MetricId, prefilter::Hit};

/// A definition to be tried on a record: the order is that of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Task {
    pub metric: u32,
    /// Where its literal begins; [`CONFIRMED`] where it has none.
    pub literal: usize,
}

/// Stands for the place of a literal that there is none of: the definition is known to match.
pub(super) const CONFIRMED: usize = usize::MAX;

/// The tasks of one record.
///
/// Mostly they are a handful out of few definitions, each once: their bits in a word are in order without a
/// comparison, of which none could be predicted.
#[derive(Debug)]
pub(super) struct Tasks {
    /// A bit for each definition, while each comes once and none has a number beyond 63; then none.
    few: u64,
    /// Where the literals of these stand.
    literals: [usize; 64],
    /// All of them, otherwise.
    many: Vec<Task>,
    /// How many of `many` are through.
    done: usize,
    /// The one that is tried, if it is one of the few.
    current: Task,
    /// Those of context columns, in no order.
    context: Vec<Task>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { few: 0, literals: [0; 64], many: Vec::new(), done: 0, current: Task::default(), context: Vec::new() }
    }
}

impl Tasks {
    pub fn clear(&mut self) {
        (self.few, self.done) = (0, 0);
        self.many.clear();
        self.context.clear();
    }

    /// Whether no definition is to be tried.
    pub fn is_empty(&self) -> bool {
        self.few == 0 && self.many.is_empty()
    }

    /// Those of context columns, in the order of their patterns and places.
    pub fn context(&mut self) -> &[Task] {
        self.context.sort_unstable();
        &self.context
    }

    /// Adds a task; not behind one that was given by [`next`](Self::next).
    #[inline]
    pub fn add(&mut self, metric: u32, literal: usize) {
        let bit = 1_u64.checked_shl(metric).unwrap_or(0);
        if bit & !self.few != 0 && self.many.is_empty() {
            self.few |= bit;
            self.literals[metric as usize & 63] = literal;
        } else {
            self.list();
            self.many.push(Task { metric, literal });
        }
    }

    /// Adds what the literals of a text belong to, from the number `context` on as that of context columns; the text
    /// begins at `base` of where they stand.
    pub fn add_hits<'a>(&mut self, search: &Search, hits: impl Iterator<Item = &'a Hit>, base: usize, context: u32) {
        for hit in hits {
            for user in search.users(hit.literal) {
                if *user < context {
                    self.add(*user, hit.start - base);
                } else {
                    self.context.push(Task { metric: *user, literal: hit.start - base });
                }
            }
        }
    }

    /// All of them, in no order.
    pub fn all(&mut self) -> &[Task] {
        self.list();
        &self.many
    }

    /// Keeps those that `keep` is true of.
    pub fn retain(&mut self, keep: impl Fn(&Task) -> bool) {
        self.list();
        self.many.retain(keep);
    }

    #[inline(never)]
    fn list(&mut self) {
        while let Some(task) = self.pop() {
            self.many.push(task);
        }
    }

    /// Puts them into order.
    pub fn sort(&mut self) {
        if !self.many.is_sorted() {
            self.many.sort_unstable();
        }
    }

    #[inline]
    fn pop(&mut self) -> Option<Task> {
        let metric = self.few.trailing_zeros();
        let literal = *self.literals.get(metric as usize)?;
        self.few &= self.few - 1;
        Some(Task { metric, literal })
    }

    /// The next definition and its tasks.
    #[inline]
    pub fn next(&mut self) -> Option<(MetricId, &[Task])> {
        if let Some(task) = self.pop() {
            self.current = task;
            return Some((task.metric as MetricId, std::slice::from_ref(&self.current)));
        }
        let rest = self.many.get(self.done..)?;
        let metric = rest.first()?.metric;
        let len = rest.iter().take_while(|task| task.metric == metric).count();
        self.done += len;
        Some((metric as MetricId, &rest[..len]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_definition_comes_once_in_order_with_all_its_places(
            mut added in prop::collection::vec((0_u32..100, 0_usize..9), 0..12), few: bool, even: bool
        ) {
            if few {
                added = added.into_iter().map(|(metric, literal)| (metric % 8 * 9, literal)).collect();
            }
            let mut tasks = Tasks::default();
            tasks.add(3, 1);
            tasks.clear();
            added.iter().for_each(|(metric, literal)| tasks.add(*metric, *literal));
            if even {
                prop_assert_eq!(tasks.all().len(), added.len());
                tasks.retain(|task| task.metric % 2 == 0);
                added.retain(|(metric, _)| metric % 2 == 0);
            }
            tasks.sort();
            let mut found = Vec::new();
            while let Some((metric, tasks)) = tasks.next() {
                found.push(tasks.iter().map(|task| (task.metric, task.literal)).collect::<Vec<_>>());
                prop_assert!(tasks.iter().all(|task| task.metric as MetricId == metric));
            }
            added.sort();
            let expected: Vec<_> = added.chunk_by(|a, b| a.0 == b.0).map(<[_]>::to_vec).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
