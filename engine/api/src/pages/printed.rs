//! Output of a step, made fit for a page: no terminal codes, no look-alike or invisible characters, and
//! a bounded
//! number of lines.
//!
//! Pure. Does not escape for HTML: the page does.

/// Lines from the end.
pub(super) const LINES: usize = 200;
/// Bytes from the end.
pub(super) const BYTES: u64 = 64 * 1024;

/// The last lines of a log, from its last bytes; `cut` is true where others precede them.
pub(super) fn last_lines(bytes: &[u8], cut: bool) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<&str> = text.lines().collect();
    if cut && lines.len() > 1 {
        // The first line may have lost its beginning.
        lines.remove(0);
    }
    let first = lines.len().saturating_sub(LINES);
    let lines: Vec<String> = lines[first..].iter().map(|line| clean(line)).collect();
    lines.join("\n")
}

fn clean(line: &str) -> String {
    let plain = anstream::adapter::strip_str(line).to_string();
    // A progress bar that writes over itself: what it left.
    let left = plain.trim_end_matches('\r');
    let left = left.rsplit('\r').next().unwrap_or(left);
    left.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether a character does something other than being shown.
fn acts(c: char) -> bool {
    let turns = matches!(c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_log_text_is_the_visible_text() {
        for (bytes, seen) in [
            (&b"plain\n\ttab\n"[..], "plain\n\ttab"),
            (b"\x1b[31mred\x1b[0m \x1b]0;owned\x07title", "red title"),
            (b"10%\r50%\r100%\r\nok\r\n", "100%\nok"),
            (b"bell\x07 \xff", "bell \u{fffd}"),
            ("left\u{202e}right".as_bytes(), "left\u{fffd}right"),
        ] {
            assert_eq!(last_lines(bytes, false), seen);
        }
    }

    #[test]
    fn only_whole_lines_from_the_end_are_shown() {
        assert_eq!(last_lines(b"alf\nwhole", true), "whole");
        assert_eq!(last_lines(b"one long line", true), "one long line");
        let many: String = (0..500).map(|n| format!("{n}\n")).collect();
        let last = last_lines(many.as_bytes(), false);
        assert_eq!((last.lines().count(), last.lines().next()), (LINES, Some("300")));
    }
}
