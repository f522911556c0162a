//! One runner of another machine: serves its connections, one after the other, until its lease ends.

use std::time::Duration;

use plue_plan::RunnerId;
use plue_wire::runner::WorkspaceSpec;
use tokio::sync::{mpsc, watch};

use super::{Arrival, Fleet};
use crate::{
    error::Error,
    lease::{Command, PoolEvent, Tagged},
    session::{Credential, Session, SessionEnd, Takeover},
};

/// Time for which the slot of a runner without a run is kept after its connection.
const IDLE_RETURN: Duration = Duration::from_secs(15);

pub(super) struct Remote {
    pub(super) fleet: Fleet,
    pub(super) runner: RunnerId,
    /// The number of the newest connection.
    pub(super) newest: watch::Receiver<u64>,
    pub(super) drains: watch::Sender<bool>,
    /// The reason that the row of the runner is gone.
    pub(super) gone: watch::Receiver<Option<String>>,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
    pub(super) events: mpsc::Sender<PoolEvent>,
    pub(super) commands: mpsc::Receiver<Tagged>,
    /// The files that the runner was ordered to have; `None`: it has no run.
    pub(super) workspace: Option<WorkspaceSpec>,
}

/// The end of a wait for a connection.
enum Wait {
    Arrived(Box<Arrival>),
    Left(SessionEnd),
    TooLate,
}

// === impl Remote ===

impl Remote {
    pub(super) async fn run(mut self) {
        let mut gone = self.gone.clone();
        let last = tokio::select! {
            last = self.serve() => last,
            // An error: the slot is that of a later lease.
            Ok(gone) = gone.wait_for(Option::is_some) => {
                let reason = gone.clone().unwrap_or_default();
                Some(PoolEvent::Gone { reason: format!("the runner is gone: {reason}") })
            }
        };
        self.arrivals.close();
        self.forget();
        let _lease_gone = match last {
            Some(last) => self.events.send(last).await,
            None => Ok(()),
        };
    }

    /// Removes the slot, unless it is that of a later lease.
    fn forget(&self) {
        let mut slots = self.fleet.slots();
        if slots.get(&self.runner).is_some_and(|slot| slot.arrivals.is_closed()) {
            slots.remove(&self.runner);
        }
    }

    /// Serves until the lease ends; the last report of it, unless it goes on elsewhere.
    async fn serve(&mut self) -> Option<PoolEvent> {
        loop {
            let arrival = match self.arrival().await {
                Wait::Arrived(arrival) => *arrival,
                Wait::Left(SessionEnd::Released) => {
                    return Some(PoolEvent::Gone { reason: "released".to_owned() });
                }
                Wait::Left(SessionEnd::Detached | SessionEnd::Disconnected) => return None,
                Wait::TooLate => {
                    let after = self.fleet.0.options.lost_after.as_secs();
                    let reason = format!("the runner did not come back within {after} s");
                    return Some(PoolEvent::Gone { reason });
                }
            };
            match self.session(arrival).await {
                Ok(SessionEnd::Disconnected) => {}
                Ok(SessionEnd::Detached) => return None,
                Ok(SessionEnd::Released) => {
                    return Some(PoolEvent::Gone { reason: "released".to_owned() });
                }
                Err(Error::Store(error)) => return Some(PoolEvent::Failed(Error::Store(error))),
                Err(error @ Error::Workspace(_)) => {
                    return Some(PoolEvent::Gone { reason: error.to_string() });
                }
                Err(error) => tracing::debug!(runner = %self.runner, %error, "session ended"),
            }
        }
    }

    async fn session(&mut self, arrival: Arrival) -> Result<SessionEnd, Error> {
        let Arrival { link, hash, number } = arrival;
        let shared = &self.fleet.0;
        let (runner, limits) = (&self.runner, shared.options.limits);
        let credential = Credential::Checked(&hash);
        let session = Session::new(&shared.store, &shared.clock, runner, credential, limits);
        let takeover = Takeover { own: number, newest: self.newest.clone() };
        let mut session = session.of_remote(self.workspace.clone(), takeover, self.drains.clone());
        let end = session.serve(link, &self.events, &mut self.commands).await;
        self.workspace = session.workspace().cloned();
        end
    }

    /// Waits for a connection. Commands that come meanwhile belong to a session that is over.
    async fn arrival(&mut self) -> Wait {
        let clock = self.fleet.0.clock;
        let patience = match self.workspace {
            Some(_) => self.fleet.0.options.lost_after,
            None => IDLE_RETURN,
        };
        let too_late = clock.deadline(patience);
        loop {
            tokio::select! {
                Some(arrival) = self.arrivals.recv() => return Wait::Arrived(Box::new(arrival)),
                () = too_late.reached() => return Wait::TooLate,
                command = self.commands.recv() => match command.map(|tagged| tagged.command) {
                    Some(Command::Release) | None => return Wait::Left(SessionEnd::Released),
                    Some(Command::Detach | Command::Redirect(_)) => {
                        return Wait::Left(SessionEnd::Detached);
                    }
                    // For the next session.
                    Some(Command::Workspace(spec)) => self.workspace = Some(spec),
                    Some(Command::Mask(_) | Command::Outputs(..) | Command::Assign(_)
                        | Command::Agent(..) | Command::Stop { .. } | Command::Verdict { .. }
                        | Command::Leave(_) | Command::Enter(_)) => {}
                },
            }
        }
    }
}
