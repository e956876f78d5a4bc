//! Each row is a claim about Python 3.11's `re`, checked against it once.

use super::*;
use regex::Regex;

fn pattern(python: &str) -> String {
    match translate(python, false) {
        Ok(translation) => translation.pattern,
        Err(error) => panic!("{python:?}: {error}"),
    }
}

fn error(python: &str) -> DialectError {
    match translate(python, false) {
        Ok(translation) => panic!("{python:?} became {:?}", translation.pattern),
        Err(error) => error,
    }
}

/// The text of the first match.
fn found<'t>(python: &str, text: &'t str) -> Option<&'t str> {
    let translated = pattern(python);
    let regex = match Regex::new(&translated) {
        Ok(regex) => regex,
        Err(error) => panic!("{python:?} became {translated:?}: {error}"),
    };
    regex.find(text).map(|found| found.as_str())
}

#[test]
fn output_is_explicit_and_free_of_flags() {
    for (python, rust) in [
        ("loss=([0-9.]+)", "loss=([0-9.]+)"),
        (r"^a.\Z", r"\Aa[^\n]\z"),
        (r"(?ms)^.$", r"(?m:^)(?s:.)(?m:$)"),
        (r"\w\W\d\D\s\S", r"[\p{L}\p{N}_][^\p{L}\p{N}_][\p{Nd}][^\p{Nd}][\s\x1C-\x1F][^\s\x1C-\x1F]"),
        (r"(?a)\w\b\B", r"[0-9A-Z_a-z](?-u:\b)(?-u:\B)"),
        (r"(?P<value>a)(?:b)(c)", "(a)(?:b)(c)"),
        ("a{,3}b{2,}?c{,}d{1}", "a{0,3}b{2,}?c*d{1}"),
        ("(?i)a(?-i:b)1", "[Aa](?:b)1"),
        ("(?ai)ké", "[Kk]é"),
        ("(?x) a b # comment\n [ #] \\ ", "ab[ #] "),
        ("(?#comment)a(?#x)*", "a*"),
        ("a||b|", "a||b|"),
        ("", ""),
    ] {
        assert_eq!(pattern(python), rust, "{python:?}");
    }
}

#[test]
fn groups_keep_their_numbers_and_names() {
    let got = translate("(a)(?P<job>b)(?:c)((d){0})(?P<é1>e)", false).unwrap();
    let names: Vec<_> = got.group_names.iter().map(Option::as_deref).collect();
    assert_eq!(names, [None, Some("job"), None, None, Some("é1")]);
    let regex = Regex::new(&got.pattern).unwrap();
    assert_eq!(regex.captures_len(), 6, "a group repeated zero times still counts");
    let captures = regex.captures("abce").unwrap();
    assert_eq!(captures.get(4), None);
    assert_eq!(&captures[5], "e");
}

#[test]
fn text_matches_as_in_python() {
    for (python, text, want) in [
        // Braces that begin no repetition are literal.
        ("{a}", "{a}", Some("{a}")),
        (r"\b{x", "{x", None),
        ("x{2", "x{2", Some("x{2")),
        ("x{}", "x{}", Some("x{}")),
        ("x{ 1}", "x{ 1}", Some("x{ 1}")),
        ("x{,2}", "xxx", Some("xx")),
        // Classes.
        ("[]abc]+", "]a", Some("]a")),
        ("[^]abc]+", "]xy", Some("xy")),
        ("[[a]+", "[a", Some("[a")),
        ("[a&&b]+", "&ba", Some("&ba")),
        ("[+--]+", "a,-", Some(",-")),
        ("[a~~b]+", "~a", Some("~a")),
        ("[a-]+", "-a", Some("-a")),
        (r"[\w-]+", "a-b", Some("a-b")),
        ("[--a]+", "-./", Some("-./")),
        (r"[\b]", "\u{8}", Some("\u{8}")),
        (r"[\s\S]+", "a b", Some("a b")),
        (r"[^\s\S]", "a", None),
        (r"[^\W\d]+", "12ab", Some("ab")),
        ("[[:alpha:]]", "a]", Some("a]")),
        ("[a^]+", "^a", Some("^a")),
        (r"[\]\\]+", r"\]", Some(r"\]")),
        // Escapes.
        (r"\<a\>", "<a>", Some("<a>")),
        (r"\é\ \-\_", "é -_", Some("é -_")),
        (r"\x41\u0042\U00000043\101\0", "ABCA\0", Some("ABCA\0")),
        (r"\07\a", "\x07\x07", Some("\x07\x07")),
        (r"[\101\60]+", "A0", Some("A0")),
        (r"\N{em dash}", "\u{2014}", Some("\u{2014}")),
        (r"\t\v\f", "\t\x0b\x0c", Some("\t\x0b\x0c")),
        // Unicode and case.
        (r"\w+", "e\u{301}", Some("e")),
        (r"\d", "\u{663}", Some("\u{663}")),
        (r"(?a)\d", "\u{663}", None),
        (r"(?u:\d)", "\u{663}", Some("\u{663}")),
        (r"(?a)(?u:\d)\d", "\u{663}1", Some("\u{663}1")),
        (r"\s", "\u{1c}", Some("\u{1c}")),
        (r"(?a)\s", "\u{1c}", None),
        ("(?i)i+", "iI\u{130}\u{131}", Some("iI\u{130}\u{131}")),
        ("(?i)\u{131}", "I", Some("I")),
        ("(?i)[a-z]+", "\u{130}\u{131}\u{17f}\u{212a}", Some("\u{130}\u{131}\u{17f}\u{212a}")),
        ("(?i)[^i]", "\u{131}", None),
        ("(?ai)[i-k]+", "IK\u{130}", Some("IK")),
        ("(?i:a)b", "AB", None),
        ("(?i)a(?-i:b)", "AB", None),
        ("(?i)a|b", "B", Some("B")),
        // Verbose mode ends nothing but white space outside of classes.
        ("(?x) a + [ ]", "aa ", Some("aa ")),
        ("(?x:a b) c", "ab c", Some("ab c")),
        ("(?x)a#\\\nb\nc", "ac", Some("ac")),
        ("(?x)a(?-x: )b", "a b", Some("a b")),
        (r"(?#a\)b)c", "c", Some("c")),
        ("(?:a*)*b", "aab", Some("aab")),
        ("(?:^)*a", "a", Some("a")),
        ("a$", "a", Some("a")),
    ] {
        assert_eq!(found(python, text), want, "{python:?} on {text:?}");
    }
}

#[test]
fn refused_by_python() {
    for (python, span, message) in [
        ("a(b", 1..2, "missing `)`"),
        ("a)b", 1..2, "unbalanced parenthesis"),
        ("é)", 2..3, "unbalanced parenthesis"),
        ("[a", 0..1, "unterminated character class"),
        ("[]", 0..1, "unterminated character class"),
        ("a\\", 1..2, "backslash"),
        ("*a", 0..1, "nothing to repeat"),
        ("a|+", 2..3, "nothing to repeat"),
        ("^*", 1..2, "nothing to repeat"),
        (r"\b{2}", 2..5, "nothing to repeat"),
        ("a**", 2..3, "multiple repeat"),
        ("a+??", 3..4, "multiple repeat"),
        ("a{1}{2}", 4..7, "multiple repeat"),
        ("(?x)a+ ?", 7..8, "multiple repeat"),
        ("a{2,1}", 1..6, "min repeat greater"),
        ("a{4294967295}", 1..13, "too large"),
        ("a{99999999999999999999}", 1..23, "too large"),
        (r"[\w-z]", 1..5, r"bad character range `\w-z`"),
        (r"[z-a]", 1..4, "bad character range `z-a`"),
        ("[a--b]", 1..4, "bad character range `a--`"),
        (r"[a-\d]", 1..5, "bad character range"),
        (r"\pL", 0..2, r"no escape `\p`"),
        (r"\z", 0..2, r"no escape `\z`"),
        (r"[\A]", 1..3, r"no escape `\A`"),
        (r"[\8]", 1..3, r"no escape `\8`"),
        (r"\x{41}", 0..2, "incomplete escape"),
        (r"\u12", 0..4, "incomplete escape"),
        (r"\U00110000", 0..10, "no escape"),
        (r"\400", 0..4, "octal escape"),
        (r"\N", 0..2, "missing `{`"),
        (r"\N{DASH", 3..7, "missing `}`"),
        ("(?<n>a)", 0..4, "unknown extension"),
        ("(?P'n'a)", 0..4, "unknown extension"),
        ("(?U)a", 0..3, "unknown extension"),
        ("(?", 2..2, "unexpected end"),
        ("(?i", 3..3, "inline flags"),
        ("(?-i)", 4..5, "inline flags"),
        ("(?i-:a)", 4..5, "inline flags"),
        ("(?iq)", 3..4, "unknown flag `q`"),
        ("(?L)a", 2..3, "bytes patterns"),
        ("(?au:a)", 3..4, "incompatible"),
        ("(?a)(?u)", 4..8, "incompatible"),
        ("(?i-i:a)", 0..6, "on and off"),
        ("(?-a:b)", 3..4, "turned off"),
        ("a(?i)", 1..5, "global flags not at the start"),
        ("a|(?i)b", 2..6, "global flags not at the start"),
        ("((?i)b)", 1..5, "global flags not at the start"),
        ("(?#a", 0..4, "unterminated comment"),
        ("(?P<1>a)", 4..5, "bad character in group name"),
        ("(?P<a-b>a)", 4..7, "bad character in group name"),
        ("(?P<>a)", 4..5, "missing group name"),
        ("(?P<n", 4..5, "missing `>`"),
        ("(?P<n>a)(?P<n>b)", 12..13, "used twice"),
        (r"\1", 0..2, "invalid group reference 1"),
        (r"(\1)", 1..3, "open group"),
        ("(?P=n)", 4..5, "unknown group name"),
        ("(?(2)a)(b)", 3..4, "invalid group reference 2"),
        ("(a)(?(1)b|c|d)", 11..12, "more than two branches"),
    ] {
        let got = error(python);
        assert_eq!(got.construct, "syntax", "{python:?}: {got}");
        assert!(got.message.contains(message), "{python:?}: {got}");
        assert_eq!(got.span, span, "{python:?}: {got}");
    }
}

#[test]
fn unsupported_constructs_are_named_and_the_engine_is_suggested() {
    for (python, construct, span) in [
        ("a(?=b)", "lookahead", 1..6),
        ("a(?!b)", "lookahead", 1..6),
        ("(?<=a)b", "lookbehind", 0..6),
        ("(?<!a)b", "lookbehind", 0..6),
        (r"(a)\1", "back-reference", 3..5),
        ("(?P<n>a)(?P=n)", "back-reference", 8..14),
        ("a*+", "possessive quantifier", 1..3),
        ("a{2}+", "possessive quantifier", 1..5),
        ("(?>a)", "atomic group", 0..5),
        ("(a)?(?(1)b|c)", "conditional group", 4..13),
        ("(?t)a", "template flag", 0..4),
    ] {
        let got = error(python);
        assert_eq!((got.construct, got.span.clone()), (construct, span), "{python:?}: {got}");
        assert!(got.hint.unwrap().contains("Engine: backtracking"), "{python:?}");
    }
    // The advice would be of no use here.
    assert_eq!(error("(?=a)(").construct, "syntax");
    for (python, construct) in
        [(r"\ud800", "surrogate"), (r"[\ud800-\udfff]", "surrogate"), (r"\N{NO SUCH CHARACTER}", "character name")]
    {
        assert_eq!(error(python).construct, construct);
    }
}

#[test]
fn r4_deep_nesting_is_an_error_on_a_small_stack() {
    let nested = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(translate(&nested(240), false).is_ok());
    let small = std::thread::Builder::new().stack_size(256 << 10).spawn(move || {
        for n in [300, 100_000] {
            for python in [nested(n), "(".repeat(n), "(?:a|".repeat(n), "(?=a".repeat(n)] {
                assert_eq!(error(&python).construct, "nesting");
            }
            assert_eq!(error(&format!("{}a", "(?(1)".repeat(n))).construct, "nesting");
        }
        // Groups alone would fit; what stands between them counts as well.
        let python = format!("{}a{}", "(?:a".repeat(200), ")*".repeat(200));
        assert_eq!(error(&python).construct, "nesting");
    });
    small.unwrap().join().unwrap();
}

#[test]
fn terminal_reads_the_tab_of_syslog() {
    for (python, rust, text) in [
        ("a#011+b", r"a\x{9}+b", "a\t\tb"),
        (r"a\#011b", r"a\x{9}b", "a\tb"),
        (r"\\#011", r"\\\x{9}", "\\\t"),
        ("[#011]", r"[\x{9}]", "\t"),
        ("##0110", r"#\x{9}0", "#\t0"),
    ] {
        let got = translate(python, true).unwrap();
        assert_eq!(got.pattern, rust, "{python:?}");
        assert!(Regex::new(&got.pattern).unwrap().is_match(text), "{python:?}");
        assert_eq!(got.warnings, []);
        assert!(found(python, text).is_none(), "without the option {python:?} is literal");
    }
}

#[test]
fn spans_point_into_the_original() {
    for (python, shown) in [
        ("#011#011a**", "*"),
        (r"\#011é\#011(?=b)#011", "(?=b)"),
        ("[#011-a#011-é]#011)", ")"),
        ("[z-#011]", "z-#011"),
        ("#011*#011**", "*"),
    ] {
        let got = translate(python, true).unwrap_err();
        assert_eq!(&python[got.span.clone()], shown, "{python:?}: {got}");
    }
    let got = translate(r"#011\r", true).unwrap();
    assert_eq!(got.warnings[0].span, 4..6);
}

#[test]
fn terminal_warns_of_what_normalisation_removes() {
    for (python, shown) in [
        ("a#015", vec!["#015"]),
        (r"\#010#033", vec![r"\#010", "#033"]),
        (r"#\d+", vec![r"#\d+"]),
        (r"\x1b\[0m", vec![r"\x1b"]),
        (r"\x1B\r\x08", vec![r"\x1B", r"\r", r"\x08"]),
        (r"[\r\b]", vec![r"\r", r"\b"]),
        (r"[^\r]", vec![]),
        (r"\\x1b\\r\\#012", vec![]),
        (r"#\d", vec![]),
        (r"epoch #(\d+)", vec![]),
        (r"\bloss", vec![]),
    ] {
        let got = translate(python, true).unwrap();
        let spans: Vec<_> = got.warnings.iter().map(|w| &python[w.span.clone()]).collect();
        assert_eq!(spans, shown, "{python:?}");
        let said = "cannot match normalised text; use normalize='none'";
        assert!(got.warnings.iter().all(|w| w.message.ends_with(said)));
        assert_eq!(translate(python, false).unwrap().warnings, []);
    }
}

#[test]
fn posix_classes_draw_a_warning() {
    let got = translate("x[[:digit:]]+", false).unwrap();
    assert_eq!(got.warnings.len(), 1);
    assert_eq!(got.warnings[0].span, 1..11);
    assert!(translate("[[a:]", false).unwrap().warnings.is_empty());
}

#[test]
fn errors_read_as_sentences() {
    assert_eq!(
        error("a**").to_string(),
        "multiple repeat at byte 2 (syntax): enclose what is repeated first in `(?:...)`"
    );
    assert!(error("(?>a)").to_string().starts_with("an atomic group cannot be matched"));
}

#[test]
fn every_prefix_of_a_rich_pattern_is_answered() {
    let rich = r"(?ix)é(?P<né>[^]\x41-\u00ff[:a:]&&]{1,2}?\N{EM DASH}#011\#015)|(?(1)\07|b)(?i-s:\101)";
    for (end, _) in rich.char_indices() {
        for start in [0, end / 2] {
            let Some(part) = rich.get(start..end) else {
                continue;
            };
            if let Err(error) = translate(part, true) {
                assert!(part.get(error.span.clone()).is_some(), "{part:?}: {error}");
            }
        }
    }
}
