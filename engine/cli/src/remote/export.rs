//! `plue export` of a run of a server: into a file that is checked before it gets its name, or as a
//! tree of records.

use std::io::Write as _;

use plue_api::records::{Page, RunRecord, told::StatusRecord};
use plue_archive::export::{MAX_TOTAL_BYTES, read, write::Written};

use super::{client::Client, tell::last_of};
use crate::{
    app::App,
    commands::export::{self, Draft, ExportArgs, Layout, files},
    exit::Exit,
    failure::{Failure, Outcome, from_archive},
    records::{SCHEMA_VERSION, Status},
};

/// Runs of one page: the most that a server gives.
const PAGE: u32 = 200;

pub(super) async fn run(client: &Client, args: &ExportArgs, app: &App) -> Outcome {
    if args.layout == Layout::Files {
        return tree(client, args, app).await;
    }
    let run = client.one_run(&args.run).await?.id;
    let (draft, mut file) = Draft::begin(args)?;
    let mut bytes = 0;
    let path = format!("/api/v1/runs/{run}/archive");
    let mut write = |part: &[u8]| {
        bytes += part.len() as u64;
        if bytes > MAX_TOTAL_BYTES {
            return Err(Failure::usage("the server's file is too long"));
        }
        file.write_all(part).map_err(|error| draft.failed(&error))
    };
    client.stream(&path, &mut write).await?;
    file.sync_all().map_err(|error| draft.failed(&error))?;
    drop(file);
    // What a server sends is checked like what anybody sends.
    let checked = read::check(draft.path()).map_err(|error| from_archive(&error))?;
    if checked.run.as_str() != run {
        return Err(Failure::usage(format!("the server sent run {}", checked.run)));
    }
    draft.keep()?;
    let manifest = checked.manifest;
    let written = Written {
        entries: manifest.entries.len(),
        bytes: manifest.entries.values().map(|(_, size)| size).sum(),
        missing: manifest.missing,
    };
    export::tell(&run, args, &written, app);
    Ok(Exit::Ok)
}

async fn tree(client: &Client, args: &ExportArgs, app: &App) -> Outcome {
    let runs = match args.run.as_str() {
        "all" => all(client).await?,
        one => vec![client.one_run(one).await?.id],
    };
    let document = async |run: &str| {
        let told: StatusRecord = client.get(&format!("/api/v1/runs/{run}/status")).await?;
        Ok(Status { schema_version: SCHEMA_VERSION, told })
    };
    let last = async |workflow: &str| last_of(client, workflow).await;
    files::write(&runs, document, last, args, app).await
}

/// Every run, newest first.
async fn all(client: &Client) -> Result<Vec<String>, Failure> {
    let mut runs: Vec<String> = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/runs?limit={PAGE}{cursor}");
        let page: Page<RunRecord> = client.get(&path).await?;
        runs.extend(page.items.into_iter().map(|run| run.id));
        match page.next {
            Some(next) => cursor = format!("&cursor={}", super::client::encoded(&next)),
            None => return Ok(runs),
        }
    }
}
