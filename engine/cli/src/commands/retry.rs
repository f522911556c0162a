//! `plue retry`: reopens an ended run with the same plan, at its failed steps or from one step on.

use plue_api::{
    commands::{RetryFiles, RetryRequest},
    records::retry::RestoredFiles,
};

use super::logs::pieces::known_step;
use crate::{
    app::App,
    args::RetryArgs,
    attach::AttachedRun,
    connect::{Connection, Purpose, connected},
    failure::Outcome,
    follow::Until,
    output,
    terminal::sanitize,
};

/// Treatment of the files that the steps had changed.
#[derive(Debug, clap::Args)]
pub struct FilesArgs {
    /// Put files back even if they were changed outside of the run; copies of them are kept aside
    #[arg(long, conflicts_with = "keep_files")]
    pub force: bool,
    /// Leave all files as they are
    #[arg(long)]
    pub keep_files: bool,
}

pub(super) fn run(args: &RetryArgs, app: &App) -> Outcome {
    connected(app, Purpose::Drive, async |connection| retry(connection, args, app).await)
}

async fn retry(connection: &Connection, args: &RetryArgs, app: &App) -> Outcome {
    let client = &connection.client;
    let run = connection.run(&args.run).await?.id;
    // Steps that are done need theirs no more; one that lacks its secret is refused by name.
    let secrets = connection.secrets(app, &run, &args.secrets).await?.secrets;
    if let Some(step) = &args.from {
        known_step(&client.runs().status(&run).await?, step)?;
    }
    let mut attached = AttachedRun::new(app, connection, &run).await?;
    attached.skip_past().await?;
    let files = args.files.choice();
    let request = RetryRequest { from: args.from.clone(), failed: args.failed, files };
    let retried = client.runs().retry(&run, &request).await?;
    report_files(&retried.files, app);
    if app.verbosity >= 0 {
        output::report(&format!("run {run} goes on"));
    }
    attached.wait(secrets, Until::End).await
}

/// Prints the files that were put back, and those that were not.
pub(super) fn report_files(files: &RestoredFiles, app: &App) {
    if files.restored > 0 && app.verbosity >= 0 {
        output::report(&format!("{} files are what they were before those steps", files.restored));
    }
    if let Some(aside) = &files.aside {
        output::report(&format!("what was overwritten is in {aside}"));
    }
    if !files.shared.is_empty() {
        let named: Vec<_> = files.shared.iter().take(3).map(String::as_str).collect();
        let named = named.join(", ");
        let named = sanitize(&named, false);
        output::report(&format!(
            "{} files were changed while other steps ran too and stay as they are: {named}",
            files.shared.len()
        ));
    }
}

// === impl FilesArgs ===

impl FilesArgs {
    /// The treatment that the options name.
    pub(super) fn choice(&self) -> RetryFiles {
        match (self.force, self.keep_files) {
            (true, _) => RetryFiles::Force,
            (false, true) => RetryFiles::Keep,
            (false, false) => RetryFiles::Restore,
        }
    }
}
