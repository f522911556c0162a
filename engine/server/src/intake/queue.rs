//! The queues of deliveries, one for each repository, and the retries of failed ones.
//!
//! Repositories take turns. Each has at most one delivery in progress, the oldest that is due, in a task of
//! its own, so that a slow forge or repository delays only itself. Transient failures are retried with
//! growing pauses up to a limit. A delivery whose work was interrupted three times by a crash, a panic or a
//! timeout is set aside.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use plue_runtime::{
    Ids, Phase, TaskFailure, TaskSet,
    clock::Mark,
    metrics::names::{DELIVERIES_OLDEST, DELIVERIES_WAITING},
};
use plue_store::{
    DeliveryState,
    delivery::{Backlog, ClaimedDelivery, WaitingQueue},
};

use super::{Intake, MAX_NOTE};
use crate::{error::Error, pace::Look, process::SupervisedLoop};

/// Deliveries in progress, each of another repository.
const MAX_IN_PROGRESS: usize = 8;
/// Of these, deliveries that have failed before; the other places stay free of unreachable forges.
const MAX_FAILED_IN_PROGRESS: usize = 4;
/// Time slice of a queue; the delivery in progress at its end is finished.
const TURN: Duration = Duration::from_millis(250);
/// Timeout of the work on a delivery.
const WORK_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// Pause after the first failure; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Limit of the doubled pause, before it is varied by up to a quarter.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// Transient failures until a delivery fails: about a day.
const MAX_TRIES: u32 = 100;
/// Interruptions until a delivery is set aside.
const MAX_INTERRUPTIONS: u32 = 3;
/// Period of the gauges.
const GAUGE_PERIOD: Duration = Duration::from_secs(5);
/// Repositories with a gauge of their own; the others share one.
const MAX_GAUGES: usize = 20;
/// Label of the gauges.
const REPOSITORY: &str = "repository";
/// Label value of the repositories without a gauge of their own.
const OTHERS: &str = "other";
/// Waiting time from which on a repository gets a gauge of its own; a failed delivery gives one at once.
const LONG_WAIT: SignedDuration = SignedDuration::from_secs(10);

/// Deliveries in progress, by queue.
type InProgress = TaskSet<String, ()>;

/// Queues with a delivery in progress, and the last turn of each queue.
#[derive(Debug, Default)]
struct Turns {
    /// For each queue with a delivery in progress: whether the delivery has failed before.
    in_progress: HashMap<String, bool>,
    /// The last turn of each queue.
    served: HashMap<String, u64>,
    turn: u64,
}

/// Gauges of waiting deliveries.
#[derive(Debug, Default)]
struct Gauges {
    repos: HashSet<String>,
    counted: Option<Mark>,
}

/// End of the work on a delivery.
enum End {
    Settled,
    /// A transient failure: the delivery is tried again.
    Failed(Error),
    /// A panic or a timeout.
    Interrupted(&'static str),
    /// The server stops and releases the delivery.
    Stopped,
}

// === impl Intake ===

impl Intake {
    /// Works on deliveries until the server stops.
    pub(crate) async fn run(&self) {
        let intake = self.clone();
        let serve = SupervisedLoop::new("intake", move || {
            let intake = intake.clone();
            async move { intake.serve_queues().await }
        });
        self.process.supervise(vec![serve]).await;
    }

    async fn serve_queues(&self) {
        let beat = self.process.watchdog.watch("take in deliveries");
        let mut changes = self.store.changes();
        let (mut turns, mut gauges) = (Turns::default(), Gauges::default());
        let mut in_progress = InProgress::new(&self.process.tasks, "delivery");
        loop {
            changes.borrow_and_update();
            beat.stage("claim deliveries");
            let look = Look::begin(self.process.clock);
            if let Err(error) = self.fill(&mut turns, &mut in_progress).await {
                tracing::warn!(%error, "failed to claim deliveries; retrying");
            }
            self.count(&mut gauges).await;
            beat.idle();
            look.rest().await;
            tokio::select! {
                Some((queue, _)) = in_progress.next() => turns.end(&queue),
                continues = self.process.wait_for_change(&mut changes) => if !continues { break },
            }
        }
        // Each task releases its delivery.
        while in_progress.next().await.is_some() {}
    }

    /// Works on one delivery of each queue that has one; returns the number of settled deliveries.
    ///
    /// # Errors
    /// The database.
    pub(crate) async fn run_once(&self) -> Result<usize, Error> {
        let mut settled = 0;
        for waiting in self.store.delivery_queues().waiting(self.process.clock.now()).await? {
            if let Some(claimed) = self.claim(&waiting.queue).await? {
                settled += usize::from(self.clone().work_off(claimed).await);
            }
        }
        Ok(settled)
    }

    /// Starts work on due deliveries up to the limit.
    async fn fill(&self, turns: &mut Turns, in_progress: &mut InProgress) -> Result<(), Error> {
        let waiting = self.store.delivery_queues().waiting(self.process.clock.now()).await?;
        for waiting in turns.next(waiting) {
            let Some(claimed) = self.claim(&waiting.queue).await? else { continue };
            turns.begin(&waiting);
            let (intake, queue) = (self.clone(), waiting.queue.clone());
            in_progress.spawn(waiting.queue, async move {
                Box::pin(intake.work_off_queue(&queue, claimed)).await
            });
        }
        Ok(())
    }

    async fn claim(&self, queue: &str) -> Result<Option<ClaimedDelivery>, Error> {
        let engine = match self.store.is_shared() {
            true => Some(self.engine.id().await?),
            false => None,
        };
        let now = self.process.clock.now();
        Ok(self.store.delivery_queues().claim(queue, engine.as_deref(), now).await?)
    }

    /// Works on a delivery and on the next ones of its queue for one [`TURN`], so that many cheap deliveries
    /// share one look at all queues.
    async fn work_off_queue(self, queue: &str, claimed: ClaimedDelivery) {
        let clock = self.process.clock;
        let started_at = clock.mark();
        let mut next = Some(claimed);
        while let Some(claimed) = next.take() {
            let is_settled = self.clone().work_off(claimed).await;
            if !is_settled || clock.elapsed(started_at) >= TURN {
                return;
            }
            next = match self.claim(queue).await {
                Ok(claimed) => claimed,
                // The loop claims next and logs a lasting error.
                Err(_) => return,
            };
        }
    }

    /// Works on a delivery and records the end; returns whether the delivery is settled.
    async fn work_off(self, claimed: ClaimedDelivery) -> bool {
        let claimed = Arc::new(claimed);
        let end = match claimed.begun > MAX_INTERRUPTIONS {
            true => End::Interrupted("the process died"),
            false => self.work_in_task(&claimed).await,
        };
        // An unrecorded delivery would stay claimed.
        loop {
            let recorded = self.record(&claimed, &end).await;
            let Err(error) = recorded else { return matches!(end, End::Settled) };
            tracing::warn!(%error, delivery = claimed.row.id, "failed to record a delivery; retrying");
            tokio::select! {
                () = self.process.clock.sleep(FIRST_PAUSE) => {}
                () = self.process.stop.reached(Phase::Draining) => return false,
            }
        }
    }

    /// Works on a delivery in a task of its own, so that a panic or a hang affects nothing else.
    async fn work_in_task(&self, claimed: &Arc<ClaimedDelivery>) -> End {
        let process = &self.process;
        let beat = process.watchdog.task("delivery", claimed.row.id.as_str());
        beat.outside("work on a delivery");
        let (intake, delivery) = (self.clone(), Arc::clone(claimed));
        let work = async move { intake.settle(&delivery).await };
        // A dropped task is aborted.
        let mut work = process.tasks.owned("intake", work);
        tokio::select! {
            worked = work.ended() => match worked {
                Ok(Ok(())) => End::Settled,
                Ok(Err(error)) => End::Failed(error),
                Err(TaskFailure::Panicked) => End::Interrupted("the work panicked"),
                Err(TaskFailure::Aborted) => End::Stopped,
            },
            () = process.clock.sleep(WORK_TIMEOUT) => End::Interrupted("the work took too long"),
            () = process.stop.reached(Phase::Draining) => End::Stopped,
        }
    }

    async fn record(&self, claimed: &ClaimedDelivery, end: &End) -> Result<(), Error> {
        let (store, row) = (&self.store, &claimed.row);
        match end {
            End::Settled => {}
            End::Stopped => store.delivery_queues().release(claimed).await?,
            End::Interrupted(why) if claimed.begun >= MAX_INTERRUPTIONS => {
                let note = format!(
                    "set aside: work on it broke off {MAX_INTERRUPTIONS} times, the last time because \
                     {why}; `plue event retry` tries it again"
                );
                tracing::warn!(delivery = row.id, forge = row.forge, why, "set a delivery aside");
                store.deliveries().settle_one(claimed, DeliveryState::Failed, &note).await?;
            }
            End::Interrupted(why) => {
                let next_at = self.retry_at(claimed.begun);
                let note = format!("{why}; it is tried again");
                tracing::warn!(delivery = row.id, forge = row.forge, why, "a delivery is retried");
                store.delivery_queues().put_off(claimed, next_at, &note).await?;
            }
            End::Failed(error) => self.record_failure(claimed, error).await?,
        }
        Ok(())
    }

    async fn record_failure(&self, claimed: &ClaimedDelivery, error: &Error) -> Result<(), Error> {
        let (store, row) = (&self.store, &claimed.row);
        let tries = claimed.tries.saturating_add(1);
        let why: String = error.to_string().chars().take(MAX_NOTE).collect();
        if tries >= MAX_TRIES {
            let note = format!("gave up after {tries} tries: {why}");
            tracing::warn!(delivery = row.id, forge = row.forge, %error, "gave up a delivery");
            return Ok(store
                .deliveries()
                .settle_one(claimed, DeliveryState::Failed, &note)
                .await?);
        }
        let next_at = self.retry_at(tries);
        tracing::warn!(
            delivery = row.id, forge = row.forge, %error, tries, %next_at,
            "failed to work on a delivery; retrying"
        );
        store
            .delivery_queues()
            .defer(claimed, next_at, &format!("try {tries} failed: {why}"))
            .await?;
        // Other deliveries of the same forge would fail after the same timeout.
        if matches!(error, Error::Git(error) if error.is_unreachable()) {
            store.delivery_queues().defer_queue(&row.forge, &claimed.queue, next_at).await?;
        }
        Ok(())
    }

    /// The time of the next try after `tries` tries.
    fn retry_at(&self, tries: u32) -> Timestamp {
        let pause = pause(tries, &self.process.ids);
        let now = self.process.clock.now();
        now.checked_add(pause).unwrap_or(now)
    }

    /// Sets the gauges once per [`GAUGE_PERIOD`].
    async fn count(&self, gauges: &mut Gauges) {
        let clock = self.process.clock;
        if gauges.counted.is_some_and(|mark| clock.elapsed(mark) < GAUGE_PERIOD) {
            return;
        }
        gauges.counted = Some(clock.mark());
        match self.store.delivery_queues().backlogs().await {
            Ok(backlogs) => gauges.set(&backlogs, clock.now()),
            Err(error) => tracing::warn!(%error, "failed to count deliveries; retrying"),
        }
    }
}

/// Exponential backoff with a jitter of a quarter.
fn pause(tries: u32, ids: &Ids) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(16));
    let whole = doubled.min(LONGEST_PAUSE);
    let share = f64::from(ids.number().get()) / f64::from(u32::MAX);
    whole.mul_f64(0.75 + share / 2.0)
}

// === impl Turns ===

impl Turns {
    /// The queues to serve next, least recently served first, up to the free places; ties go to the oldest
    /// delivery.
    fn next(&mut self, waiting: Vec<WaitingQueue>) -> Vec<WaitingQueue> {
        let is_waiting: HashSet<&str> = waiting.iter().map(|one| one.queue.as_str()).collect();
        let in_progress = &self.in_progress;
        // Queues without work need no turn.
        self.served.retain(|queue, _| {
            is_waiting.contains(queue.as_str()) || in_progress.contains_key(queue)
        });
        let mut free: Vec<WaitingQueue> =
            waiting.into_iter().filter(|one| !in_progress.contains_key(&one.queue)).collect();
        let turn = |one: &WaitingQueue| self.served.get(&one.queue).copied().unwrap_or(0);
        free.sort_by_key(|one| (turn(one), one.oldest));
        let mut room = MAX_IN_PROGRESS.saturating_sub(in_progress.len());
        let failed = in_progress.values().filter(|failed| **failed).count();
        let mut failed_room = MAX_FAILED_IN_PROGRESS.saturating_sub(failed);
        free.retain(|one| {
            if room == 0 || (one.has_failed && failed_room == 0) {
                return false;
            }
            room -= 1;
            failed_room -= usize::from(one.has_failed);
            true
        });
        free
    }

    fn end(&mut self, queue: &str) {
        self.in_progress.remove(queue);
    }

    fn begin(&mut self, waiting: &WaitingQueue) {
        self.turn += 1;
        self.served.insert(waiting.queue.clone(), self.turn);
        self.in_progress.insert(waiting.queue.clone(), waiting.has_failed);
    }
}

// === impl Gauges ===

impl Gauges {
    fn set(&mut self, backlogs: &[Backlog], now: Timestamp) {
        let age = |one: &Backlog| now.duration_since(one.oldest);
        for one in backlogs {
            let is_named = one.has_failed || age(one) >= LONG_WAIT;
            if is_named && self.repos.len() < MAX_GAUGES {
                self.repos.insert(one.repo.clone());
            }
        }
        let (own, others): (Vec<_>, Vec<_>) =
            backlogs.iter().partition(|one| self.repos.contains(&one.repo));
        let record = |repo: &str, waiting: u64, oldest: SignedDuration| {
            DELIVERIES_WAITING.set_of(waiting as f64, REPOSITORY, repo);
            DELIVERIES_OLDEST.set_of(oldest.as_secs_f64().max(0.0), REPOSITORY, repo);
        };
        for repo in &self.repos {
            let found = own.iter().find(|one| one.repo == *repo);
            record(
                repo,
                found.map_or(0, |one| one.waiting),
                found.map_or(SignedDuration::ZERO, |one| age(one)),
            );
        }
        let oldest = others.iter().map(|one| age(one)).max().unwrap_or(SignedDuration::ZERO);
        record(OTHERS, others.iter().map(|one| one.waiting).sum(), oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(queue: &str, oldest: i64, has_failed: bool) -> WaitingQueue {
        let oldest = Timestamp::from_second(oldest).unwrap();
        WaitingQueue { queue: queue.to_owned(), oldest, has_failed }
    }

    fn serve(turns: &mut Turns, all: &[WaitingQueue]) -> Vec<String> {
        let next = turns.next(all.to_vec());
        next.iter().for_each(|one| turns.begin(one));
        next.into_iter().map(|one| one.queue).collect()
    }

    #[test]
    fn repositories_take_turns() {
        let mut turns = Turns::default();
        // One with an old backlog, and more others than there are places.
        let mut all = vec![waiting("flood", 0, false)];
        all.extend((0..MAX_IN_PROGRESS).map(|n| waiting(&format!("h{n}"), 10 + n as i64, false)));
        let first = serve(&mut turns, &all);
        assert_eq!((first.len(), first[0].as_str()), (MAX_IN_PROGRESS, "flood"));
        assert_eq!(
            serve(&mut turns, &all),
            [""; 0],
            "each has one in progress, and no place is left"
        );
        turns.end("flood");
        assert_eq!(serve(&mut turns, &all), [format!("h{}", MAX_IN_PROGRESS - 1)]);
        turns.end("h0");
        assert_eq!(serve(&mut turns, &all), ["flood"], "it was served before h0");
    }

    #[test]
    fn failing_repositories_leave_places_to_others() {
        let mut turns = Turns::default();
        let mut all: Vec<_> = (0..20).map(|n| waiting(&format!("f{n}"), n, true)).collect();
        assert_eq!(serve(&mut turns, &all).len(), MAX_FAILED_IN_PROGRESS);
        all.push(waiting("honest", 99, false));
        assert_eq!(serve(&mut turns, &all), ["honest"]);
    }

    #[test]
    fn failed_and_slow_repositories_have_own_gauges() {
        let now = Timestamp::from_second(100).unwrap();
        let backlog = |repo: &str, since: i64, has_failed| Backlog {
            repo: repo.to_owned(),
            waiting: 1,
            oldest: Timestamp::from_second(since).unwrap(),
            has_failed,
        };
        let mut gauges = Gauges::default();
        gauges.set(
            &[backlog("new", 95, false), backlog("failed", 99, true), backlog("hung", 90, false)],
            now,
        );
        let mut named: Vec<_> = gauges.repos.iter().map(String::as_str).collect();
        named.sort_unstable();
        assert_eq!(named, ["failed", "hung"]);
    }

    #[test]
    fn pauses_grow_to_a_cap() {
        let ids = Ids::random();
        for (tries, seconds) in [(1, 5.0), (2, 10.0), (5, 80.0), (9, 900.0), (u32::MAX, 900.0)] {
            let pause = pause(tries, &ids).as_secs_f64();
            assert!((0.75 * seconds..=1.25 * seconds).contains(&pause), "{tries}: {pause}");
        }
    }
}
