//! Writes a parsed pattern for the Rust engine.
//!
//! Nothing written here depends on a flag: letters that match in both cases
//! become classes, and each member of a class stands for itself, so that none
//! of the engine's class syntax (`&&`, `--`, `~~`, `[:alpha:]`) can arise.

use super::ast::{Assertion, Category, CategoryKind, Class, Fold, Kind, Member, Node};
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
use std::fmt::Write as _;

/// What Python folds together, and the engine only in part.
const DOTTED_AND_DOTLESS_I: [char; 4] = ['I', 'i', '\u{130}', '\u{131}'];

pub(super) fn emit(root: &Node) -> String {
    let mut out = String::new();
    node(root, &mut out);
    out
}

fn node(node_: &Node, out: &mut String) {
    match &node_.kind {
        Kind::Literal { ch, fold } => literal(*ch, *fold, out),
        Kind::Any { newline_too: true } => out.push_str("(?s:.)"),
        Kind::Any { newline_too: false } => out.push_str(r"[^\n]"),
        Kind::Class(set) => class(set, out),
        Kind::Assertion(place) => out.push_str(assertion(*place)),
        Kind::Group { number, body } => {
            out.push_str(if number.is_some() { "(" } else { "(?:" });
            node(body, out);
            out.push(')');
        }
        Kind::Repeat { body, max: Some(0), .. } if captures(body) => {
            // The engine drops `(a){0}` with its group, and the groups behind
            // it would move up. This never matches either, and keeps them.
            out.push_str(r"(?:[^\s\S]");
            node(body, out);
            out.push_str(")?");
        }
        Kind::Repeat { body, min, max, lazy } => {
            node(body, out);
            repeat(*min, *max, out);
            if *lazy {
                out.push('?');
            }
        }
        Kind::Concat(items) => items.iter().for_each(|item| node(item, out)),
        Kind::Alternation(branches) => {
            for (i, branch) in branches.iter().enumerate() {
                if i > 0 {
                    out.push('|');
                }
                node(branch, out);
            }
        }
        _ => backtracking(node_, out),
    }
}

/// What only the backtracking engine reads; apart, so that the frames of deep nesting stay small.
fn backtracking(node_: &Node, out: &mut String) {
    match &node_.kind {
        Kind::Look { behind, negated, body } => {
            out.push_str(if *behind { "(?<" } else { "(?" });
            out.push(if *negated { '!' } else { '=' });
            node(body, out);
            out.push(')');
        }
        Kind::BackReference { number, fold, .. } => {
            let _ = write!(out, r"({}:\{number})", if *fold == Fold::None { "?" } else { "?i" });
        }
        Kind::Atomic(body) => {
            out.push_str("(?>");
            node(body, out);
            out.push(')');
        }
        Kind::Conditional { number, yes, no } => {
            let _ = write!(out, "(?({number})");
            node(yes, out);
            out.push('|');
            node(no, out);
            out.push(')');
        }
        _ => {}
    }
}

fn captures(node: &Node) -> bool {
    match &node.kind {
        Kind::Group { number, body } => number.is_some() || captures(body),
        Kind::Repeat { body, .. } | Kind::Look { body, .. } | Kind::Atomic(body) => captures(body),
        Kind::Conditional { yes, no, .. } => captures(yes) || captures(no),
        Kind::Concat(items) | Kind::Alternation(items) => items.iter().any(captures),
        _ => false,
    }
}

fn repeat(min: u32, max: Option<u32>, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match (min, max) {
        (0, None) => write!(out, "*"),
        (1, None) => write!(out, "+"),
        (0, Some(1)) => write!(out, "?"),
        (min, None) => write!(out, "{{{min},}}"),
        (min, Some(max)) if min == max => write!(out, "{{{min}}}"),
        (min, Some(max)) => write!(out, "{{{min},{max}}}"),
    };
}

fn assertion(place: Assertion) -> &'static str {
    match place {
        Assertion::TextStart => r"\A",
        Assertion::LineStart => "(?m:^)",
        Assertion::TextEnd => r"\z",
        Assertion::LineEnd => "(?m:$)",
        Assertion::WordBoundary { ascii: false } => r"\b",
        Assertion::WordBoundary { ascii: true } => r"(?-u:\b)",
        Assertion::NotWordBoundary { ascii: false } => r"\B",
        Assertion::NotWordBoundary { ascii: true } => r"(?-u:\B)",
    }
}

fn literal(ch: char, fold: Fold, out: &mut String) {
    let variants = folded(&[ClassUnicodeRange::new(ch, ch)], fold);
    match variants.ranges() {
        [only] if only.start() == only.end() => character(ch, r"\.+*?()|[]{}^$", out),
        ranges => {
            out.push('[');
            ranges.iter().for_each(|range| span(range.start(), range.end(), out));
            out.push(']');
        }
    }
}

fn class(set: &Class, out: &mut String) {
    if let [Member::Category(only)] = set.members[..] {
        return category(Category { negated: only.negated != set.negated, ..only }, out);
    }
    out.push_str(if set.negated { "[^" } else { "[" });
    let mut ranges = Vec::new();
    for member in &set.members {
        match *member {
            Member::Range(from, to) if set.fold == Fold::None => span(from, to, out),
            Member::Range(from, to) => ranges.push(ClassUnicodeRange::new(from, to)),
            Member::Category(one) if one.negated => category(one, out),
            Member::Category(one) => out.push_str(category_members(one)),
        }
    }
    for range in folded(&ranges, set.fold).ranges() {
        span(range.start(), range.end(), out);
    }
    out.push(']');
}

/// The characters that differ from a member of `ranges` only in ignored case.
fn folded(ranges: &[ClassUnicodeRange], fold: Fold) -> ClassUnicode {
    let mut set = ClassUnicode::new(ranges.iter().copied());
    match fold {
        Fold::None => {}
        Fold::Ascii => {
            let mut letters = ClassUnicode::new([ClassUnicodeRange::new('A', 'Z'), ClassUnicodeRange::new('a', 'z')]);
            letters.intersect(&set);
            for range in letters.ranges() {
                let flip = |c: char| char::from(c as u8 ^ 0x20);
                set.push(ClassUnicodeRange::new(flip(range.start()), flip(range.end())));
            }
        }
        Fold::Unicode => {
            // Without the engine's case tables there is nothing to add.
            let _ = set.try_case_fold_simple();
            let holds = |c: char| set.ranges().iter().any(|r| r.start() <= c && c <= r.end());
            if DOTTED_AND_DOTLESS_I.into_iter().any(holds) {
                for c in DOTTED_AND_DOTLESS_I {
                    set.push(ClassUnicodeRange::new(c, c));
                }
            }
        }
    }
    set
}

fn category(one: Category, out: &mut String) {
    out.push_str(if one.negated { "[^" } else { "[" });
    out.push_str(category_members(one));
    out.push(']');
}

/// Python's categories as members of a class.
///
/// Python's `\w` is `str.isalnum` and the underscore, without the marks and
/// joiners of the engine's; its `\s` is `str.isspace`, which counts the four
/// information separators.
fn category_members(one: Category) -> &'static str {
    match (one.kind, one.ascii) {
        (CategoryKind::Digit, false) => r"\p{Nd}",
        (CategoryKind::Digit, true) => "0-9",
        (CategoryKind::Space, false) => r"\s\x1C-\x1F",
        (CategoryKind::Space, true) => r"\t-\r ",
        (CategoryKind::Word, false) => r"\p{L}\p{N}_",
        (CategoryKind::Word, true) => "0-9A-Z_a-z",
    }
}

fn span(from: char, to: char, out: &mut String) {
    character(from, r"\[]^-&~", out);
    if from < to {
        // Two neighbours read better without the hyphen.
        if u32::from(to) - u32::from(from) > 1 {
            out.push('-');
        }
        character(to, r"\[]^-&~", out);
    }
}

/// Writes one character, with a backslash if it is among `special`.
fn character(c: char, special: &str, out: &mut String) {
    if special.contains(c) {
        out.push('\\');
        out.push(c);
    } else if c == ' ' || !(c.is_control() || c.is_whitespace()) {
        out.push(c);
    } else {
        let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
    }
}
