//! The first match at one place that is not empty.
//!
//! Python's `re.finditer` asks for it behind an empty match: `|a` on `a` gives an empty match, `a`,
//! and an empty match. No engine of the regex crates can be asked, so [`NonEmpty`] walks the NFA
//! with a list of threads in priority order (Pike's method) and does not let a thread end where it
//! began. Only `all` and `last` of patterns that can match empty come here.

use regex_automata::{
    nfa::thompson::{NFA, State},
    util::primitives::{NonMaxUsize, StateID},
};
use regex_syntax::hir::Hir;

/// A pattern that is searched for its non-empty matches at a place.
#[derive(Debug)]
pub(crate) struct NonEmpty(NFA);

type Slots = Vec<Option<NonMaxUsize>>;

/// Threads in priority order, at most one a state.
struct Threads {
    list: Vec<(StateID, Slots)>,
    seen: Vec<bool>,
}

impl NonEmpty {
    pub fn new(hir: &Hir) -> Self {
        let nfa = NFA::compiler().build_from_hir(hir);
        Self(nfa.expect("the pattern was compiled when the set was made"))
    }

    /// Fills `slots` with the groups of the preferred match that begins at `at` and is not empty.
    pub fn find(&self, text: &str, at: usize, slots: &mut [Option<NonMaxUsize>]) -> bool {
        let mut now = Threads { list: Vec::new(), seen: vec![false; self.0.states().len()] };
        let mut then = Threads { list: Vec::new(), seen: vec![false; self.0.states().len()] };
        let mut hit = false;
        self.follow(self.0.start_anchored(), text, at, vec![None; slots.len()], &mut now);
        let mut place = at;
        while !now.list.is_empty() {
            let byte = text.as_bytes().get(place).copied();
            for (state, held) in now.list.drain(..) {
                if matches!(self.0.state(state), State::Match { .. }) {
                    if place > at {
                        slots.copy_from_slice(&held);
                        hit = true;
                        break;
                    }
                    continue;
                }
                if let Some(next) = byte.and_then(|byte| step(self.0.state(state), byte)) {
                    self.follow(next, text, place + 1, held, &mut then);
                }
            }
            now.list.clear();
            now.seen.fill(false);
            std::mem::swap(&mut now, &mut then);
            place += 1;
        }
        hit
    }

    /// Adds the states that `state` leads to without reading a byte, preferred ones first.
    fn follow(&self, state: StateID, text: &str, at: usize, slots: Slots, threads: &mut Threads) {
        let mut stack = vec![(state, slots)];
        while let Some((state, mut slots)) = stack.pop() {
            if std::mem::replace(&mut threads.seen[state.as_usize()], true) {
                continue;
            }
            match self.0.state(state) {
                State::Look { look, next } => {
                    if self.0.look_matcher().matches(*look, text.as_bytes(), at) {
                        stack.push((*next, slots));
                    }
                }
                State::Union { alternates } => {
                    stack.extend(alternates.iter().rev().map(|next| (*next, slots.clone())));
                }
                State::BinaryUnion { alt1, alt2 } => {
                    stack.push((*alt2, slots.clone()));
                    stack.push((*alt1, slots));
                }
                State::Capture { next, slot, .. } => {
                    if let Some(place) = slots.get_mut(slot.as_usize()) {
                        *place = NonMaxUsize::new(at);
                    }
                    stack.push((*next, slots));
                }
                State::Fail => {}
                _ => threads.list.push((state, slots)),
            }
        }
    }
}

fn step(state: &State, byte: u8) -> Option<StateID> {
    match state {
        State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
        State::Sparse(sparse) => sparse.matches_byte(byte),
        State::Dense(dense) => dense.matches_byte(byte),
        _ => None,
    }
}
