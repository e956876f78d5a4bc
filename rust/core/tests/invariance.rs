//! What may not change a row: the strategy, the chunks, the buffer, the splits, the threads (fault B10).
//!
//! Definitions and logs are made up from the same pieces, so that they match each other; the logs are
//! then escaped, coloured, redrawn and damaged. The exhaustive strategy on the whole source at once is
//! the reference. `PROPTEST_CASES` sets the number of cases.

mod common;

use std::{cell::Cell, collections::HashSet, sync::Arc};

use common::{Options, Outcome, TempFile, assert_rejects_are_rows, decode, in_memory, scan, scan_to_marks};
use metricsieve_core::{
    ContextColumn, ContextType, Definition, DefinitionSet, Envelope, ExtractOptions, Mark, Matcher, Matches,
    NumberMode, Position, Source, Strategy as Search,
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::TestRunner,
};

/// A fragment of a pattern and texts that it matches.
type Piece = (&'static str, &'static [&'static str]);

const PIECES: [Piece; 34] = [
    ("loss", &["loss"]),
    ("eval_loss", &["eval_loss"]),
    ("(?:loss|error)", &["loss", "error"]),
    ("(?:train|t)", &["train", "t"]),
    ("(?:val_)?acc", &["acc", "val_acc"]),
    ("(?:ab)+", &["ab", "abab"]),
    ("(?:a|bc)*", &["", "abca"]),
    ("(?:a*)*", &["", "aa"]),
    ("(?i:LOSS)", &["loss", "LOSS", "lo\u{17f}s"]),
    ("(?i:min)", &["min", "m\u{131}n"]),
    (r"\bloss", &["loss", " loss"]),
    (r"loss\b", &["loss"]),
    (r"\w+", &["loss", "e_1", "\u{e9}"]),
    (r"\W", &["=", "\u{20ac}", "\u{fffd}"]),
    (r"\s+", &[" ", "\t", "\u{a0}", "#011"]),
    (r"\s*", &["", " "]),
    (r"[^\d\s]+", &["abc:"]),
    (r"\[\d+\]", &["[3]", "[12]"]),
    ("[:=] ?", &["=", ": "]),
    (".", &["x", "\u{fffd}", "\u{1f600}"]),
    (".*", &["", "x y"]),
    (".*?", &["", "x"]),
    ("(?s:.)", &["x"]),
    ("^", &[""]),
    ("$", &[""]),
    ("", &[""]),
    ("\u{e9}poque", &["\u{e9}poque"]),
    ("\u{fffd}", &["\u{fffd}"]),
    ("#011", &["#011", "\t"]),
    ("##", &["##"]),
    ("{'", &["{'"]),
    ("%", &["%"]),
    ("a{,2}", &["", "aa"]),
    ("(?:x|)", &["x", ""]),
];

const VALUES: [Piece; 9] = [
    ("([0-9.]+)", &["0.5", "12", "1e-5", "-3"]),
    (r"(\S+)", &["0.5", "'0.5',", "nan", "x", "1e400", "#033"]),
    ("(.*)", &["0.5", "", "(0.5)", "1 2"]),
    (r"(\d*)", &["7", ""]),
    (r"(\d)", &["7", "12"]),
    (r"([-+.\deE]+)", &["4.67e-05", "-1"]),
    (r"(?:=(\d+))?", &["=5", ""]),
    (r"(?P<phase>\w+) (?P<value>\d+)", &["train 5"]),
    ("()", &[""]),
];

const NOISE: [&[u8]; 59] = [
    b"2023-05-19T21:07:06.123Z ",
    b"\n2023-05-19T21:07:07.123Z ",
    b"\n2023-05-19T21:07:07.5+00:00 j/algo-1-1574293123 ",
    b"\n2023-05-19T21:07:08 ",
    b"\nalgo-2-qz8z7_1  | ",
    b"\nalgo-1-qz8z7_1  | ",
    b"\n\x1b[34m",
    b"\x1b[0m\n\x1b[35m",
    b"\nj/algo-1-1574293123 2019-11-20 23:45:24.7 +0000 UTC ",
    b"\n[1,mpirank:8,algo-3]<stderr>:",
    b"\n[1,0]<stdout>:",
    b"\n2019-04-30T02:12:41.8443515Z stdout P ",
    b"\n2019-04-30T02:12:42Z stderr F ",
    b"\n2023-10-29 02:30:00,123 INFO ",
    b"\n[05/19/2023 21:07:06 INFO 1402] ",
    b"\n",
    b"\n",
    b"\r\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b"\x08",
    b"\x08\x08",
    b"#015",
    b"#015\n",
    b"#010",
    b"#010#010",
    b"#011",
    b"#033",
    b"#033[31m",
    b"#0",
    b"#01",
    b"#",
    b"\x1b[0m",
    b"\x1b[1;31m",
    b"\x1b[",
    b"\x1b",
    b"\x1b]0;t\x07",
    b"\x1b]",
    b"\x07",
    b"\x1b\\",
    b"\x1b(B",
    b"\xff",
    b"\xc3",
    b"\xa9",
    b"\xe2\x82",
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\0",
    b" ",
    b"\t",
    b"loss=",
    b"0.5",
    b"nan",
    b"1e-7",
    b"eval_loss: ",
    b"xxxxxxxxxxxxxxxxxxxxxxxx",
    b"\xef\xbf\xbd",
];

const ENDS: [&[u8]; 8] = [b"\n", b"\n", b"\r\n", b"\r", b"#015", b"\x08", b" ", b""];

#[derive(Debug, Clone)]
enum Part {
    Noise(&'static [u8]),
    /// A text that this definition matches, with something put into it half of the time.
    Match {
        definition: Index,
        choice: usize,
        damage: Option<(Index, &'static [u8])>,
        end: &'static [u8],
    },
}

#[derive(Debug, Clone, Copy)]
enum Encoding {
    Bytes,
    Utf8Mark,
    Utf16Le,
    Utf16Be,
}

#[derive(Debug)]
struct Case {
    definitions: Vec<Definition>,
    context: Vec<ContextColumn>,
    terminal: bool,
    data: Vec<u8>,
    options: Options,
    chunks: Vec<usize>,
    blocks: [usize; 2],
    split_bytes: u64,
    threads: usize,
}

type Parts = (Vec<Piece>, Piece, Vec<Piece>);

fn definition() -> impl Strategy<Value = (Parts, Matches, Option<NumberMode>)> {
    let pieces = |most| vec(select(&PIECES[..]), 0..=most);
    let matches = select(&[Matches::First, Matches::First, Matches::Last, Matches::All][..]);
    let number = select(&[None, None, Some(NumberMode::Strict), Some(NumberMode::Prefix)][..]);
    ((pieces(3), select(&VALUES[..]), pieces(1)), matches, number)
}

fn part() -> impl Strategy<Value = Part> {
    let damage = proptest::option::of((any::<Index>(), select(&NOISE[..])));
    let end = select(&ENDS[..]);
    let noise = select(&NOISE[..]).prop_map(Part::Noise);
    let found = (any::<Index>(), any::<usize>(), damage, end)
        .prop_map(|(definition, choice, damage, end)| Part::Match { definition, choice, damage, end });
    prop_oneof![noise, found]
}

fn case() -> impl Strategy<Value = Case> {
    let wrapping = proptest::option::of(select(&Envelope::ALL[..]));
    let options = (select(&[1 << 20, 1 << 20, 40, 12, 3][..]), 1..5_usize, wrapping);
    let ways = (vec(1..24_usize, 1..6), [1..48_usize, 1..4096_usize], 1..64_u64, 2..5_usize);
    let encoding = select(
        &[Encoding::Bytes, Encoding::Bytes, Encoding::Bytes, Encoding::Utf8Mark, Encoding::Utf16Le, Encoding::Utf16Be]
            [..],
    );
    let kinds = select(&[ContextType::Int64, ContextType::Float64, ContextType::Float64, ContextType::String][..]);
    let kinds = vec(kinds, 0..=2).prop_map(|kinds| if kinds.is_empty() { vec![ContextType::String] } else { kinds });
    let made = (vec(definition(), 1..6), vec(definition(), 2), kinds);
    (made, vec(part(), 0..40), any::<bool>(), options, ways, encoding).prop_map(
        |(
            (mut made, columns, kinds),
            parts,
            terminal,
            (max_record_bytes, batch_rows, envelope),
            (chunks, blocks, split_bytes, threads),
            encoding,
        )| {
            let mut definitions: Vec<Definition> = Vec::new();
            for (index, ((before, value, after), matches, number)) in made.iter().enumerate() {
                let regex: String = before.iter().chain([value]).chain(after).map(|(pattern, _)| *pattern).collect();
                let plain = Definition::new(format!("m{}", index / 2), regex);
                definitions.push(Definition { matches: *matches, number: *number, ..plain });
            }
            let mut seen = HashSet::new();
            definitions.retain(|definition| {
                seen.insert(definition.clone()) && DefinitionSet::new(vec![definition.clone()], terminal).is_ok()
            });
            let context = context(&columns, &kinds, &definitions, terminal);
            made.extend(columns);
            let mut text = Vec::new();
            for part in &parts {
                match part {
                    Part::Noise(noise) => text.extend_from_slice(noise),
                    Part::Match { definition, choice, damage, end } => {
                        let ((before, value, after), ..) = definition.get(&made);
                        let mut found: Vec<u8> = Vec::new();
                        for (turn, (_, texts)) in before.iter().chain([value]).chain(after).enumerate() {
                            found.extend_from_slice(
                                texts[choice.rotate_right(turn as u32 * 3) % texts.len()].as_bytes(),
                            );
                        }
                        if let Some((place, damage)) = damage {
                            let place = place.index(found.len() + 1);
                            found.splice(place..place, damage.iter().copied());
                        }
                        text.extend_from_slice(&found);
                        text.extend_from_slice(end);
                    }
                }
            }
            // Literals of half of the cases are judged, and changed, after every few bytes.
            let judged_after = if threads % 2 == 0 { 1 } else { 1 << 20 };
            let extract = ExtractOptions { max_record_bytes, batch_rows, judged_after, ..ExtractOptions::default() };
            let options = Options { extract, envelope };
            Case {
                definitions,
                context,
                terminal,
                data: encode(text, encoding),
                options,
                chunks,
                blocks,
                split_bytes,
                threads,
            }
        },
    )
}

/// A column of each kind, made as definitions are; one may have the patterns of two.
fn context(
    made: &[(Parts, Matches, Option<NumberMode>)],
    kinds: &[ContextType],
    definitions: &[Definition],
    terminal: bool,
) -> Vec<ContextColumn> {
    let regex = |((before, value, after), ..): &(Parts, Matches, Option<NumberMode>)| -> String {
        before.iter().chain([value]).chain(after).map(|(pattern, _)| *pattern).collect()
    };
    let columns = kinds.iter().enumerate().map(|(index, kind)| {
        let mut column = ContextColumn::new(format!("c{index}"), regex(&made[index]), *kind);
        if made[index].1 == Matches::Last {
            column.regexes.push(regex(&made[1 - index]));
        }
        column
    });
    let set = DefinitionSet::new(definitions.to_vec(), terminal).expect("each was checked alone");
    columns.filter(|column| set.clone().with_context(vec![column.clone()]).is_ok()).collect()
}

fn encode(text: Vec<u8>, encoding: Encoding) -> Vec<u8> {
    let units = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| {
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut data: Vec<u8> = mark.into();
        data.extend(text.encode_utf16().flat_map(bytes));
        data
    };
    match encoding {
        Encoding::Bytes => text,
        Encoding::Utf8Mark => [b"\xef\xbb\xbf", &text[..]].concat(),
        Encoding::Utf16Le => units([0xff, 0xfe], u16::to_le_bytes),
        Encoding::Utf16Be => units([0xfe, 0xff], u16::to_be_bytes),
    }
}

/// Panics unless the sections between the marks of a scan of a file give its rows, each for itself.
fn assert_sections_are_the_whole(
    matcher: &Arc<Matcher>,
    file: &TempFile,
    marks: &[Mark],
    (threads, split_bytes, options): (usize, u64, Options),
    expected: &Outcome,
) {
    let (mut from, mut begun) = (None::<Box<Position>>, 0);
    for mark in marks {
        let start = from.as_ref().map_or(0, |position| position.offset);
        let until = mark.position.as_ref().map(|position| position.offset);
        let section = Source::Section { path: file.0.clone(), from, until };
        let section = scan(matcher, section, threads, split_bytes, options);
        let how = format!("bytes {start} to {}", mark.offset);
        assert_eq!(section.rows, expected.rows[begun..mark.rows as usize], "rows of {how}");
        assert_eq!(section.report.sources[0].bytes, mark.offset - start, "length of {how}");
        // What programs keep of a position.
        let kept = |position: &Position| position.clone().with_event(&position.event()).expect("it was just written");
        (from, begun) = (mark.position.as_deref().map(kept).map(Box::new), mark.rows as usize);
    }
    assert!(from.is_none() && begun == expected.rows.len(), "the last mark is the end");
}

#[test]
fn rows_do_not_depend_on_strategy_chunks_splits_or_threads_b1_b3_b5_b10_r5_r8() {
    let [cases, matching, rejecting, carrying, marking] = [const { Cell::new(0_u32) }; 5];
    let count = |counter: &Cell<u32>, yes: bool| counter.set(counter.get() + u32::from(yes));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&case(), |case| {
            let set = DefinitionSet::new(case.definitions.clone(), case.terminal).expect("each was checked alone");
            let set = Arc::new(set.with_context(case.context.clone()).expect("each was checked alone"));
            let [fast, slow] =
                [Search::Prefiltered, Search::Exhaustive].map(|strategy| Arc::new(Matcher::new(set.clone(), strategy)));
            let expected = decode(&slow, &case.data, &[], case.options);
            expected.assert_conserved("the reference");
            assert_rejects_are_rows(&fast, &case.data, case.options, &expected);
            let on_disk = TempFile::new("invariance", &case.data);
            for (matcher, name) in [(&fast, "prefiltered"), (&slow, "exhaustive")] {
                let whole = decode(matcher, &case.data, &[], case.options);
                expected.assert_same(&whole, &format!("{name}, whole"));
                for block_bytes in case.blocks {
                    let extract = ExtractOptions { block_bytes, ..case.options.extract };
                    let options = Options { extract, ..case.options };
                    let chunked = decode(matcher, &case.data, &case.chunks, options);
                    expected.assert_same(&chunked, &format!("{name}, blocks of {block_bytes}, in chunks"));
                    let memory = scan(matcher, in_memory(&case.data), case.threads, 1, options);
                    expected.assert_same(&memory, &format!("{name}, blocks of {block_bytes}, in memory"));
                    for threads in [1, case.threads] {
                        let split = scan(matcher, on_disk.source(), threads, case.split_bytes, options);
                        let how = format!("{name}, blocks of {block_bytes}, {threads} threads, in splits");
                        split.assert_conserved(&how);
                        expected.assert_same(&split, &how);
                    }
                    let ways = (case.threads, case.split_bytes, options);
                    let (marked, marks) = scan_to_marks(matcher, on_disk.source(), ways.0, ways.1, options, true);
                    expected.assert_same(&marked, &format!("{name}, blocks of {block_bytes}, with marks"));
                    assert_sections_are_the_whole(matcher, &on_disk, &marks, ways, &expected);
                    count(&marking, marks.len() > 1);
                }
            }
            count(&cases, true);
            count(&matching, !expected.rows.is_empty());
            count(&rejecting, expected.report.rejected() > 0);
            count(&carrying, expected.report.context.iter().any(|column| column.values > 0));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let share = |counter: &Cell<u32>| f64::from(counter.get()) / f64::from(cases.get());
    assert!(share(&matching) > 0.4, "{} of {} cases hold points", matching.get(), cases.get());
    assert!(share(&carrying) > 0.15, "{} of {} cases hold context", carrying.get(), cases.get());
    assert!(share(&marking) > 0.5, "{} times in {} cases there are sections", marking.get(), cases.get());
    assert!(share(&rejecting) > 0.3, "{} of {} cases hold rejects", rejecting.get(), cases.get());
}

#[test]
fn lines_in_parts_of_several_streams_are_whole_in_every_section() {
    let part = (any::<bool>(), any::<bool>(), select(&["loss=", "0.5", " ", "loss=1 "][..]));
    let case = (vec(part, 1..16), any::<bool>(), 1..120_u64, 1..4_usize);
    let plain = Definition::new("loss", "loss=([0-9.]*)");
    let set = DefinitionSet::new(vec![Definition { matches: Matches::All, ..plain }], true).expect("it is one");
    let matcher = Arc::new(Matcher::new(Arc::new(set), Search::Prefiltered));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&case, |(parts, is_docker, split_bytes, threads)| {
            let line = |&(is_error, goes_on, text): &(bool, bool, &str)| {
                let (time, stream) = ("2019-04-30T02:12:41Z", if is_error { "stderr" } else { "stdout" });
                if is_docker {
                    let end = if goes_on { "" } else { "\\n" };
                    format!(r#"{{"log":"{text}{end}","stream":"{stream}","time":"{time}"}}"#) + "\n"
                } else {
                    format!("{time} {stream} {} {text}\n", if goes_on { "P" } else { "F" })
                }
            };
            let data: String = parts.iter().map(line).collect();
            let envelope = Some(if is_docker { Envelope::DockerJson } else { Envelope::Cri });
            let options = Options { envelope, ..Options::default() };
            let expected = decode(&matcher, data.as_bytes(), &[], options);
            let file = TempFile::new("parts", data.as_bytes());
            let (marked, marks) = scan_to_marks(&matcher, file.source(), threads, split_bytes, options, true);
            expected.assert_same(&marked, "with marks");
            assert_sections_are_the_whole(&matcher, &file, &marks, (threads, split_bytes, options), &expected);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
