//! Wrappings that put a prefix before each line, a function for each: a line in, what its prefix tells out.

use std::{ops::Range, sync::LazyLock};

use memchr::memmem::Finder;

use super::Prefix;

/// A prefix is no longer than this.
const MAX: usize = 512;

/// `2023-05-19T21:07:06.123Z message`, an export to S3.
pub(crate) fn export(line: &[u8]) -> Option<Prefix> {
    let stamp = line.first_chunk::<25>()?;
    let ends = stamp[19] == b'.' && is_digits(&stamp[20..23]) && stamp[23..] == *b"Z ";
    (ends && is_iso(&stamp[..19], b'T')).then(|| Prefix { message: 25, time: 0..24, ..Prefix::default() })
}

/// `2023-05-19T21:07:06.123000+00:00 stream message` or `2023-05-19T21:07:06 message`, from `aws logs tail`, with or
/// without its colours.
pub(crate) fn tail(line: &[u8]) -> Option<Prefix> {
    let line = &line[..line.len().min(MAX)];
    let start = colour(line);
    let rest = line.get(start..)?;
    if !rest.first_chunk::<19>().is_some_and(|stamp| is_iso(stamp, b'T')) {
        return None;
    }
    let end = start + token(rest);
    let zone = &line[start + 19..end];
    let mut at = end + colour(&line[end..]);
    at += line[at..].strip_prefix(b" ").map(|_| 1)?;
    if zone.is_empty() {
        return Some(Prefix { message: at, time: start..end, ..Prefix::default() });
    }
    let fraction = zone.strip_prefix(b".").map_or(0, |rest| 1 + rest.iter().take_while(|b| b.is_ascii_digit()).count());
    if &zone[fraction..] != b"+00:00" {
        return None;
    }
    at += colour(&line[at..]);
    let stream = at..at + token(&line[at..]);
    at = stream.end + colour(&line[stream.end..]);
    // A message may be empty.
    at += usize::from(line.get(at) == Some(&b' '));
    (!stream.is_empty()).then(|| Prefix { message: at, time: start..end, stream, ..Prefix::default() })
}

/// `algo-1-qz8z7_1  | message`, from docker compose in SageMaker's local mode, with or without its colours.
pub(crate) fn compose(line: &[u8]) -> Option<Prefix> {
    let line = &line[..line.len().min(MAX)];
    let start = colour(line);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let name = start..start + line[start..].iter().take_while(|byte| is_name(byte)).count();
    let mut at = name.end + line[name.end..].iter().take_while(|byte| **byte == b' ').count();
    if name.is_empty() || at == name.end || line.get(at) != Some(&b'|') {
        return None;
    }
    at += 1;
    at += colour(&line[at..]);
    at += usize::from(line.get(at) == Some(&b' '));
    let host = host(&line[name.clone()]).map_or(0..0, |host| name.start + host.start..name.start + host.end);
    Some(Prefix { message: at, host, stream: name, ..Prefix::default() })
}

/// `\x1b[34mmessage\x1b[0m`: `fit()` in a notebook has a colour for each host. All of it stays part of the message.
pub(crate) fn notebook(line: &[u8]) -> Option<Prefix> {
    const COLOURS: [&[u8; 2]; 5] = [b"34", b"35", b"32", b"36", b"33"];
    let rest = line.strip_prefix(b"\x1b[")?;
    let index = COLOURS.iter().position(|colour| rest.starts_with(*colour))?;
    (rest.get(2) == Some(&b'm')).then(|| Prefix { host_number: Some(index as u32 + 1), ..Prefix::default() })
}

/// Whether a line of a notebook ends the colour that it, or a line before it, has begun.
pub(crate) fn ends_colour(line: &[u8]) -> bool {
    line.trim_ascii_end().ends_with(b"\x1b[0m")
}

/// `job/algo-1-1574293123 2019-11-20 23:45:24.7 +0000 UTC message`, from SageMaker's operator for Kubernetes.
pub(crate) fn operator(line: &[u8]) -> Option<Prefix> {
    let line = &line[..line.len().min(MAX)];
    let stream = 0..token(line);
    let name = &line[stream.clone()];
    let slash = memchr::memchr(b'/', name)?;
    let host = host(&name[slash..]).map(|host| slash + host.start..slash + host.end)?;
    let time = stream.end + 1;
    let rest = line.get(time..)?;
    if !rest.first_chunk::<19>().is_some_and(|stamp| is_iso(stamp, b' ')) {
        return None;
    }
    const ZONE: &[u8] = b" +0000 UTC ";
    let fraction = rest[19..].iter().take_while(|byte| matches!(byte, b'.' | b'0'..=b'9')).count();
    let end = time + 19 + fraction;
    let message = end + line[end..].strip_prefix(ZONE).map(|_| ZONE.len())?;
    Some(Prefix { message, time: time..end, host, stream, ..Prefix::default() })
}

/// What stands in every prefix that [`mpi`] reads.
pub(crate) const MPI_MARK: &[u8] = b"]<std";

/// `[1,mpirank:8,algo-2]<stderr>:` or `[1,8]<stdout>:`: the prefix's length, the rank, and the host if it is told.
pub(crate) fn mpi(message: &[u8]) -> Option<(usize, i32, Option<&str>)> {
    let inside = message.strip_prefix(b"[")?;
    let inside = &inside[..memchr::memchr(b']', &inside[..inside.len().min(MAX)])?];
    let mut parts = inside.split(|byte| *byte == b',');
    let job = parts.next()?;
    let rank = parts.next()?;
    let rank = rank.strip_prefix(b"mpirank:").unwrap_or(rank);
    let host = parts.next().map(std::str::from_utf8);
    if job.is_empty() || !is_digits(job) || rank.is_empty() || !is_digits(rank) || parts.next().is_some() {
        return None;
    }
    let rest = &message[inside.len() + 2..];
    let stream = [&b"<stdout>:"[..], b"<stderr>:"].into_iter().find(|stream| rest.starts_with(stream))?;
    let rank = std::str::from_utf8(rank).ok()?.parse().ok()?;
    Some((inside.len() + 2 + stream.len(), rank, host.transpose().ok()?))
}

/// `algo-N` in a container's or a stream's name.
pub(super) fn host(name: &[u8]) -> Option<Range<usize>> {
    static FINDER: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"algo-"));
    let start = FINDER.find_iter(name).find(|start| {
        let before = start.checked_sub(1).map(|at| name[at]);
        before.is_none_or(|byte| !byte.is_ascii_alphanumeric()) && name.get(start + 5).is_some_and(u8::is_ascii_digit)
    })?;
    Some(start..start + 5 + name[start + 5..].iter().take_while(|byte| byte.is_ascii_digit()).count())
}

/// The length of the colours that a text begins with.
fn colour(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = text[at..].strip_prefix(b"\x1b[") {
        let parameters = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';')).count();
        if rest.get(parameters) != Some(&b'm') {
            break;
        }
        at += 2 + parameters + 1;
    }
    at
}

/// The length of the text up to a blank, an escape sequence or the line's end.
fn token(text: &[u8]) -> usize {
    text.iter().position(|byte| matches!(byte, b' ' | b'\t' | 0x1b | b'\n' | b'\r')).unwrap_or(text.len())
}

/// Whether a text is `2023-05-19T21:07:06`, with this byte for the `T`.
fn is_iso(stamp: &[u8], separator: u8) -> bool {
    let is = |byte: &u8, shape: &u8| match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => *byte == separator,
        shape => byte == shape,
    };
    stamp.len() == 19 && stamp.iter().zip(b"0000-00-00T00:00:00").all(|(byte, shape)| is(byte, shape))
}

fn is_digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(time, host, stream, message)` of a line.
    fn parts(line: &str, prefix: Option<Prefix>) -> Option<(&str, &str, &str, &str)> {
        let prefix = prefix?;
        Some((&line[prefix.time], &line[prefix.host], &line[prefix.stream], &line[prefix.message..]))
    }

    #[test]
    fn an_export_has_a_timestamp_before_each_event() {
        let line = "2023-05-19T21:07:06.123Z loss=1";
        assert_eq!(parts(line, export(line.as_bytes())), Some(("2023-05-19T21:07:06.123Z", "", "", "loss=1")));
        let empty = "2023-05-19T21:07:06.123Z ";
        assert_eq!(parts(empty, export(empty.as_bytes())).unwrap().3, "");
        for line in ["2023-05-19T21:07:06.123Z", "2023-05-19T21:07:06Z loss", " 2023-05-19T21:07:06.123Z x", "x", ""] {
            assert_eq!(export(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn aws_logs_tail_has_three_formats() {
        let table = [
            (
                "2023-05-19T21:07:06.123000+00:00 j/algo-1-16 a b",
                "2023-05-19T21:07:06.123000+00:00",
                "j/algo-1-16",
                "a b",
            ),
            ("2023-05-19T21:07:06+00:00 s a", "2023-05-19T21:07:06+00:00", "s", "a"),
            ("\x1b[32m2023-05-19T21:07:06.1+00:00\x1b[0m \x1b[36ms\x1b[0m a", "2023-05-19T21:07:06.1+00:00", "s", "a"),
            ("2023-05-19T21:07:06 a b", "2023-05-19T21:07:06", "", "a b"),
            ("2023-05-19T21:07:06.1+00:00 s", "2023-05-19T21:07:06.1+00:00", "s", ""),
        ];
        for (line, time, stream, message) in table {
            assert_eq!(parts(line, tail(line.as_bytes())), Some((time, "", stream, message)), "{line}");
        }
        for line in ["2023-05-19T21:07:06", "2023-05-19T21:07:06+02:00 s a", "2023-05-19T21:07:06,123 a", "  }", ""] {
            assert_eq!(tail(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn docker_compose_names_the_container() {
        let table = [
            ("algo-1-qz8z7_1  | a | b", "algo-1", "algo-1-qz8z7_1", "a | b"),
            ("\x1b[36malgo-2-qz8z7_1  |\x1b[0m a", "algo-2", "algo-2-qz8z7_1", "a"),
            ("tmp-algo-12-xxxxx  | ", "algo-12", "tmp-algo-12-xxxxx", ""),
            ("web_1  |a", "", "web_1", "a"),
        ];
        for (line, host, stream, message) in table {
            assert_eq!(parts(line, compose(line.as_bytes())), Some(("", host, stream, message)), "{line}");
        }
        for line in ["algo-1| a", "Attaching to algo-1", "| a", ""] {
            assert_eq!(compose(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn the_operator_writes_stream_time_and_message() {
        let line = "my-job/algo-1-1574293123 2019-11-20 23:45:24.7 +0000 UTC a b";
        let expected = ("2019-11-20 23:45:24.7", "algo-1", "my-job/algo-1-1574293123", "a b");
        assert_eq!(parts(line, operator(line.as_bytes())), Some(expected));
        for line in ["my-job/algo-1-1574293123 a b", "job 2019-11-20 23:45:24.7 +0000 UTC a", ""] {
            assert_eq!(operator(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn mpirun_tells_rank_and_host() {
        assert_eq!(mpi(b"[1,mpirank:8,algo-2]<stderr>:loss"), Some((29, 8, Some("algo-2"))));
        assert_eq!(mpi(b"[1,0]<stdout>:loss"), Some((14, 0, None)));
        for line in [
            &b"[1,0] loss"[..],
            b"[1]<stdout>:x",
            b"[a,0]<stdout>:",
            b"[1,2,3,4]<stdout>:",
            b"[1,99999999999]<stdout>:",
        ] {
            assert_eq!(mpi(line), None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_notebook_has_a_colour_for_each_host() {
        assert_eq!(notebook(b"\x1b[35mloss=1\x1b[0m").unwrap().host_number, Some(2));
        assert_eq!(notebook(b"\x1b[31mloss=1\x1b[0m"), None);
        assert!(ends_colour(b"a\x1b[0m\n") && !ends_colour(b"\x1b[0ma\n"));
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_them_panic(line: Vec<u8>) {
            for find in [export, tail, compose, notebook, operator] {
                let found = find(&line);
                proptest::prop_assert!(found.is_none_or(|prefix| prefix.message <= line.len()));
            }
            let _ = mpi(&line);
        }
    }
}
