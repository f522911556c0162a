//! `plue artifacts`: the files that the steps of a run have kept.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{ErrorKind, Write as _},
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use plue_api::records::kept::ArtifactRecord;
use plue_plan::RunId;
use plue_runtime::ConfinedDir;
use plue_store::Store;
use plue_wire::outputs::{BlobHash, MAX_PART_BYTES, path_bytes};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

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
    /// Overwrite files that are in the folder already
    #[arg(long, requires = "download")]
    pub force: bool,
    /// Where --get writes
    #[arg(long, value_name = "FILE", requires = "get")]
    pub to: Option<PathBuf>,
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    run: String,
    artifacts: &'a [ArtifactRecord],
}

pub(super) fn run(args: &ArtifactsArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let run = one_run(&store, &args.run).await?;
        let rows = store.artifacts().list(&run).await.map_err(|error| from_store(&error))?;
        let records = rows.iter().map(ArtifactRecord::of).collect();
        let read =
            async |record: &ArtifactRecord, write: Write<'_>| copy(&store, record, write).await;
        hand_over(args, app, (run.as_str(), records), read).await
    })
}

/// Takes the next bytes of a file.
pub(crate) type Write<'w> = &'w mut dyn FnMut(&[u8]) -> Result<(), Failure>;

/// Does what the arguments say with the artifacts of a run, whose content `read` gives.
pub(crate) async fn hand_over(
    args: &ArtifactsArgs,
    app: &App,
    (run, mut records): (&str, Vec<ArtifactRecord>),
    read: impl AsyncFn(&ArtifactRecord, Write<'_>) -> Result<(), Failure>,
) -> Outcome {
    records.retain(|record| args.step.as_ref().is_none_or(|step| record.step == *step));
    if !args.all {
        records = newest(records);
    }
    if let Some(path) = &args.get {
        return get(&records, path, args.to.as_deref(), read).await;
    }
    if let Some(folder) = &args.download {
        return download(&records, (folder, args.force), read).await;
    }
    let document = Document { schema_version: 1, run: run.to_owned(), artifacts: &records };
    output::list(args.output, &document, &records, || shown(&records, app))?;
    Ok(Exit::Ok)
}

/// Of each step, the files of its last attempt that kept some.
fn newest(records: Vec<ArtifactRecord>) -> Vec<ArtifactRecord> {
    let mut last: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for record in &records {
        let at = last.entry(record.step.clone()).or_default();
        *at = (*at).max((record.visit, record.attempt));
    }
    let is_last =
        |record: &ArtifactRecord| last.get(&record.step) == Some(&(record.visit, record.attempt));
    records.into_iter().filter(is_last).collect()
}

fn shown(records: &[ArtifactRecord], app: &App) -> String {
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

async fn get(
    records: &[ArtifactRecord],
    path: &str,
    to: Option<&Path>,
    read: impl AsyncFn(&ArtifactRecord, Write<'_>) -> Result<(), Failure>,
) -> Outcome {
    let found: Vec<_> = records.iter().filter(|record| record.path == path).collect();
    let record = match found.as_slice() {
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
        None => read(record, &mut |part| output::bytes(part)).await?,
        Some(to) => {
            let failed = |error: std::io::Error| Failure::infrastructure(&error);
            let mut file = std::fs::File::create(to).map_err(failed)?;
            read(record, &mut |part| file.write_all(part).map_err(failed)).await?;
        }
    }
    Ok(Exit::Ok)
}

async fn copy(store: &Store, record: &ArtifactRecord, write: Write<'_>) -> Result<(), Failure> {
    let blob: BlobHash = record.sha256.parse().map_err(|_| gone(record))?;
    if record.expired_at.is_some() {
        return Err(gone(record));
    }
    let reader = store.blobs().reader(&blob).await.map_err(|error| from_store(&error))?;
    let mut reader = reader.ok_or_else(|| gone(record))?;
    while let Some(part) = reader.next(MAX_PART_BYTES).await.map_err(|error| from_store(&error))? {
        write(&part)?;
    }
    Ok(())
}

/// Writes the unexpired artifacts of these steps that the folder lacks; returns their number.
pub(super) async fn put_back(
    store: &Store,
    run: &RunId,
    (steps, folder): (&[&str], &Path),
) -> Result<usize, Failure> {
    let rows = store.artifacts().list(run).await.map_err(|error| from_store(&error))?;
    let mut records = newest(rows.iter().map(ArtifactRecord::of).collect());
    records.retain(|record| {
        let is_absent = || is_absent(&folder.join(place_of(&record.path)));
        steps.contains(&record.step.as_str()) && record.expired_at.is_none() && is_absent()
    });
    if records.is_empty() {
        return Ok(0);
    }
    let failed = |error: std::io::Error| Failure::infrastructure(&error);
    let confined = ConfinedDir::open(folder).map_err(failed)?;
    for record in &records {
        let read =
            async |record: &ArtifactRecord, write: Write<'_>| copy(store, record, write).await;
        write_one(&confined, (record, &record.path), read).await?;
    }
    Ok(records.len())
}

/// Writes an artifact under the path, as executable as it was.
async fn write_one(
    confined: &ConfinedDir,
    (record, path): (&ArtifactRecord, &str),
    read: impl AsyncFn(&ArtifactRecord, Write<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut content = Vec::new();
    read(record, &mut |part| {
        content.extend_from_slice(part);
        Ok(())
    })
    .await?;
    let mode = if record.executable { 0o755 } else { 0o644 };
    let written = confined.write(&path_bytes(path), mode, |file| file.write_all(&content));
    written.map(drop).map_err(|error| Failure::infrastructure(&error))
}

/// The path as the file system has it.
fn place_of(path: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(path_bytes(path).to_vec()))
}

pub(crate) fn gone(record: &ArtifactRecord) -> Failure {
    let message = format!("the content of {} has expired", record.path);
    Failure::not_found(message).hint("artifacts.retention says how long it is kept")
}

fn is_absent(place: &Path) -> bool {
    place.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Whether something else than the artifact is at its place: a pipe or a link is never opened.
fn differs(place: &Path, record: &ArtifactRecord) -> bool {
    let Ok(found) = place.symlink_metadata() else { return !is_absent(place) };
    if !found.is_file() || found.len() != record.bytes {
        return true;
    }
    let content = std::fs::read(place).unwrap_or_default();
    hex::encode(Sha256::digest(content)) != record.sha256
}

/// Under their paths in the folder; never outside of it. With several steps that kept the same path,
/// each under the name of its step.
async fn download(
    records: &[ArtifactRecord],
    (folder, force): (&Path, bool),
    read: impl AsyncFn(&ArtifactRecord, Write<'_>) -> Result<(), Failure>,
) -> Outcome {
    let failed = |error: std::io::Error| Failure::infrastructure(&error);
    let path_of = |record: &ArtifactRecord| {
        let same = |other: &&ArtifactRecord| other.path == record.path && other.step != record.step;
        match records.iter().find(same) {
            Some(_) => format!("{}/{}", record.step, record.path),
            None => record.path.clone(),
        }
    };
    let kept = || records.iter().filter(|record| record.expired_at.is_none());
    if !force {
        let differs =
            |record: &&ArtifactRecord| differs(&folder.join(place_of(&path_of(record))), record);
        let there: Vec<String> = kept().filter(differs).map(path_of).collect();
        if let Some(first) = there.first() {
            let message = match there.len() {
                1 => format!("{first} is in {} already", folder.display()),
                count => {
                    format!("{first} and {} more are in {} already", count - 1, folder.display())
                }
            };
            return Err(
                Failure::usage(message).hint("name another folder, or overwrite them with --force")
            );
        }
    }
    std::fs::create_dir_all(folder).map_err(failed)?;
    let confined = ConfinedDir::open(folder).map_err(failed)?;
    let mut count = 0;
    for record in kept() {
        let path = path_of(record);
        write_one(&confined, (record, &path), &read).await?;
        count += 1;
    }
    output::say(&format!("{count} files are in {}", folder.display()));
    Ok(Exit::Ok)
}
