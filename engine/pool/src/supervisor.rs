//! The supervisor of one local runner: restarts its process and its session until the lease ends.
//!
//! A runner that dies is started again on the same state directory, so that no event it stored is
//! lost. Must not give a runner up while its directory may have events that the store lacks.

use std::{ffi::OsString, io, path::Path, path::PathBuf, process::Stdio, time::Duration};

use plue_plan::RunnerId;
use plue_runtime::Clock;
use plue_wire::{environment::is_usual, runner::RunnerWorkspace};
use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
    process::{Child, Command as Process},
    sync::mpsc,
};

use crate::{
    error::Error,
    lease::{Command, PoolEvent, Tagged},
    local::LocalPool,
    moves, orphans,
    sandbox::{Sandbox, SandboxDirs},
    session::{Connection, Credential, Session, SessionEnd},
};

/// Time limit for a living runner process to dial in; then it is killed and started again.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Interval between two checks of a runner that another engine started.
const LOOK: Duration = Duration::from_millis(20);
/// Grace time of a runner to end after its run is over.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// Processes in a row that may die before they are ready; then the lease fails.
const MAX_DEATHS: u32 = 3;
/// Bytes at the end of a dead runner's log that are shown.
const LAST_WORDS: usize = 500;
/// File with the standard error of a runner; exists from its first start on.
const LOG: &str = "runner.log";

pub(crate) struct Supervisor {
    pub(crate) pool: LocalPool,
    pub(crate) runner: RunnerId,
    pub(crate) token: String,
    pub(crate) workspace: PathBuf,
    /// The workspace of a runner that can move.
    pub(crate) place: Option<RunnerWorkspace>,
    /// Its sandbox, if it has one.
    pub(crate) dirs: Option<(Sandbox, SandboxDirs)>,
    /// Python steps are likely.
    pub(crate) python: bool,
    pub(crate) directory: PathBuf,
    pub(crate) events: mpsc::Sender<PoolEvent>,
    pub(crate) commands: mpsc::Receiver<Tagged>,
    pub(crate) history: History,
    /// Locked while the runner is supervised.
    pub(crate) _led: std::fs::File,
}

/// The past of the processes of a runner.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The runner exited with status 0, which promises that no process of a step is left.
    left_in_order: bool,
    /// The process is not the first one on its directory: it does not know the state before the run.
    was_restarted: bool,
}

/// The process of a supervised runner.
enum Running {
    /// A child of this process.
    Ours(Child),
    /// Started by an earlier engine.
    Found,
}

/// The event that ended the wait for a session.
enum Arrival {
    Connected(UnixStream),
    Died,
    Left(SessionEnd),
}

// === impl Supervisor ===

impl Supervisor {
    pub(crate) async fn run(mut self) {
        match self.supervise().await {
            Ok(SessionEnd::Released) => {
                let reason = "released".to_owned();
                // Nothing of it is needed any more: processes that still live are killed.
                if !self.history.left_in_order {
                    orphans::end(&self.directory, &self.pool.clock).await;
                }
                self.pool.remove_directory(&self.runner);
                let _lease_gone = self.events.send(PoolEvent::Gone { reason }).await;
            }
            Ok(SessionEnd::Detached | SessionEnd::Disconnected) => {}
            Err(error) => {
                let _lease_gone = self.events.send(PoolEvent::Failed(error)).await;
            }
        }
    }

    async fn supervise(&mut self) -> Result<SessionEnd, Error> {
        let listener = bind(self.state())?;
        if let Some((_, dirs)) = &self.dirs {
            let path = self.directory.clone();
            dirs.share(&self.state().join("sock"))
                .map_err(|source| Error::Prepare { path, source })?;
        }
        let mut running = self.find_or_start().await?;
        let mut deaths = 0;
        loop {
            let stream = match self.arrival(&listener, &mut running).await? {
                Arrival::Connected(stream) => stream,
                Arrival::Left(end) => return Ok(end),
                Arrival::Died => {
                    self.history.was_restarted = true;
                    deaths += 1;
                    if deaths >= MAX_DEATHS {
                        return Err(Error::Dying { deaths, last_words: self.last_words() });
                    }
                    running = self.find_or_start().await?;
                    continue;
                }
            };
            let LocalPool { store, clock, limits, .. } = &self.pool;
            let credential = Credential::Token(&self.token);
            let is_proven = !self.history.was_restarted && self.is_runner(&stream);
            let (read, write) = stream.into_split();
            let session = Session::new(store, clock, &self.runner, credential, *limits);
            let mut session = session.at(self.place.clone(), is_proven);
            let end =
                session.serve(Connection::new(read, write), &self.events, &mut self.commands).await;
            if session.was_ready() {
                deaths = 0;
            }
            self.place = session.place();
            match end {
                Ok(SessionEnd::Disconnected) => {}
                Ok(SessionEnd::Detached) => return Ok(SessionEnd::Detached),
                Ok(SessionEnd::Released) => {
                    self.history.left_in_order = self.wait_until_left(running).await;
                    return Ok(SessionEnd::Released);
                }
                // Not the runner's fault; another session would fail as well.
                Err(Error::Store(error)) => return Err(Error::Store(error)),
                Err(error) => {
                    tracing::warn!(runner = %self.runner, error = chain(&error), "session ended");
                }
            }
        }
    }

    /// The process that uses the directory, or a new one. Two on one directory cannot be: the second
    /// ends at the lock of the first.
    async fn find_or_start(&self) -> Result<Running, Error> {
        if orphans::runner_lives(&self.directory) {
            return Ok(Running::Found);
        }
        if self.dirs.is_some() && self.directory.join(LOG).exists() {
            // The outermost process, which has the lock, may have died alone: two runners would
            // share the directory.
            orphans::end(&self.directory, &self.pool.clock).await;
        }
        self.spawn().await.map(Running::Ours)
    }

    /// Waits for the runner to dial in. Commands that come meanwhile belong to a session that is
    /// over: they are derived again from the store when the next one is ready.
    async fn arrival(
        &mut self,
        listener: &UnixListener,
        running: &mut Running,
    ) -> Result<Arrival, Error> {
        let clock = self.pool.clock;
        let directory = self.directory.clone();
        let too_late = clock.deadline(CONNECT_WITHIN);
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    return Ok(Arrival::Connected(accepted.map_err(Error::Connection)?.0));
                }
                () = died(running, &directory, clock) => return Ok(Arrival::Died),
                () = too_late.reached() => {
                    tracing::warn!(runner = %self.runner, "does not dial in and is killed");
                    orphans::kill_runner(&self.directory);
                    return Ok(Arrival::Died);
                }
                command = self.commands.recv() => match command.map(|tagged| tagged.command) {
                    Some(Command::Release) | None => {
                        return Ok(Arrival::Left(SessionEnd::Released));
                    }
                    Some(Command::Detach) => return Ok(Arrival::Left(SessionEnd::Detached)),
                    // The next session names it.
                    Some(Command::Enter(place)) => self.place = Some(place),
                    Some(Command::Mask(_) | Command::Outputs(..) | Command::Assign(_) | Command::Agent(..) | Command::Stop { .. } | Command::Verdict { .. } | Command::Workspace(_) | Command::Redirect(_) | Command::Leave(_)) => {}
                },
            }
        }
    }

    /// Whether the runner exited with status 0, which promises that it left no process behind. Only
    /// the status of a child is known.
    async fn wait_until_left(&self, mut running: Running) -> bool {
        let clock = self.pool.clock;
        let left = async {
            match &mut running {
                Running::Ours(child) => child.wait().await.is_ok_and(|status| status.success()),
                Running::Found => {
                    died(&mut running, &self.directory, clock).await;
                    false
                }
            }
        };
        tokio::select! {
            in_order = left => in_order,
            () = clock.sleep(LEAVE_WITHIN) => false,
        }
    }

    /// Whether the other side of a connection is the runner and not one of its steps. Without a sandbox,
    /// steps can do all that this process can.
    fn is_runner(&self, stream: &UnixStream) -> bool {
        let peer = || stream.peer_cred().ok()?.pid();
        self.dirs.is_none() || peer().is_some_and(is_first_process)
    }

    /// The folder that the runner has for itself.
    fn state(&self) -> &Path {
        self.dirs.as_ref().map_or(&self.directory, |(_, dirs)| dirs.state())
    }

    async fn spawn(&self) -> Result<Child, Error> {
        let path = &self.pool.options.binary;
        let failed = |source| Error::Spawn { path: path.clone(), source };
        let log = std::fs::File::create(self.directory.join(LOG)).map_err(failed)?;
        let mut command = match &self.dirs {
            None => {
                let mut command = Process::new(path);
                // A step may be this user's process and could read the environment of its runner.
                command.env_clear().envs(self.pool.environment.iter().cloned());
                let workspace = self.workspace();
                let index = moves::index(&self.pool.state(), workspace);
                command.args(self.arguments(workspace, &index)).stdout(Stdio::null());
                command
            }
            Some((sandbox, dirs)) => {
                // The outermost process has the lock that otherwise the runner has: no process
                // inside can release or take it.
                let lock = hold(&self.directory).map_err(failed)?;
                let dirs = dirs.at(self.place.as_ref());
                let arguments = self.arguments(dirs.workspace(), &dirs.index());
                sandbox.start(&dirs, &arguments, lock).map_err(Error::NotIsolated)?
            }
        };
        command.stdin(Stdio::piped()).stderr(log).process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A runner that died before it read its token is noticed by its exit.
            let _died = stdin.write_all(format!("{}\n", self.token).as_bytes()).await;
        }
        Ok(child)
    }

    fn arguments(&self, workspace: &Path, index: &Path) -> Vec<OsString> {
        let mut socket = OsString::from("unix:");
        socket.push(self.state().join("sock"));
        let mut arguments: Vec<OsString> = vec![
            "--connect".into(),
            socket,
            "--runner".into(),
            self.runner.as_str().into(),
            "--workspace".into(),
            workspace.into(),
            "--state".into(),
            self.state().into(),
            "--index".into(),
            index.into(),
        ];
        arguments.extend(self.python.then(|| "--python".into()));
        let named = self.pool.environment.iter().filter(|(name, _)| !is_usual(name));
        arguments.extend(named.flat_map(|(name, _)| ["--inherit".into(), name.into()]));
        arguments
    }

    /// The current workspace of a runner without a sandbox.
    fn workspace(&self) -> &Path {
        self.place.as_ref().map_or(&self.workspace, |place| Path::new(&place.workspace))
    }

    fn last_words(&self) -> String {
        let text = std::fs::read(self.directory.join(LOG)).unwrap_or_default();
        let from = text.len().saturating_sub(LAST_WORDS);
        String::from_utf8_lossy(text.get(from..).unwrap_or_default()).trim().to_owned()
    }
}

/// Whether a process is the first one of its namespace: in a sandbox only the runner is.
fn is_first_process(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    // From the outermost namespace to the innermost one.
    let mut ids = ids.split_ascii_whitespace();
    ids.next().is_some() && ids.next_back() == Some("1")
}

/// Waits until the runner is gone. Cancel-safe.
async fn died(running: &mut Running, directory: &Path, clock: Clock) {
    match running {
        Running::Ours(child) => drop(child.wait().await),
        Running::Found => {
            while orphans::runner_lives(directory) {
                clock.sleep(LOOK).await;
            }
        }
    }
}

/// Takes the lock of a living runner for its outermost process.
fn hold(directory: &Path) -> io::Result<std::fs::File> {
    let file = std::fs::File::create(directory.join("lock"))?;
    file.try_lock().map_err(io::Error::from)?;
    Ok(file)
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
