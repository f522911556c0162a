//! Child runs of a server: a run that starts many of them fills no places but its share, and parents that
//! hold every place still get theirs.

use serde_json::{Value as Json, json};

use crate::{serve::Served, support::Bench};

/// Children of one parent here.
const CHILDREN: usize = 10;

/// Each child notes how many are there with it, and stays until there is a file `go`.
const INNER: &str = r#"
def workflow():
    return Plan(name="inner", triggers=[Trigger.on_manual()], steps=[Step.bash("a", '''
mkdir -p here; touch "here/$PLUE_RUN_ID"; ls here | wc -l >> "seen.$PLUE_RUN_ID"
until test -e go; do sleep 0.05; done
rm "here/$PLUE_RUN_ID"
''')])
"#;

fn outer(children: usize) -> String {
    format!(
        r#"
def workflow():
    return Plan(name="outer", triggers=[Trigger.on_manual()], steps=[
        Step.workflow(f"sub{{n}}", "inner") for n in range({children})
    ])
"#
    )
}

fn served(bench: Bench, flags: &[&str], children: usize) -> Served {
    let served = Served::on(bench, flags);
    served.bench.write("inner.plue.py", INNER);
    served.bench.write("outer.plue.py", outer(children));
    served.push();
    served
}

#[test]
fn last_is_no_child_run() {
    let bench = Bench::new();
    bench.write("inner.plue.py", INNER.replace("until test -e go", "until true"));
    bench.write("outer.plue.py", outer(2));
    bench.commit();
    bench.plue(&["run", "outer"]).ends(0);
    let all = bench.plue(&["runs", "--output", "json"]).ends(0).json();
    assert_eq!(all["runs"][0]["workflow"], "inner", "the newest is a child");
    let last = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(last["run"]["workflow"], "outer");

    let served = Served::start();
    served.bench.write("inner.plue.py", INNER.replace("until test -e go", "until true"));
    served.bench.write("outer.plue.py", outer(2));
    served.push();
    served.remotely(&["run", "outer"]).ends(0);
    let last = served.remotely(&["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(last["run"]["workflow"], "outer");
    let one = served.get("/api/v1/runs?limit=1&children=false&repository=acme/app");
    assert_eq!(one["items"][0]["workflow"], "outer");
}

fn submit(served: &Served, workflow: &str) -> String {
    let wanted = json!({"repository": "acme/app", "workflow": workflow});
    let (status, body) = served.ask("POST", "/api/v1/runs", Some(&wanted));
    assert_eq!(status, 201, "{body}");
    let run: Json = serde_json::from_str(&body).unwrap();
    run["id"].as_str().unwrap().to_owned()
}

fn until(served: &Served, run: &str, status: &str) {
    loop {
        let found = served.get(&format!("/api/v1/runs/{run}"));
        if found["status"] == status {
            return;
        }
        assert!(found["ended_at"].is_null(), "{found}");
    }
}

fn workspace(served: &Served, run: &str) -> std::path::PathBuf {
    served.bench.state().join("workspaces").join(run)
}

/// The most children that were there at the same time.
fn most(served: &Served, run: &str) -> usize {
    let files = std::fs::read_dir(workspace(served, run)).unwrap().flatten();
    let seen = files.filter(|file| file.file_name().to_string_lossy().starts_with("seen."));
    let counts = seen.map(|file| std::fs::read_to_string(file.path()).unwrap());
    counts.map(|count| count.trim().parse().unwrap()).max().unwrap()
}

fn inner_runs(served: &Served) -> Vec<String> {
    let runs = served.get("/api/v1/runs");
    let inner = runs["items"].as_array().unwrap().iter().filter(|run| run["workflow"] == "inner");
    inner.map(|run| run["status"].as_str().unwrap().to_owned()).collect()
}

fn children_there(served: &Served, run: &str, count: usize) {
    let here = workspace(served, run).join("here");
    while std::fs::read_dir(&here).map_or(0, Iterator::count) < count {}
}

fn bounded(bench: Bench) {
    let served = served(bench, &["--max-runs", "8"], CHILDREN);
    let parent = submit(&served, "outer");
    // One in the parent's place, and two that the repository's bound of four has room for.
    children_there(&served, &parent, 3);
    assert_eq!(inner_runs(&served), ["running"; 3]);
    std::fs::write(workspace(&served, &parent).join("go"), "").unwrap();
    until(&served, &parent, "success");
    assert_eq!(inner_runs(&served), ["success"; CHILDREN]);
    assert_eq!(most(&served, &parent), 3);
}

#[test]
fn children_stay_within_their_repositorys_bound() {
    bounded(Bench::new());
}

#[test]
fn children_stay_within_their_repositorys_bound_on_postgres() {
    bounded(Bench::on_postgres());
}

#[test]
fn parents_that_hold_every_place_get_children() {
    let served = served(Bench::new(), &["--max-runs", "2", "--max-runs-per-repo", "2"], 3);
    let parents: Vec<String> = (0..4).map(|_| submit(&served, "outer")).collect();
    for parent in &parents {
        until(&served, parent, "running");
        std::fs::write(workspace(&served, parent).join("go"), "").unwrap();
        until(&served, parent, "success");
        assert_eq!(most(&served, parent), 1);
    }
}

#[test]
fn cancelled_parents_leave_no_child_behind() {
    let served = served(Bench::new(), &["--max-runs", "2"], CHILDREN);
    let parent = submit(&served, "outer");
    children_there(&served, &parent, 1);
    let (status, body) =
        served.ask("POST", &format!("/api/v1/runs/{parent}/cancel"), Some(&json!({})));
    assert!(status < 300, "{body}");
    until(&served, &parent, "cancelled");
    assert_eq!(inner_runs(&served), ["cancelled"]);
}
