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
    let document = bench.plue(&decode(&bench, &["--output", "json"])).ends(0).json();
    assert_eq!(document["http"], "2xx");
    assert_eq!((&document["provider"], &document["kind"]), (&json!("github"), &json!("push")));
    assert_eq!((&document["branch"], &document["tag"]), (&json!("main"), &json!(null)));
    assert_eq!(document["delivery"], "d-1");
    assert_eq!(document["fires"], json!(["on_push()", "on_push(branch=\"main\")"]));
    assert_eq!(document["ctx_event"]["type"], "push");
    bench.plue(&decode(&bench, &[])).ends(0).shows(&[
        "github push",
        "refs/heads/main",
        "on_pull_request()",
        "the trigger is not for push events",
    ]);
}

#[test]
fn triggers_give_reasons_for_not_firing() {
    let bench = Bench::with(TRIGGERS);
    bench.write("body.json", PUSH);
    let options = ["--workflow", ".plue.py", "--changed", "docs/a", "--output", "json"];
    let document = bench.plue(&decode(&bench, &options)).ends(0).json();
    assert_eq!(document["fires"], json!(["on_push()"]));
    let tried = document["triggers"].as_array().unwrap();
    assert_eq!(tried.len(), 5);
    assert_eq!(tried[1]["why"], "the branch `main` fits none of `next`");
    assert_eq!(tried[2]["why"], "none of 1 changed files fits `src/**`");
    assert_eq!(tried[3]["trigger"], "on_pull_request(base=\"main\")");
    assert_eq!(tried[0]["plan"], "Some");
}

#[test]
fn refused_deliveries_show_the_answer_to_the_forge() {
    let bench = Bench::new();
    bench.write("body.json", r#"{"ref": "refs/heads/main"}"#);
    let output = bench.plue(&decode(&bench, &["--output", "json"])).ends(2);
    output.reports(&["PLUE-F0007"]);
    assert_eq!(output.json()["http"], "400");
    bench.write("body.json", "{");
    let output = bench.plue(&decode(&bench, &["--output", "json"])).ends(2);
    assert_eq!(output.json()["error"]["code"], "PLUE-F0005");
}

#[test]
fn signatures_are_checked_with_secrets_of_the_environment() {
    let bench = Bench::new();
    bench.write("body.json", PUSH);
    let mut command = bench.command(&decode(&bench, &["--secret", "HOOK", "--output", "json"]));
    let output =
        crate::support::CliOutput::of(command.env("HOOK", "s3cret").output().unwrap()).ends(2);
    assert_eq!(output.json()["http"], "401");
    bench.plue(&decode(&bench, &["--secret", "HOOK"])).ends(2).reports(&["no variable `HOOK`"]);
}
