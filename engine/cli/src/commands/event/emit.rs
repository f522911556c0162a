//! `plue event emit`: a message on a topic, for steps that wait for one.

use clap::Args;
use plue_runtime::Clock;
use serde_json::Value as Json;

use crate::{
    app::App,
    commands::decide::whoever,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output, wiring,
};

/// Characters of a topic.
const MAX_TOPIC: usize = 256;
/// Bytes of a message.
const MAX_DATA_BYTES: usize = plue_plan::limits::MAX_OUTPUT_BYTES;

/// `plue event emit`
#[derive(Debug, Args)]
pub struct EmitArgs {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub topic: String,
    /// What it says; read as JSON if it is, else as text
    #[arg(long, value_name = "JSON")]
    pub data: Option<String>,
}

pub(super) fn run(args: &EmitArgs, app: &App) -> Outcome {
    let characters = args.topic.chars().count();
    if characters == 0 || characters > MAX_TOPIC || args.topic.chars().any(char::is_control) {
        let message = format!("a topic is 1 to {MAX_TOPIC} printable characters");
        return Err(Failure::usage(message));
    }
    let data = args.data.as_ref().map_or(Json::Null, |text| {
        serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone()))
    });
    let size = data.to_string().len();
    if size > MAX_DATA_BYTES {
        let message = format!("the message has {size} bytes, more than {MAX_DATA_BYTES}");
        return Err(Failure::usage(message));
    }
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let now = Clock::real().now();
        let emitted = store.emit(&args.topic, data, &whoever(app), now).await;
        emitted.map_err(|error| from_store(&error))?;
        output::say(&format!("emitted on `{}`", args.topic));
        Ok(Exit::Ok)
    })
}
