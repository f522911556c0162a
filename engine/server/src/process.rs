//! Clock, ids, tasks and the stop signal of this process, and the supervision of its loops.

use std::time::Duration;

use futures::future::BoxFuture;
use plue_runtime::{Clock, Ids, Phase, Stop, TaskSet, Tasks, Watchdog};
use tokio::sync::watch;

/// Pause between the panic of a loop and its restart.
const RESTART_AFTER: Duration = Duration::from_secs(5);

/// The runtime handles that every owner of the server shares. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) tasks: Tasks,
    pub(crate) watchdog: Watchdog,
    pub(crate) stop: Stop,
    /// Longest time between two looks into the store; changes by other processes arrive without a wake-up.
    pub(crate) poll: Duration,
}

/// A named loop and the function that starts it.
pub(crate) struct SupervisedLoop {
    pub(crate) name: &'static str,
    pub(crate) start: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

// === impl Process ===

impl Process {
    /// Waits for a change of the store or the next poll; `false`: the server stops.
    pub(crate) async fn wait_for_change(&self, changes: &mut watch::Receiver<u64>) -> bool {
        tokio::select! {
            () = self.stop.reached(Phase::Draining) => false,
            Ok(()) = changes.changed() => true,
            () = self.clock.sleep(self.poll) => true,
        }
    }

    /// Runs loops until all have returned. Each is a task of its own, so that no loop waits for another
    /// one, and restarts [`RESTART_AFTER`] a panic.
    pub(crate) async fn supervise(&self, loops: Vec<SupervisedLoop>) {
        let mut running = TaskSet::new(&self.tasks, "server loop");
        for one in &loops {
            running.spawn(one.name, (one.start)());
        }
        while let Some((name, result)) = running.next().await {
            let Err(failure) = result else { continue };
            tracing::error!(name, %failure, restart_in = ?RESTART_AFTER, "server loop failed; restarting");
            let Some(failed) = loops.iter().find(|one| one.name == name) else { continue };
            let (clock, work) = (self.clock, (failed.start)());
            running.spawn(name, async move {
                clock.sleep(RESTART_AFTER).await;
                work.await;
            });
        }
    }
}

// === impl SupervisedLoop ===

impl SupervisedLoop {
    pub(crate) fn new<F>(name: &'static str, start: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { name, start: Box::new(move || Box::pin(start())) }
    }
}
