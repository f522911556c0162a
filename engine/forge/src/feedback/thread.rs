//! A pull request or an issue: what comments and labels belong to.

use crate::{feedback::client::Client, provider::Provider};

/// A pull request or an issue of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thread {
    /// A pull or merge request, by its number.
    PullRequest(u64),
    /// An issue, by its number.
    Issue(u64),
}

// === impl Thread ===

impl Thread {
    /// Number of the thread.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::PullRequest(number) | Self::Issue(number) => number,
        }
    }
}

/// The path of a pull request or an issue. All forges but GitLab keep both as issues.
pub(super) fn thread_path(client: &Client, repository: &str, thread: Thread) -> Vec<String> {
    let mut path = client.repository(repository);
    let kind = match (client.provider, thread) {
        (Provider::GitLab, Thread::PullRequest(_)) => "merge_requests",
        (Provider::GitLab, Thread::Issue(_))
        | (Provider::GitHub | Provider::Gitea | Provider::Forgejo, _) => "issues",
    };
    path.extend([kind.to_owned(), thread.number().to_string()]);
    path
}
