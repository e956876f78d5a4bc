//! The pass over a block with AVX2: 64 bytes a step.
//!
//! The bytes to note have different low nibbles, so one shuffle and one comparison find them all. The
//! classes are matched as in Teddy: two shuffles a position, whose results are combined over positions.

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256,
    _mm256_min_epu8, _mm256_movemask_epi8, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_srli_epi16, _mm256_sub_epi8,
};

use super::{Bits, Classes, Step, Survey, around, behind_colours, left_tables, noted_table};
use crate::record::Framing;

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("bmi1")
}

/// Fills the survey. The processor must have what [`is_available`] asks for.
pub(super) fn take(survey: &mut Survey, block: &[u8], framing: Framing, classes: &Classes) {
    assert!(is_available());
    // SAFETY: the features are there.
    unsafe {
        match classes.width {
            0 => run::<0>(survey, block, framing, classes),
            2 => run::<2>(survey, block, framing, classes),
            _ => run::<3>(survey, block, framing, classes),
        }
    }
}

struct Tables {
    noted: __m256i,
    low: [__m256i; 3],
    high: [__m256i; 3],
}

impl Tables {
    #[target_feature(enable = "avx2")]
    fn new(framing: Framing, classes: &Classes) -> Self {
        Self {
            noted: twice(&noted_table(framing)),
            low: [twice(&classes.low[0]), twice(&classes.low[1]), twice(&classes.low[2])],
            high: [twice(&classes.high[0]), twice(&classes.high[1]), twice(&classes.high[2])],
        }
    }

    /// The sets that the 32 bytes from `from` on are in at `position`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn class(&self, position: usize, bytes: __m256i) -> __m256i {
        let nibble = _mm256_set1_epi8(15);
        let low = _mm256_shuffle_epi8(self.low[position], _mm256_and_si256(bytes, nibble));
        let high = _mm256_shuffle_epi8(self.high[position], _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble));
        _mm256_and_si256(low, high)
    }
}

#[target_feature(enable = "avx2,popcnt,bmi1")]
fn run<const WIDTH: usize>(survey: &mut Survey, block: &[u8], framing: Framing, classes: &Classes) {
    let tables = Tables::new(framing, classes);
    let (line_feed, zero) = (_mm256_set1_epi8(b'\n' as i8), _mm256_setzero_si256());
    let found = survey.sweep(block, |window| {
        let halves = [load(window, 0), load(window, 32)];
        let lf = halves.map(|half| mask(_mm256_cmpeq_epi8(line_feed, half)));
        let noted = halves.map(|half| mask(_mm256_cmpeq_epi8(_mm256_shuffle_epi8(tables.noted, half), half)));
        let fits = |from: usize, half| {
            let mut sets = tables.class(0, half);
            sets = _mm256_and_si256(sets, tables.class(1, load(window, from + 1)));
            if WIDTH == 3 {
                sets = _mm256_and_si256(sets, tables.class(2, load(window, from + 2)));
            }
            !mask(_mm256_cmpeq_epi8(sets, zero))
        };
        let fits = if WIDTH == 0 { 0 } else { join([fits(0, halves[0]), fits(32, halves[1])]) };
        Step { lf: join(lf), others: join(noted) ^ join(lf), fits }
    });
    if framing.terminal {
        pass_over(survey, block, &classes.lefts, found.0);
    }
    survey.note(block, framing, &classes.lefts, found);
}

/// Notes what is frequent and simple in the first `noted` of the marks to look at, and takes it out there: ESC that
/// join nothing, escaped TABs, `#` alone, and CR. Terminal text only.
#[target_feature(enable = "avx2,popcnt")]
fn pass_over(survey: &mut Survey, block: &[u8], lefts: &[bool; 256], noted: usize) {
    let Survey { census, marks, .. } = survey;
    let (low, high, wide) = left_tables(lefts);
    let (low, high, nibble) = (twice(&low), twice(&high), _mm256_set1_epi8(15));
    for Bits { word, bits } in &mut survey.noted[..noted] {
        let Some(around) = around(block, *word) else { continue };
        let halves = |at: usize| [load(around, at), load(around, at + 32)];
        let is = |at: usize, byte: u8| {
            join(halves(1 + at).map(|half| mask(_mm256_cmpeq_epi8(half, _mm256_set1_epi8(byte as i8)))))
        };
        let esc = is(0, 0x1b);
        if esc != 0 {
            let stops = join(halves(0).map(|before| {
                let below = _mm256_shuffle_epi8(low, _mm256_and_si256(before, nibble));
                let above = _mm256_and_si256(_mm256_srli_epi16::<4>(before), nibble);
                let left = _mm256_and_si256(below, _mm256_shuffle_epi8(high, above));
                let stops = mask(_mm256_cmpeq_epi8(left, _mm256_setzero_si256()));
                if wide { stops & !mask(before) } else { stops }
            }));
            let csi = esc & is(1, b'[');
            // `ESC [ 0 m LF`
            let resets = is(2, b'0') & is(3, b'm') & is(4, b'\n');
            let digits = join(halves(1).map(|half| {
                let above_zero = _mm256_sub_epi8(half, _mm256_set1_epi8(b'0' as i8));
                mask(_mm256_cmpeq_epi8(_mm256_min_epu8(above_zero, _mm256_set1_epi8(9)), above_zero))
            }));
            let ignored = csi & (resets | behind_colours(csi, digits, is(0, b'm')) | stops);
            census.raw_esc |= ignored != 0;
            *bits &= !ignored;
        }
        let hashes = is(0, b'#');
        if hashes != 0 {
            let escapes = hashes & is(1, b'0');
            let tabs = escapes & is(2, b'1') & is(3, b'1');
            census.escapes[0] += u64::from(tabs.count_ones());
            *bits &= !hashes | (escapes & !tabs);
        }
        let cr = is(0, b'\r');
        if cr != 0 {
            census.raw_cr_or_bs = true;
            census.bare_cr += u64::from((cr & !is(1, b'\n')).count_ones());
            marks[*word].ends |= cr;
            *bits &= !cr;
        }
    }
}

fn join([left, right]: [u32; 2]) -> u64 {
    u64::from(left) | u64::from(right) << 32
}

#[inline]
#[target_feature(enable = "avx2")]
fn mask(bytes: __m256i) -> u32 {
    _mm256_movemask_epi8(bytes).cast_unsigned()
}

#[inline]
#[target_feature(enable = "avx2")]
fn load<const N: usize>(bytes: &[u8; N], from: usize) -> __m256i {
    debug_assert!(from + 32 <= N);
    // SAFETY: the 32 bytes lie in the array.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().add(from).cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn twice(table: &[u8; 16]) -> __m256i {
    // SAFETY: the table has 16 bytes.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
}
