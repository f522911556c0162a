//! `plue migrate`: brings the tables up to what this program knows, before a server of it starts.
//!
//! Every command that opens a database migrates it too; this one is for planned times. Concurrent
//! migrations wait for each other.

use plue_store::SCHEMA_VERSION;

use crate::{app::App, exit::Exit, failure::Outcome, output, trail::Change, wiring};

pub(super) fn run(app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let version = SCHEMA_VERSION.to_string();
        Change::new("database.migrate", &version).note(&store).await
    })?;
    output::line(&format!("the tables are of version {SCHEMA_VERSION}"))?;
    Ok(Exit::Ok)
}
