//! Concurrency groups: a run starts, and goes on after it was left, only in its turn.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use plue_flow::Run;
use plue_plan::{Event, RunId, context::Reader};
use plue_runtime::clock::Mark;
use plue_spec::{Reads, resolve};
use plue_store::{CancelRequest, GroupMember, TurnRequest, TurnState, group_key, group_name};
use serde_json::Value as Json;

use super::context::RunContext;
use crate::{
    error::Error,
    loaded::Origin,
    perform::scope::{AttemptNumber, RunInputs, ScopeValues, within_budget},
    run_lock::is_driven,
};

/// A member on another machine loses its claim after this time without a heartbeat.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// Time in which a new member keeps its position without a driver: the process that made it is about to
/// drive it.
const FRESH: SignedDuration = SignedDuration::from_secs(5);
/// Time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The values that determine the concurrency group of a run.
pub(crate) struct GroupRequest<'a> {
    pub(crate) run: &'a Run,
    pub(crate) inputs: &'a RunInputs,
    pub(crate) event: &'a Event,
    pub(crate) origin: &'a Origin,
}

/// The position of a run in its concurrency group.
pub(super) struct GroupTurn {
    context: Arc<RunContext>,
    /// The key of the group.
    group: String,
}

// === impl GroupRequest ===

impl GroupRequest<'_> {
    /// The key of the group in the store. `None`: the run is in no group, or shares the turn of a run above
    /// it.
    ///
    /// # Errors
    /// A text for people: the expression has no value.
    pub(crate) fn group(&self) -> Result<Option<String>, String> {
        let Some(concurrency) = &self.run.plan().concurrency else { return Ok(None) };
        let resolved = within_budget(|meter| {
            let values = ScopeValues::of(self.run, Reader::Before);
            let scope = values.scope(self.inputs, AttemptNumber::FIRST, meter);
            let resolved = resolve(&concurrency.group, &scope, &mut Reads::default());
            resolved.map_err(|error| format!("concurrency group: {error}"))
        })?;
        let name = match resolved.value {
            Json::Null => None,
            Json::String(text) => Some(text).filter(|text| !text.is_empty()),
            other => Some(other.to_string()),
        };
        let key =
            name.map(|name| group_key(self.event.repository.as_deref(), self.own_group(name)));
        // Otherwise a child would wait for a run above it that waits for the child.
        let has_turn =
            |key: &String| self.origin.parent.as_ref().is_some_and(|up| up.groups.contains(key));
        Ok(key.filter(|key| !has_turn(key)))
    }

    /// Groups of untrusted commits are confined to their pull request, even where the operator lets them run
    /// without isolation: otherwise a fork could name the group of deployments.
    fn own_group(&self, name: String) -> String {
        if !self.origin.is_from_fork(self.event) {
            return name;
        }
        let repository = self.event.repository.as_deref().unwrap_or_default();
        let number = self.event.pull_request.as_ref().map_or(0, |pull| pull.number);
        format!("pull request {number} of {repository}, from a fork: {name}")
    }
}

// === impl GroupTurn ===

impl GroupTurn {
    pub(super) fn new(context: Arc<RunContext>, group: String) -> Self {
        Self { context, group }
    }

    /// Adds the run to its group, and cancels older members if the plan demands it.
    pub(super) async fn join(&self) -> Result<(), Error> {
        let (row, shared) = (&self.context.row, &self.context.shared);
        let store = &shared.store;
        if store.groups().of_run(&row.id).await?.is_some_and(|joined| joined != self.group) {
            // It joined before keys of groups held the repository; its position is by its creation.
            store.groups().leave(&row.id).await?;
        }
        store.groups().join(&row.id, &self.group, row.created_at, shared.clock.now()).await?;
        let concurrency = self.context.plan.concurrency.as_ref();
        if concurrency.is_some_and(|group| group.cancel_in_progress) {
            self.cancel_older().await?;
        }
        Ok(())
    }

    /// Takes the turn; the run that has it otherwise.
    pub(super) async fn take(&self) -> Result<Option<RunId>, Error> {
        let shared = &self.context.shared;
        let now = shared.clock.now();
        let request = TurnRequest {
            run: self.context.row.id.clone(),
            group: self.group.clone(),
            at: now,
            seen_since: self.seen_since(now),
            driven: self.driven_members().await?,
            left_behind: self.abandoned_members(now).await?,
        };
        match shared.store.groups().take_turn(request).await? {
            TurnState::Mine { from } => {
                for left in from {
                    self.discard_runners(&left).await?;
                }
                Ok(None)
            }
            TurnState::Behind(first) => Ok(Some(first)),
        }
    }

    pub(super) fn log_wait(&self, first: &RunId) {
        let row = &self.context.row;
        let group = group_name(row.repo.as_deref(), &self.group).to_owned();
        tracing::info!(run = %row.id, group, behind = %first, "waiting for the turn in its group");
    }

    /// On a shared database, undriven members lose their claim without a heartbeat since this time. On one
    /// machine the locks of runs decide instead.
    fn seen_since(&self, now: Timestamp) -> Timestamp {
        let since = || now.checked_sub(LEASE).unwrap_or(Timestamp::UNIX_EPOCH);
        if self.context.shared.store.is_shared() { since() } else { Timestamp::MIN }
    }

    /// Members with a driver, on a shared database.
    async fn driven_members(&self) -> Result<Vec<RunId>, Error> {
        let store = &self.context.shared.store;
        let mut driven = Vec::new();
        if store.is_shared() {
            for member in store.groups().members(&self.group).await? {
                if store.drives().driver_of(&member.run).await?.is_some() {
                    driven.push(member.run);
                }
            }
        }
        Ok(driven)
    }

    /// Members without a driver on this machine. On a shared database others may drive them.
    async fn abandoned_members(&self, now: Timestamp) -> Result<Vec<RunId>, Error> {
        let shared = &self.context.shared;
        if shared.store.is_shared() {
            return Ok(Vec::new());
        }
        let locks = &shared.options.locks_dir;
        let is_new = |member: &GroupMember| {
            member.turn_at.is_none() && now.duration_since(member.seen_at).abs() < FRESH
        };
        let is_abandoned = |member: &GroupMember| {
            let is_other = member.run != self.context.row.id;
            is_other && !is_new(member) && !is_driven(locks, &member.run)
        };
        let members = shared.store.groups().members(&self.group).await?;
        Ok(members.into_iter().filter(is_abandoned).map(|member| member.run).collect())
    }

    /// Stops the runners of a run that has lost its turn: its steps must not overlap with this run.
    async fn discard_runners(&self, run: &RunId) -> Result<(), Error> {
        let shared = &self.context.shared;
        for runner in shared.store.runners().list(Some(run)).await? {
            tracing::info!(%run, runner = %runner.id, "stopping a runner whose run has lost its turn");
            shared.pool.discard(&runner.id).await;
        }
        Ok(())
    }

    async fn cancel_older(&self) -> Result<(), Error> {
        let (own, shared) = (&self.context.row.id, &self.context.shared);
        let by = format!("run {own} of the same concurrency group");
        for member in shared.store.groups().members(&self.group).await? {
            if member.run < *own {
                let request = CancelRequest { by: by.clone(), kill: false };
                shared.store.cancels().request(&member.run, request, shared.clock.now()).await?;
            }
        }
        Ok(())
    }
}

/// Sends a heartbeat of a run in a concurrency group, if it is due; engines on other machines wait for it.
pub(super) async fn heartbeat(context: &RunContext, last: &mut Mark) -> Result<(), Error> {
    let clock = context.shared.clock;
    if context.plan.concurrency.is_some() && clock.elapsed(*last) >= HEARTBEAT {
        *last = clock.mark();
        context.shared.store.groups().refresh(&context.row.id, clock.now()).await?;
    }
    Ok(())
}
