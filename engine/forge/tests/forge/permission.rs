//! Write permission in the terms of each forge: a missing, unclear or late answer never grants it.

use std::time::Duration;

use plue_forge::{Client, FeedbackError, Provider, feedback::ClientOptions};
use plue_runtime::Clock;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use crate::fake::{Fake, Reply};

const LIKE_GITHUB: [Provider; 3] = [Provider::GitHub, Provider::Gitea, Provider::Forgejo];

/// Of a forge that answers; far more than it takes.
const PATIENT: Duration = Duration::from_secs(20);
/// Of a forge that never answers.
const SHORT: Duration = Duration::from_millis(200);

fn client(provider: Provider, address: &str, timeout: Duration) -> Client {
    let options = ClientOptions {
        attempts: 2,
        backoff: Duration::from_millis(1),
        longest_wait: Duration::from_millis(10),
        timeout,
        allow_http: true,
        login: None,
    };
    Client::new(provider, address, "t0ken", Clock::real(), options).unwrap()
}

/// The permission of the user `ada` on a forge with these replies, and the requests it received.
async fn asked(
    provider: Provider,
    id: Option<u64>,
    replies: Vec<Reply>,
) -> (Result<bool, FeedbackError>, Vec<String>) {
    let fake = Fake::start(replies).await;
    let client = client(provider, &fake.address("/api"), PATIENT);
    let answer = client.may_write("acme/app", "ada", id).await;
    (answer, fake.seen().into_iter().map(|seen| seen.line).collect())
}

async fn may(provider: Provider, id: Option<u64>, reply: Json) -> bool {
    asked(provider, id, vec![Reply::ok(reply)]).await.0.unwrap()
}

#[tokio::test]
async fn collaborators_may_by_their_permission() {
    for provider in LIKE_GITHUB {
        let words = [
            ("admin", true),
            ("owner", true),
            ("write", true),
            ("maintain", true),
            ("read", false),
            ("triage", false),
            ("none", false),
            ("Write ", false),
            ("", false),
        ];
        for (word, expected) in words {
            let replies = vec![Reply::ok(json!({"permission": word}))];
            let (answer, seen) = asked(provider, Some(7), replies).await;
            assert_eq!(answer.unwrap(), expected, "{provider} {word:?}");
            let path = "GET /api/repos/acme/app/collaborators/ada/permission";
            assert_eq!(seen, [path], "{provider}");
        }
    }
}

#[tokio::test]
async fn gitlab_members_may_from_developer_on() {
    let roles = [(10, false), (20, false), (29, false), (30, true), (40, true), (50, true)];
    for (level, expected) in roles {
        let member = json!({"id": 7, "access_level": level, "state": "active"});
        let (answer, seen) = asked(Provider::GitLab, Some(7), vec![Reply::ok(member)]).await;
        assert_eq!(answer.unwrap(), expected, "{level}");
        assert_eq!(seen, ["GET /api/projects/acme%2Fapp/members/all/7"]);
    }
    let blocked = json!({"id": 7, "access_level": 40, "state": "blocked"});
    assert!(!may(Provider::GitLab, Some(7), blocked).await);
}

#[tokio::test]
async fn gitlab_user_ids_need_the_exact_name() {
    let member = || Reply::ok(json!({"access_level": 30}));
    let users = |names: &[&str]| {
        let users = names.iter().zip(41..).map(|(name, id)| json!({"id": id, "username": name}));
        Reply::ok(users.collect())
    };
    let (answer, seen) =
        asked(Provider::GitLab, None, vec![users(&["ada2", "ada"]), member()]).await;
    assert!(answer.unwrap());
    let lines = ["GET /api/users?username=ada", "GET /api/projects/acme%2Fapp/members/all/42"];
    assert_eq!(seen, lines);
    let (answer, seen) = asked(Provider::GitLab, None, vec![users(&["adam"])]).await;
    assert!(!answer.unwrap() && seen.len() == 1, "{seen:?}");
}

#[tokio::test]
async fn people_unknown_to_the_forge_may_not() {
    for provider in [Provider::GitHub, Provider::GitLab, Provider::Gitea, Provider::Forgejo] {
        let (answer, seen) = asked(provider, Some(7), vec![Reply::of(404, "{}")]).await;
        assert!(!answer.unwrap(), "{provider}");
        assert_eq!(seen.len(), 1, "{provider}");
    }
}

#[tokio::test]
async fn answers_without_a_permission_are_no() {
    let strange = [json!([]), json!({}), json!(null), json!({"permission": true}), json!("write")];
    for provider in LIKE_GITHUB {
        for answer in &strange {
            assert!(!may(provider, Some(7), answer.clone()).await, "{provider} {answer}");
        }
    }
    for answer in [json!([]), json!({"access_level": "40"}), json!({"access_level": -40})] {
        assert!(!may(Provider::GitLab, Some(7), answer.clone()).await, "{answer}");
    }
}

#[tokio::test]
async fn failing_forges_never_grant_permission() {
    for provider in [Provider::GitHub, Provider::GitLab, Provider::Gitea, Provider::Forgejo] {
        for replies in [
            vec![Reply::of(500, ""), Reply::of(500, "")],
            vec![Reply::of(403, r#"{"permission":"write"}"#)],
            vec![Reply::of(401, "")],
            vec![Reply::cut(), Reply::cut()],
            vec![Reply::of(200, r#"{"permission":"#)],
        ] {
            let (answer, _) = asked(provider, Some(7), replies.clone()).await;
            assert!(!matches!(answer, Ok(true)), "{provider} {replies:?}");
        }
        // Connections are taken and nothing is answered.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/api", silent.local_addr().unwrap());
        let client = client(provider, &address, SHORT);
        let answer = client.may_write("acme/app", "ada", Some(7)).await;
        assert!(answer.is_err(), "{provider}");
    }
}
