//! `plue retry`: an ended run goes on, with the same plan, where it failed or from a step on.

use std::sync::Arc;

use plue_flow::input::Reopen;
use plue_plan::StepId;
use plue_runtime::Tasks;

use super::{one_run, run::of_run};
use crate::{
    app::App,
    args::RetryArgs,
    attend::{Begin, attend},
    failure::Outcome,
    output, wiring,
};

pub(super) fn run(args: &RetryArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let tasks = Tasks::new();
        let store = wiring::open_existing(app).await?;
        let run = one_run(&store, &args.run).await?;
        let engine = wiring::engine(app, store, &tasks)?;
        // Steps that are done need theirs no more; one that lacks its secret is refused by name.
        let secrets = of_run(app, &engine, &run, &args.secrets).await?;
        let secrets = Arc::new(secrets.secrets);
        let from = match &args.from {
            Some(step) => Reopen::From(StepId::new(step)),
            None => Reopen::Failed,
        };
        if app.verbosity >= 0 {
            output::say(&format!("run {run} goes on"));
        }
        attend(app, &engine, &run, Begin::Reopen(from), secrets).await
    })
}
