//! Input `Start`.

use super::Run;
use crate::{error::Rejected, fact::Fact, status::RunStatus};

impl Run {
    pub(super) fn admit_start(&self) -> Result<Fact, Rejected> {
        match self.status {
            RunStatus::Queued => Ok(Fact::RunStarted),
            RunStatus::Running | RunStatus::Waiting => Err(Rejected::AlreadyStarted),
            RunStatus::Success | RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut => {
                Err(Rejected::Ended { status: self.status })
            }
        }
    }
}
