//! Literals that stand in records which do not match give way to others, and no row depends on it.

use std::sync::Arc;

use metricsieve_core::{
    ColumnOptions, Decoder, Definition, DefinitionSet, ExtractOptions, Matcher, Matches, Report, Strategy,
};

const LINES: u64 = 100_000;

/// `zqxj=` is the rarest text of the patterns, but not of this log: of its lines, one in a thousand matches.
fn log() -> String {
    let line = |number| match number % 1000 {
        7 => format!("zqxj={number} loss=0.5\n"),
        _ => format!("zqxj={number} of the usual\n"),
    };
    (0..LINES).map(line).collect()
}

fn scan(log: &str, definition: Definition, judged_after: u64) -> (u64, Report) {
    let set = DefinitionSet::new(vec![definition], true).unwrap();
    let matcher = Arc::new(Matcher::new(Arc::new(set), Strategy::Prefiltered));
    let options = ExtractOptions { judged_after, ..ExtractOptions::default() };
    let mut decoder = Decoder::new(matcher, "log", ColumnOptions::default(), options).unwrap();
    for chunk in log.as_bytes().chunks(10_000) {
        decoder.decode(chunk).unwrap();
    }
    decoder.finish().unwrap();
    let mut rows = 0;
    while let Some(batch) = decoder.flush() {
        rows += batch.num_rows() as u64;
    }
    (rows, decoder.report().clone())
}

#[test]
fn a_literal_that_hardly_ever_confirms_gives_way() {
    for matches in [Matches::First, Matches::All, Matches::Last] {
        for regex in [r"zqxj=(\d+) loss=", r"zqxj=(\d+).*loss=[0-9.]+", r"(?P<value>\d+) (?P<what>loss)=.*(?:5)$"] {
            let definition = Definition { matches, ..Definition::new("loss", regex) };
            let (expected, patient) = scan(&log(), definition.clone(), u64::MAX);
            let (rows, eager) = scan(&log(), definition, 100_000);
            assert_eq!((rows, expected), (LINES / 1000, LINES / 1000), "{regex}");
            let (before, after) = (patient.definitions[0].candidates, eager.definitions[0].candidates);
            if regex.starts_with("zqxj") {
                assert!(before == LINES && after < LINES / 4, "{regex}: {before} {after}");
            }
        }
    }
}

#[test]
fn of_literals_that_are_all_common_the_rarest_is_kept() {
    let definition = Definition::new("loss", r"zqxj=(\d+).* of .*usual.*never");
    let (rows, report) = scan(&log(), definition, 10_000);
    assert_eq!(rows, 0);
    // All lines but a thousandth hold each of the first three; `never` stands in none.
    assert!(report.definitions[0].candidates < LINES, "{}", report.definitions[0].candidates);
}

#[test]
fn a_pattern_may_have_more_parts_than_are_tried() {
    let parts: Vec<String> = (0..12).map(|number| format!("part{number}q")).collect();
    let regex = format!(r"{}.*[ab]loss=(\d+)", parts.join(".*"));
    let reversed: Vec<&str> = parts.iter().rev().map(String::as_str).collect();
    let common = format!("{} aloss=none\n", reversed.join(" "));
    let log = common.repeat(10_000) + &format!("{} bloss=7\n", parts.join(" ")) + &common.repeat(10);
    let (rows, report) = scan(&log, Definition::new("loss", regex), 1);
    assert_eq!((rows, report.definitions[0].values.last()), (1, Some(7.0)));
}
