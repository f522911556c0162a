//! `plue list`: the workflows of a repository, broken ones too.

use std::path::Path;

use plue_plan::{Diagnostic, Trigger};
use plue_planner::session::{self, Session, WITHOUT_A_FILE};
use plue_planner::{Trust, planner::Listed};

use crate::{
    app::App,
    args::ListArgs,
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{List, SCHEMA_VERSION, WorkflowRecord},
    render::{self, table},
    sources,
    terminal::Style,
    wiring,
};

pub(super) fn run(args: &ListArgs, app: &App) -> Outcome {
    let workflows = workflows(args.repo.as_deref(), app)?;
    let document = List { schema_version: SCHEMA_VERSION, workflows };
    output::list(args.output, &document, &document.workflows, || shown(&document.workflows, app))?;
    Ok(Exit::Ok)
}

/// The plans of all files of a repository, and the broken files; reports if there are none.
pub(super) fn workflows(repo: Option<&Path>, app: &App) -> Result<Vec<WorkflowRecord>, Failure> {
    let place = sources::select(app, repo, None)?;
    wiring::block_on(async {
        let session = sources::start(app, &place)?;
        let repository = session.repo.display().to_string();
        let listed = session.planner.list(&session.view, Trust::Own, &repository).await;
        let (listed, problems) =
            listed.map_err(|error| session::from_plan_error(error.into(), &session.repo))?;
        render::diagnostic::print_all(&problems, app);
        let mut workflows = Vec::new();
        for file in listed {
            workflows.extend(records(file, &session)?);
        }
        if workflows.is_empty() && app.verbosity >= 0 {
            let repo = session.repo.display();
            output::report(&format!("there is no workflow in {repo}; {WITHOUT_A_FILE}"));
        }
        Ok(workflows)
    })
}

/// One record for each plan of a file; one for a broken file.
fn records(listed: Listed, session: &Session) -> Result<Vec<WorkflowRecord>, Failure> {
    let file = listed.file.path;
    let evaluated = match listed.plans {
        Ok(evaluated) => evaluated,
        Err(error) => {
            let diagnostics = session::diagnostics(error, &file, &session.repo)?;
            return Ok(vec![broken(file, diagnostics)]);
        }
    };
    let record = |workflow: &plue_planner::PlannedWorkflow| {
        let plan = &workflow.hashed.plan;
        WorkflowRecord {
            file: file.clone(),
            name: Some(plan.name.clone()),
            plan: Some(workflow.hashed.hash.to_string()),
            triggers: plan.triggers.iter().map(Trigger::words).collect(),
            steps: plan.steps.len(),
            diagnostics: workflow.warnings.clone(),
        }
    };
    Ok(evaluated.workflows.iter().map(record).collect())
}

fn broken(file: String, diagnostics: Vec<Diagnostic>) -> WorkflowRecord {
    WorkflowRecord { file, name: None, plan: None, triggers: Vec::new(), steps: 0, diagnostics }
}

fn shown(workflows: &[WorkflowRecord], app: &App) -> String {
    let cells = workflows.iter().map(|workflow| match &workflow.name {
        Some(name) => vec![
            table::plain(name),
            table::plain(match workflow.triggers.as_slice() {
                [] => "-".to_owned(),
                triggers => triggers.join("; "),
            }),
            table::plain(workflow.steps.to_string()),
            table::plain(&workflow.file),
        ],
        None => {
            let first = workflow.diagnostics.first();
            let why = first.map_or(String::new(), |first| first.message.clone());
            vec![
                ("(broken)".to_owned(), Style::Red),
                (why, Style::Red),
                table::plain("-"),
                table::plain(&workflow.file),
            ]
        }
    });
    let head = ["NAME", "TRIGGERS", "STEPS", "FILE"];
    table::render(&head, &cells.collect::<Vec<_>>(), &app.stdout)
}
