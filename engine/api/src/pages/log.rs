//! The page of an attempt's log: a whole small log, or a window of lines of a large one.

use axum::{
    extract::{Path, State},
    response::Response,
};
use plue_dashboard::{
    log::{self, AttemptHead, Line, Remark, WHOLE_BYTES, WHOLE_LINES, WINDOW_LINES, Window},
    shell::Page,
    state::State as Shown,
};
use plue_plan::{Plan, Step};
use plue_store::{AttemptRow, LogStat, RunRow};
use serde::Deserialize;

use super::reader::Reader;
use crate::{
    access::Principal,
    extract::Query,
    problem::Problem,
    records::log_view::LinesRecord,
    routes::{
        log_view::read_lines,
        logs::{AttemptPath, attempt_of},
    },
    server::Api,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// First line of the window, from 1.
    line: Option<u64>,
}

/// `GET /runs/RUN/attempts/ATTEMPT/log`
pub(super) async fn page(
    State(api): State<Api>,
    reader: Reader,
    Path(path): Path<AttemptPath>,
    part: Result<Query<Part>, Problem>,
) -> Response {
    let page = match part {
        Ok(Query(part)) => load(&api, &reader.who, &path, part.line).await,
        Err(problem) => Err(problem),
    };
    reader.answer(page)
}

async fn load(
    api: &Api,
    who: &Principal,
    path: &AttemptPath,
    line: Option<u64>,
) -> Result<Page, Problem> {
    // The number is read before the lines: the stream may repeat bytes, and never leaves any out.
    let row = attempt_of(api, who, path).await?;
    let (head, _) = head_of(api, &row).await?;
    let stat = api.store().logs().stat(&row.claim.attempt).await?;
    let stat = stat.unwrap_or(LogStat { bytes: 0, lines: 0, ended: row.state.is_terminal() });
    let lines = match stat.lines <= WHOLE_LINES && stat.bytes <= WHOLE_BYTES {
        true => read_lines(api.store(), &row.claim.attempt, 0, WHOLE_LINES).await?,
        false => {
            let first = first_line(line, &head, &stat);
            read_lines(api.store(), &row.claim.attempt, first - 1, first - 1 + WINDOW_LINES).await?
        }
    };
    Ok(log::page(&head, &window(lines, row.log_reach)))
}

/// The first line of a window: the one that is asked for, the end of a log that goes on or failed, else
/// the start.
fn first_line(asked: Option<u64>, head: &AttemptHead, stat: &LogStat) -> u64 {
    let last = stat.lines.saturating_sub(WINDOW_LINES) + 1;
    let is_end = !stat.ended || matches!(head.state, Shown::Failed | Shown::TimedOut);
    asked.unwrap_or(if is_end { last } else { 1 }).clamp(1, last)
}

fn window(found: LinesRecord, seq: u64) -> Window {
    let lines = found.lines.into_iter().map(|line| Line {
        number: line.line,
        at: line.at,
        length: line.length,
        byte: line.byte,
        is_stderr: line.stream == "stderr",
        text: line.text,
    });
    let remarks = found.remarks.into_iter().map(|remark| {
        let text = match remark.text.split_once(' ').filter(|_| remark.kind == "gap") {
            Some((bytes, why)) => format!("{bytes} bytes are missing here: {why}"),
            None => remark.text,
        };
        Remark { line: remark.line, text }
    });
    Window {
        lines: lines.collect(),
        remarks: remarks.collect(),
        style: found.style,
        total: found.log.lines,
        bytes: found.log.bytes,
        ended: found.log.ended,
        seq,
    }
}

/// The step and the attempts that a page is about, and the step of the plan.
pub(super) async fn head_of(
    api: &Api,
    row: &AttemptRow,
) -> Result<(AttemptHead, Option<Step>), Problem> {
    let gone = || Problem::not_found("run", row.run.as_str());
    let run: RunRow = api.store().runs().get(&row.run).await?.ok_or_else(gone)?;
    let bytes = api.store().plans().get(&run.plan).await?.ok_or_else(gone)?;
    // A plan of a newer version is no reason to hide a log.
    let plan = Plan::from_json(&bytes).ok();
    let step = plan.and_then(|plan| plan.all_steps().find(|step| step.id == row.step).cloned());
    let attempts = api.store().attempts().list(&row.run, Some(&row.step)).await?;
    let attempts = attempts.iter().map(|other| {
        let label = match other.visit {
            1 => format!("Attempt {}", other.number),
            visit => format!("Visit {visit}, attempt {}", other.number),
        };
        (other.claim.attempt.to_string(), label, state_of(other))
    });
    let head = AttemptHead {
        run: row.run.to_string(),
        workflow: run.workflow,
        step: row.step.to_string(),
        attempt: row.claim.attempt.to_string(),
        state: state_of(row),
        attempts: attempts.collect(),
        is_agent: step.as_ref().is_some_and(|step| step.action.kind() == "llm"),
        seq: run.seq,
    };
    Ok((head, step))
}

/// The state of an attempt as pages show it.
fn state_of(row: &AttemptRow) -> Shown {
    use plue_flow::{AttemptStatus, fact::Outcome};
    match (row.state, &row.outcome) {
        (AttemptStatus::Queued, _) => Shown::Queued,
        (AttemptStatus::Assigned | AttemptStatus::Running, _) => Shown::Running,
        (_, Some(Outcome::Success | Outcome::Exit { code: 0, signal: None })) => Shown::Success,
        (_, Some(Outcome::TimedOut)) => Shown::TimedOut,
        (_, Some(Outcome::Cancelled)) => Shown::Cancelled,
        (_, _) => Shown::Failed,
    }
}
