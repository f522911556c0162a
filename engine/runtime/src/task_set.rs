//! Tasks of one kind that belong to one loop: each runs by itself, under a unique key.
//!
//! The safe form of `FuturesUnordered`, `buffer_unordered` and `select!` over `&mut` futures. Those
//! poll their futures only while the loop waits for them; as soon as it waits for something else, a
//! future that holds a permit keeps it, and a loop that wants the same permit waits for ever ([RFD
//! 609](https://rfd.shared.oxide.computer/rfd/0609)). Tasks progress independently of the loop.
#![expect(clippy::disallowed_types, reason = "this is the one place that has a `JoinSet`")]

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    hash::Hash,
};

use tokio::task::{Id, JoinError, JoinSet};

use crate::tasks::{TaskFailure, Tasks};

/// Tasks with a key each. Those that still run are aborted when it is dropped.
#[derive(Debug)]
pub struct TaskSet<K, T> {
    name: &'static str,
    tasks: Tasks,
    running: JoinSet<T>,
    keys: HashSet<K>,
    of_id: HashMap<Id, K>,
}

/// The key of a task that has ended, and its result.
pub type Ended<K, T> = (K, Result<T, TaskFailure>);

// === impl TaskSet ===

impl<K, T> TaskSet<K, T>
where
    K: Clone + Eq + Hash,
    T: Send + 'static,
{
    /// An empty set; each of its tasks has this name.
    #[must_use]
    pub fn new(tasks: &Tasks, name: &'static str) -> Self {
        let (keys, of_id) = (HashSet::new(), HashMap::new());
        Self { name, tasks: tasks.clone(), running: JoinSet::new(), keys, of_id }
    }

    /// Starts a task. `false`: a task of this key runs, and the new one was dropped.
    pub fn spawn(&mut self, key: K, task: impl Future<Output = T> + Send + 'static) -> bool {
        if !self.keys.insert(key.clone()) {
            return false;
        }
        let task = self.tasks.tracked(self.name, Box::pin(task));
        let id = self.running.spawn(task).id();
        self.of_id.insert(id, key);
        true
    }

    /// Waits for the next task that ends; `None` if none runs. Cancel-safe.
    pub async fn next(&mut self) -> Option<Ended<K, T>> {
        loop {
            let ended = self.running.join_next_with_id().await?;
            if let Some(ended) = self.taken(ended) {
                return Some(ended);
            }
        }
    }

    /// A task that has ended already, if there is one.
    pub fn try_next(&mut self) -> Option<Ended<K, T>> {
        loop {
            let ended = self.running.try_join_next_with_id()?;
            if let Some(ended) = self.taken(ended) {
                return Some(ended);
            }
        }
    }

    /// True if a task of this key runs, or has ended without being taken.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.keys.contains(key)
    }

    /// The keys of the tasks.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.keys.iter()
    }

    /// Number of tasks that run or have ended without being taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True if there is no task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Aborts all tasks and waits until they have let go of what they hold.
    pub async fn abort(&mut self) {
        self.running.shutdown().await;
        self.keys.clear();
        self.of_id.clear();
    }

    fn taken(&mut self, ended: Result<(Id, T), JoinError>) -> Option<Ended<K, T>> {
        let (id, result) = match ended {
            Ok((id, result)) => (id, Ok(result)),
            Err(error) => (error.id(), Err(TaskFailure::of(&error))),
        };
        let key = self.of_id.remove(&id)?;
        self.keys.remove(&key);
        Some((key, result))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    /// The deadlock of a loop that polls its futures only while it waits for them: the task that has
    /// been given the only permit must go on while the loop waits for that permit.
    #[tokio::test]
    async fn tasks_release_permits_while_their_loop_waits() {
        let permits = Arc::new(Semaphore::new(1));
        let mut set = TaskSet::new(&Tasks::new(), "holds");
        for key in 0..8 {
            let permits = permits.clone();
            set.spawn(key, async move {
                let permit = permits.acquire().await.unwrap();
                tokio::task::yield_now().await;
                drop(permit);
            });
        }
        let mut ended = 0;
        while ended < 8 {
            let _mine = permits.acquire().await.unwrap();
            ended += std::iter::from_fn(|| set.try_next()).count();
            tokio::task::yield_now().await;
        }
        assert!(set.is_empty());
    }

    #[tokio::test]
    async fn one_task_per_key() {
        let mut set = TaskSet::new(&Tasks::new(), "one");
        assert!(set.spawn("a", std::future::ready(1)));
        assert!(!set.spawn("a", std::future::ready(2)));
        assert_eq!(set.next().await, Some(("a", Ok(1))));
        assert!(set.spawn("a", std::future::ready(3)));
        assert_eq!((set.next().await, set.next().await), (Some(("a", Ok(3))), None));
    }

    #[tokio::test]
    async fn panics_end_one_task_only() {
        let mut set = TaskSet::new(&Tasks::new(), "breaks");
        set.spawn("bad", async { panic!("a bug") });
        set.spawn("good", async { 1 });
        let mut ended = [set.next().await.unwrap(), set.next().await.unwrap()];
        ended.sort_by_key(|(key, _)| *key);
        assert_eq!(ended, [("bad", Err(TaskFailure::Panicked)), ("good", Ok(1))]);
    }

    #[tokio::test]
    async fn dropped_sets_abort_their_tasks() {
        let (kept, dropped) = oneshot::channel::<()>();
        let mut set = TaskSet::new(&Tasks::new(), "endless");
        set.spawn((), async move {
            let _kept = kept;
            std::future::pending::<()>().await;
        });
        drop(set);
        assert!(dropped.await.is_err());
    }
}
