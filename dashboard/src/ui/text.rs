//! Texts from outside: bounded, isolated from the direction of the text around them, and with escapes in
//! place of characters that hide or reorder others. Maud escapes them for HTML.

use maud::{Markup, html};
use plue_plan::shown::shown;

/// Characters of a name.
pub const NAME: usize = 80;
/// Characters of a line.
pub const LINE: usize = 160;
/// Characters of a paragraph.
pub const PARAGRAPH: usize = 2_000;
/// Characters of a JSON document.
pub const DOCUMENT: usize = 20_000;
/// Characters of a commit's hash.
const SHORT_HASH: usize = 8;

/// A text of at most `max` characters, without effect on the text around it.
#[must_use]
pub fn bounded(text: &str, max: usize) -> String {
    shown(text, max)
}

/// A name: the first [`NAME`] characters, all of [`LINE`] on hover if it is longer.
#[must_use]
pub fn name(text: &str) -> Markup {
    let is_cut = text.chars().nth(NAME).is_some();
    let whole = is_cut.then(|| bounded(text, LINE));
    html! { bdi title=[whole] { (bounded(text, NAME)) } }
}

/// One line of at most [`LINE`] characters.
#[must_use]
pub fn line(text: &str) -> Markup {
    html! { bdi { (bounded(text, LINE)) } }
}

/// A paragraph; its line ends stay.
#[must_use]
pub fn paragraph(text: &str) -> Markup {
    let lines: Vec<String> = text
        .chars()
        .take(PARAGRAPH + 1)
        .collect::<String>()
        .lines()
        .map(|line| bounded(line, PARAGRAPH))
        .collect();
    let cut = text.chars().nth(PARAGRAPH + 1).is_some();
    html! { p.prose dir="auto" { (lines.join("\n")) @if cut { "…" } } }
}

/// An identifier in the fixed-width font.
#[must_use]
pub fn code(text: &str) -> Markup {
    html! { code dir="auto" { (bounded(text, LINE)) } }
}

/// The beginning of a hash, the whole of it on hover.
#[must_use]
pub fn hash(text: &str) -> Markup {
    let bare = text.rsplit_once(':').map_or(text, |(_, digits)| digits);
    let short: String = bare.chars().take(SHORT_HASH).collect();
    html! { code.hash title=(bounded(text, LINE)) { (bounded(&short, SHORT_HASH)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_texts_stay_text() {
        let long = "a".repeat(1_000_000);
        for (text, has, has_not) in [
            ("<script>x</script>", "&lt;script&gt;", "<script>"),
            ("a\u{202e}b", "\\u{202e}", "\u{202e}"),
            ("\u{1b}[31mred", "\\u{1b}[31mred", "\u{1b}"),
            ("\" onload=\"x", "&quot; onload=", "\" onload="),
            (
                long.as_str(),
                "…",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            ),
        ] {
            for markup in [name(text), line(text), code(text), hash(text)] {
                let markup = markup.into_string();
                assert!(!markup.contains(has_not), "{markup}");
                assert!(markup.len() < 1_500, "{}", markup.len());
            }
            assert!(name(text).into_string().contains(has), "{text:.40}");
        }
        assert!(paragraph(&long).into_string().len() < 3_000);
    }

    #[test]
    fn hashes_are_short() {
        let markup = hash("sha256:0123456789abcdef").into_string();
        assert!(markup.contains(">01234567<") && markup.contains("sha256:0123456789abcdef"));
    }
}
