//! The tree between parser and emitter: a pattern without flags or names.
//!
//! Every leaf says by itself what it matches; the inline flags that were in
//! force at its place are already part of it.

use std::ops::Range;

/// A piece of a pattern, and the bytes of the parsed text that it stands in.
#[derive(Debug)]
pub(super) struct Node {
    pub kind: Kind,
    pub span: Range<usize>,
}

/// What a piece of a pattern is.
#[derive(Debug)]
pub(super) enum Kind {
    Literal {
        ch: char,
        fold: Fold,
    },
    /// `.`
    Any {
        newline_too: bool,
    },
    Class(Class),
    Assertion(Assertion),
    /// `number` of `None` captures nothing.
    Group {
        number: Option<usize>,
        body: Box<Node>,
    },
    /// `max` of `None` is unbounded.
    Repeat {
        body: Box<Node>,
        min: u32,
        max: Option<u32>,
        lazy: bool,
    },
    Concat(Vec<Node>),
    Alternation(Vec<Node>),
    /// Stands for what needs backtracking. The parser reports it at the end,
    /// so that none reaches the emitter.
    Unsupported,
}

/// Which differences of case are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    None,
    Ascii,
    Unicode,
}

/// A place, not a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assertion {
    TextStart,
    LineStart,
    TextEnd,
    LineEnd,
    WordBoundary { ascii: bool },
    NotWordBoundary { ascii: bool },
}

/// A set of characters.
#[derive(Debug)]
pub(super) struct Class {
    pub negated: bool,
    pub members: Vec<Member>,
    pub fold: Fold,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Member {
    /// Both ends included; a single character is a range of one.
    Range(char, char),
    Category(Category),
}

/// `\d`, `\s`, `\w` and their complements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Category {
    pub kind: CategoryKind,
    pub negated: bool,
    pub ascii: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CategoryKind {
    Digit,
    Space,
    Word,
}
