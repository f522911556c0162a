//! Input `Reopen`: `plue retry`. The steps that go again are pending in a new visit.

use super::{Run, shape::Group};
use crate::{
    error::Rejected,
    fact::{Fact, Reason},
    input::Reopen,
    status::StepStatus,
};

pub(in crate::run) fn admit_reopen(run: &Run, by: String, from: &Reopen) -> Result<Fact, Rejected> {
    let status = run.lifecycle.status;
    if !status.is_terminal() {
        return Err(Rejected::NotEnded { status });
    }
    let mut again = match from {
        Reopen::All => (0..run.shape.len()).collect(),
        Reopen::From(step) => {
            let found = run.shape.find(step);
            let at = found.ok_or_else(|| Rejected::UnknownStep { step: step.clone() })?;
            run.shape.descendants([at])
        }
        Reopen::Failed => {
            let failed = (0..run.shape.len()).filter(|&at| is_unfinished(run, at));
            run.shape.descendants(failed)
        }
    };
    again.retain(|&at| run.work.steps[at].selection.is_selected || is_root(run, at, from));
    if again.is_empty() {
        return Err(Rejected::NothingToReopen);
    }
    for group in [Group::Success, Group::Failure, Group::Complete] {
        again.extend(run.shape.range(group));
    }
    again.sort_unstable();
    again.dedup();
    Ok(Fact::RunReopened { by, steps: again.into_iter().map(|at| run.step_id(at)).collect() })
}

fn is_root(run: &Run, at: usize, from: &Reopen) -> bool {
    match from {
        Reopen::From(step) => run.definition(at).id == *step,
        Reopen::Failed | Reopen::All => false,
    }
}

/// True if the step has not produced its result. Steps left out on purpose (a false condition,
/// the selection, a hook for another result) are complete.
fn is_unfinished(run: &Run, at: usize) -> bool {
    let state = &run.work.steps[at];
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
        StepStatus::Pending | StepStatus::Queued | StepStatus::Running | StepStatus::Waiting => {
            false
        }
    }
}
