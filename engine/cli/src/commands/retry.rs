//! `plue retry`: an ended run goes on, with the same plan, where it failed or from a step on.

use plue_executor::{Engine, perform::checkpoint::OnConflict};
use plue_flow::input::Reopen;
use plue_plan::RunId;
use plue_runtime::{Clock, Tasks};
use serde_json::json;

use super::{logs::known_step, one_run, run::of_run};
use crate::{
    app::App,
    args::RetryArgs,
    attend::{Begin, attend},
    failure::{Failure, Outcome, from_executor, from_store},
    output,
    terminal::sanitize,
    trail::Change,
    vault, wiring,
};

/// What becomes of the files that the steps had changed.
#[derive(Debug, clap::Args)]
pub struct FilesArgs {
    /// Put files back even if they were changed outside of the run; copies of them are kept aside
    #[arg(long, conflicts_with = "keep_files")]
    pub force: bool,
    /// Leave all files as they are
    #[arg(long)]
    pub keep_files: bool,
}

pub(super) fn run(args: &RetryArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let tasks = Tasks::new();
        let store = wiring::open_existing(app).await?;
        let run = one_run(&store, &args.run).await?;
        let engine = wiring::engine(app, store, &tasks)?;
        // Steps that are done need theirs no more; one that lacks its secret is refused by name.
        let secrets = of_run(app, &engine, &run, &args.secrets).await?;
        let secrets = vault::remembered(app, engine.store(), &run, secrets.secrets).await?;
        let from = match &args.from {
            Some(step) => {
                let loaded = engine.load(&run).await.map_err(|error| from_executor(&error))?;
                Reopen::From(known_step(&loaded, step)?)
            }
            None => Reopen::Failed,
        };
        refuse_imported(&engine, &run).await?;
        put_files_back(&args.files, app, &engine, (&run, Some(&from))).await?;
        let detail = json!({"from": args.from, "failed": args.failed});
        Change::new("run.retry", run.as_str()).with(detail).note(engine.store()).await?;
        if app.verbosity >= 0 {
            output::say(&format!("run {run} goes on"));
        }
        attend(app, &engine, &run, Begin::Reopen(from), secrets).await
    })
}

/// A run from a file has no workspace here.
pub(super) async fn refuse_imported(engine: &Engine, run: &RunId) -> Result<(), Failure> {
    let imported =
        engine.store().archive().imported(run).await.map_err(|error| from_store(&error))?;
    match imported {
        None => Ok(()),
        Some(_) => Err(Failure::usage(format!("run {run} came from a file and can only be read"))
            .hint("start a new run with `plue run`")),
    }
}

/// Puts the files back to what they were before the steps that run again, without `from` before all
/// steps and for another run; then copies are kept.
pub(super) async fn put_files_back(
    files: &FilesArgs,
    app: &App,
    engine: &Engine,
    (run, from): (&RunId, Option<&Reopen>),
) -> Result<(), Failure> {
    let config = &app.loaded.config;
    if files.keep_files || config.checkpoints.mode == "off" {
        return Ok(());
    }
    let on_conflict = if files.force { OnConflict::Force } else { OnConflict::Refuse };
    let now = Clock::real().now().as_millisecond();
    let aside = config.state_dir.join("aside").join(format!("{run}-{now}"));
    let restored = engine.restore(run, from, (on_conflict, &aside)).await;
    let restored = restored.map_err(|error| from_executor(&error))?;
    if restored.files > 0 && app.verbosity >= 0 {
        output::say(&format!("{} files are what they were before those steps", restored.files));
    }
    if let Some(aside) = &restored.aside {
        output::say(&format!("what was overwritten is in {}", aside.display()));
    }
    if !restored.shared.is_empty() {
        let named: Vec<_> = restored.shared.iter().take(3).map(String::as_str).collect();
        let named = named.join(", ");
        let named = sanitize(&named, false);
        output::say(&format!(
            "{} files were changed while other steps ran too and stay as they are: {named}",
            restored.shared.len()
        ));
    }
    Ok(())
}
