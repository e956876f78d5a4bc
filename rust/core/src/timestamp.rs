//! Timestamps at the beginning of a message: bytes in, microseconds since 1970 out.
//!
//! [`Clock::read`] is the principal function. `event` asks it where a log's wrapping tells no time. It knows what
//! loggers write: ISO 8601 and Python's logging, `05/19/2023 21:07:06`, nginx and Apache, glog, syslog, and numbers
//! of seconds, milliseconds, microseconds or nanoseconds. What is no time is none: the clock of the machine is never
//! asked.

use jiff::{
    civil,
    tz::{Offset, TimeZone},
};

/// Years that a number since 1970 may mean: a number of another size is no time.
const EPOCH_YEARS: std::ops::RangeInclusive<i64> = 2001..=2100;
/// A log may be written to a little after its last line's time, or its clock be a little ahead: microseconds.
const AHEAD: i64 = 86_400_000_000;
/// A leap day comes after eight years at the latest.
const LEAP_YEARS: i64 = 8;
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
const LEVELS: [&[u8]; 10] =
    [b"INFO", b"DEBUG", b"WARNING", b"WARN", b"ERROR", b"CRITICAL", b"FATAL", b"NOTICE", b"TRACE", b"NOTSET"];

/// What a time without a zone or a year means.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    zone: Zone,
    /// When the source was last written to, in microseconds.
    pub reference: Option<i64>,
}

/// The zone of times that name none.
#[derive(Debug, Clone, Default)]
pub struct Zone(Option<TimeZone>);

impl Zone {
    /// A zone by its name in the tz database (`Europe/Berlin`), or an offset (`+05:30`); None if there is none.
    ///
    /// ```
    /// use metricsieve_core::Zone;
    ///
    /// assert!(Zone::new("America/New_York").is_some() && Zone::new("-07:00").is_some());
    /// assert!(Zone::new("Mars/Olympus").is_none());
    /// ```
    pub fn new(name: &str) -> Option<Self> {
        if matches!(name, "UTC" | "Z" | "utc") {
            return Some(Self(None));
        }
        if let Some((seconds, rest)) = offset(name.as_bytes()) {
            return rest.is_empty().then(|| Self(Offset::from_seconds(seconds as i32).ok().map(TimeZone::fixed)));
        }
        TimeZone::get(name).ok().map(|zone| Self(Some(zone)))
    }
}

/// A time that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time {
    /// Microseconds since 1970-01-01 UTC.
    pub micros: i64,
    /// The zone's clocks showed this time twice or never.
    pub ambiguous: bool,
}

impl Time {
    fn sure(micros: i64) -> Self {
        Self { micros, ambiguous: false }
    }
}

/// A date and a time of day as they are written.
#[derive(Debug, Clone, Copy, Default)]
struct Civil {
    /// None where the text has none.
    year: Option<i64>,
    month: i64,
    day: i64,
    /// Microseconds of the day; may reach into the next.
    micros: i64,
}

impl Clock {
    pub fn new(zone: Zone) -> Self {
        Self { zone, reference: None }
    }

    /// The time at the beginning of a message, behind colours, brackets and the name of a level.
    pub fn read(&self, message: &[u8]) -> Option<Time> {
        let text = skip(message);
        self.of_date(text)
            .or_else(|| epoch(text))
            .or_else(|| self.behind_level(text))
            .or_else(|| self.behind_host(text))
    }

    /// A whole text as ISO 8601, or a number since 1970, as wrappings in JSON have it.
    pub fn read_value(&self, text: &[u8]) -> Option<Time> {
        self.of_date(text).or_else(|| epoch(text))
    }

    fn of_date(&self, text: &[u8]) -> Option<Time> {
        let (civil, rest) = match *text.first()? {
            b'0'..=b'9' => numeric_date(text)?,
            b'A'..=b'Z' => glog(text).or_else(|| syslog(text))?,
            _ => return None,
        };
        match zone(rest) {
            Some(seconds) => Some(Time::sure(self.utc(civil)?.checked_sub(seconds * 1_000_000)?)),
            None => self.local(civil),
        }
    }

    /// `INFO 2023-05-19 21:07:06` and the like.
    fn behind_level(&self, text: &[u8]) -> Option<Time> {
        let level = LEVELS.iter().find(|level| text.starts_with(level))?;
        let rest = &text[level.len()..];
        let separators =
            rest.iter().take_while(|byte| matches!(byte, b' ' | b':' | b'|' | b'-' | b']' | b'\t')).count();
        if separators == 0 { None } else { self.of_date(skip(&rest[separators..])) }
    }

    /// `127.0.0.1 - - [19/May/2023:21:07:06 +0000]`.
    fn behind_host(&self, text: &[u8]) -> Option<Time> {
        let address = text.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'.' | b':')).count();
        if address < 3 || text.get(address) != Some(&b' ') {
            return None;
        }
        let head = &text[..text.len().min(128)];
        self.of_date(&head[memchr::memchr(b'[', head)? + 1..])
    }

    fn utc(&self, civil: Civil) -> Option<i64> {
        match civil.year {
            Some(year) => micros(year, civil),
            None => self.year_of(civil, |year| micros(year, civil).map(Time::sure)).map(|time| time.micros),
        }
    }

    fn local(&self, civil: Civil) -> Option<Time> {
        let Some(zone) = &self.zone.0 else { return self.utc(civil).map(Time::sure) };
        let of_year = |year| {
            let date = civil::Date::new(i16::try_from(year).ok()?, civil.month as i8, civil.day as i8).ok()?;
            let midnight = date.at(0, 0, 0, 0);
            let local = midnight.checked_add(jiff::SignedDuration::from_micros(civil.micros)).ok()?;
            let found = zone.to_ambiguous_timestamp(local);
            let ambiguous = found.is_ambiguous();
            Some(Time { micros: found.compatible().ok()?.as_microsecond(), ambiguous })
        };
        match civil.year {
            Some(year) => of_year(year),
            None => self.year_of(civil, of_year),
        }
    }

    /// The time in the latest year that does not put it after the source was last written to.
    fn year_of(&self, civil: Civil, time: impl Fn(i64) -> Option<Time>) -> Option<Time> {
        let reference = self.reference?;
        let last = 1970 + reference.div_euclid(365 * 86_400_000_000) + 1;
        debug_assert!(civil.year.is_none());
        let years = (last - LEAP_YEARS - 2..=last).rev();
        years.filter_map(time).find(|time| time.micros <= reference.saturating_add(AHEAD))
    }
}

/// The text behind colours, white space and an opening bracket.
fn skip(mut text: &[u8]) -> &[u8] {
    loop {
        text = match text {
            [b' ' | b'\t' | b'[' | b'(', rest @ ..] => rest,
            [0x1b, b'[', rest @ ..] | [b'#', b'0', b'3', b'3', b'[', rest @ ..] => {
                let parameters = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';')).count();
                match rest.get(parameters) {
                    Some(b'm') => &rest[parameters + 1..],
                    _ => return text,
                }
            }
            _ => return text,
        }
    }
}

/// So many digits as a number, and what follows.
fn digits(text: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (head, rest) = text.split_at_checked(count)?;
    let number = head.iter().try_fold(0_i64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    Some((number?, rest))
}

/// The text behind one of some bytes.
fn behind<'a>(text: &'a [u8], any_of: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = text.split_first()?;
    any_of.contains(first).then_some(rest)
}

/// `2023-05-19T21:07:06`, `2023/05/19 21:07:06`, `05/19/2023 21:07:06`, `19/May/2023:21:07:06`.
fn numeric_date(text: &[u8]) -> Option<(Civil, &[u8])> {
    let (year, month, day, rest) = if let Some((year, rest)) = digits(text, 4) {
        let separator = *rest.first()?;
        let (month, rest) = digits(behind(rest, b"-/")?, 2)?;
        let (day, rest) = digits(behind(rest, &[separator])?, 2)?;
        (year, month, day, behind(rest, b" T_")?)
    } else {
        let (first, rest) = digits(text, 2)?;
        let rest = behind(rest, b"/")?;
        if let Some((month, rest)) = month(rest) {
            let (year, rest) = digits(behind(rest, b"/")?, 4)?;
            (year, month, first, behind(rest, b": ")?)
        } else {
            let (day, rest) = digits(rest, 2)?;
            let (year, rest) = digits(behind(rest, b"/")?, 4)?;
            (year, first, day, behind(rest, b" T,")?)
        }
    };
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let (micros, rest) = time_of_day(rest)?;
    checked(Civil { year: Some(year), month, day, micros }, rest)
}

/// `I0519 21:07:06.123456`.
fn glog(text: &[u8]) -> Option<(Civil, &[u8])> {
    let (month, rest) = digits(behind(text, b"IWEF")?, 2)?;
    let (day, rest) = digits(rest, 2)?;
    let (micros, rest) = time_of_day(behind(rest, b" ")?)?;
    checked(Civil { year: None, month, day, micros }, rest)
}

/// `May 19 21:07:06`, `May  9 21:07:06`.
fn syslog(text: &[u8]) -> Option<(Civil, &[u8])> {
    let (month, rest) = month(text)?;
    let rest = behind(rest, b" ")?;
    let (day, rest) = match rest.strip_prefix(b" ") {
        Some(rest) => digits(rest, 1)?,
        None => digits(rest, 2)?,
    };
    let (micros, rest) = time_of_day(behind(rest, b" ")?)?;
    checked(Civil { year: None, month, day, micros }, rest)
}

fn month(text: &[u8]) -> Option<(i64, &[u8])> {
    let index = MONTHS.iter().position(|name| text.starts_with(*name))?;
    Some((index as i64 + 1, &text[3..]))
}

fn checked(civil: Civil, rest: &[u8]) -> Option<(Civil, &[u8])> {
    // A leap day is one in any year that is not known.
    let days = days_in(civil.year.unwrap_or(2000), civil.month)?;
    (1..=days).contains(&civil.day).then_some((civil, rest))
}

/// `21:07:06`, with a fraction behind `.` or `,`: microseconds, and what follows. A second 60 and the hour 24 are those
/// that follow.
fn time_of_day(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(behind(rest, b":")?, 2)?;
    let (second, rest) = digits(behind(rest, b":")?, 2)?;
    if hour > 24 || minute > 59 || second > 60 || (hour == 24 && (minute, second) != (0, 0)) {
        return None;
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    let (fraction, rest) = fraction(rest);
    // `21:07:061` and `21:07:06:12` are something else.
    if rest.first().is_some_and(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((seconds * 1_000_000 + fraction, rest))
}

/// A fraction of a second in microseconds, cut; 0 where there is none.
fn fraction(text: &[u8]) -> (i64, &[u8]) {
    let Some(rest) = behind(text, b".,").filter(|rest| rest.first().is_some_and(u8::is_ascii_digit)) else {
        return (0, text);
    };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let micros = (0..6).fold(0, |micros, at| micros * 10 + if at < count { i64::from(rest[at] - b'0') } else { 0 });
    (micros, &rest[count..])
}

/// The zone behind a time, in seconds east of Greenwich: `Z`, ` UTC`, `+0200`, ` +02:00`.
fn zone(text: &[u8]) -> Option<i64> {
    let named = |text: &[u8]| [&b"UTC"[..], b"GMT", b"Z"].iter().any(|name| is_word(text, name));
    if named(text) {
        return Some(0);
    }
    let rest = text.strip_prefix(b" ").unwrap_or(text);
    if rest.len() < text.len() && named(rest) {
        return Some(0);
    }
    let (seconds, rest) = offset(rest)?;
    rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.').then_some(seconds)
}

fn is_word(text: &[u8], word: &[u8]) -> bool {
    text.strip_prefix(word).is_some_and(|rest| rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric()))
}

/// `+02:00`, `-0700`: seconds, and what follows.
fn offset(text: &[u8]) -> Option<(i64, &[u8])> {
    let sign = if behind(text, b"-").is_some() { -1 } else { 1 };
    let (hours, rest) = digits(behind(text, b"+-")?, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(b":").unwrap_or(rest), 2)?;
    (hours < 24 && minutes < 60).then_some((sign * (hours * 60 + minutes) * 60, rest))
}

/// A number of seconds with or without a fraction, of milli-, micro- or nanoseconds since 1970: which of them its
/// size says, in years from 2001 to 2100.
fn epoch(text: &[u8]) -> Option<Time> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = digits(text, count)?;
    let (micros, rest) = match count {
        10 => {
            let (fraction, rest) = fraction(rest);
            (number.checked_mul(1_000_000)?.checked_add(fraction)?, rest)
        }
        13 => (number.checked_mul(1000)?, rest),
        16 => (number, rest),
        19 => (number / 1000, rest),
        _ => return None,
    };
    let year = 1970 + micros.div_euclid(31_556_952_000_000);
    let ends = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t' | b']' | b')' | b':' | b',' | b'|' | b';'));
    (ends && EPOCH_YEARS.contains(&year)).then_some(Time::sure(micros))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    Some(match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    })
}

/// Microseconds since 1970 of a date of the Gregorian calendar, None where there is none.
fn micros(year: i64, civil: Civil) -> Option<i64> {
    if civil.day > days_in(year, civil.month)? {
        return None;
    }
    // Days before the year, counted from 1 March of the year 0, so that the leap day is the last of a year.
    let (years, months) = if civil.month > 2 { (year, civil.month - 3) } else { (year - 1, civil.month + 9) };
    let days = 365 * years + years.div_euclid(4) - years.div_euclid(100)
        + years.div_euclid(400)
        + (153 * months + 2) / 5
        + civil.day
        - 1;
    const TO_1970: i64 = 719_468;
    Some((days - TO_1970) * 86_400_000_000 + civil.micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAY_19: i64 = 1_684_530_426_000_000;

    fn clock() -> Clock {
        Clock { reference: Some(MAY_19 + 5_000_000), ..Clock::new(Zone::default()) }
    }

    fn read(text: &str) -> Option<i64> {
        clock().read(text.as_bytes()).map(|time| time.micros)
    }

    #[test]
    fn what_loggers_write_is_read_t5() {
        let table = [
            ("2023-05-19T21:07:06Z loss", MAY_19),
            ("2023-05-19 21:07:06 loss", MAY_19),
            ("2023-05-19 21:07:06,123 - root - INFO - x", MAY_19 + 123_000),
            ("2023-05-19T21:07:06.123456789+00:00 x", MAY_19 + 123_456),
            ("2023-05-19T23:07:06+0200 x", MAY_19),
            ("2023-05-19 14:07:06.5 -07:00", MAY_19 + 500_000),
            ("2023-05-19 21:07:06.7 +0000 UTC message", MAY_19 + 700_000),
            ("2023-05-19 21:07:06 UTC", MAY_19),
            ("2023-05-19 21:07:06.123456: I tensorflow/core", MAY_19 + 123_456),
            ("2023/05/19 21:07:06 [error] 7#7", MAY_19),
            ("[05/19/2023 21:07:06 INFO 140276281280320] #quality_metric", MAY_19),
            ("05/19/2023 21:07:06 - INFO - __main__ - x", MAY_19),
            ("\x1b[34m[05/19/2023 21:07:06 INFO 1402] x", MAY_19),
            ("#033[34m2023-05-19 21:07:06,5 x", MAY_19 + 500_000),
            ("127.0.0.1 - - [19/May/2023:21:07:06 +0000] \"GET\"", MAY_19),
            ("[19/May/2023 21:07:06] x", MAY_19),
            ("I0519 21:07:06.000001 123 file.cc:1] x", MAY_19 + 1),
            ("May 19 21:07:06 host kernel: x", MAY_19),
            ("INFO 2023-05-19 21:07:06 x", MAY_19),
            ("[INFO] 2023-05-19 21:07:06 x", MAY_19),
            ("WARNING:2023-05-19 21:07:06,001:x", MAY_19 + 1000),
            ("1684530426 loss", MAY_19),
            ("[1684530426.25] loss", MAY_19 + 250_000),
            ("1684530426123 loss", MAY_19 + 123_000),
            ("1684530426123456 loss", MAY_19 + 123_456),
            ("1684530426123456789 loss", MAY_19 + 123_456),
            ("2023-05-19 24:00:00", MAY_19 + 10_374_000_000),
            ("2016-12-31 23:59:60Z", 1_483_228_800_000_000),
            ("9999-12-31 23:59:59", 253_402_300_799_000_000),
            ("0000-02-29 00:00:00", -62_162_121_600_000_000),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none_t6_t7() {
        let table = [
            "",
            " ",
            "loss: 0.5",
            "2023",
            "2023-05-19",
            "2023-05-19 21:07",
            "2023-13-19 21:07:06",
            "2023-02-29 21:07:06",
            "2023-05-19 25:00:00",
            "2023-05-19 24:00:01",
            "2023-05-19 21:07:061",
            "2023-05/19 21:07:06",
            "19/05/2023 21:07:06",
            "12345 loss",
            "16845304260 x",
            "1684530426x",
            "4200000000 x",
            "Max 19 21:07:06",
            "I1319 21:07:06",
            "INFO2023-05-19 21:07:06",
            "127.0.0.1 - - GET",
            "99999999999999999999 x",
        ];
        for text in table {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn t1_a_year_that_is_not_written_is_the_latest_before_the_source_was_written() {
        let at = |text: &str, reference: &str| {
            let reference = read(reference);
            let clock = Clock { reference, ..Clock::new(Zone::default()) };
            clock.read(text.as_bytes()).map(|time| time.micros)
        };
        assert_eq!(at("Dec 31 23:59:59 x", "2024-01-02 00:00:00"), read("2023-12-31 23:59:59"));
        assert_eq!(at("Jan  1 00:00:01 x", "2024-01-02 00:00:00"), read("2024-01-01 00:00:01"));
        assert_eq!(at("Jan  3 00:00:00 x", "2024-01-02 12:00:00"), read("2024-01-03 00:00:00"));
        assert_eq!(at("Jun  1 00:00:00 x", "2024-01-02 00:00:00"), read("2023-06-01 00:00:00"));
        assert_eq!(at("Feb 29 12:00:00 x", "2026-03-01 00:00:00"), read("2024-02-29 12:00:00"));
        assert_eq!(at("Feb 29 12:00:00 x", "1904-01-01 00:00:00"), read("1896-02-29 12:00:00"));
        assert_eq!(Clock::new(Zone::default()).read(b"May 19 21:07:06 x"), None);
    }

    #[test]
    fn t2_a_zone_tells_what_a_time_without_one_means() {
        let berlin = Clock::new(Zone::new("Europe/Berlin").unwrap());
        let read = |text: &str| berlin.read(text.as_bytes()).map(|time| (time.micros - MAY_19, time.ambiguous));
        assert_eq!(read("2023-05-19 23:07:06 x"), Some((0, false)));
        assert_eq!(read("2023-05-19 21:07:06Z x"), Some((0, false)));
        // 02:30 comes twice in October, and not at all in March.
        assert!(read("2023-10-29 02:30:00 x").unwrap().1);
        assert!(read("2023-03-26 02:30:00 x").unwrap().1);
        let fixed = Clock::new(Zone::new("+05:30").unwrap());
        assert_eq!(fixed.read(b"2023-05-20 02:37:06 x"), Some(Time::sure(MAY_19)));
    }

    #[test]
    fn every_day_of_four_hundred_years_has_its_number() {
        let mut expected = micros(1900, Civil { month: 1, day: 1, ..Civil::default() }).unwrap();
        for year in 1900..2300 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month).unwrap() {
                    let civil = Civil { month, day, ..Civil::default() };
                    assert_eq!(micros(year, civil), Some(expected), "{year}-{month}-{day}");
                    expected += 86_400_000_000;
                }
            }
        }
        assert_eq!(micros(1970, Civil { month: 1, day: 1, ..Civil::default() }), Some(0));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>, reference: Option<i64>) {
            let clock = Clock { reference, ..Clock::new(Zone::new("Asia/Tokyo").unwrap()) };
            let _ = clock.read(&text);
            let _ = clock.read_value(&text);
        }
    }
}
