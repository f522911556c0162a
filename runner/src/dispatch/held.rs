//! One attempt as the dispatcher sees it, and how it starts and ends.

use std::{sync::Arc, time::Duration};

use plue_plan::StepId;
use plue_runtime::{Clock, clock::Mark};
use plue_wire::{
    eval::Bytes,
    runner::{Assign, AttemptResult, Claim, EventKind, Exit, FromRunner, Program, Resume},
};
use rustix::process::Signal;
use tokio::{
    net::unix::pipe,
    sync::{Semaphore, oneshot, watch},
};

use super::{Runner, reaping::Watched};
use crate::{
    Error,
    attempt::{
        Attempt, Limits, Report, Ties,
        agent::AgentLink,
        cost,
        ending::Ending,
        launch::{Place, Process},
        stopping::Order,
    },
    keeper::{After, Job, Notes, Prepared},
    leftovers::Marks,
    link::Dial,
    outbox::Outbox,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) claim: Claim,
    pub(super) outbox: Outbox,
    budget: Arc<Semaphore>,
    capacity: usize,
    phase: Phase,
    orders: watch::Sender<Order>,
    /// The end, while the keeper is at work.
    ending: Option<Box<Ending>>,
    /// Its step; unknown for one that was found on disk.
    step: Option<StepId>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The keeper prepares the workspace; there is no process yet.
    Preparing,
    Running,
    /// The process is gone; the keeper collects what it left.
    Keeping,
    /// The result is in the outbox.
    Ended(Mark),
    /// Found on disk without a result: the process that ran it is gone.
    Lost,
    /// Nobody wants it any more; its processes are being killed.
    Abandoned,
}

// === impl Held ===

impl Held {
    fn new(claim: Claim, outbox: Outbox, capacity: usize, phase: Phase) -> Self {
        Self {
            claim,
            outbox,
            budget: Arc::new(Semaphore::new(capacity)),
            capacity,
            phase,
            orders: watch::Sender::new(Order::Run),
            ending: None,
            step: None,
        }
    }

    /// One that an earlier process left on disk.
    pub(super) fn found(claim: Claim, outbox: Outbox, clock: &Clock, capacity: usize) -> Self {
        let phase = if outbox.ended() { Phase::Ended(clock.mark()) } else { Phase::Lost };
        Self::new(claim, outbox, capacity, phase)
    }

    pub(super) fn is_running(&self) -> bool {
        match self.phase {
            Phase::Preparing | Phase::Running | Phase::Keeping | Phase::Abandoned => true,
            Phase::Ended(_) | Phase::Lost => false,
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.phase == Phase::Lost
    }

    /// Since when the result has been waiting for its verdict.
    pub(super) fn ended_at(&self) -> Option<Mark> {
        match self.phase {
            Phase::Ended(at) => Some(at),
            Phase::Preparing | Phase::Running | Phase::Keeping | Phase::Lost | Phase::Abandoned => {
                None
            }
        }
    }

    /// What the engine is told; nothing about what it gave up.
    pub(super) fn resume(&self) -> Option<Resume> {
        (self.phase != Phase::Abandoned).then(|| {
            // A claim on disk may have started: the claim is written before, not after.
            let mut resume = self.outbox.resume(true);
            // A lost attempt has ended too; its result is made when the engine's count is known.
            resume.ended |= self.is_lost();
            resume
        })
    }

    /// Gives an order; a weaker one than before changes nothing.
    pub(super) fn give(&self, order: Order) {
        self.orders.send_if_modified(|now| {
            let is_stronger = order > *now;
            if is_stronger {
                *now = order;
            }
            is_stronger
        });
    }

    pub(super) fn persist(&mut self) {
        if self.phase != Phase::Abandoned {
            self.outbox.persist();
        }
    }

    pub(super) fn next_frame(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        if self.phase == Phase::Abandoned {
            return Ok(false);
        }
        self.outbox.next_frame(out)
    }

    pub(super) fn ack(&mut self, seq: u64) {
        let freed = self.outbox.ack(seq);
        let room = self.capacity.saturating_sub(self.budget.available_permits());
        let permits = if self.outbox.is_empty() { room } else { freed.min(room) };
        self.budget.add_permits(permits);
    }

    /// Appends an event for which `paid` bytes of budget were taken.
    fn push(&mut self, at_us: i64, kind: EventKind, paid: usize) -> Result<(), Error> {
        let bytes = self.outbox.push(at_us, kind)?;
        self.budget.forget_permits(bytes.saturating_sub(paid));
        if self.outbox.disk_failed() {
            // Nothing more is read until the engine has taken what is in memory.
            self.budget.forget_permits(self.capacity);
        }
        Ok(())
    }

    /// Appends an event that no process paid for; nothing follows a result.
    pub(super) fn note(&mut self, at_us: i64, kind: EventKind) -> Result<(), Error> {
        match self.phase {
            Phase::Preparing | Phase::Running => self.push(at_us, kind, 0),
            Phase::Keeping | Phase::Ended(_) | Phase::Lost | Phase::Abandoned => Ok(()),
        }
    }

    fn end(&mut self, ending: Ending, clock: &Clock) -> Result<(), Error> {
        let result = AttemptResult {
            claim: self.claim.clone(),
            seq: 0,
            at_us: clock.now().as_microsecond(),
            exit: ending.exit,
            output_json: ending.output_json,
            wall_us: u64::try_from(ending.wall.as_micros()).unwrap_or(u64::MAX),
            cpu_us: ending.cpu_us,
            max_rss_kib: ending.max_rss_kib,
            leaked: ending.leaked,
        };
        self.phase = Phase::Ended(clock.mark());
        self.outbox.end(result)
    }

    /// Reports the end of a lost attempt, one of so many, behind what the engine has of it.
    pub(super) fn end_lost(&mut self, acked: u64, lost: usize, clock: &Clock) -> Result<(), Error> {
        self.outbox.skip_to(acked);
        let gap = EventKind::Gap {
            bytes: 0,
            reason: "the runner was restarted; output may be missing here".to_owned(),
        };
        self.push(clock.now().as_microsecond(), gap, 0)?;
        let suspect = if lost > 1 {
            format!("one of the {lost} steps that ran then may have killed it")
        } else {
            "no other step ran then, so this one may have killed it".to_owned()
        };
        let exit = Exit::Infra(format!(
            "the runner was restarted while the step ran; {suspect} (`kill $PPID`, `pkill`), or the machine had no memory left"
        ));
        self.end(Ending::not_started(exit), clock)
    }
}

impl<D: Dial + Clone + 'static> Runner<D> {
    /// Takes an assignment, unless it was taken before.
    pub(super) fn assign(&mut self, assign: Box<Assign>) -> Result<(), Error> {
        let claim = &assign.claim;
        if let Some(held) = self.held.get(&claim.attempt)
            && held.claim == *claim
        {
            // The first Accept may have been lost with a connection.
            return self.send(&FromRunner::Accept(claim.clone()));
        }
        if self.claims.last(&claim.attempt).is_some_and(|last| claim.fence <= last) {
            return Ok(());
        }
        if self.is_leaving() {
            let reason = "the runner is about to stop".to_owned();
            return self.send(&FromRunner::Reject(claim.clone(), reason));
        }
        if let Err(error) = self.claims.take(claim) {
            let reason =
                format!("the claim cannot be stored in {}: {error}", self.state_path().display());
            return self.send(&FromRunner::Reject(claim.clone(), reason));
        }
        self.agents.announce(&assign);
        self.send(&FromRunner::Accept(claim.clone()))?;
        let attempt = claim.attempt.clone();
        self.abandon(&attempt);
        if !self.held.contains_key(&attempt) {
            return self.start(*assign);
        }
        // The older one must be dead before the newer one touches the workspace.
        if let Some(skipped) = self.superseding.insert(attempt, assign) {
            self.close_claim(&skipped.claim);
        }
        Ok(())
    }

    fn start(&mut self, assign: Assign) -> Result<(), Error> {
        let claim = assign.claim.clone();
        let outbox = Outbox::new(claim.clone(), self.workspace.spill(&claim));
        let mut held = Held::new(claim, outbox, self.options.buffer_bytes, Phase::Running);
        held.step = Some(assign.step.clone());
        if let Some(job) = self.desk.before(&assign.claim)
            && self.desk.give(job, &self.reports.0)
        {
            held.phase = Phase::Preparing;
            let attempt = assign.claim.attempt.clone();
            self.preparing.insert(attempt.clone(), Box::new(assign));
            self.held.insert(attempt, held);
            return Ok(());
        }
        self.begin(&assign, held)
    }

    fn begin(&mut self, assign: &Assign, mut held: Held) -> Result<(), Error> {
        let started = self.spawn(assign, &held);
        let now = self.clock.now().as_microsecond();
        match started {
            Ok(pid) => held.push(now, EventKind::Started { pid }, 0)?,
            Err(exit) => held.end(Ending::not_started(exit), &self.clock)?,
        }
        self.held.insert(assign.claim.attempt.clone(), held);
        Ok(())
    }

    /// Starts the process and its task; gives the process id.
    fn spawn(&mut self, assign: &Assign, held: &Held) -> Result<u32, Exit> {
        self.masks.add(secrets_of(assign).map(|(_, value)| value.0.clone()));
        let secrets = self.masks.secrets().map_err(Exit::Infra)?;
        let mut files = self.workspace.files(&assign.claim);
        let place = Place::of(assign, &mut self.workspace, &files)?;
        let forked = self.fork(&assign.program, &place, &mut files)?;
        let is_forked = forked.is_some();
        let mut process = match forked {
            Some(process) => process,
            None => place.start(&assign.program, &mut files).inspect_err(|_| files.delete())?,
        };
        let pid = process.pid;
        let marks = Marks::of(pid, &files);
        let (exit, exited) = oneshot::channel();
        self.children.watch(Watched { marks: marks.clone(), exit, is_forked });
        let kill = |_: &Exit| marks.signal(Signal::KILL);
        let agent = match (process.agent.take(), self.agents.take(&assign.claim)) {
            (Some(socket), Some(orders)) => {
                let link = AgentLink::new(socket, orders, secrets.clone(), &self.tasks);
                Some(link.map_err(no_socket).inspect_err(kill)?)
            }
            (None, _) | (_, None) => None,
        };
        let pipes = pipes(process).inspect_err(kill)?;
        let limits = Limits {
            timeout: Duration::from_millis(assign.timeout_ms),
            grace: Duration::from_millis(assign.grace_ms),
            log_cap: assign.log_cap_bytes,
        };
        let ties = Ties {
            clock: self.clock,
            budget: Arc::clone(&held.budget),
            orders: held.orders.subscribe(),
            exited,
            reports: self.reports.0.clone(),
            agent,
        };
        let claim = assign.claim.clone();
        let attempt = Attempt::new(claim, (marks, pipes), limits, (secrets, files), ties);
        self.tasks.spawn("attempt", attempt.run());
        Ok(pid.cast_unsigned())
    }

    /// Takes a report of an attempt.
    pub(super) fn note(&mut self, report: Report) -> Result<(), Error> {
        match report {
            Report::Event(claim, kind) => {
                let at_us = self.clock.now().as_microsecond();
                match self.held.get_mut(&claim.attempt) {
                    Some(held) if held.claim == claim && held.phase == Phase::Running => {
                        let paid = cost(&kind);
                        held.push(at_us, kind, paid)
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Report::Ended(claim, ending) => self.note_end(&claim, *ending),
            Report::Prepared(claim, prepared, notes) => self.prepared(&claim, prepared, notes),
            Report::Kept(claim, notes, lost) => self.kept(&claim, notes, lost),
        }
    }

    fn note_end(&mut self, claim: &Claim, ending: Ending) -> Result<(), Error> {
        let Some(held) = self.held.get_mut(&claim.attempt).filter(|held| held.claim == *claim)
        else {
            return Ok(());
        };
        if held.phase == Phase::Abandoned {
            return self.gone(claim);
        }
        let step = held.step.clone();
        let job = step.and_then(|step| self.after(claim, step, &ending));
        if job.is_some_and(|job| self.desk.give(job, &self.reports.0)) {
            if let Some(held) = self.held.get_mut(&claim.attempt) {
                held.phase = Phase::Keeping;
                held.ending = Some(Box::new(ending));
            }
            return Ok(());
        }
        self.conclude(claim, Vec::new(), ending)
    }

    /// Nothing of an abandoned attempt is left.
    fn gone(&mut self, claim: &Claim) -> Result<(), Error> {
        self.forget(claim);
        match self.superseding.remove(&claim.attempt) {
            Some(assign) => self.start(*assign),
            None => Ok(()),
        }
    }

    /// The attempt has its result.
    fn conclude(&mut self, claim: &Claim, notes: Notes, ending: Ending) -> Result<(), Error> {
        self.desk.forget(claim);
        let at_us = self.clock.now().as_microsecond();
        let Some(held) = self.held.get_mut(&claim.attempt).filter(|held| held.claim == *claim)
        else {
            return Ok(());
        };
        for note in notes {
            held.push(at_us, EventKind::Note(note), 0)?;
        }
        held.end(ending, &self.clock)
    }

    /// The job that comes after the process of an attempt, if there is one.
    fn after(&mut self, claim: &Claim, step: StepId, ending: &Ending) -> Option<Job> {
        let care = Box::new(self.desk.care(claim)?.clone());
        // Without masks nothing is kept, rather than kept unmasked.
        let secrets = self.masks.secrets().ok()?;
        let others = self.held.values().filter(|held| held.claim != *claim);
        let running = others.filter(|held| matches!(held.phase, Phase::Running | Phase::Preparing));
        let after = After {
            step,
            running: running.filter_map(|held| held.step.clone()).collect(),
            is_success: ending.exit == Exit::Code(0),
            has_ended: matches!(ending.exit, Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut),
            wall: ending.wall,
            secrets,
        };
        Some(Job::After(claim.clone(), care, Box::new(after)))
    }

    /// The keeper has prepared the workspace: the process may start, or its result is known already.
    fn prepared(&mut self, claim: &Claim, found: Prepared, notes: Notes) -> Result<(), Error> {
        self.desk.has_looked();
        let assign = self.preparing.remove(&claim.attempt);
        let is_ours = |held: &&mut Held| held.claim == *claim;
        let Some(held) = self.held.get_mut(&claim.attempt).filter(is_ours) else {
            return Ok(());
        };
        if held.phase == Phase::Abandoned {
            return self.gone(claim);
        }
        let order = *held.orders.borrow();
        let exit = match order {
            Order::Run => None,
            Order::Cancel | Order::Kill | Order::Abandon => Some(Exit::Cancelled),
            Order::Fence => Some(Exit::Infra("the engine has been silent for too long".to_owned())),
        };
        held.phase = Phase::Running;
        if let Some(exit) = exit {
            return self.conclude(claim, notes, Ending::not_started(exit));
        }
        let at_us = self.clock.now().as_microsecond();
        if let Prepared::Reuse(output_json) = found {
            held.push(at_us, EventKind::Started { pid: std::process::id() }, 0)?;
            let ending = Ending { output_json, ..Ending::not_started(Exit::Code(0)) };
            return self.conclude(claim, notes, ending);
        }
        for note in notes {
            held.push(at_us, EventKind::Note(note), 0)?;
        }
        match (assign, self.held.remove(&claim.attempt)) {
            (Some(assign), Some(held)) => self.begin(&assign, held),
            (None, _) | (_, None) => Ok(()),
        }
    }

    /// The keeper has collected what an attempt left.
    fn kept(&mut self, claim: &Claim, mut notes: Notes, lost: Option<String>) -> Result<(), Error> {
        let is_ours = |held: &&mut Held| held.claim == *claim;
        let Some(held) = self.held.get_mut(&claim.attempt).filter(is_ours) else {
            return Ok(());
        };
        if held.phase == Phase::Abandoned {
            return self.gone(claim);
        }
        match held.ending.take() {
            Some(mut ending) => {
                match lost {
                    // A step that has succeeded has its files.
                    Some(why) if ending.exit == Exit::Code(0) => ending.exit = Exit::Refused(why),
                    Some(why) => notes.push(why),
                    None => {}
                }
                self.conclude(claim, notes, *ending)
            }
            None => Ok(()),
        }
    }

    /// Kills and forgets an attempt that nobody wants any more.
    pub(super) fn abandon(&mut self, attempt: &plue_plan::AttemptId) {
        let Some(held) = self.held.get_mut(attempt) else {
            return;
        };
        if held.is_running() {
            held.phase = Phase::Abandoned;
            held.give(Order::Abandon);
            // A task that waits for budget would not see its process end.
            held.budget.add_permits(held.capacity.saturating_sub(held.budget.available_permits()));
            return;
        }
        let claim = held.claim.clone();
        self.forget(&claim);
    }

    /// Nothing of the attempt is left to do.
    pub(super) fn forget(&mut self, claim: &Claim) {
        if let Some(mut held) = self.held.remove(&claim.attempt) {
            held.outbox.forget();
        }
        self.preparing.remove(&claim.attempt);
        self.desk.forget(claim);
        self.close_claim(claim);
    }

    fn close_claim(&mut self, claim: &Claim) {
        self.agents.forget(claim);
        let held = self.held.values().map(|held| &held.claim);
        let waiting = self.superseding.values().map(|assign| &assign.claim);
        let open: Vec<_> = held.chain(waiting).cloned().collect();
        self.claims.done(claim.clone(), &open);
    }

    /// What the engine is told that this runner holds.
    pub(super) fn holdings(&self) -> Vec<Resume> {
        let waiting = self.superseding.values().map(|assign| Resume {
            claim: assign.claim.clone(),
            started: false,
            first_seq: 1,
            last_seq: 0,
            ended: false,
        });
        let held = self.held.values().filter_map(Held::resume);
        held.chain(waiting).collect()
    }

    /// The engine has given up an attempt that has not started here.
    pub(super) fn drop_waiting(&mut self, claim: &Claim) {
        let is_waiting = self.superseding.get(&claim.attempt);
        if is_waiting.is_some_and(|assign| assign.claim == *claim) {
            self.superseding.remove(&claim.attempt);
            self.close_claim(claim);
        }
    }
}

/// Those of the step, of its services and of its MCP servers.
fn secrets_of(assign: &Assign) -> impl Iterator<Item = &(String, Bytes)> {
    let (program, services) = match &assign.program {
        Program::Beside { program, services } => (&**program, services.as_slice()),
        program => (program, &[][..]),
    };
    let servers = match program {
        Program::McpAgent { servers } => servers.as_slice(),
        Program::Shell { .. }
        | Program::PythonCode { .. }
        | Program::PythonScript { .. }
        | Program::Beside { .. }
        | Program::Agent => &[],
    };
    let beside = services.iter().flat_map(|service| &service.secrets);
    let own = servers.iter().flat_map(|server| &server.secrets);
    assign.secrets.iter().chain(beside).chain(own)
}

fn no_socket(error: std::io::Error) -> Exit {
    Exit::Infra(format!("the agent's attendant cannot be reached: {error}"))
}

fn pipes(process: Process) -> Result<[pipe::Receiver; 2], Exit> {
    let failed = |error| Exit::Infra(format!("the step's output cannot be read: {error}"));
    Ok([
        pipe::Receiver::from_owned_fd(process.stdout).map_err(failed)?,
        pipe::Receiver::from_owned_fd(process.stderr).map_err(failed)?,
    ])
}
