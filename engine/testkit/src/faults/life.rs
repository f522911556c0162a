//! The life of one scripted runner: connections, assignments, steps, and what survives its death.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::{SinkExt as _, StreamExt as _};
use plue_plan::{AttemptId, RunnerId};
use plue_runtime::clock::Mark;
use plue_wire::{
    decode, encode,
    eval::Bytes,
    frame::PREFIX_BYTES,
    runner::{
        Assign, AttemptEvent, AttemptResult, CancelMode, Claim, EventKind, Exit, Fence, FromRunner,
        Hello, MAX_FRAME_BYTES, ResultVerdict, Resume, RunnerVitals, ToRunner, Verdict, Welcome,
    },
};
use tokio::{
    net::UnixStream,
    sync::{mpsc, watch},
};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::{
    points::{Fault, FaultPoint, Points},
    runner::{Listening, Orders, Runners},
    script::{Act, acts},
};

/// Pause before a runner dials in again.
const REDIAL: Duration = Duration::from_millis(100);
/// Delay of a delayed message.
const DELAY: Duration = Duration::from_secs(2);
/// Between signs of life, and how long the engine may be silent.
const BEAT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(15);
/// Duration of the cleanup of a stopped step.
const CLEAN_UP: Duration = Duration::from_millis(10);

type Frames = Framed<UnixStream, LengthDelimitedCodec>;

pub(super) struct Life {
    runners: Runners,
    id: RunnerId,
    orders: watch::Receiver<Orders>,
    followed: Orders,
    /// On its disk: the last fence of each attempt.
    taken: BTreeMap<AttemptId, Fence>,
    /// On its disk, but for what runs.
    held: BTreeMap<AttemptId, HeldAttempt>,
    leaves: bool,
}

/// An attempt in hand.
struct HeldAttempt {
    claim: Claim,
    /// Events and then the result, numbered from 1; those before `first` are acknowledged.
    sent: Vec<FromRunner>,
    first: usize,
    ended: bool,
    step: Option<Step>,
}

/// The process of a step.
struct Step {
    acts: VecDeque<Act>,
    output: String,
    /// Start of the current act.
    since: Mark,
    wait: Duration,
    timeout: Option<(Mark, Duration)>,
    asked: bool,
}

/// Cause of the end of a connection.
enum Over {
    Broken,
    Died,
    Discarded,
}

// === impl Life ===

impl Life {
    pub(super) fn new(runners: Runners, id: RunnerId, orders: watch::Receiver<Orders>) -> Self {
        let followed = *orders.borrow();
        Self {
            runners,
            id,
            orders,
            followed,
            taken: BTreeMap::new(),
            held: BTreeMap::new(),
            leaves: false,
        }
    }

    pub(super) async fn run(mut self, mut engines: mpsc::Receiver<Listening>) {
        loop {
            let listening = tokio::select! {
                listening = engines.recv() => listening,
                over = self.works() => match over {
                    Over::Discarded => return,
                    Over::Broken | Over::Died => continue,
                },
            };
            let Some(Listening { token, accept }) = listening else { return };
            let Ok((ours, theirs)) = UnixStream::pair() else { return };
            if self.leaves && self.held.is_empty() {
                // The runner has exited; its listeners know.
                continue;
            }
            let Ok(theirs) = self.runners.relayed(theirs) else { return };
            if accept.send(theirs).is_err() {
                continue;
            }
            let mut codec = LengthDelimitedCodec::builder();
            codec.little_endian().length_field_length(4).max_frame_length(MAX_FRAME_BYTES);
            let mut frames = Framed::new(ours, codec.new_codec());
            match self.connected(&mut frames, token).await {
                Over::Discarded => return,
                Over::Broken | Over::Died => {}
            }
            drop(frames);
            self.runners.clock().sleep(REDIAL).await;
        }
    }

    fn points(&self) -> Arc<Points> {
        self.runners.points()
    }

    /// Runs the steps while disconnected.
    async fn works(&mut self) -> Over {
        loop {
            let (clock, due) = (self.runners.clock(), self.next_due());
            let mut orders = self.orders.clone();
            tokio::select! {
                () = clock.sleep(due) => self.act(),
                changed = orders.changed() => {
                    if changed.is_err() {
                        return Over::Discarded;
                    }
                    if let Some(over) = self.follow_orders() {
                        return over;
                    }
                }
            }
        }
    }

    fn follow_orders(&mut self) -> Option<Over> {
        let orders = *self.orders.borrow_and_update();
        let before = std::mem::replace(&mut self.followed, orders);
        if orders.discarded {
            return Some(Over::Discarded);
        }
        if orders.deaths > before.deaths {
            self.die();
            return Some(Over::Died);
        }
        (orders.cuts > before.cuts).then_some(Over::Broken)
    }

    /// The process is killed: what ran is lost, what was only in memory is gone.
    fn die(&mut self) {
        for held in self.held.values_mut() {
            if !held.ended {
                held.step = None;
                held.sent.truncate(held.first - 1);
            }
        }
    }

    async fn connected(&mut self, frames: &mut Frames, token: String) -> Over {
        let resume = self.held.values().map(HeldAttempt::resume).collect();
        let hello = FromRunner::Hello(Hello {
            protocol: self.runners.habits().protocol,
            runner: self.id.clone(),
            boot: format!("boot of {}", self.id),
            token,
            facts: Vec::new(),
            resume,
        });
        // The claim of an attempt, and the number of the next of its messages to be sent.
        let mut cursors: BTreeMap<AttemptId, usize> = BTreeMap::new();
        let mut welcome = false;
        let (mut heard, mut beaten) = (self.runners.clock().mark(), self.runners.clock().mark());
        let mut waiting = VecDeque::from([hello]);
        loop {
            if welcome {
                self.queue(&mut cursors, &mut waiting);
            }
            while let Some(message) = waiting.pop_front() {
                if let Err(over) = self.send(frames, &message).await {
                    return over;
                }
            }
            if self.leaves && self.held.is_empty() {
                return Over::Broken;
            }
            let (clock, due) = (self.runners.clock(), self.next_due());
            let mut orders = self.orders.clone();
            if clock.elapsed(heard) > SILENCE {
                return Over::Broken;
            }
            tokio::select! {
                frame = frames.next() => {
                    heard = clock.mark();
                    let Some(Ok(frame)) = frame else { return Over::Broken };
                    let message: ToRunner = decode(&frame).expect("the engine speaks the protocol");
                    let times = match self.received(&message).await {
                        Ok(times) => times,
                        Err(over) => return over,
                    };
                    for _ in 0..times {
                        welcome |= matches!(message, ToRunner::Welcome(_));
                        waiting.extend(self.obey(message.clone(), &mut cursors));
                    }
                }
                () = clock.sleep(due) => self.act(),
                () = clock.sleep(BEAT.saturating_sub(clock.elapsed(beaten))) => {
                    beaten = clock.mark();
                    waiting.push_back(FromRunner::Heartbeat(RunnerVitals::default()));
                }
                _ = orders.changed() => {
                    if let Some(over) = self.follow_orders() {
                        return over;
                    }
                }
            }
        }
    }

    /// Next messages to send of each attempt.
    fn queue(&self, cursors: &mut BTreeMap<AttemptId, usize>, waiting: &mut VecDeque<FromRunner>) {
        let results_first = self.runners.habits().results_first;
        for (attempt, held) in &self.held {
            if results_first && !cursors.contains_key(attempt) {
                if held.ended {
                    // The engine names the first message that it still needs.
                    cursors.insert(attempt.clone(), held.sent.len() + 1);
                    waiting.extend(held.sent.last().cloned());
                }
                continue;
            }
            let cursor = cursors.entry(attempt.clone()).or_insert(held.first);
            *cursor = (*cursor).max(held.first);
            while let Some(message) = held.sent.get(*cursor - 1) {
                waiting.push_back(message.clone());
                *cursor += 1;
            }
        }
    }

    /// Number of times a message arrives.
    async fn received(&mut self, message: &ToRunner) -> Result<u32, Over> {
        if matches!(message, ToRunner::Heartbeat) {
            return Ok(1);
        }
        match self.points().pass(FaultPoint::ToRunner(name(message))) {
            None => Ok(1),
            Some(Fault::Duplicated) => Ok(2),
            Some(Fault::Fails) => Err(Over::Broken),
            Some(fault) => self.suffer(fault).await.map(|()| 1),
        }
    }

    async fn suffer(&mut self, fault: Fault) -> Result<(), Over> {
        match fault {
            Fault::Fails => return Err(Over::Broken),
            Fault::RunnerDies => {
                self.die();
                return Err(Over::Died);
            }
            Fault::Delayed => self.runners.clock().sleep(DELAY).await,
            Fault::EngineDies => {
                self.runners.kill_engine();
                return Err(Over::Broken);
            }
            Fault::Duplicated => {}
        }
        Ok(())
    }

    async fn send(&mut self, frames: &mut Frames, message: &FromRunner) -> Result<(), Over> {
        let fault = match message {
            FromRunner::Heartbeat(_) => None,
            _ => self.points().pass(FaultPoint::FromRunner(name_of(message))),
        };
        let mut times = 1;
        match fault {
            Some(Fault::Duplicated) => times = 2,
            Some(fault) => self.suffer(fault).await?,
            None => {}
        }
        for _ in 0..times {
            let frame = encode(message, MAX_FRAME_BYTES).expect("it fits");
            frames.send(frame_body(&frame)).await.map_err(|_| Over::Broken)?;
        }
        Ok(())
    }

    /// Carries out the engine's message; returns the replies.
    fn obey(
        &mut self,
        message: ToRunner,
        cursors: &mut BTreeMap<AttemptId, usize>,
    ) -> Vec<FromRunner> {
        match message {
            ToRunner::Welcome(welcome) => return self.resume(&welcome, cursors),
            ToRunner::Assign(assign) => {
                if self.find(&assign.claim).is_none() {
                    cursors.remove(&assign.claim.attempt);
                }
                return self.assign(*assign);
            }
            ToRunner::Ack(claim, seq) => {
                if let Some(held) = self.find(&claim) {
                    held.ack(seq);
                }
            }
            ToRunner::ResultAck(claim, verdict) => self.judged(&claim, verdict, cursors),
            ToRunner::Cancel(claim, mode) => {
                let clock = self.runners.clock();
                if let Some(step) = self.find(&claim).and_then(|held| held.step.as_mut()) {
                    step.since = clock.mark();
                    step.wait = match mode {
                        CancelMode::Term => CLEAN_UP,
                        CancelMode::Kill => Duration::ZERO,
                    };
                    step.asked = true;
                }
            }
            ToRunner::Shutdown(_) => self.leaves = true,
            // Do not come back.
            ToRunner::Close(..) => self.held.clear(),
            ToRunner::Credit(..)
            | ToRunner::Heartbeat
            | ToRunner::Outputs(..)
            | ToRunner::Answer(_)
            | ToRunner::Mask(_)
            | ToRunner::Rules(..)
            | ToRunner::Agent(..)
            | ToRunner::Workspace(_)
            | ToRunner::Redirect(_)
            | ToRunner::Leave
            | ToRunner::Enter(_) => {}
        }
        Vec::new()
    }

    fn find(&mut self, claim: &Claim) -> Option<&mut HeldAttempt> {
        self.held.get_mut(&claim.attempt).filter(|held| held.claim == *claim)
    }

    fn resume(
        &mut self,
        welcome: &Welcome,
        cursors: &mut BTreeMap<AttemptId, usize>,
    ) -> Vec<FromRunner> {
        for one in &welcome.resume {
            let now = self.runners.micros();
            let Some(held) = self.find(&one.claim) else { continue };
            if one.verdict == Verdict::Abandon {
                self.held.remove(&one.claim.attempt);
                continue;
            }
            held.ack(one.acked);
            if held.step.is_none() && !held.ended {
                held.end_lost(one.acked, now);
            }
            cursors.insert(one.claim.attempt.clone(), held.first);
        }
        vec![FromRunner::Ready]
    }

    fn assign(&mut self, assign: Assign) -> Vec<FromRunner> {
        let claim = assign.claim.clone();
        if self.find(&claim).is_some() {
            return vec![FromRunner::Accept(claim)];
        }
        if self.taken.get(&claim.attempt).is_some_and(|last| claim.fence <= *last) {
            return Vec::new();
        }
        self.taken.insert(claim.attempt.clone(), claim.fence);
        self.runners.begins(&claim.attempt, claim.fence);
        let clock = self.runners.clock();
        let mut held = HeldAttempt {
            claim: claim.clone(),
            sent: Vec::new(),
            first: 1,
            ended: false,
            step: None,
        };
        held.push(self.runners.micros(), EventKind::Started { pid: 1 });
        held.step = Some(Step {
            acts: acts(&assign),
            output: "null".to_owned(),
            since: clock.mark(),
            wait: Duration::ZERO,
            timeout: Some((clock.mark(), Duration::from_millis(assign.timeout_ms))),
            asked: false,
        });
        self.held.insert(claim.attempt.clone(), held);
        vec![FromRunner::Accept(claim)]
    }

    fn judged(
        &mut self,
        claim: &Claim,
        verdict: ResultVerdict,
        cursors: &mut BTreeMap<AttemptId, usize>,
    ) {
        let Some(held) = self.find(claim) else { return };
        match verdict {
            ResultVerdict::Recorded | ResultVerdict::Duplicate if !held.ended => {}
            ResultVerdict::Recorded | ResultVerdict::Duplicate | ResultVerdict::Fenced => {
                self.held.remove(&claim.attempt);
            }
            ResultVerdict::Need(seq) => {
                let seq = usize::try_from(seq).unwrap_or(usize::MAX).max(held.first);
                cursors.insert(claim.attempt.clone(), seq);
            }
        }
    }

    /// Until the next step has something to do.
    fn next_due(&self) -> Duration {
        let clock = self.runners.clock();
        let steps = self.held.values().filter_map(|held| held.step.as_ref());
        let due = steps.map(|step| {
            let act = step.wait.saturating_sub(clock.elapsed(step.since));
            let end = step.timeout.map(|(since, end)| end.saturating_sub(clock.elapsed(since)));
            act.min(end.unwrap_or(Duration::MAX))
        });
        due.min().unwrap_or(Duration::from_secs(3_600))
    }

    /// Lets every step that is due do one thing.
    fn act(&mut self) {
        let clock = self.runners.clock();
        let now = self.runners.micros();
        for held in self.held.values_mut() {
            let Some(mut step) = held.step.take() else { continue };
            let is_over = step.timeout.is_some_and(|(since, end)| clock.elapsed(since) >= end);
            if is_over {
                held.end(now, Exit::TimedOut, "null");
                continue;
            }
            if clock.elapsed(step.since) < step.wait {
                held.step = Some(step);
                continue;
            }
            (step.since, step.wait) = (clock.mark(), Duration::ZERO);
            if step.asked {
                held.end(now, Exit::Cancelled, "null");
                continue;
            }
            match step.acts.pop_front() {
                Some(Act::Say(line)) => held.push(now, EventKind::Stdout(Bytes(line))),
                Some(Act::Err(line)) => held.push(now, EventKind::Stderr(Bytes(line))),
                Some(Act::Wait(wait)) => step.wait = wait,
                Some(Act::Forever) => step.wait = Duration::from_secs(100 * 24 * 3_600),
                Some(Act::Out(json)) => step.output = json,
                Some(Act::Exit(code)) => {
                    held.end(now, Exit::Code(code), &step.output);
                    continue;
                }
                None => {
                    held.end(now, Exit::Code(0), &step.output);
                    continue;
                }
            }
            held.step = Some(step);
        }
    }
}

// === impl HeldAttempt ===

impl HeldAttempt {
    fn next_seq(&self) -> u64 {
        self.sent.len() as u64 + 1
    }

    fn push(&mut self, at_us: i64, kind: EventKind) {
        let event = AttemptEvent { claim: self.claim.clone(), seq: self.next_seq(), at_us, kind };
        self.sent.push(FromRunner::Event(event));
    }

    fn end(&mut self, at_us: i64, exit: Exit, output: &str) {
        let result = AttemptResult {
            claim: self.claim.clone(),
            seq: self.next_seq(),
            at_us,
            exit,
            output_json: output.to_owned(),
            wall_us: 1_000,
            cpu_us: 500,
            max_rss_kib: 1_024,
            leaked: 0,
        };
        self.sent.push(FromRunner::Result(result));
        self.ended = true;
        self.step = None;
    }

    /// Its process died with the runner.
    fn end_lost(&mut self, acked: u64, at_us: i64) {
        let acked = usize::try_from(acked).unwrap_or(usize::MAX);
        // Acknowledged messages need no bytes, only numbers.
        self.sent.truncate(acked);
        while self.sent.len() < acked {
            self.push(at_us, EventKind::Note(String::new()));
        }
        self.first = acked + 1;
        self.push(at_us, EventKind::Gap { bytes: 0, reason: "the runner was killed".to_owned() });
        self.end(at_us, Exit::Infra("the runner was killed while the step ran".to_owned()), "null");
    }

    /// The result stays until it is judged.
    fn ack(&mut self, seq: u64) {
        let last = if self.ended { self.sent.len() } else { self.sent.len() + 1 };
        let seq = usize::try_from(seq).unwrap_or(usize::MAX);
        self.first = self.first.max((seq + 1).min(last));
    }

    fn resume(&self) -> Resume {
        Resume {
            claim: self.claim.clone(),
            started: true,
            first_seq: self.first as u64,
            last_seq: self.sent.len() as u64,
            ended: self.ended || self.step.is_none(),
        }
    }
}

/// The codec writes the prefix itself.
fn frame_body(frame: &[u8]) -> tokio_util::bytes::Bytes {
    tokio_util::bytes::Bytes::copy_from_slice(&frame[PREFIX_BYTES..])
}

fn name(message: &ToRunner) -> &'static str {
    match message {
        ToRunner::Welcome(_) => "Welcome",
        ToRunner::Assign(_) => "Assign",
        ToRunner::Ack(..) => "Ack",
        ToRunner::Credit(..) => "Credit",
        ToRunner::ResultAck(..) => "ResultAck",
        ToRunner::Cancel(..) => "Cancel",
        ToRunner::Heartbeat => "Heartbeat",
        ToRunner::Shutdown(_) => "Shutdown",
        ToRunner::Close(..) => "Close",
        ToRunner::Outputs(..) => "Outputs",
        ToRunner::Answer(_) => "Answer",
        ToRunner::Mask(_) => "Mask",
        ToRunner::Rules(..) => "Rules",
        ToRunner::Agent(..) => "Agent",
        ToRunner::Workspace(_) => "Workspace",
        ToRunner::Redirect(_) => "Redirect",
        ToRunner::Leave => "Leave",
        ToRunner::Enter(_) => "Enter",
    }
}

fn name_of(message: &FromRunner) -> &'static str {
    match message {
        FromRunner::Hello(_) => "Hello",
        FromRunner::Ready => "Ready",
        FromRunner::Accept(_) => "Accept",
        FromRunner::Reject(..) => "Reject",
        FromRunner::Event(_) => "Event",
        FromRunner::Result(_) => "Result",
        FromRunner::Heartbeat(_) => "Heartbeat",
        FromRunner::Draining(..) => "Draining",
        FromRunner::Ask(_) => "Ask",
        FromRunner::Workspace(_) => "Workspace",
        FromRunner::Left(_) => "Left",
    }
}
