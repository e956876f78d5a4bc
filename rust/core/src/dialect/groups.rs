//! What a parenthesis begins: captures, extensions, inline flags, names.
//!
//! Continues `Parser` of `parse`, which keeps the open groups: the methods here
//! read up to the body of a group and say in [`Opened`] what to do with it.

use super::DialectError;
use super::ast::{Fold, Kind, Node};
use super::parse::{Frame, FrameKind, Group, Parser, Result, only_char};
use regex_syntax::hir::{Class, HirKind};
use std::ops::Range;

/// The inline flags in force.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    ignore_case: bool,
    pub multi_line: bool,
    pub dot_all: bool,
    pub verbose: bool,
    pub ascii: bool,
    /// Only remembered to refuse `(?a)(?u)`.
    unicode: bool,
}

impl Flags {
    pub fn fold(self) -> Fold {
        match (self.ignore_case, self.ascii) {
            (false, _) => Fold::None,
            (true, true) => Fold::Ascii,
            (true, false) => Fold::Unicode,
        }
    }

    fn set(&mut self, flag: char, on: bool) {
        match flag {
            'i' => self.ignore_case = on,
            'm' => self.multi_line = on,
            's' => self.dot_all = on,
            'x' => self.verbose = on,
            'a' => self.ascii = on,
            'u' => self.unicode = on,
            _ => {}
        }
    }
}

/// What a parenthesis began.
pub(super) enum Opened {
    Frame(Frame),
    Item(Node),
    Comment,
    GlobalFlags,
}

impl Parser<'_> {
    /// What follows the `(` at `start`, up to the body of the group.
    pub fn group(&mut self, start: usize, flags: Flags) -> Result<Opened> {
        if !self.eat("?") {
            return Ok(self.capture(start, None, flags));
        }
        let Some(kind) = self.bump() else {
            return Err(self.unexpected_end());
        };
        let open = |kind, flags| Ok(Opened::Frame(Frame::new(kind, start, flags)));
        match kind {
            "P" => self.python_extension(start, flags),
            ":" => open(FrameKind::Group, flags),
            "#" => loop {
                match self.bump() {
                    Some(")") => return Ok(Opened::Comment),
                    Some(_) => {}
                    None => {
                        let message = "missing `)`, unterminated comment";
                        return Err(DialectError::syntax(start..self.pos, message));
                    }
                }
            },
            "=" | "!" => open(FrameKind::Look { behind: false, negated: kind == "!" }, flags),
            "<" => match self.bump() {
                Some(sign @ ("=" | "!")) => open(FrameKind::Look { behind: true, negated: sign == "!" }, flags),
                Some(_) => {
                    Err(self.unknown_extension(start).with_hint("Python writes a named group as `(?P<name>...)`"))
                }
                None => Err(self.unexpected_end()),
            },
            "(" => {
                let number = self.condition()?;
                open(FrameKind::Conditional(number), flags)
            }
            ">" => open(FrameKind::Atomic, flags),
            "-" | "i" | "L" | "m" | "s" | "x" | "a" | "t" | "u" => match self.flags(start, kind, flags)? {
                Some(scoped) => open(FrameKind::Group, scoped),
                None => Ok(Opened::GlobalFlags),
            },
            _ => Err(self.unknown_extension(start)),
        }
    }

    fn capture(&mut self, start: usize, name: Option<String>, flags: Flags) -> Opened {
        self.groups.push(Group { name, closed: false, width: (0, u64::MAX) });
        let kind = FrameKind::Capture(self.groups.len() - 1);
        Opened::Frame(Frame::new(kind, start, flags))
    }

    /// After `(?P`: a named group or a reference to one.
    fn python_extension(&mut self, start: usize, flags: Flags) -> Result<Opened> {
        if self.eat("<") {
            let (name, span) = self.name_until(">", "group name")?;
            check_group_name(name, span.clone())?;
            if self.group_named(name).is_some() {
                let message = format!("the group name `{name}` is used twice");
                return Err(DialectError::syntax(span, message));
            }
            return Ok(self.capture(start, Some(name.to_string()), flags));
        }
        if self.eat("=") {
            let (name, span) = self.name_until(")", "group name")?;
            check_group_name(name, span.clone())?;
            let Some(number) = self.group_named(name) else {
                return Err(DialectError::syntax(span, format!("unknown group name `{name}`")));
            };
            self.back_reference(number, start..self.pos)?;
            let kind = Kind::BackReference { number, fold: flags.fold(), width: self.groups[number - 1].width };
            return Ok(Opened::Item(Node::new(kind, start..self.pos)));
        }
        match self.bump() {
            Some(_) => Err(self.unknown_extension(start)),
            None => Err(self.unexpected_end()),
        }
    }

    /// `number` counts from 1.
    pub fn back_reference(&mut self, number: usize, span: Range<usize>) -> Result<()> {
        let group = number.checked_sub(1).and_then(|index| self.groups.get(index));
        match group {
            None => {
                let message = format!("invalid group reference {number}");
                Err(DialectError::syntax(span, message))
            }
            Some(Group { closed: false, .. }) => Err(DialectError::syntax(span, "cannot refer to an open group")),
            Some(_) => {
                let hint = "write out what the group matches";
                self.unsupported("back-reference", span, hint);
                Ok(())
            }
        }
    }

    fn group_named(&self, name: &str) -> Option<usize> {
        let index = self.groups.iter().position(|group| group.name.as_deref() == Some(name))?;
        Some(index + 1)
    }

    /// After `(?(`: the number of the group asked for, and its parenthesis.
    fn condition(&mut self) -> Result<usize> {
        let (name, span) = self.name_until(")", "group name")?;
        if is_identifier(name) {
            let message = || DialectError::syntax(span, format!("unknown group name `{name}`"));
            return self.group_named(name).ok_or_else(message);
        }
        if !name.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad_group_name(name, span));
        }
        match name.parse().unwrap_or(usize::MAX) {
            0 => Err(DialectError::syntax(span, "bad group number")),
            number => {
                self.condition_groups.push((number, span));
                Ok(number)
            }
        }
    }

    /// Inline flags, of which the first token is consumed. `None` says that
    /// they ended in `)`, so they are global and already in force; else they
    /// ended in `:` and the result holds for the group.
    fn flags(&mut self, start: usize, first: &str, outer: Flags) -> Result<Option<Flags>> {
        let mut on = String::new();
        let mut off = String::new();
        let mut token = Some(first);
        while let Some(flag) = token.and_then(known_flag) {
            let here = self.pos - 1..self.pos;
            on.push(flag);
            if flag == 'L' {
                let message = "the flag `L` is only for bytes patterns";
                return Err(DialectError::syntax(here, message));
            }
            if on.contains('a') && on.contains('u') {
                return Err(DialectError::syntax(here, "the flags `a` and `u` are incompatible"));
            }
            token = self.bump();
        }
        if token == Some("-") {
            token = self.bump();
            while let Some(flag) = token.and_then(known_flag) {
                let here = self.pos - 1..self.pos;
                off.push(flag);
                if matches!(flag, 'a' | 'u' | 'L' | 't') {
                    let message = format!("the flag `{flag}` cannot be turned off");
                    return Err(DialectError::syntax(here, message));
                }
                token = self.bump();
            }
            if off.is_empty() || token == Some(")") {
                return Err(self.bad_flag(token));
            }
        }
        let group = start..self.pos;
        match token {
            Some(")") => {
                on.chars().for_each(|flag| self.global.set(flag, true));
                if self.global.ascii && self.global.unicode {
                    let message = "the flags `a` and `u` are incompatible";
                    return Err(DialectError::syntax(group, message));
                }
                if on.contains('t') {
                    self.unsupported("template flag", group, "drop the undocumented flag `t`");
                }
                Ok(None)
            }
            Some(":") => {
                if on.contains('t') {
                    let message = "the flag `t` cannot be turned on for a group";
                    return Err(DialectError::syntax(group, message));
                }
                if on.contains(|flag| off.contains(flag)) {
                    return Err(DialectError::syntax(group, "a flag is turned on and off"));
                }
                let mut inner = outer;
                if on.contains('u') {
                    inner.ascii = false;
                }
                on.chars().for_each(|flag| inner.set(flag, true));
                off.chars().for_each(|flag| inner.set(flag, false));
                Ok(Some(inner))
            }
            other => Err(self.bad_flag(other)),
        }
    }

    /// `token` was just consumed where a flag, `-`, `:` or `)` had to be.
    fn bad_flag(&self, token: Option<&str>) -> DialectError {
        let span = self.pos - token.map_or(0, str::len)..self.pos;
        match token {
            Some(token) if token.starts_with(char::is_alphabetic) => {
                DialectError::syntax(span, format!("unknown flag `{token}`"))
                    .with_hint("Python knows the inline flags a, i, m, s, u and x")
            }
            _ => DialectError::syntax(span, "inline flags are written `(?i)` or `(?i-s:...)`"),
        }
    }

    fn unexpected_end(&self) -> DialectError {
        DialectError::syntax(self.pos..self.pos, "unexpected end of the pattern")
    }

    /// The tokens since `start` begin nothing that Python knows.
    fn unknown_extension(&self, start: usize) -> DialectError {
        let found = self.slice(start..self.pos);
        DialectError::syntax(start..self.pos, format!("unknown extension `{found}`"))
    }
}

fn known_flag(token: &str) -> Option<char> {
    only_char(token).filter(|&c| "iLmsxatu".contains(c))
}

fn check_group_name(name: &str, span: Range<usize>) -> Result<()> {
    if is_identifier(name) { Ok(()) } else { Err(bad_group_name(name, span)) }
}

fn bad_group_name(name: &str, span: Range<usize>) -> DialectError {
    DialectError::syntax(span, format!("bad character in group name `{name}`"))
        .with_hint("a group name is a Python identifier: letters, digits and `_`, no digit first")
}

/// Python's `str.isidentifier`.
fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    let starts = |c: char| match c.is_ascii() {
        true => c == '_' || c.is_ascii_alphabetic(),
        false => has_property(c, r"\p{XID_Start}"),
    };
    let continues = |c: char| match c.is_ascii() {
        true => c == '_' || c.is_ascii_alphanumeric(),
        false => has_property(c, r"\p{XID_Continue}"),
    };
    chars.next().is_some_and(starts) && chars.all(continues)
}

/// The engine's Unicode tables, used directly.
fn has_property(c: char, property: &str) -> bool {
    match regex_syntax::parse(property).map(|hir| hir.into_kind()) {
        Ok(HirKind::Class(Class::Unicode(set))) => {
            set.ranges().iter().any(|range| range.start() <= c && c <= range.end())
        }
        _ => false,
    }
}
