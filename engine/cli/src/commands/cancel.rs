//! `plue cancel`: asks whoever advances the run to stop it, and waits; if nobody does, does it here.

use std::time::Duration;

use plue_executor::{Engine, perform::environment::GivenSecrets};
use plue_flow::{RunStatus, StepStatus};
use plue_plan::RunId;
use plue_runtime::{Clock, Stop, Tasks};
use plue_store::{CancelRequest, Store};
use serde_json::json;

use super::one_run;
use crate::{
    app::App,
    args::CancelArgs,
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output, person,
    render::stopping::Stopping,
    trail::Change,
    vault, wiring,
};

/// Between two looks at whether the run has ended.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn run(args: &CancelArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let (tasks, clock) = (Tasks::new(), Clock::real());
        let store = wiring::open_existing(app).await?;
        let run = one_run(&store, &args.run).await?;
        let engine = wiring::engine(app, store.clone(), &tasks)?;
        let gone = || Failure::not_found(format!("run {run} is gone"));
        let mut row =
            store.runs().get(&run).await.map_err(|error| from_store(&error))?.ok_or_else(gone)?;
        if row.view.status.is_terminal() {
            return Err(Failure::usage(format!(
                "run {run} has ended already: {}",
                row.view.status
            )));
        }
        let request = CancelRequest { by: person::principal(), kill: args.kill };
        store
            .cancels()
            .request(&run, request, clock.now())
            .await
            .map_err(|error| from_store(&error))?;
        let detail = json!({"kill": args.kill});
        Change::new("run.cancel", run.as_str()).with(detail).note(&store).await?;
        let mut stopping = stopping(&engine, &run, args.kill).await?;
        if app.verbosity >= 0 {
            output::say(&stopping.begins(Some(app.loaded.config.runner.grace.as_str())));
        }
        while !row.view.status.is_terminal() {
            if engine.is_driven(&run) {
                clock.sleep(LOOK).await;
            } else {
                let given = GivenSecrets::default();
                let secrets = vault::remembered(app, &store, &run, given).await?;
                match engine.drive(&run, secrets, Stop::never()).await {
                    Ok(mut handle) => {
                        handle.canceller().cancel(&person::principal(), args.kill).await;
                        loop {
                            tokio::select! {
                                ended = handle.ended() => {
                                    ended.map_err(|error| from_executor(&error))?;
                                    break;
                                }
                                () = clock.sleep(LOOK) => show(app, &store, &run, &mut stopping).await?,
                            }
                        }
                    }
                    // Somebody was faster, or drives it on another machine.
                    Err(plue_executor::Error::Busy { .. }) => clock.sleep(LOOK).await,
                    Err(error) => return Err(from_executor(&error)),
                }
            }
            row = store
                .runs()
                .get(&run)
                .await
                .map_err(|error| from_store(&error))?
                .ok_or_else(gone)?;
            if !row.view.status.is_terminal() {
                show(app, &store, &run, &mut stopping).await?;
            }
        }
        output::say(&format!("run {run} ended: {}", row.view.status));
        // The run may have been faster: it ended, but not because of us.
        Ok(if row.view.status == RunStatus::Cancelled { Exit::Ok } else { Exit::RunFailed })
    })
}

async fn stopping(engine: &Engine, run: &RunId, kill: bool) -> Result<Stopping, Failure> {
    let loaded = engine.load(run).await.map_err(|error| from_executor(&error))?;
    let hooks = loaded.plan.hooks.all().map(|hook| hook.id.to_string()).collect();
    Ok(Stopping::new(run.as_str(), kill, hooks))
}

/// Prints each cause of the wait (steps, hooks or the runner) once; silent with `--quiet`.
async fn show(
    app: &App,
    store: &Store,
    run: &RunId,
    stopping: &mut Stopping,
) -> Result<(), Failure> {
    let steps = store.runs().steps(run).await.map_err(|error| from_store(&error))?;
    let running = steps.iter().filter(|row| row.view.status == StepStatus::Running);
    let running: Vec<_> = running.map(|row| row.view.step.to_string()).collect();
    if let (Some(text), true) = (stopping.waits(&running), app.verbosity >= 0) {
        output::say(&text);
    }
    Ok(())
}
