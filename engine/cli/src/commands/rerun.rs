//! `plue rerun`: a new run of the same plan, for the same event and inputs.

use std::sync::Arc;

use plue_executor::{Origin, Submission};
use plue_plan::SealedPlan;
use plue_runtime::Tasks;

use super::{one_run, run::of_run};
use crate::{
    app::App,
    args::RerunArgs,
    attend::{Begin, attend},
    failure::{Failure, Outcome, from_executor},
    output, wiring,
};

pub(super) fn run(args: &RerunArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let tasks = Tasks::new();
        let store = wiring::open_existing(app).await?;
        let old = one_run(&store, &args.run).await?;
        let engine = wiring::engine(app, store, &tasks)?;
        let loaded = engine.load(&old).await.map_err(|error| from_executor(&error))?;
        let unreadable = |error: serde_json::Error| Failure::infrastructure(&error);
        let plan = SealedPlan::seal((*loaded.plan).clone())
            .map_err(|problem| Failure::invalid(vec![problem]))?;
        let submission = Submission {
            plan,
            source: loaded.source.source,
            event: serde_json::from_value(loaded.source.event).map_err(unreadable)?,
            inputs: serde_json::from_value(loaded.source.inputs).map_err(unreadable)?,
            origin: Origin { parent: None, traceparent: None, ..loaded.origin },
            only: Vec::new(),
        };
        let secrets = of_run(app, &engine, &old, &args.secrets).await?;
        let secrets = Arc::new(secrets.complete()?);
        let run = engine.submit(submission).await.map_err(|error| from_executor(&error))?;
        output::say(&format!("run {run} repeats {old}"));
        attend(app, &engine, &run, Begin::Drive, secrets).await
    })
}
