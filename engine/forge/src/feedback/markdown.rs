//! Text from outside inside Markdown: it must not become markup, link, mention or markup's end.

/// Text as a code span on one line, in a table too. Inside one nothing is a mention or a link.
pub(super) fn code(text: &str) -> String {
    let plain = one_line(text, 200).replace('`', "ˋ").replace('|', "¦");
    if plain.trim().is_empty() { "` `".to_owned() } else { format!("`{plain}`") }
}

/// Text as a block of code, however many backticks it has itself.
pub(super) fn block(language: &str, text: &str) -> String {
    let runs = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(runs.max(2) + 1);
    let text: String =
        text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    format!("{fence}{language}\n{}\n{fence}", text.trim_end())
}

/// Foreign prose as a quotation that shows its words and does nothing else: no markup, image, link,
/// mention, reference to an issue or command.
#[must_use]
pub fn prose(text: &str) -> String {
    let lines = text.trim().lines().map(|line| {
        let line = plain(line);
        if line.is_empty() { ">".to_owned() } else { format!("> {line}") }
    });
    // Two spaces keep the end of a line.
    lines.collect::<Vec<_>>().join("  \n")
}

/// Foreign words on one line, as [`prose`] without the quotation.
pub(super) fn inline(text: &str, max: usize) -> String {
    plain(&one_line(text, max))
}

/// Foreign words on one line that is no Markdown, such as a title or the first line of a commit: mentions,
/// references and addresses do nothing.
#[must_use]
pub fn words(text: &str, max: usize) -> String {
    inert(&one_line(text, max), false)
}

/// A line of foreign text as Markdown.
fn plain(line: &str) -> String {
    inert(line, true)
}

/// A line of foreign text: markup is escaped, and what forges find in the shown text is interrupted by a
/// space without width.
fn inert(line: &str, is_markdown: bool) -> String {
    /// Zero-width space that interrupts a word.
    const BREAK: char = '\u{200b}';
    let chars: Vec<char> = line.trim().chars().filter(|c| !is_hidden(*c)).collect();
    let mut plain = String::new();
    // A command of the forge or of a bot begins its line.
    if chars.first() == Some(&'/') {
        plain.push(BREAK);
    }
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied().unwrap_or(' ');
        let after = chars.get(at + 1).copied().unwrap_or(' ');
        match c {
            c if !is_markdown => plain.push(c),
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            c if c.is_ascii_punctuation() && !"/,;:'\"%?@".contains(c) => plain.extend(['\\', c]),
            c => plain.push(c),
        }
        let is_scheme = c == ':' && after == '/';
        let is_reference = "@#!~%&$^".contains(c) && !after.is_whitespace();
        let is_key = c == '-' && before.is_ascii_alphanumeric() && after.is_ascii_digit();
        let is_host = c == '.'
            && chars.get(at.saturating_sub(3)..at).is_some_and(|host| {
                host.len() == 3 && host.iter().all(|c| c.eq_ignore_ascii_case(&'w'))
            });
        if is_scheme || is_reference || is_key || is_host {
            plain.push(BREAK);
        }
    }
    plain
}

/// Characters that are not seen: controls, formats of direction, spaces without width, tags.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// A link whose text is ours. Anything but http(s) is no link.
pub(super) fn link(text: &str, url: &str) -> String {
    let fine = url.starts_with("https://") || url.starts_with("http://");
    let odd = |c: char| c.is_control() || c.is_whitespace() || "()<>[]\"|".contains(c);
    if fine && !url.contains(odd) { format!("[{text}]({url})") } else { text.to_owned() }
}

/// At most so many characters; a cut is shown.
pub(super) fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(max.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

fn one_line(text: &str, max: usize) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(&flat, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_of_a_model_does_nothing() {
        let image = prose("see ![x](https://evil.example/?k=1) and <img src=//evil.example>");
        assert_eq!(
            image,
            "> see \\!\u{200b}\\[x\\]\\(https:\u{200b}//evil\\.example/?k\\=1\\) and &lt;img src\\=//evil\\.example&gt;"
        );
        assert_eq!(
            prose("/close\n\n@all #7"),
            "> \u{200b}/close  \n>  \n> @\u{200b}all \\#\u{200b}7"
        );
        assert_eq!(prose("GH-12 www.a.b"), "> GH\\-\u{200b}12 www\\.\u{200b}a\\.b");
        assert_eq!(prose("a\u{e0041}\u{202e}b\u{1b}[31m"), "> ab\\[31m");
        assert_eq!(prose("```\n# x\n```"), "> \\`\\`\\`  \n> \\# x  \n> \\`\\`\\`");
        assert_eq!(inline("a\nb @c", 100), "a b @\u{200b}c");
        assert_eq!(inline("1. x", 100), "1\\. x");
        assert_eq!(
            words("Fixes #7\nfor @all in [a]", 100),
            "Fixes #\u{200b}7 for @\u{200b}all in [a]"
        );
    }

    #[test]
    fn text_from_outside_stays_text() {
        assert_eq!(code("a`b|c\n@all"), "`aˋb¦c @all`");
        assert_eq!(code(""), "` `");
        assert_eq!(block("diff", "x\n```\ny\u{1b}[31m"), "````diff\nx\n```\ny[31m\n````");
        assert_eq!(link("run", "https://ci.example/1"), "[run](https://ci.example/1)");
        assert_eq!(link("run", "javascript:alert(1)"), "run");
        assert_eq!(link("run", "https://x/) [y](z"), "run");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
