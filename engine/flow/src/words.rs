//! Reasons and outcomes in words, for `plue explain`, expressions (`steps.x.error`) and pages.

use std::fmt;

use crate::{
    fact::{Outcome, Reason},
    wait::Awaited,
};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::Exit { signal: Some(signal), .. } => write!(f, "ended by signal {signal}"),
            Self::Exit { code, signal: None } => write!(f, "exit status {code}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Refused { message } | Self::Failed { message } | Self::Rejected { message } => {
                f.write_str(message)
            }
            Self::Infra { message } => write!(f, "infrastructure: {message}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConditionFalse => f.write_str("its condition is false"),
            Self::ConditionError { message } => write!(f, "its condition: {message}"),
            Self::Blocked { by, status } => write!(f, "`{by}` ended {status}"),
            Self::Stopped { by } => {
                write!(f, "`{by}` failed and the plan sets on_failure=\"stop\"")
            }
            Self::RunCancelled => f.write_str("the run was cancelled"),
            Self::RunTimedOut => f.write_str("the run's time was over"),
            Self::NotCalled { result } => {
                write!(f, "a hook that is not for a run that ends {result}")
            }
            Self::NoRunner { message } => write!(f, "waits for a runner: {message}"),
            Self::Awaits { what, until, approved_by } => {
                match what {
                    // The arguments may be pages long; the approval shows them.
                    Awaited::Call(asked) => {
                        write!(f, "waits for approval of {} (call {})", asked.tool, asked.call)?;
                    }
                    Awaited::Decision { .. }
                    | Awaited::Time
                    | Awaited::Event { .. }
                    | Awaited::Workflow { .. }
                    | Awaited::Callback => write!(f, "{what}")?,
                }
                if let Awaited::Decision { quorum: 2.., .. } = what {
                    write!(f, " ({})", progress(what, approved_by))?;
                }
                until.map_or(Ok(()), |until| write!(f, ", until {until}"))
            }
            Self::ChildRun { run } => write!(f, "child run {run}"),
            Self::NotSelected => f.write_str("not selected"),
            Self::Carried { run } => write!(f, "not selected; its output is that of run {run}"),
            Self::FailedButSkipped => f.write_str("it failed and sets on_failure=\"skip\""),
            Self::Attempt { message, attempts: 1 } => f.write_str(message),
            Self::Attempt { message, attempts } => write!(f, "{message} (attempt {attempts})"),
            Self::LoopExhausted { to, max_visits } => {
                write!(f, "loop_exhausted: `{to}` was visited {max_visits} times already")
            }
        }
    }
}

/// `1 of 2 approvals, by ann`
fn progress(what: &Awaited, approved_by: &[String]) -> String {
    let Awaited::Decision { quorum, .. } = what else { return String::new() };
    let so_far = format!("{} of {quorum} approvals", approved_by.len());
    if approved_by.is_empty() { so_far } else { format!("{so_far}, by {}", approved_by.join(", ")) }
}
