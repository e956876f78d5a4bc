//! Sources that grow: read in turns, each of which ends at a position to go on from.
//!
//! [`Follower`] is the push machine for any number of sources with one extractor. A turn begins with
//! [`resume`](Follower::resume), takes bytes with [`push`](Follower::push) and ends with
//! [`suspend`](Follower::suspend) (more may come) or [`finish`](Follower::finish) (the source has ended). Between
//! turns nothing is kept of a source but its [`Position`], plain data that its caller stores: the bytes behind it
//! are given again with the next turn, so that memory does not grow with the number of sources. It does no I/O; the
//! binding drives it, and reads files or pipes.

use std::{collections::VecDeque, sync::Arc};

use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;

use crate::{
    batch::Batcher,
    context::Carried,
    error::Error,
    extract::{EnvelopeOptions, ExtractOptions, Extractor, OnReject, Rejected},
    matcher::Matcher,
    position::Position,
    report::{Report, Turns},
    rows::{Rows, Spare},
    schema::{ColumnOptions, Columns},
};

/// Why a turn cannot go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum TurnError {
    /// A captured text is no number, and `on_reject` says to raise. The rows before it can be flushed.
    Rejected(Rejected),
    /// The source is UTF-16, of which no position can be resumed. There are no rows of it.
    Utf16,
    /// The turn ends within a document with a list of events, or within one event of those that were asked for: there
    /// no position can be resumed.
    Document,
}

/// Turns the bytes of sources that grow into record batches.
pub struct Follower {
    matcher: Arc<Matcher>,
    extractor: Extractor,
    batcher: Batcher,
    labels: Vec<String>,
    label_array: Arc<StringArray>,
    /// Rows on their way to batches.
    full: VecDeque<Rows>,
    /// Rows of the first of them that are in the batch already.
    passed: usize,
    spare: Spare,
    report: Report,
    turns: Vec<Turns>,
    current: usize,
}

impl Follower {
    /// A follower without sources.
    ///
    /// An unknown column name is an error.
    pub fn new(
        matcher: Arc<Matcher>,
        columns: ColumnOptions,
        options: ExtractOptions,
        envelope: EnvelopeOptions,
        line_numbers: bool,
    ) -> Result<Self, Error> {
        let nullable_value = options.on_reject == OnReject::Null;
        let set = matcher.definitions().clone();
        let columns = Columns::new(&set, &ColumnOptions { nullable_value, sources: 1, ..columns })?;
        let spare = Spare::default();
        let labels = Arc::new(StringArray::from_iter_values([""; 0]));
        Ok(Self {
            extractor: Extractor::new(matcher.clone(), &columns, options, envelope, spare.clone()),
            matcher,
            report: Report::new(&set, 0),
            batcher: Batcher::new(columns, set, labels.clone(), line_numbers, options.batch_rows),
            labels: Vec::new(),
            label_array: labels,
            full: VecDeque::new(),
            passed: 0,
            spare,
            turns: Vec::new(),
            current: 0,
        })
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        self.batcher.columns().schema()
    }

    /// The compiled definitions.
    pub fn matcher(&self) -> &Arc<Matcher> {
        &self.matcher
    }

    /// Adds a source; `label` is what the `source` column says. Gives its index.
    pub fn add_source(&mut self, label: &str) -> usize {
        self.labels.push(label.to_owned());
        self.turns.push(Turns::default());
        self.labels.len() - 1
    }

    /// The labels of the sources.
    pub fn labels(&mut self) -> &Arc<StringArray> {
        if self.label_array.len() < self.labels.len() {
            self.label_array = Arc::new(StringArray::from_iter_values(&self.labels));
            self.batcher.set_sources(self.label_array.clone());
        }
        &self.label_array
    }

    /// Begins a turn: the next bytes are those from the position on. The bytes of a turn that did not end are dropped.
    ///
    /// `written` is when the source was last written to, in microseconds since 1970: a date without a year is in the
    /// latest year that is not after it. None leaves such dates out.
    ///
    /// # Panics
    ///
    /// When there is no such source.
    pub fn resume(&mut self, source: usize, position: &Position, written: Option<i64>) {
        assert!(source < self.turns.len(), "there is no source {source}");
        self.current = source;
        self.extractor.resume(source, &self.labels[source], position, written);
    }

    /// Takes the next bytes of the turn.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TurnError> {
        self.run(|extractor, emit| extractor.push(bytes, emit))
    }

    /// Decides what wraps the messages of a source that is at rest, by the lines that there are.
    pub fn decide(&mut self) -> Result<(), TurnError> {
        self.run(Extractor::decide)
    }

    /// Ends the turn where more bytes may come.
    pub fn suspend(&mut self) -> Result<Position, TurnError> {
        let position = self.extractor.suspend();
        self.end_turn();
        position.ok_or(TurnError::Document)
    }

    /// Ends the turn and the source; its last record needs no terminator.
    pub fn finish(&mut self) -> Result<Position, TurnError> {
        self.run(|extractor, emit| extractor.finish(emit))?;
        self.suspend()
    }

    /// Ends the turn and the source in the middle of a record, which is counted and not matched: half a number is a
    /// wrong one.
    pub fn cut_off(&mut self) -> Result<(), TurnError> {
        self.run(|extractor, emit| {
            extractor.cut_off(emit);
            true
        })?;
        self.end_turn();
        Ok(())
    }

    fn end_turn(&mut self) {
        let tally = self.extractor.take_tally();
        self.report.merge_turn(tally, &mut self.turns[self.current]);
    }

    fn run(
        &mut self,
        step: impl FnOnce(&mut Extractor, &mut dyn FnMut(Rows) -> bool) -> bool,
    ) -> Result<(), TurnError> {
        let full = &mut self.full;
        let before = full.len();
        step(&mut self.extractor, &mut |rows| {
            full.push_back(rows);
            true
        });
        let rows = self.extractor.take_rows();
        if self.extractor.is_wide() {
            self.full.truncate(before);
            return Err(TurnError::Utf16);
        }
        if !rows.is_empty() {
            self.full.push_back(rows);
        }
        self.extractor.take_rejected().map_or(Ok(()), |rejected| Err(TurnError::Rejected(rejected)))
    }

    /// The points found so far and not taken yet, at most `batch_rows` of them; None when there is none.
    pub fn flush(&mut self) -> Option<RecordBatch> {
        self.labels();
        // What was carried stood in the position that the turn began with.
        let nothing = Carried::default();
        while !self.batcher.is_full()
            && let Some(rows) = self.full.front()
        {
            self.passed = self.batcher.add(rows, self.passed, 0, &nothing);
            if self.passed == rows.len() {
                self.full.pop_front().into_iter().for_each(|rows| self.spare.give(rows.points));
                self.passed = 0;
            }
        }
        (!self.batcher.is_empty()).then(|| self.batcher.finish())
    }

    /// Says why a source cannot be read on; None takes it back.
    pub fn set_error(&mut self, source: usize, error: Option<String>) {
        if let Some(turns) = self.turns.get_mut(source) {
            turns.error = error;
        }
    }

    /// Ends the account's clock.
    pub fn close(&mut self) {
        self.report.finish();
    }

    /// The account of the turns that ended.
    pub fn report(&self) -> Report {
        self.report.with_turns(&self.turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContextColumn, ContextType, Decoder, Definition, DefinitionSet, Envelope, Strategy};

    fn matcher() -> Arc<Matcher> {
        let definitions = vec![Definition::new("loss", r"loss=(\S+)"), Definition::new("acc", "acc=([0-9.]+)")];
        let context = vec![
            ContextColumn::new("epoch", r"Epoch (\w+)", ContextType::Int64),
            ContextColumn::new("phase", r"phase: (\w+)", ContextType::String),
        ];
        let set = DefinitionSet::new(definitions, true).unwrap().with_context(context).unwrap();
        Arc::new(Matcher::new(Arc::new(set), Strategy::Prefiltered))
    }

    fn new(matcher: &Arc<Matcher>, envelope: Envelope) -> Follower {
        let wrapped = EnvelopeOptions { envelope: Some(envelope), ..EnvelopeOptions::default() };
        Follower::new(matcher.clone(), ColumnOptions::default(), options(), wrapped, true).unwrap()
    }

    fn options() -> ExtractOptions {
        ExtractOptions { max_record_bytes: 60, ..ExtractOptions::default() }
    }

    /// Columns as text, row by row, without the dictionaries that hold them.
    fn rows(batches: &[RecordBatch]) -> Vec<String> {
        let row = |batch: &RecordBatch, row: usize| {
            let cells = batch.columns().iter().map(|column| {
                let column = arrow_cast(column);
                format!("{:?}", column.slice(row, 1))
            });
            cells.collect::<Vec<_>>().join("|")
        };
        batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |at| row(batch, at))).collect()
    }

    fn arrow_cast(column: &arrow_array::ArrayRef) -> arrow_array::ArrayRef {
        use arrow_array::{DictionaryArray, types::Int32Type};
        match column.as_any().downcast_ref::<DictionaryArray<Int32Type>>() {
            Some(dictionary) => {
                let values = dictionary.values().as_any().downcast_ref::<StringArray>().unwrap();
                let texts = (0..dictionary.len()).map(|at| dictionary.key(at).map(|key| values.value(key)));
                Arc::new(texts.collect::<StringArray>())
            }
            None => column.clone(),
        }
    }

    fn whole(matcher: &Arc<Matcher>, text: &[u8], envelope: Envelope) -> (Vec<String>, Report) {
        let decoder = Decoder::new(matcher.clone(), "a", ColumnOptions::default(), options()).unwrap();
        let envelope = EnvelopeOptions { envelope: Some(envelope), ..EnvelopeOptions::default() };
        let mut decoder = decoder.with_envelope(envelope);
        decoder.decode(text).unwrap();
        decoder.finish().unwrap();
        let batches: Vec<_> = std::iter::from_fn(|| decoder.flush()).collect();
        (rows(&batches), decoder.report().clone())
    }

    /// What `text` gives in turns that see it grow by `step` bytes; with `restart` each by a new follower.
    fn in_turns(
        matcher: &Arc<Matcher>,
        text: &[u8],
        envelope: Envelope,
        step: usize,
        restart: bool,
    ) -> (Vec<String>, Report) {
        let new = || {
            let mut follower = new(matcher, envelope);
            follower.add_source("a");
            follower
        };
        let (mut follower, mut position, mut batches) = (new(), Position::default(), Vec::new());
        let mut known = 0;
        while known < text.len() {
            known = text.len().min(known + step);
            if restart {
                follower = new();
            }
            follower.resume(0, &position, None);
            for piece in text[position.offset as usize..known].chunks(7) {
                follower.push(piece).unwrap();
            }
            position = follower.suspend().unwrap();
            position = position.clone().with_event(&position.event()).unwrap();
            batches.extend(std::iter::from_fn(|| follower.flush()));
            assert!(position.offset <= known as u64);
        }
        follower.resume(0, &position, None);
        follower.push(&text[position.offset as usize..]).unwrap();
        assert_eq!(follower.finish().unwrap().offset, text.len() as u64);
        batches.extend(std::iter::from_fn(|| follower.flush()));
        (rows(&batches), follower.report())
    }

    fn texts() -> Vec<Vec<u8>> {
        let long = format!("loss=1\n{}loss=2{}\nloss=3\r\n", "x".repeat(100), "y".repeat(100));
        let run = format!("loss=1{}loss=2\n", "\x08".repeat(200));
        vec![
            b"Epoch 1\nloss=1\nphase: a loss=2\nEpoch x\nloss=3 acc=0.5\r\nEpoch 2\r\rloss=4\n".to_vec(),
            b"Epoch z\n\n\nloss=1#015loss=2#015\nloss=3#010#010acc=1\x08\x08acc=2\n##015loss=4".to_vec(),
            b"\xEF\xBB\xBFloss=1\nloss=\xE2\x82\nloss=2\xFF\n\x1b[31mloss=\x1b[0m3".to_vec(),
            long.into_bytes(),
            run.into_bytes(),
            concat!(
                "loss=1\n[1,0]<stdout>:Epoch 1\n[1,1]<stdout>:Epoch 2\n[1,0]<stdout>:loss=1\nEpoch 3\n[1,1]<stdout>:loss=2\n",
                "[1,2]<stdout>:Epoch x\n[1,2]<stdout>:loss=3\nalgo-1-x  | Epoch 4\nalgo-2-x  | Epoch 5\nloss=4\n",
                "algo-1-x  | loss=5\nalgo-2-x  | loss=6\n2019-04-30T02:12:41Z stdout F Epoch 6\n",
                "2019-04-30T02:12:42Z stderr F [1,0]<stdout>:loss=7\n2019-04-30T02:12:43Z stderr F loss=8\n",
            )
            .into(),
            concat!(
                "2023-05-19T21:07:06.123Z loss=1\n2023-05-19T21:07:07.123Z Epoch 3\nloss=2\rloss=3\n",
                "algo-1-x  | loss=4\n\x1b[34mloss=5\nloss=6\x1b[0m\n[1,3]<stdout>:loss=7\n",
                "2019-04-30T02:12:41Z stdout P lo\n2019-04-30T02:12:42Z stderr F acc=1\n",
                "2019-04-30T02:12:43Z stdout F ss=8\n{\"message\":\"loss=9\",\"ts\":1684530426}\nloss=10\n",
            )
            .into(),
            concat!(
                "2019-04-30T02:12:41Z stdout P lo\n2019-04-30T02:12:42Z stderr P ac\n",
                "2019-04-30T02:12:43Z stdout F ss=1\n2019-04-30T02:12:44Z stdout F loss=2\n",
                "2019-04-30T02:12:45Z stderr P c=\n2019-04-30T02:12:46Z stdout P loss=\n",
                "2019-04-30T02:12:47Z stderr F 3\n2019-04-30T02:12:48Z stdout F 4\nloss=5\n",
            )
            .into(),
        ]
    }

    /// All that can be followed.
    fn envelopes() -> impl Iterator<Item = Envelope> {
        Envelope::ALL.into_iter().filter(|envelope| *envelope != Envelope::CloudWatchJson)
    }

    #[test]
    fn b6_b10_turns_give_the_rows_and_counts_of_the_whole() {
        let matcher = matcher();
        for (text, envelope) in texts().iter().flat_map(|text| envelopes().map(move |envelope| (text, envelope))) {
            let (expected, report) = whole(&matcher, text, envelope);
            for step in (1..30).step_by(if envelope == Envelope::Plain { 2 } else { 9 }) {
                let how = format!("{envelope:?}, step {step} of {:?}", String::from_utf8_lossy(text));
                let (found, turns) = in_turns(&matcher, text, envelope, step, false);
                assert_eq!(found, expected, "{how}");
                let counts = |report: &Report| {
                    (
                        (report.bytes, report.events, report.records, report.matched, report.too_long),
                        report.context.clone(),
                        report.points(),
                        report.rejects.clone(),
                    )
                };
                assert_eq!(counts(&turns), counts(&report), "{how}");
                let (found, _) = in_turns(&matcher, text, envelope, step, true);
                assert_eq!(found, expected, "restarts, {how}");
            }
        }
    }

    #[test]
    fn events_that_were_asked_for_go_on_in_their_messages() {
        let messages =
            ["Epoch 1", "loss=1\\nloss=2", "", "[1,0]<stdout>:Epoch 2", "loss=x\\n", "[1,0]<stdout>:loss=3 é"];
        let event =
            |(at, message): (usize, &&str)| format!("{{\"timestamp\": {}, \"message\": \"{message}\"}}\n", at * 1000);
        let events: Vec<String> = messages.iter().cycle().take(40).enumerate().map(event).collect();
        let matcher = matcher();
        let (expected, report) = whole(&matcher, events.concat().as_bytes(), Envelope::Events);
        for step in 1..7 {
            let (mut position, mut batches, mut records) = (Position::default(), Vec::new(), 0);
            for page in events.chunks(step) {
                let mut follower = new(&matcher, Envelope::Events);
                follower.add_source("a");
                follower.resume(0, &position, None);
                follower.push(page.concat().as_bytes()).unwrap();
                position = follower.suspend().unwrap();
                records += follower.report().records;
                batches.extend(std::iter::from_fn(|| follower.flush()));
            }
            assert_eq!((rows(&batches), records), (expected.clone(), report.records), "pages of {step}");
        }
        let mut follower = new(&matcher, Envelope::Events);
        follower.add_source("a");
        follower.resume(0, &Position::default(), None);
        follower.push(&events[0].as_bytes()[..9]).unwrap();
        assert!(matches!(follower.suspend(), Err(TurnError::Document)), "half an event");
    }

    #[test]
    fn b6_the_offset_stays_before_a_line_that_may_go_on() {
        let mut follower = new(&matcher(), Envelope::Plain);
        follower.add_source("a");
        follower.resume(0, &Position::default(), None);
        follower.push(b"loss=1\nloss=2").unwrap();
        let position = follower.suspend().unwrap();
        assert_eq!((position.offset, position.line), (7, 2));
        assert_eq!(follower.report().bytes, 7);
        follower.resume(0, &position, None);
        follower.push(b"loss=25\r").unwrap();
        assert_eq!(follower.suspend().unwrap(), position, "an LF may belong to the CR");
    }

    #[test]
    fn sources_take_turns_without_knowing_of_each_other() {
        let mut follower = new(&matcher(), Envelope::Plain);
        let logs: [&[u8]; 2] = [b"Epoch 1\nloss=1\nloss=2\n", b"loss=3\nEpoch 9\nloss=4\nx\n"];
        let mut positions = [Position::default(), Position::default()];
        let mut epochs = Vec::new();
        for end in 1..=22 {
            for source in 0..2 {
                if follower.labels().len() == source {
                    follower.add_source(["a", "b"][source]);
                }
                follower.resume(source, &positions[source], None);
                let bytes = &logs[source][positions[source].offset as usize..end.min(logs[source].len())];
                follower.push(bytes).unwrap();
                positions[source] = follower.suspend().unwrap();
                while let Some(batch) = follower.flush() {
                    let epoch = batch.column_by_name("epoch").unwrap().clone();
                    let epoch = epoch.as_any().downcast_ref::<arrow_array::Int64Array>().unwrap().clone();
                    epochs.extend(epoch.iter().map(|epoch| (source, epoch)));
                }
            }
        }
        epochs.sort();
        assert_eq!(epochs, [(0, Some(1)), (0, Some(1)), (1, None), (1, Some(9))]);
        let report = follower.report();
        assert_eq!((report.sources_total, report.sources[0].points, report.sources[1].points), (2, 2, 2));
        assert_eq!(report.definitions[0].sources_with_points, 2);
        assert_eq!(report.definitions[1].sources_without, [0, 1]);
    }

    #[test]
    fn utf_16_is_refused_without_rows() {
        let mut follower = new(&matcher(), Envelope::Plain);
        follower.add_source("a");
        follower.resume(0, &Position::default(), None);
        let text: Vec<u8> = "\u{FEFF}loss=1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(matches!(follower.push(&text), Err(TurnError::Utf16)));
        assert!(follower.flush().is_none());
    }
}
