//! What users ask for: named patterns, validated as a set.
//!
//! [`Definition`] is plain data. [`DefinitionSet::new`] translates and checks all of them, reports
//! every error at once, and fixes what the matcher, the schema and the report derive from them:
//! which group is the value, which groups are label columns, which literals a match must hold.

use std::{
    collections::{HashMap, HashSet},
    ops::{Deref, Range},
    sync::Arc,
};

use regex_syntax::hir::{Hir, HirKind, translate::Translator};

use crate::{
    compiled_size,
    context::{ContextColumn, MAX_CONTEXT_COLUMNS},
    dialect::{self, Syntax},
    error::{Error, ErrorKind},
    matcher::{Shape, any_run},
    prefilter::{Set, required_literals},
    schema::{RESERVED_COLUMNS, SOURCE_LABELS},
    value::NumberMode,
};

/// Largest number of definitions in a set.
pub const MAX_DEFINITIONS: usize = 10_000;
/// Longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 64 << 10;
/// Largest compiled program of one pattern: what the regex crate allows by default.
const MAX_COMPILED_BYTES: usize = 10 << 20;

/// A metric's name and the regular expression that finds its value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Definition {
    /// The metric's name, `train:error` for instance.
    pub name: String,
    /// The pattern, in Python's `re` syntax.
    pub regex: String,
    /// The group that holds the value; None for the documented choice.
    pub group: Option<Group>,
    /// Which matches of a record count.
    pub matches: Matches,
    /// How the text is read; None for the scan's own setting.
    pub number: Option<NumberMode>,
}

/// A capture group, by number or by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Group {
    /// The n-th opening parenthesis, from 1.
    Number(usize),
    /// A named group.
    Name(String),
}

/// Which matches of a definition in one record count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Matches {
    /// The first, as `re.search` finds it.
    #[default]
    First,
    /// The last one of `re.finditer`.
    Last,
    /// All of `re.finditer`.
    All,
}

impl Definition {
    /// A definition with the default options.
    pub fn new(name: impl Into<String>, regex: impl Into<String>) -> Self {
        let (name, regex) = (name.into(), regex.into());
        Self { name, regex, group: None, matches: Matches::First, number: None }
    }
}

/// Index of a definition in its set.
pub(crate) type MetricId = usize;

/// A definition's pattern, translated and analysed. Clones share it.
#[derive(Debug, Clone)]
pub struct Pattern(Arc<Analysed>);

/// What is known of a pattern.
#[derive(Debug)]
pub struct Analysed {
    /// The pattern in the regex crate's syntax.
    pub(crate) translated: String,
    pub(crate) hir: Hir,
    /// Names of the groups from 1 on.
    pub(crate) group_names: Vec<Option<String>>,
    pub(crate) value_group: usize,
    /// `(group, name)` of each label.
    pub(crate) labels: Vec<(usize, String)>,
    /// Sets of texts, of each of which every match holds one; the best first.
    pub(crate) literals: Vec<Set>,
    /// How the value follows without a regex engine, for the first match of a record.
    pub(crate) shape: Option<Shape>,
    pub(crate) warnings: Vec<dialect::Warning>,
    /// The engine of a pattern that needs backtracking; what the linear ones have of it matches everywhere.
    pub(crate) backtracking: Option<Backtracking>,
}

/// What a pattern needs that the linear engine cannot match.
#[derive(Debug)]
pub(crate) struct Backtracking {
    pub regex: fancy_regex::Regex,
    pub can_be_empty: bool,
}

impl Deref for Pattern {
    type Target = Analysed;

    fn deref(&self) -> &Analysed {
        &self.0
    }
}

/// Constructs that a linear-time engine lacks, as the dialect calls them.
const BACKTRACKING: [&str; 6] =
    ["lookahead", "lookbehind", "back-reference", "possessive quantifier", "atomic group", "conditional group"];
/// Steps back that one search may take.
const BACKTRACK_LIMIT: usize = 1_000_000;

/// The value's group, and the number and name of each label.
fn groups(group: Option<&Group>, names: &[Option<String>]) -> Result<(usize, Vec<(usize, String)>), Error> {
    let value_group = value_group(group, names)?;
    let labels = names.iter().enumerate().filter_map(|(index, name)| {
        let name = name.as_ref().filter(|_| index + 1 != value_group)?;
        Some((index + 1, name.clone()))
    });
    let labels: Vec<_> = labels.collect();
    if let Some((_, name)) = labels.iter().find(|(_, name)| RESERVED_COLUMNS.contains(&name.as_str())) {
        let message = format!("the group name '{name}' is the name of a result column");
        return Err(Error::new(ErrorKind::Definition, message).with_hint("give the group another name"));
    }
    Ok((value_group, labels))
}

fn of_dialect(error: dialect::DialectError) -> Error {
    let plain = Error::new(ErrorKind::Definition, error.message).with_construct(error.construct, error.span);
    error.hint.iter().fold(plain, |plain, hint| plain.with_hint(hint))
}

impl Pattern {
    /// Translates and checks one pattern; `terminal` reads `#011` in it as a TAB.
    pub fn new(regex: &str, group: Option<&Group>, terminal: bool) -> Result<Self, Error> {
        let fail = |message: String| Error::new(ErrorKind::Definition, message);
        if regex.len() > MAX_PATTERN_BYTES {
            return Err(fail(format!("the pattern has {} bytes, more than {MAX_PATTERN_BYTES}", regex.len())));
        }
        let translation = dialect::translate(regex, terminal).map_err(of_dialect)?;
        let hir = Translator::new().translate(&translation.pattern, &translation.ast).map_err(|error| {
            let error = regex_syntax::Error::from(error).to_string();
            fail(format!("the pattern cannot be compiled: {}", short(&error)))
        })?;
        // The matcher compiles what it needs; here a pattern is only held to the limit.
        if !compiled_size::fits(&hir, MAX_COMPILED_BYTES) {
            return Err(fail(format!("the compiled pattern is larger than {} MiB", MAX_COMPILED_BYTES >> 20))
                .with_hint("repetition counts multiply; use smaller ones"));
        }
        let names = translation.group_names;
        let (value_group, labels) = groups(group, &names)?;
        let shape = Shape::of(&hir, value_group).filter(|_| labels.is_empty());
        let known = shape.as_ref().and_then(|shape| shape.literal.as_ref());
        let literals = required_literals(&hir, known.map(|(literal, _)| literal.as_slice()));
        Ok(Self(Arc::new(Analysed {
            translated: translation.pattern,
            hir,
            group_names: names,
            value_group,
            labels,
            literals,
            shape,
            warnings: translation.warnings,
            backtracking: None,
        })))
    }

    /// The same for a definition that allows backtracking: lookaround, back-references, possessive quantifiers,
    /// atomic and conditional groups are taken too. A pattern without them is that of [`new`](Self::new).
    ///
    /// A search that goes back more than a million times gives up; the report counts it as over budget.
    ///
    /// ```
    /// use metricsieve_core::Pattern;
    ///
    /// let pattern = Pattern::with_backtracking(r"(?<!val_)loss=(\S+)", None, true)?;
    /// let found = pattern.finder().find("val_loss=1 loss=0.5").unwrap();
    /// assert_eq!(found.value, Some(16..19));
    /// # Ok::<(), metricsieve_core::Error>(())
    /// ```
    pub fn with_backtracking(regex: &str, group: Option<&Group>, terminal: bool) -> Result<Self, Error> {
        match Self::new(regex, group, terminal) {
            Err(error) if error.construct().is_some_and(|construct| BACKTRACKING.contains(&construct)) => {}
            other => return other,
        }
        let translation = dialect::for_backtracking(regex, terminal).map_err(of_dialect)?;
        let built = fancy_regex::RegexBuilder::new(&translation.pattern).backtrack_limit(BACKTRACK_LIMIT).build();
        let regex = built.map_err(|error| {
            let message = format!("the backtracking engine does not take the pattern: {}", short(&error.to_string()));
            Error::new(ErrorKind::Definition, message)
        })?;
        let (value_group, labels) = groups(group, &translation.group_names)?;
        Ok(Self(Arc::new(Analysed {
            translated: String::new(),
            hir: Hir::empty(),
            group_names: translation.group_names,
            value_group,
            labels,
            literals: Vec::new(),
            shape: None,
            warnings: translation.warnings,
            backtracking: Some(Backtracking { regex, can_be_empty: translation.can_be_empty }),
        })))
    }

    /// Whether a match may take no character.
    pub fn can_be_empty(&self) -> bool {
        match &self.backtracking {
            Some(backtracking) => backtracking.can_be_empty,
            None => self.hir.properties().minimum_len().is_none_or(|len| len == 0),
        }
    }

    /// Whether the pattern needs the backtracking engine.
    pub fn needs_backtracking(&self) -> bool {
        self.backtracking.is_some()
    }

    /// The syntax tree of a pattern, for those who reason about it; `terminal` as in [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// The pattern is none, or needs backtracking.
    ///
    /// ```
    /// use metricsieve_core::{Pattern, SyntaxKind};
    ///
    /// let syntax = Pattern::syntax(r"a(\d+)", true)?;
    /// assert_eq!(syntax.kind, SyntaxKind::Concat);
    /// assert_eq!((syntax.children[1].kind, syntax.children[1].span.clone()), (SyntaxKind::Group(Some(1)), 1..6));
    /// # Ok::<(), metricsieve_core::Error>(())
    /// ```
    pub fn syntax(regex: &str, terminal: bool) -> Result<Syntax, Error> {
        dialect::syntax(regex, terminal).map_err(of_dialect)
    }

    /// The pattern in the regex crate's syntax.
    pub fn translated(&self) -> &str {
        &self.translated
    }

    /// Names of the groups, from group 1 on.
    pub fn group_names(&self) -> &[Option<String>] {
        &self.group_names
    }

    /// Number of the group that holds the value.
    pub fn value_group(&self) -> usize {
        self.value_group
    }

    /// Number and name of the groups that become columns.
    pub fn labels(&self) -> &[(usize, String)] {
        &self.labels
    }

    /// What in the pattern probably does not do what its writer meant.
    pub fn warnings(&self) -> &[dialect::Warning] {
        &self.warnings
    }

    /// Texts one of which every match holds, if there are any: what the search looks for at first. Where they
    /// turn out to stand in many records that do not match, others of the pattern take their place.
    pub fn literals(&self) -> Option<&[Vec<u8>]> {
        self.literals.first().map(Vec::as_slice)
    }

    /// The texts of the sets that have a bit in `sets`, those of [`literals`](Self::literals) without any.
    pub fn searched_by(&self, sets: u8) -> impl Iterator<Item = &[u8]> {
        let sets = sets.max(1);
        let used = self.literals.iter().enumerate().filter(move |(index, _)| sets >> index & 1 == 1);
        used.flat_map(|(_, literals)| literals).map(Vec::as_slice)
    }

    /// Whether the value is read without a regex engine, where the first match of a record counts.
    pub fn is_direct(&self) -> bool {
        self.shape.is_some()
    }

    /// The pattern for "does it match": without `.*` at its ends, which only make the search read on.
    pub(crate) fn to_confirm(&self) -> Hir {
        strip_ends(&self.hir)
    }
}

fn short(message: &str) -> String {
    message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn value_group(group: Option<&Group>, names: &[Option<String>]) -> Result<usize, Error> {
    let fail = |message: String| Error::new(ErrorKind::Definition, message);
    if names.is_empty() {
        return Err(fail("the pattern has no group, so there is no value to read".into())
            .with_hint("put parentheses around the number"));
    }
    match group {
        Some(Group::Number(number)) if (1..=names.len()).contains(number) => Ok(*number),
        Some(Group::Number(number)) => {
            Err(fail(format!("Group is {number}, but the pattern has the groups 1 to {}", names.len())))
        }
        Some(Group::Name(wanted)) => names
            .iter()
            .position(|name| name.as_ref() == Some(wanted))
            .map(|index| index + 1)
            .ok_or_else(|| fail(format!("the pattern has no group named '{wanted}'"))),
        None => {
            let named = names.iter().position(|name| name.as_deref() == Some("value"));
            Ok(named.or_else(|| names.iter().position(Option::is_none)).unwrap_or(0) + 1)
        }
    }
}

fn strip_ends(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Concat(parts) => {
            let mut parts = &parts[..];
            while let [first, rest @ ..] = parts
                && is_any_run(first)
            {
                parts = rest;
            }
            while let [rest @ .., last] = parts
                && is_any_run(last)
            {
                parts = rest;
            }
            Hir::concat(parts.to_vec())
        }
        HirKind::Capture(capture) => strip_ends(&capture.sub),
        _ => hir.clone(),
    }
}

/// `.*` and the like: matches any text of a record, the empty one included.
fn is_any_run(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => is_any_run(&capture.sub),
        _ => any_run(hir).is_some(),
    }
}

/// A validated, ordered list of definitions.
#[derive(Debug, Clone)]
pub struct DefinitionSet {
    definitions: Vec<Definition>,
    /// Those of the definitions, then those of the context columns.
    patterns: Vec<Pattern>,
    context: Vec<ContextColumn>,
    /// Distinct metric names, in order of appearance, and each definition's index in them.
    names: Vec<String>,
    name_ids: Vec<i32>,
    /// Distinct label columns, in order of appearance.
    labels: Vec<String>,
    terminal: bool,
}

impl DefinitionSet {
    /// Checks all definitions; the errors are those of all of them, in their order.
    pub fn new(definitions: Vec<Definition>, terminal: bool) -> Result<Self, Vec<Error>> {
        let pattern = |_, definition: &Definition| Pattern::new(&definition.regex, definition.group.as_ref(), terminal);
        Self::checked(definitions, terminal, pattern)
    }

    /// The same with the patterns that [`Pattern::new`] made of the definitions, in their order.
    ///
    /// A caller that checks patterns one at a time spares a large set half of its cost.
    ///
    /// # Panics
    ///
    /// If there are not as many patterns as definitions.
    pub fn from_patterns(
        definitions: Vec<Definition>,
        patterns: &[Pattern],
        terminal: bool,
    ) -> Result<Self, Vec<Error>> {
        assert_eq!(definitions.len(), patterns.len(), "one pattern a definition");
        Self::checked(definitions, terminal, |index, _| Ok(patterns[index].clone()))
    }

    fn checked(
        definitions: Vec<Definition>,
        terminal: bool,
        pattern: impl Fn(usize, &Definition) -> Result<Pattern, Error>,
    ) -> Result<Self, Vec<Error>> {
        let mut errors = Vec::new();
        if definitions.len() > MAX_DEFINITIONS {
            let message = format!("{} definitions are more than {MAX_DEFINITIONS}", definitions.len());
            return Err(vec![Error::new(ErrorKind::Definition, message)]);
        }
        let mut patterns = Vec::with_capacity(definitions.len());
        let mut seen = HashSet::new();
        for (index, definition) in definitions.iter().enumerate() {
            let twice = Error::new(ErrorKind::Definition, "the same definition stands earlier in the list");
            match pattern(index, definition) {
                _ if definition.name.is_empty() => {
                    errors.push(Error::new(ErrorKind::Definition, "the name is empty").with_definition(index));
                }
                _ if !seen.insert(definition) => errors.push(twice.with_definition(index)),
                Ok(pattern)
                    if definition.matches != Matches::First
                        && pattern.needs_backtracking()
                        && pattern.can_be_empty() =>
                {
                    let message = "several matches of a pattern that needs backtracking and can be empty";
                    let error = Error::new(ErrorKind::Definition, message);
                    errors.push(error.with_hint("let it match at least one character").with_definition(index));
                }
                Ok(pattern) => patterns.push(pattern),
                Err(error) => errors.push(error.with_definition(index)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut ids: HashMap<&str, i32> = HashMap::new();
        let mut names = Vec::new();
        let name_ids = definitions.iter().map(|definition| {
            *ids.entry(&definition.name).or_insert_with(|| {
                names.push(definition.name.clone());
                names.len() as i32 - 1
            })
        });
        let name_ids = name_ids.collect();
        let mut labels: Vec<String> = Vec::new();
        for (_, name) in patterns.iter().flat_map(|pattern| &pattern.labels) {
            if !labels.contains(name) && !SOURCE_LABELS.contains(&name.as_str()) {
                labels.push(name.clone());
            }
        }
        Ok(Self { definitions, patterns, context: Vec::new(), names, name_ids, labels, terminal })
    }

    /// The same set with these context columns instead of those that it has.
    ///
    /// # Errors
    ///
    /// All that is wrong: a pattern cannot be used or has a group that would be a label, or a name is that of another
    /// column.
    ///
    /// ```
    /// use metricsieve_core::{ContextColumn, ContextType, Definition, DefinitionSet};
    ///
    /// let set = DefinitionSet::new(vec![Definition::new("loss", r"loss=(\S+)")], true).unwrap();
    /// let set = set.with_context(vec![ContextColumn::new("epoch", r"Epoch (\d+)", ContextType::Int64)]).unwrap();
    /// assert_eq!(set.context()[0].name, "epoch");
    /// ```
    pub fn with_context(mut self, columns: Vec<ContextColumn>) -> Result<Self, Vec<Error>> {
        let fail = |message: String| Error::new(ErrorKind::Definition, message);
        self.patterns.truncate(self.definitions.len());
        let mut errors = Vec::new();
        if columns.len() > MAX_CONTEXT_COLUMNS {
            errors.push(fail(format!("{} context columns are more than {MAX_CONTEXT_COLUMNS}", columns.len())));
        }
        let mut names: HashSet<&str> = RESERVED_COLUMNS.into_iter().chain(SOURCE_LABELS).collect();
        names.extend(self.labels.iter().map(String::as_str));
        for column in &columns {
            if column.name.is_empty() {
                errors.push(fail("the name of a context column is empty".into()));
            } else if !names.insert(&column.name) {
                let error = fail("another column has that name".into()).with_hint("give it another name");
                errors.push(error.with_context(&column.name));
            }
            if column.regexes.is_empty() {
                errors.push(fail("there is no pattern".into()).with_context(&column.name));
            }
            for regex in &column.regexes {
                let pattern =
                    Pattern::new(regex, None, self.terminal).and_then(|pattern| match pattern.labels.first() {
                        Some((_, label)) => {
                            Err(fail(format!("the group '{label}' would be a label, which only points have"))
                                .with_hint("make it a group without a name, (?:...)"))
                        }
                        None => Ok(pattern),
                    });
                match pattern {
                    Ok(pattern) => self.patterns.push(pattern),
                    Err(error) => errors.push(error.with_context(&column.name)),
                }
            }
        }
        self.context = columns;
        if errors.is_empty() { Ok(self) } else { Err(errors) }
    }

    /// The definitions, in their order.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// Their patterns, in the same order.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns[..self.definitions.len()]
    }

    /// The context columns, in their order.
    pub fn context(&self) -> &[ContextColumn] {
        &self.context
    }

    /// The patterns of the definitions, and behind them those of the context columns.
    pub(crate) fn all_patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Where among all patterns those of each context column are.
    pub(crate) fn context_patterns(&self) -> Vec<Range<usize>> {
        let mut at = self.definitions.len();
        let ranges = self.context.iter().map(|column| {
            let begin = at;
            at += column.regexes.len();
            begin..at
        });
        ranges.collect()
    }

    /// Number of definitions.
    pub fn len(&self) -> usize {
        self.definitions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty()
    }

    /// Distinct metric names, in order of appearance.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Columns that named groups give, beside the fixed ones.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Whether the patterns are meant for terminal text.
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    /// How a definition is looked for, in a word or two:
    ///
    /// - `direct`: where its literal stands, its value is read without a regex engine;
    /// - `candidates`: where its literal stands, a regex engine is asked;
    /// - `every record`: it has no literal, so each record is looked at.
    ///
    /// # Panics
    ///
    /// When there is no definition of this index.
    pub fn strategy(&self, index: usize) -> &'static str {
        let pattern = &self.patterns[index];
        match (pattern.literals(), &pattern.shape, self.definitions[index].matches) {
            (None, ..) => "every record",
            (Some(_), Some(_), Matches::First) => "direct",
            (Some(_), ..) => "candidates",
        }
    }

    pub(crate) fn name_id(&self, metric: MetricId) -> i32 {
        self.name_ids[metric]
    }
}
