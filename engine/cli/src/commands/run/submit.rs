//! `plue run` with a server: the run is planned and driven there, and followed here.

use std::collections::BTreeMap;

use plue_api::commands::RunRequest;
use plue_client::Client;
use plue_runtime::Ids;
use serde_json::Value as Json;

use crate::{
    app::App, args::RunArgs, attach::AttachedRun, browser, connect::Connection, exit::Exit,
    failure::Failure, follow::Until, output, terminal::Style,
};

/// Submits a run and follows it; returns its id with the exit code of its end.
///
/// # Errors
/// An option is for runs of this machine; the call.
pub(super) async fn submit(
    connection: &Connection,
    args: &RunArgs,
    app: &App,
) -> Result<(String, Exit), Failure> {
    refuse_local_options(args)?;
    let client = &connection.client;
    let workflow = args.workflow.clone().ok_or_else(|| {
        Failure::usage("a server is asked for a workflow by its name or file")
            .hint("plue run NAME --repo OWNER/NAME")
    })?;
    let named = args.source.repo.as_ref().map(|path| path.display().to_string());
    let repository = match named {
        Some(named) => named,
        None => only_repository(client).await?,
    };
    let inputs = inputs(&args.source.inputs)?;
    let request =
        RunRequest { repository, workflow, rev: args.rev.clone(), inputs, traceparent: None };
    // A key of its own: a lost answer makes no second run when the request is sent again.
    let run = client.runs().submit(&request, &Ids::random().text()).await?;
    if app.verbosity >= 0 {
        let word = app.stderr.paint(Style::Bold, "run").to_string();
        output::report(&format!("{word} {} · plan {} · run {}", run.workflow, run.plan, run.id));
    }
    if args.web
        && let Some(server) = &app.loaded.config.server
    {
        browser::show(app, &format!("{}/runs/{}", server.trim_end_matches('/'), run.id));
    }
    let until = if args.no_wait || args.no_input { Until::Asked } else { Until::End };
    let attached = AttachedRun::new(app, connection, &run.id).await?;
    let exit = attached.wait(Default::default(), until).await?;
    Ok((run.id, exit))
}

fn refuse_local_options(args: &RunArgs) -> Result<(), Failure> {
    let local = [
        ("--step", args.step.is_some()),
        ("--from", args.from.is_some()),
        ("--carry", args.carry.is_some()),
        ("--goal", args.goal.is_some()),
        ("--todo", args.todo.is_some()),
        ("--max-parallel", args.max_parallel.is_some()),
        ("--secret", !args.secrets.is_empty()),
        ("--event", args.source.event.is_some()),
    ];
    let Some((flag, _)) = local.iter().find(|(_, given)| *given) else { return Ok(()) };
    let refused = Failure::usage(format!("{flag} is for runs of this machine"));
    Err(match *flag {
        "--step" | "--from" | "--carry" => refused.hint(
            "plue retry RUN --from ID goes on with a run of the server, plue rerun RUN --from ID starts \
             a new one; or leave out --server",
        ),
        _ => refused
            .hint("leave out --server, and set PLUE_SERVER to nothing: PLUE_SERVER= plue …"),
    })
}

/// The repository of the token, or the only one that the server watches.
async fn only_repository(client: &Client) -> Result<String, Failure> {
    if let Some(repository) = client.lists().whoami().await?.repository {
        return Ok(repository);
    }
    let mut repos = client.repositories().list().await?;
    match (repos.pop(), repos.is_empty()) {
        (Some(one), true) => Ok(one.name),
        (Some(_), false) => Err(Failure::usage("the server watches more than one repository")
            .hint("name one: --repo OWNER/NAME")),
        (None, _) => Err(Failure::not_found("the server watches no repository")
            .hint("see `plue repo add --help`")),
    }
}

fn inputs(given: &[String]) -> Result<BTreeMap<String, Json>, Failure> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_owned(), input(value)))
    };
    let wrong = |text: &str| Failure::usage(format!("--input {text}: expected KEY=VALUE"));
    given.iter().map(|text| pair(text).ok_or_else(|| wrong(text))).collect()
}

/// An input whose type is not known here: JSON if that loses nothing of its text (`1.10` would), else text.
/// The server reads it by its declared type.
fn input(text: &str) -> Json {
    match serde_json::from_str::<Json>(text) {
        Ok(Json::String(text)) => Json::String(text),
        Ok(json) => {
            let written = json.to_string();
            if written == text { json } else { Json::String(text.to_owned()) }
        }
        Err(_) => Json::String(text.to_owned()),
    }
}
