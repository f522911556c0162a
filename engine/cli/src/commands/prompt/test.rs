//! `plue prompt test`: prompts against their example cases.
//!
//! Answers come from a recording; `--live` and `--record` ask Claude.

use std::path::Path;

use plue_executor::claude::trial::{PromptTrial, judge};
use plue_llm::agent::EndReason;
use plue_plan::{Diagnostic, Span};
use plue_planner::{
    CommitView as _,
    texts::{PROMPTS_FOLDER, TextKind, TextLibrary, TextOrigin},
    view::Content,
};
use plue_prompts::{
    PromptFile,
    answer::{AnswerCase, excerpt, text_of},
    cases::{Case, Cases},
    limits::MAX_FILE_BYTES,
};

use super::{
    Place, TestArgs,
    recorded::Recorded,
    trial::{Asked, Asker, Ended},
    unreadable,
};
use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, codes},
    output,
    records::{
        SCHEMA_VERSION,
        texts::{AnswerRecord, CaseRecord, Tested},
    },
    render, wiring,
};

/// Ending of the file of cases, after the name of the prompt.
const ENDING: &str = ".cases.json";
/// Hint for a case without a usable answer.
const RECORD: &str = "ask Claude with `--record`, which costs money and stores the answer";

/// Cases while they are tested.
struct Testing<'a> {
    args: &'a TestArgs,
    place: Place,
    asker: Asker,
    records: Vec<CaseRecord>,
    /// Ids of `--case` that no file has had so far.
    unknown: Vec<String>,
}

/// The cases of one file.
struct CasesFile {
    path: String,
    cases: Cases,
    recorded: Recorded,
}

pub(super) fn run(args: &TestArgs, app: &App) -> Outcome {
    let place = Place::new(app, args.repo.as_deref())?;
    let asker = Asker::new(app, args.record || args.live, args.budget)?;
    let unknown = args.ids.clone();
    let mut testing = Testing { args, place, asker, records: Vec::new(), unknown };
    wiring::block_on(testing.all())?;
    if let Some(id) = testing.unknown.first() {
        return Err(Failure::not_found(format!("there is no case `{id}`")));
    }
    let Testing { place, asker, records, .. } = testing;
    let failed = records.iter().filter(|record| !record.passed).count();
    let document = Tested { schema_version: SCHEMA_VERSION, passed: failed == 0, cases: records };
    output::list(args.output, &document, &document.cases, String::new)?;
    if args.output == Format::Table {
        for record in &document.cases {
            render::diagnostic::print_in(&record.diagnostics, app, &place.repo);
        }
        if app.verbosity >= 0 {
            let count = document.cases.len();
            let asked = args.record || args.live;
            let spent = if asked { format!("; {} spent", asker.spent()) } else { String::new() };
            let passed = count - failed;
            output::report(&format!("{count} cases: {passed} passed, {failed} failed{spent}"));
        }
    }
    Ok(match failed {
        0 => Exit::Ok,
        _ if asker.is_broke => Exit::BudgetExhausted,
        _ => Exit::RunFailed,
    })
}

// === impl Testing ===

impl Testing<'_> {
    async fn all(&mut self) -> Result<(), Failure> {
        if let Some(path) = &self.args.cases {
            let path = path.display().to_string();
            let bytes = read(Path::new(&path))?;
            let cases = Cases::parse(&path, &bytes).map_err(Failure::invalid)?;
            let recorded = Recorded::of_cases(Path::new(""), &path)?;
            let mut file = CasesFile { path, cases, recorded };
            for case in file.cases.0.clone() {
                let text = alone(&case, &file.path)?;
                self.case(&case, ("case.md", &text), &mut file).await?;
            }
            return Ok(());
        }
        for name in named(self.args, &self.place)? {
            self.of_prompt(&name).await?;
        }
        Ok(())
    }

    /// Every case of one prompt.
    async fn of_prompt(&mut self, named: &str) -> Result<(), Failure> {
        let place = &mut self.place;
        let text = match place.text(named)? {
            Ok(text) => text,
            Err(problem) => return Err(Failure::invalid(vec![problem])),
        };
        let stem = text.file.strip_suffix(".md").unwrap_or(&text.file);
        let path = format!("{stem}{ENDING}");
        let bytes = if text.origin == TextOrigin::Shipped {
            None
        } else if place.folder.is_some() {
            Some(read(Path::new(&path))?)
        } else {
            match place.content(&path, MAX_FILE_BYTES).map_err(|error| unreadable(&error))? {
                Content::Bytes(bytes) => Some(bytes),
                Content::TooLarge(_) | Content::NotAFile | Content::Absent => None,
            }
        };
        let Some(bytes) = bytes else {
            return Err(Failure::not_found(format!("the prompt `{named}` has no cases"))
                .hint(format!("write {path}; see docs/reference/prompts.md")));
        };
        let folder = if place.folder.is_some() { Path::new("") } else { &place.repo };
        let recorded = Recorded::of_cases(folder, &path)?;
        let cases = Cases::parse(&path, &bytes).map_err(Failure::invalid)?;
        let mut file = CasesFile { path, cases, recorded };
        for case in file.cases.0.clone() {
            self.case(&case, (&text.file, &text.text), &mut file).await?;
        }
        Ok(())
    }

    /// One case, unless others are asked for.
    async fn case(
        &mut self,
        case: &Case,
        (file, text): (&str, &str),
        cases: &mut CasesFile,
    ) -> Result<(), Failure> {
        if !self.args.ids.is_empty() {
            if !self.args.ids.contains(&case.id) {
                return Ok(());
            }
            self.unknown.retain(|id| *id != case.id);
        }
        let place = &self.place;
        let prompt = PromptFile::parse(file, text);
        let found = match &prompt {
            Err(problems) => Err(problems.clone()),
            Ok(prompt) => match place.partials(prompt) {
                Err(failure) => Err(failure.diagnostics),
                Ok(partials) => prompt.render(&case.inputs, &partials),
            },
        };
        let mut problems: Vec<Diagnostic> = case.judge(&found).into_iter().collect();
        let mut answer = None;
        if let (Some(expected), Ok(prompt), Ok(text), []) =
            (&case.answer, prompt, found, &*problems)
        {
            let trial = PromptTrial {
                name: prompt.name().to_owned(),
                text,
                role: self.role(&prompt)?,
                settings: prompt.settings().clone(),
            };
            (answer, problems) = self.answer((case, expected), trial, cases).await?;
        }
        let placed = problems.into_iter().map(|problem| problem.at(Span::at(&*cases.path, 1, 1)));
        let diagnostics: Vec<Diagnostic> = placed.collect();
        self.records.push(CaseRecord {
            prompt: file.to_owned(),
            case: case.id.clone(),
            passed: diagnostics.is_empty(),
            diagnostics,
            answer,
        });
        Ok(())
    }

    /// The file of the role that a prompt asks for.
    fn role(&self, prompt: &PromptFile) -> Result<Option<(String, String)>, Failure> {
        let Some(role) = &prompt.settings().role else { return Ok(None) };
        let found = TextLibrary::new(&self.place).find(TextKind::Role, role);
        match found.map_err(|error| unreadable(&error))? {
            Some(Ok(text)) => Ok(Some((text.file, text.text))),
            Some(Err(problem)) => Err(Failure::invalid(vec![problem])),
            None => Ok(None),
        }
    }

    /// The answer to a case, and everything that is wrong with it.
    async fn answer(
        &mut self,
        (case, expected): (&Case, &AnswerCase),
        trial: PromptTrial,
        cases: &mut CasesFile,
    ) -> Result<(Option<AnswerRecord>, Vec<Diagnostic>), Failure> {
        let today = self.asker.clock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let task = match trial.task(&self.asker.claude, today) {
            Ok(task) => task,
            Err(why) => return Ok((None, vec![case.failed(&why)])),
        };
        let is_live = self.args.record || self.args.live;
        let recorded = cases.recorded.of(&case.id).filter(|_| !is_live);
        let asked = self.asker.ask(task, recorded, &expected.results).await;
        let end = match &asked.end {
            Ended::Agent(end) => end,
            Ended::NotRecorded(why) => {
                let code = plue_prompts::codes::NO_RECORDING;
                let message = format!("case `{}`: {why}", case.id);
                return Ok((None, vec![Diagnostic::error(code, message).hint(RECORD)]));
            }
            Ended::NoResult(tool) => {
                let why = format!("the model calls `{tool}`, and `results` of the case has none");
                let hint = "add the result of the tool, or take the tool from the prompt";
                return Ok((None, vec![case.failed(&why).hint(hint)]));
            }
        };
        let answer = AnswerRecord {
            source: if is_live { "live" } else { "recorded" }.to_owned(),
            output: end.output.clone(),
            turns: asked.totals.turns,
            tokens: asked.totals.tokens,
            cost_usd: dollars(asked.totals.cost.0),
        };
        let problems = match end.error() {
            Some(why) => vec![case.failed(&why)],
            None => judged(case, expected, &end.output).await,
        };
        // An end that the next try may not have is no recording.
        let is_lasting = !matches!(end.reason, EndReason::Api | EndReason::Budget | EndReason::Key);
        if self.args.record && is_lasting {
            let Asked { facts, .. } = asked;
            let known: Vec<&str> = cases.cases.0.iter().map(|case| case.id.as_str()).collect();
            cases.recorded.put(&case.id, facts, &known)?;
        }
        Ok((Some(answer), problems))
    }
}

/// Everything that an answer lacks.
async fn judged(case: &Case, expected: &AnswerCase, answer: &serde_json::Value) -> Vec<Diagnostic> {
    let mut problems = expected.judge(answer);
    for (what, schema, value) in expected.schemas(answer) {
        if let Err(words) = judge(&schema, &value).await {
            problems.push(format!("{what}: {words}"));
        }
    }
    let hint = format!("the answer is: {}", excerpt(&text_of(answer)));
    let failed = problems.iter().map(|why| case.failed(why).hint(hint.clone()));
    failed.collect()
}

#[expect(clippy::cast_precision_loss, reason = "shown in dollars")]
fn dollars(pico: u64) -> f64 {
    pico as f64 / 1e12
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
            .hint(format!("write {PROMPTS_FOLDER}/NAME{ENDING}; see docs/reference/prompts.md")));
    }
    Ok(names)
}

/// The text of a prompt that a case holds itself.
fn alone(case: &Case, path: &str) -> Result<String, Failure> {
    case.text().ok_or_else(|| {
        let message = format!("case `{}` has neither `file` nor `body`", case.id);
        let problem = Diagnostic::error(plue_prompts::codes::BAD_CASES, message);
        Failure::invalid(vec![problem.at(Span::at(path, 1, 1))])
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        Failure::new(Exit::NotFound, Diagnostic::error(codes::UNREADABLE, message))
    })
}
