//! Following a run of a server: the log lines of its steps as they come and what becomes of them, until
//! it ends. What it shows is what following a run of this machine shows.

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
    AttemptRecord, FactRecord, Page, PieceRecord, StepRecord,
    told::{CallRecord, StatusRecord, WaitKind},
};
use plue_flow::{RunStatus, StepStatus, fact::Reason};
use plue_runtime::Clock;
use serde_json::Value as Json;

use super::{client::Client, events, logs};
use crate::{
    exit::Exit,
    failure::Failure,
    output,
    render::{live::Live, words},
};

/// Between two looks at a run of which nothing runs: what it waits for changes without a fact.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A piece of the log of a step, or that it is over.
type Told = (String, Option<Result<PieceRecord, Failure>>);

/// What was shown so far.
pub(super) struct Follower<'c, W> {
    client: &'c Client,
    run: String,
    live: Live<W>,
    /// Attempts whose logs are shown or being shown.
    known: BTreeSet<String>,
    /// Logs that come, and of how many of each step.
    logs: SelectAll<BoxStream<'c, Told>>,
    open: BTreeMap<String, usize>,
    /// What was said last about each step.
    said: BTreeMap<String, (String, u32, u32)>,
    /// Obstacles that were printed last: of the run, and of its steps.
    held: BTreeMap<Option<String>, String>,
}

/// Condition that ends the following of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// The run has ended: its event stream is over.
    End,
    /// The run has ended, or waits for a decision, an event or a callback and for nothing else.
    Asked,
}

// === impl Until ===

impl Until {
    fn is_reached(self, told: &StatusRecord) -> bool {
        let outside = |what: WaitKind| {
            matches!(what, WaitKind::Decision | WaitKind::Event | WaitKind::Callback)
        };
        self == Self::Asked
            && told.run.status == RunStatus::Waiting.as_str()
            && told.waiting.iter().any(|waiting| outside(waiting.what))
    }
}

// === impl Follower ===

impl<'c, W: Write> Follower<'c, W> {
    pub(super) fn new(client: &'c Client, run: &str, live: Live<W>) -> Self {
        let (known, said) = (BTreeSet::new(), BTreeMap::new());
        let (logs, open) = (SelectAll::new(), BTreeMap::new());
        let held = BTreeMap::new();
        Self { client, run: run.to_owned(), live, known, logs, open, said, held }
    }

    /// Passes over what there is: a run that goes on is shown from there.
    pub(super) async fn skip_past(&mut self) -> Result<(), Failure> {
        let attempts: Vec<AttemptRecord> = self.client.get(&self.path("attempts")).await?;
        self.known.extend(attempts.into_iter().map(|attempt| attempt.id));
        let steps: Vec<StepRecord> = self.client.get(&self.path("steps")).await?;
        self.said.extend(steps.into_iter().map(|step| (step.step.clone(), stand(&step))));
        Ok(())
    }

    /// Shows logs and steps until the run ends, or with [`Until::Asked`] until it waits for an
    /// answer from outside; returns its status at that point.
    pub(super) async fn until(&mut self, until: Until) -> Result<StatusRecord, Failure> {
        let path = self.path("events");
        let mut facts = pin!(events::of::<Json>(self.client, path).fuse());
        let mut told = self.look().await?;
        let (mut over, clock) = (false, Clock::real());
        loop {
            // The log of an agent that waits for people stays open.
            let stays = told.waiting.iter().any(|waiting| waiting.call.is_some());
            if (over || until.is_reached(&told)) && (self.logs.is_empty() || (!over && stays)) {
                return Ok(told);
            }
            tokio::select! {
                fact = facts.next(), if !over => match fact {
                    Some(fact) => {
                        drop(fact?);
                        // Those that are there already are one look.
                        while let Some(Some(fact)) = facts.next().now_or_never() {
                            drop(fact?);
                        }
                        told = self.look().await?;
                    }
                    None => {
                        over = true;
                        told = self.look().await?;
                    }
                },
                Some(piece) = self.logs.next(), if !self.logs.is_empty() => {
                    if self.log(piece)? {
                        self.say_all(&told)?;
                    }
                }
                () = clock.sleep(LOOK_AGAIN), if !over && is_idle(&told) => {
                    // While the server cannot be reached, the stream of facts decides when to give up.
                    match self.look().await {
                        Ok(now) => told = now,
                        Err(failure) if failure.exit == Exit::Infrastructure => {}
                        Err(failure) => return Err(failure),
                    }
                }
                // The last log ended while it was asked for more.
                else => {}
            }
        }
    }

    fn path(&self, what: &str) -> String {
        format!("/api/v1/runs/{}/{what}", self.run)
    }

    /// Looks at the run: shows the logs that are new and says what can be said, in the order in which
    /// steps ended.
    async fn look(&mut self) -> Result<StatusRecord, Failure> {
        let mut told: StatusRecord = self.client.get(&self.path("status")).await?;
        let attempts: Vec<AttemptRecord> = self.client.get(&self.path("attempts")).await?;
        told.steps.sort_by_key(|step| step.ended_at.unwrap_or(Timestamp::MAX));
        for step in &told.steps {
            for attempt in attempts.iter().filter(|attempt| attempt.step == step.step) {
                match attempt.status.as_str() {
                    "queued" | "assigned" => {}
                    _ if !self.known.insert(attempt.id.clone()) => {}
                    "running" => self.open(attempt),
                    _ => self.whole(attempt).await?,
                }
            }
            self.say_of(&told, step)?;
        }
        self.say_held(&told).map_err(|error| output::refused(&error))?;
        Ok(told)
    }

    /// Says what keeps the run and its steps from going on, once per change.
    fn say_held(&mut self, told: &StatusRecord) -> std::io::Result<()> {
        let mut held = BTreeMap::new();
        for waiting in &told.waiting {
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
            if self.held.get(&waiting.step) != Some(&waiting.words) {
                match &waiting.step {
                    Some(step) => self.live.note(StepStatus::Queued, step, &waiting.words)?,
                    None => self.live.run(&waiting.words)?,
                }
            }
            held.insert(waiting.step.clone(), waiting.words.clone());
        }
        self.held = held;
        Ok(())
    }

    /// Shows the log of an attempt as it comes.
    fn open(&mut self, attempt: &AttemptRecord) {
        let path = logs::path(&self.run, &attempt.id, "events");
        *self.open.entry(attempt.step.clone()).or_default() += 1;
        let (name, end) = (attempt.step.clone(), attempt.step.clone());
        let pieces = events::of::<PieceRecord>(self.client, path);
        let pieces = pieces.map(move |piece| (name.clone(), Some(piece)));
        let end = futures::stream::once(async move { (end, None) });
        self.logs.push(pieces.chain(end).boxed());
    }

    /// Shows the log of an attempt that has ended.
    async fn whole(&mut self, attempt: &AttemptRecord) -> Result<(), Failure> {
        let path = logs::path(&self.run, &attempt.id, "pieces");
        let mut query = String::new();
        loop {
            let page: Page<PieceRecord> = self.client.get(&format!("{path}{query}")).await?;
            for piece in page.items {
                self.log((attempt.step.clone(), Some(Ok(piece))))?;
            }
            let Some(next) = page.next else { return Ok(()) };
            query = format!("?after={next}");
        }
    }

    /// Shows a piece; tells whether a log is over.
    fn log(&mut self, (step, piece): Told) -> Result<bool, Failure> {
        let Some(piece) = piece else {
            if let Some(open) = self.open.get_mut(&step) {
                *open = open.saturating_sub(1);
            }
            return Ok(true);
        };
        let piece = piece?;
        if logs::is_output(&piece) {
            let bytes = logs::bytes(&piece)?;
            self.live.log(&step, &bytes).map_err(|error| output::refused(&error))?;
        }
        Ok(false)
    }

    fn say_all(&mut self, told: &StatusRecord) -> Result<(), Failure> {
        told.steps.iter().try_for_each(|step| self.say_of(told, step))
    }

    /// Says what became of a step after the last line of its log.
    fn say_of(&mut self, told: &StatusRecord, step: &StepRecord) -> Result<(), Failure> {
        let is_closed = self.open.get(&step.step).is_none_or(|open| *open == 0);
        if is_closed || step.status == StepStatus::Waiting.as_str() {
            self.say(told, step).map_err(|error| output::refused(&error))?;
        }
        Ok(())
    }

    /// Says what became of a step, once.
    fn say(&mut self, told: &StatusRecord, step: &StepRecord) -> std::io::Result<()> {
        let now = stand(step);
        if self.said.get(&step.step) == Some(&now) {
            return Ok(());
        }
        self.said.insert(step.step.clone(), now);
        if step.reason.as_deref() == Some(&Reason::NotSelected.to_string()) {
            return Ok(());
        }
        let Ok(status) = step.status.parse::<StepStatus>() else { return Ok(()) };
        if status == StepStatus::Waiting {
            let reason = step.reason.clone();
            let mut text = reason.unwrap_or_else(|| "waits for its next attempt".to_owned());
            let mut waits = told.waiting.iter();
            if let Some(waiting) = waits.find(|waiting| {
                waiting.what == WaitKind::Decision && waiting.step.as_ref() == Some(&step.step)
            }) {
                let (run, step) = (&self.run, &step.step);
                let call = CallRecord::option(waiting.call.as_ref());
                text.push_str(&format!(
                    " — plue approve {run} {step}{call}, or plue reject {run} {step}{call}"
                ));
            }
            return self.live.note(status, &step.step, &text);
        }
        if !status.is_terminal() {
            return Ok(());
        }
        let took = match (step.started_at, step.ended_at) {
            (Some(from), Some(to)) => format!(" in {}", words::duration(from, to)),
            _ => String::new(),
        };
        let why = step.reason.as_ref().map_or(String::new(), |text| format!(": {text}"));
        self.live.ended(status, &step.step, &format!("{status}{took}{why}"))
    }
}

/// Whether nothing of a run that has not ended runs, nor waits for what its steps asked for.
fn is_idle(told: &StatusRecord) -> bool {
    let running = told.steps.iter().any(|step| step.status == StepStatus::Running.as_str());
    let status = told.run.status.as_str();
    status == RunStatus::Queued.as_str() || (status == RunStatus::Running.as_str() && !running)
}

/// What may be said about a step only once.
fn stand(step: &StepRecord) -> (String, u32, u32) {
    (step.status.clone(), step.visit, step.attempts)
}

/// Waits until a run has ended, and shows the steps that run at each fact until then.
pub(super) async fn stopped(
    client: &Client,
    run: &str,
    mut show: impl FnMut(&[String]),
) -> Result<(), Failure> {
    let path = format!("/api/v1/runs/{run}/events");
    let mut facts = pin!(events::of::<FactRecord>(client, path).fuse());
    let is_over = |status: &str| {
        RunStatus::ALL.iter().any(|known| known.is_terminal() && known.as_str() == status)
    };
    while let Some(fact) = facts.next().await {
        drop(fact?);
        // Those that are there already are one look.
        while let Some(Some(fact)) = facts.next().now_or_never() {
            drop(fact?);
        }
        let told: StatusRecord = client.get(&format!("/api/v1/runs/{run}/status")).await?;
        if !is_over(&told.run.status) {
            let running = told.steps.into_iter().filter(|step| step.status == "running");
            show(&running.map(|step| step.step).collect::<Vec<_>>());
        }
    }
    Ok(())
}
