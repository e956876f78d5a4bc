//! Captured text to `f64`, or a reason why it is none.
//!
//! [`parse`] is the principal function: the matcher's capture goes in, a [`Number`] or a [`Reject`]
//! comes out, and `rows` stores it. Nothing becomes a number silently: what was trimmed away, what
//! was cut short ([`is_truncated`]) and what rounded to zero is told to the report. The grammar itself is
//! in `number`.

use std::ops::Range;

use crate::number::{Prefix, is_word_byte};

/// How much around a number is forgiven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NumberMode {
    /// White space and up to three decorations (`,` `;` `%`, quotes, brackets) are taken off.
    #[default]
    Trim,
    /// Only white space is taken off.
    Strict,
    /// The longest number at the beginning counts, whatever follows.
    Prefix,
}

/// Why a captured text is no point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reject {
    /// The group took no part in the match, is empty or white space.
    NoValue,
    /// The text is outside the grammar.
    NotANumber,
    /// The number is larger than a float64 can hold (`1e400`).
    Overflow,
}

impl Reject {
    /// All reasons, in the order of the report.
    pub const ALL: [Reject; 3] = [Reject::NoValue, Reject::NotANumber, Reject::Overflow];

    /// The reason's name in reports and in the table of rejects.
    pub fn name(self) -> &'static str {
        match self {
            Reject::NoValue => "no_value",
            Reject::NotANumber => "not_a_number",
            Reject::Overflow => "overflow",
        }
    }
}

/// An accepted value and where its digits stand in the haystack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Number {
    pub value: f64,
    pub span: Range<usize>,
    /// It is a word: `nan`, `inf`, `infinity`.
    pub is_word: bool,
    /// Something other than white space was taken off.
    pub trimmed: bool,
    /// A `%` was among it.
    pub percent: bool,
    /// The text is not zero, its float64 is.
    pub underflow: bool,
}

/// So many decorations are taken off.
const MAX_DECORATIONS: usize = 3;

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | b' ')
}

/// Reads the number that `group` of `haystack` holds.
pub(crate) fn parse(haystack: &[u8], group: Option<Range<usize>>, mode: NumberMode) -> Result<Number, Reject> {
    let mut span = strip(haystack, group.ok_or(Reject::NoValue)?);
    if span.is_empty() {
        return Err(Reject::NoValue);
    }
    let mut decorations = 0;
    let mut percent = false;
    loop {
        let text = &haystack[span.clone()];
        let found = Prefix::of(text);
        if let Some(prefix) = found.filter(|prefix| prefix.len() == text.len()) {
            return convert(haystack, prefix, span, decorations > 0, percent);
        }
        match (mode, found) {
            (NumberMode::Strict, _) | (NumberMode::Prefix, None) => return Err(Reject::NotANumber),
            (NumberMode::Prefix, Some(prefix)) => {
                return convert(haystack, prefix, span.start..span.start + prefix.len(), true, false);
            }
            (NumberMode::Trim, _) if decorations == MAX_DECORATIONS => return Err(Reject::NotANumber),
            (NumberMode::Trim, _) => {
                let inner = undecorate(text).ok_or(Reject::NotANumber)?;
                percent |= text.ends_with(b"%") && inner.end + 1 == text.len();
                decorations += 1;
                span = strip(haystack, span.start + inner.start..span.start + inner.end);
                if span.is_empty() {
                    return Err(Reject::NotANumber);
                }
            }
        }
    }
}

fn strip(haystack: &[u8], mut span: Range<usize>) -> Range<usize> {
    while span.start < span.end && is_space(haystack[span.start]) {
        span.start += 1;
    }
    while span.start < span.end && is_space(haystack[span.end - 1]) {
        span.end -= 1;
    }
    span
}

/// The text as an integer `[+-]?[0-9]+`, trimmed as numbers are; None also where it is too large for 64 bits.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let mut span = strip(text, 0..text.len());
    for _ in 0..=MAX_DECORATIONS {
        let inner = &text[span.clone()];
        let digits = inner.strip_prefix(b"+").or(inner.strip_prefix(b"-")).unwrap_or(inner);
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
            return std::str::from_utf8(inner).ok()?.parse().ok();
        }
        let without = undecorate(inner)?;
        span = strip(text, span.start + without.start..span.start + without.end);
    }
    None
}

/// Takes one decoration off: a final `,` `;` `%`, an enclosing pair, a closing bracket without partner.
fn undecorate(text: &[u8]) -> Option<Range<usize>> {
    let (first, last) = (*text.first()?, *text.last()?);
    if matches!(last, b',' | b';' | b'%') {
        return Some(0..text.len() - 1);
    }
    let opening = match last {
        b'\'' | b'"' => last,
        b')' => b'(',
        b']' => b'[',
        b'}' => b'{',
        _ => return None,
    };
    if text.len() >= 2 && first == opening {
        return Some(1..text.len() - 1);
    }
    let closes = matches!(last, b')' | b']' | b'}');
    (closes && !text.contains(&opening)).then(|| 0..text.len() - 1)
}

/// Reads a NUMBER that is known to be all of a capture.
#[inline(always)]
pub(crate) fn whole(haystack: &[u8], span: Range<usize>, prefix: Prefix) -> Result<Number, Reject> {
    convert(haystack, prefix, span, false, false)
}

#[inline(always)]
fn convert(
    haystack: &[u8],
    prefix: Prefix,
    span: Range<usize>,
    trimmed: bool,
    percent: bool,
) -> Result<Number, Reject> {
    let text = &haystack[span.clone()];
    let value = prefix.value(text);
    if value.is_infinite() && !prefix.is_word() {
        return Err(Reject::Overflow);
    }
    let underflow = value == 0.0 && prefix.is_nonzero(text);
    Ok(Number { value, span, is_word: prefix.is_word(), trimmed, percent, underflow })
}

/// Whether the text around a number shows that the pattern cut it short.
#[inline]
pub(crate) fn is_truncated(haystack: &[u8], number: &Number) -> bool {
    let at = |at: usize| haystack.get(at).map_or(0, |byte| AROUND[usize::from(*byte)]);
    let Range { start, end } = number.span;
    // Most numbers stand between other characters than these. Not `||`: each way to stop would be a guess.
    let before = at(start.wrapping_sub(1)) & MAY_PRECEDE;
    let after = at(end) & MAY_FOLLOW | at(end) & at(end + 1) & GROUPS;
    (before | after | u8::from(number.is_word)) != 0 && looks_truncated(haystack, number)
}

const MAY_PRECEDE: u8 = 1;
const MAY_FOLLOW: u8 = 2;
/// A comma and the digit behind it.
const GROUPS: u8 = 4;
/// What each byte tells about the number beside it.
const AROUND: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => MAY_PRECEDE | MAY_FOLLOW | GROUPS,
            b'.' | b'e' | b'E' => MAY_PRECEDE | MAY_FOLLOW,
            b'+' | b'-' => MAY_PRECEDE,
            b'_' => MAY_FOLLOW,
            b',' => GROUPS,
            _ => 0,
        };
        byte += 1;
    }
    table
};

#[inline(never)]
fn looks_truncated(haystack: &[u8], number: &Number) -> bool {
    let (before, after) = (&haystack[..number.span.start], &haystack[number.span.end..]);
    let digit = |at: usize| after.get(at).is_some_and(u8::is_ascii_digit);
    let goes_on = match after.first() {
        Some(b'0'..=b'9') => true,
        Some(b'.' | b'_') => digit(1),
        Some(b'e' | b'E') => digit(1) || (matches!(after.get(1), Some(b'+' | b'-')) && digit(2)),
        Some(b',') => (1..4).all(digit) && !digit(4),
        _ => false,
    };
    let signed = matches!(haystack[number.span.start], b'+' | b'-');
    let word_goes_on = number.is_word && after.first().is_some_and(|byte| is_word_byte(*byte));
    goes_on || word_goes_on || began_earlier(before, signed)
}

fn began_earlier(before: &[u8], signed: bool) -> bool {
    let Some((&last, head)) = before.split_last() else { return false };
    // `3e-` or `3e` before the captured digits.
    let exponent = |text: &[u8]| matches!(text, [.., digit, b'e' | b'E'] if digit.is_ascii_digit());
    match last {
        b'0'..=b'9' | b'.' => true,
        b'e' | b'E' => exponent(before),
        b'+' | b'-' => {
            let joined = head.last().is_some_and(|b| is_word_byte(*b) || matches!(b, b')' | b']'));
            exponent(head) || (!signed && !joined)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, mode: NumberMode) -> Result<f64, Reject> {
        parse(text.as_bytes(), Some(0..text.len()), mode).map(|number| number.value)
    }

    #[test]
    fn v4_trim_takes_off_the_decorations_that_semantics_names() {
        let table = [
            ("'0.5123'", 0.5123),
            ("(0.0217)", 0.0217),
            ("0.239}", 0.239),
            ("3.8e-05)", 3.8e-05),
            ("'0.3',", 0.3),
            ("((( 0.5 )))", 0.5),
            ("1e5%", 1e5),
            ("1.", 1.0),
            ("-.5", -0.5),
            (" 7 ", 7.0),
        ];
        for (text, value) in table {
            assert_eq!(read(text, NumberMode::Trim), Ok(value), "{text}");
        }
        assert!(read("+nan", NumberMode::Trim).unwrap().is_nan());
        assert_eq!(read("-Infinity", NumberMode::Trim), Ok(f64::NEG_INFINITY));
    }

    #[test]
    fn v3_v4_texts_outside_the_grammar_are_rejected() {
        for text in
            ["[0.5", "(0.5]", "0.5.", ".5e", "<0.5>", "1_000", "1,234", "0x1f", "3 ms", "auto", "((((1))))", "''", "%"]
        {
            assert_eq!(read(text, NumberMode::Trim), Err(Reject::NotANumber), "{text}");
        }
        assert_eq!(read("12%", NumberMode::Strict), Err(Reject::NotANumber));
        assert_eq!(read("  ", NumberMode::Trim), Err(Reject::NoValue));
        assert_eq!(read("٣", NumberMode::Trim), Err(Reject::NotANumber));
    }

    #[test]
    fn integers_are_trimmed_as_numbers_are_and_no_more() {
        for (text, value) in [("12", 12), (" +7, ", 7), ("'-3'", -3), ("[ 5 ]", 5), ("((9))%", 9), ("007", 7)] {
            assert_eq!(integer(text.as_bytes()), Some(value), "{text}");
        }
        assert_eq!(integer(i64::MIN.to_string().as_bytes()), Some(i64::MIN));
        for text in ["", "-", "+-1", "1.0", "1e3", "0x1", "((((1))))", "9223372036854775808", "1 2", "\u{0663}"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn prefix_reads_the_longest_number_and_whole_words_only() {
        assert_eq!(read("3 ms", NumberMode::Prefix), Ok(3.0));
        assert_eq!(read("1.5e", NumberMode::Prefix), Ok(1.5));
        assert_eq!(read("inf_x", NumberMode::Prefix), Err(Reject::NotANumber));
        assert_eq!(read("inf-x", NumberMode::Prefix), Ok(f64::INFINITY));
    }

    #[test]
    fn v2_overflow_is_rejected_and_underflow_is_told() {
        assert_eq!(read("1e400", NumberMode::Trim), Err(Reject::Overflow));
        let tiny = parse(b"1e-400", Some(0..6), NumberMode::Trim).unwrap();
        assert!(tiny.underflow && tiny.value == 0.0);
        assert!(!parse(b"0e9", Some(0..3), NumberMode::Trim).unwrap().underflow);
    }

    #[test]
    fn v5_a_number_that_was_cut_short_is_noticed() {
        let table = [
            ("<4.67>e-05", true),
            ("<4.67>e", false),
            ("<1>.5", true),
            ("<1>.", false),
            ("<1>,234", true),
            ("<1>,2345", false),
            ("<1>_0", true),
            ("1<2>", true),
            (".<2>", true),
            ("3e-<05>", true),
            ("e-<05>", false),
            ("-<3>", true),
            ("x-<3>", false),
            ("=-<3>", true),
            ("-<-3>", false),
            ("<nan>o", true),
            ("<nan> o", false),
        ];
        for (text, expected) in table {
            let (start, end) = (text.find('<').unwrap(), text.find('>').unwrap() - 1);
            let plain = text.replace(['<', '>'], "");
            let number = parse(plain.as_bytes(), Some(start..end), NumberMode::Strict).unwrap();
            assert_eq!(is_truncated(plain.as_bytes(), &number), expected, "{text}");
        }
    }
}
