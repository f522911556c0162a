//! Places of a server: runs of a fork delay no other runs, and show the reason of their wait.
//!
//! A maintainer allows the forks of these tests to run without isolation.

use serde_json::Value as Json;

use crate::{
    forge::{Forge, Served},
    support::Bench,
};

const NO_ISOLATION: &str = "[pools.untrusted]\nmode = \"off\"\n";

/// Four plans; in a work tree with a file `sleepy` their runs last until they are cancelled.
const FOUR: &str = r#"
def workflow():
    return [
        Plan(name=f"CI{n}", triggers=[Trigger.on_pull_request()], steps=[
            Step.bash("test", "test ! -e sleepy || sleep 3000"),
        ])
        for n in range(4)
    ]
"#;

fn runs(bench: &Bench) -> Vec<Json> {
    let list = bench.plue(&["runs", "--output", "json"]).ends(0);
    let list: Json = serde_json::from_str(&list.stdout).unwrap();
    list["runs"].as_array().unwrap().clone()
}

/// The runs of a commit with this status, once there are so many.
fn with_status(bench: &Bench, sha: &str, status: &str, count: usize) -> Vec<Json> {
    loop {
        let all = runs(bench).into_iter();
        let found: Vec<_> =
            all.filter(|run| run["sha"] == sha && run["status"] == status).collect();
        if found.len() >= count {
            return found;
        }
    }
}

/// Pushes the head of pull request 7 of a fork and lets it run.
fn push_fork(served: &Served, delivery: &str, base: &str) -> String {
    let head = served.push("refs/pull/7/head");
    let action = if delivery == "d1" { "opened" } else { "synchronize" };
    served.deliver(delivery, action, "eve/app", (base, &head));
    while served.bench.plue(&["repo", "allow", "acme/app", &head]).code != 0 {}
    head
}

fn id(run: &Json) -> &str {
    run["id"].as_str().unwrap()
}

#[test]
fn sleeping_forks_free_slots_for_newer_heads() {
    let forge = Forge::start();
    let served = Served::with(&forge, NO_ISOLATION);
    let bench = &served.bench;
    bench.write(".plue.py", FOUR);
    let base = served.push("refs/heads/main");
    bench.write("sleepy", "");
    let head = push_fork(&served, "d1", &base);
    with_status(bench, &head, "running", 2);
    let queued = with_status(bench, &head, "queued", 2);
    assert_eq!(runs(bench).len(), 4, "two of them run");
    let why = "waits for a place: pull request 7 is from a fork and has 2 runs already";
    for command in ["status", "explain"] {
        let output = bench.plue(&[command, id(&queued[0])]).ends(0);
        assert!(output.stdout.contains(why), "{}", output.stdout);
    }
    let token = bench.plue(&["token", "create", "--name", "t", "--role", "reader"]).ends(0);
    let path = format!("/api/v1/runs/{}", id(&queued[0]));
    let body = served.get(token.stdout.trim(), &path);
    assert!(body.contains(why), "{body}");
    // Runs of own commits are not delayed.
    std::fs::remove_file(bench.repo().join("sleepy")).unwrap();
    let own = served.push("refs/pull/8/head");
    served.deliver_of(8, "d2", "opened", "acme/app", (&base, &own));
    with_status(bench, &own, "success", 4);
    with_status(bench, &head, "running", 2);
    // A newer head ends what runs and what waits for the older one.
    bench.write("newer.txt", "");
    let newer = push_fork(&served, "d3", &base);
    for run in with_status(bench, &head, "cancelled", 4) {
        let reason = run["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("the newer head {newer}")), "{reason}");
    }
    with_status(bench, &newer, "success", 4);
}

#[test]
fn a_full_disk_holds_forks_and_nothing_else() {
    let forge = Forge::start();
    let config = format!("{NO_ISOLATION}[limits]\nmin_free_bytes = 9000000000000000000\n");
    let mut served = Served::with(&forge, &config);
    served.bench.write(".plue.py", FOUR);
    let base = served.push("refs/heads/main");
    served.bench.write("theirs.txt", "");
    let head = push_fork(&served, "d1", &base);
    let queued = with_status(&served.bench, &head, "queued", 4);
    let output = served.bench.plue(&["status", id(&queued[0])]).ends(0);
    assert!(output.stdout.contains("the disk is nearly full"), "{}", output.stdout);
    served.bench.write("ours.txt", "");
    let own = served.push("refs/pull/8/head");
    served.deliver_of(8, "d2", "opened", "acme/app", (&base, &own));
    with_status(&served.bench, &own, "success", 4);
    with_status(&served.bench, &head, "queued", 4);
    let doctor = served.bench.plue(&["doctor"]);
    assert!(doctor.stdout.contains("limits.min_free_bytes"), "{}", doctor.stdout);
    // With room again they go on, and their workspaces go with them.
    std::fs::write(served.bench.home().join(".config/plue/config.toml"), NO_ISOLATION).unwrap();
    served.dies_and_another_begins();
    for run in with_status(&served.bench, &head, "success", 4) {
        let workspace = served.bench.state().join("workspaces").join(id(&run));
        while workspace.exists() {}
    }
}

/// Fills its workspace for as long as it lives.
const FULL: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_pull_request()], steps=[
        Step.bash("fill", "dd if=/dev/zero of=big bs=1M count=48 status=none; sleep 3000"),
    ])
"#;
/// Keeps more than it may.
const KEEPS: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_pull_request()], steps=[
        Step.bash("keep", "head -c 40M /dev/urandom > big; rm -f x", artifacts=["big"]),
    ])
"#;

#[test]
fn forks_that_fill_their_workspace_are_stopped() {
    let forge = Forge::start();
    let config = format!("{NO_ISOLATION}[limits]\nuntrusted_run_bytes = 33554432\n");
    let served = Served::with(&forge, &config);
    let bench = &served.bench;
    bench.write(".plue.py", FULL);
    let base = served.push("refs/heads/main");
    bench.write("theirs.txt", "");
    let head = push_fork(&served, "d1", &base);
    let stopped = with_status(bench, &head, "cancelled", 1);
    let reason = stopped[0]["reason"].as_str().unwrap();
    assert!(reason.contains("PLUE-R0010: it has "), "{reason}");
    assert!(reason.contains("limits.untrusted_run_bytes is 32.0 MiB"), "{reason}");
    // Artifacts count as well, and those above the limit are refused before they are stored.
    bench.write(".plue.py", KEEPS);
    let head = push_fork(&served, "d2", &base);
    // Refused, or measured first: either way it ends with the code.
    let ended = |run: &Json| run["sha"] == head.as_str() && !run["ended_at"].is_null();
    let kept = loop {
        if let Some(run) = runs(bench).into_iter().find(ended) {
            break run;
        }
    };
    assert_ne!(kept["status"], "success", "{kept}");
    let stdout = bench.plue(&["status", id(&kept)]).ends(0).stdout;
    assert!(stdout.contains("PLUE-R0010"), "{stdout}");
    let artifacts = bench.plue(&["artifacts", id(&kept)]);
    assert!(!artifacts.stdout.contains("big"), "{}", artifacts.stdout);
    // The repository's own may have more.
    bench.write(".plue.py", FULL.replace("; sleep 3000", ""));
    let own = served.push("refs/pull/8/head");
    served.deliver_of(8, "d3", "opened", "acme/app", (&base, &own));
    with_status(bench, &own, "success", 1);
}

/// Three steps: two that each write a new file of 12 MiB, and one that lasts until it is cancelled.
/// The run has 36 MiB with the content kept by the first two, and at most 24 MiB without.
fn keeping(options: [&str; 2]) -> String {
    format!(
        r#"
def workflow():
    write = "head -c 12M /dev/urandom > big"
    return Plan(name="CI", triggers=[Trigger.on_pull_request()], steps=[
        Step.bash("a", write, {}),
        Step.bash("b", write, {}, depends_on=["a"]),
        Step.bash("c", "sleep 3000", depends_on=["b"]),
    ])
"#,
        options[0], options[1]
    )
}

const LITTLE: &str = "[limits]\nuntrusted_run_bytes = 33554432\n";

/// A fork's run is cancelled for what it kept.
fn stopped_by_kept(served: &Served, delivery: &str, base: &str) {
    let head = push_fork(served, delivery, base);
    let run = with_status(&served.bench, &head, "cancelled", 1).remove(0);
    let reason = run["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("PLUE-R0010: it has "), "{reason}");
    let kept = ["kept content 12.", "kept content 24."];
    assert!(kept.iter().any(|kept| reason.contains(kept)), "{reason}");
}

#[test]
fn artifacts_and_caches_count_as_bytes_of_runs() {
    let forge = Forge::start();
    let config = format!("{NO_ISOLATION}[checkpoints]\nmode = \"off\"\n{LITTLE}");
    let served = Served::with(&forge, &config);
    served.bench.write(".plue.py", BOUND_TO_NOTHING);
    let base = served.push("refs/heads/main");
    let artifacts = ["artifacts=['big']"; 2];
    let caches = ["a", "b"].map(|key| format!("cache=Cache(key='{key}', paths=['big'])"));
    for (delivery, options) in [("d1", artifacts), ("d2", [&*caches[0], &*caches[1]])] {
        served.bench.write(".plue.py", keeping(options));
        stopped_by_kept(&served, delivery, &base);
    }
}

#[test]
fn checkpoints_count_as_bytes_of_runs() {
    let forge = Forge::start();
    let served = Served::with(&forge, &format!("{NO_ISOLATION}{LITTLE}"));
    served.bench.write(".plue.py", BOUND_TO_NOTHING);
    let base = served.push("refs/heads/main");
    served.bench.write(".plue.py", keeping(["pure=False"; 2]));
    stopped_by_kept(&served, "d1", &base);
}

const BOUND_TO_NOTHING: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_pull_request()], steps=[Step.bash("a", "true")])
"#;

/// Bytes of the files below a folder.
fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(seen) if seen.is_dir() => size(&entry.path()),
        Ok(seen) => seen.len(),
        // Gone meanwhile.
        Err(_) => 0,
    };
    entries.map(of).sum()
}

/// Most bytes of the state directory, with the log of the step that floods it.
const MAX_FLOODED: u64 = 256 * 1024 * 1024;

#[test]
fn forks_that_flood_logs_are_stopped() {
    let forge = Forge::start();
    let served = Served::with(&forge, &format!("{NO_ISOLATION}{LITTLE}"));
    let bench = &served.bench;
    bench.write(".plue.py", BOUND_TO_NOTHING);
    let base = served.push("refs/heads/main");
    let flood = "yes 'a line that says nothing, again and again and again'; sleep 3000";
    bench.write(".plue.py", BOUND_TO_NOTHING.replace("\"true\"", &format!("\"{flood}\"")));
    let head = push_fork(&served, "d1", &base);
    // Runs of own commits are not delayed by the flood.
    bench.write(".plue.py", BOUND_TO_NOTHING);
    let own = served.push("refs/pull/8/head");
    served.deliver_of(8, "d2", "opened", "acme/app", (&base, &own));
    with_status(bench, &own, "success", 1);
    let run = with_status(bench, &head, "cancelled", 1).remove(0);
    let reason = run["reason"].as_str().unwrap();
    assert!(reason.contains("PLUE-R0010: it has "), "{reason}");
    assert!(reason.contains("limits.untrusted_run_bytes is 32.0 MiB"), "{reason}");
    assert!(size(&bench.state()) < MAX_FLOODED, "{} bytes", size(&bench.state()));
    assert!(served.get("", "/healthz").starts_with("HTTP/1.1 200"));
}
