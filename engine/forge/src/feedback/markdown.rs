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
