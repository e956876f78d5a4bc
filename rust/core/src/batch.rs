//! Rows to Arrow record batches.
//!
//! [`Batcher`] holds what all batches of a scan share: the schema and the two dictionaries, metric
//! names and source labels, which never change, so that IPC files, `group_by` and joins work.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, RecordBatchOptions, StringArray,
    UInt32Array, UInt64Array, builder::StringDictionaryBuilder, new_null_array, types::Int32Type,
};
use arrow_buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use crate::{
    definition::DefinitionSet,
    rows::{Point, Rows, Strings as Texts},
    schema::{Column, Columns, Strings},
};

/// Makes record batches of one schema.
pub(crate) struct Batcher {
    columns: Columns,
    definitions: Arc<DefinitionSet>,
    metrics: Arc<StringArray>,
    sources: Arc<StringArray>,
    line_numbers: bool,
    /// Columns without any value, by type, as long as the longest batch so far.
    nulls: Vec<ArrayRef>,
}

impl Batcher {
    pub fn new(columns: Columns, definitions: Arc<DefinitionSet>, sources: &[String], line_numbers: bool) -> Self {
        let metrics = Arc::new(StringArray::from_iter_values(definitions.names()));
        let sources = Arc::new(StringArray::from_iter_values(sources));
        Self { columns, definitions, metrics, sources, line_numbers, nulls: Vec::new() }
    }

    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    pub fn batch(&mut self, rows: Rows) -> RecordBatch {
        let len = rows.len();
        let columns = self.columns.columns.clone();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            // A column may be asked for twice; the second one shares the first one's array.
            let array = match columns[..index].iter().position(|earlier| earlier == column) {
                Some(earlier) => arrays[earlier].clone(),
                None => self.column(column, &rows),
            };
            debug_assert_eq!(array.len(), len);
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(len));
        RecordBatch::try_new_with_options(self.columns.schema().clone(), arrays, &options)
            .expect("the arrays are built from the schema's own columns")
    }

    fn column(&mut self, column: &Column, rows: &Rows) -> ArrayRef {
        fn each<T>(rows: &Rows, value: impl Fn(&Point) -> T) -> ScalarBuffer<T>
        where
            T: arrow_buffer::ArrowNativeType,
        {
            rows.points.iter().map(value).collect::<Vec<T>>().into()
        }
        match column {
            Column::Metric => {
                let ids = rows.points.iter().map(|point| self.definitions.name_id(point.definition as usize));
                self.shared(ids.collect(), &self.metrics, self.columns.strings == Strings::Plain)
            }
            Column::Source => {
                let runs = rows.sources.iter().flat_map(|(source, len)| std::iter::repeat_n(*source, *len));
                self.shared(runs.collect(), &self.sources, self.columns.plain_source)
            }
            Column::Value => {
                let nulls = (!rows.valid.is_empty()).then(|| NullBuffer::new(BooleanBuffer::from(rows.valid.clone())));
                Arc::new(Float64Array::new(each(rows, |point| point.value), nulls))
            }
            Column::Line if self.line_numbers => Arc::new(UInt64Array::new(each(rows, |point| point.line), None)),
            Column::Offset => Arc::new(UInt64Array::new(each(rows, |point| point.offset), None)),
            Column::Match => Arc::new(UInt32Array::new(each(rows, |point| point.number), None)),
            Column::Definition => Arc::new(Int32Array::new(each(rows, |point| point.definition as i32), None)),
            Column::Rank if !rows.rank.is_empty() => Arc::new(Int32Array::from(rows.rank.clone())),
            Column::Job if !rows.origin[0].valid.is_empty() => self.own_dictionary(&rows.origin[0]),
            Column::Host if !rows.origin[1].valid.is_empty() => self.own_dictionary(&rows.origin[1]),
            Column::Stream if !rows.origin[2].valid.is_empty() => self.own_dictionary(&rows.origin[2]),
            Column::Label(index) => strings(&rows.labels[*index]),
            Column::Text => strings(&rows.text),
            Column::Timestamp | Column::Line | Column::Rank | Column::Job | Column::Host | Column::Stream => {
                self.null(column, rows.len())
            }
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

    /// `job`, `host` and `stream`: labels of that name fill them.
    fn own_dictionary(&self, texts: &Texts) -> ArrayRef {
        let values = (0..texts.valid.len()).map(|row| texts.get(row));
        if self.columns.strings == Strings::Plain {
            return Arc::new(values.collect::<StringArray>());
        }
        let mut builder = StringDictionaryBuilder::<Int32Type>::new();
        values.for_each(|value| builder.append_option(value));
        Arc::new(builder.finish())
    }
}

fn strings(texts: &Texts) -> ArrayRef {
    let nulls = NullBuffer::new(BooleanBuffer::from(texts.valid.clone()));
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    let offsets = OffsetBuffer::new(texts.offsets.clone().into());
    Arc::new(StringArray::new(offsets, texts.bytes.clone().into(), nulls))
}
