//! Pushes to repositories on the server's machine: the hooks find the database, or the push fails.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use plue_testkit::postgres::Database;

use crate::support::{Bench, CliOutput};

const SMALL: &str = r#"
def workflow():
    return Plan(name="Small", triggers=[Trigger.on_push(branch="main")],
                steps=[Step.bash("hello", "echo hello")])
"#;

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A bare repository, named `origin`; its path.
fn bare(bench: &Bench) -> String {
    let bare = bench.home().join("app.git").to_str().unwrap().to_owned();
    bench.git(&["init", "-q", "--bare", "-b", "main", &bare]);
    bench.git(&["remote", "add", "origin", &bare]);
    bench.write(".plue.py", SMALL);
    bench.commit();
    bare
}

fn push(bench: &Bench) -> CliOutput {
    let mut git = Command::new("git");
    git.args(["push", "-q", "origin", "HEAD:main"]).current_dir(bench.repo());
    git.env("HOME", bench.home()).env("GIT_CONFIG_NOSYSTEM", "1");
    for name in ["PLUE_DATABASE", "PLUE_STATE_DIR", "XDG_STATE_HOME", "PLUE_SERVER"] {
        git.env_remove(name);
    }
    CliOutput::of(git.output().unwrap())
}

#[test]
fn pushes_reach_the_database_of_the_command_line() {
    let (bench, database) = (Bench::new(), Database::create());
    let bare = bare(&bench);
    let url = database.url();
    let on = |args: &[&str]| bench.plue(&[&["--database", &url], args].concat());
    on(&["repo", "add", "acme/app", &bare]).ends(0);
    // No hook file, but a file of the owner alone, has the address.
    for name in ["pre-receive", "post-receive"] {
        let hook = std::fs::read_to_string(format!("{bare}/hooks/{name}")).unwrap();
        assert!(!hook.contains("postgres"), "{hook}");
    }
    let folder = bench.state().join("hook-databases");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    push(&bench).ends(0);
    assert!(!bench.state().join("plue.db").exists(), "no other database was made");
    let mut serve = bench.command(&["--database", &url, "serve", "--listen", "127.0.0.1:0"]);
    let mut server = Serving(serve.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    loop {
        let runs = on(&["runs", "--output", "json"]).ends(0).json();
        if runs["runs"][0]["status"] == "success" {
            break;
        }
    }
    // The hooks are there, the repository is not watched any more.
    let kept = |name: &str| std::fs::read(format!("{bare}/hooks/{name}")).unwrap();
    let hooks = ["pre-receive", "post-receive"].map(|name| (name, kept(name)));
    on(&["repo", "rm", "acme/app"]).ends(0);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    for (name, text) in hooks {
        let file = format!("{bare}/hooks/{name}");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    bench.write("more", "");
    bench.commit();
    let refused = push(&bench);
    assert_ne!(refused.code, 0);
    refused.reports(&["PLUE-C0025", "cannot take in this push"]);
    assert!(!bench.state().join("plue.db").exists(), "no other database was made");
}

#[test]
fn pushes_to_unwatched_repositories_fail() {
    let bench = Bench::new();
    let bare = bare(&bench);
    bench.plue(&["repo", "add", "acme/app", &bare]).ends(0);
    push(&bench).ends(0);
    // Its hook is that of a repository that is gone.
    for name in ["pre-receive", "post-receive"] {
        let file = format!("{bare}/hooks/{name}");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("repo received ", "repo received gone")).unwrap();
    }
    bench.write("more", "");
    bench.commit();
    let refused = push(&bench);
    assert_ne!(refused.code, 0);
    refused.reports(&["PLUE-C0025", "this repository is not watched"]);
}

#[test]
fn pushes_without_a_database_advise_another_push() {
    let (bench, database) = (Bench::new(), Database::create());
    let bare = bare(&bench);
    let add = ["--database", &database.url(), "repo", "add", "acme/app", &bare];
    bench.plue(&add).ends(0);
    // A port without a listener.
    let down = "postgres://plue@127.0.0.1:9/plue";
    let folder = bench.state().join("hook-databases");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(file, down).unwrap();
    let refused = push(&bench);
    assert_ne!(refused.code, 0);
    refused.reports(&["PLUE-C0025", "the database cannot be used", "push again once the database"]);
    assert!(!refused.stderr.contains("watch it again"), "{}", refused.stderr);
    let again = bench.plue(&["--database", down, "repo", "add", "acme/other", &bare]).ends(5);
    again.reports(&["PLUE-D0005", "then run the command again"]);
    assert!(!again.stderr.contains("watch it again"), "{}", again.stderr);
}

#[test]
fn pushes_of_too_many_refs_are_refused_whole() {
    let bench = Bench::new();
    let bare = bare(&bench);
    bench.plue(&["repo", "add", "acme/app", &bare]).ends(0);
    let hook = std::fs::read_to_string(format!("{bare}/hooks/post-receive")).unwrap();
    let (_, hook) = hook.trim_end().rsplit_once(' ').unwrap();
    let (none, some) = ("0".repeat(40), "a".repeat(40));
    let refs: String = (0..20_000).map(|n| format!("{none} {some} refs/heads/b{n}\n")).collect();
    let file = bench.home().join("refs");
    std::fs::write(&file, refs).unwrap();
    for args in [&["repo", "received", hook, "--check"][..], &["repo", "received", hook]] {
        let mut received = bench.command(args);
        received.stdin(std::fs::File::open(&file).unwrap());
        let refused = CliOutput::of(received.output().unwrap());
        refused.ends(5).reports(&["PLUE-C0025", "more than 1048576 bytes", "push fewer branches"]);
    }
    let deliveries =
        bench.plue(&["event", "list", "--repo", "acme/app", "--output", "json"]).ends(0).json();
    assert_eq!(deliveries["deliveries"].as_array().unwrap().len(), 0);
}

#[test]
fn local_commands_refuse_a_server() {
    let bench = Bench::new();
    let file = bench.home().join("x.backup");
    let file = file.to_str().unwrap();
    for args in [&["backup", file][..], &["restore", file], &["migrate"]] {
        let mut command = bench.command(args);
        let output =
            CliOutput::of(command.env("PLUE_SERVER", "http://127.0.0.1:9").output().unwrap());
        output.ends(2).reports(&["and a server is set", "PLUE_SERVER="]);
    }
    let runs: [(&[&str], &str); 3] = [
        (&["run", "CI", "--from", "a"], "plue retry RUN --from ID"),
        (&["run", "CI", "--carry", "last"], "plue retry RUN --from ID"),
        (&["run", "CI", "--max-parallel", "2"], "PLUE_SERVER="),
    ];
    for (args, hint) in runs {
        let mut command = bench.command(args);
        command.env("PLUE_SERVER", "http://127.0.0.1:9").env("PLUE_TOKEN", "none");
        let output = CliOutput::of(command.output().unwrap()).ends(2);
        output.reports(&["is for runs of this machine", hint]);
    }
    assert!(!bench.state().join("plue.db").exists());
}
