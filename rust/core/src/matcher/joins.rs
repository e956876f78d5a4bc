//! Where literals may come about that do not stand in the block: in the text, escape sequences are gone.
//!
//! [`find`] names places; the matcher makes candidates of the records around them.

use crate::{normalize::plain_sequence, prefilter::Prefilter, survey::Survey};

/// Writes down an ESC of each record in which taking out escape sequences may make a literal, ascending.
pub(super) fn find(prefilter: &Prefilter, block: &[u8], survey: &Survey, joins: &mut Vec<usize>) {
    let mut through = 0;
    for &begin in &survey.escs {
        if begin < through {
            continue;
        }
        let Some(mut end) = plain_sequence(block, begin) else {
            // Of the other sequences only the normaliser knows the end.
            joins.push(begin);
            continue;
        };
        while let Some(next) = plain_sequence(block, end) {
            end = next;
        }
        through = end;
        let goes_on = block[end..].starts_with(b"\x1b") || block[end..].starts_with(b"#033");
        // Most neighbours are in no literal, which is looked up faster than whether they are text.
        let joined = prefilter.may_join(block, begin, end);
        if goes_on || (joined && !survey.is_end(begin - 1) && !survey.is_end(end)) {
            joins.push(begin);
        }
    }
}
