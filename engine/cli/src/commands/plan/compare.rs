//! `plue plan --diff REV`: the plans of the work tree against those of another commit.

use std::{collections::BTreeMap, sync::Arc};

use plue_plan::{HashedPlan, Plan, diff::diff};
use plue_planner::session::{self, Selection, Session, TriggerContext};
use plue_planner::{GitCommit, PlanError, codes};

use crate::{
    app::App,
    args::{PlanArgs, PlanFormat},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{PlanChange, PlanChanges, SCHEMA_VERSION},
    render, sources,
    terminal::Style,
};

/// Plans of one side, by file and name; and whether a file of it is broken.
type Side = (BTreeMap<(String, String), HashedPlan>, bool);

pub(super) async fn run(
    args: &PlanArgs,
    rev: &str,
    session: &Session,
    place: &Selection,
    app: &App,
) -> Outcome {
    let commit = GitCommit::open(&session.repo, rev)
        .map_err(|error| Failure::not_found(format!("there is no commit `{rev}`: {error}")))?;
    let past = session.at(Arc::new(commit));
    let (mut files, context) = tokio::join!(
        session.files(&place.targets),
        session.context(sources::requested(app, &args.source))
    );
    let context = context?;
    if place.targets.is_empty() {
        // Files that are gone count as well.
        let gone = past.discover().await?.files.into_iter().map(|file| file.path);
        let known = files.unwrap_or_default();
        let mut all: Vec<String> = gone.chain(known).collect();
        all.sort();
        all.dedup();
        files = Ok(all);
    }
    let files = files?;
    let (now, broken) = plans(session, &files, &context, app).await?;
    let (then, broken_then) = plans(&past, &files, &context, app).await?;
    show(args.output, rev, &changes(&then, &now), app)?;
    Ok(if broken || broken_then { Exit::PlanInvalid } else { Exit::Ok })
}

async fn plans(
    session: &Session,
    files: &[String],
    context: &TriggerContext,
    app: &App,
) -> Result<Side, Failure> {
    let (mut plans, mut broken) = (BTreeMap::new(), false);
    for file in files {
        match session.plans(file, context).await {
            Ok(evaluated) => {
                for workflow in &*evaluated.workflows {
                    let sealed = workflow.hashed.clone();
                    plans.insert((file.clone(), sealed.plan.name.clone()), sealed);
                }
            }
            Err(PlanError::Invalid(found))
                if found.iter().all(|problem| problem.code == codes::NO_SUCH_FILE) => {}
            Err(error) => {
                let found = session::diagnostics(error, file, &session.repo)?;
                render::diagnostic::print_all(&found, app);
                broken = true;
            }
        }
    }
    Ok((plans, broken))
}

fn changes(
    then: &BTreeMap<(String, String), HashedPlan>,
    now: &BTreeMap<(String, String), HashedPlan>,
) -> Vec<PlanChange> {
    let new = now.keys().filter(|key| !then.contains_key(*key));
    let keys: Vec<_> = then.keys().chain(new).collect();
    let change = |key: &(String, String)| {
        let (before, after) = (then.get(key), now.get(key));
        let empty = |like: &Plan| Plan::new(like.name.clone(), Vec::new());
        let found = match (before, after) {
            (Some(before), Some(after)) => diff(&before.plan, &after.plan),
            (Some(before), None) => diff(&before.plan, &empty(&before.plan)),
            (None, Some(after)) => diff(&empty(&after.plan), &after.plan),
            (None, None) => plue_plan::diff::PlanDiff::default(),
        };
        PlanChange {
            file: key.0.clone(),
            name: key.1.clone(),
            before: before.map(|plan| plan.hash.to_string()),
            after: after.map(|plan| plan.hash.to_string()),
            diff: found,
        }
    };
    keys.into_iter().map(change).collect()
}

fn show(format: PlanFormat, rev: &str, plans: &[PlanChange], app: &App) -> Result<(), Failure> {
    match format {
        PlanFormat::Json => output::json(&PlanChanges { schema_version: SCHEMA_VERSION, plans }),
        PlanFormat::Text => plans.iter().try_for_each(|plan| {
            let word = match (&plan.before, &plan.after) {
                (None, _) => format!("new since {rev}"),
                (_, None) => format!("gone since {rev}"),
                (before, after) if before == after => format!("as in {rev}"),
                _ if plan.diff.is_empty() => format!("means the same as in {rev}"),
                _ => format!("{} since {rev}", plan.diff.summary()),
            };
            let title = format!("{} ({})", plan.name, plan.file);
            let title = crate::terminal::sanitize(&title, false).into_owned();
            output::line(&format!("{}  {word}", app.stdout.paint(Style::Bold, &title)))?;
            output::text(&plan.diff.render())
        }),
        PlanFormat::Mermaid | PlanFormat::Dot | PlanFormat::Svg => {
            Err(Failure::usage("a comparison is shown as text or json"))
        }
    }
}
