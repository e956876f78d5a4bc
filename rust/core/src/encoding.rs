//! Text encodings of a source: byte order marks and UTF-16.
//!
//! The principal type is [`Utf16Decoder`], a push transcoder without any I/O. The reader of a source asks
//! [`sniff`] about the first bytes, skips the mark ([`Encoding::bom_len`]) and, for UTF-16 only, pushes the
//! rest through the decoder; the record splitter consumes the UTF-8 that comes out. Offsets that users see
//! count source bytes: [`utf16_len`] translates a stretch of the UTF-8 back.
//!
//! UTF-8 is never decoded here. Its invalid parts stay raw until a record is looked at.

/// How the bytes of a source spell text, as told by the byte order mark at their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// No mark. The bytes are taken as they are.
    Utf8,
    /// `EF BB BF`, then UTF-8.
    Utf8Bom,
    /// `FF FE`, then UTF-16, low byte first.
    Utf16Le,
    /// `FE FF`, then UTF-16, high byte first.
    Utf16Be,
}

impl Encoding {
    /// Length of the byte order mark in bytes, which is where the first record starts.
    #[inline]
    pub fn bom_len(self) -> u64 {
        match self {
            Encoding::Utf8 => 0,
            Encoding::Utf8Bom => 3,
            Encoding::Utf16Le | Encoding::Utf16Be => 2,
        }
    }

    /// The name that reports show.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Utf8Bom => "utf-8 with byte order mark",
            Encoding::Utf16Le => "utf-16-le",
            Encoding::Utf16Be => "utf-16-be",
        }
    }
}

/// Recognises the byte order mark. `None` while fewer bytes than needed are known and more may come.
///
/// `prefix` is what is known of the start of the (decompressed) source; `at_end` says that it is all there
/// is. At most three bytes are needed, and one is enough unless it could begin a mark.
///
/// `FF FE 00 00` is read as UTF-16 that begins with a NUL, not as UTF-32, which no log writer produces.
pub fn sniff(prefix: &[u8], at_end: bool) -> Option<Encoding> {
    const MARKS: [(&[u8], Encoding); 3] =
        [(b"\xEF\xBB\xBF", Encoding::Utf8Bom), (b"\xFF\xFE", Encoding::Utf16Le), (b"\xFE\xFF", Encoding::Utf16Be)];
    for (mark, encoding) in MARKS {
        if prefix.starts_with(mark) {
            return Some(encoding);
        }
        if !at_end && mark.starts_with(prefix) {
            return None;
        }
    }
    Some(Encoding::Utf8)
}

/// Turns UTF-16 into UTF-8, chunk by chunk.
///
/// The result does not depend on how the input is cut. What no valid text could contain becomes U+FFFD
/// exactly as in CPython's `bytes.decode("utf-16-le", "replace")`: one for each unpaired surrogate, one for
/// what is left over at the end (a single byte, a high surrogate, or a high surrogate and a single byte).
///
/// A mark is not expected: the caller has skipped it. A later U+FEFF is text.
#[derive(Clone, Debug)]
pub struct Utf16Decoder {
    big_endian: bool,
    /// First byte of a code unit whose second one has not arrived.
    byte: Option<u8>,
    /// A high surrogate whose successor is not known.
    high: Option<u16>,
}

impl Utf16Decoder {
    /// A decoder at the start of the text, behind the byte order mark.
    pub fn new(big_endian: bool) -> Self {
        Utf16Decoder { big_endian, byte: None, high: None }
    }

    /// Appends the UTF-8 of `input` to `out`. A split code unit or surrogate pair is held back.
    ///
    /// `out` grows by at most one and a half times the input and six bytes.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut input = input;
        if let Some(first) = self.byte.take() {
            let Some((&second, rest)) = input.split_first() else {
                self.byte = Some(first);
                return;
            };
            let unit = self.unit([first, second]);
            self.push_unit(unit, out);
            input = rest;
        }
        out.reserve(input.len() / 2);
        let (units, rest) = input.as_chunks::<2>();
        let mut units = units;
        while !units.is_empty() {
            // Logs are ASCII nearly everywhere, and a pending surrogate is never ASCII.
            if self.high.is_none() {
                let ascii = units.iter().take_while(|&&u| self.unit(u) < 0x80).count();
                let low = usize::from(self.big_endian);
                out.extend(units[..ascii].iter().map(|u| u[low]));
                units = &units[ascii..];
            }
            let Some((&unit, tail)) = units.split_first() else {
                break;
            };
            self.push_unit(self.unit(unit), out);
            units = tail;
        }
        self.byte = rest.first().copied();
    }

    /// Ends the text: what was held back becomes one U+FFFD. The decoder is then as new.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        // One error, not two, for a high surrogate and a single byte: CPython reports the rest of the input
        // as one "unexpected end of data".
        let high = self.high.take().is_some();
        let byte = self.byte.take().is_some();
        if high || byte {
            push_char(char::REPLACEMENT_CHARACTER, out);
        }
    }

    #[inline]
    fn unit(&self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn push_unit(&mut self, unit: u16, out: &mut Vec<u8>) {
        let high = self.high.take();
        if let Some(high) = high {
            if let 0xDC00..=0xDFFF = unit {
                let code = 0x1_0000 + ((u32::from(high) - 0xD800) << 10) + (u32::from(unit) - 0xDC00);
                push_char(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), out);
                return;
            }
            push_char(char::REPLACEMENT_CHARACTER, out);
        }
        match unit {
            0xD800..=0xDBFF => self.high = Some(unit),
            // A lone low surrogate is no char and falls to the replacement.
            _ => push_char(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER), out),
        }
    }
}

#[inline]
fn push_char(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Number of source bytes that the UTF-16 text behind this UTF-8 took (2 a char, 4 for 4-byte chars).
///
/// `utf8` is whole characters out of [`Utf16Decoder`]. The sum is exact for all of them but a U+FFFD that
/// [`Utf16Decoder::finish`] wrote for an odd byte (1 or 3 source bytes, counted 2): the last character of
/// the source, so that no later offset depends on it.
pub fn utf16_len(utf8: &[u8]) -> u64 {
    // Two for every byte that is no continuation byte, and two more for a leading byte F0..F4. Plain adds
    // over bytes, which the compiler turns into vector code.
    utf8.iter().map(|&b| 2 * (u64::from(b & 0xC0 != 0x80) + u64::from(b >= 0xF0))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: &str = "\u{FFFD}";

    /// Code units and extra bytes at the end, what CPython 3.11 makes of them, and why.
    ///
    /// Worked out with `b"".join(u.to_bytes(2, "little") for u in units) + tail` and
    /// `.decode("utf-16-le", "replace")`; `utf-16-be` gives the same for swapped bytes.
    fn table() -> Vec<(&'static [u16], &'static [u8], String, &'static str)> {
        vec![
            (&[], b"", "".into(), "nothing"),
            (&[0x61], b"", "a".into(), "ASCII"),
            (&[0x00], b"", "\0".into(), "NUL is text"),
            (&[0xE9, 0x20AC], b"", "\u{E9}\u{20AC}".into(), "two and three bytes in UTF-8"),
            (&[0x0D, 0x0A, 0x0A0D], b"", "\r\n\u{A0D}".into(), "bytes 0D 0A inside a unit end no line"),
            (&[0xD83D, 0xDE00], b"", "\u{1F600}".into(), "a pair"),
            (&[0xDBFF, 0xDFFF], b"", "\u{10FFFF}".into(), "the last pair"),
            (&[0xD800, 0xDC00], b"", "\u{10000}".into(), "the first pair"),
            (&[0x61, 0xFEFF], b"", "a\u{FEFF}".into(), "a later mark is text"),
            (&[0xFFFF, 0xFFFE], b"", "\u{FFFF}\u{FFFE}".into(), "noncharacters are characters"),
            (&[0x61, 0xD800], b"", format!("a{R}"), "high surrogate at the end"),
            (&[0x61, 0xDC00], b"", format!("a{R}"), "lone low surrogate"),
            (&[0xD800, 0x61], b"", format!("{R}a"), "the unit after a lone high surrogate is kept"),
            (&[0xDC00, 0x61], b"", format!("{R}a"), "the unit after a lone low surrogate is kept"),
            (&[0xDC00, 0xDC00], b"", format!("{R}{R}"), "one for each low surrogate"),
            (&[0xD800, 0xD800], b"", format!("{R}{R}"), "one for each high surrogate"),
            (&[0xD83D, 0xD83D, 0xDE00], b"", format!("{R}\u{1F600}"), "the second high one still pairs"),
            (&[0xDE00, 0xD83D, 0xDE00], b"", format!("{R}\u{1F600}"), "a pair after a lone low one"),
            (&[], b"a", R.into(), "a single byte"),
            (&[0x61], b"b", format!("a{R}"), "odd byte at the end"),
            (&[0xD83D], b"\x00", R.into(), "high surrogate and odd byte: one error"),
            (&[0xD83D], b"\xDE", R.into(), "also if the byte looks like half a low one"),
            (&[0xDE00], b"\x00", format!("{R}{R}"), "low surrogate and odd byte: two errors"),
            (&[0xD83D, 0xD83D], b"a", format!("{R}{R}"), "the first high one is an error of its own"),
            (&[0xD83D, 0xDE00], b"a", format!("\u{1F600}{R}"), "odd byte after a pair"),
            (&[0xD83D, 0x61], b"a", format!("{R}a{R}"), "an error on either side"),
        ]
    }

    fn encode(units: &[u16], tail: &[u8], big_endian: bool) -> Vec<u8> {
        let to_bytes = if big_endian { u16::to_be_bytes } else { u16::to_le_bytes };
        let mut bytes: Vec<u8> = units.iter().flat_map(|&u| to_bytes(u)).collect();
        bytes.extend_from_slice(tail);
        bytes
    }

    fn decode(parts: &[&[u8]], big_endian: bool) -> String {
        let mut decoder = Utf16Decoder::new(big_endian);
        let mut out = Vec::new();
        for part in parts {
            decoder.push(part, &mut out);
        }
        decoder.finish(&mut out);
        String::from_utf8(out).expect("the decoder writes UTF-8")
    }

    #[test]
    fn b3_utf16_errors_read_as_in_python_at_every_split() {
        for (units, tail, expected, why) in table() {
            for big_endian in [false, true] {
                let bytes = encode(units, tail, big_endian);
                assert_eq!(decode(&[&bytes], big_endian), expected, "{why}");
                for i in 0..=bytes.len() {
                    for j in i..=bytes.len() {
                        let parts = [&bytes[..i], &bytes[i..j], &bytes[j..]];
                        assert_eq!(decode(&parts, big_endian), expected, "{why}, cut at {i} and {j}");
                    }
                }
                let single: Vec<&[u8]> = bytes.chunks(1).collect();
                assert_eq!(decode(&single, big_endian), expected, "{why}, byte by byte");
            }
        }
    }

    #[test]
    fn b3_utf16_agrees_with_the_standard_library_on_all_units_and_their_neighbours() {
        for unit in 0..=u16::MAX {
            for units in [[unit, 0x61, unit], [0xD83D, unit, 0xDE00], [unit, unit, 0x0A]] {
                let expected = String::from_utf16_lossy(&units);
                assert_eq!(decode(&[&encode(&units, b"", false)], false), expected, "{units:04X?}");
                assert_eq!(decode(&[&encode(&units, b"", true)], true), expected, "{units:04X?}");
            }
        }
    }

    #[test]
    fn b3_a_decoder_can_be_used_again_after_finish() {
        let mut decoder = Utf16Decoder::new(false);
        let mut out = Vec::new();
        decoder.push(b"\x3D\xD8a", &mut out);
        decoder.finish(&mut out);
        decoder.push(b"b\0", &mut out);
        decoder.finish(&mut out);
        decoder.finish(&mut out);
        assert_eq!(out, "\u{FFFD}b".as_bytes());
    }

    #[test]
    fn b3_utf16_len_counts_source_bytes() {
        for (units, tail, expected, why) in table() {
            if tail.is_empty() {
                assert_eq!(utf16_len(expected.as_bytes()), 2 * units.len() as u64, "{why}");
            }
        }
        assert_eq!(utf16_len("a\u{E9}\u{20AC}\u{1F600}\n".as_bytes()), 12);
    }

    #[test]
    fn b3_marks_are_recognised_as_soon_as_they_can_be() {
        use Encoding::*;
        let table: [(&[u8], bool, Option<Encoding>); 16] = [
            (b"", false, None),
            (b"", true, Some(Utf8)),
            (b"a", false, Some(Utf8)),
            (b"\xEF", false, None),
            (b"\xEF", true, Some(Utf8)),
            (b"\xEF\xBB", false, None),
            (b"\xEF\xBB", true, Some(Utf8)),
            (b"\xEF\xBBa", false, Some(Utf8)),
            (b"\xEF\xBB\xBF", false, Some(Utf8Bom)),
            (b"\xFF", false, None),
            (b"\xFF", true, Some(Utf8)),
            (b"\xFF\xFE", false, Some(Utf16Le)),
            (b"\xFE\xFFab", false, Some(Utf16Be)),
            (b"\xFE", false, None),
            (b"\xFF\xFF", false, Some(Utf8)),
            (b"a\xFF\xFE", true, Some(Utf8)),
        ];
        for (prefix, at_end, expected) in table {
            assert_eq!(sniff(prefix, at_end), expected, "{prefix:02X?}, at_end={at_end}");
        }
    }

    #[test]
    fn b3_bom_len_and_name() {
        for (encoding, bytes, name) in [
            (Encoding::Utf8, 0, "utf-8"),
            (Encoding::Utf8Bom, 3, "utf-8 with byte order mark"),
            (Encoding::Utf16Le, 2, "utf-16-le"),
            (Encoding::Utf16Be, 2, "utf-16-be"),
        ] {
            assert_eq!((encoding.bom_len(), encoding.name()), (bytes, name));
        }
    }
}
