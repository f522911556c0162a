//! `plue event send`: a message for a repository that a server watches. It starts the plans whose
//! `on_event` fits, and goes to the steps of its runs that wait on the topic.

use std::path::{Path, PathBuf};

use clap::Args;
use plue_api::commands::EventRequest;
use plue_runtime::{Clock, Ids};
use plue_server::messages::{MAX_DATA_BYTES, Message, publish};
use serde_json::{Value as Json, json};

use crate::{
    app::App,
    commands::watched_repo,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output, person,
    trail::Change,
    wiring,
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
    /// What it says: a file (`-` for standard input), read as JSON if it is, else as text
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Your id of the message: sent again under it, it is still one message
    #[arg(long, value_name = "TEXT")]
    pub id: Option<String>,
}

// === impl SendArgs ===

impl SendArgs {
    /// What a server is sent.
    pub(crate) fn request(&self) -> Result<EventRequest, Failure> {
        let payload = self.data.as_deref().map_or(Ok(Json::Null), data)?;
        Ok(EventRequest { topic: self.topic.clone(), payload })
    }
}

pub(super) fn run(args: &SendArgs, app: &App) -> Outcome {
    let EventRequest { topic, payload: data } = args.request()?;
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let repo = watched_repo(&store, &args.repo).await?;
        let id = args.id.clone().unwrap_or_else(|| Ids::random().text());
        let message = Message { topic, data, by: person::name() };
        let sent = publish(&store, &repo, message, &id, Clock::real().now()).await;
        let is_new = sent.map_err(|error| match error {
            plue_server::Error::Unfit(why) => Failure::usage(why),
            plue_server::Error::Store(error) => from_store(&error),
            other => Failure::infrastructure(&other),
        })?;
        if is_new {
            let change = Change::new("event.send", &args.topic).of_repo(Some(args.repo.clone()));
            change.with(json!({"id": id})).note(&store).await?;
        }
        tell(args, is_new);
        Ok(Exit::Ok)
    })
}

/// Says what became of it.
pub(crate) fn tell(args: &SendArgs, is_new: bool) {
    let what = if is_new { "sent" } else { "it came before, and changes nothing" };
    output::say(&format!("`{}` for {}: {what}", args.topic, args.repo));
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
