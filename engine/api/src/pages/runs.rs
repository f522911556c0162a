//! The list of runs, and actions on several of them.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use plue_dashboard::{
    run::head::{Cause, Times},
    runs::{self, ACTIVE, Filter, RunLine, RunsPage},
    shell::Page,
    state::State as Shown,
    ui::{Tone, counted},
};
use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_store::run::{ListedRun, RunQuery};

use super::{
    field, login,
    reader::{Form, Reader},
    values,
};
use crate::{
    access::Role,
    commands::RetryRequest,
    problem::Problem,
    records::claude::ClaudeUsageRecord,
    routes::runs::{cancel_run, retry_run},
    server::Api,
    session,
};

pub(super) mod views;

/// Runs of a page.
const PAGE: usize = 50;
/// Runs of one action.
const MAX_BULK: usize = 100;
/// Types of events that runs are started by.
const EVENTS: &[&str] = &[
    "push",
    "pull_request",
    "issue",
    "issue_comment",
    "schedule",
    "manual",
    "webhook",
    "event",
    "workflow",
];

/// `GET /runs`
pub(super) async fn page(
    State(api): State<Api>,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Response {
    let page = load(&api, &reader, query.as_deref().unwrap_or_default()).await;
    reader.answer(page)
}

async fn load(api: &Api, reader: &Reader, query: &str) -> Result<Page, Problem> {
    // Before the rows: a change between the two is shown twice rather than not at all.
    let seq = api.changed().at();
    let filter = Filter::of(query);
    let before = field(query.as_bytes(), "before").filter(|id| is_id(id)).map(RunId::new);
    let after = field(query.as_bytes(), "after").filter(|id| is_id(id)).map(RunId::new);
    let asked = store_query(reader, &filter, before.clone(), after.clone());
    let mut runs = api.store().run_lists().list(&asked).await?;
    let has_more = runs.len() > PAGE;
    // The row too many is at the far end of the direction.
    if after.is_some() && has_more {
        runs.remove(0);
    }
    runs.truncate(PAGE);
    let has_older = if after.is_some() { true } else { has_more };
    let has_newer = if after.is_some() { has_more } else { before.is_some() };
    let end = |listed: Option<&ListedRun>, is_there: bool| {
        listed.filter(|_| is_there).map(|listed| listed.run.id.to_string())
    };
    let (older, newer) = (end(runs.last(), has_older), end(runs.first(), has_newer));
    let lines: Vec<RunLine> = runs.into_iter().map(|listed| line(reader, listed)).collect();
    let csrf = lines.iter().any(|line| line.may_act).then(|| session::csrf(&reader.secret));
    let model = RunsPage {
        lines,
        views: views::of(api, reader).await?,
        filter,
        events: EVENTS,
        older,
        newer,
        done: done(query),
        csrf,
        now: api.clock().now(),
        seq,
    };
    Ok(runs::page(&model))
}

fn store_query(
    reader: &Reader,
    filter: &Filter,
    before: Option<RunId>,
    after: Option<RunId>,
) -> RunQuery {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let own = reader.who.repos();
    // A repository that the reader may not see has no runs here, as one that does not exist.
    let repos = match some(&filter.repo) {
        Some(repo) if reader.who.sees(Some(&repo)) => Some(vec![repo]),
        Some(_) => Some(Vec::new()),
        None => own,
    };
    let status = match filter.state.as_str() {
        ACTIVE => RunStatus::ALL.iter().copied().filter(|status| !status.is_terminal()).collect(),
        word => RunStatus::ALL.iter().copied().filter(|status| status.as_str() == word).collect(),
    };
    RunQuery {
        status,
        workflow: some(&filter.workflow),
        repos,
        branch: some(&filter.branch),
        event: some(&filter.event),
        actor: some(&filter.actor),
        text: some(&filter.text),
        limit: u32::try_from(PAGE + 1).unwrap_or(u32::MAX),
        before,
        after,
    }
}

fn line(reader: &Reader, listed: ListedRun) -> RunLine {
    let ListedRun { run, event, plan_before, spend } = listed;
    RunLine {
        state: Shown::of(run.view.status.as_str()),
        has_new_plan: plan_before.is_some_and(|before| before != run.plan),
        may_act: reader.may(Role::Writer, run.repo.as_deref()),
        usd: spend.map(|spend| ClaudeUsageRecord::of(&spend).cost_usd),
        times: Times {
            created: run.created_at,
            started: run.view.started_at,
            ended: run.view.ended_at,
        },
        cause: Cause {
            event: event.kind.unwrap_or_else(|| "import".to_owned()),
            actor: event.actor,
            repo: run.repo,
            branch: run.branch,
            sha: run.sha,
        },
        id: run.id.to_string(),
        workflow: run.workflow,
        title: event.title,
        reason: run.view.reason,
    }
}

/// Whether a text has the form of an id.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The message about the action that led here.
fn done(query: &str) -> Option<(Tone, String)> {
    let number = |name| field(query.as_bytes(), name)?.parse::<usize>().ok();
    let (count, refused) = (number("done")?, number("refused").unwrap_or(0));
    let verb = match field(query.as_bytes(), "action")?.as_str() {
        "cancel" => "asked to stop",
        "retry" => "retried",
        _ => return None,
    };
    let mut message = format!("{} {verb}.", counted(count, "run"));
    if refused > 0 {
        message.push_str(&format!(
            " {} left as they are: their state does not allow it, or you may not.",
            counted(refused, "run")
        ));
    }
    Some((if refused > 0 { Tone::Wait } else { Tone::Good }, message))
}

/// `POST /runs/bulk`
pub(super) async fn bulk(State(api): State<Api>, Form { reader, body }: Form) -> Response {
    let to = act(&api, &reader, &body).await;
    reader.redirect(to)
}

async fn act(api: &Api, reader: &Reader, body: &[u8]) -> Result<String, Problem> {
    let action = field(body, "action").unwrap_or_default();
    let caller = reader.who.clone().asking(Role::Writer);
    let runs = values(body, "run");
    if runs.len() > MAX_BULK {
        return Err(Problem::bad_request(format!("an action is for at most {MAX_BULK} runs")));
    }
    let (mut done, mut refused) = (0_usize, 0_usize);
    for run in runs {
        let result = match action.as_str() {
            "cancel" => cancel_run(api, &caller, &run, false).await.map(drop),
            "retry" => {
                let request = RetryRequest { from: None, failed: false, files: Default::default() };
                retry_run(api, &caller, &run, request).await.map(drop)
            }
            _ => return Err(Problem::bad_request("the action is `cancel` or `retry`")),
        };
        match result {
            Ok(()) => done += 1,
            Err(problem) if problem.status < 500 => refused += 1,
            Err(problem) => return Err(problem),
        }
    }
    let back = field(body, "back").filter(|back| back.starts_with("/runs"));
    let back = back.filter(|back| login::is_own_path(back)).unwrap_or_else(|| "/runs".to_owned());
    let glue = if back.contains('?') { '&' } else { '?' };
    Ok(format!("{back}{glue}action={action}&done={done}&refused={refused}"))
}
