//! The page of a workflow, its picture, and the form that starts a run of it.

use std::collections::BTreeMap;

use axum::{
    extract::{Path, RawQuery, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use plue_dashboard::{
    ui::{Tone, fields::Field},
    workflows::one::{self, Head, Prompt, Start, StepLine, WorkflowPage},
};
use plue_plan::{
    Plan, PlanHash, Trigger,
    action::{Action, Prompt as PlanPrompt},
    capability::capabilities,
    plan::Input,
};
use plue_registry::schedule::{Schedule, next};
use plue_runtime::foreign;
use plue_store::{RegisteredRow, repo::pause::PauseScope, run::StepTimes};
use serde::Deserialize;

use super::{bar, paused_message};
use crate::{
    access::Role,
    commands::RunRequest,
    extract::repo_of,
    pages::{
        field, html,
        ops::schedules::pause,
        reader::{Form, Reader},
    },
    pauses::in_force,
    problem::Problem,
    records::workflow::PauseRecord,
    routes::runs::submit_run,
    server::Api,
    session,
};

/// Runs that the numbers are of.
const RUNS: u32 = 100;
/// Next times of a schedule.
const TICKS: usize = 5;
/// Policy of the picture: a document of its own, with its own style and nothing else.
const PICTURE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// A workflow in a path.
#[derive(Debug, Deserialize)]
pub(in crate::pages) struct At {
    repo: String,
    workflow: String,
}

/// A workflow with its plan.
struct Found {
    row: RegisteredRow,
    plan: Plan,
}

/// `GET /workflows/REPOSITORY/WORKFLOW`
pub(in crate::pages) async fn page(
    State(api): State<Api>,
    reader: Reader,
    Path(at): Path<At>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let done = paused_message(query.as_bytes());
    let model = load(&api, &reader, &at, Start::default()).await;
    reader.answer(model.map(|model| one::page(&WorkflowPage { done, ..model })))
}

async fn load(
    api: &Api,
    reader: &Reader,
    at: &At,
    entered: Start,
) -> Result<WorkflowPage, Problem> {
    let seq = api.changed().at();
    let Found { row, plan } = find(api, reader, at).await?;
    let key = [(row.repo.clone(), row.workflow.clone())];
    let runs =
        api.store().run_history().runs(&key, RUNS).await?.into_iter().next().unwrap_or_default();
    let ids: Vec<_> = runs.iter().map(|run| run.id.clone()).collect();
    let times = api.store().run_history().step_times(&ids).await?;
    let pauses = api.store().pauses().list(Some(std::slice::from_ref(&row.repo))).await?;
    let paused = |scope| {
        let found = in_force(&pauses, &row.repo, &row.workflow, scope);
        found.map(PauseRecord::of).map(pause)
    };
    let now = api.clock().now();
    let fields = match entered.fields.is_empty() {
        true => Field::of_inputs(&inputs(&plan)),
        false => entered.fields,
    };
    let start = reader.may(Role::Writer, Some(&row.repo)).then_some(Start {
        fields,
        rev: entered.rev,
        refused: entered.refused,
    });
    Ok(WorkflowPage {
        triggers: plan
            .triggers
            .iter()
            .map(|trigger| (trigger.words(), ticks(trigger, now)))
            .collect(),
        pauses: [paused(PauseScope::Workflow), paused(PauseScope::Schedule)],
        runs: runs.into_iter().map(bar).collect(),
        steps: times.iter().map(step).collect(),
        prompts: prompts(&plan),
        start,
        may_pause: reader.may(Role::Maintainer, Some(&row.repo)),
        done: None,
        csrf: session::csrf(&reader.secret),
        now,
        seq,
        head: head(row, &plan),
    })
}

/// A workflow of the default branch; files may share a name, then it is that of the first file.
async fn find(api: &Api, reader: &Reader, at: &At) -> Result<Found, Problem> {
    let repo = repo_of(api, &reader.who, &at.repo).await?.name;
    let unknown = || Problem::not_found("workflow", &at.workflow);
    let rows = api.store().repos().registered(Some(std::slice::from_ref(&repo))).await?;
    let row = rows.into_iter().find(|row| row.workflow == at.workflow).ok_or_else(unknown)?;
    let plan = plan_of(api, &row.plan).await?.ok_or_else(unknown)?;
    Ok(Found { row, plan })
}

/// A stored plan; none: it is not kept, or cannot be read.
pub(in crate::pages) async fn plan_of(api: &Api, hash: &PlanHash) -> Result<Option<Plan>, Problem> {
    let bytes = api.store().plans().get(hash).await?;
    Ok(bytes.and_then(|bytes| Plan::from_json(&bytes).ok()))
}

fn head(row: RegisteredRow, plan: &Plan) -> Head {
    Head {
        repo: row.repo,
        name: row.workflow,
        file: row.file,
        commit: row.sha,
        goal: plan.goal.clone().or_else(|| plan.description.clone()),
        plan: row.plan.to_string(),
        steps: plan.steps.len(),
        reaches: capabilities(plan).iter().map(ToString::to_string).collect(),
    }
}

fn ticks(trigger: &Trigger, now: Timestamp) -> Vec<Timestamp> {
    let Trigger::Schedule { cron, tz, misfire } = trigger else { return Vec::new() };
    let schedule = Schedule { cron, tz, misfire: *misfire };
    let mut ticks: Vec<Timestamp> = Vec::new();
    while ticks.len() < TICKS
        && let Ok(Some(tick)) = next(&schedule, ticks.last().copied().unwrap_or(now))
    {
        ticks.push(tick);
    }
    ticks
}

/// The inputs of the plan and of its manual triggers.
fn inputs(plan: &Plan) -> BTreeMap<&str, &Input> {
    let manual = plan.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Manual { inputs } => Some(inputs),
        _ => None,
    });
    manual.chain([&plan.inputs]).flatten().map(|(name, input)| (name.as_str(), input)).collect()
}

fn step(times: &StepTimes) -> StepLine {
    let ms = |us: u64| i64::try_from(us / 1_000).unwrap_or(i64::MAX);
    let mean = |total: u64, of: u64| (of > 0).then(|| ms(total / of.max(1)));
    let (newer_us, newer) = times.newer;
    StepLine {
        id: times.step.to_string(),
        runs: (times.ended, times.failed, times.retried),
        ms: (mean(times.total_us, times.timed).unwrap_or(0), ms(times.longest_us)),
        halves: (
            mean(newer_us, newer),
            mean(times.total_us.saturating_sub(newer_us), times.timed.saturating_sub(newer)),
        ),
    }
}

fn prompts(plan: &Plan) -> Vec<Prompt> {
    let of_step = |step: &plue_plan::Step| {
        let Action::Llm(llm) = &step.action else { return None };
        let (file, text) = match &llm.prompt {
            PlanPrompt::Text(value) => (None, shown(&value.0)),
            PlanPrompt::File(file) => {
                let inputs: Vec<String> = file
                    .inputs
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", shown(&value.0)))
                    .collect();
                (Some(file.name.clone()), inputs.join("\n"))
            }
        };
        let model = llm.model.clone().or_else(|| llm.role.clone());
        Some(Prompt { step: step.id.to_string(), model, file, text })
    };
    plan.all_steps().filter_map(of_step).collect()
}

/// A value of a plan for people: the text of a text or a template, else JSON.
fn shown(value: &serde_json::Value) -> String {
    let text = value.as_str().or_else(|| value.get(plue_plan::value::TEMPLATE_KEY)?.as_str());
    text.map_or_else(|| value.to_string(), str::to_owned)
}

/// `GET /workflows/REPOSITORY/WORKFLOW/plan.svg`
pub(in crate::pages) async fn picture(
    State(api): State<Api>,
    reader: Reader,
    Path(at): Path<At>,
) -> Response {
    match find(&api, &reader, &at).await {
        Ok(found) => {
            let mut answer = foreign::aside(|| plue_picture::svg(&found.plan)).into_response();
            let headers = answer.headers_mut();
            let svg = HeaderValue::from_static("image/svg+xml");
            headers.insert(header::CONTENT_TYPE, svg);
            let policy = HeaderValue::from_static(PICTURE_POLICY);
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
            answer
        }
        Err(problem) => html::problem(&problem, &reader.shell),
    }
}

/// `POST /workflows/REPOSITORY/WORKFLOW/run`
pub(in crate::pages) async fn run(
    State(api): State<Api>,
    Path(at): Path<At>,
    Form { reader, body }: Form,
) -> Response {
    let problem = match started(&api, &reader, &at, &body).await {
        Ok(to) => return html::see(&to, &reader.shell),
        Err(problem) => problem,
    };
    if !matches!(problem.status, 400 | 404 | 409 | 422) {
        return html::problem(&problem, &reader.shell);
    }
    // The form as it was entered, with the reason.
    let fields = match find(&api, &reader, &at).await {
        Ok(found) => Field::refilled(Field::of_inputs(&inputs(&found.plan)), &body),
        Err(problem) => return html::problem(&problem, &reader.shell),
    };
    let rev = field(&body, "rev").unwrap_or_default();
    let entered = Start { fields, rev, refused: Some(html::reason(&problem)) };
    match load(&api, &reader, &at, entered).await {
        Ok(model) => {
            let done = Some((Tone::Bad, "The run was not started: see the form.".to_owned()));
            let page = one::page(&WorkflowPage { done, ..model });
            html::answer(StatusCode::UNPROCESSABLE_ENTITY, &page, &reader.shell)
        }
        Err(problem) => html::problem(&problem, &reader.shell),
    }
}

async fn started(api: &Api, reader: &Reader, at: &At, body: &[u8]) -> Result<String, Problem> {
    let Found { row, plan } = find(api, reader, at).await?;
    let fields = Field::of_inputs(&inputs(&plan));
    let rev = field(body, "rev").map(|rev| rev.trim().to_owned()).filter(|rev| !rev.is_empty());
    let request = RunRequest {
        repository: row.repo,
        workflow: row.workflow,
        rev,
        inputs: Field::read(&fields, body).into_iter().collect(),
        traceparent: None,
    };
    let caller = reader.who.clone().asking(Role::Writer);
    let run = submit_run(api, &caller, api.ids().run(), request).await?;
    Ok(format!("/runs/{}", run.id))
}
