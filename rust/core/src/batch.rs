//! Rows to Arrow record batches.
//!
//! [`Batcher`] holds what all batches of a scan share: the schema and the two dictionaries, metric
//! names and source labels, which never change, so that IPC files, `group_by` and joins work.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array, builder::StringDictionaryBuilder, types::Int32Type,
};
use arrow_buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use crate::{
    definition::DefinitionSet,
    rows::{Rows, Strings as Texts},
    schema::{Column, Columns, Strings},
};

/// Makes record batches of one schema.
pub(crate) struct Batcher {
    columns: Columns,
    definitions: Arc<DefinitionSet>,
    metrics: Arc<StringArray>,
    sources: Arc<StringArray>,
    line_numbers: bool,
}

impl Batcher {
    pub fn new(columns: Columns, definitions: Arc<DefinitionSet>, sources: &[String], line_numbers: bool) -> Self {
        let metrics = Arc::new(StringArray::from_iter_values(definitions.names()));
        Self { columns, definitions, metrics, sources: Arc::new(StringArray::from_iter_values(sources)), line_numbers }
    }

    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    pub fn batch(&self, rows: Rows) -> RecordBatch {
        let len = rows.len();
        let Rows { definition, value, valid, source, line, offset, number, text, labels, origin, rank } = rows;
        let [job, host, stream] = origin;
        let (mut value, mut line, mut offset, mut number) = (Some(value), Some(line), Some(offset), Some(number));
        let mut text = Some(text);
        let mut labels: Vec<Option<Texts>> = labels.into_iter().map(Some).collect();
        let mut build = |column: &Column| -> ArrayRef {
            match column {
                Column::Metric => {
                    let ids = definition.iter().map(|id| self.definitions.name_id(*id as usize)).collect();
                    self.shared(ids, &self.metrics, self.columns.strings == Strings::Plain)
                }
                Column::Source => self.shared(source.clone(), &self.sources, self.columns.plain_source),
                Column::Value => {
                    let nulls = (!valid.is_empty()).then(|| NullBuffer::new(BooleanBuffer::from(valid.clone())));
                    Arc::new(Float64Array::new(once(&mut value), nulls))
                }
                Column::Timestamp => Arc::new(TimestampMicrosecondArray::new_null(len).with_timezone("UTC")),
                Column::Line if self.line_numbers => Arc::new(UInt64Array::new(once(&mut line), None)),
                Column::Line => Arc::new(UInt64Array::new_null(len)),
                Column::Offset => Arc::new(UInt64Array::new(once(&mut offset), None)),
                Column::Match => Arc::new(UInt32Array::new(once(&mut number), None)),
                Column::Definition => Arc::new(Int32Array::from(definition.clone())),
                Column::Rank if rank.is_empty() => Arc::new(Int32Array::new_null(len)),
                Column::Rank => Arc::new(Int32Array::from(rank.clone())),
                Column::Job => self.own_dictionary(&job, len),
                Column::Host => self.own_dictionary(&host, len),
                Column::Stream => self.own_dictionary(&stream, len),
                Column::Label(index) => strings(labels[*index].take().unwrap_or_default()),
                Column::Text => strings(text.take().unwrap_or_default()),
            }
        };
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.columns.len());
        for (index, column) in self.columns.columns.iter().enumerate() {
            // A column may be asked for twice; the second one shares the first one's array.
            let array = match self.columns.columns[..index].iter().position(|earlier| earlier == column) {
                Some(earlier) => arrays[earlier].clone(),
                None => build(column),
            };
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(len));
        RecordBatch::try_new_with_options(self.columns.schema().clone(), arrays, &options)
            .expect("the arrays are built from the schema's own columns")
    }

    fn shared(&self, ids: Vec<i32>, names: &Arc<StringArray>, plain: bool) -> ArrayRef {
        if plain {
            return Arc::new(StringArray::from_iter_values(ids.iter().map(|id| names.value(*id as usize))));
        }
        let keys = Int32Array::from(ids);
        Arc::new(DictionaryArray::<Int32Type>::new(keys, names.clone()))
    }

    /// `job`, `host` and `stream`: labels of that name fill them.
    fn own_dictionary(&self, texts: &Texts, len: usize) -> ArrayRef {
        let values = (0..len).map(|row| texts.valid.get(row).and_then(|_| texts.get(row)));
        if self.columns.strings == Strings::Plain {
            return Arc::new(values.collect::<StringArray>());
        }
        let mut builder = StringDictionaryBuilder::<Int32Type>::new();
        values.for_each(|value| builder.append_option(value));
        Arc::new(builder.finish())
    }
}

fn once<T>(values: &mut Option<Vec<T>>) -> ScalarBuffer<T>
where
    T: arrow_buffer::ArrowNativeType,
{
    values.take().unwrap_or_default().into()
}

fn strings(texts: Texts) -> ArrayRef {
    let nulls = NullBuffer::new(BooleanBuffer::from(texts.valid));
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    Arc::new(StringArray::new(OffsetBuffer::new(texts.offsets.into()), texts.bytes.into(), nulls))
}
