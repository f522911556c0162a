//! Following a run through the API: the log lines of its steps as they come, and the ends of its steps, until
//! the run ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    pin::pin,
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    stream::{BoxStream, SelectAll},
};
use jiff::Timestamp;
use plue_api::records::{
    AttemptRecord, PieceRecord, StepRecord,
    status::{CallRecord, StatusRecord, WaitKind},
};
use plue_client::Client;
use plue_flow::{RunStatus, StepStatus};
use plue_runtime::Clock;

use crate::{
    commands::logs::pieces,
    exit::Exit,
    failure::Failure,
    output,
    render::{live::Live, narrator::Narrator},
};

/// Time between two looks at a run of which no step runs: its waits change without a fact.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A piece of the log of a step, or its end.
type Piece = (String, Option<Result<PieceRecord, Failure>>);

/// The parts of a run that were shown so far.
pub struct Follower<'c, W> {
    client: &'c Client,
    run: String,
    live: Live<W>,
    /// Attempts whose logs are shown or being shown.
    known: BTreeSet<String>,
    /// Open logs, and their number per step.
    logs: SelectAll<BoxStream<'c, Piece>>,
    open: BTreeMap<String, usize>,
    narrator: Narrator,
    /// Obstacles that were printed last: of the run, and of its steps.
    obstacles: BTreeMap<Option<String>, String>,
}

/// Condition that ends the following of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The run has ended: its event stream is over.
    End,
    /// The run has ended, or waits for a decision, an event or a callback and for nothing else.
    Asked,
}

// === impl Until ===

impl Until {
    fn is_reached(self, status: &StatusRecord) -> bool {
        let outside = |what: WaitKind| {
            matches!(what, WaitKind::Decision | WaitKind::Event | WaitKind::Callback)
        };
        self == Self::Asked
            && status.run.status == RunStatus::Waiting.as_str()
            && status.waiting.iter().any(|waiting| outside(waiting.what))
    }
}

// === impl Follower ===

impl<'c, W: Write> Follower<'c, W> {
    /// A follower that has shown nothing yet.
    pub fn new(client: &'c Client, run: &str, live: Live<W>) -> Self {
        Self {
            client,
            run: run.to_owned(),
            live,
            known: BTreeSet::new(),
            logs: SelectAll::new(),
            open: BTreeMap::new(),
            narrator: Narrator::default(),
            obstacles: BTreeMap::new(),
        }
    }

    /// Skips the present attempts and steps: a reopened run is shown from here.
    ///
    /// # Errors
    /// The call.
    pub async fn skip_past(&mut self) -> Result<(), Failure> {
        let attempts = self.client.runs().attempts(&self.run).await?;
        self.known.extend(attempts.into_iter().map(|attempt| attempt.id));
        let steps = self.client.runs().steps(&self.run).await?;
        steps.iter().for_each(|step| self.narrator.skip(step));
        Ok(())
    }

    /// Shows logs and steps until the run ends, or with [`Until::Asked`] until it waits for an answer from
    /// outside; returns its status at that point.
    ///
    /// # Errors
    /// The call, or the output.
    pub async fn until(&mut self, until: Until) -> Result<StatusRecord, Failure> {
        let run = self.run.clone();
        let mut facts = pin!(self.client.runs().events(&run).fuse());
        let mut status = self.look().await?;
        let (mut over, clock) = (false, Clock::real());
        loop {
            // The log of an agent that waits for people stays open.
            let stays = status.waiting.iter().any(|waiting| waiting.call.is_some());
            if (over || until.is_reached(&status)) && (self.logs.is_empty() || (!over && stays)) {
                return Ok(status);
            }
            tokio::select! {
                fact = facts.next(), if !over => match fact {
                    Some(fact) => {
                        drop(fact?);
                        // Facts that are ready share one look.
                        while let Some(Some(fact)) = facts.next().now_or_never() {
                            drop(fact?);
                        }
                        status = self.look().await?;
                    }
                    None => {
                        over = true;
                        status = self.look().await?;
                    }
                },
                Some(piece) = self.logs.next(), if !self.logs.is_empty() => {
                    if self.log(piece)? {
                        self.narrate_all(&status)?;
                    }
                }
                () = clock.sleep(LOOK_AGAIN), if !over && is_idle(&status) => {
                    // While the server cannot be reached, the stream of facts decides when to give up.
                    match self.look().await {
                        Ok(now) => status = now,
                        Err(failure) if failure.exit == Exit::Infrastructure => {}
                        Err(failure) => return Err(failure),
                    }
                }
                // The last log ended during the wait for its next piece.
                else => {}
            }
        }
    }

    /// Shows new logs and new ends of steps, in the order in which steps ended.
    async fn look(&mut self) -> Result<StatusRecord, Failure> {
        let mut status = self.client.runs().status(&self.run).await?;
        let attempts = self.client.runs().attempts(&self.run).await?;
        status.steps.sort_by_key(|step| step.ended_at.unwrap_or(Timestamp::MAX));
        for step in &status.steps {
            for attempt in attempts.iter().filter(|attempt| attempt.step == step.step) {
                match attempt.status.as_str() {
                    "queued" | "assigned" => {}
                    _ if !self.known.insert(attempt.id.clone()) => {}
                    "running" => self.open(attempt),
                    _ => self.whole(attempt).await?,
                }
            }
            self.narrate(&status, step)?;
        }
        self.show_obstacles(&status).map_err(|error| output::refused(&error))?;
        Ok(status)
    }

    /// Prints obstacles of the run and its steps, once per change.
    fn show_obstacles(&mut self, status: &StatusRecord) -> std::io::Result<()> {
        let mut obstacles = BTreeMap::new();
        for waiting in &status.waiting {
            match waiting.what {
                WaitKind::Turn
                | WaitKind::Place
                | WaitKind::Secret
                | WaitKind::Engine
                | WaitKind::Retry
                | WaitKind::Runner => {}
                WaitKind::Decision
                | WaitKind::Time
                | WaitKind::Event
                | WaitKind::Workflow
                | WaitKind::Callback => continue,
            }
            if self.obstacles.get(&waiting.step) != Some(&waiting.words) {
                match &waiting.step {
                    Some(step) => self.live.note(StepStatus::Queued, step, &waiting.words)?,
                    None => self.live.run(&waiting.words)?,
                }
            }
            obstacles.insert(waiting.step.clone(), waiting.words.clone());
        }
        self.obstacles = obstacles;
        Ok(())
    }

    /// Shows the log of an attempt as it comes.
    fn open(&mut self, attempt: &AttemptRecord) {
        *self.open.entry(attempt.step.clone()).or_default() += 1;
        let (name, end) = (attempt.step.clone(), attempt.step.clone());
        let pieces = self.client.logs().events(&self.run, &attempt.id);
        let pieces = pieces.map(move |piece| (name.clone(), Some(piece.map_err(Failure::from))));
        let end = futures::stream::once(async move { (end, None) });
        self.logs.push(pieces.chain(end).boxed());
    }

    /// Shows the log of an attempt that has ended.
    async fn whole(&mut self, attempt: &AttemptRecord) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.client.logs().pieces(&self.run, &attempt.id, after).await?;
            for piece in page.items {
                self.log((attempt.step.clone(), Some(Ok(piece))))?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Shows a piece; returns `true` at the end of a log.
    fn log(&mut self, (step, piece): Piece) -> Result<bool, Failure> {
        let Some(piece) = piece else {
            if let Some(open) = self.open.get_mut(&step) {
                *open = open.saturating_sub(1);
            }
            return Ok(true);
        };
        let piece = piece?;
        if pieces::is_output(&piece) {
            let bytes = pieces::bytes(&piece)?;
            self.live.log(&step, &bytes).map_err(|error| output::refused(&error))?;
        }
        Ok(false)
    }

    fn narrate_all(&mut self, status: &StatusRecord) -> Result<(), Failure> {
        status.steps.iter().try_for_each(|step| self.narrate(status, step))
    }

    /// Prints the state of a step behind the last line of its log.
    fn narrate(&mut self, status: &StatusRecord, step: &StepRecord) -> Result<(), Failure> {
        let is_closed = self.open.get(&step.step).is_none_or(|open| *open == 0);
        if !is_closed && step.status != StepStatus::Waiting.as_str() {
            return Ok(());
        }
        let answer = || {
            let mut waiting = status.waiting.iter();
            let waits = waiting.find(|waiting| {
                waiting.what == WaitKind::Decision && waiting.step.as_ref() == Some(&step.step)
            });
            waits.map_or_else(String::new, |waits| {
                let (run, step) = (&status.run.id, &step.step);
                let call = CallRecord::option(waits.call.as_ref());
                format!(" — plue approve {run} {step}{call}, or plue reject {run} {step}{call}")
            })
        };
        self.narrator.narrate(&mut self.live, step, answer).map_err(|error| output::refused(&error))
    }
}

/// True if no step of a run that has not ended runs, nor waits for an answer from outside.
fn is_idle(status: &StatusRecord) -> bool {
    let running = status.steps.iter().any(|step| step.status == StepStatus::Running.as_str());
    let run = status.run.status.as_str();
    run == RunStatus::Queued.as_str() || (run == RunStatus::Running.as_str() && !running)
}

/// Waits until a run has ended, and shows its running steps at each fact until then.
///
/// # Errors
/// The call.
pub async fn until_stopped(
    client: &Client,
    run: &str,
    mut show: impl FnMut(&[String]),
) -> Result<(), Failure> {
    let mut facts = pin!(client.runs().events(run).fuse());
    while let Some(fact) = facts.next().await {
        drop(fact?);
        // Facts that are ready share one look.
        while let Some(Some(fact)) = facts.next().now_or_never() {
            drop(fact?);
        }
        let status = client.runs().status(run).await?;
        if !status.run.status.parse().is_ok_and(RunStatus::is_terminal) {
            let running = status.steps.into_iter().filter(|step| step.status == "running");
            show(&running.map(|step| step.step).collect::<Vec<_>>());
        }
    }
    Ok(())
}
