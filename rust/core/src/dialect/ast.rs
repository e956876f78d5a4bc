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
    pub width: Width,
}

/// Least and greatest number of characters that a piece matches; the latter is huge where there is no bound.
pub(super) type Width = (u64, u64);

impl Node {
    pub fn new(kind: Kind, span: Range<usize>) -> Self {
        let width = kind.width();
        Node { kind, span, width }
    }
}

impl Kind {
    /// From the widths of its pieces.
    fn width(&self) -> Width {
        let either = |one: Width, other: Width| (one.0.min(other.0), one.1.max(other.1));
        match self {
            Kind::Literal { .. } | Kind::Any { .. } | Kind::Class(_) => (1, 1),
            Kind::Assertion(_) | Kind::Look { .. } => (0, 0),
            Kind::Group { body, .. } | Kind::Atomic(body) => body.width,
            Kind::Repeat { body, min, max, .. } => {
                let (least, most) = body.width;
                let most = max.map_or(if most == 0 { 0 } else { u64::MAX }, |max| most.saturating_mul(max.into()));
                (least.saturating_mul((*min).into()), most)
            }
            Kind::Concat(items) => items.iter().fold((0, 0), |(least, most), item| {
                (least.saturating_add(item.width.0), most.saturating_add(item.width.1))
            }),
            Kind::Alternation(branches) => branches.iter().map(|branch| branch.width).reduce(either).unwrap_or((0, 0)),
            Kind::BackReference { width, .. } => *width,
            Kind::Conditional { yes, no, .. } => either(yes.width, no.width),
        }
    }
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
    /// What must, or must not, stand behind this place or in front of it. Takes no text. From here on
    /// down everything needs backtracking: the parser notes it, and the linear engine never gets it.
    Look {
        behind: bool,
        negated: bool,
        body: Box<Node>,
    },
    /// What a group matched, once more.
    BackReference {
        number: usize,
        fold: Fold,
        width: Width,
    },
    /// Its body, without going back into it.
    Atomic(Box<Node>),
    /// One of two, by whether a group took part.
    Conditional {
        number: usize,
        yes: Box<Node>,
        no: Box<Node>,
    },
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
