//! A Postgres for tests: started by the first test that wants one, in a temporary directory, shared by
//! all test processes of the machine's user, stopped and deleted some seconds after the last one.
//!
//! Each test gets an empty database of its own. The server listens on a socket in its directory only,
//! and does not wait for the disk. Needs Debian's `postgresql` package; as root the server runs as
//! another user, because Postgres refuses root.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Seconds between looks whether anybody still uses the server.
const IDLE_S: u32 = 10;
/// Connections that all tests together may open.
const CONNECTIONS: u32 = 200;
/// Seconds that a session of [`Database::hold`] lasts at most.
const HELD_S: u32 = 120;
/// The superuser; everybody who reaches the socket is trusted.
const USER: &str = "plue";

pub mod own;

/// An empty database; dropped with this value.
#[derive(Debug)]
pub struct Database {
    server: Server,
    name: String,
}

#[derive(Debug)]
struct Server {
    binaries: PathBuf,
    directory: PathBuf,
    /// Locked shared while the server is in use; the process that stops it takes it exclusively.
    _in_use: File,
}

/// The user that the server runs as, if it is not our own.
struct Account {
    name: &'static str,
    user: u32,
    group: u32,
}

// === impl Database ===

impl Database {
    /// Makes a database, and starts the server if none runs.
    ///
    /// # Panics
    /// If Postgres is not installed or does not start: a test cannot go on without it.
    #[must_use]
    pub fn create() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = Server::running();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}_{number}", std::process::id());
        let mut create = server.client("createdb");
        succeed(create.args(["--template", "template0"]).arg(&name));
        Self { server, name }
    }

    /// Its address, as `plue_store::StoreOptions` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        let host = self.server.directory.display();
        format!("postgres://{USER}@localhost/{}?host={host}", self.name)
    }

    /// Runs SQL as an administrator would with `psql`, and gives what it prints: one line per row,
    /// columns divided by `|`.
    ///
    /// # Panics
    /// If a statement fails.
    #[must_use]
    pub fn psql(&self, sql: &str) -> String {
        let mut psql = self.server.client("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.name, "-c", sql]);
        succeed(&mut psql)
    }
}

/// A session that holds what its transaction has locked; ended with this value.
#[derive(Debug)]
pub struct LockingSession<'a> {
    database: &'a Database,
    session: Child,
}

impl Database {
    /// Runs SQL in a session whose transaction stays open.
    ///
    /// # Panics
    /// If `psql` does not start.
    #[must_use]
    pub fn hold(&self, sql: &str) -> LockingSession<'_> {
        let mut psql = self.server.client("psql");
        let text = format!("BEGIN; {sql}; SELECT pg_sleep({HELD_S})");
        psql.args(["-X", "-q", "-d", &self.name, "-c", &text]).stdout(Stdio::null());
        psql.stderr(Stdio::null());
        LockingSession { database: self, session: psql.spawn().expect("psql can be started") }
    }
}

impl Drop for LockingSession<'_> {
    fn drop(&mut self) {
        let sessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                        WHERE datname = current_database() AND pid <> pg_backend_pid() \
                        AND query LIKE '%pg_sleep%'";
        let _ended = self.database.psql(sessions);
        let _reaped = self.session.wait();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let mut drop = self.server.client("dropdb");
        let _server_is_deleted_anyway = drop.args(["--force", "--if-exists", &self.name]).output();
    }
}

// === impl Server ===

impl Server {
    fn running() -> Self {
        let account = Account::for_server();
        let directory = directory(account.as_ref());
        let in_use = open_lock(&directory.join("in_use"));
        in_use.lock_shared().expect("the lock of the test server");
        let starting = open_lock(&directory.join("starting"));
        starting.lock().expect("the lock of the test server's start");
        let server = Self { binaries: binaries(), directory, _in_use: in_use };
        if !server.answers() {
            server.start(account.as_ref());
        }
        server
    }

    fn answers(&self) -> bool {
        let status = self.client("pg_isready").stdout(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn start(&self, account: Option<&Account>) {
        let data = self.directory.join("data");
        // A killed server may leave half-written data.
        let _may_not_exist = fs::remove_dir_all(&data);
        self.init(account);
        self.launch(account);
        self.watch(account);
    }

    fn init(&self, account: Option<&Account>) {
        let mut initdb = self.server_command("initdb", account);
        initdb.args(["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        let data = self.directory.join("data");
        succeed(initdb.arg(format!("--username={USER}")).arg("--pgdata").arg(&data));
    }

    /// Starts the server on the data that is there.
    fn launch(&self, account: Option<&Account>) {
        let data = self.directory.join("data");
        let socket = self.directory.display();
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{socket}' -c fsync=off \
             -c full_page_writes=off -c max_connections={CONNECTIONS} -c shared_buffers=32MB \
             -c autovacuum=off -c deadlock_timeout=100ms"
        );
        let mut start = self.server_command("pg_ctl", account);
        start.arg("start").arg("--pgdata").arg(&data).args(["--wait", "--silent"]);
        start.arg("--log").arg(data.join("log")).arg("--options").arg(options);
        // The server inherits them; a pipe would never end.
        start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = start.status().expect("pg_ctl can be started");
        assert!(status.success(), "Postgres does not start; see {}", data.join("log").display());
    }

    /// Leaves a process behind that stops and deletes the server when `in_use` is unlocked.
    fn watch(&self, account: Option<&Account>) {
        let (directory, binaries) = (self.directory.display(), self.binaries.display());
        let stop = format!(
            "'{binaries}/pg_ctl' stop --pgdata '{directory}/data' --mode immediate --silent; \
             rm -rf '{directory}/data'"
        );
        let script = format!(
            "while test -d '{directory}/data'; do sleep {IDLE_S}; \
             flock --exclusive --nonblock '{directory}/in_use' -c \"{stop}\"; done"
        );
        let mut shell = match account {
            Some(account) => account.run(Path::new("setsid")),
            None => Command::new("setsid"),
        };
        shell.args(["--fork", "sh", "-c", &script]).current_dir("/");
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = shell.status().expect("setsid can be started");
        assert!(status.success(), "the process that stops Postgres does not start");
    }

    /// A program that talks to the server.
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.arg("--host").arg(&self.directory).args(["--username", USER]);
        command
    }

    /// A program that is the server or works on its files.
    fn server_command(&self, program: &str, account: Option<&Account>) -> Command {
        let program = self.binaries.join(program);
        let mut command = match account {
            Some(account) => account.run(&program),
            None => Command::new(&program),
        };
        command.current_dir(&self.directory);
        command
    }
}

// === impl Account ===

impl Account {
    /// `None` unless we are root.
    fn for_server() -> Option<Self> {
        let root = fs::metadata("/proc/self").expect("/proc is there").uid() == 0;
        if !root {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
        let found = ["postgres", "nobody"].into_iter().find_map(|name| {
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut ids = line.split(':').skip(2).map(str::parse::<u32>);
            let (user, group) = (ids.next()?.ok()?, ids.next()?.ok()?);
            Some(Self { name, user, group })
        });
        Some(found.expect("there is a user `postgres` or `nobody`"))
    }

    fn run(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={}", self.user)).arg(format!("--regid={}", self.group));
        command.args(["--clear-groups", "--"]).arg(program);
        command
    }
}

/// `/tmp/plue-postgres-USER`, owned by the account of the server and closed to all others. Short,
/// because the path of a socket has at most 107 bytes.
fn directory(account: Option<&Account>) -> PathBuf {
    let own = fs::metadata("/proc/self").expect("/proc is there").uid();
    let name = account.map_or_else(|| own.to_string(), |account| account.name.to_owned());
    let directory = PathBuf::from("/tmp").join(format!("plue-postgres-{name}"));
    match fs::create_dir(&directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => panic!("{}: {error}", directory.display()),
    }
    give(&directory, account);
    directory
}

/// The same for one test alone.
fn fresh_directory(account: Option<&Account>) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("plue-postgres-own-{}-{number}", std::process::id());
    let directory = PathBuf::from("/tmp").join(name);
    // Left by a killed test with the same process id.
    let _may_not_exist = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).expect("a directory in /tmp");
    give(&directory, account);
    directory
}

fn give(directory: &Path, account: Option<&Account>) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).expect("our own directory");
    if let Some(account) = account {
        chown(directory, Some(account.user), Some(account.group)).expect("root may chown");
    }
}

fn open_lock(path: &Path) -> File {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The process that stops the server may run as another user.
    let _not_ours = fs::set_permissions(path, fs::Permissions::from_mode(0o666));
    file
}

/// The newest installed server's programs.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let binaries = entry.path().join("bin");
            binaries.join("initdb").exists().then_some((version, binaries))
        })
        .max();
    newest.expect("Postgres is installed (Debian: apt-get install postgresql)").1
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
