//! Runners without processes: they speak the protocol as `plue-runner` does, store the same state,
//! and follow the text of a step (see the module `script`) in simulated time.
//!
//! Must not know the engine: only the messages of the protocol.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, PoisonError},
};

use plue_plan::{AttemptId, RunnerId};
use plue_runtime::{Clock, Tasks};
use plue_wire::runner::Fence;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::{mpsc, oneshot, watch},
};

use super::{life::Life, points::Points, stand::Stand};

/// An engine that listens for a runner.
pub(super) struct Listening {
    pub(super) token: String,
    pub(super) accept: oneshot::Sender<UnixStream>,
}

/// Orders to a runner from outside the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orders {
    /// Its connections so far shall break.
    pub(super) cuts: u64,
    /// Number of crashes with a restart.
    pub(super) deaths: u64,
    pub(super) discarded: bool,
}

/// Passes so many bytes on, then ends both connections, or keeps them without a word.
async fn relay(mut a: UnixStream, mut b: UnixStream, mut bytes: usize, then_silent: bool) {
    let (mut from_a, mut from_b) = (vec![0; 4_096], vec![0; 4_096]);
    while bytes > 0 {
        let passed = tokio::select! {
            read = a.read(&mut from_a) => {
                let read = read.unwrap_or(0).min(bytes);
                b.write_all(&from_a[..read]).await.map(|()| read)
            }
            read = b.read(&mut from_b) => {
                let read = read.unwrap_or(0).min(bytes);
                a.write_all(&from_b[..read]).await.map(|()| read)
            }
        };
        match passed {
            Ok(0) | Err(_) => return,
            Ok(passed) => bytes -= passed,
        }
    }
    if then_silent {
        std::future::pending::<()>().await;
    }
}

/// Behaviour of runners in addition to the scripts of their steps.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// The version of the protocol that they speak.
    pub protocol: u32,
    /// Microseconds that their clock is ahead.
    pub clock_ahead_us: i64,
    /// Their connections break after so many bytes.
    pub cut_every: Option<usize>,
    /// Their first connection falls silent after so many bytes, without an end.
    pub silent_after: Option<usize>,
    /// They are unreachable for discards, and continue.
    pub survive_discards: bool,
    /// They send the result of an attempt before any of its events.
    pub results_first: bool,
}

impl Default for Habits {
    fn default() -> Self {
        let protocol = plue_wire::runner::PROTOCOL;
        Self {
            protocol,
            clock_ahead_us: 0,
            cut_every: None,
            silent_after: None,
            survive_discards: false,
            results_first: false,
        }
    }
}

/// All runners of a world. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runners(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    points: Arc<Points>,
    engine: Mutex<Option<Stand>>,
    habits: Mutex<Habits>,
    clock: Clock,
    tasks: Tasks,
    runners: Mutex<HashMap<RunnerId, RunnerHandle>>,
    /// Number of starts of each fence.
    ran: Mutex<BTreeMap<(AttemptId, Fence), u32>>,
}

#[derive(Debug)]
struct RunnerHandle {
    listening: mpsc::Sender<Listening>,
    orders: watch::Sender<Orders>,
}

// === impl Runners ===

impl Runners {
    /// No runner yet: each is made at its first connection.
    #[must_use]
    pub fn new(points: Arc<Points>, clock: Clock, tasks: Tasks) -> Self {
        let (engine, runners, ran) = (Mutex::default(), Mutex::default(), Mutex::default());
        let habits = Mutex::default();
        Self(Arc::new(Shared { points, engine, habits, clock, tasks, runners, ran }))
    }

    pub(super) async fn arrive(&self, runner: &RunnerId, token: &str) -> io::Result<UnixStream> {
        let (accept, accepted) = oneshot::channel();
        let listening = Listening { token: token.to_owned(), accept };
        let heard = self.known(runner).send(listening).await.is_ok();
        match accepted.await {
            Ok(stream) if heard => Ok(stream),
            // It will never dial in again.
            Ok(_) | Err(_) => std::future::pending().await,
        }
    }

    fn known(&self, runner: &RunnerId) -> mpsc::Sender<Listening> {
        let mut runners = self.0.runners.lock().unwrap_or_else(PoisonError::into_inner);
        let known = runners.entry(runner.clone()).or_insert_with(|| {
            let (listening, engines) = mpsc::channel(16);
            let orders = watch::Sender::new(Orders { cuts: 0, deaths: 0, discarded: false });
            let life = Life::new(self.clone(), runner.clone(), orders.subscribe());
            self.0.tasks.spawn("scripted-runner", life.run(engines));
            RunnerHandle { listening, orders }
        });
        known.listening.clone()
    }

    /// The runner is killed with its steps, and started again on what it had written down.
    pub fn kill(&self, runner: &RunnerId) {
        self.order(runner, |orders| orders.deaths += 1);
    }

    /// Breaks every connection to the engine.
    pub fn cut_all(&self) {
        let runners = self.0.runners.lock().unwrap_or_else(PoisonError::into_inner);
        for known in runners.values() {
            known.orders.send_modify(|orders| orders.cuts += 1);
        }
    }

    /// The connection of one runner breaks.
    pub fn cut(&self, runner: &RunnerId) {
        self.order(runner, |orders| orders.cuts += 1);
    }

    pub(super) fn discard(&self, runner: &RunnerId) {
        if self.habits().survive_discards {
            return;
        }
        self.order(runner, |orders| orders.discarded = true);
        self.0.runners.lock().unwrap_or_else(PoisonError::into_inner).remove(runner);
    }

    fn order(&self, runner: &RunnerId, change: impl FnOnce(&mut Orders)) {
        let runners = self.0.runners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = runners.get(runner) {
            known.orders.send_modify(change);
        }
    }

    /// Runners that have not been discarded.
    #[must_use]
    pub fn left(&self) -> Vec<RunnerId> {
        let runners = self.0.runners.lock().unwrap_or_else(PoisonError::into_inner);
        runners.keys().cloned().collect()
    }

    /// Number of starts of each assignment.
    #[must_use]
    pub fn ran(&self) -> BTreeMap<(AttemptId, Fence), u32> {
        self.0.ran.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the behaviour from now on.
    pub fn accustom(&self, habits: Habits) {
        *self.0.habits.lock().unwrap_or_else(PoisonError::into_inner) = habits;
    }

    pub(super) fn habits(&self) -> Habits {
        *self.0.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream to a runner, as its habits have it.
    pub(super) fn relayed(&self, stream: UnixStream) -> io::Result<UnixStream> {
        let mut habits = self.habits();
        let (bytes, then_silent) = match (habits.cut_every, habits.silent_after.take()) {
            (_, Some(bytes)) => (bytes, true),
            (Some(bytes), None) => (bytes, false),
            (None, None) => return Ok(stream),
        };
        self.accustom(habits);
        let (theirs, inner) = UnixStream::pair()?;
        self.0.tasks.spawn("relay", relay(stream, inner, bytes, then_silent));
        Ok(theirs)
    }

    /// The engine that is there from now on.
    pub(super) fn belong_to(&self, engine: Stand) {
        *self.0.engine.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine);
    }

    pub(super) fn kill_engine(&self) {
        let engine = self.0.engine.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(engine) = engine {
            engine.die();
        }
    }

    pub(super) fn begins(&self, attempt: &AttemptId, fence: Fence) {
        let mut ran = self.0.ran.lock().unwrap_or_else(PoisonError::into_inner);
        *ran.entry((attempt.clone(), fence)).or_default() += 1;
    }

    /// Their time of day.
    pub(super) fn micros(&self) -> i64 {
        self.0.clock.now().as_microsecond() + self.habits().clock_ahead_us
    }

    pub(super) fn clock(&self) -> Clock {
        self.0.clock
    }

    pub(super) fn points(&self) -> Arc<Points> {
        self.0.points.clone()
    }
}
