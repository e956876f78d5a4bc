//! Where records begin and end.
//!
//! [`RecordBuffer`] takes bytes in chunks of any size and hands out blocks that end at a record's
//! end, so that everything behind it may look at a block as a whole and never one record at a time.
//! [`Framing`] knows the record ends: LF, CR LF and CR, and for terminal text also a run of
//! backspaces and the syslog escapes `#015` and `#010`. The decoder feeds the buffer; the matcher
//! asks [`Framing`] for the record around a candidate.

use std::ops::Range;

use crate::encoding::utf16_len;
use memchr::{memchr, memchr2, memchr3, memmem, memrchr};

const ESCAPED_CR: &[u8] = b"#015";
const ESCAPED_BS: &[u8] = b"#010";
/// A run of backspaces longer than this is dropped as it comes instead of being kept whole.
const LONG_RUN: usize = 64 << 10;
/// Bytes in which the end of a block is looked for at first.
const CUT_WINDOW: usize = 4096;
/// Reads go to a page-aligned address: 1 to 15 bytes past a page start they ran at a quarter of the
/// speed (string-copy aliasing). What is carried over stands in front of that address.
const PAGE: usize = 4096;

/// Which bytes end a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    /// Terminal text: backspaces and syslog escapes count too.
    pub terminal: bool,
}

/// A record's terminator: where it starts and where the next record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub start: usize,
    pub next: usize,
}

/// What a look for a record end found when the bytes behind are not known yet.
enum Search {
    Complete(End),
    /// A terminator begins here, and more bytes may belong to it.
    Open(usize),
    Nothing,
}

impl Framing {
    /// The first terminator at or after `from`. The text ends at a record end or with the source.
    pub fn next_end(self, text: &[u8], from: usize) -> Option<End> {
        let start = self.next_terminator(text, from)?;
        Some(End { start, next: self.terminator_end(text, start) })
    }

    fn next_terminator(self, text: &[u8], from: usize) -> Option<usize> {
        if !self.terminal {
            return memchr2(b'\n', b'\r', &text[from..]).map(|at| from + at);
        }
        nearest(text, from, |text| memchr3(b'\n', b'\r', b'\x08', text), escaped_terminator)
    }

    /// Where the record behind the terminator at `start` begins.
    pub fn terminator_end(self, text: &[u8], start: usize) -> usize {
        match self.token(text, start) {
            Some((b'\r', len)) => start + len + usize::from(text.get(start + len) == Some(&b'\n')),
            Some((b'\x08', len)) => {
                let mut end = start + len;
                while let Some((b'\x08', len)) = self.token(text, end) {
                    end += len;
                }
                end
            }
            _ => start + 1,
        }
    }

    /// The terminator character at `at`, raw or escaped, and its length in bytes.
    fn token(self, text: &[u8], at: usize) -> Option<(u8, usize)> {
        match *text.get(at)? {
            byte @ (b'\n' | b'\r') => Some((byte, 1)),
            b'\x08' if self.terminal => Some((b'\x08', 1)),
            b'#' if self.terminal && text[at..].starts_with(ESCAPED_CR) => Some((b'\r', 4)),
            b'#' if self.terminal && text[at..].starts_with(ESCAPED_BS) => Some((b'\x08', 4)),
            _ => None,
        }
    }

    /// Bytes of the terminator character at `at`: four where it is escaped.
    pub fn token_len(self, text: &[u8], at: usize) -> usize {
        self.token(text, at).map_or(1, |(_, len)| len)
    }

    /// Whether the backspace at `at` is the first of its run.
    pub fn begins_run(self, text: &[u8], at: usize) -> bool {
        !text[..at].ends_with(b"\x08") && !text[..at].ends_with(ESCAPED_BS)
    }

    /// Number of records in a whole block.
    pub fn count(self, block: &[u8], census: &Census) -> u64 {
        let tail = !block.is_empty() && !self.ends_with_terminator(block);
        census.lf + census.bare_cr + census.bs_runs + u64::from(tail)
    }

    fn ends_with_terminator(self, block: &[u8]) -> bool {
        match block.last() {
            Some(b'\n' | b'\r') => true,
            Some(b'\x08') => self.terminal,
            Some(b'0' | b'5') => self.terminal && (block.ends_with(ESCAPED_CR) || block.ends_with(ESCAPED_BS)),
            _ => false,
        }
    }

    fn search(self, text: &[u8], from: usize, at_end: bool) -> Search {
        let Some(start) = self.next_terminator(text, from) else { return Search::Nothing };
        let next = self.terminator_end(text, start);
        let rest = &text[next..];
        let open = match self.token(text, start) {
            Some((b'\r', _)) => rest.is_empty() && text[next - 1] != b'\n',
            Some((b'\x08', _)) => rest.len() < ESCAPED_BS.len() && ESCAPED_BS.starts_with(rest),
            _ => false,
        };
        if open && !at_end { Search::Open(start) } else { Search::Complete(End { start, next }) }
    }
}

/// The first place at or after `from` that either search finds: a raw byte, or a syslog escape of four.
///
/// Both look at windows that grow from 256 bytes, so that a kind which is rare does not make every call
/// read on to the end of the text.
pub(crate) fn nearest(
    text: &[u8],
    from: usize,
    raw: impl Fn(&[u8]) -> Option<usize>,
    escaped: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    let (mut at, mut window) = (from, 256);
    while at < text.len() {
        let end = text.len().min(at + window);
        let found = raw(&text[at..end]);
        // An escape holds no raw control character, so it ends before the one found; else it may reach over the edge.
        let limit = found.map_or(text.len().min(end + 3), |found| at + found);
        if let Some(found) = escaped(&text[at..limit]).or(found) {
            return Some(at + found);
        }
        at = end;
        window *= 2;
    }
    None
}

fn escaped_terminator(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memmem::find(&text[from..], b"#01")?;
        match text.get(at + 3) {
            Some(b'0' | b'5') => return Some(at),
            _ => from = at + 3,
        }
    }
}

/// What a block holds beside text, counted once for the report and to take short cuts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub lf: u64,
    /// CR, raw or escaped, without an LF behind it.
    pub bare_cr: u64,
    pub bs_runs: u64,
    /// Syslog escapes that were read as TAB, CR, BS, ESC.
    pub escapes: [u64; 4],
    pub raw_esc: bool,
    pub raw_cr_or_bs: bool,
}

impl Census {
    /// Counts one block, which begins and ends at a record end (or with the source).
    pub fn of(block: &[u8], framing: Framing) -> Self {
        let mut census = Census { lf: memchr::memchr_iter(b'\n', block).count() as u64, ..Census::default() };
        let not_before_lf = |end: usize| u64::from(block.get(end) != Some(&b'\n'));
        if !framing.terminal {
            for at in memchr::memchr_iter(b'\r', block) {
                census.bare_cr += not_before_lf(at + 1);
            }
            return census;
        }
        for at in memchr::memchr2_iter(b'\r', b'\x08', block) {
            census.raw_cr_or_bs = true;
            if block[at] == b'\r' {
                census.bare_cr += not_before_lf(at + 1);
            } else {
                census.bs_runs += u64::from(framing.begins_run(block, at));
            }
        }
        for at in memmem::find_iter(block, b"#0") {
            match block.get(at + 2..at + 4) {
                Some(b"11") => census.escapes[0] += 1,
                Some(b"15") => {
                    census.escapes[1] += 1;
                    census.bare_cr += not_before_lf(at + 4);
                }
                Some(b"10") => {
                    census.escapes[2] += 1;
                    census.bs_runs += u64::from(framing.begins_run(block, at));
                }
                Some(b"33") => census.escapes[3] += 1,
                _ => {}
            }
        }
        census.raw_esc = memchr(b'\x1b', block).is_some();
        census
    }

    /// Whether the block holds anything that normalising changes, broken UTF-8 aside.
    pub fn holds_escapes(&self) -> bool {
        self.raw_esc || self.escapes != [0; 4]
    }
}

/// Bytes in, blocks of whole records out.
///
/// The caller writes into [`spare`](Self::spare), says how much with [`filled`](Self::filled), and
/// takes what [`next`](Self::next) gives until it is [`Piece::NeedMore`].
pub(crate) struct RecordBuffer {
    bytes: Vec<u8>,
    /// Index of the page-aligned byte that reads go to.
    origin: usize,
    start: usize,
    end: usize,
    /// No complete terminator lies in `start..scanned`.
    scanned: usize,
    framing: Framing,
    max_record: usize,
    block: usize,
    /// The bytes were UTF-16 in the source.
    wide: bool,
    /// The current record is too long; its bytes are dropped until its end.
    skipping: bool,
    /// The last terminator was a long run of backspaces that may go on.
    in_run: bool,
}

/// What the buffer has to offer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Whole records, at these indices of [`RecordBuffer::bytes`].
    Block(Range<usize>),
    /// These bytes were dropped: part of a record that is too long, or of a run of backspaces.
    Dropped(Range<usize>),
    /// The end of a record that is too long, its terminator included.
    TooLong(Range<usize>),
    /// Nothing before more bytes come.
    NeedMore,
}

impl RecordBuffer {
    pub fn new(framing: Framing, max_record: usize, block: usize) -> Self {
        let block = block.max(1);
        let mut buffer = Self {
            bytes: Vec::new(),
            origin: 0,
            start: 0,
            end: 0,
            scanned: 0,
            framing,
            max_record,
            block,
            wide: false,
            skipping: false,
            in_run: false,
        };
        buffer.allocate(PAGE);
        buffer
    }

    /// Forgets everything but the memory, for the next source.
    pub fn clear(&mut self) {
        (self.start, self.end, self.scanned) = (self.origin, self.origin, self.origin);
        (self.wide, self.skipping, self.in_run) = (false, false, false);
    }

    /// Goes on where another buffer stopped: inside a record that is too long, or behind a run of backspaces.
    pub fn resume(&mut self, skipping: bool, in_run: bool) {
        (self.skipping, self.in_run) = (skipping, in_run);
    }

    /// Whether it is inside a record that is too long.
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Whether the run of backspaces that was its last terminator may go on.
    pub fn is_in_run(&self) -> bool {
        self.in_run
    }

    /// Says that the source is UTF-16.
    pub fn set_wide(&mut self) {
        self.wide = true;
    }

    /// Whether a record has begun whose end is not known.
    pub fn pending(&self) -> bool {
        self.skipping || self.start < self.end
    }

    /// Whether nothing of what came matters for what comes next.
    pub fn is_clear(&self) -> bool {
        !self.pending() && !self.in_run
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Room for the next bytes, at a page-aligned address when it is as large as a block.
    pub fn spare(&mut self, at_least: usize) -> &mut [u8] {
        let wanted = at_least.min(self.block).max(1);
        if self.bytes.len() - self.end < wanted {
            self.make_room();
        }
        &mut self.bytes[self.end..]
    }

    /// Room for a whole block, for readers that fill it at once.
    pub fn spare_block(&mut self) -> &mut [u8] {
        if self.end != self.origin {
            self.make_room();
        }
        &mut self.bytes[self.end..]
    }

    /// Puts what is carried over right before the page-aligned address.
    fn make_room(&mut self) {
        let carry = self.end - self.start;
        if carry > self.origin {
            self.allocate(carry.next_power_of_two().max(PAGE));
        } else {
            self.move_carry(self.origin - carry);
        }
    }

    fn move_carry(&mut self, to: usize) {
        self.bytes.copy_within(self.start..self.end, to);
        self.scanned = to + (self.scanned - self.start);
        self.end = to + (self.end - self.start);
        self.start = to;
    }

    fn allocate(&mut self, headroom: usize) {
        let carry = self.bytes[self.start..self.end].to_vec();
        self.bytes = Vec::new();
        self.bytes.resize(headroom + self.block + PAGE, 0);
        let address = self.bytes.as_ptr() as usize;
        self.origin = headroom + (PAGE - (address + headroom) % PAGE) % PAGE;
        self.bytes.truncate(self.origin + self.block);
        self.scanned = self.origin - carry.len() + (self.scanned - self.start);
        self.start = self.origin - carry.len();
        self.end = self.origin;
        self.bytes[self.start..self.end].copy_from_slice(&carry);
    }

    /// Says that `len` bytes were written to the spare room.
    pub fn filled(&mut self, len: usize) {
        debug_assert!(self.end + len <= self.bytes.len());
        self.end += len;
    }

    fn take(&mut self, end: usize) -> Range<usize> {
        let taken = self.start..end;
        self.start = end;
        self.scanned = self.scanned.max(end);
        taken
    }

    /// The next piece. With `at_end` the last record may lack its terminator.
    pub fn next(&mut self, at_end: bool) -> Piece {
        if self.in_run
            && let Some(piece) = self.swallow_run(at_end)
        {
            return piece;
        }
        if self.skipping {
            return self.skip(at_end);
        }
        if self.start == self.end {
            return Piece::NeedMore;
        }
        if at_end {
            self.scanned = self.end;
            return Piece::Block(self.take(self.end));
        }
        if let Some(lf) = memrchr(b'\n', &self.bytes[self.scanned..self.end]) {
            let end = self.scanned + lf + 1;
            self.scanned = end;
            return Piece::Block(self.take(end));
        }
        self.cut_without_lf()
    }

    /// No LF is near: the block ends behind a record end that is certain, one near the end of what is there.
    fn cut_without_lf(&mut self) -> Piece {
        let text = &self.bytes[..self.end];
        let mut window = CUT_WINDOW;
        let (cut, from, open) = loop {
            let first = self.scanned.max(self.end.saturating_sub(window));
            let (cut, from, open) = self.last_end(text, first);
            if cut.is_some() || first == self.scanned {
                break (cut, from, open);
            }
            window *= 4;
        };
        self.scanned = open.unwrap_or_else(|| from.max(text.len() - self.partial_escape(text)));
        if let Some(cut) = cut {
            return Piece::Block(self.take(cut));
        }
        if let Some(start) = open.filter(|start| self.end - start > LONG_RUN) {
            // The record is certain, only its run of backspaces is not at its end.
            let end = self.run_end(start);
            self.in_run = true;
            return Piece::Block(self.take(end));
        }
        if self.is_too_long(self.start..self.scanned) {
            self.skipping = true;
            return Piece::Dropped(self.take(self.scanned));
        }
        Piece::NeedMore
    }

    /// The last certain record end behind `from`, where the look for it ended, and the terminator that is open.
    fn last_end(&self, text: &[u8], mut from: usize) -> (Option<usize>, usize, Option<usize>) {
        let mut cut = None;
        loop {
            match self.framing.search(text, from, false) {
                Search::Complete(end) => {
                    cut = Some(end.next);
                    from = end.next;
                }
                Search::Open(start) => return (cut, from, Some(start)),
                Search::Nothing => return (cut, from, None),
            }
        }
    }

    /// The limit counts bytes of the source, of which UTF-16 has fewer than UTF-8 for some characters.
    fn is_too_long(&self, record: Range<usize>) -> bool {
        record.len() > self.max_record && (!self.wide || utf16_len(&self.bytes[record]) > self.max_record as u64)
    }

    fn run_end(&self, start: usize) -> usize {
        self.framing.terminator_end(&self.bytes[..self.end], start)
    }

    /// Length of what may be the beginning of an escape at the text's end.
    fn partial_escape(&self, text: &[u8]) -> usize {
        if !self.framing.terminal {
            return 0;
        }
        (1..4).rev().find(|&len| text.len() >= len && b"#01".starts_with(&text[text.len() - len..])).unwrap_or(0)
    }

    fn swallow_run(&mut self, at_end: bool) -> Option<Piece> {
        let text = &self.bytes[..self.end];
        let mut end = self.start;
        while let Some((b'\x08', len)) = self.framing.token(text, end) {
            end += len;
        }
        let rest = &text[end..];
        let open = rest.len() < ESCAPED_BS.len() && ESCAPED_BS.starts_with(rest);
        self.in_run = open && !at_end;
        if end > self.start {
            return Some(Piece::Dropped(self.take(end)));
        }
        self.in_run.then_some(Piece::NeedMore)
    }

    fn skip(&mut self, at_end: bool) -> Piece {
        let text = &self.bytes[..self.end];
        match self.framing.search(text, self.scanned, at_end) {
            Search::Complete(end) => {
                self.skipping = false;
                Piece::TooLong(self.take(end.next))
            }
            _ if at_end => {
                self.skipping = false;
                Piece::TooLong(self.take(self.end))
            }
            Search::Open(start) if self.end - start > LONG_RUN => {
                let end = self.run_end(start);
                self.skipping = false;
                self.in_run = true;
                Piece::TooLong(self.take(end))
            }
            Search::Open(start) if start > self.start => Piece::Dropped(self.take(start)),
            Search::Nothing if self.end - self.partial_escape(text) > self.start => {
                let keep = self.partial_escape(text);
                Piece::Dropped(self.take(self.end - keep))
            }
            _ => Piece::NeedMore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records and their offsets, fed in chunks of one size.
    fn records(text: &[u8], chunk: usize, max_record: usize) -> (Vec<(u64, Vec<u8>)>, u64) {
        let framing = Framing { terminal: true };
        let mut buffer = RecordBuffer::new(framing, max_record, 64);
        let (mut out, mut base, mut too_long) = (Vec::new(), 0_u64, 0);
        let mut drain = |buffer: &mut RecordBuffer, at_end: bool| {
            loop {
                let range = match buffer.next(at_end) {
                    Piece::NeedMore => break,
                    Piece::Dropped(range) => range,
                    Piece::TooLong(range) => {
                        too_long += 1;
                        range
                    }
                    Piece::Block(range) => {
                        let block = &buffer.bytes()[range.clone()];
                        let mut at = 0;
                        let mut count = 0;
                        while at < block.len() {
                            let end =
                                framing.next_end(block, at).unwrap_or(End { start: block.len(), next: block.len() });
                            out.push((base + at as u64, block[at..end.start].to_vec()));
                            at = end.next;
                            count += 1;
                        }
                        assert_eq!(framing.count(block, &Census::of(block, framing)), count);
                        range
                    }
                };
                base += range.len() as u64;
            }
        };
        for piece in text.chunks(chunk) {
            let mut piece = piece;
            while !piece.is_empty() {
                let room = buffer.spare(piece.len());
                let len = room.len().min(piece.len());
                room[..len].copy_from_slice(&piece[..len]);
                buffer.filled(len);
                piece = &piece[len..];
                drain(&mut buffer, false);
            }
        }
        drain(&mut buffer, true);
        (out, too_long)
    }

    #[test]
    fn b4_b5_b10_record_ends_do_not_depend_on_the_chunks() {
        let text = b"a\r\r\nb\x08\x08\n#015\nx#010\x08#010y#01\n##011z#0150\rend#01";
        let expected: Vec<(u64, &[u8])> = vec![
            (0, b"a"),
            (2, b""),
            (4, b"b"),
            (7, b""),
            (8, b""),
            (13, b"x"),
            (23, b"y#01"),
            (28, b"##011z"),
            (38, b"0"),
            (40, b"end#01"),
        ];
        for chunk in [1, 2, 3, 7, 100] {
            let (found, _) = records(text, chunk, 1 << 20);
            let found: Vec<(u64, &[u8])> = found.iter().map(|(at, text)| (*at, &text[..])).collect();
            assert_eq!(found, expected, "chunk {chunk}");
        }
    }

    #[test]
    fn b7_a_record_that_is_too_long_is_dropped_and_the_next_one_kept() {
        for end in ["\n", "\r", "#015\n", "\x08\x08", ""] {
            let text = format!("short\n{}{end}next", "x".repeat(1000));
            for chunk in [1, 3, 64, 2000] {
                let (found, too_long) = records(text.as_bytes(), chunk, 100);
                let kept = found.iter().filter(|(_, record)| record.len() <= 100).count() as u64;
                let long = too_long + found.len() as u64 - kept;
                assert_eq!(long, 1, "{end:?} {chunk}");
                let last = found.last().map(|(_, text)| &text[..]);
                assert!(end.is_empty() || last == Some(b"next"), "{end:?} {chunk}");
            }
        }
    }

    #[test]
    fn a_run_of_backspaces_of_any_length_is_one_terminator() {
        let mut text = b"a".to_vec();
        text.extend(std::iter::repeat_n(b'\x08', LONG_RUN * 3));
        text.extend(b"b");
        for chunk in [1000, 64 << 10] {
            let (found, _) = records(&text, chunk, 1 << 20);
            assert_eq!(found.iter().map(|(_, t)| &t[..]).collect::<Vec<_>>(), [b"a", b"b"]);
        }
    }
}
