//! What wraps each message of a log: who wrote it down, and how.
//!
//! [`Envelope`] names the wrappings. Most hold the message as it was, behind a prefix: [`Envelope::prefix`] reads it,
//! for records that matter only (`lines` has one function for each of them). JSON and lines that were cut in pieces
//! have to be unwrapped before anything can be searched: `unwrap` does. [`detect`] tells from the beginning of a
//! source which wrapping it has. `event` makes time, host and rank of what is found here.

mod cloudwatch_json;
mod detect;
mod lines;
mod names;
mod pieces;

use std::ops::Range;

pub(crate) use detect::{HEAD, detect, enough};
pub(crate) use lines::{MPI_MARK, ends_colour, mpi};
pub(crate) use names::Names;
pub(crate) use pieces::{Piece, Told, Unwrapped, Unwrapper};

/// What wraps each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Envelope {
    /// Nothing.
    #[default]
    Plain,
    /// Rank prefixes of `mpirun`, `[1,mpirank:8,algo-2]<stderr>:`, which stay part of the message.
    Mpi,
    /// A CloudWatch Logs export to S3: an ISO timestamp before each event, none before its further lines.
    CloudWatchExport,
    /// `aws logs tail`: a timestamp, and the stream's name unless the format is `short`.
    CloudWatchTail,
    /// `get-log-events`, `filter-log-events`, subscriptions, Firehose: JSON objects with a list of events.
    CloudWatchJson,
    /// SageMaker's local mode: the container's name before each line, as docker compose prints it.
    Compose,
    /// What `fit()` prints in a notebook: a colour for each host.
    Notebook,
    /// Logs from SageMaker's operator for Kubernetes: stream, time, message.
    Operator,
    /// Docker's files of JSON lines.
    DockerJson,
    /// Container logs of Kubernetes, with lines that were cut in pieces.
    Cri,
    /// JSON lines with the message under a key.
    JsonLines,
    /// Events that were asked for: JSON lines that nobody else has seen, so that places in the source are those in its
    /// messages.
    Events,
}

impl Envelope {
    /// All that a log may have.
    pub const ALL: [Envelope; 11] = [
        Envelope::Plain,
        Envelope::Mpi,
        Envelope::CloudWatchExport,
        Envelope::CloudWatchTail,
        Envelope::CloudWatchJson,
        Envelope::Compose,
        Envelope::Notebook,
        Envelope::Operator,
        Envelope::DockerJson,
        Envelope::Cri,
        Envelope::JsonLines,
    ];

    /// The name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Envelope::Plain => "plain",
            Envelope::Mpi => "mpi",
            Envelope::CloudWatchExport => "cloudwatch-export",
            Envelope::CloudWatchTail => "cloudwatch-tail",
            Envelope::CloudWatchJson => "cloudwatch-json",
            Envelope::Compose => "compose",
            Envelope::Notebook => "notebook",
            Envelope::Operator => "operator",
            Envelope::DockerJson => "docker-json",
            Envelope::Cri => "cri",
            Envelope::JsonLines => "json",
            Envelope::Events => "events",
        }
    }

    /// The one of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Envelope::Events]).find(|envelope| envelope.name() == name)
    }

    /// Whether the text has to be unwrapped before it is searched.
    pub(crate) fn is_unwrapped(self) -> bool {
        use Envelope::{CloudWatchJson, Cri, DockerJson, Events, JsonLines};
        matches!(self, CloudWatchJson | DockerJson | Cri | JsonLines | Events)
    }

    /// Whether a line without the prefix belongs to the event of the line before.
    pub(crate) fn is_continued(self) -> bool {
        matches!(self, Envelope::CloudWatchExport | Envelope::CloudWatchTail | Envelope::Notebook)
    }

    /// Whether one file may be read in pieces that begin at any event.
    pub(crate) fn is_splittable(self) -> bool {
        !self.is_unwrapped() && self != Envelope::Notebook
    }

    /// Whether lines have a prefix that is no part of the message.
    pub(crate) fn is_stripped(self) -> bool {
        matches!(self, Envelope::CloudWatchExport | Envelope::CloudWatchTail | Envelope::Compose | Envelope::Operator)
    }

    /// Whether lines have a prefix that tells a host or a stream.
    pub(crate) fn tells_names(self) -> bool {
        matches!(self, Envelope::CloudWatchTail | Envelope::Compose | Envelope::Notebook | Envelope::Operator)
    }

    /// Whether all of it is of one container, whose outputs are what it tells of streams.
    pub(crate) fn is_of_container(self) -> bool {
        matches!(self, Envelope::DockerJson | Envelope::Cri)
    }

    /// What a line begins with, if that is what this wrapping puts there.
    #[inline]
    pub(crate) fn prefix(self, line: &[u8]) -> Option<Prefix> {
        match self {
            Envelope::CloudWatchExport => lines::export(line),
            Envelope::CloudWatchTail => lines::tail(line),
            Envelope::Compose => lines::compose(line),
            Envelope::Notebook => lines::notebook(line),
            Envelope::Operator => lines::operator(line),
            _ => None,
        }
    }
}

/// Where in a line its wrapping tells what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// Where the message begins.
    pub message: usize,
    pub time: Range<usize>,
    pub host: Range<usize>,
    pub stream: Range<usize>,
    /// The host's number, where it has no name.
    pub host_number: Option<u32>,
}
