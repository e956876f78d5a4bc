//! Which bytes of each literal the pass over a block looks for.
//!
//! [`choose`] picks two or three neighbouring bytes of every literal and puts them into one of eight
//! sets of [`Classes`], so that few places of a log fit by chance: with eight literals nearly none, with
//! ten thousand a few in a thousand bytes, because their names end in the same rare separators.

use std::collections::HashMap;

use super::keys::{AHEAD, Key};
use crate::survey::Classes;

/// Windows of one literal that are weighed, from its end.
const WINDOWS: usize = 16;
/// A window that costs no more than this share of all places is taken without looking on.
const CHEAP: f64 = 1e-7;
const SETS: usize = 8;
/// Two bytes are enough when fewer places than this, as a share of all bytes, fit by chance: each costs some
/// 3 ns, the third byte 0.02 ns for every byte of the log.
const RARE: f64 = 0.003;
/// Time for one more literal under the same key, as a multiple of the time for a place that fits.
const SHARING: f64 = 0.5;

/// The bytes of one literal that the pass and the table of keys look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fingerprint {
    /// Where in the literal it begins.
    pub at: usize,
    pub key: Key,
}

/// Chooses for all literals, which have two bytes or more.
pub(super) fn choose(literals: &[Vec<u8>]) -> (Classes, Vec<Fingerprint>) {
    let frequency = frequencies();
    let two = Chooser::run(literals, 2, &frequency);
    if two.total() <= RARE {
        return two.finish();
    }
    Chooser::run(literals, 3, &frequency).finish()
}

struct Chooser<'a> {
    frequency: &'a [f64; 256],
    width: usize,
    sets: Vec<Set>,
    chosen: Vec<Fingerprint>,
    used: HashMap<Key, u32>,
}

/// One set of classes: a set of nibbles for each half of each byte.
#[derive(Clone, Copy, Default)]
struct Set {
    low: [u16; 3],
    high: [u16; 3],
    /// Share of places that fit by chance.
    mass: f64,
}

impl Set {
    fn holds(&self, window: &[u8], width: usize) -> bool {
        (0..width).all(|position| {
            let (low, high) = (self.low[position], self.high[position]);
            match window.get(position) {
                Some(byte) => low >> (byte & 15) & 1 == 1 && high >> (byte >> 4) & 1 == 1,
                None => (low, high) == (u16::MAX, u16::MAX),
            }
        })
    }

    fn with(mut self, window: &[u8], width: usize, frequency: &[f64; 256]) -> Self {
        for position in 0..width {
            // A literal of two bytes says nothing about the third.
            let (low, high) = window.get(position).map_or((u16::MAX, u16::MAX), |b| (1 << (b & 15), 1 << (b >> 4)));
            self.low[position] |= low;
            self.high[position] |= high;
        }
        let share = |position: usize| -> f64 {
            let bytes = (0..=255_u8)
                .filter(|b| self.low[position] >> (b & 15) & 1 == 1 && self.high[position] >> (b >> 4) & 1 == 1);
            bytes.map(|b| frequency[usize::from(b)]).sum()
        };
        self.mass = (0..width).map(share).product();
        self
    }
}

impl<'a> Chooser<'a> {
    fn run(literals: &[Vec<u8>], width: usize, frequency: &'a [f64; 256]) -> Self {
        let mut chooser = Self {
            frequency,
            width,
            sets: Vec::with_capacity(SETS),
            chosen: Vec::with_capacity(literals.len()),
            used: HashMap::new(),
        };
        for literal in literals {
            chooser.add(literal);
        }
        chooser
    }

    fn total(&self) -> f64 {
        self.sets.iter().map(|set| set.mass).sum()
    }

    fn add(&mut self, literal: &[u8]) {
        let (at, index, set) = self.fitting(literal).unwrap_or_else(|| self.cheapest(literal));
        if index == self.sets.len() {
            self.sets.push(set);
        }
        self.sets[index] = set;
        let key = key(literal, at);
        *self.used.entry(key).or_default() += 1;
        self.chosen.push(Fingerprint { at, key });
    }

    /// The literal's windows; its end, where a separator often stands, comes first.
    fn windows<'l>(&self, literal: &'l [u8]) -> impl Iterator<Item = (usize, &'l [u8])> + use<'l> {
        let width = self.width.min(literal.len());
        let last = literal.len() - width;
        (last.saturating_sub(WINDOWS - 1)..=last).rev().map(move |at| (at, &literal[at..at + width]))
    }

    /// What it costs that other literals have the same key as this window.
    fn sharing(&self, literal: &[u8], at: usize, window: &[u8]) -> f64 {
        let shared = self.used.get(&key(literal, at)).copied().unwrap_or(0);
        let alone: f64 = window.iter().map(|b| self.frequency[usize::from(*b)]).product();
        f64::from(shared) * alone * SHARING
    }

    /// A window that a set accepts already.
    fn fitting(&self, literal: &[u8]) -> Option<(usize, usize, Set)> {
        self.windows(literal).find_map(|(at, window)| {
            let index = self.sets.iter().position(|set| set.holds(window, self.width))?;
            (self.sharing(literal, at, window) <= CHEAP).then_some((at, index, self.sets[index]))
        })
    }

    /// The window and the set that together let the fewest places through.
    fn cheapest(&self, literal: &[u8]) -> (usize, usize, Set) {
        let mut best: Option<(f64, (usize, usize, Set))> = None;
        for (at, window) in self.windows(literal) {
            let sharing = self.sharing(literal, at, window);
            let new = (self.sets.len() < SETS).then(Set::default);
            for (index, set) in self.sets.iter().copied().chain(new).enumerate() {
                let wider =
                    if set.holds(window, self.width) { set } else { set.with(window, self.width, self.frequency) };
                let cost = wider.mass - set.mass + sharing;
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, (at, index, wider)));
                }
            }
        }
        best.expect("every literal has a window").1
    }

    fn finish(self) -> (Classes, Vec<Fingerprint>) {
        let mut classes = Classes { width: self.width, ..Classes::default() };
        for (bit, set) in self.sets.iter().enumerate() {
            for position in 0..self.width {
                for nibble in 0..16 {
                    classes.low[position][nibble] |= u8::from(set.low[position] >> nibble & 1 == 1) << bit;
                    classes.high[position][nibble] |= u8::from(set.high[position] >> nibble & 1 == 1) << bit;
                }
            }
        }
        (classes, self.chosen)
    }
}

/// The bytes of a literal that lie among the eight which end [`AHEAD`] of its fingerprint.
///
/// Few lengths, because each is one look into the table.
fn key(literal: &[u8], at: usize) -> Key {
    let end = (at + AHEAD).min(literal.len());
    let known = end.min(8 - (at + AHEAD - end));
    let wanted = match known {
        4..7 => 4,
        _ => known,
    };
    let (mut mask, mut value) = (0, 0);
    for back in 1..=wanted {
        let shift = 8 * (7 - (at + AHEAD - end) - (back - 1));
        mask |= 0xff << shift;
        value |= u64::from(literal[end - back]) << shift;
    }
    Key { mask, value }
}

/// How often each byte stands in training logs, roughly; the sum is 1.
fn frequencies() -> [f64; 256] {
    let share = |byte: u8| match byte {
        b' ' => 120.0,
        b'e' => 60.0,
        b'a' | b'i' | b'n' | b'o' | b'r' | b's' | b't' => 42.0,
        b'l' | b'd' | b'c' | b'm' | b'p' | b'g' | b'u' | b'h' => 22.0,
        b'f' | b'b' | b'v' | b'w' | b'y' | b'k' => 10.0,
        b'x' | b'z' | b'j' | b'q' => 3.0,
        b'0' | b'1' => 30.0,
        b'2'..=b'9' => 20.0,
        b'.' | b'-' | b'/' => 20.0,
        b':' => 15.0,
        b'_' | b',' => 10.0,
        b'=' | b'[' | b']' | b'\'' | b'"' => 7.0,
        b'(' | b')' | b'|' | b'%' => 4.0,
        b'I' | b'N' | b'F' | b'O' => 10.0,
        b'A'..=b'Z' => 6.0,
        b'\n' => 12.0,
        0x80.. => 1.0,
        _ => 1.0,
    };
    let shares: Vec<f64> = (0..=255).map(share).collect();
    let total: f64 = shares.iter().sum();
    std::array::from_fn(|byte| shares[byte] / total)
}
