//! `plue repo confirm`: the operator's word that a repository with another id is the watched one.

use clap::Args;
use plue_runtime::Clock;
use plue_store::AuditRow;
use serde_json::json;

use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output, wiring,
};

/// `plue repo confirm`
#[derive(Debug, Args)]
pub struct ConfirmArgs {
    /// The watched repository
    #[arg(value_name = "OWNER/NAME")]
    pub name: String,
    /// The forge's id of the repository that was refused, as `plue repo list` shows it
    #[arg(value_name = "ID")]
    pub id: String,
}

pub(super) fn run(args: &ConfirmArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let by = app.environment.get("USER").unwrap_or_else(|| "operator".to_owned());
        let now = Clock::real().now();
        let confirmed = store.repos().confirm_identity(&args.name, &args.id, now).await;
        if !confirmed.map_err(|error| from_store(&error))? {
            let what = format!("no repository with the id {} came as {}", args.id, args.name);
            return Err(Failure::not_found(what).hint("see `plue event list --repo OWNER/NAME`"));
        }
        let row = AuditRow {
            seq: 0,
            at: now,
            principal: by,
            action: "repo.confirm".to_owned(),
            subject: args.id.clone(),
            repo: Some(args.name.clone()),
            detail: json!({}),
        };
        store.audit().add(&row).await.map_err(|error| from_store(&error))?;
        output::say(&format!(
            "{} is the repository with the id {} now; send what was refused again",
            args.name, args.id
        ));
        Ok(Exit::Ok)
    })
}
