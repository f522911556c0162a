//! Causes for ignoring a well-formed delivery, whatever the workflows contain. The sender's answer
//! is 2xx: a forge switches off hooks that answer with errors.

use serde::Serialize;

/// Cause for ignoring a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Ignored {
    /// The forge tries whether the hook works.
    #[error("a ping: the hook works")]
    Ping,
    /// A branch or tag is gone.
    #[error("the ref was deleted")]
    RefDeleted,
    /// Creation and deletion of refs come as pushes too.
    #[error("the same happening also comes as a push")]
    AlsoAPush,
    /// A ref that is neither branch nor tag.
    #[error("{git_ref} is neither a branch nor a tag")]
    OtherRef {
        /// The full ref: `refs/…`.
        git_ref: String,
    },
    /// A comment on a commit or snippet.
    #[error("the comment is on neither an issue nor a pull request")]
    OtherComment,
    /// An event without a trigger.
    #[error("no trigger asks for {event} events")]
    NoTrigger {
        /// The forge's name of the event.
        event: String,
    },
    /// The payload names no repository.
    #[error("the delivery names no repository")]
    NoRepository,
}
