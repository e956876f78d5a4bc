//! Whether a pattern's compiled program is small enough.
//!
//! [`fits`] is asked for every definition of a set. Compiling a program only to weigh it was a third of the
//! time that a set of 10,000 took, so an upper bound is read from the parsed pattern first; only a pattern
//! whose bound is over the limit is compiled. Few are: the bound counts each state of the program with more
//! bytes than it takes, but repetition counts multiply in both.

use regex_automata::nfa::thompson;
use regex_syntax::{
    hir::{Class, ClassUnicode, Hir, HirKind},
    utf8::Utf8Sequences,
};

/// Bytes of a state of the program, with room to spare: 32 in regex-automata 0.4.
const STATE: usize = 48;
/// Bytes of a transition of a state or an alternative of a union: 8 and 4.
const EDGE: usize = 8;

/// Whether the program of `hir` takes at most `limit` bytes.
pub(crate) fn fits(hir: &Hir, limit: usize) -> bool {
    bound(hir) <= limit || compiles(hir, limit)
}

fn compiles(hir: &Hir, limit: usize) -> bool {
    let config = thompson::Config::new().nfa_size_limit(Some(limit));
    thompson::NFA::compiler().configure(config).build_from_hir(hir).is_ok()
}

/// At least as many bytes as the compiler of the program will ask for, `usize::MAX` if they overflow.
fn bound(hir: &Hir) -> usize {
    // The implicit group, the unanchored start, the match and the failure.
    part(hir).saturating_add(16 * (STATE + 4 * EDGE))
}

fn part(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => STATE,
        // A literal in an alternation may become part of a trie, which has up to three states for a byte.
        HirKind::Literal(literal) => (literal.0.len() + 1).saturating_mul(3 * (STATE + 2 * EDGE)),
        HirKind::Class(Class::Bytes(class)) => 2 * STATE + class.ranges().len() * EDGE,
        HirKind::Class(Class::Unicode(class)) => unicode_class(class),
        HirKind::Capture(capture) => part(&capture.sub).saturating_add(2 * STATE),
        HirKind::Repetition(repetition) => {
            // One copy for each time it must match, one more for each time it may, and unions between them.
            let copies = repetition.max.unwrap_or(repetition.min).max(repetition.min).max(1) as usize;
            let copy = part(&repetition.sub).saturating_add(2 * STATE + 4 * EDGE);
            copies.saturating_add(2).saturating_mul(copy)
        }
        HirKind::Concat(parts) => sum(parts),
        HirKind::Alternation(parts) => sum(parts).saturating_add(2 * STATE + parts.len() * EDGE),
    }
}

fn sum(parts: &[Hir]) -> usize {
    parts.iter().map(part).fold(0, usize::saturating_add)
}

fn unicode_class(class: &ClassUnicode) -> usize {
    if class.is_ascii() {
        return 2 * STATE + class.ranges().len() * EDGE;
    }
    let sequences = class.iter().map(|range| Utf8Sequences::new(range.start(), range.end()).count());
    // Each sequence of at most four byte ranges adds at most so many states and transitions; the compiler
    // shares most of them.
    sequences.sum::<usize>() * 4 * (STATE + EDGE) + 2 * STATE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect;

    const LIMIT: usize = 10 << 20;

    fn hir(pattern: &str) -> Hir {
        let translated = dialect::translate(pattern, true).expect("a pattern of these tests").pattern;
        regex_syntax::ParserBuilder::new().nest_limit(1000).build().parse(&translated).expect("a pattern")
    }

    #[test]
    fn the_bound_is_at_least_what_the_compiler_takes() {
        let pieces = [
            "",
            "a",
            "loss",
            "é€😀",
            ".",
            r"\w",
            r"\W",
            r"\d",
            r"\D",
            r"\s",
            r"\S",
            "[a-z]",
            "[^a]",
            "(?i:straße)",
            "(a)",
            "(?:)",
            r"\b",
            "^",
            "$",
            "a|b",
            "abc|abd|x",
            "ab|abc|a|b|",
            "(a|bc|)",
            r"[0-9]*\.?[0-9]+",
            r"(?s:.)",
            r"[^\n]",
            "[\u{80}-\u{10FFFF}]",
            "[\u{800}-\u{10000}]",
            r"\x00",
        ];
        let counts = ["", "*", "+", "?", "*?", "{0}", "{1}", "{3}", "{0,3}", "{2,}", "{3,7}", "{40}", "{0,40}?"];
        for piece in pieces {
            for inner in counts {
                for outer in counts {
                    for pattern in [
                        format!("(?:(?:{piece}){inner}){outer}"),
                        format!("(?:(?:{piece}){inner}x|{piece}){outer}"),
                        format!("x(?:{piece}|(?:{piece}){inner}|y)(?:({piece}){outer}z)"),
                    ] {
                        let hir = hir(&pattern);
                        let bound = bound(&hir);
                        // Of the few that are larger the test would compile many megabytes.
                        assert!(bound > 1 << 20 || compiles(&hir, bound), "{pattern}: more than {bound} bytes");
                    }
                }
            }
        }
    }

    #[test]
    fn the_bound_of_many_alternatives_holds() {
        for words in [2, 10, 300] {
            for literal in [|n: usize| format!("{n}"), |n: usize| format!("{}", n % 7 * 1111), |n: usize| "a".repeat(n)]
            {
                let pattern = (0..words).map(literal).collect::<Vec<_>>().join("|");
                for pattern in [format!("({pattern})"), format!("(?:{pattern}|\\d)x")] {
                    let hir = hir(&pattern);
                    assert!(compiles(&hir, bound(&hir)), "{words} words");
                }
            }
        }
    }

    #[test]
    fn usual_patterns_are_not_compiled() {
        for pattern in [
            r".*\[[0-9]+\].*#011validation-error:(\S+).*",
            r"'loss': ([0-9]*\.?[0-9]+(?:[eE][-+]?\d+)?)",
            r"(?P<name>\w+)\s*=\s*(?P<value>\S+)\s+\(epoch (\d+)\)",
            r"(?i)accuracy[^0-9]{0,200}(\d{1,20}\.\d{1,20})",
        ] {
            assert!(bound(&hir(pattern)) <= LIMIT, "{pattern}");
        }
    }

    #[test]
    fn r2_what_is_too_large_is_refused_and_what_nearly_is_is_not() {
        for (pattern, fit) in [
            (r"((?:a{1000}){1000})", false),
            (r"(\w{1000})", false),
            (r"(?:(a{60}){60}){4000000000}", false),
            (r"((?:(?:a{5}){5}){5})", true),
            (r"(\w{100})", true),
        ] {
            assert_eq!(fits(&hir(pattern), LIMIT), fit, "{pattern}");
            assert_eq!(compiles(&hir(pattern), LIMIT), fit, "{pattern}");
        }
    }
}
