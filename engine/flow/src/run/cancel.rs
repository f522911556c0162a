//! Input `Cancel`: the ladder. The first request terminates what runs, a further one kills it.

use super::{Run, shape::Phase, state::Pressure};
use crate::{error::Rejected, fact::Fact, status::RunStatus};

impl Run {
    pub(super) fn admit_cancel(&self, by: String, kill: bool) -> Result<Fact, Rejected> {
        let status = self.status;
        if status.is_terminal() {
            return Err(Rejected::Ended { status });
        }
        let again = self.cancels > 0;
        if again && status != RunStatus::Queued && self.is_being_killed() {
            return Err(Rejected::AlreadyCancelled);
        }
        Ok(Fact::CancelRequested { by, kill: kill || again })
    }

    /// True if every open step is an attempt that is being killed.
    fn is_being_killed(&self) -> bool {
        let phase = self.phase.min(Phase::Complete);
        let open = phase.slot().map_or(0, |slot| self.open[slot]);
        let mut working = self.held.working.iter();
        open == working.len()
            && working.all(|&at| {
                let attempt = self.held.steps[at].attempt.as_ref();
                attempt.is_some_and(|attempt| attempt.pressure == Pressure::Kill)
            })
    }
}
