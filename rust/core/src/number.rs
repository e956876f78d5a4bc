//! The grammar of numbers, and their conversion to `f64`.
//!
//! [`Prefix::of`] reads the longest NUMBER at the beginning of a text, digits and exponent with it, so that
//! [`Prefix::value`] has little left to do. `value` decides what around a number is forgiven.
//!
//! ```text
//! NUMBER = [+-]? (digits [. digits?] | . digits) ([eE] [+-]? digits)?
//!        | [+-]? (nan | inf | infinity)          words in any case, ASCII only
//! ```

/// The one NaN that is stored, so that equal inputs give equal bytes.
const CANONICAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);
/// More digits than this may not fit a `u64`.
const MAX_DIGITS: usize = 19;
/// Powers of ten that `f64` holds exactly, as it does all integers below 2^53.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// A NUMBER at the beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// The digits before the exponent, wrapped around where there are too many.
    mantissa: u64,
    /// Power of ten that the mantissa is multiplied by; [`FAR`] where it has more than five digits.
    exponent: i64,
    /// From the top: 32 bits for its length in bytes, 28 for the number of digits before the exponent (no more than
    /// fit), 4 flags.
    kind: u64,
}

/// No power of ten that could be reached.
const FAR: i64 = i64::MIN;
const MAX_COUNTED: usize = (1 << 28) - 1;
const WORD: u64 = 1;
const ENDS_IN_POINT: u64 = 2;
const NEGATIVE: u64 = 4;

impl Prefix {
    /// The longest NUMBER that `text` begins with. A word counts only where no letter, digit or `_` follows.
    ///
    /// Only the first 4 GiB of the text are read.
    pub fn of(text: &[u8]) -> Option<Self> {
        let decimal = Self::decimal(text, 0);
        if decimal.len() > 0 { Some(decimal) } else { Self::word(text) }
    }

    /// The longest NUMBER of digits that begins at `start`; of length 0 if there is none.
    ///
    /// Always inlined and no `Option`, so that its fields stay in registers: kept in memory, they stall when copied.
    #[inline(always)]
    pub fn decimal(text: &[u8], start: usize) -> Self {
        let text = &text[..text.len().min(start.saturating_add(u32::MAX as usize))];
        // Signs, point and digits; a comma and a slash with them.
        if !matches!(text.get(start), Some(b'+'..=b'9')) {
            return Self::new(0, 0, 0, 0, 0);
        }
        let negative = text.get(start) == Some(&b'-');
        let sign = usize::from(negative || text.get(start) == Some(&b'+'));
        // Most numbers with a point have one digit in front of it.
        let (mut mantissa, whole) = match text.get(start + sign..start + sign + 2) {
            Some([digit @ b'0'..=b'9', b'.']) => (u64::from(digit - b'0'), 1),
            _ => digits(text, start + sign, 0),
        };
        let mut end = start + sign + whole;
        let (mut fraction, mut ends_in_point) = (0, false);
        if text.get(end) == Some(&b'.') {
            (mantissa, fraction) = digits(text, end + 1, mantissa);
            end += 1 + fraction;
            ends_in_point = fraction == 0;
        }
        if whole + fraction == 0 {
            return Self::new(0, 0, 0, 0, 0);
        }
        let mut exponent = 0;
        if let Some(b'e' | b'E') = text.get(end) {
            let minus = text.get(end + 1) == Some(&b'-');
            let sign = usize::from(minus || text.get(end + 1) == Some(&b'+'));
            let (value, count) = digits(text, end + 1 + sign, 0);
            if count > 0 {
                end += 1 + sign + count;
                exponent = match count {
                    1..=5 if minus => -(value as i64),
                    1..=5 => value as i64,
                    _ => FAR,
                };
            }
        }
        let exponent = exponent.saturating_sub(fraction as i64);
        let flags = if ends_in_point { ENDS_IN_POINT } else { 0 } | if negative { NEGATIVE } else { 0 };
        Self::new(mantissa, exponent, end - start, whole + fraction, flags)
    }

    fn word(text: &[u8]) -> Option<Self> {
        let negative = text.first() == Some(&b'-');
        let sign = usize::from(negative || text.first() == Some(&b'+'));
        let len = sign + word(&text[sign..])?;
        Some(Self::new(0, FAR, len, 0, WORD | if negative { NEGATIVE } else { 0 }))
    }

    #[inline(always)]
    fn new(mantissa: u64, exponent: i64, len: usize, digits: usize, flags: u64) -> Self {
        let kind = (len as u64) << 32 | (digits.min(MAX_COUNTED) as u64) << 4 | flags;
        Self { mantissa, exponent, kind }
    }

    /// Its length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        (self.kind >> 32) as usize
    }

    /// Number of digits before the exponent.
    #[inline]
    fn digits(&self) -> usize {
        self.kind as usize >> 4 & MAX_COUNTED
    }

    #[inline]
    fn has(&self, flag: u64) -> bool {
        self.kind & flag != 0
    }

    /// Whether it is a word: `nan`, `inf`, `infinity`.
    #[inline]
    pub fn is_word(&self) -> bool {
        self.has(WORD)
    }

    /// Whether it has a point behind which no digit stands.
    #[inline]
    pub fn ends_in_point(&self) -> bool {
        self.has(ENDS_IN_POINT)
    }

    /// The nearest `f64`, bit for bit what Python's `float` gives for `text`, which is all of the number.
    #[inline(always)]
    pub fn value(&self, text: &[u8]) -> f64 {
        // Both factors are exact, so the one operation rounds correctly (Clinger's fast path).
        if let exponent @ -22..=22 = self.exponent
            && self.digits() <= MAX_DIGITS
            && self.mantissa < 1 << 53
        {
            let power = POWERS[exponent.unsigned_abs() as usize];
            let mantissa = self.mantissa as f64;
            let value = if exponent < 0 { mantissa / power } else { mantissa * power };
            return if self.has(NEGATIVE) { -value } else { value };
        }
        let value: f64 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        if value.is_nan() { CANONICAL_NAN } else { value }
    }

    /// Whether a digit other than 0 stands before the exponent.
    pub fn is_nonzero(&self, text: &[u8]) -> bool {
        if self.digits() <= MAX_DIGITS {
            return self.mantissa != 0;
        }
        text.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|byte| matches!(byte, b'1'..=b'9'))
    }
}

/// Appends the digits that stand at `start` to `value`; and their number.
///
/// Eight bytes a step and without a loop over digits, whose end no processor can predict.
#[inline(always)]
fn digits(text: &[u8], start: usize, mut value: u64) -> (u64, usize) {
    let mut at = start;
    loop {
        let bytes = eight(text, at);
        let digits = bytes.wrapping_sub(0x3030_3030_3030_3030);
        // A byte below '0' sets its top bit by borrowing, one above '9' by the 0x46 added. Both may spoil bytes
        // behind it, never those in front.
        let wrong = (digits | bytes.wrapping_add(0x4646_4646_4646_4646)) & 0x8080_8080_8080_8080;
        let here = wrong.trailing_zeros() / 8;
        // In halves, because a word cannot be shifted by all its bits.
        let leading_zeros = digits << (32 - 4 * here) << (32 - 4 * here);
        value = value.wrapping_mul(INTEGER_POWERS[here as usize]).wrapping_add(together(leading_zeros));
        at += here as usize;
        if here < 8 {
            return (value, at - start);
        }
    }
}

/// The eight bytes at `at`, the first one lowest; zeros behind the text.
#[inline]
fn eight(text: &[u8], at: usize) -> u64 {
    let Some(last) = text.len().checked_sub(8) else { return few(text, at) };
    // Near the end, which is where many numbers stand, the last eight are moved down; without a branch.
    let from = at.min(last);
    let missing = 4 * (at - from).min(8);
    text[from..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)) >> missing >> missing
}

#[cold]
fn few(text: &[u8], at: usize) -> u64 {
    let bytes = text.get(at..).unwrap_or_default().iter();
    bytes.rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

const INTEGER_POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The number that eight digits make, the first in the lowest byte: pairs, then fours, then all.
#[inline]
fn together(digits: u64) -> u64 {
    let pairs = (digits.wrapping_mul(10).wrapping_add(digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

fn word(text: &[u8]) -> Option<usize> {
    [&b"infinity"[..], b"inf", b"nan"].into_iter().find_map(|word| {
        let fits = text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
        (fits && !text.get(word.len()).is_some_and(|byte| is_word_byte(*byte))).then_some(word.len())
    })
}

/// `[0-9A-Za-z_]`.
pub(crate) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_are_those_of_the_standard_library(
            text in r"[+-]?([0-9]{1,25}(\.[0-9]{0,25})?|\.[0-9]{1,25})([eE][+-]?[0-9]{1,7})?"
        ) {
            let prefix = Prefix::of(text.as_bytes()).unwrap();
            prop_assert_eq!(prefix.len(), text.len());
            let expected: f64 = text.parse().unwrap();
            prop_assert_eq!(prefix.value(text.as_bytes()).to_bits(), expected.to_bits());
            let nonzero = text.split(['e', 'E']).next().unwrap().contains(|c| ('1'..='9').contains(&c));
            prop_assert_eq!(prefix.is_nonzero(text.as_bytes()), nonzero);
        }

        #[test]
        fn short_numbers_as_logs_hold_them_are_exact(value: f64, places in 0_usize..17) {
            for text in [format!("{value:.places$}"), format!("{value:.places$e}"), value.to_string()] {
                let prefix = Prefix::of(text.as_bytes()).unwrap();
                let expected: f64 = text.parse().unwrap();
                prop_assert!(prefix.value(text.as_bytes()).to_bits() == expected.to_bits() || expected.is_nan());
            }
        }
    }

    #[test]
    fn the_longest_number_is_read_and_no_more() {
        let table = [
            ("1.5e", 3),
            ("1.5e-", 3),
            ("1.5e-3x", 6),
            (".5", 2),
            ("5.", 2),
            ("5.e3", 4),
            ("-.5.", 3),
            ("+1_000", 2),
            ("nan", 3),
            ("-inf,", 4),
            ("Infinity", 8),
            ("inf-x", 3),
        ];
        for (text, len) in table {
            assert_eq!(Prefix::of(text.as_bytes()).map(|prefix| prefix.len()), Some(len), "{text}");
        }
        for text in ["", "+", ".", "-.", "e5", ".e5", "nano", "inf_x", "infinite", "x1"] {
            assert_eq!(Prefix::of(text.as_bytes()), None, "{text}");
        }
    }
}
