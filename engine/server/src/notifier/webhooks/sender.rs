//! Sends due messages, each endpoint in a task of its own, so that a slow endpoint delays no other.
//!
//! Delivery is at least once under a stable id: after a crash between sending and recording, the message is
//! sent again when its claim expires. Two servers never send the same message concurrently.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use plue_executor::reach::{Guard, Unreached, post};
use plue_runtime::{Clock, Ids, Phase, Stop, TaskSet, Tasks, Watchdog};
use plue_store::{
    Store,
    secret::{Keyring, SecretError},
    webhook::{DeliveryRow, DeliveryState, SettleOutcome, Settled, WebhookRow},
};

use super::{
    admin::{BEFORE, CURRENT, scope_of},
    message, schedule,
    sign::{Secret, signatures},
};
use crate::error::Error;

/// Timeout of one try, from name resolution to the end of the response.
pub const WITHIN: Duration = Duration::from_secs(15);
/// Lifetime of a claim, longer than one try.
pub const CLAIM: Duration = Duration::from_secs(20);
/// Concurrent messages of one endpoint.
pub const AT_ONCE: u32 = 4;
/// Bytes of a response that are read.
pub const MAX_ANSWER: usize = 1_024;
/// Shortest pause between two rounds.
const PACE: Duration = Duration::from_millis(100);
/// Longest pause between two rounds, for scheduled retries and for writes of other processes.
const POLL: Duration = Duration::from_millis(500);

/// Sends messages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The database of endpoints and messages.
    pub store: Store,
    /// Opens the signing secrets; `None`: nothing is sent.
    pub keys: Option<Keyring>,
    /// Addresses that messages may reach.
    pub guard: Guard,
    /// The clock, paused in tests.
    pub clock: Clock,
    /// Random numbers for the jitter of pauses.
    pub ids: Ids,
    /// Tracker of the tasks that send messages.
    pub tasks: Tasks,
    /// Reports a sender that stands still.
    pub watchdog: Watchdog,
    /// Address of this server for people, the base of links.
    pub public_url: Option<String>,
}

struct Ready {
    url: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

// === impl Sender ===

impl Sender {
    /// Sends until the server stops, then waits for open requests; the next server sends the remaining
    /// messages.
    pub async fn run(&self, stop: &Stop) {
        let beat = self.watchdog.watch("send webhooks");
        let mut changes = self.store.changes();
        let mut rounds = TaskSet::new(&self.tasks, "webhook");
        while stop.phase() < Phase::Draining {
            changes.borrow_and_update();
            beat.stage("read due messages");
            match self.due().await {
                Ok(due) => {
                    for webhook in due {
                        let round = self.clone().round(webhook.clone(), stop.clone());
                        rounds.spawn(webhook, round);
                    }
                }
                Err(error) => tracing::warn!(%error, "failed to read due webhooks; retrying"),
            }
            beat.idle();
            let news = async {
                self.clock.sleep(PACE).await;
                tokio::select! {
                    Ok(()) = changes.changed() => {}
                    () = self.clock.sleep(POLL) => {}
                }
            };
            tokio::select! {
                () = stop.reached(Phase::Draining) => {}
                () = news => {}
            }
            while rounds.try_next().is_some() {}
        }
        while rounds.next().await.is_some() {}
    }

    /// Sends what is due now; how many messages that were. For tests.
    ///
    /// # Errors
    /// The database.
    pub async fn send_due(&self) -> Result<usize, Error> {
        let mut batches = TaskSet::new(&self.tasks, "webhook");
        for webhook in self.due().await? {
            let (sender, hook) = (self.clone(), webhook.clone());
            batches.spawn(webhook, async move { sender.batch(&hook).await });
        }
        let mut sent = 0;
        while let Some((_, batch)) = batches.next().await {
            sent += batch.map_err(|_| Error::Stopped)??;
        }
        Ok(sent)
    }

    async fn due(&self) -> Result<Vec<String>, Error> {
        if self.keys.is_none() {
            return Ok(Vec::new());
        }
        Ok(self.store.webhooks().due(self.clock.now()).await?)
    }

    /// Sends to one endpoint for as long as something is due there.
    async fn round(self, webhook: String, stop: Stop) {
        while stop.phase() < Phase::Draining {
            match self.batch(&webhook).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(webhook, %error, "failed to send a webhook");
                    break;
                }
            }
        }
    }

    /// Some of what is due at one endpoint, all at the same time.
    async fn batch(&self, webhook: &str) -> Result<usize, Error> {
        let now = self.clock.now();
        let until = now + CLAIM;
        let claimed = self.store.webhooks().claim(webhook, (now, until), AT_ONCE).await?;
        let Some(hook) = self.store.webhooks().get(webhook).await? else { return Ok(0) };
        let (count, hook) = (claimed.len(), Arc::new(hook));
        let mut tries = TaskSet::new(&self.tasks, "webhook message");
        for row in claimed {
            let (sender, hook) = (self.clone(), hook.clone());
            tries.spawn(row.message.clone(), async move { sender.one(&hook, &row).await });
        }
        while let Some((_, tried)) = tries.next().await {
            tried.map_err(|_| Error::Stopped)??;
        }
        Ok(count)
    }

    async fn one(&self, hook: &WebhookRow, row: &DeliveryRow) -> Result<(), Error> {
        let answered = match self.ready(hook, row).await {
            Ok(Some(ready)) => {
                let to = (ready.url.as_str(), &ready.headers);
                post(to, &ready.body, &self.guard, (WITHIN, MAX_ANSWER)).await
            }
            Ok(None) => return self.gone(row).await,
            // Never without a signature; perhaps the key comes back.
            Err(Error::Secret(error)) if !matches!(error, SecretError::Store(_)) => {
                Err(Unreached::Failed(error.to_string()))
            }
            Err(error) => return Err(error),
        };
        let now = self.clock.now();
        let settled = schedule::settled((hook, row), &answered, now, self.ids.number().get());
        if let Err(error) = &answered {
            tracing::warn!(webhook = hook.id, message = row.message, %error, "not delivered");
        }
        let outcome = self.store.webhooks().settle(row, &settled).await?;
        if let (SettleOutcome::Disabled, Some(disable)) = (outcome, &settled.disable) {
            tracing::warn!(webhook = hook.id, reason = disable.reason, "the webhook is disabled");
        }
        Ok(())
    }

    async fn gone(&self, row: &DeliveryRow) -> Result<(), Error> {
        let (now, state) = (self.clock.now(), DeliveryState::Failed);
        let note = Some("what it was about is gone".to_owned());
        let gone = Settled { state, at: now, next_at: now, status: None, note, disable: None };
        self.store.webhooks().settle(row, &gone).await?;
        Ok(())
    }

    /// The request of a delivery; none: its run is gone.
    async fn ready(&self, hook: &WebhookRow, row: &DeliveryRow) -> Result<Option<Ready>, Error> {
        let message = match &row.fact {
            None => Some(message::ping(&hook.id, row.created_at)),
            Some((run, seq)) => {
                let facts = self.store.journal().after(run, seq.saturating_sub(1), 1).await?;
                let run = self.store.runs().get(run).await?;
                let fact = facts.first().filter(|fact| fact.seq == *seq);
                run.zip(fact).and_then(|(run, fact)| {
                    message::of_fact(&run, fact, self.public_url.as_deref())
                })
            }
        };
        let Some(message) = message else { return Ok(None) };
        let body = serde_json::to_vec(&message).unwrap_or_default();
        let now = self.clock.now();
        let secrets = self.secrets(hook, now).await?;
        let at = now.as_second();
        let headers = BTreeMap::from([
            ("content-type".to_owned(), "application/json".to_owned()),
            ("webhook-id".to_owned(), row.message.clone()),
            ("webhook-timestamp".to_owned(), at.to_string()),
            ("webhook-signature".to_owned(), signatures(&secrets, &row.message, at, &body)),
        ]);
        Ok(Some(Ready { url: hook.url.clone(), headers, body }))
    }

    /// The secrets that are good now, the newest first: one at least.
    async fn secrets(&self, hook: &WebhookRow, now: Timestamp) -> Result<Vec<Secret>, Error> {
        let mut secrets = Vec::with_capacity(2);
        let both = hook.both_until.is_some_and(|until| now < until);
        let names = [Some(CURRENT), both.then_some(BEFORE)];
        for (name, keys) in names.into_iter().flatten().zip(self.keys.iter().cycle()) {
            let text = self.store.secrets().get(keys, &scope_of(&hook.id), name).await?;
            secrets.extend(text.and_then(|text| Secret::read(std::str::from_utf8(&text).ok()?)));
        }
        if secrets.is_empty() {
            let name = scope_of(&hook.id);
            return Err(Error::Secret(SecretError::Damaged { name }));
        }
        Ok(secrets)
    }
}
