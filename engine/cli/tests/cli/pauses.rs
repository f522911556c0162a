//! Paused workflows and schedules, and the result of each workflow in the list of deliveries.

use jiff::{SignedDuration, tz::TimeZone};
use plue_runtime::Clock;
use plue_store::{Store, StoreOptions, Tick};
use serde_json::{Value as Json, json};

use crate::{serve::Served, stopping::RunningCommand};

const PLANS: &str = r#"
def workflow(ctx):
    say = [Step.bash("say", "echo hi")]
    return [
        Plan(name="CI", triggers=[Trigger.on_push(branch="main"), Trigger.on_manual()], steps=say),
        Plan(name="Docs", triggers=[Trigger.on_push(paths=["docs/**"])], steps=say),
        Plan(name="Nightly", triggers=[Trigger.on_schedule("0 4 * * *", misfire="catch_up")], steps=say),
        Plan(name="Other", triggers=[Trigger.on_schedule("0 4 * * *", misfire="catch_up")], steps=say),
    ]
"#;
const REPO: [&str; 2] = ["--repo", "acme/app"];

/// The deliveries, newest first, once so many are settled.
fn settled(served: &Served, count: usize) -> Vec<Json> {
    loop {
        let page = served.get("/api/v1/repositories/acme%2Fapp/deliveries");
        let all = page["items"].as_array().unwrap();
        if all.len() >= count && all.iter().all(|one| one["state"] != "new") {
            return all.clone();
        }
    }
}

fn runs_of(served: &Served, workflow: &str) -> usize {
    let runs = served.get(&format!("/api/v1/runs?workflow={workflow}"));
    runs["items"].as_array().unwrap().len()
}

#[test]
fn paused_workflows_start_nothing_until_resumed() {
    let served = Served::start();
    served.bench.write(".plue.py", PLANS);
    served.push();
    served.run(1);
    let pause = [&["workflow", "pause", "CI", "--reason", "flaky"][..], &REPO].concat();
    served.bench.plue(&pause).ends(0).reports(&["is paused", "plue workflow resume \"CI\""]);
    // Again: nothing changes, and no second row in the audit trail.
    served.remotely(&pause).ends(0);
    let list = [&["workflow", "list"][..], &REPO].concat();
    let (here, there) = (served.bench.plue(&list).ends(0), served.remotely(&list).ends(0));
    assert_eq!(here.stdout, there.stdout);
    here.shows(&["CI", "paused by local:", ": flaky", "active", "schedule 0 4 * * * UTC"]);
    served.bench.write("a.txt", "1");
    served.push();
    let newest = settled(&served, 2).remove(0);
    let note = newest["note"].as_str().unwrap();
    assert!(note.contains("CI (.plue.py): paused by local:"), "{note}");
    assert!(note.contains(": flaky [PLUE-C0030]"), "{note}");
    assert_eq!(newest["workflows"][0]["result"], "paused", "{newest}");
    let run = [&["run", "CI"][..], &REPO].concat();
    served.remotely(&run).ends(4).reports(&["PLUE-C0030", "flaky", "plue workflow resume"]);
    let first = served.get("/api/v1/runs?workflow=CI")["items"][0]["id"].clone();
    served.remotely(&["rerun", first.as_str().unwrap()]).ends(4).reports(&["PLUE-C0030"]);
    assert_eq!(runs_of(&served, "CI"), 1);
    let resume = [&["workflow", "resume", "CI"][..], &REPO].concat();
    served.remotely(&resume).ends(0).reports(&["is resumed"]);
    served.remotely(&resume).ends(2).reports(&["is not paused"]);
    served.bench.plue(&resume).ends(2).reports(&["is not paused"]);
    served.bench.write("a.txt", "2");
    served.push();
    settled(&served, 3);
    assert_eq!(runs_of(&served, "CI"), 2);
    let audit = served.bench.plue(&["audit", "--output", "json"]).ends(0).json();
    let rows = audit["audit"].as_array().unwrap().iter();
    let actions: Vec<_> = rows.filter_map(|row| row["action"].as_str()).collect();
    let count = |action: &str| actions.iter().filter(|one| **one == action).count();
    assert_eq!((count("workflow.pause"), count("workflow.resume")), (1, 1), "{actions:?}");
}

#[test]
fn unknown_workflows_cannot_be_paused() {
    let served = Served::start();
    served.bench.write(".plue.py", PLANS);
    served.push();
    served.run(1);
    for args in [
        &["workflow", "pause", "Nope", "--repo", "acme/app"][..],
        &["schedule", "pause", "CI", "--repo", "acme/app"],
        &["workflow", "pause", "CI", "--repo", "acme/none"],
    ] {
        served.bench.plue(args).ends(4);
        served.remotely(args).ends(4);
    }
    let long = "x".repeat(501);
    let args = ["workflow", "pause", "CI", "--repo", "acme/app", "--reason", &long];
    served.bench.plue(&args).ends(2).reports(&["500 characters"]);
    served.remotely(&args).ends(2).reports(&["500 characters"]);
    let list = served.bench.plue(&["workflow", "list", "--output", "json"]).ends(0).json();
    assert!(list["workflows"].as_array().unwrap().iter().all(|one| one.get("paused").is_none()));
}

fn daily(hour: i8) -> String {
    format!("0 {} * * *", hour % 24)
}

/// As if the servers had been away for four days.
async fn four_days_ago(served: &Served, workflow: &str, cron: &str) {
    let path = served.bench.state().join("plue.db");
    let store = Store::open(StoreOptions::sqlite(&path));
    let (store, now) = (store.await.unwrap(), Clock::real().now());
    let tick = Tick {
        repo: "acme/app".to_owned(),
        file: ".plue.py".to_owned(),
        workflow: workflow.to_owned(),
        cron: cron.to_owned(),
        tz: "UTC".to_owned(),
        due_at: now.checked_sub(SignedDuration::from_hours(24 * 4)).unwrap(),
    };
    store.repos().take_tick(tick, now).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn resumed_schedules_do_not_catch_up() {
    let mut served = Served::start();
    // The next ticks are half a day away: none falls into the test.
    let hour = Clock::real().now().to_zoned(TimeZone::UTC).hour();
    let (before, after) = (daily(hour + 12), daily(hour + 13));
    served.bench.write(".plue.py", PLANS.replace("0 4 * * *", &before));
    served.push();
    served.run(1);
    served.remotely(&["schedule", "pause", "Nightly", "--repo", "acme/app"]).ends(0);
    served.bench.plue(&["schedules"]).ends(0).shows(&["paused by token:test"]);
    served.server.kill().unwrap();
    served.server.wait().unwrap();
    // Both get a schedule of which no tick was taken for four days. `Nightly` is looked at before `Other`.
    for workflow in ["Nightly", "Other"] {
        four_days_ago(&served, workflow, &after).await;
    }
    served.bench.write(".plue.py", PLANS.replace("0 4 * * *", &after));
    served.push();
    served.bench.plue(&["schedule", "resume", "Nightly", "--repo", "acme/app"]).ends(0);
    served.serve();
    while runs_of(&served, "Other") < 4 {}
    assert_eq!(runs_of(&served, "Nightly"), 0);
    let listed = served.bench.plue(&["schedules"]).ends(0);
    assert!(!listed.stdout.contains("paused"), "{}", listed.stdout);
}

#[test]
fn deliveries_list_runs_and_reasons() {
    let served = Served::start();
    served.bench.write("a.txt", "1");
    served.push();
    served.bench.write(".plue.py", PLANS);
    let broken = "def workflow():\n    return Plan(name=\"Broken\", image=\"x\", steps=[])\n";
    served.bench.write("broken.plue.py", broken);
    served.push();
    let run = served.run(1);
    let id = run["id"].as_str().unwrap();
    settled(&served, 2);
    let list = ["event", "list", "--repo", "acme/app", "--limit", "1"];
    let (here, there) = (served.bench.plue(&list).ends(0), served.remotely(&list).ends(0));
    assert_eq!(here.stdout, there.stdout);
    let lines: Vec<&str> = here.stdout.lines().map(str::trim).collect();
    assert!(lines[1].ends_with(&format!("CI (.plue.py): run {id} (success)")), "{lines:?}");
    let docs = lines.iter().find(|line| line.starts_with("Docs (.plue.py): skipped, ")).unwrap();
    assert!(docs.contains("changed files fits `docs/**`"), "{docs}");
    let invalid = lines.iter().find(|line| line.contains("invalid: broken.plue.py:2:")).unwrap();
    assert!(invalid.contains("PLUE-P"), "{invalid}");
    assert_eq!(*lines.last().unwrap(), "2 workflows without a push trigger: Nightly, Other");
    assert_eq!(lines.len(), 1 + 4, "{lines:?}");
}

const KEYED: &str = r#"
def workflow():
    return Plan(name="Keyed", triggers=[Trigger.on_push()], steps=[
        Step.bash("say", "echo ${#TOKEN}", secrets=["TOKEN"]),
    ])
"#;

/// Rotates with these keys in the environment, while the server runs.
fn rotate(served: &Served, keys: &[&str]) {
    let mut command = served.bench.command(&["secret", "rotate"]);
    let rotated = command.env("PLUE_SECRET_KEY", keys.join(",")).output().unwrap();
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
}

#[test]
fn runs_report_a_wait_for_a_key() {
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    // The documented order: servers get the new key behind the old one first.
    let served = Served::in_environment(&[("PLUE_SECRET_KEY", &format!("{old},{new}"))]);
    let file = served.bench.home().join(".config/plue/secret.key");
    let unknown = std::fs::read_to_string(file).unwrap();
    served.bench.write(".plue.py", KEYED);
    served.push();
    let waiting = loop {
        let runs = served.get("/api/v1/runs");
        let Some(id) = runs["items"][0]["id"].as_str() else { continue };
        let run = served.get(&format!("/api/v1/runs/{id}"));
        if run["reason"].as_str().is_some_and(|why| why.contains("PLUE-C0031")) {
            break run;
        }
    };
    assert_eq!(waiting["status"], "queued", "{waiting}");
    let why = "waits for the key of secret `TOKEN`";
    let document = served.get(&format!("/api/v1/runs/{}/status", waiting["id"].as_str().unwrap()));
    assert_eq!(
        (&document["waiting"][0]["for"], document["waiting"].as_array().unwrap().len()),
        (&json!("secret"), 1),
        "{document}"
    );
    for args in [&["status", "last"][..], &["explain", "last"], &["runs"]] {
        served.bench.plue(args).ends(0).shows(&[why]);
        served.remotely(args).ends(0).shows(&[why]);
    }
    // Once the key is there, it goes on by itself.
    rotate(&served, &[&old, unknown.trim()]);
    assert_eq!(served.run(1)["status"], "success");
    rotate(&served, &[&new, &old]);
    served.bench.write("a.txt", "1");
    served.push();
    assert_eq!(served.run(2)["status"], "success");
}

#[test]
fn runs_report_a_wait_for_a_runner() {
    let served = Served::start();
    let plan = "def workflow():\n    return Plan(name='Big', triggers=[Trigger.on_push(), Trigger.on_manual()], \
                steps=[\n        \
                Step.bash('train', 'true', runner='gpu')])\n";
    served.bench.write(".plue.py", plan);
    served.push();
    let why = "step `train` waits for a runner: no runner with the label `gpu` is free";
    let run = loop {
        let runs = served.get("/api/v1/runs");
        let Some(id) = runs["items"][0]["id"].as_str() else { continue };
        let run = served.get(&format!("/api/v1/runs/{id}"));
        if run["reason"].as_str().is_some_and(|text| text.contains(why)) {
            break id.to_owned();
        }
    };
    let waiting = &served.get(&format!("/api/v1/runs/{run}/status"))["waiting"];
    assert_eq!((&waiting[0]["for"], &waiting[0]["step"]), (&json!("runner"), &json!("train")));
    let page = served.page(&format!("/runs/{run}"));
    assert!(page.contains("waits for a runner: no runner with the label `gpu` is free"), "{page}");
    for args in [&["status", "last"][..], &["explain", "last"], &["runs"]] {
        served.bench.plue(args).ends(0).shows(&[why]);
        served.remotely(args).ends(0).shows(&[why]);
    }
    let mut follow = RunningCommand::of(served.remote(&["run", "Big", "--repo", "acme/app"]));
    follow.until("waits for a runner: no runner with the label `gpu` is free");
    let newest = served.get("/api/v1/runs")["items"][0]["id"].as_str().unwrap().to_owned();
    served.remotely(&["cancel", &newest]).ends(0);
    follow.child.wait().unwrap();
}
