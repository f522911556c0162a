//! `plue resume`: takes up runs whose plue process died, where the store says they are.

use std::sync::Arc;

use plue_runtime::Tasks;

use super::{one_run, run::of_run};
use crate::{
    app::App,
    args::ResumeArgs,
    attend::{Begin, attend},
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output, wiring,
};

pub(super) fn run(args: &ResumeArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let tasks = Tasks::new();
        let store = wiring::open_existing(app).await?;
        let runs = match &args.run {
            Some(name) => {
                let run = one_run(&store, name).await?;
                let row = store.run(&run).await.map_err(|error| from_store(&error))?;
                if let Some(row) = row.filter(|row| row.view.status.is_terminal()) {
                    let ended = format!("run {run} has ended already: {}", row.view.status);
                    return Err(Failure::usage(ended).hint(format!("plue retry {run}")));
                }
                vec![run]
            }
            None => {
                let open = store.unfinished_runs().await.map_err(|error| from_store(&error))?;
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
            output::say(&format!("run {run} is taken up"));
            resumed += 1;
            let secrets = of_run(app, &engine, &run, &args.secrets).await?;
            let secrets = Arc::new(secrets.secrets);
            let exit = attend(app, &engine, &run, Begin::Drive, secrets.clone()).await?;
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
