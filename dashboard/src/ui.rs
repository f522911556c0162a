//! Pieces that all pages are made of.

use maud::{Markup, html};

pub mod fields;
pub mod form;
pub mod text;
pub mod time;

/// Tone of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// An action that went well.
    Good,
    /// An error or a failure.
    Bad,
    /// A wait for people, times or events.
    Wait,
    /// A remark without a tone.
    Idle,
}

// === impl Tone ===

impl Tone {
    /// Class of its colour.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Wait => "wait",
            Self::Idle => "idle",
        }
    }
}

/// A notice above the content.
#[must_use]
pub fn notice(tone: Tone, content: &Markup) -> Markup {
    html! { div class={ "notice " (tone.class()) } { (content) } }
}

/// An empty state: what would be here, and the commands that bring it here.
#[must_use]
pub fn empty(title: &str, text: &str, commands: &[&str]) -> Markup {
    html! {
        div.empty {
            h2 { (title) }
            p.muted { (text) }
            @for command in commands {
                pre.command tabindex="0" { code { (command) } }
            }
        }
    }
}

/// A link to a page of the help; `topic` is a name of [`crate::help::ALL`].
#[must_use]
pub fn help(topic: &str) -> Markup {
    html! {
        a.help-link href={ "/help/" (topic) } title="Help on this page" {
            span aria-hidden="true" { "?" } span.hidden { "Help on this page" }
        }
    }
}

/// Dollars: cents from one dollar on, else enough digits to differ from nothing.
#[must_use]
pub fn money(usd: f64) -> String {
    match usd {
        usd if usd <= 0.0 => "$0".to_owned(),
        usd if usd >= 0.01 => format!("${usd:.2}"),
        usd if usd >= 0.0001 => format!("${usd:.4}"),
        _ => "<$0.0001".to_owned(),
    }
}

/// `1 step`, `2 steps`, `1,204 steps`.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    let number = grouped(count);
    let ies = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match (count, ies) {
        (1, _) => format!("{number} {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// A number with commas between thousands.
#[must_use]
pub fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short_and_never_look_like_nothing() {
        let cases = [
            (0.0, "$0"),
            (12.345, "$12.35"),
            (0.0123, "$0.01"),
            (0.0042, "$0.0042"),
            (1e-9, "<$0.0001"),
        ];
        for (usd, text) in cases {
            assert_eq!(money(usd), text);
        }
    }

    #[test]
    fn counts_have_commas_and_plurals() {
        for (count, text) in
            [(0, "0 runs"), (1, "1 run"), (999, "999 runs"), (1_204_000, "1,204,000 runs")]
        {
            assert_eq!(counted(count, "run"), text);
        }
        assert_eq!(
            (counted(2, "delivery").as_str(), counted(2, "day").as_str()),
            ("2 deliveries", "2 days")
        );
    }
}
