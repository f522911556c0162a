//! `plue explain`, `plue resume`, `plue doc`, `plue event emit` and tasks with a server.

use jiff::tz::TimeZone;
use plue_api::{
    commands::EmitRequest,
    records::{Page, RunRecord, story::ExplainRecord, told::StatusRecord},
};
use plue_flow::RunStatus;
use reqwest::Method;

use super::{
    client::{Client, encoded},
    logs::known_step,
};
use crate::{
    app::App,
    args::{ExplainArgs, Format, ResumeArgs, StatusArgs},
    commands::{
        doc,
        event::emit,
        explain,
        task::{self, TaskCommand},
    },
    exit::Exit,
    failure::{Failure, Outcome},
    output, wiring,
};

/// `plue explain`
pub(super) async fn explain(client: &Client, args: &ExplainArgs, app: &App) -> Outcome {
    let run = client.one_run(&args.run).await?.id;
    let zone = TimeZone::system();
    let mut path = format!("/api/v1/runs/{run}/explanation?");
    path.push_str(&format!("zone={}", encoded(zone.iana_name().unwrap_or("UTC"))));
    if let Some(step) = &args.step {
        let told: StatusRecord = client.get(&format!("/api/v1/runs/{run}/status")).await?;
        known_step(&told, step)?;
        path.push_str(&format!("&step={}", encoded(step)));
    }
    let told: ExplainRecord = client.get(&path).await?;
    explain::shown(told, args, app)?;
    Ok(Exit::Ok)
}

/// `plue resume`: nothing is left to do, and that is said.
pub(super) async fn resume(client: &Client, args: &ResumeArgs) -> Outcome {
    if !args.secrets.is_empty() {
        return Err(Failure::usage("--secret is for runs of this machine"));
    }
    let Some(name) = &args.run else {
        output::say("a server takes up by itself what was left behind");
        return Ok(Exit::Ok);
    };
    let run = client.one_run(name).await?;
    if run.status.parse().is_ok_and(RunStatus::is_terminal) {
        let ended = format!("run {} has ended already: {}", run.id, run.status);
        return Err(Failure::usage(ended).hint(format!("plue retry {}", run.id)));
    }
    output::say(&format!(
        "run {id} goes on by itself on the server; follow it with `plue logs {id} -f`",
        id = run.id
    ));
    Ok(Exit::Ok)
}

/// `plue doc generate`
pub(super) async fn doc(client: &Client, args: &doc::GenerateArgs) -> Outcome {
    let run = match last_of(client, &args.task).await? {
        Some(run) => run,
        None => client.one_run(&args.task).await?,
    };
    let told: StatusRecord = client.get(&format!("/api/v1/runs/{}/status", run.id)).await?;
    doc::written(&told, args)?;
    Ok(Exit::Ok)
}

/// The newest run of a workflow.
pub(super) async fn last_of(client: &Client, workflow: &str) -> Result<Option<RunRecord>, Failure> {
    let path = format!("/api/v1/runs?limit=1&workflow={}", encoded(workflow));
    let page: Page<RunRecord> = client.get(&path).await?;
    Ok(page.items.into_iter().next())
}

/// `plue event emit`
pub(super) async fn emit(client: &Client, args: &emit::EmitArgs) -> Outcome {
    let request: EmitRequest = emit::request(args)?;
    client.change(Method::POST, "/api/v1/messages", Some(&request)).await?;
    output::say(&format!("emitted on `{}`", request.topic));
    Ok(Exit::Ok)
}

/// `plue plan list` and `plue plan status`: workflows of this repository with their runs of the server.
pub(super) fn tasks(client: &Client, command: &TaskCommand, app: &App) -> Outcome {
    let last = |tasks: &[String]| {
        wiring::block_on(async {
            let mut runs = Vec::new();
            for task in tasks {
                runs.push(last_of(client, task).await?);
            }
            Ok(runs)
        })
    };
    let show = |run| {
        let args = StatusArgs { run, output: Format::Table };
        wiring::block_on(super::runs::status(client, &args, app))
    };
    task::run_with(command, app, last, show)
}
