//! The runner's side of a session: greeting, and the effect of each message of the engine. An engine of another
//! machine orders the files of the run too.

use std::path::PathBuf;

use plue_plan::RunId;
use plue_runtime::{Tasks, mask::RunMasks};
use plue_wire::runner::{
    CancelMode, Claim, CloseCode, FromRunner, ResultVerdict, ResumeVerdict, RunnerWorkspace,
    ShutdownWhen, ToRunner, Verdict, Welcome, WorkspaceReport, WorkspaceSpec,
};

use super::{Runner, agents::Agents};
use crate::{
    Error,
    attempt::{Report, stopping::Order},
    link::Dial,
    orphans,
    outputs::{
        WorkDirs,
        queue::{ContentRequest, OutputQueue},
    },
    workspace::Ordered,
};

impl<D: Dial + Clone + 'static> Runner<D> {
    /// Handles every message that has arrived. A stream that is out of step is given up.
    pub(super) fn receive(&mut self) -> Result<(), Error> {
        loop {
            match self.link.receive() {
                Ok(Some(message)) => self.obey(message)?,
                Ok(None) => return Ok(()),
                Err(_) => {
                    self.disconnect();
                    return Ok(());
                }
            }
        }
    }

    fn obey(&mut self, message: ToRunner) -> Result<(), Error> {
        match message {
            ToRunner::Welcome(welcome) => {
                self.resume(&welcome)?;
                if self.options.python.is_likely {
                    self.processes.warm_up(&self.workspace);
                }
            }
            ToRunner::Assign(assign) => self.assign(assign)?,
            ToRunner::Ack(claim, seq) => {
                if let Some(owned) = self.attempts.get(&claim) {
                    owned.ack(seq);
                }
            }
            ToRunner::Credit(claim, bytes) => {
                if let Some(owned) = self.attempts.get(&claim) {
                    owned.outbox.add_credit(bytes);
                }
            }
            ToRunner::ResultAck(claim, verdict) => self.settle(&claim, verdict)?,
            ToRunner::Cancel(claim, mode) => {
                if let Some(owned) = self.attempts.get(&claim) {
                    owned.give(match mode {
                        CancelMode::Term => Order::Cancel,
                        CancelMode::Kill => Order::Kill,
                    });
                }
            }
            ToRunner::Heartbeat => {}
            ToRunner::Outputs(claim, spec) => self.outputs.announce(claim, spec),
            ToRunner::Rules(claim, rules) => self.outputs.announce_rules(&claim, rules),
            ToRunner::Mask(secrets) => self.masks.add(secrets.into_iter().map(|secret| secret.0)),
            ToRunner::Agent(claim, order) => {
                if let Some(refusal) = self.agents.send(&claim, *order) {
                    let at_us = self.clock.now().as_microsecond();
                    if let Some(owned) = self.attempts.get(&claim) {
                        owned.note(at_us, refusal)?;
                    }
                }
            }
            ToRunner::Workspace(spec) => self.order_files(&spec)?,
            ToRunner::Redirect(_) => self.disconnect(),
            ToRunner::Answer(answer) => self.outputs.deliver(answer),
            ToRunner::Leave => self.leave_run()?,
            ToRunner::Enter(place) => self.enter(place)?,
            ToRunner::Shutdown(ShutdownWhen::Idle) => self.lifecycle.leave_when_idle(),
            ToRunner::Shutdown(ShutdownWhen::Now) => self.leave_now(Order::Kill),
            ToRunner::Close(code, reason) => self.close(code, reason)?,
        }
        Ok(())
    }

    fn resume(&mut self, welcome: &Welcome) -> Result<(), Error> {
        self.link.welcome();
        let lost = self.attempts.lost();
        for claim in self.attempts.claims() {
            let verdict = welcome.resume.iter().find(|verdict| verdict.claim == claim);
            self.resume_one(&claim, verdict, lost)?;
        }
        for verdict in &welcome.resume {
            if verdict.verdict == Verdict::Abandon {
                self.drop_superseding(&verdict.claim);
            }
        }
        self.send(&FromRunner::Ready)?;
        // Questions of an earlier session are lost with it.
        for question in self.outputs.unanswered() {
            self.send(&FromRunner::Ask(question))?;
        }
        Ok(())
    }

    /// Without a verdict, all unacknowledged events are sent again: the engine drops duplicates.
    fn resume_one(
        &mut self,
        claim: &Claim,
        verdict: Option<&ResumeVerdict>,
        lost: usize,
    ) -> Result<(), Error> {
        let clock = self.clock;
        let Some(owned) = self.attempts.get(claim) else {
            return Ok(());
        };
        match verdict.map(|verdict| verdict.verdict) {
            Some(Verdict::Abandon) => {
                self.abandon(&claim.attempt);
                return Ok(());
            }
            Some(Verdict::Cancel) => owned.give(Order::Cancel),
            Some(Verdict::Continue) | None => {}
        }
        let acked = verdict.map_or_else(
            || owned.outbox.resume(true).first_seq.saturating_sub(1),
            |verdict| verdict.acked,
        );
        owned.ack(acked);
        if owned.is_lost() {
            owned.end_lost(acked, lost, &clock)?;
        }
        owned.outbox.rewind(acked + 1, clock.now().as_microsecond())
    }

    fn settle(&mut self, claim: &Claim, verdict: ResultVerdict) -> Result<(), Error> {
        let now = self.clock.now().as_microsecond();
        let Some(owned) = self.attempts.get(claim) else {
            return Ok(());
        };
        match verdict {
            ResultVerdict::Recorded | ResultVerdict::Duplicate if owned.outbox.ended() => {
                self.forget(claim);
                Ok(())
            }
            // A verdict on a result that was never sent.
            ResultVerdict::Recorded | ResultVerdict::Duplicate => Ok(()),
            ResultVerdict::Fenced => {
                self.abandon(&claim.attempt);
                Ok(())
            }
            ResultVerdict::Need(seq) => owned.outbox.rewind(seq, now),
        }
    }

    fn close(&mut self, code: CloseCode, reason: String) -> Result<(), Error> {
        match code {
            CloseCode::Overload => {
                self.disconnect();
                Ok(())
            }
            CloseCode::Auth | CloseCode::Superseded | CloseCode::Unknown | CloseCode::Version => {
                Err(Error::Dismissed { code, reason })
            }
        }
    }

    /// Sends a question of the output uploader, now or with the next session.
    pub(super) fn ask(&mut self, request: ContentRequest) -> Result<(), Error> {
        let question = self.outputs.track(request).clone();
        if self.link.is_welcome() {
            return self.send(&FromRunner::Ask(question));
        }
        self.outputs.drop_impatient();
        Ok(())
    }

    /// Takes the order of a run's files; the report follows, in this session or in a later one that orders
    /// them again.
    pub(super) fn order_files(&mut self, spec: &WorkspaceSpec) -> Result<(), Error> {
        let archive = match self.workspace.files.order(&spec.run, spec.archive) {
            Ordered::Ready => return self.report_files(spec.run.clone(), None),
            Ordered::Refused(why) => return self.report_files(spec.run.clone(), Some(why)),
            Ordered::Fetching => return Ok(()),
            Ordered::Fetch(_) if !self.attempts.is_empty() => {
                self.workspace.files.give_up();
                let why = "the runner has attempts of another run".to_owned();
                return self.report_files(spec.run.clone(), Some(why));
            }
            Ordered::Fetch(archive) => archive,
        };
        let work = self.workspace.files.fetch(archive, &self.outputs.client());
        let (reports, run) = (self.reports.sender.clone(), spec.run.clone());
        // Not among the tasks that the runner waits for: it ends when its questions have no answer.
        Tasks::new().spawn_blocking(move || {
            let fetched = work();
            let _runner_gone = reports.blocking_send(Report::Fetched(run, fetched));
        });
        Ok(())
    }

    pub(super) fn note_fetched(
        &mut self,
        run: RunId,
        fetched: Result<(), String>,
    ) -> Result<(), Error> {
        let root = self.workspace.root.clone();
        let placed = fetched.and_then(|()| {
            let published = self.workspace.files.publish(run.clone(), &root);
            published.map_err(|error| format!("{}: {error}", root.display()))
        });
        if placed.is_err() {
            self.workspace.files.give_up();
        }
        self.report_files(run, placed.err())
    }

    /// Reports to the engine; without a session the next one orders the files again.
    fn report_files(&mut self, run: RunId, error: Option<String>) -> Result<(), Error> {
        if !self.link.is_welcome() {
            return Ok(());
        }
        self.send(&FromRunner::Workspace(WorkspaceReport { run, error }))
    }

    /// Starts to leave the run.
    pub(super) fn leave_run(&mut self) -> Result<(), Error> {
        self.processes.stop_interpreter();
        self.outputs.close();
        self.lifecycle.moves.leave(self.clock);
        self.finish_leaving()
    }

    /// Reports that the run is left once its processes and uploads have ended, or that some do not.
    pub(super) fn finish_leaving(&mut self) -> Result<(), Error> {
        if !self.lifecycle.moves.is_leaving() {
            return Ok(());
        }
        self.processes.reap();
        let is_busy = orphans::kill_children() > 0 || self.outputs.is_busy();
        if self.lifecycle.moves.waits(is_busy, self.clock) {
            return Ok(());
        }
        let may_stay = !is_busy && self.attempts.is_empty() && !self.lifecycle.is_leaving();
        let is_clean = may_stay && self.forget_run();
        self.send(&FromRunner::Left(is_clean))
    }

    /// Forgets the secrets of the run and removes its files; `false` if anything of it may remain.
    fn forget_run(&mut self) -> bool {
        self.masks = RunMasks::default();
        self.agents = Agents::default();
        self.outputs = OutputQueue::new(self.work_dirs(), self.clock);
        self.workspace.forget_attempts()
            && self.attempts.renew_fences()
            && self.lifecycle.moves.is_clean(&self.options)
    }

    /// Enters the workspace of the next run. Each session names the current one again, since the message
    /// that named it first may be lost.
    pub(super) fn enter(&mut self, place: RunnerWorkspace) -> Result<(), Error> {
        self.lifecycle.moves.enter(&place, &self.options);
        let workspace = PathBuf::from(place.workspace);
        if self.options.workspace == workspace {
            return Ok(());
        }
        self.options.workspace = workspace;
        self.options.index = Some(PathBuf::from(place.index));
        self.workspace.enter(&self.options.workspace)?;
        self.outputs = OutputQueue::new(self.work_dirs(), self.clock);
        Ok(())
    }

    fn work_dirs(&self) -> WorkDirs {
        WorkDirs {
            root: self.workspace.root.clone(),
            scratch: self.workspace.folder().to_owned(),
            index: self.options.index.clone(),
        }
    }
}
