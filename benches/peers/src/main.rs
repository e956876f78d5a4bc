//! The peers of the benchmarks that are written in Rust: floors, and the obvious way to do the work.
//!
//! `entries.py` starts this program on one CPU or two; it prints its count and the seconds that the
//! work took, without the start of the process and the compilation of patterns.
//!
//! An argument `@LIST` stands for the files that LIST names, one a line.
//!
//! ```text
//! peers read THREADS FILE...        read(2) of everything
//! peers lines THREADS FILE...       the same, counting line feeds
//! peers memory FILE                 line feeds of a file that was read before
//! peers gunzip FILE...              decompression alone
//! peers regexset PATTERNS FILE...   a RegexSet on each line, captures of what matched
//! peers prefilter PATTERNS LITERALS FILE...   literals over blocks, captures on their lines
//! ```

mod floors;
mod prefilter;
mod regexset;

use std::{env, error::Error, path::PathBuf, process::ExitCode, time::Instant};

/// Any error ends the program; `entries.py` shows its text.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A point as the table of a user would hold it.
pub struct Point {
    _pattern: u32,
    _line: u64,
    _value: f64,
}

fn run() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().ok_or("which peer?")?;
    let (mut rest, mut threads): (Vec<PathBuf>, usize) = (Vec::new(), 1);
    if name == "read" || name == "lines" {
        threads = arguments.next().ok_or("how many threads?")?.parse()?;
    }
    for argument in arguments {
        match argument.strip_prefix('@') {
            Some(list) => rest.extend(std::fs::read_to_string(list)?.lines().map(PathBuf::from)),
            None => rest.push(PathBuf::from(argument)),
        }
    }
    let mut begin = Instant::now();
    let count = match name.as_str() {
        "read" => floors::in_parts(&rest, threads, |_| 0)?,
        "lines" => floors::in_parts(&rest, threads, floors::line_feeds)?,
        "memory" => {
            let text = std::fs::read(&rest[0])?;
            begin = Instant::now();
            floors::line_feeds(&text)
        }
        "gunzip" => floors::gunzip(&rest)?,
        "regexset" => {
            let mut searcher = regexset::Searcher::new(&rest[0])?;
            begin = Instant::now();
            searcher.points(&rest[1..])?
        }
        "prefilter" => {
            let mut searcher = prefilter::Searcher::new(&rest[0], &rest[1])?;
            begin = Instant::now();
            searcher.points(&rest[2..])?
        }
        _ => return Err(format!("no peer is called {name}").into()),
    };
    println!("{{\"count\": {count}, \"seconds\": {}}}", begin.elapsed().as_secs_f64());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
