//! Small automata, compiled in full, walked byte by byte.
//!
//! [`Walk`] is a DFA over text that is known to be UTF-8: it tells where an anchored match ends
//! ([`Walk::end`]) or whether there is a match in front of a place ([`Walk::occurs`]), at about a
//! nanosecond a byte and without scratch memory. The regex crate's determinizer makes it; its states are
//! then written out as rows of 256, because for patterns as small as `[0-9]+` the lookup of byte
//! classes costs more than the larger table.

use std::collections::{HashMap, HashSet};

use regex_automata::{
    Anchored,
    dfa::{Automaton, StartKind, dense},
    nfa::thompson::{self, WhichCaptures},
    util::{primitives::StateID, start},
};
use regex_syntax::hir::Hir;

/// Larger automata are left to the regex engine, which builds only what it needs.
const MAX_BYTES: usize = 256 << 10;
/// A state's row has 512 bytes.
const MAX_STATES: usize = 512;

/// Number of a state: [`DEAD`], then those that say a match ended before the byte just read, then the rest.
type State = u16;
const DEAD: State = 0;

/// A compiled automaton with one kind of start.
#[derive(Debug)]
pub(crate) struct Walk {
    rows: Vec<[State; 256]>,
    /// The last state that says a match ended.
    last_match: State,
    /// Whether the text's end behind a state completes a match.
    at_end: Vec<bool>,
    starts: Starts,
}

#[derive(Debug)]
enum Starts {
    One(State),
    /// By the byte in front; the last one for the text's beginning.
    Many(Box<[State; 257]>),
}

impl Walk {
    /// For matches that begin at a given place.
    pub fn anchored(pattern: &Hir) -> Option<Self> {
        Self::new(pattern, Anchored::Yes)
    }

    /// For matches that begin anywhere.
    pub fn unanchored(pattern: &Hir) -> Option<Self> {
        Self::new(pattern, Anchored::No)
    }

    fn new(pattern: &Hir, anchored: Anchored) -> Option<Self> {
        let nfa = thompson::Compiler::new()
            .configure(thompson::Config::new().which_captures(WhichCaptures::None).nfa_size_limit(Some(4 * MAX_BYTES)))
            .build_from_hir(pattern)
            .ok()?;
        let kind = if anchored == Anchored::Yes { StartKind::Anchored } else { StartKind::Unanchored };
        let config = dense::Config::new()
            .start_kind(kind)
            .accelerate(false)
            .dfa_size_limit(Some(MAX_BYTES))
            .determinize_size_limit(Some(4 * MAX_BYTES));
        let dfa = dense::Builder::new().configure(config).build_from_nfa(&nfa).ok()?;
        let starts: Vec<StateID> = match dfa.universal_start_state(anchored) {
            Some(start) => vec![start],
            None => {
                let start = |before| dfa.start_state(&start::Config::new().anchored(anchored).look_behind(before)).ok();
                (0..=255).map(Some).chain([None]).map(start).collect::<Option<_>>()?
            }
        };
        Self::flatten(&dfa, &starts)
    }

    fn flatten(dfa: &dense::DFA<Vec<u32>>, starts: &[StateID]) -> Option<Self> {
        let mut found = starts.to_vec();
        found.sort_unstable();
        found.dedup();
        let mut known: HashSet<StateID> = found.iter().copied().collect();
        let mut next = 0;
        while let Some(state) = found.get(next).copied() {
            next += 1;
            for byte in 0..=255 {
                let to = dfa.next_state(state, byte);
                if known.insert(to) {
                    found.push(to);
                }
            }
            if found.len() > MAX_STATES {
                return None;
            }
        }
        // Only Unicode word boundaries make the determinizer quit, and it refuses those.
        if found.iter().any(|state| dfa.is_quit_state(*state)) {
            return None;
        }
        found.retain(|state| !dfa.is_dead_state(*state));
        found.sort_by_key(|state| !dfa.is_match_state(*state));
        let matches = found.iter().filter(|state| dfa.is_match_state(**state)).count();
        let numbers: HashMap<StateID, State> = found.iter().copied().zip(1..).collect();
        let number = |state: StateID| numbers.get(&state).copied().unwrap_or(DEAD);
        let mut rows = vec![[DEAD; 256]];
        let mut at_end = vec![false];
        for state in &found {
            let mut row = [DEAD; 256];
            for byte in 0..=255_u8 {
                row[usize::from(byte)] = number(dfa.next_state(*state, byte));
            }
            rows.push(row);
            at_end.push(dfa.is_match_state(dfa.next_eoi_state(*state)));
        }
        let starts = match starts {
            [one] => Starts::One(number(*one)),
            many => {
                let numbers: Vec<State> = many.iter().map(|state| number(*state)).collect();
                Starts::Many(Box::new(numbers.try_into().ok()?))
            }
        };
        Some(Self { rows, last_match: matches as State, at_end, starts })
    }

    /// Whether two automata whose start is always the same find the same matches.
    pub fn is_like(&self, other: &Walk) -> bool {
        let (Starts::One(mine), Starts::One(theirs)) = (&self.starts, &other.starts) else { return false };
        let mut pairs = vec![(*mine, *theirs)];
        let mut seen = HashSet::from([(*mine, *theirs)]);
        while let Some((mine, theirs)) = pairs.pop() {
            let kind =
                |walk: &Walk, state: State| (state == DEAD, state <= walk.last_match, walk.at_end[usize::from(state)]);
            if kind(self, mine) != kind(other, theirs) {
                return false;
            }
            let next = self.rows[usize::from(mine)].iter().zip(&other.rows[usize::from(theirs)]);
            pairs.extend(next.map(|(mine, theirs)| (*mine, *theirs)).filter(|pair| seen.insert(*pair)));
        }
        true
    }

    #[inline]
    fn start(&self, text: &[u8], at: usize) -> State {
        match &self.starts {
            Starts::One(start) => *start,
            Starts::Many(starts) => starts[at.checked_sub(1).map_or(256, |before| usize::from(text[before]))],
        }
    }

    /// Where the preferred match that begins at `at` ends; how many bytes that took is added to `walked`.
    #[inline]
    pub fn end(&self, text: &[u8], at: usize, walked: &mut usize) -> Option<usize> {
        let mut state = self.start(text, at);
        let mut end = None;
        for (offset, byte) in text[at..].iter().enumerate() {
            state = self.rows[usize::from(state)][usize::from(*byte)];
            if state == DEAD {
                *walked += offset;
                return end;
            }
            // A match is known one byte after its end.
            if state <= self.last_match {
                end = Some(at + offset);
            }
        }
        *walked += text.len() - at;
        if self.at_end[usize::from(state)] { Some(text.len()) } else { end }
    }

    /// Whether a match ends at `limit` or before it.
    pub fn occurs(&self, text: &[u8], limit: usize) -> bool {
        let mut state = self.start(text, 0);
        for byte in &text[..text.len().min(limit + 1)] {
            state = self.rows[usize::from(state)][usize::from(*byte)];
            if state <= self.last_match {
                return state != DEAD;
            }
        }
        limit >= text.len() && self.at_end[usize::from(state)]
    }
}
