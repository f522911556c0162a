//! `plue rerun`: a new run of the same plan, for the same event and inputs.

use std::io::Write as _;

use plue_executor::{Loaded, Origin, Submission};
use plue_plan::HashedPlan;
use plue_runtime::Tasks;
use serde_json::{Value as Json, json};
use tempfile::NamedTempFile;

use super::{one_run, run::of_run};
use crate::{
    app::App,
    args::{RerunArgs, RunArgs, SourceArgs},
    attend::{Begin, attend},
    failure::{Failure, Outcome, from_executor},
    output,
    trail::Change,
    vault, wiring,
};

pub(super) fn run(args: &RerunArgs, app: &App) -> Outcome {
    if !args.inputs.is_empty() {
        return with_inputs(args, app);
    }
    wiring::block_on(async {
        let tasks = Tasks::new();
        let store = wiring::open_existing(app).await?;
        let old = one_run(&store, &args.run).await?;
        let engine = wiring::engine(app, store, &tasks)?;
        let loaded = engine.load(&old).await.map_err(|error| from_executor(&error))?;
        let unreadable = |error: serde_json::Error| Failure::infrastructure(&error);
        let plan = HashedPlan::new((*loaded.plan).clone())
            .map_err(|problem| Failure::invalid(vec![problem]))?;
        let submission = Submission {
            plan,
            source: loaded.source.source,
            event: serde_json::from_value(loaded.source.event).map_err(unreadable)?,
            inputs: serde_json::from_value(loaded.source.inputs).map_err(unreadable)?,
            origin: Origin { parent: None, traceparent: None, replay: None, ..loaded.origin },
            only: Vec::new(),
            carried: Vec::new(),
        };
        let secrets = of_run(app, &engine, &old, &args.secrets).await?;
        let secrets = secrets.complete()?;
        let run = engine.submit(submission).await.map_err(|error| from_executor(&error))?;
        let secrets = vault::remembered(app, engine.store(), &run, secrets).await?;
        let detail = json!({"of": old.as_str()});
        Change::new("run.rerun", run.as_str()).with(detail).note(engine.store()).await?;
        output::say(&format!("run {run} repeats {old}"));
        attend(app, &engine, &run, Begin::Drive, secrets).await
    })
}

/// Inputs may change the plan, so that it is made again: from the same file, for the same event.
fn with_inputs(args: &RerunArgs, app: &App) -> Outcome {
    let (source, event) = wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let old = one_run(&store, &args.run).await?;
        let loaded = Loaded::read(&store, &old).await.map_err(|error| from_executor(&error))?;
        let event = event_file(&loaded)?;
        Ok((loaded, event))
    })?;
    let run = RunArgs {
        workflow: Some(source.source.source.clone()),
        source: SourceArgs {
            repo: Some(source.origin.repository.clone()),
            event: Some(event.path().to_owned()),
            inputs: inputs(&source, &args.inputs),
        },
        secrets: args.secrets.clone(),
        ..RunArgs::default()
    };
    super::run::run(run, app)
}

/// The event of a run as a file, for commands that read one.
pub(super) fn event_file(of: &Loaded) -> Result<NamedTempFile, Failure> {
    let io = |error: std::io::Error| Failure::infrastructure(&error);
    let mut event = NamedTempFile::new().map_err(io)?;
    event.write_all(of.source.event.to_string().as_bytes()).map_err(io)?;
    Ok(event)
}

/// The inputs of a run as of a command line, those of the same name replaced by others.
pub(super) fn inputs(of: &Loaded, others: &[String]) -> Vec<String> {
    let is_given = |name: &str| {
        others.iter().any(|pair| pair.split_once('=').is_some_and(|(given, _)| given == name))
    };
    let own = of.source.inputs.as_object().cloned().unwrap_or_default().into_iter();
    let kept = own.filter(|(name, _)| !is_given(name)).map(|(name, value)| match value {
        Json::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    kept.chain(others.iter().cloned()).collect()
}
