//! Skip markers: words in the message of the newest commit that keep a push or pull request from
//! starting anything.
//!
//! Those of GitHub Actions and GitLab, and one of our own. `***NO_CI***` (Azure) is none.

/// Texts that skip a run anywhere in the message, in any capitalisation.
pub const MARKERS: [&str; 7] = [
    "[skip ci]",
    "[ci skip]",
    "[no ci]",
    "[skip actions]",
    "[actions skip]",
    "[skip plue]",
    "[plue skip]",
];
/// A trailer, a line of its own.
const TRAILER: &str = "skip-checks: true";

/// The marker in a message.
#[must_use]
pub fn marker(message: &str) -> Option<&'static str> {
    let lower = message.to_ascii_lowercase();
    let found = MARKERS.into_iter().find(|marker| lower.contains(marker));
    let is_trailer = |line: &str| line.split_whitespace().eq(TRAILER.split(' '));
    let trailer = || lower.lines().skip(1).any(|line| is_trailer(&line.replace(':', ": ")));
    found.or_else(|| trailer().then_some(TRAILER))
}

#[cfg(test)]
mod tests {
    use super::marker;

    #[test]
    fn only_documented_markers_are_found() {
        for (message, found) in [
            ("docs [skip ci]", Some("[skip ci]")),
            ("[CI Skip] docs", Some("[ci skip]")),
            ("docs\n\nlong [no ci] text", Some("[no ci]")),
            ("[skip actions]", Some("[skip actions]")),
            ("[actions skip]", Some("[actions skip]")),
            ("x [plue skip]", Some("[plue skip]")),
            ("docs\n\n\nskip-checks: true", Some("skip-checks: true")),
            ("docs\n\n\nskip-checks:true\n", Some("skip-checks: true")),
            ("docs ***NO_CI***", None),
            ("skip-checks: true in the title", None),
            ("docs\n\nskip-checks: false", None),
            ("skip ci", None),
            ("", None),
        ] {
            assert_eq!(marker(message), found, "{message:?}");
        }
    }
}
