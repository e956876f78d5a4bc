//! Bytes to record batches, without threads and without files.
//!
//! [`Decoder`] is the push machine: feed it chunks of any size with [`decode`](Decoder::decode), take
//! what is there with [`flush`](Decoder::flush), say with [`finish`](Decoder::finish) that the source
//! has ended. [`Reader`] is a shell around it for anything that implements [`Read`]. For many sources
//! and threads there is [`Scan`](crate::Scan).

use std::{collections::VecDeque, io::Read, sync::Arc};

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::SchemaRef;

use crate::{
    batch::Batcher,
    error::{Error, ErrorKind},
    extract::{EnvelopeOptions, ExtractOptions, Extractor, OnReject},
    matcher::Matcher,
    report::Report,
    rows::{Rows, Spare},
    schema::{ColumnOptions, Columns},
};

/// Turns the bytes of one source into record batches.
pub struct Decoder {
    extractor: Extractor,
    batcher: Batcher,
    full: VecDeque<Rows>,
    /// Rows of the first of them that are in the batch already.
    passed: usize,
    spare: Spare,
    report: Report,
    error: Option<Error>,
}

impl Decoder {
    /// A decoder for one source; `label` is what the `source` column says.
    ///
    /// An unknown column name is an error.
    pub fn new(
        matcher: Arc<Matcher>,
        label: &str,
        columns: ColumnOptions,
        options: ExtractOptions,
    ) -> Result<Self, Error> {
        let nullable_value = options.on_reject == OnReject::Null;
        let set = matcher.definitions().clone();
        let columns = Columns::new(&set, &ColumnOptions { sources: 1, nullable_value, ..columns })?;
        let spare = Spare::default();
        let mut extractor = Extractor::new(matcher, &columns, options, EnvelopeOptions::default(), spare.clone());
        extractor.begin(0, label, None, None);
        let labels = Arc::new(StringArray::from_iter_values([label]));
        Ok(Self {
            extractor,
            report: Report::new(&set, 1),
            batcher: Batcher::new(columns, set, labels, true, options.batch_rows),
            full: VecDeque::new(),
            passed: 0,
            spare,
            error: None,
        })
    }

    /// Says what wraps the messages, before the first bytes; else the first 16 KiB tell.
    pub fn with_envelope(mut self, options: EnvelopeOptions) -> Self {
        self.extractor.set_envelope(options);
        self
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        self.batcher.columns().schema()
    }

    /// Takes the next bytes. Rows before a reject that is an error stay available.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.run(|extractor, emit| extractor.push(bytes, emit))
    }

    /// Says that the source has ended; its last record needs no terminator.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.run(|extractor, emit| extractor.finish(emit))?;
        self.report.merge(self.extractor.take_tally(), 0);
        self.report.source_done(0, None);
        self.report.finish();
        Ok(())
    }

    fn run(&mut self, step: impl FnOnce(&mut Extractor, &mut dyn FnMut(Rows) -> bool) -> bool) -> Result<(), Error> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let full = &mut self.full;
        step(&mut self.extractor, &mut |rows| {
            full.push_back(rows);
            true
        });
        let rows = self.extractor.take_rows();
        if !rows.is_empty() {
            self.full.push_back(rows);
        }
        match self.extractor.take_rejected() {
            Some(rejected) => {
                let message = format!(
                    "definition {} captured {:?} in line {}, byte {}: {}",
                    rejected.reject.definition,
                    rejected.reject.text.as_deref().unwrap_or_default(),
                    rejected.reject.line,
                    rejected.byte,
                    rejected.reject.reason.name(),
                );
                let error = Error::new(ErrorKind::Reject, message).with_definition(rejected.reject.definition);
                self.error = Some(error.clone());
                Err(error)
            }
            None => Ok(()),
        }
    }

    /// The points found so far and not taken yet, at most `batch_rows` of them; None when there is none.
    pub fn flush(&mut self) -> Option<RecordBatch> {
        self.fill();
        (!self.batcher.is_empty()).then(|| self.batcher.finish())
    }

    /// Adds rows to the batch while it has room; whether it is full.
    fn fill(&mut self) -> bool {
        while !self.batcher.is_full()
            && let Some(rows) = self.full.front()
        {
            self.passed = self.batcher.add(rows, self.passed, 0, self.report.carried());
            if self.passed == rows.len() {
                self.full.pop_front().into_iter().for_each(|rows| self.spare.give(rows.points));
                self.passed = 0;
            }
        }
        self.batcher.is_full()
    }

    /// The account, complete after [`finish`](Self::finish).
    pub fn report(&self) -> &Report {
        &self.report
    }
}

/// Record batches of anything that can be read.
pub struct Reader<R> {
    decoder: Decoder,
    input: Option<R>,
    chunk: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads `input` with `decoder`.
    pub fn new(decoder: Decoder, input: R) -> Self {
        Self { decoder, input: Some(input), chunk: vec![0; 256 << 10] }
    }

    /// The decoder, for its schema and report.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<RecordBatch, Box<dyn std::error::Error + Send + Sync>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.input.is_none() || self.decoder.fill() {
                return self.decoder.flush().map(Ok);
            }
            let outcome = match self.input.as_mut()?.read(&mut self.chunk) {
                Ok(0) => {
                    self.input = None;
                    self.decoder.finish().map_err(Into::into)
                }
                Ok(len) => self.decoder.decode(&self.chunk[..len]).map_err(Into::into),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = outcome {
                self.input = None;
                return Some(Err(error));
            }
        }
    }
}
