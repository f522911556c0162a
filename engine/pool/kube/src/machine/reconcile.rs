//! Rows against pods: what exists, what ended, what does not belong together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use plue_plan::RunnerId;
use plue_store::RunnerState;

use super::{
    Action, Decision, DriftClass, PodObstacle, PodPhase, PodView, PoolSpec, RowView, Snapshot,
    Strategy, size::is_over,
};

/// Time in which the pod of a row must exist.
pub const CREATE_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
/// Time from a row to a ready runner.
pub const READY_TIMEOUT: SignedDuration = SignedDuration::from_mins(5);
/// Silence after which a session counts as dead.
pub const SESSION_TIMEOUT: SignedDuration = SignedDuration::from_secs(90);
/// Age from which a pod whose row was never stored is an orphan.
pub const ORPHAN_AGE: SignedDuration = SignedDuration::from_mins(2);
/// Time that a draining runner has for the run it works for.
pub const DRAIN_GRACE: SignedDuration = SignedDuration::from_mins(10);
/// Time after which a pod that no node has room for is replaced by a new one.
pub const UNSCHEDULABLE_RECHECK: SignedDuration = SignedDuration::from_mins(15);

/// Findings that the size of the pool depends on.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Rows that this decision ends.
    pub(super) ends: BTreeSet<RunnerId>,
    /// Pods that failed to start, with the kubelet's reason.
    pub(super) failures: Vec<String>,
    /// The scheduler's reason for a pod without a node.
    pub(super) unschedulable: Option<String>,
    /// Rows that wait for their first session.
    pub(super) warming: u32,
    /// A runner of the present template is in session.
    pub(super) ready: bool,
    /// The API server did not answer.
    pub(super) blind: bool,
}

struct Pass<'a> {
    spec: &'a PoolSpec,
    now: Timestamp,
    found: Findings,
    decision: &'a mut Decision,
}

pub(super) fn reconcile(
    spec: &PoolSpec,
    snapshot: Snapshot<'_>,
    decision: &mut Decision,
) -> Findings {
    let mut pass = Pass { spec, now: snapshot.now, found: Findings::default(), decision };
    let Some(pods) = snapshot.pods else {
        pass.found.blind = true;
        return pass.found;
    };
    let rows: BTreeMap<&RunnerId, &RowView> =
        snapshot.rows.iter().map(|row| (&row.runner, row)).collect();
    let mut with_pod = BTreeSet::new();
    for pod in pods {
        if !pod.owned {
            pass.drift(DriftClass::ForeignPod);
        } else if let Some(row) = rows.get(&pod.runner).filter(|row| is_pod_of(pod, row)) {
            with_pod.insert(&pod.runner);
            pass.pair(row, pod);
        } else {
            pass.stray(pod, rows.contains_key(&pod.runner));
        }
    }
    for row in snapshot.rows.iter().filter(|row| !with_pod.contains(&row.runner)) {
        pass.alone(row);
    }
    pass.found
}

fn is_pod_of(pod: &PodView, row: &RowView) -> bool {
    row.pod.as_ref().is_none_or(|uid| *uid == pod.uid)
}

// === impl Pass ===

impl Pass<'_> {
    fn drift(&mut self, class: DriftClass) {
        *self.decision.drift.entry(class).or_default() += 1;
    }

    fn gone(&mut self, row: &RowView, unclaimed: bool, reason: &str) {
        self.found.ends.insert(row.runner.clone());
        self.decision.actions.push(Action::Gone {
            runner: row.runner.clone(),
            uid: row.pod.clone(),
            unclaimed,
            reason: reason.to_owned(),
        });
    }

    fn drain(&mut self, row: &RowView, reason: &str) {
        self.found.ends.insert(row.runner.clone());
        let (runner, reason) = (row.runner.clone(), reason.to_owned());
        self.decision.actions.push(Action::Drain { runner, reason });
    }

    /// A pod of ours that no live row has recorded.
    fn stray(&mut self, pod: &PodView, has_row: bool) {
        if pod.deleting {
            return;
        }
        let old = is_over(pod.created_at, ORPHAN_AGE, self.now);
        if has_row {
            self.drift(DriftClass::UidMismatch);
            let (name, uid) = (pod.name.clone(), pod.uid.clone());
            self.decision.actions.push(Action::Delete { name, uid });
            return;
        }
        if old {
            self.drift(DriftClass::PodWithoutRow);
        }
        self.decision.actions.push(Action::Collect {
            runner: pod.runner.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            old,
        });
    }

    /// A row with its pod.
    fn pair(&mut self, row: &RowView, pod: &PodView) {
        if row.pod.is_none() {
            let (runner, uid) = (row.runner.clone(), pod.uid.clone());
            self.decision.actions.push(Action::Bind { runner, uid });
            // The next pass sees the row with its pod; until then only the pod is known to it.
            self.count(row);
            return;
        }
        if let PodPhase::Ended(end) = pod.phase {
            self.drift(DriftClass::TerminalPod);
            if row.state == RunnerState::Warming {
                self.found.failures.push(end.as_str().to_owned());
            }
            return self.gone(row, false, end.as_str());
        }
        if pod.restarted {
            return self.gone(row, false, "a container of its pod was restarted");
        }
        match row.state {
            RunnerState::Warming => self.warming(row, pod),
            RunnerState::Draining => self.draining(row, pod),
            RunnerState::Ready | RunnerState::Claimed => self.serving(row, pod),
            RunnerState::Gone => {}
        }
    }

    fn warming(&mut self, row: &RowView, pod: &PodView) {
        if let Some(PodObstacle::Broken(reason)) = &pod.obstacle {
            self.found.failures.push(reason.clone());
            return self.gone(row, true, reason);
        }
        if let Some(PodObstacle::Unschedulable(reason)) = &pod.obstacle {
            if is_over(row.registered_at, UNSCHEDULABLE_RECHECK, self.now) {
                return self.drain(row, reason);
            }
            self.found.unschedulable = Some(reason.clone());
            return self.count(row);
        }
        if pod.deleting {
            return self.drain(row, "its pod is being deleted");
        }
        if is_over(row.registered_at, READY_TIMEOUT, self.now) {
            let reason = "its runner did not report within 5 minutes";
            self.found.failures.push(reason.to_owned());
            return self.gone(row, true, reason);
        }
        self.stale_or_counted(row);
    }

    fn serving(&mut self, row: &RowView, pod: &PodView) {
        if is_over(row.seen_at, SESSION_TIMEOUT, self.now) {
            self.drift(DriftClass::DeadSession);
            if !row.claimed {
                return self.drain(row, "its session is dead");
            }
        }
        if row.claimed {
            return;
        }
        if pod.deleting {
            return self.drain(row, "its pod is being deleted");
        }
        self.found.ready |= row.template == self.spec.template;
        self.stale_or_counted(row);
    }

    fn stale_or_counted(&mut self, row: &RowView) {
        let stale = row.template != self.spec.template;
        if stale && self.spec.strategy == Strategy::Recreate && !row.claimed {
            return self.drain(row, "the template of its pool has changed");
        }
        self.count(row);
    }

    fn count(&mut self, row: &RowView) {
        self.found.warming += u32::from(row.state == RunnerState::Warming);
    }

    /// A draining runner ends by itself after its run; its pod is deleted once no run has it.
    fn draining(&mut self, row: &RowView, pod: &PodView) {
        let over = !row.claimed || is_over(row.since, DRAIN_GRACE, self.now);
        if over && !pod.deleting {
            let (name, uid) = (pod.name.clone(), pod.uid.clone());
            self.decision.actions.push(Action::Delete { name, uid });
        }
    }

    /// A row whose pod is not in the list.
    fn alone(&mut self, row: &RowView) {
        if row.pod.is_some() {
            self.drift(DriftClass::RowWithoutPod);
            if row.state == RunnerState::Warming {
                self.found.failures.push("its pod was deleted".to_owned());
            }
            return self.gone(row, false, "its pod is gone");
        }
        if is_over(row.registered_at, CREATE_TIMEOUT, self.now) {
            self.drift(DriftClass::RowWithoutPod);
            return self.gone(row, true, "its pod was not created within 60 seconds");
        }
        self.count(row);
        if row.state == RunnerState::Warming && self.decision.memory.bucket.take(1, self.now) == 1 {
            self.decision.actions.push(Action::CreatePod { runner: row.runner.clone() });
        }
    }
}
