//! Transitions of the model: steps of managers, and events of the world.

use plue_pool_kube::machine::Action;
use plue_store::RunnerState;

use crate::{
    guards::Guard,
    world::{Budget, Manager, Phase, Pod, Pool, Row, State, Step, number, slot_of},
};

type Next = Vec<(String, State)>;

/// Bounds of an insertion.
struct Bounds {
    target: u32,
    max: u32,
}

/// A row as its manager has seen it.
struct Seen {
    pod: Option<u8>,
    unclaimed: bool,
}

// === impl Pool: managers ===

impl Pool {
    pub(crate) fn manage(&self, state: &State, at: usize, next: &mut Next) {
        let manager = &state.managers[at];
        if manager.fence == 0 {
            return self.lead(state, at, next);
        }
        if state.budget.crashes > 0
            && *manager != (Manager { fence: manager.fence, ..Manager::default() })
        {
            let mut crashed = state.clone();
            crashed.budget.crashes -= 1;
            crashed.managers[at] = Manager { fence: manager.fence, ..Manager::default() };
            next.push((format!("manager {at} loses its work"), crashed));
        }
        if let Some(step) = manager.todo.front() {
            let mut after = state.clone();
            after.managers[at].todo.pop_front();
            return self.step(after, at, step, next);
        }
        self.read(state, at, next);
    }

    fn lead(&self, state: &State, at: usize, next: &mut Next) {
        let other = 1 - at;
        if state.holder == at || state.managers[other].fence == 0 || state.budget.takeovers == 0 {
            return;
        }
        let mut led = state.clone();
        led.budget.takeovers -= 1;
        (led.holder, led.fence) = (at, state.fence + 1);
        led.managers[at].fence = led.fence;
        next.push((format!("manager {at} takes the lease"), led));
    }

    /// Reads rows, then pods, then decides.
    fn read(&self, state: &State, at: usize, next: &mut Next) {
        let mut read = state.clone();
        let rows_first = !self.lacks(Guard::RowsReadFirst);
        let manager = &mut read.managers[at];
        if manager.rows.is_none() && manager.pods.is_none() {
            if state.holder != at {
                manager.fence = 0;
                next.push((format!("manager {at} finds the lease taken"), read));
                return;
            }
            let first = if rows_first { "rows" } else { "pods" };
            match rows_first {
                true => manager.rows = Some(state.rows.clone()),
                false => manager.pods = Some(state.pods.clone()),
            }
            next.push((format!("manager {at} reads {first}"), read));
            return;
        }
        manager.rows.get_or_insert_with(|| state.rows.clone());
        manager.pods.get_or_insert_with(|| state.pods.clone());
        let decided = self.decide(state, &read.managers[at]);
        let manager = &mut read.managers[at];
        (manager.rows, manager.pods) = (None, None);
        manager.todo = decided;
        next.push((format!("manager {at} decides"), read));
    }

    fn step(&self, mut after: State, at: usize, step: &Step, next: &mut Next) {
        let label = format!("manager {at}: {step:?}");
        match step {
            Step::Post(slot) => return self.post(after, at, *slot, next),
            Step::Act(Action::Create { target, max }) => {
                self.create(&mut after, at, &Bounds { target: *target, max: *max })
            }
            Step::Act(Action::CreatePod { runner }) => {
                let slot = u8::try_from(slot_of(runner)).unwrap();
                after.managers[at].todo.push_front(Step::Post(slot));
            }
            Step::Act(Action::Bind { runner, uid }) => {
                bind(&mut after, slot_of(runner), number(uid));
            }
            Step::Act(Action::Drain { runner, .. }) => {
                self.drain(&mut after, slot_of(runner));
            }
            Step::Act(Action::Gone { runner, uid, unclaimed, .. }) => {
                let seen = Seen { pod: uid.as_ref().map(number), unclaimed: *unclaimed };
                self.gone(&mut after, slot_of(runner), &seen);
            }
            Step::Act(Action::Delete { name, uid }) => {
                self.delete(&mut after, name.parse().unwrap(), number(uid));
            }
            Step::Act(Action::Collect { runner, uid, old, .. }) => {
                let slot = slot_of(runner);
                let is_orphan = match &after.rows[slot] {
                    Some(row) => row.state == RunnerState::Gone,
                    None => *old,
                };
                if is_orphan || self.lacks(Guard::OrphansReadAgain) {
                    self.delete(&mut after, slot, number(uid));
                }
            }
        }
        next.push((label, after));
    }

    fn drain(&self, after: &mut State, slot: usize) {
        let Some(row) = after.rows[slot].as_mut() else { return };
        let claimed = row.claimed;
        let idle = !claimed && matches!(row.state, RunnerState::Warming | RunnerState::Ready);
        let unchecked = self.lacks(Guard::DrainComparesClaim) && row.state != RunnerState::Gone;
        if idle || unchecked {
            row.state = RunnerState::Draining;
            if claimed {
                after.break_property("a claimed runner is drained");
            }
        }
    }

    fn create(&self, after: &mut State, at: usize, bounds: &Bounds) {
        let current = after.managers[at].fence == after.fence;
        if !current && !self.lacks(Guard::InsertFenced) {
            return;
        }
        let room =
            after.live().count() < bounds.max as usize && after.idle() < bounds.target as usize;
        if !room && !self.lacks(Guard::InsertCounts) {
            return;
        }
        let Some(slot) = after.free_slot() else { return };
        if !current {
            after.break_property("a superseded manager creates a runner");
        }
        let row = Row { state: RunnerState::Warming, claimed: false, pod: None, old: false };
        after.rows[slot] = Some(row);
        after.managers[at].todo.push_front(Step::Post(u8::try_from(slot).unwrap()));
    }

    /// The API server creates the pod, or has one of that name, or its answer is lost.
    fn post(&self, after: State, at: usize, slot: u8, next: &mut Next) {
        let label = format!("manager {at} posts the pod of {slot}");
        if let Some(pod) = after.pod_of(slot.into()).cloned() {
            let mut adopted = after;
            if pod.owned {
                bind(&mut adopted, slot.into(), pod.uid);
            }
            next.push((label + ", which exists", adopted));
            return;
        }
        let uid = after.fresh_uid();
        let mut made = after.clone();
        made.pods.push(Pod { slot, uid, phase: Phase::Running, owned: true, old: false });
        if made.budget.lost_replies > 0 {
            let mut lost = made.clone();
            lost.budget.lost_replies -= 1;
            next.push((format!("{label}, the answer is lost"), lost));
            let mut refused = after;
            refused.budget.lost_replies -= 1;
            next.push((format!("{label}, refused"), refused));
        }
        bind(&mut made, slot.into(), uid);
        next.push((label, made));
    }

    fn gone(&self, after: &mut State, slot: usize, seen: &Seen) {
        let lives = after.pod_of(slot).is_some_and(|pod| pod.owned && pod.phase != Phase::Ended);
        let Some(row) = after.rows[slot].as_mut() else { return };
        let same = row.pod == seen.pod && !(seen.unclaimed && row.claimed);
        if row.state == RunnerState::Gone || !same && !self.lacks(Guard::GoneComparesPod) {
            return;
        }
        row.state = RunnerState::Gone;
        if row.claimed && lives {
            after.break_property("a claimed runner is given up though its pod lives");
        }
    }

    fn delete(&self, after: &mut State, slot: usize, uid: u8) {
        let precondition = !self.lacks(Guard::DeleteByUid);
        let place = after
            .pods
            .iter()
            .position(|pod| usize::from(pod.slot) == slot && (pod.uid == uid || !precondition));
        let Some(place) = place else { return };
        let pod = after.pods.remove(place);
        let row = after.rows[slot].as_ref();
        let serves = row.is_some_and(|row| row.claimed && row.state == RunnerState::Claimed);
        if !pod.owned {
            after.break_property("a foreign pod is deleted");
        } else if serves && pod.phase == Phase::Running {
            after.break_property("the pod of a claimed runner is deleted");
        }
    }
}

fn bind(after: &mut State, slot: usize, uid: u8) {
    if let Some(row) = after.rows[slot].as_mut().filter(|row| row.state != RunnerState::Gone) {
        row.pod.get_or_insert(uid);
    }
}

// === impl Pool: events ===

impl Pool {
    pub(crate) fn happen(&self, state: &State, next: &mut Next) {
        self.pods(state, next);
        self.runs(state, next);
        let mut aged = state.clone();
        aged.rows.iter_mut().flatten().for_each(|row| row.old = true);
        aged.pods.iter_mut().for_each(|pod| pod.old = true);
        if aged != *state {
            next.push(("time passes".to_owned(), aged));
        }
        if state.budget.lost_rows > 0 {
            for slot in (0..state.rows.len()).filter(|slot| state.rows[*slot].is_some()) {
                let mut lost = spend(state, |budget| &mut budget.lost_rows);
                lost.rows[slot] = None;
                next.push((format!("row {slot} is lost with the database"), lost));
            }
        }
        if state.budget.resizes > 0 {
            let mut resized = spend(state, |budget| &mut budget.resizes);
            resized.target = 1 - state.target;
            next.push((format!("the target is {}", resized.target), resized));
        }
    }

    fn pods(&self, state: &State, next: &mut Next) {
        for (place, pod) in state.pods.iter().enumerate().filter(|(_, pod)| pod.owned) {
            let slot = usize::from(pod.slot);
            let hello = state.rows[slot].as_ref().is_some_and(|row| {
                row.state == RunnerState::Warming && row.pod.is_none_or(|uid| uid == pod.uid)
            });
            if pod.phase == Phase::Running && hello {
                let mut ready = state.clone();
                bind(&mut ready, slot, pod.uid);
                ready.rows[slot].as_mut().unwrap().state = RunnerState::Ready;
                next.push((format!("runner {slot} is ready"), ready));
            }
            if pod.phase != Phase::Ended && state.budget.pod_ends > 0 {
                let mut ended = spend(state, |budget| &mut budget.pod_ends);
                ended.pods[place].phase = Phase::Ended;
                next.push((format!("pod {slot} ends"), ended));
                let mut deleted = spend(state, |budget| &mut budget.pod_ends);
                deleted.pods.remove(place);
                next.push((format!("pod {slot} is deleted by a user"), deleted));
            }
            if state.budget.foreign_pods > 0 {
                let mut swapped = spend(state, |budget| &mut budget.foreign_pods);
                let uid = state.fresh_uid();
                let foreign = Pod { uid, owned: false, phase: Phase::Running, ..pod.clone() };
                swapped.pods[place] = foreign;
                next.push((format!("a foreign pod replaces pod {slot}"), swapped));
            }
        }
        for (place, pod) in state.pods.iter().enumerate().filter(|(_, pod)| !pod.owned) {
            let mut removed = state.clone();
            removed.pods.remove(place);
            next.push((format!("the owner of the foreign pod {} removes it", pod.slot), removed));
        }
    }

    fn runs(&self, state: &State, next: &mut Next) {
        for slot in 0..state.rows.len() {
            let Some(row) = &state.rows[slot] else { continue };
            if row.state == RunnerState::Ready && !row.claimed && state.budget.claims > 0 {
                let mut claimed = spend(state, |budget| &mut budget.claims);
                let row = claimed.rows[slot].as_mut().unwrap();
                (row.state, row.claimed) = (RunnerState::Claimed, true);
                next.push((format!("a run takes runner {slot}"), claimed));
            }
            let place =
                state.pods.iter().position(|pod| usize::from(pod.slot) == slot && pod.owned);
            if let (true, Some(place)) = (row.claimed, place)
                && state.pods[place].phase == Phase::Running
            {
                let mut over = state.clone();
                over.pods[place].phase = Phase::Ended;
                next.push((format!("the run of {slot} is over"), over));
            }
        }
    }
}

fn spend(state: &State, of: impl Fn(&mut Budget) -> &mut u8) -> State {
    let mut spent = state.clone();
    *of(&mut spent.budget) -= 1;
    spent
}
