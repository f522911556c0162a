//! `plue callback`: answers a `call` step that waits, with its one-time token.

use std::io::Read as _;

use clap::Args;
use reqwest::StatusCode;
use serde_json::Value as Json;

use crate::{
    app::App,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
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
    fn token(&self) -> Result<String, Failure> {
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
    connected(app, Purpose::Read, async |connection| {
        let answered = connection.client.runs().answer_callback(token.trim(), &output).await;
        let is_first = answered.map_err(|error| match error.status() {
            Some(StatusCode::NOT_FOUND) => Failure::not_found("there is no such token"),
            Some(StatusCode::GONE) => Failure::not_found("the token has expired"),
            _ => error.into(),
        })?;
        output::report(match (is_first, connection.machine()) {
            (false, _) => "the call has had its answer; this one changes nothing",
            (true, None) => "answered; the run goes on",
            (true, Some(_)) => "answered; the run goes on as soon as it is advanced",
        });
        Ok(Exit::Ok)
    })
}
