//! `plue prompt list`.

use plue_planner::texts::{TextKind, TextLibrary};
use plue_prompts::PromptFile;

use super::{ListPromptsArgs, Place, unreadable};
use crate::{
    app::App,
    exit::Exit,
    failure::Outcome,
    output,
    records::{
        SCHEMA_VERSION,
        texts::{PromptRecord, Prompts, origin},
    },
    render::table,
    terminal::Style,
};

pub(super) fn run(args: &ListPromptsArgs, app: &App) -> Outcome {
    let place = Place::new(app, args.repo.as_deref())?;
    let all = TextLibrary::new(&place).all(TextKind::Prompt).map_err(|error| unreadable(&error))?;
    let prompts = all.into_iter().map(|(name, found)| match found {
        Err(problem) => broken(name, "repository", None, vec![problem]),
        Ok(text) => match PromptFile::parse(&text.file, &text.text) {
            Err(problems) => broken(name, origin(text.origin), Some(text.file), problems),
            Ok(prompt) => record(name, origin(text.origin), text.file, &prompt),
        },
    });
    let document = Prompts { schema_version: SCHEMA_VERSION, prompts: prompts.collect() };
    output::list(args.output, &document, &document.prompts, || shown(&document.prompts, app))?;
    Ok(Exit::Ok)
}

fn record(name: String, origin: &str, file: String, prompt: &PromptFile) -> PromptRecord {
    let schema = prompt.schema();
    let names = |key: &str| schema.and_then(|schema| schema.get(key)).cloned();
    let inputs = names("properties")
        .and_then(|all| Some(all.as_object()?.keys().cloned().collect::<Vec<_>>()));
    let required = names("required").and_then(|all| serde_json::from_value(all).ok());
    PromptRecord {
        name,
        origin: origin.to_owned(),
        file: Some(file),
        description: prompt.description().map(str::to_owned),
        inputs: inputs.unwrap_or_else(|| prompt.reads().map(str::to_owned).collect()),
        required: required.unwrap_or_default(),
        role: prompt.settings().role.clone(),
        diagnostics: prompt.warnings().to_vec(),
        broken: false,
    }
}

fn broken(
    name: String,
    origin: &str,
    file: Option<String>,
    diagnostics: Vec<plue_plan::Diagnostic>,
) -> PromptRecord {
    PromptRecord {
        name,
        origin: origin.to_owned(),
        file,
        description: None,
        inputs: Vec::new(),
        required: Vec::new(),
        role: None,
        diagnostics,
        broken: true,
    }
}

fn shown(prompts: &[PromptRecord], app: &App) -> String {
    let cells = prompts.iter().map(|prompt| {
        let inputs = prompt.inputs.iter().map(|name| {
            let optional = !prompt.required.contains(name);
            if optional { format!("[{name}]") } else { name.clone() }
        });
        let inputs: Vec<_> = inputs.collect();
        let what = match prompt.diagnostics.first() {
            Some(first) if prompt.broken => (first.to_string(), Style::Red),
            Some(_) | None => table::plain(prompt.description.as_deref().unwrap_or("-")),
        };
        vec![
            table::plain(&prompt.name),
            table::plain(&prompt.origin),
            table::plain(if inputs.is_empty() { "-".to_owned() } else { inputs.join(" ") }),
            what,
        ]
    });
    let head = ["NAME", "ORIGIN", "INPUTS", "DESCRIPTION"];
    table::render(&head, &cells.collect::<Vec<_>>(), &app.stdout)
}
