//! One pattern on one text at a time, for those who show what a definition does.
//!
//! [`Finder`] is made by [`Pattern::finder`]; scans use the matcher.

use std::ops::Range;

use regex_automata::meta::Regex;

use crate::definition::Pattern;

/// A compiled pattern; searches take linear time.
#[derive(Debug)]
pub struct Finder {
    regex: Regex,
    value_group: usize,
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
        let config = Regex::config().utf8_empty(true).nfa_size_limit(None);
        let regex = Regex::builder().configure(config).build_from_hir(&self.hir);
        Finder { regex: regex.expect("the size was checked when the pattern was made"), value_group: self.value_group }
    }
}

impl Finder {
    /// The first match.
    pub fn find(&self, text: &str) -> Option<Found> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(text, &mut captures);
        let whole = captures.get_match()?.range();
        let value = captures.get_group(self.value_group).map(|group| group.range());
        Some(Found { whole, value })
    }
}
