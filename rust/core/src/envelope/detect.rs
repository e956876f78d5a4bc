//! Which wrapping a source has, from its beginning.
//!
//! A wrapping is chosen when nearly all lines look so; what is chosen stands in the report, with the number of lines
//! that it did not fit.

use super::{Envelope, lines, pieces};

/// Bytes of a source that decide, at most.
pub(crate) const HEAD: usize = 16 << 10;
/// So many lines of them are enough.
const LINES: usize = 64;

/// How many of the first bytes decide; None while more are needed, if there are more.
pub(crate) fn enough(head: &[u8]) -> Option<usize> {
    let head = &head[..head.len().min(HEAD)];
    let lines = memchr::memchr_iter(b'\n', head).nth(LINES - 1).map(|lf| lf + 1);
    lines.or((head.len() == HEAD).then_some(HEAD))
}

/// The wrapping of a source that begins with `head`, which is enough or all of it.
pub(crate) fn detect(head: &[u8]) -> Envelope {
    let enough = enough(head);
    let head = &head[..enough.unwrap_or(head.len())];
    // Of the last line only a part may be there.
    let whole = match memchr::memrchr(b'\n', head) {
        Some(lf) if enough.is_some() => &head[..=lf],
        _ => head,
    };
    if is_documents(head) {
        return Envelope::CloudWatchJson;
    }
    let lines: Vec<&[u8]> = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let Some(first) = lines.first() else { return Envelope::Plain };
    let count = |is: &dyn Fn(&[u8]) -> bool| lines.iter().filter(|line| is(line)).count() * 100 / lines.len();
    let prefixed = |envelope: Envelope| count(&|line| envelope.prefix(line).is_some());
    // These begin as lines of an export do.
    if first[0].is_ascii_digit() && count(&pieces::is_cri) >= 80 {
        return Envelope::Cri;
    }
    // Most lines of a traceback in one event have no prefix.
    for envelope in [Envelope::CloudWatchExport, Envelope::CloudWatchTail] {
        if envelope.prefix(first).is_some() && prefixed(envelope) >= 10 {
            return envelope;
        }
    }
    if prefixed(Envelope::Operator) >= 80 {
        return Envelope::Operator;
    }
    let names_host = |line: &[u8]| lines::compose(line).is_some_and(|prefix| !prefix.host.is_empty());
    if count(&names_host) >= 60 {
        return Envelope::Compose;
    }
    let is_coloured = |line: &[u8]| lines::notebook(line).is_some() && lines::ends_colour(line);
    if count(&is_coloured) >= 60 {
        return Envelope::Notebook;
    }
    match first[0] {
        b'{' if count(&pieces::is_docker) >= 80 => return Envelope::DockerJson,
        b'{' if count(&pieces::is_json) >= 95 => return Envelope::JsonLines,
        _ => {}
    }
    if lines.iter().any(|line| lines::mpi(line).is_some()) { Envelope::Mpi } else { Envelope::Plain }
}

/// Whether a text begins as documents with lists of CloudWatch's events do.
fn is_documents(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    let has = |key: &str| memchr::memmem::find(text, key.as_bytes()).is_some();
    let is_list = text.starts_with(b"[") && text[1..].trim_ascii_start().starts_with(b"{");
    match text.first() {
        Some(b'{') => {
            (has("\"logEvents\"") && has("\"logGroup\""))
                || (has("\"events\"") && has("\"message\"") && has("\"timestamp\""))
        }
        Some(b'[') => is_list && has("\"message\"") && has("\"timestamp\""),
        _ => false,
    }
}
