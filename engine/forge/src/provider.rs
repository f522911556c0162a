//! Forge of a hook. The route of the hook decides it, never the headers: Gitea and Forgejo send
//! GitHub's headers too.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A kind of forge.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// github.com and GitHub Enterprise Server.
    GitHub,
    /// gitlab.com and self-managed GitLab.
    GitLab,
    /// Gitea, self-hosted or gitea.com.
    Gitea,
    /// Forgejo, self-hosted or codeberg.org.
    Forgejo,
}

/// A text that names no forge we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of github, gitlab, gitea and forgejo")]
pub struct UnknownProvider(String);

// === impl Provider ===

impl Provider {
    /// Every forge that deliveries may come from.
    pub const ALL: [Self; 4] = [Self::GitHub, Self::GitLab, Self::Gitea, Self::Forgejo];

    /// The name in routes, configuration and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
            Self::Forgejo => "forgejo",
        }
    }

    /// The ref under which the forge keeps the head of a pull request, also of one from a fork.
    #[must_use]
    pub fn pull_request_ref(self, number: u64) -> String {
        match self {
            Self::GitLab => format!("refs/merge-requests/{number}/head"),
            Self::GitHub | Self::Gitea | Self::Forgejo => format!("refs/pull/{number}/head"),
        }
    }

    /// Address of the page of a pull request, for a repository that is fetched from `url` over HTTP; none for
    /// other transports. Credentials in `url` are left out.
    #[must_use]
    pub fn pull_request_page(self, url: &str, number: u64) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        if !matches!(scheme, "https" | "http") {
            return None;
        }
        let (authority, path) = rest.split_once('/')?;
        let host = authority.rsplit('@').next().filter(|host| !host.is_empty())?;
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let page = match self {
            Self::GitHub => "pull",
            Self::GitLab => "-/merge_requests",
            Self::Gitea | Self::Forgejo => "pulls",
        };
        Some(format!("{scheme}://{host}/{path}/{page}/{number}"))
    }

    /// The headers that may name the event, the forge's own first.
    #[must_use]
    pub(crate) const fn event_headers(self) -> &'static [&'static str] {
        match self {
            Self::GitHub => &["x-github-event"],
            Self::GitLab => &["x-gitlab-event"],
            Self::Gitea => &["x-gitea-event", "x-gogs-event", "x-github-event"],
            Self::Forgejo => {
                &["x-forgejo-event", "x-gitea-event", "x-gogs-event", "x-github-event"]
            }
        }
    }

    /// The headers that may hold the id of the delivery, the best first.
    #[must_use]
    pub(crate) const fn delivery_headers(self) -> &'static [&'static str] {
        match self {
            Self::GitHub => &["x-github-delivery"],
            // Not X-Gitlab-Webhook-UUID, which names the hook, nor X-Gitlab-Event-UUID, which events
            // that follow from one another share.
            Self::GitLab => &["webhook-id", "idempotency-key"],
            Self::Gitea => &["x-gitea-delivery", "x-gogs-delivery", "x-github-delivery"],
            Self::Forgejo => {
                &["x-forgejo-delivery", "x-gitea-delivery", "x-gogs-delivery", "x-github-delivery"]
            }
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|known| known.as_str() == text);
        found.ok_or_else(|| UnknownProvider(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_requests_have_pages_without_credentials() {
        for (provider, url, wanted) in [
            (
                Provider::GitHub,
                "https://x:secret@github.com/acme/app.git",
                Some("https://github.com/acme/app/pull/7"),
            ),
            (
                Provider::GitLab,
                "https://gitlab.example/a/b/c/",
                Some("https://gitlab.example/a/b/c/-/merge_requests/7"),
            ),
            (
                Provider::Forgejo,
                "http://git.local:3000/a/b",
                Some("http://git.local:3000/a/b/pulls/7"),
            ),
            (Provider::GitHub, "git@github.com:acme/app.git", None),
            (Provider::GitHub, "javascript://x/alert(1)", None),
            (Provider::GitHub, "https://@/a/b", None),
        ] {
            assert_eq!(provider.pull_request_page(url, 7).as_deref(), wanted, "{url}");
        }
    }
}
