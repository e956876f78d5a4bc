//! Job, host and stream in the names of streams and files.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::lines;

/// What a name tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Names {
    pub job: Option<Arc<str>>,
    pub host: Option<Arc<str>>,
    pub stream: Option<Arc<str>>,
}

impl Names {
    /// Of a log stream's name, or of a path or URL that holds one: `<job>/algo-<n>-<epoch>`, where exports to S3 put
    /// a `-` for the `/`.
    pub fn of(name: &str) -> Self {
        let none = Self::default();
        let Some(host) = lines::host(name.as_bytes()) else { return none };
        // Ten digits of seconds end a stream's name.
        let rest = &name[host.end..];
        let epoch = rest.strip_prefix('-').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        let ends = rest.as_bytes().get(1 + epoch).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        if epoch != 10 || !ends || host.start == 0 {
            return none;
        }
        let separator = &name[host.start - 1..host.start];
        let before = &name[..host.start - 1];
        let start = before.rfind('/').map_or(0, |slash| slash + 1);
        let job = &before[start..];
        if job.is_empty() || !matches!(separator, "/" | "-") {
            return none;
        }
        let text = |text: &str| Some(text.into());
        let (host, epoch) = (&name[host.clone()], &name[host.end..host.end + 11]);
        Self { job: text(job), host: text(host), stream: text(&format!("{job}/{host}{epoch}")) }
    }

    /// Of what is a log stream's name for sure: itself, at the least.
    pub fn of_stream(name: &str) -> Self {
        Self { stream: Some(name.into()), ..Self::of(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_name_tells_job_and_host() {
        let table = [
            ("my-job/algo-1-1574293123", Some(("my-job", "algo-1"))),
            ("logs/exportedlogs/3f2a/my-job-algo-12-1574293123/000000.gz", Some(("my-job", "algo-12"))),
            ("s3://bucket/a/my-job/algo-1-1574293123.log", Some(("my-job", "algo-1"))),
            ("my-job/algo-1-157429312", None),
            ("my-job/algo-1-15742931234", None),
            ("/algo-1-1574293123", None),
            ("algo-1-1574293123", None),
            ("train.log", None),
            ("", None),
        ];
        for (name, expected) in table {
            let found = Names::of(name);
            let expected = expected.map(|(job, host)| (job, host, format!("{job}/{host}-1574293123")));
            let found = found
                .job
                .as_deref()
                .map(|job| (job, found.host.as_deref().unwrap(), found.stream.as_deref().unwrap().to_owned()));
            assert_eq!(found, expected, "{name}");
        }
    }
}
