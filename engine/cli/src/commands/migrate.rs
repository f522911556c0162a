//! `plue migrate`: brings the tables up to what this program knows, before a server of it starts.
//!
//! Whoever opens a database does that as well; this is for those who want it at a time of their own. Of
//! several at once one does it and the others wait.

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
