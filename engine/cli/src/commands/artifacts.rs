//! `plue artifacts`: the files that the steps of a run have kept.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
};

use plue_runtime::Beneath;
use plue_store::{ArtifactRow, Store};
use plue_wire::keep::MAX_PART_BYTES;
use serde::Serialize;

use super::one_run;
use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output,
    render::table::{self, plain},
    wiring,
};

/// `plue artifacts`
#[derive(Debug, clap::Args)]
pub struct ArtifactsArgs {
    /// A run id, the beginning of one, or `last`
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Only files of this step
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    /// Of every attempt, not only of the last that kept some
    #[arg(long)]
    pub all: bool,
    /// Write this file to standard output, or to --to
    #[arg(long, value_name = "PATH", conflicts_with_all = ["download", "output"])]
    pub get: Option<String>,
    /// Write all files into this folder, under their paths
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    pub download: Option<PathBuf>,
    /// Where --get writes
    #[arg(long, value_name = "FILE", requires = "get")]
    pub to: Option<PathBuf>,
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// One artifact.
#[derive(Debug, Serialize)]
struct Record {
    step: String,
    visit: u32,
    attempt: u32,
    path: String,
    bytes: u64,
    sha256: String,
    executable: bool,
    created_at: String,
    expired_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    run: String,
    artifacts: &'a [Record],
}

pub(super) fn run(args: &ArtifactsArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let run = one_run(&store, &args.run).await?;
        let mut rows = store.artifacts(&run).await.map_err(|error| from_store(&error))?;
        rows.retain(|row| args.step.as_ref().is_none_or(|step| row.step.as_str() == step));
        if !args.all {
            rows = newest(rows);
        }
        if let Some(path) = &args.get {
            return get(&store, &rows, path, args.to.as_deref()).await;
        }
        if let Some(folder) = &args.download {
            return download(&store, &rows, folder).await;
        }
        let records: Vec<Record> = rows.iter().map(Record::of).collect();
        let document = Document { schema_version: 1, run: run.to_string(), artifacts: &records };
        output::list(args.output, &document, &records, || shown(&records, app))?;
        Ok(Exit::Ok)
    })
}

// === impl Record ===

impl Record {
    fn of(row: &ArtifactRow) -> Self {
        Self {
            step: row.step.to_string(),
            visit: row.visit,
            attempt: row.number,
            path: row.path.clone(),
            bytes: row.bytes,
            sha256: row.blob.to_string(),
            executable: row.executable,
            created_at: row.created_at.to_string(),
            expired_at: row.expired_at.map(|at| at.to_string()),
        }
    }
}

/// Of each step, the files of its last attempt that kept some.
fn newest(rows: Vec<ArtifactRow>) -> Vec<ArtifactRow> {
    let mut last: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for row in &rows {
        let at = last.entry(row.step.to_string()).or_default();
        *at = (*at).max((row.visit, row.number));
    }
    let is_last = |row: &ArtifactRow| last.get(row.step.as_str()) == Some(&(row.visit, row.number));
    rows.into_iter().filter(is_last).collect()
}

fn shown(records: &[Record], app: &App) -> String {
    let rows = records.iter().map(|record| {
        let state = if record.expired_at.is_some() { "expired" } else { "" };
        vec![
            plain(record.step.as_str()),
            plain(record.path.as_str()),
            plain(record.bytes.to_string()),
            plain(record.sha256.chars().take(12).collect::<String>()),
            plain(state),
        ]
    });
    let rows: Vec<_> = rows.collect();
    table::render(&["step", "path", "bytes", "sha256", ""], &rows, &app.stdout)
}

async fn get(store: &Store, rows: &[ArtifactRow], path: &str, to: Option<&Path>) -> Outcome {
    let found: Vec<_> = rows.iter().filter(|row| row.path == path).collect();
    let row = match found.as_slice() {
        [one] => *one,
        [] => {
            let message = format!("there is no artifact {path:?}");
            return Err(Failure::not_found(message).hint("see `plue artifacts RUN`"));
        }
        _ => {
            let message = format!("more than one step has kept {path:?}");
            return Err(Failure::usage(message).hint("name one with --step"));
        }
    };
    match to {
        None => copy(store, row, &mut |part| output::bytes(part)).await?,
        Some(to) => {
            let failed = |error: std::io::Error| Failure::infrastructure(&error);
            let mut file = std::fs::File::create(to).map_err(failed)?;
            copy(store, row, &mut |part| file.write_all(part).map_err(failed)).await?;
        }
    }
    Ok(Exit::Ok)
}

async fn copy(
    store: &Store,
    row: &ArtifactRow,
    write: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let gone = || {
        let message = format!("the content of {} has expired", row.path);
        Failure::not_found(message).hint("artifacts.retention says how long it is kept")
    };
    if row.expired_at.is_some() {
        return Err(gone());
    }
    let mut offset = 0;
    while offset < row.bytes {
        let part = store.read_blob(&row.blob, offset, MAX_PART_BYTES).await;
        let part = part.map_err(|error| from_store(&error))?.unwrap_or_default();
        if part.is_empty() {
            return Err(gone());
        }
        offset += part.len() as u64;
        write(&part)?;
    }
    Ok(())
}

/// Under their paths in the folder; never outside of it. With several steps that kept the same path,
/// each under the name of its step.
async fn download(store: &Store, rows: &[ArtifactRow], folder: &Path) -> Outcome {
    let failed = |error: std::io::Error| Failure::infrastructure(&error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let beneath = Beneath::open(folder).map_err(failed)?;
    let mut count = 0;
    for row in rows.iter().filter(|row| row.expired_at.is_none()) {
        let is_shared = rows.iter().any(|other| other.path == row.path && other.step != row.step);
        let path = if is_shared { format!("{}/{}", row.step, row.path) } else { row.path.clone() };
        let mut content = Vec::new();
        copy(store, row, &mut |part| {
            content.extend_from_slice(part);
            Ok(())
        })
        .await?;
        let mode = if row.executable { 0o755 } else { 0o644 };
        let written = beneath.write(path.as_bytes(), mode, |file| file.write_all(&content));
        written.map_err(failed)?;
        count += 1;
    }
    output::say(&format!("{count} files are in {}", folder.display()));
    Ok(Exit::Ok)
}
