//! The page of a run: how it fares, its steps, and the end of what failed steps printed.
//!
//! Must not show anything of a run to who may not see it.

use axum::{
    extract::{Path, State},
    http::{Extensions, HeaderMap, StatusCode},
    response::Response,
};
use maud::{Markup, html};
use plue_plan::RunId;
use plue_store::{AttemptRow, LogRange};

use super::{
    Visitor,
    html::{Page, problem},
    login::{corner, form, see},
    printed, visitor,
};
use crate::{
    explain::{self, Subject},
    extract::run_of,
    problem::Problem,
    reading::{Whole, whole},
    records::{
        StepRecord,
        told::{StatusRecord, WaitingRecord},
    },
    server::Api,
};

/// Steps that are listed.
const MAX_STEPS: usize = 1_000;
/// Failed steps of which the log is shown.
const MAX_LOGS: usize = 20;
/// Seconds after which the page of a run that goes on is loaded again.
const AGAIN: u32 = 10;

/// The end of what a failed step printed.
struct Printed {
    step: String,
    attempt: String,
    text: String,
    /// Bytes of the whole.
    bytes: u64,
}

/// `GET /runs/ID`
pub(super) async fn page(
    State(api): State<Api>,
    Path(run): Path<String>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    let done = async {
        let fits = run.len() <= 64 && run.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !fits {
            return Err(Problem::not_found("run", &run));
        }
        let path = format!("/runs/{run}");
        match visitor(&api, &extensions, &headers).await? {
            Visitor::Known { who, secret } => {
                let row = run_of(&api, &who, &run).await?;
                show(&api, &row.id, corner(&who, &secret)).await
            }
            Visitor::Nobody if api.login().is_some() => Ok(see(&format!("/login?to={path}"))),
            Visitor::Nobody => Ok(form(Some(&path), StatusCode::UNAUTHORIZED)),
            // The same again, asked for by ourselves: then the cookie comes along.
            Visitor::Sent => Ok(Page::new("plue").then(0, path.as_str()).with(&html! {
                p { a href=(path) { "Go on" } }
            })),
        }
    };
    done.await.unwrap_or_else(|refused| problem(&refused))
}

async fn show(api: &Api, id: &RunId, corner: Markup) -> Result<Response, Problem> {
    let steps = api.store().runs().steps(id).await?;
    let Whole { row, source, plan, run } = whole(api, id).await?;
    let subject = Subject { row: &row, source: &source, plan: &plan, run: &run };
    let told = explain::status(api.store(), steps, subject).await?;
    let failed = |step: &&StepRecord| matches!(step.status.as_str(), "failed" | "timed_out");
    let mut logs = Vec::new();
    if told.steps.iter().any(|step| failed(&step)) {
        let attempts = api.store().attempts().list(&row.id, None).await?;
        for step in told.steps.iter().filter(failed).take(MAX_LOGS) {
            let last = attempts.iter().rev().find(|attempt| attempt.step.as_str() == step.step);
            if let Some(last) = last {
                logs.push(printed_by(api, last).await?);
            }
        }
    }
    let page = Page::new(format!("{} {}", told.run.workflow, told.run.status)).corner(corner);
    let page = match row.view.status.is_terminal() {
        true => page,
        false => page.then(AGAIN, format!("/runs/{}", row.id)),
    };
    Ok(page.with(&html! {
        (summary(&told))
        (steps_table(&told.steps))
        @for log in &logs { (log_block(&told.run.id, log)) }
    }))
}

async fn printed_by(api: &Api, attempt: &AttemptRow) -> Result<Printed, Problem> {
    let bytes = attempt.log_bytes;
    let from = bytes.saturating_sub(printed::BYTES);
    let pieces =
        api.store().logs().read(&attempt.claim.attempt, LogRange::Bytes(from..bytes)).await?;
    let output = pieces.iter().filter(|piece| piece.stream.is_output());
    let end: Vec<u8> = output.flat_map(|piece| piece.bytes.iter().copied()).collect();
    Ok(Printed {
        step: attempt.step.to_string(),
        attempt: attempt.claim.attempt.to_string(),
        text: printed::last_lines(&end, from > 0),
        bytes,
    })
}

fn summary(told: &StatusRecord) -> Markup {
    let run = &told.run;
    let place = run.branch.as_ref().or(told.event.tag.as_ref());
    html! {
        h1 { (run.workflow) " " (mark(&run.status)) }
        @if let Some(reason) = run.reason.as_ref().filter(|reason| !is_listed(told, reason)) {
            p { (reason) }
        }
        @for waits in &told.waiting { (wait(waits)) }
        @for note in told.notes.iter().take(MAX_STEPS) {
            p { "Step " code { (note.step) } ": " (note.text) }
        }
        dl {
            @if let Some(repo) = &run.repository { dt { "Repository" } dd { (repo) } }
            @if let Some(place) = place { dt { "Branch or tag" } dd { (place) } }
            @if let Some(sha) = &run.sha { dt { "Commit" } dd { code { (sha) } } }
            dt { "Event" }
            dd { (told.event.kind) @if let Some(actor) = &told.event.actor { " by " (actor) } }
            @if let Some(goal) = &told.goal { dt { "Goal" } dd { (goal) } }
            dt { "Created" } dd { (run.created_at.strftime("%Y-%m-%d %H:%M:%S UTC")) }
            @if let Some(took) = run.duration_ms { dt { "Took" } dd { (span(took)) } }
            @if let Some(usage) = &told.usage {
                dt { "Claude" } dd { (format!("${:.4}", usage.cost_usd)) " in " (usage.calls) " calls" }
            }
            dt { "Run" } dd { code { (run.id) } }
            dt { "Plan" }
            dd {
                a href=(format!("/api/v1/runs/{}/plan", run.id)) { "JSON" }
                " of " code { (told.source) }
            }
        }
    }
}

/// Whether what the run waits for is the reason of its state.
fn is_listed(told: &StatusRecord, reason: &str) -> bool {
    told.waiting.iter().any(|waits| match &waits.step {
        Some(step) => reason == format!("step `{step}` {}", waits.words),
        None => reason == waits.words,
    })
}

fn wait(waits: &WaitingRecord) -> Markup {
    let words = &waits.words;
    let front =
        waits.behind.as_ref().and_then(|run| Some((words.strip_suffix(run.as_str())?, run)));
    html! {
        p.busy {
            @if let Some(step) = &waits.step {
                "Step " code { (step) } " waits: " (words)
            } @else if let Some((words, run)) = front {
                "The run " (words) a href=(format!("/runs/{run}")) { (run) }
            } @else {
                "The run " (words)
            }
        }
    }
}

fn steps_table(steps: &[StepRecord]) -> Markup {
    let more = steps.len().saturating_sub(MAX_STEPS);
    html! {
        h2 { "Steps" }
        table {
            thead { tr { th { "Step" } th { "State" } th { "Took" } th { "Why" } } }
            tbody {
                @for step in steps.iter().take(MAX_STEPS) {
                    tr {
                        td {
                            code { (step.step) }
                            @if let Some(name) = &step.name { " " (name) }
                        }
                        td { (mark(&step.status)) }
                        td.time { @if let Some(took) = step.duration_ms { (span(took)) } }
                        td {
                            @if let Some(reason) = &step.reason { (reason) }
                            @if step.attempts > 1 {
                                span.soft { " " (step.attempts) " attempts" }
                            }
                        }
                    }
                }
            }
        }
        @if more > 0 { p.soft { "and " (more) " more" } }
    }
}

fn log_block(run: &str, log: &Printed) -> Markup {
    let whole = format!("/api/v1/runs/{run}/attempts/{}/log/raw", log.attempt);
    html! {
        h2 { "The end of what " code { (log.step) } " printed" }
        @if log.text.is_empty() {
            p.soft { "It printed nothing." }
        } @else {
            pre { (log.text) }
            p { a href=(whole) { "The whole log" } span.soft { " (" (log.bytes) " bytes)" } }
        }
    }
}

fn mark(status: &str) -> Markup {
    let class = match status {
        "success" => "mark good",
        "failed" | "timed_out" => "mark bad",
        "running" | "waiting" => "mark busy",
        _ => "mark",
    };
    html! { span class=(class) { (status.replace('_', " ")) } }
}

/// A duration in milliseconds, in words that are short.
fn span(ms: i64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}
