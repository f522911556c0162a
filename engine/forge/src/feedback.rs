//! Reports the state of a commit to a forge: commit statuses, checks with annotations, and one
//! comment on a pull request that is updated in place.
//!
//! Every call may be repeated: a status is known by its commit and context, a check by its
//! `external_id`, a comment by the marker in its first line. So an outbox that delivers at least
//! once shows each thing once. Must not decide the contents of a report.

mod app;
mod check;
mod client;
mod comment;
mod error;
mod findings;
mod http;
mod labels;
mod markdown;
mod permission;
mod pull_request;
mod report;
mod status;
mod thread;

pub use app::{AppKey, AppKeyError, Grant, Rights};
pub use check::{Annotation, Check, CheckId, Level};
pub use client::{Client, ClientOptions};
pub use comment::{CommentId, is_own_comment};
pub use error::FeedbackError;
pub use findings::{Finding, Findings, FindingsFrame, Severity};
pub use markdown::{prose, words};
pub use pull_request::PullRequestChange;
pub use report::{Outcome, PlanChange, PlanReport, Report, StepReport, TestsReport};
pub use status::{CommitStatus, State};
pub use thread::Thread;
