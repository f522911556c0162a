//! Every task has a name, is counted and is waited for; nothing is detached.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// Starts tasks and waits for them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks(TaskTracker);

// === impl Tasks ===

impl Tasks {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task on the current runtime. A panic in it is logged under its name.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that starts tasks")]
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let span = tracing::debug_span!("task", name);
        tokio::spawn(self.0.track_future(task.instrument(span)))
    }

    /// Runs a closure that blocks on a thread made for it.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that starts blocking work"
    )]
    pub fn spawn_blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let token = self.0.token();
        tokio::task::spawn_blocking(move || {
            let _counted = token;
            work()
        })
    }

    /// How many tasks run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.len()
    }

    /// Waits until no task is left. Tasks must have been told to stop before.
    pub async fn wait(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
