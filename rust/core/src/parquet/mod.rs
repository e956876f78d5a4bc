//! Record batches to the bytes of a Parquet file: a row group a batch.
//!
//! The crate `parquet` knows the format: page headers, statistics, the footer. What stands in the pages is encoded
//! here, because it has to cost little beside finding the points: numbers are packed or copied as they are,
//! dictionaries stay dictionaries, a column without a value costs nothing, and texts alone are compressed. Each column
//! of a row group is one page.

mod column;
mod hybrid;
mod packed;

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use parquet::{
    basic::{Compression, ConvertedType, Encoding, LogicalType, Repetition, TimeUnit as Unit, Type as Physical},
    column::page::{CompressedPage, Page, PageWriter},
    file::{
        metadata::{
            ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
        },
        writer::{SerializedPageWriter, TrackedWrite},
    },
    schema::types::{ColumnDescPtr, SchemaDescriptor, Type, TypePtr},
};

use column::{Chunk, Content};

const MAGIC: &[u8; 4] = b"PAR1";
/// Rows of a row group at most: a page of so many numbers has 8 MiB.
const MAX_ROWS: usize = 1 << 20;

/// Encodes the batches of one schema; the bytes it gives, one after the other, are a Parquet file.
#[derive(Debug)]
pub struct ParquetEncoder {
    types: Vec<DataType>,
    schema: Arc<SchemaDescriptor>,
    metadata: Vec<KeyValue>,
    /// Bytes given before those that are held.
    position: usize,
    /// Whether the beginning of the file was given.
    is_begun: bool,
    /// The bytes that are given; their memory is used again.
    out: Vec<u8>,
    groups: Vec<RowGroupMetaData>,
}

impl ParquetEncoder {
    /// For batches of this schema; `metadata` goes to the file's. None if there is a type of column that it does not
    /// write: it knows those of points.
    pub fn new(schema: &Schema, metadata: Vec<(String, String)>) -> Option<Self> {
        let fields = schema.fields().iter().map(|field| parquet_field(field)).collect::<Option<Vec<_>>>()?;
        let root = Type::group_type_builder("schema").with_fields(fields).build().ok()?;
        Some(Self {
            types: schema.fields().iter().map(|field| field.data_type().clone()).collect(),
            schema: Arc::new(SchemaDescriptor::new(Arc::new(root))),
            metadata: metadata.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
            position: 0,
            is_begun: false,
            out: MAGIC.to_vec(),
            groups: Vec::new(),
        })
    }

    /// The bytes of a batch, behind those that were given before.
    ///
    /// # Panics
    ///
    /// Panics if the batch is of another schema.
    pub fn encode(&mut self, batch: &RecordBatch) -> &[u8] {
        assert!(
            batch.columns().iter().map(|array| array.data_type()).eq(&self.types),
            "the batch has other columns than the file"
        );
        self.go_on();
        for start in (0..batch.num_rows()).step_by(MAX_ROWS) {
            let rows = MAX_ROWS.min(batch.num_rows() - start);
            self.row_group(&batch.slice(start, rows));
        }
        &self.out
    }

    /// The last bytes of the file, with `more` of its metadata. Nothing may come behind them.
    pub fn finish(&mut self, more: Vec<(String, String)>) -> &[u8] {
        self.go_on();
        self.metadata.extend(more.into_iter().map(|(key, value)| KeyValue::new(key, value)));
        let by = concat!("metricsieve version ", env!("CARGO_PKG_VERSION"));
        let rows = self.groups.iter().map(RowGroupMetaData::num_rows).sum();
        let metadata = Some(std::mem::take(&mut self.metadata));
        let file = FileMetaData::new(2, rows, Some(by.to_owned()), metadata, self.schema.clone(), None);
        let metadata = ParquetMetaData::new(file, std::mem::take(&mut self.groups));
        ParquetMetaDataWriter::new(&mut self.out, &metadata).finish().expect("memory takes what is written");
        &self.out
    }

    /// Forgets what was given; the beginning of the file is given with the first batch, or the end.
    fn go_on(&mut self) {
        if !std::mem::replace(&mut self.is_begun, true) {
            return;
        }
        self.position += self.out.len();
        self.out.clear();
    }

    fn row_group(&mut self, batch: &RecordBatch) {
        let start = self.position + self.out.len();
        let schema = self.schema.clone();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (array, description) in batch.columns().iter().zip(schema.columns()) {
            let nullable = description.max_def_level() > 0;
            columns.push(self.write(column::encode(array, nullable), batch.num_rows(), description));
        }
        let group = RowGroupMetaData::builder(schema)
            .set_num_rows(batch.num_rows() as i64)
            .set_total_byte_size(columns.iter().map(ColumnChunkMetaData::uncompressed_size).sum())
            .set_column_metadata(columns)
            .set_file_offset(start as i64)
            .set_ordinal(self.groups.len() as i32);
        self.groups.push(group.build().expect("there is a chunk a column"));
    }

    fn write(&mut self, chunk: Chunk, rows: usize, description: &ColumnDescPtr) -> ColumnChunkMetaData {
        let mut encodings = vec![Encoding::RLE, chunk.encoding];
        let mut dictionary_at = None;
        let (mut packed, mut unpacked) = (0, 0);
        let mut page = |content: Content, page: &dyn Fn(Bytes) -> Page| {
            let offset = self.position + self.out.len();
            let page = CompressedPage::new(page(content.bytes), content.unpacked);
            let mut sink = TrackedWrite::new(&mut self.out);
            let written = SerializedPageWriter::new(&mut sink).write_page(page).expect("memory takes what is written");
            sink.into_inner().expect("memory takes what is written");
            packed += written.compressed_size as i64;
            unpacked += written.uncompressed_size as i64;
            offset as i64
        };
        if let Some((values, content)) = chunk.dictionary {
            encodings.push(Encoding::PLAIN);
            dictionary_at = Some(page(content, &|buf| Page::DictionaryPage {
                buf,
                num_values: values as u32,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            }));
        }
        let data_at = page(chunk.data, &|buf| Page::DataPage {
            buf,
            num_values: rows as u32,
            encoding: chunk.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        });
        let metadata = ColumnChunkMetaData::builder(description.clone())
            .set_encodings(encodings)
            .set_compression(if chunk.compressed {
                Compression::ZSTD(Default::default())
            } else {
                Compression::UNCOMPRESSED
            })
            .set_num_values(rows as i64)
            .set_total_compressed_size(packed)
            .set_total_uncompressed_size(unpacked)
            .set_data_page_offset(data_at)
            .set_dictionary_page_offset(dictionary_at)
            .set_statistics(chunk.statistics);
        metadata.build().expect("everything is set")
    }
}

/// How Parquet names a column; None for types that points do not have.
fn parquet_field(field: &Field) -> Option<TypePtr> {
    let (physical, logical) = match field.data_type() {
        DataType::Float64 => (Physical::DOUBLE, None),
        DataType::Int32 => (Physical::INT32, None),
        DataType::Int64 => (Physical::INT64, None),
        DataType::UInt32 => (Physical::INT32, Some(LogicalType::integer(32, false))),
        DataType::UInt64 => (Physical::INT64, Some(LogicalType::integer(64, false))),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            (Physical::INT64, Some(LogicalType::timestamp(zone.is_some(), Unit::MICROS)))
        }
        DataType::Utf8 => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        DataType::Dictionary(key, value) if **key == DataType::Int32 && **value == DataType::Utf8 => {
            (Physical::BYTE_ARRAY, Some(LogicalType::String))
        }
        _ => return None,
    };
    let repetition = if field.is_nullable() { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let converted = ConvertedType::from(logical.clone());
    let made = Type::primitive_type_builder(field.name(), physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .with_converted_type(converted);
    made.build().ok().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Float64Array};
    use parquet::{
        file::{
            reader::{FileReader, SerializedFileReader},
            statistics::Statistics,
        },
        record::RowAccessor,
    };

    use super::*;

    fn read(values: &[f64]) -> SerializedFileReader<Bytes> {
        let array: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        let batch = RecordBatch::try_from_iter([("value", array)]).unwrap();
        let mut encoder = ParquetEncoder::new(&batch.schema(), Vec::new()).unwrap();
        let mut file = encoder.encode(&batch).to_vec();
        file.extend(encoder.finish(Vec::new()));
        SerializedFileReader::new(file.into()).unwrap()
    }

    #[test]
    fn bounds_of_floats_leave_nan_out() {
        let bounds = |values: &[f64]| {
            let file = read(values);
            let Some(Statistics::Double(found)) = file.metadata().row_group(0).column(0).statistics().cloned() else {
                panic!("a column of floats has statistics of floats");
            };
            let bits = |bound: Option<&f64>| bound.map(|bound| bound.to_bits());
            (bits(found.min_opt()), bits(found.max_opt()), found.nan_count_opt())
        };
        let expected = |least: f64, most: f64, nan| (Some(least.to_bits()), Some(most.to_bits()), Some(nan));
        assert_eq!(bounds(&[2.0, f64::NAN, -1.5, f64::INFINITY]), expected(-1.5, f64::INFINITY, 1));
        assert_eq!(bounds(&[0.0]), expected(-0.0, 0.0, 0));
        assert_eq!(bounds(&[-0.0]), expected(-0.0, 0.0, 0));
        assert_eq!(bounds(&[f64::NAN, f64::NAN]), (None, None, Some(2)));
    }

    #[test]
    fn a_file_may_have_no_batch() {
        let schema = Schema::new(vec![Field::new("value", DataType::Float64, false)]);
        let mut encoder = ParquetEncoder::new(&schema, Vec::new()).unwrap();
        let file = SerializedFileReader::new(Bytes::copy_from_slice(encoder.finish(Vec::new()))).unwrap();
        assert_eq!((file.metadata().num_row_groups(), file.metadata().file_metadata().num_rows()), (0, 0));
    }

    #[test]
    fn floats_keep_their_bits() {
        let values = [0.0, -0.0, 5e-324, f64::MAX, f64::NAN, f64::NEG_INFINITY];
        let file = read(&values);
        let rows = file.get_row_iter(None).unwrap().map(|row| row.unwrap().get_double(0).unwrap().to_bits());
        assert_eq!(rows.collect::<Vec<_>>(), values.map(f64::to_bits));
    }
}
