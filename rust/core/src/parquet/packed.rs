//! Whole numbers by their differences, in the format that Parquet calls `DELTA_BINARY_PACKED`.

use super::hybrid::push_varint;

const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;
/// Differences that take more bits are not packed: fastparquet reads such numbers wrongly.
const MAX_WIDTH: u8 = 28;

/// An integer of Parquet.
pub(super) trait Integer: Copy {
    /// The number in 64 bits.
    fn wide(self) -> i64;
    /// The difference to the number before, as its own width wraps it.
    fn since(self, before: Self) -> i64;
}

impl Integer for i64 {
    fn wide(self) -> i64 {
        self
    }
    fn since(self, before: Self) -> i64 {
        self.wrapping_sub(before)
    }
}

impl Integer for i32 {
    fn wide(self) -> i64 {
        self.into()
    }
    fn since(self, before: Self) -> i64 {
        self.wrapping_sub(before).into()
    }
}

/// Adds all numbers of a page; false, and nothing is added, if they differ by too much.
pub(super) fn push_integers<T: Integer>(out: &mut Vec<u8>, numbers: &[T]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { push_by_avx2(out, numbers) };
    }
    push(out, numbers)
}

/// The same, compiled for processors that compare four numbers at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn push_by_avx2<T: Integer>(out: &mut Vec<u8>, numbers: &[T]) -> bool {
    push(out, numbers)
}

#[inline(always)]
fn push<T: Integer>(out: &mut Vec<u8>, numbers: &[T]) -> bool {
    let start = out.len();
    push_varint(out, BLOCK as u64);
    push_varint(out, (BLOCK / MINIBLOCK) as u64);
    push_varint(out, numbers.len() as u64);
    push_varint(out, zigzag(numbers.first().map_or(0, |first| first.wide())));
    let mut at = 1;
    while at < numbers.len() {
        let end = numbers.len().min(at + BLOCK);
        let mut deltas = [0_u64; BLOCK];
        let pairs = numbers[at..end].iter().zip(&numbers[at - 1..end - 1]);
        for (delta, (number, before)) in deltas.iter_mut().zip(pairs) {
            *delta = number.since(*before) as u64;
        }
        if !push_block(out, &mut deltas, end - at) {
            out.truncate(start);
            return false;
        }
        at = end;
    }
    true
}

#[inline(always)]
fn push_block(out: &mut Vec<u8>, deltas: &mut [u64; BLOCK], count: usize) -> bool {
    let least = deltas[..count].iter().map(|delta| *delta as i64).min().unwrap_or(0);
    push_varint(out, zigzag(least));
    for delta in &mut deltas[..count] {
        *delta = delta.wrapping_sub(least as u64);
    }
    let mut widths = [0_u8; BLOCK / MINIBLOCK];
    for (width, part) in widths.iter_mut().zip(deltas.chunks_exact(MINIBLOCK)) {
        *width = (u64::BITS - part.iter().fold(0, |all, delta| all | delta).leading_zeros()) as u8;
    }
    if widths.iter().any(|width| *width > MAX_WIDTH) {
        return false;
    }
    out.extend_from_slice(&widths);
    for (width, part) in widths.iter().zip(deltas.chunks_exact(MINIBLOCK)) {
        pack(out, part, u32::from(*width));
    }
    true
}

/// Adds 32 numbers of `width` bits.
#[inline(always)]
fn pack(out: &mut Vec<u8>, numbers: &[u64], width: u32) {
    let (mut bits, mut held) = (0_u64, 0);
    for number in numbers {
        bits |= number << held;
        held += width;
        if held >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            held -= 32;
        }
    }
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}
