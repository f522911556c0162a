//! Deliveries from GitHub, GitLab, Gitea and Forgejo, and reports to them.
//!
//! Deliveries are verified over their raw bytes ([`verify()`]) and only then decoded ([`decode()`])
//! into a [`Reading`]. [`git`] has mirrors of repositories, [`feedback`] reports the state of
//! commits to a forge. No type of a forge leaves this crate. Must not decide whether something
//! runs: that is `plue-registry`'s.
#![forbid(unsafe_code)]

pub mod codes;
pub mod decode;
pub mod feedback;
pub mod git;
pub mod headers;
pub mod ignored;
pub mod limits;
mod loose;
pub mod provider;
pub mod reading;
pub mod refusal;
pub mod verify;

pub use crate::{
    decode::decode,
    feedback::{Client, FeedbackError},
    git::{ChangedFiles, CommitId, GitError, Mirror, Remote},
    headers::Headers,
    ignored::Ignored,
    provider::Provider,
    reading::{Kind, Reading},
    refusal::Refusal,
    verify::{Secret, check_call_shown, content_digest, verify, verify_call},
};
