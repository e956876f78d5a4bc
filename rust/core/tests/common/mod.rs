//! Runs one source through the decoder and through a scan and returns everything that may not depend on how.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arrow_array::{
    Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
    UInt64Array,
};
use arrow_schema::DataType;
use metricsieve_core::{
    ColumnOptions, Decoder, DefinitionReport, Envelope, EnvelopeOptions, ExtractOptions, Mark, Matcher, OnReject,
    Report, Scan, ScanOptions, Source, Strings, Zone,
};

/// A row; the value as bits, None for a reject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub metric: String,
    pub value: Option<u64>,
    pub line: u64,
    pub offset: u64,
    pub definition: i32,
    pub number: u32,
    pub text: Option<String>,
    pub context: Vec<Option<String>>,
    /// Timestamp, job, host, stream, rank.
    pub event: Vec<Option<String>>,
}

/// The label of the source.
const LABEL: &str = "my-job/algo-7-1574293123";

/// How a run reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub extract: ExtractOptions,
    /// None: the beginning of the source tells.
    pub envelope: Option<Envelope>,
}

impl Options {
    fn envelope(self) -> EnvelopeOptions {
        let zone = Zone::new("Europe/Berlin").expect("there is one");
        EnvelopeOptions { envelope: self.envelope, zone, ..EnvelopeOptions::default() }
    }
}

/// Rows and counts of a run.
#[derive(Debug)]
pub struct Outcome {
    pub rows: Vec<Row>,
    pub report: Report,
}

impl Outcome {
    /// The account without what may depend on the strategy: candidates and time.
    fn account(&self) -> String {
        let Report { bytes, events, records, matched, too_long, definitions, rejects, context, sources, .. } =
            &self.report;
        // What a definition was tried on and what that cost depend on the strategy.
        let definitions = definitions.iter().cloned();
        let definitions: Vec<_> = definitions
            .map(|definition| DefinitionReport { candidates: 0, searched_by: 0, cost: Duration::ZERO, ..definition })
            .collect();
        format!(
            "{bytes} {events} {records} {matched} {too_long} {definitions:#?} {rejects:#?} {context:#?} {sources:#?}"
        )
    }

    /// Panics unless both runs gave the same rows and the same account.
    pub fn assert_same(&self, other: &Outcome, how: &str) {
        assert_eq!(self.rows, other.rows, "rows of {how}");
        assert_eq!(self.account(), other.account(), "account of {how}");
    }

    /// Panics unless nothing was dropped without a count.
    pub fn assert_conserved(&self, how: &str) {
        let report = &self.report;
        let passed_over = report.too_long + report.unmatched();
        assert_eq!(report.records, report.matched + passed_over, "records of {how}");
        let (mut points, mut rejects) = (0, 0);
        for (id, definition) in report.definitions.iter().enumerate() {
            let rows = self.rows.iter().filter(|row| row.definition == id as i32 && row.value.is_some());
            assert_eq!(rows.count() as u64, definition.values.count(), "points of definition {id} of {how}");
            points += definition.values.count();
            rejects += definition.rejects.iter().sum::<u64>();
        }
        let given_up: u64 = report.definitions.iter().map(|definition| definition.over_budget.count).sum();
        assert_eq!((report.points(), report.rejected()), (points, rejects), "totals of {how}");
        assert_eq!(report.matched > 0, points + rejects + given_up > 0, "matched of {how}");
        assert!(report.matched <= points + rejects + given_up, "matched of {how}");
        for (index, column) in report.context.iter().enumerate() {
            let filled = self.rows.iter().filter(|row| row.context[index].is_some());
            assert_eq!(filled.count() as u64, column.values, "values of context column {index} of {how}");
        }
        let source = &report.sources[0];
        assert_eq!((source.records, source.points, &source.error), (report.records, points, &None), "source of {how}");
        assert!(report.is_complete() && report.sources_complete == 1, "the end of {how}");
    }
}

const COLUMNS: [&str; 7] = ["metric", "value", "line", "offset", "definition", "match", "text"];
const EVENT: [&str; 5] = ["timestamp", "job", "host", "stream", "rank"];

fn columns(matcher: &Matcher) -> ColumnOptions {
    let context = matcher.definitions().context().iter().map(|column| column.name.clone());
    ColumnOptions {
        columns: Some(COLUMNS.into_iter().chain(EVENT).map(str::to_owned).chain(context).collect()),
        strings: Strings::Plain,
        ..ColumnOptions::default()
    }
}

fn column<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> &'a T {
    let column = batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
    column.as_any().downcast_ref().unwrap_or_else(|| panic!("column {name} is {}", column.data_type()))
}

/// A value of a context column, as text.
fn shown(column: &dyn Array, row: usize) -> Option<String> {
    let any = column.as_any();
    column.is_valid(row).then(|| match column.data_type() {
        DataType::Int64 => any.downcast_ref::<Int64Array>().expect("as typed").value(row).to_string(),
        DataType::Int32 => any.downcast_ref::<Int32Array>().expect("as typed").value(row).to_string(),
        DataType::Timestamp(..) => {
            any.downcast_ref::<TimestampMicrosecondArray>().expect("as typed").value(row).to_string()
        }
        DataType::Float64 => any.downcast_ref::<Float64Array>().expect("as typed").value(row).to_string(),
        _ => any.downcast_ref::<StringArray>().expect("as typed").value(row).to_owned(),
    })
}

fn read(batch: &RecordBatch, rows: &mut Vec<Row>) {
    let metric: &StringArray = column(batch, "metric");
    let value: &Float64Array = column(batch, "value");
    let (line, offset): (&UInt64Array, &UInt64Array) = (column(batch, "line"), column(batch, "offset"));
    let definition: &Int32Array = column(batch, "definition");
    let number: &UInt32Array = column(batch, "match");
    let text: &StringArray = column(batch, "text");
    rows.extend((0..batch.num_rows()).map(|row| Row {
        metric: metric.value(row).to_owned(),
        value: value.is_valid(row).then(|| value.value(row).to_bits()),
        line: line.value(row),
        offset: offset.value(row),
        definition: definition.value(row),
        number: number.value(row),
        text: text.is_valid(row).then(|| text.value(row).to_owned()),
        event: batch.columns()[COLUMNS.len()..][..EVENT.len()].iter().map(|column| shown(column, row)).collect(),
        context: batch.columns()[COLUMNS.len() + EVENT.len()..].iter().map(|column| shown(column, row)).collect(),
    }));
}

/// Feeds `data` to a decoder in chunks of these sizes, over and over.
pub fn decode(matcher: &Arc<Matcher>, data: &[u8], chunks: &[usize], options: Options) -> Outcome {
    let decoder = Decoder::new(matcher.clone(), LABEL, columns(matcher), options.extract).expect("the columns exist");
    let mut decoder = decoder.with_envelope(options.envelope());
    let mut rows = Vec::new();
    let (mut rest, mut sizes) = (data, chunks.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| (*size).clamp(1, rest.len()));
        decoder.decode(&rest[..size]).expect("no reject is an error");
        rest = &rest[size..];
        while let Some(batch) = decoder.flush() {
            read(&batch, &mut rows);
        }
    }
    decoder.finish().expect("no reject is an error");
    while let Some(batch) = decoder.flush() {
        read(&batch, &mut rows);
    }
    Outcome { rows, report: decoder.report().clone() }
}

/// Scans one source.
pub fn scan(matcher: &Arc<Matcher>, source: Source, threads: usize, split_bytes: u64, options: Options) -> Outcome {
    scan_to_marks(matcher, source, threads, split_bytes, options, false).0
}

/// Scans one source, and gives the places to go on from if they are wanted.
pub fn scan_to_marks(
    matcher: &Arc<Matcher>,
    source: Source,
    threads: usize,
    split_bytes: u64,
    options: Options,
    marks: bool,
) -> (Outcome, Vec<Mark>) {
    let options = ScanOptions {
        marks,
        extract: options.extract,
        envelope: options.envelope(),
        columns: columns(matcher),
        threads,
        split_bytes,
        ..ScanOptions::default()
    };
    let mut scan =
        Scan::new(matcher.clone(), [(LABEL, source)].into_iter().collect(), options).expect("the columns exist");
    let (mut rows, mut marks) = (Vec::new(), Vec::new());
    while !scan.is_over() {
        let batch = scan.next_batch(Duration::from_secs(60)).expect("no reject is an error");
        assert!(batch.is_some() || scan.is_over(), "the scan hangs");
        batch.iter().for_each(|batch| read(batch, &mut rows));
        marks.extend(scan.take_marks());
    }
    (Outcome { rows, report: scan.report().clone() }, marks)
}

/// `data` as a source in memory.
pub fn in_memory(data: &[u8]) -> Source {
    Source::Bytes(Arc::new(data.to_vec()))
}

/// Panics unless, with a row for each reject, matches = points + rejects.
pub fn assert_rejects_are_rows(matcher: &Arc<Matcher>, data: &[u8], options: Options, expected: &Outcome) {
    let extract = ExtractOptions { on_reject: OnReject::Null, ..options.extract };
    let all = decode(matcher, data, &[], Options { extract, ..options });
    all.assert_conserved("a run with null rows");
    assert_eq!(all.rows.len() as u64, all.report.points() + all.report.rejected(), "matches = points + rejects");
    let points: Vec<&Row> = all.rows.iter().filter(|row| row.value.is_some()).collect();
    assert_eq!(points, expected.rows.iter().collect::<Vec<_>>());
}

/// A file in the build directory that goes away with its test.
pub struct TempFile(pub PathBuf);

impl TempFile {
    pub fn new(name: &str, data: &[u8]) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.log", std::process::id()));
        std::fs::write(&path, data).expect("the build directory can be written");
        Self(path)
    }

    pub fn source(&self) -> Source {
        Source::Path(self.0.clone())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
