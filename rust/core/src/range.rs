//! A range of a plain file, as one piece of work.
//!
//! A [`Range`] owns the events whose lines start in it: it skips to the first of them, and reads past its end until the
//! last one is complete. Where no event's beginning can be told from the lines around it, the file is read in one go;
//! if places to go on from are wanted, in ranges that begin where the one before was suspended.

use std::{io, sync::Arc};

use memchr::memchr;

use crate::{
    envelope::Envelope,
    extract::{Emit, Extractor},
    position::Position,
    source::SourceFile,
    unit::{Opening, Step},
};

/// Read past a range's end at a time, looking for the end of its last line.
const OVERREAD: usize = 64 << 10;
/// Bytes of a line that are looked at for what wraps its message.
const LINE_HEAD: usize = 1024;

pub(crate) struct Range {
    file: Arc<SourceFile>,
    start: u64,
    at: u64,
    end: u64,
    /// Where the last range of the file ends.
    until: u64,
    first: First,
    envelope: Option<Envelope>,
    /// The ranges of a file that can only be read one after the other have this many bytes.
    turn: Option<u64>,
}

/// Where the first event of a range begins.
enum First {
    /// With a line that is to be found.
    Unknown,
    /// With the range, or before what was read already.
    Known,
    /// With the range; what came before it matters.
    Resumed(Box<Position>),
}

impl Range {
    /// The ranges of a file from a position on, up to `until` if that is not the end, in order. If it is not
    /// splittable, it is one at a time: [`next`](Self::next) makes the one behind.
    pub fn of(
        file: SourceFile,
        from: Option<Box<Position>>,
        until: Option<u64>,
        envelope: Option<Envelope>,
        is_wide: bool,
        opening: Opening,
    ) -> io::Result<Vec<Self>> {
        let from = from.map(|position| Box::new(Position { line: 1, context: Vec::new(), ..*position }));
        let start = from.as_ref().map_or(0, |position| position.offset);
        let until = until.map_or(file.len(), |until| until.min(file.len()));
        if start > until {
            return Err(shrank());
        }
        let size = opening.split_bytes.max(1);
        let is_splittable = !is_wide && envelope.is_none_or(Envelope::is_splittable);
        // UTF-16 cannot be read on in the middle.
        let turn = (opening.marks && !is_splittable && !is_wide).then_some(size);
        let size = if is_splittable || turn.is_some() { size } else { u64::MAX };
        let file = Arc::new(file);
        let first = Self {
            start,
            at: start,
            // The same places are come to, wherever it begins.
            end: (start / size + 1).saturating_mul(size).min(until),
            until,
            first: from.map_or(First::Known, First::Resumed),
            envelope,
            turn,
            file: file.clone(),
        };
        let starts = if turn.is_some() { 0..0 } else { first.end..until };
        let others = starts.step_by(usize::try_from(size).unwrap_or(usize::MAX)).map(|start| Self {
            start,
            // To see whether a line starts at `start`, look at the byte before it.
            at: start - 1,
            end: start.saturating_add(size).min(until),
            until,
            first: First::Unknown,
            envelope,
            turn: None,
            file: file.clone(),
        });
        Ok(std::iter::once(first).chain(others).collect())
    }

    /// The range that begins where this one was suspended.
    pub fn next(&self, position: &Position) -> Self {
        let position = Position { line: 1, context: Vec::new(), ..position.clone() };
        let (start, size) = (position.offset, self.turn.unwrap_or(u64::MAX));
        Self {
            file: self.file.clone(),
            start,
            at: start,
            end: self.end.saturating_add(size).min(self.until),
            until: self.until,
            first: First::Resumed(Box::new(position)),
            envelope: self.envelope,
            turn: self.turn,
        }
    }

    /// Prepares the extractor, for which the range begins with line 1, and nothing is carried to it.
    pub fn begin(&mut self, extractor: &mut Extractor, source: usize, label: &str, written: Option<i64>) {
        if let First::Resumed(position) = &self.first {
            extractor.resume(source, label, position, written);
            self.first = First::Known;
        } else {
            extractor.begin(source, label, written, self.envelope);
        }
    }

    /// Where the next range of the source goes on, if there is more to read and this one read anything; line and
    /// context as they are behind it are not known here.
    pub fn reached(&self) -> Option<Position> {
        let is_in_between = matches!(self.first, First::Known) && self.at < self.until;
        let envelope = Some(self.envelope.unwrap_or_default());
        is_in_between.then(|| Position { offset: self.at, envelope, ..Position::default() })
    }

    /// Reads and extracts one piece.
    pub fn step(&mut self, extractor: &mut Extractor, block: usize, emit: Emit) -> io::Result<Step> {
        if matches!(self.first, First::Unknown) {
            let Some(line) = self.first_line()? else { return Ok(Step::Done(0)) };
            extractor.go_to(line, self.envelope());
            self.at = line;
            self.first = First::Known;
        }
        if self.at >= self.until {
            return Ok(Step::Done(0));
        }
        if self.at >= self.end {
            let Some(turn) = self.turn else { return self.last_event(extractor, emit) };
            let is_place = |position: Position| position.offset > self.start && position.is_between_events();
            if extractor.position().is_some_and(is_place)
                && let Some(position) = extractor.suspend()
            {
                return Ok(Step::Suspended(Box::new(position)));
            }
            self.end = self.at.saturating_add(turn).min(self.until);
        }
        let limit = block.min((self.end - self.at) as usize);
        let mut len = 0;
        let read = extractor.read_with(
            limit,
            |buf| {
                len = self.file.read_at(buf, self.at)?;
                Ok(len)
            },
            emit,
        )?;
        self.at += len as u64;
        match read {
            None => Ok(Step::Stopped),
            Some(0) => Err(shrank()),
            Some(len) => Ok(Step::Read(len as u64)),
        }
    }

    fn envelope(&self) -> Envelope {
        self.envelope.unwrap_or_default()
    }

    /// Offset of the first event whose line starts in the range; `at` is one byte before it.
    fn first_line(&mut self) -> io::Result<Option<u64>> {
        debug_assert_eq!(self.at + 1, self.start);
        let mut chunk = vec![0; OVERREAD];
        // A line that starts at `end` or later belongs to a later range.
        while self.at < self.end - 1 {
            let limit = chunk.len().min((self.end - 1 - self.at) as usize);
            let len = self.file.read_at(&mut chunk[..limit], self.at)?;
            if len == 0 {
                return Err(shrank());
            }
            match memchr(b'\n', &chunk[..len]) {
                Some(lf) => {
                    let line = self.at + lf as u64 + 1;
                    if self.begins_event(line)? {
                        return Ok(Some(line));
                    }
                    self.at = line;
                }
                None => self.at += len as u64,
            }
        }
        Ok(None)
    }

    /// Whether an event begins with the line at `at`.
    fn begins_event(&self, at: u64) -> io::Result<bool> {
        let envelope = self.envelope();
        if !envelope.is_continued() {
            return Ok(true);
        }
        let (mut head, mut len) = ([0; LINE_HEAD], 0);
        while len < LINE_HEAD {
            match self.file.read_at(&mut head[len..], at + len as u64)? {
                0 => break,
                more => len += more,
            }
        }
        Ok(envelope.prefix(&head[..len]).is_some())
    }

    /// Reads on behind the end, until the event that began in the range is complete.
    fn last_event(&mut self, extractor: &mut Extractor, emit: Emit) -> io::Result<Step> {
        let mut before = [0];
        let begins_line = self.file.read_at(&mut before, self.at - 1)? == 1 && before[0] == b'\n';
        if begins_line && self.begins_event(self.at)? {
            return Ok(Step::Done(0));
        }
        let mut chunk = vec![0; OVERREAD.min((self.until - self.at) as usize)];
        let len = self.file.read_at(&mut chunk, self.at)?;
        if len == 0 {
            return Err(shrank());
        }
        let line = memchr(b'\n', &chunk[..len]);
        let piece = &chunk[..line.map_or(len, |lf| lf + 1)];
        self.at += piece.len() as u64;
        Ok(if extractor.push(piece, emit) { Step::Read(piece.len() as u64) } else { Step::Stopped })
    }
}

fn shrank() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read")
}
