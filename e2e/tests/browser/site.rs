//! A server with a repository, as a user sets it up, and short words for its API.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value as Json;
use tempfile::TempDir;

/// `plue` starts the two others, which lie in its folder.
const PROGRAMS: [&str; 3] = ["plue", "plue-runner", "plue-evaluator"];

/// A server and its repository `acme/app`.
pub(crate) struct Site {
    folder: TempDir,
    server: Option<Child>,
    address: String,
    pub(crate) token: String,
    /// Variables of the server in addition to the usual ones.
    variables: Vec<(String, String)>,
}

// === impl Site ===

impl Site {
    /// A server whose repository has these files; their workflows that ask for pushes run.
    pub(crate) fn start(files: &[(&str, &str)]) -> Self {
        Self::with(files, &[])
    }

    /// The same with variables for the server.
    pub(crate) fn with(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Self {
        PROGRAMS.iter().for_each(|name| drop(program(name)));
        let mut site = Self {
            folder: tempfile::tempdir().unwrap(),
            server: None,
            address: String::new(),
            token: String::new(),
            variables: Vec::new(),
        };
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        site.variables = pairs.collect();
        let bare = site.path("app.git");
        for folder in ["home", "repo"] {
            fs::create_dir_all(site.path(folder)).unwrap();
        }
        // Steps look at files of the tests, which an isolated step does not see.
        let config = site.path("home/.config/plue");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("config.toml"), "[pools.local]\nmode = \"off\"\n").unwrap();
        site.git(&["init", "-q", "-b", "main"]);
        site.git(&["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()]);
        site.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
        site.plue(&["repo", "add", "acme/app", bare.to_str().unwrap()]);
        let token = site.plue(&["token", "create", "--name", "browser", "--role", "admin"]);
        site.token = token.trim().to_owned();
        site.serve();
        site.push(files);
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = bound(&program("plue"));
        command.args(args).current_dir(self.path("repo")).stdin(Stdio::null()).env_clear();
        let path = option_env!("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
        command.env("PATH", path).env("HOME", self.path("home"));
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    /// Starts a command in the repository; its messages go to a file of the site.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let log = fs::File::create(self.path("command.log")).unwrap();
        command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn plue(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn git(&self, args: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]);
        git.args(args).current_dir(self.path("repo")).env("HOME", self.path("home"));
        assert!(git.env("GIT_CONFIG_NOSYSTEM", "1").status().unwrap().success(), "{args:?}");
    }

    /// Commits these files and pushes them.
    pub(crate) fn push(&self, files: &[(&str, &str)]) {
        for (name, content) in files {
            let path = self.path("repo").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "<b>Make</b> it so"]);
        self.git(&["push", "-q", "origin", "HEAD:main"]);
    }

    /// Starts the server, at the address that it had.
    pub(crate) fn serve(&mut self) {
        self.serve_with(&[]);
    }

    /// The same with further arguments.
    pub(crate) fn serve_with(&mut self, more: &[&str]) {
        let listen = if self.address.is_empty() { "127.0.0.1:0" } else { &self.address };
        let mut command = self.command(&["serve", "--listen", listen]);
        command.args(more);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let log = fs::File::create(self.path("server.log")).unwrap();
        let mut server = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let found = line.trim().rsplit("http://").next().unwrap().to_owned();
        assert!(found.contains(':'), "{line:?} {}", self.printed());
        self.address = found;
        self.server = Some(server);
    }

    /// Output of the server so far.
    fn printed(&self) -> String {
        fs::read_to_string(self.path("server.log")).unwrap_or_default()
    }

    /// Kills the server without a chance to end its work.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ended = server.kill();
            let _reaped = server.wait();
        }
    }

    /// The answer to a request: status and body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Json>) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let body = body.map(Json::to_string).unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub(crate) fn get(&self, path: &str) -> Json {
        loop {
            let (status, body) = self.ask("GET", path, None);
            if status == 200 {
                return serde_json::from_str(&body).unwrap();
            }
            assert_eq!(status, 429, "{path}: {body}");
        }
    }

    /// A run of a workflow that has this status, once there is one. Fails if all of its runs ended otherwise.
    pub(crate) fn run_with(&self, workflow: &str, status: &str) -> String {
        loop {
            let runs = self.get("/api/v1/runs");
            let items = runs["items"].as_array().unwrap().iter();
            let items: Vec<&Json> = items.filter(|run| run["workflow"] == workflow).collect();
            if let Some(run) = items.iter().find(|run| run["status"] == status) {
                return run["id"].as_str().unwrap().to_owned();
            }
            let is_over = |run: &&Json| !run["ended_at"].is_null();
            assert!(
                items.is_empty() || !items.iter().all(is_over),
                "no run is {status}: {items:?}"
            );
        }
    }

    /// The last attempt of a step, once there is one.
    pub(crate) fn attempt(&self, run: &str, step: &str) -> String {
        loop {
            let attempts = self.get(&format!("/api/v1/runs/{run}/attempts"));
            let mut items = attempts.as_array().unwrap().iter().rev();
            if let Some(found) = items.find(|attempt| attempt["step"] == step) {
                return found["id"].as_str().unwrap().to_owned();
            }
        }
    }

    /// Path of the page of a step's log.
    pub(crate) fn log_page(&self, run: &str, step: &str) -> String {
        format!("/runs/{run}/attempts/{}/log", self.attempt(run, step))
    }

    /// Waits until a log has so many lines.
    pub(crate) fn await_lines(&self, run: &str, step: &str, lines: u64) {
        let path = format!("/api/v1/runs/{run}/attempts/{}/log", self.attempt(run, step));
        while self.get(&path)["lines"].as_u64().unwrap() < lines {}
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("server: {}", self.printed());
        }
    }
}

/// A command that ends with the test, also if the test is killed.
pub(crate) fn bound(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join(name);
    assert!(path.exists(), "{} is not built; run `cargo build --workspace --bins`", path.display());
    path
}

/// The folder of fetched tools and assets.
pub(crate) fn tools() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().find(|path| path.join("tools").is_dir());
    target.unwrap_or(Path::new("target")).join("tools")
}
