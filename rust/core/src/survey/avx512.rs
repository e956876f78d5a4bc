//! The pass over a block with AVX-512: 64 bytes an instruction, comparisons straight to bitmaps.
//!
//! The same steps as in `avx2`, in a third of the instructions.

use std::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpeq_epi8_mask, _mm512_loadu_si512,
    _mm512_movepi8_mask, _mm512_set1_epi8, _mm512_shuffle_epi8, _mm512_srli_epi16, _mm512_test_epi8_mask,
};

use super::{Bits, Classes, Step, Survey, WORD, around, left_tables, noted_table};
use crate::record::Framing;

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("popcnt")
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

#[target_feature(enable = "avx512f,avx512bw,popcnt")]
fn run<const WIDTH: usize>(survey: &mut Survey, block: &[u8], framing: Framing, classes: &Classes) {
    let noted = four_times(&noted_table(framing));
    let low = [0, 1, 2].map(|position| four_times(&classes.low[position]));
    let high = [0, 1, 2].map(|position| four_times(&classes.high[position]));
    let (line_feed, nibble) = (_mm512_set1_epi8(b'\n' as i8), _mm512_set1_epi8(15));
    let class = |position: usize, bytes: __m512i| {
        let below = _mm512_shuffle_epi8(low[position], _mm512_and_si512(bytes, nibble));
        let above = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), nibble);
        _mm512_and_si512(below, _mm512_shuffle_epi8(high[position], above))
    };
    let found = survey.sweep(block, |window| {
        let bytes = load(window, 0);
        let lf = _mm512_cmpeq_epi8_mask(bytes, line_feed);
        let others = _mm512_cmpeq_epi8_mask(bytes, _mm512_shuffle_epi8(noted, bytes)) ^ lf;
        let fits = match WIDTH {
            0 => 0,
            2 => _mm512_test_epi8_mask(class(0, bytes), class(1, load(window, 1))),
            _ => {
                let two = _mm512_and_si512(class(0, bytes), class(1, load(window, 1)));
                _mm512_test_epi8_mask(two, class(2, load(window, 2)))
            }
        };
        Step { lf, others, fits }
    });
    if framing.terminal {
        survey.census.raw_esc |= ignore(block, &mut survey.noted[..found.0], &classes.lefts);
    }
    survey.note(block, framing, &classes.lefts, found);
}

/// Takes out the ESC that join nothing; whether there was one.
#[target_feature(enable = "avx512f,avx512bw")]
fn ignore(block: &[u8], noted: &mut [Bits], lefts: &[bool; 256]) -> bool {
    let (low, high, wide) = left_tables(lefts);
    let (low, high) = (four_times(&low), four_times(&high));
    let (nibble, escape, bracket) = (_mm512_set1_epi8(15), _mm512_set1_epi8(0x1b), _mm512_set1_epi8(b'[' as i8));
    let mut any = 0;
    for Bits { word, bits } in noted {
        let Some(around) = around(block, *word) else { continue };
        let esc = _mm512_cmpeq_epi8_mask(load(around, 1), escape);
        if esc == 0 {
            continue;
        }
        let before = load(around, 0);
        let below = _mm512_shuffle_epi8(low, _mm512_and_si512(before, nibble));
        let above = _mm512_and_si512(_mm512_srli_epi16::<4>(before), nibble);
        let goes_on = _mm512_test_epi8_mask(below, _mm512_shuffle_epi8(high, above));
        let not_ascii = if wide { _mm512_movepi8_mask(before) } else { 0 };
        let csi = _mm512_cmpeq_epi8_mask(load(around, 2), bracket);
        // `ESC [ 0 m LF`
        let resets = _mm512_cmpeq_epi8_mask(load(around, 3), _mm512_set1_epi8(b'0' as i8))
            & _mm512_cmpeq_epi8_mask(load(around, 4), _mm512_set1_epi8(b'm' as i8))
            & _mm512_cmpeq_epi8_mask(load(around, 5), _mm512_set1_epi8(b'\n' as i8));
        let ignored = esc & csi & (resets | (!goes_on & !not_ascii));
        any |= ignored;
        *bits &= !ignored;
    }
    any != 0
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load<const N: usize>(bytes: &[u8; N], from: usize) -> __m512i {
    debug_assert!(from + WORD <= N);
    // SAFETY: the 64 bytes lie in the array.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().add(from).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn four_times(table: &[u8; 16]) -> __m512i {
    // SAFETY: the table has 16 bytes.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
}
