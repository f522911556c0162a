//! Rows of the mission that are about what happens between steps.

use std::time::Duration;

use plue_flow::RunStatus;
use plue_plan::Plan;
use plue_testkit::{
    faults::points::{Fault, FaultPoint, Points},
    postgres::Database as Server,
};
use serde_json::{Value as Json, json};

use super::world::{Database, World, template};

/// Agents of the plan.
const AGENTS: usize = 12;
/// Those that work at the same time, between the first and the last.
const PARALLEL: usize = 6;
/// Duration of each agent's work.
const WORK: Duration = Duration::from_millis(50);
/// The most that a transition may add.
const MAX_OVERHEAD: Duration = Duration::from_millis(100);
/// Runs with a fault.
const FAULTY_RUNS: usize = 200;

/// The parents of an agent: one first, six in parallel, then a chain.
fn parents(agent: usize) -> Vec<usize> {
    match agent {
        0 => Vec::new(),
        one if one <= PARALLEL => vec![0],
        one if one == PARALLEL + 1 => (1..=PARALLEL).collect(),
        later => vec![later - 1],
    }
}

/// Each agent prints what the ones before it handed over, and hands its own number on.
fn plan() -> Plan {
    let steps: Vec<Json> = (0..AGENTS)
        .map(|agent| {
            let of = |parent: &usize| format!("string(steps.a{parent}.output.n)");
            let got = parents(agent).iter().map(of).collect::<Vec<_>>().join(" + ");
            let env = if got.is_empty() { json!({}) } else { json!({"GOT": {"$expr": got}}) };
            let needs = parents(agent).iter().map(|one| format!("a{one}")).collect::<Vec<_>>();
            json!({
                "id": format!("a{agent}"), "kind": "bash", "depends_on": needs, "env": env,
                "run": format!("env GOT; wait 50; out {{\"n\": {agent}}}"),
            })
        })
        .collect();
    serde_json::from_value(json!({"version": 1, "name": "agents", "steps": steps})).unwrap()
}

fn handed_over(agent: usize) -> String {
    let got: String = parents(agent).iter().map(ToString::to_string).collect();
    if got.is_empty() { "nothing\n".to_owned() } else { format!("{got}\n") }
}

/// One run, and how long it took by the simulated clock.
fn run(database: &Database, points: Points) -> (RunStatus, Duration, Vec<FaultPoint>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(database, points);
        let run = world.submit(plan()).await;
        let start = world.clock.mark();
        let status = world.drive(&run, None).await;
        let took = world.clock.elapsed(start);
        let left = world.left(&run).await.unwrap();
        for agent in 0..AGENTS {
            let log = &left.logs[&format!("RUN:a{agent}:1:1")]["Stdout"];
            assert_eq!(*log, handed_over(agent).into_bytes(), "agent {agent}");
        }
        (status, took, world.points.seen())
    })
}

/// The simulated clock moves only while everybody waits for a timer: what is left of the time of a run
/// when its steps' own is taken off is what transitions have waited for timers.
fn no_transition_waits(database: &Database) {
    let (status, took, places) = run(database, Points::new(None));
    assert_eq!(status, RunStatus::Success);
    // The first, the parallel ones, then the rest one after the other.
    let depth = u32::try_from(2 + AGENTS - PARALLEL - 1).unwrap();
    let overhead = took.saturating_sub(WORK * depth);
    println!("{took:?}, of which {overhead:?} between steps");
    assert!(overhead < MAX_OVERHEAD * depth, "{overhead:?} in {depth} transitions");
    let commits = places.iter().filter(|place| **place == FaultPoint::After("Apply")).count();
    println!("{commits} commits for {AGENTS} steps");
    assert!(commits <= 3 * AGENTS, "{commits} commits");
}

#[test]
fn row_2_26_twelve_agents_hand_over_without_timers() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    no_transition_waits(&runtime.block_on(template(directory.path())));
}

#[test]
fn row_2_26_twelve_agents_hand_over_without_timers_on_postgres() {
    let server = Server::create();
    no_transition_waits(&Database::Server(server.url()));
}

#[test]
fn row_2_26_two_hundred_runs_with_faults_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(template(directory.path()));
    let (_, _, places) = run(&database, Points::new(None));
    let faults = [Fault::Fails, Fault::Duplicated, Fault::Delayed, Fault::EngineDies];
    let pairs = places.iter().enumerate().flat_map(|(at, place)| {
        faults.iter().filter(|fault| fault.fits(place)).map(move |fault| (at, place, *fault))
    });
    let all: Vec<_> = pairs.collect();
    let step = (all.len() / FAULTY_RUNS).max(1);
    let chosen: Vec<_> = all.iter().step_by(step).collect();
    assert!(chosen.len() >= FAULTY_RUNS, "only {}", chosen.len());
    for (at, place, fault) in chosen {
        let before = places.iter().take(*at).filter(|earlier| *earlier == *place).count();
        let points = Points::new(Some(((*place).clone(), before, *fault)));
        let (status, ..) = run(&database, points);
        assert_eq!(status, RunStatus::Success, "{fault:?} at {place}");
    }
}
