//! `plue event list`: what came for a repository, and why which plan ran or did not.

use clap::Args;
use plue_api::records::resources::DeliveryRecord;

use crate::{
    app::App,
    args::Format,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{SCHEMA_VERSION, event::Deliveries},
    render::table,
};

/// `plue event list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: String,
    /// So many at most, the newest first
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    pub limit: u32,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

pub(super) fn run(args: &ListArgs, app: &App) -> Outcome {
    connected(app, Purpose::Write, async |connection| {
        let found = connection.client.repositories().deliveries(&args.repo, args.limit).await;
        let unknown = |error| Failure::from(error).hint_if_not_found("see `plue repo list`");
        print(found.map_err(unknown)?, args, app)
    })
}

fn print(deliveries: Vec<DeliveryRecord>, args: &ListArgs, app: &App) -> Outcome {
    let document = Deliveries { schema_version: SCHEMA_VERSION, deliveries };
    output::list(args.output, &document, &document.deliveries, || {
        let rows: Vec<Vec<table::Cell>> = document.deliveries.iter().flat_map(rows_of).collect();
        let head = ["RECEIVED", "SOURCE", "DELIVERY", "STATE", "WHAT CAME OF IT"];
        table::render(&head, &rows, &app.stdout)
    })?;
    Ok(Exit::Ok)
}

/// A row for the delivery, with a line for each workflow below one another.
fn rows_of(one: &DeliveryRecord) -> Vec<Vec<table::Cell>> {
    let mut lines = lines_of(one).into_iter();
    let first = lines.next().unwrap_or_default();
    let (source, state) = (one.source.clone(), one.state.clone());
    let cells = [one.received_at.to_string(), source, one.id.clone(), state, first];
    let mut rows = vec![cells.map(table::plain).to_vec()];
    rows.extend(lines.map(|line| {
        let empty = String::new;
        [empty(), empty(), empty(), empty(), line].map(table::plain).to_vec()
    }));
    rows
}

/// Lines of a delivery: its note, the status of its runs, and the time of the next try.
fn lines_of(one: &DeliveryRecord) -> Vec<String> {
    let note = one.note.as_deref().unwrap_or_default();
    let mut lines: Vec<String> = note.lines().map(str::to_owned).collect();
    for made in &one.workflows {
        let (Some(run), Some(status)) = (&made.run, &made.status) else { continue };
        if let Some(line) = lines.iter_mut().find(|line| line.contains(run.as_str())) {
            line.push_str(&format!(" ({status})"));
        }
    }
    if let Some(at) = &one.next_at {
        lines.push(format!("next try at {at}"));
    }
    lines
}
