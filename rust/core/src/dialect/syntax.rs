//! [`Syntax`]: a pattern's tree for those who reason about patterns, such as a linter.
//!
//! Made from the tree of `ast`, with places in the pattern as its writer knows it.

use std::ops::Range;

use super::ast::{Kind, Node};
use super::terminal::Source;

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    /// What it is.
    pub kind: SyntaxKind,
    /// Bytes of the pattern.
    pub span: Range<usize>,
    /// Its pieces, in their order.
    pub children: Vec<Syntax>,
}

/// What a piece of a pattern is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyntaxKind {
    /// This character, or one that differs from it in case only if that is ignored.
    Literal(char),
    /// `.`
    Any,
    /// One of several characters: `[...]`, `\d` and its like.
    Class,
    /// A place, not a text: `^`, `\b` and their like.
    Assertion,
    /// Parentheses around its one child, with their number if they capture.
    Group(Option<usize>),
    /// Its one child, several times.
    Repeat {
        /// How often at least.
        min: u32,
        /// How often at most; unbounded if None.
        max: Option<u32>,
        /// Whether it takes as little as it can.
        lazy: bool,
    },
    /// Its children, one behind the other.
    Concat,
    /// One of its children, the first that fits.
    Alternation,
}

/// `node` for the outside. Groups nest no deeper than `NEST_LIMIT`, so that recursion is safe.
pub(super) fn of(node: &Node, source: &Source) -> Syntax {
    let one = |node: &Node| vec![of(node, source)];
    let all = |nodes: &[Node]| nodes.iter().map(|node| of(node, source)).collect();
    let (kind, children) = match &node.kind {
        Kind::Literal { ch, .. } => (SyntaxKind::Literal(*ch), Vec::new()),
        Kind::Any { .. } => (SyntaxKind::Any, Vec::new()),
        Kind::Class(_) => (SyntaxKind::Class, Vec::new()),
        // What needs backtracking was an error before.
        Kind::Assertion(_)
        | Kind::Look { .. }
        | Kind::BackReference { .. }
        | Kind::Atomic(_)
        | Kind::Conditional { .. } => (SyntaxKind::Assertion, Vec::new()),
        Kind::Group { number, body } => (SyntaxKind::Group(*number), one(body)),
        Kind::Repeat { body, min, max, lazy } => (SyntaxKind::Repeat { min: *min, max: *max, lazy: *lazy }, one(body)),
        Kind::Concat(items) => (SyntaxKind::Concat, all(items)),
        Kind::Alternation(branches) => (SyntaxKind::Alternation, all(branches)),
    };
    Syntax { kind, span: source.original(node.span.clone()), children }
}
