//! `NOTIFY` as a wake-up between engines: on a connection of its own, at most every [`INTERVAL`],
//! with the groups of runs that changed. It may be lost; waiters poll as well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use plue_runtime::{Clock, Ids, Tasks};
use sqlx::{PgPool, postgres::PgListener};
use tokio::sync::{Notify, watch};

use crate::changes::{Changes, Shards};

/// Time between two notifications of one engine.
const INTERVAL: Duration = Duration::from_millis(50);
/// Pause before a broken listener reconnects.
const RECONNECT: Duration = Duration::from_secs(1);
const CHANNEL: &str = "plue_changes";

/// The sending side. Its task ends when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Notifier(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Arc<State>,
    /// Its end ends the tasks.
    _alive: watch::Sender<()>,
}

#[derive(Clone)]
struct Wire {
    pool: PgPool,
    clock: Clock,
    /// Marks our own notifications, which wake no waiter a second time.
    from: String,
    over: watch::Receiver<()>,
}

#[derive(Debug, Default)]
struct State {
    shards: AtomicU64,
    wake: Notify,
}

// === impl Notifier ===

impl Notifier {
    pub(crate) fn start(pool: &PgPool, clock: Clock, tasks: &Tasks, changes: Changes) -> Self {
        let state = Arc::new(State::default());
        let (alive, over) = watch::channel(());
        let from = Ids::random().text();
        let wire = Wire { pool: pool.clone(), clock, from, over };
        tasks.spawn("postgres-notify", send(wire.clone(), Arc::clone(&state)));
        tasks.spawn("postgres-listen", listen(wire, changes));
        Self(Arc::new(Shared { state, _alive: alive }))
    }

    pub(crate) fn announce(&self, shards: Shards) {
        if shards != Shards::NONE {
            self.0.state.shards.fetch_or(shards.0, Ordering::AcqRel);
            self.0.state.wake.notify_one();
        }
    }
}

impl Wire {
    /// Waits; `true` if the store ends in that time.
    async fn ends_within(&mut self, wait: Duration) -> bool {
        tokio::select! {
            () = self.clock.sleep(wait) => false,
            _ = self.over.changed() => true,
            () = self.pool.close_event() => true,
        }
    }
}

async fn send(mut wire: Wire, state: Arc<State>) {
    loop {
        tokio::select! {
            () = state.wake.notified() => {}
            _ = wire.over.changed() => return,
            () = wire.pool.close_event() => return,
        }
        let shards = state.shards.swap(0, Ordering::AcqRel);
        if shards == 0 {
            continue;
        }
        let sent = sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(format!("{} {shards:x}", wire.from))
            .execute(&wire.pool)
            .await;
        if let Err(error) = sent {
            tracing::debug!(%error, "a notification was not sent; others will poll");
        }
        if wire.ends_within(INTERVAL).await {
            return;
        }
    }
}

async fn listen(mut wire: Wire, changes: Changes) {
    loop {
        let stopped = tokio::select! {
            () = wire.pool.close_event() => return,
            _ = wire.over.changed() => return,
            stopped = listen_once(&wire.pool, &wire.from, &changes) => stopped,
        };
        if let Err(error) = stopped {
            tracing::debug!(%error, "the listening connection broke");
        }
        // Notifications of the pause are lost: wake all.
        changes.wake(Shards::ALL);
        if wire.ends_within(RECONNECT).await {
            return;
        }
    }
}

async fn listen_once(pool: &PgPool, own: &str, changes: &Changes) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.ignore_pool_close_event(true);
    listener.listen(CHANNEL).await?;
    while let Some(notified) = listener.try_recv().await? {
        match notified.payload().split_once(' ') {
            Some((from, _)) if from == own => {}
            Some((_, shards)) => {
                changes.wake(Shards(u64::from_str_radix(shards, 16).unwrap_or(u64::MAX)));
            }
            None => changes.wake(Shards::ALL),
        }
    }
    Ok(())
}
