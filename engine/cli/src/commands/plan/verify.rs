//! `plue plan --verify RUN`: whether the sources of a run still give its plan.
//!
//! The run's commit is tried first, then the work tree: a run of changed files that were never
//! committed can only be derived again as long as they lie there.

use std::{path::PathBuf, sync::Arc};

use plue_executor::Origin;
use plue_plan::{Event, Plan};
use plue_planner::session::{self, WithBuiltins, base};
use plue_planner::{CommitView, Difference, GitCommit, ReadSet, Trust, Verification, WorkTree};
use plue_store::StoredRun;

use super::super::one_run;
use crate::{
    app::App,
    args::{PlanArgs, PlanFormat},
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output,
    records::{DifferenceRecord, SCHEMA_VERSION, Verified},
    render, sources, wiring,
};

/// Sources of a recorded run.
struct Recorded {
    run: StoredRun,
    plan: Plan,
    read_set: ReadSet,
    repo: PathBuf,
}

pub(super) fn run(args: &PlanArgs, run: &str, app: &App) -> Outcome {
    let json = match args.output {
        PlanFormat::Json => true,
        PlanFormat::Text => false,
        PlanFormat::Mermaid | PlanFormat::Dot | PlanFormat::Svg => {
            return Err(Failure::usage("a verification is shown as text or json"));
        }
    };
    wiring::block_on(async {
        let recorded = read(args, run, app).await?;
        let mut best = None;
        for (what, view) in views(&recorded) {
            let found = derive(&recorded, view, app).await?;
            let Some(differences) = differences(&found) else {
                return report(&recorded, Ok(what), json, app);
            };
            // The view that is nearer to what the run saw explains more.
            let nearer = best.as_ref().is_none_or(|(_, least, _)| differences.len() < *least);
            if nearer {
                best = Some((what, differences.len(), found));
            }
        }
        match best {
            Some((what, _, found)) => report(&recorded, Err((what, found)), json, app),
            None => Err(Failure::not_found("neither the commit nor the repository is there")),
        }
    })
}

async fn read(args: &PlanArgs, run: &str, app: &App) -> Result<Recorded, Failure> {
    let store = wiring::open_existing(app).await?;
    let id = one_run(&store, run).await?;
    let gone = || Failure::not_found(format!("run {id} is gone"));
    let run = store.runs().load(&id).await.map_err(|error| from_store(&error))?.ok_or_else(gone)?;
    let plan = store.plans().parsed(&run.run.plan).await.map_err(|error| from_store(&error))?;
    let plan = plan.ok_or_else(gone)?;
    let origin: Origin = serde_json::from_value(run.source.origin.clone())
        .map_err(|error| Failure::infrastructure(&error))?;
    let read_set = serde_json::from_value(origin.read_set).map_err(|_| {
        Failure::usage(format!("the plan of run {id} was not derived from a workflow file"))
    })?;
    let repo = match &args.source.repo {
        Some(named) => app.repository(Some(named))?,
        None => origin.repository,
    };
    Ok(Recorded { run, plan, read_set, repo })
}

/// The commit of the run if git still has it, and the work tree.
fn views(recorded: &Recorded) -> Vec<(String, Arc<dyn CommitView>)> {
    let mut views: Vec<(String, Arc<dyn CommitView>)> = Vec::new();
    let event: Option<Event> = serde_json::from_value(recorded.run.source.event.clone()).ok();
    let base = event.as_ref().and_then(base);
    let commit = |sha: &String| {
        let commit = GitCommit::open(&recorded.repo, sha)?;
        match base {
            Some(base) => commit.changed_since(base),
            None => Ok(commit),
        }
    };
    if let Some(sha) = &recorded.run.run.sha
        && let Ok(commit) = commit(sha)
    {
        views.push((format!("commit {sha}"), Arc::new(WithBuiltins(commit))));
    }
    if recorded.repo.is_dir() {
        let tree = WorkTree::new(&recorded.repo).including(&recorded.read_set.entry);
        let tree = match base {
            Some(base) => tree.changed_since(base),
            None => tree,
        };
        views.push((
            format!("the work tree {}", recorded.repo.display()),
            Arc::new(WithBuiltins(tree)),
        ));
    }
    views
}

/// A goal of the command line is part of the plan and not of its source.
async fn derive(
    recorded: &Recorded,
    view: Arc<dyn CommitView>,
    app: &App,
) -> Result<Verification, Failure> {
    let session = sources::cold(app, &recorded.repo, Arc::clone(&view));
    let Recorded { plan, read_set, .. } = recorded;
    let verify = async |plan: &Plan| {
        let found = session.planner.verify(read_set, plan, &view, Trust::Own).await;
        found.map_err(|error| session::from_plan_error(error.into(), &recorded.repo))
    };
    let found = verify(plan).await?;
    let without_goal = match &found {
        Verification::Differs { plan: Some(field), .. } if field.path == "goal" => {
            Plan { goal: None, ..plan.clone() }
        }
        Verification::Differs { .. } | Verification::Equal => return Ok(found),
    };
    Ok(verify(&without_goal).await?)
}

/// Everything that differs; `None` if nothing does.
fn differences(found: &Verification) -> Option<Vec<DifferenceRecord>> {
    let Verification::Differs { facts, plan, evaluator, .. } = found else { return None };
    let record = |what: &str, field: &Difference| DifferenceRecord {
        what: format!("{what}{}", field.path),
        then: field.left.clone(),
        now: field.right.clone(),
    };
    let facts = facts.iter().map(|field| record("", field));
    let plan = plan.iter().map(|field| record("plan: ", field));
    let evaluator = evaluator.iter().map(|(then, now)| DifferenceRecord {
        what: "evaluator".to_owned(),
        then: then.clone(),
        now: now.clone(),
    });
    Some(facts.chain(plan).chain(evaluator).collect())
}

/// `Ok`: equal at this view; `Err`: what differs at the nearest one.
fn report(
    recorded: &Recorded,
    found: Result<String, (String, Verification)>,
    json: bool,
    app: &App,
) -> Outcome {
    let row = &recorded.run.run;
    let (equal, at, found) = match found {
        Ok(at) => (true, at, Verification::Equal),
        Err((at, found)) => (false, at, found),
    };
    let diagnostics = match &found {
        Verification::Differs { problems, .. } => problems.clone(),
        Verification::Equal => Vec::new(),
    };
    let document = Verified {
        schema_version: SCHEMA_VERSION,
        run: row.id.to_string(),
        plan: row.plan.to_string(),
        equal,
        differences: differences(&found).unwrap_or_default(),
        diagnostics,
    };
    if json {
        output::pretty(&document)?;
    } else if equal {
        output::line(&format!("equal: {at} gives {}", row.plan))?;
    } else {
        output::line(&format!("not equal: {at} does not give {}", row.plan))?;
        for DifferenceRecord { what, then, now } in &document.differences {
            output::line(&format!("  {what}: {then} → {now}"))?;
        }
        render::diagnostic::print_in(&document.diagnostics, app, &recorded.repo);
    }
    Ok(if equal { Exit::Ok } else { Exit::PlanInvalid })
}
