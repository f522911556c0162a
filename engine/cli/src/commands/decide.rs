//! `plue approve` and `plue reject`: answer a step that waits for a decision.
//!
//! The answer is kept in the store first. Whoever advances the run takes it from there; if nobody
//! does, `plue resume` goes on with it.

use std::time::Duration;

use clap::Args;
use plue_executor::{
    Loaded,
    answer::{AnswerError, decide, typed_fields},
    liveness::is_driven,
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
    /// A remark, kept with the decision
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
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
        let decided = decide(&store, &run, &step, decision, now).await;
        decided.map_err(|error| refused(&error, &step))?;
        let detail = json!({"step": step.as_str(), "approve": approve});
        Change::new("run.decide", run.as_str()).with(detail).note(&store).await?;
        let what = if approve { "approved" } else { "rejected" };
        let locks = app.loaded.config.state_dir.join("locks");
        if !store.is_shared() && !is_driven(&locks, &run) {
            output::say(&format!(
                "{what}; nobody advances this run; go on with: plue resume {run}"
            ));
        } else if taken(&store, &run).await? {
            output::say(what);
        } else {
            output::say(&format!("{what}; the run has yet to take it"));
        }
        Ok(Exit::Ok)
    })
}

/// Whether the journal has the answer, after a moment.
async fn taken(store: &Store, run: &plue_plan::RunId) -> Result<bool, Failure> {
    for _ in 0..LOOKS {
        let open = store.decisions(run).await.map_err(|error| from_store(&error))?;
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
        | AnswerError::Ended(_)
        | AnswerError::Already { .. }
        | AnswerError::Fields(_) => Failure::usage(error.to_string()),
        AnswerError::Run(error) => from_executor(error),
    }
}
