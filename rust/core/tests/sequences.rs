//! Literals that escape sequences cut through: what the prefilter cannot see in the raw bytes.

use std::sync::Arc;

use metricsieve_core::{
    ColumnOptions, Decoder, Definition, DefinitionSet, ExtractOptions, Matcher, Strategy as Search,
};
use proptest::{prelude::*, sample::select};

fn values(text: &[u8], strategy: Search) -> Vec<String> {
    let patterns = ["'loss': ([0-9.]+)", ".*step ([0-9]+).*", "é=([0-9])", "(?i)ks(x*)=([0-9])", "#quality (\\d)"];
    let definitions = patterns.map(|regex| Definition::new(regex, regex)).to_vec();
    let set = DefinitionSet::new(definitions, true).unwrap();
    let matcher = Arc::new(Matcher::new(Arc::new(set), strategy));
    let columns = ColumnOptions { columns: None, ..ColumnOptions::default() };
    let mut decoder = Decoder::new(matcher, "log", columns, ExtractOptions::default()).unwrap();
    decoder.decode(text).unwrap();
    decoder.finish().unwrap();
    std::iter::from_fn(|| decoder.flush()).map(|batch| format!("{batch:?}")).collect()
}

fn sequence() -> impl Strategy<Value = &'static [u8]> {
    select(vec![
        &b"\x1b[0m"[..],
        b"\x1b[1;31m",
        b"#033[0m",
        b"#033[38;5;1m",
        b"\x1b[ q",
        b"\x1b[?25h",
        b"\x1b]0;x\x07",
        b"\x1b]0;",
        b"\x1b\\",
        b"\x1b",
        b"\x1b[",
        b"#033",
        b"\x1b(B",
    ])
}

/// A literal with a number, cut somewhere by escape sequences.
fn cut_literal() -> impl Strategy<Value = Vec<u8>> {
    let literal = select(vec![&b"'loss': 1"[..], b"step 2", "é=3".as_bytes(), b"KS=4", b"#quality 5"]);
    let sequences = prop::collection::vec(sequence(), 0..4);
    (literal, any::<prop::sample::Index>(), sequences).prop_map(|(literal, cut, sequences)| {
        let (left, right) = literal.split_at(cut.index(literal.len() + 1));
        [left, &sequences.concat(), right].concat()
    })
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let text = select(vec![&b"'lo"[..], b"ss': ", b"step ", b"\xc3", b"=", b"1", b"x", b"m", b"[", b" "]);
    let end = select(vec![&b"\n"[..], b"\r", b"#015", b"\x08", b"#010", b"\r\n"]);
    let piece = prop_oneof![
        4 => cut_literal(),
        1 => text.prop_map(<[u8]>::to_vec),
        1 => sequence().prop_map(<[u8]>::to_vec),
        3 => end.prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn literals_that_only_the_text_holds_are_found(text in texts()) {
        prop_assert_eq!(values(&text, Search::Prefiltered), values(&text, Search::Exhaustive));
    }
}
