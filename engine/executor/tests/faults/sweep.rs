//! The sweep: one undisturbed run yields the places and the end; then one run per place and fault.

use std::collections::BTreeMap;

use plue_testkit::faults::points::{Fault, FaultPoint, Points};

use super::{
    scenarios::{self, Scenario},
    world::{Database, Left, World, template},
};

/// Runs a scenario in a world and a runtime of its own.
pub(crate) fn run(
    scenario: &Scenario,
    database: &Database,
    fault: Option<(FaultPoint, usize, Fault)>,
) -> Result<(Left, Vec<FaultPoint>, bool), String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    let done = runtime.block_on(async {
        let dies = fault.as_ref().is_some_and(|(_, _, fault)| *fault == Fault::RunnerDies);
        let world = World::new(database, Points::new(fault));
        let plan = if dies { scenario.kept() } else { scenario.plan() };
        let run = world.submit(plan).await;
        let status = world.drive(&run, scenario.cancel_after_ms).await;
        if status != scenario.ends {
            return Err(format!("ended {status}"));
        }
        let left = world.left(&run).await?;
        Ok((left, world.points.seen(), world.points.was_hit()))
    });
    drop(runtime);
    done
}

/// With a runner that died there are more attempts; the last of each step must be as it was.
fn last_attempts(left: &Left) -> BTreeMap<String, (bool, String)> {
    let mut last = BTreeMap::new();
    for (id, outcome) in &left.attempts {
        let step = id.rsplitn(2, ':').last().unwrap().to_owned();
        let log = left.logs.get(id).map(|log| format!("{:?}", log.get("Stdout")));
        last.insert(step, (outcome.is_some(), log.unwrap_or_default()));
    }
    last
}

fn differs(fault: Fault, expected: &Left, found: &Left) -> bool {
    match fault {
        Fault::Fails | Fault::Duplicated | Fault::Delayed | Fault::EngineDies => expected != found,
        Fault::RunnerDies => {
            expected.status != found.status || last_attempts(expected) != last_attempts(found)
        }
    }
}

/// Every place of a scenario, every fault that fits it.
fn sweep(scenario: &Scenario, database: &Database) {
    let clock = plue_runtime::Clock::real();
    let start = clock.mark();
    let (expected, places, _) = run(scenario, database, None).expect(scenario.name);
    let (mut runs, mut hits) = (0, 0);
    let mut wrong = Vec::new();
    for (at, place) in places.iter().enumerate() {
        for fault in Fault::ALL.iter().copied().filter(|fault| fault.fits(place)) {
            let case = format!("{}: {fault:?} at {at}, {place}", scenario.name);
            let before = places.iter().take(at).filter(|earlier| *earlier == place).count();
            let disturbance = Some((place.clone(), before, fault));
            runs += 1;
            match std::panic::catch_unwind(|| run(scenario, database, disturbance)) {
                Ok(Ok((left, _, hit))) => {
                    hits += u32::from(hit);
                    if differs(fault, &expected, &left) {
                        wrong.push(format!("{case}: {left:#?}"));
                    }
                }
                Ok(Err(text)) => wrong.push(format!("{case}: {text}")),
                Err(_) => wrong.push(format!("{case}: panicked")),
            }
        }
    }
    let took = clock.elapsed(start);
    println!("{}: {} places, {runs} runs, {hits} faults, {took:?}", scenario.name, places.len());
    let count = wrong.len();
    wrong.truncate(12);
    assert!(wrong.is_empty(), "{count} of {runs}; expected {expected:#?}\n{}", wrong.join("\n"));
    // The same place may not come again when chance orders things otherwise; nearly all do.
    assert!(hits * 10 >= runs * 9, "only {hits} of {runs} faults happened");
}

fn on_sqlite(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(template(directory.path()));
    let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == name).unwrap();
    sweep(&scenario, &database);
}

macro_rules! sweeps {
    ($($test:ident = $name:literal),+ $(,)?) => {
        $(#[test] fn $test() { on_sqlite($name); })+
    };
}

sweeps! {
    row_1_14_a_chain_ends_the_same_whatever_fails = "chain",
    row_1_14_a_diamond_ends_the_same_whatever_fails = "diamond",
    row_1_14_retries_end_the_same_whatever_fails = "retry",
    row_1_14_a_loop_ends_the_same_whatever_fails = "loop",
    row_1_14_a_timeout_ends_the_same_whatever_fails = "timeout",
    row_1_14_a_cancel_ends_the_same_whatever_fails = "cancel",
    row_1_14_hooks_end_the_same_whatever_fails = "hooks",
    row_1_14_python_steps_end_the_same_whatever_fails = "python",
    row_1_14_conditions_end_the_same_whatever_fails = "conditions",
    row_1_14_a_runs_timeout_ends_the_same_whatever_fails = "run timeout",
}
