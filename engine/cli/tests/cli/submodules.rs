//! Workspaces of a server's runs with their submodules: fetched by the server, with the credential of the
//! watched repository for its own host only, and clean in the eyes of git.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
    sync::Mutex,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value as Json;

use crate::{
    forge::{SECRET, hmac, repository},
    forks::own_isolation,
    mirror::backend,
    serve::Served,
    support::{Bench, CliOutput, snapshot},
};

pub(crate) const TOKEN: &str = "forge-token-0123456789";

/// A request to the git server.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

/// A forge that serves git, and whatever else a test lets it.
pub(crate) struct Forge {
    listener: TcpListener,
    pub(crate) bench: Bench,
    /// Requests that were refused or to nothing, by their targets.
    pub(crate) refused: Mutex<Vec<String>>,
}

impl Request {
    fn read(reader: &mut impl std::io::BufRead) -> Self {
        let (mut head, mut line) = (Vec::new(), String::new());
        while reader.read_line(&mut line).unwrap() > 2 {
            head.push(line.trim().to_owned());
            line.clear();
        }
        let mut words = head[0].split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let mut request = Self { method, target, head, body: Vec::new() };
        request.body = vec![0; request.field("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut request.body).unwrap();
        request
    }

    pub(crate) fn field(&self, name: &str) -> String {
        let found = self.head.iter().filter_map(|line| line.split_once(": "));
        let mut found = found.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.to_owned()).unwrap_or_default()
    }

    pub(crate) fn is_known(&self) -> bool {
        let pair = STANDARD.encode(format!("x-access-token:{TOKEN}"));
        self.field("authorization") == format!("Basic {pair}")
    }
}

/// A `plue serve` that watches `acme/app` of a forge, ended when it is dropped.
pub(crate) struct Server(Child, String, String);

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Forge {
    pub(crate) fn new(source: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { listener, bench: Bench::with(source), refused: Mutex::default() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Commits the work tree as `app.git` of the forge.
    pub(crate) fn publish(&self) {
        self.bench.commit();
        let bare = self.bench.home().join("git/app.git");
        self.bench.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        self.bench.git(&[
            "--git-dir",
            bare.to_str().unwrap(),
            "config",
            "uploadpack.allowFilter",
            "true",
        ]);
    }

    pub(crate) fn watched(&self) -> Server {
        let bench = &self.bench;
        let (secret, token) = (bench.home().join("secret"), bench.home().join("token"));
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::write(&token, TOKEN).unwrap();
        let url = format!("http://{}/app.git", self.address());
        let add = ["repo", "add", "acme/app", &url, "--forge", "github", "--report", "none"];
        let (secret, token) = (secret.to_str().unwrap(), token.to_str().unwrap());
        let files = ["--webhook-secret", secret, "--token", token, "--allow-http"];
        bench.plue(&[&add[..], &files].concat()).ends(0);
        let made = bench.plue(&["token", "create", "--name", "ada", "--role", "writer"]).ends(0);
        let mut server = bench.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut server = server.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let place = line.trim().rsplit(' ').next().unwrap().to_owned();
        Server(server, place, made.stdout.trim().to_owned())
    }

    /// Runs the workflow by hand while the forge answers.
    pub(crate) fn run(
        &self,
        server: &Server,
        other: impl Fn(&Request) -> Option<Vec<u8>> + Sync,
    ) -> CliOutput {
        let Server(_, place, token) = server;
        let mut run = self.bench.command(&["--server", place, "run", "CI", "--repo", "acme/app"]);
        let run = run.env("PLUE_TOKEN", token);
        CliOutput::of(self.during(|| run.output().unwrap(), other))
    }

    /// Answers while something goes on.
    fn during<T: Send>(
        &self,
        work: impl FnOnce() -> T + Send,
        other: impl Fn(&Request) -> Option<Vec<u8>>,
    ) -> T {
        let address = self.address();
        std::thread::scope(|scope| {
            let work = scope.spawn(move || {
                let done = work();
                let mut last = TcpStream::connect(address).unwrap();
                write!(last, "GET /done HTTP/1.1\r\n\r\n").unwrap();
                done
            });
            self.answer(&other);
            work.join().unwrap()
        })
    }

    /// Delivers a pull request of a fork, and answers until it was worked on; the note.
    fn fork(
        &self,
        server: &Server,
        (base, head): (&str, &str),
        other: impl Fn(&Request) -> Option<Vec<u8>>,
    ) -> String {
        let list = self.bench.plue(&["repo", "list", "--output", "json"]).ends(0).json();
        let hook = list["repos"][0]["webhook"].as_str().unwrap().to_owned();
        let body = serde_json::json!({
            "action": "opened",
            "number": 7,
            "pull_request": {
                "number": 7, "title": "t", "draft": false, "merged": false,
                "head": {"ref": "f", "sha": head, "repo": repository("eve/app", 9)},
                "base": {"ref": "main", "sha": base, "repo": repository("acme/app", 8)},
            },
            "repository": repository("acme/app", 8),
            "sender": {"login": "eve", "type": "User"},
        });
        let body = body.to_string();
        let signature = hex::encode(hmac(SECRET.as_bytes(), body.as_bytes()));
        let mut stream = TcpStream::connect(server.1.trim_start_matches("http://")).unwrap();
        write!(
            stream,
            "POST {hook} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-github-event: pull_request\r\n\
             x-github-delivery: d1\r\nx-hub-signature-256: sha256={signature}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        let mut list =
            self.bench.command(&["event", "list", "--repo", "acme/app", "--output", "json"]);
        let worked_on = move || loop {
            let output = CliOutput::of(list.output().unwrap()).ends(0).json();
            let found = &output["deliveries"][0];
            if found["state"] != "new" {
                return found["note"].as_str().unwrap_or_default().to_owned();
            }
        };
        self.during(worked_on, other)
    }

    fn answer(&self, other: &dyn Fn(&Request) -> Option<Vec<u8>>) {
        let root = self.bench.home().join("git");
        loop {
            let mut reader = BufReader::new(self.listener.accept().unwrap().0);
            let request = Request::read(&mut reader);
            if request.target == "/done" {
                return;
            }
            let answer = other(&request).unwrap_or_else(|| self.git(&root, &request));
            let _may_have_gone = reader.get_mut().write_all(&answer);
        }
    }

    fn git(&self, root: &Path, request: &Request) -> Vec<u8> {
        let refuse = |status: &str| {
            self.refused.lock().unwrap().push(request.target.clone());
            let more = "www-authenticate: Basic\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            format!("HTTP/1.1 {status}\r\n{more}").into_bytes()
        };
        if !request.is_known() {
            return refuse("401 No");
        }
        let name = request.target.split('/').nth(1).unwrap_or_default();
        if !root.join(name).exists() {
            return refuse("404 None");
        }
        let asked = (request.method.as_str(), request.target.as_str());
        backend(root, asked, &request.body, &|name| request.field(name))
    }

    /// Neither the token nor what is made of it lies in a workspace.
    pub(crate) fn workspaces_hold_no_token(&self) {
        let pair = STANDARD.encode(format!("x-access-token:{TOKEN}"));
        let runs = std::fs::read_dir(self.bench.state().join("workspaces")).unwrap();
        let mut count = 0;
        for run in runs {
            for (path, content) in snapshot(&run.unwrap().path()) {
                count += 1;
                for secret in [TOKEN, &pair] {
                    let mut parts = content.windows(secret.len());
                    assert!(!parts.any(|part| part == secret.as_bytes()), "{}", path.display());
                }
            }
        }
        assert!(count > 10, "{count} files were searched");
    }
}

/// A bare repository `git/NAME.git` of one file, made with its submodules as clones; its commit.
fn library(bench: &Bench, name: &str, submodule: Option<(&str, &str)>) -> String {
    let ada = ["-c", "user.name=Ada", "-c", "user.email=ada@example.invalid"];
    let work = bench.home().join("work").join(name);
    let work = work.to_str().unwrap();
    bench.git(&["init", "-q", "-b", "main", work]);
    std::fs::write(format!("{work}/{name}.txt"), format!("of {name}\n")).unwrap();
    if let Some((path, url)) = submodule {
        let text = format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n");
        std::fs::write(format!("{work}/.gitmodules"), text).unwrap();
        let from = bench.home().join(format!("git/{path}.git"));
        bench.git(&["clone", "-q", from.to_str().unwrap(), &format!("{work}/{path}")]);
    }
    bench.git(&["-C", work, "add", "-A"]);
    bench.git(&[&ada[..], &["-C", work, "commit", "-qm", "first"]].concat());
    let bare = bench.home().join(format!("git/{name}.git"));
    bench.git(&["clone", "-q", "--bare", work, bare.to_str().unwrap()]);
    bench.git(&["-C", work, "rev-parse", "HEAD"]).trim().to_owned()
}

/// The work tree gets a submodule, not committed yet.
fn submodule(bench: &Bench, path: &str, url: &str) {
    let from = bench.home().join(format!("git/{path}.git"));
    bench.git(&["clone", "-q", from.to_str().unwrap(), path]);
    modules(bench, &[(path, url)]);
}

fn modules(bench: &Bench, all: &[(&str, &str)]) {
    let section = |(path, url): &(&str, &str)| {
        format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n")
    };
    bench.write(".gitmodules", all.iter().map(section).collect::<String>());
}

fn workflow(options: &str, commands: &str) -> String {
    format!(
        "def workflow():\n    return Plan(name=\"CI\", triggers=[Trigger.on_manual(), \
         Trigger.on_push()],{options} steps=[Step.bash(\"test\", r\"\"\"{commands}\"\"\")])\n"
    )
}

const ASKED: &str = "
    git submodule status --recursive
    cat lib/lib.txt lib/inner/inner.txt
    echo porcelain; git status --porcelain; git -C lib status --porcelain; echo end
    git submodule foreach --quiet --recursive 'git fsck --no-progress && git log --format=%s'
    git submodule update --init --recursive && echo unchanged
    git -C lib config remote.origin.url
";

#[test]
fn private_submodules_arrive_without_leaving_the_credential() {
    let forge = Forge::new(&workflow(" checkout=Checkout(submodules=True),", ASKED));
    let bench = &forge.bench;
    let inner = library(bench, "inner", None);
    let lib = library(bench, "lib", Some(("inner", "../inner.git")));
    submodule(bench, "lib", "../lib.git");
    forge.publish();
    let server = forge.watched();
    let output = forge.run(&server, |_| None).ends(0);
    let url = format!("http://{}/lib.git", forge.address());
    let texts = ["of lib", "of inner", "porcelain\n", "unchanged", "first", &url];
    output.reports(&texts);
    for (path, commit) in [("lib", &lib), ("lib/inner", &inner)] {
        let line = format!(" {commit} {path}");
        assert!(output.stdout.contains(&line) || output.stderr.contains(&line), "{output:?}");
    }
    let whole = [output.stdout.as_str(), &output.stderr].concat();
    let between = whole.split("porcelain").nth(1).unwrap().split("end").next().unwrap();
    assert!(!between.contains("lib"), "{whole}");
    assert_eq!(*forge.refused.lock().unwrap(), [""; 0], "asked for without the token");
    forge.workspaces_hold_no_token();
    // The second run of the commit asks for nothing that is here.
    let again = forge.run(&server, |request| {
        let is_fetch = request.target.starts_with("/lib.git");
        is_fetch.then(|| panic!("{} was asked for again", request.target))
    });
    again.ends(0).reports(&["of lib", "of inner"]);
}

#[test]
fn ssh_addresses_of_forges_use_http() {
    let asked = "cat lib/lib.txt; git submodule status; git -C lib log --format=%s; git -C lib tag";
    let options = " checkout=Checkout(submodules=True, fetch_depth=0),";
    let forge = Forge::new(&workflow(options, asked));
    library(&forge.bench, "lib", None);
    submodule(&forge.bench, "lib", "git@127.0.0.1:lib.git");
    forge.publish();
    let server = forge.watched();
    forge.run(&server, |_| None).ends(0).reports(&["of lib", "first"]);
}

#[test]
fn submodules_follow_redirects_except_to_private_addresses() {
    let forge = Forge::new(&workflow(" checkout=Checkout(submodules=True),", "cat lib/lib.txt"));
    library(&forge.bench, "lib", None);
    submodule(&forge.bench, "lib", "../old.git");
    forge.publish();
    let server = forge.watched();
    let moved = |to: String| {
        move |request: &Request| {
            let rest = request.target.strip_prefix("/old.git")?;
            let head = format!("HTTP/1.1 301 Moved\r\nlocation: {to}{rest}\r\n");
            Some(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").into_bytes())
        }
    };
    let elsewhere = format!("https://localhost:{}/lib.git", forge.address().port());
    let refused = forge.run(&server, moved(elsewhere));
    assert_ne!(refused.code, 0);
    refused.reports(&["submodule \"lib\"", "not public", "PLUE-F0021"]);
    forge.run(&server, moved("/lib.git".to_owned())).ends(0).reports(&["of lib"]);
}

#[test]
fn forks_get_no_submodule_with_a_credential() {
    let source = workflow(" checkout=Checkout(submodules=True),", "cat lib/lib.txt");
    let forge = Forge::new(&source.replace("Trigger.on_push()", "Trigger.on_pull_request()"));
    let bench = &forge.bench;
    if !own_isolation(bench) {
        return;
    }
    library(bench, "lib", None);
    submodule(bench, "lib", "../lib.git");
    forge.publish();
    let base = bench.git(&["rev-parse", "HEAD"]).trim().to_owned();
    bench.write("more.txt", "a stranger's");
    bench.commit();
    let head = bench.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let bare = bench.home().join("git/app.git");
    bench.git(&["push", "-q", bare.to_str().unwrap(), "HEAD:refs/pull/7/head"]);
    let server = forge.watched();
    let note = forge.fork(&server, (&base, &head), |request| {
        let is_lib = request.target.starts_with("/lib.git");
        assert!(!(is_lib && request.is_known()), "{}", request.target);
        None
    });
    assert!(note.contains("submodule \"lib\"") && note.contains("without a credential"), "{note}");
    assert!(forge.refused.lock().unwrap().iter().any(|target| target.starts_with("/lib.git")));
}

#[test]
fn submodules_that_are_not_there_are_named() {
    let forge = Forge::new(&workflow(" checkout=Checkout(submodules=True),", "true"));
    library(&forge.bench, "lib", None);
    submodule(&forge.bench, "lib", "../gone.git");
    forge.publish();
    let server = forge.watched();
    let output = forge.run(&server, |_| None);
    assert_ne!(output.code, 0);
    output.reports(&["submodule \"lib\"", "PLUE-F0021"]);
    assert!(!format!("{output:?}").contains(TOKEN));
}

/// State, result and reason of the first workflow of this name in the newest deliveries.
fn dispatched(served: &Served, workflow: &str) -> (String, String) {
    loop {
        let list = ["event", "list", "--repo", "acme/app", "--output", "json"];
        let list = served.bench.plue(&list).ends(0).json();
        let newest: &Json = &list["deliveries"][0];
        let note = newest["note"].as_str().unwrap_or_default();
        if newest["state"].as_str().is_some_and(|state| state != "new") && note.contains(workflow) {
            return (newest["state"].as_str().unwrap().to_owned(), note.to_owned());
        }
    }
}

#[test]
fn hostile_submodules_fail_their_workflow_and_no_other() {
    let served = Served::start();
    library(&served.bench, "lib", None);
    submodule(&served.bench, "lib", "../lib.git");
    let other = workflow("", "cat lib/lib.txt || echo empty").replace("CI", "Plain");
    served.bench.write(".plue/plain.plue.py", other);
    served.bench.write(".plue.py", workflow(" checkout=Checkout(submodules=True),", "true"));
    let marker = served.bench.home().join("pwned");
    let hostile = [
        format!("\"ext::sh -c 'touch {}'\"", marker.display()),
        format!("\"--upload-pack=touch {}\"", marker.display()),
        "http://169.254.169.254/latest/x".to_owned(),
        "https://127.0.0.1/x.git".to_owned(),
        "https://user:hunter22hunter@example.invalid/x".to_owned(),
        // Not watched.
        served.bench.home().join("git/lib.git").display().to_string(),
    ];
    for (at, url) in hostile.iter().enumerate() {
        modules(&served.bench, &[("lib", url)]);
        served.push();
        let run = served.run(at + 1);
        assert_eq!((&run["workflow"], &run["status"]), (&"Plain".into(), &"success".into()));
        let (_, note) = dispatched(&served, "CI (.plue.py): invalid");
        assert!(note.contains("submodule \"lib\""), "{url}: {note}");
        assert!(!note.contains("hunter22hunter"), "{note}");
    }
    assert!(!marker.exists());
}

#[test]
fn watched_siblings_on_this_machine_are_submodules() {
    let served = Served::start();
    let bench = &served.bench;
    let lib = library(bench, "lib", None);
    // A second repository that the server watches.
    let bare_lib = bench.home().join("lib.git");
    std::fs::rename(bench.home().join("git/lib.git"), &bare_lib).unwrap();
    bench.plue(&["repo", "add", "acme/lib", bare_lib.to_str().unwrap()]).ends(0);
    let asked = "git submodule status; cat libs/a/lib.txt; git status --porcelain";
    bench.write(".plue.py", workflow(" checkout=Checkout(submodules=True),", asked));
    bench.git(&["clone", "-q", bare_lib.to_str().unwrap(), "libs/a"]);
    modules(bench, &[("libs/a", "../lib.git")]);
    served.push();
    let run = served.run(1);
    let log = served.log_of(&run, "test");
    assert_eq!(run["status"], "success", "{log}");
    assert!(log.starts_with(&format!(" {lib} libs/a")), "{log}");
    assert!(log.ends_with("\nof lib\n"), "{log}");
    // The same workspace again.
    let path = format!("/api/v1/runs/{}/rerun", run["id"].as_str().unwrap());
    let (status, body) = served.ask("POST", &path, Some(&serde_json::json!({})));
    assert!((200..300).contains(&status), "{status} {body}");
    let again = served.run(2);
    assert_eq!(served.log_of(&again, "test"), log);
}

#[test]
fn local_runs_name_missing_submodules() {
    let bench = Bench::new();
    library(&bench, "lib", None);
    submodule(&bench, "lib", "../lib.git");
    let asked = " checkout=Checkout(submodules=True, lfs=True),";
    bench.write(".plue.py", workflow(asked, "true"));
    bench.write(".gitattributes", "*.bin filter=lfs\n");
    let oid = "0f".repeat(32);
    let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 3\n");
    bench.write("a.bin", text);
    bench.commit();
    let output = bench.plue(&["run"]).ends(0);
    output.reports(&["`a.bin` is a pointer of Git LFS", "git lfs pull"]);
    assert!(!output.stderr.contains("submodule"), "{output:?}");
    bench.write("a.bin", "abc");
    std::fs::remove_dir_all(bench.repo().join("lib")).unwrap();
    std::fs::create_dir(bench.repo().join("lib")).unwrap();
    let output = bench.plue(&["run"]).ends(0);
    output.reports(&["submodule `lib` is not checked out", "git submodule update --init"]);
    assert!(!output.stderr.contains("pointer"), "{output:?}");
}
