//! `plue rerun`: a new run of the same plan, for the same event and inputs, whole or in part.

use std::io::Write as _;

use plue_api::{commands::RerunRequest, records::status::StatusRecord};
use plue_executor::Loaded;
use plue_plan::RunId;
use plue_runtime::Ids;
use serde_json::Value as Json;
use tempfile::NamedTempFile;

use super::logs::pieces::known_step;
use crate::{
    app::App,
    args::{RerunArgs, RunArgs, SourceArgs},
    attach::AttachedRun,
    connect::{Connection, Purpose, connected},
    failure::{Failure, Outcome, from_executor},
    follow::Until,
    output, wiring,
};

pub(super) fn run(args: &RerunArgs, app: &App) -> Outcome {
    if !args.inputs.is_empty() {
        return with_inputs(args, app);
    }
    connected(app, Purpose::Drive, async |connection| rerun(connection, args, app).await)
}

async fn rerun(connection: &Connection, args: &RerunArgs, app: &App) -> Outcome {
    let client = &connection.client;
    let old = connection.run(&args.run).await?.id;
    if let Some(step) = &args.from {
        known_step(&client.runs().status(&old).await?, step)?;
    }
    let secrets = connection.secrets(app, &old, &args.secrets).await?.complete()?;
    let request = RerunRequest { from: args.from.clone(), failed: args.failed };
    // A key of its own: a lost answer makes no second run when the request is sent again.
    let run = client.runs().rerun(&old, &request, &Ids::random().text()).await?;
    output::report(&format!("run {} repeats {old}", run.id));
    let attached = AttachedRun::new(app, connection, &run.id).await?;
    attached.wait(secrets, Until::End).await
}

/// Inputs may change the plan, so that it is made again, from the same file and for the same event: as
/// `plue run` does it, here or on a server.
fn with_inputs(args: &RerunArgs, app: &App) -> Outcome {
    let (old, run, event) = wiring::block_on(async {
        let connection = Connection::open(app, Purpose::Read).await?;
        let old = connection.run(&args.run).await?.id;
        let Some(machine) = connection.machine() else {
            let status = connection.client.runs().status(&old).await?;
            return Ok((old, on_server(&status, args)?, None));
        };
        let loaded = Loaded::read(&machine.store, &RunId::new(old.as_str())).await;
        let loaded = loaded.map_err(|error| from_executor(&error))?;
        let event = event_file(&loaded)?;
        let source = SourceArgs {
            repo: Some(loaded.origin.repository.clone()),
            event: Some(event.path().to_owned()),
            inputs: inputs(&loaded.source.inputs, &args.inputs),
        };
        let workflow = Some(loaded.source.source.clone());
        let run = RunArgs { workflow, source, ..RunArgs::default() };
        Ok((old, run, Some(event)))
    })?;
    let outcome = super::run::run(RunArgs { secrets: args.secrets.clone(), ..run }, app);
    drop(event);
    if app.loaded.config.server.is_some() && outcome.is_ok() {
        output::report(&format!("the run repeats {old} with other inputs"));
    }
    outcome
}

/// A run of the same workflow at the same commit of a server.
fn on_server(old: &StatusRecord, args: &RerunArgs) -> Result<RunArgs, Failure> {
    let run = &old.run;
    let repo = run.repository.clone().ok_or_else(|| {
        let message =
            format!("run {} belongs to no repository, so it cannot be planned again", run.id);
        Failure::usage(message)
    })?;
    let source = SourceArgs {
        repo: Some(repo.into()),
        event: None,
        inputs: inputs(&old.inputs, &args.inputs),
    };
    let workflow = Some(run.workflow.clone());
    Ok(RunArgs { workflow, source, rev: run.sha.clone(), ..RunArgs::default() })
}

/// The event of a run as a file, for commands that read one.
pub(super) fn event_file(of: &Loaded) -> Result<NamedTempFile, Failure> {
    let io = |error: std::io::Error| Failure::infrastructure(&error);
    let mut event = NamedTempFile::new().map_err(io)?;
    event.write_all(of.source.event.to_string().as_bytes()).map_err(io)?;
    Ok(event)
}

/// The inputs of a run as options, those of the same name replaced by others.
pub(super) fn inputs(of: &Json, others: &[String]) -> Vec<String> {
    let is_given = |name: &str| {
        others.iter().any(|pair| pair.split_once('=').is_some_and(|(given, _)| given == name))
    };
    let own = of.as_object().cloned().unwrap_or_default().into_iter();
    let kept = own.filter(|(name, _)| !is_given(name)).map(|(name, value)| match value {
        Json::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    kept.chain(others.iter().cloned()).collect()
}
