//! Measures a real evaluator through the planner: cold start, warm evaluations, cache hits.
//!
//! `cargo run -p plue-planner --example measure -- PATH/TO/plue-evaluator FOLDER FILE`. For people;
//! nothing is asserted.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use plue_planner::{
    CommitView, Evaluated, Options, PlanError, PlanRequest, Planner, Rate, Trust, WorkTree,
};
use plue_runtime::{Clock, Tasks};
use serde_json::{Map, json};

struct Measure {
    planner: Planner,
    view: Arc<dyn CommitView>,
    file: String,
    clock: Clock,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [evaluator, folder, file] = args.as_slice() else {
        eprintln!("usage: measure EVALUATOR FOLDER FILE");
        return ExitCode::from(2);
    };
    match run(evaluator, folder, file).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}: {:#?}", error.diagnostics());
            ExitCode::FAILURE
        }
    }
}

async fn run(evaluator: &str, folder: &str, file: &str) -> Result<(), PlanError> {
    let clock = Clock::real();
    let options = Options::new(PathBuf::from(evaluator));
    let measure = Measure {
        planner: Planner::new(options, Rate::default(), clock, Tasks::new()),
        view: Arc::new(WorkTree::new(folder).including(file)),
        file: file.to_owned(),
        clock,
    };
    let cold = measure.plan(0).await?;
    println!("cold, pair started and first plan: {cold:?}");
    let (mut warm, mut hits) = (Vec::new(), Vec::new());
    for n in 1..200 {
        warm.push(measure.plan(n).await?);
        hits.push(measure.plan(n).await?);
    }
    report("warm, A and B", warm);
    report("cache hit", hits);
    Ok(())
}

impl Measure {
    /// One plan; another number is another input, which no cache knows.
    async fn plan(&self, number: u32) -> Result<Duration, PlanError> {
        let inputs = Map::from_iter([("number".to_owned(), json!(number))]);
        let start = self.clock.mark();
        let _evaluated: Evaluated = self
            .planner
            .plan(PlanRequest {
                view: Arc::clone(&self.view),
                entry: self.file.clone(),
                event: None,
                inputs,
                trust: Trust::Own,
                repository: String::new(),
            })
            .await?;
        Ok(self.clock.elapsed(start))
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    println!("{what}: p50 {:?}, p99 {:?}", at(50), at(99));
}
