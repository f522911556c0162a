//! Computations on foreign input: the one place where they run, and their limits.
//!
//! Input is foreign if another party wrote it: the content of a repository, a plan, an output, a
//! reply. [`compute`] runs a closure with a meter on a thread of a bounded pool, with deadlines of
//! CPU and of wall-clock time; [`here`] runs a short one on the caller's thread; [`process`] runs
//! git and other programs. A thread cannot be killed: the meter stops our own code, and work that
//! counts no steps needs a bound that is proven before it starts. Must not know the computation.

pub mod archive;
pub mod git;
pub mod process;

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use plue_plan::budget::{Budget, Meter, Stopped};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
};

/// Computations at once in one process. Further ones wait for their turn until their deadline.
const MAX_AT_ONCE: usize = 8;

static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_AT_ONCE)));

/// The limits of one kind of computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The kind, for logs and errors.
    pub name: &'static str,
    /// The budget that the meter enforces.
    pub budget: Budget,
    /// CPU time of the thread, as far as the computation looks at its meter.
    pub cpu: Duration,
    /// Wall-clock time of the call, including the wait for a turn. The caller is released then.
    pub wall: Duration,
}

/// The reason that there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// The budget is exhausted, or the CPU time.
    #[error("{name}: {stopped}")]
    Stopped {
        /// The kind of computation, from [`Limits::name`].
        name: &'static str,
        /// The limit that was reached.
        stopped: Stopped,
    },
    /// No result by the wall-clock deadline.
    #[error("{name}: no result after {seconds} s")]
    Late {
        /// The kind of computation, from [`Limits::name`].
        name: &'static str,
        /// The deadline, from [`Limits::wall`].
        seconds: u64,
    },
    /// The computation panicked, or the process ends.
    #[error("{name}: interrupted")]
    Interrupted {
        /// The kind of computation, from [`Limits::name`].
        name: &'static str,
    },
}

/// Runs a computation on a thread of its own, never on an async worker. Dropping the future, like
/// the deadline, makes the meter stop; the thread keeps its turn until it has stopped, so that
/// stuck threads are never more than the turns.
///
/// # Errors
/// A limit was reached.
#[expect(
    clippy::disallowed_methods,
    reason = "next to `Tasks` the one place that starts blocking work"
)]
pub async fn compute<T: Send + 'static>(
    limits: Limits,
    work: impl FnOnce(&Meter) -> Result<T, Stopped> + Send + 'static,
) -> Result<T, ForeignError> {
    let name = limits.name;
    let abandoned = Abandoned(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&abandoned.0);
    let run = async {
        let turn = Arc::clone(&TURNS).acquire_owned().await;
        let turn = turn.map_err(|_closed| ForeignError::Interrupted { name })?;
        let task = tokio::task::spawn_blocking(move || {
            let _kept_until_the_thread_is_free = turn;
            run_here(limits, Some(flag), work)
        });
        task.await.map_err(|_panicked| ForeignError::Interrupted { name })?
    };
    let done = tokio::time::timeout(limits.wall, run).await;
    let result = done.unwrap_or(Err(ForeignError::Late { name, seconds: limits.wall.as_secs() }));
    if let Err(error) = &result {
        tracing::warn!(%error, "computation on foreign input was stopped");
    }
    result
}

/// Runs a computation on the caller's thread: from code that is blocking already, or with a budget of
/// a few milliseconds.
///
/// # Errors
/// A limit was reached.
pub fn here<T>(
    limits: Limits,
    work: impl FnOnce(&Meter) -> Result<T, Stopped>,
) -> Result<T, ForeignError> {
    run_here(limits, None, work)
}

/// Runs a bounded computation that its caller cannot wait for (an expression: tens of milliseconds)
/// without holding up other tasks: on an async worker, they go on with another thread meanwhile.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    let worker = Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if worker { tokio::task::block_in_place(work) } else { work() }
}

/// [`here`] and [`aside`]: a computation of less than some seconds between reading a state and changing it,
/// where nothing can be waited for.
///
/// # Errors
/// A limit was reached.
pub fn here_aside<T>(
    limits: Limits,
    work: impl FnOnce(&Meter) -> Result<T, Stopped>,
) -> Result<T, ForeignError> {
    aside(|| here(limits, work))
}

fn run_here<T>(
    limits: Limits,
    abandoned: Option<Arc<AtomicBool>>,
    work: impl FnOnce(&Meter) -> Result<T, Stopped>,
) -> Result<T, ForeignError> {
    let until = cpu_time().saturating_add(limits.cpu);
    let meter = Meter::stoppable(limits.budget, move || {
        abandoned.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) || cpu_time() > until
    });
    let name = limits.name;
    let stopped = |stopped| ForeignError::Stopped { name, stopped };
    meter.look().map_err(stopped)?;
    work(&meter).map_err(stopped)
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

/// Signals a thread, once dropped, that its caller no longer waits for the result.
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use plue_plan::budget::Unit;

    use super::*;

    const LIMITS: Limits = Limits {
        name: "test",
        budget: Budget { bytes: 100, items: 100, steps: u64::MAX },
        cpu: Duration::from_millis(20),
        wall: Duration::from_secs(60),
    };

    fn spin(meter: &Meter) -> Result<(), Stopped> {
        loop {
            meter.steps(1)?;
        }
    }

    #[tokio::test]
    async fn results_come_back_from_another_thread() {
        let here = std::thread::current().id();
        let there = compute(LIMITS, move |_| Ok(std::thread::current().id())).await.unwrap();
        assert_ne!(here, there);
    }

    #[tokio::test]
    async fn endless_work_is_stopped_by_its_cpu_time() {
        let stopped = compute(LIMITS, spin).await;
        assert_eq!(
            stopped,
            Err(ForeignError::Stopped { name: "test", stopped: Stopped::Deadline })
        );
    }

    #[tokio::test]
    async fn exhausted_budgets_are_errors() {
        let stopped = compute(LIMITS, |meter| meter.items(101)).await.unwrap_err();
        let exhausted = Stopped::Exhausted { unit: Unit::Items, limit: 100 };
        assert_eq!(stopped, ForeignError::Stopped { name: "test", stopped: exhausted });
        assert_eq!(stopped.to_string(), "test: budget exhausted: more than 100 items");
    }

    #[tokio::test]
    async fn callers_are_released_at_the_deadline() {
        let (stop, until) = mpsc::sync_channel::<()>(1);
        let limits = Limits { wall: Duration::from_millis(20), ..LIMITS };
        let late = compute(limits, move |_| Ok(until.recv().is_err())).await;
        assert_eq!(late, Err(ForeignError::Late { name: "test", seconds: 0 }));
        drop(stop);
    }

    #[tokio::test]
    async fn abandoned_work_is_stopped() {
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (ended, end) = mpsc::sync_channel(1);
        let limits = Limits { cpu: Duration::from_secs(3_600), ..LIMITS };
        let task = compute(limits, move |meter| {
            let _test_waits = started.send(());
            let stopped = spin(meter);
            let _test_waits = ended.send(stopped);
            stopped
        });
        tokio::select! {
            done = task => panic!("not stopped: {done:?}"),
            has_started = has_started => has_started.unwrap(),
        }
        assert_eq!(end.recv(), Ok(Err(Stopped::Deadline)));
    }

    #[tokio::test]
    async fn panics_are_errors() {
        let failed = compute(LIMITS, |_| -> Result<(), Stopped> { panic!("in the test") }).await;
        assert_eq!(failed, Err(ForeignError::Interrupted { name: "test" }));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_aside_does_not_hold_up_other_tasks() {
        let (sender, receiver) = mpsc::sync_channel(1);
        let other = crate::Tasks::new().spawn("other", async move { sender.send(()) });
        // On the one worker this would wait for ever.
        assert_eq!(
            crate::Tasks::new()
                .spawn("aside", async move { aside(|| receiver.recv()) })
                .await
                .unwrap(),
            Ok(())
        );
        other.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn work_aside_runs_at_once_without_other_workers() {
        assert_eq!(aside(|| 1), 1);
    }

    #[test]
    fn short_work_runs_on_the_same_thread() {
        let there = here(LIMITS, |_| Ok(std::thread::current().id()));
        assert_eq!(there, Ok(std::thread::current().id()));
        assert!(here(LIMITS, spin).is_err());
    }
}
