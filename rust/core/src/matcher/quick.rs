//! Groups that take a number as a whole: the number is read first, and the group follows from it.
//!
//! Nearly all groups are one class repeated (`[0-9.]+`, `\\S+`) or spell out a number. Where a plain number
//! stands at the group's start, [`Quick`] tells without an automaton where the group ends, and the number
//! does not have to be read again. In doubt it says so, and the automaton decides.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::walk::Walk;
use crate::number::Prefix;

/// A decimal NUMBER, as `number` reads it.
const NUMBER: &str = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?";
/// The same, but a point needs a digit behind it: what SageMaker's own definitions use.
const STRICT_NUMBER: &str = r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?";

/// What is known of a group's language.
#[derive(Debug)]
pub(crate) enum Quick {
    /// [`NUMBER`], or with true [`STRICT_NUMBER`].
    Number(bool),
    /// One or more of these bytes; bytes beyond ASCII are not told.
    Run(Box<[bool; 128]>),
}

/// What a look at the group's start gave.
pub(crate) enum Look {
    /// The group is this number.
    Is(Prefix),
    /// The group does not match.
    Fails,
    Unknown,
}

impl Quick {
    /// What is known of a group that ends its pattern.
    pub fn of(group: &Hir, walk: &Walk) -> Option<Self> {
        if let HirKind::Repetition(repetition) = group.kind()
            && (repetition.min, repetition.max, repetition.greedy) == (1, None, true)
            && let HirKind::Class(Class::Unicode(class)) = repetition.sub.kind()
        {
            let holds = |byte: u8| class.iter().any(|range| (range.start()..=range.end()).contains(&char::from(byte)));
            return Some(Self::Run(Box::new(std::array::from_fn(|byte| holds(byte as u8)))));
        }
        let is_like = |pattern: &str| {
            let known = regex_syntax::parse(pattern).ok().and_then(|hir| Walk::anchored(&hir));
            known.is_some_and(|known| walk.is_like(&known))
        };
        [(NUMBER, false), (STRICT_NUMBER, true)]
            .into_iter()
            .find_map(|(pattern, strict)| is_like(pattern).then_some(Self::Number(strict)))
    }

    /// Looks at a group that begins at `start`.
    #[inline(always)]
    pub fn look(&self, text: &[u8], start: usize) -> Look {
        let number = Prefix::decimal(text, start);
        match self {
            Self::Number(_) if number.len() == 0 => Look::Fails,
            Self::Number(strict) if *strict && number.ends_in_point() => Look::Unknown,
            Self::Number(_) => Look::Is(number),
            Self::Run(_) if number.len() == 0 => Look::Unknown,
            Self::Run(class) => {
                let holds = |byte: u8| class.get(usize::from(byte)).copied();
                let digits = text[start..start + number.len()].iter().all(|byte| holds(*byte) == Some(true));
                let ends = text.get(start + number.len()).is_none_or(|byte| holds(*byte) == Some(false));
                if digits && ends { Look::Is(number) } else { Look::Unknown }
            }
        }
    }
}
