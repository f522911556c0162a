//! Pull requests as their reports have them: plans, changes against the base, and the button that lets a
//! commit run.

use std::collections::HashSet;

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use plue_dashboard::{
    pulls::{self, About, Outcome, PlanChange, PullLine, PullPage, PullPlan, PullsPage},
    shell::Page,
    state::State as Shown,
    ui::Tone,
};
use plue_plan::RunId;
use plue_store::ReportRow;

use super::{
    field,
    reader::{Form, Reader},
};
use crate::{
    access::Role,
    extract::repo_of,
    problem::Problem,
    records::report::{ReportChange, ReportEntry, ReportOutcome, ReportPull, ReportRecord},
    routes::repositories::allow_commit,
    server::Api,
    session,
};

/// Reports that the list looks at; older heads of a pull request are among them.
const REPORTS: u32 = 200;
/// Pull requests of the list.
const MAX_PULLS: usize = 100;

/// `GET /pulls`
pub(super) async fn list(State(api): State<Api>, reader: Reader) -> Response {
    reader.answer(load_list(&api, &reader).await)
}

async fn load_list(api: &Api, reader: &Reader) -> Result<Page, Problem> {
    let seq = api.changed().at();
    let repos = reader.who.repos();
    let rows = api.store().reports().of_pulls(repos.as_deref(), REPORTS).await?;
    let mut seen = HashSet::new();
    let newest = rows
        .into_iter()
        .filter(|row| seen.insert((row.key.repo.clone(), row.key.pull_request)))
        .take(MAX_PULLS);
    Ok(pulls::list(&PullsPage { lines: newest.map(line).collect(), seq }))
}

fn line(row: ReportRow) -> PullLine {
    let report = content(&row);
    let plans = &report.plans;
    let count = |of: fn(&ReportEntry) -> bool| plans.iter().filter(|entry| of(entry)).count();
    PullLine {
        title: report.pull.map(|pull| pull.title),
        plans: [
            count(|entry| matches!(entry.outcome, ReportOutcome::Held(_))),
            count(|entry| matches!(entry.outcome, ReportOutcome::Invalid(_))),
            count(|entry| entry.change != ReportChange::Unchanged),
            plans.len(),
        ],
        key: (row.key.repo, row.key.pull_request),
        sha: row.key.sha,
        at: row.created_at,
    }
}

/// The content of a report; one that cannot be read is empty.
fn content(row: &ReportRow) -> ReportRecord {
    serde_json::from_value(row.content.clone()).unwrap_or_default()
}

/// `GET /pulls/REPOSITORY/NUMBER`
pub(super) async fn page(
    State(api): State<Api>,
    reader: Reader,
    Path((repo, number)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    reader.answer(load(&api, &reader, &repo, &number, query.as_bytes()).await)
}

async fn load(
    api: &Api,
    reader: &Reader,
    repo: &str,
    number: &str,
    query: &[u8],
) -> Result<Page, Problem> {
    let seq = api.changed().at();
    let unknown = || Problem::not_found("pull request", number);
    let repo = repo_of(api, &reader.who, repo).await?.name;
    let number = number.parse::<u64>().ok().filter(|number| *number > 0).ok_or_else(unknown)?;
    let row = api.store().reports().newest(&repo, number).await?.ok_or_else(unknown)?;
    let report = content(&row);
    let runs: Vec<RunId> = report
        .plans
        .iter()
        .filter_map(|entry| match &entry.outcome {
            ReportOutcome::Run(run) => Some(run.clone()),
            _ => None,
        })
        .collect();
    let statuses = api.store().runs().statuses(&runs).await?;
    let state = |run: &RunId| statuses.get(run).map(|(status, _)| Shown::of(status.as_str()));
    let is_done = field(query, "done").is_some();
    let model = PullPage {
        plans: report.plans.into_iter().map(|entry| plan(entry, state)).collect(),
        notices: report.notices,
        about: report.pull.map(about).unwrap_or_default(),
        allowed_by: api.store().untrusted().allowed_by(&repo, &row.key.sha).await?,
        may_allow: reader.may(Role::Maintainer, Some(&repo)),
        done: is_done.then(|| (Tone::Good, "Allowed: its plans are taken up again.".to_owned())),
        csrf: session::csrf(&reader.secret),
        key: (repo, number),
        sha: row.key.sha,
        at: row.created_at,
        seq,
    };
    Ok(pulls::page(&model))
}

fn about(pull: ReportPull) -> About {
    About {
        title: pull.title,
        actor: pull.actor,
        branches: Some((pull.head, pull.base)),
        url: pull.url,
    }
}

fn plan(entry: ReportEntry, state: impl Fn(&RunId) -> Option<Shown>) -> PullPlan {
    PullPlan {
        name: entry.name,
        file: entry.file,
        outcome: match entry.outcome {
            ReportOutcome::Run(run) => Outcome::Run(run.to_string(), state(&run)),
            ReportOutcome::Skipped(reason) => Outcome::Skipped(reason),
            ReportOutcome::Held(reason) => Outcome::Waits(reason),
            ReportOutcome::Invalid(problems) => {
                let problems = problems.into_iter().map(|problem| match problem.hint {
                    Some(hint) => format!("{}: {hint}", problem.message),
                    None => problem.message,
                });
                Outcome::Invalid(problems.collect())
            }
        },
        change: match entry.change {
            ReportChange::Unchanged => None,
            ReportChange::New => Some(PlanChange::New),
            ReportChange::Removed => Some(PlanChange::Removed),
            ReportChange::Changed(diff) => Some(PlanChange::Changed(diff)),
        },
    }
}

/// `POST /pulls/allow`
pub(super) async fn allow(State(api): State<Api>, Form { reader, body }: Form) -> Response {
    reader.redirect(allowed(&api, &reader, &body).await)
}

async fn allowed(api: &Api, reader: &Reader, body: &[u8]) -> Result<String, Problem> {
    let given = |name| field(body, name).unwrap_or_default();
    let (repo, number) = (given("repo"), given("number").parse::<u64>().unwrap_or(0));
    let caller = reader.who.clone().asking(Role::Maintainer);
    allow_commit(api, &caller, &repo, &given("commit")).await?;
    Ok(format!("{}?done=1", pulls::address(&repo, number)))
}
