//! `plue event retry`: work again on a delivery that failed, was set aside, or waits for its next try.

use clap::Args;

use crate::{
    app::App,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
};

/// `plue event retry`
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The delivery, as `plue event list` shows it
    #[arg(value_name = "DELIVERY")]
    pub id: String,
    /// Repository of the delivery
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: String,
}

pub(super) fn run(args: &RetryArgs, app: &App) -> Outcome {
    connected(app, Purpose::Write, async |connection| {
        let retried = connection.client.repositories().retry_delivery(&args.repo, &args.id).await;
        retried.map_err(|error| Failure::from(error).hint_if_not_found("see `plue event list`"))?;
        confirm(args);
        Ok(Exit::Ok)
    })
}

/// Confirms the retry and names the command that shows its outcome.
fn confirm(args: &RetryArgs) {
    output::report(&format!(
        "{} is worked on again; see `plue event list --repo {}`",
        args.id, args.repo
    ));
}
