//! Order of deliveries, and the times at which failed ones are tried again.
//!
//! Repositories take turns, each for a moment. Each has at most one delivery in hand, the oldest that is
//! due, in a task of its own: a repository whose forge hangs or whose files take long delays itself. A
//! failure that may pass is tried again after growing pauses and has an end. Work that broke off three
//! times, because the process died, panicked or hung, is set aside.

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

use crate::{error::Error, intake::MAX_NOTE, pace::Look, server::Server};

/// Deliveries in hand at the same time, each of another repository.
const MAX_IN_HAND: usize = 8;
/// Of these, deliveries that have failed before: forges that hang leave places to the others.
const MAX_FAILED_IN_HAND: usize = 4;
/// A queue keeps its place for so long, and until the end of what it has in hand then.
const TURN: Duration = Duration::from_millis(250);
/// Work on a delivery that takes longer is broken off.
const WORK_WITHIN: Duration = Duration::from_secs(20 * 60);
/// Pause after the first failure; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Limit of the doubled pause, before it is varied by up to a quarter.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// Failures that may pass until a delivery fails: about a day.
const MAX_TRIES: u32 = 100;
/// Number of times that work breaks off until a delivery is set aside.
const MAX_BROKEN_OFF: u32 = 3;
/// Between two counts of what waits.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// Repositories with a gauge of their own; the others share one.
const MAX_GAUGES: usize = 20;
/// The label of the gauges.
const REPOSITORY: &str = "repository";
/// The gauge of the repositories that have none of their own.
const OTHERS: &str = "other";
/// A repository has a gauge of its own once a delivery has failed, or has waited or been in hand this
/// long.
const WAITS_LONG: SignedDuration = SignedDuration::from_secs(10);

/// Deliveries in hand, by queue.
type InHand = TaskSet<String, ()>;

/// Queues in hand, and the turns in which queues were served.
#[derive(Debug, Default)]
struct Turns {
    /// By queue in hand: whether the delivery had failed before.
    in_hand: HashMap<String, bool>,
    /// By queue: the turn in which it was served last.
    served: HashMap<String, u64>,
    turn: u64,
}

/// The gauges of what waits.
#[derive(Debug, Default)]
struct Gauges {
    repos: HashSet<String>,
    counted: Option<Mark>,
}

/// Outcome of work on a delivery.
enum End {
    Settled,
    /// A failure that may pass.
    Failed(Error),
    /// It panicked or took too long.
    BrokenOff(&'static str),
    /// The server stops, and releases the delivery.
    Stopped,
}

impl Server {
    /// Takes in deliveries until the server stops.
    pub(crate) async fn take_in(&self) {
        let beat = self.parts().watchdog.watch("take in deliveries");
        let mut changes = self.store().changes();
        let (mut turns, mut gauges) = (Turns::default(), Gauges::default());
        let mut in_hand = InHand::new(&self.parts().tasks, "delivery");
        loop {
            changes.borrow_and_update();
            beat.stage("claim deliveries");
            let look = Look::begin(self.parts().clock);
            if let Err(error) = self.fill(&mut turns, &mut in_hand).await {
                tracing::warn!(%error, "failed to claim deliveries; retrying");
            }
            self.count(&mut gauges).await;
            beat.idle();
            look.rest().await;
            tokio::select! {
                Some((queue, _)) = in_hand.next() => turns.end(&queue),
                goes_on = self.rest(&mut changes) => if !goes_on { break },
            }
        }
        // Each of them gives back what it has in hand.
        while in_hand.next().await.is_some() {}
    }

    /// Works on one delivery of each queue that has one, one after the other; how many were settled.
    ///
    /// # Errors
    /// The database.
    pub async fn take_in_once(&self) -> Result<usize, Error> {
        let mut settled = 0;
        for waiting in self.store().waiting_queues(self.parts().clock.now()).await? {
            if let Some(claimed) = self.claim(&waiting.queue).await? {
                settled += usize::from(self.clone().work_off(claimed).await);
            }
        }
        Ok(settled)
    }

    /// Begins work on what is due and for which there is a place.
    async fn fill(&self, turns: &mut Turns, in_hand: &mut InHand) -> Result<(), Error> {
        let waiting = self.store().waiting_queues(self.parts().clock.now()).await?;
        for waiting in turns.next(waiting) {
            let Some(claimed) = self.claim(&waiting.queue).await? else { continue };
            turns.begin(&waiting);
            let (server, queue) = (self.clone(), waiting.queue.clone());
            in_hand
                .spawn(waiting.queue, async move { server.work_off_some(&queue, claimed).await });
        }
        Ok(())
    }

    async fn claim(&self, queue: &str) -> Result<Option<ClaimedDelivery>, Error> {
        let parts = self.parts();
        let engine = match self.store().is_shared() {
            true => Some(parts.engine.id().await?),
            false => None,
        };
        let now = parts.clock.now();
        Ok(self.store().claim_delivery(queue, engine.as_deref(), now).await?)
    }

    /// Works on a delivery, and on those behind it while its turn lasts: a thousand comments, each of
    /// which takes a moment, would otherwise wait for a thousand looks at all queues.
    async fn work_off_some(self, queue: &str, claimed: ClaimedDelivery) {
        let clock = self.parts().clock;
        let begun = clock.mark();
        let mut next = Some(claimed);
        while let Some(claimed) = next.take() {
            let is_settled = self.clone().work_off(claimed).await;
            if !is_settled || clock.elapsed(begun) >= TURN {
                return;
            }
            next = match self.claim(queue).await {
                Ok(claimed) => claimed,
                // The loop claims next, and logs the error if it stays.
                Err(_) => return,
            };
        }
    }

    /// Works on a delivery and records how that ended; whether it is settled.
    async fn work_off(self, claimed: ClaimedDelivery) -> bool {
        let claimed = Arc::new(claimed);
        let end = match claimed.begun > MAX_BROKEN_OFF {
            true => End::BrokenOff("the process died"),
            false => self.watched(&claimed).await,
        };
        // A delivery that is not recorded would stay in hand.
        loop {
            let recorded = self.record(&claimed, &end).await;
            let Err(error) = recorded else { return matches!(end, End::Settled) };
            tracing::warn!(%error, delivery = claimed.row.id, "failed to record a delivery; retrying");
            let parts = self.parts();
            tokio::select! {
                () = parts.clock.sleep(FIRST_PAUSE) => {}
                () = parts.stop.reached(Phase::Draining) => return false,
            }
        }
    }

    /// Works on a delivery in a task of its own, so that a panic or a standstill ends nothing else.
    async fn watched(&self, claimed: &Arc<ClaimedDelivery>) -> End {
        let parts = self.parts();
        let beat = parts.watchdog.task("delivery", claimed.row.id.as_str());
        beat.outside("work on a delivery");
        let (server, delivery) = (self.clone(), Arc::clone(claimed));
        let work = async move { server.settle(&delivery).await };
        // Dropped, it is aborted.
        let mut work = parts.tasks.owned("intake", work);
        tokio::select! {
            worked = work.ended() => match worked {
                Ok(Ok(())) => End::Settled,
                Ok(Err(error)) => End::Failed(error),
                Err(TaskFailure::Panicked) => End::BrokenOff("the work panicked"),
                Err(TaskFailure::Aborted) => End::Stopped,
            },
            () = parts.clock.sleep(WORK_WITHIN) => End::BrokenOff("the work took too long"),
            () = parts.stop.reached(Phase::Draining) => End::Stopped,
        }
    }

    async fn record(&self, claimed: &ClaimedDelivery, end: &End) -> Result<(), Error> {
        let (store, row) = (self.store(), &claimed.row);
        match end {
            End::Settled => {}
            End::Stopped => store.release_delivery(claimed).await?,
            End::BrokenOff(why) if claimed.begun >= MAX_BROKEN_OFF => {
                let note = format!(
                    "set aside: work on it broke off {MAX_BROKEN_OFF} times, the last time because \
                     {why}; `plue event retry` tries it again"
                );
                tracing::warn!(delivery = row.id, forge = row.forge, why, "set a delivery aside");
                store.settle_delivery(claimed, DeliveryState::Failed, &note).await?;
            }
            End::BrokenOff(why) => {
                let next_at = self.after(claimed.begun);
                let note = format!("{why}; it is tried again");
                tracing::warn!(delivery = row.id, forge = row.forge, why, "a delivery is retried");
                store.put_off_delivery(claimed, next_at, &note).await?;
            }
            End::Failed(error) => self.record_failure(claimed, error).await?,
        }
        Ok(())
    }

    async fn record_failure(&self, claimed: &ClaimedDelivery, error: &Error) -> Result<(), Error> {
        let (store, row) = (self.store(), &claimed.row);
        let tries = claimed.tries.saturating_add(1);
        let why: String = error.to_string().chars().take(MAX_NOTE).collect();
        if tries >= MAX_TRIES {
            let note = format!("gave up after {tries} tries: {why}");
            tracing::warn!(delivery = row.id, forge = row.forge, %error, "gave up a delivery");
            return Ok(store.settle_delivery(claimed, DeliveryState::Failed, &note).await?);
        }
        let next_at = self.after(tries);
        tracing::warn!(
            delivery = row.id, forge = row.forge, %error, tries, %next_at,
            "failed to work on a delivery; retrying"
        );
        store.defer_delivery(claimed, next_at, &format!("try {tries} failed: {why}")).await?;
        // Other deliveries from the same forge would fail alike, each after the same wait.
        if matches!(error, Error::Git(error) if error.is_unreachable()) {
            store.defer_queue(&row.forge, &claimed.queue, next_at).await?;
        }
        Ok(())
    }

    /// The time of the next try after `tries` tries.
    fn after(&self, tries: u32) -> Timestamp {
        let parts = self.parts();
        let pause = pause(tries, &parts.ids);
        let now = parts.clock.now();
        now.checked_add(pause).unwrap_or(now)
    }

    /// Sets the gauges of what waits, now and then.
    async fn count(&self, gauges: &mut Gauges) {
        let clock = self.parts().clock;
        if gauges.counted.is_some_and(|mark| clock.elapsed(mark) < COUNT_EVERY) {
            return;
        }
        gauges.counted = Some(clock.mark());
        match self.store().backlogs().await {
            Ok(backlogs) => gauges.set(&backlogs, clock.now()),
            Err(error) => tracing::warn!(%error, "failed to count deliveries; retrying"),
        }
    }
}

/// Pauses double up to the longest one; each is up to a quarter shorter or longer, so that what failed
/// together is not tried together.
fn pause(tries: u32, ids: &Ids) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(16));
    let whole = doubled.min(LONGEST_PAUSE);
    let share = f64::from(ids.number().get()) / f64::from(u32::MAX);
    whole.mul_f64(0.75 + share / 2.0)
}

// === impl Turns ===

impl Turns {
    /// The queues that are served next: those that were not served for the longest time, the oldest
    /// delivery first, as many as there are places.
    fn next(&mut self, waiting: Vec<WaitingQueue>) -> Vec<WaitingQueue> {
        let is_waiting: HashSet<&str> = waiting.iter().map(|one| one.queue.as_str()).collect();
        let in_hand = &self.in_hand;
        // The turn of a queue without work is irrelevant.
        self.served
            .retain(|queue, _| is_waiting.contains(queue.as_str()) || in_hand.contains_key(queue));
        let mut free: Vec<WaitingQueue> =
            waiting.into_iter().filter(|one| !in_hand.contains_key(&one.queue)).collect();
        let turn = |one: &WaitingQueue| self.served.get(&one.queue).copied().unwrap_or(0);
        free.sort_by_key(|one| (turn(one), one.oldest));
        let mut room = MAX_IN_HAND.saturating_sub(in_hand.len());
        let failed = in_hand.values().filter(|failed| **failed).count();
        let mut failed_room = MAX_FAILED_IN_HAND.saturating_sub(failed);
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
        self.in_hand.remove(queue);
    }

    fn begin(&mut self, waiting: &WaitingQueue) {
        self.turn += 1;
        self.served.insert(waiting.queue.clone(), self.turn);
        self.in_hand.insert(waiting.queue.clone(), waiting.has_failed);
    }
}

// === impl Gauges ===

impl Gauges {
    fn set(&mut self, backlogs: &[Backlog], now: Timestamp) {
        let age = |one: &Backlog| now.duration_since(one.oldest);
        for one in backlogs {
            let is_named = one.has_failed || age(one) >= WAITS_LONG;
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
        all.extend((0..MAX_IN_HAND).map(|n| waiting(&format!("h{n}"), 10 + n as i64, false)));
        let first = serve(&mut turns, &all);
        assert_eq!((first.len(), first[0].as_str()), (MAX_IN_HAND, "flood"));
        assert_eq!(serve(&mut turns, &all), [""; 0], "each has one in hand, and no place is left");
        turns.end("flood");
        assert_eq!(serve(&mut turns, &all), [format!("h{}", MAX_IN_HAND - 1)]);
        turns.end("h0");
        assert_eq!(serve(&mut turns, &all), ["flood"], "it was served before h0");
    }

    #[test]
    fn failing_repositories_leave_places_to_others() {
        let mut turns = Turns::default();
        let mut all: Vec<_> = (0..20).map(|n| waiting(&format!("f{n}"), n, true)).collect();
        assert_eq!(serve(&mut turns, &all).len(), MAX_FAILED_IN_HAND);
        all.push(waiting("honest", 99, false));
        assert_eq!(serve(&mut turns, &all), ["honest"]);
    }

    #[test]
    fn failed_and_slow_repositories_have_gauges_of_their_own() {
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
