//! The local pool: a runner is a process on this machine that dials back over a Unix socket.
//!
//! A runner outlives its engine: it keeps running, keeps what was not acknowledged on disk, and
//! tries its socket again. Whoever takes the run up binds that socket again ([`LocalPool::lease`]
//! with the same runner id) and gets everything from where the last engine stopped. A runner that
//! died meanwhile is started again on its directory and delivers what it had taken in.

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
    dialed::{Dial, Dialed},
    error::Error,
    idle::{self, Idle},
    keeping::RunLimits,
    lease::{COMMAND_QUEUE, EVENT_QUEUE, Lease},
    leftovers,
    supervisor::Supervisor,
    walls::{Apart, Cell, Local, RequiredFor, Trust, Untrusted, Walls},
};

/// The name local runners are registered under.
pub const POOL: &str = "local";
/// The name those behind walls are registered under.
pub const UNTRUSTED_POOL: &str = "untrusted";

/// The reason that runners of [`LocalPool::dialed_by`] have no sandbox.
const NOT_OURS: &str = "runners are not processes of this machine";

/// Where things are.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `plue-runner` binary.
    pub binary: PathBuf,
    /// Directory of the runners' sockets and buffers; `<id>/` for each.
    pub directory: PathBuf,
}

/// Where the steps of a run are to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The folder.
    pub workspace: &'a Path,
    /// They are a stranger's: behind walls, or not at all.
    pub untrusted: bool,
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
    /// Bytes that a run may have.
    pub(crate) limits: RunLimits,
    /// For the runs of strangers; none: they are not kept apart.
    pub(crate) walls: Option<Walls>,
    /// For all other runs.
    pub(crate) own: Own,
    /// Variables of this machine that steps have.
    pub(crate) environment: Vec<(String, String)>,
}

/// The isolation of runs of own commits.
#[derive(Debug, Clone)]
pub(crate) enum Own {
    /// No isolation: runners start without a sandbox.
    Open,
    /// Behind walls, where this machine has them.
    Walled(Walls),
    /// Behind walls, or not at all; with `all` also those in workspaces that no server made.
    Required { walls: Walls, all: bool },
}

// === impl LocalPool ===

impl LocalPool {
    /// A pool without runners.
    #[must_use]
    pub fn new(options: Options, store: Store, clock: Clock, tasks: Tasks) -> Self {
        let (dial, idle, walls, own) = (None, Idle::default(), None, Own::Open);
        let (limits, environment) = (RunLimits::default(), Vec::new());
        Self { options, store, clock, tasks, dial, idle, limits, walls, own, environment }
    }

    /// The same pool, and its steps have these variables of this machine.
    #[must_use]
    pub fn with_environment(self, environment: Vec<(String, String)>) -> Self {
        Self { environment, ..self }
    }

    /// The same pool, whose runs may have so many bytes.
    #[must_use]
    pub fn limited(self, limits: RunLimits) -> Self {
        Self { limits, ..self }
    }

    /// The bytes that a run may have.
    #[must_use]
    pub fn limits(&self) -> RunLimits {
        self.limits
    }

    /// The directory of a runner, with what its steps have as `/tmp` if it is behind walls.
    #[must_use]
    pub fn directory(&self, runner: &RunnerId) -> PathBuf {
        self.options.directory.join(runner.as_str())
    }

    /// The same pool, and runs of strangers are behind walls.
    #[must_use]
    pub fn apart(self, options: Untrusted) -> Self {
        let (binary, runners) = (self.options.binary.clone(), self.options.directory.clone());
        Self { walls: Some(Walls::untrusted(options, binary, runners)), ..self }
    }

    /// The same pool, and runs of own commits are behind walls as well, if a server made their
    /// workspace: the one of `plue run` is its user's, who runs it. After its environment is set.
    #[must_use]
    pub fn walled(self, options: Local) -> Self {
        let required = options.required;
        let walls = self.own_walls(options);
        let own = match required {
            None => Own::Walled(walls),
            Some(RequiredFor::All) => Own::Required { walls, all: true },
            Some(RequiredFor::ServersWorkspaces) => Own::Required { walls, all: false },
        };
        Self { own, ..self }
    }

    /// Whether a server made the workspace.
    fn is_servers(&self, workspace: &Path) -> bool {
        let state = self.options.directory.parent();
        state.is_some_and(|state| workspace.starts_with(state.join("workspaces")))
    }

    fn own_walls(&self, options: Local) -> Walls {
        let (binary, runners) = (self.options.binary.clone(), self.options.directory.clone());
        Walls::own(options, self.environment.clone(), binary, runners)
    }

    /// Whether runs of strangers can be kept apart here. Tries it, if it has not worked before.
    pub async fn is_apart(&self) -> Apart {
        self.tried(self.walls.as_ref()).await
    }

    /// Whether runs of own commits are kept apart here.
    pub async fn is_walled(&self) -> Apart {
        match &self.own {
            Own::Open => Apart::Off,
            Own::Walled(walls) | Own::Required { walls, .. } => self.tried(Some(walls)).await,
        }
    }

    /// The reason that a run of an own commit must wait here; `None`: it need not. Tries the
    /// sandbox, unless a try has succeeded before.
    pub async fn why_held(&self, workspace: &Path) -> Option<String> {
        if !self.requires_walls_for(Place { workspace, untrusted: false }) {
            return None;
        }
        match self.is_walled().await {
            Apart::Missing(why) => Some(why),
            Apart::Off | Apart::Ready(_) => None,
        }
    }

    fn requires_walls_for(&self, place: Place<'_>) -> bool {
        match self.own {
            Own::Open | Own::Walled(_) => false,
            Own::Required { all, .. } => all || self.is_servers(place.workspace),
        }
    }

    async fn tried(&self, walls: Option<&Walls>) -> Apart {
        match walls {
            None => Apart::Off,
            Some(_) if self.dial.is_some() => Apart::Missing(NOT_OURS.to_owned()),
            Some(walls) => match walls.check(&self.clock).await {
                Ok(open) => Apart::Ready(open),
                Err(why) => Apart::Missing(why),
            },
        }
    }

    /// The same pool, but its runners are not processes that it starts: they come from here.
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
        place: Place<'_>,
        ids: &Ids,
        adopt: Option<RunnerId>,
    ) -> Result<Lease, Error> {
        if let Some(runner) = adopt {
            let directory = self.options.directory.join(runner.as_str());
            let walls = self.walls_of(&runner, Cell::trust(&directory), place)?;
            // Across engines the token is a file that only this user reads; see docs/decisions/0006.
            let token = read_token(&directory)?;
            return self.supervise((runner, token), walls, (place, false));
        }
        if place.untrusted {
            // Never one that another run has had, nor one that another will have.
            return self.start(Some(run), (place, false), ids).await;
        }
        match self.take_idle(run, place.workspace).await? {
            Some(lease) => Ok(lease),
            None => self.start(Some(run), (place, false), ids).await,
        }
    }

    /// Makes a runner for a workspace, and tells it whether Python steps are likely.
    pub(crate) async fn start(
        &self,
        run: Option<&RunId>,
        (place, python): (Place<'_>, bool),
        ids: &Ids,
    ) -> Result<Lease, Error> {
        let (runner, token) = (ids.runner(), ids.secret());
        // Before there is a row: an error here leaves no row of a runner that never starts.
        let walls = self.walls_for(place).await?;
        let pool = if place.untrusted { UNTRUSTED_POOL } else { POOL };
        let _making = self.making()?;
        // Row first: a directory without one would be found by nobody.
        let hash = hex::encode(Sha256::digest(token.as_bytes()));
        self.store.register_runner(&runner, pool, &hash, run, self.clock.now()).await?;
        prepare(&self.options.directory.join(runner.as_str()), &token)?;
        self.supervise((runner, token), walls, (place, python))
    }

    /// The walls for a new runner; none: it needs none.
    async fn walls_for(&self, place: Place<'_>) -> Result<Option<Walls>, Error> {
        if place.untrusted {
            return self.untrusted_walls().map(Some);
        }
        let (walls, is_required) = match &self.own {
            Own::Open => return Ok(None),
            Own::Required { all: true, .. } if !self.is_servers(place.workspace) => {
                return Err(Error::NotApart(
                    "its workspace is not one that a server made".to_owned(),
                ));
            }
            Own::Walled(_) | Own::Required { .. } if !self.is_servers(place.workspace) => {
                return Ok(None);
            }
            Own::Walled(walls) => (walls, false),
            Own::Required { walls, .. } => (walls, true),
        };
        match self.tried(Some(walls)).await {
            Apart::Ready(_) => Ok(Some(walls.clone())),
            Apart::Off => Ok(None),
            Apart::Missing(why) if is_required => Err(Error::NotApart(why)),
            Apart::Missing(why) => {
                tracing::warn!(why, "a run of an own commit has no walls");
                Ok(None)
            }
        }
    }

    /// The sandbox of a runner that an earlier engine started: the kind that it had then, whatever
    /// the configuration is now, unless it is not enough for the run.
    fn walls_of(
        &self,
        runner: &RunnerId,
        trust: Option<Trust>,
        place: Place<'_>,
    ) -> Result<Option<Walls>, Error> {
        match (trust, place.untrusted) {
            (Some(Trust::Untrusted), true) => self.untrusted_walls().map(Some),
            (Some(Trust::Own), false) => Ok(Some(match &self.own {
                Own::Walled(walls) | Own::Required { walls, .. } => walls.clone(),
                Own::Open => self.own_walls(Local::default()),
            })),
            (None, false) if !self.requires_walls_for(place) => Ok(None),
            (None | Some(_), _) => {
                Err(Error::NotApart(format!("{runner} was started for another kind of run")))
            }
        }
    }

    fn untrusted_walls(&self) -> Result<Walls, Error> {
        if self.dial.is_some() {
            return Err(Error::NotApart(NOT_OURS.to_owned()));
        }
        let off = || Error::NotApart("pools.untrusted.mode is off".to_owned());
        self.walls.clone().ok_or_else(off)
    }

    fn supervise(
        &self,
        (runner, token): (RunnerId, String),
        walls: Option<Walls>,
        (place, python): (Place<'_>, bool),
    ) -> Result<Lease, Error> {
        let directory = self.options.directory.join(runner.as_str());
        let failed = |source| Error::Prepare { path: directory.clone(), source };
        let cell = walls.map(|walls| {
            let cell = walls.cell(&directory, place.workspace);
            cell.map(|cell| (walls, cell))
        });
        let cell = cell.transpose().map_err(failed)?;
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
            workspace: place.workspace.to_owned(),
            cell,
            python,
            directory,
            events,
            commands,
            left_in_order: false,
            _led: led,
        };
        self.tasks.spawn("runner", supervisor.run());
        let lease = Lease::new(runner, command_sender, event_receiver);
        Ok(if place.untrusted { lease.for_one_run() } else { lease })
    }

    /// Ends whatever is left of a runner that nobody will lease again, with all it still holds.
    pub async fn discard(&self, runner: &RunnerId) {
        let directory = self.options.directory.join(runner.as_str());
        match &self.dial {
            Some(dial) => dial.discard(runner),
            None => leftovers::end(&directory, &self.clock).await,
        }
        let _may_be_gone = std::fs::remove_dir_all(&directory);
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
        .open(directory.join("token.new"))
        .map_err(failed)?;
    io::Write::write_all(&mut file, token.as_bytes()).map_err(failed)?;
    // Whole or not at all.
    std::fs::rename(directory.join("token.new"), directory.join("token")).map_err(failed)
}

fn read_token(directory: &Path) -> Result<String, Error> {
    std::fs::read_to_string(directory.join("token"))
        .map_err(|source| Error::Prepare { path: directory.to_owned(), source })
}
