//! Turns titles into the last part of a URL. Must not know where the URL begins.

/// Lower-case letters and digits, joined by single hyphens.
pub fn slug(title: &str) -> String {
    let words = title.split(|c: char| !is_kept(c));
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.join("-")
}

fn is_kept(c: char) -> bool {
    if cfg!(feature = "unicode") {
        c.is_alphanumeric()
    } else {
        c.is_ascii_alphanumeric()
    }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn words_are_joined_by_hyphens() {
        assert_eq!(slug("  Hello, plue -- world!"), "hello-plue-world");
    }

    #[test]
    #[cfg(feature = "unicode")]
    fn letters_of_every_script_are_kept() {
        assert_eq!(slug("Grüße, мир"), "grüße-мир");
    }
}
