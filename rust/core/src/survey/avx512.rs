//! The pass over a block with AVX-512: 64 bytes an instruction, comparisons straight to bitmaps.
//!
//! The same steps as in `avx2`, in a third of the instructions.

use std::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpeq_epi8_mask, _mm512_loadu_si512,
    _mm512_set1_epi8, _mm512_shuffle_epi8, _mm512_srli_epi16, _mm512_test_epi8_mask,
};

use super::{Classes, Step, Survey, WINDOW, WORD, Window, noted_table};
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
    survey.run(block, framing, &classes.lefts, |window| {
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
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(window: &Window, from: usize) -> __m512i {
    debug_assert!(from + WORD <= WINDOW);
    // SAFETY: the 64 bytes lie in the window.
    unsafe { _mm512_loadu_si512(window.as_ptr().add(from).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn four_times(table: &[u8; 16]) -> __m512i {
    // SAFETY: the table has 16 bytes.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
}
