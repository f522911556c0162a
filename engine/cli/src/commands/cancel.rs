//! `plue cancel`: asks for a run to stop, and waits. If no process of this machine drives it, drives it here.

use std::time::Duration;

use plue_executor::perform::environment::GivenSecrets;
use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_runtime::{Clock, Stop};

use crate::{
    app::App,
    args::CancelArgs,
    connect::{Connection, Machine, Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    follow::until_stopped,
    output, person,
    render::stopping::Stopping,
};

/// Pause between two checks whether the run has ended.
const CHECK: Duration = Duration::from_millis(50);

pub(super) fn run(args: &CancelArgs, app: &App) -> Outcome {
    connected(app, Purpose::Drive, async |connection| cancel(connection, args, app).await)
}

async fn cancel(connection: &Connection, args: &CancelArgs, app: &App) -> Outcome {
    let client = &connection.client;
    let run = connection.run(&args.run).await?.id;
    let plan = client.runs().plan(&run).await?;
    client.runs().cancel(&run, args.kill).await?;
    let hooks = plan.hooks.all().map(|hook| hook.id.to_string()).collect();
    let mut stopping = Stopping::new(&run, args.kill, hooks);
    let report = |text: &str| {
        if app.verbosity >= 0 {
            output::report(text);
        }
    };
    let grace = app.loaded.config.runner.grace.as_str();
    report(&stopping.begins(connection.machine().map(|_| grace)));
    connection.follow();
    let stopped = until_stopped(client, &run, |steps| {
        if let Some(text) = stopping.waits(steps) {
            report(&text);
        }
    });
    match connection.machine() {
        None => stopped.await?,
        Some(machine) => {
            let driven = machine.drive_to_cancel(app, &run, args.kill);
            tokio::try_join!(driven, stopped).map(drop)?;
        }
    }
    let status = client.runs().show(&run).await?.status;
    output::report(&format!("run {run} ended: {status}"));
    // The run may have been faster: it ended, but not because of this command.
    Ok(if status == RunStatus::Cancelled.as_str() { Exit::Ok } else { Exit::RunFailed })
}

// === impl Machine ===

impl Machine {
    /// Drives a run that is to stop, while no other process does, until it has ended.
    async fn drive_to_cancel(&self, app: &App, run: &str, kill: bool) -> Result<(), Failure> {
        let (engine, clock, id) = (self.engine()?, Clock::real(), RunId::new(run));
        loop {
            let row = self.store.runs().get(&id).await.map_err(|error| from_store(&error))?;
            let row = row.ok_or_else(|| Failure::not_found(format!("run {run} is gone")))?;
            if row.view.status.is_terminal() {
                return Ok(());
            }
            if engine.is_driven(&id) {
                clock.sleep(CHECK).await;
                continue;
            }
            let secrets = self.remembered(app, run, GivenSecrets::default()).await?;
            match engine.drive(&id, secrets, Stop::never()).await {
                Ok(handle) => {
                    handle.canceller().cancel(&person::principal(), kill).await;
                    handle.wait().await.map_err(|error| from_executor(&error))?;
                }
                // Another process was faster, or drives it on another machine.
                Err(plue_executor::Error::Busy { .. }) => clock.sleep(CHECK).await,
                Err(error) => return Err(from_executor(&error)),
            }
        }
    }
}
