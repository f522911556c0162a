//! `plue event decode`: the reading of a saved delivery, and what fires.

use serde_json::json;

use crate::support::Bench;

const PUSH: &str = r#"{"ref":"refs/heads/main","before":"1111111111111111111111111111111111111111",
"after":"2222222222222222222222222222222222222222","repository":{"full_name":"o/r",
"default_branch":"main"},"sender":{"login":"ada","type":"User"},"commits":[],"head_commit":null}"#;

const TRIGGERS: &str = r#"
def workflow():
    return Plan(name="Some", triggers=[
        Trigger.on_push(), Trigger.on_push(branch="next"), Trigger.on_push(paths=["src/**"]),
        Trigger.on_pull_request(branches=["main"]), Trigger.on_schedule("0 0 * * *"),
    ], steps=[Step.bash("a", "true")])
"#;

fn decode<'a>(bench: &Bench, more: &[&'a str]) -> Vec<&'a str> {
    bench.write("headers.json", r#"{"X-GitHub-Event": "push", "X-GitHub-Delivery": "d-1"}"#);
    let mut args = vec!["event", "decode", "--forge", "github", "--headers", "headers.json"];
    args.extend(["--body", "body.json"]);
    args.extend(more);
    args
}

#[test]
fn a_delivery_is_shown_with_the_plain_triggers() {
    let bench = Bench::new();
    bench.write("body.json", PUSH);
    let said = bench.plue(&decode(&bench, &["--output", "json"])).ends(0).json();
    assert_eq!(said["http"], "2xx");
    assert_eq!((&said["provider"], &said["kind"]), (&json!("github"), &json!("push")));
    assert_eq!((&said["branch"], &said["tag"]), (&json!("main"), &json!(null)));
    assert_eq!(said["delivery"], "d-1");
    assert_eq!(said["fires"], json!(["on_push()", "on_push(branch=\"main\")"]));
    assert_eq!(said["ctx_event"]["type"], "push");
    bench.plue(&decode(&bench, &[])).ends(0).shows(&[
        "github push",
        "refs/heads/main",
        "on_pull_request()",
        "the trigger is not for push events",
    ]);
}

#[test]
fn the_triggers_of_workflows_say_why_they_do_not_fire() {
    let bench = Bench::with(TRIGGERS);
    bench.write("body.json", PUSH);
    let options = ["--workflow", ".plue.py", "--changed", "docs/a", "--output", "json"];
    let said = bench.plue(&decode(&bench, &options)).ends(0).json();
    assert_eq!(said["fires"], json!(["on_push()"]));
    let tried = said["triggers"].as_array().unwrap();
    assert_eq!(tried.len(), 5);
    assert_eq!(tried[1]["why"], "the branch `main` fits none of `next`");
    assert_eq!(tried[2]["why"], "none of 1 changed files fits `src/**`");
    assert_eq!(tried[3]["trigger"], "on_pull_request(base=\"main\")");
    assert_eq!(tried[0]["plan"], "Some");
}

#[test]
fn a_refused_delivery_says_what_the_forge_is_answered() {
    let bench = Bench::new();
    bench.write("body.json", r#"{"ref": "refs/heads/main"}"#);
    let said = bench.plue(&decode(&bench, &["--output", "json"])).ends(2);
    said.tells(&["PLUE-F0007"]);
    assert_eq!(said.json()["http"], "400");
    bench.write("body.json", "{");
    let said = bench.plue(&decode(&bench, &["--output", "json"])).ends(2);
    assert_eq!(said.json()["error"]["code"], "PLUE-F0005");
}

#[test]
fn a_signature_is_checked_with_a_secret_of_the_environment() {
    let bench = Bench::new();
    bench.write("body.json", PUSH);
    let mut command = bench.command(&decode(&bench, &["--secret", "HOOK", "--output", "json"]));
    let said = crate::support::Said::of(command.env("HOOK", "s3cret").output().unwrap()).ends(2);
    assert_eq!(said.json()["http"], "401");
    bench.plue(&decode(&bench, &["--secret", "HOOK"])).ends(2).tells(&["no variable `HOOK`"]);
}
