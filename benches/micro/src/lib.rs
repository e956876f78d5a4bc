//! What the benches of the core share: seeded texts, and a decoder run over one of them.
//!
//! [`decode`] is the principal function; `benches/core.rs` and the program `decode` call it.

pub mod texts;

use std::sync::Arc;

use metricsieve_core::{ColumnOptions, Decoder, Definition, DefinitionSet, Error, ExtractOptions, Matcher, Strategy};

/// What a file is read in.
const CHUNK: usize = 512 << 10;

/// A matcher for these patterns, on terminal text.
pub fn matcher<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Arc<Matcher>, Error> {
    let named = patterns.into_iter().enumerate();
    let definitions = named.map(|(id, pattern)| Definition::new(format!("m{id}"), pattern)).collect();
    let set = DefinitionSet::new(definitions, true).map_err(|mut errors| errors.remove(0))?;
    Ok(Arc::new(Matcher::new(Arc::new(set), Strategy::default())))
}

/// A decoder of one source with the default options.
pub fn decoder(matcher: &Arc<Matcher>) -> Result<Decoder, Error> {
    Decoder::new(Arc::clone(matcher), "bench.log", ColumnOptions::default(), ExtractOptions::default())
}

/// How many points `text` holds. A function of its own in the binary: `instructions.py` names it.
#[inline(never)]
pub fn decode(decoder: &mut Decoder, text: &[u8]) -> Result<usize, Error> {
    let mut points = 0;
    for chunk in text.chunks(CHUNK) {
        decoder.decode(chunk)?;
        while let Some(batch) = decoder.flush() {
            points += batch.num_rows();
        }
    }
    decoder.finish()?;
    while let Some(batch) = decoder.flush() {
        points += batch.num_rows();
    }
    Ok(points)
}
