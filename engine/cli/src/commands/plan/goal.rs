//! `plue plan --goal`: a workflow that a model writes for a goal, checked and shown, and written to a file
//! only once exactly this plan is approved.
//!
//! The answer is that of a run of `plan_from_goal`, or of a file: the same answer is the same plan. Must
//! never run the workflow.

use std::{
    ops::ControlFlow,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use plue_plan::{Plan, PlanHash, diff::diff};
use plue_planner::session::{
    self, PLAN_FROM_GOAL, Selection, Session, TriggerContext, WithBuiltins,
};
use plue_planner::{CommitView, PlannedWorkflow, ViewError, WorkTree, view::Content};
use plue_spec::workflow::Format;
use serde_json::Value as Json;

use super::{described, print, report};
use crate::{
    app::App,
    args::{PlanArgs, PlanFormat},
    commands::template::slug,
    exit::Exit,
    failure::{Failure, Outcome},
    output, sources, wiring,
};

mod question;

use question::Question;

/// Bytes of an answer at most.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// Options of a plan for a goal.
#[derive(Debug, Args, Clone)]
pub struct GoalArgs {
    /// Let Claude write a workflow for this goal, and show its plan; --approve writes the file
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["workflows", "diff", "verify"])]
    pub goal: Option<String>,
    /// Ask nothing: the answer of a model, as YAML, also in a fence of Markdown, or as a message of the
    /// Messages API (`-` for standard input)
    #[arg(long, value_name = "FILE", requires = "goal")]
    pub answer: Option<PathBuf>,
    /// Dollars that the question may cost at most [default: 1]
    #[arg(long, value_name = "USD", requires = "goal", conflicts_with = "answer")]
    pub budget: Option<f64>,
    /// Path of the approved workflow [default: its name and `.plue.yaml`]
    #[arg(long, value_name = "FILE", requires = "goal")]
    pub save: Option<PathBuf>,
    /// The hash of the plan that was shown: write its file. Without --answer it is that of the latest
    /// question for this goal
    #[arg(long, value_name = "HASH", requires = "goal")]
    pub approve: Option<String>,
}

/// A workflow that is not written yet, in its place.
#[derive(Debug)]
struct WithAnswer {
    tree: WithBuiltins<WorkTree>,
    path: String,
    text: String,
}

pub(super) fn run(args: &PlanArgs, goal: &str, app: &App) -> Outcome {
    if let Some(file) = &args.goal.answer {
        return considered(args, goal, (&read(file)?, &file.display().to_string()), app);
    }
    let question = Question { args, goal, app };
    if args.goal.approve.is_some() {
        let answer = question.answered()?;
        return considered(args, goal, (&answer, PLAN_FROM_GOAL), app);
    }
    let answer = match question.ask(None)? {
        ControlFlow::Continue(answer) => answer,
        ControlFlow::Break(exit) => return Ok(exit),
    };
    let invalid = match considered(args, goal, (&answer, PLAN_FROM_GOAL), app) {
        Err(failure) if failure.exit == Exit::PlanInvalid => failure,
        outcome => return outcome,
    };
    if app.verbosity >= 0 {
        output::report("the answer is no valid workflow; Claude is asked once more");
    }
    match question.ask(Some((&answer, &invalid)))? {
        ControlFlow::Continue(answer) => considered(args, goal, (&answer, PLAN_FROM_GOAL), app),
        ControlFlow::Break(exit) => Ok(exit),
    }
}

/// Checks an answer and shows its plan; writes it if that plan is approved.
fn considered(args: &PlanArgs, goal: &str, (answer, from): (&str, &str), app: &App) -> Outcome {
    let text = workflow_text(answer);
    let (text, name) = with_goal(&text, goal, from)?;
    let path = match &args.goal.save {
        Some(path) => inside(path)?,
        None => format!("{}.plue.yaml", slug(&name)),
    };
    let place = sources::select(app, args.source.repo.as_deref(), [])?;
    wiring::block_on(async {
        let tree = WithBuiltins(WorkTree::new(&place.repo).including(&path));
        let view = WithAnswer { tree, path: path.clone(), text: text.clone() };
        let session = sources::cold(app, &place.repo, Arc::new(view));
        let context = session.context(sources::requested(app, &args.source)).await?;
        let evaluated = match session.plans(&path, &context).await {
            Ok(evaluated) => evaluated,
            Err(error) => {
                return Err(Failure::invalid(session::diagnostics(error, &path, &place.repo)?));
            }
        };
        report(&evaluated, &session, app)?;
        let [workflow] = &*evaluated.workflows else {
            return Err(Failure::usage("the answer holds no workflow"));
        };
        let before = before(&place, &session, &path, &context).await;
        match args.output {
            PlanFormat::Text => show(&path, workflow, before.as_ref(), app)?,
            PlanFormat::Json | PlanFormat::Mermaid | PlanFormat::Dot | PlanFormat::Svg => {
                print(&[(path.clone(), workflow.clone())], args.output, app)?;
            }
        }
        decide(args, &place, (&path, &text), &workflow.hashed.hash, app)
    })
}

/// The plan of the file that would be replaced.
async fn before(
    place: &Selection,
    session: &Session,
    path: &str,
    context: &TriggerContext,
) -> Option<PlannedWorkflow> {
    let session = session.at(Arc::new(WorkTree::new(&place.repo).including(path)));
    session.plans(path, context).await.ok()?.workflows.first().cloned()
}

fn show(
    path: &str,
    workflow: &PlannedWorkflow,
    before: Option<&PlannedWorkflow>,
    app: &App,
) -> Result<(), Failure> {
    let plan = &workflow.hashed.plan;
    output::text(&described(path, workflow, app))?;
    let then = before.map_or_else(
        || Plan::new(plan.name.clone(), Vec::new()),
        |workflow| workflow.hashed.plan.clone(),
    );
    let found = diff(&then, plan);
    let word = match before {
        None => "a new workflow".to_owned(),
        Some(_) if found.is_empty() => "as it is already".to_owned(),
        Some(_) => found.summary(),
    };
    output::line(&format!("\n{path}: {word}"))?;
    output::text(&found.render())
}

/// Writes the file if this plan is approved; otherwise shows how to approve it.
fn decide(
    args: &PlanArgs,
    place: &Selection,
    (path, text): (&str, &str),
    hash: &PlanHash,
    app: &App,
) -> Outcome {
    let Some(approved) = &args.goal.approve else {
        if app.verbosity >= 0 {
            output::report(&format!(
                "nothing is written; to approve, repeat the command with --approve {hash}"
            ));
        }
        return Ok(Exit::WaitingForDecision);
    };
    if *approved != hash.to_string() {
        return Err(Failure::usage(format!("{approved} was approved, but the answer is {hash}"))
            .hint("look at what is shown now, then approve that"));
    }
    let file = place.repo.join(path);
    let failed = |error: std::io::Error| {
        Failure::usage(format!("{} cannot be written: {error}", file.display()))
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(&file, text).map_err(failed)?;
    if app.verbosity >= 0 {
        output::report(&format!("{path} is written; run it: plue run {path}"));
    }
    Ok(Exit::Ok)
}

fn read(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| {
        Failure::not_found(format!("cannot read the answer {}: {error}", path.display()))
    };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_ANSWER_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path)
            .map_err(failed)?
            .take(MAX_ANSWER_BYTES + 1)
            .read_to_end(&mut bytes)
    }
    .map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_ANSWER_BYTES) {
        return Err(Failure::usage(format!("the answer is larger than {MAX_ANSWER_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage("the answer is not UTF-8"))
}

/// The workflow of an answer: the last fenced block that can be one, else all of it.
fn workflow_text(answer: &str) -> String {
    let text = last_text(answer).unwrap_or_else(|| answer.to_owned());
    let (mut blocks, mut open): (Vec<String>, Option<String>) = (Vec::new(), None);
    for line in text.lines() {
        let fence = line.trim().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some("yaml" | "yml" | "json" | "")) => open = Some(String::new()),
            (Some(block), Some("")) => {
                blocks.push(std::mem::take(block));
                open = None;
            }
            (Some(block), _) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks.pop().unwrap_or(text)
}

/// The text of the last message of the assistant, of one message or of a transcript with one on each
/// line.
fn last_text(answer: &str) -> Option<String> {
    let whole = serde_json::from_str::<Json>(answer).ok().into_iter();
    let lines = answer.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let mut messages = whole.chain(lines).filter_map(|message| {
        let message = message.get("message").unwrap_or(&message).clone();
        let by = message.get("role").and_then(Json::as_str).unwrap_or("assistant");
        let content = message.get("content").filter(|_| by == "assistant")?;
        let blocks = content.as_array().map(|blocks| {
            blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect::<String>()
        });
        blocks.or_else(|| content.as_str().map(str::to_owned)).filter(|text| !text.is_empty())
    });
    messages.next_back()
}

/// The workflow with its goal, and its name. Its text stays as the model wrote it; a missing goal is
/// put before it.
fn with_goal(text: &str, goal: &str, from: &str) -> Result<(String, String), Failure> {
    let read = |text: &str| {
        plue_spec::workflow::read(from, text.as_bytes(), Format::Yaml)
            .map(|workflow| workflow.plan)
            .map_err(Failure::invalid)
    };
    let plan = read(text)?;
    match &plan.goal {
        Some(own) if own == goal => Ok((text.to_owned(), plan.name)),
        Some(own) => Err(Failure::usage(format!("the answer is for another goal: {own}"))),
        None => {
            let wanted = Plan { goal: Some(goal.to_owned()), ..plan };
            let with = format!("goal: {}\n{text}", Json::String(goal.to_owned()));
            if read(&with).is_ok_and(|plan| plan == wanted) {
                return Ok((with, wanted.name));
            }
            // Not a block of lines: the plan itself is a workflow as well.
            let sealed = plue_plan::HashedPlan::new(wanted)
                .map_err(|problem| Failure::invalid(vec![problem]))?;
            let text = String::from_utf8_lossy(&sealed.bytes).into_owned();
            Ok((text + "\n", sealed.plan.name))
        }
    }
}

/// A path in the repository whose name makes it a workflow.
fn inside(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let text = path.to_str().filter(|_| {
        path.is_relative() && path.components().all(|part| matches!(part, Component::Normal(_)))
    });
    match text {
        Some(text) if text.ends_with(".plue.yaml") || text.ends_with(".plue.yml") => {
            Ok(text.to_owned())
        }
        Some(_) => Err(Failure::usage(format!("{shown} is no name of a workflow in YAML"))
            .hint("let it end in `.plue.yaml`")),
        None => Err(Failure::usage(format!("{shown} is not a path in the repository"))),
    }
}

// === impl WithAnswer ===

impl CommitView for WithAnswer {
    fn matching(&self, keep: &dyn Fn(&str) -> bool) -> Result<Vec<String>, ViewError> {
        let mut found = self.tree.matching(keep)?;
        if keep(&self.path) && !found.contains(&self.path) {
            found.push(self.path.clone());
            found.sort();
        }
        Ok(found)
    }

    fn is_there(&self, path: &str) -> Result<bool, ViewError> {
        Ok(path == self.path || self.tree.is_there(path)?)
    }

    fn content(&self, path: &str, cap: usize) -> Result<Content, ViewError> {
        if path == self.path {
            return Ok(Content::Bytes(self.text.clone().into_bytes()));
        }
        self.tree.content(path, cap)
    }

    fn changed_files(&self) -> Result<Vec<String>, ViewError> {
        self.tree.changed_files()
    }

    fn files_in(&self, folder: &str) -> Result<Vec<String>, ViewError> {
        self.tree.files_in(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_is_the_workflow() {
        let fenced = "First:\n```yaml\nname: a\n```\nNo, better:\n```yaml\nname: b\n```\nDone.";
        assert_eq!(workflow_text(fenced), "name: b\n");
        assert_eq!(workflow_text("name: c\n"), "name: c\n");
        let message = serde_json::json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": "```yaml\nname: no\n```"}, {"type": "text", "text": fenced}]});
        assert_eq!(workflow_text(&message.to_string()), "name: b\n");
        let asked = serde_json::json!({"role": "user", "content": "```yaml\nname: asked\n```"});
        assert_eq!(workflow_text(&format!("{message}\n{asked}\n")), "name: b\n");
    }

    #[test]
    fn the_goal_is_part_of_what_is_written() {
        let tasks = "tasks: [{id: a, run: x}]\n";
        let (text, _) = with_goal(&format!("name: x\n{tasks}"), "a \"b\"", "f").unwrap();
        assert_eq!(text, format!("goal: \"a \\\"b\\\"\"\nname: x\n{tasks}"));
        let flow = "{name: x, tasks: [{id: a, run: x}]}";
        let (text, _) = with_goal(flow, "g", "f").unwrap();
        assert!(text.starts_with("{\"goal\":\"g\""), "{text}");
        let own = format!("name: x\ngoal: g\n{tasks}");
        assert_eq!(with_goal(&own, "g", "f").unwrap().0, own);
        assert!(with_goal(&own, "h", "f").is_err());
    }
}
