//! Input `Start`.

use super::Run;
use crate::{error::Rejected, fact::Fact, status::RunStatus};

pub(in crate::run) fn admit_start(run: &Run) -> Result<Fact, Rejected> {
    match run.lifecycle.status {
        RunStatus::Queued => Ok(Fact::RunStarted),
        RunStatus::Running | RunStatus::Waiting => Err(Rejected::AlreadyStarted),
        RunStatus::Success | RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut => {
            Err(Rejected::Ended { status: run.lifecycle.status })
        }
    }
}
