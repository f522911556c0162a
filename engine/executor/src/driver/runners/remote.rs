//! Runs that work on another machine: one runner with all the names that the steps ask for, and an archive
//! of the run's files for it.

use plue_flow::{Effect, Input, Run, fact::Outcome};
use plue_plan::RunnerId;
use plue_pool::{
    Lease,
    fleet::{Fleet, Selector},
    local::{POOL, UNTRUSTED_POOL},
};
use plue_store::{REMOTE_POOL, RunnerKind};
use plue_wire::runner::{WorkspaceArchive, WorkspaceSpec};

use super::{LeasedRunner, Runners};
use crate::{
    batch::Incoming,
    driver::context::RunContext,
    error::Error,
    perform::workspace_archive::{self, Files},
};

/// The machine that a run asks for.
pub(super) struct Elsewhere {
    fleet: Fleet,
    selector: Selector,
    /// The files for the next runner, once they were packed.
    archive: Option<WorkspaceArchive>,
    /// The run has had a runner: the files may have changed since they were packed.
    had_runner: bool,
}

// === impl Elsewhere ===

impl Elsewhere {
    /// `None`: the run works on this machine. Untrusted runs leave it only for pods of their own.
    pub(super) fn of(context: &RunContext) -> Option<Self> {
        let fleet = context.shared.pool.fleet()?;
        let is_untrusted = context.is_from_fork();
        if is_untrusted && !fleet.serves_untrusted() {
            return None;
        }
        let is_runners = |step: &&plue_plan::Step| !context.is_engine_step(&step.id);
        let steps = context.plan.all_steps().filter(is_runners);
        let capacity = &context.shared.options.capacity;
        let selector = capacity.elsewhere(&context.plan, steps, is_untrusted)?;
        Some(Self { fleet: fleet.clone(), selector, archive: None, had_runner: false })
    }

    /// The reason that a step waits.
    pub(super) fn refusal(&self) -> String {
        let Self { selector, .. } = self;
        let names = if selector.names().count() == 1 { "label" } else { "labels" };
        format!("no runner with the {names} {selector} is free")
    }
}

// === impl Runners: other machines ===

impl Runners {
    /// The pool whose runners may claim attempts of the run.
    pub(super) fn pool(&self) -> &'static str {
        match &self.elsewhere {
            Some(_) => REMOTE_POOL,
            None if self.context.origin.untrusted => UNTRUSTED_POOL,
            None => POOL,
        }
    }

    /// Tries to lease a runner of another machine again, if steps wait for one.
    pub(crate) async fn seek(&mut self, run: &Run) -> Result<(), Error> {
        if self.elsewhere.is_none() || self.has_lease() || self.context.hands_over() {
            return Ok(());
        }
        let waits = |effect: &Effect| self.context.is_runner_work(effect);
        let has_work =
            run.unschedulable().next().is_some() || run.pending_effects().iter().any(waits);
        if has_work { self.lease_elsewhere().await } else { Ok(()) }
    }

    /// The run waits no longer for a runner.
    pub(crate) fn end_wait(&self) {
        if let Some(elsewhere) = &self.elsewhere {
            elsewhere.fleet.note_wait(&self.context.row.id, None);
        }
    }

    /// Leases a runner with the run's names, if one is free.
    pub(super) async fn lease_elsewhere(&mut self) -> Result<(), Error> {
        let (context, run) = (self.context.clone(), self.context.row.id.clone());
        let Some(elsewhere) = &mut self.elsewhere else { return Ok(()) };
        let is_hopeless = !context.shared.store.is_shared();
        if is_hopeless && !elsewhere.fleet.has_idle(&elsewhere.selector) {
            elsewhere.fleet.note_wait(&run, Some(&elsewhere.selector));
            return Ok(());
        }
        let archive = match elsewhere.archive.filter(|_| !elsewhere.had_runner) {
            Some(archive) => archive,
            None => match workspace_archive::pack(&context.shared, &run, &context.origin).await? {
                Files::Packed(archive) => archive,
                Files::Unknown(why) => {
                    self.fail_without_files(&why).await?;
                    return Ok(());
                }
            },
        };
        elsewhere.archive = Some(archive);
        let spec = WorkspaceSpec { run: run.clone(), archive: Some(archive) };
        let lease = elsewhere.fleet.lease(&run, &elsewhere.selector, &spec).await?;
        let waits = lease.is_none().then_some(&elsewhere.selector);
        elsewhere.fleet.note_wait(&run, waits);
        elsewhere.had_runner |= lease.is_some();
        self.leased = lease.map(LeasedRunner::new);
        Ok(())
    }

    /// Fails the steps that wait: the files of the run cannot be made again.
    async fn fail_without_files(&mut self, why: &str) -> Result<(), Error> {
        let context = &self.context;
        for row in context.shared.store.attempts().list(&context.row.id, None).await? {
            if row.state != plue_flow::AttemptStatus::Queued {
                continue;
            }
            let outcome = Outcome::Infra { message: why.to_owned() };
            let (attempt, output) = (row.claim.attempt, serde_json::Value::Null);
            self.failed.push(Incoming::plain(Input::Ended { attempt, outcome, output }));
        }
        Ok(())
    }

    /// The lease of the runner of another machine that the run had; `None`: it is one of this machine.
    pub(super) async fn adopt_elsewhere(
        &mut self,
        runner: &RunnerId,
    ) -> Result<Option<Result<Lease, plue_pool::Error>>, Error> {
        let Some(row) = self.context.shared.store.runners().get(runner).await? else {
            return Ok(None);
        };
        match (row.kind, &mut self.elsewhere) {
            (RunnerKind::Process, _) => Ok(None),
            (RunnerKind::Pod | RunnerKind::Registered, Some(elsewhere)) => {
                elsewhere.had_runner = true;
                Ok(Some(Ok(elsewhere.fleet.adopt(row, &self.context.row.id))))
            }
            (RunnerKind::Pod | RunnerKind::Registered, None) => {
                let why = "runners of other machines do not serve this run".to_owned();
                Ok(Some(Err(plue_pool::Error::NotIsolated(why))))
            }
        }
    }
}

// === impl LeasedRunner ===

impl LeasedRunner {
    fn new(lease: Lease) -> Self {
        Self { epoch: lease.session(), masked: None, lease }
    }
}
