//! The page of a run: loaded for a reader who may see it.

use std::collections::HashMap;

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use plue_dashboard::{
    run::{
        self, LogEnd, Picture, RunPage, Wait,
        acts::Acts,
        address::{Address, View},
        head::{Cause, RunHead, Times},
        steps::{StepLine, StepTimes},
    },
    shell::Page,
    state::State as Shown,
};
use plue_plan::{Plan, PlanHash, RunId, Step};
use plue_store::{AttemptRow, LogRange, run::FoldedRun};

use super::{approvals, printed, reader::Reader, test_results};
use crate::{
    access::{Principal, Role},
    explain::Subject,
    extract::run_of,
    problem::Problem,
    records::status::{StatusRecord, WaitingRecord},
    server::Api,
    session,
};

pub(super) mod acts;
mod panel;
pub(crate) mod pictures;
pub(super) mod plan;
pub(crate) mod shared;
mod timeline;

use shared::Loaded;

/// Characters of a run's id in a path.
const MAX_ID: usize = 64;

/// `GET /runs/ID`
pub(super) async fn page(
    State(api): State<Api>,
    reader: Reader,
    Path(run): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let address = Address::of(&run, query.as_deref().unwrap_or_default());
    reader.answer(load(&api, &reader, address).await)
}

/// The row of a run that the reader may see.
async fn shown_run(api: &Api, who: &Principal, run: &str) -> Result<plue_store::RunRow, Problem> {
    match is_id(run) {
        true => run_of(api, who, run).await,
        false => Err(Problem::not_found("run", run)),
    }
}

fn is_id(run: &str) -> bool {
    run.len() <= MAX_ID && run.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

async fn load(api: &Api, reader: &Reader, address: Address) -> Result<Page, Problem> {
    if !is_id(&address.run) {
        return Err(Problem::not_found("run", &address.run));
    }
    let id = RunId::new(address.run.as_str());
    let loaded = shared::loaded(api, &reader.who, &id, reader.seen).await?;
    Ok(run::page(&model(api, reader, &loaded, address).await?))
}

async fn model(
    api: &Api,
    reader: &Reader,
    loaded: &Loaded,
    address: Address,
) -> Result<RunPage, Problem> {
    let FoldedRun { row, source, plan, run } = &loaded.read;
    let Loaded { status, attempts, lines, .. } = loaded;
    let subject = Subject { row, source, plan, run };
    let chosen = match &address.step {
        Some(step) => panel::load(api, subject, step, lines).await?,
        None => None,
    };
    let may_act = reader.may(Role::Writer, row.repo.as_deref());
    Ok(RunPage {
        acts: Acts {
            run: row.id.to_string(),
            state: Shown::of(&status.run.status),
            csrf: may_act.then(|| session::csrf(&reader.secret)),
            asks: approvals::asks(reader, &loaded.read),
        },
        picture: match address.view {
            View::Graph => Picture::Graph(api.pictures().of(&row.plan, plan, &address.open)),
            View::Timeline => Picture::Timeline(timeline::lanes(lines, attempts)),
        },
        head: head(status, loaded.plan_before.as_ref()),
        waits: status.waiting.iter().map(wait).collect(),
        steps: lines.clone(),
        chosen,
        tests: loaded.tests.clone(),
        notes: status.notes.iter().map(|note| (note.step.clone(), note.text.clone())).collect(),
        logs: loaded.logs.clone(),
        now: api.clock().now(),
        seq: status.run.seq,
        address,
    })
}

fn head(status: &StatusRecord, plan_before: Option<&PlanHash>) -> RunHead {
    let run = &status.run;
    RunHead {
        id: run.id.clone(),
        workflow: run.workflow.clone(),
        state: Shown::of(&run.status),
        reason: run.reason.clone(),
        goal: status.goal.clone(),
        plan: run.plan.clone(),
        source: status.source.clone(),
        cause: Cause {
            event: status.event.kind.clone(),
            actor: status.event.actor.clone(),
            repo: run.repository.clone(),
            branch: run.branch.clone().or_else(|| status.event.tag.clone()),
            sha: run.sha.clone(),
        },
        times: Times { created: run.created_at, started: run.started_at, ended: run.ended_at },
        has_new_plan: plan_before.is_some_and(|before| before.to_string() != run.plan),
        spend: status.usage.as_ref().map(|usage| (usage.cost_usd, usage.calls)),
    }
}

fn wait(waiting: &WaitingRecord) -> Wait {
    Wait {
        step: waiting.step.clone(),
        words: waiting.words.clone(),
        behind: waiting.behind.clone(),
        until: waiting.until,
    }
}

fn step_lines(status: &StatusRecord, plan: &Plan, attempts: &[AttemptRow]) -> Vec<StepLine> {
    let plans: HashMap<&str, &Step> =
        plan.all_steps().map(|step| (step.id.as_str(), step)).collect();
    let newest: HashMap<&str, &AttemptRow> =
        attempts.iter().map(|attempt| (attempt.step.as_str(), attempt)).collect();
    let lines = status.steps.iter().map(|step| {
        let planned = plans.get(step.step.as_str());
        let needs = planned.map(|planned| planned.depends_on.as_slice()).unwrap_or_default();
        StepLine {
            id: step.step.clone(),
            name: step.name.clone().filter(|name| *name != step.step),
            kind: planned.map(|planned| planned.action.kind()).unwrap_or_default().to_owned(),
            state: Shown::of(&step.status),
            reason: step.reason.clone(),
            visit: step.visit,
            attempts: step.attempts,
            times: StepTimes {
                ready: step.ready_at,
                started: step.started_at,
                ended: step.ended_at,
            },
            needs: needs.iter().map(ToString::to_string).collect(),
            attempt: newest.get(step.step.as_str()).map(|row| row.claim.attempt.to_string()),
            usd: step.usage.as_ref().map(|usage| usage.cost_usd),
        }
    });
    lines.collect()
}

async fn end_of_log(api: &Api, attempt: &AttemptRow) -> Result<LogEnd, Problem> {
    let bytes = attempt.log_bytes;
    let from = bytes.saturating_sub(printed::BYTES);
    let pieces =
        api.store().logs().read(&attempt.claim.attempt, LogRange::Bytes(from..bytes)).await?;
    let output = pieces.iter().filter(|piece| piece.stream.is_output());
    let end: Vec<u8> = output.flat_map(|piece| piece.bytes.iter().copied()).collect();
    Ok(LogEnd {
        step: attempt.step.to_string(),
        attempt: attempt.claim.attempt.to_string(),
        text: printed::last_lines(&end, from > 0),
        bytes,
    })
}
