//! `plue event list`: what came for a repository, and why which plan ran or did not.

use clap::Args;
use plue_api::records::place::DeliveryRecord;

use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output,
    records::{SCHEMA_VERSION, event::Deliveries},
    render::table,
    wiring,
};

/// `plue event list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: String,
    /// So many at most, the newest first
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    pub limit: u32,
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

pub(super) fn run(args: &ListArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_store(app).await?;
        let repo = store.repo(&args.repo).await.map_err(|error| from_store(&error))?;
        let repo = repo.ok_or_else(|| {
            Failure::not_found(format!("`{}` is not watched", args.repo))
                .hint("see `plue repo list`")
        })?;
        let rows = store.deliveries(&repo.hook, None, args.limit).await;
        let rows = rows.map_err(|error| from_store(&error))?;
        print(rows.into_iter().map(DeliveryRecord::of).collect(), args, app)
    })
}

/// Prints a list, wherever it comes from.
pub(crate) fn print(deliveries: Vec<DeliveryRecord>, args: &ListArgs, app: &App) -> Outcome {
    let document = Deliveries { schema_version: SCHEMA_VERSION, deliveries };
    output::list(args.output, &document, &document.deliveries, || {
        let rows = document.deliveries.iter().map(|one| {
            let note = one.note.as_deref().unwrap_or_default().replace('\n', "; ");
            let cells = [one.received_at.to_string(), one.source.clone(), one.state.clone(), note];
            cells.map(table::plain).to_vec()
        });
        let head = ["RECEIVED", "SOURCE", "STATE", "WHAT CAME OF IT"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    Ok(Exit::Ok)
}
