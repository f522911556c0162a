//! Terminals: whether a stream is one, how wide it is, and how its text is coloured.
//!
//! Log text is hostile: what goes to a terminal passes [`sanitize`] first.

use std::{borrow::Cow, fmt, io::IsTerminal as _};

use rustix::termios::tcgetwinsize;

use crate::{args::ColorChoice, config::Environment};

/// Columns of a stream that is no terminal.
const DEFAULT_WIDTH: usize = 80;

/// Width and colours of an output stream.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Whether a person looks at it.
    pub interactive: bool,
    /// Whether it gets colours.
    pub color: bool,
    width: usize,
}

/// Style of a text. Colours are the sixteen of every terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Bold,
    Dim,
    /// Success of a step or run.
    Green,
    /// Failure of a step or run.
    Red,
    /// Warnings and waits for people.
    Yellow,
    Cyan,
    Magenta,
    /// Names still other things.
    Blue,
}

/// A text with a style, for `write!`.
#[derive(Debug)]
pub struct Styled<'a> {
    text: &'a str,
    code: Option<&'static str>,
}

// === impl Terminal ===

impl Terminal {
    #[must_use]
    pub fn stdout(choice: ColorChoice, environment: &Environment) -> Self {
        let stream = std::io::stdout();
        let width = tcgetwinsize(&stream).ok().map(|size| usize::from(size.ws_col));
        Self::new(stream.is_terminal(), width, choice, environment)
    }

    #[must_use]
    pub fn stderr(choice: ColorChoice, environment: &Environment) -> Self {
        let stream = std::io::stderr();
        let width = tcgetwinsize(&stream).ok().map(|size| usize::from(size.ws_col));
        Self::new(stream.is_terminal(), width, choice, environment)
    }

    /// `NO_COLOR` (no-color.org) and `CLICOLOR_FORCE` (bixense.com/clicolors) decide for `auto`.
    fn new(
        interactive: bool,
        width: Option<usize>,
        choice: ColorChoice,
        environment: &Environment,
    ) -> Self {
        let dumb = environment.get("TERM").is_some_and(|term| term == "dumb");
        let forced = environment.get("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if environment.get("NO_COLOR").is_some() => false,
            ColorChoice::Auto => forced || (interactive && !dumb),
        };
        let width = width.filter(|width| *width > 0).unwrap_or(DEFAULT_WIDTH);
        Self { interactive: interactive && !dumb, color, width }
    }

    /// Width in columns of characters.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// A text in a style, if this stream gets colours.
    #[must_use]
    pub fn paint<'a>(&self, style: Style, text: &'a str) -> Styled<'a> {
        Styled { text, code: if self.color { style.code() } else { None } }
    }
}

// === impl Style ===

impl Style {
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Dim => Some("2"),
            Self::Red => Some("31"),
            Self::Green => Some("32"),
            Self::Yellow => Some("33"),
            Self::Blue => Some("34"),
            Self::Magenta => Some("35"),
            Self::Cyan => Some("36"),
        }
    }
}

impl fmt::Display for Styled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) if !self.text.is_empty() => write!(f, "\x1b[{code}m{}\x1b[0m", self.text),
            Some(_) | None => f.write_str(self.text),
        }
    }
}

/// Text that cannot move the cursor, retitle the window, reorder or hide what follows: of escape
/// sequences only colours (`ESC [ … m`) stay, and only if `color`; other control characters and
/// bidirectional embeddings, overrides and isolates (UAX #9 §2) become `�`.
#[must_use]
pub fn sanitize(text: &str, color: bool) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    let mut colored = false;
    while let Some(at) = rest.find(acts) {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        let (sequence, length) = escape(rest);
        match sequence {
            Escape::Color if color => {
                clean.push_str(&rest[..length]);
                colored = true;
            }
            Escape::Color | Escape::Other => {}
            Escape::Tab => clean.push_str("    "),
            Escape::Control => clean.push('\u{fffd}'),
        }
        rest = &rest[length..];
    }
    clean.push_str(rest);
    if colored {
        clean.push_str("\x1b[0m");
    }
    Cow::Owned(clean)
}

/// Whether a character does something to a terminal other than being shown.
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

enum Escape {
    Color,
    Other,
    Tab,
    Control,
}

/// The control character or sequence at the beginning of a text, and its length (ECMA-48 §5.4, OSC).
fn escape(text: &str) -> (Escape, usize) {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.get(1)) {
        (Some(b'\t'), _) => (Escape::Tab, 1),
        (Some(0x1b), Some(b'[')) => {
            let parameters =
                bytes[2..].iter().take_while(|byte| (0x20..0x40).contains(*byte)).count();
            match bytes.get(2 + parameters) {
                Some(b'm') => (Escape::Color, 3 + parameters),
                Some(0x40..0x7f) => (Escape::Other, 3 + parameters),
                Some(_) | None => (Escape::Other, 2 + parameters),
            }
        }
        (Some(0x1b), Some(b']' | b'P' | b'X' | b'^' | b'_')) => {
            let end = text
                .find(['\u{7}', '\u{9c}'])
                .map(|at| at + text[at..].chars().next().map_or(1, char::len_utf8));
            let terminator = text.find("\x1b\\").map(|at| at + 2);
            (Escape::Other, end.into_iter().chain(terminator).min().unwrap_or(text.len()))
        }
        (Some(0x1b), _) => (Escape::Other, 1),
        _ => (Escape::Control, text.chars().next().map_or(1, char::len_utf8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_pass_and_other_control_sequences_are_removed() {
        for (text, clean) in [
            ("plain", "plain"),
            ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m\x1b[0m"),
            ("a\x1b[2Jb\x1b[1;1Hc", "abc"),
            ("\x1b]0;owned\x07title", "title"),
            ("\x1b]8;;http://evil\x1b\\link", "link"),
            ("bell\x07", "bell\u{fffd}"),
            ("tab\tbed", "tab    bed"),
            ("\u{9b}31m", "\u{fffd}31m"),
            ("\u{202e}txt.exe", "\u{fffd}txt.exe"),
            ("\u{2067}a\u{2069}", "\u{fffd}a\u{fffd}"),
            ("\u{200f}שלום", "\u{200f}שלום"),
            ("cut\x1b[", "cut"),
        ] {
            assert_eq!(sanitize(text, true), clean, "{text:?}");
        }
        assert_eq!(sanitize("\x1b[31mred\x1b[0m", false), "red");
    }

    #[test]
    fn no_color_beats_the_terminal_not_the_flag() {
        let environment = Environment::from([("NO_COLOR", "1")]);
        assert!(!Terminal::new(true, None, ColorChoice::Auto, &environment).color);
        assert!(Terminal::new(false, None, ColorChoice::Always, &environment).color);
        assert!(Terminal::new(true, None, ColorChoice::Auto, &Environment::default()).color);
    }
}
