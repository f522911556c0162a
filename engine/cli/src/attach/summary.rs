//! The end of an attached run on the terminal: last lines of failed steps, notes, the result.

use plue_api::records::{StepRecord, status::StatusRecord, test_results::TestsRecord};
use plue_client::Client;
use plue_flow::{AttemptStatus, RunStatus, StepStatus};
use plue_plan::{RunId, StepId};
use plue_store::{LogRange, Store};
use serde_json::Value as Json;

use super::{exit_of, is_limit};
use crate::{
    app::App,
    commands::{logs::pieces, status::tests},
    exit::Exit,
    failure::{Failure, Outcome, from_store},
    output,
    render::words,
    terminal::{Style, sanitize},
};

/// Lines of a failed step's log that are repeated.
const LAST_LINES: u64 = 10;
/// Lines of a patch that the summary shows.
const PATCH_LINES: usize = 200;

/// Numbers of steps by their ends.
#[derive(Default)]
struct Counts {
    succeeded: u32,
    bad: u32,
    rest: u32,
}

/// Sums up a run that was driven here, from the store.
///
/// # Errors
/// The database.
pub(super) async fn of_machine(
    app: &App,
    store: &Store,
    run: &RunId,
    status: RunStatus,
) -> Result<(), Failure> {
    let failed = |error: plue_store::Error| from_store(&error);
    let rows = store.runs().steps(run).await.map_err(failed)?;
    let mut counts = Counts::default();
    for row in &rows {
        let step = StepRecord::of(row);
        if counts.add(&step) {
            let bytes = last_lines(store, run, &row.view.step).await?;
            print_last_lines(app, &step.step, bytes);
        }
        if row.view.status == StepStatus::Success {
            print_dry_run(app, &step);
        }
    }
    for note in store.outputs().notes(run).await.map_err(failed)? {
        output::report(&format!("{}: {}", note.step, sanitize(&note.text, app.stderr.color)));
    }
    print_tests(TestsRecord::brief(store, run).await.map_err(failed)?.as_ref());
    let row = store.runs().get(run).await.map_err(failed)?;
    let took = row.as_ref().and_then(|row| Some((row.view.started_at?, row.view.ended_at?)));
    let took = took.map(|(from, to)| words::duration(from, to));
    counts.print(app, run.as_str(), status, took);
    Ok(())
}

/// Sums up a run of a server; returns its exit code.
///
/// # Errors
/// The call.
pub(super) async fn of_server(app: &App, client: &Client, status: &StatusRecord) -> Outcome {
    let run = &status.run;
    let mut counts = Counts::default();
    for step in &status.steps {
        if counts.add(step) {
            let bytes = last_lines_of_server(client, &run.id, &step.step).await?;
            print_last_lines(app, &step.step, bytes);
        }
    }
    for note in &status.notes {
        output::report(&format!("{}: {}", note.step, sanitize(&note.text, app.stderr.color)));
    }
    print_tests(status.tests.as_ref());
    let took = run.started_at.zip(run.ended_at).map(|(from, to)| words::duration(from, to));
    let ended: RunStatus = run.status.parse().unwrap_or(RunStatus::Running);
    counts.print(app, &run.id, ended, took);
    let mut reasons = status.steps.iter().filter_map(|step| step.reason.as_deref());
    let is_over_limit = ended == RunStatus::Failed && reasons.any(is_limit);
    Ok(if is_over_limit { Exit::BudgetExhausted } else { exit_of(ended) })
}

fn print_tests(results: Option<&TestsRecord>) {
    if let Some(results) = results {
        output::report(tests(results).trim_end());
    }
}

// === impl Counts ===

impl Counts {
    /// Counts a step; returns `true` if the last lines of its log are to be shown.
    fn add(&mut self, step: &StepRecord) -> bool {
        match step.status.as_str() {
            "success" => self.succeeded += 1,
            "failed" | "timed_out" => {
                self.bad += 1;
                return true;
            }
            "skipped" | "cancelled" => self.rest += 1,
            _ => {}
        }
        false
    }

    fn print(&self, app: &App, run: &str, status: RunStatus, took: Option<String>) {
        let Self { succeeded, bad, rest } = self;
        let took = took.map_or_else(String::new, |took| format!(" in {took}"));
        output::report(&format!(
            "{} {}{took} · {succeeded} succeeded, {bad} failed, {rest} skipped or cancelled",
            app.stderr.paint(Style::Bold, "run"),
            app.stderr.paint(words::run_style(status), &status.to_string()),
        ));
        if status != RunStatus::Success {
            let why = format!("why: plue explain {run}");
            output::report(&format!("{}", app.stderr.paint(Style::Dim, &why)));
        }
    }
}

fn print_last_lines(app: &App, step: &str, bytes: Option<Vec<u8>>) {
    let Some(bytes) = bytes else { return };
    let title = format!("last lines of {step}");
    output::report(&format!("{}", app.stderr.paint(Style::Bold, &title)));
    for line in String::from_utf8_lossy(&bytes).lines() {
        output::report(&format!("  {}", sanitize(line, app.stderr.color)));
    }
}

/// The output at the end of a step's last attempt; `None`: it printed nothing.
async fn last_lines(store: &Store, run: &RunId, step: &StepId) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |error: plue_store::Error| from_store(&error);
    let attempts = store.attempts().list(run, Some(step)).await.map_err(failed)?;
    let ran = attempts.iter().rev().find(|attempt| {
        matches!(attempt.state, AttemptStatus::Done | AttemptStatus::Lost) && attempt.log_bytes > 0
    });
    let Some(attempt) = ran else { return Ok(None) };
    let range = LogRange::Tail(LAST_LINES);
    let pieces = store.logs().read(&attempt.claim.attempt, range).await.map_err(failed)?;
    let output = pieces.into_iter().filter(|piece| piece.stream.is_output());
    Ok(Some(output.flat_map(|piece| piece.bytes).collect()))
}

/// [`last_lines`] of a run of a server.
async fn last_lines_of_server(
    client: &Client,
    run: &str,
    step: &str,
) -> Result<Option<Vec<u8>>, Failure> {
    let attempts = client.runs().attempts(run).await?;
    let mut of_step = attempts.iter().rev().filter(|attempt| attempt.step == step);
    let Some(attempt) = of_step.find(|attempt| attempt.log_bytes > 0) else { return Ok(None) };
    let mut all = Vec::new();
    for piece in client.logs().tail(run, &attempt.id, LAST_LINES).await? {
        if pieces::is_output(&piece) {
            all.extend(pieces::bytes(&piece)?);
        }
    }
    Ok(Some(all))
}

/// Shows the changes that a `forge` step leaves out: on this machine it writes nothing.
fn print_dry_run(app: &App, view: &StepRecord) {
    if view.output.get("dry_run") != Some(&Json::Bool(true)) {
        return;
    }
    let title = format!("{} would write to the forge", view.step);
    output::report(&format!("{}", app.stderr.paint(Style::Bold, &title)));
    let text = view.output.get("comment").and_then(Json::as_str).unwrap_or_default();
    for line in text.lines() {
        output::report(&format!("  {}", sanitize(line, app.stderr.color)));
    }
    let text_at = |name: &str| view.output.get(name).and_then(Json::as_str);
    let mut lines = Vec::new();
    if let (Some(patch), Some(branch)) = (text_at("patch"), text_at("branch")) {
        lines.push(format!("push a commit to {branch}"));
        lines.extend(patch.lines().take(PATCH_LINES).map(str::to_owned));
        let more = patch.lines().count().saturating_sub(PATCH_LINES);
        lines.extend((more > 0).then(|| format!("… and {more} lines more")));
    }
    for change in ["add", "remove"] {
        let labels = view.output.pointer(&format!("/labels/{change}")).and_then(Json::as_array);
        let labels = labels.into_iter().flatten().filter_map(Json::as_str);
        lines.extend(labels.map(|label| format!("{change} label {label}")));
    }
    for line in lines {
        output::report(&format!("  {}", sanitize(&line, app.stderr.color)));
    }
}
