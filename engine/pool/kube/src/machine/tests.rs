//! Decisions as a table: a snapshot in, actions out.

use jiff::{SignedDuration, Timestamp};
use plue_plan::RunnerId;
use plue_store::RunnerState;

use super::*;

const START: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

fn spec(min_idle: u32, max: u32) -> PoolSpec {
    let size = Size { min_idle, max, cooldown: SignedDuration::from_secs(30) };
    PoolSpec { template: "t1".to_owned(), size, strategy: Strategy::Recreate, draining: false }
}

fn row(name: &str, state: RunnerState) -> RowView {
    RowView {
        runner: RunnerId::new(name),
        state,
        claimed: state == RunnerState::Claimed,
        pod: Some(PodUid(format!("uid-{name}"))),
        template: "t1".to_owned(),
        registered_at: at(0),
        since: at(0),
        seen_at: at(0),
    }
}

fn pod(name: &str, phase: PodPhase) -> PodView {
    PodView {
        name: format!("plue-{name}"),
        uid: PodUid(format!("uid-{name}")),
        runner: RunnerId::new(name),
        owned: true,
        created_at: at(0),
        phase,
        deleting: false,
        restarted: false,
        obstacle: None,
    }
}

fn decided(spec: &PoolSpec, rows: &[RowView], pods: &[PodView], now: i64) -> Decision {
    let snapshot = Snapshot { rows, pods: Some(pods), demand: Demand::default(), now: at(now) };
    decide(spec, &Memory::default(), snapshot)
}

fn creates(decision: &Decision) -> usize {
    decision.actions.iter().filter(|one| matches!(one, Action::Create { .. })).count()
}

fn gone(name: &str, unclaimed: bool, reason: &str) -> Action {
    let uid = Some(PodUid(format!("uid-{name}")));
    Action::Gone { runner: RunnerId::new(name), uid, unclaimed, reason: reason.to_owned() }
}

fn drain(name: &str, reason: &str) -> Action {
    Action::Drain { runner: RunnerId::new(name), reason: reason.to_owned() }
}

#[test]
fn stock_follows_little_and_poisson() {
    // Arrivals per second, seconds of refill, idle runners.
    let table = [(1, 5, 12), (1, 15, 28), (10, 5, 72), (10, 15, 188), (100, 5, 570), (0, 5, 0)];
    for (rate, refill, idle) in table {
        let demand = Demand {
            arrivals: rate * 60,
            window: SignedDuration::from_secs(60),
            refill: SignedDuration::from_secs(refill),
            ..Demand::default()
        };
        assert_eq!(demand.stock(), idle, "{rate}/s, {refill} s");
    }
}

#[test]
fn target_adds_demand_within_the_maximum() {
    let size = spec(2, 10).size;
    let demand = Demand { waiting: 3, coming: 1, ..Demand::default() };
    assert_eq!(demand.target(&size, 0), 6);
    assert_eq!(demand.target(&size, 7), 3, "busy runners count");
    assert_eq!(demand.target(&size, 12), 0);
    assert_eq!(Demand::default().target(&spec(0, 10).size, 0), 0, "scales to zero");
}

#[test]
fn empty_pools_fill_within_the_rate() {
    let first = decided(&spec(60, 100), &[], &[], 0);
    assert_eq!((first.target, creates(&first)), (60, 25));
    let snapshot = Snapshot { rows: &[], pods: Some(&[]), demand: Demand::default(), now: at(0) };
    let second = decide(&spec(60, 100), &first.memory, snapshot);
    assert_eq!(creates(&second), 0, "no second burst at the same time");
    let snapshot = Snapshot { now: at(1), ..snapshot };
    assert_eq!(creates(&decide(&spec(60, 100), &second.memory, snapshot)), 25);
}

#[test]
fn unanswered_lists_conclude_nothing() {
    let rows = [row("a", RunnerState::Ready)];
    let snapshot = Snapshot { rows: &rows, pods: None, demand: Demand::default(), now: at(900) };
    let decision = decide(&spec(5, 9), &Memory::default(), snapshot);
    assert_eq!(decision.actions, []);
}

#[test]
fn rows_without_their_pod_are_gone() {
    let rows = [row("a", RunnerState::Claimed)];
    let decision = decided(&spec(0, 9), &rows, &[], 1);
    assert_eq!(decision.actions, [gone("a", false, "its pod is gone")]);
    assert_eq!(decision.drift[&DriftClass::RowWithoutPod], 1);
}

#[test]
fn missing_pods_are_created_again_for_a_minute() {
    let mut new = row("a", RunnerState::Warming);
    new.pod = None;
    let create = Action::CreatePod { runner: RunnerId::new("a") };
    assert_eq!(decided(&spec(1, 9), &[new.clone()], &[], 59).actions, [create]);
    let late = decided(&spec(0, 9), &[new], &[], 60);
    let reason = "its pod was not created within 60 seconds".to_owned();
    let runner = RunnerId::new("a");
    assert_eq!(late.actions, [Action::Gone { runner, uid: None, unclaimed: true, reason }]);
}

#[test]
fn ended_pods_end_their_runners() {
    for end in [PodEnd::Evicted, PodEnd::OutOfMemory, PodEnd::Exited] {
        let rows = [row("a", RunnerState::Claimed)];
        let decision = decided(&spec(0, 9), &rows, &[pod("a", PodPhase::Ended(end))], 1);
        assert_eq!(decision.actions, [gone("a", false, end.as_str())]);
    }
}

#[test]
fn restarted_containers_end_their_runner() {
    let mut restarted = pod("a", PodPhase::Running);
    restarted.restarted = true;
    let decision = decided(&spec(0, 9), &[row("a", RunnerState::Ready)], &[restarted], 1);
    assert_eq!(decision.actions, [gone("a", false, "a container of its pod was restarted")]);
}

#[test]
fn failing_pods_back_off_until_degraded() {
    let mut memory = Memory::default();
    let mut created = Vec::new();
    let mut broken = pod("a", PodPhase::Pending);
    broken.obstacle = Some(PodObstacle::Broken("ErrImagePull: no such image".to_owned()));
    let rows = [row("a", RunnerState::Warming)];
    let pods = [broken];
    let spec = spec(4, 9);
    for second in 0..200 {
        // The pod of the last trial fails at once.
        let failing = created.last() == Some(&(second - 1)) || second == 0;
        let (rows, pods) = if failing { (&rows[..], &pods[..]) } else { (&[][..], &[][..]) };
        let snapshot =
            Snapshot { rows, pods: Some(pods), demand: Demand::default(), now: at(second) };
        let decision = decide(&spec, &memory, snapshot);
        if creates(&decision) > 0 {
            assert_eq!(creates(&decision), 1, "one trial at a time");
            created.push(second);
        }
        memory = decision.memory;
    }
    assert_eq!(created, [0, 6, 17, 38, 79, 160]);
    assert_eq!(memory.backoff.degraded().as_deref(), Some("ErrImagePull: no such image"));
}

#[test]
fn ready_runners_end_the_back_off() {
    let mut memory = Memory::default();
    (0..4).for_each(|_| memory.backoff.fail(at(0), "quota".to_owned()));
    assert!(memory.backoff.degraded().is_some());
    let rows = [row("a", RunnerState::Ready)];
    let pods = [pod("a", PodPhase::Running)];
    let snapshot =
        Snapshot { rows: &rows, pods: Some(&pods), demand: Demand::default(), now: at(1) };
    let decision = decide(&spec(4, 9), &memory, snapshot);
    assert_eq!((creates(&decision), decision.degraded), (3, None));
}

#[test]
fn unschedulable_pods_hold_creations() {
    let mut stuck = pod("a", PodPhase::Pending);
    stuck.obstacle = Some(PodObstacle::Unschedulable("0/3 nodes: Insufficient cpu".to_owned()));
    let rows = [row("a", RunnerState::Warming)];
    let decision = decided(&spec(4, 9), &rows, &[stuck.clone()], 600);
    assert_eq!(decision.actions, [], "it keeps its place, and no other is tried");
    assert_eq!(decision.degraded.as_deref(), Some("0/3 nodes: Insufficient cpu"));
    let decision = decided(&spec(4, 9), &rows, &[stuck], 900);
    assert_eq!(decision.actions[0], drain("a", "0/3 nodes: Insufficient cpu"));
}

#[test]
fn surplus_runners_are_drained_after_the_cooldown() {
    let names = ["a", "b", "c"];
    let mut rows: Vec<_> = names.iter().map(|name| row(name, RunnerState::Ready)).collect();
    rows[0].since = at(20);
    rows[2].claimed = true;
    rows.iter_mut().for_each(|row| row.seen_at = at(100));
    let pods: Vec<_> = names.iter().map(|name| pod(name, PodPhase::Running)).collect();
    let snapshot =
        Snapshot { rows: &rows, pods: Some(&pods), demand: Demand::default(), now: at(100) };
    let first = decide(&spec(1, 9), &Memory::default(), snapshot);
    assert_eq!(first.actions, []);
    let snapshot = Snapshot { now: at(130), ..snapshot };
    let later = decide(&spec(1, 9), &first.memory, snapshot);
    assert_eq!(later.actions, [drain("b", "not needed")], "the oldest, never a claimed one");
}

#[test]
fn draining_pools_end_idle_runners_at_once() {
    let spec = PoolSpec { draining: true, ..spec(3, 9) };
    let rows = [row("a", RunnerState::Ready), row("b", RunnerState::Claimed)];
    let pods = [pod("a", PodPhase::Running), pod("b", PodPhase::Running)];
    let decision = decided(&spec, &rows, &pods, 1);
    assert_eq!(decision.actions, [drain("a", "its pool is draining")]);
}

#[test]
fn draining_runners_keep_their_pod_while_claimed() {
    let mut rows = [row("a", RunnerState::Draining), row("b", RunnerState::Draining)];
    rows[1].claimed = true;
    let pods = [pod("a", PodPhase::Running), pod("b", PodPhase::Running)];
    let delete = |name: &str| Action::Delete {
        name: format!("plue-{name}"),
        uid: PodUid(format!("uid-{name}")),
    };
    assert_eq!(decided(&spec(0, 9), &rows, &pods, 1).actions, [delete("a")]);
    assert_eq!(decided(&spec(0, 9), &rows, &pods, 600).actions, [delete("a"), delete("b")]);
}

#[test]
fn strays_are_collected_and_foreign_pods_are_not() {
    let mut foreign = pod("x", PodPhase::Running);
    foreign.owned = false;
    let pods = [pod("a", PodPhase::Running), foreign];
    let collect = |old| Action::Collect {
        runner: RunnerId::new("a"),
        name: "plue-a".to_owned(),
        uid: PodUid("uid-a".to_owned()),
        old,
    };
    let young = decided(&spec(0, 9), &[], &pods, 119);
    assert_eq!(young.actions, [collect(false)]);
    let old = decided(&spec(0, 9), &[], &pods, 120);
    assert_eq!(old.actions, [collect(true)]);
    assert_eq!(old.drift[&DriftClass::ForeignPod], 1);
    assert_eq!(old.drift[&DriftClass::PodWithoutRow], 1);
}

#[test]
fn second_pods_of_a_row_are_deleted() {
    let mut second = pod("a", PodPhase::Running);
    second.uid = PodUid("other".to_owned());
    let pods = [pod("a", PodPhase::Running), second];
    let decision = decided(&spec(1, 9), &[row("a", RunnerState::Claimed)], &pods, 1);
    let (name, uid) = ("plue-a".to_owned(), PodUid("other".to_owned()));
    assert_eq!(decision.actions[0], Action::Delete { name, uid });
    assert_eq!(decision.drift[&DriftClass::UidMismatch], 1);
}

#[test]
fn new_templates_replace_idle_runners_only() {
    let mut rows = [row("a", RunnerState::Ready), row("b", RunnerState::Claimed)];
    rows.iter_mut().for_each(|row| row.template = "t0".to_owned());
    let pods = [pod("a", PodPhase::Running), pod("b", PodPhase::Running)];
    let recreate = decided(&spec(1, 9), &rows, &pods, 1);
    assert_eq!(recreate.actions[0], drain("a", "the template of its pool has changed"));
    assert_eq!((recreate.actions.len(), creates(&recreate)), (2, 1));
    let keep = PoolSpec { strategy: Strategy::OnReplenish, ..spec(1, 9) };
    assert_eq!(decided(&keep, &rows, &pods, 1).actions, []);
}

#[test]
fn dead_sessions_take_idle_runners_out() {
    let rows = [row("a", RunnerState::Ready), row("b", RunnerState::Claimed)];
    let pods = [pod("a", PodPhase::Running), pod("b", PodPhase::Running)];
    let decision = decided(&spec(0, 9), &rows, &pods, 90);
    assert_eq!(decision.actions, [drain("a", "its session is dead")]);
    assert_eq!(decision.drift[&DriftClass::DeadSession], 2);
}

#[test]
fn pods_are_bound_before_anything_else() {
    let mut new = row("a", RunnerState::Warming);
    new.pod = None;
    let broken = PodView {
        obstacle: Some(PodObstacle::Broken("CrashLoopBackOff".to_owned())),
        ..pod("a", PodPhase::Pending)
    };
    let (runner, uid) = (RunnerId::new("a"), PodUid("uid-a".to_owned()));
    let decision = decided(&spec(1, 9), &[new], &[broken], 400);
    assert_eq!(decision.actions, [Action::Bind { runner, uid }]);
}

#[test]
fn reuse_stays_inside_one_scope() {
    let scope = |repository: &str, trusted| Scope { repository: repository.to_owned(), trusted };
    let bounds = Reuse { uses: 3, age: SignedDuration::from_mins(60) };
    let used = RunnerUse {
        scope: Some(scope("a", true)),
        uses: 1,
        registered_at: at(0),
        template: "t1".to_owned(),
    };
    let check = |pool: Option<&Reuse>, used: &RunnerUse, scope: &Scope, now| {
        Reuse::check(pool, used, scope, "t1", at(now))
    };
    let own = scope("a", true);
    let fresh = RunnerUse { scope: None, uses: 0, ..used.clone() };
    assert_eq!(check(None, &fresh, &own, 9_999), Ok(()));
    assert_eq!(check(Some(&bounds), &used, &own, 1), Ok(()));
    assert_eq!(check(None, &used, &own, 1), Err(NotReusable::Off));
    assert_eq!(check(Some(&bounds), &used, &scope("b", true), 1), Err(NotReusable::OtherScope));
    assert_eq!(check(Some(&bounds), &used, &scope("a", false), 1), Err(NotReusable::Untrusted));
    assert_eq!(check(Some(&bounds), &used, &own, 3_600), Err(NotReusable::TooOld));
    let often = RunnerUse { uses: 3, ..used.clone() };
    assert_eq!(check(Some(&bounds), &often, &own, 1), Err(NotReusable::UsedUp));
    let old = RunnerUse { template: "t0".to_owned(), ..used };
    assert_eq!(check(Some(&bounds), &old, &own, 1), Err(NotReusable::OldTemplate));
}
