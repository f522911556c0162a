//! `plue explain`: why a run or step did what it did, from its journal.

use jiff::tz::TimeZone;

use super::logs::pieces::known_step;
use crate::{
    app::App,
    args::{ExplainArgs, Format},
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{ExplainRecord, Explained, SCHEMA_VERSION},
};

mod text;

pub(super) fn run(args: &ExplainArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| {
        let client = &connection.client;
        let run = connection.run(&args.run).await?.id;
        if let Some(step) = &args.step {
            known_step(&client.runs().status(&run).await?, step)?;
        }
        let zone = TimeZone::system();
        let zone = zone.iana_name().unwrap_or("UTC");
        let explanation = client.runs().explanation(&run, args.step.as_deref(), zone).await?;
        shown(explanation, args, app)?;
        Ok(Exit::Ok)
    })
}

/// Prints the explanation in the format of the options.
fn shown(explanation: ExplainRecord, args: &ExplainArgs, app: &App) -> Result<(), Failure> {
    let document = Explained { schema_version: SCHEMA_VERSION, explanation };
    match args.output {
        Format::Table => output::text(&text::render(&document.explanation, app)),
        Format::Json => output::pretty(&document),
        Format::Jsonl => document.explanation.steps.iter().try_for_each(output::json),
    }
}
