//! Agents: tools in the workspace, each called as an engine calls it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use plue_wire::{
    eval::Bytes,
    runner::{
        AgentOrder, Assign, CancelMode, EventKind, Exit, MAX_TOOL_RESULT_BYTES, Program,
        TOOL_NAMES, ToRunner, ToolCall, ToolResult, Verdict,
    },
};
use serde_json::{Value, json};

use crate::engine::{Log, Session, World, claim, lives, program, verdict};

/// An attempt whose program is an agent, and the engine that talks to it.
pub(crate) struct Agent {
    session: Session,
    assign: Assign,
    log: Log,
    calls: u32,
}

impl Agent {
    fn start(session: Session) -> Self {
        Self::of(session, program(Program::Agent))
    }

    pub(crate) fn of(mut session: Session, assign: Assign) -> Self {
        session.assign(&assign);
        Self { session, assign, log: Log::default(), calls: 0 }
    }

    fn order(&mut self, order: AgentOrder) {
        self.session.send(&ToRunner::Agent(self.assign.claim.clone(), Box::new(order)));
    }

    pub(crate) fn send(&mut self, id: &str, name: &str, input: &str) {
        self.send_within(id, name, input, 30_000);
    }

    pub(crate) fn send_within(&mut self, id: &str, name: &str, input: &str, timeout_ms: u64) {
        let (id, name, input_json) = (id.to_owned(), name.to_owned(), input.to_owned());
        self.order(AgentOrder::Call(ToolCall { id, name, input_json, timeout_ms }));
    }

    /// Acknowledges messages up to the next result of a tool, and returns it.
    pub(crate) fn result(&mut self) -> ToolResult {
        loop {
            let seen = self.log.others.len();
            let message = self.session.receive();
            self.log.take(message);
            assert_eq!(self.log.result, None, "{}", String::from_utf8_lossy(&self.log.stderr));
            let last = self.log.last;
            self.session.send(&ToRunner::Ack(self.assign.claim.clone(), last));
            if let Some(EventKind::Tool(result)) = self.log.others.get(seen) {
                return result.clone();
            }
        }
    }

    fn call_text(&mut self, name: &str, input: &str) -> Result<String, String> {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        self.send(&id, name, input);
        let result = self.result();
        assert_eq!(result.id, id);
        let text = String::from_utf8_lossy(&result.content.0).into_owned();
        if result.is_error { Err(text) } else { Ok(text) }
    }

    pub(crate) fn call(&mut self, name: &str, input: Value) -> Result<String, String> {
        self.call_text(name, &input.to_string())
    }

    pub(crate) fn bash(&mut self, command: &str) -> Result<String, String> {
        self.call("bash", json!({"command": command}))
    }

    pub(crate) fn end(mut self, output: &str, status: u8) -> (Log, Session) {
        self.order(AgentOrder::End { output_json: output.to_owned(), status });
        self.session.collect(&self.assign.claim, &mut self.log);
        (self.log, self.session)
    }
}

fn write(world: &World, path: &str, text: impl AsRef<[u8]>) {
    let path = world.workspace().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(crate) fn read(world: &World, path: &str) -> String {
    fs::read_to_string(world.workspace().join(path)).unwrap()
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"];
    let output = Command::new("git")
        .args(who)
        .args(arguments)
        .current_dir(folder)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn agents_print_work_and_end() {
    let (world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    agent.order(AgentOrder::Print(Bytes(b"thinking\n".to_vec())));
    assert_eq!(agent.bash("echo out; echo err >&2; pwd").unwrap().lines().count(), 3);
    agent.order(AgentOrder::Print(Bytes(b"done\n".to_vec())));
    let (log, _session) = agent.end(r#"{"answer": 42}"#, 0);
    assert_eq!(log.exit(), &Exit::Code(0));
    assert_eq!((log.text().as_str(), log.output()), ("thinking\ndone\n", json!({"answer": 42})));
    assert_eq!(log.result.unwrap().leaked, 0);
    assert_eq!(world.kept_files(), [""; 0]);
}

#[test]
fn agents_fail_with_their_status_and_keep_their_output() {
    let (_world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    // A tool cannot speak for the agent.
    agent.bash("echo '{\"forged\": true}' > $PLUE_OUTPUT").unwrap();
    let (log, mut session) = agent.end(r#"{"partial": true}"#, 7);
    assert_eq!((log.exit(), log.output()), (&Exit::Code(7), json!({"partial": true})));
    for (fence, (sent, output)) in
        (2..).zip([("plain text", json!("plain text")), ("\"a\"", json!("a")), ("", json!(""))])
    {
        let assign = crate::engine::with_claim("b", fence, program(Program::Agent));
        let log;
        (log, session) = Agent::of(session, assign).end(sent, 0);
        assert_eq!((log.exit(), log.output()), (&Exit::Code(0), output));
    }
}

#[test]
fn bash_reports_status_time_and_what_it_left() {
    let (_world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    assert_eq!(agent.bash("true").unwrap(), "[no output]\n");
    assert_eq!(agent.bash("printf out; exit 3").unwrap_err(), "out\n[exit status 3]\n");
    assert_eq!(agent.bash("cat").unwrap(), "[no output]\n", "there is nothing to read");
    let late = agent.call("bash", json!({"command": "echo $$; sleep 600", "timeout_ms": 300}));
    let late = late.unwrap_err();
    assert!(late.contains("not done within 300 ms"), "{late}");
    assert!(!lives(late.lines().next().unwrap().parse().unwrap()));
    let left = agent.bash("sleep 600 & echo $!").unwrap();
    assert!(left.contains("were killed"), "{left}");
    let pid: i32 = left.lines().next().unwrap().parse().unwrap();
    agent.bash(&format!("while kill -0 {pid} 2>/dev/null; do :; done")).unwrap();
    agent.end("null", 0);
}

#[test]
fn files_are_read_written_and_edited() {
    let (world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    let made = agent.call("write", json!({"path": "a/b.txt", "content": "one\ntwo\none\n"}));
    assert_eq!(made.unwrap(), "made a/b.txt (12 bytes)\n");
    let all = "1\tone\n2\ttwo\n3\tone\n";
    assert_eq!(agent.call("read", json!({"path": "a/b.txt"})).unwrap(), all);
    let absolute = world.workspace().canonicalize().unwrap().join("./a/b.txt");
    assert_eq!(agent.call("read", json!({"path": absolute})).unwrap(), all);
    let part = agent.call("read", json!({"path": "a/b.txt", "offset": 2, "limit": 1})).unwrap();
    assert_eq!(part, "2\ttwo\n[more lines follow; read on with offset 3]\n");
    let edit = |old: &str, all: bool| json!({"path": "a/b.txt", "old_string": old, "new_string": "1", "replace_all": all});
    let twice = agent.call("edit", edit("one", false)).unwrap_err();
    assert!(twice.contains("2 times"), "{twice}");
    let never = agent.call("edit", edit("three", false)).unwrap_err();
    assert!(never.contains("is not in"), "{never}");
    agent.call("edit", edit("one", true)).unwrap();
    assert_eq!(read(&world, "a/b.txt"), "1\ntwo\n1\n");
    write(&world, "binary", b"a\0b");
    write(&world, "wide", "x".repeat(100_000));
    assert!(agent.call("read", json!({"path": "binary"})).unwrap_err().contains("not text"));
    let wide = agent.call("read", json!({"path": "wide"})).unwrap();
    assert!(wide.contains("[98000 bytes more in this line]") && wide.len() < 3_000);
    agent.end("null", 0);
}

#[test]
fn executables_stay_executable() {
    use std::os::unix::fs::PermissionsExt as _;
    let (world, session) = World::start(&[]);
    let path = world.workspace().join("run.sh");
    fs::write(&path, "#!/bin/sh\necho old\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut agent = Agent::start(session);
    let edit = json!({"path": "run.sh", "old_string": "old", "new_string": "new"});
    agent.call("edit", edit).unwrap();
    assert_eq!(agent.bash("./run.sh").unwrap(), "new\n");
    agent.end("null", 0);
}

#[test]
fn parallel_edits_of_one_file_all_count() {
    let (world, session) = World::start(&[]);
    let lines: String = (0..40).map(|at| format!("line {at};\n")).collect();
    write(&world, "f", lines);
    let mut agent = Agent::start(session);
    for at in 0..40 {
        let input = json!({"path": "f", "old_string": format!("line {at};"), "new_string": "x"});
        agent.send(&format!("e{at}"), "edit", &input.to_string());
    }
    for _ in 0..40 {
        let result = agent.result();
        assert!(!result.is_error, "{}", String::from_utf8_lossy(&result.content.0));
    }
    assert_eq!(read(&world, "f"), "x\n".repeat(40));
    agent.end("null", 0);
}

#[test]
fn glob_and_grep_find_what_git_does_not_ignore() {
    let (world, session) = World::start(&[]);
    write(&world, "src/main.rs", "fn main() {\n    needle();\n}\n");
    write(&world, "src/deep/lib.rs", "// Needle\n");
    write(&world, "target/out.rs", "needle\n");
    write(&world, ".github/x.rs", "nothing\n");
    write(&world, ".git/config.rs", "needle\n");
    write(&world, ".gitignore", "target/\n");
    symlink("/etc", world.workspace().join("src/etc")).unwrap();
    let mut agent = Agent::start(session);
    let found = agent.call("glob", json!({"pattern": "**/*.rs"})).unwrap();
    assert_eq!(found, ".github/x.rs\nsrc/deep/lib.rs\nsrc/main.rs\n");
    let below = agent.call("glob", json!({"pattern": "*.rs", "path": "src"})).unwrap();
    assert_eq!(below, "src/main.rs\n");
    let lines = agent.call("grep", json!({"pattern": "^ *needle", "context": 1})).unwrap();
    let shown = "src/main.rs-1-fn main() {\nsrc/main.rs:2:    needle();\nsrc/main.rs-3-}\n";
    assert_eq!(lines, shown);
    let both = json!({"pattern": "needle", "ignore_case": true, "glob": "*.rs", "path": "src"});
    assert_eq!(agent.call("grep", both).unwrap().lines().count(), 2);
    let wrong = agent.call("grep", json!({"pattern": "("})).unwrap_err();
    assert!(wrong.contains("no regular expression"), "{wrong}");
    // Patterns that are costly to compile or, elsewhere, to match.
    let large = agent.call("grep", json!({"pattern": "((a{1000}){1000}){1000}"})).unwrap_err();
    assert!(large.contains("size limit"), "{large}");
    write(&world, "aaa", "a".repeat(100_000));
    let slow = agent.call("grep", json!({"pattern": "^(a+)+$b", "path": "aaa"})).unwrap();
    assert_eq!(slow, "[nothing fits]\n");
    agent.end("null", 0);
}

#[test]
fn git_shows_and_commits() {
    let (world, session) = World::start(&[]);
    let folder = world.workspace();
    write(&world, "a.txt", "one\n");
    git(&folder, &["init", "-q", "-b", "main"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-qm", "first"]);
    write(&world, "a.txt", "two\n");
    let mut agent = Agent::start(session);
    let status = agent.call("git", json!({"command": "status"})).unwrap();
    assert_eq!(status, "## main\n M a.txt\n");
    let diff = agent.call("git", json!({"command": "diff", "paths": ["a.txt"]})).unwrap();
    assert!(diff.contains("-one\n+two\n"), "{diff}");
    agent.call("git", json!({"command": "commit", "message": "second"})).unwrap();
    let log = agent.call("git", json!({"command": "log", "max_count": 1})).unwrap();
    assert!(log.contains("second") && log.contains("plue agent") && !log.contains("first"));
    let shown = agent.call("git", json!({"command": "show", "revision": "HEAD~1:a.txt"}));
    // A path behind a revision leaves no room for `--`.
    assert_eq!(shown.unwrap(), "one\n");
    for revision in ["--output=x", "-x", "a b", "$(id)", "", "/etc/passwd", "../x", "a/../../x"] {
        let refused = agent.call("git", json!({"command": "log", "revision": revision}));
        assert!(refused.unwrap_err().contains("is no revision"), "{revision}");
    }
    let outside = agent.call("git", json!({"command": "diff", "paths": ["../x"]})).unwrap_err();
    assert!(outside.contains("leads outside"), "{outside}");
    agent.end("null", 0);
}

/// Git runs no program that the repository configures.
#[test]
fn git_runs_nothing_of_the_repository() {
    let (world, session) = World::start(&[]);
    let folder = world.workspace();
    write(&world, "a.txt", "one\n");
    git(&folder, &["init", "-q", "-b", "main"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-qm", "first"]);
    let trap = world.folder().join("trap.sh");
    let sprung = world.folder().join("sprung");
    fs::write(&trap, format!("#!/bin/sh\necho \"$0 $@\" >> {}\ncat\n", sprung.display())).unwrap();
    let run = format!("sh {}", trap.display());
    for key in [
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "diff.external",
        "diff.d.command",
        "diff.d.textconv",
        "filter.f.clean",
        "filter.f.smudge",
        "filter.f.process",
        "gpg.program",
        "core.sshCommand",
        "core.askPass",
        "core.alternateRefsCommand",
        "pager.log",
        "pager.status",
        "merge.m.driver",
        "trailer.t.command",
    ] {
        git(&folder, &["config", key, &run]);
    }
    for key in ["commit.gpgSign", "log.showSignature", "filter.f.required"] {
        git(&folder, &["config", key, "true"]);
    }
    write(&world, ".gitattributes", "* filter=f diff=d merge=m\n");
    for hook in
        ["pre-commit", "commit-msg", "post-commit", "post-index-change", "prepare-commit-msg"]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join(".git/hooks").join(hook);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(&trap, &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    write(&world, "a.txt", "two\n");
    let mut agent = Agent::start(session);
    for command in ["status", "diff", "log", "show"] {
        agent.call("git", json!({"command": command})).unwrap();
    }
    agent.call("git", json!({"command": "commit", "message": "second"})).unwrap();
    agent.call("git", json!({"command": "show", "revision": "HEAD"})).unwrap();
    assert!(!sprung.exists(), "{}", fs::read_to_string(sprung).unwrap());
    // A repository elsewhere is not used either.
    fs::rename(folder.join(".git"), world.folder().join("elsewhere")).unwrap();
    write(&world, ".git", format!("gitdir: {}\n", world.folder().join("elsewhere").display()));
    let refused = agent.call("git", json!({"command": "status"})).unwrap_err();
    assert!(refused.contains("not a folder"), "{refused}");
    agent.end("null", 0);
}

/// The table of ways out of the workspace: each is refused, and nothing outside is touched.
#[test]
fn paths_that_leave_the_workspace_are_refused() {
    let (world, session) = World::start(&[]);
    let work = world.workspace();
    fs::write(world.folder().join("secret.txt"), "top secret").unwrap();
    fs::create_dir(world.folder().join("work-too")).unwrap();
    fs::write(world.folder().join("work-too/secret.txt"), "top secret").unwrap();
    symlink("/", work.join("root")).unwrap();
    symlink("..", work.join("up")).unwrap();
    symlink("../secret.txt", work.join("file")).unwrap();
    symlink("/proc/self/environ", work.join("environ")).unwrap();
    symlink("/proc/self/cwd/../secret.txt", work.join("magic")).unwrap();
    symlink("loop", work.join("loop")).unwrap();
    symlink("up/secret.txt", work.join("twice")).unwrap();
    let outside = world.folder().join("secret.txt").canonicalize().unwrap();
    let sibling = world.folder().join("work-too/secret.txt").canonicalize().unwrap();
    let mut agent = Agent::start(session);
    let escapes = [
        "..",
        "../secret.txt",
        "a/../../secret.txt",
        "./../secret.txt",
        outside.to_str().unwrap(),
        sibling.to_str().unwrap(),
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/1/environ",
        "/proc/self/fd/0",
        "/dev/stdin",
        "root/etc/passwd",
        "up/secret.txt",
        "file",
        "environ",
        "magic",
        "loop",
        "twice",
        "root/proc/self/environ",
        "",
        ".",
        "a\0b",
        "//etc/passwd",
        "\\..\\secret.txt",
        "%2e%2e/secret.txt",
    ];
    for path in escapes {
        for (name, input) in [
            ("read", json!({"path": path})),
            ("write", json!({"path": path, "content": "x"})),
            ("edit", json!({"path": path, "old_string": "top", "new_string": "x"})),
        ] {
            let harmless = name == "write" && (path.starts_with('\\') || path.starts_with('%'));
            match agent.call(name, input) {
                Ok(text) => assert!(harmless, "{name} {path:?}: {text}"),
                Err(why) => assert!(!why.contains("root:") && !why.contains("top secret"), "{why}"),
            }
        }
    }
    for path in ["..", "root", "up", "/etc", "root/etc", "environ"] {
        for (name, key) in [("glob", "*"), ("grep", "o")] {
            let refused = agent.call(name, json!({"pattern": key, "path": path}));
            assert!(refused.is_err(), "{name} {path:?}: {refused:?}");
        }
    }
    let none = agent.call("glob", json!({"pattern": "{../*,/etc/*,root/etc/*}"})).unwrap();
    assert!(none.starts_with("[no file"), "{none}");
    for path in [".git/hooks/pre-commit", ".git/config", "sub/.GIT/config", ".git"] {
        let refused = agent.call("write", json!({"path": path, "content": "x"})).unwrap_err();
        assert!(refused.contains("belongs to Git"), "{refused}");
    }
    assert_eq!(fs::read_to_string(world.folder().join("secret.txt")).unwrap(), "top secret");
    assert!(fs::symlink_metadata(work.join("file")).unwrap().is_symlink());
    agent.end("null", 0);
}

#[test]
fn links_inside_the_workspace_are_read() {
    let (world, session) = World::start(&[]);
    write(&world, "real/file", "text\n");
    symlink("real", world.workspace().join("short")).unwrap();
    let mut agent = Agent::start(session);
    assert_eq!(agent.call("read", json!({"path": "short/file"})).unwrap(), "1\ttext\n");
    agent.end("null", 0);
}

#[test]
fn pipes_and_devices_do_not_block() {
    let (world, session) = World::start(&[]);
    let made = Command::new("mkfifo").arg(world.workspace().join("pipe")).status().unwrap();
    assert!(made.success());
    write(&world, "other", "needle\n");
    let _listener =
        std::os::unix::net::UnixListener::bind(world.workspace().join("socket")).unwrap();
    let mut agent = Agent::start(session);
    for path in ["pipe", "socket"] {
        assert!(agent.call("read", json!({"path": path})).unwrap_err().contains("regular"));
        let input = json!({"path": path, "content": "x"});
        assert!(agent.call("write", input).unwrap_err().contains("regular"));
        let input = json!({"path": path, "old_string": "a", "new_string": "x"});
        assert!(agent.call("edit", input).unwrap_err().contains("regular"));
    }
    assert_eq!(agent.call("grep", json!({"pattern": "needle"})).unwrap(), "other:1:needle\n");
    agent.end("null", 0);
}

#[test]
fn hostile_input_is_answered() {
    let (_world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    let deep = format!("{{\"path\": {}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let inputs = [
        "",
        "{",
        "null",
        "[]",
        "\"x\"",
        "{\"path\": 1}",
        "{\"command\": null}",
        "{\"unknown\": true}",
        "{\"path\": \"\\ud800\"}",
        "{\"path\": \"a\", \"path\": \"b\"}",
        "\u{0}",
        deep.as_str(),
    ];
    for name in TOOL_NAMES {
        for input in inputs {
            let why = agent.call_text(name, input).unwrap_err();
            let head: String = input.chars().take(40).collect();
            assert!(why.contains("the input does not fit"), "{name} {head}: {why}");
        }
    }
    let long = json!({"path": "x", "content": "x".repeat(3 * 1024 * 1024)});
    assert!(agent.call("write", long).unwrap_err().contains("larger than"));
    for name in ["", "Bash", "submit_output", "../bash", &"x".repeat(100_000)] {
        let why = agent.call(name, json!({})).unwrap_err();
        assert!(why.contains("the tools are bash, read"), "{why}");
    }
    agent.end("null", 0);
}

#[test]
fn fetch_reaches_named_public_hosts_only() {
    let (world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    let url = json!({"url": "https://docs.rs/"});
    assert!(agent.call("fetch", url).unwrap_err().contains("not among the hosts"));
    let (_log, session) = agent.end("null", 0);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut assign = crate::engine::with_claim("b", 2, program(Program::Agent));
    let hosts = format!("127.0.0.1:{port},localhost:{port}, 169.254.169.254,");
    assign.env.push(("PLUE_AGENT_FETCH_HOSTS".to_owned(), hosts));
    let mut agent = Agent::of(session, assign);
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        "http://169.254.169.254/latest".to_owned(),
    ] {
        let why = agent.call("fetch", json!({"url": url})).unwrap_err();
        assert!(why.contains("private address"), "{why}");
    }
    for url in
        ["file:///etc/passwd", "https://user@docs.rs/", "https://[::1]/", "gopher://x/", "docs.rs"]
    {
        assert!(agent.call("fetch", json!({"url": url})).is_err(), "{url}");
    }
    assert!(listener.accept().is_err(), "a client connected");
    assert!(!agent.bash("env").unwrap().contains("FETCH_HOSTS"));
    agent.end("null", 0);
    drop(world);
}

/// A tool sees the environment of a step and no descriptor of the runner.
#[test]
fn tools_see_no_key_and_no_socket() {
    let (_world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    let seen = agent
        .bash("env; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -a PLUE_; ls -l /proc/self/fd")
        .unwrap();
    for word in ["ANTHROPIC", "NOT_FOR_STEPS", "API_KEY", crate::engine::TOKEN] {
        assert!(!seen.contains(word), "{word} is in {seen}");
    }
    assert!(!seen.contains("socket:"), "{seen}");
    assert!(agent.bash("cat /proc/$PPID/fd/0").is_err(), "a socket cannot be opened again");
    agent.end("null", 0);
}

#[test]
fn calls_are_executed_once() {
    let (world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    let input = json!({"command": "echo run >> runs; cat runs | wc -l"}).to_string();
    for _ in 0..3 {
        agent.send("same", "bash", &input);
        let result = agent.result();
        assert_eq!((result.id.as_str(), result.content.0.as_slice()), ("same", &b"1\n"[..]));
    }
    // One that still runs has one result.
    let slow =
        json!({"command": "echo run >> slow; until [ -e go ]; do sleep 0.01; done"}).to_string();
    for _ in 0..5 {
        agent.send("slow", "bash", &slow);
    }
    agent.send(
        "go",
        "bash",
        &json!({"command": "until [ -e slow ]; do sleep 0.01; done; touch go"}).to_string(),
    );
    let mut ended = [agent.result().id, agent.result().id];
    ended.sort();
    assert_eq!(ended, ["go", "slow"]);
    let (log, _session) = agent.end("null", 0);
    assert_eq!((read(&world, "runs").as_str(), read(&world, "slow").as_str()), ("run\n", "run\n"));
    let slow = log
        .others
        .iter()
        .filter(|event| matches!(event, EventKind::Tool(result) if result.id == "slow"));
    assert_eq!(slow.count(), 1);
}

#[test]
fn cancelled_agents_leave_no_process() {
    let (world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    let command = "sleep 600 & setsid sleep 600 & env -i sleep 600 & trap '' TERM; \
                   echo $! $$ $(jobs -p) > pids.new; mv pids.new pids; sleep 600; sleep 600";
    agent.send("long", "bash", &json!({"command": command}).to_string());
    while !world.workspace().join("pids").exists() {
        std::thread::yield_now();
    }
    let pids: Vec<i32> =
        read(&world, "pids").split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.len() >= 4 && pids.iter().all(|pid| lives(*pid)));
    agent.session.send(&ToRunner::Cancel(agent.assign.claim.clone(), CancelMode::Term));
    let claim = agent.assign.claim.clone();
    agent.session.collect(&claim, &mut agent.log);
    assert_eq!(agent.log.exit(), &Exit::Cancelled);
    assert!(!pids.iter().any(|pid| lives(*pid)), "{pids:?}");
}

#[test]
fn agents_that_take_too_long_are_ended() {
    let (world, session) = World::start(&[]);
    let mut assign = program(Program::Agent);
    assign.timeout_ms = 700;
    let mut agent = Agent::of(session, assign);
    agent.send("long", "bash", r#"{"command": "echo $$ > pid; sleep 600"}"#);
    let claim = agent.assign.claim.clone();
    agent.session.collect(&claim, &mut agent.log);
    assert_eq!(agent.log.exit(), &Exit::TimedOut);
    let pid = read(&world, "pid").trim().parse().unwrap();
    assert!(!lives(pid));
}

#[test]
fn long_results_lose_their_middle() {
    let (_world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    let text = agent.bash("echo start; yes | head -c 30000000; echo end").unwrap();
    assert!(text.len() <= MAX_TOOL_RESULT_BYTES && text.len() > MAX_TOOL_RESULT_BYTES / 2);
    assert!(text.starts_with("start\ny\n") && text.ends_with("y\nend\n"), "{}", &text[..40]);
    assert!(text.contains("bytes are left out here]"));
    agent.end("null", 0);
}

#[test]
fn secrets_in_results_are_masked() {
    let (world, session) = World::start(&[]);
    let mut assign = program(Program::Agent);
    assign.secrets = vec![("TOKEN".to_owned(), Bytes(b"s3cret-of-the-step".to_vec()))];
    write(&world, "leak", "a s3cret-of-the-step b\n");
    let mut agent = Agent::of(session, assign);
    assert_eq!(
        agent.bash("echo $TOKEN; printf %s $TOKEN | base64").unwrap().lines().next(),
        Some("***")
    );
    assert_eq!(agent.call("read", json!({"path": "leak"})).unwrap(), "1\ta *** b\n");
    let many = agent.bash("for i in $(seq 60000); do echo $i$TOKEN; done").unwrap();
    assert!(!many.contains("s3cret") && !many.contains("the-step") && many.contains("left out"));
    agent.end("null", 0);
}

#[test]
fn ten_thousand_calls_at_once_are_answered() {
    let (_world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    let mut writer = agent.session.stream.try_clone().unwrap();
    let claim = agent.assign.claim.clone();
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || {
            use std::io::Write as _;
            for at in 0..10_000 {
                let call = ToolCall {
                    id: format!("c{at}"),
                    name: "glob".to_owned(),
                    input_json: r#"{"pattern": "*"}"#.to_owned(),
                    timeout_ms: 60_000,
                };
                let order = ToRunner::Agent(claim.clone(), Box::new(AgentOrder::Call(call)));
                let frame = plue_wire::encode(&order, plue_wire::runner::MAX_FRAME_BYTES).unwrap();
                writer.write_all(&frame).unwrap();
            }
        });
        let mut ids = std::collections::BTreeSet::new();
        while ids.len() < 10_000 {
            let message = agent.session.receive();
            let seen = agent.log.others.len();
            agent.log.take(message);
            if let Some(EventKind::Tool(result)) = agent.log.others.get(seen) {
                assert!(!result.is_error);
                assert!(ids.insert(result.id.clone()), "{} came twice", result.id);
            }
            if ids.len() % 500 == 0 || ids.len() > 9_500 {
                let last = agent.log.last;
                // The other thread writes whole frames; this one waits until it is done.
                if sending.is_finished() {
                    agent.session.send(&ToRunner::Ack(agent.assign.claim.clone(), last));
                }
            }
        }
        sending.join().unwrap();
    });
    let (log, _session) = agent.end("null", 0);
    assert_eq!(log.exit(), &Exit::Code(0));
}

/// Calls of one turn run side by side, up to a limit.
#[test]
fn calls_run_side_by_side_in_turns() {
    let (world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    for at in 0..32 {
        let command = format!("touch up-{at}; until [ -e go ]; do sleep 0.05; done");
        agent.send(&format!("c{at}"), "bash", &json!({"command": command}).to_string());
    }
    agent.send("late", "bash", r#"{"command": "touch late"}"#);
    while (0..32).any(|at| !world.workspace().join(format!("up-{at}")).exists()) {
        std::thread::yield_now();
    }
    assert!(!world.workspace().join("late").exists());
    write(&world, "go", "");
    for _ in 0..33 {
        assert!(!agent.result().is_error);
    }
    assert!(world.workspace().join("late").exists());
    agent.end("null", 0);
}

/// The smallest buffer holds the largest result.
#[test]
fn small_buffers_pass_large_results() {
    let (world, session) = World::start(&["--buffer-bytes", "524288"]);
    let mut agent = Agent::start(session);
    for at in 0..12 {
        agent.send(&format!("c{at}"), "bash", r#"{"command": "yes | head -c 1000000"}"#);
    }
    for _ in 0..12 {
        assert!(agent.result().content.0.len() > MAX_TOOL_RESULT_BYTES / 2);
    }
    agent.end("null", 0);
    drop(world);
}

#[test]
fn results_survive_a_broken_connection() {
    let (mut world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    agent.bash("true").unwrap();
    agent.send(
        "late",
        "bash",
        r#"{"command": "touch ready; until [ -e go ]; do sleep 0.01; done; echo late"}"#,
    );
    while !world.workspace().join("ready").exists() {
        std::thread::yield_now();
    }
    let Agent { session, assign, log, .. } = agent;
    drop(session);
    write(&world, "go", "");
    let acked = log.last;
    let session = world.welcome(&[verdict(&assign.claim, Verdict::Continue, acked)]);
    let mut agent = Agent { session, assign, log: Log { last: acked, ..Log::default() }, calls: 9 };
    let result = agent.result();
    assert_eq!((result.id.as_str(), result.content.0.as_slice()), ("late", &b"late\n"[..]));
    // An engine that lost the result asks again.
    agent.send("late", "bash", r#"{"command": "echo twice"}"#);
    assert_eq!(agent.result().content.0, b"late\n");
    let (log, _session) = agent.end("null", 0);
    assert_eq!(log.exit(), &Exit::Code(0));
}

#[test]
fn restarted_runners_report_agents_as_lost() {
    let (mut world, session) = World::start(&[]);
    let mut agent = Agent::start(session);
    agent.send("once", "bash", r#"{"command": "echo run >> runs; echo $$ > pid; sleep 600"}"#);
    while !world.workspace().join("pid").exists() {
        std::thread::yield_now();
    }
    let pid: i32 = loop {
        if let Ok(pid) = read(&world, "pid").trim().parse() {
            break pid;
        }
    };
    world.kill_and_restart();
    let (mut session, hello) = world.accept();
    assert!(hello.resume.iter().all(|resume| resume.ended));
    session.welcome(&[verdict(&agent.assign.claim, Verdict::Continue, agent.log.last)]);
    // The engine repeats calls without a result; the attempt is over.
    agent.session = session;
    agent.send("once", "bash", r#"{"command": "echo run >> runs"}"#);
    let claim = agent.assign.claim.clone();
    agent.session.collect(&claim, &mut agent.log);
    assert!(matches!(agent.log.exit(), Exit::Infra(_)));
    assert!(!lives(pid));
    assert_eq!(read(&world, "runs"), "run\n");
}

#[test]
fn agents_have_services_too() {
    let (_world, session) = World::start(&[]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let service = plue_wire::runner::Service {
        run: format!("exec python3 -m http.server --bind 127.0.0.1 {port}"),
        port,
        env: Vec::new(),
        secrets: Vec::new(),
    };
    let program =
        Program::WithServices { program: Box::new(Program::Agent), services: vec![service] };
    let mut agent = Agent::of(session, crate::engine::program(program));
    agent.bash(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}")).unwrap();
    let (log, _session) = agent.end(r#"{"a": 1}"#, 3);
    assert_eq!((log.exit(), log.output()), (&Exit::Code(3), json!({"a": 1})));
}

/// An attempt that is not an agent's, or not there, has no use for orders.
#[test]
fn orders_without_an_agent_are_dropped() {
    let (_world, mut session) = World::start(&[]);
    let call = || {
        AgentOrder::Call(ToolCall {
            id: "x".to_owned(),
            name: "bash".to_owned(),
            input_json: "{}".to_owned(),
            timeout_ms: 1,
        })
    };
    session.send(&ToRunner::Agent(claim("other", 9), Box::new(call())));
    let assign = crate::engine::bash("cat");
    session.assign(&assign);
    session.send(&ToRunner::Agent(assign.claim.clone(), Box::new(call())));
    let mut log = Log::default();
    session.collect(&assign.claim, &mut log);
    assert_eq!(log.exit(), &Exit::Code(0));
    assert!(!log.others.iter().any(|event| matches!(event, EventKind::Tool(_))));
}
