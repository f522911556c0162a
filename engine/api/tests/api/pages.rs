//! The page of a run, with and without a session.

use std::sync::Arc;

use axum::{body::Body, http::Method};
use jiff::SignedDuration;
use plue_api::Role;
use plue_flow::{AttemptStatus, Fact, Input, Run, fact::Outcome};
use plue_plan::{Plan, RunId, Step, canonical::HashedPlan};
use plue_runtime::Clock;
use plue_store::{AttemptEnd, NewAttempt, NewRun, RunCommit};
use serde_json::json;

use crate::{
    login::Browser,
    support::{OTHER, REPO, Server, claimed, create, print},
};

const NOISE: &[u8] = b"<script>alert('x')</script> &amp;\n\x1b[31mred\x1b[0m \x1b]0;owned\x07\n";

/// A run that failed after it printed something.
async fn failed(server: &Server, run: &str) {
    let store = &server.store;
    let step = json!({"id": "build", "kind": "bash", "run": "make <all>"});
    let step: Step = serde_json::from_value(step).unwrap();
    let sealed = HashedPlan::new(Plan::new("<i>demo</i>", vec![step])).unwrap();
    store.plans().put(&sealed).await.unwrap();
    let (id, now) = (RunId::new(run), Clock::real().now());
    let mut folded = Run::new(id.clone(), Arc::new(sealed.plan.clone()));
    let mut first = RunCommit::new(id.clone(), 0, now, folded.view());
    first.facts = vec![folded.create(sealed.hash, Vec::new(), Vec::new())];
    folded.evolve(now, &first.facts[0]).unwrap();
    first.facts.extend(folded.apply(now, Input::Start).unwrap().facts);
    let queued = first.facts.iter().find_map(|fact| match fact {
        Fact::AttemptQueued { attempt, .. } => Some(attempt.clone()),
        _ => None,
    });
    let attempt = queued.unwrap();
    first.attempts.push(NewAttempt {
        id: attempt.clone(),
        step: "build".into(),
        visit: 1,
        number: 1,
        pool: "local".to_owned(),
        priority: 0,
        not_before: now,
    });
    first.steps = folded.step_views().collect();
    let seq = first.facts.len() as u64;
    let new = NewRun {
        id: id.clone(),
        workflow: "<i>demo</i>".to_owned(),
        source: "demo.plue.py".to_owned(),
        plan: sealed.hash,
        event: json!({"type": "push", "actor": "ada<b>", "branch": "main"}),
        inputs: json!({}),
        repo: Some(REPO.to_owned()),
        sha: Some("9f2c3ee0".to_owned()),
        branch: Some("main".to_owned()),
        fork: None,
        is_child: false,
        origin: json!({}),
        created_at: now,
    };
    store.runs().create(new, first).await.unwrap().unwrap();
    let claim = claimed(store, &id).await;
    for n in 0..300 {
        print(store, &claim, 2 + n, format!("line {n}\n").as_bytes()).await;
    }
    print(store, &claim, 302, NOISE).await;
    let started =
        Input::Started { attempt: attempt.clone(), runner: None, began: Some(now), name: None };
    let mut facts = folded.apply(now, started).unwrap().facts;
    let later = now.checked_add(SignedDuration::from_millis(61_500)).unwrap();
    let outcome = Outcome::Exit { code: 2, signal: None };
    let ended = Input::Ended { attempt, outcome: outcome.clone(), output: json!(null) };
    facts.extend(folded.apply(later, ended).unwrap().facts);
    let mut commit = RunCommit::new(id, seq, later, folded.view());
    commit.facts = facts;
    commit.steps = folded.step_views().collect();
    let (status, tail) = (AttemptStatus::Done, Vec::new());
    commit.ends.push(AttemptEnd { claim, tail, seq: Some(303), status, outcome, detail: None });
    store.runs().commit(commit).await.unwrap().unwrap();
}

pub(crate) async fn with_token(server: &Server, token: &str, to: &str) -> (Browser, u16) {
    let mut browser = Browser::default();
    let body = Body::from(format!("token={token}&to={to}"));
    let mut request = browser.request(Method::POST, "/login", body);
    request.headers_mut().insert("origin", "https://ci.example".parse().unwrap());
    let answer = browser.send(server, request).await;
    let own = if to.starts_with("//") { "/" } else { to };
    if answer.status == 303 {
        assert_eq!(answer.headers["location"], own);
    }
    (browser, answer.status.as_u16())
}

#[tokio::test]
async fn run_pages_show_state_and_escape_texts() {
    let server = Server::start().await;
    failed(&server, "r1").await;
    let token = server.token(Role::Reader, Some(REPO)).await;
    let (mut ada, status) = with_token(&server, &token, "/runs/r1").await;
    assert_eq!(status, 303);
    let answer = ada.get(&server, "/runs/r1").await;
    assert_eq!(answer.status, 200);
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
        "{policy}"
    );
    assert!(policy.contains("form-action 'self'") && policy.contains("frame-ancestors 'none'"));
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "same-origin"),
    ] {
        assert_eq!(answer.headers[name], value, "{name}");
    }
    let page = answer.text();
    for shown in ["demo", "failed", "build", "1m 1s", REPO, "line 299", "/runs/r1/plan"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(page.contains("&lt;script&gt;alert('x')&lt;/script&gt; &amp;amp;\nred"), "{page}");
    assert!(page.contains("&lt;i&gt;demo&lt;/i&gt;") && page.contains("ada&lt;b&gt;"));
    assert!(!page.contains("<script>") && !page.contains('\u{1b}') && !page.contains("owned"));
    assert!(!page.contains("line 100\n"), "the end of it, and no more");
}

#[tokio::test]
async fn the_page_of_a_run_follows_its_changes() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Reader, None).await;
    let (mut ada, _) = with_token(&server, &token, "/runs/r1").await;
    let page = ada.get(&server, "/runs/r1").await.text();
    assert!(page.contains("data-topics=\"run:r1@"), "{page}");
    let mut request = ada.request(Method::GET, "/runs/r1", Body::empty());
    request.headers_mut().insert("x-plue-fragment", "1".parse().unwrap());
    let fragment = server.send(request).await.text();
    assert!(fragment.contains("<main") && !fragment.contains("<header"), "{fragment}");
}

#[tokio::test]
async fn anonymous_visitors_cannot_distinguish_missing_runs() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let foreign = server.token(Role::Admin, Some(OTHER)).await;
    let (mut eve, _) = with_token(&server, &foreign, "/runs/r1").await;
    let (hidden, absent) = (eve.get(&server, "/runs/r1").await, eve.get(&server, "/runs/r2").await);
    assert_eq!((hidden.status.as_u16(), absent.status.as_u16()), (404, 404));
    assert_eq!(hidden.text().replace("r1", "r2"), absent.text());
    let anonymous = Browser::default();
    for path in ["/runs/r1", "/runs/r2"] {
        let answer = anonymous.clone().get(&server, path).await;
        assert_eq!(answer.status, 401);
        let page = answer.text();
        assert!(page.contains("name=\"token\"") && !page.contains(REPO) && !page.contains("demo"));
    }
    assert_eq!(anonymous.clone().get(&server, "/runs/%22%3E%3Cb%3E").await.status, 401);
}

#[tokio::test]
async fn tokens_are_accepted_from_own_forms_only() {
    let server = Server::start().await;
    let token = server.token(Role::Reader, None).await;
    assert_eq!(with_token(&server, "plue_wrong", "/runs/r1").await.1, 403);
    let browser = Browser::default();
    for (name, value) in
        [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("x-none", "x")]
    {
        let body = Body::from(format!("token={token}"));
        let mut request = browser.request(Method::POST, "/login", body);
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = server.send(request).await;
        assert!(answer.status == 403 && !answer.headers.contains_key("set-cookie"), "{name}");
    }
    assert!(with_token(&server, &token, "//evil.example").await.1 == 303, "and stays here");
}

#[tokio::test]
async fn links_from_a_forge_reload_with_the_session() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let token = server.token(Role::Reader, None).await;
    let (ada, _) = with_token(&server, &token, "/runs/r1").await;
    // A link on another site: the browser sends no `Strict` cookie.
    let mut request = Browser::default().request(Method::GET, "/runs/r1", Body::empty());
    request.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    let answer = server.send(request).await;
    assert!(answer.status == 200 && answer.text().contains("0;url=/runs/r1"), "{}", answer.text());
    let mut request = ada.request(Method::GET, "/runs/r1", Body::empty());
    request.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
    assert!(server.send(request).await.text().contains("demo"));
}
