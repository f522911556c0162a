//! One poller per followed resource, shared by all subscribers.
//!
//! It holds the newest events, up to a bound, for subscribers that are up to date. Must not exceed that
//! bound, or continue without a subscriber.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use plue_runtime::{Clock, Phase, Stop};
use plue_store::LivePieces;
use tokio::sync::watch;

use super::{Follow, Frame, Live, Source};
use crate::server::Api;

/// Bytes of events that are kept for those who follow; one event may be longer.
const KEPT_BYTES: usize = 128 * 1024;

/// Everything that is followed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub(Arc<Mutex<HashMap<String, watch::Sender<View>>>>);

/// The newest events of something.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Events with numbers up to this one are not held; none before the first poll.
    behind: Option<u64>,
    frames: VecDeque<Frame>,
    bytes: usize,
    over: Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Over {
    #[default]
    No,
    Ended,
    Failed,
}

/// Events behind a number.
#[derive(Debug)]
pub(crate) enum Events {
    /// Events that are held.
    Frames(Vec<Frame>),
    /// Perhaps something that is not kept, up to this number.
    Older(u64),
    /// The first poll has not ended.
    Unknown,
    /// No event yet; more may come.
    Nothing,
    /// Nothing, and nothing will come.
    Ended,
    /// The poller has failed.
    Failed,
}

/// Result of one poll.
struct Look {
    frames: Vec<Frame>,
    reach: u64,
    /// More can be read at once.
    more: bool,
    over: Over,
}

/// The task that looks.
struct Watcher {
    hub: Hub,
    name: String,
    source: Arc<dyn Source>,
    changes: watch::Receiver<u64>,
    view: watch::Sender<View>,
    heartbeat: Duration,
    clock: Clock,
    stop: Stop,
}

// === impl Hub ===

impl Hub {
    /// The view of something; the first who asks for it starts the task that looks.
    pub(crate) fn follow(&self, api: &Api, follow: Follow) -> watch::Receiver<View> {
        let mut all = self.lock();
        if let Some(view) = all.get(&follow.name) {
            return view.subscribe();
        }
        let (view, receiver) = watch::channel(View::default());
        all.insert(follow.name.clone(), view.clone());
        drop(all);
        let watcher = Watcher {
            hub: self.clone(),
            name: follow.name,
            source: follow.source,
            changes: follow.changes,
            view,
            heartbeat: api.limits().heartbeat,
            clock: api.clock(),
            stop: api.stop(),
        };
        drop(api.tasks().spawn("followed", watcher.run()));
        receiver
    }

    /// Things that are followed.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().len()
    }

    /// Removes a resource without subscribers; returns whether it did.
    fn abandon(&self, name: &str) -> bool {
        let mut all = self.lock();
        let alone = all.get(name).is_none_or(|view| view.receiver_count() == 0);
        if alone {
            all.remove(name);
        }
        alone
    }

    /// Later subscribers start a new poller.
    fn forget(&self, name: &str, view: &watch::Sender<View>) {
        let mut all = self.lock();
        if all.get(name).is_some_and(|known| known.same_channel(view)) {
            all.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<View>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl View ===

impl View {
    pub(crate) fn seen(&self, cursor: u64) -> Events {
        let Some(behind) = self.behind else {
            return if self.over == Over::Failed { Events::Failed } else { Events::Unknown };
        };
        if cursor < behind {
            return Events::Older(behind);
        }
        let from = self.frames.partition_point(|frame| frame.seq <= cursor);
        if from < self.frames.len() {
            return Events::Frames(self.frames.range(from..).cloned().collect());
        }
        match self.over {
            Over::No => Events::Nothing,
            Over::Ended => Events::Ended,
            Over::Failed => Events::Failed,
        }
    }

    /// Adds the result of a poll; returns whether it holds news.
    fn take(&mut self, look: Look) -> bool {
        let news = self.behind.is_none() || !look.frames.is_empty() || look.over != Over::No;
        self.behind.get_or_insert(look.reach);
        self.over = look.over;
        for frame in look.frames {
            self.bytes += frame.bytes.len();
            self.frames.push_back(frame);
        }
        while self.bytes > KEPT_BYTES && self.frames.len() > 1 {
            if let Some(frame) = self.frames.pop_front() {
                self.bytes -= frame.bytes.len();
                self.behind = Some(frame.seq);
            }
        }
        news
    }
}

// === impl Watcher ===

impl Watcher {
    async fn run(mut self) {
        let (mut reach, mut live) = (None, None);
        loop {
            // Before the look: what is committed after it wakes the wait below.
            self.changes.borrow_and_update();
            live = live.or_else(|| self.source.live());
            let shown = look_live(live.as_mut(), reach);
            let is_shown = shown.is_some();
            let looked = match shown {
                Some(look) => Ok(look),
                None => look(&*self.source, reach).await,
            };
            let look = match looked {
                Ok(look) => look,
                Err(error) => {
                    tracing::error!(%error, "streams end: the database refused");
                    let reach = reach.unwrap_or(0);
                    Look { frames: Vec::new(), reach, more: false, over: Over::Failed }
                }
            };
            // An open log may have more than the database, which does not wake this task then.
            let has_moved = reach != Some(look.reach);
            reach = Some(look.reach);
            live = live.filter(|live| !live.reader.is_over());
            let again = !is_shown && has_moved && live.is_some();
            let (more, over) = (look.more, look.over != Over::No);
            if over {
                self.hub.forget(&self.name, &self.view);
            }
            self.view.send_if_modified(|view| view.take(look));
            if over {
                return;
            }
            if !(more || again || self.wait(live.as_mut()).await) {
                return;
            }
        }
    }

    /// Waits until there is a reason to look; `false`: there will be none.
    async fn wait(&mut self, live: Option<&mut Live>) -> bool {
        let heartbeat = self.clock.sleep(self.heartbeat);
        // Each commit of an open log would wake all who follow logs of the run.
        let is_live = live.is_some();
        let shown = async {
            match live {
                Some(live) => live.reader.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shown => true,
            () = self.stop.reached(Phase::Draining) => false,
            () = self.view.closed() => !self.hub.abandon(&self.name),
            Ok(()) = self.changes.changed(), if !is_live => true,
            () = heartbeat => true,
        }
    }
}

impl Drop for Watcher {
    /// However its task ends: a view without a poller takes no new subscribers.
    fn drop(&mut self) {
        self.hub.forget(&self.name, &self.view);
    }
}

/// Pieces of an open log behind those that were read; none: the database is to be asked.
fn look_live(live: Option<&mut Live>, reach: Option<u64>) -> Option<Look> {
    let (live, from) = (live?, reach?);
    let LivePieces::Shown(pieces) = live.reader.behind(from) else { return None };
    let frames: Vec<Frame> = pieces.into_iter().map(live.frame).collect();
    let reach = frames.last().map_or(from, |last| last.seq);
    Some(Look { frames, reach, more: false, over: Over::No })
}

/// Looks how far something has come, and reads some of what is new.
async fn look(source: &dyn Source, reach: Option<u64>) -> Result<Look, plue_store::Error> {
    let nothing = |reach, over| Look { frames: Vec::new(), reach, more: false, over };
    let Some(stand) = source.stand().await? else {
        return Ok(nothing(reach.unwrap_or(0), Over::Ended));
    };
    let end = if stand.ended { Over::Ended } else { Over::No };
    let Some(from) = reach else { return Ok(nothing(stand.reach, end)) };
    if stand.reach <= from {
        return Ok(nothing(from, end));
    }
    let frames = source.behind(from).await?;
    // Not every number has an event: if there is none, there is none up to where it had come.
    let reach = frames.last().map_or(stand.reach, |last| last.seq);
    let more = reach < stand.reach;
    Ok(Look { frames, reach, more, over: if more { Over::No } else { end } })
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use plue_runtime::Tasks;

    use super::*;
    use crate::stream::Stand;

    fn look_of(seqs: impl Iterator<Item = u64>, length: usize) -> Look {
        let data = "x".repeat(length);
        let frames: Vec<_> = seqs.map(|seq| Frame::new("log", seq, &data)).collect();
        let reach = frames.last().map_or(0, |last| last.seq);
        Look { frames, reach, more: false, over: Over::No }
    }

    #[test]
    fn a_view_holds_newest_events_within_its_bound() {
        let mut view = View::default();
        assert!(matches!(view.seen(0), Events::Unknown));
        assert!(view.take(Look { frames: Vec::new(), reach: 4, more: false, over: Over::No }));
        assert!(matches!(view.seen(0), Events::Older(4)));
        assert!(matches!(view.seen(4), Events::Nothing));
        assert!(view.take(look_of(5..=40, 64 * 1024)));
        assert!(view.bytes <= KEPT_BYTES, "{}", view.bytes);
        let Events::Older(behind) = view.seen(4) else { panic!("{:?}", view.seen(4)) };
        let Events::Frames(frames) = view.seen(behind) else { panic!("{:?}", view.seen(behind)) };
        let seqs: Vec<_> = frames.iter().map(|frame| frame.seq).collect();
        assert_eq!(seqs, (behind + 1..=40).collect::<Vec<_>>());
        assert!(matches!(view.seen(40), Events::Nothing));
        assert!(
            !view.take(look_of(std::iter::empty(), 0)),
            "a look that finds nothing wakes nobody"
        );
        assert!(view.take(Look { over: Over::Ended, ..look_of(41..=41, 1) }));
        assert!(matches!(view.seen(40), Events::Frames(_)), "what is there comes before the end");
        assert!(matches!(view.seen(41), Events::Ended));
    }

    #[test]
    fn one_event_longer_than_the_bound_is_kept() {
        let mut view = View::default();
        view.take(look_of(std::iter::empty(), 0));
        view.take(look_of(1..=1, 2 * KEPT_BYTES));
        assert!(matches!(view.seen(0), Events::Frames(frames) if frames.len() == 1));
        view.take(look_of(2..=2, 1));
        assert!(matches!(view.seen(0), Events::Older(1)));
    }

    struct Broken;

    impl Source for Broken {
        fn stand(&self) -> BoxFuture<'_, Result<Option<Stand>, plue_store::Error>> {
            panic!("a bug")
        }

        fn behind(&self, _: u64) -> BoxFuture<'_, Result<Vec<Frame>, plue_store::Error>> {
            panic!("a bug")
        }
    }

    #[tokio::test]
    async fn panicked_tasks_leave_no_stale_view() {
        let hub = Hub::default();
        let (view, _receiver) = watch::channel(View::default());
        hub.lock().insert("a".to_owned(), view.clone());
        let watcher = Watcher {
            hub: hub.clone(),
            name: "a".to_owned(),
            source: Arc::new(Broken),
            changes: watch::channel(0).1,
            view,
            heartbeat: Duration::from_secs(1),
            clock: Clock::real(),
            stop: Stop::never(),
        };
        assert!(Tasks::new().spawn("followed", watcher.run()).await.unwrap_err().is_panic());
        assert_eq!(hub.len(), 0);
    }

    #[test]
    fn views_without_subscribers_are_dropped() {
        let hub = Hub::default();
        let (view, receiver) = watch::channel(View::default());
        hub.lock().insert("a".to_owned(), view);
        assert!(!hub.abandon("a"));
        drop(receiver);
        assert!(hub.abandon("a") && hub.len() == 0);
    }
}
