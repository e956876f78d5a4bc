//! Context columns: what a record, or one before it, says beside the metrics, its epoch for instance.
//!
//! A [`ContextColumn`] is what users ask for. The matcher looks its values up, in the record itself or in those
//! before it; [`Context`] is one thread's memory of what it was told, and fills the column's rows. Rows before the
//! first value of a unit stay open until [`Carried`], the ordered consumer's memory, knows the value before the unit.
//!
//! Values are carried from record to record of one [`Origin`]: where the ranks of a job write to one log, none of
//! them takes the epoch of another.
//!
//! A text that does not fit its column's type is counted when it concerns rows: they are of its own record, or of a
//! later one of its origin with no value in between. So the count depends on neither the order of the look-up nor on
//! units.

use std::{collections::HashMap, mem::take, sync::Arc};

use crate::{
    event::Origin,
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

/// What the records of one origin carry over an interruption of their source.
#[derive(Debug, Clone, PartialEq)]
pub struct CarriedContext {
    /// Whose records.
    pub origin: Origin,
    /// Per context column, in their order.
    pub columns: Vec<CarriedValue>,
}

/// What a context column carries from record to record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CarriedValue {
    /// The last value.
    pub value: Option<ContextValue>,
    /// Texts behind it that do not fit the column's type, which no row has asked for yet.
    pub pending: Counted,
}

impl CarriedValue {
    /// Takes a value, behind which there are these texts.
    fn set(&mut self, value: ContextValue, pending: Counted) {
        *self = Self { value: Some(value), pending };
    }
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
    /// Texts that do not fit, met on the way back, the earliest as the example.
    met: Counted,
    /// Whether the value, or whose it is, is another one than when a row had it last.
    fresh: bool,
}

/// What a unit tells of a column, for the records of one origin.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContextTally {
    /// What is carried on from its end.
    last: CarriedValue,
    /// Texts that do not fit and concern a row.
    rejects: Counted,
    /// Whether there is a row before the first value, which texts of earlier units concern.
    asks: bool,
    /// Rows with a value of the unit.
    values: u64,
    /// Rows with the value from before the unit.
    open: u64,
}

impl ContextTally {
    /// Counts a row of the record at hand, and the texts that concern it.
    fn concern_row(&mut self, here: &mut Here) {
        let CarriedValue { value, pending } = &mut self.last;
        if !matches!(here, Here::Value) {
            self.asks |= value.is_none();
            if pending.count > 0 {
                self.rejects.merge(take(pending), 0);
            }
        }
        match here {
            Here::Value => self.values += 1,
            Here::Nothing if value.is_some() => self.values += 1,
            Here::Nothing => self.open += 1,
            Here::Null => {}
            Here::Unfit(_) => {
                if let Here::Unfit(example) = std::mem::replace(here, Here::Null) {
                    self.rejects.add(|| example);
                }
            }
        }
    }
}

/// What a unit tells of all columns, for each origin of records.
pub(crate) type ContextTallies = Vec<(Arc<Origin>, Vec<ContextTally>)>;

/// One thread's memory of all columns.
#[derive(Debug)]
pub(crate) struct Context {
    columns: Vec<Memory>,
    /// The first one is the source's own.
    tallies: ContextTallies,
    /// Where the origins stand in it.
    places: HashMap<Arc<Origin>, usize>,
    /// Of whose record the one at hand is.
    at: usize,
}

impl Context {
    pub fn new(columns: &[ContextColumn]) -> Self {
        let memory = |column: &ContextColumn| Memory {
            kind: column.kind,
            here: Here::default(),
            met: Counted::default(),
            fresh: true,
        };
        let columns = columns.iter().map(memory).collect();
        let mut context = Self { columns, tallies: Vec::new(), places: HashMap::new(), at: 0 };
        context.begin(Origin::default());
        context
    }

    /// Whether there are any columns.
    pub fn is_wanted(&self) -> bool {
        !self.columns.is_empty()
    }

    /// Forgets everything, for the next unit; `own` is the origin of what only the source tells of.
    pub fn begin(&mut self, own: Origin) {
        for memory in &mut self.columns {
            (memory.here, memory.met, memory.fresh) = (Here::default(), Counted::default(), true);
        }
        self.tallies.clear();
        self.places.clear();
        self.at = self.place(own);
    }

    /// What there is to tell of the unit.
    pub fn take_tallies(&mut self) -> ContextTallies {
        let own = (*self.tallies[0].0).clone();
        let told = take(&mut self.tallies);
        self.begin(own);
        told
    }

    /// Goes on with what was carried over an interruption; for a unit that has just begun.
    pub fn resume(&mut self, carried: &[CarriedContext]) {
        for CarriedContext { origin, columns } in carried {
            let place = self.place(origin.clone());
            for (tally, carried) in self.tallies[place].1.iter_mut().zip(columns) {
                tally.last = carried.clone();
            }
        }
    }

    /// What is carried over an interruption here.
    pub fn suspend(&self) -> Vec<CarriedContext> {
        let of = |(origin, tallies): &(Arc<Origin>, Vec<ContextTally>)| CarriedContext {
            origin: (**origin).clone(),
            columns: tallies.iter().map(|tally| tally.last.clone()).collect(),
        };
        let carries = |context: &CarriedContext| context.columns.iter().any(|last| *last != CarriedValue::default());
        self.tallies.iter().map(of).filter(carries).collect()
    }

    /// Where what is known of an origin's records stands.
    fn place(&mut self, origin: Origin) -> usize {
        if let Some(place) = self.places.get(&origin) {
            return *place;
        }
        let (origin, place) = (Arc::new(origin), self.tallies.len());
        self.tallies.push((origin.clone(), vec![ContextTally::default(); self.columns.len()]));
        self.places.insert(origin, place);
        place
    }

    /// The record at hand is of the source's own origin.
    pub fn go_home(&mut self) {
        self.go_to_place(0);
    }

    /// The record at hand is of this origin.
    pub fn go_to(&mut self, origin: Origin) {
        if *self.tallies[self.at].0 != origin {
            let place = self.place(origin);
            self.go_to_place(place);
        }
    }

    fn go_to_place(&mut self, place: usize) {
        if self.at != place {
            self.at = place;
            self.columns.iter_mut().for_each(|memory| memory.fresh = true);
        }
    }

    /// Takes what the record at hand says: None where the pattern does not match, else its group. Whether it fits.
    pub fn here(&mut self, column: usize, found: Option<Option<&str>>, example: impl FnOnce() -> Example) -> bool {
        let memory = &mut self.columns[column];
        memory.here = match found {
            None => Here::Nothing,
            Some(text) => match text.and_then(|text| memory.kind.read(text)) {
                Some(value) => {
                    memory.fresh = true;
                    self.tallies[self.at].1[column].last.set(value, Counted::default());
                    Here::Value
                }
                None => Here::Unfit(example()),
            },
        };
        matches!(memory.here, Here::Value)
    }

    /// Takes what an earlier record says, the nearest first; all of them are of the origin of the record at hand.
    /// Whether it fits, so that no further one is needed.
    pub fn before(&mut self, column: usize, group: Option<&str>, example: impl FnOnce() -> Example) -> bool {
        let memory = &mut self.columns[column];
        let value = group.and_then(|text| memory.kind.read(text));
        let fits = value.is_some();
        match value {
            Some(value) => {
                memory.fresh = true;
                self.tallies[self.at].1[column].last.set(value, take(&mut memory.met));
            }
            None => memory.met = Counted { count: memory.met.count + 1, example: Some(example()) },
        }
        fits
    }

    /// No earlier record that was not looked at before fits.
    pub fn nothing_before(&mut self, column: usize) {
        let met = take(&mut self.columns[column].met);
        self.tallies[self.at].1[column].last.pending.merge(met, 0);
    }

    /// Takes what a record says that was passed over, in the order of records.
    pub fn passed(&mut self, origin: Origin, column: usize, group: Option<&str>, example: impl FnOnce() -> Example) {
        self.go_to(origin);
        let (memory, last) = (&mut self.columns[column], &mut self.tallies[self.at].1[column].last);
        match group.and_then(|text| memory.kind.read(text)) {
            Some(value) => {
                memory.fresh = true;
                last.set(value, Counted::default());
            }
            None => last.pending.add(example),
        }
    }

    /// Fills a row of the record at hand.
    pub fn row(&mut self, rows: &mut Vec<Runs<Holds>>) {
        rows.resize_with(self.columns.len(), Default::default);
        let (origin, tallies) = &mut self.tallies[self.at];
        for ((memory, tally), rows) in self.columns.iter_mut().zip(tallies).zip(rows) {
            tally.concern_row(&mut memory.here);
            match (&memory.here, &tally.last.value, rows.last()) {
                (Here::Null, _, Some(Holds::Null)) => rows.repeat(1),
                (Here::Null, ..) => rows.push(Holds::Null),
                (_, None, Some(Holds::Open(_))) | (_, Some(_), Some(Holds::Value(_))) if !memory.fresh => {
                    rows.repeat(1)
                }
                (_, value, _) => {
                    memory.fresh = false;
                    rows.push(value.clone().map_or_else(|| Holds::Open(origin.clone()), Holds::Value));
                }
            }
        }
    }

    /// The record at hand is through.
    pub fn record_done(&mut self) {
        for (Memory { here, .. }, tally) in self.columns.iter_mut().zip(&mut self.tallies[self.at].1) {
            if let Here::Unfit(example) = take(here) {
                tally.last.pending.add(|| example);
            }
        }
    }
}

/// What is carried from unit to unit of a source, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Carried(HashMap<Arc<Origin>, Vec<CarriedValue>>);

impl Carried {
    /// The value of a column before the unit whose rows come now, for records of an origin.
    pub fn value(&self, origin: &Origin, column: usize) -> Option<&ContextValue> {
        self.0.get(origin)?.get(column)?.value.as_ref()
    }

    /// Adds a unit that ended to the account, and carries on what it ended with; `line_base` counts the lines
    /// of its source before it.
    pub fn unit_done(&mut self, tallies: ContextTallies, line_base: u64, reports: &mut [ContextReport]) {
        for (origin, tallies) in tallies {
            let carried = self.0.entry(origin).or_default();
            carried.resize_with(tallies.len(), Default::default);
            for ((tally, carried), report) in tallies.into_iter().zip(carried).zip(&mut *reports) {
                if tally.asks {
                    report.rejects.merge_earliest(take(&mut carried.pending), 0);
                }
                report.values += tally.values + if carried.value.is_some() { tally.open } else { 0 };
                report.rejects.merge_earliest(tally.rejects, line_base);
                if let Some(value) = tally.last.value {
                    carried.set(value, Counted::default());
                }
                carried.pending.merge(tally.last.pending, line_base);
            }
        }
    }

    /// Goes on with what was carried over an interruption; for a source of which no unit has ended.
    pub fn resume(&mut self, carried: &[CarriedContext]) {
        let of = |carried: &CarriedContext| (Arc::new(carried.origin.clone()), carried.columns.clone());
        self.0 = carried.iter().map(of).collect();
    }

    /// What is carried over an interruption here.
    pub fn suspend(&self) -> Vec<CarriedContext> {
        let of = |(origin, columns): (&Arc<Origin>, &Vec<CarriedValue>)| CarriedContext {
            origin: (**origin).clone(),
            columns: columns.clone(),
        };
        let carries = |context: &CarriedContext| context.columns.iter().any(|last| *last != CarriedValue::default());
        let mut carried: Vec<_> = self.0.iter().map(of).filter(carries).collect();
        carried.sort_unstable_by(|a, b| a.origin.cmp(&b.origin));
        carried
    }

    /// The next source begins with nothing.
    pub fn source_done(&mut self) {
        self.0.clear();
    }
}
