//! `plue resume`: recovers runs whose plue process died, from their state in the store.

use plue_executor::Engine;
use plue_flow::RunStatus;
use plue_plan::RunId;

use super::run::of_run;
use crate::{
    app::App,
    args::ResumeArgs,
    attach::{Begin, drive},
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output, vault,
};

pub(super) fn run(args: &ResumeArgs, app: &App) -> Outcome {
    connected(app, Purpose::Drive, async |connection| {
        let named = match &args.run {
            Some(name) => {
                let run = connection.run(name).await?;
                if run.status.parse().is_ok_and(RunStatus::is_terminal) {
                    let ended = format!("run {} has ended already: {}", run.id, run.status);
                    return Err(Failure::usage(ended).hint(format!("plue retry {}", run.id)));
                }
                Some(RunId::new(run.id))
            }
            None => None,
        };
        let Some(machine) = connection.machine() else {
            return on_server(args, named.as_ref());
        };
        let runs = match named {
            Some(run) => vec![run],
            None => {
                let open = machine.store.runs().unfinished().await;
                let open = open.map_err(|error| from_store(&error))?;
                open.into_iter().map(|row| row.id).collect()
            }
        };
        let engine = machine.engine()?;
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
            // The driver of its parent continues a child too.
            if args.run.is_none() && is_child(engine, &run).await? {
                continue;
            }
            output::report(&format!("run {run} is taken up"));
            resumed += 1;
            let secrets = of_run(app, engine, &run, &args.secrets).await?;
            let secrets = vault::remembered(app, engine.store(), &run, secrets.secrets).await?;
            // One that waits for a person must not keep the others from going on.
            let begin = if args.run.is_some() { Begin::Drive } else { Begin::UntilAsked };
            let exit = drive(app, engine, &run, begin, secrets).await?;
            if exit == Exit::Interrupted {
                return Ok(exit);
            }
            if worst == Exit::Ok {
                worst = exit;
            }
        }
        if resumed == 0 {
            output::report("no run was left behind");
        }
        Ok(worst)
    })
}

/// A server resumes runs without a command; prints that.
fn on_server(args: &ResumeArgs, run: Option<&RunId>) -> Outcome {
    if !args.secrets.is_empty() {
        return Err(Failure::usage("--secret is for runs of this machine"));
    }
    match run {
        None => output::report("a server takes up by itself what was left behind"),
        Some(run) => output::report(&format!(
            "run {run} goes on by itself on the server; follow it with `plue logs {run} -f`"
        )),
    }
    Ok(Exit::Ok)
}

/// Whether the run is a child of one that has not ended.
async fn is_child(engine: &Engine, run: &RunId) -> Result<bool, Failure> {
    let loaded = engine.load(run).await.map_err(|error| from_executor(&error))?;
    let Some(parent) = loaded.origin.parent else { return Ok(false) };
    let row = engine.store().runs().get(&parent.run).await.map_err(|error| from_store(&error))?;
    Ok(row.is_some_and(|row| !row.view.status.is_terminal()))
}
