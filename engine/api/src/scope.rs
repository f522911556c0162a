//! The scopes of secrets: those that steps of a repository may name, and what verifies its deliveries,
//! which no step can name.
//!
//! Pure.

/// Name of the secrets that verify calls of named webhooks, one a line.
pub const CALL_SECRET: &str = "INCOMING";

/// The scope of the secrets that steps of a repository may name.
#[must_use]
pub fn scope_of(repo: &str) -> String {
    format!("repo:{repo}")
}

/// The scope of what verifies deliveries of a repository.
#[must_use]
pub fn hook_scope_of(repo: &str) -> String {
    format!("hook:{repo}")
}

/// The scope of the secrets of an outgoing webhook, which no step can name.
#[must_use]
pub fn webhook_scope_of(webhook: &str) -> String {
    format!("webhook:{webhook}")
}

/// Whether a secret may be named so, as a plan may spell it: it is also the name of a variable.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let first = name.chars().next();
    first.is_some_and(|c| !c.is_ascii_digit())
        && name.len() <= plue_plan::limits::MAX_ID_LEN
        && name.chars().all(fits)
}

/// Whether a repository may be named so: `owner/name`, with plain characters.
#[must_use]
pub fn is_repo_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
    name.len() <= 256 && name.contains('/') && name.split('/').all(part)
}
