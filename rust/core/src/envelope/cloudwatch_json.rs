//! JSON documents with lists of events, as CloudWatch Logs gives them to those who ask and to those who subscribe.
//!
//! `{"events": [{"timestamp": ..., "message": ...}, ...]}` is an answer to `get-log-events` or `filter-log-events`,
//! `{"logStream": ..., "logEvents": [...]}` what a subscription sends; a bare list of events is one, too. A document
//! may be larger than memory: it is read event by event. Text between documents is taken as it is.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use serde::Deserialize;

use super::{
    Names,
    pieces::{MAX_EVENT, Place, Told, Unwrapped},
};

/// Lists under these keys are events.
const LISTS: [&[u8]; 2] = [b"events", b"logEvents"];
/// A text in front of the events that is longer is not kept: neither a key nor a name.
const MAX_NAME: usize = 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    timestamp: Option<i64>,
    #[serde(borrow)]
    log_stream_name: Option<Cow<'a, str>>,
}

/// Unwraps documents.
#[derive(Debug)]
pub(crate) struct Documents {
    /// What of the source was not passed yet.
    held: Vec<u8>,
    /// Where `held` begins.
    place: Place,
    /// How much of it was looked at.
    seen: usize,
    /// The brackets around.
    depth: usize,
    /// The bracket of the list of events, counted from outside; 0 outside of it.
    list: usize,
    /// Whether the document had such a list already.
    had_list: bool,
    in_text: bool,
    escaped: bool,
    /// Where in `held` the text begins that is read.
    text: usize,
    /// The last text of the document.
    last: Vec<u8>,
    /// The names of the document's stream.
    names: Names,
    is_control: bool,
}

impl Documents {
    pub fn new(place: Place) -> Self {
        Self {
            held: Vec::new(),
            place,
            seen: 0,
            depth: 0,
            list: 0,
            had_list: false,
            in_text: false,
            escaped: false,
            text: 0,
            last: Vec::new(),
            names: Names::default(),
            is_control: false,
        }
    }

    /// Where the next document begins, if none has begun.
    pub fn place(&self) -> Option<(u64, u64)> {
        (self.depth == 0).then_some((self.place.offset, self.place.line))
    }

    pub fn is_pending(&self) -> bool {
        self.depth > 0 || !self.held.trim_ascii().is_empty()
    }

    pub fn push(&mut self, bytes: &[u8], out: &mut Unwrapped) {
        self.held.extend_from_slice(bytes);
        while self.seen < self.held.len() {
            if self.in_text {
                self.read_text();
            } else if self.depth > 0 {
                self.inside(out);
            } else if !self.outside(out) {
                break;
            }
        }
        if self.is_needed() {
            if self.held.len() > MAX_EVENT {
                self.foreign(self.held.len(), out);
                self.depth = if self.list > 0 { self.depth } else { 0 };
            }
        } else {
            self.pass(if self.in_text { self.text } else { self.seen });
        }
    }

    /// Whether what is held may have to be given out: an event, text, or what may turn out to be no document.
    fn is_needed(&self) -> bool {
        self.depth == 0 || !self.had_list || (self.list > 0 && self.depth > self.list)
    }

    pub fn finish(&mut self, out: &mut Unwrapped) {
        if self.is_needed() && self.is_pending() {
            self.foreign(self.held.len(), out);
        }
    }

    /// Between two documents: a line of text is taken as it is. False when more of it is needed.
    fn outside(&mut self, out: &mut Unwrapped) -> bool {
        let behind = self.held.iter().skip(1).find(|byte| !byte.is_ascii_whitespace());
        match (self.held[0], behind) {
            (byte, _) if byte.is_ascii_whitespace() || byte == b',' => {
                self.seen = 1;
                self.pass(1);
            }
            (b'[', None) => return false,
            (b'{', _) | (b'[', Some(b'{')) => {
                self.list = usize::from(self.held[0] == b'[');
                (self.depth, self.seen, self.had_list) = (1, 1, self.list > 0);
                (self.names, self.is_control) = (Names::default(), false);
            }
            _ => match memchr(b'\n', &self.held[self.seen..]) {
                Some(lf) => self.foreign(self.seen + lf + 1, out),
                None => {
                    self.seen = self.held.len();
                    return false;
                }
            },
        }
        true
    }

    /// One step in a document.
    fn inside(&mut self, out: &mut Unwrapped) {
        let at = self.seen;
        self.seen += 1;
        match self.held[at] {
            b'"' => (self.in_text, self.text) = (true, at),
            b'{' | b'[' => {
                self.depth += 1;
                if self.list == 0 && self.depth == 2 && self.held[at] == b'[' && LISTS.contains(&&self.last[..]) {
                    (self.list, self.had_list) = (2, true);
                }
                if self.list > 0 && self.depth == self.list + 1 {
                    self.pass(at);
                }
            }
            b'}' | b']' => {
                if self.list > 0 && self.depth == self.list + 1 {
                    self.event(out);
                }
                self.depth -= 1;
                if self.depth < self.list {
                    self.list = 0;
                }
                if self.depth == 0 && !self.had_list {
                    self.foreign(self.seen, out);
                } else if self.depth == 0 {
                    self.pass(self.seen);
                }
            }
            _ => {}
        }
    }

    /// Reads on in a text, up to its end if that is there.
    fn read_text(&mut self) {
        if std::mem::take(&mut self.escaped) {
            self.seen += 1;
            return;
        }
        let rest = &self.held[self.seen..];
        let Some(end) = memchr2(b'"', b'\\', rest) else {
            self.seen = self.held.len();
            return;
        };
        self.seen += end + 1;
        if rest[end] == b'\\' {
            self.escaped = true;
            return;
        }
        self.in_text = false;
        if self.depth == 1 {
            let text = &self.held[self.text + 1..self.seen - 1];
            let key = std::mem::replace(&mut self.last, text[..text.len().min(MAX_NAME)].to_vec());
            match &key[..] {
                b"logStream" => self.names = Names::of_stream(&String::from_utf8_lossy(&self.last)),
                b"messageType" => self.is_control = self.last == b"CONTROL_MESSAGE",
                _ => {}
            }
        }
    }

    /// The event that `held` begins with and that was seen to its end.
    fn event(&mut self, out: &mut Unwrapped) {
        let raw = &self.held[..self.seen];
        match serde_json::from_slice::<Event<'_>>(raw) {
            Ok(_) if self.is_control => {}
            Ok(event) => {
                let names = event.log_stream_name.map_or_else(|| self.names.clone(), |name| Names::of_stream(&name));
                let time = event.timestamp.and_then(|millis| millis.checked_mul(1000));
                let told = Told { time, names, ..Told::default() };
                out.add(event.message.as_bytes(), self.place.piece(told));
            }
            Err(_) => return self.foreign(self.seen, out),
        }
        self.pass(self.seen);
    }

    /// Takes the first bytes as text that has no wrapping.
    fn foreign(&mut self, len: usize, out: &mut Unwrapped) {
        out.add(&self.held[..len], self.place.piece(Told { is_foreign: true, ..Told::default() }));
        self.seen = len;
        self.pass(len);
    }

    fn pass(&mut self, len: usize) {
        self.place.pass(&self.held[..len]);
        self.held.drain(..len);
        self.seen -= len.min(self.seen);
        self.text = self.text.saturating_sub(len);
    }
}
