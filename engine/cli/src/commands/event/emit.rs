//! `plue event emit`: a message on a topic, for steps that wait for one.

use clap::Args;
use plue_api::commands::EmitRequest;
use serde_json::Value as Json;

use crate::{
    app::App,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
};

/// `plue event emit`
#[derive(Debug, Args)]
pub struct EmitArgs {
    /// Topic of the message
    #[arg(value_name = "TOPIC")]
    pub topic: String,
    /// Its content; read as JSON if it is, else as text
    #[arg(long, value_name = "JSON")]
    pub data: Option<String>,
}

pub(super) fn run(args: &EmitArgs, app: &App) -> Outcome {
    let request = request(args)?;
    connected(app, Purpose::Write, async |connection| {
        connection.client.repositories().emit(&request).await?;
        output::report(&format!("emitted on `{}`", request.topic));
        Ok(Exit::Ok)
    })
}

/// The message of the options, within its limits.
fn request(args: &EmitArgs) -> Result<EmitRequest, Failure> {
    let data = args.data.as_ref().map_or(Json::Null, |text| {
        serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone()))
    });
    let request = EmitRequest { topic: args.topic.clone(), data };
    request.check().map_err(Failure::usage)?;
    Ok(request)
}
