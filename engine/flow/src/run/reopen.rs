//! Input `Reopen`: `plue retry`. The steps that go again are pending in a new visit.

use super::{Run, shape::Group};
use crate::{
    error::Rejected,
    fact::{Fact, Reason},
    input::Reopen,
    status::StepStatus,
};

impl Run {
    pub(super) fn admit_reopen(&self, by: String, from: &Reopen) -> Result<Fact, Rejected> {
        let status = self.status;
        if !status.is_terminal() {
            return Err(Rejected::NotEnded { status });
        }
        let mut again = match from {
            Reopen::All => (0..self.shape.len()).collect(),
            Reopen::From(step) => {
                let found = self.shape.find(step);
                let at = found.ok_or_else(|| Rejected::UnknownStep { step: step.clone() })?;
                self.shape.descendants([at])
            }
            Reopen::Failed => {
                let failed = (0..self.shape.len()).filter(|&at| self.is_unfinished(at));
                self.shape.descendants(failed)
            }
        };
        again.retain(|&at| self.held.steps[at].selected || self.is_root(at, from));
        if again.is_empty() {
            return Err(Rejected::NothingToReopen);
        }
        for group in [Group::Success, Group::Failure, Group::Complete] {
            again.extend(self.shape.range(group));
        }
        again.sort_unstable();
        again.dedup();
        Ok(Fact::RunReopened { by, steps: again.into_iter().map(|at| self.step_id(at)).collect() })
    }

    fn is_root(&self, at: usize, from: &Reopen) -> bool {
        match from {
            Reopen::From(step) => self.definition(at).id == *step,
            Reopen::Failed | Reopen::All => false,
        }
    }

    /// True if the step has not produced its result. Steps left out on purpose (a false condition,
    /// the selection, a hook for another result) are complete.
    fn is_unfinished(&self, at: usize) -> bool {
        let state = &self.held.steps[at];
        match state.status {
            StepStatus::Success => false,
            StepStatus::Failed | StepStatus::Cancelled | StepStatus::TimedOut => true,
            StepStatus::Skipped => !matches!(
                state.reason,
                Some(
                    Reason::ConditionFalse
                        | Reason::NotSelected
                        | Reason::Carried { .. }
                        | Reason::NotCalled { .. }
                )
            ),
            StepStatus::Pending
            | StepStatus::Queued
            | StepStatus::Running
            | StepStatus::Waiting => false,
        }
    }
}
