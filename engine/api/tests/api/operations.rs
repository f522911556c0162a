//! Pages of operations and of workflows: rights of each, their content, and their forms.

use plue_api::Role;
use plue_plan::{Trigger, trigger::Misfire};
use plue_runtime::Clock;
use plue_store::{DeliveryRow, DeliveryState, RegisteredRow};
use serde_json::json;

use crate::{
    inbox::{post, reader, word},
    support::{OTHER, REPO, Server, create, create_webhook, end, started, watched},
};

const EVIL: &str = "<img src=x onerror=alert(1)>";

/// A server with two repositories, a workflow with a schedule, a queued and an ended run.
async fn busy() -> Server {
    let server = Server::start().await;
    for repo in [REPO, OTHER] {
        watched(&server.store, repo, "github", EVIL).await;
    }
    let run = create(&server.store, "r1", REPO).await;
    let claim = started(&server.store, &run).await;
    end(&server.store, &run, &claim, 2).await;
    create(&server.store, "s1", OTHER).await;
    let plan = server.store.runs().get(&run).await.unwrap().unwrap().plan;
    let schedule = Trigger::Schedule {
        cron: "0 3 * * *".to_owned(),
        tz: "UTC".to_owned(),
        misfire: Misfire::Skip,
    };
    for repo in [REPO, OTHER] {
        let row = RegisteredRow {
            repo: repo.to_owned(),
            file: format!(".plue/{EVIL}.py"),
            workflow: "demo".to_owned(),
            sha: "c0ffee".to_owned(),
            plan,
            triggers: vec![schedule.clone(), Trigger::Webhook { name: EVIL.to_owned() }],
        };
        server.store.repos().register_plans(repo, vec![row], Clock::real().now()).await.unwrap();
    }
    let delivery = DeliveryRow {
        forge: "github".to_owned(),
        hook: "hook-acme-app".to_owned(),
        id: format!("d1 {EVIL}"),
        headers: json!({}),
        body: Vec::new(),
        received_at: Clock::real().now(),
        state: DeliveryState::Failed,
        note: Some(format!("no such commit {EVIL}")),
    };
    assert!(server.store.deliveries().receive(delivery).await.unwrap());
    server
}

const PAGES: [(&str, Role, bool); 12] = [
    ("/help", Role::Reader, false),
    ("/help/secrets", Role::Reader, false),
    ("/workflows", Role::Reader, false),
    ("/approvals", Role::Reader, false),
    ("/usage", Role::Reader, false),
    ("/schedules", Role::Reader, false),
    ("/webhooks", Role::Reader, false),
    ("/runners", Role::Reader, true),
    ("/health", Role::Reader, true),
    ("/secrets", Role::Maintainer, false),
    ("/tokens", Role::Admin, true),
    ("/audit", Role::Admin, true),
];

#[tokio::test]
async fn pages_open_for_their_roles_only() {
    let server = busy().await;
    for role in Role::ALL {
        for repo in [None, Some(REPO)] {
            let mut ada = reader(&server, *role, repo).await;
            let usage = ada.get(&server, "/usage").await.text();
            for (path, need, is_everywhere) in PAGES {
                let answer = ada.get(&server, path).await;
                let may = *role >= need && (repo.is_none() || !is_everywhere);
                let status = if may { 200 } else { 403 };
                assert_eq!(answer.status, status, "{path} {role:?} {repo:?}: {}", answer.text());
                let is_tab =
                    !matches!(path, "/workflows" | "/approvals") && !path.starts_with("/help");
                let is_listed = usage.contains(&format!("<a href=\"{path}\""));
                assert!(!is_tab || is_listed == may, "{path} {role:?} {repo:?}");
            }
        }
    }
    let mut anonymous = crate::login::Browser::default();
    for (path, _, _) in PAGES {
        assert_eq!(anonymous.get(&server, path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn readers_of_a_repository_see_nothing_of_others() {
    let server = busy().await;
    let mut ada = reader(&server, Role::Admin, Some(REPO)).await;
    for path in ["/workflows", "/usage?by=workflow", "/schedules", "/webhooks", "/secrets"] {
        let page = ada.get(&server, path).await.text();
        assert!(!page.contains(OTHER), "{path}: {page}");
    }
    for path in ["/webhooks?repo=acme/other", "/usage?repo=acme/other"] {
        let hidden = ada.get(&server, path).await;
        let absent = ada.get(&server, &path.replace("acme/other", "acme/none")).await;
        assert_eq!((hidden.status.as_u16(), absent.status.as_u16()), (404, 404), "{path}");
        assert_eq!(hidden.text().replace(OTHER, "acme/none"), absent.text());
    }
}

#[tokio::test]
async fn hostile_rows_stay_text_on_every_page() {
    let server = busy().await;
    create_webhook(&server.store, "w1", None, &["run.ended"]).await;
    let mut ada = reader(&server, Role::Admin, None).await;
    for (path, _, _) in PAGES.into_iter().chain([("/webhooks/out/w1", Role::Admin, true)]) {
        let page = ada.get(&server, path).await.text();
        assert!(!page.contains("<img") && page.contains("Operations"), "{path}: {page}");
    }
    let page = ada.get(&server, "/webhooks").await.text();
    assert!(page.contains("no such commit &lt;img"), "{page}");
}

#[tokio::test]
async fn queued_runs_and_numbers_are_shown() {
    let server = busy().await;
    let mut ada = reader(&server, Role::Admin, None).await;
    let page = ada.get(&server, "/usage?by=workflow&days=7").await.text();
    assert!(page.contains("repo=acme%2Fapp&amp;workflow=demo"), "{page}");
    let page = ada.get(&server, "/workflows?q=ACME/APP").await.text();
    assert!(page.contains("/workflows/acme%2Fapp/demo") && page.contains("100 % passed"), "{page}");
    assert!(!page.contains("acme%2Fother"), "{page}");
    let page = ada.get(&server, "/health").await.text();
    assert!(page.contains("Database") && page.contains("takes what is new"), "{page}");
}

#[tokio::test]
async fn pages_ask_a_constant_number_of_questions() {
    let server = busy().await;
    let mut ada = reader(&server, Role::Admin, None).await;
    for (at, path) in ["/workflows", "/runners", "/usage", "/audit"].into_iter().enumerate() {
        ada.get(&server, path).await;
        server.reads.taken();
        assert_eq!(ada.get(&server, path).await.status, 200);
        let few = server.reads.taken();
        for n in 0..5 {
            create(&server.store, &format!("q{at}{n}"), REPO).await;
        }
        server.reads.taken();
        ada.get(&server, path).await;
        assert_eq!(server.reads.taken(), few, "{path}");
    }
}

#[tokio::test]
async fn failed_deliveries_are_worked_on_again() {
    let server = busy().await;
    let id = format!("d1 {EVIL}");
    for (role, status) in [(Role::Reader, 403), (Role::Writer, 303)] {
        let mut ada = reader(&server, role, None).await;
        let page = ada.get(&server, "/webhooks?repo=acme/app").await.text();
        assert_eq!(page.contains("/webhooks/redeliver"), role == Role::Writer, "{page}");
        let csrf = word(&page);
        for (csrf, status) in [("wrong", 403), (csrf.as_str(), status)] {
            let fields = [("csrf", csrf), ("repo", REPO), ("delivery", id.as_str())];
            let answer = post(&server, &mut ada, "/webhooks/redeliver", &fields).await;
            assert_eq!(answer.status, status, "{role:?}: {}", answer.text());
        }
    }
    let rows = server.store.deliveries().list("hook-acme-app", None, 9).await.unwrap();
    assert_eq!(rows[0].state, DeliveryState::New);
}

#[tokio::test]
async fn schedules_are_paused_and_resumed() {
    let server = busy().await;
    let mut eve = reader(&server, Role::Writer, None).await;
    let page = eve.get(&server, "/schedules").await.text();
    assert!(page.contains("0 3 * * *") && !page.contains("/workflows/pause"), "{page}");
    let fields = |csrf: &str| {
        vec![
            ("csrf".to_owned(), csrf.to_owned()),
            ("repo".to_owned(), REPO.to_owned()),
            ("workflow".to_owned(), "demo".to_owned()),
            ("scope".to_owned(), "schedule".to_owned()),
            ("reason".to_owned(), EVIL.to_owned()),
        ]
    };
    let mut ada = reader(&server, Role::Maintainer, None).await;
    let own = word(&ada.get(&server, "/schedules").await.text());
    let foreign = word(&page);
    for (browser, csrf, path, status) in [
        (&mut eve, foreign.as_str(), "/workflows/pause", 403),
        (&mut ada, own.as_str(), "/workflows/pause", 303),
    ] {
        let fields = fields(csrf);
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = post(&server, browser, path, &fields).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let page = ada.get(&server, "/schedules").await.text();
    assert!(page.contains("/workflows/resume") && page.contains("&lt;img"), "{page}");
    let fields =
        [("csrf", own.as_str()), ("repo", REPO), ("workflow", "demo"), ("scope", "schedule")];
    assert_eq!(post(&server, &mut ada, "/workflows/resume", &fields).await.status, 303);
    assert!(!ada.get(&server, "/schedules").await.text().contains("/workflows/resume"));
}

#[tokio::test]
async fn tokens_are_made_shown_once_and_revoked() {
    let server = Server::start().await;
    let mut ada = reader(&server, Role::Admin, None).await;
    let csrf = word(&ada.get(&server, "/tokens").await.text());
    let wrong = [("csrf", csrf.as_str()), ("name", ""), ("role", "reader")];
    let answer = post(&server, &mut ada, "/tokens/create", &wrong).await.text();
    assert!(answer.contains("`name` is 1 to"), "{answer}");
    let fields = [("csrf", csrf.as_str()), ("name", EVIL), ("role", "reader"), ("days", "9")];
    let page = post(&server, &mut ada, "/tokens/create", &fields).await;
    assert_eq!(
        (page.status.as_u16(), &page.headers["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let page = page.text();
    let fresh = page.split("<code>plue_").nth(1).unwrap().split('<').next().unwrap();
    let fresh = format!("plue_{fresh}");
    server.get(&fresh, "/api/v1/runs").await.is(200);
    assert!(!ada.get(&server, "/tokens").await.text().contains(&fresh));
    let rows = server.store.tokens().list().await.unwrap();
    let made = rows.iter().find(|row| row.name == EVIL).unwrap();
    let fields = [("csrf", csrf.as_str()), ("token", made.id.as_str())];
    assert_eq!(post(&server, &mut ada, "/tokens/remove", &fields).await.status, 303);
    server.get(&fresh, "/api/v1/runs").await.is(401);
    let page = ada.get(&server, "/audit?q=token.remove").await.text();
    assert!(page.contains(&made.id) && !page.contains("token.create"), "{page}");
    let mut eve = reader(&server, Role::Maintainer, None).await;
    let csrf = word(&eve.get(&server, "/usage").await.text());
    let fields = [("csrf", csrf.as_str()), ("name", "x"), ("role", "admin")];
    assert_eq!(post(&server, &mut eve, "/tokens/create", &fields).await.status, 403);
}
