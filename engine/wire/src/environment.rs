//! The variables of a machine that its steps have: the engine gives them to its runners, and a runner
//! passes them on. Pure.

/// Variables that every step has from its machine, in addition to those that start with `LC_`.
pub const USUAL: [&str; 8] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"];

/// Whether steps have the variable of this name from their machine without any configuration.
#[must_use]
pub fn is_usual(name: &str) -> bool {
    USUAL.contains(&name) || name.starts_with("LC_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_usual_variables() {
        for name in ["PLUE_TOKEN", "PLUE_DATABASE", "PLUE_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"] {
            assert!(!is_usual(name), "{name}");
        }
        assert!(is_usual("PATH") && is_usual("LC_ALL"));
    }
}
