//! Walls around the runner of a stranger's run, and so around its steps: bubblewrap gives them
//! namespaces of their own, in which there is a read-only system, the workspace and the runner's
//! buffer, and nothing else of this machine. See docs/decisions/0028-strangers-run-behind-walls.md.
//!
//! Must not run anything without all of the walls: what is missing is an error that says so.

mod arguments;
mod ownership;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use plue_runtime::{Clock, Ids};
use tokio::{process::Command, sync::OnceCell};

pub(crate) use ownership::{give, owner_of};

/// How long a try may take. Making and removing network namespaces waits for others on a busy machine.
const TRY_WITHIN: Duration = Duration::from_secs(60);
/// Characters of what bubblewrap said that are shown.
const MAX_SAID: usize = 300;
/// Where the program is looked for: the environment of whoever starts a server does not count.
const FOLDERS: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/bin", "/run/current-system/sw/bin"];

/// The shell that stands for all. It lets go of what whoever started the server left open, and keeps its
/// standard output, which is the lock, to itself.
const HOLDER: &str = r#"for fd in /proc/$$/fd/*; do
    if [ "${fd##*/}" -gt 2 ]; then eval "exec ${fd##*/}>&-"; fi
done
"$@" >/dev/null
exit $?"#;

/// What the operator sets of the pool for strangers' runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted {
    /// Whether the steps have this machine's network, with all that it reaches.
    pub network: bool,
    /// Files and folders of this machine that the steps may read beside the system.
    pub read: Vec<PathBuf>,
    /// Processes and threads of one run at most.
    pub max_processes: u64,
    /// Bytes of memory of its own that one process may have at most.
    pub max_memory_bytes: u64,
}

/// Whether runs of strangers can be kept apart from everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Apart {
    /// The operator does not want them to be.
    Off,
    /// They can.
    Ready,
    /// They cannot, for this reason.
    Missing(String),
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Walls {
    options: Untrusted,
    /// The runner's program.
    binary: PathBuf,
    /// The directory of all runners.
    runners: PathBuf,
    /// That they stood once; that they do not is looked at again.
    stood: Arc<OnceCell<()>>,
}

/// The folders of one runner behind walls.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    /// Where the steps work.
    workspace: PathBuf,
    /// What the runner writes, and the socket: all that it sees of its directory.
    inner: PathBuf,
    /// What they have as `/tmp`. Not in `inner`: whoever may rename a folder there could put a link to
    /// anything in its place, and the next start would follow it.
    tmp: PathBuf,
    /// The machine's few files that differ: users, groups, hosts.
    etc: PathBuf,
    /// The user that the steps are outside; none: the one of this process.
    owner: Option<u32>,
}

// === impl Untrusted ===

impl Default for Untrusted {
    fn default() -> Self {
        Self {
            network: false,
            read: Vec::new(),
            max_processes: 1_024,
            max_memory_bytes: 8 * 1024 * 1024 * 1024,
        }
    }
}

// === impl Cell ===

impl Cell {
    /// The part of a runner's directory that it sees itself.
    pub(crate) fn inner(directory: &Path) -> PathBuf {
        directory.join("box")
    }

    /// The cell of a runner's directory, made if it is not there.
    fn new(directory: &Path, workspace: &Path) -> io::Result<Self> {
        let directory = fs::canonicalize(directory)?;
        let inner = Self::inner(&directory);
        let (tmp, etc) = (directory.join("tmp"), directory.join("etc"));
        for folder in [&inner, &tmp, &etc] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        fs::write(etc.join("passwd"), "plue:x:1000:1000:plue:/tmp:/bin/bash\n")?;
        fs::write(etc.join("group"), "plue:x:1000:\n")?;
        fs::write(etc.join("hosts"), "127.0.0.1 localhost plue\n::1 localhost\n")?;
        let workspace = fs::canonicalize(workspace)?;
        let owner = rustix::process::geteuid().is_root().then(|| owner_of(&workspace));
        Ok(Self { workspace, inner, tmp, etc, owner })
    }

    /// The folder of the runner's buffer, socket and lock.
    pub(crate) fn state(&self) -> &Path {
        &self.inner
    }

    /// The folder in which the steps work, as they see it.
    pub(crate) fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// What the runner remembers of the workspace: its own, for nobody else may believe it.
    pub(crate) fn index(&self) -> PathBuf {
        self.inner.join("workspace.index")
    }

    /// Lets the runner use a file that this process has made.
    pub(crate) fn share(&self, path: &Path) -> io::Result<()> {
        match self.owner {
            Some(owner) => std::os::unix::fs::lchown(path, Some(owner), Some(owner)),
            None => Ok(()),
        }
    }

    /// Makes what the steps may write theirs, where this process is root and they are not.
    fn hand_over(&self) -> io::Result<()> {
        let Some(owner) = self.owner else { return Ok(()) };
        [&self.workspace, &self.inner, &self.tmp].iter().try_for_each(|path| give(path, owner))
    }
}

// === impl Walls ===

impl Walls {
    /// Walls as the operator wants them, for this program as runner, below this directory.
    #[must_use]
    pub fn new(options: Untrusted, binary: PathBuf, runners: PathBuf) -> Self {
        Self { options, binary, runners, stood: Arc::default() }
    }

    /// Tries whether this machine has all that is needed, by starting the runner behind them. What
    /// works once is not tried again.
    ///
    /// # Errors
    /// What is missing and what to do about it, in words.
    pub async fn check(&self, clock: &Clock) -> Result<(), String> {
        self.stood.get_or_try_init(|| self.try_once(clock)).await.copied()
    }

    async fn try_once(&self, clock: &Clock) -> Result<(), String> {
        let directory = self.runners.join(format!("try-{}", Ids::random().text()));
        let tried = self.try_in(&directory, clock).await;
        let _of_no_use = fs::remove_dir_all(&directory);
        tried
    }

    async fn try_in(&self, directory: &Path, clock: &Clock) -> Result<(), String> {
        let failed = |error: io::Error| format!("cannot prepare {}: {error}", directory.display());
        let workspace = directory.join("workspace");
        let mut folders = fs::DirBuilder::new();
        folders.recursive(true).mode(0o700).create(&workspace).map_err(failed)?;
        let cell = Cell::new(directory, &workspace).map_err(failed)?;
        let mut command = self.command(&cell, &["--version".into()])?;
        cell.hand_over().map_err(failed)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.kill_on_drop(true).spawn();
        let child = child.map_err(|error| format!("bash cannot be started: {error}"))?;
        let output = tokio::select! {
            output = child.wait_with_output() => output.map_err(|error| error.to_string())?,
            () = clock.sleep(TRY_WITHIN) => return Err("bubblewrap does not come to an end".to_owned()),
        };
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(MAX_SAID).collect();
        Err(format!(
            "bubblewrap does not work here ({said}); it needs unprivileged user namespaces \
             (kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, the \
             profile of a container) and bubblewrap 0.8 or newer"
        ))
    }

    /// Makes the folders of a runner in its directory.
    ///
    /// # Errors
    /// They cannot be made.
    pub(crate) fn cell(&self, directory: &Path, workspace: &Path) -> io::Result<Cell> {
        Cell::new(directory, workspace)
    }

    /// The command that starts the runner with these arguments. Its first process stands for all: it
    /// alone holds `held`, and everything dies with it.
    ///
    /// # Errors
    /// As [`Walls::check`], and folders that cannot be handed over.
    pub(crate) fn start(
        &self,
        cell: &Cell,
        arguments: &[std::ffi::OsString],
        held: File,
    ) -> Result<Command, String> {
        cell.hand_over()
            .map_err(|error| format!("the workspace cannot be handed over: {error}"))?;
        let mut all = arguments.to_vec();
        all.extend([
            "--confined".into(),
            "--max-processes".into(),
            self.options.max_processes.to_string().into(),
            "--max-memory".into(),
            self.options.max_memory_bytes.to_string().into(),
        ]);
        let mut command = self.command(cell, &all)?;
        command.stdout(held);
        Ok(command)
    }

    fn command(&self, cell: &Cell, arguments: &[std::ffi::OsString]) -> Result<Command, String> {
        let bwrap = found("bwrap")
            .ok_or_else(|| "bubblewrap is not installed (apt-get install bubblewrap)".to_owned())?;
        let state = self.runners.parent().unwrap_or(&self.runners);
        let state = fs::canonicalize(state).map_err(|error| error.to_string())?;
        if state.starts_with(&cell.workspace) {
            return Err("the state directory lies in the workspace".to_owned());
        }
        let binary = fs::canonicalize(&self.binary)
            .map_err(|error| format!("{}: {error}", self.binary.display()))?;
        let place = arguments::Place { bwrap: &bwrap, state: &state, binary: &binary, cell };
        let mut words = match cell.owner {
            None => place.inside(&self.options, &arguments::Sources::of(&place)),
            Some(owner) => {
                let setpriv = found("setpriv").ok_or("setpriv is not installed (util-linux)")?;
                let mut words = place.unprivileged(owner, &setpriv);
                words.extend(place.inside(&self.options, &arguments::Sources::gathered()));
                words
            }
        };
        words.extend_from_slice(arguments);
        let bash = found("bash").ok_or("bash is not installed")?;
        let mut command = Command::new(bash);
        command.args(["-c", HOLDER, "plue-walls"]).args(words).env_clear();
        Ok(command)
    }
}

fn found(program: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}
