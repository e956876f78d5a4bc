//! One column of a row group: what stands in its pages, and its statistics.

use std::collections::HashMap;

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, StringArray,
    cast::AsArray,
    types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt32Type, UInt64Type},
};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::{
    basic::Encoding,
    data_type::ByteArray,
    file::statistics::{Statistics, ValueStatistics},
};

use super::{
    hybrid::{push_bits, push_numbers, push_run, width_below},
    packed::{Integer, push_integers},
};

/// Longer texts are no statistics.
const MAX_STATISTIC: usize = 64;
/// Texts are a dictionary while at most one in so many differs from all before it, or while there are few of them.
const REPEATED: usize = 4;
const FEW: usize = 64;
const COMPRESSION_LEVEL: i32 = 1;
/// Of a name in a dictionary, until its place among those that stand in a row is known.
const UNUSED: u32 = u32::MAX;
const USED: u32 = UNUSED - 1;
/// Numbers that are looked at together.
const LANES: usize = 8;

/// A column of a row group.
pub(super) struct Chunk {
    /// Number of values and page, if there is a dictionary.
    pub dictionary: Option<(usize, Content)>,
    pub data: Content,
    pub encoding: Encoding,
    pub compressed: bool,
    pub statistics: Statistics,
}

/// What stands in a page.
pub(super) struct Content {
    pub bytes: Bytes,
    /// Number of bytes before they were compressed.
    pub unpacked: usize,
}

/// Encodes a column of one of the types that points have.
pub(super) fn encode(array: &ArrayRef, nullable: bool) -> Chunk {
    let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    let mut page = Vec::new();
    if nullable {
        push_levels(&mut page, nulls.as_ref(), array.len());
    }
    let column = Column { page, nulls, len: array.len() };
    if column.count_nulls() == column.len {
        return column.without_values(array.data_type());
    }
    match array.data_type() {
        DataType::Float64 => column.floats(array.as_primitive()),
        DataType::Int32 => column.integers::<Int32Type, i32>(array.as_primitive(), |value| value),
        DataType::UInt32 => column.integers::<UInt32Type, i32>(array.as_primitive(), |value| value as i32),
        DataType::Int64 => column.integers::<Int64Type, i64>(array.as_primitive(), |value| value),
        DataType::UInt64 => column.integers::<UInt64Type, i64>(array.as_primitive(), |value| value as i64),
        DataType::Timestamp(..) => {
            column.integers::<TimestampMicrosecondType, i64>(array.as_primitive(), |value| value)
        }
        DataType::Utf8 => column.texts(array.as_string()),
        DataType::Dictionary(..) => {
            let array = array.as_dictionary::<Int32Type>();
            column.names(array.keys().values(), array.values().as_string())
        }
        other => unreachable!("the encoder was not made for {other}"),
    }
}

/// The page of a column that is being written: levels are there, values come.
struct Column {
    page: Vec<u8>,
    nulls: Option<NullBuffer>,
    len: usize,
}

fn push_levels(page: &mut Vec<u8>, nulls: Option<&NullBuffer>, len: usize) {
    let start = page.len();
    page.extend_from_slice(&[0; 4]);
    match nulls {
        None => push_run(page, 1, len, 1),
        Some(nulls) if nulls.null_count() == len => push_run(page, 0, len, 1),
        Some(nulls) => push_bits(page, nulls.inner()),
    }
    let size = (page.len() - start - 4) as u32;
    page[start..start + 4].copy_from_slice(&size.to_le_bytes());
}

impl Column {
    fn count_nulls(&self) -> usize {
        self.nulls.as_ref().map_or(0, NullBuffer::null_count)
    }

    /// The rows that have a value.
    fn valid(&self) -> impl Iterator<Item = usize> {
        (0..self.len).filter(|row| self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row)))
    }

    fn finish(self, encoding: Encoding, statistics: Statistics) -> Chunk {
        Chunk { dictionary: None, data: self.page.into(), encoding, compressed: false, statistics }
    }

    fn statistics<T>(&self, bounds: Option<(T, T)>) -> ValueStatistics<T> {
        let (least, most) = bounds.unzip();
        ValueStatistics::new(least, most, None, Some(self.count_nulls() as u64), false)
    }

    fn without_values(self, kind: &DataType) -> Chunk {
        let statistics = match kind {
            DataType::Float64 => Statistics::Double(self.statistics(None)),
            DataType::Int32 | DataType::UInt32 => Statistics::Int32(self.statistics(None)),
            DataType::Utf8 | DataType::Dictionary(..) => Statistics::ByteArray(self.statistics(None)),
            _ => Statistics::Int64(self.statistics(None)),
        };
        self.finish(Encoding::PLAIN, statistics)
    }

    fn floats(mut self, array: &PrimitiveArray<Float64Type>) -> Chunk {
        let values = self.values(array);
        let (least, most, nan) = float_bounds(&values);
        let bounds = (nan < values.len()).then_some((least, most));
        let statistics = self.statistics(bounds).with_nan_count(Some(nan as u64));
        if self.page.is_empty() {
            // No levels: the column as it is in memory.
            let chunk = self.finish(Encoding::PLAIN, Statistics::Double(statistics));
            return Chunk { data: Bytes::from_owner(Shared(values.into_inner())).into(), ..chunk };
        }
        self.page.extend_from_slice(values.inner());
        self.finish(Encoding::PLAIN, Statistics::Double(statistics))
    }

    fn integers<A, T>(mut self, array: &PrimitiveArray<A>, stored: impl Fn(A::Native) -> T) -> Chunk
    where
        A: ArrowPrimitiveType<Native: Ord>,
        T: Integer + arrow_buffer::ArrowNativeType,
        Statistics: From<ValueStatistics<T>>,
    {
        let values = self.values(array);
        // Lines and offsets grow.
        let bounds = if values.is_sorted() {
            values.first().zip(values.last())
        } else {
            values.iter().min().zip(values.iter().max())
        };
        let statistics = self.statistics(bounds.map(|(least, most)| (stored(*least), stored(*most))));
        // Unsigned numbers are stored as the signed ones with their bits.
        let numbers = ScalarBuffer::<T>::from(values.into_inner());
        if push_integers(&mut self.page, &numbers) {
            return self.finish(Encoding::DELTA_BINARY_PACKED, statistics.into());
        }
        self.page.extend_from_slice(numbers.inner());
        self.finish(Encoding::PLAIN, statistics.into())
    }

    /// The values without nulls.
    fn values<A: ArrowPrimitiveType>(&self, array: &PrimitiveArray<A>) -> ScalarBuffer<A::Native> {
        if self.nulls.is_none() { array.values().clone() } else { array.iter().flatten().collect() }
    }

    /// A dictionary, of which those that stand in a row are written.
    fn names(self, keys: &[i32], names: &StringArray) -> Chunk {
        let valid: Vec<i32>;
        let keys = match self.nulls {
            None => keys,
            Some(_) => {
                valid = self.valid().map(|row| keys[row]).collect();
                &valid
            }
        };
        if keys.iter().all(|key| *key == keys[0]) {
            return self.dictionary(&[names.value(keys[0] as usize)], &vec![0; keys.len()]);
        }
        let mut places = vec![UNUSED; names.len()];
        for key in keys {
            places[*key as usize] = USED;
        }
        let mut used = Vec::new();
        for (name, place) in places.iter_mut().enumerate().filter(|(_, place)| **place == USED) {
            *place = used.len() as u32;
            used.push(names.value(name));
        }
        let indices: Vec<u32> = keys.iter().map(|key| places[*key as usize]).collect();
        self.dictionary(&used, &indices)
    }

    fn dictionary(mut self, used: &[&str], indices: &[u32]) -> Chunk {
        let mut dictionary = Vec::new();
        for name in used {
            push_text(&mut dictionary, name);
        }
        let width = width_below(used.len());
        self.page.push(width as u8);
        push_numbers(&mut self.page, indices, width);
        let statistics = self.text_statistics(used.iter().min().zip(used.iter().max()).map(|(a, b)| (*a, *b)));
        let chunk = self.finish(Encoding::RLE_DICTIONARY, statistics);
        Chunk { dictionary: Some((used.len(), dictionary.into())), ..chunk }
    }

    fn texts(mut self, array: &StringArray) -> Chunk {
        if let Some((used, indices)) = self.repeated(array) {
            return self.dictionary(&used, &indices).compressed();
        }
        let mut bounds: Option<(&str, &str)> = None;
        let mut page = std::mem::take(&mut self.page);
        for row in self.valid() {
            let text = array.value(row);
            push_text(&mut page, text);
            bounds = Some(bounds.map_or((text, text), |(least, most)| (least.min(text), most.max(text))));
        }
        self.page = page;
        let statistics = self.text_statistics(bounds);
        self.finish(Encoding::PLAIN, statistics).compressed()
    }

    /// The texts as a dictionary and places in it, if few of them differ.
    fn repeated<'a>(&self, array: &'a StringArray) -> Option<(Vec<&'a str>, Vec<u32>)> {
        let mut places: HashMap<&str, u32> = HashMap::new();
        let (mut used, mut indices): (Vec<&str>, Vec<u32>) = Default::default();
        for row in self.valid() {
            let text = array.value(row);
            let last = indices.last().filter(|last| used[**last as usize] == text).copied();
            indices.push(last.unwrap_or_else(|| {
                *places.entry(text).or_insert_with(|| {
                    used.push(text);
                    used.len() as u32 - 1
                })
            }));
            if used.len() > FEW.max(indices.len() / REPEATED) {
                return None;
            }
        }
        Some((used, indices))
    }

    fn text_statistics(&self, bounds: Option<(&str, &str)>) -> Statistics {
        let short = bounds.filter(|(least, most)| least.len().max(most.len()) <= MAX_STATISTIC);
        Statistics::ByteArray(
            self.statistics(short.map(|(least, most)| (ByteArray::from(least), ByteArray::from(most)))),
        )
    }
}

impl Chunk {
    fn compressed(mut self) -> Self {
        self.compressed = true;
        self.data.compress();
        if let Some((_, content)) = &mut self.dictionary {
            content.compress();
        }
        self
    }
}

impl Content {
    fn compress(&mut self) {
        let packed = zstd::bulk::compress(&self.bytes, COMPRESSION_LEVEL);
        self.bytes = packed.expect("Zstandard takes any bytes").into();
    }
}

impl<T: Into<Bytes>> From<T> for Content {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self { unpacked: bytes.len(), bytes }
    }
}

/// Memory of an array as the bytes of a page.
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The least and the greatest of some numbers, and how many of them are NaN, which is neither. A zero stands for both.
fn float_bounds(values: &[f64]) -> (f64, f64, usize) {
    let (mut least, mut most, mut nan) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES], [0_u64; LANES]);
    let (whole, rest) = values.as_chunks::<LANES>();
    let mut last = [f64::NAN; LANES];
    last[..rest.len()].copy_from_slice(rest);
    for lanes in whole.iter().chain([&last]) {
        for (lane, value) in lanes.iter().enumerate() {
            least[lane] = if *value < least[lane] { *value } else { least[lane] };
            most[lane] = if *value > most[lane] { *value } else { most[lane] };
            nan[lane] += u64::from(value.is_nan());
        }
    }
    let least = least.into_iter().fold(f64::INFINITY, f64::min);
    let most = most.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let nan = nan.iter().sum::<u64>() as usize - (LANES - rest.len());
    (if least == 0.0 { -0.0 } else { least }, if most == 0.0 { 0.0 } else { most }, nan)
}

fn push_text(page: &mut Vec<u8>, text: &str) {
    page.extend_from_slice(&(text.len() as u32).to_le_bytes());
    page.extend_from_slice(text.as_bytes());
}
