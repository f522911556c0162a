//! Resources of a server: repositories, secrets, schedules, runners, usage.

use axum::http::Method;
use plue_api::Role;
use plue_plan::{Trigger, trigger::Misfire};
use plue_store::RegisteredRow;
use serde_json::{Value as Json, json};

use crate::support::{OTHER, REPO, Server, create, end, request, started, watched};

async fn put(server: &Server, token: &str, path: &str, body: Json) -> crate::support::Answer {
    server.send(request(Method::PUT, path, Some(token), Some(body))).await
}

#[tokio::test]
async fn secrets_are_set_listed_removed_never_shown() {
    let server = Server::start().await;
    watched(&server.store, REPO, "github", "test").await;
    let token = server.token(Role::Maintainer, Some(REPO)).await;
    let list = "/api/v1/repositories/acme%2Fapp/secrets";
    let one = "/api/v1/repositories/acme%2Fapp/secrets/TOKEN";
    let text = "hunter22hunter";
    put(&server, &token, one, json!({"text": text})).await.is(204);
    put(&server, &token, one, json!({"text": "another"})).await.is(204);
    let answer = server.get(&token, list).await.is(200);
    let names = answer.json();
    assert_eq!((&names[0]["name"], &names[0]["repository"]), (&json!("TOKEN"), &json!(REPO)));
    assert!(!String::from_utf8(answer.body).unwrap().contains(text));
    for (name, text) in [("lower", "x"), ("1A", "x"), ("A%2FB", "x"), ("A", ""), ("A", "a\0b")] {
        let path = format!("{list}/{name}");
        put(&server, &token, &path, json!({"text": text})).await.is(400);
    }
    put(&server, &token, one, json!({"text": "x".repeat(64 * 1024 + 1)})).await.is(400);
    put(&server, &token, "/api/v1/secrets/TOKEN", json!({"text": "x"})).await.is(403);
    server.send(request(Method::DELETE, one, Some(&token), None)).await.is(204);
    server.send(request(Method::DELETE, one, Some(&token), None)).await.is(404);
    let admin = server.token(Role::Admin, None).await;
    put(&server, &admin, "/api/v1/secrets/ALL", json!({"text": text})).await.is(204);
    let all = server.get(&admin, "/api/v1/secrets").await.is(200).json();
    assert_eq!((&all[0]["name"], &all[0]["repository"]), (&json!("ALL"), &Json::Null));
    let trail = server.get(&admin, "/api/v1/audit").await.is(200);
    let actions = trail.json();
    let actions: Vec<_> = actions["items"].as_array().unwrap().iter().collect();
    assert_eq!(actions.len(), 4, "{actions:?}");
    assert_eq!(actions[2]["action"], "secret.remove");
    assert!(!String::from_utf8(trail.body).unwrap().contains(text));
}

#[tokio::test]
async fn forge_repositories_are_added_and_removed_by_admins() {
    let server = Server::start().await;
    let admin = server.token(Role::Admin, None).await;
    let wanted = json!({"name": "acme/app", "forge": "gitea", "url": "https://git.example/a.git"});
    let made = server.post(&admin, "/api/v1/repositories", wanted.clone()).await.is(201).json();
    assert_eq!((&made["name"], &made["default_branch"]), (&json!(REPO), &json!("main")));
    assert!(made["webhook"].as_str().unwrap().starts_with("/hooks/gitea/"));
    watched(&server.store, OTHER, "local", "test").await;
    let reader = server.token(Role::Reader, Some(REPO)).await;
    let seen = server.get(&reader, "/api/v1/repositories").await.is(200).json();
    assert_eq!((seen.as_array().unwrap().len(), &seen[0]["webhook"]), (1, &Json::Null));
    for (field, value) in
        [("name", "../x"), ("name", "app"), ("name", "a/b\r\n"), ("forge", "local")]
    {
        let mut wrong = wanted.clone();
        wrong[field] = json!(value);
        server.post(&admin, "/api/v1/repositories", wrong).await.is(400);
    }
    let remove = |name: &str| {
        let path = format!("/api/v1/repositories/{name}");
        server.send(request(Method::DELETE, &path, Some(&admin), None))
    };
    remove("acme%2Fother").await.is(409);
    remove("acme%2Fapp").await.is(204);
    remove("acme%2Fapp").await.is(404);
}

#[tokio::test]
async fn schedules_are_listed_with_their_next_ticks() {
    let server = Server::start().await;
    watched(&server.store, REPO, "github", "test").await;
    let run = create(&server.store, "r1", REPO).await;
    let plan = server.store.runs().get(&run).await.unwrap().unwrap().plan;
    let schedule = |cron: &str, tz: &str| Trigger::Schedule {
        cron: cron.to_owned(),
        tz: tz.to_owned(),
        misfire: Misfire::CatchUp,
    };
    let row = RegisteredRow {
        repo: REPO.to_owned(),
        file: "ci.plue.py".to_owned(),
        workflow: "ci".to_owned(),
        sha: "0".repeat(40),
        plan,
        triggers: vec![schedule("0 12 * * *", "Europe/Berlin"), schedule("0 0 30 2 *", "UTC")],
    };
    let now = plue_runtime::Clock::real().now();
    server.store.repos().register_plans(REPO, vec![row], now).await.unwrap();
    let token = server.token(Role::Reader, None).await;
    let schedules = server.get(&token, "/api/v1/schedules").await.is(200).json();
    assert_eq!(
        (&schedules[0]["misfire"], &schedules[0]["last"]),
        (&json!("catch_up"), &Json::Null)
    );
    let ticks = schedules[0]["next"].as_array().unwrap();
    let hours: Vec<_> = ticks.iter().map(|tick| &tick.as_str().unwrap()[11..]).collect();
    assert!(
        ticks.len() == 3 && hours.iter().all(|at| matches!(*at, "10:00:00Z" | "11:00:00Z")),
        "{hours:?}"
    );
    assert_eq!(schedules[1]["next"], json!([]), "30 February never comes");
}

#[tokio::test]
async fn usage_counts_runs_by_repository_and_period() {
    let server = Server::start().await;
    for (run, repo) in [("r1", REPO), ("r2", REPO), ("s1", OTHER)] {
        let run = create(&server.store, run, repo).await;
        if run.as_str() == "r1" {
            let claim = started(&server.store, &run).await;
            end(&server.store, &run, &claim, 2).await;
        }
    }
    let all = server.token(Role::Reader, None).await;
    let usage = server.get(&all, "/api/v1/usage").await.is(200).json();
    assert_eq!(usage.as_array().unwrap().len(), 2);
    let app = &usage[0];
    assert_eq!((&app["repository"], &app["runs"]), (&json!(REPO), &json!(2)));
    assert_eq!((&app["succeeded"], &app["attempts"]), (&json!(1), &json!(1)));
    let one = server.token(Role::Reader, Some(OTHER)).await;
    let usage = server.get(&one, "/api/v1/usage").await.is(200).json();
    assert_eq!((usage.as_array().unwrap().len(), &usage[0]["repository"]), (1, &json!(OTHER)));
    let path = format!("/api/v1/usage?repository={REPO}");
    server.get(&one, &path).await.is(404);
    let workflows = server.get(&all, "/api/v1/usage?by=workflow").await.is(200).json();
    assert_eq!((&workflows[0]["repository"], &workflows[0]["runs"]), (&json!(REPO), &json!(2)));
    assert!(workflows[0]["workflow"].is_string(), "{workflows}");
    let owners = server.get(&one, "/api/v1/usage?by=organisation").await.is(200).json();
    let owner = OTHER.split_once('/').unwrap().0;
    assert_eq!((owners.as_array().unwrap().len(), &owners[0]["runs"]), (1, &json!(1)));
    assert_eq!(
        (&owners[0]["organisation"], &owners[0]["repository"]),
        (&json!(owner), &Json::Null)
    );
    server.get(&all, "/api/v1/usage?by=step").await.is(400);
    let before = "/api/v1/usage?from=2001-01-01T00:00:00Z&to=2001-02-01T00:00:00Z";
    assert_eq!(server.get(&all, before).await.is(200).json(), json!([]));
    server
        .get(&all, "/api/v1/usage?from=2031-01-01T00:00:00Z&to=2001-01-01T00:00:00Z")
        .await
        .is(400);
    server.get(&all, "/api/v1/usage?from=yesterday").await.is(400);
}

#[tokio::test]
async fn runners_and_pools_show_queued_work() {
    let server = Server::start().await;
    let run = create(&server.store, "r1", REPO).await;
    started(&server.store, &run).await;
    let token = server.token(Role::Reader, None).await;
    let runners = server.get(&token, "/api/v1/runners").await.is(200).json();
    assert_eq!((&runners[0]["pool"], &runners[0]["run"]), (&json!("local"), &json!("r1")));
    let pools = server.get(&token, "/api/v1/pools").await.is(200).json();
    assert_eq!(pools, json!([{"name": "local", "runners": 1, "queued": 0, "running": 1}]));
}
