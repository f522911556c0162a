//! `plue prompt test`: prompts against the example cases that lie beside them.

use std::path::Path;

use plue_plan::{Diagnostic, Span};
use plue_planner::{
    CommitView as _,
    texts::{PROMPTS_FOLDER, TextOrigin},
    view::Content,
};
use plue_prompts::{
    PromptFile,
    cases::{Case, Cases},
    limits::MAX_FILE_BYTES,
};

use super::{Place, TestArgs, unreadable};
use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, codes},
    output,
    records::{
        SCHEMA_VERSION,
        texts::{CaseRecord, Tested},
    },
    render,
};

/// What follows the name of a prompt in the name of the file of its cases.
const ENDING: &str = ".cases.json";

pub(super) fn run(args: &TestArgs, app: &App) -> Outcome {
    let mut place = Place::new(app, args.repo.as_deref())?;
    let mut records = Vec::new();
    if let Some(path) = &args.cases {
        let bytes = read(path)?;
        let shown = path.display().to_string();
        let cases = Cases::parse(&shown, &bytes).map_err(Failure::invalid)?;
        for case in &cases.0 {
            records.push(alone(case, &shown, &place)?);
        }
    } else {
        for name in named(args, &place)? {
            records.extend(of_prompt(&name, &mut place)?);
        }
    }
    let failed = records.iter().filter(|record| !record.passed).count();
    let document = Tested { schema_version: SCHEMA_VERSION, passed: failed == 0, cases: records };
    output::list(args.output, &document, &document.cases, String::new)?;
    if args.output == Format::Table {
        for record in &document.cases {
            render::diagnostic::print_in(&record.diagnostics, app, &place.repo);
        }
        if app.verbosity >= 0 {
            let count = document.cases.len();
            output::say(&format!("{count} cases: {} passed, {failed} failed", count - failed));
        }
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::RunFailed })
}

/// The prompts that were named, else those of the repository with cases.
fn named(args: &TestArgs, place: &Place) -> Result<Vec<String>, Failure> {
    if !args.prompts.is_empty() {
        return Ok(args.prompts.clone());
    }
    let files = place.files_in(PROMPTS_FOLDER).map_err(|error| unreadable(&error))?;
    let names = files.iter().filter_map(|path| path.rsplit('/').next()?.strip_suffix(ENDING));
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Failure::not_found(format!("no prompt of {PROMPTS_FOLDER} has cases"))
            .hint(format!("write {PROMPTS_FOLDER}/NAME{ENDING}; see docs/prompts.md")));
    }
    Ok(names)
}

/// Every case of one prompt.
fn of_prompt(named: &str, place: &mut Place) -> Result<Vec<CaseRecord>, Failure> {
    let text = match place.text(named)? {
        Ok(text) => text,
        Err(problem) => return Err(Failure::invalid(vec![problem])),
    };
    let beside = text.file.strip_suffix(".md").unwrap_or(&text.file);
    let path = format!("{beside}{ENDING}");
    let bytes = if text.origin == TextOrigin::Shipped {
        None
    } else if place.beside.is_some() {
        Some(read(Path::new(&path))?)
    } else {
        match place.content(&path, MAX_FILE_BYTES).map_err(|error| unreadable(&error))? {
            Content::Bytes(bytes) => Some(bytes),
            Content::TooLarge(_) | Content::NotAFile | Content::Absent => None,
        }
    };
    let Some(bytes) = bytes else {
        return Err(Failure::not_found(format!("the prompt `{named}` has no cases"))
            .hint(format!("write {path}; see docs/prompts.md")));
    };
    let cases = Cases::parse(&path, &bytes).map_err(Failure::invalid)?;
    let records = cases.0.iter().map(|case| judged(case, &text.file, &text.text, &path, place));
    records.collect()
}

/// A case that holds its prompt.
fn alone(case: &Case, path: &str, place: &Place) -> Result<CaseRecord, Failure> {
    let Some(text) = case.text() else {
        let message = format!("case `{}` has neither `file` nor `body`", case.id);
        let problem = Diagnostic::error(plue_prompts::codes::BAD_CASES, message);
        return Err(Failure::invalid(vec![problem.at(Span::at(path, 1, 1))]));
    };
    judged(case, "case.md", &text, path, place)
}

fn judged(
    case: &Case,
    file: &str,
    text: &str,
    cases: &str,
    place: &Place,
) -> Result<CaseRecord, Failure> {
    let found = match PromptFile::parse(file, text) {
        Err(problems) => Err(problems),
        Ok(prompt) => match place.partials(&prompt) {
            Err(failure) => Err(failure.diagnostics),
            Ok(partials) => prompt.render(&case.inputs, &partials),
        },
    };
    let problem = case.judge(&found).map(|problem| problem.at(Span::at(cases, 1, 1)));
    Ok(CaseRecord {
        prompt: file.to_owned(),
        case: case.id.clone(),
        passed: problem.is_none(),
        diagnostics: problem.into_iter().collect(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        Failure::new(Exit::NotFound, Diagnostic::error(codes::UNREADABLE, message))
    })
}
