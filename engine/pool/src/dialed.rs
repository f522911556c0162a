//! Runners that are not processes of this machine: a [`Dial`] supplies their connections. Tests use
//! it for scripted runners; sessions and leases are the same as for processes.

use std::{fmt::Debug, future::Future, io, path::PathBuf, pin::Pin, sync::Arc};

use plue_plan::RunnerId;
use tokio::{net::UnixStream, sync::mpsc};

use crate::{
    error::Error,
    lease::{Command, PoolEvent, Tagged},
    local::LocalPool,
    session::{Connection, Credential, Session, SessionEnd},
};

/// A future connection of a runner.
pub type Arrival<'a> = Pin<Box<dyn Future<Output = io::Result<UnixStream>> + Send + 'a>>;

/// Supplies the connections of runners.
pub trait Dial: Debug + Send + Sync {
    /// The next connection of this runner, which authenticates with the token. Pending while it
    /// does not dial in.
    fn arrive(&self, runner: &RunnerId, token: &str) -> Arrival<'_>;

    /// The runner is never leased again: every process of it must end.
    fn discard(&self, runner: &RunnerId);
}

/// Serves one such runner until its lease ends.
pub(crate) struct Dialed {
    pub(crate) pool: LocalPool,
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) runner: RunnerId,
    pub(crate) token: String,
    pub(crate) directory: PathBuf,
    pub(crate) events: mpsc::Sender<PoolEvent>,
    pub(crate) commands: mpsc::Receiver<Tagged>,
    /// Locked while the runner is supervised.
    pub(crate) _led: std::fs::File,
}

// === impl Dialed ===

impl Dialed {
    pub(crate) async fn run(mut self) {
        let last = match self.serve().await {
            Ok(SessionEnd::Released) => {
                self.dial.discard(&self.runner);
                let _may_be_gone = std::fs::remove_dir_all(&self.directory);
                PoolEvent::Gone { reason: "released".to_owned() }
            }
            Ok(SessionEnd::Detached | SessionEnd::Disconnected) => return,
            Err(error) => PoolEvent::Failed(error),
        };
        let _lease_gone = self.events.send(last).await;
    }

    async fn serve(&mut self) -> Result<SessionEnd, Error> {
        loop {
            let stream = tokio::select! {
                stream = self.dial.arrive(&self.runner, &self.token) => {
                    stream.map_err(Error::Connection)?
                }
                command = self.commands.recv() => match command.map(|tagged| tagged.command) {
                    Some(Command::Release) | None => return Ok(SessionEnd::Released),
                    Some(Command::Detach) => return Ok(SessionEnd::Detached),
                    Some(Command::Mask(_) | Command::Outputs(..) | Command::Assign(_) | Command::Agent(..) | Command::Stop { .. } | Command::Verdict { .. } | Command::Workspace(_) | Command::Redirect(_) | Command::Leave(_) | Command::Enter(_)) => continue,
                },
            };
            let LocalPool { store, clock, limits, .. } = &self.pool;
            let credential = Credential::Token(&self.token);
            let (read, write) = stream.into_split();
            let mut session = Session::new(store, clock, &self.runner, credential, *limits);
            match session
                .serve(Connection::new(read, write), &self.events, &mut self.commands)
                .await
            {
                Ok(SessionEnd::Disconnected) => {}
                Ok(end @ (SessionEnd::Detached | SessionEnd::Released)) => return Ok(end),
                Err(Error::Store(error)) => return Err(Error::Store(error)),
                Err(error) => tracing::debug!(runner = %self.runner, %error, "session ended"),
            }
        }
    }
}
