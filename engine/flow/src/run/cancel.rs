//! Input `Cancel`: the ladder. The first request terminates what runs, a further one kills it.

use super::{Run, shape::Phase, state::Pressure};
use crate::{error::Rejected, fact::Fact, status::RunStatus};

pub(in crate::run) fn admit_cancel(run: &Run, by: String, kill: bool) -> Result<Fact, Rejected> {
    let status = run.lifecycle.status;
    if status.is_terminal() {
        return Err(Rejected::Ended { status });
    }
    let again = run.stop.requests > 0;
    if again && status != RunStatus::Queued && is_being_killed(run) {
        return Err(Rejected::AlreadyCancelled);
    }
    Ok(Fact::CancelRequested { by, kill: kill || again })
}

/// True if every open step is an attempt that is being killed.
fn is_being_killed(run: &Run) -> bool {
    let phase = run.phase.min(Phase::Complete);
    let open = phase.slot().map_or(0, |slot| run.open[slot]);
    let mut working = run.work.working.iter();
    open == working.len()
        && working.all(|&at| {
            let attempt = run.work.steps[at].attempt.as_ref();
            attempt.is_some_and(|attempt| attempt.pressure == Pressure::Kill)
        })
}
