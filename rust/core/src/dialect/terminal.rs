//! Patterns for terminal text: tabs as syslog writes them, and what cannot match.
//!
//! Log shippers write control characters as `#` and three octal digits. Under
//! the terminal normalisation the reader undoes that before matching, so a
//! pattern copied from CloudWatch must have it undone as well. [`Source`] does
//! this for the tab, the only one that survives normalisation, and remembers
//! where everything was; the parser reads [`Source::text`].

use super::Warning;
use std::ops::Range;

/// The text to parse, and the way back to the pattern as given.
pub(super) struct Source {
    pub text: String,
    /// For each byte of `text`, and its end, the place in the original; empty
    /// if nothing was rewritten.
    origin: Vec<usize>,
}

impl Source {
    pub fn new(pattern: &str, terminal: bool) -> Self {
        let mut source = Source { text: String::with_capacity(pattern.len()), origin: Vec::new() };
        if !terminal || !pattern.contains("#011") {
            source.text.push_str(pattern);
            return source;
        }
        let mut at = 0;
        while let Some(unit) = unit_at(pattern, at) {
            let rest = &pattern[at..];
            let (written, len) = match rest.strip_prefix('\\').unwrap_or(rest) {
                tail if tail.starts_with("#011") => (r"\t", rest.len() - tail.len() + 4),
                _ => (unit, unit.len()),
            };
            let rewritten = written != unit;
            for offset in 0..written.len() {
                source.origin.push(if rewritten { at } else { at + offset });
            }
            source.text.push_str(written);
            at += len;
        }
        source.origin.push(pattern.len());
        source
    }

    /// The bytes of the original pattern behind these bytes of `text`.
    pub fn original(&self, span: Range<usize>) -> Range<usize> {
        let map = |at: usize| self.origin.get(at).copied().unwrap_or(at);
        map(span.start)..map(span.end)
    }
}

/// One character, or a backslash with the character it escapes.
pub(super) fn unit_at(text: &str, at: usize) -> Option<&str> {
    let rest = &text[at..];
    let mut chars = rest.chars();
    if chars.next()? == '\\' {
        chars.next();
    }
    Some(&rest[..rest.len() - chars.as_str().len()])
}

/// Three bytes each: CR, BS and ESC, and any code at all.
const NEVER_AFTER_HASH: [&str; 6] = ["015", "010", "033", r"\d+", r"\d*", r"\d{"];

/// The syslog escapes in a pattern that no normalised text can hold.
pub(super) fn escaped_by_shippers(pattern: &str) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut at = 0;
    while let Some(unit) = unit_at(pattern, at) {
        if unit == "#" || unit == r"\#" {
            let tail = &pattern[at + unit.len()..];
            if NEVER_AFTER_HASH.iter().any(|code| tail.starts_with(code)) {
                warnings.push(cannot_match(pattern, at..at + unit.len() + 3));
            }
        }
        at += unit.len();
    }
    warnings
}

/// True for the control characters that normalisation never leaves in a text.
pub(super) fn is_normalised_away(c: char) -> bool {
    matches!(c, '\x08' | '\r' | '\x1b')
}

pub(super) fn cannot_match(pattern: &str, span: Range<usize>) -> Warning {
    let shown = pattern[span.clone()].escape_debug().to_string().replace(r"\\", r"\");
    Warning { message: format!("`{shown}` cannot match normalised text; use normalize='none'"), span }
}
