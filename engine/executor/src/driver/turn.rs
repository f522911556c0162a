//! Turns in concurrency groups: a run begins, and goes on after it was left behind, only when it is
//! its turn.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plue_flow::{Input, Run, RunStatus};
use plue_plan::{Event, RunId, context::Reader};
use plue_runtime::Phase;
use plue_spec::{Reads, resolve};
use plue_store::{CancelRequest, GroupMember, Turn, TurnRequest, group_key, group_name};
use serde_json::Value as Json;

use super::Driver;
use crate::{
    batch::Incoming,
    error::Error,
    liveness::is_driven,
    loaded::Origin,
    perform::scope::{Seen, Surroundings, within_budget},
};

/// Without a sign of life for so long, a member on another machine has no claim.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// How long a member that nobody on this machine advances, and that never had the turn, keeps its place: it
/// was made a moment ago, and whoever made it begins with it.
const FRESH: SignedDuration = SignedDuration::from_secs(5);
/// Between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What says which group a run is in.
pub(crate) struct Asked<'a> {
    pub(crate) run: &'a Run,
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) event: &'a Event,
    pub(crate) origin: &'a Origin,
}

// === impl Asked ===

impl Asked<'_> {
    /// What the store knows the group by. `None`: the run is in no group, or in that of a run above it,
    /// in whose turn it runs.
    ///
    /// # Errors
    /// Why the expression has no value; for people.
    pub(crate) fn group(&self) -> Result<Option<String>, String> {
        let Some(concurrency) = &self.run.plan().concurrency else { return Ok(None) };
        let resolved = within_budget(|meter| {
            let seen = Seen::of(self.run, Reader::Before);
            let scope = seen.scope(self.surroundings, (1, 1), meter);
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
        // A child would wait for a run above it that waits for the child.
        let has_turn =
            |key: &String| self.origin.parent.as_ref().is_some_and(|up| up.groups.contains(key));
        Ok(key.filter(|key| !has_turn(key)))
    }

    /// Runs of untrusted commits wait for those of the same pull request, and end no others, also where the
    /// operator lets them run without walls: otherwise a fork could name the group that deploys are in.
    fn own_group(&self, name: String) -> String {
        if !self.origin.is_strangers(self.event) {
            return name;
        }
        let repository = self.event.repository.as_deref().unwrap_or_default();
        let number = self.event.pull_request.as_ref().map_or(0, |pull| pull.number);
        format!("pull request {number} of {repository}, from a fork: {name}")
    }
}

// === impl Driver: turns ===

impl Driver {
    /// Advances the run when it is its turn.
    pub(super) async fn advance_in_turn(&mut self) -> Result<(), Error> {
        if self.only_tells {
            // Nothing runs here. Whoever goes on with it waits for its turn.
            return self.advance().await;
        }
        let group = match self.group() {
            Ok(Some(group)) => group,
            Ok(None) => return self.advance().await,
            Err(message) => {
                let run = self.row.id.clone();
                return Err(Error::Refused { run, message });
            }
        };
        if !self.await_turn(&group).await? {
            return Ok(());
        }
        let advanced = self.advance().await;
        if advanced.is_ok() && self.run.is_finished() {
            self.shared.store.leave_group(&self.row.id).await?;
        }
        advanced
    }

    /// Whether it is finished, and nobody reopens it.
    fn has_ended(&self) -> bool {
        self.run.is_finished() && self.first.is_none()
    }

    /// The group of the run. A finished run that nobody reopens is in none.
    pub(super) fn group(&self) -> Result<Option<String>, String> {
        if self.has_ended() {
            return Ok(None);
        }
        let asked = Asked {
            run: &self.run,
            surroundings: &self.surroundings,
            event: &self.event,
            origin: &self.origin,
        };
        asked.group()
    }

    /// `false`: the engine stops before it is the run's turn.
    async fn await_turn(&mut self, group: &str) -> Result<bool, Error> {
        let shared = self.shared.clone();
        let (store, clock) = (&shared.store, shared.clock);
        let run = self.row.id.clone();
        if store.group_of(&run).await?.is_some_and(|kept| kept != group) {
            // It entered before groups were apart by repository; its place goes by when it was made.
            store.leave_group(&run).await?;
        }
        store.join_group(&run, group, self.row.created_at, clock.now()).await?;
        if self.plan.concurrency.as_ref().is_some_and(|group| group.cancel_in_progress) {
            self.cancel_others(group).await?;
        }
        let shown = group_name(self.row.repo.as_deref(), group).to_owned();
        let mut told = None;
        // A newer run has perhaps cancelled it before anybody drove it.
        self.heed(Vec::new()).await?;
        while !self.has_ended() {
            let now = clock.now();
            let request = TurnRequest {
                run: run.clone(),
                group: group.to_owned(),
                at: now,
                seen_since: self.seen_since(now),
                driven: self.members_driven(group).await?,
                left_behind: self.left_behind(group, now).await?,
            };
            match store.take_turn(request).await? {
                Turn::Mine { from } => {
                    for left in from {
                        self.silence(&left).await?;
                    }
                    return Ok(true);
                }
                Turn::Behind(first) => {
                    if told.as_ref() != Some(&first) {
                        tracing::info!(%run, group = shown, behind = %first, "waits for its turn");
                        told = Some(first);
                    }
                }
            }
            self.request_while_waiting().await?;
            let stops = self.stop.phase() >= Phase::Aborting || self.hands_over();
            if stops && !self.has_ended() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Members that were not heard of since then have no claim: on a shared database those that nobody
    /// drives, for clocks of machines differ. One that is handed from engine to engine is heard of soon
    /// enough. Where every member is on this machine, its lock tells who lives.
    fn seen_since(&self, now: Timestamp) -> Timestamp {
        let heard = || now.checked_sub(LEASE).unwrap_or(Timestamp::UNIX_EPOCH);
        if self.shared.store.is_shared() { heard() } else { Timestamp::MIN }
    }

    /// Members that the shared database knows a driver of.
    async fn members_driven(&self, group: &str) -> Result<Vec<RunId>, Error> {
        let store = &self.shared.store;
        let mut driven = Vec::new();
        if store.is_shared() {
            for member in store.group(group).await? {
                if store.driver_of(&member.run).await?.is_some() {
                    driven.push(member.run);
                }
            }
        }
        Ok(driven)
    }

    /// Members that nobody on this machine advances, nor is about to. On a shared database others may.
    async fn left_behind(&self, group: &str, now: Timestamp) -> Result<Vec<RunId>, Error> {
        if self.shared.store.is_shared() {
            return Ok(Vec::new());
        }
        let locks = &self.shared.options.locks_dir;
        let begins = |member: &GroupMember| {
            member.turn_at.is_none() && now.duration_since(member.seen_at).abs() < FRESH
        };
        let left = |member: &GroupMember| {
            member.run != self.row.id && !begins(member) && !is_driven(locks, &member.run)
        };
        let members = self.shared.store.group(group).await?;
        Ok(members.into_iter().filter(left).map(|member| member.run).collect())
    }

    /// What a run that was left behind still does must not overlap with this one: its runners go.
    async fn silence(&self, run: &RunId) -> Result<(), Error> {
        for runner in self.shared.store.runners(Some(run)).await? {
            tracing::info!(%run, runner = %runner.id, "stopped: its run has lost its turn");
            self.shared.pool.discard(&runner.id).await;
        }
        Ok(())
    }

    async fn cancel_others(&self, group: &str) -> Result<(), Error> {
        let by = format!("run {} of the same concurrency group", self.row.id);
        for member in self.shared.store.group(group).await? {
            let older = member.run != self.row.id && member.run < self.row.id;
            if older {
                let request = CancelRequest { by: by.clone(), kill: false };
                let now = self.shared.clock.now();
                self.shared.store.request_cancel(&member.run, request, now).await?;
            }
        }
        Ok(())
    }

    /// Waits a moment, and hears whoever wants the run to stop.
    async fn request_while_waiting(&mut self) -> Result<(), Error> {
        let poll = self.shared.options.control_poll;
        let incoming = tokio::select! {
            biased;
            () = self.stop.reached(Phase::Aborting) => return Ok(()),
            Some(control) = self.control.recv() => self.take_request(control),
            () = self.shared.clock.sleep(poll) => Vec::new(),
        };
        self.heed(incoming).await
    }

    /// Tells the run who wants it to stop. One that has not begun ends at once; one that was left behind
    /// is asked when it goes on.
    async fn heed(&mut self, mut incoming: Vec<Incoming>) -> Result<(), Error> {
        if self.run.status() != RunStatus::Queued {
            return Ok(());
        }
        let stored = self.shared.store.cancel_request(&self.row.id).await?;
        self.request_seen = stored.clone().or(self.request_seen.take());
        incoming.extend(
            stored.map(|request| {
                Incoming::plain(Input::Cancel { by: request.by, kill: request.kill })
            }),
        );
        if incoming.is_empty() { Ok(()) } else { self.settle(incoming).await }
    }

    /// Says now and then that the run is still advanced; engines on other machines go by it.
    pub(super) async fn sign_of_life(&mut self) -> Result<(), Error> {
        let clock = self.shared.clock;
        let due = self.plan.concurrency.is_some() && clock.elapsed(self.alive_at) >= HEARTBEAT;
        if due {
            self.alive_at = clock.mark();
            self.shared.store.still_in_group(&self.row.id, clock.now()).await?;
        }
        Ok(())
    }
}
