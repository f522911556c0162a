//! A client of one forge's API.

use std::{fmt, time::Duration};

use plue_runtime::Clock;

use crate::{
    feedback::{
        check::{Check, CheckId},
        comment::CommentId,
        error::FeedbackError,
        http::Http,
        pull_request::PullRequestChange,
        status::CommitStatus,
        thread::Thread,
    },
    git::CommitId,
    provider::Provider,
};

/// Limits of requests to the forge.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Calls for one request, the first included.
    pub attempts: u32,
    /// Wait before the second call; doubled before each further one.
    pub backoff: Duration,
    /// The longest wait inside one request. A forge that requests a longer one gets
    /// [`FeedbackError::Later`].
    pub longest_wait: Duration,
    /// The longest that one call may take.
    pub timeout: Duration,
    /// Allow `http://` addresses, for a forge inside a trusted network.
    pub allow_http: bool,
    /// Our login, if known: only comments of ours are taken for ours then.
    pub login: Option<String>,
}

/// Talks to one forge with one token, which is never shown. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(super) http: Http,
    pub(super) provider: Provider,
    pub(super) login: Option<String>,
}

// === impl ClientOptions ===

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            attempts: 4,
            backoff: Duration::from_secs(1),
            longest_wait: Duration::from_secs(30),
            timeout: Duration::from_secs(15),
            allow_http: false,
            login: None,
        }
    }
}

// === impl Client ===

impl Client {
    /// A client. `address` is the API's: `https://api.github.com` (`https://HOST/api/v3` for
    /// Enterprise Server), `https://HOST/api/v4` for GitLab, `https://HOST/api/v1` for Gitea and
    /// Forgejo.
    ///
    /// # Errors
    /// The address cannot be used, or TLS cannot be set up.
    pub fn new(
        provider: Provider,
        address: &str,
        token: &str,
        clock: Clock,
        options: ClientOptions,
    ) -> Result<Self, FeedbackError> {
        let login = options.login.clone();
        Ok(Self { http: Http::new(provider, address, token, clock, options)?, provider, login })
    }

    /// The path of a repository in the API, without its end.
    pub(super) fn repository(&self, name: &str) -> Vec<String> {
        match self.provider {
            // GitLab takes the whole path, groups included, as one part.
            Provider::GitLab => vec!["projects".to_owned(), name.to_owned()],
            Provider::GitHub | Provider::Gitea | Provider::Forgejo => {
                let mut path = vec!["repos".to_owned()];
                path.extend(name.splitn(2, '/').map(str::to_owned));
                path
            }
        }
    }

    /// Creates or updates the comment of this key. `known` is the result of an earlier call; a
    /// comment that was deleted meanwhile is created again. `key` is plain text that stays the same
    /// for the thread, such as `plans`.
    ///
    /// # Errors
    /// The forge cannot be reached or refuses.
    pub async fn put_comment(
        &self,
        repository: &str,
        thread: Thread,
        known: Option<CommentId>,
        key: &str,
        text: &str,
    ) -> Result<CommentId, FeedbackError> {
        super::comment::put_comment(self, repository, thread, known, key, text).await
    }

    /// True if a person may write to a repository. `id` is the forge's number of the person;
    /// without it GitLab is queried for it first. An unknown person may not.
    ///
    /// # Errors
    /// The forge cannot be reached, or refuses the query itself.
    pub async fn may_write(
        &self,
        repository: &str,
        login: &str,
        id: Option<u64>,
    ) -> Result<bool, FeedbackError> {
        super::permission::may_write(self, repository, login, id).await
    }

    /// Sets the status of a commit. Idempotent.
    ///
    /// # Errors
    /// The forge cannot be reached or refuses.
    pub async fn set_status(
        &self,
        repository: &str,
        commit: &CommitId,
        status: &CommitStatus,
    ) -> Result<(), FeedbackError> {
        super::status::set_status(self, repository, commit, status).await
    }

    /// Creates or updates a check. `known` is the result of an earlier call.
    ///
    /// # Errors
    /// The forge is not GitHub, or GitHub cannot be reached or refuses.
    pub async fn put_check(
        &self,
        repository: &str,
        commit: &CommitId,
        known: Option<CheckId>,
        check: &Check,
    ) -> Result<CheckId, FeedbackError> {
        super::check::put_check(self, repository, commit, known, check).await
    }

    /// Adds and removes labels; those that are there or gone already stay so.
    ///
    /// # Errors
    /// The forge cannot be reached or refuses.
    pub async fn change_labels(
        &self,
        repository: &str,
        thread: Thread,
        add: &[String],
        remove: &[String],
    ) -> Result<(), FeedbackError> {
        super::labels::change_labels(self, repository, thread, add, remove).await
    }

    /// Opens the pull request of a branch, or updates its title and text; its number. One that people closed
    /// at the same commit stays closed.
    ///
    /// # Errors
    /// The forge cannot be reached or refuses.
    pub async fn put_pull_request(
        &self,
        repository: &str,
        change: &PullRequestChange,
    ) -> Result<u64, FeedbackError> {
        super::pull_request::put_pull_request(self, repository, change).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("provider", &self.provider).finish_non_exhaustive()
    }
}
