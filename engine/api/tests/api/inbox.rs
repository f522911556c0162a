//! The inbox of decisions, as browsers of several roles get it.

use axum::{body::Body, http::Method};
use plue_api::Role;
use serde_json::json;

use crate::{
    login::Browser,
    pages::with_token,
    support::{Answer, OTHER, REPO, Server, asking},
};

/// A browser that is signed in with a token of this role.
pub(crate) async fn reader(server: &Server, role: Role, repo: Option<&str>) -> Browser {
    let token = server.token(role, repo).await;
    with_token(server, &token, "/runs").await.0
}

/// The session's word, as the page's forms have it.
pub(crate) fn word(page: &str) -> String {
    let (_, rest) = page.split_once(r#"name="csrf" value=""#).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// The answer to a form of an own page.
pub(crate) async fn post(
    server: &Server,
    browser: &mut Browser,
    path: &str,
    fields: &[(&str, &str)],
) -> Answer {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields);
    let mut request = browser.request(Method::POST, path, Body::from(body.finish()));
    request.headers_mut().insert("origin", "https://ci.example".parse().unwrap());
    browser.send(server, request).await
}

#[tokio::test]
async fn decisions_are_made_from_the_inbox() {
    let server = Server::start().await;
    asking(&server.store, "r1", REPO).await;
    asking(&server.store, "s1", OTHER).await;
    let token = server.named_token("ada", Role::Maintainer, Some(REPO)).await;
    let mut ada = with_token(&server, &token, "/runs").await.0;
    let page = ada.get(&server, "/approvals").await.text();
    assert!(page.contains("/runs/r1") && !page.contains("/runs/s1"), "{page}");
    assert!(page.contains("field.n") && page.contains("go?"), "{page}");
    let csrf = word(&page);
    let decide = |csrf: &str, run: &str, answer: &str| {
        vec![
            ("csrf".to_owned(), csrf.to_owned()),
            ("run".to_owned(), run.to_owned()),
            ("step".to_owned(), "ask".to_owned()),
            ("field.n".to_owned(), "3".to_owned()),
            ("comment".to_owned(), "fine".to_owned()),
            ("answer".to_owned(), answer.to_owned()),
        ]
    };
    for (csrf, run, answer, status) in [
        ("wrong", "r1", "approve", 403),
        (csrf.as_str(), "s1", "approve", 404),
        (csrf.as_str(), "r1", "perhaps", 400),
        (csrf.as_str(), "r1", "approve", 303),
    ] {
        let fields = decide(csrf, run, answer);
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = post(&server, &mut ada, "/approvals/decide", &fields).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        if status == 303 {
            assert_eq!(answer.headers["location"], "/approvals?done=approve");
        }
    }
    let made = server.asked.decisions.lock().unwrap().clone();
    let (what, answer, by) = made.first().unwrap();
    assert_eq!((made.len(), what.as_str(), by.as_str()), (1, "r1 ask", "ada"));
    assert_eq!((answer.approve, &answer.fields["n"]), (true, &json!(3)));
    let trail = server.store.audit().after(0, 9).await.unwrap();
    assert_eq!(trail.last().unwrap().action, "run.decide");
}

#[tokio::test]
async fn forms_of_other_sites_decide_nothing() {
    let server = Server::start().await;
    asking(&server.store, "r1", REPO).await;
    let token = server.named_token("ada", Role::Maintainer, None).await;
    let mut ada = with_token(&server, &token, "/runs").await.0;
    let csrf = word(&ada.get(&server, "/approvals").await.text());
    let body = format!("csrf={csrf}&run=r1&step=ask&answer=approve");
    let mut request = ada.request(Method::POST, "/approvals/decide", Body::from(body));
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(ada.send(&server, request).await.status, 403);
    assert!(server.asked.decisions.lock().unwrap().is_empty());
}

#[tokio::test]
async fn decisions_are_shown_without_forms_to_others() {
    let server = Server::start().await;
    asking(&server.store, "r1", REPO).await;
    let decide = [("run", "r1"), ("step", "ask"), ("answer", "approve")];
    for (role, reason) in [
        (Role::Writer, "A maintainer of this repository decides."),
        (Role::Maintainer, "The plan names other approvers."),
    ] {
        let mut eve = reader(&server, role, None).await;
        let page = eve.get(&server, "/approvals").await.text();
        assert!(page.contains(reason) && !page.contains("/approvals/decide"), "{page}");
        if role == Role::Writer {
            let csrf = word(&page);
            let fields = [&[("csrf", csrf.as_str())][..], &decide[..]].concat();
            let answer = post(&server, &mut eve, "/approvals/decide", &fields).await;
            assert_eq!(answer.status, 403, "{}", answer.text());
        }
    }
    assert!(server.asked.decisions.lock().unwrap().is_empty());
}

#[tokio::test]
async fn late_answers_are_refused_with_the_reason() {
    let server = Server::start().await;
    crate::support::create(&server.store, "r1", REPO).await;
    let mut ada = reader(&server, Role::Maintainer, None).await;
    let page = ada.get(&server, "/approvals").await.text();
    assert!(page.contains("Nothing waits for you"), "{page}");
    let csrf = word(&page);
    let fields = [("csrf", csrf.as_str()), ("run", "r1"), ("step", "ask"), ("answer", "reject")];
    let answer = post(&server, &mut ada, "/approvals/decide", &fields).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("does not wait for this decision"), "{}", answer.text());
}
