//! State of the model: rows, pods, two managers, and the events between them.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use plue_plan::RunnerId;
use plue_pool_kube::machine::{
    Action, Demand, Memory, PodEnd, PodPhase, PodUid, PodView, PoolSpec, RowView, Size, Snapshot,
    Strategy, decide,
};
use plue_store::RunnerState;

use crate::{explore::Model, guards::Guard};

/// Rows that may exist at a time.
const SLOTS: u8 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) state: RunnerState,
    pub(crate) claimed: bool,
    pub(crate) pod: Option<u8>,
    /// Older than every limit.
    pub(crate) old: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Running,
    Ended,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pod {
    /// Names are made from it.
    pub(crate) slot: u8,
    pub(crate) uid: u8,
    pub(crate) phase: Phase,
    pub(crate) owned: bool,
    pub(crate) old: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Manager {
    /// 0: it does not lead.
    pub(crate) fence: u8,
    pub(crate) rows: Option<Vec<Option<Row>>>,
    pub(crate) pods: Option<Vec<Pod>>,
    pub(crate) todo: VecDeque<Step>,
}

/// One request of a manager.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Act(Action),
    /// Create the pod of a slot.
    Post(u8),
}

/// Events that may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Budget {
    pub(crate) claims: u8,
    pub(crate) pod_ends: u8,
    pub(crate) takeovers: u8,
    pub(crate) crashes: u8,
    pub(crate) lost_replies: u8,
    pub(crate) foreign_pods: u8,
    pub(crate) lost_rows: u8,
    pub(crate) resizes: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) rows: Vec<Option<Row>>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) managers: [Manager; 2],
    pub(crate) holder: usize,
    pub(crate) fence: u8,
    pub(crate) target: u8,
    pub(crate) budget: Budget,
    pub(crate) fault: Option<&'static str>,
}

pub(crate) struct Pool {
    pub(crate) without: Vec<Guard>,
    pub(crate) budget: Budget,
}

pub(crate) const MAX: u32 = 2;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn aged(old: bool) -> Timestamp {
    if old { now() - SignedDuration::from_hours(1) } else { now() }
}

pub(crate) fn runner(slot: usize) -> RunnerId {
    RunnerId::new(slot.to_string())
}

pub(crate) fn slot_of(runner: &RunnerId) -> usize {
    runner.as_str().parse().unwrap()
}

fn uid(number: u8) -> PodUid {
    PodUid(number.to_string())
}

pub(crate) fn number(uid: &PodUid) -> u8 {
    uid.0.parse().unwrap()
}

// === impl State ===

impl State {
    pub(crate) fn live(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().flatten().filter(|row| row.state != RunnerState::Gone)
    }

    pub(crate) fn idle(&self) -> usize {
        let idle = |row: &&Row| {
            !row.claimed && matches!(row.state, RunnerState::Warming | RunnerState::Ready)
        };
        self.live().filter(idle).count()
    }

    pub(crate) fn pod_of(&self, slot: usize) -> Option<&Pod> {
        self.pods.iter().find(|pod| usize::from(pod.slot) == slot)
    }

    pub(crate) fn break_property(&mut self, property: &'static str) {
        self.fault.get_or_insert(property);
    }

    /// A number that nothing refers to.
    pub(crate) fn fresh_uid(&self) -> u8 {
        let pods = self.managers.iter().flat_map(|one| one.pods.iter().flatten());
        let taken: Vec<_> = self.pods.iter().chain(pods).map(|pod| pod.uid).collect();
        (1..100).find(|n| !taken.contains(n) && !self.mentions(*n)).unwrap()
    }

    fn mentions(&self, n: u8) -> bool {
        let rows = self.rows.iter().flatten();
        let seen = self.managers.iter().flat_map(|one| one.rows.iter().flatten().flatten());
        rows.chain(seen).any(|row| row.pod == Some(n))
            || self.managers.iter().any(|one| {
                one.todo.iter().any(|step| match step {
                    Step::Act(action) => {
                        format!("{action:?}").contains(&format!("PodUid(\"{n}\")"))
                    }
                    Step::Post(_) => false,
                })
            })
    }

    /// A slot that neither a row nor a pod nor a manager refers to.
    pub(crate) fn free_slot(&self) -> Option<usize> {
        (0..usize::from(SLOTS)).find(|slot| {
            let row = |rows: &Vec<Option<Row>>| rows[*slot].is_some();
            let managers = self.managers.iter().any(|one| {
                one.rows.as_ref().is_some_and(row)
                    || one.pods.iter().flatten().any(|pod| usize::from(pod.slot) == *slot)
                    || !one.todo.is_empty() && one.todo.iter().any(|step| refers(step, *slot))
            });
            !row(&self.rows) && self.pod_of(*slot).is_none() && !managers
        })
    }

    /// Removes rows that are gone and that nothing refers to, so that the model is finite.
    fn forget(mut self) -> Self {
        for slot in 0..self.rows.len() {
            let gone = self.rows[slot].as_ref().is_some_and(|row| row.state == RunnerState::Gone);
            let busy = self.pod_of(slot).is_some()
                || self.managers.iter().any(|one| {
                    one.rows.is_some() || one.todo.iter().any(|step| refers(step, slot))
                });
            if gone && !busy {
                self.rows[slot] = None;
            }
        }
        self
    }

    fn spec(&self) -> PoolSpec {
        let size = Size { min_idle: self.target.into(), max: MAX, cooldown: SignedDuration::ZERO };
        let strategy = Strategy::Recreate;
        PoolSpec { template: String::new(), size, strategy, draining: false }
    }
}

fn refers(step: &Step, slot: usize) -> bool {
    match step {
        Step::Post(at) => usize::from(*at) == slot,
        Step::Act(
            Action::CreatePod { runner }
            | Action::Bind { runner, .. }
            | Action::Drain { runner, .. }
            | Action::Gone { runner, .. }
            | Action::Collect { runner, .. },
        ) => slot_of(runner) == slot,
        Step::Act(Action::Delete { name, .. }) => *name == slot.to_string(),
        Step::Act(Action::Create { .. }) => false,
    }
}

// === impl Pool ===

impl Pool {
    pub(crate) fn lacks(&self, guard: Guard) -> bool {
        self.without.contains(&guard)
    }

    /// The decision of a manager on what it has read.
    pub(crate) fn decide(&self, state: &State, manager: &Manager) -> VecDeque<Step> {
        let rows: Vec<RowView> = manager
            .rows
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(slot, row)| view(slot, row.as_ref()))
            .collect();
        let pods: Vec<PodView> =
            manager.pods.iter().flatten().map(|pod| self.pod_view(pod)).collect();
        let demand = Demand::default();
        let snapshot = Snapshot { rows: &rows, pods: Some(&pods), demand, now: now() };
        let decision = decide(&state.spec(), &Memory::default(), snapshot);
        let actions = decision.actions.into_iter();
        actions.filter_map(|action| self.mutated(action, &pods)).map(Step::Act).collect()
    }

    /// The action as a machine without a guard would have it.
    fn mutated(&self, action: Action, pods: &[PodView]) -> Option<Action> {
        match &action {
            Action::Drain { runner, .. } if self.lacks(Guard::DrainBeforeDelete) => {
                let pod = pods.iter().find(|pod| pod.runner == *runner)?;
                Some(Action::Delete { name: pod.name.clone(), uid: pod.uid.clone() })
            }
            Action::Collect { .. } if self.lacks(Guard::OrphansCollected) => None,
            Action::Gone { reason, .. }
                if self.lacks(Guard::EndedPodsNoticed) && reason == PodEnd::Exited.as_str() =>
            {
                None
            }
            _ => Some(action),
        }
    }

    fn pod_view(&self, pod: &Pod) -> PodView {
        PodView {
            name: pod.slot.to_string(),
            uid: uid(pod.uid),
            runner: runner(pod.slot.into()),
            owned: pod.owned || self.lacks(Guard::OwnerChecked),
            created_at: aged(pod.old),
            phase: match pod.phase {
                Phase::Running => PodPhase::Running,
                Phase::Ended => PodPhase::Ended(PodEnd::Exited),
            },
            deleting: false,
            restarted: false,
            obstacle: None,
        }
    }
}

fn view(slot: usize, row: Option<&Row>) -> Option<RowView> {
    let row = row.filter(|row| row.state != RunnerState::Gone)?;
    Some(RowView {
        runner: runner(slot),
        state: row.state,
        claimed: row.claimed,
        pod: row.pod.map(uid),
        template: String::new(),
        registered_at: aged(row.old),
        since: now(),
        seen_at: now(),
    })
}

impl Model for Pool {
    type State = State;

    fn start(&self) -> State {
        State {
            rows: vec![None; usize::from(SLOTS)],
            pods: Vec::new(),
            managers: [Manager { fence: 1, ..Manager::default() }, Manager::default()],
            holder: 0,
            fence: 1,
            target: 1,
            budget: self.budget,
            fault: None,
        }
    }

    fn next(&self, state: &State) -> Vec<(String, State)> {
        let mut next = Vec::new();
        for at in 0..2 {
            self.manage(state, at, &mut next);
        }
        self.happen(state, &mut next);
        next.into_iter().map(|(label, state)| (label, state.forget())).collect()
    }

    fn fault(&self, state: &State) -> Option<String> {
        if state.live().count() > MAX as usize {
            return Some("more runners than the maximum".to_owned());
        }
        state.fault.map(str::to_owned)
    }

    fn is_settled(&self, state: &State) -> bool {
        let busy = state.managers.iter().any(|one| !one.todo.is_empty());
        let mut with_pods = 0;
        let paired = state.pods.iter().filter(|pod| pod.owned).all(|pod| {
            with_pods += 1;
            let row = state.rows[usize::from(pod.slot)].as_ref();
            let live = row.is_some_and(|row| row.state != RunnerState::Gone);
            live && pod.phase != Phase::Ended && row.is_some_and(|row| row.pod == Some(pod.uid))
        });
        !busy
            && paired
            && with_pods == state.live().count()
            && state.idle() == usize::from(state.target)
    }
}
