//! The first commit of a run.

use plue_flow::RunView;

use super::{Committed, NewRun, Refused, RunCommit, apply, writes};
use crate::{
    changes::Shards,
    drive::{self, Drive},
    error::Error,
    op::Op,
    run::EventTexts,
    sql::{Arg, Statement, Tx},
    webhook::event,
};

pub(super) struct Create {
    pub(super) new: NewRun,
    pub(super) first: RunCommit,
    /// The engine that drives the run from the first commit on.
    pub(super) engine: Option<String>,
}

impl Op for Create {
    type Out = Result<Committed, Refused>;
    const CHECKS_AGAIN: bool = true;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        let text = "SELECT seq FROM run WHERE id = $1";
        let exists = Statement::new(text, vec![self.new.id.as_str().into()]);
        if let Some(row) = tx.fetch_optional(exists).await? {
            return Ok(Err(Refused::Stale { seq: row.count(0)? }));
        }
        let engine = self.engine.as_deref().map(|id| drive::read_engine(tx.dialect(), id));
        if let Some(engine) = &engine
            && tx.fetch_optional(engine.clone()).await?.is_none()
        {
            return Ok(Err(Refused::Superseded));
        }
        let offer = match &self.first.assign_to {
            Some(assign) => apply::offer(tx, assign, &self.first.run).await?,
            None => None,
        };
        // The read took no lock: an engine that has expired since would leave the run without a
        // driver that exists.
        if let Some(engine) = engine {
            tx.still(engine);
        }
        tx.write_all(self.inserts()?);
        writes::lock_runner(tx, &self.first, offer.as_ref());
        tx.write_all(event::enqueue(&self.first, &event::Repo::Known(self.new.repo.as_deref())));
        let assigned = writes::write_all(tx, &self.first, offer)?;
        Ok(Ok(Committed { seq: self.first.facts.len() as u64, assigned }))
    }

    fn touched(&self, out: &Self::Out) -> Shards {
        if out.is_ok() { Shards::of(&self.new.id) } else { Shards::NONE }
    }
}

impl Create {
    fn inserts(&self) -> Result<Vec<Statement>, Error> {
        let new = &self.new;
        let RunView { status, reason, started_at, ended_at } = &self.first.view;
        let is_driven = self.engine.is_some();
        let run = Statement::new(
            "INSERT INTO run (id, workflow, plan_hash, repo, sha, branch, status, reason, seq, \
             created_at, started_at, ended_at, fork, is_child, driver, drive_fence, in_hand) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            vec![
                new.id.as_str().into(),
                new.workflow.as_str().into(),
                new.plan.to_string().into(),
                new.repo.clone().into(),
                new.sha.clone().into(),
                new.branch.clone().into(),
                status.as_str().into(),
                reason.clone().into(),
                Arg::count(self.first.facts.len() as u64),
                new.created_at.into(),
                (*started_at).into(),
                (*ended_at).into(),
                Arg::Int(new.fork.and_then(|number| i64::try_from(number).ok())),
                i64::from(new.is_child).into(),
                self.engine.clone().into(),
                Arg::count(if is_driven { Drive::FIRST_FENCE } else { 0 }),
                i64::from(is_driven).into(),
            ],
        );
        let texts = EventTexts::of(&new.event);
        let source = Statement::new(
            "INSERT INTO run_source (run_id, source, event, inputs, origin, event_type, actor, title) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            vec![
                new.id.as_str().into(),
                new.source.as_str().into(),
                Arg::json(&new.event)?,
                Arg::json(&new.inputs)?,
                Arg::json(&new.origin)?,
                texts.kind.into(),
                texts.actor.into(),
                texts.title.into(),
            ],
        );
        Ok(vec![run, source])
    }
}
