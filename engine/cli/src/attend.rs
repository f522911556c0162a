//! Attending a run from this terminal: drive it, show it, pass interrupts on, sum it up.

use std::{io, sync::Arc, time::Duration};

use plue_executor::{Engine, RunHandle, perform::environment::SecretSource};
use plue_flow::{AttemptStatus, RunStatus, StepStatus, StepView, input::Reopen};
use plue_plan::{RunId, StepId};
use plue_runtime::Stop;
use plue_store::{LogRange, Store};
use serde_json::Value as Json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    follow::{FollowError, Follower},
    output,
    render::{live::Live, words},
    terminal::{Style, sanitize},
};

/// Without a wake-up the store is looked at this often.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of a failed step's log that the summary repeats.
const LAST_LINES: u64 = 10;

/// Interrupts of the person at the terminal, and of whoever stops the process.
struct Interrupts {
    int: Signal,
    term: Signal,
    /// The terminal was closed; absent under nohup(1), and once it has happened: a shell sends it a
    /// second time, which is no second wish.
    hangup: Option<Signal>,
}

// === impl Interrupts ===

impl Interrupts {
    fn listen() -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::infrastructure(&error);
        Ok(Self {
            int: signal(SignalKind::interrupt()).map_err(failed)?,
            term: signal(SignalKind::terminate()).map_err(failed)?,
            hangup: match is_hangup_ignored() {
                true => None,
                false => Some(signal(SignalKind::hangup()).map_err(failed)?),
            },
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
            () = closed(&mut self.hangup) => self.hangup = None,
        }
    }
}

/// Whether SIGHUP was ignored at the start, as under nohup(1): the process outlives its terminal.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signals count from 1, and SIGHUP is the first.
    mask.is_some_and(|mask| mask & 1 != 0)
}

async fn closed(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// How a run is set going. The display is ready before it is.
pub enum Begin {
    /// From where the store says it is.
    Drive,
    /// The same, but not longer than until somebody outside has to answer.
    UntilAsked,
    /// Again, after it had ended.
    Reopen(Reopen),
}

/// Sets a run going here and shows it until it ends. The first interrupt cancels it (TERM, grace,
/// KILL), the second kills.
///
/// # Errors
/// The run cannot be driven. It is safe in the store then.
pub async fn attend(
    app: &App,
    engine: &Engine,
    run: &RunId,
    begin: Begin,
    secrets: Arc<dyn SecretSource>,
) -> Outcome {
    let mut interrupts = Interrupts::listen()?;
    let steps = step_names(engine, run).await?;
    let names = steps.iter().map(StepId::as_str);
    let live = Live::new(io::stderr(), app.stderr, names, app.verbosity < 0);
    let mut follower = Follower::new(engine.store(), run, live, steps.clone()).patient();
    let handle = match begin {
        Begin::Drive => engine.drive(run, secrets, Stop::never()).await,
        Begin::UntilAsked => engine.drive_until_asked(run, secrets, Stop::never()).await,
        Begin::Reopen(from) => {
            follower.skip_past().await.map_err(|error| from_store(&error))?;
            engine.reopen(run, ("plue retry", from), secrets, Stop::never()).await
        }
    };
    let handle = handle.map_err(|error| from_executor(&error))?;
    until_open(engine, &handle).await?;
    let (status, interrupted) = watch(handle, follower, &mut interrupts).await?;
    summary(app, engine.store(), run, status).await?;
    if interrupted {
        return Ok(Exit::Interrupted);
    }
    let is_over_limit = status == RunStatus::Failed && met_limit(engine.store(), run).await?;
    Ok(if is_over_limit { Exit::BudgetExhausted } else { exit_of(status) })
}

/// Whether a Claude step of the run failed because it met a limit.
async fn met_limit(store: &Store, run: &RunId) -> Result<bool, Failure> {
    let steps = store.runs().steps(run).await.map_err(|error| from_store(&error))?;
    let mut reasons = steps.iter().filter_map(|step| step.view.reason.as_ref());
    Ok(reasons.any(|reason| is_limit(&reason.to_string())))
}

/// Whether the reason of a step is a limit that its agent met.
#[must_use]
pub fn is_limit(reason: &str) -> bool {
    plue_llm::codes::limit(reason).is_some()
}

/// Waits until the store shows a reopened run as open: what is shown before that is its old end.
async fn until_open(engine: &Engine, handle: &RunHandle) -> Result<(), Failure> {
    let store = engine.store();
    let mut changes = store.changes_of(&handle.run);
    while !handle.is_over() {
        changes.borrow_and_update();
        let row = store.runs().get(&handle.run).await.map_err(|error| from_store(&error))?;
        if row.is_none_or(|row| !row.view.status.is_terminal()) {
            break;
        }
        let _look_again = tokio::time::timeout(LOOK, changes.changed()).await;
    }
    Ok(())
}

/// How a run's end becomes the end of the process.
#[must_use]
pub fn exit_of(status: RunStatus) -> Exit {
    match status {
        RunStatus::Success => Exit::Ok,
        RunStatus::Failed | RunStatus::Cancelled => Exit::RunFailed,
        RunStatus::TimedOut => Exit::TimedOut,
        RunStatus::Queued | RunStatus::Running => Exit::Infrastructure,
        RunStatus::Waiting => Exit::WaitingForDecision,
    }
}

/// Shows the run until it has ended and everything was shown; tells whether somebody interrupted it.
async fn watch<W: io::Write>(
    mut handle: RunHandle,
    mut follower: Follower<'_, W>,
    interrupts: &mut Interrupts,
) -> Result<(RunStatus, bool), Failure> {
    let canceller = handle.canceller();
    let mut trouble = handle.trouble();
    // Not a closed pipe, which is how a reader says that it has seen enough.
    let mut unwritten = None;
    let (mut status, mut showing, mut count) = (None::<RunStatus>, true, 0_u32);
    loop {
        if let (Some(status), false) = (status, showing) {
            if !status.is_terminal() {
                follower.show_now().await.map_err(|error| from_store(&error))?;
            }
            return match unwritten {
                Some(error) => Err(output::refused(&error)),
                None => Ok((status, count > 0)),
            };
        }
        tokio::select! {
            shown = follower.until_end(), if showing => match shown {
                Ok(_) => showing = false,
                // Nobody sees it any more, but the run goes on.
                Err(FollowError::Output(error)) => {
                    showing = false;
                    unwritten = Some(error).filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
                }
                Err(FollowError::Store(error)) => return Err(from_store(&error)),
            },
            ended = handle.ended(), if status.is_none() => {
                let ended = ended.map_err(|error| from_executor(&error))?;
                status = Some(ended);
                // It goes on another time; the display would wait for its end.
                showing &= ended.is_terminal();
            }
            Ok(()) = trouble.changed(), if status.is_none() => {
                output::say(&words_on(trouble.borrow_and_update().as_deref()));
            }
            () = interrupts.next() => {
                count += 1;
                if count == 1 {
                    output::say("stopping: TERM, and KILL after the grace; again to kill at once");
                }
                canceller.cancel("interrupt", count > 1).await;
            }
        }
    }
}

fn words_on(trouble: Option<&str>) -> String {
    match trouble {
        Some(text) => format!("the run waits for the database, its steps go on: {text}"),
        None => "the database answers again".to_owned(),
    }
}

async fn step_names(engine: &Engine, run: &RunId) -> Result<Vec<StepId>, Failure> {
    let loaded = engine.load(run).await.map_err(|error| from_executor(&error))?;
    Ok(loaded.plan.all_steps().map(|step| step.id.clone()).collect())
}

/// What is left to say at the end: the last lines of what failed, the result, where to look.
///
/// # Errors
/// The database.
async fn summary(app: &App, store: &Store, run: &RunId, status: RunStatus) -> Result<(), Failure> {
    let failed = |error: plue_store::Error| from_store(&error);
    let steps = store.runs().steps(run).await.map_err(failed)?;
    let mut counts = [0_u32; 3];
    for row in &steps {
        let view = &row.view;
        match view.status {
            StepStatus::Success => {
                counts[0] += 1;
                would_write(app, view);
            }
            StepStatus::Failed | StepStatus::TimedOut => {
                counts[1] += 1;
                last_lines(app, store, run, &view.step).await?;
            }
            StepStatus::Skipped | StepStatus::Cancelled => counts[2] += 1,
            StepStatus::Pending
            | StepStatus::Queued
            | StepStatus::Running
            | StepStatus::Waiting => {}
        }
    }
    for note in store.outputs().notes(run).await.map_err(failed)? {
        output::say(&format!("{}: {}", note.step, sanitize(&note.text, app.stderr.color)));
    }
    let row = store.runs().get(run).await.map_err(failed)?;
    let took = row.as_ref().and_then(|row| Some((row.view.started_at?, row.view.ended_at?)));
    let took =
        took.map_or(String::new(), |(from, to)| format!(" in {}", words::duration(from, to)));
    let style = words::run_style(status);
    let result = status.to_string();
    let [succeeded, bad, rest] = counts;
    output::say(&format!(
        "{} {}{took} · {succeeded} succeeded, {bad} failed, {rest} skipped or cancelled",
        app.stderr.paint(Style::Bold, "run"),
        app.stderr.paint(style, &result),
    ));
    if status != RunStatus::Success {
        output::say(&format!(
            "{}",
            app.stderr.paint(Style::Dim, &format!("why: plue explain {run}"))
        ));
    }
    Ok(())
}

/// Shows what a `forge` step would have written: on this machine it writes nothing.
fn would_write(app: &App, view: &StepView) {
    if view.output.get("dry_run") != Some(&Json::Bool(true)) {
        return;
    }
    let title = format!("{} would write to the forge", view.step);
    output::say(&format!("{}", app.stderr.paint(Style::Bold, &title)));
    let text = view.output.get("comment").and_then(Json::as_str).unwrap_or_default();
    for line in text.lines() {
        output::say(&format!("  {}", sanitize(line, app.stderr.color)));
    }
    for change in ["add", "remove"] {
        let labels = view.output.pointer(&format!("/labels/{change}")).and_then(Json::as_array);
        for label in labels.into_iter().flatten().filter_map(Json::as_str) {
            let line = format!("{change} label {label}");
            output::say(&format!("  {}", sanitize(&line, app.stderr.color)));
        }
    }
}

async fn last_lines(app: &App, store: &Store, run: &RunId, step: &StepId) -> Result<(), Failure> {
    let failed = |error: plue_store::Error| from_store(&error);
    let attempts = store.attempts().list(run, Some(step)).await.map_err(failed)?;
    let ran = attempts.iter().rev().find(|attempt| {
        matches!(attempt.state, AttemptStatus::Done | AttemptStatus::Lost) && attempt.log_bytes > 0
    });
    let Some(attempt) = ran else { return Ok(()) };
    let range = LogRange::Tail(LAST_LINES);
    let pieces = store.logs().read(&attempt.claim.attempt, range).await.map_err(failed)?;
    let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.bytes).collect();
    let title = format!("last lines of {step}");
    output::say(&format!("{}", app.stderr.paint(Style::Bold, &title)));
    for line in String::from_utf8_lossy(&bytes).lines() {
        output::say(&format!("  {}", sanitize(line, app.stderr.color)));
    }
    Ok(())
}
