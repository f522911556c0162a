//! The local pool: a runner is a process on this machine that dials back over a Unix socket.
//!
//! A runner outlives its engine: it keeps running, keeps what was not acknowledged on disk, and
//! tries its socket again. Whoever takes the run up binds that socket again ([`LocalPool::lease`]
//! with the same runner id) and gets everything from where the last engine stopped.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use plue_plan::{RunId, RunnerId};
use plue_runtime::{Clock, Ids, Tasks};
use plue_store::Store;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
    process::{Child, Command as Process},
    sync::mpsc,
};

use crate::{
    error::Error,
    lease::{COMMAND_QUEUE, Command, EVENT_QUEUE, Lease, PoolEvent},
    session::{Session, SessionEnd},
};

/// How long a runner that was started may take to dial back.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// How long a runner of a dead engine may take to find the new one before it is started anew.
const RECONNECT_WITHIN: Duration = Duration::from_secs(3);
/// The name every local runner is registered under.
pub const POOL: &str = "local";

/// Where things are.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `plue-runner` binary.
    pub binary: PathBuf,
    /// Directory of the runners' sockets and buffers; `<id>/` for each.
    pub directory: PathBuf,
}

/// Starts and adopts local runners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalPool {
    options: Options,
    store: Store,
    clock: Clock,
    tasks: Tasks,
}

/// One runner's supervisor.
struct Supervisor {
    pool: LocalPool,
    runner: RunnerId,
    token: String,
    workspace: PathBuf,
    directory: PathBuf,
    events: mpsc::Sender<PoolEvent>,
    commands: mpsc::Receiver<Command>,
}

// === impl LocalPool ===

impl LocalPool {
    /// A pool without runners.
    #[must_use]
    pub fn new(options: Options, store: Store, clock: Clock, tasks: Tasks) -> Self {
        Self { options, store, clock, tasks }
    }

    /// Leases a runner to a run: a new one, or with `adopt` the one that an earlier engine started
    /// for it. Returns at once; [`PoolEvent::Ready`] follows.
    ///
    /// # Errors
    /// The runner's row cannot be stored.
    pub async fn lease(
        &self,
        run: &RunId,
        workspace: &Path,
        ids: &Ids,
        adopt: Option<RunnerId>,
    ) -> Result<Lease, Error> {
        let adopted = adopt.is_some();
        let runner = adopt.unwrap_or_else(|| ids.runner());
        let directory = self.options.directory.join(runner.as_str());
        // Across engines the token is a file that only this user reads; see docs/decisions/0006.
        let token = if adopted { read_token(&directory)? } else { ids.secret() };
        if !adopted {
            prepare(&directory, &token)?;
            let hash = hex::encode(Sha256::digest(token.as_bytes()));
            self.store.register_runner(&runner, POOL, &hash, run, self.clock.now()).await?;
        }
        let (command_sender, commands) = mpsc::channel(COMMAND_QUEUE);
        let (events, event_receiver) = mpsc::channel(EVENT_QUEUE);
        let supervisor = Supervisor {
            pool: self.clone(),
            runner: runner.clone(),
            token,
            workspace: workspace.to_owned(),
            directory,
            events,
            commands,
        };
        self.tasks.spawn("runner", supervisor.run(adopted));
        Ok(Lease { runner, commands: command_sender, events: event_receiver })
    }
}

// === impl Supervisor ===

impl Supervisor {
    async fn run(mut self, adopted: bool) {
        let reason = match self.supervise(adopted).await {
            Ok(reason) => reason,
            Err(error) => chain(&error),
        };
        tracing::debug!(runner = %self.runner, reason, "runner gone");
        let _nobody_waits = self.events.send(PoolEvent::Gone { reason }).await;
        // What the runner still buffers is worthless once its lease ended in order.
        let _may_be_gone = std::fs::remove_dir_all(&self.directory);
    }

    /// Keeps a session up until the runner is released or lost; says why it ended.
    async fn supervise(&mut self, adopted: bool) -> Result<String, Error> {
        let listener = bind(&self.directory)?;
        let mut process = None;
        let mut first =
            if adopted { self.accept(&listener, None, RECONNECT_WITHIN).await? } else { None };
        if first.is_none() {
            process = Some(self.spawn().await?);
            first = self.accept(&listener, process.as_mut(), CONNECT_WITHIN).await?;
        }
        let Some(mut stream) = first else {
            return Ok("the runner did not connect".to_owned());
        };
        loop {
            let mut session =
                Session::new(&self.pool.store, &self.pool.clock, &self.runner, &self.token);
            match session.serve(stream, &self.events, &mut self.commands).await {
                Ok(SessionEnd::Released) => {
                    if let Some(mut process) = process {
                        let _status = process.wait().await;
                    }
                    return Ok("released".to_owned());
                }
                Ok(SessionEnd::Disconnected) => {}
                Err(error) => {
                    tracing::warn!(runner = %self.runner, error = chain(&error), "session ended")
                }
            }
            stream = match self.accept(&listener, process.as_mut(), CONNECT_WITHIN).await? {
                Some(stream) => stream,
                None => return Ok("the runner's process ended".to_owned()),
            };
        }
    }

    /// Waits for the runner to dial in; `None` when it will not.
    async fn accept(
        &self,
        listener: &UnixListener,
        process: Option<&mut Child>,
        within: Duration,
    ) -> Result<Option<UnixStream>, Error> {
        let ended = async {
            match process {
                Some(process) => drop(process.wait().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = listener.accept() => {
                Ok(Some(accepted.map_err(Error::Connection)?.0))
            }
            () = ended => Ok(None),
            () = self.pool.clock.sleep(within) => Ok(None),
        }
    }

    async fn spawn(&self) -> Result<Child, Error> {
        let path = &self.pool.options.binary;
        let failed = |source| Error::Spawn { path: path.clone(), source };
        let log = std::fs::File::create(self.directory.join("runner.log")).map_err(failed)?;
        let mut child = Process::new(path)
            .arg("--connect")
            .arg(format!("unix:{}", self.directory.join("sock").display()))
            .args(["--runner", self.runner.as_str()])
            .arg("--workspace")
            .arg(&self.workspace)
            .arg("--state")
            .arg(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(format!("{}\n", self.token).as_bytes()).await.map_err(failed)?;
        }
        Ok(child)
    }
}

/// Makes the runner's private directory and keeps its token there for a later engine.
fn prepare(directory: &Path, token: &str) -> Result<(), Error> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let failed = |source| Error::Prepare { path: directory.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(directory.join("token"))
        .map_err(failed)?;
    io::Write::write_all(&mut file, token.as_bytes()).map_err(failed)
}

fn read_token(directory: &Path) -> Result<String, Error> {
    std::fs::read_to_string(directory.join("token"))
        .map_err(|source| Error::Prepare { path: directory.to_owned(), source })
}

/// Binds the runner's socket. A path longer than `sun_path` is reached through `/proc/self/fd`.
fn bind(directory: &Path) -> Result<UnixListener, Error> {
    let path = directory.join("sock");
    let failed = |source| Error::Prepare { path: path.clone(), source };
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if path.as_os_str().len() < 100 {
        return UnixListener::bind(&path).map_err(failed);
    }
    let opened = std::fs::File::open(directory).map_err(failed)?;
    let short = format!("/proc/self/fd/{}/sock", std::os::fd::AsRawFd::as_raw_fd(&opened));
    UnixListener::bind(short).map_err(failed)
}

/// An error with its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
