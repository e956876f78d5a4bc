//! Escapes and character classes, the parser's smallest pieces.
//!
//! Continues `Parser` of `parse`. An escape means the same inside and outside
//! of a class with few exceptions, which stand in [`Parser::escape`].

use super::DialectError;
use super::ast::{Assertion, Category, CategoryKind, Class, Fold, Kind, Member};
use super::groups::Flags;
use super::parse::{Parser, Result, only_char};
use std::ops::Range;

enum Escape {
    Char(char),
    Category(Category),
    Assertion(Assertion),
    BackReference(usize),
}

impl<'p> Parser<'p> {
    /// What a token is that is no operator and was just consumed.
    pub fn literal_or_escape(&mut self, token: &str, start: usize, flags: Flags) -> Result<Kind> {
        let escape = match only_char(token) {
            Some(ch) => Escape::Char(ch),
            None => self.escape(token, start, false, flags)?,
        };
        Ok(match escape {
            Escape::Char(ch) => {
                self.expect_char(ch, start..self.pos);
                Kind::Literal { ch, fold: flags.fold() }
            }
            Escape::Category(category) => {
                Kind::Class(Class { negated: false, members: vec![Member::Category(category)], fold: Fold::None })
            }
            Escape::Assertion(place) => Kind::Assertion(place),
            Escape::BackReference(number) => {
                self.back_reference(number, start..self.pos)?;
                Kind::BackReference { number, fold: flags.fold(), width: self.groups[number - 1].width }
            }
        })
    }

    /// What follows the `[` at `start`.
    pub fn class(&mut self, start: usize, flags: Flags) -> Result<Class> {
        self.warn_of_posix_class(start);
        let negated = self.eat("^");
        let mut members = Vec::new();
        loop {
            let member_start = self.pos;
            let token = self.class_token(start)?;
            // A bracket that would leave the class empty stands for itself.
            if token == "]" && !members.is_empty() {
                break;
            }
            let low = self.class_member(token, member_start, flags)?;
            let hyphen = self.pos;
            if !self.eat("-") {
                self.expect_member(low, negated, member_start..hyphen);
                members.push(low);
                continue;
            }
            let high_start = self.pos;
            let token = self.class_token(start)?;
            if token == "]" {
                self.expect_member(low, negated, member_start..hyphen);
                members.extend([low, Member::Range('-', '-')]);
                break;
            }
            let high = self.class_member(token, high_start, flags)?;
            members.push(match (low, high) {
                (Member::Range(from, _), Member::Range(to, _)) if from <= to => Member::Range(from, to),
                _ => {
                    let span = member_start..self.pos;
                    let shown = self.slice(span.clone());
                    let message = format!("bad character range `{shown}`");
                    return Err(DialectError::syntax(span, message).with_hint(r"write `\-` for a literal hyphen"));
                }
            });
        }
        Ok(Class { negated, members, fold: flags.fold() })
    }

    fn class_token(&mut self, start: usize) -> Result<&'p str> {
        match self.bump() {
            Some(token) => Ok(token),
            None => Err(DialectError::syntax(start..start + 1, "unterminated character class")
                .with_hint(r"write `\[` for a literal bracket")),
        }
    }

    fn class_member(&mut self, token: &str, start: usize, flags: Flags) -> Result<Member> {
        if let Some(c) = only_char(token) {
            return Ok(Member::Range(c, c));
        }
        Ok(match self.escape(token, start, true, flags)? {
            Escape::Char(c) => Member::Range(c, c),
            Escape::Category(category) => Member::Category(category),
            Escape::Assertion(_) | Escape::BackReference(_) => {
                return Err(bad_escape(token, start..self.pos));
            }
        })
    }

    /// A negated class names what must not be there, so nothing is amiss.
    fn expect_member(&mut self, member: Member, negated: bool, span: Range<usize>) {
        if let (Member::Range(c, _), false) = (member, negated) {
            self.expect_char(c, span);
        }
    }

    /// `[[:alpha:]]` is a class of `[`, `:` and letters, followed by `]`.
    fn warn_of_posix_class(&mut self, start: usize) {
        let rest = self.slice(self.pos..self.pos + self.peek().map_or(0, str::len));
        if rest != "[" {
            return;
        }
        let saved = self.pos;
        self.pos += 1;
        if self.eat(":") {
            self.eat("^");
            let name = self.bump_while(usize::MAX, |c| c.is_ascii_alphabetic());
            if !name.is_empty() && self.eat(":") && self.eat("]") {
                let message = format!(
                    "Python knows no POSIX classes: this matches one of the characters of \
                     `[:{name}` and a `]` if one follows"
                );
                self.warn(start..self.pos, message);
            }
        }
        self.pos = saved;
    }

    /// The meaning of `token`, a backslash and one character, and of what it
    /// takes from the following text.
    fn escape(&mut self, token: &str, start: usize, in_class: bool, flags: Flags) -> Result<Escape> {
        let Some(letter) = token.chars().nth(1) else {
            return Err(bad_escape(token, start..self.pos));
        };
        let ascii = flags.ascii;
        let category = |kind, negated| Ok(Escape::Category(Category { kind, negated, ascii }));
        match letter {
            'd' => category(CategoryKind::Digit, false),
            'D' => category(CategoryKind::Digit, true),
            's' => category(CategoryKind::Space, false),
            'S' => category(CategoryKind::Space, true),
            'w' => category(CategoryKind::Word, false),
            'W' => category(CategoryKind::Word, true),
            'b' if in_class => Ok(Escape::Char('\x08')),
            'b' => Ok(Escape::Assertion(Assertion::WordBoundary { ascii })),
            'B' if !in_class => Ok(Escape::Assertion(Assertion::NotWordBoundary { ascii })),
            'A' if !in_class => Ok(Escape::Assertion(Assertion::TextStart)),
            'Z' if !in_class => Ok(Escape::Assertion(Assertion::TextEnd)),
            'a' => Ok(Escape::Char('\x07')),
            'f' => Ok(Escape::Char('\x0c')),
            'n' => Ok(Escape::Char('\n')),
            'r' => Ok(Escape::Char('\r')),
            't' => Ok(Escape::Char('\t')),
            'v' => Ok(Escape::Char('\x0b')),
            'x' => self.hex_escape(start, 2),
            'u' => self.hex_escape(start, 4),
            'U' => self.hex_escape(start, 8),
            'N' => self.named_escape(start),
            '0'..='9' => self.numeric_escape(token, start, letter, in_class),
            _ if letter.is_ascii_alphabetic() => Err(bad_escape(token, start..self.pos)),
            _ => Ok(Escape::Char(letter)),
        }
    }

    fn hex_escape(&mut self, start: usize, digits: usize) -> Result<Escape> {
        let found = self.bump_while(digits, |c| c.is_ascii_hexdigit());
        let span = start..self.pos;
        if found.len() < digits {
            let message = format!("incomplete escape `{}`", self.slice(span.clone()));
            return Err(
                DialectError::syntax(span, message).with_hint(r"Python wants exactly `\xhh`, `\uhhhh` or `\Uhhhhhhhh`")
            );
        }
        let code = u32::from_str_radix(found, 16).unwrap_or(u32::MAX);
        match char::from_u32(code) {
            Some(c) => Ok(Escape::Char(c)),
            None if code <= 0x10_FFFF => Err(DialectError {
                construct: "surrogate",
                span,
                message: format!("U+{code:04X} is a surrogate, which no text contains"),
                hint: Some(r"write the whole character as `\Uhhhhhhhh`".to_string()),
            }),
            None => Err(bad_escape(self.slice(span.clone()), span)),
        }
    }

    /// `\N{...}`. Python ignores the case of the name.
    fn named_escape(&mut self, start: usize) -> Result<Escape> {
        if !self.eat("{") {
            return Err(DialectError::syntax(start..self.pos, r"missing `{` after `\N`"));
        }
        let (name, _) = self.name_until("}", "character name")?;
        // The table also forgives missing spaces and hyphens; Python does not.
        let known = unicode_names2::character(name)
            .filter(|c| unicode_names2::name(*c).is_some_and(|known| known.to_string().eq_ignore_ascii_case(name)));
        match known {
            Some(c) => Ok(Escape::Char(c)),
            None => Err(DialectError {
                construct: "character name",
                span: start..self.pos,
                message: format!("no character is named `{name}`"),
                hint: Some(r"write its code point: `\uhhhh` or `\Uhhhhhhhh`".to_string()),
            }),
        }
    }

    /// An octal escape, or outside of classes a back-reference: three octal
    /// digits or a leading zero make it octal.
    fn numeric_escape(&mut self, token: &str, start: usize, first: char, in_class: bool) -> Result<Escape> {
        let is_octal = |c: char| matches!(c, '0'..='7');
        let octal = if in_class || first == '0' {
            if !is_octal(first) {
                return Err(bad_escape(token, start..self.pos));
            }
            self.bump_while(2, is_octal);
            true
        } else {
            let second = self.bump_while(1, |c| c.is_ascii_digit());
            is_octal(first) && second.starts_with(is_octal) && { !self.bump_while(1, is_octal).is_empty() }
        };
        let span = start..self.pos;
        let digits = self.slice(start + 1..self.pos);
        if !octal {
            return Ok(Escape::BackReference(digits.parse().unwrap_or(usize::MAX)));
        }
        match u8::from_str_radix(digits, 8) {
            Ok(code) => Ok(Escape::Char(char::from(code))),
            Err(_) => {
                let message = format!(r"octal escape `\{digits}` is outside of 0-0o377");
                Err(DialectError::syntax(span, message))
            }
        }
    }
}

fn bad_escape(shown: &str, span: Range<usize>) -> DialectError {
    let error = DialectError::syntax(span, format!("Python knows no escape `{shown}`"));
    match shown {
        r"\z" => error.with_hint(r"Python writes the end of the text as `\Z`"),
        r"\p" | r"\P" => error.with_hint(r"use `\w`, `\d` or a class such as `[a-z]`"),
        r"\h" => error.with_hint(r"use `[ \t]`"),
        _ => error.with_hint("drop the backslash if the character itself is meant"),
    }
}
