//! `plue event send`: a message for a repository that a server watches. It starts the plans whose
//! `on_event` fits, and goes to the steps of its runs that wait on the topic.

use std::path::{Path, PathBuf};

use clap::Args;
use plue_api::commands::EventRequest;
use plue_runtime::Ids;
use plue_server::messages::MAX_DATA_BYTES;
use serde_json::Value as Json;

use crate::{
    app::App,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
};

/// `plue event send`
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The topic, as `on_event` names it
    #[arg(value_name = "TOPIC")]
    pub topic: String,
    /// The repository it is for
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: String,
    /// Its content: a file (`-` for standard input), read as JSON if it is, else as text
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Your id of the message: sent again under it, it is still one message
    #[arg(long, value_name = "TEXT")]
    pub id: Option<String>,
}

pub(super) fn run(args: &SendArgs, app: &App) -> Outcome {
    let payload = args.data.as_deref().map_or(Ok(Json::Null), data)?;
    let request = EventRequest { topic: args.topic.clone(), payload };
    let id = args.id.clone().unwrap_or_else(|| Ids::random().text());
    connected(app, Purpose::Write, async |connection| {
        let sent = connection.client.repositories().send_event(&args.repo, &request, &id).await;
        let unknown = |error| Failure::from(error).hint_if_not_found("see `plue repo list`");
        let is_new = sent.map_err(unknown)?.new;
        let what = if is_new { "sent" } else { "it came before, and changes nothing" };
        output::report(&format!("`{}` for {}: {what}", args.topic, args.repo));
        Ok(Exit::Ok)
    })
}

fn data(path: &Path) -> Result<Json, Failure> {
    let bytes = super::read(path, "message")?;
    if bytes.len() > MAX_DATA_BYTES {
        let message = format!("the message has more than {MAX_DATA_BYTES} bytes");
        return Err(Failure::usage(message));
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| Failure::usage("the message is not UTF-8"))?;
    Ok(serde_json::from_str(&text).unwrap_or(Json::String(text)))
}
