//! A run attached to this terminal: driven here or followed on a server, shown, interrupted, summed up.

use std::{io, sync::Arc};

use plue_client::Client;
use plue_executor::{
    Engine, RunHandle,
    perform::environment::{GivenSecrets, SecretSource},
};
use plue_flow::RunStatus;
use plue_plan::{RunId, StepId};
use plue_runtime::Stop;
use plue_store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    app::App,
    connect::{Connection, Machine},
    driven::{Display, FollowError},
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    follow::{Follower, Until},
    output,
    render::live::Live,
};

mod summary;

/// Interrupts from the terminal, and signals that stop the process.
pub struct Interrupts {
    int: Signal,
    term: Signal,
    /// The terminal was closed; absent under nohup(1), and once it has happened: a shell sends it a
    /// second time, which is no second wish.
    hangup: Option<Signal>,
}

// === impl Interrupts ===

impl Interrupts {
    /// Takes signals from here on.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn listen() -> Result<Self, Failure> {
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

    /// Waits for a signal. Cancel-safe.
    pub async fn next(&mut self) {
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

/// The start of a run that is driven here. The display is ready before it.
pub enum Begin {
    /// From its state in the store.
    Drive,
    /// The same, but not longer than until it waits for an answer from outside.
    UntilAsked,
}

/// The display of a run that a command has started, and its driver if that is this process.
pub struct AttachedRun<'a> {
    app: &'a App,
    run: String,
    attached: Attached<'a>,
}

/// The place where the run is driven.
enum Attached<'a> {
    /// This process drives it.
    Driven { machine: &'a Machine, driven: Driven<'a> },
    /// An engine of a server drives it.
    Followed { client: &'a Client, follower: Follower<'a, io::Stderr> },
}

/// A run before it is driven here.
struct Driven<'a> {
    interrupts: Interrupts,
    engine: &'a Engine,
    run: RunId,
    display: Display<'a, io::Stderr>,
}

// === impl AttachedRun ===

impl<'a> AttachedRun<'a> {
    /// Prepares the display of a run.
    ///
    /// # Errors
    /// The run cannot be read.
    pub async fn new(app: &'a App, connection: &'a Connection, run: &str) -> Result<Self, Failure> {
        let attached = match connection.machine() {
            Some(machine) => {
                let driven = Driven::new(app, machine.engine()?, RunId::new(run)).await?;
                Attached::Driven { machine, driven }
            }
            None => {
                let client = &connection.client;
                let status = client.runs().status(run).await?;
                let names = status.steps.iter().map(|step| step.step.as_str());
                let live = Live::new(io::stderr(), app.stderr, names, app.verbosity < 0);
                Attached::Followed { client, follower: Follower::new(client, run, live) }
            }
        };
        Ok(Self { app, run: run.to_owned(), attached })
    }

    /// Skips the present attempts and steps: a reopened run is shown from here.
    ///
    /// # Errors
    /// The run cannot be read.
    pub async fn skip_past(&mut self) -> Result<(), Failure> {
        match &mut self.attached {
            Attached::Driven { driven, .. } => {
                driven.display.skip_past().await.map_err(|error| from_store(&error))
            }
            Attached::Followed { follower, .. } => follower.skip_past().await,
        }
    }

    /// Shows the run until it ends. On this machine it is driven, and an interrupt stops it; on a server it
    /// continues without its display.
    ///
    /// # Errors
    /// The run cannot be driven or followed. It is safe in the store then.
    pub async fn wait(self, secrets: GivenSecrets, until: Until) -> Outcome {
        let Self { app, run, attached } = self;
        match attached {
            Attached::Driven { machine, driven } => {
                let secrets = machine.remembered(app, &run, secrets).await?;
                let begin = match until {
                    Until::End => Begin::Drive,
                    Until::Asked => Begin::UntilAsked,
                };
                driven.drive(app, begin, secrets).await
            }
            Attached::Followed { client, mut follower } => {
                let status = follower.until(until).await?;
                summary::of_server(app, client, &status).await
            }
        }
    }
}

// === impl Driven ===

impl<'a> Driven<'a> {
    async fn new(app: &App, engine: &'a Engine, run: RunId) -> Result<Self, Failure> {
        let interrupts = Interrupts::listen()?;
        let steps = step_names(engine, &run).await?;
        let names = steps.iter().map(StepId::as_str);
        let live = Live::new(io::stderr(), app.stderr, names, app.verbosity < 0);
        let display = Display::new(engine.store(), run.clone(), live, steps.clone()).patient();
        Ok(Self { interrupts, engine, run, display })
    }

    /// Drives the run and shows it until it ends. The first interrupt cancels it (TERM, grace, KILL), the
    /// second kills.
    async fn drive(self, app: &App, begin: Begin, secrets: Arc<dyn SecretSource>) -> Outcome {
        let Self { mut interrupts, engine, run, display } = self;
        let handle = match begin {
            Begin::Drive => engine.drive(&run, secrets, Stop::never()).await,
            Begin::UntilAsked => engine.drive_until_asked(&run, secrets, Stop::never()).await,
        };
        let handle = handle.map_err(|error| from_executor(&error))?;
        let (status, interrupted) = watch(handle, display, &mut interrupts).await?;
        summary::of_machine(app, engine.store(), &run, status).await?;
        if interrupted {
            return Ok(Exit::Interrupted);
        }
        let is_over_limit = status == RunStatus::Failed && met_limit(engine.store(), &run).await?;
        Ok(if is_over_limit { Exit::BudgetExhausted } else { exit_of(status) })
    }
}

/// Drives a run here and shows it until it ends.
///
/// # Errors
/// The run cannot be driven. It is safe in the store then.
pub async fn drive(
    app: &App,
    engine: &Engine,
    run: &RunId,
    begin: Begin,
    secrets: Arc<dyn SecretSource>,
) -> Outcome {
    Driven::new(app, engine, run.clone()).await?.drive(app, begin, secrets).await
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

/// The exit code for the status of a run.
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

/// Shows the run until it has ended and everything was shown; returns whether it was interrupted.
async fn watch<W: io::Write>(
    mut handle: RunHandle,
    mut display: Display<'_, W>,
    interrupts: &mut Interrupts,
) -> Result<(RunStatus, bool), Failure> {
    let canceller = handle.canceller();
    let mut trouble = handle.trouble();
    // A closed pipe is no error: the reader has seen enough.
    let mut unwritten = None;
    let (mut status, mut showing, mut count) = (None::<RunStatus>, true, 0_u32);
    loop {
        if let (Some(status), false) = (status, showing) {
            if !status.is_terminal() {
                display.show_now().await.map_err(|error| from_store(&error))?;
            }
            return match unwritten {
                Some(error) => Err(output::refused(&error)),
                None => Ok((status, count > 0)),
            };
        }
        tokio::select! {
            shown = display.until_end(), if showing => match shown {
                Ok(_) => showing = false,
                // The output is gone, but the run continues.
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
                output::report(&words_on(trouble.borrow_and_update().as_deref()));
            }
            () = interrupts.next() => {
                count += 1;
                if count == 1 {
                    output::report("stopping: TERM, and KILL after the grace; again to kill at once");
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
