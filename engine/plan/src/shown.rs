//! Foreign text as people may see it: no terminal codes, no reordering, not too long.
//!
//! Must not escape for a format (HTML, DOT, …): each picture does that for itself.

/// Characters without a shape of their own: harmless in a plan, but shown by their number.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    is_forbidden(c)
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{180e}' | '\u{200b}' | '\u{200c}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Control characters, line separators, and the bidirectional formats with which a name can show
/// as another one; names must not hold them.
#[must_use]
pub fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}')
}

/// One line of at most `max` characters: what a name must not hold becomes a space, and a line that is
/// cut ends in `…`.
#[must_use]
pub fn one_line(text: &str, max: usize) -> String {
    let plain = |c: char| if is_forbidden(c) { ' ' } else { c };
    let text = text.trim();
    let fits = text.chars().nth(max).is_none();
    let kept = if fits { max } else { max.saturating_sub(1) };
    let mut line: String = text.chars().take(kept).map(plain).collect();
    if !fits {
        line.push('…');
    }
    line
}

/// At most `max` characters of the text, with `…` if there is more, invisible ones escaped.
#[must_use]
pub fn shown(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(4 * max));
    for (at, c) in text.chars().enumerate() {
        if at == max {
            out.push('…');
            break;
        }
        if is_invisible(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
