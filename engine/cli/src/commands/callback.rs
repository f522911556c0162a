//! `plue callback`: answers a `call` step that waits, with its one-time token.

use std::io::Read as _;

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

/// Bytes of a token on standard input.
const MAX_TOKEN: u64 = 1_024;

// === impl CallbackArgs ===

impl CallbackArgs {
    /// The token, from the command line or from standard input.
    pub fn token(&self) -> Result<String, Failure> {
        if self.token != "-" {
            return Ok(self.token.clone());
        }
        let mut text = String::new();
        let read = std::io::stdin().take(MAX_TOKEN + 1).read_to_string(&mut text);
        read.map_err(|error| Failure::infrastructure(&error))?;
        if text.len() as u64 > MAX_TOKEN {
            return Err(Failure::usage(format!("a token has at most {MAX_TOKEN} bytes")));
        }
        Ok(text)
    }
}

pub(super) fn run(args: &CallbackArgs, app: &App) -> Outcome {
    let token = args.token()?;
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
            | AnswerError::WhichCall { .. }
            | AnswerError::NoSuchCall { .. }
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
