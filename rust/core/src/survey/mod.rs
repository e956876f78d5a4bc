//! One pass over a block: everything that the steps behind it would otherwise look for again.
//!
//! [`Survey`] holds what the pass found: the line feeds and the record ends as bitmaps, the counts of
//! [`Census`], the places where an escape sequence begins, and the places that may begin a literal of
//! the prefilter (two or three bytes that fit its [`Classes`]). A `Cache` owns it, the matcher fills
//! it and walks the records by it, the extractor counts lines by it.
//!
//! The pass is written three times: `avx512` and `avx2`, chosen at run time where the processor has them, and
//! `scalar`, which is also what tests compare the others with.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

use std::{ops::Range, sync::OnceLock};

use crate::record::{Census, Framing};

/// Bytes that one word of the bitmaps stands for.
const WORD: usize = 64;

/// Sets of bytes at up to three neighbouring positions, as tables of their nibbles.
///
/// Each bit is a set of its own: bytes `b0 b1 b2` fit when one bit is set in `low[i][bi & 15]` and
/// `high[i][bi >> 4]` for every position. A bit accepts all pairs of its nibbles, so it may accept more
/// bytes than it was made for, never fewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Classes {
    pub low: [[u8; 16]; 3],
    pub high: [[u8; 16]; 3],
    /// Positions that are looked at: 0 for none, 2 or 3.
    pub width: usize,
    /// Bytes behind which a literal may go on, if what stands there is taken out.
    pub lefts: [bool; 256],
}

impl Default for Classes {
    fn default() -> Self {
        Self { low: [[0; 16]; 3], high: [[0; 16]; 3], width: 0, lefts: [false; 256] }
    }
}

impl Classes {
    /// The sets that `byte` is in at `position`.
    pub fn of(&self, position: usize, byte: u8) -> u8 {
        self.low[position][usize::from(byte & 15)] & self.high[position][usize::from(byte >> 4)]
    }
}

/// What a pass over one block found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub census: Census,
    /// Where bytes fit the classes, ascending.
    pub places: Vec<usize>,
    /// Where an ESC stands, raw or as `#033`, ascending; left out are those that join nothing ([`may_join`]).
    /// Terminal text only.
    pub escs: Vec<usize>,
    /// Number of marks of the block.
    words: usize,
    /// One for each 64 bytes of the block; behind them stand some of earlier blocks.
    marks: Vec<Mark>,
    /// Where among the marks there are bytes to note, and places; scratch memory of the pass.
    noted: Vec<Bits>,
    fitting: Vec<Bits>,
}

/// Some of 64 bytes: the number of their mark, and a bit for each.
#[derive(Debug, Clone, Copy, Default)]
struct Bits {
    word: usize,
    bits: u64,
}

/// What a vectorised step finds in 64 bytes.
#[cfg(target_arch = "x86_64")]
struct Step {
    lf: u64,
    /// Bytes to note, LF not among them.
    others: u64,
    fits: u64,
}

/// A bit for each of 64 bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// LF.
    lf: u64,
    /// First bytes of terminator characters, raw or escaped.
    ends: u64,
}

impl Survey {
    /// Looks at a block, which begins and ends at a record end or with the source.
    pub fn take(&mut self, block: &[u8], framing: Framing, classes: &Classes) {
        let pass = *PASS.get_or_init(|| passes().last().expect("one is always there").1);
        self.take_by(pass, block, framing, classes);
    }

    fn take_by(&mut self, pass: Pass, block: &[u8], framing: Framing, classes: &Classes) {
        self.clear(block.len());
        pass(self, block, framing, classes);
    }

    fn clear(&mut self, len: usize) {
        self.census = Census::default();
        self.places.clear();
        self.escs.clear();
        self.words = len.div_ceil(WORD);
        if self.marks.len() < self.words {
            self.marks.resize(self.words, Mark::default());
            self.noted.resize(self.words, Bits::default());
            self.fitting.resize(self.words, Bits::default());
        }
    }

    /// The last terminator character that begins in `floor..at`.
    pub fn end_before(&self, floor: usize, at: usize) -> Option<usize> {
        if floor >= at {
            return None;
        }
        let (mut word, first) = ((at - 1) / WORD, floor / WORD);
        let mut bits = self.marks[word].ends & (u64::MAX >> (WORD - 1 - (at - 1) % WORD));
        loop {
            if bits != 0 {
                let found = word * WORD + (WORD - 1 - bits.leading_zeros() as usize);
                return (found >= floor).then_some(found);
            }
            if word == first {
                return None;
            }
            word -= 1;
            bits = self.marks[word].ends;
        }
    }

    /// The first terminator character that begins at `at` or later.
    pub fn end_from(&self, at: usize) -> Option<usize> {
        let mut word = at / WORD;
        let marks = &self.marks[..self.words];
        let mut bits = marks.get(word)?.ends & (u64::MAX << (at % WORD));
        while bits == 0 {
            word += 1;
            bits = marks.get(word)?.ends;
        }
        Some(word * WORD + bits.trailing_zeros() as usize)
    }

    /// Whether a terminator character begins at `at`.
    pub fn is_end(&self, at: usize) -> bool {
        self.marks[..self.words].get(at / WORD).is_some_and(|mark| mark.ends >> (at % WORD) & 1 == 1)
    }

    /// Number of line feeds in a range.
    pub fn count_lf(&self, range: Range<usize>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let (first, last) = (range.start / WORD, (range.end - 1) / WORD);
        let head = u64::MAX << (range.start % WORD);
        let tail = u64::MAX >> (WORD - 1 - (range.end - 1) % WORD);
        if first == last {
            return u64::from((self.marks[first].lf & head & tail).count_ones());
        }
        let between = count_between(&self.marks[first + 1..last]);
        u64::from((self.marks[first].lf & head).count_ones() + between + (self.marks[last].lf & tail).count_ones())
    }

    /// The record around the byte at `at`, given a record's start `from` before it, and where the next
    /// one begins. None when `at` lies inside a terminator.
    pub fn record_around(
        &self,
        block: &[u8],
        framing: Framing,
        from: usize,
        at: usize,
    ) -> Option<(Range<usize>, usize)> {
        let start = match self.end_before(from, at) {
            Some(end) => end + framing.token_len(block, end),
            None => from,
        };
        (start <= at).then(|| self.record_at(block, framing, start, at))
    }

    /// The record that begins at `start`, if no terminator stands before `at`.
    pub fn record_at(&self, block: &[u8], framing: Framing, start: usize, at: usize) -> (Range<usize>, usize) {
        match self.end_from(at) {
            Some(end) => (start..end, framing.terminator_end(block, end)),
            None => (start..block.len(), block.len()),
        }
    }

    /// Runs a vectorised step over a block and gives the number of marks with bytes to note, and with places.
    ///
    /// The loop only writes down where there is something to note. What it does then would push the tables out
    /// of the registers, and whether there is something cannot be predicted.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn sweep(&mut self, block: &[u8], mut step: impl FnMut(&Window) -> Step) -> (usize, usize) {
        let (mut noted, mut fitting, mut line_feeds) = (0, 0, 0);
        let marks = &mut self.marks[..self.words];
        let mut padded = [0; WINDOW];
        for (word, mark) in marks.iter_mut().enumerate() {
            let base = word * WORD;
            let (window, valid): (&Window, u64) = match block.get(base..base + WINDOW).and_then(<[u8]>::first_chunk) {
                Some(window) => (window, u64::MAX),
                None => pad(&block[base..], &mut padded),
            };
            let found = step(window);
            *mark = Mark { lf: found.lf, ends: found.lf };
            line_feeds += u64::from(found.lf.count_ones());
            self.noted[noted] = Bits { word, bits: found.others };
            noted += usize::from(found.others != 0);
            let fits = found.fits & valid;
            self.fitting[fitting] = Bits { word, bits: fits };
            fitting += usize::from(fits != 0);
        }
        self.census.lf = line_feeds;
        (noted, fitting)
    }

    /// Looks at what a sweep has written down.
    #[cfg(target_arch = "x86_64")]
    fn note(&mut self, block: &[u8], framing: Framing, lefts: &[bool; 256], (noted, fitting): (usize, usize)) {
        for index in 0..noted {
            let Bits { word, bits } = self.noted[index];
            if bits != 0 {
                self.marks[word].ends |= self.note_others(block, framing, lefts, word * WORD, bits);
            }
        }
        for index in 0..fitting {
            let Bits { word, bits } = self.fitting[index];
            self.note_places(word * WORD, bits);
        }
    }

    /// Takes note of the places among the 64 bytes at `base` that fit the classes.
    fn note_places(&mut self, base: usize, mut fits: u64) {
        // Four are written whether there are so many or not: how many there are cannot be predicted.
        let len = self.places.len();
        let count = fits.count_ones() as usize;
        let mut next = || {
            let place = base + fits.trailing_zeros() as usize;
            fits &= fits.wrapping_sub(1);
            place
        };
        self.places.extend_from_slice(&[next(), next(), next(), next()]);
        if count <= 4 {
            self.places.truncate(len + count);
        } else {
            self.places.extend((4..count).map(|_| next()));
        }
    }

    fn note_others(
        &mut self,
        block: &[u8],
        framing: Framing,
        lefts: &[bool; 256],
        base: usize,
        mut others: u64,
    ) -> u64 {
        let mut ends = 0;
        let census = &mut self.census;
        while others != 0 {
            let bit = others.trailing_zeros();
            others &= others - 1;
            let at = base + bit as usize;
            match block[at] {
                b'\r' => {
                    ends |= 1 << bit;
                    census.raw_cr_or_bs |= framing.terminal;
                    census.bare_cr += u64::from(block.get(at + 1) != Some(&b'\n'));
                }
                b'\x08' => {
                    ends |= 1 << bit;
                    census.raw_cr_or_bs = true;
                    census.bs_runs += u64::from(framing.begins_run(block, at));
                }
                b'\x1b' => {
                    census.raw_esc = true;
                    push_if(&mut self.escs, at, may_join(block, lefts, at, at + 1));
                }
                _ => match block.get(at + 1..at + 4) {
                    Some(b"011") => census.escapes[0] += 1,
                    Some(b"015") => {
                        ends |= 1 << bit;
                        census.escapes[1] += 1;
                        census.bare_cr += u64::from(block.get(at + 4) != Some(&b'\n'));
                    }
                    Some(b"010") => {
                        ends |= 1 << bit;
                        census.escapes[2] += 1;
                        census.bs_runs += u64::from(framing.begins_run(block, at));
                    }
                    Some(b"033") => {
                        census.escapes[3] += 1;
                        push_if(&mut self.escs, at, may_join(block, lefts, at, at + 4));
                    }
                    _ => {}
                },
            }
        }
        ends
    }
}

/// Appends without a branch, for conditions that cannot be predicted.
#[inline]
fn push_if(places: &mut Vec<usize>, place: usize, condition: bool) {
    places.push(place);
    places.truncate(places.len() - usize::from(!condition));
}

/// Whether taking out the escape sequence at `esc`, which goes on at `next`, may join the parts of a literal.
///
/// A sequence of another kind than `ESC [` may take out more than itself. The reset of colours at a line's end is
/// told apart because nearly every coloured line has one, and a sequence behind a colour because the two are taken
/// out together: what they join is told of at the first.
#[inline]
fn may_join(block: &[u8], lefts: &[bool; 256], esc: usize, next: usize) -> bool {
    let follows = esc > 0 && lefts[usize::from(block[esc - 1])];
    let ends_line = block.get(next..next + 4) == Some(b"[0m\n");
    (follows && !ends_line && !ends_with_colour(&block[..esc])) || (block.get(next) != Some(&b'['))
}

/// Whether a text ends with a sequence of one colour: `ESC [ d m` or `ESC [ d d m`, with `d` for a digit.
fn ends_with_colour(text: &[u8]) -> bool {
    let digits = match text {
        [.., b'[', b'0'..=b'9', b'm'] => 1,
        [.., b'[', b'0'..=b'9', b'0'..=b'9', b'm'] => 2,
        _ => return false,
    };
    let before = &text[..text.len() - digits - 2];
    before.ends_with(b"\x1b") || before.ends_with(b"#033")
}

/// The ESC among 64 bytes that stand behind a colour: the number of a bit is the place in the 64 bytes. `csi` are
/// those that `[` follows. A colour that began in front of the 64 bytes is not seen.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn behind_colours(csi: u64, digits: u64, ms: u64) -> u64 {
    let one_digit = csi & digits >> 2;
    (one_digit & ms >> 3) << 4 | (one_digit & digits >> 3 & ms >> 4) << 5
}

fn count_between(marks: &[Mark]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("popcnt") {
        #[target_feature(enable = "popcnt")]
        fn count(marks: &[Mark]) -> u32 {
            marks.iter().map(|mark| mark.lf.count_ones()).sum()
        }
        // SAFETY: the processor has the instruction.
        return unsafe { count(marks) };
    }
    marks.iter().map(|mark| mark.lf.count_ones()).sum()
}

/// One way to look at a block.
type Pass = fn(&mut Survey, &[u8], Framing, &Classes);
static PASS: OnceLock<Pass> = OnceLock::new();

/// The ways that this processor knows, the fastest last.
fn passes() -> Vec<(&'static str, Pass)> {
    let mut passes: Vec<(&'static str, Pass)> = vec![("scalar", scalar::take)];
    #[cfg(target_arch = "x86_64")]
    {
        if avx2::is_available() {
            passes.push(("avx2", avx2::take));
        }
        if avx512::is_available() {
            passes.push(("avx512", avx512::take));
        }
    }
    passes
}

/// Bytes that a vectorised step looks at: its own and two behind them.
#[cfg(target_arch = "x86_64")]
const WINDOW: usize = WORD + 2;
#[cfg(target_arch = "x86_64")]
type Window = [u8; WINDOW];

/// 64 bytes with one in front of them and four behind.
#[cfg(target_arch = "x86_64")]
type Around = [u8; 1 + WORD + 4];

/// The bytes of a mark and around them; None at the block's edges.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn around(block: &[u8], word: usize) -> Option<&Around> {
    let before = (word * WORD).checked_sub(1)?;
    block.get(before..before + size_of::<Around>())?.first_chunk()
}

/// The set of ASCII bytes behind which a literal may go on, as tables of nibbles; and whether others are in it.
#[cfg(target_arch = "x86_64")]
fn left_tables(lefts: &[bool; 256]) -> ([u8; 16], [u8; 16], bool) {
    let (mut low, mut high) = ([0; 16], [0; 16]);
    for byte in 0..128 {
        low[byte & 15] |= u8::from(lefts[byte]) << (byte >> 4);
        high[byte >> 4] = 1 << (byte >> 4);
    }
    (low, high, lefts[128..].contains(&true))
}

/// Copies what is left of a block, fewer bytes than a window; and a bit for each of its first 64.
#[cfg(target_arch = "x86_64")]
fn pad<'a>(rest: &[u8], padded: &'a mut Window) -> (&'a Window, u64) {
    padded[..rest.len()].copy_from_slice(rest);
    padded[rest.len()..].fill(0);
    (padded, if rest.len() >= WORD { u64::MAX } else { (1 << rest.len()) - 1 })
}

/// The noted bytes and LF by their low nibble, to be compared with the bytes that chose them.
#[cfg(target_arch = "x86_64")]
fn noted_table(framing: Framing) -> [u8; 16] {
    // 0x80 equals no byte that a shuffle by it can give.
    let mut table = [0x80; 16];
    for byte in noted(framing).iter().chain(b"\n") {
        table[usize::from(byte & 15)] = *byte;
    }
    table
}

/// Bytes beside LF that the pass stops at. No two of them, nor LF, have the same low nibble.
fn noted(framing: Framing) -> &'static [u8] {
    if framing.terminal { b"\r\x08\x1b#" } else { b"\r" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => "[a-c': #015]{0,9}".prop_map(String::into_bytes),
            2 => proptest::sample::select(vec![
                &b"\n"[..], b"\r", b"\r\n", b"\x08", b"\x08\x08", b"#015", b"#010", b"#010#010", b"#011", b"#033[1m",
                b"\x1b[0m", b"a\x1b[0m\n", b"a\x1b[0m", b"a\x1b[", b"a\x1b]", b"\x1b[31m", b"[3m", b"#", b"#0", b"#01", b"\xe2\x96\x88", b"\xff", b"\0",
            ]).prop_map(<[u8]>::to_vec),
            1 => (0..200_usize).prop_map(|len| vec![b'x'; len]),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    fn classes(width: usize) -> Classes {
        let mut classes = Classes { width, ..Classes::default() };
        classes.lefts[usize::from(b'a')] = true;
        classes.lefts[usize::from(b'm')] = true;
        for (bit, text) in [b"a: ", b"':\xe2", b"#01"].iter().enumerate() {
            for (position, byte) in text.iter().enumerate() {
                classes.low[position][usize::from(byte & 15)] |= 1 << bit;
                classes.high[position][usize::from(byte >> 4)] |= 1 << bit;
            }
        }
        classes
    }

    fn told(survey: &Survey) -> String {
        let Survey { census, places, escs, words, marks, .. } = survey;
        format!("{census:?} {places:?} {escs:?} {:?}", &marks[..*words])
    }

    proptest! {
        #[test]
        fn every_pass_finds_the_same_and_the_census_is_that_of_the_slow_one(
            text in texts(), terminal: bool, width in proptest::sample::select(vec![0_usize, 2, 3])
        ) {
            let framing = Framing { terminal };
            let mut slow = Survey::default();
            slow.take_by(scalar::take, &text, framing, &classes(width));
            prop_assert_eq!(&Census::of(&text, framing), &slow.census);
            for (name, pass) in passes() {
                let mut fast = Survey::default();
                // What an earlier block left must not show.
                fast.take_by(pass, &[b'\n'; 300], framing, &classes(width));
                fast.take_by(pass, &text, framing, &classes(width));
                prop_assert_eq!(told(&fast), told(&slow), "{}", name);
            }
        }

        #[test]
        fn records_found_by_bitmaps_are_those_of_the_framing(text in texts(), terminal: bool) {
            let framing = Framing { terminal };
            let mut survey = Survey::default();
            survey.take(&text, framing, &Classes::default());
            let mut from = 0;
            while from < text.len() {
                let end = framing.next_end(&text, from);
                let (end, next) = end.map_or((text.len(), text.len()), |end| (end.start, end.next));
                prop_assert_eq!(survey.record_at(&text, framing, from, from), (from..end, next));
                for at in from..next {
                    let expected = (at < end).then_some((from..end, next));
                    let found = survey.record_around(&text, framing, 0, at);
                    // At a terminator's own first byte lies no record that a literal could stand in.
                    prop_assert!(at >= end || found == expected, "{} {:?} {:?}", at, found, expected);
                }
                let lf = text[from..next].iter().filter(|byte| **byte == b'\n').count() as u64;
                prop_assert_eq!(survey.count_lf(from..next), lf);
                from = next;
            }
        }
    }
}
