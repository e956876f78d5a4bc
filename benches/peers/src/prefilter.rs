//! What a good engineer writes in an afternoon: one search for a literal of each pattern over whole
//! blocks, then the captures of those patterns, on those lines.

use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::{CaptureLocations, Regex, RegexBuilder};

use crate::{Outcome, Point};

const BLOCK: usize = 512 << 10;
const LIMIT: usize = 1 << 31;

/// The patterns that share a literal, and the last line that they were tried on.
struct Group {
    patterns: Vec<(u32, Regex, CaptureLocations)>,
    tried: usize,
}

/// The compiled patterns.
pub struct Searcher {
    literals: AhoCorasick,
    groups: Vec<Group>,
}

impl Searcher {
    /// Compiles the patterns of one file; each line of another has a literal that its matches hold.
    pub fn new(patterns: &Path, literals: &Path) -> Outcome<Self> {
        let (patterns, literals) = (std::fs::read_to_string(patterns)?, std::fs::read_to_string(literals)?);
        let (mut index, mut texts, mut groups) = (HashMap::new(), Vec::new(), Vec::new());
        for (id, (pattern, literal)) in patterns.lines().zip(literals.lines()).enumerate() {
            let regex = RegexBuilder::new(pattern).size_limit(LIMIT).build()?;
            let locations = regex.capture_locations();
            let at = *index.entry(literal).or_insert_with(|| {
                texts.push(literal);
                groups.push(Group { patterns: Vec::new(), tried: usize::MAX });
                groups.len() - 1
            });
            groups[at].patterns.push((id as u32, regex, locations));
        }
        let literals = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(&texts)?;
        Ok(Self { literals, groups })
    }

    /// How many points there are in all files.
    pub fn points(&mut self, paths: &[PathBuf]) -> Outcome<u64> {
        let mut found = Vec::new();
        for path in paths {
            self.scan(File::open(path)?, &mut found)?;
        }
        Ok(found.len() as u64)
    }

    /// Blocks of whole lines; what is left of the last line goes before the next block.
    fn scan(&mut self, mut file: File, found: &mut Vec<Point>) -> Outcome<()> {
        let (mut buffer, mut filled, mut line) = (vec![0; BLOCK], 0, 0);
        loop {
            if filled == buffer.len() {
                buffer.resize(2 * filled, 0);
            }
            let got = file.read(&mut buffer[filled..])?;
            filled += got;
            let whole = match memchr::memrchr(b'\n', &buffer[..filled]) {
                _ if got == 0 => filled,
                Some(at) => at + 1,
                None => continue,
            };
            self.search(&buffer[..whole], &mut line, found)?;
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
            if got == 0 {
                return Ok(());
            }
        }
    }

    fn search(&mut self, block: &[u8], line: &mut u64, found: &mut Vec<Point>) -> Outcome<()> {
        let mut counted = 0;
        for hit in self.literals.find_iter(block) {
            let start = memchr::memrchr(b'\n', &block[..hit.start()]).map_or(0, |at| at + 1);
            let group = &mut self.groups[hit.pattern().as_usize()];
            if std::mem::replace(&mut group.tried, start) == start {
                continue;
            }
            let end = memchr::memchr(b'\n', &block[hit.end()..]).map_or(block.len(), |at| hit.end() + at);
            *line += memchr::memchr_iter(b'\n', &block[counted..start]).count() as u64;
            counted = start;
            for (pattern, regex, groups) in &mut group.patterns {
                let text = &block[start..end];
                if regex.captures_read(groups, text).is_some()
                    && let Some((from, to)) = groups.get(1)
                {
                    let value = std::str::from_utf8(&text[from..to])?.parse()?;
                    found.push(Point { _pattern: *pattern, _line: *line + 1, _value: value });
                }
            }
        }
        *line += memchr::memchr_iter(b'\n', &block[counted..]).count() as u64;
        for group in &mut self.groups {
            group.tried = usize::MAX;
        }
        Ok(())
    }
}
