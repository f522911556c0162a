//! A store whose calls can fail, and an engine that can crash: its later store calls are never
//! answered, and it accepts no connections.

use std::{
    any::Any,
    future::pending,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use plue_plan::RunnerId;
use plue_pool::dialed::{Arrival, Dial};
use plue_runtime::{Clock, Tasks};
use plue_store::probe::{Call, Probe, Verdict, answer_lost, connection_lost};
use tokio::sync::watch;

use super::{
    points::{Fault, FaultPoint, Points},
    runner::Runners,
};

/// Delay of a delayed call.
const DELAY: Duration = Duration::from_secs(2);

/// Fault injection between one engine and the world.
#[derive(Debug, Clone)]
pub struct Stand {
    points: Arc<Points>,
    clock: Clock,
    tasks: Tasks,
    runners: Runners,
    dead: watch::Sender<bool>,
    holds: Arc<Mutex<Vec<Weak<ClockHold>>>>,
    away: watch::Sender<bool>,
    still: watch::Sender<bool>,
}

/// Keeps the clock from being moved; see [`hold_the_clock`].
#[derive(Debug)]
pub struct ClockHold(Mutex<Option<SyncSender<()>>>);

// === impl ClockHold ===

impl ClockHold {
    fn release(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

// === impl Stand ===

impl Stand {
    /// An engine that lives.
    #[must_use]
    pub fn new(points: Arc<Points>, runners: Runners, clock: Clock, tasks: Tasks) -> Self {
        let (dead, holds) = (watch::Sender::new(false), Arc::default());
        let (away, still) = (watch::Sender::new(false), watch::Sender::new(false));
        let stand = Self { points, clock, tasks, runners, dead, holds, away, still };
        stand.runners.belong_to(stand.clone());
        stand
    }

    /// The database does not answer until [`Stand::comes_back`].
    pub fn goes_away(&self) {
        self.away.send_replace(true);
    }

    /// See [`Stand::goes_away`].
    pub fn comes_back(&self) {
        self.away.send_replace(false);
    }

    /// The engine stands still, as one that was sent SIGSTOP: its calls wait until [`Stand::continues`].
    pub fn stands_still(&self) {
        self.still.send_replace(true);
    }

    /// See [`Stand::stands_still`].
    pub fn continues(&self) {
        self.still.send_replace(false);
    }

    /// Waits until the engine has died.
    pub async fn died(&self) {
        let mut dead = self.dead.subscribe();
        let _sender_is_ours = dead.wait_for(|dead| *dead).await;
    }

    fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Crashes the engine: its connections break.
    pub fn die(&self) {
        self.dead.send_replace(true);
        let holds = std::mem::take(&mut *self.holds.lock().unwrap_or_else(PoisonError::into_inner));
        // Its calls never end; the clock goes on all the same.
        for hold in holds.iter().filter_map(Weak::upgrade) {
            hold.release();
        }
        self.runners.cut_all();
    }

    fn hold_the_clock(&self) -> Box<dyn Any + Send> {
        let hold = hold_the_clock(&self.tasks);
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        holds.retain(|hold| hold.strong_count() > 0);
        holds.push(Arc::downgrade(&hold));
        Box::new(hold)
    }

    async fn pass(&self, place: FaultPoint) -> Option<Fault> {
        if self.is_dead() {
            return pending().await;
        }
        let fault = self.points.pass(place);
        match fault {
            Some(Fault::EngineDies) => {
                self.die();
                pending().await
            }
            Some(Fault::Delayed) => self.clock.sleep(DELAY).await,
            Some(Fault::Fails | Fault::Duplicated | Fault::RunnerDies) | None => {}
        }
        fault
    }
}

/// A paused clock moves whenever nothing is to be done; while a database works, in a thread or a process of
/// its own, something is. The clock stands while the value lives.
#[must_use]
pub fn hold_the_clock(tasks: &Tasks) -> Arc<ClockHold> {
    let (sender, receiver) = sync_channel::<()>(0);
    tasks.spawn_blocking(move || {
        let _its_end = receiver.recv();
    });
    Arc::new(ClockHold(Mutex::new(Some(sender))))
}

impl Probe for Stand {
    fn before(&self, call: Call) -> Verdict<'_> {
        Box::pin(async move {
            let mut still = self.still.subscribe();
            let waited = still.wait_for(|still| !still).await.is_ok();
            debug_assert!(waited, "the sender is ours");
            let fault = self.pass(FaultPoint::Before(call.name)).await;
            if fault == Some(Fault::Fails) || *self.away.borrow() {
                return Err(connection_lost());
            }
            if self.is_dead() {
                return pending().await;
            }
            Ok(self.hold_the_clock())
        })
    }

    fn after(&self, call: Call) -> Verdict<'_> {
        Box::pin(async move {
            if self.is_dead() {
                return pending().await;
            }
            if call.writes && self.pass(FaultPoint::After(call.name)).await == Some(Fault::Fails) {
                return Err(answer_lost());
            }
            Ok(Box::new(()) as Box<dyn Any + Send>)
        })
    }
}

impl Dial for Stand {
    fn arrive(&self, runner: &RunnerId, token: &str) -> Arrival<'_> {
        let (runner, token) = (runner.clone(), token.to_owned());
        Box::pin(async move {
            tokio::select! {
                biased;
                // A call dropped here is never answered.
                () = self.died() => pending().await,
                stream = self.runners.arrive(&runner, &token) => stream,
            }
        })
    }

    fn discard(&self, runner: &RunnerId) {
        if !self.is_dead() {
            self.runners.discard(runner);
        }
    }
}
