//! `plue explain`: why a run or step did what it did, from its journal.

use jiff::tz::TimeZone;
use plue_api::explain::{Subject, explained};
use plue_executor::Loaded;

use super::one_run;
use crate::{
    app::App,
    args::{ExplainArgs, Format},
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output,
    records::{ExplainRecord, Explained, SCHEMA_VERSION},
    wiring,
};

mod told;

pub(super) fn run(args: &ExplainArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let run = one_run(&store, &args.run).await?;
        let loaded = Loaded::read(&store, &run).await.map_err(|error| from_executor(&error))?;
        let only = args.step.as_deref().map(|step| super::logs::known_step(&loaded, step));
        let only = only.transpose()?;
        let Loaded { row, source, plan, run, .. } = &loaded;
        let subject = Subject { row, source, plan, run };
        let zone = TimeZone::system();
        let told = explained(&store, subject, only.as_ref(), &zone).await;
        shown(told.map_err(|error| from_store(&error))?, args, app)?;
        Ok(Exit::Ok)
    })
}

/// Prints it as it was asked for.
pub(crate) fn shown(told: ExplainRecord, args: &ExplainArgs, app: &App) -> Result<(), Failure> {
    let document = Explained { schema_version: SCHEMA_VERSION, told };
    match args.output {
        Format::Table => output::text(&told::told(&document.told, app)),
        Format::Json => output::pretty(&document),
        Format::Jsonl => document.told.steps.iter().try_for_each(output::json),
    }
}
