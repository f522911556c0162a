//! The sandbox of a runner and its steps: bubblewrap gives them namespaces of their own with a
//! read-only system, the workspace and the runner's files, and nothing else of this machine. See
//! docs/decisions/0028-untrusted-runs-are-sandboxed.md and, for own commits,
//! docs/decisions/0043-own-commits-run-in-a-sandbox.md.
//!
//! Must not run anything without the whole sandbox: a missing part is an error that names it.

mod arguments;
mod dirs;
mod options;
mod ownership;
mod places;

use std::{
    ffi::OsString,
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

pub(crate) use dirs::SandboxDirs;
pub use options::{Local, RequiredFor, Untrusted};
pub(crate) use options::{Rules, Trust};
pub(crate) use places::Places;

/// Time limit of a try. Making and removing network namespaces waits for others on a busy machine.
const TRY_WITHIN: Duration = Duration::from_secs(60);
/// Characters of bubblewrap's message that are shown.
const MAX_MESSAGE_CHARS: usize = 300;
/// Folders in which programs are searched: the PATH of the server's user does not count.
const FOLDERS: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/bin", "/run/current-system/sw/bin"];

/// Writable folders of a sandbox in addition to workspace and home.
const SCRATCH: [&str; 2] = ["/tmp", "/dev/shm"];
/// Arguments of a runner that only tries its sandbox.
const TRY: &[&str] =
    &["--connect", "unix:/", "--runner", "try", "--workspace", "/", "--state", "/", "--try"];

/// The outermost process, a shell. It closes descriptors inherited from the server, and does not
/// pass its standard output, which is the runner's lock, on.
const HOLDER: &str = r#"for fd in /proc/$$/fd/*; do
    if [ "${fd##*/}" -gt 2 ]; then eval "exec ${fd##*/}>&-"; fi
done
"$@" >/dev/null
exit $?"#;

/// The isolation of runs on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// Disabled by the operator.
    Off,
    /// Available; with the gaps that this kernel leaves open.
    Ready(Arc<[String]>),
    /// Not available, for this reason.
    Missing(String),
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sandbox {
    rules: Rules,
    /// Path of the `plue-runner` binary.
    binary: PathBuf,
    /// The directory of all runners.
    runners: PathBuf,
    /// Gaps that the first successful try left open; a failed try is repeated.
    stood: Arc<OnceCell<Arc<[String]>>>,
}

// === impl Sandbox ===

impl Sandbox {
    /// The sandbox of untrusted runs. `binary`: the runner; `runners`: the directory of all
    /// runners.
    #[must_use]
    pub fn untrusted(options: Untrusted, binary: PathBuf, runners: PathBuf) -> Self {
        Self { rules: Rules::of_untrusted(options), binary, runners, stood: Arc::default() }
    }

    /// The sandbox of runs of own commits, whose steps have these variables of the machine.
    #[must_use]
    pub fn own(
        options: Local,
        environment: Vec<(String, String)>,
        binary: PathBuf,
        runners: PathBuf,
    ) -> Self {
        let rules = Rules::of_own(options, environment);
        Self { rules, binary, runners, stood: Arc::default() }
    }

    /// Starts the runner in the sandbox as a test of this machine; returns the gaps that the kernel
    /// leaves open. A success is cached.
    ///
    /// # Errors
    /// The missing part and its remedy, in words.
    pub async fn check(&self, clock: &Clock) -> Result<Arc<[String]>, String> {
        self.stood.get_or_try_init(|| self.try_once(clock)).await.cloned()
    }

    async fn try_once(&self, clock: &Clock) -> Result<Arc<[String]>, String> {
        let directory = self.runners.join(format!("try-{}", Ids::random().text()));
        let tried = self.try_in(&directory, clock).await;
        let _of_no_use = fs::remove_dir_all(&directory);
        tried
    }

    async fn try_in(&self, directory: &Path, clock: &Clock) -> Result<Arc<[String]>, String> {
        let failed = |error: io::Error| format!("cannot prepare {}: {error}", directory.display());
        let workspace = directory.join("workspace");
        let mut folders = fs::DirBuilder::new();
        folders.recursive(true).mode(0o700).create(&workspace).map_err(failed)?;
        let dirs = self.dirs(directory, &workspace).map_err(failed)?;
        let mut arguments: Vec<OsString> = TRY.iter().map(OsString::from).collect();
        arguments.extend(self.limits().into_iter().map(OsString::from));
        let mut command = self.command(&dirs, &arguments)?;
        self.prepare(&dirs)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.kill_on_drop(true).spawn();
        let child = child.map_err(|error| format!("bash cannot be started: {error}"))?;
        let output = tokio::select! {
            output = child.wait_with_output() => output.map_err(|error| error.to_string())?,
            () = clock.sleep(TRY_WITHIN) => return Err("bubblewrap does not come to an end".to_owned()),
        };
        let message = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            let open = message.lines().filter(|_| self.rules.network).map(str::to_owned);
            return Ok(open.collect());
        }
        let message: String = message.trim().chars().take(MAX_MESSAGE_CHARS).collect();
        Err(format!(
            "bubblewrap does not work here ({message}); it needs unprivileged user namespaces \
             (kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, the \
             profile of a container) and bubblewrap 0.8 or newer"
        ))
    }

    /// Makes the folders of a runner in its directory.
    ///
    /// # Errors
    /// They cannot be made.
    pub(crate) fn dirs(&self, directory: &Path, workspace: &Path) -> io::Result<SandboxDirs> {
        SandboxDirs::new(directory, workspace, &self.rules)
    }

    /// Folders that hold what steps leave behind, as they see them.
    pub(crate) fn scratch(&self) -> Vec<String> {
        let home = self.rules.has_own_home().then(|| self.rules.home_inside());
        let home = home.map(|home| home.display().to_string());
        let queues = arguments::has_queues().then(|| arguments::QUEUES.to_owned());
        SCRATCH.map(str::to_owned).into_iter().chain(queues).chain(home).collect()
    }

    /// Arguments with which the runner restricts itself and its steps.
    fn limits(&self) -> Vec<String> {
        let mut words = vec!["--confined".to_owned()];
        if let Some((processes, memory)) = self.rules.limits {
            let [processes, memory] = [processes, memory].map(|limit| limit.to_string());
            words.extend([
                "--max-processes".to_owned(),
                processes,
                "--max-memory".to_owned(),
                memory,
            ]);
        }
        words
    }

    /// The command that starts the runner with these arguments. Its outermost process alone has
    /// `lock`, and everything inside dies with it.
    ///
    /// # Errors
    /// As [`Sandbox::check`], and folders that cannot be handed over.
    pub(crate) fn start(
        &self,
        dirs: &SandboxDirs,
        arguments: &[OsString],
        lock: File,
    ) -> Result<Command, String> {
        self.prepare(dirs)?;
        let mut all = arguments.to_vec();
        all.extend(self.limits().into_iter().map(OsString::from));
        let mut command = self.command(dirs, &all)?;
        command.stdout(lock);
        Ok(command)
    }

    /// Gives the folders of the steps to their user.
    fn prepare(&self, dirs: &SandboxDirs) -> Result<(), String> {
        dirs.hand_over()
            .map_err(|error| format!("the workspace cannot be handed over: {error}"))?;
        let Some(home) = &self.rules.home else { return Ok(()) };
        dirs.make_home(home).map_err(|error| format!("{}: {error}", home.display()))
    }

    fn command(&self, dirs: &SandboxDirs, arguments: &[OsString]) -> Result<Command, String> {
        let bwrap = found("bwrap")
            .ok_or_else(|| "bubblewrap is not installed (apt-get install bubblewrap)".to_owned())?;
        let state = self.runners.parent().unwrap_or(&self.runners);
        let state = fs::canonicalize(state).map_err(|error| error.to_string())?;
        if state.starts_with(&dirs.workspace) {
            return Err("the state directory lies in the workspace".to_owned());
        }
        let binary = fs::canonicalize(&self.binary)
            .map_err(|error| format!("{}: {error}", self.binary.display()))?;
        let bwrap = arguments::Bubblewrap { program: &bwrap, state: &state, binary: &binary, dirs };
        let mut words = match dirs.owner {
            None => bwrap.inside(&self.rules, &arguments::Sources::of(&bwrap, &self.rules)),
            Some(owner) => {
                let setpriv = found("setpriv").ok_or("setpriv is not installed (util-linux)")?;
                let mut words = bwrap.unprivileged(owner, &setpriv, &self.rules);
                words.extend(bwrap.inside(&self.rules, &arguments::Sources::gathered(&self.rules)));
                words
            }
        };
        words.extend_from_slice(arguments);
        let bash = found("bash").ok_or("bash is not installed")?;
        let mut command = Command::new(bash);
        command.args(["-c", HOLDER, "plue-sandbox"]).args(words).env_clear();
        command.envs(self.rules.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

fn found(program: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}
