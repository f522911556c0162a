//! `plue event retry`: work again on a delivery that failed, was set aside, or waits for its next try.

use clap::Args;

use crate::{
    app::App,
    commands::watched_repo,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output,
    trail::Change,
    wiring,
};

/// `plue event retry`
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The delivery, as `plue event list` shows it
    #[arg(value_name = "DELIVERY")]
    pub id: String,
    /// The repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: String,
}

pub(super) fn run(args: &RetryArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let repo = watched_repo(&store, &args.repo).await?;
        let waits = store.delivery_queues().retry(&repo.hook, &args.id).await;
        if !waits.map_err(|error| from_store(&error))? {
            let what = format!("no delivery `{}` of {} failed or waits", args.id, args.repo);
            return Err(Failure::not_found(what).hint("see `plue event list`"));
        }
        let change = Change::new("event.retry", &args.id).of_repo(Some(repo.name));
        change.note(&store).await?;
        tell(args);
        Ok(Exit::Ok)
    })
}

/// Confirms the retry and names the command that shows its outcome.
pub(crate) fn tell(args: &RetryArgs) {
    output::say(&format!(
        "{} is worked on again; see `plue event list --repo {}`",
        args.id, args.repo
    ));
}
