//! The pages of one workflow and of a pull request, and their forms.

use plue_api::Role;
use plue_plan::{Plan, Step, Trigger, canonical::HashedPlan, diff::diff, plan::Input};
use plue_runtime::Clock;
use plue_store::{RegisteredRow, ReportKey};
use serde_json::{Value as Json, json};

use crate::{
    inbox::{post, reader, word},
    support::{OTHER, REPO, Server, watched},
};

const EVIL: &str = "<img src=x onerror=alert(1)>";
const PAGE: &str = "/workflows/acme%2Fapp/Deploy%20it";

fn plan(run: &str, secrets: &[&str]) -> Plan {
    let bash = json!({"id": "build", "kind": "bash", "run": run, "secrets": secrets});
    let ask =
        json!({"id": "ask", "kind": "llm", "prompt": {"$template": EVIL}, "depends_on": ["build"]});
    let steps = [bash, ask].map(|step| serde_json::from_value::<Step>(step).unwrap());
    let mut plan = Plan::new("Deploy it", steps.to_vec());
    let input = |json: Json| serde_json::from_value::<Input>(json).unwrap();
    plan.inputs
        .insert("env".to_owned(), input(json!({"choices": ["prod", EVIL], "required": true})));
    plan.inputs.insert("count".to_owned(), input(json!({"type": "integer", "default": 3})));
    plan.triggers = vec![
        Trigger::Schedule {
            cron: "*/5 * * * *".to_owned(),
            tz: "UTC".to_owned(),
            misfire: Default::default(),
        },
        Trigger::Manual { inputs: Default::default() },
    ];
    plan
}

async fn deploying() -> Server {
    let server = Server::start().await;
    for repo in [REPO, OTHER] {
        watched(&server.store, repo, "github", "ada").await;
        let sealed = HashedPlan::new(plan("make", &["DEPLOY"])).unwrap();
        server.store.plans().put(&sealed).await.unwrap();
        let row = RegisteredRow {
            repo: repo.to_owned(),
            file: ".plue.py".to_owned(),
            workflow: "Deploy it".to_owned(),
            sha: "c0ffee".to_owned(),
            plan: sealed.hash,
            triggers: sealed.plan.triggers.clone(),
        };
        server.store.repos().register_plans(repo, vec![row], Clock::real().now()).await.unwrap();
    }
    server
}

#[tokio::test]
async fn workflow_pages_have_next_times_and_a_form() {
    let server = deploying().await;
    let mut ada = reader(&server, Role::Writer, Some(REPO)).await;
    let page = ada.get(&server, PAGE).await.text();
    for part in
        ["secret DEPLOY", "field.env", "Deploy it", "schedule */5", "&lt;img", "plan.svg?plan="]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(
        page.split("ol class=\"ticks\"")
            .nth(1)
            .unwrap()
            .split("</ol>")
            .next()
            .unwrap()
            .matches("<li>")
            .count(),
        5
    );
    assert!(!page.contains("<img src=x") && !page.contains("/workflows/pause"), "{page}");
    let picture = ada.get(&server, &format!("{PAGE}/plan.svg")).await;
    assert_eq!(picture.headers["content-type"], "image/svg+xml");
    let policy = picture.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
    let hidden = ada.get(&server, "/workflows/acme%2Fother/Deploy%20it").await;
    let absent = ada.get(&server, "/workflows/acme%2Fnone/Deploy%20it").await;
    assert_eq!((hidden.status.as_u16(), absent.status.as_u16()), (404, 404));
    assert_eq!(ada.get(&server, "/workflows/acme%2Fapp/none").await.status, 404);
}

#[tokio::test]
async fn runs_are_started_from_the_form() {
    let server = deploying().await;
    let mut ada = reader(&server, Role::Writer, Some(REPO)).await;
    let csrf = word(&ada.get(&server, PAGE).await.text());
    let path = format!("{PAGE}/run");
    let fields =
        [("csrf", csrf.as_str()), ("field.env", "prod"), ("field.count", "7"), ("rev", "v1")];
    let answer = post(&server, &mut ada, &path, &fields).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let (id, request, by) = server.asked.submits.lock().unwrap()[0].clone();
    assert_eq!(answer.headers["location"], format!("/runs/{id}"));
    assert_eq!((request.rev.as_deref(), by.as_str()), (Some("v1"), "token:writer-acme/app"));
    assert_eq!(json!(request.inputs), json!({"env": "prod", "count": 7}));
    let answer = post(&server, &mut ada, &path, &[("csrf", "wrong")]).await;
    assert_eq!(answer.status, 403);
    let mut eve = reader(&server, Role::Reader, None).await;
    let page = eve.get(&server, PAGE).await.text();
    assert!(!page.contains("field.env"), "{page}");
    let csrf = word(&page);
    let answer = post(&server, &mut eve, &path, &[("csrf", &csrf), ("field.env", "prod")]).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(server.asked.submits.lock().unwrap().len(), 1);
}

/// A report of a pull request whose plan waits.
async fn reported(server: &Server, repo: &str) {
    let found = diff(&plan("make", &[]), &plan(EVIL, &["DEPLOY"]));
    let entry = |name: &str, outcome: Json, change: Json| json!({"file": ".plue.py", "name": name, "fate": outcome, "change": change});
    let content = json!({
        "is_pull_request": true,
        "plans": [
            entry(EVIL, json!({"held": format!("it is from a fork {EVIL}")}), json!({"changed": found})),
            entry("Lint", json!({"run": "r1"}), json!("unchanged")),
            entry("Old", json!({"skipped": "the change removes it"}), json!("removed")),
        ],
        "notices": [format!("CI would newly reach: secret DEPLOY {EVIL}")],
    });
    let key = ReportKey { repo: repo.to_owned(), sha: "c0ffee".to_owned(), pull_request: 7 };
    server.store.reports().put(&key, &content, Clock::real().now()).await.unwrap();
}

#[tokio::test]
async fn pull_requests_show_both_plans_and_the_gate() {
    let server = deploying().await;
    reported(&server, REPO).await;
    reported(&server, OTHER).await;
    let mut ada = reader(&server, Role::Maintainer, Some(REPO)).await;
    let list = ada.get(&server, "/pulls").await.text();
    assert!(list.contains("/pulls/acme%2Fapp/7") && !list.contains("acme%2Fother"), "{list}");
    let page = ada.get(&server, "/pulls/acme%2Fapp/7").await.text();
    for part in
        ["would newly reach", "Secrets", "DEPLOY", "make", "/pulls/allow", "not kept any more"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<img"), "{page}");
    for absent in [
        "/pulls/acme%2Fother/7",
        "/pulls/acme%2Fapp/8",
        "/pulls/acme%2Fapp/0",
        "/pulls/acme%2Fapp/x",
    ] {
        assert_eq!(ada.get(&server, absent).await.status, 404, "{absent}");
    }
    let csrf = word(&page);
    let allow = |csrf: &str| {
        [
            ("csrf", csrf.to_owned()),
            ("repo", REPO.to_owned()),
            ("number", "7".to_owned()),
            ("commit", "c0ffee".to_owned()),
        ]
    };
    let fields = allow(&csrf);
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    // Nothing of this commit waits in the store of this test: the same answer as the API's.
    assert_eq!(post(&server, &mut ada, "/pulls/allow", &fields).await.status, 404);
    let mut eve = reader(&server, Role::Writer, None).await;
    let page = eve.get(&server, "/pulls/acme%2Fapp/7").await.text();
    assert!(!page.contains("/pulls/allow"), "{page}");
    let csrf = word(&page);
    let fields = allow(&csrf);
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(post(&server, &mut eve, "/pulls/allow", &fields).await.status, 403);
}
