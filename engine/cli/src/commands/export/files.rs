//! `plue export --layout files`: runs as a tree of JSON files. The database stays the truth; nothing reads
//! these files back.

use std::{collections::BTreeMap, fs, path::Path};

use plue_plan::RunId;
use plue_store::{RunFilter, Store};
use serde::Serialize;

use super::ExportArgs;
use crate::{
    app::App,
    commands::{one_run, status, task, template::slug},
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output,
    records::{RunRecord, SCHEMA_VERSION, Status, TaskFile},
};

/// Runs of one page of the store.
const PAGE: u32 = 500;

/// Runs of this machine.
pub(super) async fn of_store(store: &Store, args: &ExportArgs, app: &App) -> Outcome {
    let runs = match args.run.as_str() {
        "all" => all(store).await?,
        one => vec![one_run(store, one).await?],
    };
    let runs: Vec<String> = runs.iter().map(ToString::to_string).collect();
    let document = async |run: &str| {
        let (document, _) = status::document(store, &RunId::new(run)).await?;
        Ok(document)
    };
    let last = async |workflow: &str| {
        let row = task::last(store, workflow).await?;
        Ok(row.as_ref().map(RunRecord::of))
    };
    write(&runs, document, last, args, app).await
}

/// Writes runs, wherever they are from: `document` reads one, `last` finds the newest of a workflow.
pub(crate) async fn write(
    runs: &[String],
    document: impl AsyncFn(&str) -> Result<Status, Failure>,
    last: impl AsyncFn(&str) -> Result<Option<RunRecord>, Failure>,
    args: &ExportArgs,
    app: &App,
) -> Outcome {
    let root = &args.file;
    let mut workflows: BTreeMap<String, String> = BTreeMap::new();
    for run in runs {
        let document = document(run).await?;
        let told = &document.told;
        let folder = slug(&told.run.workflow);
        // A colon is no part of a file name everywhere.
        let name = format!("{}-{run}.json", told.run.created_at.to_string().replace(':', "-"));
        json(&root.join("runs").join(&folder).join(&name), &document)?;
        if told.goal.is_some() {
            json(&root.join("orchestrations").join(&folder).join(&name), &document)?;
        }
        workflows.insert(told.run.workflow.clone(), folder);
    }
    for (workflow, folder) in &workflows {
        let Some(newest) = last(workflow).await? else { continue };
        json(&root.join("runs").join(folder).join("last.json"), &document(&newest.id).await?)?;
        let task =
            TaskFile { schema_version: SCHEMA_VERSION, task: workflow.clone(), last: newest };
        json(&root.join("tasks").join(format!("{folder}.json")), &task)?;
    }
    if app.verbosity >= 0 {
        output::say(&format!("{} runs are in {}", runs.len(), root.display()));
    }
    Ok(Exit::Ok)
}

/// Every run, newest first.
async fn all(store: &Store) -> Result<Vec<RunId>, Failure> {
    let mut runs: Vec<RunId> = Vec::new();
    loop {
        let filter =
            RunFilter { limit: PAGE, before: runs.last().cloned(), ..RunFilter::default() };
        let page = store.runs().list(&filter).await.map_err(|error| from_store(&error))?;
        if page.is_empty() {
            return Ok(runs);
        }
        runs.extend(page.into_iter().map(|row| row.id));
    }
}

fn json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(format!("{} cannot be written: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::infrastructure(&error))?;
    fs::write(path, text + "\n").map_err(failed)
}
