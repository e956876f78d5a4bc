//! Small numbers in the format that Parquet calls the RLE and bit-packing hybrid: levels and places in dictionaries.

use arrow_buffer::BooleanBuffer;

/// Bits that numbers below `count` take; 1 at least, since some readers expect that.
pub(super) fn width_below(count: usize) -> u32 {
    count.saturating_sub(1).checked_ilog2().map_or(1, |bits| bits + 1)
}

/// Adds a whole number in groups of 7 bits, the lowest first.
pub(super) fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Adds one number that stands there `count` times.
pub(super) fn push_run(out: &mut Vec<u8>, number: u32, count: usize, width: u32) {
    if count > 0 {
        push_varint(out, (count as u64) << 1);
        out.extend_from_slice(&number.to_le_bytes()[..width.div_ceil(8) as usize]);
    }
}

/// Adds bits, as numbers of one bit.
pub(super) fn push_bits(out: &mut Vec<u8>, bits: &BooleanBuffer) {
    push_varint(out, (bits.len().div_ceil(8) as u64) << 1 | 1);
    let start = out.len();
    out.extend_from_slice(&bits.sliced());
    out.resize(start + bits.len().div_ceil(8), 0);
}

/// Adds numbers of `width` bits: groups of eight equal ones as runs, the others packed.
pub(super) fn push_numbers(out: &mut Vec<u8>, numbers: &[u32], width: u32) {
    let mut packed = 0; // from here on groups wait to be packed
    let mut at = 0;
    while at < numbers.len() {
        let first = numbers[at];
        let group = &numbers[at..numbers.len().min(at + 8)];
        if group.len() < 8 || group.iter().any(|number| *number != first) {
            at += group.len();
            continue;
        }
        let run = 8 + numbers[at + 8..].iter().take_while(|number| **number == first).count();
        // Groups of eight follow each other, so a run ends where one does, or where everything ends.
        let run = if at + run == numbers.len() { run } else { run / 8 * 8 };
        push_packed(out, &numbers[packed..at], width);
        push_run(out, first, run, width);
        at += run;
        packed = at;
    }
    push_packed(out, &numbers[packed..], width);
}

/// Adds numbers that are all packed; the last group is filled up with zeros.
fn push_packed(out: &mut Vec<u8>, numbers: &[u32], width: u32) {
    if numbers.is_empty() {
        return;
    }
    let groups = numbers.len().div_ceil(8);
    push_varint(out, (groups as u64) << 1 | 1);
    let end = out.len() + groups * width as usize;
    let (mut bits, mut held) = (0_u64, 0);
    for number in numbers {
        bits |= u64::from(*number) << held;
        held += width;
        if held >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            held -= 32;
        }
    }
    out.extend_from_slice(&(bits as u32).to_le_bytes());
    out.resize(end, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_hold_the_largest_number() {
        let widths: Vec<u32> = [0, 1, 2, 3, 4, 5, 256, 257].map(width_below).into();
        assert_eq!(widths, [1, 1, 1, 2, 2, 3, 8, 9]);
    }

    #[test]
    fn the_examples_of_the_format_description() {
        // "The numbers 0 through 7 using bit width 3", in the description of Parquet's encodings.
        let mut out = Vec::new();
        push_numbers(&mut out, &[0, 1, 2, 3, 4, 5, 6, 7], 3);
        assert_eq!(out, [0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
    }
}
