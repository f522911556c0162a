//! The run's page: its actions for roles that may, its picture, details of a step, and links of this machine.

use std::net::SocketAddr;

use axum::{body::Body, http::Method};
use plue_api::{Role, limit::Peer, link};
use plue_runtime::{Clock, Ids};

use crate::{
    login::Browser,
    support::{Answer, OTHER, REPO, Server, asking, create, started},
};

async fn signed_in(server: &Server, role: Role) -> (Browser, String) {
    let token = server.token(role, Some(REPO)).await;
    let mut browser = Browser::default();
    let body = Body::from(format!("token={token}&to=/runs"));
    let mut request = browser.request(Method::POST, "/login", body);
    request.headers_mut().insert("origin", "https://ci.example".parse().unwrap());
    assert_eq!(browser.send(server, request).await.status, 303);
    let page = browser.get(server, "/runs").await.text();
    let word = page.split("name=\"csrf\" value=\"").nth(1).unwrap();
    (browser, word.split('"').next().unwrap().to_owned())
}

async fn post(server: &Server, browser: &mut Browser, path: &str, form: &str) -> Answer {
    let mut request = browser.request(Method::POST, path, Body::from(form.to_owned()));
    request.headers_mut().insert("origin", "https://ci.example".parse().unwrap());
    browser.send(server, request).await
}

#[tokio::test]
async fn actions_are_for_roles_that_may() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    let (mut reader, word) = signed_in(&server, Role::Reader).await;
    let page = reader.get(&server, "/runs/r1").await.text();
    assert!(!page.contains("/runs/r1/cancel"), "{page}");
    for verb in ["cancel", "retry", "rerun"] {
        let form = format!("csrf={word}");
        let answer = post(&server, &mut reader, &format!("/runs/r1/{verb}"), &form).await;
        assert_eq!(answer.status, 403, "{verb}");
    }
    let (mut writer, word) = signed_in(&server, Role::Writer).await;
    let page = writer.get(&server, "/runs/r1").await.text();
    assert!(page.contains("action=\"/runs/r1/cancel\""), "{page}");
    let refused = post(&server, &mut writer, "/runs/r1/cancel", "csrf=guess").await;
    assert_eq!(refused.status, 403, "a form of another session");
    assert_eq!(server.store.cancels().get(&run).await.unwrap(), None);
    let done = post(&server, &mut writer, "/runs/r1/cancel", &format!("csrf={word}")).await;
    assert_eq!(
        (done.status.as_u16(), &done.headers["location"]),
        (303, &"/runs/r1".parse().unwrap())
    );
    let asked = server.store.cancels().get(&run).await.unwrap().unwrap();
    assert!(asked.by.starts_with("token:writer"), "{}", asked.by);
    let form = format!("csrf={word}&from=build");
    let again = post(&server, &mut writer, "/runs/r1/rerun", &form).await;
    assert_eq!(again.status, 303);
    assert_ne!(again.headers["location"], "/runs/r1");
    let reruns = server.asked.reruns.lock().unwrap().clone();
    assert_eq!(reruns.first().and_then(|rerun| rerun.from.as_deref()), Some("build"));
}

#[tokio::test]
async fn runs_of_other_repositories_have_no_actions() {
    let server = Server::start().await;
    create(&server.store, "r1", OTHER).await;
    let (mut writer, word) = signed_in(&server, Role::Writer).await;
    let hidden = post(&server, &mut writer, "/runs/r1/cancel", &format!("csrf={word}")).await;
    let absent = post(&server, &mut writer, "/runs/r2/cancel", &format!("csrf={word}")).await;
    assert_eq!((hidden.status.as_u16(), absent.status.as_u16()), (404, 404));
}

#[tokio::test]
async fn pictures_and_details_are_part_of_the_page() {
    let server = Server::start().await;
    asking(&server.store, "r1", REPO).await;
    let (mut ada, _) = signed_in(&server, Role::Reader).await;
    let page = ada.get(&server, "/runs/r1").await.text();
    assert!(page.contains("data-graph") && page.contains("id=\"step-"), "{page}");
    let step = page.split("id=\"step-").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let chosen = ada.get(&server, &format!("/runs/r1?view=timeline&step={step}")).await.text();
    assert!(chosen.contains("id=\"details\"") && !chosen.contains("data-graph"), "{chosen}");
    let plan = ada.get(&server, "/runs/r1/plan").await;
    assert_eq!(plan.status, 200);
    assert!(plan.text().contains("none of this workflow"));
    let unknown = ada.get(&server, "/runs/r1?step=%3Cscript%3E").await;
    assert_eq!(unknown.status, 200);
    assert!(!unknown.text().contains("<script>"));
}

#[tokio::test]
async fn searches_find_what_the_reader_may_see() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    create(&server.store, "r2", OTHER).await;
    let (mut ada, _) = signed_in(&server, Role::Reader).await;
    let page = ada.get(&server, "/palette?q=").await.text();
    assert!(page.contains("/runs/r1") && !page.contains("/runs/r2"), "{page}");
    let none = ada.get(&server, "/palette?q=%22%3E%3Cscript%3E").await.text();
    assert!(none.contains("Nothing has this name") && !none.contains("<script>"), "{none}");
}

async fn follow(server: &Server, browser: &mut Browser, path: &str, from: &str) -> Answer {
    let mut request = browser.request(Method::GET, path, Body::empty());
    let address: SocketAddr = from.parse().unwrap();
    request.extensions_mut().insert(Peer(address));
    browser.send(server, request).await
}

#[tokio::test]
async fn links_work_once_and_on_this_machine() {
    let server = Server::start().await;
    let now = Clock::real().now();
    let path = link::make(&server.store, &Ids::random(), "/runs", now).await.unwrap();
    let mut browser = Browser::default();
    let far = follow(&server, &mut browser, &path, "192.0.2.7:1").await;
    assert_eq!(far.status, 403, "another machine");
    let entered = follow(&server, &mut browser, &path, "127.0.0.1:1").await;
    assert_eq!(
        (entered.status.as_u16(), &entered.headers["location"]),
        (303, &"/runs".parse().unwrap())
    );
    assert_eq!(browser.get(&server, "/runs").await.status, 200);
    let again = follow(&server, &mut Browser::default(), &path, "127.0.0.1:1").await;
    assert_eq!(again.status, 410, "a second time");
    let text = again.text();
    assert!(text.contains("plue serve --open") && !text.contains("higher role"), "{text}");
    let tokens = server.store.tokens().list().await.unwrap();
    assert!(
        tokens.iter().any(|row| row.name == "browser of this machine" && row.expires_at.is_some())
    );
}

#[tokio::test]
async fn links_expire() {
    let server = Server::start().await;
    let old = Clock::real().now() - link::LIFETIME - link::LIFETIME;
    let path = link::make(&server.store, &Ids::random(), "/runs", old).await.unwrap();
    let answer = follow(&server, &mut Browser::default(), &path, "127.0.0.1:1").await;
    assert_eq!(answer.status, 410);
    let guess = format!("{}?once=guess", link::PATH);
    assert_eq!(follow(&server, &mut Browser::default(), &guess, "127.0.0.1:1").await.status, 410);
}

#[tokio::test]
async fn two_hundred_tabs_read_a_run_once() {
    const TABS: usize = 200;
    let rates = plue_api::limit::Rates {
        token: plue_api::rate::Rate { burst: 10_000, every: std::time::Duration::from_millis(1) },
        ..Default::default()
    };
    let server = Server::with(plue_api::Limits { rates, ..Default::default() }).await;
    let run = create(&server.store, "r1", REPO).await;
    let (ada, _) = signed_in(&server, Role::Reader).await;
    let fragment = || async {
        let mut request = ada.request(Method::GET, "/runs/r1", Body::empty());
        request.headers_mut().insert("x-plue-fragment", "1".parse().unwrap());
        assert_eq!(server.send(request).await.status, 200);
    };
    server.reads.taken();
    fragment().await;
    let cold = server.reads.taken();
    futures::future::join_all((0..10).map(|_| fragment())).await;
    // Each request reads the caller from the database: a session may have ended.
    let warm = server.reads.taken().div_ceil(10);
    assert!(warm < cold / 2, "{warm} of {cold}");
    started(&server.store, &run).await;
    server.reads.taken();
    futures::future::join_all((0..TABS).map(|_| fragment())).await;
    let reads = server.reads.taken();
    // Some more on a machine so slow that the content ages in between.
    let once = warm * TABS + 10 * cold;
    assert!(reads <= once, "{reads} questions for {TABS} tabs, {warm} for each session");
}
