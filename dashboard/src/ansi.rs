//! Terminal output as text with classes: colours and weights of SGR, links of OSC 8 to `http` and `https`;
//! all other sequences are dropped, and characters that hide or reorder others are shown by their number.
//!
//! `assets/ansi.js` has the same rules for windows of large logs; `tests/ansi.json` has the cases that both
//! must agree on. A sequence does not reach over the end of its line, a style does.

use std::fmt::{self, Write as _};

use maud::{Markup, html};
use plue_plan::shown::is_forbidden;

/// Characters of a link.
const MAX_LINK: usize = 2_000;

/// Style of text on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    foreground: Option<u8>,
    background: Option<u8>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    strike: bool,
    inverse: bool,
}

/// Text of one style.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Span {
    /// The text, without control characters except tabs.
    pub text: String,
    /// Classes of its style, separated by spaces.
    pub class: String,
    /// Address that it links to.
    pub link: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'t> {
    Text(&'t str),
    /// Parameters of an SGR sequence.
    Sgr(&'t str),
    /// Address of a link; empty: its end.
    Link(&'t str),
    /// The cursor returns to the start of the line.
    Return,
    /// A character that must not act.
    Inert(char),
    /// A sequence without meaning on a page.
    Dropped,
}

/// The spans of a line without its line end. The style at its end stays in `style`.
#[must_use]
pub fn spans(style: &mut Style, line: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut link = None;
    let mut rest = line.trim_end_matches(['\r', '\n']);
    while let Some(token) = next(&mut rest) {
        match token {
            Token::Text(text) => push(&mut spans, text, style.class(), link.as_ref()),
            Token::Sgr(parameters) => style.apply(parameters),
            Token::Link(address) => link = checked(address),
            Token::Return => spans.clear(),
            Token::Inert(c) => {
                let number = format!("\\u{{{:x}}}", u32::from(c));
                push(&mut spans, &number, "ctl".to_owned(), None);
            }
            Token::Dropped => {}
        }
    }
    spans
}

/// The text of a line without styles.
#[must_use]
pub fn plain(line: &str) -> String {
    spans(&mut Style::default(), line).into_iter().map(|span| span.text).collect()
}

/// A line as HTML.
#[must_use]
pub fn markup(style: &mut Style, line: &str) -> Markup {
    html! {
        @for span in spans(style, line) {
            @if let Some(address) = &span.link {
                a href=(address) class=[class(&span)] rel="noopener noreferrer nofollow" { (span.text) }
                span.host { " [" (host(address)) "]" }
            } @else if span.class.is_empty() {
                (span.text)
            } @else {
                span class=(span.class) { (span.text) }
            }
        }
    }
}

fn class(span: &Span) -> Option<&str> {
    (!span.class.is_empty()).then_some(&span.class)
}

fn push(spans: &mut Vec<Span>, text: &str, class: String, link: Option<&String>) {
    match spans.last_mut() {
        Some(last) if last.class == class && last.link.as_ref() == link => last.text.push_str(text),
        _ => spans.push(Span { text: text.to_owned(), class, link: link.cloned() }),
    }
}

/// An address that a page may link to.
fn checked(address: &str) -> Option<String> {
    let is_web = address.starts_with("https://") || address.starts_with("http://");
    let is_plain = !address.contains(|c: char| c.is_whitespace() || is_forbidden(c));
    (is_web && is_plain && address.len() <= MAX_LINK).then(|| address.to_owned())
}

/// The host that an address really names, without what stands before an `@`.
#[must_use]
pub fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// Takes the next token off a line.
fn next<'t>(rest: &mut &'t str) -> Option<Token<'t>> {
    let text = *rest;
    let first = text.chars().next()?;
    let (length, token) = match first {
        '\u{1b}' => sequence(text),
        '\r' => (1, Token::Return),
        '\t' => (1, Token::Text("\t")),
        c if c.is_control() => (c.len_utf8(), Token::Dropped),
        c if is_forbidden(c) => (c.len_utf8(), Token::Inert(c)),
        _ => {
            let end = text.find(|c: char| c.is_control() || is_forbidden(c));
            let end = end.unwrap_or(text.len());
            (end, Token::Text(&text[..end]))
        }
    };
    *rest = &text[length..];
    Some(token)
}

/// The sequence at the start of a text: its length and its meaning.
fn sequence(text: &str) -> (usize, Token<'_>) {
    let bytes = text.as_bytes();
    match bytes.get(1) {
        Some(b'[') => {
            let body = &bytes[2..];
            let parameters = body.iter().take_while(|byte| (0x30..=0x3f).contains(*byte)).count();
            let between = body[parameters..].iter();
            let between = between.take_while(|byte| (0x20..=0x2f).contains(*byte)).count();
            let end = 2 + parameters + between;
            match bytes.get(end) {
                Some(b'm') if between == 0 => (end + 1, Token::Sgr(&text[2..2 + parameters])),
                Some(0x40..=0x7e) => (end + 1, Token::Dropped),
                Some(_) | None => (end, Token::Dropped),
            }
        }
        Some(b']') => {
            let (end, body) = string(text);
            let address = body.strip_prefix("8;").and_then(|body| body.split_once(';'));
            (end, address.map_or(Token::Dropped, |(_, address)| Token::Link(address)))
        }
        Some(b'P' | b'X' | b'^' | b'_') => (string(text).0, Token::Dropped),
        Some(0x20..=0x7e) => {
            let between =
                bytes[1..].iter().take_while(|byte| (0x20..=0x2f).contains(*byte)).count();
            let has_end = matches!(bytes.get(1 + between), Some(0x30..=0x7e));
            (1 + between + usize::from(has_end), Token::Dropped)
        }
        Some(_) | None => (1, Token::Dropped),
    }
}

/// A sequence with a string up to BEL or ST, else up to the end of the line: its length and its string.
fn string(text: &str) -> (usize, &str) {
    let body = &text[2..];
    let bell = body.find('\u{7}').map(|at| (at, 1));
    let terminator = body.find("\u{1b}\\").map(|at| (at, 2));
    let (at, length) = match (bell, terminator) {
        (Some(bell), Some(terminator)) => bell.min(terminator),
        (found, None) | (None, found) => found.unwrap_or((body.len(), 0)),
    };
    (2 + at + length, &body[..at])
}

// === impl Style ===

impl Style {
    /// The style that is on after these bytes.
    #[must_use]
    pub fn after(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut style = Self::default();
        for line in text.lines().filter(|line| line.contains('\u{1b}')) {
            let mut rest = line;
            while let Some(token) = next(&mut rest) {
                if let Token::Sgr(parameters) = token {
                    style.apply(parameters);
                }
            }
        }
        style
    }

    /// Applies the parameters of an SGR sequence.
    pub fn apply(&mut self, parameters: &str) {
        if parameters.contains(|c: char| !c.is_ascii_digit() && c != ';' && c != ':') {
            return;
        }
        let mut numbers = parameters.split([';', ':']).map(|part| part.parse().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underline = true,
                7 => self.inverse = true,
                9 => self.strike = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                27 => self.inverse = false,
                29 => self.strike = false,
                30..=37 => self.foreground = u8::try_from(number - 30).ok(),
                38 => self.foreground = colour(&mut numbers),
                39 => self.foreground = None,
                40..=47 => self.background = u8::try_from(number - 40).ok(),
                48 => self.background = colour(&mut numbers),
                49 => self.background = None,
                90..=97 => self.foreground = u8::try_from(number - 82).ok(),
                100..=107 => self.background = u8::try_from(number - 92).ok(),
                _ => {}
            }
        }
    }

    fn class(&self) -> String {
        let mut class = String::new();
        let (front, back) = match self.inverse {
            true => (self.background, self.foreground),
            false => (self.foreground, self.background),
        };
        let mut add = |name: fmt::Arguments<'_>| {
            let space = if class.is_empty() { "" } else { " " };
            let _ = write!(class, "{space}{name}");
        };
        match front {
            Some(number) => add(format_args!("f{number}")),
            None if self.inverse => add(format_args!("fi")),
            None => {}
        }
        match back {
            Some(number) => add(format_args!("b{number}")),
            None if self.inverse => add(format_args!("bi")),
            None => {}
        }
        for (is_on, name) in [
            (self.bold, "bo"),
            (self.dim, "di"),
            (self.italic, "it"),
            (self.underline, "un"),
            (self.strike, "st"),
        ] {
            if is_on {
                add(format_args!("{name}"));
            }
        }
        class
    }
}

impl fmt::Display for Style {
    /// Parameters of SGR that make this style out of the default one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colour = |number: Option<u8>, base: u8| match number {
            Some(number @ 0..8) => Some(base + number),
            Some(number) => Some(base + 52 + number),
            None => None,
        };
        let flags = [
            (self.bold, 1),
            (self.dim, 2),
            (self.italic, 3),
            (self.underline, 4),
            (self.inverse, 7),
            (self.strike, 9),
        ];
        let flags = flags.into_iter().filter_map(|(is_on, number)| is_on.then_some(number));
        let colours = [colour(self.foreground, 30), colour(self.background, 40)];
        let all: Vec<String> =
            flags.chain(colours.into_iter().flatten()).map(|number| number.to_string()).collect();
        f.write_str(&all.join(";"))
    }
}

/// A colour out of 256, or of red, green and blue, as the nearest of the sixteen that a theme has.
fn colour(numbers: &mut impl Iterator<Item = u32>) -> Option<u8> {
    match numbers.next()? {
        5 => match numbers.next()? {
            number @ 0..16 => u8::try_from(number).ok(),
            number @ 16..232 => {
                let (cube, level) = (number - 16, |part: u32| part * 51);
                Some(nearest(level(cube / 36), level(cube / 6 % 6), level(cube % 6)))
            }
            number => Some(if number < 244 { 8 } else { 7 }),
        },
        2 => Some(nearest(numbers.next()?, numbers.next()?, numbers.next()?)),
        _ => None,
    }
}

fn nearest(red: u32, green: u32, blue: u32) -> u8 {
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    if most - least < 48 {
        return if most < 128 { 8 } else { 7 };
    }
    let middle = u32::midpoint(most, least);
    u8::from(red > middle) + 2 * u8::from(green > middle) + 4 * u8::from(blue > middle)
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    #[test]
    fn lines_have_the_spans_of_the_corpus() {
        let cases: Json = serde_json::from_str(include_str!("../tests/ansi.json")).unwrap();
        let cases = cases.as_array().unwrap();
        assert!(cases.len() > 20);
        for case in cases {
            let mut style = Style::default();
            style.apply(case["style"].as_str().unwrap_or_default());
            let line = case["line"].as_str().unwrap();
            let found: Vec<Json> = spans(&mut style, line)
                .into_iter()
                .map(|span| serde_json::json!([span.text, span.class, span.link]))
                .collect();
            assert_eq!(Json::from(found), case["spans"], "{line:?}");
            assert_eq!(style.to_string(), case["end"].as_str().unwrap_or_default(), "{line:?}");
        }
    }

    #[test]
    fn styles_survive_as_parameters() {
        for parameters in ["", "1;31", "2;3;4;7;9;95;106", "37;40"] {
            let mut style = Style::default();
            style.apply(parameters);
            assert_eq!(style.to_string(), parameters);
        }
        assert_eq!(Style::after(b"\x1b[31ma\n\xff\x1b[1mb\n\x1b[").to_string(), "1;31");
    }

    #[test]
    fn markup_of_hostile_lines_is_text() {
        let line = "<img src=x onerror=alert(1)>\u{1b}]8;;javascript:alert(1)\u{7}x\u{1b}]8;;\u{7}";
        let html = markup(&mut Style::default(), line).into_string();
        assert_eq!(html, "&lt;img src=x onerror=alert(1)&gt;x");
        let line =
            "\u{1b}]8;;https://good.example@evil.example/\u{1b}\\good.example\u{1b}]8;;\u{1b}\\";
        let html = markup(&mut Style::default(), line).into_string();
        assert!(html.contains("[evil.example]") && html.contains("noopener"), "{html}");
    }
}
