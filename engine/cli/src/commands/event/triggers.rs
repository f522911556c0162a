//! The triggers of the workflows that were named, tried with the event.

use plue_forge::Reading;
use plue_plan::{Event, Trigger};
use plue_planner::session;
use plue_registry::{Changed, MatchInput, TriggerVerdict, decide, spelled};
use serde_json::Map;

use crate::{
    app::App, commands::event::DecodeArgs, failure::Failure, records::event::TriggerRecord, render,
    sources, wiring,
};

/// Usual triggers, tried when none is named.
const PLAIN: [&str; 2] = ["push", "pull_request"];

/// Decision of each trigger. Without an event none fires.
pub(super) fn tried(
    args: &DecodeArgs,
    reading: &Reading,
    event: Option<&Event>,
    app: &App,
) -> Result<Vec<TriggerRecord>, Failure> {
    let ignored = reading.event().err().map(|ignored| ignored.to_string());
    let record = |file: Option<&str>, plan: Option<&str>, trigger: &Trigger| {
        let verdict = event.map(|event| {
            let changed = match args.changed.as_slice() {
                [] => Changed::Unknown,
                files => Changed::Files(files),
            };
            let message = reading.head_message();
            decide(trigger, &MatchInput { event, changed, message, deleted: false })
        });
        let why = match &verdict {
            Some(TriggerVerdict::Fires) => None,
            Some(TriggerVerdict::Not(why)) => Some(why.to_string()),
            None => ignored.clone(),
        };
        TriggerRecord {
            file: file.map(str::to_owned),
            plan: plan.map(str::to_owned),
            trigger: spelled(trigger),
            fires: verdict.is_some_and(|verdict| verdict.fires()),
            why,
        }
    };
    if args.workflows.is_empty() {
        return Ok(plain().iter().map(|trigger| record(None, None, trigger)).collect());
    }
    let mut tried = Vec::new();
    for (file, plan, triggers) in listed(args, app)? {
        tried.extend(triggers.iter().map(|one| record(Some(&file), Some(&plan), one)));
    }
    Ok(tried)
}

/// File, plan and triggers of each plan, as it is without an event.
fn listed(args: &DecodeArgs, app: &App) -> Result<Vec<(String, String, Vec<Trigger>)>, Failure> {
    let names = args.workflows.iter().map(String::as_str);
    let place = sources::select(app, None, names)?;
    wiring::block_on(async {
        let session = sources::start(app, &place)?;
        let mut found = Vec::new();
        for file in session.files(&place.targets).await? {
            let evaluated = session
                .evaluate(&file, None, Map::new())
                .await
                .map_err(|error| session::from_plan_error(error, &session.repo))?;
            for workflow in &*evaluated.workflows {
                render::diagnostic::print_in(&workflow.warnings, app, &session.repo);
                let plan = &workflow.hashed.plan;
                found.push((file.clone(), plan.name.clone(), plan.triggers.clone()));
            }
        }
        Ok(found)
    })
}

/// `on_push()`, `on_push(branch="main")` and the same of pull requests.
fn plain() -> Vec<Trigger> {
    let none = Vec::new;
    let triggers = PLAIN.iter().flat_map(|kind| {
        [none(), vec!["main".to_owned()]].map(|branches| match *kind {
            "push" => Trigger::Push { branches, tags: none(), paths: none(), paths_ignore: none() },
            _ => Trigger::PullRequest { types: none(), branches, paths: none() },
        })
    });
    triggers.collect()
}
