//! Characters of foreign text that a reader cannot see, and in which instructions hide.

/// The text without control characters (but line ends and tabs), zero-width characters, bidirectional
/// formats, tags and variation selectors.
#[must_use]
pub fn visible(text: &str) -> String {
    text.chars().filter(|c| is_visible(*c)).collect()
}

fn is_visible(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' => false,
        '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => false,
        other => !other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_go() {
        let hidden = "a\u{200b}\u{202e}\u{e0041}\u{fe01}\u{1b}[31m\r\0b";
        assert_eq!(visible(hidden), "a[31mb");
        assert_eq!(visible("grüße\n\t漢字 🎉"), "grüße\n\t漢字 🎉");
    }
}
