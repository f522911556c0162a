//! Deliveries belong to one repository: signed ones that are about another, about commits that no ref of
//! this one leads to, or that were sent before, start nothing.

use serde_json::{Value as Json, json};

use crate::forge::{Forge, SECRET, Served, repository};

const ON_PUSH: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_push()],
                steps=[Step.bash("test", "echo $DEPLOY | rev", secrets=["DEPLOY"])])
"#;
const ON_PULL: &str = r#"
def workflow():
    return Plan(name="CI", triggers=[Trigger.on_pull_request()], steps=[Step.bash("test", "true")])
"#;
pub(crate) const APP: u64 = 8;

fn push_of(repo: Json, git_ref: &str, before: &str, after: &str) -> Json {
    json!({
        "ref": git_ref, "before": before, "after": after,
        "repository": repo, "sender": {"login": "ada", "type": "User"},
    })
}

fn zeros() -> String {
    "0".repeat(40)
}

/// State and note of a delivery, once it is no longer new.
pub(crate) fn outcome(served: &Served, repo: &str, id: &str) -> (String, String) {
    loop {
        let list = ["event", "list", "--repo", repo, "--output", "json"];
        let list = served.bench.plue(&list).ends(0).json();
        let all = list["deliveries"].as_array().unwrap();
        let Some(found) = all.iter().find(|one| one["id"] == id) else {
            panic!("there is no delivery {id}: {list}");
        };
        if found["state"] != "new" {
            let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
            return (text("state"), text("note"));
        }
    }
}

fn is_ignored(served: &Served, id: &str, because: &[&str]) {
    let (state, note) = outcome(served, "acme/app", id);
    assert_eq!(state, "ignored", "{note}");
    for part in because {
        assert!(note.contains(part), "{note}");
    }
}

pub(crate) fn runs(served: &Served) -> usize {
    let runs = served.bench.plue(&["runs", "--output", "json"]).ends(0).json();
    runs["runs"].as_array().unwrap().len()
}

/// Watches another repository of the forge, with a secret; its hook.
fn watch(served: &Served, name: &str, secret: &str) -> String {
    let bench = &served.bench;
    let bare = bench.home().join(format!("{}.git", name.replace('/', "-")));
    let file = bench.home().join("other-secret");
    std::fs::write(&file, secret).unwrap();
    let (bare, file) = (bare.to_str().unwrap(), file.to_str().unwrap());
    bench.git(&["init", "-q", "--bare", "-b", "main", bare]);
    bench.git(&["push", "-q", bare, "HEAD:main"]);
    let add = ["repo", "add", name, bare, "--forge", "github", "--report", "none"];
    bench.plue(&[&add[..], &["--webhook-secret", file]].concat()).ends(0);
    let list = bench.plue(&["repo", "list", "--output", "json"]).ends(0).json();
    let all = list["repos"].as_array().unwrap();
    let found = all.iter().find(|repo| repo["name"] == name).unwrap();
    found["webhook"].as_str().unwrap().to_owned()
}

#[test]
fn pushes_of_fork_commits_start_nothing() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    served.bench.write("README.md", "words");
    let base = served.push("refs/heads/main");
    served.bench.write(".plue.py", ON_PUSH);
    let fork = served.push("refs/pull/7/head");
    served.deliver("held", "opened", "eve/app", (&base, &fork));
    assert_eq!(outcome(&served, "acme/app", "held").0, "done");
    // The commit is in the mirror now. The fork's own push of it, signed by the same hook.
    let body = push_of(repository("eve/app", 99), "refs/heads/main", &base, &fork);
    served.send(("push", "theirs"), &served.hook, &body);
    is_ignored(&served, "theirs", &["eve/app", "PLUE-F0011"]);
    // The same commit, reported as a push to `acme/app` itself.
    let body = push_of(repository("acme/app", APP), "refs/heads/x", &base, &fork);
    served.send(("push", "ours"), &served.hook, &body);
    is_ignored(&served, "ours", &["superseded", "refs/heads/x", "PLUE-F0013"]);
    // A user with write access pushes it to `acme/app`: the commit is now an own one.
    served.bench.git(&["push", "-q", "origin", "HEAD:refs/heads/taken"]);
    let body = push_of(repository("acme/app", APP), "refs/heads/taken", &zeros(), &fork);
    served.send(("push", "merged"), &served.hook, &body);
    let (state, note) = outcome(&served, "acme/app", "merged");
    assert_eq!((state.as_str(), note.contains("run ")), ("done", true), "{note}");
    assert_eq!(runs(&served), 1);
}

#[test]
fn pull_requests_that_moved_on_are_superseded() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    served.bench.write(".plue.py", ON_PULL);
    let base = served.push("refs/heads/main");
    served.bench.write("a.txt", "a");
    let old = served.push("refs/pull/7/head");
    served.bench.write("a.txt", "b");
    let new = served.push("refs/pull/7/head");
    served.deliver("old", "opened", "acme/app", (&base, &old));
    is_ignored(&served, "old", &["superseded", "refs/pull/7/head", &new]);
    served.deliver("new", "synchronize", "acme/app", (&base, &new));
    let (_, note) = outcome(&served, "acme/app", "new");
    assert!(note.contains("run "), "{note}");
    assert_eq!(runs(&served), 1);
}

#[test]
fn forks_are_recognised_by_repository_ids() {
    let forge = Forge::start();
    let served = Served::with(&forge, "[pools.untrusted]\nmode = \"off\"\n");
    served.bench.write(".plue.py", ON_PULL);
    let base = served.push("refs/heads/main");
    served.bench.write("a.txt", "a");
    let head = served.push("refs/pull/7/head");
    let deliver = |id: &str, from: Json| {
        let own = repository("acme/app", APP);
        let body = json!({
            "action": "opened", "number": 7,
            "pull_request": {
                "number": 7, "title": id,
                "head": {"ref": "f", "sha": head, "repo": from},
                "base": {"ref": "main", "sha": base, "repo": own},
            },
            "repository": own, "sender": {"login": "eve", "type": "User"},
        });
        served.send(("pull_request", id), &served.hook, &body);
        outcome(&served, "acme/app", id).1
    };
    let mut named_alike = repository("acme/app", 99);
    named_alike["fork"] = json!(false);
    assert!(deliver("alike", named_alike).contains("held"));
    let mut without_id = repository("acme/app", APP);
    without_id.as_object_mut().unwrap().remove("id");
    assert!(deliver("unknown", without_id).contains("held"));
    let renamed = repository("acme/elsewhere", APP);
    assert!(deliver("same", renamed).contains("run "));
    assert_eq!(runs(&served), 1);
}

#[test]
fn repositories_with_reused_names_wait_for_the_operator() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    served.bench.write(".plue.py", ON_PULL.replace("on_pull_request", "on_push"));
    let main = served.push("refs/heads/main");
    let send = |id: &str, repo: Json| {
        let mut body = push_of(repo, "refs/heads/main", &zeros(), &main);
        body["n"] = json!(id);
        served.send(("push", id), &served.hook, &body);
    };
    served.send(("ping", "p"), &served.hook, &json!({"repository": repository("Acme/App", APP)}));
    is_ignored(&served, "p", &["ping"]);
    send("made-again", repository("acme/app", 99));
    let confirm = "plue repo confirm acme/app 99";
    is_ignored(&served, "made-again", &["99", "PLUE-F0012", confirm]);
    let mut nameless = repository("acme/app", APP);
    nameless.as_object_mut().unwrap().remove("id");
    send("no-id", nameless);
    is_ignored(&served, "no-id", &["PLUE-F0012"]);
    // Renamed at the forge: the same id, so it is the same repository.
    send("renamed", repository("acme/application", APP));
    let (_, note) = outcome(&served, "acme/app", "renamed");
    assert!(note.contains("acme/application now") && note.contains("run "), "{note}");
    served.bench.plue(&["repo", "confirm", "acme/app", "98"]).ends(4);
    served.bench.plue(&["repo", "confirm", "acme/app", "99"]).ends(0);
    // The forge's button "Redeliver" sends the same id and body.
    send("made-again", repository("acme/app", 99));
    let (state, note) = outcome(&served, "acme/app", "made-again");
    assert_eq!((state.as_str(), note.contains("run ")), ("done", true), "{note}");
    send("before", repository("acme/app", APP));
    is_ignored(&served, "before", &["PLUE-F0012"]);
}

#[test]
fn shared_hooks_are_routed_by_secret() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    served.bench.write(".plue.py", ON_PULL.replace("on_pull_request", "on_push"));
    let main = served.push("refs/heads/main");
    let own_hook = watch(&served, "acme/web", SECRET);
    watch(&served, "acme/safe", "a secret of its own");
    let body = push_of(repository("acme/web", 21), "refs/heads/main", &zeros(), &main);
    served.send(("push", "w1"), &served.hook, &body);
    let (_, note) = outcome(&served, "acme/web", "w1");
    assert!(note.contains("run "), "{note}");
    let runs_of = served.bench.plue(&["runs", "--output", "json"]).ends(0).json();
    assert_eq!(runs_of["runs"][0]["repository"], "acme/web", "{runs_of}");
    // The same by its own webhook, under another id.
    let answer = served.send(("push", "w2"), &own_hook, &body);
    assert!(answer.contains("\"new\":false"), "{answer}");
    let body = push_of(repository("acme/safe", 22), "refs/heads/main", &zeros(), &main);
    served.send(("push", "s1"), &served.hook, &body);
    is_ignored(&served, "s1", &["acme/safe", "same secret", "PLUE-F0011"]);
    assert_eq!(runs(&served), 1);
}

#[test]
fn replayed_bodies_make_nothing_twice() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    served.bench.write(".plue.py", ON_PULL.replace("on_pull_request", "on_push"));
    let main = served.push("refs/heads/main");
    let body = push_of(repository("acme/app", APP), "refs/heads/main", &zeros(), &main);
    let first = served.send(("push", "d1"), &served.hook, &body);
    assert!(first.contains("\"new\":true"), "{first}");
    assert!(outcome(&served, "acme/app", "d1").1.contains("run "));
    for id in ["d1", "d2", "d3"] {
        let again = served.send(("push", id), &served.hook, &body);
        assert!(again.starts_with("HTTP/1.1 202") && again.contains("\"new\":false"), "{again}");
    }
    assert_eq!(runs(&served), 1);
    let list = ["event", "list", "--repo", "acme/app", "--output", "json"];
    let list = served.bench.plue(&list).ends(0).json();
    assert_eq!(list["deliveries"].as_array().unwrap().len(), 1, "{list}");
}

#[test]
fn hooks_without_effect_are_shown() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    served.bench.write(".plue.py", ON_PULL.replace("on_pull_request", "on_push"));
    let main = served.push("refs/heads/main");
    let answer = served.send(("push", "odd"), &served.hook, &json!(["no object"]));
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    is_ignored(&served, "odd", &["PLUE-F0005"]);
    let list = served.bench.plue(&["repo", "list", "--output", "json"]).ends(0).json();
    let problem = list["repos"][0]["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("ignored") && problem.contains("PLUE-F0005"), "{list}");
    let doctor = served.bench.plue(&["doctor"]).stdout;
    assert!(doctor.contains("webhook: acme/app") && doctor.contains("PLUE-F0005"), "{doctor}");
    let body = push_of(repository("acme/app", APP), "refs/heads/main", &zeros(), &main);
    served.send(("push", "good"), &served.hook, &body);
    assert!(outcome(&served, "acme/app", "good").1.contains("run "));
    let list = served.bench.plue(&["repo", "list", "--output", "json"]).ends(0).json();
    assert_eq!(
        (&list["repos"][0]["problem"], &list["repos"][0]["forge_id"]),
        (&Json::Null, &json!("8"))
    );
}

#[test]
fn removed_repositories_leave_no_credential() {
    let forge = Forge::start();
    let served = Served::start(&forge);
    let bench = &served.bench;
    let token = ["token", "create", "--name", "t", "--role", "reader", "--repo", "acme/app"];
    bench.plue(&token).ends(0);
    bench.plue(&["repo", "rm", "acme/app"]).ends(0);
    let bare = bench.home().join("app.git");
    bench.plue(&["repo", "add", "acme/app", bare.to_str().unwrap(), "--forge", "github"]).ends(0);
    let tokens = bench.plue(&["token", "list", "--output", "json"]).ends(0).json();
    assert_eq!(tokens["tokens"], json!([]));
    // Its deliveries are believed by no old secret.
    let list = bench.plue(&["repo", "list", "--output", "json"]).ends(0).json();
    let hook = list["repos"][0]["webhook"].as_str().unwrap().to_owned();
    let answer = served.send(("ping", "p"), &hook, &json!({}));
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}
