//! Every task has a name, is counted and is waited for; nothing is detached.

use std::{future::Future, pin::Pin};

use tokio::task::{JoinError, JoinHandle};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// Starts tasks and waits for them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks(TaskTracker);

/// A task of one owner: aborted when this is dropped.
#[derive(Debug)]
pub struct Task<T>(JoinHandle<T>);

/// A task without its type: what runs tasks is compiled once per type of result, not once per task.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A task ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TaskFailure {
    /// It panicked. The panic is logged under the name of the task.
    #[error("it panicked")]
    Panicked,
    /// It was aborted, by its owner or with the runtime.
    #[error("it was aborted")]
    Aborted,
}

/// Reports a panic of the task that it is a part of.
struct PanicReport(&'static str);

// === impl Tasks ===

impl Tasks {
    /// Creates a set without tasks.
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
        tokio::spawn(self.tracked(name, Box::pin(task)))
    }

    /// The task as it is started: counted, in a span of its name, its panics logged.
    pub(crate) fn tracked<T>(
        &self,
        name: &'static str,
        task: Boxed<T>,
    ) -> impl Future<Output = T> + use<T> {
        let span = tracing::debug_span!("task", name);
        let reported = async move {
            let _report = PanicReport(name);
            task.await
        };
        self.0.track_future(reported.instrument(span))
    }

    /// Starts a task that ends with its handle. It makes progress whether or not its owner polls the
    /// handle, so that it never holds a permit or a lock for an owner that has stopped polling.
    pub fn owned<F>(&self, name: &'static str, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Task(self.spawn(name, task))
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
        let work: Box<dyn FnOnce() -> R + Send> = Box::new(work);
        tokio::task::spawn_blocking(move || {
            let _counted = token;
            work()
        })
    }

    /// Number of running tasks.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.len()
    }

    /// Waits until no task is left. The caller must have stopped the tasks before.
    pub async fn wait(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

// === impl Task ===

impl<T> Task<T> {
    /// Waits for the result. Cancel-safe; must not be called again after it has returned.
    ///
    /// # Errors
    /// The task panicked or was aborted.
    pub async fn ended(&mut self) -> Result<T, TaskFailure> {
        (&mut self.0).await.map_err(|error| TaskFailure::of(&error))
    }

    /// True if the task has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl TaskFailure ===

impl TaskFailure {
    pub(crate) fn of(error: &JoinError) -> Self {
        if error.is_panic() { Self::Panicked } else { Self::Aborted }
    }
}

impl Drop for PanicReport {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.0, "a task panicked; the process goes on without it");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn dropped_handles_abort_their_task() {
        let (kept, dropped) = oneshot::channel::<()>();
        let task = Tasks::new().owned("endless", async move {
            let _kept = kept;
            std::future::pending::<()>().await;
        });
        drop(task);
        assert!(dropped.await.is_err());
    }

    #[tokio::test]
    async fn owned_tasks_progress_without_being_polled() {
        let (sender, receiver) = oneshot::channel();
        let mut task = Tasks::new().owned("sends", async move { sender.send(7) });
        assert_eq!(receiver.await, Ok(7));
        assert_eq!(task.ended().await, Ok(Ok(())));
    }

    #[tokio::test]
    async fn panics_reach_the_owner() {
        let mut task = Tasks::new().owned("breaks", async { panic!("a bug") });
        assert_eq!(task.ended().await, Err::<(), _>(TaskFailure::Panicked));
    }
}
