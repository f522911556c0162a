//! `plue artifacts`: the files that the steps of a run have kept.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{ErrorKind, Write as _},
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use plue_api::records::artifact::ArtifactRecord;
use plue_client::Client;
use plue_runtime::ConfinedDir;
use plue_wire::outputs::path_bytes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    app::App,
    args::Format,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    render::table::{self, plain},
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
    /// Path that --get writes to
    #[arg(long, value_name = "FILE", requires = "get")]
    pub to: Option<PathBuf>,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Takes the next bytes of a file.
type Write<'w> = &'w mut dyn FnMut(&[u8]) -> Result<(), Failure>;

/// The run that artifacts are read from.
struct Source<'a> {
    client: &'a Client,
    run: &'a str,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    run: String,
    artifacts: &'a [ArtifactRecord],
}

pub(super) fn run(args: &ArtifactsArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| {
        let run = connection.run(&args.run).await?.id;
        show(&connection.client, &run, args, app).await
    })
}

async fn show(client: &Client, run: &str, args: &ArtifactsArgs, app: &App) -> Outcome {
    let mut records = client.runs().artifacts(run).await?;
    records.retain(|record| args.step.as_ref().is_none_or(|step| record.step == *step));
    if !args.all {
        records = newest(records);
    }
    let source = Source { client, run };
    if let Some(path) = &args.get {
        return get(&source, &records, path, args.to.as_deref()).await;
    }
    if let Some(folder) = &args.download {
        return download(&source, &records, folder, args.force).await;
    }
    let document = Document { schema_version: 1, run: run.to_owned(), artifacts: &records };
    output::list(args.output, &document, &records, || shown(&records, app))?;
    Ok(Exit::Ok)
}

// === impl Source ===

impl Source<'_> {
    /// Hands over the content of an artifact.
    async fn read(&self, record: &ArtifactRecord, write: Write<'_>) -> Result<(), Failure> {
        if record.expired_at.is_some() {
            return Err(gone(record));
        }
        self.client.runs().artifact(self.run, record, write).await
    }
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
    source: &Source<'_>,
    records: &[ArtifactRecord],
    path: &str,
    to: Option<&Path>,
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
        None => source.read(record, &mut |part| output::bytes(part)).await?,
        Some(to) => {
            let failed = |error: std::io::Error| Failure::infrastructure(&error);
            let mut file = std::fs::File::create(to).map_err(failed)?;
            source.read(record, &mut |part| file.write_all(part).map_err(failed)).await?;
        }
    }
    Ok(Exit::Ok)
}

/// Writes an artifact under the path, as executable as it was.
async fn write_one(
    source: &Source<'_>,
    confined: &ConfinedDir,
    record: &ArtifactRecord,
    path: &str,
) -> Result<(), Failure> {
    let mut content = Vec::new();
    let mut collect = |part: &[u8]| {
        content.extend_from_slice(part);
        Ok(())
    };
    source.read(record, &mut collect).await?;
    let mode = if record.executable { 0o755 } else { 0o644 };
    let written = confined.write(&path_bytes(path), mode, |file| file.write_all(&content));
    written.map(drop).map_err(|error| Failure::infrastructure(&error))
}

/// The path as the file system has it.
fn place_of(path: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(path_bytes(path).to_vec()))
}

fn gone(record: &ArtifactRecord) -> Failure {
    let message = format!("the content of {} has expired", record.path);
    Failure::not_found(message).hint("artifacts.retention sets how long it is kept")
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
    source: &Source<'_>,
    records: &[ArtifactRecord],
    folder: &Path,
    force: bool,
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
        write_one(source, &confined, record, &path).await?;
        count += 1;
    }
    output::report(&format!("{count} files are in {}", folder.display()));
    Ok(Exit::Ok)
}
