//! Shutdown in two steps: the first signal drains (no new work, running work may finish), the
//! second aborts. Every holder of a [`Stop`] sees both.

use tokio::sync::watch;

/// Phase of the shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// New work is accepted.
    Running,
    /// Take nothing new; finish what runs.
    Draining,
    /// Tasks end at their next await.
    Aborting,
}

/// The side that decides.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Sender<Phase>);

/// The side that obeys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Phase>);

// === impl Shutdown ===

impl Shutdown {
    /// A pair in phase [`Phase::Running`].
    #[must_use]
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (Self(sender), Stop(receiver))
    }

    /// Goes at least to this phase; never back.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
    }

    /// A further receiver of the signals.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

// === impl Stop ===

impl Stop {
    /// A stop that never comes, for tests and one-shot commands.
    #[must_use]
    pub fn never() -> Self {
        Shutdown::new().1
    }

    /// The phase at this moment.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until at least this phase. Cancel-safe. Without a deciding side: for ever.
    pub async fn reached(&self, phase: Phase) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|now| *now >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_go_forward() {
        let (shutdown, stop) = Shutdown::new();
        shutdown.advance(Phase::Aborting);
        shutdown.advance(Phase::Draining);
        stop.reached(Phase::Draining).await;
        assert_eq!(stop.phase(), Phase::Aborting);
    }
}
