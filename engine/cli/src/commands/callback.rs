//! `plue callback`: answers a `call` step that waits, with its one-time token.

use clap::Args;
use plue_executor::answer::{AnswerError, answer_callback};
use plue_runtime::Clock;
use plue_store::CallbackAnswered;
use serde_json::Value as Json;

use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome, from_executor},
    output,
    trail::Change,
    wiring,
};

/// `plue callback`
#[derive(Debug, Args)]
pub struct CallbackArgs {
    /// The token that the call carried in `Plue-Callback-Token` (`-`: a line of standard input)
    #[arg(value_name = "TOKEN")]
    pub token: String,
    /// The output of the step; read as JSON if it is, else as text
    #[arg(long, value_name = "JSON")]
    pub output: Option<String>,
}

pub(super) fn run(args: &CallbackArgs, app: &App) -> Outcome {
    let token = match args.token.as_str() {
        "-" => {
            let read = std::io::read_to_string(std::io::stdin());
            read.map_err(|error| Failure::infrastructure(&error))?
        }
        token => token.to_owned(),
    };
    let output = args.output.as_ref().map_or(Json::Null, |text| {
        serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone()))
    });
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let now = Clock::real().now();
        let answered = answer_callback(&store, &token, output, now).await;
        let answered = answered.map_err(|error| match &error {
            AnswerError::Run(error) => from_executor(error),
            AnswerError::UnknownStep(_)
            | AnswerError::NotWaiting { .. }
            | AnswerError::Ended(_)
            | AnswerError::NotAllowed { .. }
            | AnswerError::Already { .. }
            | AnswerError::Fields(_) => Failure::usage(error.to_string()),
        })?;
        match answered {
            CallbackAnswered::Taken { run } => {
                Change::new("run.callback", run.as_str()).note(&store).await?;
                output::say(&format!("answered; run {run} goes on as soon as it is advanced"));
                Ok(Exit::Ok)
            }
            CallbackAnswered::Duplicate { run } => {
                output::say(&format!("run {run} has had its answer; this one changes nothing"));
                Ok(Exit::Ok)
            }
            CallbackAnswered::Expired => Err(Failure::not_found("the token has expired")),
            CallbackAnswered::Unknown => Err(Failure::not_found("there is no such token")),
        }
    })
}
