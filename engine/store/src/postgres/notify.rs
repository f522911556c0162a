//! `NOTIFY` as a wake-up between engines: on a connection of its own, at most every
//! [`INTERVAL`], with the groups of runs that changed. It may be lost; whoever waits polls as well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use plue_runtime::{Clock, Tasks};
use sqlx::{PgPool, postgres::PgListener};
use tokio::sync::{Notify, watch};

use crate::changes::{Changes, Shards};

/// Time between two notifications of one engine.
const INTERVAL: Duration = Duration::from_millis(50);
/// Wait before a broken listener is made anew.
const RECONNECT: Duration = Duration::from_secs(1);
const CHANNEL: &str = "plue_changes";

/// The sending side. Its task ends when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Notifier(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Arc<State>,
    /// Its end tells the tasks to end.
    _alive: watch::Sender<()>,
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
        tasks.spawn(
            "postgres-notify",
            send(pool.clone(), clock, Arc::clone(&state), over.clone()),
        );
        tasks.spawn(
            "postgres-listen",
            listen(pool.clone(), clock, changes, over),
        );
        Self(Arc::new(Shared {
            state,
            _alive: alive,
        }))
    }

    pub(crate) fn tell(&self, shards: Shards) {
        if shards != Shards::NONE {
            self.0.state.shards.fetch_or(shards.0, Ordering::AcqRel);
            self.0.state.wake.notify_one();
        }
    }
}

async fn send(pool: PgPool, clock: Clock, state: Arc<State>, mut over: watch::Receiver<()>) {
    loop {
        tokio::select! {
            () = state.wake.notified() => {}
            _ = over.changed() => return,
            () = pool.close_event() => return,
        }
        let shards = state.shards.swap(0, Ordering::AcqRel);
        if shards == 0 {
            continue;
        }
        let payload = format!("{shards:x}");
        let sent = sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(payload)
            .execute(&pool)
            .await;
        if let Err(error) = sent {
            tracing::debug!(%error, "a notification was not sent; others will poll");
        }
        tokio::select! {
            () = clock.sleep(INTERVAL) => {}
            _ = over.changed() => return,
            () = pool.close_event() => return,
        }
    }
}

async fn listen(pool: PgPool, clock: Clock, changes: Changes, mut over: watch::Receiver<()>) {
    loop {
        let stopped = tokio::select! {
            () = pool.close_event() => return,
            _ = over.changed() => return,
            stopped = listen_once(&pool, &changes) => stopped,
        };
        if let Err(error) = stopped {
            tracing::debug!(%error, "the listening connection broke");
        }
        // What was missed meanwhile is unknown.
        changes.wake(Shards::ALL);
        tokio::select! {
            () = pool.close_event() => return,
            _ = over.changed() => return,
            () = clock.sleep(RECONNECT) => {}
        }
    }
}

async fn listen_once(pool: &PgPool, changes: &Changes) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.ignore_pool_close_event(true);
    listener.listen(CHANNEL).await?;
    while let Some(told) = listener.try_recv().await? {
        let shards = u64::from_str_radix(told.payload(), 16).unwrap_or(u64::MAX);
        changes.wake(Shards(shards));
    }
    Ok(())
}
