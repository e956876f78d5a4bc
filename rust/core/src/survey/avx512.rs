//! The pass over a block with AVX-512: 64 bytes an instruction, comparisons straight to bitmaps.
//!
//! The same steps as in `avx2`, in a third of the instructions.

use std::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask,
    _mm512_loadu_si512, _mm512_movepi8_mask, _mm512_set1_epi8, _mm512_shuffle_epi8, _mm512_srli_epi16, _mm512_sub_epi8,
    _mm512_test_epi8_mask,
};

use super::{Bits, Classes, Step, Survey, WORD, around, behind_colours, left_tables, noted_table};
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
        pass_over(survey, block, &classes.lefts, found.0);
    }
    survey.note(block, framing, &classes.lefts, found);
}

/// Notes what is frequent and simple in the first `noted` of the marks to look at, and takes it out there: ESC that
/// join nothing, escaped TABs, `#` alone, and CR. Terminal text only.
#[target_feature(enable = "avx512f,avx512bw,popcnt")]
fn pass_over(survey: &mut Survey, block: &[u8], lefts: &[bool; 256], noted: usize) {
    let Survey { census, marks, .. } = survey;
    let (low, high, wide) = left_tables(lefts);
    let (low, high, nibble) = (four_times(&low), four_times(&high), _mm512_set1_epi8(15));
    for Bits { word, bits } in &mut survey.noted[..noted] {
        let Some(around) = around(block, *word) else { continue };
        let here = load(around, 1);
        let is = |at: usize, byte: u8| _mm512_cmpeq_epi8_mask(load(around, 1 + at), _mm512_set1_epi8(byte as i8));
        let esc = is(0, 0x1b);
        if esc != 0 {
            let before = load(around, 0);
            let below = _mm512_shuffle_epi8(low, _mm512_and_si512(before, nibble));
            let above = _mm512_and_si512(_mm512_srli_epi16::<4>(before), nibble);
            let goes_on = _mm512_test_epi8_mask(below, _mm512_shuffle_epi8(high, above));
            let not_ascii = if wide { _mm512_movepi8_mask(before) } else { 0 };
            let csi = esc & is(1, b'[');
            // `ESC [ 0 m LF`
            let resets = is(2, b'0') & is(3, b'm') & is(4, b'\n');
            let above_zero = _mm512_sub_epi8(here, _mm512_set1_epi8(b'0' as i8));
            let digits = _mm512_cmplt_epu8_mask(above_zero, _mm512_set1_epi8(10));
            let ignored = csi & (resets | behind_colours(csi, digits, is(0, b'm')) | (!goes_on & !not_ascii));
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
