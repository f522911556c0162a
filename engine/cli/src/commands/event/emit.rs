//! `plue event emit`: a message on a topic, for steps that wait for one.

use clap::Args;
use plue_api::commands::EmitRequest;
use plue_runtime::Clock;
use serde_json::Value as Json;

use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output, person,
    trail::Change,
    wiring,
};

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
    let EmitRequest { topic, data } = request(args)?;
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let now = Clock::real().now();
        let emitted = store.topics().emit(&topic, data, &person::name(), now).await;
        emitted.map_err(|error| from_store(&error))?;
        Change::new("event.emit", &topic).note(&store).await?;
        output::say(&format!("emitted on `{topic}`"));
        Ok(Exit::Ok)
    })
}

/// What is to be sent, if it may be.
pub(crate) fn request(args: &EmitArgs) -> Result<EmitRequest, Failure> {
    let data = args.data.as_ref().map_or(Json::Null, |text| {
        serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone()))
    });
    let request = EmitRequest { topic: args.topic.clone(), data };
    request.check().map_err(Failure::usage)?;
    Ok(request)
}
