//! `plue prompt render`: exactly the text that a model would be given, and nothing else.

use std::{io::Read as _, path::Path};

use plue_plan::{Diagnostic, Span};
use plue_prompts::PromptFile;
use serde_json::{Map, Value as Json};

use super::{Place, RenderArgs};
use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome, codes},
    output, render,
};

pub(super) fn run(args: &RenderArgs, app: &App) -> Outcome {
    let mut place = Place::new(app, args.repo.as_deref())?;
    let text = match place.text(&args.prompt)? {
        Ok(text) => text,
        Err(problem) => return Err(Failure::invalid(vec![problem]).in_repository(&place.repo)),
    };
    let home = |failure: Failure| failure.in_repository(&place.repo);
    let prompt = PromptFile::parse(&text.file, &text.text);
    let prompt = prompt.map_err(|problems| home(Failure::invalid(problems)))?;
    render::diagnostic::print_in(prompt.warnings(), app, &place.repo);
    let inputs = inputs(args, &prompt)?;
    let partials = place.partials(&prompt).map_err(home)?;
    let rendered = prompt.render(&inputs, &partials);
    let mut rendered = rendered.map_err(|problems| {
        // Problems of the inputs have no location.
        let placed = problems.into_iter().map(|problem| match problem.span {
            Some(_) => problem,
            None => problem.at(Span::at(text.file.as_str(), 1, 1)),
        });
        home(Failure::invalid(placed.collect()))
    })?;
    if app.stdout.interactive && !rendered.ends_with('\n') {
        rendered.push('\n');
    }
    output::text(&rendered)?;
    Ok(Exit::Ok)
}

/// The values of `--data`, overridden by `--input`.
fn inputs(args: &RenderArgs, prompt: &PromptFile) -> Result<Map<String, Json>, Failure> {
    let mut inputs = match &args.data {
        Some(path) => read(path)?,
        None => Map::new(),
    };
    let mut given = Vec::new();
    for pair in &args.inputs {
        let Some((name, text)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::usage(format!("--input {pair}: expected KEY=VALUE")));
        };
        if given.contains(&name) {
            return Err(Failure::usage(format!("--input {name} is given twice")));
        }
        given.push(name);
        inputs.insert(name.to_owned(), value(text, is_text(prompt, name)));
    }
    Ok(inputs)
}

fn value(text: &str, is_text: bool) -> Json {
    match serde_json::from_str(text) {
        Ok(value) if !is_text => value,
        Ok(_) | Err(_) => Json::from(text),
    }
}

/// Whether the schema takes only text here, so that `1.10` stays `1.10`.
fn is_text(prompt: &PromptFile, name: &str) -> bool {
    let property = prompt.schema().and_then(|schema| schema.get("properties")?.get(name));
    property.and_then(|property| property.get("type")) == Some(&Json::from("string"))
}

fn read(path: &Path) -> Result<Map<String, Json>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    let name = path.display();
    read.map_err(|error| {
        let message = format!("cannot read {name}: {error}");
        Failure::new(Exit::NotFound, Diagnostic::error(codes::UNREADABLE, message))
    })?;
    match serde_json::from_slice(&bytes) {
        Ok(Json::Object(map)) => Ok(map),
        Ok(_) => Err(Failure::usage(format!("--data {name}: expected a JSON object of inputs"))),
        Err(error) => Err(Failure::usage(format!("--data {name}: {error}"))),
    }
}
