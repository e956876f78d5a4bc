//! Which bytes are neighbours in literals: what may come about where something between them is taken out.
//!
//! [`Neighbours`] is asked about each escape sequence of a block, so it only looks at two bytes on either
//! side. It may say yes where no literal comes about, never no where one does.

use crate::normalize::plain_sequence;

/// Bits of the table of triples, into which they are hashed.
const TRIPLES: u32 = 16;

/// The neighbours in all literals.
#[derive(Debug)]
pub(super) struct Neighbours {
    /// A bit for every two bytes.
    pairs: Vec<u64>,
    /// A bit for every three, hashed.
    triples: Vec<u64>,
    /// There are literals of two bytes, which no triple tells of.
    has_pairs: bool,
}

impl Neighbours {
    pub fn new(literals: &[Vec<u8>]) -> Self {
        let (mut pairs, mut triples) = (vec![0; (1 << 16) / 64], vec![0; (1 << TRIPLES) / 64]);
        for literal in literals {
            literal.windows(2).for_each(|pair| set(&mut pairs, pair_index(pair[0], pair[1])));
            literal.windows(3).for_each(|triple| set(&mut triples, triple_index(triple[0], triple[1], triple[2])));
        }
        Self { pairs, triples, has_pairs: literals.iter().any(|literal| literal.len() < 3) }
    }

    /// Whether a literal may come about where what stands in `block[begin..end]` is taken out.
    ///
    /// A literal that reaches over the gap holds the bytes on both sides of it, and one byte more: the next one
    /// behind, with sequences left out, or the one in front. If what stands in front is the end of a sequence, a
    /// literal that reaches over that one as well is told of there.
    pub fn may_join(&self, block: &[u8], begin: usize, end: usize) -> bool {
        let (Some(left), Some(&right)) = (begin.checked_sub(1).map(|at| block[at]), block.get(end)) else {
            return false;
        };
        if !has(&self.pairs, pair_index(left, right)) {
            return false;
        }
        let before = || {
            let before = begin.checked_sub(2).map(|at| block[at]);
            before.is_some_and(|before| has(&self.triples, triple_index(before, left, right)))
        };
        let behind = || {
            let mut next = end + 1;
            while let Some(end) = plain_sequence(block, next) {
                next = end;
            }
            match block.get(next) {
                // A sequence whose end only the normaliser knows.
                Some(b'\x1b' | b'#') => true,
                Some(behind) => has(&self.triples, triple_index(left, right, *behind)),
                None => false,
            }
        };
        self.has_pairs || before() || behind()
    }
}

fn set(bits: &mut [u64], index: usize) {
    bits[index / 64] |= 1 << (index % 64);
}

fn has(bits: &[u64], index: usize) -> bool {
    bits[index / 64] >> (index % 64) & 1 == 1
}

fn pair_index(left: u8, right: u8) -> usize {
    usize::from(left) << 8 | usize::from(right)
}

fn triple_index(a: u8, b: u8, c: u8) -> usize {
    let all = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
    // 2^32 divided by the golden ratio: neighbouring numbers go far from each other.
    (all.wrapping_mul(0x9e37_79b9) >> (32 - TRIPLES)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_inside_a_literal_is_told_of_wherever_it_is() {
        let literals = [b"'loss': ".to_vec(), "é=".as_bytes().to_vec()];
        let neighbours = Neighbours::new(&literals);
        for literal in &literals {
            for cut in 1..literal.len() {
                let block = [b"x", &literal[..cut], b"\x1b[0m", &literal[cut..], b"1\n"].concat();
                assert!(neighbours.may_join(&block, 1 + cut, 1 + cut + 4), "{literal:?} {cut}");
            }
        }
        let neighbours = Neighbours::new(&literals[..1]);
        // `: ` stands in the literal, `G: ` and `: 2` do not.
        assert!(!neighbours.may_join(b"WARNING:\x1b[0m 2024", 8, 12));
        assert!(!neighbours.may_join(b"\x1b[0m'l", 0, 4));
        assert!(!neighbours.may_join(b"'l\x1b[0m", 2, 6));
    }
}
