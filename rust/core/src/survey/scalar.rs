//! The pass over a block, byte by byte: for processors without AVX2, and the oracle of the other ones.

use super::{Classes, Mark, Survey, WORD, noted};
use crate::record::Framing;

pub(super) fn take(survey: &mut Survey, block: &[u8], framing: Framing, classes: &Classes) {
    for (word, chunk) in block.chunks(WORD).enumerate() {
        let base = word * WORD;
        let (mut lf, mut others) = (0, 0);
        for (bit, byte) in chunk.iter().enumerate() {
            lf |= u64::from(*byte == b'\n') << bit;
            others |= u64::from(noted(framing).contains(byte)) << bit;
        }
        survey.census.lf += u64::from(lf.count_ones());
        survey.marks[word] = Mark { lf, ends: lf | survey.note_others(block, framing, &classes.lefts, base, others) };
        if classes.width > 0 {
            survey.places.extend((base..base + chunk.len()).filter(|at| fits(block, *at, classes)));
        }
    }
}

/// Behind the block's end stand zeros.
fn fits(block: &[u8], at: usize, classes: &Classes) -> bool {
    let class = |position| classes.of(position, block.get(at + position).copied().unwrap_or(0));
    (0..classes.width).map(class).fold(u8::MAX, |sets, class| sets & class) != 0
}
