//! Workflows of watched repositories: the list, the page of one, and the forms that pause and run one.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use plue_dashboard::{
    shell::Page,
    state::State as Shown,
    ui::Tone,
    workflows::{self, Line, MAX_WORKFLOWS, WorkflowsPage, stats::Bar},
};
use plue_store::{repo::pause::PauseScope, run::PastRun};

use super::{
    field, login,
    ops::schedules::pause,
    reader::{Form, Reader},
};
use crate::{
    access::Role,
    pauses::{self, PauseTarget},
    problem::Problem,
    records::workflow::WorkflowRecord,
    routes::workflows::{pause_target, resume_target},
    server::Api,
};

pub(super) mod one;

/// Runs of a line of the list.
const RUNS: u32 = 40;
/// Characters of a search.
const MAX_SEARCH: usize = 100;

/// `GET /workflows`
pub(super) async fn page(
    State(api): State<Api>,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    reader.answer(load(&api, &reader, query.as_bytes()).await)
}

async fn load(api: &Api, reader: &Reader, query: &[u8]) -> Result<Page, Problem> {
    let seq = api.changed().at();
    let search: String =
        field(query, "q").unwrap_or_default().trim().chars().take(MAX_SEARCH).collect();
    let words = search.to_lowercase();
    let number = field(query, "page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1);
    let repos = reader.who.repos();
    let all = pauses::workflows(api.store(), repos.as_deref()).await?;
    let has_any = !all.is_empty();
    let holds = |record: &WorkflowRecord| {
        [&record.repository, &record.workflow, &record.file]
            .iter()
            .any(|text| text.to_lowercase().contains(&words))
    };
    let skipped = number.max(1).saturating_sub(1).saturating_mul(MAX_WORKFLOWS);
    let mut found: Vec<WorkflowRecord> =
        all.into_iter().filter(holds).skip(skipped).take(MAX_WORKFLOWS + 1).collect();
    let next = (found.len() > MAX_WORKFLOWS).then(|| number.saturating_add(1));
    found.truncate(MAX_WORKFLOWS);
    let keys: Vec<(String, String)> =
        found.iter().map(|record| (record.repository.clone(), record.workflow.clone())).collect();
    let past = api.store().run_history().runs(&keys, RUNS).await?;
    let lines = found.into_iter().zip(past).map(|(record, runs)| line(record, runs)).collect();
    let now = api.clock().now();
    Ok(workflows::page(&WorkflowsPage { lines, search, next, has_any, now, seq }))
}

fn line(record: WorkflowRecord, runs: Vec<PastRun>) -> Line {
    Line {
        triggers: record.triggers.iter().map(|trigger| trigger.words()).collect(),
        repo: record.repository,
        name: record.workflow,
        file: record.file,
        paused: record.paused.or(record.schedule_paused).map(pause),
        runs: runs.into_iter().map(bar).collect(),
    }
}

/// A run as the history shows it.
pub(super) fn bar(run: PastRun) -> Bar {
    Bar {
        run: run.id.to_string(),
        state: Shown::of(run.status.as_str()),
        created: run.created_at,
        started: run.started_at,
        ended: run.ended_at,
    }
}

/// The message about a pause or its end.
pub(super) fn paused_message(query: &[u8]) -> Option<(Tone, String)> {
    let message = match field(query, "done")?.as_str() {
        "pause" => "Paused until it is resumed.",
        "resume" => "Resumed. What was due before does not run.",
        _ => return None,
    };
    Some((Tone::Good, message.to_owned()))
}

/// `POST /workflows/pause`
pub(super) async fn pause_form(State(api): State<Api>, Form { reader, body }: Form) -> Response {
    reader.redirect(change(&api, &reader, &body, true).await)
}

/// `POST /workflows/resume`
pub(super) async fn resume_form(State(api): State<Api>, Form { reader, body }: Form) -> Response {
    reader.redirect(change(&api, &reader, &body, false).await)
}

async fn change(
    api: &Api,
    reader: &Reader,
    body: &[u8],
    is_pause: bool,
) -> Result<String, Problem> {
    let given = |name| field(body, name).unwrap_or_default();
    let scope = match given("scope").as_str() {
        "workflow" => PauseScope::Workflow,
        "schedule" => PauseScope::Schedule,
        _ => return Err(Problem::bad_request("the scope is `workflow` or `schedule`")),
    };
    let caller = reader.who.clone().asking(Role::Maintainer);
    let target = PauseTarget { repo: given("repo"), workflow: given("workflow"), scope };
    let word = if is_pause {
        pause_target(api, &caller, target, field(body, "reason")).await?;
        "pause"
    } else {
        resume_target(api, &caller, target).await?;
        "resume"
    };
    let back = field(body, "back").filter(|back| login::is_own_path(back));
    let back = back.unwrap_or_else(|| "/schedules".to_owned());
    let glue = if back.contains('?') { '&' } else { '?' };
    Ok(format!("{back}{glue}done={word}"))
}
