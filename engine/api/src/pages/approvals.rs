//! The inbox of decisions, and the form that decides one.

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use plue_dashboard::{
    approvals::{self, Ask, CommitRef, Inbox},
    ui::{Tone, fields::Field},
};
use plue_plan::RunId;
use plue_store::run::FoldedRun;

use super::{
    field, html, login,
    reader::{Form, Reader},
    runs::is_id,
};
use crate::{
    access::Role,
    commands::DecisionRequest,
    problem::Problem,
    reading::whole,
    records::status::ApprovalRecord,
    routes::approvals::{answers_as, decide_step},
    server::Api,
    session,
};

/// Runs of a page.
const PAGE: usize = 25;
/// Reason without a form: the role is too low.
const NO_ROLE: &str = "A maintainer of this repository decides.";
/// Reason without a form: the plan names others.
const NOT_NAMED: &str = "The plan names other approvers.";

/// An answer that the engine refused, to be shown with its form.
struct Refused<'f> {
    run: String,
    step: String,
    call: Option<String>,
    why: String,
    form: &'f [u8],
}

/// `GET /approvals`
pub(super) async fn page(
    State(api): State<Api>,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let inbox = load(&api, &reader, query.as_bytes(), None).await;
    reader.answer(inbox.map(|inbox| approvals::page(&inbox)))
}

async fn load(
    api: &Api,
    reader: &Reader,
    query: &[u8],
    refused: Option<Refused<'_>>,
) -> Result<Inbox, Problem> {
    // Before the rows: a change between the two is shown twice rather than not at all.
    let seq = api.changed().at();
    let after = field(query, "after").filter(|id| is_id(id)).map(RunId::new);
    let (repos, limit) = (reader.who.repos(), u32::try_from(PAGE + 1).unwrap_or(u32::MAX));
    let mut runs =
        api.store().usage().waiting_runs(repos.as_deref(), after.as_ref(), limit).await?;
    let has_more = runs.len() > PAGE;
    runs.truncate(PAGE);
    let mut items = Vec::new();
    for id in &runs {
        items.extend(asks(reader, &whole(api, id).await?));
    }
    // A decision that is over by now has no card to be shown at.
    let over = refused.and_then(|refused| refused.mark(&mut items));
    let done = over.map(|why| (Tone::Bad, why)).or_else(|| done(query));
    let next = runs.last().filter(|_| has_more).map(ToString::to_string);
    let csrf = session::csrf(&reader.secret);
    Ok(Inbox { items, next, done, csrf, seq })
}

/// The decisions that a run waits for.
pub(super) fn asks(reader: &Reader, read: &FoldedRun) -> Vec<Ask> {
    let FoldedRun { row, plan, run, .. } = read;
    let records = run.waiting().filter_map(|one| ApprovalRecord::of(row, plan, &one));
    records
        .map(|record| Ask {
            may: may(reader, &record),
            commit: CommitRef {
                repo: row.repo.clone(),
                branch: row.branch.clone(),
                sha: row.sha.clone(),
            },
            times: (row.created_at, record.until),
            fields: record.fields.as_ref().map(Field::of_schema).unwrap_or_default(),
            run: record.run,
            workflow: record.workflow,
            step: record.step,
            message: record.message,
            call: record.call.map(|call| (call.id, call.tool, call.arguments)),
            approvers: record.approvers,
            quorum: record.quorum,
            refused: None,
        })
        .collect()
}

fn may(reader: &Reader, record: &ApprovalRecord) -> Result<(), &'static str> {
    if !reader.may(Role::Maintainer, record.repository.as_deref()) {
        return Err(NO_ROLE);
    }
    let name = answers_as(&reader.who);
    let is_named = record.approvers.is_empty() || record.approvers.iter().any(|one| one == name);
    is_named.then_some(()).ok_or(NOT_NAMED)
}

/// The message about the decision that led here.
fn done(query: &[u8]) -> Option<(Tone, String)> {
    match field(query, "done")?.as_str() {
        "approve" => Some((Tone::Good, "Approved: the run goes on.".to_owned())),
        "reject" => Some((Tone::Idle, "Rejected: the step fails.".to_owned())),
        _ => None,
    }
}

/// `POST /approvals/decide`
pub(super) async fn decide(State(api): State<Api>, Form { reader, body }: Form) -> Response {
    match act(&api, &reader, &body).await {
        Ok(to) => html::see(&to, &reader.shell),
        Err(problem) if matches!(problem.status, 400 | 409 | 422) => {
            again(&api, &reader, problem, &body).await
        }
        Err(problem) => html::problem(&problem, &reader.shell),
    }
}

/// The inbox with the refused form as it was entered, and the reason.
async fn again(api: &Api, reader: &Reader, problem: Problem, body: &[u8]) -> Response {
    let refused = Refused {
        run: field(body, "run").unwrap_or_default(),
        step: field(body, "step").unwrap_or_default(),
        call: field(body, "call"),
        why: html::reason(&problem),
        form: body,
    };
    match load(api, reader, b"", Some(refused)).await {
        Ok(inbox) => {
            let status = StatusCode::from_u16(problem.status);
            let status = status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            html::answer(status, &approvals::page(&inbox), &reader.shell)
        }
        Err(problem) => html::problem(&problem, &reader.shell),
    }
}

async fn act(api: &Api, reader: &Reader, body: &[u8]) -> Result<String, Problem> {
    let given = |name| field(body, name).unwrap_or_default();
    let (run, step, call) = (given("run"), given("step"), field(body, "call"));
    let approve = match given("answer").as_str() {
        "approve" => true,
        "reject" => false,
        _ => return Err(Problem::bad_request("the answer is `approve` or `reject`")),
    };
    let caller = reader.who.clone().asking(Role::Maintainer);
    let row = crate::extract::run_of(api, &caller, &run).await?;
    let read = whole(api, &row.id).await?;
    let asked = asks(reader, &read)
        .into_iter()
        .find(|ask| ask.step == step && ask.call.as_ref().map(|(id, _, _)| id) == call.as_ref());
    let Some(asked) = asked else {
        return Err(Problem::conflict("the step does not wait for this decision any more"));
    };
    let fields = if approve { Field::read(&asked.fields, body) } else { Default::default() };
    let comment = field(body, "comment").filter(|comment| !comment.trim().is_empty());
    let answer = DecisionRequest { approve, fields, comment, call };
    decide_step(api, &caller, &run, &step, answer).await?;
    let word = if approve { "approve" } else { "reject" };
    // A form of the run's page comes back there.
    let back = field(body, "back").filter(|back| login::is_own_path(back));
    let back = back.unwrap_or_else(|| approvals::PATH.to_owned());
    let glue = if back.contains('?') { '&' } else { '?' };
    Ok(format!("{back}{glue}done={word}"))
}

// === impl Refused ===

impl Refused<'_> {
    /// Shows the reason at the card of the decision; returns it if there is none.
    fn mark(self, items: &mut [Ask]) -> Option<String> {
        let is_it = |ask: &&mut Ask| {
            ask.run == self.run
                && ask.step == self.step
                && ask.call.as_ref().map(|(id, _, _)| id) == self.call.as_ref()
        };
        let Some(ask) = items.iter_mut().find(is_it) else { return Some(self.why) };
        ask.fields = Field::refilled(std::mem::take(&mut ask.fields), self.form);
        ask.refused = Some(self.why);
        None
    }
}
