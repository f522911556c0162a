//! `plue serve` and a forge on this machine that records its requests: from a pull request to
//! its statuses and its one comment.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
};

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::support::Bench;

pub(crate) const SECRET: &str = "It's a Secret to Everybody";
const TOKEN: &str = "forge-token-0123456789";

const BEFORE: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_pull_request()], steps=[Step.bash("test", "true")])
"#;
const AFTER: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_pull_request()], steps=[
        Step.bash("test", "true"),
        Step.bash("deploy", "exit 3", depends_on=["test"], secrets=["DEPLOY"]),
    ])
"#;
const IDLE: &str = r#"
def workflow():
    return Plan(name="Docs", triggers=[Trigger.on_pull_request(paths=["docs/**"])],
                steps=[Step.bash("a", "true")])
"#;

/// Requests to the forge, by kind.
#[derive(Default)]
struct Received {
    /// By commit and context: state and description.
    statuses: BTreeMap<(String, String), (String, String)>,
    /// Texts of comments; their ids are their places, from 1.
    comments: Vec<String>,
    labels: Vec<String>,
    /// Pull requests, as the forge lists them; their numbers are their places, from 1.
    pulls: Vec<Json>,
    tokens: Vec<String>,
    /// By id, from 1: name and conclusion of checks.
    checks: Vec<(String, String)>,
    /// Requested permissions of each token of a GitHub App.
    granted: Vec<Json>,
    /// Logins whose permission was requested; `broken` gets an answer of the wrong shape.
    asked_for: Vec<String>,
}

/// A forge with GitHub's API. It answers while the test waits for a request.
pub(crate) struct Forge {
    listener: TcpListener,
    received: RefCell<Received>,
}

impl Forge {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { listener, received: RefCell::default() }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Answers until the forge knows something; gives it.
    fn knows<T>(&self, what: impl Fn(&Received) -> Option<T>) -> T {
        loop {
            if let Some(found) = what(&self.received.borrow()) {
                return found;
            }
            let (stream, _) = self.listener.accept().unwrap();
            answer(stream, &mut self.received.borrow_mut());
        }
    }

    /// The state of a context once it is this one.
    pub(crate) fn status(&self, sha: &str, context: &str, state: &str) -> String {
        let key = (sha.to_owned(), context.to_owned());
        self.knows(|received| {
            let (now, text) = received.statuses.get(&key)?;
            (now == state).then(|| text.clone())
        })
    }

    /// Waits for a status in this state whose text contains `part`: states pass through others on the
    /// way, under the same name.
    pub(crate) fn status_with(&self, sha: &str, context: &str, state: &str, part: &str) {
        let key = (sha.to_owned(), context.to_owned());
        self.knows(|received| {
            let (now, text) = received.statuses.get(&key)?;
            (now == state && text.contains(part)).then_some(())
        });
    }

    /// Answers until it was asked whether a person may write.
    pub(crate) fn asked_for(&self, login: &str) {
        self.knows(|received| received.asked_for.iter().any(|asked| asked == login).then_some(()));
    }

    /// The comments of findings, once the run of a commit has ended in this state.
    pub(crate) fn findings(&self, sha: &str, state: &str) -> Vec<String> {
        self.status(sha, "plue/required", state);
        let received = self.received.borrow();
        let of_findings = |text: &&String| text.starts_with("<!-- plue:findings-");
        received.comments.iter().filter(of_findings).cloned().collect()
    }

    /// Answers until there is a comment of findings.
    pub(crate) fn has_findings(&self) {
        let is_one = |text: &String| text.starts_with("<!-- plue:findings-");
        self.knows(|received| received.comments.iter().any(is_one).then_some(()));
    }

    /// Answers until something else is over.
    pub(crate) fn answers_until(&self, is_over: impl Fn() -> bool) {
        self.listener.set_nonblocking(true).unwrap();
        while !is_over() {
            while let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(false).unwrap();
                answer(stream, &mut self.received.borrow_mut());
            }
        }
        self.listener.set_nonblocking(false).unwrap();
    }

    /// Answers until a pull request was opened.
    pub(crate) fn has_pull(&self) {
        self.knows(|received| (!received.pulls.is_empty()).then_some(()));
    }

    /// Requests for tokens of an App, with their permissions.
    pub(crate) fn granted(&self) -> Vec<Json> {
        self.received.borrow().granted.clone()
    }

    /// All pull requests that were opened.
    pub(crate) fn pulls(&self) -> Vec<Json> {
        self.received.borrow().pulls.clone()
    }

    /// The labels of the pull request.
    pub(crate) fn labels(&self) -> Vec<String> {
        self.received.borrow().labels.clone()
    }

    /// The text of the only comment, once it contains this.
    pub(crate) fn comment(&self, expected: &str) -> String {
        self.knows(|received| {
            assert!(received.comments.len() < 2, "{:?}", received.comments);
            received.comments.first().filter(|text| text.contains(expected)).cloned()
        })
    }
}

/// A connection without a request is closed after this time.
const UNUSED: std::time::Duration = std::time::Duration::from_secs(2);

/// The first line of a request, its token and its body; `None`: a client opened the connection for later.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, String, Json)> {
    reader.get_ref().set_read_timeout(Some(UNUSED)).unwrap();
    reader.fill_buf().ok()?;
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let (mut length, mut token) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => value.clone_into(&mut token),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Some((first, token, serde_json::from_slice(&body).unwrap_or_default()))
}

fn answer(stream: TcpStream, received: &mut Received) {
    let mut reader = BufReader::new(stream);
    let Some((first, token, body)) = request(&mut reader) else { return };
    let mut words = first.split(' ');
    // The client may have closed the connection.
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
    let path: Vec<&str> = path.split(['/', '?']).collect();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    received.tokens.push(token);
    let reply = match (method, &path[..]) {
        ("POST", ["", "api", "repos", "acme", "app", "statuses", sha]) => {
            let key = ((*sha).to_owned(), text("context"));
            received.statuses.insert(key, (text("state"), text("description")));
            json!({})
        }
        ("GET", [.., "issues", "7", "comments", _]) => {
            let comments = received.comments.iter().enumerate();
            comments.map(|(at, text)| json!({"id": at + 1, "body": text})).collect()
        }
        ("POST", [.., "issues", "7", "comments"]) => {
            received.comments.push(text("body"));
            json!({"id": received.comments.len()})
        }
        ("PATCH", [.., "issues", "comments", id]) => {
            let id = id.parse::<usize>().unwrap();
            received.comments[id - 1] = text("body");
            json!({"id": id})
        }
        ("POST", [.., "issues", "7", "labels"]) => {
            let names = body["labels"].as_array().unwrap().iter();
            received.labels.extend(names.map(|name| name.as_str().unwrap().to_owned()));
            json!([])
        }
        ("GET", [.., "issues", "7", "labels"]) => {
            received.labels.iter().map(|name| json!({"name": name})).collect()
        }
        ("DELETE", [.., "issues", "7", "labels", name]) => {
            received.labels.retain(|label| label != name);
            json!([])
        }
        ("GET", ["", "api", "repos", "acme", "app", "collaborators", login, "permission"]) => {
            received.asked_for.push((*login).to_owned());
            match *login {
                "ada" => json!({"permission": "write", "user": {"login": "ada"}}),
                "broken" => json!(["what"]),
                _ => json!({"permission": "read"}),
            }
        }
        ("GET", ["", "api", "repos", "acme", "app", "installation"]) => json!({"id": 77}),
        ("POST", ["", "api", "app", "installations", "77", "access_tokens"]) => {
            received.granted.push(body);
            json!({"token": TOKEN, "expires_at": "2126-01-01T00:00:00Z"})
        }
        ("GET", ["", "api", "repos", "acme", "app", "commits", _, "check-runs", ..]) => {
            json!({"check_runs": []})
        }
        ("POST", ["", "api", "repos", "acme", "app", "check-runs"]) => {
            received.checks.push((text("name"), text("conclusion")));
            json!({"id": received.checks.len()})
        }
        ("PATCH", ["", "api", "repos", "acme", "app", "check-runs", id]) => {
            received.checks[id.parse::<usize>().unwrap() - 1].1 = text("conclusion");
            json!({"id": id.parse::<u64>().unwrap()})
        }
        (_, ["", "api", "repos", "acme", "app", "pulls", rest @ ..]) => {
            pull_requests(method, rest, &body, &mut received.pulls)
        }
        other => panic!("the forge is asked for {other:?}"),
    };
    let reply = reply.to_string();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}", reply.len());
    let _died_meanwhile = write!(reader.get_mut(), "{head}\r\n\r\n{reply}");
}

/// Lists, opens and changes pull requests.
fn pull_requests(method: &str, rest: &[&str], body: &Json, pulls: &mut Vec<Json>) -> Json {
    match (method, rest) {
        ("GET", _) => json!(pulls),
        ("POST", []) => {
            pulls.push(json!({
                "number": pulls.len() + 1, "state": "open", "title": body["title"],
                "body": body["body"], "head": {"ref": body["head"]}, "base": {"ref": body["base"]},
            }));
            pulls.last().unwrap().clone()
        }
        ("PATCH", [number]) => {
            let pull = &mut pulls[number.parse::<usize>().unwrap() - 1];
            pull["title"] = body["title"].clone();
            pull["body"] = body["body"].clone();
            pull.clone()
        }
        other => panic!("the forge is asked for {other:?} of pull requests"),
    }
}

fn served(bench: &Bench, variables: &[(&str, &str)]) -> (Child, String) {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--public-url", "https://ci.example/"];
    let mut command = bench.command(&serve);
    let mut server =
        command.envs(variables.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit("http://").next().unwrap().to_owned();
    (server, address)
}

/// A server that watches a repository of the forge.
pub(crate) struct Served {
    pub(crate) bench: Bench,
    server: Child,
    address: String,
    pub(crate) hook: String,
}

impl Served {
    pub(crate) fn start(forge: &Forge) -> Self {
        Self::with(forge, "")
    }

    /// The same with this configuration.
    pub(crate) fn with(forge: &Forge, config: &str) -> Self {
        Self::known_by(forge, config, ("--token", TOKEN), &[])
    }

    /// With a credential from a file.
    pub(crate) fn known_by(
        forge: &Forge,
        config: &str,
        (option, credential): (&str, &str),
        more: &[&str],
    ) -> Self {
        let bench = Bench::new();
        let folder = bench.home().join(".config/plue");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), config).unwrap();
        let bare = bench.home().join("app.git");
        let bare = bare.to_str().unwrap();
        bench.git(&["init", "-q", "--bare", "-b", "main", bare]);
        bench.git(&["remote", "add", "origin", bare]);
        bench.plue_reading(&["secret", "set", "DEPLOY", "--global"], "hunter22hunter").ends(0);
        let secret = bench.home().join("secret");
        let token = bench.home().join("token");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::write(&token, credential).unwrap();
        let api = format!("http://127.0.0.1:{}/api", forge.port());
        let (secret, token) = (secret.to_str().unwrap(), token.to_str().unwrap());
        let add = ["repo", "add", "acme/app", bare, "--forge", "github", "--api", &api];
        let add = [&add[..], &["--webhook-secret", secret, option, token], more].concat();
        bench.plue(&add).ends(2);
        bench.plue(&[&add[..], &["--allow-http"]].concat()).ends(0);
        let list = bench.plue(&["repo", "list", "--output", "json"]).ends(0);
        let list: Json = serde_json::from_str(&list.stdout).unwrap();
        let hook = list["repos"][0]["webhook"].as_str().unwrap().to_owned();
        let (server, address) = served(&bench, &[]);
        Self { bench, server, address, hook }
    }

    /// The server dies without a word, and another one begins.
    pub(crate) fn dies_and_another_begins(&mut self) {
        self.dies_and_another_begins_with(&[]);
    }

    /// The same, the other one with these variables in its environment.
    pub(crate) fn dies_and_another_begins_with(&mut self, variables: &[(&str, &str)]) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        (self.server, self.address) = served(&self.bench, variables);
    }

    /// Commits the work tree and pushes it; the commit.
    pub(crate) fn push(&self, to: &str) -> String {
        self.bench.commit();
        self.bench.git(&["push", "-q", "origin", &format!("+HEAD:{to}")]);
        self.bench.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// The answer of the API to a reader.
    pub(crate) fn get(&self, token: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Delivers what happened to pull request 7.
    pub(crate) fn deliver(&self, id: &str, action: &str, from: &str, commits: (&str, &str)) {
        self.deliver_of(7, id, action, from, commits);
    }

    /// Delivers what happened to a pull request.
    pub(crate) fn deliver_of(
        &self,
        number: u64,
        id: &str,
        action: &str,
        from: &str,
        (base, head): (&str, &str),
    ) {
        let repo = |name: &str| repository(name, name.len() as u64);
        let body = json!({
            "action": action,
            "number": number,
            "pull_request": {
                "number": number, "title": "t", "draft": false, "merged": false,
                "head": {"ref": "f", "sha": head, "repo": repo(from)},
                "base": {"ref": "main", "sha": base, "repo": repo("acme/app")},
            },
            "repository": repo("acme/app"),
            // As the webhook of a GitHub App has it.
            "installation": {"id": 77},
            "sender": {"login": "ada", "type": "User"},
        });
        let answer = self.send(("pull_request", id), &self.hook, &body);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }

    /// Sends a signed delivery to a hook; the answer.
    pub(crate) fn send(&self, (event, id): (&str, &str), hook: &str, body: &Json) -> String {
        let body = body.to_string();
        let signature = hex::encode(hmac(SECRET.as_bytes(), body.as_bytes()));
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "POST {hook} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-github-event: {event}\r\n\
             x-github-delivery: {id}\r\nx-hub-signature-256: sha256={signature}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// A repository as payloads have it.
pub(crate) fn repository(name: &str, id: u64) -> Json {
    json!({"id": id, "full_name": name, "default_branch": "main"})
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ended = self.server.kill();
        let _reaped = self.server.wait();
    }
}

/// RFC 2104, for keys of up to 64 bytes.
pub(crate) fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let pad = |with: u8| -> Vec<u8> {
        (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect()
    };
    let inner = Sha256::digest([&pad(0x36)[..], text].concat());
    Sha256::digest([&pad(0x5c)[..], &inner].concat()).to_vec()
}

#[test]
fn pull_requests_get_statuses_and_one_updated_comment() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    let bench = &served.bench;
    bench.write(".plue.py", BEFORE);
    bench.write(".plue/docs.plue.py", IDLE);
    let base = served.push("refs/heads/main");
    bench.write(".plue.py", AFTER);
    let first = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "acme/app", (&base, &first));
    let text = forge.status(&first, "plue / CI (pull request)", "failure");
    assert!(text.contains("deploy") && text.contains('3'), "{text}");
    let text = forge.status(&first, "plue / Docs (pull request)", "success");
    assert!(text.starts_with("skipped: "), "{text}");
    let text = forge.status(&first, "plue/required", "failure");
    assert!(text.starts_with("1 of 2 plans fine; CI: failed"), "{text}");
    let comment = forge.comment("failed");
    assert!(comment.contains("+1 step, +1 secret"), "{comment}");
    assert!(comment.contains("CI would newly reach: secret DEPLOY"), "{comment}");
    assert!(comment.contains("https://ci.example/runs/"), "{comment}");
    // The next commit fixes it, and the same comment is updated.
    bench.write(".plue.py", BEFORE);
    let second = served.push("refs/pull/7/head");
    served.deliver("d2", "synchronize", "acme/app", (&base, &second));
    forge.status(&second, "plue/required", "success");
    let comment = forge.comment(&second[..10]);
    assert!(!comment.contains("secret"), "{comment}");
    let tokens = &forge.received.borrow().tokens;
    assert!(tokens.iter().all(|token| *token == format!("Bearer {TOKEN}")), "{tokens:?}");
}

#[test]
fn invalid_workflow_files_fail_the_status_with_location() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    served.bench.write("README.md", "words");
    let base = served.push("refs/heads/main");
    served.bench.write(".plue.py", "def workflow():\n    return Plan(name='CI', steps=[oops])\n");
    let head = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "acme/app", (&base, &head));
    let text = forge.status(&head, "plue/required", "failure");
    assert!(text.contains(".plue.py:2:"), "{text}");
    assert!(forge.comment("invalid").contains("oops"));
}

#[test]
fn allowed_commits_of_forks_run_without_secrets() {
    let forge = Forge::start();
    let served = Served::with(&forge, "[pools.untrusted]\nmode = \"off\"\n");
    served.bench.write(".plue.py", BEFORE);
    let base = served.push("refs/heads/main");
    served.bench.write(".plue.py", AFTER);
    let head = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "eve/app", (&base, &head));
    forge.status_with(&head, "plue/required", "pending", "a maintainer must let");
    let comment = forge.comment("waiting");
    assert!(comment.contains("CI would newly reach: secret DEPLOY"), "{comment}");
    assert!(comment.contains(&format!("plue repo allow acme/app {head}")), "{comment}");
    let runs = served.bench.plue(&["runs", "--output", "json"]).ends(0);
    assert!(!runs.stdout.contains("\"id\""), "{}", runs.stdout);
    served.bench.plue(&["repo", "allow", "acme/app", &base]).ends(4);
    served.bench.plue(&["repo", "allow", "acme/app", &head]).ends(0);
    let text = forge.status(&head, "plue/required", "failure");
    assert!(text.contains("DEPLOY"), "{text}");
    forge.comment("failed");
    // The next commit is another's word again.
    served.bench.write("more.txt", "more");
    let next = served.push("refs/pull/7/head");
    served.deliver("d2", "synchronize", "eve/app", (&base, &next));
    forge.status(&next, "plue/required", "pending");
}

/// The words that the App shows are verified in `plue-forge`.
#[test]
fn github_apps_request_minimal_tokens_and_write_checks() {
    let forge = Forge::start();
    let key = include_str!("../../../forge/tests/forge/app-key.pem");
    let more = ["--app-id", "12345", "--report", "check"];
    let served = Served::known_by(&forge, "", ("--app-key", key), &more);
    let bench = &served.bench;
    bench.write(".plue.py", BEFORE);
    let base = served.push("refs/heads/main");
    bench.write(".plue.py", AFTER);
    let head = served.push("refs/pull/7/head");
    served.deliver("d1", "opened", "acme/app", (&base, &head));
    let failed = |received: &Received| {
        let wanted = ("plue / CI (pull request)".to_owned(), "failure".to_owned());
        received.checks.contains(&wanted).then_some(())
    };
    forge.knows(failed);
    forge.comment("failed");
    let received = forge.received.borrow();
    let rights = json!({"contents": "read", "checks": "write", "pull_requests": "write"});
    assert_eq!(received.granted, [json!({"repositories": ["app"], "permissions": rights})]);
    let (words, tokens): (Vec<_>, Vec<_>) =
        received.tokens.iter().partition(|token| token.starts_with("Bearer ey"));
    assert_eq!(words.len(), 2);
    assert!(tokens.iter().all(|token| **token == format!("Bearer {TOKEN}")), "{tokens:?}");
    // Neither the key nor what was got for it is anywhere in the clear.
    let key = key.lines().nth(4).unwrap();
    for (path, bytes) in crate::support::snapshot(&bench.state()) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(key) && !text.contains(TOKEN), "{}", path.display());
    }
}

#[test]
fn apps_without_a_usable_key_are_refused() {
    let bench = Bench::new();
    let file = bench.home().join("key");
    std::fs::write(&file, "no key").unwrap();
    let file = file.to_str().unwrap();
    let url = "https://github.com/acme/app.git";
    let add = |forge: &str, more: &[&str]| {
        bench.plue(&[&["repo", "add", "acme/app", url, "--forge", forge], more].concat()).ends(2)
    };
    add("github", &["--app-id", "1", "--app-key", file]).reports(&["no private RSA key in PEM"]);
    add("github", &["--app-id", "1"]).reports(&["--app-key"]);
    add("gitlab", &["--app-id", "1", "--app-key", file]).reports(&["only GitHub has Apps"]);
}
