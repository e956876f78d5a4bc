//! Context columns: what a record, or one before it, says beside the metrics, its epoch for instance.
//!
//! A [`ContextColumn`] is what users ask for. The matcher looks its values up, in the record itself or backwards
//! from it; [`Context`] is one thread's memory of what it was told, and fills the column's rows. Rows before the
//! first value of a unit stay open until [`Carried`], the ordered consumer's memory, knows the value before the unit.
//!
//! A text that does not fit its column's type is counted when it concerns rows: they are of its own record, or of a
//! later one with no value in between. So the count depends on neither the order of the look-up nor on units.

use crate::{
    report::{ContextReport, Counted, Example},
    rows::{Holds, Runs},
    value::{self, NumberMode},
};

/// Largest number of context columns.
pub const MAX_CONTEXT_COLUMNS: usize = 100;

/// A column that is filled from the record of a point, or from the last record before it that tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContextColumn {
    /// Its name.
    pub name: String,
    /// Patterns in Python's `re` syntax, each with a group; the first that matches a record tells.
    pub regexes: Vec<String>,
    /// How the group's text is read.
    pub kind: ContextType,
}

impl ContextColumn {
    /// A column of one pattern.
    pub fn new(name: impl Into<String>, regex: impl Into<String>, kind: ContextType) -> Self {
        Self { name: name.into(), regexes: vec![regex.into()], kind }
    }
}

/// What a context column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ContextType {
    /// `[+-]?[0-9]+`, trimmed as values are.
    #[default]
    Int64,
    /// A number as values are.
    Float64,
    /// Any text.
    String,
}

impl ContextType {
    /// The name of the type, that of the column's Arrow type.
    pub fn name(self) -> &'static str {
        match self {
            ContextType::Int64 => "int64",
            ContextType::Float64 => "float64",
            ContextType::String => "string",
        }
    }

    /// The text as a value of this type, if it is one.
    pub(crate) fn read(self, text: &str) -> Option<ContextValue> {
        match self {
            ContextType::Int64 => value::integer(text.as_bytes()).map(ContextValue::Int64),
            ContextType::Float64 => {
                let number = value::parse(text.as_bytes(), Some(0..text.len()), NumberMode::Trim);
                number.ok().map(|number| ContextValue::Float64(number.value))
            }
            ContextType::String => Some(ContextValue::String(text.into())),
        }
    }
}

/// A value of a context column.
#[derive(Debug, Clone, PartialEq)]
pub enum ContextValue {
    /// Of a column of this type.
    Int64(i64),
    /// Of a column of this type.
    Float64(f64),
    /// Of a column of this type.
    String(Box<str>),
}

/// What a context column carries over an interruption of its source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CarriedContext {
    /// The last value.
    pub value: Option<ContextValue>,
    /// Texts behind it that do not fit the column's type, which no row has asked for yet.
    pub pending: Counted,
}

/// What the record at hand says of a column.
#[derive(Debug, Default)]
enum Here {
    /// Nothing: its rows get the last value before it.
    #[default]
    Nothing,
    /// The value that is carried from here on.
    Value,
    /// A text that does not fit, not counted yet.
    Unfit(Example),
    /// A text that does not fit, counted.
    Null,
}

/// One thread's memory of one column, for the unit that it reads.
#[derive(Debug)]
struct Memory {
    kind: ContextType,
    here: Here,
    /// What of it the unit's account tells.
    tally: ContextTally,
    /// Texts that do not fit, met on the way back, the earliest as the example.
    met: Counted,
    /// Whether the value is another one than when a row had it last.
    fresh: bool,
}

impl Memory {
    /// Counts a row of the record at hand, and the texts that concern it.
    fn concern_row(&mut self) {
        let Memory { here, tally, .. } = self;
        if !matches!(here, Here::Value) {
            tally.asks |= tally.last.is_none();
            if tally.pending.count > 0 {
                tally.rejects.merge(std::mem::take(&mut tally.pending), 0);
            }
        }
        match here {
            Here::Value => tally.values += 1,
            Here::Nothing if tally.last.is_some() => tally.values += 1,
            Here::Nothing => tally.open += 1,
            Here::Null => {}
            Here::Unfit(_) => {
                if let Here::Unfit(example) = std::mem::replace(here, Here::Null) {
                    tally.rejects.add(|| example);
                }
            }
        }
    }

    /// Takes a value that is carried from here on.
    fn carry(&mut self, value: ContextValue, pending: Counted) {
        self.tally.last = Some(value);
        self.tally.pending = pending;
        self.fresh = true;
    }
}

/// What a unit tells of a column.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContextTally {
    /// The last value.
    last: Option<ContextValue>,
    /// Texts behind it that do not fit, which no row has asked for yet.
    pending: Counted,
    /// Texts that do not fit and concern a row.
    rejects: Counted,
    /// Whether there is a row before the first value, which texts of earlier units concern.
    asks: bool,
    /// Rows with a value of the unit.
    values: u64,
    /// Rows with the value from before the unit.
    open: u64,
}

/// One thread's memory of all columns.
#[derive(Debug)]
pub(crate) struct Context(Vec<Memory>);

impl Context {
    pub fn new(columns: &[ContextColumn]) -> Self {
        let memory = |column: &ContextColumn| Memory {
            kind: column.kind,
            here: Here::default(),
            tally: ContextTally::default(),
            met: Counted::default(),
            fresh: false,
        };
        Self(columns.iter().map(memory).collect())
    }

    /// Forgets everything, for the next unit; gives what there was to tell.
    pub fn take_tally(&mut self) -> Vec<ContextTally> {
        let take = |memory: &mut Memory| {
            memory.here = Here::default();
            std::mem::take(&mut memory.tally)
        };
        self.0.iter_mut().map(take).collect()
    }

    /// Goes on with what was carried over an interruption; for a unit that has just begun.
    pub fn resume(&mut self, carried: &[CarriedContext]) {
        for (memory, carried) in self.0.iter_mut().zip(carried) {
            memory.tally.last = carried.value.clone();
            memory.tally.pending = carried.pending.clone();
            memory.fresh = true;
        }
    }

    /// What is carried over an interruption here.
    pub fn suspend(&self) -> Vec<CarriedContext> {
        let of = |tally: &ContextTally| CarriedContext { value: tally.last.clone(), pending: tally.pending.clone() };
        self.0.iter().map(|memory| of(&memory.tally)).collect()
    }

    /// Takes what the record at hand says: None where the pattern does not match, else its group. Whether it fits.
    pub fn here(&mut self, column: usize, found: Option<Option<&str>>, example: impl FnOnce() -> Example) -> bool {
        let memory = &mut self.0[column];
        memory.here = match found {
            None => Here::Nothing,
            Some(text) => match text.and_then(|text| memory.kind.read(text)) {
                Some(value) => {
                    memory.carry(value, Counted::default());
                    Here::Value
                }
                None => Here::Unfit(example()),
            },
        };
        matches!(memory.here, Here::Value)
    }

    /// Takes what an earlier record says, the nearest first. Whether it fits, so that no further one is needed.
    pub fn before(&mut self, column: usize, group: Option<&str>, example: impl FnOnce() -> Example) -> bool {
        let memory = &mut self.0[column];
        let value = group.and_then(|text| memory.kind.read(text));
        let fits = value.is_some();
        match value {
            Some(value) => {
                let met = std::mem::take(&mut memory.met);
                memory.carry(value, met);
            }
            None => memory.met = Counted { count: memory.met.count + 1, example: Some(example()) },
        }
        fits
    }

    /// No earlier record that was not looked at before fits.
    pub fn nothing_before(&mut self, column: usize) {
        let Memory { tally, met, .. } = &mut self.0[column];
        tally.pending.merge(std::mem::take(met), 0);
    }

    /// Fills a row of the record at hand.
    pub fn row(&mut self, rows: &mut Vec<Runs>) {
        rows.resize_with(self.0.len(), Default::default);
        for (memory, rows) in self.0.iter_mut().zip(rows) {
            memory.concern_row();
            let Memory { here, tally, fresh, .. } = memory;
            match (&here, &tally.last, rows.last()) {
                (Here::Null | Here::Unfit(_), _, Some(Holds::Null)) => rows.repeat(),
                (Here::Null | Here::Unfit(_), ..) => rows.push(Holds::Null),
                (_, None, Some(Holds::Open)) => rows.repeat(),
                (_, None, _) => rows.push(Holds::Open),
                (_, Some(_), Some(Holds::Value(_))) if !*fresh => rows.repeat(),
                (_, Some(value), _) => {
                    *fresh = false;
                    rows.push(Holds::Value(value.clone()));
                }
            }
        }
    }

    /// The record at hand is through.
    pub fn record_done(&mut self) {
        for Memory { here, tally, .. } in &mut self.0 {
            if let Here::Unfit(example) = std::mem::take(here) {
                tally.pending.add(|| example);
            }
        }
    }
}

/// What is carried from unit to unit of a source, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Carried {
    values: Vec<Option<ContextValue>>,
    pending: Vec<Counted>,
}

impl Carried {
    pub fn new(columns: usize) -> Self {
        Self { values: vec![None; columns], pending: vec![Counted::default(); columns] }
    }

    /// The value of each column before the unit whose rows come now.
    pub fn values(&self) -> &[Option<ContextValue>] {
        &self.values
    }

    /// Adds a unit that ended to the account, and carries on what it ended with; `line_base` counts the lines
    /// of its source before it.
    pub fn unit_done(&mut self, tallies: Vec<ContextTally>, line_base: u64, reports: &mut [ContextReport]) {
        for (column, (tally, report)) in tallies.into_iter().zip(reports).enumerate() {
            let (value, pending) = (&mut self.values[column], &mut self.pending[column]);
            if tally.asks {
                report.rejects.merge(std::mem::take(pending), 0);
            }
            report.values += tally.values + if value.is_some() { tally.open } else { 0 };
            report.rejects.merge(tally.rejects, line_base);
            if tally.last.is_some() {
                (*value, *pending) = (tally.last, Counted::default());
            }
            pending.merge(tally.pending, line_base);
        }
    }

    /// The next source begins with nothing.
    pub fn source_done(&mut self) {
        self.values.fill(None);
        self.pending.fill(Counted::default());
    }
}
