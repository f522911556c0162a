//! `plue approve` and `plue reject`: answer a step that waits for a decision.
//!
//! The answer is kept in the store first. Whoever advances the run takes it from there; if nobody
//! does, `plue resume` goes on with it.
//!
//! Of the calls of an agent each is decided about by its id: calls that came after the last look are not
//! approved unseen.

use std::time::Duration;

use clap::Args;
use plue_api::records::told::CallRecord;
use plue_executor::{
    Loaded,
    answer::{AnswerError, decide, decide_call, typed_fields},
    run_lock::is_driven,
};
use plue_flow::Decision;
use plue_plan::{Action, StepId};
use plue_runtime::Clock;
use plue_store::Store;
use serde_json::json;

use super::{logs::known_step, one_run};
use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output, person,
    terminal::sanitize,
    trail::Change,
    wiring,
};

/// Between two looks at whether the run has taken the answer.
const LOOK: Duration = Duration::from_millis(20);
/// Looks at most: what takes longer than this is told as recorded.
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
    /// A field that the step asks for; values are read by the type that it says
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
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let run = one_run(&store, &args.run).await?;
        let loaded = Loaded::read(&store, &run).await.map_err(|error| from_executor(&error))?;
        let step = known_step(&loaded, &args.step)?;
        let schema = match loaded.plan.step(&step).map(|step| &step.action) {
            Some(Action::Approval(approval)) => approval.fields.as_ref(),
            Some(_) | None => None,
        };
        let decision = Decision {
            by: person::name(),
            approve,
            fields: typed_fields(schema, &pairs(&args.fields)?),
            comment: args.comment.clone(),
        };
        let now = Clock::real().now();
        let what = if approve { "approved" } else { "rejected" };
        let open = loaded.run.waiting().filter(|waiting| waiting.step == step);
        let open: Vec<_> = open.filter_map(|waiting| CallRecord::of(waiting.what)).collect();
        let calls = chosen(args, open)?;
        for call in &calls {
            let of = (&step, call.id.as_str());
            let decided = decide_call(&store, &run, of, decision.clone(), now).await;
            decided.map_err(|error| refused(&error, &step))?;
            let detail = json!({"step": step.as_str(), "approve": approve, "call": call.id});
            Change::new("run.decide", run.as_str()).with(detail).note(&store).await?;
            say_decided(what, call);
        }
        if calls.is_empty() {
            let decided = decide(&store, &run, &step, decision, now).await;
            decided.map_err(|error| refused(&error, &step))?;
            let detail = json!({"step": step.as_str(), "approve": approve});
            Change::new("run.decide", run.as_str()).with(detail).note(&store).await?;
        }
        let locks = app.loaded.config.state_dir.join("locks");
        if !store.is_shared() && !is_driven(&locks, &run) {
            output::say(&format!(
                "{what}; nobody advances this run; go on with: plue resume {run}"
            ));
        } else if !calls.is_empty() {
            // Printed above; the agent takes it with its next look.
        } else if taken(&store, &run).await? {
            output::say(what);
        } else {
            output::say(&format!("{what}; the run has yet to take it"));
        }
        Ok(Exit::Ok)
    })
}

/// The calls that the options name, of those that wait. Empty: no call waits and none is named.
pub(crate) fn chosen(args: &DecideArgs, open: Vec<CallRecord>) -> Result<Vec<CallRecord>, Failure> {
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
pub(crate) fn say_decided(what: &str, call: &CallRecord) {
    output::say(&format!("{what} {}", shown(call)));
}

fn shown(call: &CallRecord) -> String {
    let text = format!("{}: {} {}", call.id, call.tool, call.arguments);
    sanitize(&text, false).into_owned()
}

/// Whether the journal has the answer, after a moment.
async fn taken(store: &Store, run: &plue_plan::RunId) -> Result<bool, Failure> {
    for _ in 0..LOOKS {
        let open = store.decisions().list(run).await.map_err(|error| from_store(&error))?;
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

fn refused(error: &AnswerError, step: &StepId) -> Failure {
    match error {
        AnswerError::UnknownStep(_) => Failure::not_found(error.to_string()),
        AnswerError::NotAllowed { .. } => {
            Failure::not_found(format!("you may not answer `{step}`: {error}"))
                .hint("locally, plue goes by the login name of the user it runs as, not by $USER")
        }
        AnswerError::NotWaiting { .. }
        | AnswerError::WhichCall { .. }
        | AnswerError::NoSuchCall { .. }
        | AnswerError::Ended(_)
        | AnswerError::Already { .. }
        | AnswerError::Fields(_) => Failure::usage(error.to_string()),
        AnswerError::Run(error) => from_executor(error),
    }
}
