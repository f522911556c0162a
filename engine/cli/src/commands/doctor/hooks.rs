//! The webhooks of watched repositories: a hook whose deliveries are all ignored looks green at its forge.

use plue_api::watched::repo_record;

use crate::{app::App, records::Check, wiring};

/// A check for each repository with a problem; none where there is no database, or nothing is watched.
pub(super) async fn deliveries(app: &App) -> Vec<Check> {
    let Ok(store) = wiring::open_existing(app).await else { return Vec::new() };
    let Ok(repos) = store.repos().list().await else { return Vec::new() };
    let mut checks = Vec::new();
    for row in &repos {
        let Ok(record) = repo_record(&store, row).await else { continue };
        let Some(problem) = record.problem else { continue };
        let what = format!("webhook: {}", row.name);
        checks.push(Check::warn(
            &what,
            problem,
            "read the newest delivery",
            "see `plue event list --repo OWNER/NAME`; mend the cause, then send it again from the forge",
        ));
    }
    checks
}
