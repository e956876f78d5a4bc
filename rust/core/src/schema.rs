//! The columns: names, types, nullability. The only place that knows them.
//!
//! [`Columns`] is made from the definitions and the options alone, before anything is read; `batch`
//! fills it. Names and types are public promises.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::{
    context::ContextType,
    definition::DefinitionSet,
    error::{Error, ErrorKind},
};

/// Label names that fill a column of the source instead of making one.
pub(crate) const SOURCE_LABELS: [&str; 4] = ["job", "host", "stream", "rank"];
/// Names a label may not have.
pub(crate) const RESERVED_COLUMNS: [&str; 9] =
    ["metric", "value", "timestamp", "source", "line", "offset", "definition", "match", "text"];
/// More sources than this are written as plain strings: one dictionary of them would be too large.
pub const MAX_SOURCE_DICTIONARY: usize = 65_536;

/// How text columns are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strings {
    /// `dictionary<int32, string>`.
    #[default]
    Dictionary,
    /// `string`, for consumers that know no dictionaries.
    Plain,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Column {
    Metric,
    Value,
    Timestamp,
    Source,
    Line,
    Offset,
    Job,
    Host,
    Stream,
    Rank,
    Context(usize),
    Label(usize),
    Definition,
    Match,
    Text,
}

/// The columns of a scan, in their order.
#[derive(Debug, Clone)]
pub struct Columns {
    pub(crate) columns: Vec<Column>,
    pub(crate) strings: Strings,
    pub(crate) plain_source: bool,
    schema: SchemaRef,
}

/// What of the arguments decides the schema.
#[derive(Debug, Clone, Default)]
pub struct ColumnOptions {
    /// The wanted columns, in this order; None for all but `definition`, `match` and `text`.
    pub columns: Option<Vec<String>>,
    /// How text columns are typed.
    pub strings: Strings,
    /// Whether `value` may be null: rejects are rows.
    pub nullable_value: bool,
    /// Number of sources.
    pub sources: usize,
}

impl Columns {
    /// The columns for these definitions; an unknown name is an error that lists the known ones.
    pub fn new(definitions: &DefinitionSet, options: &ColumnOptions) -> Result<Self, Error> {
        let known = known_columns(definitions);
        let columns: Vec<Column> = match &options.columns {
            None => known
                .iter()
                .filter(|(_, column)| !matches!(column, Column::Definition | Column::Match | Column::Text))
                .map(|(_, column)| column.clone())
                .collect(),
            Some(names) => {
                let find = |name: &String| {
                    known.iter().find(|(known, _)| known == name).map(|(_, column)| column.clone()).ok_or_else(|| {
                        let all: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
                        Error::new(ErrorKind::Option, format!("there is no column '{name}'"))
                            .with_hint(format!("the columns are {}", all.join(", ")))
                    })
                };
                names.iter().map(find).collect::<Result<_, _>>()?
            }
        };
        let plain_source = options.strings == Strings::Plain || options.sources > MAX_SOURCE_DICTIONARY;
        let fields: Vec<Field> =
            columns.iter().map(|column| field(column, definitions, options, plain_source)).collect();
        Ok(Self { columns, strings: options.strings, plain_source, schema: Arc::new(Schema::new(fields)) })
    }

    /// The Arrow schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn has(&self, column: &Column) -> bool {
        self.columns.contains(column)
    }
}

fn known_columns(definitions: &DefinitionSet) -> Vec<(String, Column)> {
    let mut known: Vec<(String, Column)> = [
        ("metric", Column::Metric),
        ("value", Column::Value),
        ("timestamp", Column::Timestamp),
        ("source", Column::Source),
        ("line", Column::Line),
        ("offset", Column::Offset),
        ("job", Column::Job),
        ("host", Column::Host),
        ("stream", Column::Stream),
        ("rank", Column::Rank),
    ]
    .map(|(name, column)| (name.to_owned(), column))
    .into();
    let context = definitions.context().iter().enumerate();
    known.extend(context.map(|(index, column)| (column.name.clone(), Column::Context(index))));
    let labels = definitions.labels().iter().enumerate();
    known.extend(labels.map(|(index, name)| (name.clone(), Column::Label(index))));
    let on_request = [("definition", Column::Definition), ("match", Column::Match), ("text", Column::Text)];
    known.extend(on_request.map(|(name, column)| (name.to_owned(), column)));
    known
}

fn field(column: &Column, definitions: &DefinitionSet, options: &ColumnOptions, plain_source: bool) -> Field {
    let dictionary = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let text = |plain: bool| if plain { DataType::Utf8 } else { dictionary() };
    let plain = options.strings == Strings::Plain;
    match column {
        Column::Metric => Field::new("metric", text(plain), false),
        Column::Value => Field::new("value", DataType::Float64, options.nullable_value),
        Column::Timestamp => {
            Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
        }
        Column::Source => Field::new("source", text(plain_source), false),
        Column::Line => Field::new("line", DataType::UInt64, true),
        Column::Offset => Field::new("offset", DataType::UInt64, false),
        Column::Job => Field::new("job", text(plain), true),
        Column::Host => Field::new("host", text(plain), true),
        Column::Stream => Field::new("stream", text(plain), true),
        Column::Rank => Field::new("rank", DataType::Int32, true),
        Column::Context(index) => {
            let column = &definitions.context()[*index];
            let kind = match column.kind {
                ContextType::Int64 => DataType::Int64,
                ContextType::Float64 => DataType::Float64,
                ContextType::String => DataType::Utf8,
            };
            Field::new(&column.name, kind, true)
        }
        Column::Label(index) => Field::new(&definitions.labels()[*index], DataType::Utf8, true),
        Column::Definition => Field::new("definition", DataType::Int32, false),
        Column::Match => Field::new("match", DataType::UInt32, false),
        Column::Text => Field::new("text", DataType::Utf8, true),
    }
}
