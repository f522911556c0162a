//! The page of a run: loaded for a reader who may see it.

use axum::{
    extract::{Path, State},
    response::Response,
};
use plue_dashboard::{
    run::{
        self, LogEnd, RunPage, Wait,
        head::{Cause, RunHead, Times},
        steps::StepLine,
    },
    shell::Page,
    state::State as Shown,
};
use plue_plan::{Plan, RunId, StepId};
use plue_store::{AttemptRow, LogRange};

use super::{printed, reader::Reader, test_results};
use crate::{
    access::Principal,
    explain::{self, Subject},
    extract::run_of,
    problem::Problem,
    reading::{Whole, whole},
    records::{
        StepRecord,
        test_results::TestsRecord,
        told::{StatusRecord, WaitingRecord},
    },
    server::Api,
};

/// Failed steps of which the log is shown.
const MAX_LOGS: usize = 20;
/// Characters of a run's id in a path.
const MAX_ID: usize = 64;

/// `GET /runs/ID`
pub(super) async fn page(
    State(api): State<Api>,
    reader: Reader,
    Path(run): Path<String>,
) -> Response {
    reader.answer(load(&api, &reader.who, &run).await)
}

async fn load(api: &Api, who: &Principal, run: &str) -> Result<Page, Problem> {
    let fits = run.len() <= MAX_ID && run.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !fits {
        return Err(Problem::not_found("run", run));
    }
    let row = run_of(api, who, run).await?;
    Ok(run::page(&model(api, &row.id).await?))
}

async fn model(api: &Api, id: &RunId) -> Result<RunPage, Problem> {
    let steps = api.store().steps(id).await?;
    let Whole { row, source, plan, run } = whole(api, id).await?;
    let subject = Subject { row: &row, source: &source, plan: &plan, run: &run };
    let status = explain::status(api.store(), steps, subject).await?;
    let failed = |step: &&StepRecord| matches!(step.status.as_str(), "failed" | "timed_out");
    let mut logs = Vec::new();
    if status.steps.iter().any(|step| failed(&step)) {
        let attempts = api.store().attempts(&row.id, None).await?;
        for step in status.steps.iter().filter(failed).take(MAX_LOGS) {
            let last = attempts.iter().rev().find(|attempt| attempt.step.as_str() == step.step);
            if let Some(last) = last {
                logs.push(end_of_log(api, last).await?);
            }
        }
    }
    let tests = match status.tests {
        Some(_) => TestsRecord::read(api.store(), &row.id).await?.map(test_results::view),
        None => None,
    };
    Ok(RunPage {
        head: head(&status),
        waits: status.waiting.iter().map(wait).collect(),
        steps: status.steps.iter().map(|step| step_line(step, &plan)).collect(),
        tests,
        notes: status.notes.into_iter().map(|note| (note.step, note.text)).collect(),
        logs,
        now: api.clock().now(),
        seq: status.run.seq,
    })
}

fn head(status: &StatusRecord) -> RunHead {
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

fn step_line(step: &StepRecord, plan: &Plan) -> StepLine {
    let id = StepId::new(step.step.as_str());
    let kind = plan.all_steps().find(|other| other.id == id).map(|step| step.action.kind());
    StepLine {
        id: step.step.clone(),
        name: step.name.clone().filter(|name| *name != step.step),
        kind: kind.unwrap_or_default().to_owned(),
        state: Shown::of(&step.status),
        reason: step.reason.clone(),
        visit: step.visit,
        attempts: step.attempts,
        ready: step.ready_at,
        started: step.started_at,
        ended: step.ended_at,
        usd: step.usage.as_ref().map(|usage| usage.cost_usd),
    }
}

async fn end_of_log(api: &Api, attempt: &AttemptRow) -> Result<LogEnd, Problem> {
    let bytes = attempt.log_bytes;
    let from = bytes.saturating_sub(printed::BYTES);
    let pieces = api.store().read_log(&attempt.claim.attempt, LogRange::Bytes(from..bytes)).await?;
    let output = pieces.iter().filter(|piece| piece.stream.is_output());
    let end: Vec<u8> = output.flat_map(|piece| piece.bytes.iter().copied()).collect();
    Ok(LogEnd {
        step: attempt.step.to_string(),
        attempt: attempt.claim.attempt.to_string(),
        text: printed::last_lines(&end, from > 0),
        bytes,
    })
}
