//! Number of idle runners: Little's law, the demand at hand, and bounds.

use jiff::{SignedDuration, Timestamp};
use plue_store::RunnerState;

use super::{Action, Decision, PoolSpec, Snapshot, Strategy, reconcile::Findings};

/// Bounds of the number of runners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Idle runners that are kept without any demand; 0 scales to zero.
    pub min_idle: u32,
    /// Runners at most, busy ones included.
    pub max: u32,
    /// Time that a surplus lasts before idle runners end.
    pub cooldown: SignedDuration,
}

/// Demand for runners, computed from rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// Runs that wait for a runner now.
    pub waiting: u32,
    /// Runners that the coming level of the plans of present runs will need.
    pub coming: u32,
    /// Runs that took a runner within the window.
    pub arrivals: u32,
    /// Length of the window.
    pub window: SignedDuration,
    /// Time from the creation of a pod to a ready runner.
    pub refill: SignedDuration,
}

// === impl Demand ===

impl Demand {
    /// Idle runners that cover the arrivals during one refill with a probability of 0.999: by
    /// Little's law `m = λ·T` arrive, and `m + 3.1·√m` at that quantile of the Poisson distribution.
    #[must_use]
    pub fn stock(&self) -> u32 {
        let window = self.window.as_millis().max(1);
        let refill = self.refill.as_millis().max(0);
        // Thousandths, so that √ of 961/100·m·1,000² is 1,000·3.1·√m.
        let mean = i128::from(self.arrivals) * refill * 1_000 / window;
        let mean = u128::try_from(mean).unwrap_or(0);
        let spread = (mean * 1_000 * 961 / 100).isqrt();
        u32::try_from((mean + spread).div_ceil(1_000)).unwrap_or(u32::MAX)
    }

    /// Idle runners to have, within the bounds of the pool, with so many runners busy.
    #[must_use]
    pub fn target(&self, size: &Size, busy: u32) -> u32 {
        let wanted = size.min_idle.saturating_add(self.stock());
        let wanted = wanted.saturating_add(self.waiting).saturating_add(self.coming);
        wanted.min(size.max.saturating_sub(busy))
    }
}

/// Creates missing runners, drains surplus ones.
pub(super) fn resize(
    spec: &PoolSpec,
    snapshot: Snapshot<'_>,
    found: &Findings,
    decision: &mut Decision,
) {
    let live = snapshot.rows.iter().filter(|row| !found.ends.contains(&row.runner));
    let (mut idle, mut other) = (Vec::new(), 0_u32);
    for row in live {
        let stale = spec.strategy == Strategy::Recreate && row.template != spec.template;
        if row.is_idle() && !stale {
            idle.push(row);
        } else {
            other += 1;
        }
    }
    let count = u32::try_from(idle.len()).unwrap_or(u32::MAX);
    let target = if spec.draining { 0 } else { snapshot.demand.target(&spec.size, other) };
    (decision.target, decision.idle) = (target, count);
    if count > target {
        // Ready ones of an older template first, then the oldest.
        idle.sort_by_key(|row| {
            (row.template == spec.template, row.state != RunnerState::Ready, row.since)
        });
        let surplus = usize::try_from(count - target).unwrap_or(usize::MAX);
        let now = snapshot.now;
        let since = *decision.memory.surplus_since.get_or_insert(now);
        if spec.draining || is_over(since, spec.size.cooldown, now) {
            let reason = if spec.draining { "its pool is draining" } else { "not needed" };
            decision.actions.extend(idle.iter().take(surplus).map(|row| Action::Drain {
                runner: row.runner.clone(),
                reason: reason.to_owned(),
            }));
        }
        return;
    }
    decision.memory.surplus_since = None;
    let missing = (target - count).min(allowed(found, snapshot.now, decision));
    let granted = decision.memory.bucket.take(missing, snapshot.now);
    let create = Action::Create { target, max: spec.size.max };
    decision.actions.extend((0..granted).map(|_| create.clone()));
}

/// Runners that may be created despite failures and a full cluster.
fn allowed(found: &Findings, now: Timestamp, decision: &Decision) -> u32 {
    let backoff = &decision.memory.backoff;
    // One trial at a time: the next failure has the same cause as the first one.
    let in_trial = backoff.is_on() && found.warming > 0;
    if found.unschedulable.is_some() || in_trial || found.blind { 0 } else { backoff.allows(now) }
}

pub(super) fn is_over(since: Timestamp, lasts: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(since) >= lasts
}
