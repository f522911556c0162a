//! `plue cancel`: asks whoever advances the run to stop it, and waits; if nobody does, does it here.

use std::{sync::Arc, time::Duration};

use plue_executor::perform::environment::GivenSecrets;
use plue_flow::RunStatus;
use plue_runtime::{Clock, Stop, Tasks};
use plue_store::CancelRequest;

use super::one_run;
use crate::{
    app::App,
    args::CancelArgs,
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output, wiring,
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
            store.run(&run).await.map_err(|error| from_store(&error))?.ok_or_else(gone)?;
        if row.view.status.is_terminal() {
            return Err(Failure::usage(format!(
                "run {run} has ended already: {}",
                row.view.status
            )));
        }
        let request = CancelRequest { by: "plue cancel".to_owned(), kill: args.kill };
        store
            .request_cancel(&run, request, clock.now())
            .await
            .map_err(|error| from_store(&error))?;
        while !row.view.status.is_terminal() {
            if engine.is_driven(&run) {
                clock.sleep(LOOK).await;
            } else {
                let secrets = Arc::new(GivenSecrets::default());
                match engine.drive(&run, secrets, Stop::never()).await {
                    Ok(handle) => {
                        handle.canceller().cancel("plue cancel", args.kill).await;
                        handle.wait().await.map_err(|error| from_executor(&error))?;
                    }
                    // Somebody was faster, or drives it on another machine.
                    Err(plue_executor::Error::Busy { .. }) => clock.sleep(LOOK).await,
                    Err(error) => return Err(from_executor(&error)),
                }
            }
            row = store.run(&run).await.map_err(|error| from_store(&error))?.ok_or_else(gone)?;
        }
        output::say(&format!("run {run} ended: {}", row.view.status));
        // The run may have been faster: it ended, but not because of us.
        Ok(if row.view.status == RunStatus::Cancelled { Exit::Ok } else { Exit::RunFailed })
    })
}
