//! Sources that become known when a thread comes to them.

use std::{
    io::{self, Cursor},
    sync::{Arc, Mutex},
    time::Duration,
};

use metricsieve_core::{Definition, DefinitionSet, Matcher, Matches, Scan, ScanOptions, Source, Strategy};

fn matcher() -> Arc<Matcher> {
    let loss = Definition {
        name: "loss".into(),
        regex: "loss=([0-9.]+)".into(),
        group: None,
        matches: Matches::First,
        number: None,
    };
    let set = DefinitionSet::new(vec![loss], true).unwrap();
    Arc::new(Matcher::new(Arc::new(set), Strategy::Prefiltered))
}

fn rows(sources: Vec<Source>, threads: usize) -> (usize, Vec<bool>, Option<String>) {
    let labelled = sources.into_iter().enumerate().map(|(number, source)| (number.to_string(), source));
    let options = ScanOptions { threads, ..ScanOptions::default() };
    let mut scan = Scan::new(matcher(), labelled.collect(), options).unwrap();
    let mut rows = 0;
    while !scan.is_over() {
        rows += scan.next_batch(Duration::from_secs(10)).unwrap().map_or(0, |batch| batch.num_rows());
    }
    let sources = &scan.report().sources;
    let error = sources.iter().find_map(|source| source.error.clone());
    (rows, sources.iter().map(|source| source.error.is_none()).collect(), error)
}

#[test]
fn deferred_sources_are_read_by_whoever_comes_to_them() {
    for threads in [1, 2, 5] {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let deferred = |number: usize| {
            let asked = asked.clone();
            Source::Deferred(Box::new(move || {
                asked.lock().unwrap().push(number);
                let text = format!("loss={number}\n").repeat(number);
                Ok(match number % 3 {
                    0 => Source::Bytes(Arc::new(text)),
                    1 => Source::Stream(Box::new(Cursor::new(text))),
                    _ => Source::Deferred(Box::new(|| Ok(Source::Bytes(Arc::new(text))))),
                })
            }))
        };
        let mut sources: Vec<_> = (0..100).map(deferred).collect();
        sources.insert(50, Source::Stream(Box::new(Cursor::new("loss=1\n"))));
        let (rows, complete, _) = rows(sources, threads);
        assert_eq!(rows, 99 * 100 / 2 + 1);
        assert!(complete.iter().all(|complete| *complete));
        let mut asked = std::mem::take(&mut *asked.lock().unwrap());
        if threads == 1 {
            assert!(asked.is_sorted());
        }
        asked.sort_unstable();
        assert_eq!(asked, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn r14_what_fails_to_be_found_is_that_sources_error() {
    for threads in [1, 3] {
        let bytes = |text: &'static str| Source::Deferred(Box::new(move || Ok(Source::Bytes(Arc::new(text)))));
        let sources = vec![
            bytes("loss=1\n"),
            Source::Deferred(Box::new(|| Err(io::Error::other("no such object")))),
            Source::Deferred(Box::new(|| panic!("a bug"))),
            bytes("loss=2\n"),
        ];
        let (rows, complete, error) = rows(sources, threads);
        assert_eq!((rows, complete), (2, vec![true, false, false, true]));
        assert_eq!(error.as_deref(), Some("no such object"));
    }
}
