//! The headers of a delivery, independent of any HTTP library.

use sha2::{Digest as _, Sha256};

use crate::{limits::MAX_DELIVERY_ID_BYTES, provider::Provider};

/// Names and values in the order they came. Names are compared without case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

// === impl Headers ===

impl Headers {
    /// The only value of a header, trimmed. A header that came twice has none: two answers to one
    /// question are no answer.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<&str> {
        let mut found = self.all(name);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// True if a header is present at least once.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Appends a header; the same name may occur several times.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The forge's name of the event; `None` if the header is absent or ambiguous.
    #[must_use]
    pub fn event_name(&self, provider: Provider) -> Option<&str> {
        let names = provider.event_headers().iter();
        names.filter_map(|name| self.only(name)).find(|value| !value.is_empty())
    }

    /// True for events that people without any right may cause without limit: comments, issues,
    /// stars. Pull requests do not count: their runs have limits of their own.
    #[must_use]
    pub fn is_talk(&self, provider: Provider) -> bool {
        let Some(event) = self.event_name(provider) else { return false };
        match provider {
            Provider::GitLab => {
                ["Note", "Issue", "Work Item", "Emoji"].iter().any(|kind| event.contains(kind))
            }
            Provider::GitHub | Provider::Gitea | Provider::Forgejo => {
                event.starts_with("issue")
                    || event.starts_with("discussion")
                    || event.ends_with("_comment")
                    || matches!(event, "star" | "watch" | "fork" | "gollum" | "wiki")
            }
        }
    }

    /// Identifies redeliveries of the same event: the forge's id, else a digest of the body. Never
    /// empty and never longer than [`MAX_DELIVERY_ID_BYTES`].
    #[must_use]
    pub fn delivery_id(&self, provider: Provider, body: &[u8]) -> String {
        let names = provider.delivery_headers().iter();
        let given = names.filter_map(|name| self.only(name)).find(|value| !value.is_empty());
        let is_plain = |id: &str| id.bytes().all(|byte| byte.is_ascii_graphic());
        match given {
            Some(id) if id.len() <= MAX_DELIVERY_ID_BYTES && is_plain(id) => id.to_owned(),
            Some(id) => digest(id.as_bytes()),
            None => match self.only("x-gitlab-event-uuid") {
                // Chained events share the id, so the body must distinguish them.
                Some(shared) => digest(&[shared.as_bytes(), body].concat()),
                None => digest(body),
            },
        }
    }

    fn all<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h str> {
        let same = self.0.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.trim())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Values may be secrets (`X-Gitlab-Token`), so only the names are shown.
impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talk_is_what_anybody_may_cause() {
        let is_talk = |provider: Provider, event: &str| {
            let header = provider.event_headers()[0];
            Headers::from_iter([(header, event)]).is_talk(provider)
        };
        for event in ["issue_comment", "issues", "discussion", "commit_comment", "star", "fork"] {
            assert!(is_talk(Provider::GitHub, event), "{event}");
        }
        for event in ["push", "pull_request", "pull_request_target", "create", "release", "ping"] {
            assert!(!is_talk(Provider::GitHub, event), "{event}");
        }
        for event in ["Note Hook", "Confidential Issue Hook", "Work Item Hook", "Emoji Hook"] {
            assert!(is_talk(Provider::GitLab, event), "{event}");
        }
        for event in ["Push Hook", "Tag Push Hook", "Merge Request Hook", "System Hook"] {
            assert!(!is_talk(Provider::GitLab, event), "{event}");
        }
        assert!(is_talk(Provider::Forgejo, "pull_request_comment"));
        assert!(!is_talk(Provider::Gitea, "pull_request_sync"));
        assert!(!Headers::default().is_talk(Provider::GitHub));
    }
}
