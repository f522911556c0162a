//! The place under attack: three honest repositories, one that forks send merge requests to, one
//! whose forge accepts connections and never answers, and the server.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use crate::bench::{cases::serve::Link, machine::Machine};

/// Repositories of people who only work.
const HONEST: usize = 3;
/// The credential that a GitLab webhook sends.
pub(super) const HOOK_TOKEN: &str = "a-webhook-token-of-the-soak";

const WORKFLOW: &str = r#"
def workflow():
    return Plan("CI", triggers=[Trigger.on_push()], steps=[Step.bash("test", "true")])
"#;
const OPEN_WORKFLOW: &str = r#"
def workflow():
    return Plan("CI", triggers=[Trigger.on_pull_request(), Trigger.on_issue_comment()],
                steps=[Step.bash("test", "true")])
"#;

/// Bytes that one git command of the soak may print; also the input of one is less.
const MAX_OUTPUT: u64 = 48 * 1024;

/// Less than the defaults, so that forks meet the bounds within the soak, on a disk of any size.
const CONFIG: &str = "[limits]\nuntrusted_run_bytes = 268435456\nmin_free_percent = 1\n";

/// A clone that an author works in.
#[derive(Debug)]
pub(super) struct Clone {
    /// `owner/name` as the server watches it.
    pub(super) name: String,
    pub(super) folder: PathBuf,
}

/// The server under attack, and the clones of honest and of attacking authors.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) honest: Vec<Clone>,
    /// The attackers' clone of `acme/app`.
    pub(super) fork: Clone,
    /// Path of the webhook of `acme/app`.
    pub(super) hook: String,
    /// Path of the webhook of `hung/app`.
    pub(super) hung_hook: String,
    pub(super) address: String,
    pub(super) token: String,
    pub(super) state: PathBuf,
    /// The forge that never answers: its backlog takes connections, nothing reads them.
    _hanging: TcpListener,
    child: Child,
}

// === impl Stand ===

impl Stand {
    pub(super) fn start(machine: &Machine) -> anyhow::Result<Self> {
        let scratch = machine.scratch();
        let config = scratch.join("config/plue");
        fs::create_dir_all(&config)?;
        fs::write(config.join("config.toml"), CONFIG)?;
        let token_file = scratch.join("hook-token");
        fs::write(&token_file, HOOK_TOKEN)?;
        let token_file = token_file.to_string_lossy().into_owned();
        let mut honest = Vec::new();
        for n in 0..HONEST {
            let clone = Clone::new(scratch, &format!("honest/app{n}"), WORKFLOW)?;
            machine.plue(&["repo", "add", &clone.name, &clone.bare()])?;
            honest.push(clone);
        }
        let fork = Clone::new(scratch, "acme/app", OPEN_WORKFLOW)?;
        let forge = ["--forge", "gitlab", "--webhook-secret", &token_file];
        machine.plue(&[&["repo", "add", "acme/app", &fork.bare()][..], &forge].concat())?;
        let hanging = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/hung.git", hanging.local_addr()?);
        let hung = ["repo", "add", "hung/app", &url, "--allow-http"];
        machine.plue(&[&hung[..], &forge].concat())?;
        let repos = machine.plue(&["repo", "list", "--output", "json"])?;
        let repos: Json = serde_json::from_slice(&repos.stdout)?;
        let token = machine.plue(&["token", "create", "--name", "soak", "--role", "admin"])?;
        let (child, address) = serve(machine)?;
        Ok(Self {
            honest,
            fork,
            hook: hook_of(&repos, "acme/app")?,
            hung_hook: hook_of(&repos, "hung/app")?,
            address,
            token: String::from_utf8(token.stdout)?.trim().to_owned(),
            state: scratch.join("state"),
            _hanging: hanging,
            child,
        })
    }

    pub(super) fn serve(&mut self, machine: &Machine) -> anyhow::Result<()> {
        (self.child, self.address) = serve(machine)?;
        Ok(())
    }

    /// Kills the server with SIGKILL and waits for its end.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Json> {
        let mut link = Link::to(&self.address)?;
        let headers = format!("authorization: Bearer {}\r\n", self.token);
        link.send("GET", path, &headers, "")?;
        let (status, answer) = link.answer()?;
        ensure!(status == 200, "{path}: {status} {answer}");
        Ok(serde_json::from_str(&answer)?)
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        end_runners(&self.state);
    }
}

/// Runners outlive an engine that was killed, and wait for the next one: there is none.
fn end_runners(state: &Path) {
    let needle = state.as_os_str().as_encoded_bytes();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let names_state = line.windows(needle.len()).any(|window| window == needle);
        if let Some(pid) = pid.and_then(Pid::from_raw).filter(|_| names_state) {
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
}

fn serve(machine: &Machine) -> anyhow::Result<(Child, String)> {
    let mut command = machine.command(&["serve", "--listen", "127.0.0.1:0"]);
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(machine.scratch().join("serve.log"))?;
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("no standard output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim().rsplit("http://").next().unwrap_or_default().to_owned();
    Ok((child, address))
}

fn hook_of(repos: &Json, name: &str) -> anyhow::Result<String> {
    let mut repos = repos["repos"].as_array().into_iter().flatten();
    let repo = repos.find(|repo| repo["name"] == name).context("an unwatched repository")?;
    Ok(repo["webhook"].as_str().context("no webhook")?.to_owned())
}

// === impl Clone ===

impl Clone {
    /// A bare repository with one workflow on `main`, and a clone of it.
    fn new(scratch: &Path, name: &str, workflow: &str) -> anyhow::Result<Self> {
        let folder = scratch.join("clones").join(name);
        fs::create_dir_all(&folder)?;
        let clone = Self { name: name.to_owned(), folder };
        clone.git(&["init", "-q", "--bare", "-b", "main", &clone.bare()])?;
        clone.git(&["init", "-q", "-b", "main"])?;
        clone.git(&["remote", "add", "origin", &clone.bare()])?;
        fs::write(clone.folder.join(".plue.py"), workflow)?;
        clone.commit("first")?;
        clone.git(&["push", "-q", "origin", "HEAD:main"])?;
        Ok(clone)
    }

    fn bare(&self) -> String {
        format!("{}.git", self.folder.display())
    }

    /// Commits the work tree; the commit.
    pub(super) fn commit(&self, message: &str) -> anyhow::Result<String> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "--allow-empty", "-m", message])?;
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    pub(super) fn git(&self, args: &[&str]) -> anyhow::Result<String> {
        self.git_with(args, "")
    }

    /// Standard output of git for an input. Git is ended after a minute, and may not print much.
    pub(super) fn git_with(&self, args: &[&str], input: &str) -> anyhow::Result<String> {
        let mut git = Command::new("timeout");
        git.args(["--kill-after=5", "60", "git"]);
        git.args(["-c", "user.name=soak", "-c", "user.email=soak@example.invalid"]);
        git.args(["-c", "gc.auto=0"]).args(args).current_dir(&self.folder);
        git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = git.spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
        let ((mut stdin, stdout), stderr) = pipes.context("no pipes")?;
        // Both are small, and fit into their pipes.
        stdin.write_all(input.as_bytes())?;
        drop(stdin);
        let (output, stderr) = (bounded(stdout)?, bounded(stderr)?);
        let status = child.wait()?;
        ensure!(status.success(), "git {}: {status}: {stderr}", args.join(" "));
        Ok(output)
    }
}

/// The content of a pipe, up to a limit.
fn bounded(pipe: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    pipe.take(MAX_OUTPUT + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= MAX_OUTPUT, "git prints more than {MAX_OUTPUT} bytes");
    Ok(text)
}
