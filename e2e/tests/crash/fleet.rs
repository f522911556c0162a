//! Several real `plue serve` on one Postgres that a test may stop.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_runtime::Clock;
use plue_store::{RunFilter, RunRow, Store, StoreOptions};
use plue_testkit::{faults::violations, objects::Objects, postgres::own::OwnServer};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Bench, until};

/// Engines of a fleet.
pub(crate) const ENGINES: usize = 3;
/// Without an answer for so long a request is made again, elsewhere.
const ANSWER: Duration = Duration::from_secs(20);
const BREATH: Duration = Duration::from_millis(20);

/// A machine with several servers.
pub(crate) struct Fleet {
    pub(crate) bench: Bench,
    pub(crate) postgres: OwnServer,
    engines: Vec<Option<Engine>>,
    token: String,
    /// Flags of each server in addition to the usual ones.
    flags: Vec<String>,
    /// Extra variables of each command's environment.
    settings: Vec<(&'static str, String)>,
    /// Whether each server is on a machine of its own: nothing is common but the database.
    separate: bool,
}

struct Engine {
    process: Child,
    address: String,
}

// === impl Fleet ===

impl Fleet {
    /// A watched repository with this workflow, and no server yet.
    pub(crate) fn new(source: &str, flags: &[&str]) -> Self {
        let bench = Bench::new(source);
        let mut fleet = Self {
            bench,
            postgres: OwnServer::start(),
            engines: (0..ENGINES).map(|_| None).collect(),
            token: String::new(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            settings: Vec::new(),
            separate: false,
        };
        let bare = fleet.bare();
        let bare = bare.to_str().unwrap();
        fleet.git(&["init", "-q", "--bare", "-b", "main", bare]);
        fleet.git(&["remote", "add", "origin", bare]);
        fleet.ends(&["repo", "add", "acme/app", bare]);
        fleet.git(&["push", "-q", "origin", "HEAD:main"]);
        let made = fleet.ends(&["token", "create", "--name", "test", "--role", "admin"]);
        fleet.token = made.trim().to_owned();
        fleet
    }

    /// Servers on machines of their own, with an object store for what is common.
    pub(crate) fn separate(source: &str, flags: &[&str], objects: &Objects) -> Self {
        let mut fleet = Self::new(source, flags);
        fleet.settings = objects.settings(&fleet.bench.home());
        fleet.separate = true;
        fleet
    }

    /// The state directory of a server.
    pub(crate) fn state(&self, n: usize) -> PathBuf {
        if self.separate {
            self.bench.home().join(format!("machine{n}"))
        } else {
            self.bench.state()
        }
    }

    /// Sends the end of each run to a listener at `url` on this machine.
    pub(crate) fn reporting_to(&self, url: &str) {
        let folder = self.bench.home().join(".config/plue");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), "[calls]\nallow = [\"127.0.0.1\"]\n").unwrap();
        self.ends(&["webhook", "add", url, "--event", "run.ended"]);
    }

    fn bare(&self) -> PathBuf {
        self.bench.home().join("app.git")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bench.command(args);
        command.env("PLUE_DATABASE", self.postgres.url());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    fn ends(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        let logs = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {logs}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn git(&self, args: &[&str]) {
        let mut git = Command::new("git");
        git.args(args).current_dir(self.bench.repo()).env("HOME", self.bench.home());
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("PLUE_DATABASE", self.postgres.url());
        assert!(git.status().unwrap().success(), "git {args:?}");
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(StoreOptions::new(self.postgres.url()).existing()).await.unwrap()
    }

    /// Starts an engine if it is not there; one that finds no database is started again.
    pub(crate) fn start(&mut self, n: usize) {
        if self.engines[n].as_mut().is_some_and(|one| one.process.try_wait().unwrap().is_none()) {
            return;
        }
        let log = self.bench.home().join(format!("engine{n}.log"));
        loop {
            let log = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
            let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
            command.args(&self.flags).env("PLUE_LOG", "info");
            command.arg("--state-dir").arg(self.state(n));
            let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
            if let Some((_, address)) = line.trim().rsplit_once("http://") {
                self.engines[n] = Some(Engine { process, address: address.to_owned() });
                return;
            }
            process.wait().unwrap();
        }
    }

    pub(crate) fn start_all(&mut self) {
        (0..ENGINES).for_each(|n| self.start(n));
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, n: usize) {
        if let Some(mut engine) = self.engines[n].take() {
            engine.process.kill().unwrap();
            engine.process.wait().unwrap();
        }
    }

    pub(crate) fn pid(&self, n: usize) -> u32 {
        self.engines[n].as_ref().unwrap().process.id()
    }

    pub(crate) fn signal(&self, n: usize, signal: Signal) {
        let pid = Pid::from_raw(self.pid(n).cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ends all engines in order, and waits until they have ended.
    pub(crate) fn end_all(&mut self) {
        for n in 0..ENGINES {
            if self.engines[n].is_some() {
                self.signal(n, Signal::TERM);
            }
        }
        for (n, engine) in self.engines.iter_mut().enumerate() {
            if let Some(mut engine) = engine.take() {
                assert!(engine.process.wait().unwrap().success(), "engine {n}");
            }
        }
    }

    /// Asks for a run by the API of some engine, until one has answered that there is one.
    pub(crate) async fn submit(&self, key: &str, first: usize) -> RunId {
        let body = r#"{"repository": "acme/app", "workflow": ".plue.py"}"#;
        for n in first.. {
            let engine = self.engines[n % ENGINES].as_ref();
            let answer = engine.and_then(|engine| self.ask(&engine.address, key, body).ok());
            if let Some((status, text)) = &answer
                && (*status == 201 || *status == 200 || *status == 202)
            {
                let json: serde_json::Value = serde_json::from_str(text).unwrap();
                return RunId::new(json["id"].as_str().unwrap());
            }
            let refused = answer.filter(|(status, _)| (400..500).contains(status));
            assert!(refused.is_none(), "{refused:?}");
            Clock::real().sleep(BREATH).await;
        }
        unreachable!("there is always another engine to ask")
    }

    /// Whether an engine takes no more work: its `/readyz` answers 503, or it does not answer.
    pub(crate) fn drains(&self, n: usize) -> bool {
        let address = &self.engines[n].as_ref().unwrap().address;
        let mut answer = String::new();
        let asked = TcpStream::connect(address).and_then(|mut stream| {
            stream.set_read_timeout(Some(ANSWER))?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
            stream.read_to_string(&mut answer)
        });
        asked.is_err() || answer.starts_with("HTTP/1.1 503")
    }

    fn ask(&self, address: &str, key: &str, body: &str) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let head = format!(
            "POST /api/v1/runs HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             authorization: Bearer {}\r\nidempotency-key: {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        stream.write_all((head + body).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let cut = || std::io::Error::other(format!("cut off: {answer:?}"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.ok_or_else(cut)?, body.to_owned()))
    }

    /// All runs, the oldest first.
    pub(crate) async fn runs(&self) -> Vec<RunRow> {
        let store = self.store().await;
        let mut runs =
            store.runs().list(&RunFilter { limit: 1_000, ..RunFilter::default() }).await.unwrap();
        while let Ok(more) = store
            .runs()
            .list(&RunFilter {
                limit: 1_000,
                before: runs.last().map(|row| row.id.clone()),
                ..RunFilter::default()
            })
            .await
        {
            if more.is_empty() {
                break;
            }
            runs.extend(more);
        }
        store.close().await;
        runs.reverse();
        runs
    }

    /// Runs that have not ended.
    pub(crate) async fn open_runs(&self) -> usize {
        let store = self.store().await;
        let open = store.runs().unfinished().await.unwrap().len();
        store.close().await;
        open
    }

    /// Logs of all engines.
    pub(crate) fn logs(&self) -> String {
        let logs = (0..ENGINES).map(|n| self.bench.home().join(format!("engine{n}.log")));
        logs.map(|log| fs::read_to_string(log).unwrap_or_default()).collect()
    }

    /// Ends the engines and checks all that must hold then; the runs.
    pub(crate) async fn ends_well(&mut self) -> Vec<RunRow> {
        self.end_all();
        until(|| self.bench.processes().is_empty()).await;
        let runs = self.runs().await;
        let store = self.store().await;
        for run in &runs {
            assert_eq!(run.view.status, RunStatus::Success, "{run:?}\n{}", self.logs());
            let wrong = violations(&store, &run.id).await;
            assert!(wrong.is_empty(), "{wrong:#?}\n{}", self.logs());
            assert_eq!(store.drives().driver_of(&run.id).await.unwrap(), None, "{run:?}");
        }
        assert_eq!(store.engines().list().await.unwrap(), [], "engines that ended in order");
        assert_eq!(store.runners().list(None).await.unwrap(), [], "runners are left");
        for n in 0..ENGINES {
            let runners = fs::read_dir(self.state(n).join("runners"));
            let left: Vec<_> = runners.into_iter().flatten().collect();
            assert!(left.is_empty(), "{n}: {left:?}");
        }
        store.close().await;
        runs
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for n in 0..ENGINES {
            if self.engines[n].is_some() {
                self.signal(n, Signal::CONT);
            }
            self.kill(n);
        }
        for process in self.bench.processes() {
            process.signal(Signal::KILL);
        }
    }
}
