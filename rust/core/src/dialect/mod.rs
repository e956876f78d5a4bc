//! Translates a Python `re` pattern into one for the linear-time Rust engine.
//!
//! Users write definitions as SageMaker documents them: for CPython's `re`
//! module on `str`. The Rust engine reads almost the same syntax, and the
//! "almost" is where wrong numbers come from: `\w`, `\Z`, `[[a]`, `x{,3}` or
//! `(?i)` compile in both and mean different things. So a pattern is never
//! handed over as it is. It is parsed completely by Python's rules (3.11) and
//! written anew, and what Python refuses or a linear-time engine cannot do is
//! an error that names the construct and its place.
//!
//! [`translate`] is the entry point. The compiler of definitions feeds it one
//! pattern at a time and builds its regex from [`Translation::pattern`]; the
//! command's `check` shows the [`Warning`]s and puts a caret under
//! [`DialectError::span`].
//!
//! The way through the module: `terminal` rewrites what log shippers escape,
//! `parse` (with `groups` for what a parenthesis begins and `atoms` for escapes
//! and character classes) turns the text into the tree of `ast`, `emit` writes that tree and `syntax` shows it. Inline flags are resolved
//! while parsing, so the tree and the output carry none.
//!
//! The output is meant for valid UTF-8 in which one record holds no `\n`.
//! Under that condition `$` is the end of the text, which is why it becomes
//! `\z`.

mod ast;
mod atoms;
mod emit;
mod groups;
mod parse;
mod syntax;
mod terminal;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use regex_syntax::ast::Ast;

pub use syntax::{Syntax, SyntaxKind};

/// How deep groups may nest; the default of the Rust engine's own parser,
/// which also counts the repetitions, alternatives and sequences between them.
pub const NEST_LIMIT: u32 = 250;

/// A pattern the Rust engine reads as Python reads the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// The translated pattern. It depends on no flag of the regex builder and
    /// holds the groups of the original, as plain `(...)`, in the same order.
    pub pattern: String,
    /// The same, parsed by the engine's parser.
    pub ast: Ast,
    /// The names of the groups; index 0 is group 1.
    pub group_names: Vec<Option<String>>,
    /// What is legal but probably not meant, in the order of the pattern.
    pub warnings: Vec<Warning>,
}

/// Something legal in a pattern that probably does not do what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Bytes of the original pattern.
    pub span: Range<usize>,
    /// One sentence for the user.
    pub message: String,
}

/// Why a pattern cannot be translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialectError {
    /// What kind of thing is in the way: `syntax` where Python refuses the
    /// pattern too, else the name of the construct, such as `lookahead`,
    /// `lookbehind`, `back-reference`, `possessive quantifier`,
    /// `atomic group`, `conditional group`, `template flag`,
    /// `character name`, `surrogate` or `nesting`.
    pub construct: &'static str,
    /// Bytes of the original pattern; empty where something is missing.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do next, where we know.
    pub hint: Option<String>,
}

impl DialectError {
    /// An error of the pattern that Python reports as well.
    fn syntax(span: Range<usize>, message: impl Into<String>) -> Self {
        DialectError { construct: "syntax", span, message: message.into(), hint: None }
    }

    fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for DialectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.span;
        write!(f, "{} at byte {start}", self.message)?;
        if end > start + 1 {
            write!(f, "-{}", end - 1)?;
        }
        match &self.hint {
            Some(hint) => write!(f, " ({}): {hint}", self.construct),
            None => write!(f, " ({})", self.construct),
        }
    }
}

impl std::error::Error for DialectError {}

/// Translates a Python 3.11 `re` pattern (on `str`) for the Rust engine.
///
/// With `terminal`, the pattern is meant for terminal text: `#011` and
/// `\#011`, the way syslog writes a tab, are read as `\t`, and what such text
/// cannot contain is warned of.
///
/// All spans refer to `pattern` as given.
///
/// # Errors
///
/// A [`DialectError`] for a pattern that Python refuses, that needs
/// backtracking (lookaround, back-references, possessive quantifiers, atomic
/// and conditional groups), or that nests deeper than [`NEST_LIMIT`]. A pattern
/// that Python refuses is reported as such, even if it needs backtracking too.
/// The compiled size is not limited here but by the regex builder.
///
/// # Examples
///
/// ```ignore
/// let got = translate(r"(?i)loss: (?P<value>\S+)\Z", true)?;
/// assert_eq!(got.group_names, [Some("value".to_string())]);
/// ```
pub fn translate(pattern: &str, terminal: bool) -> Result<Translation, DialectError> {
    let source = terminal::Source::new(pattern, terminal);
    let to_original = |mut error: DialectError| {
        error.span = source.original(error.span);
        error
    };
    let parsed = parse::parse(&source.text, terminal).map_err(to_original)?;
    if let Some(error) = parsed.needs_backtracking {
        return Err(to_original(error));
    }
    let output = emit::emit(&parsed.root);
    let ast = engine_ast(&output, pattern.len())?;
    let warnings = all_warnings(parsed.warnings, &source, pattern, terminal);
    Ok(Translation { pattern: output, ast, group_names: parsed.group_names, warnings })
}

fn all_warnings(found: Vec<Warning>, source: &terminal::Source, pattern: &str, terminal: bool) -> Vec<Warning> {
    let mut warnings = found;
    for warning in &mut warnings {
        warning.span = source.original(warning.span.clone());
    }
    if terminal {
        warnings.extend(terminal::escaped_by_shippers(pattern));
    }
    warnings.sort_by_key(|warning| warning.span.start);
    warnings
}

/// A pattern for the backtracking engine, which knows the syntax of the linear one and more.
#[derive(Debug)]
pub struct Backtracking {
    /// The pattern, in the engine's syntax.
    pub pattern: String,
    /// As in [`Translation`].
    pub group_names: Vec<Option<String>>,
    /// As in [`Translation`].
    pub warnings: Vec<Warning>,
    /// Whether a match can be empty.
    pub can_be_empty: bool,
}

/// Translates a pattern that needs backtracking.
///
/// # Errors
///
/// Python refuses the pattern too, or it holds an undocumented flag.
pub fn for_backtracking(pattern: &str, terminal: bool) -> Result<Backtracking, DialectError> {
    let source = terminal::Source::new(pattern, terminal);
    let to_original = |error: DialectError| DialectError { span: source.original(error.span.clone()), ..error };
    let parsed = parse::parse(&source.text, terminal).map_err(to_original)?;
    match parsed.needs_backtracking {
        Some(error) if error.construct == "template flag" => return Err(to_original(error)),
        _ => {}
    }
    Ok(Backtracking {
        pattern: emit::emit(&parsed.root),
        group_names: parsed.group_names,
        warnings: all_warnings(parsed.warnings, &source, pattern, terminal),
        can_be_empty: parsed.can_be_empty,
    })
}

/// The syntax tree of a pattern, read as [`translate`] reads it.
///
/// # Errors
///
/// Those of [`translate`], but for what only the engine's parser finds.
pub fn syntax(pattern: &str, terminal: bool) -> Result<Syntax, DialectError> {
    let source = terminal::Source::new(pattern, terminal);
    match parse::parse(&source.text, terminal) {
        Ok(parse::Parsed { needs_backtracking: None, root, .. }) => Ok(syntax::of(&root, &source)),
        Ok(parse::Parsed { needs_backtracking: Some(error), .. }) | Err(error) => {
            Err(DialectError { span: source.original(error.span.clone()), ..error })
        }
    }
}

/// Lets the engine's parser read our output, so that its nest limit is met
/// here, as an error of the pattern, and not later.
fn engine_ast(output: &str, original_len: usize) -> Result<Ast, DialectError> {
    use regex_syntax::ast::{ErrorKind, parse::ParserBuilder};

    let error = match ParserBuilder::new().nest_limit(NEST_LIMIT).build().parse(output) {
        Ok(ast) => return Ok(ast),
        Err(error) => error,
    };
    Err(match error.kind() {
        ErrorKind::NestLimitExceeded(_) => nested_too_deeply(0..original_len),
        other => DialectError {
            construct: "syntax",
            span: 0..original_len,
            message: format!("the regex engine does not accept this pattern: {other}"),
            hint: Some("simplify the pattern".to_string()),
        },
    })
}

fn nested_too_deeply(span: Range<usize>) -> DialectError {
    DialectError {
        construct: "nesting",
        span,
        message: format!("groups and repetitions nest deeper than {NEST_LIMIT}"),
        hint: Some("flatten the pattern or split it into several definitions".to_string()),
    }
}
