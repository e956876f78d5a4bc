//! The obvious way in Rust: a `RegexSet` tells which patterns match a line, each of them captures.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use regex::bytes::{CaptureLocations, Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use crate::{Outcome, Point};

const LIMIT: usize = 1 << 31;

/// The compiled patterns.
pub struct Searcher {
    set: RegexSet,
    regexes: Vec<(Regex, CaptureLocations)>,
}

impl Searcher {
    /// Compiles the patterns, one a line, of the file `patterns`.
    pub fn new(patterns: &Path) -> Outcome<Self> {
        let text = std::fs::read_to_string(patterns)?;
        let set = RegexSetBuilder::new(text.lines()).size_limit(LIMIT).dfa_size_limit(LIMIT).build()?;
        let mut regexes = Vec::new();
        for pattern in text.lines() {
            let regex = RegexBuilder::new(pattern).size_limit(LIMIT).build()?;
            let locations = regex.capture_locations();
            regexes.push((regex, locations));
        }
        Ok(Self { set, regexes })
    }

    /// How many points there are in all files.
    pub fn points(&mut self, paths: &[PathBuf]) -> Outcome<u64> {
        let mut found = Vec::new();
        for path in paths {
            let mut file = BufReader::with_capacity(512 << 10, File::open(path)?);
            let (mut line, mut number) = (Vec::new(), 0);
            while file.read_until(b'\n', &mut line)? > 0 {
                number += 1;
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                self.search(&line, number, &mut found)?;
                line.clear();
            }
        }
        Ok(found.len() as u64)
    }

    fn search(&mut self, line: &[u8], number: u64, found: &mut Vec<Point>) -> Outcome<()> {
        // Most lines match nothing, and only this question is answered with the help of literals.
        if !self.set.is_match(line) {
            return Ok(());
        }
        for index in &self.set.matches(line) {
            let (regex, groups) = &mut self.regexes[index];
            regex.captures_read(groups, line);
            if let Some((start, end)) = groups.get(1) {
                let value = std::str::from_utf8(&line[start..end])?.parse()?;
                found.push(Point { _pattern: index as u32, _line: number, _value: value });
            }
        }
        Ok(())
    }
}
