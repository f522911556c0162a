//! Prints what a transition costs: a chain and a fan of 5,000 steps through `Run::apply`, and
//! folding the chain's journal. `cargo run --release -p plue-flow --example transitions`.
//!
//! Must not be a test: it reads the clock and asserts nothing about it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use plue_flow::{Effect, Fact, Input, Run, fact::Outcome};
use plue_plan::{Action, Plan, PlanHash, RunId, Step, StepId, action::Bash};

type Failure = Box<dyn std::error::Error>;

fn step(at: usize) -> Result<Step, Failure> {
    let bash: Bash = serde_json::from_value(serde_json::json!({"run": "true"}))?;
    Ok(Step::new(format!("step-{at}"), Action::Bash(bash)))
}

fn chain(length: usize) -> Result<Plan, Failure> {
    let mut steps = Vec::new();
    for at in 0..length {
        let mut step = step(at)?;
        if at > 0 {
            step.depends_on = vec![StepId::new(format!("step-{}", at - 1))];
        }
        steps.push(step);
    }
    Ok(Plan::new("chain", steps))
}

fn fan(width: usize) -> Result<Plan, Failure> {
    let mut steps = vec![step(0)?];
    for at in 1..width {
        let mut leaf = step(at)?;
        leaf.depends_on = vec![StepId::new("step-0")];
        steps.push(leaf);
    }
    let mut plan = Plan::new("fan", steps);
    plan.max_parallel = Some(8);
    Ok(plan)
}

struct Played {
    inputs: u32,
    time: Duration,
    journal: Vec<Fact>,
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

fn play(plan: &Arc<Plan>) -> Result<Played, Failure> {
    let mut run = Run::new(RunId::new("01JD0000000000000000000000"), plan.clone());
    let now = Timestamp::UNIX_EPOCH;
    let hash: PlanHash = serde_json::from_value(format!("sha256:{}", "0".repeat(64)).into())?;
    let first = run.create(hash, Vec::new(), Vec::new());
    run.evolve(now, &first)?;
    let mut journal = vec![first];
    let mut inputs = 0;
    let mut queue = vec![Input::Start];
    let begin = clock();
    while let Some(input) = queue.pop() {
        let transition = run.apply(now, input)?;
        inputs += 1;
        journal.extend(transition.facts);
        for effect in transition.effects {
            if let Effect::Perform { attempt, .. } = effect {
                queue.push(Input::Ended {
                    attempt: attempt.clone(),
                    outcome: Outcome::Success,
                    output: serde_json::Value::Null,
                });
                queue.push(Input::Started { attempt, runner: None, began: None, name: None });
            }
        }
    }
    let time = begin.elapsed();
    assert!(run.is_finished(), "the run did not end");
    Ok(Played { inputs, time, journal })
}

fn main() -> Result<(), Failure> {
    for (name, plan) in [
        ("chain 500", chain(500)?),
        ("chain 5000", chain(5_000)?),
        ("fan 500", fan(500)?),
        ("fan 5000", fan(5_000)?),
    ] {
        let plan = Arc::new(plan);
        let mut best = play(&plan)?;
        for _ in 0..4 {
            let again = play(&plan)?;
            if again.time < best.time {
                best = again;
            }
        }
        let per_input = best.time / best.inputs;
        let facts = u32::try_from(best.journal.len())?;
        let begin = clock();
        let id = RunId::new("01JD0000000000000000000000");
        let dated = best.journal.into_iter().map(|fact| (Timestamp::UNIX_EPOCH, fact));
        Run::fold(id, plan, dated)?;
        let per_fact = begin.elapsed() / facts;
        println!(
            "{name:>10}: {per_input:?} per transition ({} of them), fold {per_fact:?} per fact",
            best.inputs
        );
    }
    Ok(())
}
