//! The local pool: a runner is a process on this machine that dials back over a Unix socket.
//!
//! A runner outlives its engine: it continues, stores unacknowledged events on disk, and dials its
//! socket again. The next engine binds that socket again ([`LocalPool::lease`] with the same runner
//! id) and receives everything after the last acknowledgement. A runner that died meanwhile is
//! started again on its directory and delivers its stored events.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use plue_plan::{RunId, RunnerId};
use plue_runtime::{Clock, Ids, Tasks};
use plue_store::Store;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::{
    content::RunLimits,
    dialed::{Dial, Dialed},
    error::Error,
    fleet::Fleet,
    idle::{self, Idle},
    lease::{COMMAND_QUEUE, EVENT_QUEUE, Lease},
    orphans,
    sandbox::{Isolation, Local, RequiredFor, Sandbox, SandboxDirs, Trust, Untrusted},
    supervisor::{History, Supervisor},
};

/// Name of the pool of local runners in the store.
pub const POOL: &str = "local";
/// Name of the pool of sandboxed runners for untrusted runs in the store.
pub const UNTRUSTED_POOL: &str = "untrusted";

/// The reason that runners of [`LocalPool::dialed_by`] have no sandbox.
const NOT_OURS: &str = "runners are not processes of this machine";

/// Paths of a pool.
#[derive(Debug, Clone)]
pub struct Options {
    /// Path of the `plue-runner` binary.
    pub binary: PathBuf,
    /// Directory of the runners' sockets and buffers; `<id>/` for each.
    pub directory: PathBuf,
}

/// The working directory of a run's steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkDir<'a> {
    /// Path of the workspace.
    pub workspace: &'a Path,
    /// The steps are untrusted: they run in a sandbox, or not at all.
    pub untrusted: bool,
    /// The repository of the run: idle runners go from one of its workspaces to another; `None`: they do
    /// not.
    pub scope: Option<&'a str>,
}

/// Starts and adopts local runners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalPool {
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) dial: Option<Arc<dyn Dial>>,
    pub(crate) idle: Idle,
    /// Runners of other machines.
    pub(crate) fleet: Option<Fleet>,
    /// Limits on the bytes of a run.
    pub(crate) limits: RunLimits,
    /// The sandbox of untrusted runs; `None`: they are not isolated.
    pub(crate) untrusted: Option<Sandbox>,
    /// The isolation of all other runs.
    pub(crate) own: OwnRuns,
    /// Variables of this machine that steps have.
    pub(crate) environment: Vec<(String, String)>,
}

/// The isolation of runs of own commits.
#[derive(Debug, Clone)]
pub(crate) enum OwnRuns {
    /// No isolation: runners start without a sandbox.
    Open,
    /// In a sandbox, where this machine supports it.
    Sandboxed(Sandbox),
    /// In a sandbox, or not at all; with `all` also runs in workspaces that no server made.
    Required { sandbox: Sandbox, all: bool },
}

/// A runner to supervise.
struct RunnerStart<'a> {
    runner: RunnerId,
    token: String,
    work_dir: WorkDir<'a>,
    /// Python steps are likely: the interpreter starts with the runner.
    python: bool,
}

// === impl LocalPool ===

impl LocalPool {
    /// A pool without runners and sandboxes.
    #[must_use]
    pub fn new(options: Options, store: Store, clock: Clock, tasks: Tasks) -> Self {
        let (dial, idle, untrusted, own) = (None, Idle::default(), None, OwnRuns::Open);
        let (limits, environment, fleet) = (RunLimits::default(), Vec::new(), None);
        Self {
            options,
            store,
            clock,
            tasks,
            dial,
            idle,
            fleet,
            limits,
            untrusted,
            own,
            environment,
        }
    }

    /// The same pool, whose steps have these variables of this machine.
    #[must_use]
    pub fn with_environment(self, environment: Vec<(String, String)>) -> Self {
        Self { environment, ..self }
    }

    /// The same pool, whose runs may ask for runners of other machines.
    #[must_use]
    pub fn with_fleet(self, fleet: Fleet) -> Self {
        Self { fleet: Some(fleet), ..self }
    }

    /// The runners of other machines; `None`: there are none.
    #[must_use]
    pub fn fleet(&self) -> Option<&Fleet> {
        self.fleet.as_ref()
    }

    /// The same pool with these limits on the bytes of a run.
    #[must_use]
    pub fn with_limits(self, limits: RunLimits) -> Self {
        Self { limits, ..self }
    }

    /// The limits on the bytes of a run.
    #[must_use]
    pub fn limits(&self) -> RunLimits {
        self.limits
    }

    /// The directory of a runner; that of a sandboxed one includes the `/tmp` of its steps.
    #[must_use]
    pub fn directory(&self, runner: &RunnerId) -> PathBuf {
        self.options.directory.join(runner.as_str())
    }

    /// The same pool, which runs untrusted runs in a sandbox.
    #[must_use]
    pub fn with_untrusted_sandbox(self, options: Untrusted) -> Self {
        let (binary, runners) = (self.options.binary.clone(), self.options.directory.clone());
        Self { untrusted: Some(Sandbox::untrusted(options, binary, runners)), ..self }
    }

    /// The same pool, which runs own commits in a sandbox as well, if a server made their
    /// workspace: the workspace of `plue run` belongs to its user. Call it after the environment is
    /// set.
    #[must_use]
    pub fn with_own_sandbox(self, options: Local) -> Self {
        let required = options.required;
        let sandbox = self.own_sandbox(options);
        let own = match required {
            None => OwnRuns::Sandboxed(sandbox),
            Some(RequiredFor::All) => OwnRuns::Required { sandbox, all: true },
            Some(RequiredFor::ServersWorkspaces) => OwnRuns::Required { sandbox, all: false },
        };
        Self { own, ..self }
    }

    /// Whether a server made the workspace.
    fn is_servers(&self, workspace: &Path) -> bool {
        let state = self.options.directory.parent();
        state.is_some_and(|state| workspace.starts_with(state.join("workspaces")))
    }

    fn own_sandbox(&self, options: Local) -> Sandbox {
        let (binary, runners) = (self.options.binary.clone(), self.options.directory.clone());
        Sandbox::own(options, self.environment.clone(), binary, runners)
    }

    /// The isolation of untrusted runs on this machine. Tries the sandbox, unless a try has
    /// succeeded before.
    pub async fn untrusted_isolation(&self) -> Isolation {
        self.tried(self.untrusted.as_ref()).await
    }

    /// The isolation of runs of own commits on this machine.
    pub async fn own_isolation(&self) -> Isolation {
        match &self.own {
            OwnRuns::Open => Isolation::Off,
            OwnRuns::Sandboxed(sandbox) | OwnRuns::Required { sandbox, .. } => {
                self.tried(Some(sandbox)).await
            }
        }
    }

    /// The reason that a run of an own commit must wait here; `None`: it need not. Tries the
    /// sandbox, unless a try has succeeded before.
    pub async fn missing_isolation(&self, workspace: &Path) -> Option<String> {
        if !self.requires_sandbox_for(WorkDir { workspace, untrusted: false, scope: None }) {
            return None;
        }
        match self.own_isolation().await {
            Isolation::Missing(why) => Some(why),
            Isolation::Off | Isolation::Ready(_) => None,
        }
    }

    fn requires_sandbox_for(&self, work_dir: WorkDir<'_>) -> bool {
        match self.own {
            OwnRuns::Open | OwnRuns::Sandboxed(_) => false,
            OwnRuns::Required { all, .. } => all || self.is_servers(work_dir.workspace),
        }
    }

    async fn tried(&self, sandbox: Option<&Sandbox>) -> Isolation {
        match sandbox {
            None => Isolation::Off,
            Some(_) if self.dial.is_some() => Isolation::Missing(NOT_OURS.to_owned()),
            Some(sandbox) => match sandbox.check(&self.clock).await {
                Ok(open) => Isolation::Ready(open),
                Err(why) => Isolation::Missing(why),
            },
        }
    }

    /// The same pool, but its runners come from `dial` instead of processes that it starts.
    #[must_use]
    pub fn dialed_by(self, dial: Arc<dyn Dial>) -> Self {
        Self { dial: Some(dial), ..self }
    }

    /// Leases a runner to a run: one without a run if there is any for this workspace, else a new
    /// one; with `adopt` the one that an earlier engine started for it. Returns at once:
    /// [`crate::PoolEvent::Ready`] follows if [`Lease::session`] gives none.
    ///
    /// # Errors
    /// The runner's row cannot be stored.
    pub async fn lease(
        &self,
        run: &RunId,
        work_dir: WorkDir<'_>,
        ids: &Ids,
        adopt: Option<RunnerId>,
    ) -> Result<Lease, Error> {
        if let Some(runner) = adopt {
            let directory = self.options.directory.join(runner.as_str());
            let sandbox = self.sandbox_of(&runner, SandboxDirs::trust(&directory), work_dir)?;
            // Across engines the token is a file that only this user reads; see docs/decisions/0006.
            let token = read_token(&directory)?;
            let start = RunnerStart { runner, token, work_dir, python: false };
            return self.supervise(start, sandbox).map(Lease::adopted);
        }
        if work_dir.untrusted {
            // Never shared with another run.
            return self.start(Some(run), work_dir, false, ids).await;
        }
        match self.take_idle(run, work_dir).await? {
            Some(lease) => Ok(lease),
            None => self.start(Some(run), work_dir, false, ids).await,
        }
    }

    /// Makes a runner for a workspace; `python`: Python steps are likely.
    pub(crate) async fn start(
        &self,
        run: Option<&RunId>,
        work_dir: WorkDir<'_>,
        python: bool,
        ids: &Ids,
    ) -> Result<Lease, Error> {
        let (runner, token) = (ids.runner(), ids.secret());
        // Before there is a row: an error here leaves no row of a runner that never starts.
        let sandbox = self.sandbox_for(work_dir).await?;
        let pool = if work_dir.untrusted { UNTRUSTED_POOL } else { POOL };
        let _making = self.making()?;
        // Row first: a directory without a row would never be found.
        let hash = hex::encode(Sha256::digest(token.as_bytes()));
        self.store.runners().register(&runner, pool, &hash, run, self.clock.now()).await?;
        prepare(&self.options.directory.join(runner.as_str()), &token)?;
        if sandbox.is_some() && self.can_move(work_dir) {
            self.move_in(&runner, work_dir.workspace);
        }
        self.supervise(RunnerStart { runner, token, work_dir, python }, sandbox)
    }

    /// The sandbox for a new runner; `None`: it needs none.
    async fn sandbox_for(&self, work_dir: WorkDir<'_>) -> Result<Option<Sandbox>, Error> {
        if work_dir.untrusted {
            return self.untrusted_sandbox().map(Some);
        }
        let (sandbox, is_required) = match &self.own {
            OwnRuns::Open => return Ok(None),
            OwnRuns::Required { all: true, .. } if !self.is_servers(work_dir.workspace) => {
                return Err(Error::NotIsolated(
                    "its workspace is not one that a server made".to_owned(),
                ));
            }
            OwnRuns::Sandboxed(_) | OwnRuns::Required { .. }
                if !self.is_servers(work_dir.workspace) =>
            {
                return Ok(None);
            }
            OwnRuns::Sandboxed(sandbox) => (sandbox, false),
            OwnRuns::Required { sandbox, .. } => (sandbox, true),
        };
        match self.tried(Some(sandbox)).await {
            Isolation::Ready(_) => Ok(Some(sandbox.clone())),
            Isolation::Off => Ok(None),
            Isolation::Missing(why) if is_required => Err(Error::NotIsolated(why)),
            Isolation::Missing(why) => {
                tracing::warn!(why, "no sandbox is available; running an own commit without one");
                Ok(None)
            }
        }
    }

    /// The sandbox of a runner that an earlier engine started: the kind of its start, regardless of
    /// the current configuration. An error if it is not enough for the run.
    fn sandbox_of(
        &self,
        runner: &RunnerId,
        trust: Option<Trust>,
        work_dir: WorkDir<'_>,
    ) -> Result<Option<Sandbox>, Error> {
        match (trust, work_dir.untrusted) {
            (Some(Trust::Untrusted), true) => self.untrusted_sandbox().map(Some),
            (Some(Trust::Own), false) => Ok(Some(match &self.own {
                OwnRuns::Sandboxed(sandbox) | OwnRuns::Required { sandbox, .. } => sandbox.clone(),
                OwnRuns::Open => self.own_sandbox(Local::default()),
            })),
            (None, false) if !self.requires_sandbox_for(work_dir) => Ok(None),
            (None | Some(_), _) => {
                Err(Error::NotIsolated(format!("{runner} was started for another kind of run")))
            }
        }
    }

    fn untrusted_sandbox(&self) -> Result<Sandbox, Error> {
        if self.dial.is_some() {
            return Err(Error::NotIsolated(NOT_OURS.to_owned()));
        }
        let off = || Error::NotIsolated("pools.untrusted.mode is off".to_owned());
        self.untrusted.clone().ok_or_else(off)
    }

    fn supervise(&self, start: RunnerStart<'_>, sandbox: Option<Sandbox>) -> Result<Lease, Error> {
        let RunnerStart { runner, token, work_dir, python } = start;
        let directory = self.options.directory.join(runner.as_str());
        let failed = |source| Error::Prepare { path: directory.clone(), source };
        let dirs = sandbox.map(|sandbox| {
            let mut dirs = sandbox.dirs(&directory, work_dir.workspace)?;
            // Its engine died before it had moved the workspace of the next run in.
            if dirs.places().is_some() && !dirs.has_files() {
                dirs.enter(work_dir.workspace)?;
            }
            Ok((sandbox, dirs))
        });
        let dirs = dirs.transpose().map_err(failed)?;
        let moves = self.moves(work_dir, dirs.as_ref());
        let led = idle::lead(&directory)?;
        let (command_sender, commands) = mpsc::channel(COMMAND_QUEUE);
        let (events, event_receiver) = mpsc::channel(EVENT_QUEUE);
        if let Some(dial) = self.dial.clone() {
            let (pool, runner) = (self.clone(), runner.clone());
            let dialed =
                Dialed { pool, dial, runner, token, directory, events, commands, _led: led };
            let lease = Lease::new(dialed.runner.clone(), command_sender, event_receiver);
            self.tasks.spawn("runner", dialed.run());
            return Ok(lease);
        }
        let supervisor = Supervisor {
            pool: self.clone(),
            runner: runner.clone(),
            token,
            workspace: work_dir.workspace.to_owned(),
            place: moves.as_ref().map(|moves| moves.place(work_dir.workspace)),
            dirs,
            python,
            directory,
            events,
            commands,
            history: History::default(),
            _led: led,
        };
        self.tasks.spawn("runner", supervisor.run());
        let lease = Lease::new(runner, command_sender, event_receiver).movable(moves);
        Ok(if work_dir.untrusted { lease.for_one_run() } else { lease })
    }

    /// Kills the processes of a runner that is never leased again, and deletes its directory.
    pub async fn discard(&self, runner: &RunnerId) {
        let directory = self.options.directory.join(runner.as_str());
        match &self.dial {
            Some(dial) => dial.discard(runner),
            None => orphans::end(&directory, &self.clock).await,
        }
        self.remove_directory(runner);
    }
}

/// Makes the runner's private directory and stores its token there for a later engine.
fn prepare(directory: &Path, token: &str) -> Result<(), Error> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let failed = |source| Error::Prepare { path: directory.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(directory.join("token.new"))
        .map_err(failed)?;
    io::Write::write_all(&mut file, token.as_bytes()).map_err(failed)?;
    // Atomic: an interrupted write leaves no token.
    std::fs::rename(directory.join("token.new"), directory.join("token")).map_err(failed)
}

fn read_token(directory: &Path) -> Result<String, Error> {
    std::fs::read_to_string(directory.join("token"))
        .map_err(|source| Error::Prepare { path: directory.to_owned(), source })
}
