//! `plue export --layout files`: runs as a tree of JSON files. The database stays the truth; no command reads
//! these files back.

use std::{collections::BTreeMap, fs, path::Path};

use plue_client::RunQuery;
use serde::Serialize;

use super::ExportArgs;
use crate::{
    app::App,
    commands::{status::document, template::slug},
    connect::Connection,
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{SCHEMA_VERSION, TaskFile},
};

/// Writes one run, or all.
pub(super) async fn write(connection: &Connection, args: &ExportArgs, app: &App) -> Outcome {
    let client = &connection.client;
    let runs: Vec<String> = match args.run.as_str() {
        "all" => {
            let all = client.runs().list(&RunQuery::default(), usize::MAX).await?;
            all.into_iter().map(|run| run.id).collect()
        }
        one => vec![connection.run(one).await?.id],
    };
    let root = &args.file;
    let mut workflows: BTreeMap<String, String> = BTreeMap::new();
    for run in &runs {
        let document = document(client, run).await?;
        let status = &document.status;
        let folder = slug(&status.run.workflow);
        // A colon is no part of a file name everywhere.
        let name = format!("{}-{run}.json", status.run.created_at.to_string().replace(':', "-"));
        json(&root.join("runs").join(&folder).join(&name), &document)?;
        if status.goal.is_some() {
            json(&root.join("orchestrations").join(&folder).join(&name), &document)?;
        }
        workflows.insert(status.run.workflow.clone(), folder);
    }
    for (workflow, folder) in &workflows {
        let Some(newest) = client.runs().last_of(workflow).await? else { continue };
        let last = document(client, &newest.id).await?;
        json(&root.join("runs").join(folder).join("last.json"), &last)?;
        let task =
            TaskFile { schema_version: SCHEMA_VERSION, task: workflow.clone(), last: newest };
        json(&root.join("tasks").join(format!("{folder}.json")), &task)?;
    }
    if app.verbosity >= 0 {
        output::report(&format!("{} runs are in {}", runs.len(), root.display()));
    }
    Ok(Exit::Ok)
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
