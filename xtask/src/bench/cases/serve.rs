//! A running server: asked for runs, given deliveries, followed.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value as Json, json};

use crate::bench::{
    line::Line,
    machine::{Machine, mark, millis, pause, wall_seconds},
};

const SOURCE: &str = r#"
def workflow():
    return Plan("one", triggers=[Trigger.on_manual()], steps=[Step.bash("one", "true")])
"#;
/// A step that prints the time forty times.
const TICKS: &str = r#"
def workflow():
    script = "sleep 2; for i in $(seq 40); do date +%s.%N; sleep 0.1; done"
    return Plan("ticks", triggers=[Trigger.on_manual()], steps=[Step.bash("one", script)])
"#;
/// Clients that follow a log.
const VIEWERS: usize = 100;
/// Connections of a forge, and deliveries of each in a second.
const SENDERS: usize = 8;
const PER_SECOND: u32 = 500;
/// Requests of one token are limited; a client that was refused asks again.
const MAX_REFUSALS: usize = 300;
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// Signs the deliveries of the bench.
const SECRET: &str = "a-secret-of-the-bench";

/// A server on the machine, ended when it is dropped.
pub(super) struct Serving {
    pub(super) child: Child,
    address: String,
    pub(super) token: String,
    /// The path of the webhook.
    hook: String,
}

/// A connection that is kept.
pub(super) struct Link {
    pub(super) stream: BufReader<TcpStream>,
}

/// From the submission until a client receives the start of the step.
pub(crate) fn submit(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let serving = Serving::start(machine, SOURCE)?;
    let mut samples = Vec::new();
    for _ in 0..machine.rounds.saturating_mul(10) {
        let start = mark();
        let run = serving.submit("one")?;
        let mut link = serving.connect()?;
        link.send("GET", &format!("/api/v1/runs/{run}/events"), &serving.headers(), "")?;
        link.until("attempt_started")?;
        samples.push(millis(start));
        link.until("event: end")?;
    }
    Ok(vec![Line::new(
        "submit",
        "HTTP to step running, SQLite full",
        "ms",
        samples,
        machine.load(),
    )])
}

/// Delivers at a fixed rate.
pub(crate) fn webhook(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let serving = Serving::start(machine, SOURCE)?;
    let each = PER_SECOND / u32::try_from(SENDERS)? * machine.rounds.max(2);
    let start = mark();
    let samples = thread::scope(|scope| {
        let senders = (0..SENDERS).map(|sender| {
            let serving = &serving;
            scope.spawn(move || deliver(serving, sender, each))
        });
        let senders: Vec<_> = senders.collect();
        let mut samples = Vec::new();
        for sender in senders {
            let sent = sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))?;
            samples.extend(sent?);
        }
        anyhow::Ok(samples)
    })?;
    let rate = samples.len() as f64 / (millis(start) / 1e3);
    let line = Line::new("webhook", "gitlab, SQLite full", "ms", samples, machine.load());
    Ok(vec![line.per_second(rate)])
}

fn deliver(serving: &Serving, sender: usize, count: u32) -> anyhow::Result<Vec<f64>> {
    let mut link = serving.connect()?;
    let body = json!({"object_kind": "build", "ref": "main", "build_id": 1}).to_string();
    let pace = 1e3 * SENDERS as f64 / f64::from(PER_SECOND);
    let (start, mut samples) = (mark(), Vec::new());
    for n in 0..count {
        let early = f64::from(n) * pace - millis(start);
        if early > 0.0 {
            pause(Duration::from_secs_f64(early / 1e3));
        }
        let headers = format!(
            "content-type: application/json\r\nx-gitlab-event: Job Hook\r\nx-gitlab-token: \
             {SECRET}\r\nidempotency-key: {sender}-{n}\r\n"
        );
        let sent = mark();
        link.send("POST", &serving.hook, &headers, &body)?;
        let (status, answer) = link.answer()?;
        samples.push(millis(sent));
        ensure!(status == 202 && answer.contains("true"), "{status} {answer}");
    }
    Ok(samples)
}

/// From a printed line to each of many viewers.
pub(crate) fn sse(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    let serving = Serving::start(machine, TICKS)?;
    let run = serving.submit("ticks")?;
    let path = format!("/api/v1/runs/{run}/attempts");
    let attempt = loop {
        let attempts = serving.get(&path)?;
        if let Some(id) = attempts[0]["id"].as_str() {
            break id.to_owned();
        }
        pause(Duration::from_millis(10));
    };
    let path = format!("{path}/{attempt}/log/events");
    let samples = thread::scope(|scope| {
        let viewers = (0..VIEWERS).map(|_| scope.spawn(|| view(&serving, &path)));
        let viewers: Vec<_> = viewers.collect();
        let mut samples = Vec::new();
        for viewer in viewers {
            let seen = viewer.join().map_err(|_| anyhow::anyhow!("a viewer panicked"))?;
            samples.extend(seen?);
        }
        anyhow::Ok(samples)
    })?;
    let config = format!("{VIEWERS} viewers, SQLite full");
    Ok(vec![Line::new("sse", &config, "ms", samples, machine.load())])
}

pub(super) fn view(serving: &Serving, path: &str) -> anyhow::Result<Vec<f64>> {
    let mut link = serving.connect()?;
    link.send("GET", path, &serving.headers(), "")?;
    let (mut samples, mut line) = (Vec::new(), String::new());
    loop {
        line.clear();
        ensure!(link.stream.read_line(&mut line)? > 0, "the stream broke off");
        let now = wall_seconds();
        if line.starts_with("event: end") {
            return Ok(samples);
        }
        let Some(data) = line.strip_prefix("data:") else { continue };
        let piece: Json = serde_json::from_str(data.trim())?;
        // Lines that arrive together are sent together; the newest is the awaited one.
        let printed = piece["text"].as_str().and_then(|text| text.lines().last()?.parse().ok());
        let printed: Option<f64> = printed;
        samples.extend(printed.map(|printed| (now - printed) * 1e3));
    }
}

// === impl Serving ===

impl Serving {
    pub(super) fn start(machine: &Machine, source: &str) -> anyhow::Result<Self> {
        Self::with_environment(machine, source, &[])
    }

    /// With these variables for the server alone.
    pub(super) fn with_environment(
        machine: &Machine,
        source: &str,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        machine.workflow(source)?;
        let bare = machine.scratch().join("app.git");
        let bare = bare.to_string_lossy();
        let who = ["-c", "user.name=bench", "-c", "user.email=bench@example.invalid"];
        git(machine.repo(), &["init", "-q", "--bare", "-b", "main", &bare])?;
        git(machine.repo(), &["add", "-A"])?;
        git(machine.repo(), &[&who[..], &["commit", "-qm", "x", "--allow-empty"]].concat())?;
        git(machine.repo(), &["push", "-qf", &bare, "HEAD:refs/heads/main"])?;
        machine.plue(&["repo", "add", "bench/app", &bare])?;
        let secret = machine.scratch().join("secret");
        std::fs::write(&secret, SECRET)?;
        let secret = secret.to_string_lossy();
        // Nothing is fetched from there: its deliveries are of a kind that starts nothing.
        let forge = ["https://127.0.0.1:1/x.git", "--forge", "gitlab", "--webhook-secret", &secret];
        machine.plue(&[&["repo", "add", "bench/hooks"][..], &forge].concat())?;
        let repos = machine.plue(&["repo", "list", "--output", "json"])?;
        let repos: Json = serde_json::from_slice(&repos.stdout)?;
        let mut repos = repos["repos"].as_array().into_iter().flatten();
        let hook = repos.find_map(|repo| repo["webhook"].as_str()).context("no webhook")?;
        let token = machine.plue(&["token", "create", "--name", "bench", "--role", "admin"])?;
        let mut command = machine.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().rsplit("http://").next().unwrap_or_default().to_owned();
        let token = String::from_utf8(token.stdout)?.trim().to_owned();
        Ok(Self { child, address, token, hook: hook.to_owned() })
    }

    pub(super) fn connect(&self) -> anyhow::Result<Link> {
        Link::to(&self.address)
    }

    pub(super) fn headers(&self) -> String {
        format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", self.token)
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Json> {
        for _again in 0..MAX_REFUSALS {
            let mut link = self.connect()?;
            link.send("GET", path, &self.headers(), "")?;
            match link.answer()? {
                (429, _) => pause(REFUSED_FOR),
                (_, answer) => return Ok(serde_json::from_str(&answer)?),
            }
        }
        bail!("{path} was refused {MAX_REFUSALS} times")
    }

    /// Follows a run to its end.
    pub(super) fn follow(&self, run: &str) -> anyhow::Result<()> {
        for _again in 0..MAX_REFUSALS {
            let mut link = self.connect()?;
            link.send("GET", &format!("/api/v1/runs/{run}/events"), &self.headers(), "")?;
            let mut status = String::new();
            link.stream.read_line(&mut status)?;
            if status.contains(" 429 ") {
                pause(REFUSED_FOR);
                continue;
            }
            return link.until("event: end");
        }
        bail!("the events of {run} were refused {MAX_REFUSALS} times")
    }

    pub(super) fn submit(&self, workflow: &str) -> anyhow::Result<String> {
        let body = json!({"repository": "bench/app", "workflow": workflow}).to_string();
        let mut link = self.connect()?;
        link.send("POST", "/api/v1/runs", &self.headers(), &body)?;
        let (status, answer) = link.answer()?;
        let answer: Json = serde_json::from_str(&answer)?;
        let Some(id) = answer["id"].as_str() else { bail!("{status} {answer}") };
        Ok(id.to_owned())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

// === impl Link ===

impl Link {
    pub(super) fn to(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub(super) fn send(
        &mut self,
        method: &str,
        path: &str,
        head: &str,
        body: &str,
    ) -> anyhow::Result<()> {
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {length}\r\n{head}\r\n{body}"
        );
        Ok(self.stream.get_mut().write_all(text.as_bytes())?)
    }

    /// Status and body of an answer with its length.
    pub(super) fn answer(&mut self) -> anyhow::Result<(u16, String)> {
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the connection broke off");
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                break;
            }
            if let Some(rest) = text.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next().unwrap_or_default().parse()?;
            }
            if let Some(rest) = text.strip_prefix("content-length:") {
                length = rest.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body)?))
    }

    /// The next line of the stream, without its end.
    pub(super) fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the stream broke off");
        Ok(line)
    }

    /// Reads lines until one holds a text.
    pub(super) fn until(&mut self, text: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the stream ended before {text:?}");
        }
        Ok(())
    }
}

fn git(folder: PathBuf, args: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("git").args(args).current_dir(folder).status()?;
    ensure!(status.success(), "git {} failed", args.join(" "));
    Ok(())
}
