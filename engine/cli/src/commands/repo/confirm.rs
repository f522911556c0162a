//! `plue repo confirm`: confirms that a repository with another id is the watched one.

use clap::Args;
use reqwest::StatusCode;

use crate::{
    app::App,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
};

/// `plue repo confirm`
#[derive(Debug, Args)]
pub struct ConfirmArgs {
    /// Name of the watched repository
    #[arg(value_name = "OWNER/NAME")]
    pub name: String,
    /// The forge's id of the repository that was refused, as `plue repo list` shows it
    #[arg(value_name = "ID")]
    pub id: String,
}

pub(super) fn run(args: &ConfirmArgs, app: &App) -> Outcome {
    connected(app, Purpose::Write, async |connection| {
        let ConfirmArgs { name, id } = args;
        let confirmed = connection.client.repositories().confirm(name, id).await;
        confirmed.map_err(|error| match error.status() {
            Some(StatusCode::NOT_FOUND) => {
                let what = format!("no repository with the id {id} came as {name}");
                Failure::not_found(what).hint("see `plue event list --repo OWNER/NAME`")
            }
            _ => error.into(),
        })?;
        output::report(&format!(
            "{name} is the repository with the id {id} now; send what was refused again"
        ));
        Ok(Exit::Ok)
    })
}
