//! The shared corpus (`tests/corpus/*.toml`), run in every way that must not change a row.
//!
//! Expectations were worked out by hand. Each case runs with both strategies, through the decoder
//! with every buffer and chunk size, and through scans of memory and of a file cut into small
//! splits, with and without threads.

mod common;

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use common::{Options, Outcome, TempFile, assert_rejects_are_rows, decode, in_memory, scan};
use metricsieve_core::{
    Definition, DefinitionReport, DefinitionSet, ExtractOptions, Group, Matcher, Matches, NumberMode, Reject, Strategy,
};
use serde::Deserialize;

const FILES: [&str; 6] = ["dialect", "encodings", "matches", "records", "terminal", "values"];
const STRATEGIES: [Strategy; 2] = [Strategy::Prefiltered, Strategy::Exhaustive];
const WHOLE: usize = 1 << 16;
const SIZES: [usize; 5] = [1, 3, 7, 100, WHOLE];
const THREADS: [usize; 3] = [1, 2, 4];
const SPLIT_BYTES: [u64; 3] = [1, 16, 1 << 20];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    text: Option<String>,
    hex: Option<String>,
    definitions: Vec<CaseDefinition>,
    normalize: Option<String>,
    number: Option<String>,
    max_record_bytes: Option<usize>,
    rows: Vec<(String, Value, u64, u64)>,
    records: u64,
    matched: u64,
    #[serde(default)]
    too_long: u64,
    #[serde(default)]
    rejects: Counts,
    #[serde(default)]
    counts: Counts,
}

/// By metric and kind; zeros are left out.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct CaseDefinition {
    name: String,
    regex: String,
    group: Option<CaseGroup>,
    matches: Option<String>,
    number: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CaseGroup {
    Number(usize),
    Name(String),
}

impl Value {
    fn bits(&self) -> u64 {
        match self {
            Value::Number(number) => number.to_bits(),
            Value::Text(text) => match text.as_str() {
                "nan" => 0x7ff8_0000_0000_0000,
                "inf" => f64::INFINITY.to_bits(),
                "-inf" => f64::NEG_INFINITY.to_bits(),
                other => panic!("{other} is no value"),
            },
        }
    }
}

fn number_mode(name: &str) -> NumberMode {
    match name {
        "trim" => NumberMode::Trim,
        "strict" => NumberMode::Strict,
        "prefix" => NumberMode::Prefix,
        other => panic!("{other} is no number mode"),
    }
}

impl CaseDefinition {
    fn definition(&self) -> Definition {
        Definition {
            name: self.name.clone(),
            regex: self.regex.clone(),
            group: self.group.as_ref().map(|group| match group {
                CaseGroup::Number(number) => Group::Number(*number),
                CaseGroup::Name(name) => Group::Name(name.clone()),
            }),
            matches: match self.matches.as_deref() {
                None | Some("first") => Matches::First,
                Some("last") => Matches::Last,
                Some("all") => Matches::All,
                Some(other) => panic!("{other} is no choice of matches"),
            },
            number: self.number.as_deref().map(number_mode),
        }
    }
}

impl Case {
    fn data(&self) -> Vec<u8> {
        match (&self.text, &self.hex) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(hex)) => {
                let byte = |digits| u8::from_str_radix(digits, 16).expect("two hexadecimal digits a byte");
                hex.split_ascii_whitespace().map(byte).collect()
            }
            _ => panic!("{}: either text or hex", self.name),
        }
    }

    fn definitions(&self) -> Arc<DefinitionSet> {
        let definitions = self.definitions.iter().map(CaseDefinition::definition).collect();
        let terminal = match self.normalize.as_deref() {
            None | Some("terminal") => true,
            Some("none") => false,
            Some(other) => panic!("{other} is no normalisation"),
        };
        Arc::new(DefinitionSet::new(definitions, terminal).unwrap_or_else(|errors| panic!("{}: {errors:?}", self.name)))
    }

    fn options(&self, block_bytes: usize) -> Options {
        let plain = ExtractOptions::default();
        let extract = ExtractOptions {
            number: self.number.as_deref().map_or(plain.number, number_mode),
            max_record_bytes: self.max_record_bytes.unwrap_or(plain.max_record_bytes),
            block_bytes,
            batch_rows: block_bytes,
            judged_after: block_bytes as u64,
            ..plain
        };
        Options { extract, ..Options::default() }
    }

    fn check(&self, outcome: &Outcome, how: &str) {
        let how = format!("'{}', {how}", self.name);
        let rows = outcome.rows.iter().map(|row| (row.metric.as_str(), row.value, row.line, row.offset));
        let expected =
            self.rows.iter().map(|(metric, value, line, offset)| (metric.as_str(), Some(value.bits()), *line, *offset));
        assert_eq!(rows.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "rows of {how}");
        let report = &outcome.report;
        let numbers = (report.records, report.matched, report.too_long);
        assert_eq!(numbers, (self.records, self.matched, self.too_long), "records, matched, too long of {how}");
        assert_eq!(self.by_metric(report.definitions.iter().map(rejects)), self.rejects, "rejects of {how}");
        assert_eq!(self.by_metric(report.definitions.iter().map(counts)), self.counts, "counts of {how}");
        outcome.assert_conserved(&how);
    }

    fn by_metric<const N: usize>(&self, kinds: impl Iterator<Item = [(&'static str, u64); N]>) -> Counts {
        let mut found = Counts::new();
        for (definition, kinds) in self.definitions.iter().zip(kinds) {
            for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
                *found.entry(definition.name.clone()).or_default().entry(kind.to_owned()).or_default() += count;
            }
        }
        found
    }
}

fn rejects(report: &DefinitionReport) -> [(&'static str, u64); 3] {
    Reject::ALL.map(|reason| (reason.name(), report.rejects[reason as usize]))
}

fn counts(report: &DefinitionReport) -> [(&'static str, u64); 5] {
    [
        ("trimmed", report.trimmed.count),
        ("percent", report.percent),
        ("truncated", report.truncated.count),
        ("underflow", report.underflow.count),
        ("over_budget", report.over_budget.count),
    ]
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus")
}

fn cases(file: &str) -> Vec<Case> {
    let path = directory().join(file).with_extension("toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str::<File>(&text).unwrap_or_else(|error| panic!("{file}: {error}")).case
}

fn run(file: &str) {
    for case in cases(file) {
        let (data, definitions) = (case.data(), case.definitions());
        let on_disk = TempFile::new(&format!("corpus-{file}"), &data);
        let mut first: Option<Outcome> = None;
        for strategy in STRATEGIES {
            let matcher = Arc::new(Matcher::new(definitions.clone(), strategy));
            let mut check = |outcome: Outcome, how: &str| {
                case.check(&outcome, how);
                match &first {
                    Some(first) => first.assert_same(&outcome, &format!("'{}', {how}", case.name)),
                    None => first = Some(outcome),
                }
            };
            for block in SIZES {
                for chunk in SIZES {
                    let how = format!("{strategy:?}, decoder, blocks of {block}, chunks of {chunk}");
                    check(decode(&matcher, &data, &[chunk], case.options(block)), &how);
                }
            }
            for threads in THREADS {
                for block in [7, WHOLE] {
                    let how = format!("{strategy:?}, {threads} threads, blocks of {block}");
                    let outcome = scan(&matcher, in_memory(&data), threads, 1 << 20, case.options(block));
                    check(outcome, &format!("{how}, memory"));
                    for split in SPLIT_BYTES {
                        let outcome = scan(&matcher, on_disk.source(), threads, split, case.options(block));
                        check(outcome, &format!("{how}, file in splits of {split}"));
                    }
                }
            }
            if let Some(first) = &first {
                assert_rejects_are_rows(&matcher, &data, case.options(WHOLE), first);
            }
        }
    }
}

#[test]
fn patterns_are_read_as_python_reads_them_r13() {
    run("dialect");
}

#[test]
fn encodings_and_invalid_bytes_are_read_as_python_replaces_them_b1_b3() {
    run("encodings");
}

#[test]
fn matches_and_groups_are_chosen_as_python_finds_them_r5_r7_r8() {
    run("matches");
}

#[test]
fn records_are_the_same_for_all_chunks_splits_and_threads_b2_b4_b5_b6_b7_b8_b10_b12() {
    run("records");
}

#[test]
fn terminal_text_is_normalised_for_all_chunks_splits_and_threads_b5() {
    run("terminal");
}

#[test]
fn texts_become_points_or_counted_rejects_v1_v2_v3_v4_v5_v6_v7() {
    run("values");
}

#[test]
fn every_file_of_the_corpus_is_run_and_every_case_has_its_own_name() {
    let mut files: Vec<String> = fs::read_dir(directory())
        .expect("the corpus is in the repository")
        .map(|entry| entry.expect("the directory can be listed").file_name().to_string_lossy().into_owned())
        .filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned()))
        .collect();
    files.sort();
    assert_eq!(files, FILES);
    for file in FILES {
        let mut names: Vec<String> = cases(file).into_iter().map(|case| case.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "names of {file}");
    }
}
