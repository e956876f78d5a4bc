//! One pattern on one text at a time, for those who show what a definition does.
//!
//! [`Finder`] is made by [`Pattern::finder`]; scans use the matcher.

use std::ops::Range;

use regex_automata::meta::Regex;

use crate::definition::Pattern;

/// A compiled pattern; searches take linear time, or a bounded number of steps back.
#[derive(Debug)]
pub struct Finder {
    engine: Engine,
    value_group: usize,
}

#[derive(Debug)]
enum Engine {
    Linear(Regex),
    /// The pattern holds it.
    Backtracking(Pattern),
}

/// The first match in a text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// All of it.
    pub whole: Range<usize>,
    /// What the value's group holds, if it took part.
    pub value: Option<Range<usize>>,
}

impl Pattern {
    /// Compiles the pattern for texts that are records, normalised where they need to be.
    ///
    /// ```
    /// use metricsieve_core::Pattern;
    ///
    /// let finder = Pattern::new("loss=([0-9.]+)", None, true)?.finder();
    /// assert_eq!(finder.find("a loss=0.5").unwrap().value, Some(7..10));
    /// # Ok::<(), metricsieve_core::Error>(())
    /// ```
    pub fn finder(&self) -> Finder {
        let value_group = self.value_group;
        if self.needs_backtracking() {
            return Finder { engine: Engine::Backtracking(self.clone()), value_group };
        }
        let config = Regex::config().utf8_empty(true).nfa_size_limit(None);
        let regex = Regex::builder().configure(config).build_from_hir(&self.hir);
        let regex = regex.expect("the size was checked when the pattern was made");
        Finder { engine: Engine::Linear(regex), value_group }
    }
}

impl Finder {
    /// The first match.
    pub fn find(&self, text: &str) -> Option<Found> {
        let regex = match &self.engine {
            Engine::Linear(regex) => regex,
            Engine::Backtracking(pattern) => {
                let captures = pattern.backtracking.as_ref()?.regex.captures(text).ok()??;
                let value = captures.get(self.value_group).map(|group| group.range());
                return Some(Found { whole: captures.get(0)?.range(), value });
            }
        };
        let mut captures = regex.create_captures();
        regex.captures(text, &mut captures);
        let whole = captures.get_match()?.range();
        let value = captures.get_group(self.value_group).map(|group| group.range());
        Some(Found { whole, value })
    }
}
