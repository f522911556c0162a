//! `plue resume`: takes up runs whose plue process died, where the store says they are.

use plue_executor::Engine;
use plue_plan::RunId;
use plue_runtime::Tasks;

use super::{one_run, run::of_run};
use crate::{
    app::App,
    args::ResumeArgs,
    attend::{Begin, attend},
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output, vault, wiring,
};

pub(super) fn run(args: &ResumeArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let tasks = Tasks::new();
        let store = wiring::open_existing(app).await?;
        let runs = match &args.run {
            Some(name) => {
                let run = one_run(&store, name).await?;
                let row = store.runs().get(&run).await.map_err(|error| from_store(&error))?;
                if let Some(row) = row.filter(|row| row.view.status.is_terminal()) {
                    let ended = format!("run {run} has ended already: {}", row.view.status);
                    return Err(Failure::usage(ended).hint(format!("plue retry {run}")));
                }
                vec![run]
            }
            None => {
                let open = store.runs().unfinished().await.map_err(|error| from_store(&error))?;
                open.into_iter().map(|row| row.id).collect()
            }
        };
        let engine = wiring::engine(app, store, &tasks)?;
        // Also when there is no run to take up: what dead engines left behind goes.
        engine.tidy().await.map_err(|error| from_executor(&error))?;
        let mut worst = Exit::Ok;
        let mut resumed = 0;
        for run in runs {
            if engine.is_driven(&run) {
                if args.run.is_some() {
                    return Err(Failure::usage(format!("run {run} is being advanced already"))
                        .hint(format!("follow it with `plue logs {run} -f`")));
                }
                continue;
            }
            // Whoever takes its parent up goes on with a child too.
            if args.run.is_none() && is_child(&engine, &run).await? {
                continue;
            }
            output::say(&format!("run {run} is taken up"));
            resumed += 1;
            let secrets = of_run(app, &engine, &run, &args.secrets).await?;
            let secrets = vault::remembered(app, engine.store(), &run, secrets.secrets).await?;
            // One that waits for a person must not keep the others from going on.
            let begin = if args.run.is_some() { Begin::Drive } else { Begin::UntilAsked };
            let exit = attend(app, &engine, &run, begin, secrets).await?;
            if exit == Exit::Interrupted {
                return Ok(exit);
            }
            if worst == Exit::Ok {
                worst = exit;
            }
        }
        if resumed == 0 {
            output::say("no run was left behind");
        }
        Ok(worst)
    })
}

/// Whether the run is a child of one that has not ended.
async fn is_child(engine: &Engine, run: &RunId) -> Result<bool, Failure> {
    let loaded = engine.load(run).await.map_err(|error| from_executor(&error))?;
    let Some(parent) = loaded.origin.parent else { return Ok(false) };
    let row = engine.store().runs().get(&parent.run).await.map_err(|error| from_store(&error))?;
    Ok(row.is_some_and(|row| !row.view.status.is_terminal()))
}
