//! Access: every route of the list, with every caller that must be refused.

use axum::http::Method;
use plue_api::{Need, Role, endpoint, routes};
use plue_runtime::{Clock, Ids};
use plue_store::TokenRow;
use serde_json::json;

use crate::support::{
    OTHER, REPO, Server, asking, create, create_webhook, request, started, watched,
};

fn method(of: endpoint::Method) -> Method {
    match of {
        endpoint::Method::Get => Method::GET,
        endpoint::Method::Post => Method::POST,
        endpoint::Method::Put => Method::PUT,
        endpoint::Method::Delete => Method::DELETE,
    }
}

fn filled(path: &str, run: &str) -> String {
    let path = path.replace("{run}", run).replace("{attempt}", &format!("{run}-a1"));
    let path = path.replace("{view}", "v1");
    let path = path.replace("{token}", "none").replace("{step}", "build");
    let repo = if run == "r1" { "acme%2Fapp" } else { "acme%2Fnone" };
    let path = path.replace("{repository}", repo).replace("{secret}", "TOKEN");
    let hook = if run == "r1" { "w1" } else { "w2" };
    let path = path.replace("{webhook}", hook).replace("{delivery}", "msg_r1_1");
    // Parameters that a route requires.
    match path.rsplit('/').next() {
        Some("search") if path.contains("/attempts/") => path + "?text=x",
        Some("search" | "find") => path + "?q=x",
        Some("artifact") => path + "?path=x",
        Some("runs") if path.contains("/find/") => path + "?id=r1",
        _ => path,
    }
}

#[tokio::test]
async fn every_route_refuses_missing_and_bad_tokens() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let expired = server.token(Role::Admin, None).await;
    let row = server.store.tokens().list().await.unwrap().pop().unwrap();
    server.store.tokens().remove(&row.id).await.unwrap();
    let row = TokenRow { expires_at: Some(Clock::real().now()), ..row };
    server.store.tokens().create(&row).await.unwrap();
    let long = format!("plue_{}", "a".repeat(5000));
    let bad = [None, Some("plue_wrong"), Some(&*expired), Some(&*long), Some("x"), Some("")];
    let mut count = 0;
    for endpoint in routes::all().iter().filter(|one| one.need != Need::Nothing) {
        for token in bad {
            let path = filled(endpoint.path, "r1");
            let body = endpoint.body.map(|_| json!({}));
            let answer = server.send(request(method(endpoint.method), &path, token, body)).await;
            let answer = answer.is(401);
            assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"plue\"");
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

#[tokio::test]
async fn every_route_refuses_lower_roles() {
    let server = Server::start().await;
    create(&server.store, "r1", REPO).await;
    let mut refused = 0;
    for endpoint in routes::all() {
        let (Need::Role(need) | Need::Everywhere(need)) = endpoint.need else { continue };
        for role in Role::ALL.iter().filter(|role| **role < need) {
            let token = server.token(*role, None).await;
            let path = filled(endpoint.path, "r1");
            let body = endpoint.body.map(|_| json!({}));
            let request = request(method(endpoint.method), &path, Some(&token), body);
            let problem = server.send(request).await.is(403).json();
            assert!(problem["detail"].as_str().unwrap().contains(need.as_str()), "{problem}");
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
}

#[tokio::test]
async fn foreign_tokens_get_404_as_for_missing_runs() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    started(&server.store, &run).await;
    watched(&server.store, REPO, "github", "test").await;
    asking(&server.store, "r3", REPO).await;
    create_webhook(&server.store, "w1", Some(REPO), &["run.ended"]).await;
    let foreign = server.token(Role::Admin, Some(OTHER)).await;
    let mut listed = 0;
    for endpoint in routes::all() {
        let path = filled(endpoint.path, "r1");
        // A body that fits: what is refused is refused for whose it is.
        let body = endpoint.body.map(|_| match endpoint.path.rsplit('/').next() {
            Some("{secret}") => json!({"text": "x"}),
            Some("decision") => json!({"approve": true}),
            Some("allowed") => json!({"commit": "x"}),
            Some("events") => json!({"topic": "t"}),
            _ => json!({}),
        });
        let send = |path: &str| {
            let body = body.clone();
            server.send(request(method(endpoint.method), path, Some(&foreign), body))
        };
        match endpoint.need {
            Need::Nothing => {}
            Need::Everywhere(_) => drop(send(&path).await.is(403)),
            Need::Role(_)
                if endpoint.path.contains("{r") || endpoint.path.contains("{webhook}") =>
            {
                let foreign = send(&path).await;
                let absent = send(&filled(endpoint.path, "r2")).await;
                assert_eq!(foreign.is(404).json()["title"], absent.is(404).json()["title"]);
            }
            // A token has no session to show.
            Need::Role(_) if endpoint.path == "/api/v1/session" => {}
            Need::Role(_) if endpoint.method == endpoint::Method::Get => {
                let answer = send(&path).await.is(200);
                let text = String::from_utf8(answer.body).unwrap();
                assert!(!text.contains(REPO) && !text.contains("r1"), "{}: {text}", endpoint.path);
                listed += 1;
            }
            Need::Role(_) => {}
        }
    }
    assert!(listed > 5, "{listed}");
    let (keys, asked) = (server.store.secrets().list(None).await.unwrap(), &server.asked);
    assert!(keys.is_empty() && asked.decisions.lock().unwrap().is_empty());
    let runs = server.get(&foreign, "/api/v1/runs").await.is(200).json();
    assert_eq!(runs["items"], json!([]));
    let wanted = json!({"repository": REPO, "workflow": "ci"});
    server.post(&foreign, "/api/v1/runs", wanted).await.is(404);
    assert!(server.asked.submits.lock().unwrap().is_empty(), "nothing was asked of the engine");
}

#[tokio::test]
async fn tokens_are_created_shown_once_used_and_removed() {
    let server = Server::start().await;
    let admin = server.token(Role::Admin, None).await;
    let wanted = json!({"name": "ci", "role": "reader", "repository": REPO, "expires_in_days": 1});
    let made = server.post(&admin, "/api/v1/tokens", wanted).await.is(201).json();
    let token = made["token"].as_str().unwrap().to_owned();
    let who = server.get(&token, "/api/v1/whoami").await.is(200).json();
    assert_eq!(who, json!({"name": "token:ci", "role": "reader", "repository": REPO}));
    let list = server.get(&admin, "/api/v1/tokens").await.is(200);
    let text = String::from_utf8(list.body).unwrap();
    assert!(text.contains("\"ci\"") && !text.contains(&token[5..]), "{text}");
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    server.send(request(Method::DELETE, &path, Some(&admin), None)).await.is(204);
    server.get(&token, "/api/v1/whoami").await.is(401);
    server.send(request(Method::DELETE, &path, Some(&admin), None)).await.is(404);
    let trail = server.get(&admin, "/api/v1/audit").await.is(200).json();
    let actions: Vec<_> = trail["items"].as_array().unwrap().iter().collect();
    assert_eq!(actions[0]["action"], "token.create");
    assert_eq!(actions[1]["action"], "token.remove");
    assert_eq!(actions[1]["principal"], "token:admin-all");
}

#[tokio::test]
async fn two_fresh_tokens_have_nothing_in_common() {
    let ids = Ids::random();
    let (one, two) = (ids.secret(), ids.secret());
    assert_ne!(one[..20], two[..20]);
    assert_ne!(one[20..], two[20..]);
}
