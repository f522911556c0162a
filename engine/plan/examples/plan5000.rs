//! Measures validating, canonicalizing and reading a plan of 5,000 steps and 20,000 edges: `cargo
//! run --release -p plue-plan --example plan5000`.
//!
//! Must not assert a time: machines differ. `performance.md` has the goal (`plan5000`).

use std::{hint::black_box, time::Duration};

use plue_plan::{
    Plan, Step, StepId,
    action::{Action, Bash},
    canonical::HashedPlan,
    policy::Goto,
    validate::{SourceMap, validate},
};

const ROUNDS: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for size in [1_250, 2_500, 5_000] {
        let plan = plan(size);
        let problems = validate(&plan, &SourceMap::default());
        if let Some(problem) = problems.first() {
            return Err(problem.to_string().into());
        }
        let edges: usize = plan.steps.iter().map(|step| step.depends_on.len()).sum();
        let (mut check, mut hash, mut read) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let copy = plan.clone();
            check.push(timed(|| black_box(validate(&plan, &SourceMap::default()))).0);
            let (time, hashed) = timed(|| HashedPlan::new(copy));
            hash.push(time);
            let hashed = hashed.map_err(|problem| problem.to_string())?;
            read.push(timed(|| black_box(Plan::from_json(&hashed.bytes))).0);
        }
        let (check, hash, read) = (median(check), median(hash), median(read));
        let both = check + hash;
        println!(
            "{size} steps, {edges} edges: validate {check:.2} ms + hash {hash:.2} ms = {both:.2} ms; read {read:.2} ms"
        );
    }
    Ok(())
}

/// Each step depends on four earlier ones, and every tenth has a way back.
fn plan(size: usize) -> Plan {
    let id = |n: usize| StepId::new(format!("step-{n}"));
    let steps = (0..size).map(|n| {
        let action =
            Action::Bash(Bash { run: format!("make target-{n}"), shell: "bash".to_owned() });
        let mut step = Step::new(id(n).as_str(), action);
        let earlier = [1, 7, 31, 97].into_iter().filter_map(|back| n.checked_sub(back));
        step.depends_on = earlier.map(id).collect();
        // Every tenth step goes back, so that all ancestors are looked for too.
        if n >= 97 && n % 10 == 0 {
            step.options.on_success = Some(Goto { goto: id(n - 97), max_visits: Some(3) });
        }
        step
    });
    Plan::new("five thousand", steps.collect())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measuring tool outside the product needs the real clock"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = std::time::Instant::now();
    let result = work();
    (start.elapsed(), result)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    let middle = times.get(times.len() / 2);
    middle.map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
}
