//! The start and the end of an attempt: fence, workspace, process, outputs, result.

use std::{sync::Arc, time::Duration};

use plue_plan::{AttemptId, StepId};
use plue_wire::{
    eval::Bytes,
    runner::{Assign, Claim, EventKind, Exit, FromRunner, Program},
};
use rustix::process::Signal;
use tokio::{net::unix::pipe, sync::oneshot};

use super::{
    Runner,
    owned::{OwnedAttempt, Phase},
    reaping::Watched,
};
use crate::{
    Error,
    attempt::{
        Attempt, Limits, Report, StartedProcess, Ties,
        agent::AgentLink,
        cost,
        ending::Ending,
        launch::{LaunchContext, Process},
        stopping::{Order, STOPPED},
    },
    link::Dial,
    orphans::ProcessMarks,
    outbox::Outbox,
    outputs::{AttemptSummary, Job, Notes, Prepared},
};

impl<D: Dial + Clone + 'static> Runner<D> {
    /// Takes an assignment, unless it was taken before.
    pub(super) fn assign(&mut self, assign: Box<Assign>) -> Result<(), Error> {
        let claim = &assign.claim;
        if self.attempts.get(claim).is_some() {
            // The first Accept may have been lost with a connection.
            return self.send(&FromRunner::Accept(claim.clone()));
        }
        if self.attempts.is_stale(claim) {
            return Ok(());
        }
        if self.lifecycle.is_leaving() {
            let reason = "the runner is about to stop".to_owned();
            return self.send(&FromRunner::Reject(claim.clone(), reason));
        }
        if let Err(error) = self.attempts.take_fence(claim) {
            let state = self.options.state.display();
            let reason = format!("the claim cannot be stored in {state}: {error}");
            return self.send(&FromRunner::Reject(claim.clone(), reason));
        }
        self.agents.announce(&assign);
        self.send(&FromRunner::Accept(claim.clone()))?;
        let attempt = claim.attempt.clone();
        self.abandon(&attempt);
        if !self.attempts.owns(&attempt) {
            return self.start(*assign);
        }
        // The older one must be dead before the newer one touches the workspace.
        if let Some(skipped) = self.attempts.supersede(assign) {
            self.close_claim(&skipped.claim);
        }
        Ok(())
    }

    fn start(&mut self, assign: Assign) -> Result<(), Error> {
        let claim = assign.claim.clone();
        let outbox = Outbox::new(claim.clone(), self.workspace.spill(&claim));
        let mut owned = OwnedAttempt::new(claim, outbox, self.options.buffer_bytes, Phase::Running);
        owned.step = Some(assign.step.clone());
        if let Some(job) = self.outputs.prepare_job(&assign.claim)
            && self.outputs.submit(job, &self.reports.sender)
        {
            owned.phase = Phase::Preparing;
            self.attempts.prepare(assign);
            self.attempts.insert(owned);
            return Ok(());
        }
        self.launch(&assign, owned)
    }

    fn launch(&mut self, assign: &Assign, mut owned: OwnedAttempt) -> Result<(), Error> {
        let started = self.spawn(assign, &owned);
        let now = self.clock.now().as_microsecond();
        match started {
            Ok(pid) => owned.push(now, EventKind::Started { pid }, 0)?,
            Err(exit) => owned.end(Ending::not_started(exit), &self.clock)?,
        }
        self.attempts.insert(owned);
        Ok(())
    }

    /// Starts the process and its task; returns the process id.
    fn spawn(&mut self, assign: &Assign, owned: &OwnedAttempt) -> Result<u32, Exit> {
        self.masks.add(secrets_of(assign).map(|(_, value)| value.0.clone()));
        let secrets = self.masks.secrets().map_err(Exit::Infra)?;
        let mut files = self.workspace.files(&assign.claim);
        let context = LaunchContext::of(assign, &mut self.workspace, &files)?;
        let forked = self.processes.fork(&assign.program, &context, &mut files, &self.workspace)?;
        let is_forked = forked.is_some();
        let mut process = match forked {
            Some(process) => process,
            None => context.start(&assign.program, &mut files).inspect_err(|_| files.delete())?,
        };
        let pid = process.pid;
        let marks = ProcessMarks::of(pid, &files);
        let (exit, exited) = oneshot::channel();
        self.processes.watch(Watched { marks: marks.clone(), exit, is_forked });
        let kill = |_: &Exit| marks.signal(Signal::KILL);
        let agent = match (process.agent.take(), self.agents.take(&assign.claim)) {
            (Some((socket, prelude)), Some(orders)) => {
                let link = AgentLink::new(socket, prelude, orders, secrets.clone(), &self.tasks);
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
            budget: Arc::clone(&owned.budget),
            orders: owned.orders.subscribe(),
            exited,
            reports: self.reports.sender.clone(),
            agent,
        };
        let process = StartedProcess { marks, pipes, secrets, files };
        let attempt = Attempt::new(assign.claim.clone(), process, limits, ties);
        self.tasks.spawn("attempt", attempt.run());
        Ok(pid.cast_unsigned())
    }

    /// Takes a report of an attempt or of the output uploader.
    pub(super) fn note(&mut self, report: Report) -> Result<(), Error> {
        match report {
            Report::Event(claim, kind) => {
                let at_us = self.clock.now().as_microsecond();
                match self.attempts.get(&claim) {
                    Some(owned) if owned.phase == Phase::Running => {
                        let paid = cost(&kind);
                        owned.push(at_us, kind, paid)
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Report::Ended(claim, ending) => self.note_end(&claim, *ending),
            Report::Prepared(claim, prepared, notes) => self.note_prepared(&claim, prepared, notes),
            Report::Collected(claim, notes, failure) => self.note_collected(&claim, notes, failure),
            Report::Fetched(run, fetched) => self.note_fetched(run, fetched),
        }
    }

    fn note_end(&mut self, claim: &Claim, ending: Ending) -> Result<(), Error> {
        let Some(owned) = self.attempts.get(claim) else {
            return Ok(());
        };
        if owned.is_abandoned() {
            return self.note_gone(claim);
        }
        let step = owned.step.clone();
        let job = step.and_then(|step| self.collect_job(claim, step, &ending));
        if job.is_some_and(|job| self.outputs.submit(job, &self.reports.sender)) {
            if let Some(owned) = self.attempts.get(claim) {
                owned.phase = Phase::Collecting;
                owned.ending = Some(Box::new(ending));
            }
            return Ok(());
        }
        self.conclude(claim, Vec::new(), ending)
    }

    /// No process of an abandoned attempt is left.
    fn note_gone(&mut self, claim: &Claim) -> Result<(), Error> {
        self.forget(claim);
        match self.attempts.take_superseding(&claim.attempt) {
            Some(assign) => self.start(*assign),
            None => Ok(()),
        }
    }

    /// Stores the result of an attempt in its outbox.
    fn conclude(&mut self, claim: &Claim, notes: Notes, ending: Ending) -> Result<(), Error> {
        self.outputs.forget(claim);
        let at_us = self.clock.now().as_microsecond();
        let Some(owned) = self.attempts.get(claim) else {
            return Ok(());
        };
        owned.push_notes(at_us, notes)?;
        owned.end(ending, &self.clock)
    }

    /// The job that collects the outputs of an ended process, if it has any.
    fn collect_job(&mut self, claim: &Claim, step: StepId, ending: &Ending) -> Option<Job> {
        let spec = Box::new(self.outputs.spec(claim)?.clone());
        // Without masks nothing is stored, rather than stored unmasked.
        let secrets = self.masks.secrets().ok()?;
        let summary = AttemptSummary {
            step,
            running: self.attempts.other_steps(claim),
            is_success: ending.exit == Exit::Code(0),
            has_ended: matches!(ending.exit, Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut),
            wall: ending.wall,
            secrets,
        };
        Some(Job::Collect(claim.clone(), spec, Box::new(summary)))
    }

    /// The workspace is prepared: the process starts, unless its result is known already.
    fn note_prepared(
        &mut self,
        claim: &Claim,
        prepared: Prepared,
        notes: Notes,
    ) -> Result<(), Error> {
        self.outputs.note_scanned();
        let Some(owned) = self.attempts.get(claim) else {
            self.attempts.forget_preparing(claim);
            return Ok(());
        };
        if owned.is_abandoned() {
            return self.note_gone(claim);
        }
        let order = *owned.orders.borrow();
        let exit = match order {
            Order::Run => None,
            Order::Cancel | Order::Kill | Order::Abandon => Some(Exit::Cancelled),
            Order::Leave | Order::LeaveNow => Some(Exit::Infra(STOPPED.to_owned())),
            Order::Fence => Some(Exit::Infra("the engine has been silent for too long".to_owned())),
        };
        owned.phase = Phase::Running;
        if let Some(exit) = exit {
            self.attempts.forget_preparing(claim);
            return self.conclude(claim, notes, Ending::not_started(exit));
        }
        let at_us = self.clock.now().as_microsecond();
        if let Prepared::Reuse(output_json) = prepared {
            owned.push(at_us, EventKind::Started { pid: std::process::id() }, 0)?;
            let ending = Ending { output_json, ..Ending::not_started(Exit::Code(0)) };
            self.attempts.forget_preparing(claim);
            return self.conclude(claim, notes, ending);
        }
        owned.push_notes(at_us, notes)?;
        match self.attempts.take_prepared(claim) {
            (Some(assign), Some(owned)) => self.launch(&assign, owned),
            (None, _) | (_, None) => Ok(()),
        }
    }

    /// The outputs of an attempt are collected; `failure` fails a step that succeeded.
    fn note_collected(
        &mut self,
        claim: &Claim,
        mut notes: Notes,
        failure: Option<String>,
    ) -> Result<(), Error> {
        let Some(owned) = self.attempts.get(claim) else {
            return Ok(());
        };
        if owned.is_abandoned() {
            return self.note_gone(claim);
        }
        match owned.ending.take() {
            Some(mut ending) => {
                match failure {
                    Some(why) if ending.exit == Exit::Code(0) => ending.exit = Exit::Refused(why),
                    Some(why) => notes.push(why),
                    None => {}
                }
                self.conclude(claim, notes, *ending)
            }
            None => Ok(()),
        }
    }

    /// Kills and forgets an attempt that the engine gave up.
    pub(super) fn abandon(&mut self, attempt: &AttemptId) {
        let Some(owned) = self.attempts.any_fence(attempt) else {
            return;
        };
        if owned.is_running() {
            owned.abandon();
            return;
        }
        let claim = owned.claim.clone();
        self.forget(&claim);
    }

    /// Nothing of the attempt is left to do.
    pub(super) fn forget(&mut self, claim: &Claim) {
        self.attempts.remove(claim);
        self.outputs.forget(claim);
        self.close_claim(claim);
    }

    fn close_claim(&mut self, claim: &Claim) {
        self.agents.forget(claim);
        self.attempts.close(claim);
    }

    /// The engine has given up an attempt that has not started here.
    pub(super) fn drop_superseding(&mut self, claim: &Claim) {
        if self.attempts.is_superseding(claim) {
            self.attempts.take_superseding(&claim.attempt);
            self.close_claim(claim);
        }
    }
}

/// Secrets of the step, of its services and of its MCP servers.
fn secrets_of(assign: &Assign) -> impl Iterator<Item = &(String, Bytes)> {
    let (program, services) = match &assign.program {
        Program::WithServices { program, services } => (&**program, services.as_slice()),
        program => (program, &[][..]),
    };
    let servers = match program {
        Program::McpAgent { servers } => servers.as_slice(),
        Program::Shell { .. }
        | Program::PythonCode { .. }
        | Program::PythonScript { .. }
        | Program::WithServices { .. }
        | Program::Agent => &[],
    };
    let of_services = services.iter().flat_map(|service| &service.secrets);
    let of_servers = servers.iter().flat_map(|server| &server.secrets);
    assign.secrets.iter().chain(of_services).chain(of_servers)
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
