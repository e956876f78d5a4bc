//! Rows to Arrow record batches.
//!
//! [`Batcher`] takes rows until a batch is full: each is copied once, to the columns. It holds what all
//! batches of a scan share: the schema and the dictionaries, so that IPC files, `group_by` and joins work.
//! Those of metric names and source labels are known from the start; those of `job`, `host` and `stream` grow.

use std::{collections::HashMap, iter::repeat_n, ops::Range, sync::Arc};

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, TimestampMicrosecondArray, UInt32Array, UInt64Array, new_null_array, types::Int32Type,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};

use crate::{
    context::{Carried, ContextType, ContextValue},
    definition::DefinitionSet,
    event::Origin,
    rows::{ContextValues, Holds, NO_TIME, Rows, Runs, Strings as Texts},
    schema::{Column, Columns, Strings},
};

/// Texts of a batch may take so many bytes before it is full: offsets have 31 bits, memory is bounded.
const MAX_TEXT_BYTES: usize = 64 << 20;
/// Points that go to all columns before the next do: those of one step stay in the first cache.
const STEP: usize = 512;
/// The same where a text is carried, of up to a record's length.
const TEXT_STEP: usize = 32;

/// Makes record batches of one schema.
pub(crate) struct Batcher {
    columns: Columns,
    /// Each column once, and no lines where they are not counted.
    wanted: Vec<Column>,
    definitions: Arc<DefinitionSet>,
    metrics: Arc<StringArray>,
    sources: Arc<StringArray>,
    batch_rows: usize,
    /// Rows of the batch before: as many will probably come again.
    expected: usize,
    filling: Filling,
    /// Columns without any value, by type, as long as the longest batch so far.
    nulls: Vec<ArrayRef>,
    /// Of `job`, `host` and `stream`.
    names: [Growing; 3],
}

/// The values of the batch that is being filled; empty where no column wants them or no row has any.
#[derive(Default)]
struct Filling {
    len: usize,
    metric: Vec<i32>,
    source: Vec<i32>,
    value: Vec<f64>,
    /// Empty while all values are valid.
    valid: Vec<bool>,
    line: Vec<u64>,
    offset: Vec<u64>,
    definition: Vec<i32>,
    number: Vec<u32>,
    /// Microseconds since 1970, or [`NO_TIME`]; empty while no row has one.
    times: Vec<i64>,
    text: Texts,
    labels: Vec<Texts>,
    /// `job`, `host` and `stream` as places in their dictionaries; no longer than to the last row of which anything
    /// is known.
    names: [Vec<Option<i32>>; 3],
    /// The same of ranks.
    ranks: Vec<Option<i32>>,
    context: Vec<Nullable>,
}

/// A column with nulls.
struct Nullable {
    values: ContextValues,
    valid: Vec<bool>,
}

/// The values of a dictionary that goes on over the batches.
#[derive(Default)]
struct Growing {
    ids: HashMap<Arc<str>, i32>,
    names: Vec<Arc<str>>,
    /// Place of the name that was asked for last.
    last: i32,
    array: Option<Arc<StringArray>>,
}

impl Growing {
    /// The place of a name.
    fn id(&mut self, name: &Arc<str>) -> i32 {
        if self.names.get(self.last as usize).is_none_or(|last| last != name) {
            self.last = self.ids.get(name).copied().unwrap_or_else(|| {
                let id = self.names.len() as i32;
                self.ids.insert(name.clone(), id);
                self.names.push(name.clone());
                self.array = None;
                id
            });
        }
        self.last
    }

    fn values(&mut self) -> Arc<StringArray> {
        self.array.get_or_insert_with(|| Arc::new(StringArray::from_iter_values(&self.names))).clone()
    }
}

impl Batcher {
    /// For batches of at most `batch_rows` rows; `sources` are the labels of the sources.
    pub fn new(
        columns: Columns,
        definitions: Arc<DefinitionSet>,
        sources: Arc<StringArray>,
        line_numbers: bool,
        batch_rows: usize,
    ) -> Self {
        let mut wanted: Vec<Column> = Vec::new();
        for column in &columns.columns {
            if !wanted.contains(column) && (line_numbers || *column != Column::Line) {
                wanted.push(column.clone());
            }
        }
        let metrics = Arc::new(StringArray::from_iter_values(definitions.names()));
        let (filling, nulls) = (Filling::default(), Vec::new());
        let batch_rows = batch_rows.max(1);
        Self {
            columns,
            wanted,
            definitions,
            metrics,
            sources,
            batch_rows,
            expected: 0,
            filling,
            nulls,
            names: Default::default(),
        }
    }

    /// Takes the labels of the sources again, after more were added behind them.
    pub fn set_sources(&mut self, sources: Arc<StringArray>) {
        self.sources = sources;
    }

    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Whether no row was added since the last batch.
    pub fn is_empty(&self) -> bool {
        self.filling.len == 0
    }

    pub fn is_full(&self) -> bool {
        self.filling.len >= self.batch_rows || self.filling.text_bytes() >= MAX_TEXT_BYTES
    }

    /// Adds rows from the given one on, as many as the batch has room for; gives the first that was not added.
    /// Lines begin at `line_base`, and open rows of context columns get what is `carried`.
    pub fn add(&mut self, rows: &Rows, from: usize, line_base: u64, carried: &Carried) -> usize {
        let filling = &mut self.filling;
        let end = rows.len().min(from + self.batch_rows - filling.len);
        let room = self.expected.max(end - from);
        filling.labels.resize_with(rows.labels.len(), Default::default);
        if filling.context.is_empty() {
            let context = self.definitions.context().iter();
            filling.context = context.map(|column| Nullable::new(column.kind)).collect();
        }
        // A text that every row gets may be long.
        let texts = self.definitions.context().iter().any(|column| column.kind == ContextType::String);
        let step = if texts { TEXT_STEP } else { STEP };
        for begin in (from..end).step_by(step) {
            let range = begin..end.min(begin + step);
            for column in &self.wanted {
                match column {
                    Column::Context(index) => {
                        let carried = |origin: &_| carried.value(origin, *index);
                        filling.context[*index].extend(&rows.context[*index], range.clone(), carried);
                    }
                    Column::Rank => {
                        fill(&mut filling.ranks, filling.len, &rows.origins, range.clone(), |origin| origin.rank);
                    }
                    Column::Job | Column::Host | Column::Stream => {
                        let (name, places) = (name_column(column), &mut self.names[name_column(column)]);
                        fill(&mut filling.names[name], filling.len, &rows.origins, range.clone(), |origin| {
                            [&origin.job, &origin.host, &origin.stream][name].as_ref().map(|told| places.id(told))
                        });
                    }
                    column => filling.add(column, rows, range.clone(), line_base, &self.definitions, room),
                }
            }
            filling.len += range.len();
            if texts && filling.text_bytes() >= MAX_TEXT_BYTES {
                return range.end;
            }
        }
        end
    }

    /// The batch of the rows added so far.
    pub fn finish(&mut self) -> RecordBatch {
        let mut filled = std::mem::take(&mut self.filling);
        self.expected = filled.len;
        let columns = self.columns.columns.clone();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            // A column may be asked for twice; the second one shares the first one's array.
            let array = match columns[..index].iter().position(|earlier| earlier == column) {
                Some(earlier) => arrays[earlier].clone(),
                None => self.column(column, &mut filled),
            };
            debug_assert_eq!(array.len(), filled.len);
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(filled.len));
        RecordBatch::try_new_with_options(self.columns.schema().clone(), arrays, &options)
            .expect("the arrays are built from the schema's own columns")
    }

    fn column(&mut self, column: &Column, filled: &mut Filling) -> ArrayRef {
        use std::mem::take;
        let len = filled.len;
        match column {
            Column::Metric => {
                self.shared(take(&mut filled.metric), &self.metrics, self.columns.strings == Strings::Plain)
            }
            Column::Source => self.shared(take(&mut filled.source), &self.sources, self.columns.plain_source),
            Column::Value => {
                filled.valid.resize(if filled.valid.is_empty() { 0 } else { len }, true);
                let nulls = (!filled.valid.is_empty()).then(|| NullBuffer::from(take(&mut filled.valid)));
                Arc::new(Float64Array::new(take(&mut filled.value).into(), nulls))
            }
            Column::Line if !filled.line.is_empty() => Arc::new(UInt64Array::from(take(&mut filled.line))),
            Column::Offset => Arc::new(UInt64Array::from(take(&mut filled.offset))),
            Column::Match => Arc::new(UInt32Array::from(take(&mut filled.number))),
            Column::Definition => Arc::new(Int32Array::from(take(&mut filled.definition))),
            Column::Timestamp if !filled.times.is_empty() => {
                filled.times.resize(len, NO_TIME);
                let times = take(&mut filled.times);
                let nulls = times.contains(&NO_TIME).then(|| times.iter().map(|time| *time != NO_TIME).collect());
                Arc::new(TimestampMicrosecondArray::new(times.into(), nulls).with_timezone("UTC"))
            }
            Column::Rank if filled.ranks.iter().any(Option::is_some) => {
                filled.ranks.resize(len, None);
                Arc::new(Int32Array::from(take(&mut filled.ranks)))
            }
            Column::Job | Column::Host | Column::Stream => {
                let mut places = take(&mut filled.names[name_column(column)]);
                if places.iter().all(Option::is_none) {
                    return self.null(column, len);
                }
                places.resize(len, None);
                self.own_dictionary(name_column(column), places)
            }
            Column::Context(index) => {
                std::mem::replace(&mut filled.context[*index], Nullable::new(ContextType::default())).finish()
            }
            Column::Label(index) => strings(take(&mut filled.labels[*index])),
            Column::Text => strings(take(&mut filled.text)),
            Column::Timestamp | Column::Line | Column::Rank => self.null(column, len),
        }
    }

    /// A column without any value. All batches share one.
    fn null(&mut self, column: &Column, len: usize) -> ArrayRef {
        let index = self.columns.columns.iter().position(|known| known == column).expect("the column is in the schema");
        let wanted = self.columns.schema().field(index).data_type();
        let known = self.nulls.iter().position(|array| array.data_type() == wanted);
        if let Some(known) = known {
            if self.nulls[known].len() >= len {
                return self.nulls[known].slice(0, len);
            }
            self.nulls.swap_remove(known);
        }
        let made = new_null_array(wanted, len);
        self.nulls.push(made.clone());
        made
    }

    fn shared(&self, ids: Vec<i32>, names: &Arc<StringArray>, plain: bool) -> ArrayRef {
        if plain {
            return Arc::new(StringArray::from_iter_values(ids.iter().map(|id| names.value(*id as usize))));
        }
        let keys = Int32Array::from(ids);
        Arc::new(DictionaryArray::<Int32Type>::new(keys, names.clone()))
    }

    /// `job`, `host` and `stream`.
    fn own_dictionary(&mut self, column: usize, places: Vec<Option<i32>>) -> ArrayRef {
        let names = &mut self.names[column];
        if self.columns.strings == Strings::Plain {
            let texts = places.iter().map(|place| place.map(|place| &*names.names[place as usize]));
            return Arc::new(texts.collect::<StringArray>());
        }
        Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(places), names.values()))
    }
}

/// Which of the columns of names a column is.
fn name_column(column: &Column) -> usize {
    [Column::Job, Column::Host, Column::Stream].iter().position(|name| name == column).expect("a column of names")
}

/// Adds what the origins of some rows tell to a column, at the batch's row `at`.
fn fill(
    column: &mut Vec<Option<i32>>,
    at: usize,
    origins: &Runs<Origin>,
    rows: Range<usize>,
    mut tell: impl FnMut(&Origin) -> Option<i32>,
) {
    if !origins.is_empty() {
        column.resize(at, None);
        for (origin, count) in origins.of(rows) {
            column.extend(repeat_n(tell(origin), count));
        }
    }
}

impl Filling {
    fn text_bytes(&self) -> usize {
        let texts = self.labels.iter().chain([&self.text]).map(|texts| texts.bytes.len());
        let more = self.context.iter().map(|column| column.values.text_bytes());
        texts.chain(more).sum()
    }

    fn add(
        &mut self,
        column: &Column,
        rows: &Rows,
        range: Range<usize>,
        line_base: u64,
        definitions: &DefinitionSet,
        room: usize,
    ) {
        fn extend<T>(values: &mut Vec<T>, more: impl Iterator<Item = T>, room: usize) {
            if values.is_empty() {
                values.reserve_exact(room);
            }
            values.extend(more);
        }
        let points = rows.points[range.clone()].iter();
        match column {
            Column::Metric => {
                extend(&mut self.metric, points.map(|point| definitions.name_id(point.definition as usize)), room);
            }
            Column::Source => extend(&mut self.source, repeat_n(rows.source, range.len()), room),
            Column::Value => {
                extend(&mut self.value, points.map(|point| point.value), room);
                if !rows.valid.is_empty() {
                    self.valid.resize(self.len, true);
                    self.valid.extend_from_slice(&rows.valid[range]);
                }
            }
            Column::Line => extend(&mut self.line, points.map(|point| line_base + point.line), room),
            Column::Offset => extend(&mut self.offset, points.map(|point| point.offset), room),
            Column::Match => extend(&mut self.number, points.map(|point| point.number), room),
            Column::Definition => extend(&mut self.definition, points.map(|point| point.definition as i32), room),
            Column::Timestamp => {
                if !rows.times.is_empty() || !self.times.is_empty() {
                    self.times.resize(self.len, NO_TIME);
                    self.times.extend(range.map(|row| rows.times.get(row).copied().unwrap_or(NO_TIME)));
                }
            }
            Column::Label(index) => self.labels[*index].extend(&rows.labels[*index], range),
            Column::Text => self.text.extend(&rows.text, range),
            Column::Context(_) | Column::Rank | Column::Job | Column::Host | Column::Stream => {
                unreachable!("these need what the batcher knows")
            }
        }
    }
}

impl Nullable {
    fn new(kind: ContextType) -> Self {
        Self { values: ContextValues::new(kind), valid: Vec::new() }
    }

    /// Adds some rows, those that are open with what was carried to them.
    fn extend<'a>(
        &mut self,
        runs: &'a Runs<Holds>,
        rows: Range<usize>,
        carried: impl Fn(&Origin) -> Option<&'a ContextValue>,
    ) {
        for (holds, count) in runs.of(rows) {
            let value = match holds {
                Holds::Null => None,
                Holds::Value(value) => Some(value),
                Holds::Open(origin) => carried(origin),
            };
            self.values.push(value, count);
            self.valid.extend(repeat_n(value.is_some(), count));
        }
    }

    fn finish(self) -> ArrayRef {
        let nulls = Some(NullBuffer::from(self.valid)).filter(|nulls| nulls.null_count() > 0);
        match self.values {
            ContextValues::Int64(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            ContextValues::Float64(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            ContextValues::String(texts) => strings(texts),
        }
    }
}

fn strings(texts: Texts) -> ArrayRef {
    let nulls = Some(NullBuffer::from(texts.valid)).filter(|nulls| nulls.null_count() > 0);
    let offsets = OffsetBuffer::new(texts.offsets.into());
    Arc::new(StringArray::new(offsets, texts.bytes.into(), nulls))
}
