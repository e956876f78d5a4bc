//! Decodes a file that was read before, by patterns of another file, one a line; prints the points.
//!
//! `instructions.py` counts the instructions of `metricsieve_bench_micro::decode` in it.

use std::{env, error::Error, fs};

use metricsieve_bench_micro::{decode, decoder, matcher};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [patterns, log] = arguments.as_slice() else {
        return Err("usage: decode PATTERNS LOG".into());
    };
    let (patterns, text) = (fs::read_to_string(patterns)?, fs::read(log)?);
    let mut decoder = decoder(&matcher(patterns.lines())?)?;
    println!("{}", decode(&mut decoder, &text)?);
    Ok(())
}
