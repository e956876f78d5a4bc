//! Terminal text to plain text, one candidate record at a time.
//!
//! Training logs are what a terminal would have shown, passed through log shippers. [`Normalizer`]
//! undoes both for the records that the prefilter named: syslog escapes become their characters,
//! ANSI escape sequences go, and invalid UTF-8 reads as U+FFFD, in this order. A clean record is
//! borrowed, not copied. [`Text::raw_offset`] leads back to the bytes of the log.

use std::sync::LazyLock;

use memchr::{memchr, memchr_iter, memchr2, memmem::Finder};

const ESC: u8 = b'\x1b';
/// What all syslog escapes begin with. To prepare the search takes longer than the search of a record.
static ESCAPED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"#0"));

/// Scratch memory for normalising records.
#[derive(Debug, Default)]
pub(crate) struct Normalizer {
    decoded: Stage,
    stripped: Stage,
    replaced: Stage,
}

/// A rewritten text and where its pieces came from.
#[derive(Debug, Default)]
struct Stage {
    text: Vec<u8>,
    /// `(index in text, index in the input)`, ascending: from here on the two run in step.
    map: Vec<(usize, usize)>,
}

/// A record ready to be matched: valid UTF-8.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    pub text: &'a str,
    maps: [&'a [(usize, usize)]; 3],
}

impl Stage {
    fn clear(&mut self) {
        self.text.clear();
        self.map.clear();
    }

    fn keep(&mut self, input: &[u8], from: usize, to: usize) {
        if from < to {
            self.map.push((self.text.len(), from));
            self.text.extend_from_slice(&input[from..to]);
        }
    }
}

impl Text<'_> {
    /// Byte of the raw record that the byte at `at` of the text came from.
    pub fn raw_offset(&self, at: usize) -> usize {
        self.maps.iter().fold(at, |at, map| match map.partition_point(|(out, _)| *out <= at) {
            0 => at,
            index => {
                let (out, input) = map[index - 1];
                input + (at - out)
            }
        })
    }
}

/// Whether normalising may change a terminal's record, broken UTF-8 aside.
pub(crate) fn may_change(record: &[u8]) -> bool {
    let Some(at) = memchr2(ESC, b'#', record) else { return false };
    let rest = &record[at..];
    rest[0] == ESC || memchr(ESC, rest).is_some() || ESCAPED.find(rest).is_some()
}

impl<'a> Text<'a> {
    /// A text that stands in the log as it is.
    pub fn plain(text: &'a str) -> Self {
        Self { text, maps: [&[]; 3] }
    }
}

impl Normalizer {
    /// The text of a record, without its terminator.
    pub fn normalize<'a>(&'a mut self, record: &'a [u8], terminal: bool) -> Text<'a> {
        self.decoded.clear();
        self.stripped.clear();
        self.replaced.clear();
        let mut text = record;
        if terminal {
            if ESCAPED.find(text).is_some() {
                decode_escapes(text, &mut self.decoded);
                text = &self.decoded.text;
            }
            if memchr(ESC, text).is_some() {
                strip_sequences(text, &mut self.stripped);
                text = &self.stripped.text;
            }
        }
        let text = match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(_) => {
                replace_invalid(text, &mut self.replaced);
                // SAFETY: every chunk pushed was valid UTF-8 or U+FFFD.
                unsafe { std::str::from_utf8_unchecked(&self.replaced.text) }
            }
        };
        Text { text, maps: [&self.replaced.map, &self.stripped.map, &self.decoded.map] }
    }
}

/// `#011` `#015` `#010` `#033` to their characters: one pass, left to right.
fn decode_escapes(text: &[u8], out: &mut Stage) {
    let mut from = 0;
    for at in ESCAPED.find_iter(text) {
        let decoded = match text.get(at + 2..at + 4) {
            Some(b"11") => b'\t',
            Some(b"15") => b'\r',
            Some(b"10") => b'\x08',
            Some(b"33") => ESC,
            _ => continue,
        };
        out.keep(text, from, at);
        out.map.push((out.text.len(), at));
        out.text.push(decoded);
        from = at + 4;
    }
    out.keep(text, from, text.len());
}

/// Removes escape sequences (ECMA-48) in one pass; what the removal joins is not looked at again.
fn strip_sequences(text: &[u8], out: &mut Stage) {
    let mut from = 0;
    let mut string_end = StringEnd::Unknown;
    for at in memchr_iter(ESC, text) {
        // An ESC inside of a longer sequence goes with it.
        if at >= from {
            out.keep(text, from, at);
            from = sequence_end(text, at, &mut string_end);
        }
    }
    out.keep(text, from, text.len());
}

/// Where the next BEL or `ESC \` stands, remembered so that many openings without an end stay linear.
enum StringEnd {
    Unknown,
    At { start: usize, next: usize },
    None,
}

impl StringEnd {
    fn after(&mut self, text: &[u8], from: usize) -> Option<usize> {
        if let StringEnd::At { start, next } = *self
            && start >= from
        {
            return Some(next);
        }
        if matches!(self, StringEnd::None) {
            return None;
        }
        let mut at = from;
        while let Some(found) = memchr2(b'\x07', ESC, &text[at..]).map(|found| at + found) {
            let len = match (text[found], text.get(found + 1)) {
                (b'\x07', _) => 1,
                (_, Some(b'\\')) => 2,
                _ => {
                    at = found + 1;
                    continue;
                }
            };
            *self = StringEnd::At { start: found, next: found + len };
            return Some(found + len);
        }
        *self = StringEnd::None;
        None
    }
}

fn sequence_end(text: &[u8], esc: usize, string_end: &mut StringEnd) -> usize {
    let run = |from: usize, set: std::ops::RangeInclusive<u8>| {
        from + text[from..].iter().take_while(|byte| set.contains(byte)).count()
    };
    let final_byte = |at: usize, set: std::ops::RangeInclusive<u8>| text.get(at).is_some_and(|byte| set.contains(byte));
    let after = esc + 1;
    match text.get(after) {
        Some(b'[') => {
            let at = run(run(after + 1, b'0'..=b'?'), b' '..=b'/');
            if final_byte(at, b'@'..=b'~') {
                return at + 1;
            }
        }
        Some(b'P' | b']' | b'X' | b'^' | b'_') => {
            if let Some(end) = string_end.after(text, after + 1) {
                return end;
            }
        }
        _ => {}
    }
    let at = run(after, b' '..=b'/');
    if final_byte(at, b'0'..=b'~') { at + 1 } else { after }
}

/// Each maximal invalid part reads as one U+FFFD, as Python's `errors="replace"` does.
fn replace_invalid(text: &[u8], out: &mut Stage) {
    let mut at = 0;
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid().len();
        out.keep(text, at, at + valid);
        at += valid;
        if !chunk.invalid().is_empty() {
            out.map.push((out.text.len(), at));
            out.text.extend_from_slice("\u{fffd}".as_bytes());
            at += chunk.invalid().len();
        }
    }
}

/// Where the escape sequence at `at` ends, if it is the kind that colours are: `ESC [`, parameters, a letter.
pub(crate) fn plain_sequence(record: &[u8], at: usize) -> Option<usize> {
    let rest = record.get(at..)?;
    let mut end = match rest {
        [ESC, b'[', ..] => 2,
        [b'#', b'0', b'3', b'3', b'[', ..] => 5,
        _ => return None,
    };
    while matches!(rest.get(end), Some(b'0'..=b'?')) {
        end += 1;
    }
    matches!(rest.get(end), Some(b'@'..=b'~')).then_some(at + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_sequences_and_invalid_bytes_are_normalised_in_this_order() {
        let table: [(&[u8], &str); 12] = [
            (b"plain", "plain"),
            (b"##011x#0110", "#\tx\t0"),
            (b"#033[31mred#033[0m", "red"),
            (b"a\x1b[2Kb\x1b[1;31mc", "abc"),
            (b"\x1b]0;title\x07text", "text"),
            (b"\x1b]0;title\x1b\\text", "text"),
            (b"\x1b]no end", "no end"),
            (b"\x1b(Bx\x1b", "x"),
            (b"\x1b[31", "31"),
            (b"\xe2\x1b[0m\x82\xac", "\u{20ac}"),
            (b"\xff\xfe\xe2\x82", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"#0\x1b[m11", "#011"),
        ];
        for (raw, expected) in table {
            assert_eq!(Normalizer::default().normalize(raw, true).text, expected, "{raw:?}");
        }
        assert_eq!(Normalizer::default().normalize(b"#011\x1b[0m", false).text, "#011\x1b[0m");
    }

    #[test]
    fn a_byte_of_the_text_leads_back_to_the_raw_byte() {
        let raw = b"\x1b[34m\xff#011loss: 0.5";
        let mut normalizer = Normalizer::default();
        let text = normalizer.normalize(raw, true);
        assert_eq!(text.text, "\u{fffd}\tloss: 0.5");
        for (at, byte) in text.text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_graphic()) {
            assert_eq!(raw[text.raw_offset(at)], byte);
        }
        assert_eq!(text.raw_offset(3), 6);
    }

    #[test]
    fn r1_many_openings_without_an_end_stay_linear() {
        let raw = b"\x1b]".repeat(1 << 19);
        assert_eq!(Normalizer::default().normalize(&raw, true).text, "");
    }

    #[test]
    fn plain_sequences_are_those_of_colours() {
        let table: [(&[u8], Option<usize>); 10] = [
            (b"\x1b[0m", Some(4)),
            (b"\x1b[mtext and more", Some(3)),
            (b"\x1b[38;5;123;48mtext", Some(14)),
            (b"\x1b[01234567890123456789m", Some(23)),
            (b"#033[1;31mtext", Some(10)),
            (b"#033[1;31", None),
            (b"\x1b[?25h", Some(6)),
            (b"\x1b[ q", None),
            (b"\x1b[1\x7f", None),
            (b"\x1b]0;x\x07", None),
        ];
        for (text, end) in table {
            assert_eq!(plain_sequence(text, 0), end, "{text:?}");
        }
    }
}
