//! Parses a pattern by the rules of CPython 3.11's `re`.
//!
//! [`Parser::pattern`] is one loop over the tokens with a stack of open groups;
//! `groups` holds the methods for what a parenthesis begins, `atoms` those
//! for escapes and character classes. Python's
//! tokens are single characters, except that a backslash always takes the next
//! character with it, in comments and group names too.
//!
//! What needs backtracking is parsed to its end and only then reported:
//! a pattern that Python refuses anyway must not be answered with the advice
//! to change the engine.

use super::ast::{Assertion, Fold, Kind, Node, Width};
use super::groups::{Flags, Opened};
use super::terminal::{self, unit_at};
use super::{DialectError, NEST_LIMIT, Warning, nested_too_deeply};
use std::ops::Range;

/// Python refuses counts from here on (`MAXREPEAT`).
const MAX_REPEAT: u32 = u32::MAX;

pub(super) type Result<T> = std::result::Result<T, DialectError>;

pub(super) struct Parsed {
    pub root: Node,
    pub group_names: Vec<Option<String>>,
    pub warnings: Vec<Warning>,
    /// The first construct that a linear-time engine lacks.
    pub needs_backtracking: Option<DialectError>,
    /// Whether a match can be empty.
    pub can_be_empty: bool,
}

/// Parses `text`; all spans refer to it.
pub(super) fn parse(text: &str, terminal: bool) -> Result<Parsed> {
    let mut parser = Parser {
        text,
        pos: 0,
        terminal,
        global: Flags::default(),
        groups: Vec::new(),
        condition_groups: Vec::new(),
        unsupported: None,
        warnings: Vec::new(),
    };
    parser.reject_final_backslash()?;
    let root = parser.pattern()?;
    for (number, span) in std::mem::take(&mut parser.condition_groups) {
        if number > parser.groups.len() {
            return Err(DialectError::syntax(span, format!("invalid group reference {number}")));
        }
    }
    Ok(Parsed {
        can_be_empty: root.width.0 == 0,
        root,
        group_names: parser.groups.into_iter().map(|group| group.name).collect(),
        warnings: parser.warnings,
        needs_backtracking: parser.unsupported,
    })
}

pub(super) struct Group {
    pub name: Option<String>,
    pub closed: bool,
    /// Characters that it matches, at least and at most; known when it is closed.
    pub width: Width,
}

pub(super) struct Parser<'p> {
    text: &'p str,
    /// A byte of `text`, always between two tokens.
    pub pos: usize,
    terminal: bool,
    pub global: Flags,
    pub groups: Vec<Group>,
    /// Groups asked for by `(?(1)...)`, which may be defined later.
    pub condition_groups: Vec<(usize, Range<usize>)>,
    /// The first construct that needs backtracking.
    unsupported: Option<DialectError>,
    warnings: Vec<Warning>,
}

/// The cursor.
impl<'p> Parser<'p> {
    pub fn peek(&self) -> Option<&'p str> {
        unit_at(self.text, self.pos)
    }

    pub fn bump(&mut self) -> Option<&'p str> {
        let token = self.peek()?;
        self.pos += token.len();
        Some(token)
    }

    pub fn eat(&mut self, token: &str) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.pos += token.len();
        }
        found
    }

    /// The next tokens, at most `most`, that are characters for which `wanted` holds.
    pub fn bump_while(&mut self, most: usize, wanted: fn(char) -> bool) -> &'p str {
        let start = self.pos;
        for _ in 0..most {
            match self.peek().map(only_char) {
                Some(Some(c)) if wanted(c) => self.pos += c.len_utf8(),
                _ => break,
            }
        }
        &self.text[start..self.pos]
    }

    /// A name and its end mark, which is consumed; `what` is for the message.
    pub fn name_until(&mut self, end: &str, what: &str) -> Result<(&'p str, Range<usize>)> {
        let start = self.pos;
        while let Some(token) = self.bump() {
            if token == end {
                let span = start..self.pos - end.len();
                if span.is_empty() {
                    return Err(DialectError::syntax(start..self.pos, format!("missing {what}")));
                }
                return Ok((&self.text[span.clone()], span));
            }
        }
        let missing = match start == self.pos {
            true => format!("missing {what}"),
            false => format!("missing `{end}` after the {what}"),
        };
        Err(DialectError::syntax(start..self.pos, missing))
    }

    pub fn slice(&self, span: Range<usize>) -> &'p str {
        &self.text[span]
    }

    fn reject_final_backslash(&self) -> Result<()> {
        let mut at = 0;
        while let Some(token) = unit_at(self.text, at) {
            if token == r"\" {
                return Err(DialectError::syntax(at..at + 1, "the pattern ends in a backslash")
                    .with_hint(r"write `\\` for a literal backslash"));
            }
            at += token.len();
        }
        Ok(())
    }
}

/// What is reported besides the tree.
impl Parser<'_> {
    pub fn warn(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.warnings.push(Warning { span, message: message.into() });
    }

    /// Notes a character that the text must contain for the pattern to match.
    pub fn expect_char(&mut self, c: char, span: Range<usize>) {
        if self.terminal && terminal::is_normalised_away(c) {
            self.warnings.push(terminal::cannot_match(self.text, span));
        }
    }

    /// Notes a construct the linear-time engine lacks; the first one is reported.
    pub fn unsupported(&mut self, construct: &'static str, span: Range<usize>, hint: &str) {
        self.unsupported.get_or_insert_with(|| DialectError {
            construct,
            span,
            message: format!("a {construct} cannot be matched in linear time").replace("a atomic", "an atomic"),
            hint: Some(format!("{hint}, or set `Engine: backtracking` for this definition")),
        });
    }
}

/// What is being parsed: the whole pattern or a group in it.
pub(super) struct Frame {
    kind: FrameKind,
    /// The byte of the opening parenthesis.
    start: usize,
    flags: Flags,
    /// The finished alternatives.
    branches: Vec<Node>,
    /// The unfinished one.
    items: Vec<Node>,
}

pub(super) enum FrameKind {
    Pattern,
    Group,
    /// Holds the group's index.
    Capture(usize),
    /// Holds the group's number.
    Conditional(usize),
    Look {
        behind: bool,
        negated: bool,
    },
    Atomic,
}

impl Frame {
    pub fn new(kind: FrameKind, start: usize, flags: Flags) -> Self {
        Frame { kind, start, flags, branches: Vec::new(), items: Vec::new() }
    }

    /// Ends the alternative in front of the byte `at`.
    fn end_branch(&mut self, at: usize) {
        let items = std::mem::take(&mut self.items);
        self.branches.push(unless_single(items, at, Kind::Concat));
    }

    fn into_body(mut self, at: usize) -> Box<Node> {
        self.end_branch(at);
        Box::new(unless_single(self.branches, at, Kind::Alternation))
    }
}

/// The grammar.
impl Parser<'_> {
    /// The whole pattern. Groups are kept on a stack of our own, so that their
    /// depth is limited by a number and never by the thread's stack.
    fn pattern(&mut self) -> Result<Node> {
        let mut outer: Vec<Frame> = Vec::new();
        let mut frame = Frame::new(FrameKind::Pattern, 0, Flags::default());
        loop {
            let start = self.pos;
            let token = self.bump();
            match token {
                None | Some(")") => {
                    let Some(parent) = outer.pop() else {
                        return match token {
                            None => Ok(*frame.into_body(start)),
                            Some(_) => Err(DialectError::syntax(start..self.pos, "unbalanced parenthesis")
                                .with_hint(r"write `\)` for a literal parenthesis")),
                        };
                    };
                    if token.is_none() {
                        let message = "missing `)`, unterminated group";
                        return Err(DialectError::syntax(frame.start..frame.start + 1, message)
                            .with_hint(r"write `\(` for a literal parenthesis"));
                    }
                    let group = self.close(frame, start)?;
                    frame = parent;
                    frame.items.push(group);
                }
                Some("|") => {
                    frame.end_branch(start);
                    if matches!(frame.kind, FrameKind::Conditional(_)) && frame.branches.len() > 1 {
                        let message = "conditional group with more than two branches";
                        return Err(DialectError::syntax(start..self.pos, message));
                    }
                }
                Some(token) if frame.flags.verbose && self.skip_verbose(token) => {}
                Some("(") => match self.group(start, frame.flags)? {
                    Opened::Frame(_) if outer.len() >= NEST_LIMIT as usize => {
                        return Err(nested_too_deeply(start..start + 1));
                    }
                    Opened::Frame(inner) => outer.push(std::mem::replace(&mut frame, inner)),
                    Opened::Item(item) => frame.items.push(item),
                    Opened::Comment => {}
                    Opened::GlobalFlags => {
                        let first = frame.items.is_empty() && frame.branches.is_empty();
                        if !(first && outer.is_empty()) {
                            let message = "global flags not at the start of the pattern";
                            return Err(DialectError::syntax(start..self.pos, message)
                                .with_hint("move them to the start, or scope them: `(?i:...)`"));
                        }
                        frame.flags = self.global;
                    }
                },
                Some(token) => {
                    let item = self.item(token, start, &mut frame)?;
                    frame.items.push(item);
                }
            }
        }
    }

    /// Anything but groups and alternatives; a repetition takes its body back
    /// from the frame.
    fn item(&mut self, token: &str, start: usize, frame: &mut Frame) -> Result<Node> {
        let flags = frame.flags;
        let items = &mut frame.items;
        let kind = match token {
            "*" => return self.repeat(start, 0, None, items.pop()),
            "+" => return self.repeat(start, 1, None, items.pop()),
            "?" => return self.repeat(start, 0, Some(1), items.pop()),
            "{" => match self.counts(start)? {
                Some((min, max)) => return self.repeat(start, min, max, items.pop()),
                None => Kind::Literal { ch: '{', fold: Fold::None },
            },
            "[" => Kind::Class(self.class(start, flags)?),
            "." => Kind::Any { newline_too: flags.dot_all },
            "^" if flags.multi_line => Kind::Assertion(Assertion::LineStart),
            "^" => Kind::Assertion(Assertion::TextStart),
            "$" if flags.multi_line => Kind::Assertion(Assertion::LineEnd),
            "$" => Kind::Assertion(Assertion::TextEnd),
            _ => self.literal_or_escape(token, start, flags)?,
        };
        Ok(Node::new(kind, start..self.pos))
    }

    /// The node of a group whose closing parenthesis, at `end`, was just consumed.
    fn close(&mut self, mut frame: Frame, end: usize) -> Result<Node> {
        let span = frame.start..self.pos;
        let kind = match frame.kind {
            FrameKind::Pattern | FrameKind::Group => Kind::Group { number: None, body: frame.into_body(end) },
            FrameKind::Capture(index) => {
                self.groups[index].closed = true;
                Kind::Group { number: Some(index + 1), body: frame.into_body(end) }
            }
            FrameKind::Conditional(number) => {
                self.unsupported("conditional group", span.clone(), "write both cases as alternatives");
                frame.end_branch(end);
                let mut branches = frame.branches.into_iter().map(Box::new);
                let empty = || Box::new(Node::new(Kind::Concat(Vec::new()), end..end));
                let yes = branches.next().unwrap_or_else(empty);
                Kind::Conditional { number, yes, no: branches.next().unwrap_or_else(empty) }
            }
            FrameKind::Look { behind, negated } => {
                let construct = if behind { "lookbehind" } else { "lookahead" };
                let hint = "match the text itself and put only the value into the group";
                self.unsupported(construct, span.clone(), hint);
                let body = frame.into_body(end);
                if behind && body.width.0 != body.width.1 {
                    return Err(DialectError::syntax(span, "look-behind requires a fixed width"));
                }
                Kind::Look { behind, negated, body }
            }
            FrameKind::Atomic => {
                self.unsupported("atomic group", span.clone(), "write `(?:` instead of `(?>`");
                Kind::Atomic(frame.into_body(end))
            }
        };
        if let Kind::Group { number: Some(number), body } = &kind {
            self.groups[number - 1].width = body.width;
        }
        Ok(Node::new(kind, span))
    }

    /// Under `(?x)`: true if the token was white space or began a comment.
    fn skip_verbose(&mut self, token: &str) -> bool {
        if token == "#" {
            while !matches!(self.bump(), None | Some("\n")) {}
        }
        matches!(token, "#" | " " | "\t" | "\n" | "\r" | "\x0b" | "\x0c")
    }

    /// The rest of `{m}`, `{m,}`, `{,n}`, `{m,n}` or `{,}`; nothing is consumed
    /// if the brace at `start` begins none of these.
    fn counts(&mut self, start: usize) -> Result<Option<(u32, Option<u32>)>> {
        let after_brace = self.pos;
        if self.peek() == Some("}") {
            return Ok(None);
        }
        let is_digit = |c: char| c.is_ascii_digit();
        let low = self.bump_while(usize::MAX, is_digit);
        let high = match self.eat(",") {
            true => self.bump_while(usize::MAX, is_digit),
            false => low,
        };
        if !self.eat("}") {
            self.pos = after_brace;
            return Ok(None);
        }
        let span = start..self.pos;
        let number = |digits: &str| match digits.parse() {
            Ok(n) if n < MAX_REPEAT => Ok(n),
            _ => Err(DialectError::syntax(span.clone(), "the repetition number is too large")),
        };
        let min = if low.is_empty() { 0 } else { number(low)? };
        let max = if high.is_empty() { None } else { Some(number(high)?) };
        if max.is_some_and(|max| max < min) {
            return Err(DialectError::syntax(span, "min repeat greater than max repeat"));
        }
        Ok(Some((min, max)))
    }

    fn repeat(&mut self, start: usize, min: u32, max: Option<u32>, item: Option<Node>) -> Result<Node> {
        let operator = start..self.pos;
        let body = match item {
            None | Some(Node { kind: Kind::Assertion(_), .. }) => {
                let literal = &self.text[operator.clone()];
                return Err(DialectError::syntax(operator, "nothing to repeat")
                    .with_hint(format!(r"write `\{literal}` for the literal text")));
            }
            Some(ref item) if is_repetition(item) => {
                return Err(DialectError::syntax(operator, "multiple repeat")
                    .with_hint("enclose what is repeated first in `(?:...)`"));
            }
            Some(body) => Box::new(body),
        };
        let lazy = self.eat("?");
        let span = body.span.start..self.pos;
        let repeat = Node::new(Kind::Repeat { body, min, max, lazy }, span);
        if lazy || !self.eat("+") {
            return Ok(Node { span: repeat.span.start..self.pos, ..repeat });
        }
        let hint = "drop the `+` after the repetition";
        self.unsupported("possessive quantifier", start..self.pos, hint);
        let span = repeat.span.start..self.pos;
        Ok(Node::new(Kind::Atomic(Box::new(repeat)), span))
    }
}

/// What a quantifier must not follow: one that is not in parentheses.
fn is_repetition(node: &Node) -> bool {
    match &node.kind {
        Kind::Repeat { .. } => true,
        // A possessive one; the text of an atomic group is longer than its body's.
        Kind::Atomic(body) => matches!(body.kind, Kind::Repeat { .. }) && body.span.start == node.span.start,
        _ => false,
    }
}

/// A single node as it is, several or none as one of `many`; none stands at `at`.
fn unless_single(mut nodes: Vec<Node>, at: usize, many: fn(Vec<Node>) -> Kind) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        last => {
            nodes.extend(last);
            let start = nodes.first().map_or(at, |first| first.span.start);
            let end = nodes.last().map_or(at, |last| last.span.end);
            Node::new(many(nodes), start..end)
        }
    }
}

/// The character of a token that is no escape.
pub(super) fn only_char(token: &str) -> Option<char> {
    let mut chars = token.chars();
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}
