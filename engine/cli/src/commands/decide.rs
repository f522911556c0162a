//! `plue approve` and `plue reject`: answer a step that waits for a decision.
//!
//! The answer is stored first. The process that advances the run takes it from there; without one,
//! `plue resume` continues the run with it.
//!
//! Calls of an agent are decided by their ids: calls that came after the last look are not approved unseen.

use std::time::Duration;

use clap::Args;
use plue_api::{commands::DecisionRequest, records::status::CallRecord};
use plue_plan::RunId;
use plue_runtime::Clock;
use plue_store::Store;
use reqwest::StatusCode;
use serde_json::Value as Json;

use super::logs::pieces::known_step;
use crate::{
    app::App,
    connect::{Connection, Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output,
    terminal::sanitize,
};

/// Pause between two checks whether the run has taken the answer.
const LOOK: Duration = Duration::from_millis(20);
/// Checks at most; after them the answer is reported as recorded.
const LOOKS: u32 = 150;

/// `plue approve` and `plue reject`
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// A run id, the beginning of one, or `last`
    #[arg(value_name = "RUN")]
    pub run: String,
    /// The step that waits
    #[arg(value_name = "STEP")]
    pub step: String,
    /// A field that the step asks for; values are parsed by its type
    #[arg(long = "field", value_name = "KEY=VALUE")]
    pub fields: Vec<String>,
    /// A remark, kept with the decision; the model reads it if its call is rejected
    #[arg(long, visible_alias = "message", value_name = "TEXT")]
    pub comment: Option<String>,
    /// The call of a Claude step that is decided about [default: the only one that waits]
    #[arg(long, value_name = "ID")]
    pub call: Option<String>,
    /// Decide about all calls of the step that wait, as they are printed
    #[arg(long, conflicts_with = "call")]
    pub all: bool,
}

pub(super) fn run(args: &DecideArgs, approve: bool, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| decide(connection, args, approve).await)
}

async fn decide(connection: &Connection, args: &DecideArgs, approve: bool) -> Outcome {
    let client = &connection.client;
    let run = connection.run(&args.run).await?.id;
    let status = client.runs().status(&run).await?;
    known_step(&status, &args.step)?;
    // The API reads texts by the types that the step gives its fields.
    let fields = pairs(&args.fields)?.into_iter();
    let mut answer = DecisionRequest {
        call: None,
        approve,
        fields: fields.map(|(name, text)| (name, Json::String(text))).collect(),
        comment: args.comment.clone(),
    };
    let what = if approve { "approved" } else { "rejected" };
    let of_step = |step: &Option<String>| step.as_deref() == Some(&*args.step);
    let open = status.waiting.into_iter().filter(|one| of_step(&one.step));
    let calls = chosen(args, open.filter_map(|one| one.call).collect())?;
    let refused = |error| refused(error, connection, &args.step);
    for call in &calls {
        answer.call = Some(call.id.clone());
        client.runs().decide(&run, &args.step, &answer).await.map_err(refused)?;
        report_decision(what, call);
    }
    if calls.is_empty() {
        client.runs().decide(&run, &args.step, &answer).await.map_err(refused)?;
    }
    match connection.machine() {
        Some(machine) if !machine.is_driven(&run) => output::report(&format!(
            "{what}; no process drives this run; continue it with: plue resume {run}"
        )),
        // Printed above; the agent takes it with its next look.
        _ if !calls.is_empty() => {}
        // A server's engine takes it; a process of this machine has a moment to do so.
        None => output::report(what),
        Some(machine) if taken(&machine.store, &run).await? => output::report(what),
        Some(_) => output::report(&format!("{what}; the run has yet to take it")),
    }
    Ok(Exit::Ok)
}

/// A refused decision, with advice for this machine.
fn refused(error: plue_client::Error, connection: &Connection, step: &str) -> Failure {
    if error.status() != Some(StatusCode::FORBIDDEN) {
        return error.into();
    }
    let failure = Failure::not_found(format!("you may not answer `{step}`: {error}"));
    match connection.machine() {
        None => failure,
        Some(_) => failure
            .hint("locally, plue goes by the login name of the user it runs as, not by $USER"),
    }
}

/// The calls that the options name, of those that wait. Empty: no call waits and none is named.
fn chosen(args: &DecideArgs, open: Vec<CallRecord>) -> Result<Vec<CallRecord>, Failure> {
    let step = &args.step;
    if let Some(id) = &args.call {
        let call = open.into_iter().find(|call| call.id == *id);
        let gone = || {
            let id = sanitize(id, false);
            Failure::usage(format!(
                "step `{step}` does not wait for a decision about the call {id}"
            ))
            .hint("`plue approvals` lists calls that wait")
        };
        return call.map(|call| vec![call]).ok_or_else(gone);
    }
    if args.all && open.is_empty() {
        return Err(Failure::usage(format!("no call of step `{step}` waits for a decision")));
    }
    if open.len() > 1 && !args.all {
        let calls: Vec<_> = open.iter().map(|call| format!("  {}", shown(call))).collect();
        let message = format!(
            "{} calls of step `{step}` wait for a decision:\n{}",
            open.len(),
            calls.join("\n")
        );
        return Err(Failure::usage(message).hint("name one with --call ID, or add --all"));
    }
    Ok(open)
}

/// Prints a decision about a call with all that was decided about.
fn report_decision(what: &str, call: &CallRecord) {
    output::report(&format!("{what} {}", shown(call)));
}

fn shown(call: &CallRecord) -> String {
    let text = format!("{}: {} {}", call.id, call.tool, call.arguments);
    sanitize(&text, false).into_owned()
}

/// True if the journal has the answer, after a moment.
async fn taken(store: &Store, run: &str) -> Result<bool, Failure> {
    let run = RunId::new(run);
    for _ in 0..LOOKS {
        let open = store.decisions().list(&run).await.map_err(|error| from_store(&error))?;
        if open.is_empty() {
            return Ok(true);
        }
        Clock::real().sleep(LOOK).await;
    }
    Ok(false)
}

fn pairs(given: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_owned(), value.to_owned()))
    };
    given
        .iter()
        .map(|text| {
            pair(text).ok_or_else(|| {
                Failure::usage(format!("--field {text}: it is no `key=value`"))
                    .hint("like --field env=prod")
            })
        })
        .collect()
}
