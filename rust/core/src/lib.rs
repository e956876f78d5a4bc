//! Turns training logs into metric points: many regular expressions, one pass, Arrow out.
//!
//! Bytes take this way through the crate; each step is a module:
//!
//! | step | module | what it does |
//! | --- | --- | --- |
//! | definitions | `definition`, `dialect` | names and Python-`re` patterns, translated and checked |
//! | bytes | `source`, `encoding` | files, decompressed; UTF-16 transcoded |
//! | wrappings | `envelope`, `event`, `timestamp` | what shippers put around messages: when, who, where |
//! | records | `record` | blocks of whole records, whatever the chunks |
//! | one pass | `survey` | record ends, line feeds, escapes and places of literals of a block |
//! | candidates | `prefilter` | literals that a match must hold |
//! | text | `normalize` | escapes and terminal sequences taken off, for candidates only |
//! | matches | `matcher` | which definitions match, and where their groups stand |
//! | context | `context` | what a record, or one before it, says beside the metrics |
//! | values | `value`, `number` | captured text to `f64`, or a counted reject |
//! | rows | `extract`, `state`, `rows`, `batch`, `schema` | points to Arrow record batches |
//! | files | `parquet` | record batches to the bytes of a Parquet file |
//! | many sources | `unit`, `range`, `scan`, `report` | threads, splits, order, the account |
//! | live sources | `follow`, `position` | turns that end at a position and go on from there |
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use metricsieve_core::{ColumnOptions, Decoder, Definition, DefinitionSet, ExtractOptions, Matcher, Strategy};
//!
//! let loss = Definition::new("loss", r"'loss': ([-+.\deE]+)");
//! let set = DefinitionSet::new(vec![loss], true).map_err(|mut errors| errors.remove(0))?;
//! let matcher = Arc::new(Matcher::new(Arc::new(set), Strategy::Prefiltered));
//! let mut decoder = Decoder::new(matcher, "train.log", ColumnOptions::default(), ExtractOptions::default())?;
//! decoder.decode(b"{'loss': 0.5, 'epoch': 1}\n{'lo")?;
//! decoder.decode(b"ss': 2.5e-1, 'epoch': 2}\n")?;
//! decoder.finish()?;
//! assert_eq!(decoder.flush().unwrap().num_rows(), 2);
//! assert_eq!(decoder.report().definitions[0].values.last(), Some(0.25));
//! # Ok::<(), metricsieve_core::Error>(())
//! ```

mod batch;
mod compiled_size;
mod context;
mod decoder;
mod definition;
mod dialect;
mod encoding;
mod envelope;
mod error;
mod event;
mod extract;
mod finder;
mod follow;
mod matcher;
mod normalize;
mod number;
mod parquet;
mod position;
mod prefilter;
mod queue;
mod range;
mod record;
mod report;
mod rows;
mod scan;
mod schema;
mod source;
mod state;
mod survey;
mod timestamp;
mod unit;
mod value;

pub use context::{CarriedContext, CarriedValue, ContextColumn, ContextType, ContextValue, MAX_CONTEXT_COLUMNS};
pub use decoder::{Decoder, Reader};
pub use definition::{Definition, DefinitionSet, Group, MAX_DEFINITIONS, MAX_PATTERN_BYTES, Matches, Pattern};
pub use dialect::{Syntax, SyntaxKind, Warning};
pub use envelope::Envelope;
pub use error::{Error, ErrorKind};
pub use event::Origin;
pub use extract::{EnvelopeOptions, ExtractOptions, OnReject, Rejected};
pub use finder::{Finder, Found};
pub use follow::{Follower, TurnError};
pub use matcher::{Cache, Matcher, Strategy};
pub use parquet::ParquetEncoder;
pub use position::Position;
pub use report::{
    ContextReport, Counted, DefinitionReport, ESCAPE_NAMES, Example, RejectedText, Report, SourceReport, Values,
};
pub use scan::{Mark, Scan, ScanError, ScanOptions};
pub use schema::{ColumnOptions, Columns, MAX_SOURCE_DICTIONARY, Strings};
pub use source::{Compression, Decompressed, SourceFile, detect};
pub use timestamp::Zone;
pub use unit::{Source, Sources};
pub use value::{NumberMode, Reject};
