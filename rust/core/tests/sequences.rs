//! Literals that escape sequences cut through: what the prefilter cannot see in the raw bytes.

use std::sync::Arc;

use metricsieve_core::{
    ColumnOptions, ContextColumn, ContextType, Decoder, Definition, DefinitionSet, ExtractOptions, Matcher,
    Strategy as Search,
};
use proptest::{prelude::*, sample::select};

/// The last one has literals of two bytes.
const PATTERNS: [&str; 6] =
    ["'loss': ([0-9.]+)", ".*step ([0-9]+).*", "é=([0-9])", "#quality (\\d)", "mem=([0-9])", "(?i)ks(x*)=([0-9])"];

fn values(text: &[u8], patterns: &[&str], strategy: Search) -> Vec<String> {
    let definitions = patterns.iter().map(|regex| Definition::new(*regex, *regex)).collect();
    let column = ContextColumn::new("step", PATTERNS[1], ContextType::Int64);
    let set = DefinitionSet::new(definitions, true).unwrap().with_context(vec![column]).unwrap();
    let matcher = Arc::new(Matcher::new(Arc::new(set), strategy));
    let columns = ColumnOptions { columns: None, ..ColumnOptions::default() };
    let mut decoder = Decoder::new(matcher, "log", columns, ExtractOptions::default()).unwrap();
    decoder.decode(text).unwrap();
    decoder.finish().unwrap();
    std::iter::from_fn(|| decoder.flush()).map(|batch| format!("{batch:?}")).collect()
}

/// Mostly colours: a sequence of another kind makes a candidate of its record, whatever else stands there.
fn sequence() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![
        12 => select(vec![
            &b"\x1b[0m"[..], b"\x1b[31m", b"\x1b[1;31m", b"#033[0m", b"#033[22m", b"#033[38;5;1m", b"\x1b[?25h",
            b"\x1b[l", b"\x1b[s",
        ]),
        1 => select(vec![
            &b"\x1b[ q"[..], b"\x1b]0;x\x07", b"\x1b]0;", b"\x1b\\", b"\x1b", b"\x1b[", b"#033", b"\x1b(B", b"\x1b[ m",
        ]),
    ]
}

/// A literal with a number, cut at some places by escape sequences.
fn cut_literal() -> impl Strategy<Value = Vec<u8>> {
    let literal = select(vec![&b"'loss': 1"[..], b"step 2", "é=3".as_bytes(), b"KS=4", b"#quality 5", b"mem=6"]);
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), sequence()), 0..5);
    (literal, cuts).prop_map(|(literal, cuts)| {
        let mut cuts: Vec<_> = cuts.into_iter().map(|(at, sequence)| (at.index(literal.len() + 1), sequence)).collect();
        cuts.sort_by_key(|(at, _)| *at);
        let (mut text, mut from) = (Vec::new(), 0);
        for (at, sequence) in cuts {
            text.extend([&literal[from..at], sequence].concat());
            from = at;
        }
        [&text, &literal[from..]].concat()
    })
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let noise =
        select(vec![&b""[..], b"", b"", b"'lo", b"WARNING:", b"\xc3", b"=", b"1", b"x", b"m", b"2m", b"[2m", b" "]);
    let end = select(vec![&b"\n"[..], b"\r", b"#015", b"\x08", b"#010", b"\r\n"]);
    let record = (noise, cut_literal(), end).prop_map(|(noise, literal, end)| [noise, &literal, end].concat());
    prop::collection::vec(record, 0..30).prop_map(|records| records.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn literals_that_only_the_text_holds_are_found(text in texts()) {
        for patterns in [&PATTERNS[..5], &PATTERNS] {
            let found = values(&text, patterns, Search::Prefiltered);
            prop_assert_eq!(found, values(&text, patterns, Search::Exhaustive));
        }
    }
}
